import { rdmaError } from '../internal/errors';
import { PlaceField } from '../internal/layout';
import { checkReason, type CheckReason } from '../internal/reasons';
import { type Sge } from './sge';

/** An access that was accepted as an element of its own, which holds a reference on its region until it is put. */
export interface Accepted {
  readonly ok: true;
  readonly coalesced: false;
  /** The new element. */
  readonly sge: Sge;
}

/** An access that continues the element given as `last`: that one has grown, and no reference was taken. */
export interface Coalesced {
  readonly ok: true;
  readonly coalesced: true;
  /** The element given as `last`. */
  readonly sge: Sge;
}

/** An access that was refused. Nothing has changed. */
export interface Refused {
  readonly ok: false;
  /** The first test that failed. It is for the caller, not for the peer. */
  readonly reason: CheckReason;
  /** What the kernel's local check answers. (Its remote check has one answer for all refusals.) */
  readonly code: 'EINVAL';
}

/** Where the bytes of an access are that was judged without taking a reference. */
export interface Placed {
  readonly ok: true;
  /** As {@link Sge.at}. */
  readonly at: bigint;
  /** As {@link Sge.segmentLength}. */
  readonly segmentLength: number;
  /** As {@link Sge.segment}. */
  readonly segment: number;
}

/** Answer of {@link ProtectionDomain.acquire}. */
export type LocalCheck = Accepted | Coalesced | Refused;
/** Answer of {@link QueuePair.acquire}. */
export type RemoteCheck = Accepted | Refused;
/** Answer of {@link ProtectionDomain.check} and {@link QueuePair.check}. */
export type CheckedPlace = Placed | Refused;

/** A refusal by its number; throws for a negative one, which is an errno. */
export function readRefusal(operation: string, answer: number): Refused {
  if (answer < 0) throw rdmaError(operation, answer);
  return { ok: false, reason: checkReason(answer), code: 'EINVAL' };
}

/** What the checks without a reference fill; read at once, before anything else runs. */
export const place = new BigUint64Array(PlaceField.Count);

/** The answer of a check without a reference. */
export function readPlace(operation: string, answer: number): CheckedPlace {
  if (answer !== 0) return readRefusal(operation, answer);
  return {
    ok: true,
    at: place[PlaceField.At] ?? 0n,
    segmentLength: Number(place[PlaceField.Length]),
    segment: Number(place[PlaceField.Segment]),
  };
}
