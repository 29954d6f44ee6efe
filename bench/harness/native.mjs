// The two things of the native module that are not public: an empty call, the least that crossing costs, and the numbers of the reasons.
import { createRequire } from 'node:module';

/** @type {{ native: { empty(): void, readonly reasonNames: readonly string[] } }} */
const module = createRequire(import.meta.url)('../../dist/internal/native.js');

export const { native } = module;

/**
 * @param {import('rdmavt').CheckReason} name
 */
export function reasonNumber(name) {
  return native.reasonNames.indexOf(name);
}
