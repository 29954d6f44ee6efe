// Names the situations of docs/semantics.md, Verbs, that an operation meets, given the state before the operation and its answer.
// A test uses them to verify that the generator reaches all of them.

import {
  type CompletionOpcode,
  type Status,
  unsupportedOpcodes,
  type VerbsAnswer,
  type VerbsOperation,
} from './operations';
import { rnrMicroseconds } from './engine';
import { opcodesOf } from './posting';
import type { VerbsSession } from './session';

const sendCompletions: CompletionOpcode[] = [
  ...(['SEND', 'RDMA_WRITE', 'RDMA_READ', 'COMP_SWAP', 'FETCH_ADD', 'LOCAL_INV', 'REG_MR'] as const),
];
const failures: Status[] = [
  ...(['LOC_PROT_ERR', 'WR_FLUSH_ERR', 'REM_INV_REQ_ERR', 'REM_ACCESS_ERR', 'REM_OP_ERR'] as const),
  ...(['RETRY_EXC_ERR', 'RNR_RETRY_EXC_ERR'] as const),
];
const retries = [0, 1, 2, 3, 4, 5, 6];

export const situations: readonly string[] = [
  ...(['RC', 'UC', 'UD'] as const).flatMap((type) =>
    opcodesOf[type].map((opcode) => `${type} posts ${opcode}`),
  ),
  ...unsupportedOpcodes.map((opcode) => `${opcode} is refused`),
  ...sendCompletions.map((opcode) => `${opcode} completes with SUCCESS`),
  ...failures.map((status) => `a send completes with ${status}`),
  ...['SUCCESS', 'WR_FLUSH_ERR', 'LOC_PROT_ERR', 'LOC_QP_OP_ERR'].map(
    (status) => `RECV completes with ${status}`,
  ),
  ...['SUCCESS'].map((status) => `RECV_RDMA_WITH_IMM completes with ${status}`),
  'LOCAL_INV completes with LOC_PROT_ERR',
  'a receive has imm',
  'a receive has inv',
  ...retries.map((n) => `RNR_RETRY_EXC_ERR after ${n} retries`),
  'RNR with rnr_retry 7 waits more than 8 times',
  ...[...rnrMicroseconds.keys()].map((timer) => `an RNR timer of min_rnr_timer ${timer}`),
  ...['cq_err', 'last_wqe', 'srq_limit', 'comp'].map((ev) => `event ${ev}`),
  'poll_cq after cq_err',
  'a send queue is flushed',
  'more than one receive is flushed',
  'modify_qp to SQD with a started send',
  'modify_qp from SQD to RTS with queued sends',
  'post_send in SQD',
  'post_send in ERR',
  'post_recv in ERR',
  'modify_qp to RESET with queued sends',
  'modify_qp to RESET with posted receives',
  'modify_qp to RESET with a receive in hand',
  'modify_qp to RESET with a running RNR timer',
  'destroy_qp with queued sends',
  'a datagram with the wrong qkey',
  'a datagram with the qkey of its sender',
  'a datagram that does not fit its receive',
  'a datagram to nowhere',
  'dereg_mr with queued sends',
  'dereg_mr with a receive in hand',
  'dereg_mr with an error of a UC queue pair',
  'dereg_mr of a DMA region that is held',
  'dereg_mr of a half-dead region',
  'LOCAL_INV is delayed by FENCE',
  'LOCAL_INV is delayed by the count',
  'LOCAL_INV is carried out while it is posted',
  'REG_MR is refused with EACCES',
  'REG_MR is refused with EINVAL',
  'REG_MR is carried out and refused with ENOMEM',
  'SGEs are joined',
  'a message from a queue pair to itself',
  'a receive of an SRQ in another domain than its queue pair',
  'create_qp uses up a number',
  'an operation is skipped',
];

/** Returns the situations that can be told before the operation is played. */
export function situationsBefore(op: VerbsOperation, session: VerbsSession): string[] {
  const found: string[] = [];
  const note = (situation: string, when: boolean | undefined) => {
    if (when === true) found.push(situation);
  };
  switch (op.op) {
    case 'modify_qp': {
      const qp = session.qps.get(op.qp);
      const { state } = op.attr;
      note('modify_qp to SQD with a started send', state === 'SQD' && qp?.sends[0]?.started);
      note(
        'modify_qp from SQD to RTS with queued sends',
        qp?.state === 'SQD' && state === 'RTS' && qp.sends.length > 0,
      );
      if (qp === undefined || state !== 'RESET') break;
      note('modify_qp to RESET with queued sends', qp.sends.length > 0);
      note('modify_qp to RESET with posted receives', qp.receives.length > 0);
      note('modify_qp to RESET with a receive in hand', qp.inHand !== undefined);
      note('modify_qp to RESET with a running RNR timer', session.timers.has(qp));
      break;
    }
    case 'destroy_qp':
      note('destroy_qp with queued sends', (session.qps.get(op.qp)?.sends.length ?? 0) > 0);
      break;
    case 'post_recv':
      note('post_recv in ERR', session.qps.get(op.qp)?.state === 'ERR');
      break;
    case 'poll_cq':
      note('poll_cq after cq_err', session.cqs.get(op.cq)?.broken);
      break;
    case 'run':
      for (const qp of session.ready) {
        note('a send queue is flushed', qp.state === 'ERR' && qp.sends.length > 1);
        if (qp.state !== 'RTS' || qp.waitsForRnr) continue;
        note('a message from a queue pair to itself', qp.type !== 'UD' && qp.destQpn === qp.qpn);
        for (const { wr, length } of qp.type === 'UD' ? qp.sends : []) {
          const peer = session.destination(wr.remote_qpn ?? 0);
          const qkey = wr.remote_qkey ?? 0;
          note('a datagram to nowhere', peer === undefined);
          note('a datagram with the qkey of its sender', qkey >= 2 ** 31 && peer?.qkey === qp.qkey);
          note(
            'a datagram with the wrong qkey',
            peer?.answers === true && qkey < 2 ** 31 && peer.qkey !== qkey,
          );
          const room = peer?.inHand?.sges.reduce((sum, { sge }) => sum + Number(sge.sgeLength), 0);
          note('a datagram that does not fit its receive', room !== undefined && room < length + 40);
        }
      }
      break;
    case 'dereg_mr': {
      const region = session.regions.regions.get(String(op.mr));
      if (region === undefined) break;
      note('dereg_mr of a half-dead region', region.halfDead);
      if (region.halfDead) break;
      note('dereg_mr of a DMA region that is held', region.kind === 'dma' && region.held > 0);
      if (region.kind === 'dma') break;
      for (const qp of session.qps.values()) {
        const holds = (sges: readonly { sge: { region: unknown } }[]) =>
          sges.some(({ sge }) => sge.region === region);
        note('dereg_mr with a receive in hand', qp.inHand && holds(qp.inHand.sges));
        const sends = qp.sends.some(({ sges }) => holds(sges));
        note('dereg_mr with queued sends', sends);
        note('dereg_mr with an error of a UC queue pair', sends && qp.type === 'UC' && qp.state !== 'ERR');
      }
      break;
    }
    default:
  }
  return found;
}

/** Returns the situations that show in the answer, or in the state after the operation. */
export function situationsAfter(
  op: VerbsOperation,
  answer: VerbsAnswer,
  session: VerbsSession | undefined,
): string[] {
  const found: string[] = [];
  const note = (situation: string, when: boolean | undefined) => {
    if (when === true) found.push(situation);
  };
  note('an operation is skipped', 'skipped' in answer);
  for (const { ev } of answer.events ?? []) found.push(`event ${ev}`);
  if ('wcs' in answer) {
    for (const { opcode, status, imm, inv, qp: id } of answer.wcs) {
      const receives = opcode === 'RECV' || opcode === 'RECV_RDMA_WITH_IMM';
      found.push(`${opcode} completes with ${status}`);
      if (!receives) found.push(`a send completes with ${status}`);
      note('a receive has imm', imm !== undefined);
      note('a receive has inv', inv !== undefined);
      const qp = session?.qps.get(id);
      note(
        'a receive of an SRQ in another domain than its queue pair',
        opcode === 'RECV' && status === 'SUCCESS' && qp?.srq !== undefined && qp.srq.pd !== qp.pd,
      );
    }
    const flushed = answer.wcs.filter(({ opcode, status }) => opcode === 'RECV' && status === 'WR_FLUSH_ERR');
    note('more than one receive is flushed', flushed.length > 1);
  }
  if ('fired' in answer) {
    for (const { usec } of answer.fired) {
      found.push(`an RNR timer of min_rnr_timer ${rnrMicroseconds.indexOf(usec)}`);
    }
  }
  if (op.op === 'create_qp') note('create_qp uses up a number', 'err' in answer && answer.err === 'ENOMEM');
  if (op.op !== 'post_send' || session === undefined) return found;

  const qp = session.qps.get(op.qp);
  if (qp === undefined || 'skipped' in answer) return found;
  const bad = 'bad' in answer ? (answer.bad ?? 0) : op.wrs.length;
  const accepted = op.wrs.slice(0, bad);
  note('post_send in SQD', qp.state === 'SQD' && accepted.length > 0);
  note('post_send in ERR', qp.state === 'ERR' && accepted.length > 0);
  for (const { opcode } of accepted) found.push(`${qp.type} posts ${opcode}`);
  const refused = 'bad' in answer && answer.bad !== null ? op.wrs[answer.bad] : undefined;
  if (refused !== undefined && 'err' in answer) {
    found.push(`${refused.opcode} is refused`);
    if (refused.opcode === 'REG_MR') {
      const registered = session.regions.regions.get(String(refused.mr))?.key === Number(refused.key);
      note(`REG_MR is refused with ${answer.err}`, answer.err !== 'ENOMEM');
      note('REG_MR is carried out and refused with ENOMEM', answer.err === 'ENOMEM' && registered);
    }
  }
  const byId = new Map(qp.sends.map((send) => [send.wr.wr_id, send]));
  for (const wr of accepted) {
    const send = byId.get(wr.wr_id);
    if (wr.opcode === 'LOCAL_INV') {
      const delayed = send?.local === 'delayed';
      note('LOCAL_INV is delayed by FENCE', delayed && wr.flags.includes('FENCE'));
      note('LOCAL_INV is delayed by the count', delayed && !wr.flags.includes('FENCE'));
      note('LOCAL_INV is carried out while it is posted', !delayed);
    }
    const given = wr.sges.filter(({ length }) => length > 0).length;
    note('SGEs are joined', send !== undefined && send.sges.length < given);
  }
  return found;
}

/** Counts the RNR waits of each send. Returns the situations of a session that are told by several operations. */
export class RnrCounter {
  readonly #waits = new Map<number, number>();

  /** Looks at an answer and the state after it. */
  see(answer: VerbsAnswer, session: VerbsSession): string[] {
    const found: string[] = [];
    if ('fired' in answer) {
      for (const { qp: id } of answer.fired) {
        const waits = (this.#waits.get(id) ?? 0) + 1;
        this.#waits.set(id, waits);
        if (session.qps.get(id)?.rnrRetry === 7 && waits > 8) {
          found.push('RNR with rnr_retry 7 waits more than 8 times');
        }
      }
    }
    if ('wcs' in answer) {
      for (const { status, opcode, qp: id } of answer.wcs) {
        if (opcode.startsWith('RECV')) continue;
        const waits = this.#waits.get(id) ?? 0;
        if (status === 'RNR_RETRY_EXC_ERR' && session.qps.get(id)?.rnrRetry === waits) {
          found.push(`RNR_RETRY_EXC_ERR after ${waits} retries`);
        }
        this.#waits.delete(id);
      }
    }
    return found;
  }
}
