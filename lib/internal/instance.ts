/**
 * Numbers the objects of this package. All their state is private, so without a distinct own property any two objects of a class
 * would be deep-equal (`util.isDeepStrictEqual`, `assert.deepStrictEqual`, Jest's `toEqual`).
 */
import * as threads from 'node:worker_threads';

/** Key of the own property that holds an object's number. */
export const instance: unique symbol = Symbol('rdmavt.instance');

/** Numbers wrap around here, so that they stay small integers, which V8 stores without an allocation. */
const MOST = 2 ** 30 - 1;
let made = 0;

/** Returns the next object number. */
export function nextInstance(): number {
  made = (made + 1) & MOST;
  return made;
}

const { markAsUncloneable } = threads as { markAsUncloneable?: (object: object) => void };

/**
 * Makes `structuredClone` and `postMessage` throw a DataCloneError for the object, if the runtime supports that (Node 22.10 and
 * later). A clone would be a useless empty object, because all state is private.
 */
export function markUncloneable(object: object): void {
  if (markAsUncloneable !== undefined) markAsUncloneable(object);
}
