// For programs that compile against the declarations with an older TypeScript `lib` setting.
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The symbols of explicit resource management. Early Node 20 lacks them on `Symbol`; the fallbacks are the registered symbols
 * that TypeScript's compiled `using` and later versions of Node use.
 */
const symbols: { dispose?: typeof Symbol.dispose; asyncDispose?: typeof Symbol.asyncDispose } = Symbol;

/** `Symbol.dispose`. */
export const dispose: typeof Symbol.dispose =
  symbols.dispose ?? (Symbol.for('nodejs.dispose') as typeof Symbol.dispose);

/** `Symbol.asyncDispose`. */
export const asyncDispose: typeof Symbol.asyncDispose =
  symbols.asyncDispose ?? (Symbol.for('nodejs.asyncDispose') as typeof Symbol.asyncDispose);
