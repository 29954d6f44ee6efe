/** Symbol that the constructors reserved for this package require as an argument. A program cannot obtain it. */
export const construction: unique symbol = Symbol('construction');
