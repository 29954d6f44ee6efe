/**
 * Memory that a caller hands over, as a plain Uint8Array over exactly its bytes.
 *
 * A subclass of a typed array can overwrite `buffer`, `byteOffset` and `length`, and a Proxy can answer anything. So nothing
 * is asked of the object itself: its kind is told by the engine's own brand checks, its place by the getters of the
 * intrinsic prototypes as they were when this module was loaded.
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
/** Its type is written out, so that the declarations do not ask for the types of Node. */
export const isBigUint64Array: (value: unknown) => value is BigUint64Array = types.isBigUint64Array;
const { apply } = Reflect;
const PlainBytes = Uint8Array;
const PlainWords = BigUint64Array;

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
/** The getter of `length`. Called by a function of its own, so that the engine can inline it: some calls are short. */
const lengthGetter: unknown = Reflect.get(
  Object.getOwnPropertyDescriptor(typedArrayPrototype, 'length') ?? {},
  'get',
);
const ofTypedArray = {
  buffer: getter(typedArrayPrototype, 'buffer') as (view: unknown) => ArrayBufferLike,
  byteOffset: getter(typedArrayPrototype, 'byteOffset') as (view: unknown) => number,
  byteLength: getter(typedArrayPrototype, 'byteLength') as (view: unknown) => number,
  length: (view: unknown): number => apply(lengthGetter as () => number, view, []),
};
const ofDataView = {
  buffer: getter(DataView.prototype, 'buffer') as (view: unknown) => ArrayBufferLike,
  byteOffset: getter(DataView.prototype, 'byteOffset') as (view: unknown) => number,
  byteLength: getter(DataView.prototype, 'byteLength') as (view: unknown) => number,
};
const lengthOfBuffer = getter(ArrayBuffer.prototype, 'byteLength') as (buffer: unknown) => number;
const lengthOfShared = getter(SharedArrayBuffer.prototype, 'byteLength') as (buffer: unknown) => number;
/** Throws for a view that is detached or out of its buffer's bounds; `byteLength` is a silent 0 then. */
const validate = uncurry(Reflect.get(typedArrayPrototype, 'keys'));

interface Place {
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

/** The buffer of any view, also one that is detached or out of bounds. */
function bufferOf(memory: object): ArrayBufferLike {
  if (isTypedArray(memory)) return ofTypedArray.buffer(memory);
  return isDataView(memory) ? ofDataView.buffer(memory) : (memory as ArrayBufferLike);
}

function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    new PlainBytes(buffer, 0, 0); // the one thing that is always allowed, unless there is no memory at all
    return false;
  } catch {
    return true;
  }
}

/**
 * Why there is no view of `memory`.
 *
 * @param byteLength - its length, if it is known
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
 * The bytes of `memory`, through a view that nobody else has.
 *
 * @param method - for the error
 * @param name - of the argument, for the error
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`): not memory; RdmaError `EINVAL`: detached, a view out of bounds, or more bytes than
 *   the engine allows a view
 */
export function bytesOf(method: Method, memory: unknown, name: string): Uint8Array {
  if (typeof memory !== 'object' || memory === null) throw invalidMemory(name, memory);
  let place: Place | undefined;
  try {
    place = placeOf(memory);
    if (place) return new PlainBytes(place.buffer, place.byteOffset, place.byteLength);
  } catch {
    // The getters of a detached or out-of-bounds view; the constructor over a detached buffer, or one that is too long.
    throw unusableMemory(method, memory, name, place?.byteLength);
  }
  throw invalidMemory(name, memory);
}

/** As {@link bytesOf}, for bytes that the native module examines itself: passes a Uint8Array or Buffer on as it is, even a detached one. */
export function registrableBytesOf(method: Method, memory: unknown, name: string): Uint8Array {
  return isUint8Array(memory) ? memory : bytesOf(method, memory, name);
}

/** Throws if a view that the native module found empty has lost its memory. */
export function throwIfDetached(method: Method, bytes: Uint8Array, name: string): void {
  if (ofTypedArray.byteLength(bytes) === 0) bytesOf(method, bytes, name);
}

/** As {@link bytesOf}, for bytes that only this call uses: passes a Uint8Array or Buffer that is not empty on as it is. */
export function transientBytesOf(method: Method, memory: unknown, name: string): Uint8Array {
  if (isUint8Array(memory) && ofTypedArray.byteLength(memory) > 0) return memory;
  return bytesOf(method, memory, name);
}

/** Length in bytes of what {@link transientBytesOf} gave. */
export function byteLengthOf(bytes: Uint8Array): number {
  return ofTypedArray.byteLength(bytes);
}

const handles = new WeakMap<ArrayBufferLike, NativeBuffer>();

/** Keeps the native handle of a buffer that the native module has made alive as long as the buffer. */
export function adoptBuffer(buffer: ArrayBuffer, handle: NativeBuffer): void {
  keepAliveWith(handles, buffer, handle);
}

/** Number of elements of a typed array; loops over one must end, even if a program has replaced the getter of `length`. */
export function elementCountOf(view: Uint32Array | BigUint64Array | Float64Array): number {
  return ofTypedArray.length(view);
}

/** The first `length` bytes. */
export function firstBytes(bytes: Uint8Array, length: number): Uint8Array {
  if (byteLengthOf(bytes) === length) return bytes;
  return new PlainBytes(ofTypedArray.buffer(bytes), ofTypedArray.byteOffset(bytes), length);
}

/**
 * A list of 64-bit numbers: a BigUint64Array, or an array of bigints (or safe integers).
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
    return list; // the native module takes its own copy, so shared memory is no matter
  }
  if (!Array.isArray(list)) throw invalidType(name, 'an instance of BigUint64Array or Array', list);
  return u64Words(lengthOf(list, name), 1, (words, at) => {
    words[at] = u64(list[at], `${name}[${at}]`);
  });
}

/** Words to begin with; a list of that many has been judged before more are asked for. */
const FIRST_WORDS = 1 << 16;

/**
 * `count` elements of `each` words, filled one by one. The memory grows with what was judged: a list that is nothing but a
 * length gets little.
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

/** A BigUint64Array that holds pairs. */
export function u64Pairs(method: Method, list: BigUint64Array, name: string): BigUint64Array {
  const pairs = u64List(method, list, name);
  if (ofTypedArray.length(pairs) % 2) {
    throw invalidValue(name, 'must hold an address and a length for each element', list);
  }
  return pairs;
}

/**
 * The numbers as a Uint32Array. `Uint32Array.from` would ask the iterator of arrays, which a program may have replaced by one that
 * never ends.
 *
 * @param numbers - each in 0..2^32-1
 */
export function u32Words(numbers: readonly number[]): Uint32Array {
  const words = new PlainNumbers(numbers.length);
  for (let i = 0; i < numbers.length; i++) words[i] = numbers[i] ?? 0;
  return words;
}

/** A copy of a Uint32Array of at most `most` numbers, or undefined for anything else. */
export function u32Copy(method: Method, list: unknown, name: string, most: number): Uint32Array | undefined {
  if (!isUint32Array(list)) return undefined;
  integer(ofTypedArray.length(list), `${name}.length`, 0, most);
  try {
    return new PlainNumbers(list);
  } catch {
    throw unusableMemory(method, list, name, undefined); // detached or out of bounds
  }
}
