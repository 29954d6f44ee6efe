import { u8, u32 } from '../internal/arguments';
import { KEY_VARIANT_MASK } from '../internal/layout';

/** What keeps the two kinds of keys, and rights, apart for the compiler. There is nothing of it at run time. */
export declare const keyKind: unique symbol;

/** A local key: names a region in a local check. 32 bits. lkey and rkey of a region are the same number. */
export type Lkey = number & { readonly [keyKind]: 'lkey' };

/** A remote key: names a region in a remote check. 32 bits. */
export type Rkey = number & { readonly [keyKind]: 'rkey' };

/**
 * A number as local key, for keys that were stored or came in a message.
 *
 * @param key - 0..2^32-1
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function lkey(key: number): Lkey {
  return u32(key, 'key') as Lkey;
}

/**
 * A number as remote key, for keys that a peer has sent.
 *
 * @param key - 0..2^32-1
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function rkey(key: number): Rkey {
  return u32(key, 'key') as Rkey;
}

/**
 * The key with another low byte: the 8 bits that the consumer owns and may change in
 * {@link QueuePair.fastRegMr} (`ib_update_fast_reg_key`).
 *
 * @param key - a key of the region
 * @param lowByte - 0..255
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function fastRegKey<Key extends Lkey | Rkey>(key: Key, lowByte: number): Key {
  const upper = (u32(key, 'key') & ~KEY_VARIANT_MASK) >>> 0;
  return (upper + u8(lowByte, 'lowByte')) as Key;
}
