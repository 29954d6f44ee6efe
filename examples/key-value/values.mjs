// The values of the store. They depend only on the seed, so the store and its clients compute the expected bytes independently,
// and two runs with the same seed store the same bytes.
import { createHash } from 'node:crypto';

/** Size of a place in the store, and of the largest value, in bytes. */
export const PLACE = 4096;

const LEAST = 64;

/**
 * Returns a generator of numbers from 0 to 2^32-1 (mulberry32). The same seed gives the same numbers.
 *
 * @param {number} seed
 */
export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/**
 * Returns the value of a key: {@link LEAST} to {@link PLACE} bytes.
 *
 * @param {number} seed
 * @param {number} key
 */
export function valueOf(seed, key) {
  const next = random(Math.imul(seed, 0x9e37_79b1) ^ Math.imul(key + 1, 0x85eb_ca6b));
  const length = LEAST + (next() % (PLACE - LEAST + 1));
  const words = Uint32Array.from({ length: PLACE / 4 }, next);
  return new Uint8Array(words.buffer, 0, length);
}

/** SHA-256 over values and their keys. */
export class Checksum {
  #hash = createHash('sha256');

  /**
   * @param {number} key
   * @param {Uint8Array} value
   */
  add(key, value) {
    this.#hash.update(`${key}:${value.length}:`).update(value);
  }

  /** Returns the checksum. No value can be added afterwards. */
  text() {
    return this.#hash.digest('hex');
  }
}
