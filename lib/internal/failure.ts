/** Turns a failure, found by the native module or by the TypeScript code, into a message text and an {@link ErrorDetail}. */
import { causeTexts, type NumberKind } from './cause-texts';
import { countNameOf, type Facts, mrTypeName, postedBefore } from './cause-words';
import { type CountName, type ErrorCause, type ErrorDetail } from './error-detail';
import { Cause, FailureNumber, ResourceKind } from './layout';
import { type Method } from './methods';
import { native } from './native';
import { type DataPathReason } from './reasons';
import { reasonOf } from './reasons';
import { regionKindName } from './region-kind';
import { migrationStateName, qpAttributeNames, qpStateName, qpTypeName, wrOpcodeName } from './verbs-names';

const { takeFailure } = native;

/** The method, text and detail of an {@link RdmaError}. */
export interface Explanation {
  /** The method that failed: `'ProtectionDomain.regUserMr'`. */
  readonly method: string;
  /** The cause as a message text. */
  readonly text: string;
  /** The cause for programs; absent if only the errno is known. */
  readonly detail?: ErrorDetail;
}

// Captured at load time: a program may replace it.
const PlainLongs = BigUint64Array;

/** Receives the native module's {@link FailureNumber}s of a failure; reused for every call. */
const kept = new BigUint64Array(new ArrayBuffer(FailureNumber.Numbers * BigUint64Array.BYTES_PER_ELEMENT));
const keptNumber = (field: number): bigint => kept[field] ?? 0n;

/** The index that a posting reports if the state of the queue pair forbids all work requests. */
const NO_BAD_WR = 0xffff_ffff;

/** Facts about a failure that the TypeScript code detected. */
export type GivenFacts = Partial<Omit<Facts, 'method'>>;

const nothing: GivenFacts = {};

/**
 * Explains the native call that just failed. Must run before any other native call, which may overwrite the cause.
 *
 * @param error - the errno, positive; undefined for a data path refusal
 * @param reason - the reason of a data path refusal
 * @param bad - index of the work request that a posting refused
 * @returns undefined if the native module recorded no cause
 */
export function takeExplanation(
  method: Method,
  error: number | undefined,
  reason?: DataPathReason,
  bad?: number,
): Explanation | undefined {
  takeFailure(kept);
  return explainKept(method, error, reason, bad);
}

/** The {@link FailureNumber}s of a failed native call, kept to explain it later. */
export type KeptFailure = BigUint64Array;

/**
 * Keeps the cause of the native call that just failed, for {@link explainFailure}. Much cheaper than explaining it.
 *
 * @param failure - where to keep it; undefined: a new place
 */
export function keepFailure(failure: KeptFailure = new PlainLongs(FailureNumber.Numbers)): KeptFailure {
  takeFailure(failure);
  return failure;
}

/** As {@link takeExplanation}, for the cause that {@link keepFailure} has kept. */
export function explainFailure(
  failure: KeptFailure,
  method: Method,
  error: number,
  bad?: number,
): Explanation | undefined {
  for (let i = 0; i < kept.length; i++) kept[i] = failure[i] ?? 0n;
  return explainKept(method, error, undefined, bad);
}

/** Explains the failure whose numbers are in `kept`. */
function explainKept(
  method: Method,
  error: number | undefined,
  reason?: DataPathReason,
  bad?: number,
): Explanation | undefined {
  const cause = Cause[Number(keptNumber(FailureNumber.Cause))] as ErrorCause | 'None' | undefined;
  if (cause === undefined || cause === 'None') return undefined;
  // Ignore a cause that an earlier failed call left behind.
  const fits =
    error === undefined
      ? cause === 'RightNotProven' || cause === 'BytesUnusable'
      : keptNumber(FailureNumber.Error) === BigInt(error);
  if (!fits) return undefined;
  const counts: Partial<Record<CountName, number>> = {};
  for (let kind = 0; kind < (ResourceKind.Kinds as number); kind++) {
    const name = countNameOf(kind);
    const count = Number(keptNumber(FailureNumber.Counts + kind));
    if (name !== undefined && count) counts[name] = count;
  }
  const value = keptNumber(FailureNumber.Value);
  const valueCounts = causeTexts[cause].counts;
  if (valueCounts !== undefined && value) counts[valueCounts] = Number(value);
  return explain(method, cause, {
    value,
    limit: keptNumber(FailureNumber.Limit),
    index: bad === undefined || bad === NO_BAD_WR ? Number(keptNumber(FailureNumber.Index)) : bad,
    counts,
    reason,
  });
}

/**
 * Builds the message text and the detail of a failure.
 *
 * @param given - the known facts; `argument` overrides the argument of the cause
 */
export function explain(method: Method, cause: ErrorCause, given: GivenFacts = nothing): Explanation {
  const about = causeTexts[cause];
  const facts: Facts = {
    method,
    value: 0n,
    limit: 0n,
    index: 0,
    counts: {},
    reason: undefined,
    argument: undefined,
    ...given,
  };
  const pattern =
    facts.argument ?? (typeof about.argument === 'function' ? about.argument(facts) : about.argument);
  const argument = pattern?.replace('#', String(facts.index));
  const isListed = argument !== undefined && argument !== pattern;
  const isHidden = about.hidesNumbers?.(facts) ?? false;
  const refused = cause === 'WrSgeRefused' ? reasonOf(Number(facts.limit)) : undefined;
  const detail: ErrorDetail = Object.freeze({
    cause,
    ...(argument === undefined ? {} : { argument }),
    ...(isListed || cause === 'BatchHeld' || cause === 'ElementTwice' ? { index: facts.index } : {}),
    ...(refused === undefined ? {} : { sge: Number(facts.value), reason: refused }),
    ...(about.value === undefined || isHidden ? {} : { value: tell(facts.value, about.value) }),
    ...(about.limit === undefined || isHidden ? {} : { limit: tell(facts.limit, about.limit) }),
    ...(about.counts === undefined ? {} : { counts: Object.freeze(facts.counts) }),
  });
  return { method, text: about.text({ ...facts, argument }) + postedBefore(facts), detail };
}

function tell(number: bigint, kind: NumberKind): number | bigint | string {
  switch (kind) {
    case 'address':
      return number;
    case 'signed':
      return Number(BigInt.asIntN(64, number));
    case 'regionKind':
      return regionKindName(Number(number));
    case 'mrType':
      return mrTypeName(number);
    case 'objectKind':
      return countNameOf(Number(number)) ?? Number(number);
    case 'qpType':
      return qpTypeName(Number(number)) ?? Number(number);
    case 'qpState':
      return qpStateName(Number(number)) ?? Number(number);
    case 'qpAttributes':
      return qpAttributeNames(Number(number)).join(', ');
    case 'migrationState':
      return migrationStateName(Number(number)) ?? Number(number);
    case 'wrOpcode':
      return wrOpcodeName(Number(number)) ?? Number(number);
    case 'number':
      return Number(number);
  }
}
