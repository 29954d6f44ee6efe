/** Playing the access checks and what is done with the elements they accept. */
import type { NativeSge } from '../internal/native';
import { errnoName, outcome, SKIPPED } from './answers';
import type { Answer, OperationMembers } from './operations';
import type { Session } from './session';

export function lkeyOk(session: Session, op: OperationMembers['lkey_ok']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  let last: NativeSge | null = null;
  if (op.last !== null) {
    const named = session.sge(op.last);
    if (named === undefined) return SKIPPED;
    last = named;
  }
  const { addr, length, lkey } = op.sge;
  const verdict = pd.acquire(BigInt(addr), length, Number(lkey), op.acc, last);
  if (verdict === 0 && last !== null) return { ret: 0, sge: session.sgeAnswer(last) };
  if (typeof verdict === 'number') return refused(verdict, { err: 'EINVAL' });
  session.bindSge(op.id, verdict);
  return { ret: 1, sge: session.sgeAnswer(verdict) };
}

export function rkeyOk(session: Session, op: OperationMembers['rkey_ok']): Answer {
  const qp = session.qp(op.qp);
  if (qp === undefined) return SKIPPED;
  const verdict = qp.acquire(BigInt(op.vaddr), op.len, Number(op.rkey), op.acc);
  if (typeof verdict === 'number') return refused(verdict, { ret: 0 });
  session.bindSge(op.id, verdict);
  return { ret: 1, sge: session.sgeAnswer(verdict) };
}

/** Positive: the number of a reason, which the format does not tell. */
function refused(verdict: number, answer: Answer): Answer {
  if (verdict > 0) return answer;
  throw new Error(`a check answered ${verdict === 0 ? 'a coalescing with nothing' : errnoName(verdict)}`);
}

export function putSge(session: Session, op: OperationMembers['put_sge']): Answer {
  const sge = session.sge(op.sge);
  if (sge === undefined) return SKIPPED;
  const status = sge.put();
  if (status === 0) session.unbind(op.sge);
  return outcome(status);
}
