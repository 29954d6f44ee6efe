/**
 * The command block: shared memory through which native calls take arguments and return answers. All copies of the package in
 * this thread share one block, so its content is valid only until other code runs. A caller must first read every property of
 * its arguments (a getter can run any code, including a check). Then it must store the arguments, call, and read the answer, with
 * no other code in between.
 */
import { u64 } from './arguments';
import { rdmaError, refusalError } from './errors';
import { HALF_RANGE, HIGH, HIGH_HALF, LOW } from './halves';
import { COMMAND_BYTES, CommandWord, EINVAL, Reason } from './layout';
import { type Method } from './methods';
import { native } from './native';
import { dataPathReason } from './reasons';

const { buffer } = native.commandBlock(new Uint8Array(new SharedArrayBuffer(COMMAND_BYTES)));

/** The block as 32-bit words, indexed by {@link CommandWord}. */
export const words: Uint32Array = new Uint32Array(buffer);
/** The block as 64-bit numbers: the number that begins at word `w` has index `w / 2`. */
export const longs: BigUint64Array = new BigUint64Array(buffer);

/** Stored in ANSWER before a call, so that a call that does nothing is not mistaken for success. No check returns this value. */
export const UNANSWERED: number = -EINVAL >>> 0;

/** The largest answer that is a refusal reason. Larger unsigned answers are negative errnos, except `BATCH_COALESCED`. */
export const LAST_REASON: number = Reason.Count - 1;

/**
 * Stores a 64-bit number in the command block.
 *
 * @param word - index of the first 32-bit word; even
 * @param value - a bigint in 0..2^64-1, or a safe integer
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function storeLong(word: CommandWord, value: unknown, name: string): void {
  if (typeof value === 'number') {
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value)) u64(value, name);
    words[word + LOW] = value;
    words[word + HIGH] = value * HIGH_HALF;
    return;
  }
  if (typeof value !== 'bigint') u64(value, name);
  longs[word / 2] = value as bigint;
  // The array stores the value modulo 2^64; a difference means it was out of range.
  if (longs[word / 2] !== value) u64(value, name);
}

/** Reads a 64-bit integer of the command block as a number, rounded above 2^53. */
export function readNumber(word: number): number {
  return (words[word + LOW] ?? 0) + (words[word + HIGH] ?? 0) * HALF_RANGE;
}

/** Reads a 64-bit integer of the command block as a bigint. */
export function readLong(word: number): bigint {
  return longs[word / 2] ?? 0n;
}

/** Reads a 64-bit integer of the command block as a number, which is cheaper, if that is exact; otherwise as a bigint. */
export function readEither(word: number): number | bigint {
  const number = readNumber(word);
  return number <= Number.MAX_SAFE_INTEGER ? number : readLong(word);
}

/** Reads field `field` that the last call wrote to FIELDS, as a number. */
export function fieldNumber(field: number): number {
  return readNumber(CommandWord.Fields + 2 * field);
}

/** Reads field `field` that the last call wrote to FIELDS, as a bigint. */
export function fieldLong(field: number): bigint {
  return readLong(CommandWord.Fields + 2 * field);
}

/** Reads the answer of the last call: 0, a positive number, or a negative errno. */
export function readAnswer(): number {
  return (words[CommandWord.Answer] ?? UNANSWERED) | 0;
}

/**
 * Throws if a data path call did not succeed.
 *
 * @param method - the method that the program called
 * @param answer - 0, the reason of a refusal, or a negative errno
 * @throws RdmaError with that errno; `EACCES` with the reason for a refusal
 */
export function throwUnlessMoved(method: Method, answer: number): void {
  if (answer < 0) throw rdmaError(method, answer);
  if (answer > 0) throw refusalError(method, dataPathReason(answer));
}
