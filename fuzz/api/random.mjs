// Random numbers that are the same in every run.

/** Mixes two numbers into one (finalizer of MurmurHash3). */
export function mix(/** @type {number} */ a, /** @type {number} */ b) {
  let mixed = Math.imul(a ^ Math.imul(b + 0x9e3779b9, 0x85ebca6b), 0xc2b2ae35);
  mixed ^= mixed >>> 16;
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** A small random number generator (mulberry32). */
export class Random {
  #state = 0;

  /** Restarts the generator. Each call has its own seed, so skipping a call does not change the others. */
  begin(/** @type {number} */ seed) {
    this.#state = seed | 0;
  }

  /** Returns an integer from 0 to 2^32-1. */
  bits() {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** Returns an integer from 0 to sides-1. */
  dice(/** @type {number} */ sides) {
    return Math.floor((this.bits() / 2 ** 32) * sides);
  }

  chance(/** @type {number} */ probability) {
    return this.bits() / 2 ** 32 < probability;
  }

  /**
   * Returns a random element of a list.
   *
   * @template T
   * @param {readonly T[]} list must not be empty
   * @returns {T}
   */
  pick(list) {
    return /** @type {T} */ (list[this.dice(list.length)]);
  }

  /**
   * Returns a random value. The probability of each value is proportional to its weight.
   *
   * @template T
   * @param {readonly (readonly [number, T])[]} list pairs of a weight and a value
   * @returns {T}
   */
  weighed(list) {
    let at = this.dice(list.reduce((sum, [weight]) => sum + weight, 0));
    const found = list.find(([weight]) => (at -= weight) < 0);
    return /** @type {readonly [number, T]} */ (found)[1];
  }
}
