/** Faults that a device makes on purpose: their options, and the counts of what was done. */
import { integer, invalidType, oneOf, outOfRange, type Unchecked, u64 } from '../internal/arguments';
import { rdmaError } from '../internal/errors';
import { FaultCount, FaultDirection, FaultKind, FaultWord } from '../internal/layout';
import { native, type NativeDevice } from '../internal/native';
import { nestedOptionsOf } from '../internal/options';
import { type CheckReason, checkReasons } from '../internal/reasons';

/**
 * When a fault is made. The occasions of each kind are counted from 1, and an occasion gets a fault if any of the three says so. A
 * number stands for a probability.
 */
export interface FaultRule {
  /** Of each occasion, 0 to 1. Default 0. */
  probability?: number;
  /** At this occasion: 1 is the first. Default: at none. */
  at?: number;
  /** At each occasion whose number is a multiple of this. Default: at none. */
  every?: number;
}

/** When an access is refused; see {@link DeviceFaults.refuse}. */
export interface RefuseFault extends FaultRule {
  /** The reason of the refusals. Default `'Revoked'`. */
  reason?: CheckReason;
}

/** When something comes late; see {@link DeviceFaults.slow}. */
export interface SlowFault extends FaultRule {
  /** How much later, in microseconds: 1 to 2^32-1. Default 1000. */
  usec?: number;
}

/** Of which packets faults are made: those that the device's endpoints send, those that they receive, or all. */
export type PacketDirection = 'out' | 'in' | 'both';

/** When something happens to a packet; see {@link DeviceFaults.lost}. */
export interface PacketFault extends FaultRule {
  /** Default `'out'`. */
  direction?: PacketDirection;
}

/** When a packet comes late; see {@link DeviceFaults.late}. */
export interface LatePacketFault extends PacketFault {
  /** How much later, in microseconds: 1 to 2^32-1. Default 1000. */
  usec?: number;
}

/** Faults that a device makes on purpose; see {@link DeviceOptions.faults}. */
export interface DeviceFaults {
  /**
   * Where the random numbers begin: 0 to 2^64-1. The n-th occasion of a kind gets a fault or not by the seed, the kind and n alone.
   */
  seed: number | bigint;
  /**
   * An access that the device's rules accept is refused: a check, an element of a batch or a copy, an element of a work request
   * when it is posted or of a receive when a message comes, a peer's access. An occasion is an accepted access.
   */
  refuse?: number | RefuseFault;
  /**
   * A message finds no receive, although one may be posted: the sender tries again after the receiver's `minRnrTimer`, or fails
   * with `RNR_RETRY_EXC_ERR`; a UC or UD message is dropped. An occasion is an attempt to deliver a message that takes a receive.
   */
  rnr?: number | FaultRule;
  /**
   * The queue pair goes into the error state: the work request that is next completes with `WR_FLUSH_ERR`, and so do those behind
   * it. On loopback it is not carried out. On the wire it may have been carried out: only the peer's answer is lost. An occasion is
   * a work request that is sent to a peer; on the wire, one that has ended well: of RC when the peer has answered, of UC and UD when
   * it is sent.
   */
  flush?: number | FaultRule;
  /** A completion finds its queue full: it is lost, and the queue is broken. An occasion is a completion. */
  overflow?: number | FaultRule;
  /**
   * A completion becomes visible later, and with it those behind it in its queue. Like an RNR timer, the time needs the event loop
   * of a thread that uses the device ({@link Device.fireTimers} in the manual mode). It ends early if the queue overflows, or a queue
   * pair that uses it is reset or destroyed. An occasion is a completion.
   */
  slow?: number | SlowFault;
  /** A packet is lost. An occasion is a packet, also of {@link DeviceFaults.late} and the other two. */
  lost?: number | PacketFault;
  /** A packet comes later. */
  late?: number | LatePacketFault;
  /** A packet comes twice. */
  doubled?: number | PacketFault;
  /** A packet comes behind the next one in its direction, or 1 ms later if there is none. */
  reordered?: number | PacketFault;
}

/** A kind of fault: a name in {@link DeviceFaults}. */
export type FaultName = Exclude<keyof DeviceFaults, 'seed'>;

/** What happened of one kind of fault. */
export interface FaultCounter {
  /** Occasions so far. 0 if the device's options cannot make such a fault. */
  seen: number;
  /** How many of them got a fault. */
  made: number;
}

/** Returned by {@link Device.faults}. */
export interface FaultCounters extends Record<FaultName, FaultCounter> {
  seed: bigint;
}

const numbers: Readonly<Record<FaultName, FaultKind>> = {
  refuse: FaultKind.Refuse,
  rnr: FaultKind.Rnr,
  flush: FaultKind.Flush,
  overflow: FaultKind.Overflow,
  slow: FaultKind.Slow,
  lost: FaultKind.Lost,
  late: FaultKind.Late,
  doubled: FaultKind.Doubled,
  reordered: FaultKind.Reordered,
};
const kinds = Object.keys(numbers) as FaultName[];

const RULE = ['probability', 'at', 'every'] as const;
type AnyRule = RefuseFault & LatePacketFault;

/** The options of each kind. */
const optionNames: Readonly<Record<FaultName, readonly (keyof AnyRule)[]>> = {
  refuse: [...RULE, 'reason'],
  rnr: RULE,
  flush: RULE,
  overflow: RULE,
  slow: [...RULE, 'usec'],
  lost: [...RULE, 'direction'],
  late: [...RULE, 'usec', 'direction'],
  doubled: [...RULE, 'direction'],
  reordered: [...RULE, 'direction'],
};

const directions = { out: FaultDirection.Out, in: FaultDirection.In, both: 3 } as const;
const directionNames = ['out', 'in', 'both'] as const;
const DEFAULT_USEC = 1000;

/** Faults as the native module takes them. */
export interface FaultWords {
  readonly seed: BigUint64Array;
  /** {@link FaultWord.Count} numbers for each {@link FaultKind}. */
  readonly rules: Float64Array;
}

function probability(value: unknown, name: string): number {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  // NaN is in no range.
  if (!(value >= 0 && value <= 1)) throw outOfRange(name, '>= 0 && <= 1', value);
  return value;
}

function occasion(value: unknown, name: string): number {
  return integer(value, name, 1, Number.MAX_SAFE_INTEGER);
}

function readRule(value: unknown, kind: FaultName, rules: Float64Array): void {
  const name = `options.faults.${kind}`;
  const at = numbers[kind] * FaultWord.Count;
  if (typeof value === 'number') {
    rules[at + FaultWord.Probability] = probability(value, name);
    return;
  }
  if (typeof value !== 'object' || value === null)
    throw invalidType(name, 'of type number or an instance of Object', value);
  const rule: Unchecked<AnyRule> = nestedOptionsOf<AnyRule>(value, name, optionNames[kind]);
  if (rule.probability !== undefined)
    rules[at + FaultWord.Probability] = probability(rule.probability, `${name}.probability`);
  if (rule.at !== undefined) rules[at + FaultWord.At] = occasion(rule.at, `${name}.at`);
  if (rule.every !== undefined) rules[at + FaultWord.Every] = occasion(rule.every, `${name}.every`);
  if (rule.usec !== undefined)
    rules[at + FaultWord.Value] = integer(rule.usec, `${name}.usec`, 1, 0xffff_ffff);
  if (rule.reason !== undefined) {
    const reason = oneOf<CheckReason>(rule.reason, `${name}.reason`, checkReasons);
    rules[at + FaultWord.Value] = reasonNumber(reason);
  }
  if (rule.direction !== undefined)
    rules[at + FaultWord.Directions] = directions[oneOf(rule.direction, `${name}.direction`, directionNames)];
}

function reasonNumber(reason: CheckReason): number {
  const names = native.reasonNames;
  for (let number = 0; number < names.length; number++) if (names[number] === reason) return number;
  return 0;
}

/**
 * Reads the option `faults` of a device.
 *
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function readFaults(value: unknown): FaultWords {
  const given = nestedOptionsOf<DeviceFaults>(value, 'options.faults', ['seed', ...kinds]);
  const seed = new BigUint64Array(1);
  seed[0] = u64(given.seed, 'options.faults.seed');
  const rules = new Float64Array(FaultKind.Kinds * FaultWord.Count);
  for (let i = 0; i < kinds.length; i++) {
    const kind = kinds[i];
    if (kind === undefined) continue;
    const at = numbers[kind] * FaultWord.Count;
    rules[at + FaultWord.Value] = kind === 'refuse' ? reasonNumber('Revoked') : DEFAULT_USEC;
    rules[at + FaultWord.Directions] = FaultDirection.Out;
    const rule = given[kind];
    if (rule !== undefined) readRule(rule, kind, rules);
  }
  return { seed, rules };
}

/**
 * Reads what a device has done.
 *
 * @returns undefined if the device makes no faults
 */
export function faultsOf(device: NativeDevice): FaultCounters | undefined {
  const counts = new BigUint64Array(FaultCount.Count);
  const answer = device.faults(counts);
  if (answer < 0) throw rdmaError('Device.faults', answer);
  if (answer > 0) return undefined;
  const counters = { seed: counts[FaultCount.Seed] ?? 0n } as FaultCounters;
  for (let i = 0; i < kinds.length; i++) {
    const kind = kinds[i];
    if (kind === undefined) continue;
    counters[kind] = {
      seen: Number(counts[FaultCount.Seen + numbers[kind]]),
      made: Number(counts[FaultCount.Made + numbers[kind]]),
    };
  }
  return counters;
}
