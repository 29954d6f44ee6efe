import { type Access } from './access';
import { illegalConstructor } from '../internal/arguments';
import { type Asker } from './asker';
import { construction } from '../internal/construction';
import { explainRefusal } from './explanation';
import { type CheckReason } from '../internal/reasons';

/** The arguments of a refused check; see {@link Refused.request}. */
export interface RefusedRequest {
  /** Address of the first byte: a local address for a domain, a remote address for a queue pair. */
  address: bigint;
  /** Length of the access in bytes. */
  length: number;
  /** The key that was given for the access. */
  key: number;
  /** The requested rights, bits of {@link Access}. */
  access: Access;
  /** Whether the access was a peer's, checked by a queue pair. */
  remote: boolean;
  /** `id` of the protection domain that checked the access; undefined for a remote check. */
  pd: number | undefined;
  /** `id` of the queue pair that checked the access; undefined for a local check. */
  qp: number | undefined;
}

/** The result of a refused access. The check changed nothing. */
export interface Refused {
  readonly ok: false;
  /** The first test of the check that failed. Do not send it to the peer. */
  readonly reason: CheckReason;
  /** The errno that the kernel's local check returns. (Its remote check reports only that the access failed.) */
  readonly code: 'EINVAL';
  /** The arguments of the refused access. Not enumerable. */
  readonly request: RefusedRequest;
  /**
   * Explains in sentences why the access was refused: the region, its bounds, by how many bytes the access is outside or which
   * right is missing, the region's domain, and the likely mistake if one fits.
   *
   * The text is computed when this method is called, from the device's current state, and says so if the state has changed since
   * the refusal. The call takes the device lock and searches up to 2^17 regions, so use it for logs and debugging, not for every
   * refusal of a busy server. The text is for this program: do not send it to a peer. Its wording may change in any version.
   */
  explain(): string;
}

/** Creates the description of an access as used in refusals and messages. */
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

/** Implements {@link Refused}. Stores the arguments as given; converting them here would slow down every refusal. */
export class Refusal implements Refused {
  readonly ok = false;
  readonly reason: CheckReason;
  readonly code = 'EINVAL';
  readonly #asker: Asker;
  readonly #address: bigint | number;
  readonly #length: number;
  readonly #key: number;
  readonly #access: Access;
  /** Low half of the sequence number of the key's slot record. */
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
