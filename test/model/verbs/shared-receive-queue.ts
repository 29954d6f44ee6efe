// Models shared receive queues (docs/semantics.md, V4).

import type { ProtectionDomain } from '../region';
import type {
  CreateSrqOp,
  DestroySrqOp,
  Id,
  ModifySrqOp,
  PostSrqRecvOp,
  QuerySrqOp,
  ReceiveWr,
  VerbsAnswer,
} from './operations';
import { refuse, type VerbsSession } from './session';

export class SharedReceiveQueue {
  readonly receives: ReceiveWr[] = [];

  constructor(
    readonly id: Id,
    readonly pd: ProtectionDomain,
    public maxWr: number,
    readonly maxSge: number,
    /** The event is sent when fewer receives than this are left; 0 sends none. */
    public limit: number,
  ) {}
}

export function createSrq(session: VerbsSession, op: CreateSrqOp): VerbsAnswer {
  const pd = session.pd(op.pd);
  const { max_srq, max_srq_sge, max_srq_wr } = session.limits;
  if ((op.type ?? 'BASIC') !== 'BASIC') return refuse('EOPNOTSUPP');
  if (op.max_sge === 0 || op.max_sge > max_srq_sge) return refuse('EINVAL');
  if (op.max_wr === 0 || op.max_wr > max_srq_wr) return refuse('EINVAL');
  if (session.srqs.size >= max_srq) return refuse('ENOMEM');
  session.srqs.set(op.id, new SharedReceiveQueue(op.id, pd, op.max_wr, op.max_sge, op.srq_limit));
  return { ret: 0 };
}

export function modifySrq(session: VerbsSession, op: ModifySrqOp): VerbsAnswer {
  const srq = session.srq(op.srq);
  const maxWr = op.max_wr ?? srq.maxWr;
  const limit = op.srq_limit ?? srq.limit;
  if (op.max_wr !== undefined && maxWr > session.limits.max_srq_wr) return refuse('EINVAL');
  if (limit > maxWr) return refuse('EINVAL');
  if (maxWr < srq.receives.length) return refuse('EINVAL');
  srq.maxWr = maxWr;
  srq.limit = limit;
  return { ret: 0 };
}

export function querySrq(session: VerbsSession, op: QuerySrqOp): VerbsAnswer {
  const srq = session.srq(op.srq);
  return { max_wr: srq.maxWr, max_sge: srq.maxSge, srq_limit: srq.limit };
}

export function destroySrq(session: VerbsSession, op: DestroySrqOp): VerbsAnswer {
  const srq = session.srq(op.srq);
  for (const qp of session.qps.values()) if (qp.srq === srq) return refuse('EBUSY');
  session.srqs.delete(op.srq);
  return { ret: 0 };
}

export function postSrqRecv(session: VerbsSession, op: PostSrqRecvOp): VerbsAnswer {
  const srq = session.srq(op.srq);
  for (const [bad, wr] of op.wrs.entries()) {
    if (wr.sges.length > srq.maxSge) return { err: 'EINVAL', bad };
    if (srq.receives.length >= srq.maxWr) return { err: 'ENOMEM', bad };
    srq.receives.push(wr);
  }
  return { ret: 0 };
}
