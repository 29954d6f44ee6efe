// The two things of the native module that are not public: an empty call, the least that crossing costs, and the numbers of the reasons.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** @type {(folder: string) => { empty(): void, readonly reasonNames: readonly string[] }} */
const load = createRequire(import.meta.url)('node-gyp-build');

/** The same that the package has loaded: node-gyp-build heeds $RDMAVT_PREBUILD too. */
export const native = load(fileURLToPath(new URL('../..', import.meta.url)));

/**
 * @param {import('rdmavt').CheckReason} name
 */
export function reasonNumber(name) {
  return native.reasonNames.indexOf(name);
}
