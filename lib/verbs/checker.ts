import { type Access } from './access';
import { illegalConstructor } from '../internal/arguments';
import { LAST_REASON, UNANSWERED, words } from '../internal/command';
import { storeAccess } from '../internal/element';
import { rdmaError } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { CommandWord, EBADF } from '../internal/layout';
import { type Method } from '../internal/methods';
import { native, type NativeProtectionDomain, type NativeQueuePair } from '../internal/native';
import { type RefusalReason, reasonOf } from '../internal/reasons';
import { construction } from '../internal/construction';

const { checkOne } = native;

/** A domain or queue pair and its number. Keep the object: the number is valid only while it is alive. */
interface NumberedParent {
  readonly native: NativeProtectionDomain | NativeQueuePair;
  readonly number: number;
}

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
  constructor(token: typeof construction, parent: NativeProtectionDomain | NativeQueuePair, method: Method) {
    if (token !== construction) throw illegalConstructor();
    if (parent.serial() < 0) throw rdmaError(method, -EBADF);
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
    if (answer > LAST_REASON) throw rdmaError('Checker.refusal', answer | 0);
    this.#answer = answer;
    return answer;
  }

  /** Why the last access was refused; undefined if it was accepted. */
  get reason(): RefusalReason | undefined {
    return reasonOf(this.#answer);
  }
}
