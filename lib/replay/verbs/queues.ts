/** Executes the operations that create, change and destroy completion queues, shared receive queues and address handles. */
import { SrqAttrWord, SrqMask } from '../../internal/layout';
import type { Status } from '../../internal/native';
import { type Answer, answerFailureOf, answerStatus, SKIPPED } from '../answers';
import type { Session } from '../session';
import type { Id, OperationMembers } from '../trace-format';

const BYTE = 256;

export function createCq(session: Session, op: OperationMembers['create_cq']): Answer {
  const cq = session.device.createCq(op.cqe, op.comp_vector ?? 0, op.flags ?? 0);
  if (typeof cq === 'number') return answerFailureOf(cq, 'create_cq');
  session.bind(op.id, 'cq', cq);
  return { ret: 0 };
}

export function resizeCq(session: Session, op: OperationMembers['resize_cq']): Answer {
  const status = session.cq(op.cq)?.resize(op.cqe);
  if (status === undefined) return SKIPPED;
  return status < 0 ? answerFailureOf(status, 'resize_cq') : { ret: 0 };
}

export function destroyCq(session: Session, op: OperationMembers['destroy_cq']): Answer {
  return destroy(session, op.cq, session.cq(op.cq)?.destroy());
}

export function createSrq(session: Session, op: OperationMembers['create_srq']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  const srq = pd.createSrq(op.max_wr, op.max_sge, op.srq_limit, (op.type ?? 'BASIC') === 'BASIC');
  if (typeof srq === 'number') return answerFailureOf(srq, 'create_srq');
  session.bind(op.id, 'srq', srq);
  return { ret: 0 };
}

export function modifySrq(session: Session, op: OperationMembers['modify_srq']): Answer {
  const mask =
    (op.max_wr === undefined ? 0 : SrqMask.MaxWr) | (op.srq_limit === undefined ? 0 : SrqMask.Limit);
  const status = session.srq(op.srq)?.modify(mask, op.max_wr ?? 0, op.srq_limit ?? 0);
  if (status === undefined) return SKIPPED;
  return status < 0 ? answerFailureOf(status, 'modify_srq') : { ret: 0 };
}

export function querySrq(session: Session, op: OperationMembers['query_srq']): Answer {
  const words = new Uint32Array(SrqAttrWord.Words);
  const status = session.srq(op.srq)?.query(words);
  if (status === undefined) return SKIPPED;
  if (status < 0) return answerFailureOf(status, 'query_srq');
  const [maxWr = 0, maxSge = 0, limit = 0] = [
    words[SrqAttrWord.MaxWr],
    words[SrqAttrWord.MaxSge],
    words[SrqAttrWord.Limit],
  ];
  return { max_wr: maxWr, max_sge: maxSge, srq_limit: limit };
}

export function destroySrq(session: Session, op: OperationMembers['destroy_srq']): Answer {
  return destroy(session, op.srq, session.srq(op.srq)?.destroy());
}

export function createAh(session: Session, op: OperationMembers['create_ah']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  const { dlid, sl, static_rate: rate, port } = op.av;
  // The native module takes bytes. `sl` has no bounds, and only its low 8 bits count; 255 is as wrong as any higher rate or port.
  const ah = pd.createAh(dlid, sl % BYTE, Math.min(rate, BYTE - 1), Math.min(port, BYTE - 1));
  if (typeof ah === 'number') return answerFailureOf(ah, 'create_ah');
  session.bind(op.id, 'ah', ah);
  return { ret: 0 };
}

export function destroyAh(session: Session, op: OperationMembers['destroy_ah']): Answer {
  return destroy(session, op.ah, session.ah(op.ah)?.destroy());
}

export function deallocPd(session: Session, op: OperationMembers['dealloc_pd']): Answer {
  return destroy(session, op.pd, session.pd(op.pd)?.dealloc(false));
}

/** Answers with the status of a destruction and, if it succeeded, unbinds the id. `status` undefined: there is no such object. */
export function destroy(session: Session, id: Id, status: Status | undefined): Answer {
  if (status === undefined) return SKIPPED;
  if (status === 0) session.unbind(id);
  return answerStatus(status);
}
