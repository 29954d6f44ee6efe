/** Why a call failed: what the native module keeps of it, or this library has found itself, as a detail and in words. */
import { causeTexts, type NumberKind } from './cause-texts';
import { type Facts, mrTypeName } from './cause-words';
import { type CountName, type ErrorCause, type ErrorDetail } from './error-detail';
import { Cause, FailureNumber, ResourceKind } from './layout';
import { type Method } from './methods';
import { native } from './native';
import { type DataPathReason } from './reasons';
import { regionKindName } from './region-kind';

const { takeFailure } = native;

/** What {@link RdmaError} is made with, besides its errno. */
export interface Explanation {
  /** The method that failed: `'ProtectionDomain.regUserMr'`. */
  readonly method: string;
  /** Why, in words. */
  readonly text: string;
  /** Why, for programs; not there if there is nothing to tell. */
  readonly detail?: ErrorDetail;
}

/** The kinds of objects whose counts are told, by their numbers. */
const countedKinds: readonly (readonly [kind: ResourceKind, name: CountName])[] = [
  [ResourceKind.Context, 'contexts'],
  [ResourceKind.Pd, 'domains'],
  [ResourceKind.Qp, 'queuePairs'],
  [ResourceKind.Mr, 'regions'],
  [ResourceKind.Dma, 'mappings'],
];

/** What the native module keeps of a failure; reused. */
const kept = new BigUint64Array(new ArrayBuffer(FailureNumber.Numbers * BigUint64Array.BYTES_PER_ELEMENT));
const keptNumber = (field: number): bigint => kept[field] ?? 0n;

/** What the caller knows of a failure that the native module did not find. */
export type GivenFacts = Partial<Omit<Facts, 'method'>>;

const nothing: GivenFacts = {};

/**
 * Why the native call that has just failed did so. To be asked before anything else is called.
 *
 * @param error - the errno, positive; undefined for a refusal of the data path
 * @param reason - of such a refusal
 * @returns undefined if nothing is known
 */
export function takeExplanation(
  method: Method,
  error: number | undefined,
  reason?: DataPathReason,
): Explanation | undefined {
  takeFailure(kept);
  const cause = Cause[Number(keptNumber(FailureNumber.Cause))] as ErrorCause | 'None' | undefined;
  if (cause === undefined || cause === 'None') return undefined;
  // A failure that nobody has asked about, of another call, is not this one's.
  const fits =
    error === undefined
      ? cause === 'RightNotProven' || cause === 'BytesUnusable'
      : keptNumber(FailureNumber.Error) === BigInt(error);
  if (!fits) return undefined;
  const counts: Partial<Record<CountName, number>> = {};
  for (let i = 0, last = countedKinds.length; i < last; i++) {
    const counted = countedKinds[i];
    if (counted === undefined) continue;
    const count = Number(keptNumber(FailureNumber.Counts + counted[0]));
    if (count) counts[counted[1]] = count;
  }
  const value = keptNumber(FailureNumber.Value);
  if (causeTexts[cause].counts !== undefined && value) counts.elements = Number(value);
  return explain(method, cause, {
    value,
    limit: keptNumber(FailureNumber.Limit),
    index: Number(keptNumber(FailureNumber.Index)),
    counts,
    reason,
  });
}

/**
 * A failure in words and as a detail.
 *
 * @param given - what is known of it; `argument` in place of the one that the cause blames
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
    facts.argument ?? (typeof about.argument === 'function' ? about.argument(method) : about.argument);
  const argument = pattern?.replace('#', String(facts.index));
  const isListed = argument !== undefined && argument !== pattern;
  const detail: ErrorDetail = Object.freeze({
    cause,
    ...(argument === undefined ? {} : { argument }),
    ...(isListed || cause === 'BatchHeld' || cause === 'ElementTwice' ? { index: facts.index } : {}),
    ...(about.value === undefined ? {} : { value: tell(facts.value, about.value) }),
    ...(about.limit === undefined ? {} : { limit: tell(facts.limit, about.limit) }),
    ...(about.counts === undefined ? {} : { counts: Object.freeze(facts.counts) }),
  });
  return { method, text: about.text(facts), detail };
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
    case 'number':
      return Number(number);
  }
}
