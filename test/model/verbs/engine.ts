// Models the send engine: the ready queue, the work on one queue pair, RNR and the timers (docs/semantics.md, V1, V10 and V12).

import { complete } from './completion-queue';
import { sendDatagram } from './datagrams';
import { enterError, enterErrorWithEvent } from './error-state';
import { putAll } from './memory-bytes';
import type { CompletionOpcode, RunOp, Status, SupportedOpcode, VerbsAnswer } from './operations';
import { invalidate } from './posting';
import type { QueuedSend, QueuePair } from './queue-pair';
import { execute } from './responder';
import type { VerbsSession } from './session';

/** The RNR timers in microseconds, by the responder's min_rnr_timer. */
export const rnrMicroseconds = [
  ...[655360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920],
  ...[
    2560, 3840, 5120, 7680, 10240, 15360, 20480, 30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680,
  ],
  491520,
];

const completionOpcodes: Record<SupportedOpcode, CompletionOpcode> = {
  SEND: 'SEND',
  SEND_WITH_IMM: 'SEND',
  SEND_WITH_INV: 'SEND',
  RDMA_WRITE: 'RDMA_WRITE',
  RDMA_WRITE_WITH_IMM: 'RDMA_WRITE',
  RDMA_READ: 'RDMA_READ',
  ATOMIC_CMP_AND_SWP: 'COMP_SWAP',
  ATOMIC_FETCH_AND_ADD: 'FETCH_ADD',
  REG_MR: 'REG_MR',
  LOCAL_INV: 'LOCAL_INV',
};

export function run(session: VerbsSession, op: RunOp): VerbsAnswer {
  const kicked = (op.kick ?? []).map((id) => session.qp(id));
  for (const qp of kicked) session.ready.add(qp);
  runEngine(session);
  return { ret: 0 };
}

/** Lets the engine work until no queue pair is ready. */
export function runEngine(session: VerbsSession): void {
  for (;;) {
    const [qp] = session.ready;
    if (qp === undefined) return;
    session.ready.delete(qp);
    if (qp.type === 'UD') workOnDatagrams(session, qp);
    else work(session, qp);
  }
}

/** Fires all timers, in the order in which they were started. */
export function timers(session: VerbsSession): VerbsAnswer {
  const fired = [...session.timers].map(([qp, { usec }]) => ({ qp, usec }));
  session.timers.clear();
  for (const { qp } of fired) {
    if (!qp.waitsForRnr) continue;
    qp.waitsForRnr = false;
    session.ready.add(qp);
  }
  return { fired: fired.map(({ qp, usec }) => ({ qp: qp.id, usec })) };
}

function work(session: VerbsSession, qp: QueuePair): void {
  if (qp.waitsForRnr || (qp.state !== 'RTS' && qp.state !== 'SQD' && qp.state !== 'ERR')) return;
  const peer = session.destination(qp.destQpn);
  for (;;) {
    const send = qp.sends[0];
    if (send === undefined) return;
    if (qp.state === 'ERR') {
      finish(session, qp, 'WR_FLUSH_ERR');
      continue;
    }
    if (qp.state === 'SQD') return;

    send.started = true;
    if (peer?.answers !== true || peer.type !== qp.type) {
      fail(session, qp, qp.type === 'RC' ? 'RETRY_EXC_ERR' : 'SUCCESS');
      return;
    }
    if (send.local !== undefined) {
      finish(session, qp, finishLocal(session, qp, send));
      continue;
    }
    const outcome = execute(session, qp, peer, send);
    if ('failed' in outcome) {
      fail(session, qp, outcome.failed);
      return;
    }
    if ('notReady' in outcome && qp.type === 'RC') {
      if (qp.rnrCounter === 0) {
        fail(session, qp, 'RNR_RETRY_EXC_ERR');
        return;
      }
      if (qp.rnrRetry !== 7) qp.rnrCounter -= 1;
      qp.waitsForRnr = true;
      session.timers.set(qp, { usec: rnrMicroseconds[peer.minRnrTimer] ?? NaN });
      return;
    }
    // A UC message for which no receive is posted is dropped, and its work request succeeds.
    finish(session, qp, 'SUCCESS');
  }
}

function workOnDatagrams(session: VerbsSession, qp: QueuePair): void {
  for (;;) {
    const send = qp.sends[0];
    if (send === undefined) return;
    if (qp.state === 'ERR') {
      finish(session, qp, 'WR_FLUSH_ERR');
    } else if (qp.state === 'RTS') {
      sendDatagram(session, qp, send);
      finish(session, qp, 'SUCCESS');
    } else {
      return;
    }
  }
}

/** Executes a delayed LOCAL_INV. A local operation that was carried out while it was posted has only its completion left. */
function finishLocal(session: VerbsSession, qp: QueuePair, { wr, local }: QueuedSend): Status {
  if (local === 'carried out') return 'SUCCESS';
  qp.delayedInvalidations -= 1;
  return invalidate(session, qp.pd, wr) ? 'SUCCESS' : 'LOC_PROT_ERR';
}

/** Completes the first work request of the send queue. */
function finish(session: VerbsSession, qp: QueuePair, status: Status): void {
  const send = qp.sends.shift();
  if (send === undefined) throw new Error('the model completed a send that does not exist');
  putAll(send.sges);
  qp.rnrCounter = qp.rnrRetry;
  if (qp.signalType === 'REQ' && !send.wr.flags.includes('SIGNALED') && status === 'SUCCESS') return;
  const completion = {
    wr_id: send.wr.wr_id,
    status,
    opcode: completionOpcodes[send.wr.opcode as SupportedOpcode],
    byte_len: send.length,
    qp: qp.id,
  };
  const taken = complete(session, qp.sendCq, completion, status !== 'SUCCESS');
  if (!taken) enterError(session, qp, 'LOC_QP_OP_ERR');
}

/** Completes the first work request with an error, after which the engine leaves the queue pair. An RC queue pair fails too. */
function fail(session: VerbsSession, qp: QueuePair, status: Status): void {
  finish(session, qp, status);
  if (qp.type === 'RC') enterErrorWithEvent(session, qp, 'WR_FLUSH_ERR');
}
