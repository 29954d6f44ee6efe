import { type Access } from './access';
import { illegalConstructor } from '../internal/arguments';
import { type Asker } from './asker';
import { construction } from '../internal/construction';
import { explainRefusal } from './explanation';
import { type CheckReason } from '../internal/reasons';

/** What a refused check was asked for: see {@link Refused.request}. */
export interface RefusedRequest {
  /** Address of the first byte: local ones for a domain, remote ones for a queue pair. */
  address: bigint;
  /** Bytes. */
  length: number;
  /** The key it was asked under. */
  key: number;
  /** Bits of {@link Access}. */
  access: Access;
  /** Whether a peer asked, over a queue pair. */
  remote: boolean;
  /** `id` of the protection domain that asked; undefined for a remote check. */
  pd: number | undefined;
  /** `id` of the queue pair that asked; undefined for a local check. */
  qp: number | undefined;
}

/** An access that was refused. Nothing has changed. */
export interface Refused {
  readonly ok: false;
  /** The first test that failed. It is for the caller, not for the peer. */
  readonly reason: CheckReason;
  /** What the kernel's local check answers. (Its remote check has one answer for all refusals.) */
  readonly code: 'EINVAL';
  /** What was asked for. Not enumerable. */
  readonly request: RefusedRequest;
  /**
   * Why it was refused, in sentences for people: the region, its bounds, by how many bytes the access is outside or which right is
   * missing, whose domain it is, and the usual mix-ups if one fits.
   *
   * It is worked out at the call, from what the device knows then, and says so if that has changed since the refusal. It takes the
   * device's lock and looks through the regions (at most 2^17 of them): for logs and debugging, not for every refusal of a busy
   * server. The text is for this program; a peer should not be sent it. It may change in any version.
   */
  explain(): string;
}

/** The same of any request, in the words of a message. */
export function requestOf(
  asker: Asker,
  address: bigint | number,
  length: number,
  key: number,
  access: Access,
): RefusedRequest {
  return {
    address: BigInt(address),
    length,
    key,
    access,
    remote: asker.remote,
    pd: asker.remote ? undefined : asker.id,
    qp: asker.remote ? asker.id : undefined,
  };
}

/** Keeps the numbers of the request as they were given: making anything of them would cost every refusal. */
export class Refusal implements Refused {
  readonly ok = false;
  readonly reason: CheckReason;
  readonly code = 'EINVAL';
  readonly #asker: Asker;
  readonly #address: bigint | number;
  readonly #length: number;
  readonly #key: number;
  readonly #access: Access;
  /** Low half of the sequence of the key's record. */
  readonly #sequence: number;

  constructor(
    token: typeof construction,
    reason: CheckReason,
    asker: Asker,
    address: bigint | number,
    length: number,
    key: number,
    access: Access,
    sequence: number,
  ) {
    if (token !== construction) throw illegalConstructor();
    this.reason = reason;
    this.#asker = asker;
    this.#address = address;
    this.#length = length;
    this.#key = key;
    this.#access = access;
    this.#sequence = sequence;
  }

  get request(): RefusedRequest {
    return requestOf(this.#asker, this.#address, this.#length, this.#key, this.#access);
  }

  explain(): string {
    return explainRefusal(this.#asker, this.request, this.reason, this.#sequence);
  }
}
