// Models queue pairs: their fields, creation, query, destruction and reset (docs/semantics.md, V5 and V7).

import type { ProtectionDomain } from '../region';
import type { CompletionQueue } from './completion-queue';
import { type HeldSge, putAll } from './memory-bytes';
import type {
  AddressVector,
  AlternatePath,
  CreateVerbsQpOp,
  DestroyQpOp,
  Id,
  MigrationState,
  QpType,
  QueryQpOp,
  ReceiveWr,
  SendWr,
  State,
  VerbsAnswer,
} from './operations';
import type { Receive } from './receive-queue';
import { refuse, type VerbsSession } from './session';
import type { SharedReceiveQueue } from './shared-receive-queue';

/** A send work request in the send queue. */
export interface QueuedSend {
  readonly wr: SendWr;
  readonly sges: readonly HeldSge[];
  /** The sum of the lengths of the SGEs. */
  readonly length: number;
  /** A local operation is carried out while it is posted, or delayed until the engine executes the work request. */
  readonly local: 'carried out' | 'delayed' | undefined;
  /** The address that the handle of a UD work request had when the request was posted. */
  readonly av: AddressVector | undefined;
  started: boolean;
}

export class QueuePair {
  state: State = 'RESET';

  readonly sends: QueuedSend[] = [];
  readonly receives: ReceiveWr[] = [];
  /** UD: the receive that was taken for a message which did not fit. */
  inHand: Receive | undefined = undefined;
  /** Retries left before RNR_RETRY_EXC_ERR. */
  rnrCounter = 0;
  waitsForRnr = false;
  /** While this is not 0, every LOCAL_INV is delayed. A reset keeps it (docs/semantics.md, V8.3). */
  delayedInvalidations = 0;

  access = 0;
  pkeyIndex = 0;
  port = 0;
  qkey = 0;
  av: AddressVector = { dlid: 0, sl: 0, static_rate: 0, port: 0 };
  altPath: AlternatePath = { dlid: 0, sl: 0, static_rate: 0, port: 0, pkey_index: 0 };
  pathMtu = 0;
  timeout = 0;
  retryCnt = 0;
  rnrRetry = 0;
  rqPsn = 0;
  sqPsn = 0;
  maxRdAtomic = 0;
  maxDestRdAtomic = 0;
  minRnrTimer = 0;
  pathMigState: MigrationState = 'MIGRATED';
  destQpn = 0;
  sqDraining = 0;

  constructor(
    readonly id: Id,
    readonly qpn: number,
    readonly pd: ProtectionDomain,
    readonly type: QpType,
    readonly sendCq: CompletionQueue,
    readonly receiveCq: CompletionQueue,
    readonly srq: SharedReceiveQueue | undefined,
    readonly maxSendWr: number,
    readonly maxSendSge: number,
    readonly maxRecvWr: number,
    readonly maxRecvSge: number,
    readonly signalType: 'ALL' | 'REQ',
  ) {}

  /** Whether messages of other queue pairs are accepted. */
  get answers(): boolean {
    return this.state === 'RTR' || this.state === 'RTS' || this.state === 'SQD';
  }
}

export function createQp(session: VerbsSession, op: CreateVerbsQpOp): VerbsAnswer {
  const { limits } = session;
  const pd = session.pd(op.pd);
  const sendCq = session.cq(op.send_cq);
  const receiveCq = session.cq(op.recv_cq);
  const srq = op.srq === null ? undefined : session.srq(op.srq);

  if (op.max_send_sge > limits.max_send_sge || op.max_send_wr > limits.max_qp_wr) return refuse('EINVAL');
  if (srq === undefined) {
    if (op.max_recv_sge > limits.max_recv_sge || op.max_recv_wr > limits.max_qp_wr) return refuse('EINVAL');
    if (op.max_send_sge + op.max_send_wr + op.max_recv_sge + op.max_recv_wr === 0) return refuse('EINVAL');
  }
  if (!['RC', 'UC', 'UD'].includes(op.type)) return refuse('EOPNOTSUPP');
  // A queue pair beyond the limit uses a number up.
  const qpn = session.nextQpn++;
  if (session.qps.size >= limits.max_qp) return refuse('ENOMEM');

  const [maxRecvWr, maxRecvSge] = srq === undefined ? [op.max_recv_wr, op.max_recv_sge] : [0, 0];
  session.qps.set(
    op.id,
    new QueuePair(
      op.id,
      qpn,
      pd,
      op.type,
      sendCq,
      receiveCq,
      srq,
      op.max_send_wr,
      op.max_send_sge,
      maxRecvWr,
      maxRecvSge,
      op.sq_sig_type,
    ),
  );
  return { ret: 0, qpn };
}

export function queryQp(session: VerbsSession, op: QueryQpOp): VerbsAnswer {
  const qp = session.qp(op.qp);
  return {
    state: qp.state,
    path_mtu: qp.pathMtu,
    path_mig_state: qp.pathMigState,
    qkey: qp.qkey,
    rq_psn: qp.rqPsn,
    sq_psn: qp.sqPsn,
    dest_qpn: qp.destQpn,
    access: qp.access,
    max_send_wr: qp.maxSendWr,
    max_recv_wr: qp.maxRecvWr,
    max_send_sge: qp.maxSendSge,
    max_recv_sge: qp.maxRecvSge,
    max_inline_data: 0,
    pkey_index: qp.pkeyIndex,
    sq_draining: qp.sqDraining,
    max_rd_atomic: qp.maxRdAtomic,
    max_dest_rd_atomic: qp.maxDestRdAtomic,
    min_rnr_timer: qp.minRnrTimer,
    port: qp.port,
    timeout: qp.timeout,
    retry_cnt: qp.retryCnt,
    rnr_retry: qp.rnrRetry,
    sq_sig_type: qp.signalType,
    av: qp.av,
    alt_path: qp.altPath,
  };
}

export function destroyQp(session: VerbsSession, op: DestroyQpOp): VerbsAnswer {
  const qp = session.qp(op.qp);
  reset(session, qp);
  session.qps.delete(op.qp);
  return { ret: 0 };
}

/** Brings a queue pair to RESET. Posted receives stay; queued sends vanish without completions (docs/semantics.md, V7). */
export function reset(session: VerbsSession, qp: QueuePair): void {
  if (qp.state === 'RESET') return;
  session.ready.delete(qp);
  session.timers.delete(qp);
  session.destinations.delete(qp);
  qp.state = 'RESET';
  qp.waitsForRnr = false;
  for (const { sges } of qp.sends.splice(0)) putAll(sges);
  if (qp.inHand !== undefined) putAll(qp.inHand.sges);
  qp.inHand = undefined;
  qp.destQpn = qp.qkey = qp.access = qp.sqPsn = qp.rqPsn = qp.sqDraining = 0;
  qp.pathMigState = 'MIGRATED';
}
