// Numbers that repeat from run to run.

/** Two numbers as one that tells little of them (the finalizer of MurmurHash3). */
export function mix(/** @type {number} */ a, /** @type {number} */ b) {
  let mixed = Math.imul(a ^ Math.imul(b + 0x9e3779b9, 0x85ebca6b), 0xc2b2ae35);
  mixed ^= mixed >>> 16;
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** A small generator (mulberry32). */
export class Random {
  #state = 0;

  /** Every call begins anew, with a seed of its own: leaving out one leaves the others what they were. */
  begin(/** @type {number} */ seed) {
    this.#state = seed | 0;
  }

  /** 0..2^32-1. */
  bits() {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** 0..sides-1. */
  dice(/** @type {number} */ sides) {
    return Math.floor((this.bits() / 2 ** 32) * sides);
  }

  chance(/** @type {number} */ probability) {
    return this.bits() / 2 ** 32 < probability;
  }

  /**
   * @template T
   * @param {readonly T[]} list not empty
   * @returns {T}
   */
  pick(list) {
    return /** @type {T} */ (list[this.dice(list.length)]);
  }

  /**
   * @template T
   * @param {readonly (readonly [number, T])[]} list weights and what they weigh
   * @returns {T}
   */
  weighed(list) {
    let at = this.dice(list.reduce((sum, [weight]) => sum + weight, 0));
    const found = list.find(([weight]) => (at -= weight) < 0);
    return /** @type {readonly [number, T]} */ (found)[1];
  }
}
