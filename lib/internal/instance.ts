/**
 * What keeps objects of this package apart. Everything that they have is private, so without an own property any two objects of a
 * class would be deep-equal (`util.isDeepStrictEqual`, `assert.deepStrictEqual`, Jest's `toEqual`), whatever they stand for.
 */
import * as threads from 'node:worker_threads';

/** The own property: a number that no two living objects share. */
export const instance: unique symbol = Symbol('rdmavt.instance');

/** Numbers begin again after this many: they must stay small integers, which need no memory of their own. */
const MOST = 2 ** 30 - 1;
let made = 0;

/** The next number. */
export function nextInstance(): number {
  made = (made + 1) & MOST;
  return made;
}

const { markAsUncloneable } = threads as { markAsUncloneable?: (object: object) => void };

/**
 * Lets `structuredClone` and `postMessage` throw a DataCloneError for the object, where the runtime can be told (Node 22.10 and
 * later): the copy would be an empty object, which has nothing of the one that it was made of.
 */
export function markUncloneable(object: object): void {
  if (markAsUncloneable !== undefined) markAsUncloneable(object);
}
