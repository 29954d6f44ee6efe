// Models post_send and post_recv (docs/semantics.md, V8, and V14 for UD).

import { coalesce } from '../checks';
import { keyOf } from '../numbers';
import { invalidateKey, registerFast } from '../registration';
import type { ProtectionDomain, Region } from '../region';
import type { AddressHandle } from './address-handle';
import { completeReceive } from './error-state';
import { lkeyCheck } from './local-check';
import { type HeldSge, hold, lengthOf, putAll } from './memory-bytes';
import type {
  Opcode,
  PostRecvOp,
  PostSendOp,
  QpType,
  SendWr,
  SupportedOpcode,
  VerbsAnswer,
  VerbsErrno,
} from './operations';
import type { QueuedSend, QueuePair } from './queue-pair';
import type { VerbsSession } from './session';

const MAX_MESSAGE = 2 ** 31;
const DATAGRAM_MTU = 4096;

export const opcodesOf = {
  RC: [
    'SEND',
    'SEND_WITH_IMM',
    'SEND_WITH_INV',
    'RDMA_WRITE',
    'RDMA_WRITE_WITH_IMM',
    'RDMA_READ',
    'ATOMIC_CMP_AND_SWP',
    'ATOMIC_FETCH_AND_ADD',
    'REG_MR',
    'LOCAL_INV',
  ],
  UC: ['SEND', 'SEND_WITH_IMM', 'RDMA_WRITE', 'RDMA_WRITE_WITH_IMM', 'REG_MR', 'LOCAL_INV'],
  UD: ['SEND', 'SEND_WITH_IMM'],
} satisfies Record<string, readonly SupportedOpcode[]>;

export function postRecv(session: VerbsSession, op: PostRecvOp): VerbsAnswer {
  const qp = session.qp(op.qp);
  if (qp.state === 'RESET' || qp.srq !== undefined) return { err: 'EINVAL', bad: 0 };
  for (const [bad, wr] of op.wrs.entries()) {
    if (wr.sges.length > qp.maxRecvSge) return { err: 'EINVAL', bad };
    if (qp.receives.length >= qp.maxRecvWr) return { err: 'ENOMEM', bad };
    if (qp.state === 'ERR') completeReceive(session, qp, wr.wr_id, 'WR_FLUSH_ERR');
    else qp.receives.push(wr);
  }
  return { ret: 0 };
}

/** The objects that a work request names. */
interface Named {
  readonly region?: Region | undefined;
  readonly ah?: AddressHandle | undefined;
}

export function postSend(session: VerbsSession, op: PostSendOp): VerbsAnswer {
  const qp = session.qp(op.qp);
  // All names are looked up first, so that an operation that names a closed object does nothing.
  const named = op.wrs.map((wr): Named => ({
    region: wr.mr === undefined ? undefined : session.region(wr.mr),
    ah: wr.ah === undefined ? undefined : session.ah(wr.ah),
  }));
  if (qp.state !== 'RTS' && qp.state !== 'SQD' && qp.state !== 'ERR') return { err: 'EINVAL', bad: null };

  for (const [bad, wr] of op.wrs.entries()) {
    const err = post(session, qp, wr, named[bad] ?? {});
    if (err !== undefined) return { err, bad };
    session.ready.add(qp);
  }
  return { ret: 0 };
}

/** Accepts one work request, or returns why it is refused. The tests stand in the order of docs/semantics.md, V8.2. */
function post(
  session: VerbsSession,
  qp: QueuePair,
  wr: SendWr,
  { region, ah }: Named,
): VerbsErrno | undefined {
  const { opcode } = wr;
  if (wr.sges.length > qp.maxSendSge) return 'EINVAL';
  if (!posts(qp.type, opcode)) return 'EINVAL';
  if (isAtomic(opcode)) {
    const first = wr.sges[0];
    if (first === undefined || first.length < 8 || BigInt(first.addr) % 8n !== 0n) return 'EINVAL';
  }
  if ((opcode === 'RDMA_READ' || isAtomic(opcode)) && qp.maxRdAtomic === 0) return 'EINVAL';
  if (qp.type === 'UD' && ah?.pd !== qp.pd) return 'EINVAL';

  let local: QueuedSend['local'] = undefined;
  if (isLocal(opcode)) {
    const delays = wr.flags.includes('FENCE') || qp.delayedInvalidations > 0;
    local = opcode === 'LOCAL_INV' && delays ? 'delayed' : 'carried out';
    if (local === 'carried out') {
      if (opcode === 'REG_MR') {
        const err = register(qp, wr, region);
        if (err !== undefined) return err;
      } else if (!invalidate(session, qp.pd, wr)) {
        return 'EINVAL';
      }
      if (!wr.flags.includes('SIGNALED')) return undefined;
    }
  }

  if (qp.sends.length >= qp.maxSendWr) return 'ENOMEM';
  const sges = gather(session, qp, wr);
  if (sges === undefined) return 'EINVAL';
  const length = lengthOf(sges);
  if (length > (qp.type === 'UD' ? DATAGRAM_MTU : MAX_MESSAGE)) {
    putAll(sges);
    return 'EINVAL';
  }

  if (local === 'delayed') qp.delayedInvalidations += 1;
  if (local === undefined) {
    const mtu = qp.type === 'UD' ? DATAGRAM_MTU : 128 * 2 ** qp.pathMtu;
    qp.sqPsn = (qp.sqPsn + Math.max(1, Math.ceil(length / mtu))) % 2 ** 24;
  }
  qp.sends.push({ wr, sges, length, local, av: ah?.av, started: false });
  return undefined;
}

/** Returns whether queue pairs of the type can post the opcode. */
function posts(type: QpType, opcode: Opcode): boolean {
  const opcodes: readonly Opcode[] = type === 'RC' || type === 'UC' || type === 'UD' ? opcodesOf[type] : [];
  return opcodes.includes(opcode);
}

/** Checks the SGEs and takes their references. Returns undefined if an SGE is refused; then no reference is held. */
function gather(session: VerbsSession, qp: QueuePair, wr: SendWr): HeldSge[] | undefined {
  const acc = writesLocally(wr.opcode) ? 1 : 0;
  const held: HeldSge[] = [];
  for (const input of wr.sges) {
    if (input.length === 0) continue;
    const sge = lkeyCheck(session, qp.pd, input, acc);
    if (sge === undefined) {
      putAll(held);
      return undefined;
    }
    const last = held.at(-1);
    if (last === undefined || !coalesce(last.sge, sge)) held.push(hold(sge));
  }
  return held;
}

function register(qp: QueuePair, wr: SendWr, region: Region | undefined): VerbsErrno | undefined {
  // docs/deviations.md, V1: a REG_MR without a region is refused.
  if (region === undefined) return 'EINVAL';
  return registerFast(qp.pd, region, keyOf(wr.key ?? '0x0'), wr.access ?? 0);
}

/** Invalidates the key that the work request names. Returns false if no region of the protection domain has the key. */
export function invalidate(session: VerbsSession, pd: ProtectionDomain, wr: SendWr): boolean {
  return invalidateKey(session.regions, pd, keyOf(wr.invalidate_rkey ?? '0x0'));
}

export function isAtomic(opcode: Opcode): boolean {
  return opcode === 'ATOMIC_CMP_AND_SWP' || opcode === 'ATOMIC_FETCH_AND_ADD';
}

export function isLocal(opcode: Opcode): boolean {
  return opcode === 'REG_MR' || opcode === 'LOCAL_INV';
}

/** Returns whether the SGEs need the right to local writes; the opcodes with a key to invalidate need it too. */
export function writesLocally(opcode: Opcode): boolean {
  return opcode === 'RDMA_READ' || opcode === 'SEND_WITH_INV' || isAtomic(opcode) || isLocal(opcode);
}
