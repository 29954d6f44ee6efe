/** Playing walks. */
import {
  ENOMEM,
  FragmentField,
  PAGE_SIZE,
  REFUSED,
  RegionField,
  RegionKind,
  SgeField,
} from '../internal/layout';
import { native, type NativeSge } from '../internal/native';
import { failure, field, fragment, SKIPPED } from './answers';
import type { Answer, Fragment, OperationMembers } from './operations';
import type { Session } from './session';
import { TraceError } from './trace-error';

/** More could not be told in one line of bounded length. An element has less than 2^32 bytes: 2^20 pages. */
const MOST_FRAGMENTS = 2 ** 20 + 2 ** 10;

export function walk(session: Session, op: OperationMembers['walk']): Answer {
  const sges: NativeSge[] = [];
  for (const id of op.sges) {
    const sge = session.sge(id);
    if (sge === undefined) return SKIPPED;
    sges.push(sge);
  }
  expectTellable(session, sges, op.steps);

  const state = native.createSgeState(sges);
  if (typeof state === 'number') return failure(state);
  const told = state.walk(Uint32Array.from(op.steps), op.release);
  if (typeof told === 'number') {
    if (told === -ENOMEM) throw new TraceError('walk: memory cannot be had');
    return told <= REFUSED ? { err: 'EINVAL' } : failure(told);
  }
  if (op.release) unbindConsumed(session, op.sges);
  return { ret: 0, fragments: fragmentsByStep(session, told, op.steps.length) };
}

/** The elements themselves know which of them were consumed to the last byte. */
function unbindConsumed(session: Session, ids: readonly string[]): void {
  for (const id of ids) {
    const sge = session.sge(id);
    if (sge !== undefined && session.describeSge(sge) === undefined) session.unbind(id);
  }
}

function fragmentsByStep(session: Session, told: BigUint64Array, steps: number): Fragment[][] {
  const byStep = Array.from({ length: steps }, (): Fragment[] => []);
  for (let i = 0; i < told.length; i += FragmentField.Count) {
    const region = session.regionOf(field(told, i + FragmentField.Region));
    const step = Number(field(told, i + FragmentField.Step));
    const [at, length] = [field(told, i + FragmentField.At), field(told, i + FragmentField.Length)];
    byStep[step]?.push(fragment(region, at, length));
  }
  return byStep;
}

/**
 * A short line can ask for a walk of billions of fragments: 255 elements of 4 GiB each. Better to say so than to run out of
 * memory on the way.
 */
function expectTellable(session: Session, sges: readonly NativeSge[], steps: readonly number[]): void {
  const wanted = steps.reduce((sum, step) => sum + step, 0);
  // A fragment has a byte or more, and steps without any tell an empty list.
  if (wanted + steps.length <= MOST_FRAGMENTS) return;
  let left = wanted;
  let fragments = steps.length;
  for (const sge of sges) {
    const sgeFields = session.describeSge(sge);
    if (sgeFields === undefined) return;
    const bytes = Math.min(left, Number(field(sgeFields, SgeField.SgeLength)));
    fragments += Math.min(bytes, segmentsUnder(session, sgeFields, bytes));
    left -= bytes;
  }
  // Steps past the end are for the core to refuse.
  if (left === 0 && fragments > MOST_FRAGMENTS) {
    throw new TraceError(`walk: an answer of more than ${MOST_FRAGMENTS} fragments cannot be told`);
  }
}

/** At most so many segments hold `bytes` bytes of the element. */
function segmentsUnder(session: Session, sgeFields: BigUint64Array, bytes: number): number {
  const region = session.regionOf(field(sgeFields, SgeField.Region));
  const fields = session.queryRegion(region.native);
  if (Number(field(fields, RegionField.Kind)) === RegionKind.Dma) return 1;
  return region.fmr ? Number(field(fields, RegionField.Segments)) : Math.ceil(bytes / PAGE_SIZE) + 1;
}
