/**
 * What the engine brings along, as it was when this module was loaded. A program may replace the methods of built-in prototypes, and would
 * then be handed native objects, or end no loop. What holds native objects, and every loop that must end, goes through here.
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
const { set: weakMapSet } = WeakMap.prototype as WeakMap<object, unknown>;
const { deref } = WeakRef.prototype as WeakRef<object>;

/** A method as a function of its object. */
export function uncurry(method: unknown): (object: unknown) => unknown {
  if (typeof method !== 'function') throw new Error('this engine lacks an intrinsic');
  return (object) => apply(method, object, []) as unknown;
}

/** A getter of an intrinsic prototype as a function of its object. */
export function getter(prototype: object, property: string): (object: unknown) => unknown {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, property);
  return uncurry(descriptor && Reflect.get(descriptor, 'get'));
}

/** `WeakRef`. */
export const PlainWeakRef: typeof WeakRef = WeakRef;
/** `Uint32Array`. */
export const PlainNumbers: typeof Uint32Array = Uint32Array;

/** A list without a prototype: there are no methods to replace, and no indexes to define where its own are missing. */
export function ownList<T>(): T[] {
  return setPrototypeOf([], null) as T[];
}

export function derefOf<T extends object>(reference: WeakRef<T>): T | undefined {
  return apply(deref as () => T | undefined, reference, []);
}

export function keepAliveWith(map: WeakMap<object, unknown>, key: object, value: object): void {
  apply(weakMapSet, map, [key, value]);
}

/** The methods of `Map`. */
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

/** The methods of `Set`. */
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
