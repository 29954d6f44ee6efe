/** Constants to read and write 64-bit numbers as two 32-bit words, without a bigint. */

/** Whether the low word of a 64-bit number comes first in memory. */
export const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Multiply a number by this to get its high word; exact, and cheaper than a division. */
export const HIGH_HALF = 2 ** -32;

/** Offsets of the low and the high word of a 64-bit number from its first word. */
export const LOW: number = LITTLE_ENDIAN ? 0 : 1;
export const HIGH: number = LITTLE_ENDIAN ? 1 : 0;

/** Weight of the high word: a 64-bit number is low + high * 2^32. */
export const HALF_RANGE = 2 ** 32;

// Captured at load time: a program may replace them.
const { MAX_SAFE_INTEGER } = Number;
const { floor } = Math;
// eslint-disable-next-line @typescript-eslint/unbound-method -- a function of BigInt, which needs no receiver
const { asUintN } = BigInt;

/**
 * Stores a 64-bit number in an array of words, the low word first whatever the byte order, as the native module reads work requests.
 *
 * @param longs - the same bytes as 64-bit words
 * @param at - index of the low word in `words`; even
 * @returns false, with nothing stored, if the value is not an integer 0..2^64-1
 */
export function storeWide(words: Uint32Array, longs: BigUint64Array, at: number, value: unknown): boolean {
  if (typeof value === 'number') {
    if (!(value >= 0 && value <= MAX_SAFE_INTEGER && floor(value) === value)) return false;
    words[at] = value;
    words[at + 1] = value * HIGH_HALF;
    return true;
  }
  if (typeof value !== 'bigint' || asUintN(64, value) !== value) return false; // cheaper than two comparisons
  longs[at / 2] = value;
  if (LITTLE_ENDIAN) return true;
  const high = words[at] ?? 0;
  words[at] = words[at + 1] ?? 0;
  words[at + 1] = high;
  return true;
}
