/** The answers of the trace format: their types, and functions that create them from results of the native module. */
import {
  Cause,
  EACCES,
  EBUSY,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  EPERM,
  FailureNumber,
  SEGSZ,
  SgeField,
} from '../internal/layout';
import { native } from '../internal/native';
import { type Hex, type Id, TraceError } from './trace-format';
import type { EventAnswer, VerbsAnswer } from './verbs/answers';

/** The errors that an answer can name. */
export type Errno = 'EINVAL' | 'ENOMEM' | 'EPERM' | 'EBUSY' | 'EACCES' | 'EOPNOTSUPP';

/** Location of a byte: in a user region an offset from its first byte, in any other region a DMA address. */
export type Location = { byte: number } | { dma: Hex };

/** An accepted element in an answer. */
export interface SgeAnswer {
  mr: Id;
  at: Location;
  length: number;
  sge_length: number;
  m: number;
  n: number;
}

/** A contiguous part of a walk's step. */
export interface Fragment {
  mr: Id;
  at: Location;
  len: number;
}

/** An occupied slot of the key table. */
export interface TableEntry {
  index: number;
  lkey: Hex;
  mr: Id;
}

/** One line of an answers file. */
export type Answer = (MemoryAnswer | VerbsAnswer) & {
  /** What the handlers were told during the operation, in order; absent if there was nothing. */
  events?: EventAnswer[];
};

type MemoryAnswer =
  | { ret: number }
  | { ret: 0; bits: number }
  | { ret: 0; lkey: Hex; rkey: Hex }
  | { ret: number; iova: Hex; length: Hex }
  | { err: Errno; iova: Hex; length: Hex }
  | { ret: 0 | 1; sge: SgeAnswer }
  | { ret: 0; fragments: Fragment[][] }
  | { ret: 0; dma_mr_leaked: boolean }
  | { refs: number }
  | { max: number; next: number; gen: number; used: TableEntry[] }
  | { err: Errno }
  | { skipped: true };

/** The answer to an operation that names an object which does not exist. */
export const SKIPPED: Answer = Object.freeze({ skipped: true });

const errnoNames: ReadonlyMap<number, Errno> = new Map([
  [-EPERM, 'EPERM'],
  [-ENOMEM, 'ENOMEM'],
  [-EACCES, 'EACCES'],
  [-EBUSY, 'EBUSY'],
  [-EINVAL, 'EINVAL'],
  [-EOPNOTSUPP, 'EOPNOTSUPP'],
]);

/**
 * Returns the name of an errno.
 *
 * @param status - negative errno
 * @throws Error if the format has no name for this errno
 */
export function nameErrno(status: number): Errno {
  const name = errnoNames.get(status);
  if (name === undefined)
    throw new Error(`the native module returned ${status}, which the trace format cannot express`);
  return name;
}

/** Creates the answer for a failure. `status` is a negative errno. */
export function answerFailure(status: number): { err: Errno } {
  return { err: nameErrno(status) };
}

const failure = new BigUint64Array(FailureNumber.Numbers);

/**
 * Creates the answer for the failure of the last native call. A limit of the device is an answer; a lack of memory is not.
 *
 * @param status - negative errno
 * @param forWhat - name of the operation, for the message
 * @throws TraceError if there was not enough memory
 */
export function answerFailureOf(status: number, forWhat: string): { err: Errno } {
  native.takeFailure(failure);
  const cause = Number(fieldOf(failure, FailureNumber.Cause));
  if (status === -ENOMEM && cause === (Cause.NoMemory as number))
    throw new TraceError(`${forWhat}: out of memory`);
  return answerFailure(status);
}

/** Creates the answer for a call that returns only a status: 0 or a negative errno. */
export function answerStatus(status: number): Answer {
  return status < 0 ? answerFailure(status) : { ret: 0 };
}

/** Formats an address, a key or a 64-bit length as the trace format requires. */
export function toHex(value: bigint | number): Hex {
  return `0x${value.toString(16)}`;
}

/** Creates a location. `user`: the region is from `reg_user_mr`, and `at` is an offset; otherwise `at` is a DMA address. */
export function locationOf(at: bigint, user: boolean): Location {
  return user ? { byte: Number(at) } : { dma: toHex(at) };
}

/** Describes an element from its {@link SgeField}s. */
export function answerSge(fields: BigUint64Array, region: Id): SgeAnswer {
  const segment = Number(fieldOf(fields, SgeField.Segment));
  return {
    mr: region,
    at: locationOf(fieldOf(fields, SgeField.At), fieldOf(fields, SgeField.User) === 1n),
    length: Number(fieldOf(fields, SgeField.Length)),
    sge_length: Number(fieldOf(fields, SgeField.SgeLength)),
    m: Math.floor(segment / SEGSZ),
    n: segment % SEGSZ,
  };
}

/** Describes a fragment of a walk. `length` is in bytes. */
export function answerFragment(region: { name: Id; user: boolean }, at: bigint, length: bigint): Fragment {
  return { mr: region.name, at: locationOf(at, region.user), len: Number(length) };
}

/** Reads a field; throws a RangeError if the array is too short. */
export function fieldOf(fields: BigUint64Array, index: number): bigint {
  const value = fields[index];
  if (value === undefined) throw new RangeError(`no field ${index}`);
  return value;
}

/**
 * Allocates zero-filled memory. The system commits its pages only on first access.
 *
 * @param length - bytes
 * @param forWhat - name of the operation, for the message
 * @throws TraceError if there is not enough memory
 */
export function allocateMemory(length: bigint, forWhat: string): Uint8Array {
  try {
    return new Uint8Array(new ArrayBuffer(Number(length)));
  } catch {
    throw memoryError(length, forWhat);
  }
}

/** Creates the error for a valid operation that needs more memory than is available. `length` is in bytes. */
export function memoryError(length: bigint, forWhat: string): TraceError {
  return new TraceError(`${forWhat}: cannot allocate ${length.toString()} bytes of memory`);
}
