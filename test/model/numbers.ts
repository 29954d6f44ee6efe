import type { Hex } from './trace-types';

export const PAGE = 4096n;
/** One more than the highest address. */
export const ADDRESS_END = 1n << 64n;
export const MAX_U32 = (1n << 32n) - 1n;
export const MAX_I32 = 2 ** 31 - 1;

export function hex(value: bigint | number): Hex {
  return `0x${value.toString(16)}`;
}

/** Parses a key. Keys have 32 bits and are kept as numbers. */
export function keyOf(text: Hex): number {
  return Number(text);
}

export function pageDown(address: bigint): bigint {
  return address - (address % PAGE);
}

export function pageUp(address: bigint): bigint {
  return pageDown(address + PAGE - 1n);
}

/** Returns whether `length` bytes from `address` exceed the end of the address space. An end of exactly 2^64 does not. */
export function wraps(address: bigint, length: bigint): boolean {
  return address > ADDRESS_END - length;
}
