/** Argument of constructors that only this package may call: a program cannot obtain this symbol. */
export const construction: unique symbol = Symbol('construction');
