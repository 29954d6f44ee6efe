/** Passed to the constructors of classes whose objects only this package makes: a program cannot have it. */
export const construction: unique symbol = Symbol('construction');
