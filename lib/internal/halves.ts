/** 64-bit numbers as two 32-bit words of shared memory: no bigint where a number was given, or is enough. */

/** Whether the low half of a 64-bit number lies first. */
export const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** What a number is multiplied with for its high half; exact, and cheaper than a division. */
export const HIGH_HALF = 2 ** -32;

/** Where the halves of a 64-bit number lie from its first word on. */
export const LOW: number = LITTLE_ENDIAN ? 0 : 1;
export const HIGH: number = LITTLE_ENDIAN ? 1 : 0;

/** What the high half counts. */
export const HALF_RANGE = 2 ** 32;
