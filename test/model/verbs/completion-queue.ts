// Models completion queues (docs/semantics.md, V3).

import type {
  CreateCqOp,
  DestroyCqOp,
  Id,
  PollCqOp,
  ReqNotifyCqOp,
  ResizeCqOp,
  VerbsAnswer,
  WorkCompletion,
} from './operations';
import { refuse, type VerbsSession } from './session';

const SOLICITED = 1;
const NEXT = 2;
const REPORT_MISSED = 4;

export class CompletionQueue {
  readonly entries: WorkCompletion[] = [];
  /** A completion was lost. A broken queue never accepts a completion again. */
  broken = false;
  /** 0, SOLICITED or NEXT. */
  armed = 0;

  constructor(
    readonly id: Id,
    public cqe: number,
  ) {}
}

/**
 * Enters a completion. Returns false if the queue does not take the completion, which is lost then. The members that the caller
 * does not give are 0.
 */
export function complete(
  session: VerbsSession,
  cq: CompletionQueue,
  completion: Pick<WorkCompletion, 'wr_id' | 'status' | 'opcode' | 'qp'> & Partial<WorkCompletion>,
  solicited: boolean,
): boolean {
  if (cq.broken || cq.entries.length >= cq.cqe) {
    cq.broken = true;
    session.report({ ev: 'cq_err', cq: cq.id });
    return false;
  }
  cq.entries.push({ byte_len: 0, src_qp: 0, wc_flags: 0, slid: 0, sl: 0, port: 0, ...completion });
  const wanted = solicited || completion.status !== 'SUCCESS';
  if (cq.armed === NEXT || (cq.armed === SOLICITED && wanted)) {
    cq.armed = 0;
    session.report({ ev: 'comp', cq: cq.id });
  }
  return true;
}

export function createCq(session: VerbsSession, op: CreateCqOp): VerbsAnswer {
  const { max_cq, max_cqe } = session.limits;
  if ((op.flags ?? 0) !== 0) return refuse('EOPNOTSUPP');
  if (op.cqe === 0 || op.cqe > max_cqe) return refuse('EINVAL');
  if (session.cqs.size >= max_cq) return refuse('ENOMEM');
  session.cqs.set(op.id, new CompletionQueue(op.id, op.cqe));
  return { ret: 0 };
}

export function resizeCq(session: VerbsSession, op: ResizeCqOp): VerbsAnswer {
  const cq = session.cq(op.cq);
  if (op.cqe === 0 || op.cqe > session.limits.max_cqe || op.cqe < cq.entries.length) return refuse('EINVAL');
  cq.cqe = op.cqe;
  return { ret: 0 };
}

export function destroyCq(session: VerbsSession, op: DestroyCqOp): VerbsAnswer {
  const cq = session.cq(op.cq);
  for (const qp of session.qps.values()) if (qp.sendCq === cq || qp.receiveCq === cq) return refuse('EBUSY');
  session.cqs.delete(op.cq);
  return { ret: 0 };
}

export function pollCq(session: VerbsSession, op: PollCqOp): VerbsAnswer {
  return { wcs: session.cq(op.cq).entries.splice(0, op.n) };
}

export function reqNotifyCq(session: VerbsSession, op: ReqNotifyCqOp): VerbsAnswer {
  const cq = session.cq(op.cq);
  if (cq.armed !== NEXT) cq.armed = op.flags & (SOLICITED | NEXT);
  const missed = (op.flags & REPORT_MISSED) !== 0 && cq.entries.length > 0;
  return { ret: missed ? 1 : 0 };
}
