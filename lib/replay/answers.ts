/** From what the native module says to what the trace format says. */
import { EACCES, EBUSY, EINVAL, ENOMEM, EPERM, SgeField } from '../internal/layout';
import type { Answer, Errno, Fragment, Hex, Location, SgeAnswer } from './operations';
import { TraceError } from './trace-error';

/** The one answer to an operation that names what is not there. */
export const SKIPPED: Answer = Object.freeze({ skipped: true });

const errnoNames: ReadonlyMap<number, Errno> = new Map([
  [-EPERM, 'EPERM'],
  [-ENOMEM, 'ENOMEM'],
  [-EACCES, 'EACCES'],
  [-EBUSY, 'EBUSY'],
  [-EINVAL, 'EINVAL'],
]);

/** The name of a negative errno. */
export function errnoName(status: number): Errno {
  const name = errnoNames.get(status);
  if (name === undefined)
    throw new Error(`the native module answered ${status}, which the format has no name for`);
  return name;
}

/** A failure of the native module as an answer. */
export function failure(status: number): { err: Errno } {
  return { err: errnoName(status) };
}

/** Success without more to tell, or the failure. */
export function outcome(status: number): Answer {
  return status < 0 ? failure(status) : { ret: 0 };
}

/** A number as the format writes addresses, keys and 64-bit lengths. */
export function hex(value: bigint | number): Hex {
  return `0x${value.toString(16)}`;
}

/** Where a byte lies; `user`: in memory of `reg_user_mr`. */
export function location(at: bigint, user: boolean): Location {
  return user ? { byte: Number(at) } : { dma: hex(at) };
}

/** An element from what it says of itself, see {@link SgeField}. */
export function sgeAnswer(fields: BigUint64Array, region: string): SgeAnswer {
  return {
    mr: region,
    at: location(field(fields, SgeField.At), field(fields, SgeField.User) === 1n),
    length: Number(field(fields, SgeField.Length)),
    sge_length: Number(field(fields, SgeField.SgeLength)),
    m: Number(field(fields, SgeField.M)),
    n: Number(field(fields, SgeField.N)),
  };
}

/** A piece of a walk. */
export function fragment(region: { name: string; user: boolean }, at: bigint, length: bigint): Fragment {
  return { mr: region.name, at: location(at, region.user), len: Number(length) };
}

/** An element of an array that is known to be long enough. */
export function field(fields: BigUint64Array, index: number): bigint {
  const value = fields[index];
  if (value === undefined) throw new RangeError(`there is no field ${index}`);
  return value;
}

/** Zero-filled memory, not committed by the system before it is touched. */
export function memoryOf(length: bigint, forWhat: string): Uint8Array {
  try {
    return new Uint8Array(new ArrayBuffer(Number(length)));
  } catch {
    throw noMemory(length, forWhat);
  }
}

/** What ends the player when memory for a valid operation is not to be had. */
export function noMemory(length: bigint, forWhat: string): TraceError {
  return new TraceError(`${forWhat}: ${length.toString()} bytes of memory cannot be had`);
}
