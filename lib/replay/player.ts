/** Executes operations of the trace format on real devices. */
import { defaultLimits, limitWords } from '../internal/device-limits';
import { KeyTableField, PAGE_SIZE } from '../internal/layout';
import { native } from '../internal/native';
import { allocateMemory, type Answer, answerFailureOf, SKIPPED, toHex } from './answers';
import {
  allocFmr,
  allocMr,
  deallocFmr,
  deregMr,
  fastRegMr,
  getDmaMr,
  invalidateRkey,
  mapMrSg,
  mapPhysFmr,
  mrState,
  refs,
  regUserMr,
  unmapFmr,
} from './regions';
import { Session } from './session';
import { lkeyOk, putSge, rkeyOk, walk } from './sges';
import {
  type MemoryMembers,
  type Operation,
  type OperationMembers,
  type OperationOf,
  TraceError,
} from './trace-format';
import { pollCq, reqNotifyCq, run, takeEvents, timers } from './verbs/completions';
import { fill, mem } from './verbs/memory';
import type { Limits } from './verbs/operations';
import { createQp, destroyQp, modifyQp, queryQp } from './verbs/queue-pairs';
import {
  createAh,
  createCq,
  createSrq,
  deallocPd,
  destroyAh,
  destroyCq,
  destroySrq,
  modifySrq,
  querySrq,
  resizeCq,
} from './verbs/queues';
import { postRecv, postSend, postSrqRecv } from './verbs/work-requests';

/** The operations that require an open session. */
type SessionOperation = Exclude<Operation, OperationOf<'init'> | OperationOf<'exit'>>;

/**
 * Executes operations one by one. It calls the native module directly, so the rules that lib/verbs applies to the rights of a
 * region (`ib_check_mr_access`) do not apply, and its devices allow remote use of key 0.
 *
 * An operation that names an object which does not exist, or an object of the wrong kind, is answered with `{"skipped":true}`. So
 * is every operation while no session is open.
 */
export class TracePlayer {
  #session: Session | undefined = undefined;

  /** The open session; undefined if there is none. */
  get session(): Session | undefined {
    return this.#session;
  }

  /**
   * Executes the next operation.
   *
   * @returns the answer to the operation
   * @throws TraceError if the operation binds an id for the second time in its session, or if there is not enough memory
   */
  play(op: Operation): Answer {
    if (op.op === 'init') return this.#init(op);
    const session = this.#session;
    if (session === undefined) return SKIPPED;
    if (op.op === 'exit') return { ret: 0, dma_mr_leaked: this.#end(session) };
    if ('id' in op) session.expectFresh(op.id);
    const answer = playIn(session, op);
    const events = takeEvents(session);
    return events.length === 0 ? answer : { ...answer, events };
  }

  /** Closes the open session, if there is one. */
  close(): void {
    if (this.#session !== undefined) this.#end(this.#session);
  }

  #init(op: OperationMembers['init']): Answer {
    // Close a previous session that had no `exit`.
    this.close();
    const limits = op.limits === undefined ? defaultLimits : namedLimits(op.limits);
    const device = native.openDevice(op.lkey_table_bits, false, true, true, limitWords(limits));
    if (typeof device === 'number') return answerFailureOf(device, 'init');
    const session = new Session(device);
    this.#session = session;
    if (op.dma_pages > 0) {
      const memory = allocateMemory(BigInt(PAGE_SIZE) * BigInt(op.dma_pages), 'init');
      const mapping = device.mapDma(memory, BigInt(op.dma_base));
      if (typeof mapping === 'number') throw new TraceError(`init: cannot map the DMA memory (${mapping})`);
      session.dma = mapping;
      session.dmaMemory = { base: BigInt(op.dma_base), bytes: memory };
    }
    return { ret: 0, bits: device.bits() };
  }

  /** Closes the session and all of its objects. Returns whether a DMA region was still published. */
  #end(session: Session): boolean {
    this.#session = undefined;
    const status = session.device.close(true);
    if (status < 0) throw new Error(`the native module returned ${status} when it closed a device`);
    return status === 1;
  }
}

function namedLimits(limits: Limits): typeof defaultLimits {
  return {
    maxQp: limits.max_qp,
    maxQpWr: limits.max_qp_wr,
    maxSendSge: limits.max_send_sge,
    maxRecvSge: limits.max_recv_sge,
    maxCq: limits.max_cq,
    maxCqe: limits.max_cqe,
    maxSrq: limits.max_srq,
    maxSrqWr: limits.max_srq_wr,
    maxSrqSge: limits.max_srq_sge,
    maxPd: limits.max_pd,
    maxRdmaAtomic: limits.max_rdma_atomic,
    npkeys: limits.npkeys,
    maxAh: limits.max_ah ?? 0,
  };
}

function playIn(session: Session, op: SessionOperation): Answer {
  switch (op.op) {
    case 'alloc_pd':
      return allocPd(session, op);
    case 'dealloc_pd':
      return deallocPd(session, op);
    case 'create_qp':
      return 'type' in op ? createQp(session, op) : createCheckQp(session, op);
    case 'reg_user_mr':
      return regUserMr(session, op);
    case 'get_dma_mr':
      return getDmaMr(session, op);
    case 'alloc_mr':
      return allocMr(session, op);
    case 'map_mr_sg':
      return mapMrSg(session, op);
    case 'fast_reg_mr':
      return fastRegMr(session, op);
    case 'invalidate_rkey':
      return invalidateRkey(session, op);
    case 'alloc_fmr':
      return allocFmr(session, op);
    case 'map_phys_fmr':
      return mapPhysFmr(session, op);
    case 'unmap_fmr':
      return unmapFmr(session, op);
    case 'dealloc_fmr':
      return deallocFmr(session, op);
    case 'dereg_mr':
      return deregMr(session, op);
    case 'lkey_ok':
      return lkeyOk(session, op);
    case 'rkey_ok':
      return rkeyOk(session, op);
    case 'put_sge':
      return putSge(session, op);
    case 'walk':
      return walk(session, op);
    case 'refs':
      return refs(session, op);
    case 'table':
      return table(session);
    case 'mr_state':
      return mrState(session, op);
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

function allocPd(session: Session, op: OperationMembers['alloc_pd']): Answer {
  const pd = session.device.allocPd(op.user);
  if (typeof pd === 'number') return answerFailureOf(pd, 'alloc_pd');
  session.bind(op.id, 'pd', pd);
  return { ret: 0 };
}

function createCheckQp(session: Session, op: MemoryMembers['create_qp']): Answer {
  const pd = session.pd(op.pd);
  if (pd === undefined) return SKIPPED;
  const qp = pd.createCheckQp();
  if (typeof qp === 'number') return answerFailureOf(qp, 'create_qp');
  session.bind(op.id, 'qp', qp);
  return { ret: 0 };
}

/** Answers the `table` operation. The native module's `used` array has index, key and region of each slot in sequence. */
function table(session: Session): Answer {
  const answer = session.device.keyTable();
  if (typeof answer === 'number') throw new TraceError(`table: out of memory (${answer})`);
  const { max, next, generation, used: flat } = answer;
  const used = Array.from({ length: flat.length / KeyTableField.Count }, (_, i) => {
    const [index = 0, lkey = 0, region = 0] = flat.subarray(
      KeyTableField.Count * i,
      KeyTableField.Count * (i + 1),
    );
    return { index, lkey: toHex(lkey), mr: session.regionOf(region).name };
  });
  return { max, next, gen: generation, used };
}
