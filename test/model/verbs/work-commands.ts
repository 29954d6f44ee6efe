// Generates the operations that post work requests, let the engine work, and look at the results.

import { coalesce } from '../checks';
import { hex } from '../numbers';
import type { ProtectionDomain, Region, Sge } from '../region';
import { lkeyCheck } from './local-check';
import { allocMr, mapMrSg, regUserMr } from './memory-commands';
import { bringUp, connect } from './modify-commands';
import { createAh, createSrq, queuePair } from './object-commands';
import {
  type Id,
  type Opcode,
  type QpType,
  type ReceiveWr,
  type SendFlag,
  type SendWr,
  type SgeInput,
  unsupportedOpcodes,
  type VerbsOperation,
} from './operations';
import { isAtomic, isLocal, writesLocally } from './posting';
import type { QueuePair } from './queue-pair';
import { NO_KEY, type VerbsScene } from './scene';

export function run(scene: VerbsScene): VerbsOperation {
  const { dice } = scene;
  const kick: Id[] = [];
  if (dice.rarely(4)) {
    for (let n = 1 + dice.below(3); n > 0; n--) {
      const qp = dice.recent(scene.qps());
      if (qp !== undefined) kick.push(scene.nameQp(qp.id));
    }
  }
  return kick.length === 0 ? { op: 'run' } : { op: 'run', kick };
}

/** Lets timers fire and the engine work, up to the last retry of a message that finds no receive. */
export function timers({ dice }: VerbsScene): VerbsOperation[] {
  const once: VerbsOperation[] = [{ op: 'timers' }, { op: 'run' }];
  return Array.from({ length: dice.pick(1, 2, 9) }, () => once).flat();
}

export function postRecv(scene: VerbsScene): VerbsOperation | undefined {
  const { dice } = scene;
  const able = scene.qps().filter(({ state, srq }) => state !== 'RESET' && srq === undefined);
  const qp = dice.recent(able.length > 0 && !dice.rarely(12) ? able : scene.qps());
  return qp && postRecvTo(scene, qp);
}

function postRecvTo(scene: VerbsScene, qp: QueuePair): VerbsOperation {
  const { dice } = scene;
  return {
    op: 'post_recv',
    qp: scene.nameQp(qp.id),
    wrs: receives(scene, qp.pd, qp.maxRecvSge, dice.choose([6, () => 1 + dice.below(3)], [1, () => 9])),
  };
}

export function postSrqRecv(scene: VerbsScene): VerbsOperation {
  const { dice, session } = scene;
  const srq = dice.recent([...session.srqs.values()]);
  if (srq === undefined) return createSrq(scene);
  return {
    op: 'post_srq_recv',
    srq: scene.nameSrq(srq.id),
    wrs: receives(scene, srq.pd, srq.maxSge, 1 + dice.below(4)),
  };
}

function receives(scene: VerbsScene, pd: ProtectionDomain, maxSge: number, count: number): ReceiveWr[] {
  const { dice, history } = scene;
  return Array.from({ length: count }, () => {
    const sges: SgeInput[] = [];
    for (let n = countSges(scene, maxSge); n > 0; n--) {
      const length = dice.choose([8, () => 2048], [4, () => 1 + dice.below(4096)], [2, () => dice.below(64)]);
      const sge = scene.sge(pd, 'target', length, 1);
      if (sge !== undefined) sges.push(sge);
    }
    return { wr_id: history.freshWrId(), sges };
  });
}

function countSges({ dice }: VerbsScene, max: number): number {
  return dice.choose(
    [30, () => Math.min(1 + dice.below(Math.max(max, 1)), max)],
    [2, () => 0],
    [1, () => Math.min(max + 1, 16)],
  );
}

export function postSend(scene: VerbsScene): VerbsOperation | VerbsOperation[] {
  const qp = scene.sender();
  if (qp === undefined) return connect(scene);
  if (qp.type === 'UD' && needsAh(scene, qp)) return createAh(scene);
  const { dice } = scene;
  const op = postSendTo(scene, qp, dice.choose([6, () => 1], [3, () => 2 + dice.below(3)]));
  if (op.op !== 'post_send' || !dice.rarely(3)) return op;
  const regions = op.wrs.flatMap(({ sges }) => sges.map(({ lkey }) => regionWithKey(scene, Number(lkey))));
  const held = dice.recent(regions);
  return held === undefined ? op : [op, { op: 'refs', mr: Number(held.id) }];
}

function regionWithKey({ session }: VerbsScene, key: number): Region | undefined {
  return key === 0 ? session.regions.published : session.regions.table.find(key);
}

/** Connects two queue pairs, one of which has a completion queue that is too small for the messages that it then gets. */
export function overflow(scene: VerbsScene): VerbsOperation[] | undefined {
  const { dice, history, session } = scene;
  const type = dice.pick<QpType>('RC', 'UC', 'UD');
  const ah = [...session.ahs].find(([, { pd }]) => session.regions.pds.has(pd.id));
  const pd = type === 'UD' && ah !== undefined ? Number(ah[1].pd.id) : scene.pdId();
  const cq: VerbsOperation = { op: 'create_cq', id: history.fresh(), cqe: 1 };
  const sender = queuePair(scene, type, pd);
  const receiver = { ...queuePair(scene, type, pd), recv_cq: cq.id };
  const first = session.nextQpn;
  const empty = (): ReceiveWr => ({ wr_id: history.freshWrId(), sges: [] });
  const domain = session.regions.pds.get(String(pd));
  const target = domain && dice.recent(scene.regionsFor(domain, 'target'));
  const roomy = (): ReceiveWr => {
    if (type !== 'UD' || target === undefined) return empty();
    const sge = {
      addr: hex(target.base),
      length: Math.min(40, Number(target.length)),
      lkey: hex(target.key),
    };
    return { ...empty(), sges: [sge] };
  };
  const receives = [roomy(), roomy(), roomy()];
  const wrs = receives.map((): SendWr => {
    const wr: SendWr = { wr_id: history.freshWrId(), opcode: 'SEND', flags: ['SIGNALED'], sges: [] };
    return type === 'UD' ? { ...wr, ah: ah?.[0] ?? 0, remote_qpn: first + 1, remote_qkey: 0x11 } : wr;
  });
  return [
    cq,
    sender,
    receiver,
    ...bringUp(scene, type, sender.id, first + 1),
    ...bringUp(scene, type, receiver.id, first),
    receiver.srq === null
      ? { op: 'post_recv', qp: receiver.id, wrs: receives }
      : { op: 'post_srq_recv', srq: receiver.srq, wrs: receives },
    { op: 'post_send', qp: sender.id, wrs },
    { op: 'run' },
    { op: 'query_qp', qp: receiver.id },
    { op: 'poll_cq', cq: sender.send_cq, n: 64 },
  ];
}

function needsAh({ session, dice }: VerbsScene, { pd }: QueuePair): boolean {
  const all = [...session.ahs.values()];
  return all.length === 0 || (!all.some((ah) => ah.pd === pd) && !dice.rarely(3));
}

export function postSendTo(scene: VerbsScene, qp: QueuePair, count: number, opcode?: Opcode): VerbsOperation {
  const wrs = Array.from({ length: count }, () =>
    qp.type === 'UD' ? datagram(scene, qp) : request(scene, qp, opcode ?? someOpcode(scene, qp)),
  );
  return { op: 'post_send', qp: scene.nameQp(qp.id), wrs };
}

/** Posts receives and a send, lets the engine work, and looks at the results. */
export function exchange(scene: VerbsScene): VerbsOperation | VerbsOperation[] {
  const { dice, session } = scene;
  const able = scene.qps().filter((qp) => {
    const peer = scene.peerOf(qp);
    return qp.state === 'RTS' && (qp.type === 'UD' || (peer?.answers === true && peer.type === qp.type));
  });
  const qp = dice.recent(able);
  if (qp === undefined) return connect(scene);
  if (qp.type === 'UD' && needsAh(scene, qp)) return createAh(scene);
  const peer = qp.type === 'UD' ? dice.recent(scene.qps('UD')) : scene.peerOf(qp);
  if (scene.regionsFor(qp.pd, 'source').length === 0) return regUserMr(scene, { pd: qp.pd, role: 'source' });
  for (const pd of peer === undefined ? [] : [peer.pd, peer.srq?.pd ?? peer.pd]) {
    if (scene.regionsFor(pd, 'target').length === 0) return regUserMr(scene, { pd, role: 'target' });
  }

  const operations: VerbsOperation[] = [];
  if (peer?.srq === undefined) {
    if (peer !== undefined && !dice.rarely(4)) operations.push(postRecvTo(scene, peer));
  } else if (!dice.rarely(4)) {
    const wrs = receives(scene, peer.srq.pd, peer.srq.maxSge, 1 + dice.below(3));
    operations.push({ op: 'post_srq_recv', srq: peer.srq.id, wrs });
  }
  // Let a message invalidate a key of the peer's domain.
  const invalidates = qp.type === 'RC' && dice.rarely(8) ? 'SEND_WITH_INV' : undefined;
  operations.push(postSendTo(scene, qp, dice.choose([6, () => 1], [2, () => 2]), invalidates), { op: 'run' });
  const target = peer && dice.recent(scene.regionsFor(peer.pd, 'target'));
  if (target !== undefined) {
    operations.push({ op: 'mem', mr: Number(target.id), offset: 0, length: Number(target.length) });
  }
  if (dice.rarely(2)) {
    const cqs = new Set([peer?.receiveCq ?? qp.sendCq, qp.sendCq]);
    for (const cq of cqs) if (session.cqs.has(cq.id)) operations.push({ op: 'poll_cq', cq: cq.id, n: 64 });
  }
  return operations;
}

/** Sends to a queue pair that has no receive, and lets timers fire. */
export function starve(scene: VerbsScene): VerbsOperation[] | undefined {
  const { dice } = scene;
  const starved = scene.qps('RC').filter((qp) => {
    const peer = scene.peerOf(qp);
    const queue = peer?.srq ?? peer;
    return qp.state === 'RTS' && peer?.answers === true && peer.type === 'RC' && queue?.receives.length === 0;
  });
  const qp = dice.recent(starved);
  if (qp === undefined) return undefined;
  const send = (): VerbsOperation[] => [postSendTo(scene, qp, 1, 'SEND'), { op: 'run' }];
  const operations = [...send(), ...(dice.rarely(2) ? timers(scene) : [])];
  // Let the message through, and count the retries of the next one from the start.
  const peer = scene.peerOf(qp);
  if (dice.rarely(3) && peer !== undefined && peer.srq === undefined) {
    const wrs = receives(scene, peer.pd, peer.maxRecvSge, 1);
    operations.push({ op: 'post_recv', qp: peer.id, wrs }, { op: 'timers' }, { op: 'run' });
    operations.push(...send(), ...Array.from({ length: 8 }, () => timers(scene).slice(0, 2)).flat());
  }
  return operations;
}

/** Posts sends of one region to several queue pairs, and releases the region. */
export function deregShared(scene: VerbsScene): VerbsOperation[] | undefined {
  const { dice } = scene;
  const able = scene.qps('RC', 'UC').filter((qp) => qp.state === 'RTS' && qp.maxSendSge > 0);
  const first = dice.recent(able);
  const region = first && dice.recent(scene.regionsFor(first.pd, 'source').filter(({ valid }) => valid));
  if (first === undefined || region === undefined) return undefined;
  const length = Math.min(8, Number(region.length));
  const operations: VerbsOperation[] = able
    .filter(({ pd }) => pd === first.pd)
    .reverse()
    .map(({ id }) => {
      const sges = [{ addr: hex(region.base), length, lkey: hex(region.key) }];
      const wr: SendWr = { wr_id: scene.history.freshWrId(), opcode: 'SEND', flags: [], sges };
      return { op: 'post_send', qp: id, wrs: [wr] };
    });
  operations.push({ op: 'dereg_mr', mr: Number(region.id) });
  const cqs = new Set(able.flatMap(({ sendCq, receiveCq }) => [sendCq.id, receiveCq.id]));
  for (const cq of cqs) operations.push({ op: 'poll_cq', cq, n: 64 });
  return operations;
}

/** Sends a datagram to a receive that is too short for it, and may release the memory of that receive. */
export function shortReceive(scene: VerbsScene): VerbsOperation | VerbsOperation[] | undefined {
  const { dice, session } = scene;
  const able = scene
    .qps('UD')
    .filter((qp) => qp.state === 'RTS' && qp.maxRecvSge > 0 && qp.srq === undefined);
  const peer = dice.recent(able);
  const qp = dice.recent(able.filter(({ pd }) => [...session.ahs.values()].some((ah) => ah.pd === pd)));
  if (peer === undefined) return undefined;
  if (qp === undefined) return createAh(scene);
  const [ah] = [...session.ahs].find(([, { pd }]) => pd === qp.pd) ?? [0];
  const region = dice.recent(scene.regionsFor(peer.pd, 'target').filter(({ access }) => (access & 1) !== 0));
  if (region === undefined) return regUserMr(scene, { pd: peer.pd, role: 'target' });
  const length = Math.min(39, Number(region.length));
  const sges = [{ addr: hex(region.base), length, lkey: hex(region.key) }];
  const { imm: _, ...send } = datagram(scene, qp);
  const operations: VerbsOperation[] = [
    { op: 'post_recv', qp: peer.id, wrs: [{ wr_id: scene.history.freshWrId(), sges }] },
    {
      op: 'post_send',
      qp: qp.id,
      wrs: [{ ...send, opcode: 'SEND', ah, remote_qpn: peer.qpn, remote_qkey: peer.qkey }],
    },
    { op: 'run' },
  ];
  const mr = Number(region.id);
  if (dice.rarely(2) && region.held === 0) operations.push({ op: 'dereg_mr', mr });
  else if (dice.rarely(2)) {
    operations.push({ op: 'modify_qp', qp: peer.id, attr: { state: 'RESET' } }, { op: 'refs', mr });
  }
  return operations;
}

/** Releases a DMA region that a drained queue pair holds, and may release it again when nothing holds it. */
export function holdDma(scene: VerbsScene): VerbsOperation[] | undefined {
  const { dice, session } = scene;
  const { published } = session.regions;
  const able = scene.qps('RC', 'UC').filter((qp) => {
    return qp.state === 'RTS' && !qp.pd.user && qp.sends.length < qp.maxSendWr && qp.maxSendSge > 0;
  });
  const qp = dice.recent(able);
  if (published === undefined || qp === undefined) return undefined;
  const sges = [{ addr: hex(scene.dmaSpan('source').start), length: 8, lkey: hex(0) }];
  const mr = Number(published.id);
  const operations: VerbsOperation[] = [
    { op: 'modify_qp', qp: qp.id, attr: { state: 'SQD' } },
    {
      op: 'post_send',
      qp: qp.id,
      wrs: [{ wr_id: scene.history.freshWrId(), opcode: 'SEND', flags: ['SIGNALED'], sges }],
    },
    { op: 'dereg_mr', mr },
    { op: 'refs', mr },
  ];
  if (published.held === 0 && !dice.rarely(3)) {
    operations.push({ op: 'modify_qp', qp: qp.id, attr: { state: 'RESET' } }, { op: 'dereg_mr', mr });
  }
  return operations;
}

/** Posts to a drained queue pair, and asks whether the engine has started the work request. */
export function postDrained(scene: VerbsScene): VerbsOperation[] | undefined {
  const qp = scene.dice.recent(scene.qps('RC', 'UC').filter(({ state }) => state === 'SQD'));
  if (qp === undefined) return undefined;
  const attr = { state: 'SQD' } as const;
  return [
    postSendTo(scene, qp, 1),
    { op: 'run' },
    { op: 'modify_qp', qp: qp.id, attr },
    { op: 'query_qp', qp: qp.id },
  ];
}

/** Delays an invalidation and lets the engine carry it out. */
export function delayInvalidation(scene: VerbsScene): VerbsOperation[] | undefined {
  const { dice } = scene;
  const qp = dice.recent(scene.qps('RC', 'UC').filter(({ state }) => state === 'RTS'));
  if (qp === undefined) return undefined;
  const op = postSendTo(scene, qp, 1 + dice.below(2), 'LOCAL_INV');
  // The fence of the first one delays the others too.
  if (op.op === 'post_send' && op.wrs[0]?.flags.includes('FENCE') === false) op.wrs[0].flags.push('FENCE');
  return dice.rarely(3) ? [op] : [op, { op: 'run' }];
}

/** Registers a region of a protection domain through a queue pair. */
export function registerMr(scene: VerbsScene): VerbsOperation | VerbsOperation[] {
  const { dice } = scene;
  const pds = new Set(scene.regions().flatMap(({ kind, pd }) => (kind === 'mem_reg' ? [pd] : [])));
  const qp = dice.recent(scene.qps('RC', 'UC').filter(({ pd, state }) => pds.has(pd) && state === 'RTS'));
  if (qp === undefined) return dice.rarely(2) ? allocMr(scene) : mapMrSg(scene);
  return postSendTo(scene, qp, 1, 'REG_MR');
}

function someOpcode({ dice }: VerbsScene, { type }: QueuePair): Opcode {
  const common = () => dice.pick<Opcode>('SEND', 'RDMA_WRITE', 'SEND_WITH_IMM', 'RDMA_WRITE_WITH_IMM');
  const reliable = () =>
    dice.pick<Opcode>('RDMA_READ', 'ATOMIC_FETCH_AND_ADD', 'ATOMIC_CMP_AND_SWP', 'SEND_WITH_INV');
  return dice.choose<Opcode>(
    [12, common],
    [type === 'RC' ? 10 : 1, reliable],
    [3, () => dice.pick('REG_MR', 'LOCAL_INV')],
    [1, () => dice.pick(...unsupportedOpcodes)],
  );
}

function flagsFor({ dice }: VerbsScene, opcode: Opcode): SendFlag[] {
  const flags: SendFlag[] = [];
  if (!dice.rarely(3)) flags.push('SIGNALED');
  if (dice.rarely(4)) flags.push('SOLICITED');
  if (dice.rarely(opcode === 'LOCAL_INV' ? 3 : 10)) flags.push('FENCE');
  if (dice.rarely(10)) flags.push('INLINE');
  return flags;
}

function request(scene: VerbsScene, qp: QueuePair, opcode: Opcode): SendWr {
  const { dice } = scene;
  const sges = sgesFor(scene, qp, opcode);
  const wr: SendWr = { wr_id: scene.history.freshWrId(), opcode, flags: flagsFor(scene, opcode), sges };
  if (opcode.endsWith('_WITH_IMM')) wr.imm = dice.roll();
  if (opcode === 'SEND_WITH_INV' || opcode === 'LOCAL_INV') {
    const pd = opcode === 'LOCAL_INV' ? qp.pd : (scene.peerOf(qp)?.pd ?? qp.pd);
    wr.invalidate_rkey = hex(keyToInvalidate(scene, pd));
  }
  if (opcode === 'REG_MR') Object.assign(wr, registration(scene, qp));
  if (opcode.startsWith('RDMA_') && opcode !== 'RDMA_READ_WITH_INV') Object.assign(wr, remote(scene, qp, wr));
  if (isAtomic(opcode)) {
    Object.assign(wr, remote(scene, qp, wr));
    wr.compare_add = hex(dice.choose([1, () => 0n], [4, () => dice.belowBig(1n << 64n)]));
    if (opcode === 'ATOMIC_CMP_AND_SWP') wr.swap = hex(dice.belowBig(1n << 64n));
  }
  return wr;
}

/** Returns the local SGEs of a send. Adjacent ones often touch, so that they are joined. */
function sgesFor(scene: VerbsScene, qp: QueuePair, opcode: Opcode): SgeInput[] {
  const { dice, session } = scene;
  const access = writesLocally(opcode) ? 1 : 0;
  // While the path MTU is unset, the PSN after a message with bytes is not defined.
  const unset = qp.type !== 'UD' && qp.pathMtu === 0;
  if (unset || (isLocal(opcode) && !dice.rarely(4))) return [];
  if (isAtomic(opcode)) {
    const sge = scene.sge(qp.pd, 'source', dice.choose([10, () => 8], [1, () => 16], [1, () => 7]), access);
    if (sge === undefined) return [];
    if (!dice.rarely(12)) sge.addr = hex(BigInt(sge.addr) & ~7n);
    return [sge];
  }
  // More than 2^31 bytes, which only key 0 can name; the sum stays below 2^32.
  if (opcode !== 'LOCAL_INV' && dice.rarely(40)) {
    const addr = hex(session.regions.dmaStart);
    return [
      { addr, length: dice.pick(2 ** 31, 2 ** 31 + 1) },
      { addr, length: 1 },
    ].map((sge) => ({ ...sge, lkey: '0x0' }));
  }
  const sges: SgeInput[] = [];
  for (let n = countSges(scene, qp.maxSendSge); n > 0 && sges.length < 16; n--) {
    const length = dice.choose(
      [8, () => 1 + dice.below(64)],
      [6, () => 1 + dice.below(3000)],
      [2, () => 0],
      [1, () => 4096],
    );
    const last = sges.at(-1);
    const touches = last !== undefined && dice.rarely(2);
    if (touches && dice.rarely(2)) endWithItsPage(scene, last);
    const sge = touches
      ? { addr: hex(BigInt(last.addr) + BigInt(last.length)), length, lkey: last.lkey }
      : scene.sge(qp.pd, 'source', length, access);
    // A touching SGE with key 0 could leave the memory of its role.
    if (sge !== undefined && staysInRole(scene, sge)) sges.push(sge);
  }
  return withoutFalseJoins(scene, qp.pd, sges);
}

/** Lets an SGE of mapped pages end with its page, because only there the next one joins it. */
function endWithItsPage({ session }: VerbsScene, sge: SgeInput): void {
  const region = session.regions.table.find(Number(sge.lkey));
  if (region?.kind !== 'mem_reg') return;
  const into = BigInt(sge.addr) - region.base;
  const toEdge = 4096n - (BigInt(sge.addr) % 4096n);
  if (into >= 0n && into + toEdge < region.length) sge.length = Number(toEdge);
}

function staysInRole(scene: VerbsScene, { addr, length, lkey }: SgeInput): boolean {
  if (lkey !== '0x0') return true;
  const span = scene.dmaSpan('source');
  return BigInt(addr) + BigInt(length) <= span.start + BigInt(span.length);
}

/** Leaves out SGEs that the reference joins to the previous one although they do not touch it (docs/deviations.md, V2). */
function withoutFalseJoins({ session }: VerbsScene, pd: ProtectionDomain, sges: SgeInput[]): SgeInput[] {
  let last: Sge | undefined;
  return sges.filter((input) => {
    if (input.length === 0) return true;
    const sge = lkeyCheck(session, pd, input, 0);
    if (sge === undefined) return true;
    if (last?.region === sge.region) {
      const joins = last.position + last.length === sge.address;
      if (joins && last.address + last.sgeLength !== sge.address) return false;
      if (coalesce(last, sge)) return true;
    }
    last = sge;
    return true;
  });
}

/** Returns the remote range of a request in memory of its peer. */
function remote(
  scene: VerbsScene,
  qp: QueuePair,
  { opcode, sges }: SendWr,
): Pick<SendWr, 'remote_addr' | 'rkey'> {
  const { dice, session } = scene;
  const sum = sges.reduce((total, sge) => total + sge.length, 0);
  const length = isAtomic(opcode) ? 8 : Math.min(sum, 2 ** 31);
  const pd = scene.peerOf(qp)?.pd ?? qp.pd;
  // The reference leaks a reference for an empty read with a good key (docs/deviations.md, V3).
  if (opcode === 'RDMA_READ' && length === 0) return { remote_addr: '0x1000', rkey: hex(NO_KEY) };
  const right = isAtomic(opcode) ? 8 : opcode === 'RDMA_READ' ? 4 : 2;
  const region = scene.regionOf(pd, 'target', right, length);
  const dma = scene.dmaSpan('target');
  const keyZero = !pd.user && session.regions.published !== undefined && dice.rarely(6);
  if ((keyZero && length <= dma.length) || region === undefined) {
    const address = dma.start + dice.bytes(Math.max(dma.length - length, 0) + 1);
    return {
      remote_addr: hex(aligned(scene, opcode, address)),
      rkey: length <= dma.length ? '0x0' : hex(NO_KEY),
    };
  }
  const address = dice.rarely(40) ? (1n << 64n) - 8n : region.iova + scene.offsetIn(region, length);
  return { remote_addr: hex(aligned(scene, opcode, address)), rkey: hex(scene.keyOf(region)) };
}

function aligned({ dice }: VerbsScene, opcode: Opcode, address: bigint): bigint {
  return isAtomic(opcode) && !dice.rarely(12) ? address & ~7n : address;
}

function keyToInvalidate(scene: VerbsScene, pd: ProtectionDomain): number {
  const { dice, history } = scene;
  const able = scene.regions().filter((region) => region.kind === 'mem_reg' && region.pd === pd);
  const region = dice.recent(able);
  return dice.choose(
    [8, () => region?.key ?? NO_KEY],
    [2, () => dice.recent(history.keys) ?? NO_KEY],
    [1, () => 0],
    [1, () => NO_KEY],
  );
}

function registration(scene: VerbsScene, qp: QueuePair): Pick<SendWr, 'mr' | 'key' | 'access'> {
  const { dice } = scene;
  const own = scene.regions().filter(({ pd, kind }) => pd === qp.pd && kind === 'mem_reg');
  const region: Region | undefined = dice.recent(own.length > 0 && !dice.rarely(8) ? own : scene.regions());
  const key = region?.key ?? 0;
  return {
    mr: region === undefined ? 0 : scene.nameRegion(region),
    key: hex(
      dice.choose([10, () => ((key & ~0xff) | dice.below(256)) >>> 0], [1, () => (key ^ 0x100) >>> 0]),
    ),
    access: dice.pick(15, 7, 5, 3, 1),
  };
}

function datagram(scene: VerbsScene, qp: QueuePair): SendWr {
  const { dice, session } = scene;
  const opcode = dice.choose<Opcode>(
    [8, () => 'SEND'],
    [4, () => 'SEND_WITH_IMM'],
    [1, () => dice.pick('RDMA_WRITE', 'LOCAL_INV')],
  );
  const peers = scene.qps('UD').filter(({ answers }) => answers);
  const peer = dice.recent(peers.length > 0 && !dice.rarely(10) ? peers : scene.qps());
  const handles = [...session.ahs];
  const own = handles.filter(([, { pd }]) => pd === qp.pd);
  const [ah] = dice.recent(own.length > 0 && !dice.rarely(12) ? own : handles) ?? [0];
  return {
    wr_id: scene.history.freshWrId(),
    opcode,
    flags: flagsFor(scene, opcode),
    sges: sgesFor(scene, qp, 'SEND'),
    ...(opcode === 'SEND_WITH_IMM' ? { imm: dice.roll() } : {}),
    ah: scene.name(ah, (id) => session.ahs.has(id)),
    remote_qpn: dice.choose([12, () => peer?.qpn ?? 2], [1, () => dice.pick(0, 1, session.nextQpn)]),
    remote_qkey: dice.choose(
      [12, () => peer?.qkey ?? 0x11],
      [2, () => 0x22],
      [2, () => dice.pick(0x80000000, 0xffffffff)],
    ),
  };
}
