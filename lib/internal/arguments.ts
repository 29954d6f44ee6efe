/**
 * Validates arguments of any type. The functions never convert an object (no `valueOf`, no `toString`), so they run no code of
 * the caller. Messages and codes are the same as Node's.
 */
import { inspect, types } from 'node:util';
import { ownList } from './intrinsics';

// Captured at load time: a program may replace these functions, and the loop in `plainProperty` might then never end.
const { getOwnPropertyDescriptor, getPrototypeOf } = Object;
const { isProxy } = types;

const U32_MAX = 0xffffffff;
const U64_MAX = 0xffffffffffffffffn;
/** The largest bigint that a message shows in digits. */
const LONGEST = 2n ** 256n;

interface CodedError extends Error {
  code: string;
}

function addCode<T extends Error>(error: T, code: string): T & CodedError {
  return Object.assign(error, { code });
}

/** Describes a received value in the wording of Node's errors. */
function describeReceived(value: unknown): string {
  if (value === null || value === undefined) return ` Received ${value}`;
  if (typeof value === 'function') return ` Received function ${ownName(value)}`;
  if (typeof value === 'object') {
    const name = constructorName(value);
    return name ? ` Received an instance of ${name}` : ' Received an object';
  }
  let text = inspectBriefly(value);
  if (text.length > 28) text = `${text.slice(0, 25)}...`;
  return ` Received type ${typeof value} (${text})`;
}

/**
 * Returns the value of a data property without running code of the caller: calls no getter and does not touch a Proxy, whose
 * traps could run arbitrary code before the error is thrown.
 */
function plainProperty(object: object, property: string): unknown {
  for (let at: object | null = object; at !== null && !isProxy(at);) {
    const descriptor = getOwnPropertyDescriptor(at, property);
    if (descriptor) return descriptor.value;
    at = getPrototypeOf(at) as object | null;
  }
  return undefined;
}

function ownName(value: object): string {
  const name = plainProperty(value, 'name');
  return typeof name === 'string' ? shorten(name) : '';
}

function constructorName(value: object): string {
  const constructor = plainProperty(value, 'constructor');
  return typeof constructor === 'function' ? ownName(constructor) : '';
}

/** Cuts a text of the caller to the length that a message may show. */
function shorten(text: string): string {
  return text.length > 128 ? `${text.slice(0, 128)}...` : text;
}

function nameSubject(name: string): string {
  return `The "${name}" ${name.includes('.') ? 'property' : 'argument'}`;
}

/** Creates the TypeError for a value of the wrong type. */
export function invalidType(name: string, expected: string, value: unknown): TypeError {
  return addCode(
    new TypeError(`${nameSubject(name)} must be ${expected}.${describeReceived(value)}`),
    'ERR_INVALID_ARG_TYPE',
  );
}

/** Creates the TypeError for a value of the right type that is not valid. */
export function invalidValue(name: string, explanation: string, value: unknown): TypeError {
  const text = inspectBriefly(value);
  return addCode(
    new TypeError(
      `The ${name.includes('.') ? 'property' : 'argument'} '${name}' ${explanation}. Received ${shorten(text)}`,
    ),
    'ERR_INVALID_ARG_VALUE',
  );
}

/** Creates the TypeError for an unknown property. The message does not show its value: reading it could run a getter. */
export function unknownProperty(name: string, explanation: string): TypeError {
  return addCode(new TypeError(`The property '${name}' ${explanation}`), 'ERR_INVALID_ARG_VALUE');
}

/** Formats a primitive value; for an object only its class, because `inspect` would call methods of the object. */
function inspectBriefly(value: unknown): string {
  if (typeof value === 'object' && value !== null) {
    const name = constructorName(value);
    return name ? `an instance of ${name}` : 'an object';
  }
  // Converting a bigint to text takes time quadratic in its digits.
  if (typeof value === 'bigint' && isLong(value)) {
    return `a bigint ${value < 0n ? 'below -(2n ** 256n)' : 'above 2n ** 256n'}`;
  }
  return inspect(typeof value === 'string' ? shorten(value) : value, { colors: false });
}

function isLong(value: bigint): boolean {
  return value > LONGEST || value < -LONGEST;
}

/** Creates the TypeError for a call that the object's present state does not allow. */
export function invalidState(explanation: string): TypeError {
  return addCode(new TypeError(`Invalid state: ${explanation}`), 'ERR_INVALID_STATE');
}

/** Creates the RangeError for a number out of range. */
export function outOfRange(name: string, range: string, value: number | bigint): RangeError {
  return addCode(
    new RangeError(
      `The value of "${name}" is out of range. It must be ${range}. Received ${separateThousands(value)}`,
    ),
    'ERR_OUT_OF_RANGE',
  );
}

/** Formats a number like Node's messages: `5_000_000_000n`. */
function separateThousands(value: number | bigint): string {
  if (typeof value === 'number' && (!Number.isInteger(value) || Math.abs(value) <= 2 ** 32))
    return String(value);
  if (typeof value === 'bigint' && isLong(value)) return inspectBriefly(value);
  return String(value).replace(/\B(?=(\d{3})+$)/g, '_') + (typeof value === 'bigint' ? 'n' : '');
}

/** Returns the value if it is an integer in [low, high]; throws otherwise. */
export function integer(value: unknown, name: string, low: number, high: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < low || value > high) throw outOfRange(name, `>= ${low} && <= ${high}`, value);
  // Turns -0 into 0.
  return value + 0;
}

/** Returns the value if it is an integer in 0..255; throws otherwise. */
export function u8(value: unknown, name: string): number {
  return integer(value, name, 0, 0xff);
}

/** Returns the value if it is an integer in 0..2^32-1; throws otherwise. */
export function u32(value: unknown, name: string): number {
  return integer(value, name, 0, U32_MAX);
}

/** Returns the value if it is a valid length or position in a buffer, an integer in 0..2^53-1; throws otherwise. */
export function size(value: unknown, name: string): number {
  return integer(value, name, 0, Number.MAX_SAFE_INTEGER);
}

/** Returns the value if it is a safe integer; throws otherwise. */
export function safeInteger(value: unknown, name: string): number {
  return integer(value, name, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
}

/** Returns an unsigned 64-bit integer, given as a bigint or a safe integer, as a bigint; throws for any other value. */
export function u64(value: unknown, name: string): bigint {
  if (typeof value === 'bigint') {
    if (value < 0n || value > U64_MAX) throw outOfRange(name, '>= 0n && < 2n ** 64n', value);
    return value;
  }
  if (typeof value !== 'number') throw invalidType(name, 'of type bigint or number', value);
  return BigInt(size(value, name));
}

export function boolean(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw invalidType(name, 'of type boolean', value);
  return value;
}

/** Returns the value if it is one of the given strings; throws otherwise. */
export function oneOf<T extends string>(value: unknown, name: string, choices: readonly T[]): T {
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value);
  let list = '';
  for (let i = 0; i < choices.length; i++) {
    const choice = choices[i];
    if (choice === value) return choice;
    list += `${i === 0 ? '' : ', '}'${choice ?? ''}'`;
  }
  throw invalidValue(name, `must be one of: ${list}`, value);
}

/** An object of type `T` whose properties have not been validated. */
export type Unchecked<T> = Readonly<Partial<Record<keyof T, unknown>>>;

/**
 * Returns the value if it is an object; throws otherwise. The caller must read each property only once, because a getter may
 * return different values.
 */
export function propertiesOf<T>(value: unknown, name: string): Unchecked<T> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidType(name, 'of type object', value);
  }
  return value as Unchecked<T>;
}

/** Returns the length of an array; throws if it is above `most`. The length is checked because a Proxy may report any value. */
export function lengthOf(list: readonly unknown[], name: string, most: number = U32_MAX): number {
  return integer(list.length, `${name}.length`, 0, most);
}

/**
 * Returns the validated elements of an array. Reads each element once and validates it before reading the next, so that a sparse
 * array with a huge length is rejected at its first hole. The returned list has no prototype, hence no methods.
 */
export function elements<T>(
  value: unknown,
  name: string,
  judge: (element: unknown, name: string) => T,
  most?: number,
): T[] {
  if (!Array.isArray(value)) throw invalidType(name, 'an instance of Array', value);
  const list = ownList<T>();
  const length = lengthOf(value, name, most);
  for (let i = 0; i < length; i++) list[i] = judge(value[i], `${name}[${i}]`);
  return list;
}

/** Creates the TypeError for `new` on a class whose objects only this package creates. */
export function illegalConstructor(): TypeError {
  return addCode(new TypeError('Illegal constructor'), 'ERR_ILLEGAL_CONSTRUCTOR');
}
