// Models the delivery of UD messages (docs/semantics.md, V14).

import { complete } from './completion-queue';
import { completeReceive, enterError, enterErrorWithEvent } from './error-state';
import { lengthOf, putAll } from './memory-bytes';
import type { QueuedSend, QueuePair } from './queue-pair';
import { takeReceive } from './receive-queue';
import type { VerbsSession } from './session';

/** The bytes at the start of a UD receive that the message leaves alone: the space of the global routing header. */
const HEADER = 40;
const WITH_IMM = 2;

/** Delivers a message or drops it. The sender's work request succeeds in both cases. */
export function sendDatagram(session: VerbsSession, sender: QueuePair, send: QueuedSend): void {
  const { wr, length } = send;
  const peer = session.destination(wr.remote_qpn ?? 0);
  if (peer?.type !== 'UD' || !peer.answers) return;
  const remoteQkey = wr.remote_qkey ?? 0;
  if ((remoteQkey >= 2 ** 31 ? sender.qkey : remoteQkey) !== peer.qkey) return;

  if (peer.inHand === undefined) {
    const taken = takeReceive(session, peer, true);
    if ('none' in taken) return;
    if ('badKey' in taken) {
      completeReceive(session, peer, taken.badKey.wr_id, 'LOC_PROT_ERR');
      enterErrorWithEvent(session, peer, 'LOC_QP_OP_ERR');
      return;
    }
    peer.inHand = taken.receive;
  }
  const receive = peer.inHand;
  // A receive that is too short stays in hand for the next message.
  if (length + HEADER > lengthOf(receive.sges)) return;

  session.memory.write(receive.sges, session.memory.read(send.sges, length), HEADER);
  putAll(receive.sges);
  peer.inHand = undefined;
  const completion: Parameters<typeof complete>[2] = {
    wr_id: receive.wrId,
    status: 'SUCCESS',
    opcode: 'RECV',
    byte_len: length + HEADER,
    qp: peer.id,
    src_qp: sender.qpn,
    slid: 1,
    sl: send.av?.sl ?? 0,
    port: peer.port,
    ...(wr.opcode === 'SEND_WITH_IMM' ? { wc_flags: WITH_IMM, imm: wr.imm ?? 0 } : {}),
  };
  const taken = complete(session, peer.receiveCq, completion, wr.flags.includes('SOLICITED'));
  if (!taken) enterError(session, peer, 'LOC_QP_OP_ERR');
}
