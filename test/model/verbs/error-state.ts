// Models how a queue pair enters the error state (docs/semantics.md, V9).

import { complete } from './completion-queue';
import { putAll } from './memory-bytes';
import type { Status } from './operations';
import type { QueuePair } from './queue-pair';
import type { Receive } from './receive-queue';
import type { VerbsSession } from './session';

/**
 * Enters the error state and flushes the receives. The send queue is flushed by the engine. `inHand` is the receive that the
 * failing message has taken, which completes with `status`. Returns whether the event `last_wqe` is due; only some callers send it.
 */
export function enterError(session: VerbsSession, qp: QueuePair, status: Status, inHand?: Receive): boolean {
  if (qp.state === 'RESET' || qp.state === 'ERR') return false;
  qp.state = 'ERR';
  qp.waitsForRnr = false;
  if (qp.sends.length > 0) session.ready.add(qp);

  const failing = inHand ?? qp.inHand;
  if (failing !== undefined) {
    putAll(failing.sges);
    qp.inHand = undefined;
    completeReceive(session, qp, failing.wrId, status);
  }
  if (qp.srq !== undefined) return true;
  for (const { wr_id } of qp.receives.splice(0)) completeReceive(session, qp, wr_id, 'WR_FLUSH_ERR');
  return false;
}

/** Enters the error state and sends the event `last_wqe` if it is due. */
export function enterErrorWithEvent(
  session: VerbsSession,
  qp: QueuePair,
  status: Status,
  inHand?: Receive,
): void {
  if (enterError(session, qp, status, inHand)) session.report({ ev: 'last_wqe', qp: qp.id });
}

/** Completes a receive that got no message. */
export function completeReceive(session: VerbsSession, qp: QueuePair, wrId: number, status: Status): void {
  complete(session, qp.receiveCq, { wr_id: wrId, status, opcode: 'RECV', qp: qp.id }, true);
}
