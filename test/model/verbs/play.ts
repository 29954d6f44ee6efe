// Answers the operations of a verbs session (docs/trace-format.md, "Verbs").

import { allocMr, getDmaMr, regUserMr } from '../lifetime';
import { hex } from '../numbers';
import { mapMrSg } from '../scatter';
import type { ExitOp } from '../trace-types';
import { createAh, destroyAh } from './address-handle';
import { createCq, destroyCq, pollCq, reqNotifyCq, resizeCq } from './completion-queue';
import { deregMr } from './dereg';
import { run, timers } from './engine';
import { fill, mem } from './memory-bytes';
import { modifyQp } from './modify-qp';
import type { DeallocPdOp, VerbsAnswer, VerbsInitOp, VerbsOperation } from './operations';
import { postRecv, postSend } from './posting';
import { createQp, destroyQp, queryQp } from './queue-pair';
import { refuse, type VerbsSession } from './session';
import { createSrq, destroySrq, modifySrq, postSrqRecv, querySrq } from './shared-receive-queue';

export type VerbsOperationInSession = Exclude<VerbsOperation, VerbsInitOp | ExitOp>;

export function playVerbs(session: VerbsSession, op: VerbsOperationInSession): VerbsAnswer {
  const answer = answerTo(session, op);
  const events = session.takeEvents();
  return events.length === 0 ? answer : { ...answer, events };
}

function answerTo(session: VerbsSession, op: VerbsOperationInSession): VerbsAnswer {
  const { regions } = session;
  switch (op.op) {
    case 'alloc_pd':
      if (regions.pds.size >= session.limits.max_pd) return refuse('ENOMEM');
      regions.pds.set(String(op.id), { id: String(op.id), user: op.user });
      return { ret: 0 };
    case 'dealloc_pd':
      return deallocPd(session, op);
    case 'reg_user_mr':
      return regUserMr(regions, { ...op, id: String(op.id), pd: String(op.pd) });
    case 'get_dma_mr':
      return getDmaMr(regions, { ...op, id: String(op.id), pd: String(op.pd) });
    case 'alloc_mr':
      return allocMr(regions, { ...op, id: String(op.id), pd: String(op.pd) });
    case 'map_mr_sg':
      return mapMrSg(regions, { ...op, mr: String(op.mr) });
    case 'dereg_mr':
      return deregMr(session, session.region(op.mr));
    case 'refs':
      return { refs: session.region(op.mr).references };
    case 'mr_state': {
      const { key, valid } = session.region(op.mr);
      return { key: hex(key), invalid: !valid };
    }
    case 'fill':
      return fill(session, op);
    case 'mem':
      return mem(session, op);
    case 'create_ah':
      return createAh(session, op);
    case 'destroy_ah':
      return destroyAh(session, op);
    case 'create_cq':
      return createCq(session, op);
    case 'resize_cq':
      return resizeCq(session, op);
    case 'destroy_cq':
      return destroyCq(session, op);
    case 'poll_cq':
      return pollCq(session, op);
    case 'req_notify_cq':
      return reqNotifyCq(session, op);
    case 'create_srq':
      return createSrq(session, op);
    case 'modify_srq':
      return modifySrq(session, op);
    case 'query_srq':
      return querySrq(session, op);
    case 'destroy_srq':
      return destroySrq(session, op);
    case 'post_srq_recv':
      return postSrqRecv(session, op);
    case 'create_qp':
      return createQp(session, op);
    case 'modify_qp':
      return modifyQp(session, op);
    case 'query_qp':
      return queryQp(session, op);
    case 'destroy_qp':
      return destroyQp(session, op);
    case 'post_recv':
      return postRecv(session, op);
    case 'post_send':
      return postSend(session, op);
    case 'run':
      return run(session, op);
    case 'timers':
      return timers(session);
  }
}

/** Closes a protection domain, unless an object of it is alive; a half-dead region counts (docs/semantics.md, V2). */
function deallocPd(session: VerbsSession, op: DeallocPdOp): VerbsAnswer {
  const pd = session.pd(op.pd);
  for (const objects of [session.regions.regions, session.srqs, session.ahs, session.qps]) {
    for (const object of objects.values()) if (object.pd === pd) return refuse('EBUSY');
  }
  session.regions.pds.delete(String(op.pd));
  return { ret: 0 };
}
