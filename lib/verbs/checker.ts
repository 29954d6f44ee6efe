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

/** Words of a refusal, by index: what {@link Checker.explain} needs. */
const enum Last {
  AddressLow,
  AddressHigh,
  Length,
  Key,
  Access,
  Sequence,
  Words,
}

/** What {@link Checker.toJSON} answers. */
export interface ShownChecker extends Shown {
  class: 'Checker';
  /** As {@link Checker.reason}; null if the last access was accepted, or there was none. */
  reason: RefusalReason | null;
  /** `'Closed'`: its domain or queue pair is gone. */
  state: 'Open' | 'Closed';
}

let describeChecker: (object: Checker) => ShownChecker;

/**
 * Single checks for a hot path. {@link Checker.refusal} takes plain arguments and returns a number; it allocates nothing as long as
 * addresses are numbers (up to 2^53). To learn where an accepted access lies, use {@link ProtectionDomain.check} or
 * {@link QueuePair.check}.
 *
 * Made by {@link ProtectionDomain.checker} (local checks) and {@link QueuePair.checker} (remote ones).
 */
export class Checker {
  readonly #asker: Asker;
  readonly #number: number;
  readonly #remote: boolean;
  /** The last refused access. In an array, so that no refusal allocates a number. */
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
   * Judges one access and keeps no reference. Once the domain or queue pair is closed, the reason is `'Closed'`.
   *
   * Kernel: `rvt_lkey_ok` or `rvt_rkey_ok`, without the reference.
   *
   * @param address - u64
   * @param length - bytes
   * @param access - bits of {@link Access}: a local check wants all of them; a remote one takes exactly one of RemoteRead,
   *   RemoteWrite and RemoteAtomic
   * @returns 0, or the number of the reason ({@link Checker.reason} names it)
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

  /** What it is, in one line. Never throws. */
  toString(): string {
    return textOf('Checker', this, describeChecker);
  }

  /** The same as an object for JSON. Never throws. */
  toJSON(): ShownChecker {
    return jsonOf('Checker', this, describeChecker);
  }

  /** Why the last access was refused; undefined if it was accepted. */
  get reason(): RefusalReason | undefined {
    return reasonOf(this.#answer);
  }

  /**
   * Why the last access was refused, in sentences: as {@link Refused.explain}.
   *
   * @returns undefined if it was accepted, or if there was none
   */
  explain(): string | undefined {
    const reason = reasonOf(this.#answer);
    if (reason === undefined) return undefined;
    return explainRefusal(this.#asker, this.#request(), reason, this.#refused[Last.Sequence] ?? 0);
  }

  /** Keeps the refused access, which is still in the command block. */
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
      ...describeRequest(request),
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
