import { type Access } from './access';
import { illegalConstructor } from '../internal/arguments';
import { LAST_REASON, UNANSWERED, words } from '../internal/command';
import { storeAccess } from '../internal/element';
import { rdmaError } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { CommandWord, EBADF } from '../internal/layout';
import { native, type NativeProtectionDomain, type NativeQueuePair } from '../internal/native';
import { type RefusalReason, reasonOf } from '../internal/reasons';
import { construction } from '../internal/construction';
import { instance, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';

const { checkOne } = native;

/** A domain or queue pair and its number. Keep the object: the number is valid only while it is alive. */
interface NumberedParent {
  readonly native: NativeProtectionDomain | NativeQueuePair;
  readonly number: number;
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
  readonly #parent: NumberedParent;
  #answer = 0;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, parent: NativeProtectionDomain | NativeQueuePair) {
    if (token !== construction) throw illegalConstructor();
    if (parent.serial() < 0) throw rdmaError('checker', -EBADF);
    this.#parent = { native: parent, number: parent.number() };
  }

  /**
   * Judges one access and keeps no reference.
   *
   * Kernel: `rvt_lkey_ok` or `rvt_rkey_ok`, without the reference.
   *
   * @param address - u64
   * @param length - bytes
   * @param access - bits of {@link Access}: a local check wants all of them, a remote one any
   * @returns 0, or the number of the reason ({@link Checker.reason} names it)
   * @throws RdmaError `EBADF`: the domain or queue pair is gone
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  refusal(address: bigint | number, length: number, key: Lkey | Rkey, access: Access): number {
    storeAccess(this.#parent.number, address, 'address', length, 'length', key, 'key', access);
    checkOne();
    const answer = words[CommandWord.Answer] ?? UNANSWERED;
    if (answer > LAST_REASON) throw rdmaError('checker', answer | 0);
    this.#answer = answer;
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

  static {
    describeChecker = (checker) => ({
      class: 'Checker',
      reason: reasonOf(checker.#answer) ?? null,
      state: checker.#parent.native.serial() < 0 ? 'Closed' : 'Open',
    });
    showAs(Checker, 'Checker', (object) => textOf('Checker', object, describeChecker));
  }
}
