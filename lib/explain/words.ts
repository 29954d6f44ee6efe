/** Words and numbers of explanations. */
import { hex } from '../internal/words';

/** Formats a number as `0x1000`; undefined stays undefined, so that JSON leaves it out. */
export function hexIfGiven(value: number | bigint | undefined): string | undefined {
  return value === undefined ? undefined : hex(value);
}

/** Formats a count with its noun: `1 request`, `1,500 requests`. */
export function count(amount: number | bigint, noun: string, plural = `${noun}s`): string {
  return `${thousands(amount)} ${BigInt(amount) === 1n ? noun : plural}`;
}

/** Formats a whole number with commas between thousands: `65,536`. */
export function thousands(amount: number | bigint): string {
  return String(amount).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Joins words: `a, b and c`. */
export function list(items: readonly string[]): string {
  if (items.length < 2) return items.join('');
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1) ?? ''}`;
}

/** Formats keys: `0x22a, 0x396 and 0x42f`. */
export function keysOf(keys: readonly number[]): string {
  return list(keys.map((key) => hex(key)));
}

/** Formats a range of addresses with both ends: `0x1000 to 0x1fff`. */
export function range(first: bigint, last: bigint): string {
  return `${hex(first)} to ${hex(last)}`;
}

/** Reverses the bytes of a 32-bit number. */
export function swapBytes(key: number): number {
  return (((key & 0xff) << 24) | ((key & 0xff00) << 8) | ((key >>> 8) & 0xff00) | (key >>> 24)) >>> 0;
}

/** Returns how many bits of two keys differ. */
export function differentBits(a: number, b: number): number {
  let rest = (a ^ b) >>> 0;
  let bits = 0;
  while (rest !== 0) {
    rest &= rest - 1;
    bits++;
  }
  return bits;
}

/** Formats how often something happened: `once`, `51 times`. */
export function times(amount: number): string {
  return amount === 1 ? 'once' : `${thousands(amount)} times`;
}
