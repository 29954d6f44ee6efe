/**
 * Built-in methods and constructors, captured at load time. A program may replace methods of built-in prototypes; its replacement
 * could obtain native objects or keep a loop from ending. Code that stores native objects or relies on a loop's end uses these.
 */
/* eslint-disable @typescript-eslint/unbound-method -- called by `apply` only */
const { apply } = Reflect;
const { setPrototypeOf } = Object;
const { add, clear, delete: remove, forEach } = Set.prototype as Set<unknown>;
const {
  get: mapGet,
  set: mapSet,
  delete: mapDelete,
  forEach: mapForEach,
} = Map.prototype as Map<unknown, unknown>;
const { get: weakMapGet, set: weakMapSet } = WeakMap.prototype as WeakMap<object, unknown>;
const { deref } = WeakRef.prototype as WeakRef<object>;
const { load, store } = Atomics;

/** Returns a function that calls a method on its argument. */
export function uncurry(method: unknown): (object: unknown) => unknown {
  if (typeof method !== 'function') throw new Error('this engine lacks an intrinsic');
  return (object) => apply(method, object, []) as unknown;
}

/** Returns a function that calls a getter of an intrinsic prototype on its argument. */
export function getter(prototype: object, property: string): (object: unknown) => unknown {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, property);
  return uncurry(descriptor && Reflect.get(descriptor, 'get'));
}

/** `WeakRef`, as captured at load time. */
export const PlainWeakRef: typeof WeakRef = WeakRef;
/** `Uint32Array`, as captured at load time. */
export const PlainNumbers: typeof Uint32Array = Uint32Array;
/** `Uint8Array`, as captured at load time. */
export const PlainBytes: typeof Uint8Array = Uint8Array;

/** `Atomics.load` and `Atomics.store`, as captured at load time. */
export const atomicLoad: (array: Int32Array, index: number) => number = load;
export const atomicStore: (array: Int32Array, index: number, value: number) => number = store;

/** Returns a list without a prototype, so that a program cannot affect it by changing `Array.prototype`. */
export function ownList<T>(): T[] {
  return setPrototypeOf([], null) as T[];
}

export function derefOf<T extends object>(reference: WeakRef<T>): T | undefined {
  return apply(deref as () => T | undefined, reference, []);
}

export function keepAliveWith(map: WeakMap<object, unknown>, key: object, value: object): void {
  apply(weakMapSet, map, [key, value]);
}

/** Returns the value of a key in a WeakMap. */
export function weakValueOf<K extends object, V>(map: WeakMap<K, V>, key: K): V | undefined {
  return apply(weakMapGet as (key: K) => V | undefined, map, [key]);
}

/** The captured methods of `Map`, as functions of the map. */
export const mapOf = {
  get: <K, V>(map: Map<K, V>, key: K): V | undefined =>
    apply(mapGet as (key: K) => V | undefined, map, [key]),
  set: <K, V>(map: Map<K, V>, key: K, value: V): void => {
    apply(mapSet, map, [key, value]);
  },
  delete: <K, V>(map: Map<K, V>, key: K): boolean => apply(mapDelete as (key: K) => boolean, map, [key]),
  forEach: <K, V>(map: Map<K, V>, call: (value: V, key: K) => void): void => {
    apply(mapForEach, map, [call]);
  },
};

/** The captured methods of `Set`, as functions of the set. */
export const setOf = {
  add: <T>(set: Set<T>, value: T): void => {
    apply(add, set, [value]);
  },
  delete: <T>(set: Set<T>, value: T): boolean => apply(remove as (value: T) => boolean, set, [value]),
  clear: <T>(set: Set<T>): void => {
    apply(clear, set, []);
  },
  forEach: <T>(set: Set<T>, call: (value: T) => void): void => {
    apply(forEach, set, [call]);
  },
};
