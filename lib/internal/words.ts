/** Numbers in the words of texts for people. */

/** `0x1000`. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/** `1 byte`, `16 bytes`. */
export function bytes(count: number | bigint): string {
  return `${count} ${BigInt(count) === 1n ? 'byte' : 'bytes'}`;
}

/** The same text with a capital letter, for the beginning of a sentence. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
