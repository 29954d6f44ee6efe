/**
 * The command block: where the arguments of calls without arguments stand, and their answers. All of this thread's
 * copies of the package share one, so what stands in it is good only until other code runs: a caller first reads every
 * property of what it was given (a getter may do anything, a check too), then stores, calls and reads, without a break.
 */
import { u64 } from './arguments';
import { RdmaError, rdmaError } from './errors';
import { HALF_RANGE, HIGH, HIGH_HALF, LOW } from './halves';
import { COMMAND_BYTES, CommandWord, EINVAL, Reason } from './layout';
import { native } from './native';
import { dataPathReason } from './reasons';

const { buffer } = native.commandBlock(new Uint8Array(new SharedArrayBuffer(COMMAND_BYTES)));

/** Its words, by {@link CommandWord}. */
export const words: Uint32Array = new Uint32Array(buffer);
/** The same as 64-bit numbers: those of word `w` stand at `w / 2`. */
export const longs: BigUint64Array = new BigUint64Array(buffer);

/** What stands in the place of the answer before a call: what was not judged must not pass. Never a verdict. */
export const UNANSWERED: number = -EINVAL >>> 0;

/** The largest reason of a refusal, as an answer. Larger ones are negative errnos, but for `BATCH_COALESCED`. */
export const LAST_REASON: number = Reason.Count - 1;

/**
 * Stores a 64-bit number.
 *
 * @param word - where; even
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
  // The array takes it modulo 2^64.
  if (longs[word / 2] !== value) u64(value, name);
}

/** A 64-bit number as a number, rounded above 2^53. */
export function readNumber(word: number): number {
  return (words[word + LOW] ?? 0) + (words[word + HIGH] ?? 0) * HALF_RANGE;
}

/** The same as a bigint. */
export function readLong(word: number): bigint {
  return longs[word / 2] ?? 0n;
}

/** A 64-bit number as a number if it is a safe integer, which is cheaper, else as a bigint. */
export function readEither(word: number): number | bigint {
  const number = readNumber(word);
  return number <= Number.MAX_SAFE_INTEGER ? number : readLong(word);
}

/** Field `field` of what a call has told, as a number. */
export function fieldNumber(field: number): number {
  return readNumber(CommandWord.Fields + 2 * field);
}

/** The same as a bigint. */
export function fieldLong(field: number): bigint {
  return readLong(CommandWord.Fields + 2 * field);
}

/** The answer of the last call as it is: 0 or positive, or a negative errno. */
export function readAnswer(): number {
  return (words[CommandWord.Answer] ?? UNANSWERED) | 0;
}

/**
 * Throws what a data path call has answered, if that is no success.
 *
 * @param operation - what was asked for, as {@link RdmaError.operation} names it
 * @param answer - 0, the reason of a refusal, or a negative errno
 * @throws RdmaError with that errno; `EACCES` with the reason for a refusal
 */
export function throwUnlessMoved(operation: string, answer: number): void {
  if (answer < 0) throw rdmaError(operation, answer);
  if (answer > 0) throw new RdmaError(operation, 'EACCES', dataPathReason(answer));
}
