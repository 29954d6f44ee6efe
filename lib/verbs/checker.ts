import { type Access } from './access';
import { illegalConstructor } from '../internal/arguments';
import { type Asker } from './asker';
import { LAST_REASON, UNANSWERED, words } from '../internal/command';
import { storeAccess } from '../internal/element';
import { rdmaError } from '../internal/errors';
import { explainRefusal } from './explanation';
import { HIGH, LOW } from '../internal/halves';
import { type Lkey, type Rkey } from './keys';
import { CommandWord, EBADF } from '../internal/layout';
import { native } from '../internal/native';
import { type RefusalReason, reasonOf } from '../internal/reasons';
import { isWatched, publishRefusal } from '../internal/refused-channel';
import { requestOf, type RefusedRequest } from './refusal';
import { describeRequest, type RefusedMessage } from './refused-message';
import { isRemoteRight, remoteRightError } from './remote-right';
import { construction } from '../internal/construction';
import { instance, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';

const { checkOne } = native;

/** Indexes of the words that describe the last refused access, for {@link Checker.explain}. */
const enum Last {
  AddressLow,
  AddressHigh,
  Length,
  Key,
  Access,
  Sequence,
  Words,
}

/** Returned by {@link Checker.toJSON}. */
export interface ShownChecker extends Shown {
  class: 'Checker';
  /** As {@link Checker.reason}; null if the last access was accepted or none was checked. */
  reason: RefusalReason | null;
  /** `'Closed'`: the parent protection domain or queue pair is closed. */
  state: 'Open' | 'Closed';
}

let describeChecker: (object: Checker) => ShownChecker;

/**
 * Checks single accesses on a hot path. {@link Checker.refusal} takes plain arguments, returns a number, and allocates nothing
 * while addresses are numbers (up to 2^53). To learn where an accepted access lies, use {@link ProtectionDomain.check} or
 * {@link QueuePair.check} instead.
 *
 * Created by {@link ProtectionDomain.checker} (local checks) and {@link QueuePair.checker} (remote checks).
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(new Uint8Array(64));
 * const checker = pd.checker();
 * console.log(checker.refusal(mr.start, 64, mr.lkey, 0)); // 0
 * checker.refusal(mr.start, 64, mr.lkey, Access.LocalWrite);
 * console.log(checker.reason); // AccessDenied
 * ```
 */
export class Checker {
  readonly #asker: Asker;
  readonly #number: number;
  readonly #remote: boolean;
  /** The last refused access. Stored in a typed array so that recording a refusal allocates no heap number. */
  readonly #refused = new Uint32Array(Last.Words);
  #answer = 0;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, asker: Asker) {
    if (token !== construction) throw illegalConstructor();
    if (asker.native.serial() < 0)
      throw rdmaError(asker.remote ? 'QueuePair.checker' : 'ProtectionDomain.checker', -EBADF);
    this.#asker = asker;
    this.#number = asker.number;
    this.#remote = asker.remote;
  }

  /**
   * Checks one access. Takes no reference. After the domain or queue pair is closed, the reason is `'Closed'`.
   *
   * Kernel: `rvt_lkey_ok` or `rvt_rkey_ok`, without the reference.
   *
   * @param address - address of the first byte, u64
   * @param length - bytes, 0..2^32-1
   * @param key - the lkey (local checks) or rkey (remote checks) of the region
   * @param access - bits of {@link Access}: a local check requires all of them; a remote check accepts exactly one of RemoteRead,
   *   RemoteWrite and RemoteAtomic
   * @returns 0 if the access is accepted, else the number of the reason ({@link Checker.reason} is its name)
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  refusal(address: bigint | number, length: number, key: Lkey | Rkey, access: Access): number {
    if (this.#remote && !isRemoteRight(access)) throw remoteRightError(access);
    storeAccess(this.#number, address, 'address', length, 'length', key, 'key', access);
    checkOne();
    const answer = words[CommandWord.Answer] ?? UNANSWERED;
    if (answer > LAST_REASON) throw rdmaError('Checker.refusal', answer | 0);
    this.#answer = answer;
    if (answer !== 0) this.#note();
    return answer;
  }

  /** Returns a one-line description of the checker. Never throws. */
  toString(): string {
    return textOf('Checker', this, describeChecker);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownChecker {
    return jsonOf('Checker', this, describeChecker);
  }

  /** Why the last access was refused; undefined if it was accepted. */
  get reason(): RefusalReason | undefined {
    return reasonOf(this.#answer);
  }

  /**
   * Explains in sentences why the last access was refused, as {@link Refused.explain}.
   *
   * @returns undefined if the last access was accepted, or if no access was checked
   */
  explain(): string | undefined {
    const reason = reasonOf(this.#answer);
    if (reason === undefined) return undefined;
    return explainRefusal(this.#asker, this.#request(), reason, this.#refused[Last.Sequence] ?? 0);
  }

  /** Saves the refused access, which is still in the command block. */
  #note(): void {
    const refused = this.#refused;
    refused[Last.AddressLow] = words[CommandWord.Address + LOW] ?? 0;
    refused[Last.AddressHigh] = words[CommandWord.Address + HIGH] ?? 0;
    refused[Last.Length] = words[CommandWord.Length] ?? 0;
    refused[Last.Key] = words[CommandWord.Key] ?? 0;
    refused[Last.Access] = words[CommandWord.Access] ?? 0;
    refused[Last.Sequence] = words[CommandWord.RecordSequence + LOW] ?? 0;
    if (isWatched()) this.#report();
  }

  #request(): RefusedRequest {
    const refused = this.#refused;
    const high = BigInt(refused[Last.AddressHigh] ?? 0);
    const address = (high << 32n) | BigInt(refused[Last.AddressLow] ?? 0);
    return requestOf(
      this.#asker,
      address,
      refused[Last.Length] ?? 0,
      refused[Last.Key] ?? 0,
      refused[Last.Access] ?? 0,
    );
  }

  #report(): void {
    const reason = reasonOf(this.#answer);
    if (reason === undefined) return;
    const request = this.#request();
    const sequence = this.#refused[Last.Sequence] ?? 0;
    const asker = this.#asker;
    const message: RefusedMessage = {
      reason,
      method: 'Checker.refusal',
      operation: 'checker',
      count: 1,
      ...describeRequest(asker, request),
      explain: () => explainRefusal(asker, request, reason, sequence),
    };
    publishRefusal(message);
  }

  static {
    describeChecker = (checker) => ({
      class: 'Checker',
      reason: reasonOf(checker.#answer) ?? null,
      state: checker.#asker.native.serial() < 0 ? 'Closed' : 'Open',
    });
    showAs(Checker, 'Checker', (object) => textOf('Checker', object, describeChecker));
  }
}
