// Finds the inputs that the recorded traces leave out (docs/trace-format.md, "Verbs"). A test uses them to verify that the generator
// leaves them out too.

import type { Region } from '../region';
import { coalesce } from '../checks';
import { lkeyCheck } from './local-check';
import type { PostSendOp, SendWr, SgeInput, VerbsOperation } from './operations';
import { isAtomic } from './posting';
import type { VerbsSession } from './session';

/** Returns what is wrong with the operation, given the state before it. */
export function omittedInputs(op: VerbsOperation, session: VerbsSession): string[] {
  const found: string[] = [];
  const note = (input: string, when: boolean | undefined) => {
    if (when === true) found.push(input);
  };
  const region = 'mr' in op ? session.regions.regions.get(String(op.mr)) : undefined;
  switch (op.op) {
    case 'modify_qp': {
      const qp = session.qps.get(op.qp);
      note('a cur_state that is not the present state', qp && (op.attr.cur_state ?? qp.state) !== qp.state);
      break;
    }
    case 'map_mr_sg':
      note('map_mr_sg of a region that a work request holds', region !== undefined && region.held > 0);
      break;
    case 'dereg_mr':
      note('a second dereg_mr while references are held', region?.halfDead && region.held > 0);
      break;
    case 'create_qp':
      note(
        'a receive queue of 16 or more',
        op.srq === null && op.max_recv_wr > 15 && op.max_recv_wr <= session.limits.max_qp_wr,
      );
      break;
    case 'create_srq':
      note('a receive queue of 16 or more', op.max_wr > 15 && op.max_wr <= session.limits.max_srq_wr);
      break;
    case 'post_recv':
    case 'post_srq_recv':
      note('no work request', op.wrs.length === 0);
      note(
        'too many SGEs',
        op.wrs.some(({ sges }) => sges.length > 16),
      );
      note(
        'key 0 outside of DMA memory',
        op.wrs.some(({ sges }) => sges.some((sge) => isOutside(session, sge))),
      );
      break;
    case 'post_send':
      note('no work request', op.wrs.length === 0);
      for (const wr of op.wrs) {
        const sum = wr.sges.reduce((total, { length }) => total + length, 0);
        note('too many SGEs', wr.sges.length > 16);
        note('SGEs of 2^32 bytes', sum >= 2 ** 32);
        // A message of more than 2^31 bytes is refused, and no memory is touched.
        note('key 0 outside of DMA memory', sum <= 2 ** 31 && wr.sges.some((sge) => isOutside(session, sge)));
        note('a remote key 0 outside of DMA memory', sum <= 2 ** 31 && isRemoteOutside(session, wr, sum));
        note(
          'an empty RDMA_READ with a good key',
          wr.opcode === 'RDMA_READ' && sum === 0 && hasKey(session, wr),
        );
        note('an atomic on unaligned memory', isAtomic(wr.opcode) && isUnaligned(session, wr));
      }
      note('SGEs that are joined without touching', joinsFalsely(session, op));
      break;
    default:
  }
  return found;
}

function isOutside(session: VerbsSession, { addr, length, lkey }: SgeInput): boolean {
  return lkey === '0x0' && length > 0 && !session.regions.insideDma(BigInt(addr), BigInt(length));
}

function isRemoteOutside(session: VerbsSession, wr: SendWr, sum: number): boolean {
  const length = isAtomic(wr.opcode) ? 8 : sum;
  return (
    wr.rkey === '0x0' && length > 0 && !session.regions.insideDma(BigInt(wr.remote_addr ?? 0), BigInt(length))
  );
}

function hasKey(session: VerbsSession, { rkey }: SendWr): boolean {
  return rkey === '0x0' || session.regions.table.find(Number(rkey)) !== undefined;
}

function isUnaligned(session: VerbsSession, { rkey }: SendWr): boolean {
  const region: Region | undefined = session.regions.table.find(Number(rkey));
  return region?.kind === 'user' && (region.base - region.iova) % 8n !== 0n;
}

function joinsFalsely(session: VerbsSession, { qp: id, wrs }: PostSendOp): boolean {
  const qp = session.qps.get(id);
  // A REG_MR of the list changes a key before the next work request is posted, so a list of several is not judged.
  if (qp === undefined || wrs.length > 1) return false;
  const accepted = (wrs[0]?.sges ?? []).flatMap((input) => {
    return input.length === 0 ? [] : (lkeyCheck(session, qp.pd, input, 0) ?? []);
  });
  let last = accepted.shift();
  for (const sge of accepted) {
    if (last?.region === sge.region && last.position + last.length === sge.address) {
      if (last.address + last.sgeLength !== sge.address) return true;
      if (coalesce(last, sge)) continue;
    }
    last = sge;
  }
  return false;
}
