/** Executes the access checks, and the operations on accepted elements: put and walk. */
import {
  acquireElement,
  elementNames,
  giveHolder,
  giveUnused,
  type Holder,
  isCoalesced,
  putElement,
  storeAccess,
  takeHolder,
} from '../internal/element';
import {
  ENOMEM,
  FragmentField,
  PAGE_SIZE,
  REFUSED,
  RegionField,
  RegionKind,
  SgeField,
} from '../internal/layout';
import { native } from '../internal/native';
import {
  type Answer,
  answerFailure,
  answerFragment,
  answerStatus,
  fieldOf,
  type Fragment,
  nameErrno,
  SKIPPED,
} from './answers';
import type { Session } from './session';
import { type Id, type OperationMembers, TraceError } from './trace-format';

/** Limit of the fragments in an answer, which bounds its line length. One element has at most 2^32 bytes, or 2^20 pages. */
const MOST_FRAGMENTS = 2 ** 20 + 2 ** 10;

export function lkeyOk(session: Session, op: OperationMembers['lkey_ok']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  let last: Holder | undefined;
  if (op.last !== null) {
    const sge = session.sge(op.last);
    if (sge === undefined) return SKIPPED;
    last = sge;
  }
  const { addr, length, lkey } = op.sge;
  storeAccess(pd.number(), BigInt(addr), 'addr', length, 'length', Number(lkey), 'lkey', op.acc);
  const holder = takeHolder();
  const verdict = acquireElement(holder, last);
  if (last !== undefined && isCoalesced(verdict)) {
    giveHolder(holder);
    return { ret: 0, sge: session.answerSge(last) };
  }
  return bindAccepted(session, op.id, holder, verdict, { err: 'EINVAL' });
}

export function rkeyOk(session: Session, op: OperationMembers['rkey_ok']): Answer {
  const qp = session.qp(op.qp);
  if (qp === undefined) return SKIPPED;
  storeAccess(qp.number(), BigInt(op.vaddr), 'vaddr', op.len, 'len', Number(op.rkey), 'rkey', op.acc);
  const holder = takeHolder();
  return bindAccepted(session, op.id, holder, acquireElement(holder, undefined), { ret: 0 });
}

/** Binds an accepted element to its id; answers `refusal` for a refused check, whose reason the format does not report. */
function bindAccepted(session: Session, id: Id, holder: Holder, verdict: number, refusal: Answer): Answer {
  if (verdict !== 0) giveUnused(holder, verdict);
  if (verdict < 0) throw new Error(`a check returned ${nameErrno(verdict)}`);
  if (isCoalesced(verdict)) throw new Error('a check returned coalesced without a last element');
  if (verdict > 0) return refusal;
  session.bind(id, 'sge', holder);
  return { ret: 1, sge: session.answerSge(holder) };
}

export function putSge(session: Session, op: OperationMembers['put_sge']): Answer {
  const sge = session.sge(op.sge);
  if (sge === undefined) return SKIPPED;
  const status = putElement(sge);
  if (status === 0) {
    session.unbind(op.sge);
    giveHolder(sge);
  }
  return answerStatus(status);
}

export function walk(session: Session, op: OperationMembers['walk']): Answer {
  const sges: Holder[] = [];
  for (const id of op.sges) {
    const sge = session.sge(id);
    if (sge === undefined) return SKIPPED;
    sges.push(sge);
  }
  expectBounded(session, sges, op.steps);

  const state = native.createSgeState(elementNames(sges));
  if (typeof state === 'number') return answerFailure(state);
  const fragments = state.walk(Uint32Array.from(op.steps), op.release);
  if (typeof fragments === 'number') {
    if (fragments === -ENOMEM) throw new TraceError('walk: out of memory');
    return fragments <= REFUSED ? { err: 'EINVAL' } : answerFailure(fragments);
  }
  if (op.release) unbindConsumed(session, op.sges);
  return { ret: 0, fragments: groupByStep(session, fragments, op.steps.length) };
}

/** Unbinds the elements that the walk consumed completely, which the native module has put. */
function unbindConsumed(session: Session, ids: readonly Id[]): void {
  for (const id of ids) {
    const sge = session.sge(id);
    if (sge === undefined || session.describeSge(sge) !== undefined) continue;
    session.unbind(id);
    putElement(sge); // the element was put by the walk; this empties its cell
    giveHolder(sge);
  }
}

/** Groups the native module's fragments by step. */
function groupByStep(session: Session, fragments: BigUint64Array, steps: number): Fragment[][] {
  const byStep = Array.from({ length: steps }, (): Fragment[] => []);
  for (let i = 0; i < fragments.length; i += FragmentField.Count) {
    const region = session.regionOf(fieldOf(fragments, i + FragmentField.Region));
    const at = fieldOf(fragments, i + FragmentField.At);
    const length = fieldOf(fragments, i + FragmentField.Length);
    byStep[Number(fieldOf(fragments, i + FragmentField.Step))]?.push(answerFragment(region, at, length));
  }
  return byStep;
}

/**
 * Rejects a walk whose answer would be too long. A short line can request billions of fragments (255 elements of 4 GiB each),
 * which would exhaust the memory.
 *
 * @throws TraceError
 */
function expectBounded(session: Session, sges: readonly Holder[], steps: readonly number[]): void {
  const wanted = steps.reduce((sum, step) => sum + step, 0);
  // An upper bound: each fragment has at least one byte, and each step adds one list to the answer.
  if (wanted + steps.length <= MOST_FRAGMENTS) return;
  let left = wanted;
  let fragments = steps.length;
  for (const sge of sges) {
    const sgeFields = session.describeSge(sge);
    if (sgeFields === undefined) return;
    const bytes = Math.min(left, Number(fieldOf(sgeFields, SgeField.SgeLength)));
    fragments += Math.min(bytes, countSegments(session, sgeFields, bytes));
    left -= bytes;
  }
  // The core rejects steps past the end of the elements.
  if (left === 0 && fragments > MOST_FRAGMENTS) {
    throw new TraceError(`walk: the answer would have more than ${MOST_FRAGMENTS} fragments`);
  }
}

/** Returns an upper bound of the number of segments that hold `bytes` bytes of the element. */
function countSegments(session: Session, sgeFields: BigUint64Array, bytes: number): number {
  const region = session.regionOf(fieldOf(sgeFields, SgeField.Region));
  const fields = session.queryRegion(region.native);
  if (Number(fieldOf(fields, RegionField.Kind)) === RegionKind.Dma) return 1;
  return region.fmr ? Number(fieldOf(fields, RegionField.Segments)) : Math.ceil(bytes / PAGE_SIZE) + 1;
}
