// For those who compile against the declarations with an older `lib`.
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The symbols of explicit resource management. Early Node 20 has none on `Symbol`; the compiled `using` of TypeScript and
 * later versions of Node find the methods under the registered names then.
 */
const symbols: { dispose?: typeof Symbol.dispose; asyncDispose?: typeof Symbol.asyncDispose } = Symbol;

/** `Symbol.dispose`. */
export const dispose: typeof Symbol.dispose =
  symbols.dispose ?? (Symbol.for('nodejs.dispose') as typeof Symbol.dispose);

/** `Symbol.asyncDispose`. */
export const asyncDispose: typeof Symbol.asyncDispose =
  symbols.asyncDispose ?? (Symbol.for('nodejs.asyncDispose') as typeof Symbol.asyncDispose);
