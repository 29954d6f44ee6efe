/**
 * Converts memory arguments of the caller to a plain Uint8Array over exactly their bytes.
 *
 * A subclass of a typed array can override `buffer`, `byteOffset` and `length`, and a Proxy can return anything. So this module
 * reads no property of the object itself. It uses the engine's brand checks for the type, and the getters of the intrinsic
 * prototypes, captured at load time, for the place.
 */
import { constants } from 'node:buffer';
import { types } from 'node:util';
import { integer, invalidType, invalidValue, lengthOf, u64 } from './arguments';
import { explainedError, type RdmaError } from './errors';
import { getter, keepAliveWith, PlainNumbers, uncurry } from './intrinsics';
import { type Method } from './methods';
import { type NativeBuffer } from './native';

/** Memory that can be registered, mapped or copied: any view, or a whole buffer. */
export type MemoryLike = ArrayBufferView | ArrayBuffer | SharedArrayBuffer;

const { isAnyArrayBuffer, isArrayBuffer, isDataView, isTypedArray, isUint8Array, isUint32Array } = types;
/** Explicitly typed, so that the published declarations do not depend on the types of Node. */
export const isBigUint64Array: (value: unknown) => value is BigUint64Array = types.isBigUint64Array;
const { apply } = Reflect;
const PlainBytes = Uint8Array;
const PlainWords = BigUint64Array;

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
/** The getters of typed arrays. Called directly instead of through `getter`, so that the engine can inline each of them. */
const getterOf = (property: string): unknown =>
  Reflect.get(Object.getOwnPropertyDescriptor(typedArrayPrototype, property) ?? {}, 'get');
const bufferGetter = getterOf('buffer') as () => ArrayBufferLike;
const byteOffsetGetter = getterOf('byteOffset') as () => number;
const byteLengthGetter = getterOf('byteLength') as () => number;
const lengthGetter = getterOf('length') as () => number;
const ofTypedArray = {
  buffer: (view: unknown): ArrayBufferLike => apply(bufferGetter, view, []),
  byteOffset: (view: unknown): number => apply(byteOffsetGetter, view, []),
  byteLength: (view: unknown): number => apply(byteLengthGetter, view, []),
  length: (view: unknown): number => apply(lengthGetter, view, []),
};
const ofDataView = {
  buffer: getter(DataView.prototype, 'buffer') as (view: unknown) => ArrayBufferLike,
  byteOffset: getter(DataView.prototype, 'byteOffset') as (view: unknown) => number,
  byteLength: getter(DataView.prototype, 'byteLength') as (view: unknown) => number,
};
const lengthOfBuffer = getter(ArrayBuffer.prototype, 'byteLength') as (buffer: unknown) => number;
const lengthOfShared = getter(SharedArrayBuffer.prototype, 'byteLength') as (buffer: unknown) => number;
/** Missing in engines without resizable buffers. */
const isResizable =
  Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'resizable') === undefined
    ? undefined
    : getter(ArrayBuffer.prototype, 'resizable');
/** Throws for a view that is detached or out of its buffer's bounds, for which `byteLength` just returns 0. */
const validate = uncurry(Reflect.get(typedArrayPrototype, 'keys'));

/** A buffer and the range of bytes in it that a memory argument names. */
export interface Place {
  buffer: ArrayBufferLike;
  byteOffset: number;
  byteLength: number;
}

function placeOf(memory: object): Place | undefined {
  if (isTypedArray(memory)) {
    const byteLength = ofTypedArray.byteLength(memory);
    if (byteLength === 0) validate(memory);
    return { buffer: ofTypedArray.buffer(memory), byteOffset: ofTypedArray.byteOffset(memory), byteLength };
  }
  if (isDataView(memory)) {
    return {
      buffer: ofDataView.buffer(memory),
      byteOffset: ofDataView.byteOffset(memory),
      byteLength: ofDataView.byteLength(memory),
    };
  }
  if (isAnyArrayBuffer(memory)) {
    const byteLength = isArrayBuffer(memory) ? lengthOfBuffer(memory) : lengthOfShared(memory);
    return { buffer: memory, byteOffset: 0, byteLength };
  }
  return undefined;
}

function invalidMemory(name: string, value: unknown): TypeError {
  return invalidType(
    name,
    'an instance of Buffer, TypedArray, DataView, ArrayBuffer or SharedArrayBuffer',
    value,
  );
}

const MOST_BYTES: number = constants.MAX_LENGTH;

/** Returns the buffer of any view, even of a detached or out-of-bounds one. */
function bufferOf(memory: object): ArrayBufferLike {
  if (isTypedArray(memory)) return ofTypedArray.buffer(memory);
  return isDataView(memory) ? ofDataView.buffer(memory) : (memory as ArrayBufferLike);
}

function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    new PlainBytes(buffer, 0, 0); // an empty view throws only for a detached buffer
    return false;
  } catch {
    return true;
  }
}

/**
 * Creates the error for memory that no view could be created of.
 *
 * @param byteLength - length of the memory in bytes, if known
 */
function unusableMemory(
  method: Method,
  memory: object,
  name: string,
  byteLength: number | undefined,
): RdmaError {
  if (byteLength !== undefined && byteLength > MOST_BYTES) {
    return explainedError(method, 'EINVAL', 'ViewTooLong', {
      argument: name,
      value: BigInt(byteLength),
      limit: BigInt(MOST_BYTES),
    });
  }
  const cause = isDetached(bufferOf(memory)) ? 'MemoryDetached' : 'ViewOutOfBounds';
  return explainedError(method, 'EINVAL', cause, { argument: name });
}

/**
 * Returns a new view of the bytes of `memory`, which the program has no reference to.
 *
 * @param method - the method that the program called, for the error
 * @param name - name of the argument, for the error
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`): not memory; RdmaError `EINVAL`: detached, a view out of bounds, or more bytes than
 *   the engine allows in a view
 */
export function bytesOf(method: Method, memory: unknown, name: string): Uint8Array {
  if (typeof memory !== 'object' || memory === null) throw invalidMemory(name, memory);
  let place: Place | undefined;
  try {
    place = placeOf(memory);
    if (place) return new PlainBytes(place.buffer, place.byteOffset, place.byteLength);
  } catch {
    // Thrown by a getter of a detached or out-of-bounds view, or by the constructor over a detached or too long buffer.
    throw unusableMemory(method, memory, name, place?.byteLength);
  }
  throw invalidMemory(name, memory);
}

/**
 * Returns the length of a typed array in bytes; 0 if it is detached, out of bounds or not a typed array. With the next two functions,
 * for calls that are too frequent for {@link placeOfMemory}, which takes the other cases.
 */
export function typedByteLengthOf(memory: unknown): number {
  return isTypedArray(memory) ? byteLengthOfTyped(memory) : 0;
}

/** As {@link typedByteLengthOf}, for a value that is a typed array for sure. */
export function byteLengthOfTyped(memory: unknown): number {
  return apply(byteLengthGetter, memory, []);
}

/** Returns the buffer of a typed array. */
export function typedBufferOf(memory: unknown): ArrayBufferLike {
  return apply(bufferGetter, memory, []);
}

/** Returns the offset of a typed array in its buffer. */
export function typedByteOffsetOf(memory: unknown): number {
  return apply(byteOffsetGetter, memory, []);
}

/**
 * Returns where the bytes of `memory` lie, without creating a view.
 *
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`): not memory; RdmaError `EINVAL`: empty, detached, or a view out of bounds
 */
export function placeOfMemory(method: Method, memory: unknown, name: string): Place {
  if (typeof memory !== 'object' || memory === null) throw invalidMemory(name, memory);
  let place: Place | undefined;
  try {
    place = placeOf(memory);
  } catch {
    throw unusableMemory(method, memory, name, undefined); // thrown by a getter of a detached or out-of-bounds view
  }
  if (place === undefined) throw invalidMemory(name, memory);
  if (place.byteLength === 0) {
    if (isDetached(place.buffer)) throw unusableMemory(method, memory, name, undefined);
    throw explainedError(method, 'EINVAL', 'EmptyMemory', { argument: name });
  }
  return place;
}

/**
 * Returns a view of a range of a buffer.
 *
 * @throws RdmaError `EINVAL`: the range is not inside the buffer, or has more bytes than the engine allows in a view
 */
export function bytesAt(
  method: Method,
  buffer: ArrayBufferLike,
  byteOffset: number,
  byteLength: number,
  name: string,
): Uint8Array {
  try {
    return new PlainBytes(buffer, byteOffset, byteLength);
  } catch {
    throw unusableMemory(method, buffer, name, byteLength);
  }
}

/** Returns the present length of a buffer in bytes; 0 if it is detached. */
export function lengthOfBufferNow(buffer: ArrayBufferLike): number {
  return isArrayBuffer(buffer) ? lengthOfBuffer(buffer) : lengthOfShared(buffer);
}

/** Returns whether the length of a buffer can fall below its present one without the buffer being detached. */
export function canShrink(buffer: ArrayBufferLike): boolean {
  return isResizable !== undefined && isArrayBuffer(buffer) && isResizable(buffer) === true;
}

/**
 * As {@link bytesOf}, for bytes that the native module validates: returns a Uint8Array or Buffer unchanged, even a detached one.
 */
export function registrableBytesOf(method: Method, memory: unknown, name: string): Uint8Array {
  return isUint8Array(memory) ? memory : bytesOf(method, memory, name);
}

/** Throws if a view that the native module found empty is detached or out of bounds. */
export function throwIfDetached(method: Method, bytes: Uint8Array, name: string): void {
  if (ofTypedArray.byteLength(bytes) === 0) bytesOf(method, bytes, name);
}

/** As {@link bytesOf}, for bytes that are used only during the call: returns a non-empty Uint8Array or Buffer unchanged. */
export function transientBytesOf(method: Method, memory: unknown, name: string): Uint8Array {
  if (isUint8Array(memory) && ofTypedArray.byteLength(memory) > 0) return memory;
  return bytesOf(method, memory, name);
}

/** Returns the length in bytes of a view that {@link transientBytesOf} returned. */
export function byteLengthOf(bytes: Uint8Array): number {
  return ofTypedArray.byteLength(bytes);
}

const handles = new WeakMap<ArrayBufferLike, NativeBuffer>();

/** Keeps the native handle of a buffer that the native module created alive as long as the buffer. */
export function adoptBuffer(buffer: ArrayBuffer, handle: NativeBuffer): void {
  keepAliveWith(handles, buffer, handle);
}

/** Returns the number of elements of a typed array, with the captured getter: a replaced one could keep a loop from ending. */
export function elementCountOf(view: Uint32Array | BigUint64Array | Float64Array): number {
  return ofTypedArray.length(view);
}

/** Returns a view of the first `length` bytes. */
export function firstBytes(bytes: Uint8Array, length: number): Uint8Array {
  if (byteLengthOf(bytes) === length) return bytes;
  return new PlainBytes(ofTypedArray.buffer(bytes), ofTypedArray.byteOffset(bytes), length);
}

/**
 * Validates a list of 64-bit numbers: a BigUint64Array, or an array of bigints or safe integers.
 *
 * @throws TypeError, RangeError; RdmaError `EINVAL`: the BigUint64Array is detached or out of bounds
 */
export function u64List(method: Method, list: unknown, name: string): BigUint64Array {
  if (isBigUint64Array(list)) {
    try {
      if (ofTypedArray.length(list) === 0) validate(list);
    } catch {
      throw unusableMemory(method, list, name, undefined);
    }
    return list; // shared memory is allowed: the native module works on its own copy
  }
  if (!Array.isArray(list)) throw invalidType(name, 'an instance of BigUint64Array or Array', list);
  return u64Words(lengthOf(list, name), 1, (words, at) => {
    words[at] = u64(list[at], `${name}[${at}]`);
  });
}

/** Number of list elements for which {@link u64Words} allocates memory at first. */
const FIRST_WORDS = 1 << 16;

/**
 * Returns `count` elements of `each` 64-bit words, filled one by one. The memory grows with the number of elements that `fill`
 * has validated, so that a sparse list with a huge length cannot cause a huge allocation.
 */
export function u64Words(
  count: number,
  each: number,
  fill: (words: BigUint64Array, index: number) => void,
): BigUint64Array {
  let words = new PlainWords(Math.min(count * each, FIRST_WORDS * each));
  let room = elementCountOf(words);
  for (let i = 0; i < count; i++) {
    if (i * each >= room) {
      const more = new PlainWords(Math.min(room * 2, count * each));
      more.set(words);
      words = more;
      room = elementCountOf(words);
    }
    fill(words, i);
  }
  return words;
}

/** Validates a BigUint64Array of pairs. */
export function u64Pairs(method: Method, list: BigUint64Array, name: string): BigUint64Array {
  const pairs = u64List(method, list, name);
  if (ofTypedArray.length(pairs) % 2) {
    throw invalidValue(
      name,
      'must hold an address and a length for each element (an even number of values)',
      list,
    );
  }
  return pairs;
}

/**
 * Copies numbers to a Uint32Array. `Uint32Array.from` would use the array iterator, which a program may have replaced with one
 * that never ends.
 *
 * @param numbers - each in 0..2^32-1
 */
export function u32Words(numbers: readonly number[]): Uint32Array {
  const words = new PlainNumbers(numbers.length);
  for (let i = 0; i < numbers.length; i++) words[i] = numbers[i] ?? 0;
  return words;
}

/** Returns a copy of a Uint32Array of at most `most` numbers; undefined if `list` is not a Uint32Array. */
export function u32Copy(method: Method, list: unknown, name: string, most: number): Uint32Array | undefined {
  if (!isUint32Array(list)) return undefined;
  integer(ofTypedArray.length(list), `${name}.length`, 0, most);
  try {
    return new PlainNumbers(list);
  } catch {
    throw unusableMemory(method, list, name, undefined); // detached or out of bounds
  }
}
