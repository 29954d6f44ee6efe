import { u8, u32 } from '../internal/arguments';
import { KEY_VARIANT_MASK } from '../internal/layout';

/** Distinguishes the two kinds of keys and access masks at compile time. Does not exist at run time. */
export declare const keyKind: unique symbol;

/** A local key (32 bits): identifies a region in a local check. The lkey and the rkey of a region are the same number, unless
 * the device is strict ({@link DeviceOptions.strict}). */
export type Lkey = number & { readonly [keyKind]: 'lkey' };

/** A remote key (32 bits): identifies a region in a remote check. */
export type Rkey = number & { readonly [keyKind]: 'rkey' };

/**
 * Converts a number to a local key, for example a key read from a file or a message.
 *
 * @param key - 0..2^32-1
 * @returns the same number
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function lkey(key: number): Lkey {
  return u32(key, 'key') as Lkey;
}

/**
 * Converts a number to a remote key, for example a key sent by a peer.
 *
 * @param key - 0..2^32-1
 * @returns the same number
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function rkey(key: number): Rkey {
  return u32(key, 'key') as Rkey;
}

/**
 * Returns a key with its low byte replaced. The consumer owns these 8 bits and may change them with {@link QueuePair.fastRegMr}.
 *
 * Kernel: `ib_update_fast_reg_key`.
 *
 * @param key - a key of the region
 * @param lowByte - 0..255
 * @returns the new key
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function fastRegKey<Key extends Lkey | Rkey>(key: Key, lowByte: number): Key {
  const upper = (u32(key, 'key') & ~KEY_VARIANT_MASK) >>> 0;
  return (upper + u8(lowByte, 'lowByte')) as Key;
}
