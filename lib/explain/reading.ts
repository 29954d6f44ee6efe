/** Reads numbers of typed arrays whose index is known to be inside, and does the arithmetic of packet sequence numbers. */

/** Returns an element; 0 if the index is outside, which keeps the type a number. */
export function get(array: Uint32Array | Float64Array | Int32Array, index: number): number {
  return array[index] ?? 0;
}

/** Adds to an element. */
export function add(array: Uint32Array | Float64Array, index: number, amount: number): void {
  array[index] = (array[index] ?? 0) + amount;
}

/** Two PSNs of one flow that are further apart belong to different connections. */
export const FARTHEST = 65_536;

/** PSNs count modulo 2^24. */
const PSN_MASK = 0xff_ffff;

/** Returns how far PSN `a` is ahead of PSN `b`: -2^23 to 2^23 - 1. */
export function psnDistance(a: number, b: number): number {
  return ((a - b) << 8) >> 8;
}

/** Returns the PSN that is `count` after `psn`. */
export function psnAfter(psn: number, count: number): number {
  return (psn + count) & PSN_MASK;
}
