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

/** The result of an accepted access: a new element, which holds a reference on its region until it is put. */
export interface Accepted {
  readonly ok: true;
  readonly coalesced: false;
  /** The new element. The caller must put it. */
  readonly sge: Sge;
}

/**
 * The result of an accepted access that continues the element given as `last`: that element now covers the new bytes too. No
 * reference was taken.
 */
export interface Coalesced {
  readonly ok: true;
  readonly coalesced: true;
  /** The element given as `last`, which now covers the new bytes too. */
  readonly sge: Sge;
}

/** Where the bytes of an accepted access lie. No reference was taken. */
export interface Placed {
  readonly ok: true;
  /** Where the first byte lies: the offset in the registered memory, in bytes, or the DMA address. As {@link Sge.at}. */
  readonly at: bigint;
  /** Number of bytes in the segment from `at` on. As {@link Sge.segmentLength}. */
  readonly segmentLength: number;
  /** Index of the first byte's segment in the region. As {@link Sge.segment}. */
  readonly segment: number;
}

/** Result of {@link ProtectionDomain.acquire}. */
export type LocalCheck = Accepted | Coalesced | Refused;
/** Result of {@link QueuePair.acquire}. */
export type RemoteCheck = Accepted | Refused;
/** Result of {@link ProtectionDomain.check} and {@link QueuePair.check}. */
export type CheckedPlace = Placed | Refused;

/**
 * Returns the method name for errors and messages. Called only when one is created: building the string for every refusal is too
 * slow.
 */
function nameOf(asker: Asker, method: 'acquire' | 'check'): Method {
  return `${asker.remote ? 'QueuePair' : 'ProtectionDomain'}.${method}`;
}

/**
 * Creates the refusal of the access that `storeAccess` stored. The arguments from `address` on repeat the stored access.
 *
 * @param answer - the native module's answer: the number of a reason, or a negative errno
 * @throws RdmaError if the answer is a negative errno
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
  if (isWatched()) reportRefusal(refused, asker, nameOf(asker, method));
  return refused;
}

/**
 * Acquires the access that `storeAccess` stored. The arguments from `address` to `access` repeat the stored access; a refusal
 * needs them.
 *
 * @param last - the element that the access may extend
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
      // The stack limit was reached. Put the reference, which the command block still identifies; see ProtectionDomain.regUserMr.
      putOne();
      throw error;
    }
    if (isCapturing) {
      try {
        asker.table.registry.acquired(holder);
      } catch {
        // The stack limit was reached. The element is held, but without a recorded stack.
      }
    }
    return { ok: true, coalesced: false, sge };
  }
  if (last !== undefined && answer === BATCH_COALESCED) {
    try {
      giveHolder(holder);
    } catch {
      // The stack limit was reached. The holder is left to the garbage collector.
    }
    return { ok: true, coalesced: true, sge: last };
  }
  giveUnused(holder, answer);
  return refuse(answer, asker, 'acquire', address, length, key, access);
}

/**
 * Checks the access that `storeAccess` stored, without taking a reference. The arguments from `address` on repeat the stored
 * access; a refusal needs them.
 */
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
