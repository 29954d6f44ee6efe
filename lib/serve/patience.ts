/** How long this end waits for a client. */

const MILLISECONDS = 1000;

/** Limits of {@link Patience}. */
export interface PatienceLimits {
  /** How long a client may take until it has begun, ms: however much it says meanwhile. */
  readonly beginMs: number;
  /** How long it may be silent after that, ms. */
  readonly silenceMs: number;
}

/** Tells when a client has taken too long. */
export class Patience {
  readonly #begin = performance.now();
  #last = this.#begin;
  #count: number;

  /**
   * @param hasBegun - whether the client has begun
   * @param activity - a count that grows while the client is active in other ways than by words
   */
  constructor(
    private readonly limits: PatienceLimits,
    private readonly hasBegun: () => boolean,
    private readonly activity: () => number,
  ) {
    this.#count = activity();
  }

  /** Notes that the client has said something. */
  renew(): void {
    this.#last = performance.now();
  }

  /** Returns why this end must not wait longer, or undefined. */
  whyNoMore(): string | undefined {
    const now = performance.now();
    const { beginMs, silenceMs } = this.limits;
    if (!this.hasBegun()) {
      if (now - this.#begin < beginMs) return undefined;
      return `the client has not told a queue pair for ${beginMs / MILLISECONDS} s`;
    }
    const count = this.activity();
    if (count !== this.#count) {
      this.#count = count;
      this.renew();
    }
    if (now - this.#last < silenceMs) return undefined;
    return `the client has been silent for ${silenceMs / MILLISECONDS} s; does it have the program, the type and the size that are served?`;
  }
}
