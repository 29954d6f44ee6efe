import { fieldLong, fieldNumber, readAnswer } from '../internal/command';
import { acquireElement, giveUnused, isCoalesced, takeHolder, type Holder } from '../internal/element';
import { rdmaError } from '../internal/errors';
import { type Method } from '../internal/methods';
import { construction } from '../internal/construction';
import { PlaceField } from '../internal/layout';
import { native } from '../internal/native';
import { checkReason, type CheckReason } from '../internal/reasons';
import { type RegionTable } from './region-registry';
import { holderOf, Sge } from './sge';

const { placeOne } = native;

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

/**
 * Converts a positive answer, the number of a reason, to a {@link Refused}.
 *
 * @throws RdmaError if the answer is negative: an errno
 */
function readRefusal(method: Method, answer: number): Refused {
  if (answer < 0) throw rdmaError(method, answer);
  return { ok: false, reason: checkReason(answer), code: 'EINVAL' };
}

/**
 * Acquires the access that `storeAccess` has stored.
 *
 * @param last - the element that it may continue
 */
export function acquireAccess(method: Method, table: RegionTable, last: Sge | undefined): LocalCheck {
  const holder = takeHolder();
  const before: Holder | undefined = last === undefined ? undefined : holderOf(last);
  const answer = acquireElement(holder, before);
  if (answer === 0) return { ok: true, coalesced: false, sge: new Sge(construction, holder, table) };
  giveUnused(holder, answer);
  if (last !== undefined && isCoalesced(answer)) return { ok: true, coalesced: true, sge: last };
  return readRefusal(method, answer);
}

/** Judges the access that `storeAccess` has stored, without a reference. */
export function checkAccess(method: Method): CheckedPlace {
  placeOne();
  const answer = readAnswer();
  if (answer !== 0) return readRefusal(method, answer);
  return {
    ok: true,
    at: fieldLong(PlaceField.At),
    segmentLength: fieldNumber(PlaceField.Length),
    segment: fieldNumber(PlaceField.Segment),
  };
}
