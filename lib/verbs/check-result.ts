import { type Access } from './access';
import { type Asker } from './asker';
import { isCapturing } from './element-stacks';
import { fieldLong, fieldNumber, readAnswer, words } from '../internal/command';
import { acquireElement, giveHolder, giveUnused, takeHolder, type Holder } from '../internal/element';
import { rdmaError } from '../internal/errors';
import { type Method } from '../internal/methods';
import { construction } from '../internal/construction';
import { LOW } from '../internal/halves';
import { BATCH_COALESCED, CommandWord, PlaceField } from '../internal/layout';
import { native } from '../internal/native';
import { checkReason } from '../internal/reasons';
import { isWatched } from '../internal/refused-channel';
import { Refusal, type Refused } from './refusal';
import { reportRefusal } from './refused-message';
import { holderOf, Sge } from './sge';

const { placeOne, putOne } = native;

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

/** What errors and messages call the method. Made only where it is told: a text for every refusal costs. */
function nameOf(asker: Asker, method: 'acquire' | 'check'): Method {
  return `${asker.remote ? 'QueuePair' : 'ProtectionDomain'}.${method}`;
}

/**
 * Makes the refusal of the access that `storeAccess` has stored, by a positive answer: the number of a reason. The arguments are
 * what was stored.
 *
 * @throws RdmaError if the answer is negative: an errno
 */
function refuse(
  answer: number,
  asker: Asker,
  method: 'acquire' | 'check',
  address: bigint | number,
  length: number,
  key: number,
  access: Access,
): Refused {
  if (answer < 0) throw rdmaError(nameOf(asker, method), answer);
  const sequence = words[CommandWord.RecordSequence + LOW] ?? 0;
  const refused = new Refusal(
    construction,
    checkReason(answer),
    asker,
    address,
    length,
    key,
    access,
    sequence,
  );
  if (isWatched()) reportRefusal(refused, nameOf(asker, method));
  return refused;
}

/**
 * Acquires the access that `storeAccess` has stored. The arguments are what was stored, for a refusal.
 *
 * @param last - the element that it may continue
 */
export function acquireAccess(
  asker: Asker,
  address: bigint | number,
  length: number,
  key: number,
  access: Access,
  last: Sge | undefined,
): LocalCheck {
  const holder = takeHolder();
  const before: Holder | undefined = last === undefined ? undefined : holderOf(last);
  const answer = acquireElement(holder, before);
  if (answer === 0) {
    let sge: Sge;
    try {
      sge = new Sge(construction, holder, asker.table);
    } catch (error) {
      // At the end of the stack: see ProtectionDomain.regUserMr. The command block names the element still.
      putOne();
      throw error;
    }
    if (isCapturing) {
      try {
        asker.table.registry.acquired(holder);
      } catch {
        // At the end of the stack. The element is held, with or without its stack.
      }
    }
    return { ok: true, coalesced: false, sge };
  }
  if (last !== undefined && answer === BATCH_COALESCED) {
    try {
      giveHolder(holder);
    } catch {
      // Then the holder is collected.
    }
    return { ok: true, coalesced: true, sge: last };
  }
  giveUnused(holder, answer);
  return refuse(answer, asker, 'acquire', address, length, key, access);
}

/** Judges the access that `storeAccess` has stored, without a reference. The arguments are what was stored, for a refusal. */
export function checkAccess(
  asker: Asker,
  address: bigint | number,
  length: number,
  key: number,
  access: Access,
): CheckedPlace {
  placeOne();
  const answer = readAnswer();
  if (answer !== 0) return refuse(answer, asker, 'check', address, length, key, access);
  return {
    ok: true,
    at: fieldLong(PlaceField.At),
    segmentLength: fieldNumber(PlaceField.Length),
    segment: fieldNumber(PlaceField.Segment),
  };
}
