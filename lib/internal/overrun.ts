/** Describes accesses that lie outside a range of addresses. */
import { bytes } from './words';

/** 2^64: one past the highest address. */
const TOP = 2n ** 64n;

/**
 * Describes by how many bytes an access lies outside a range, without a period at the end.
 *
 * @param address - address of the access, and its length in bytes
 * @param origin - address of the first byte of the range
 * @param length - bytes of the range
 */
export function overrun(address: bigint, accessLength: number, origin: bigint, length: bigint): string {
  const size = BigInt(accessLength);
  const end = address + size;
  const last = origin + length;
  if (end > TOP) return `It passes the end of the address space (2^64) by ${bytes(end - TOP)}`;
  if (address < origin && end > last) {
    return `It begins ${bytes(origin - address)} before the first byte and ends ${bytes(end - last)} past the last byte`;
  }
  if (address < origin) {
    return end <= origin && size > 0n
      ? `All of it lies before the first byte: it begins ${bytes(origin - address)} too early`
      : `It begins ${bytes(origin - address)} before the first byte`;
  }
  if (address >= last && (size > 0n || address > last)) {
    return `All of it lies past the last byte: it begins ${bytes(address - last)} past the end and ends ${bytes(end - last)} past it`;
  }
  return `It ends ${bytes(end - last)} past the last byte`;
}
