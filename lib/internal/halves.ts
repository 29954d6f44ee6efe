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
