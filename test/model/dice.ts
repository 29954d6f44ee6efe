/**
 * Makes choices from a list of numbers that fast-check generated. When the numbers are used up, every roll is 0, and 0 always
 * makes the first and simplest choice. Shorter lists and smaller numbers therefore mean simpler operations, which makes shrinking
 * effective.
 */
export class Dice {
  #next = 0;

  constructor(private readonly rolls: readonly number[]) {}

  /** Returns a number from 0 to 2^32 - 1. */
  roll(): number {
    return this.rolls[this.#next++] ?? 0;
  }

  /** Returns a number from 0 to n - 1. */
  below(n: number): number {
    return this.roll() % n;
  }

  /** Returns a number from 0n to n - 1n. */
  belowBig(n: bigint): bigint {
    return ((BigInt(this.roll()) << 32n) | BigInt(this.roll())) % n;
  }

  /** Returns a number from 0 to n - 1, as a number of bytes or an address offset. */
  bytes(n: number): bigint {
    return BigInt(this.below(n));
  }

  /** Returns true once in `n` on average, and never on a roll of 0. */
  rarely(n: number): boolean {
    return this.below(n) === n - 1;
  }

  pick<T>(first: T, ...others: readonly T[]): T {
    const index = this.below(others.length + 1);
    return index === 0 ? first : (others[index - 1] ?? first);
  }

  /** Returns an element, the newest on a roll of 0. */
  recent<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : list[list.length - 1 - this.below(list.length)];
  }

  /** Chooses one of several ways to get a value, each as often as its weight says. Only the chosen function is called. */
  choose<T>(...options: readonly [weight: number, make: () => T][]): T {
    let left = this.below(options.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, make] of options) {
      if (left < weight) return make();
      left -= weight;
    }
    throw new Error('no option to choose');
  }
}
