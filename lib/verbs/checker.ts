import { type Access } from './access';
import { illegalConstructor, u32, u64 } from '../internal/arguments';
import { HIGH_HALF, LITTLE_ENDIAN, newBatchBlock } from './batch-block';
import { rdmaError, resultOf } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { COMMAND_BYTES, CommandWord, EINVAL, HeaderWord, Reason } from '../internal/layout';
import {
  native,
  type NativeBatch,
  type NativeProtectionDomain,
  type NativeQueuePair,
} from '../internal/native';
import { type RefusalReason, reasonOf } from '../internal/reasons';
import { construction } from '../internal/construction';

/** Names the checker that asks, and takes the answer. All checkers of this thread share it. */
const command = new Uint32Array(
  native.commandBlock(new Uint8Array(new SharedArrayBuffer(COMMAND_BYTES))).buffer,
);
const { checkOne } = native;

/** -EINVAL: never a verdict. */
const UNANSWERED = -EINVAL >>> 0;

/** Larger answers are negative errnos. */
const LAST_REASON: number = Reason.Count - 1;

/**
 * Single checks through a shared block: the arguments are stored in shared memory, the call has none, and the answer is a
 * number. No object, no bigint and no allocation on the way, as long as addresses are numbers (up to 2^53). Where an accepted
 * access lies is for {@link ProtectionDomain.check} and {@link QueuePair.check} to tell.
 *
 * Made by {@link ProtectionDomain.checker} (local checks) and {@link QueuePair.checker} (remote ones).
 */
export class Checker {
  readonly #header: Uint32Array;
  readonly #words: Uint32Array;
  readonly #longs: BigUint64Array;
  readonly #batch: NativeBatch; // keeps it
  readonly #number: number;
  #answer = 0;

  /** @internal */
  constructor(token: typeof construction, checker: NativeProtectionDomain | NativeQueuePair) {
    if (token !== construction) throw illegalConstructor();
    const block = newBatchBlock(1, false);
    this.#batch = resultOf('checker', native.createBatch(checker, block.bytes, 1, false));
    this.#number = this.#batch.number;
    this.#header = block.header;
    this.#words = block.words;
    this.#longs = block.longs;
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
    // Tested here and not by arguments.ts, which is called only for what fails: this is a good part of what a check costs.
    if (typeof length !== 'number' || length >>> 0 !== length) u32(length, 'length');
    if (typeof key !== 'number' || key >>> 0 !== key) u32(key, 'key');
    if (typeof access !== 'number' || access >>> 0 !== access) u32(access, 'access');
    const words = this.#words;
    if (LITTLE_ENDIAN && typeof address === 'number' && address >= 0 && address <= Number.MAX_SAFE_INTEGER) {
      if (Math.floor(address) !== address) u64(address, 'address');
      words[0] = address;
      words[1] = address * HIGH_HALF;
    } else {
      this.#longs[0] = u64(address, 'address');
    }
    words[2] = length;
    words[3] = key;
    this.#header[HeaderWord.Access] = access;
    command[CommandWord.Batch] = this.#number;
    command[CommandWord.Answer] = UNANSWERED; // what was not judged must not pass
    checkOne();
    const answer = command[CommandWord.Answer];
    if (answer > LAST_REASON) throw rdmaError('checker', answer | 0);
    this.#answer = answer;
    return answer;
  }

  /** Why the last access was refused; undefined if it was accepted. */
  get reason(): RefusalReason | undefined {
    return reasonOf(this.#answer);
  }
}
