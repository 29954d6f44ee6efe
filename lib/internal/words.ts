/** Formats numbers for messages. */

/** Formats a number as `0x1000`. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/** Formats a count of bytes as `1 byte` or `16 bytes`. */
export function bytes(count: number | bigint): string {
  return `${count} ${BigInt(count) === 1n ? 'byte' : 'bytes'}`;
}

/** Capitalizes the first letter, for the beginning of a sentence. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
