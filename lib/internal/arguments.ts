/**
 * Checks of arguments that may be anything at all. They never convert an object (no `valueOf`, no `toString`), so no code
 * of the caller runs in them; the messages and codes are Node's own.
 */
import { inspect, types } from 'node:util';
import { ownList } from './intrinsics';

// As they were when this module was loaded. A program may replace them, and then the loop of `plainProperty` might never end.
const { getOwnPropertyDescriptor, getPrototypeOf } = Object;
const { isProxy } = types;

const U32_MAX = 0xffffffff;
const U64_MAX = 0xffffffffffffffffn;
/** The largest bigint that a message shows. */
const LONGEST = 2n ** 256n;

interface CodedError extends Error {
  code: string;
}

function addCode<T extends Error>(error: T, code: string): T & CodedError {
  return Object.assign(error, { code });
}

/** What was received, in Node's words. */
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
 * A property as it was defined, without running anybody's code: no getter, and nothing of a Proxy, which could end the process
 * before an error is thrown.
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

/** Text of the caller's, in a message. */
function shorten(text: string): string {
  return text.length > 128 ? `${text.slice(0, 128)}...` : text;
}

function nameSubject(name: string): string {
  return `The "${name}" ${name.includes('.') ? 'property' : 'argument'}`;
}

/** The TypeError for a value of the wrong type. */
export function invalidType(name: string, expected: string, value: unknown): TypeError {
  return addCode(
    new TypeError(`${nameSubject(name)} must be ${expected}.${describeReceived(value)}`),
    'ERR_INVALID_ARG_TYPE',
  );
}

/** The TypeError for a value of the right type that means nothing. */
export function invalidValue(name: string, explanation: string, value: unknown): TypeError {
  const text = inspectBriefly(value);
  return addCode(
    new TypeError(
      `The ${name.includes('.') ? 'property' : 'argument'} '${name}' ${explanation}. Received ${shorten(text)}`,
    ),
    'ERR_INVALID_ARG_VALUE',
  );
}

/** The TypeError for a property that the function does not know. Its value is not shown: reading it could run a getter. */
export function unknownProperty(name: string, explanation: string): TypeError {
  return addCode(new TypeError(`The property '${name}' ${explanation}`), 'ERR_INVALID_ARG_VALUE');
}

/** Primitive values as they are written; of an object only what it is, since `inspect` would call what it brings along. */
function inspectBriefly(value: unknown): string {
  if (typeof value === 'object' && value !== null) {
    const name = constructorName(value);
    return name ? `an instance of ${name}` : 'an object';
  }
  // A text that nobody would read to its end takes long to be made: of a bigint its digits squared.
  if (typeof value === 'bigint' && isLong(value)) {
    return `a bigint ${value < 0n ? 'below -(2n ** 256n)' : 'above 2n ** 256n'}`;
  }
  return inspect(typeof value === 'string' ? shorten(value) : value, { colors: false });
}

function isLong(value: bigint): boolean {
  return value > LONGEST || value < -LONGEST;
}

/** The RangeError for a number that does not fit. */
export function outOfRange(name: string, range: string, value: number | bigint): RangeError {
  return addCode(
    new RangeError(
      `The value of "${name}" is out of range. It must be ${range}. Received ${separateThousands(value)}`,
    ),
    'ERR_OUT_OF_RANGE',
  );
}

/** `5_000_000_000n`, as Node writes big numbers in messages. */
function separateThousands(value: number | bigint): string {
  if (typeof value === 'number' && (!Number.isInteger(value) || Math.abs(value) <= 2 ** 32))
    return String(value);
  if (typeof value === 'bigint' && isLong(value)) return inspectBriefly(value);
  return String(value).replace(/\B(?=(\d{3})+$)/g, '_') + (typeof value === 'bigint' ? 'n' : '');
}

/** An integer in [low, high]. */
export function integer(value: unknown, name: string, low: number, high: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < low || value > high) throw outOfRange(name, `>= ${low} && <= ${high}`, value);
  // -0 is 0.
  return value + 0;
}

/** 0..255. */
export function u8(value: unknown, name: string): number {
  return integer(value, name, 0, 0xff);
}

/** 0..2^32-1. */
export function u32(value: unknown, name: string): number {
  return integer(value, name, 0, U32_MAX);
}

/** A length or position in a buffer: 0..2^53-1. */
export function size(value: unknown, name: string): number {
  return integer(value, name, 0, Number.MAX_SAFE_INTEGER);
}

/** Any integer that a number holds exactly. */
export function safeInteger(value: unknown, name: string): number {
  return integer(value, name, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
}

/** An unsigned 64-bit number: a bigint, or a safe integer where that is enough. */
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

/** One of a few strings. */
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

/** What is known of an object whose properties may be anything. */
export type Unchecked<T> = Readonly<Partial<Record<keyof T, unknown>>>;

/** An object to take properties from; each must be read once only, because a getter may do anything. */
export function propertiesOf<T>(value: unknown, name: string): Unchecked<T> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidType(name, 'of type object', value);
  }
  return value as Unchecked<T>;
}

/** The length of what passes for an array: a Proxy may say anything. */
export function lengthOf(list: readonly unknown[], name: string, most: number = U32_MAX): number {
  return integer(list.length, `${name}.length`, 0, most);
}

/**
 * The elements of an array, each read once and judged before the next one is read: an array that is nothing but a length
 * must not be copied. The list that is returned has no methods.
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

/** The TypeError for `new` on a class whose objects other objects make. */
export function illegalConstructor(): TypeError {
  return addCode(new TypeError('Illegal constructor'), 'ERR_ILLEGAL_CONSTRUCTOR');
}
