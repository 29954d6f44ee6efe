/** Numbers as the output of the servers shows them. */

/** A number of 24 bits: of a queue pair, or of a packet. */
export function hex24(value: number): string {
  return `0x${value.toString(16).padStart(6, '0')}`;
}

/** A key. */
export function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

/** An address in memory. */
export function hex64(value: bigint): string {
  return `0x${value.toString(16).padStart(16, '0')}`;
}
