// The two parts of the native module that benchmarks need and that are not public: an empty call and the numbers of the refusal
// reasons.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** @type {(folder: string) => { empty(): void, readonly reasonNames: readonly string[] }} */
const load = createRequire(import.meta.url)('node-gyp-build');

/** The file that the package itself has loaded: node-gyp-build respects $RDMAVT_PREBUILD here too. */
export const native = load(fileURLToPath(new URL('../..', import.meta.url)));

/**
 * Returns the number of a refusal reason.
 * @param {import('rdmavt').CheckReason} name
 */
export function reasonNumber(name) {
  return native.reasonNames.indexOf(name);
}
