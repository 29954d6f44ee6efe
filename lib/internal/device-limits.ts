/** The limits of a device (`struct ib_device_attr`): their names, and the defaults, which are those of a typical NIC. */
import { propertiesOf, u32, unknownProperty } from './arguments';
import { Limit } from './layout';

/** Limits of a device (`struct ib_device_attr`). Each is an integer in 0..2^32-1. */
export interface DeviceLimits {
  /** Queue pairs that can exist at a time, without those that are for checks only. Default 65,536. */
  maxQp: number;
  /** Work requests that a send or receive queue can hold. Default 16,384. */
  maxQpWr: number;
  /** SGEs of a send work request, at most 255. Default 32. */
  maxSendSge: number;
  /** SGEs of a receive work request, at most 255. Default 32. */
  maxRecvSge: number;
  /** Completion queues that can exist at a time. Default 65,536. */
  maxCq: number;
  /** Completions that a completion queue can hold. Default 4,194,304. */
  maxCqe: number;
  /** Shared receive queues that can exist at a time. Default 65,536. */
  maxSrq: number;
  /** Receives that a shared receive queue can hold. Default 65,536. */
  maxSrqWr: number;
  /** SGEs of a receive in a shared receive queue, at most 255. Default 32. */
  maxSrqSge: number;
  /** Protection domains that can exist at a time. Default 16,777,216. */
  maxPd: number;
  /** Reads and atomic operations that a queue pair accepts from its peer at a time. Default 16. */
  maxRdmaAtomic: number;
  /** Entries of the table of partition keys. Default 1. */
  npkeys: number;
  /** Address handles that can exist at a time. Default 65,536. */
  maxAh: number;
}

/** The limits by name, with their defaults. */
export const defaultLimits: Readonly<DeviceLimits> = Object.freeze({
  maxQp: 1 << 16,
  maxQpWr: 1 << 14,
  maxSendSge: 32,
  maxRecvSge: 32,
  maxCq: 1 << 16,
  maxCqe: 1 << 22,
  maxSrq: 1 << 16,
  maxSrqWr: 1 << 16,
  maxSrqSge: 32,
  maxPd: 1 << 24,
  maxRdmaAtomic: 16,
  npkeys: 1,
  maxAh: 1 << 16,
});

/** Index of each limit in the array that the native module takes. */
export const limitNumbers: Readonly<Record<keyof DeviceLimits, Limit>> = {
  maxQp: Limit.MaxQp,
  maxQpWr: Limit.MaxQpWr,
  maxSendSge: Limit.MaxSendSge,
  maxRecvSge: Limit.MaxRecvSge,
  maxCq: Limit.MaxCq,
  maxCqe: Limit.MaxCqe,
  maxSrq: Limit.MaxSrq,
  maxSrqWr: Limit.MaxSrqWr,
  maxSrqSge: Limit.MaxSrqSge,
  maxPd: Limit.MaxPd,
  maxRdmaAtomic: Limit.MaxRdmaAtomic,
  npkeys: Limit.Npkeys,
  maxAh: Limit.MaxAh,
};

const names = Object.keys(limitNumbers) as (keyof DeviceLimits)[];
const { hasOwn } = Object;

/**
 * Reads limits that a program has given; the others have their defaults. As in options, only own properties count, every enumerable
 * name must be that of a limit, and each property is read once.
 *
 * @param defaults - limits that differ from {@link defaultLimits}
 *
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function readLimits(
  value: unknown,
  name: string,
  defaults: Readonly<Partial<DeviceLimits>> = {},
): DeviceLimits {
  const given = propertiesOf<Record<string, unknown>>(value, name);
  const limits = { ...defaultLimits, ...defaults };
  for (const key in given) {
    if (!hasOwn(limitNumbers, key))
      throw unknownProperty(`${name}.${key.slice(0, 64)}`, 'is not a known limit');
    if (!hasOwn(given, key)) continue;
    const limit = given[key];
    if (limit !== undefined) limits[key as keyof DeviceLimits] = u32(limit, `${name}.${key}`);
  }
  return limits;
}

/** Returns the limits as the native module takes them. */
export function limitWords(limits: Readonly<DeviceLimits>): Uint32Array {
  const words = new Uint32Array(Limit.Count);
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    if (name !== undefined) words[limitNumbers[name]] = limits[name];
  }
  return words;
}

/** Returns the limits that the native module has written. */
export function limitsOf(words: Uint32Array): DeviceLimits {
  const limits = { ...defaultLimits };
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    if (name !== undefined) limits[name] = words[limitNumbers[name]] ?? 0;
  }
  return limits;
}
