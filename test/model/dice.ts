/**
 * Choices out of a list of numbers that fast-check made. When the numbers are used up every roll is 0, and 0 always makes
 * the simplest choice, the first one: so shorter lists and smaller numbers mean simpler operations, which is all that
 * shrinking needs.
 */
export class Dice {
  #next = 0;

  constructor(private readonly rolls: readonly number[]) {}

  /** 0 .. 2^32 - 1 */
  roll(): number {
    return this.rolls[this.#next++] ?? 0;
  }

  /** 0 .. n - 1 */
  below(n: number): number {
    return this.roll() % n;
  }

  /** 0n .. n - 1n */
  belowBig(n: bigint): bigint {
    return ((BigInt(this.roll()) << 32n) | BigInt(this.roll())) % n;
  }

  /** 0 .. n - 1, as an amount of bytes or an address offset. */
  bytes(n: number): bigint {
    return BigInt(this.below(n));
  }

  /** True once in `n`, and never on a roll of 0. */
  rarely(n: number): boolean {
    return this.below(n) === n - 1;
  }

  pick<T>(first: T, ...others: readonly T[]): T {
    const index = this.below(others.length + 1);
    return index === 0 ? first : (others[index - 1] ?? first);
  }

  /** The newest one on a roll of 0. */
  recent<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : list[list.length - 1 - this.below(list.length)];
  }

  /** Several ways to get a value, each as often as its weight says; only the one that is chosen is tried. */
  choose<T>(...options: readonly [weight: number, make: () => T][]): T {
    let left = this.below(options.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, make] of options) {
      if (left < weight) return make();
      left -= weight;
    }
    throw new Error('no option to choose');
  }
}
