/** The limits of a device (`struct ib_device_attr`): their names, and the defaults, which are those of a typical NIC. */
import { Limit } from './layout';

/** The limits by name, with their defaults. */
export const defaultLimits = {
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
};

/** Index of each limit in the array that the native module takes. */
export const limitNumbers: Readonly<Record<keyof typeof defaultLimits, Limit>> = {
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

/** Returns the limits as the native module takes them. */
export function limitWords(limits: Readonly<Record<keyof typeof defaultLimits, number>>): Uint32Array {
  const words = new Uint32Array(Limit.Count);
  for (const name of Object.keys(limitNumbers) as (keyof typeof defaultLimits)[])
    words[limitNumbers[name]] = limits[name];
  return words;
}
