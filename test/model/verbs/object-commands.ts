// Generates the operations on protection domains, completion queues, shared receive queues, address handles and queue pairs.

import type {
  AddressVector,
  CreateVerbsQpOp,
  Id,
  Limits,
  ModifySrqOp,
  QpType,
  VerbsOperation,
} from './operations';
import type { VerbsScene } from './scene';

export function allocPd({ dice, history }: VerbsScene): VerbsOperation {
  return { op: 'alloc_pd', id: history.fresh(), user: dice.rarely(3) };
}

export function deallocPd(scene: VerbsScene): VerbsOperation {
  const { session } = scene;
  const used = new Set(
    [session.regions.regions, session.srqs, session.ahs, session.qps].flatMap((objects) =>
      [...objects.values()].map(({ pd }) => pd),
    ),
  );
  const free = scene.pds().filter((pd) => !used.has(pd));
  return { op: 'dealloc_pd', pd: scene.pdId(scene.dice.rarely(2) ? scene.dice.recent(free) : undefined) };
}

export function createCq({ dice, history, session }: VerbsScene): VerbsOperation {
  const { max_cqe } = session.limits;
  const cqe = dice.choose(
    [12, () => Math.min(64, max_cqe)],
    [3, () => 1 + dice.below(8)],
    [1, () => dice.pick(max_cqe, max_cqe + 1, 0)],
  );
  return {
    op: 'create_cq',
    id: history.fresh(),
    cqe,
    ...(dice.rarely(6) ? { comp_vector: dice.below(300) } : {}),
    ...(dice.rarely(20) ? { flags: 1 } : {}),
  };
}

export function resizeCq(scene: VerbsScene): VerbsOperation {
  const { dice, session } = scene;
  const cq = scene.cqId();
  const held = session.cqs.get(cq)?.entries.length ?? 0;
  const { max_cqe } = session.limits;
  return {
    op: 'resize_cq',
    cq,
    cqe: dice.choose(
      [3, () => Math.min(held + dice.below(9), max_cqe + 1)],
      [1, () => Math.max(0, held - 1)],
      [1, () => dice.pick(max_cqe, max_cqe + 1, 0)],
    ),
  };
}

export function destroyCq(scene: VerbsScene): VerbsOperation {
  return { op: 'destroy_cq', cq: scene.cqId() };
}

export function pollCq(scene: VerbsScene): VerbsOperation {
  const { dice } = scene;
  return { op: 'poll_cq', cq: scene.cqId(), n: dice.choose([6, () => 64], [2, () => dice.below(4)]) };
}

export function reqNotifyCq(scene: VerbsScene): VerbsOperation {
  return { op: 'req_notify_cq', cq: scene.cqId(), flags: scene.dice.pick(2, 1, 5, 6, 0, 4) };
}

export function createSrq(scene: VerbsScene): VerbsOperation {
  const { dice, session } = scene;
  const { max_srq_wr, max_srq_sge } = session.limits;
  return {
    op: 'create_srq',
    id: scene.history.fresh(),
    pd: scene.pdId(),
    max_wr: dice.choose(
      [24, () => 1 + dice.below(ownQueue(max_srq_wr))],
      [1, () => dice.pick(0, max_srq_wr + 1)],
    ),
    max_sge: dice.choose([24, () => 1 + dice.below(max_srq_sge)], [1, () => dice.pick(0, max_srq_sge + 1)]),
    srq_limit: dice.pick(0, 1, 2, 3, 40),
    ...(dice.rarely(10) ? { type: dice.pick('BASIC', 'XRC') } : {}),
  };
}

export function modifySrq(scene: VerbsScene): VerbsOperation | undefined {
  const { dice, session } = scene;
  const srq = dice.recent([...session.srqs.values()]);
  if (srq === undefined) return createSrq(scene);
  const { max_srq_wr } = session.limits;
  const op: ModifySrqOp = { op: 'modify_srq', srq: scene.nameSrq(srq.id) };
  const both = dice.below(3);
  if (both !== 1) op.srq_limit = dice.choose([8, () => dice.below(srq.maxWr + 1)], [1, () => srq.maxWr + 1]);
  if (both !== 0) {
    op.max_wr = dice.choose(
      [8, () => dice.below(ownQueue(max_srq_wr) + 1)],
      [2, () => Math.min(srq.receives.length + dice.below(3), ownQueue(max_srq_wr))],
      [1, () => max_srq_wr + 1],
    );
  }
  return op;
}

export function querySrq(scene: VerbsScene): VerbsOperation | undefined {
  const srq = scene.dice.recent([...scene.session.srqs.keys()]);
  return srq === undefined ? undefined : { op: 'query_srq', srq: scene.nameSrq(srq) };
}

export function destroySrq(scene: VerbsScene): VerbsOperation | undefined {
  const srq = scene.dice.recent([...scene.session.srqs.keys()]);
  return srq === undefined ? undefined : { op: 'destroy_srq', srq: scene.nameSrq(srq) };
}

export function createAh(scene: VerbsScene): VerbsOperation {
  const { dice } = scene;
  const av = path(scene);
  if (dice.rarely(16)) Object.assign(av, dice.pick({ port: 2 }, { static_rate: 1 }, { static_rate: 23 }));
  if (dice.rarely(8)) av.dlid = 0xffff;
  return { op: 'create_ah', id: scene.history.fresh(), pd: scene.pdId(), av };
}

export function destroyAh(scene: VerbsScene): VerbsOperation | undefined {
  const { session } = scene;
  const ah = scene.dice.recent([...session.ahs.keys()]);
  return ah === undefined ? undefined : { op: 'destroy_ah', ah: scene.name(ah, (id) => session.ahs.has(id)) };
}

/** Returns a valid address. */
export function path({ dice }: VerbsScene): AddressVector {
  return {
    dlid: dice.pick(1, 7, 200, 0xbfff),
    sl: dice.below(8),
    static_rate: dice.pick(0, 2, 10, 22),
    port: 1,
  };
}

export function createQp(scene: VerbsScene): VerbsOperation {
  const { dice } = scene;
  const type = dice.rarely(20)
    ? dice.pick<QpType>('RAW_PACKET', 'XRC_INI')
    : dice.pick<QpType>('RC', 'UC', 'UD');
  const op = queuePair(scene, type);
  if (dice.rarely(10)) Object.assign(op, wrongSizes(scene));
  return op;
}

function wrongSizes({ dice, session: { limits } }: VerbsScene): Partial<CreateVerbsQpOp> {
  return dice.pick<Partial<CreateVerbsQpOp>>(
    { max_send_sge: limits.max_send_sge + 1 },
    { max_recv_sge: limits.max_recv_sge + 1 },
    { max_send_wr: limits.max_qp_wr + 1 },
    { max_recv_wr: limits.max_qp_wr + 1 },
    { max_send_wr: 0, max_send_sge: 0, max_recv_wr: 0, max_recv_sge: 0 },
    { max_send_wr: 0 },
    { max_recv_wr: 0 },
  );
}

/** Returns the operation that creates a queue pair of the type, with queues of usable sizes. */
export function queuePair(scene: VerbsScene, type: QpType, meantPd?: Id): CreateVerbsQpOp {
  const { dice, session } = scene;
  const { limits } = session;
  const srq = dice.rarely(3) ? dice.recent([...session.srqs.keys()]) : undefined;
  return {
    op: 'create_qp',
    id: scene.history.fresh(),
    pd: meantPd ?? scene.pdId(),
    type,
    send_cq: scene.usableCqId(),
    recv_cq: scene.usableCqId(),
    srq: srq === undefined ? null : scene.nameSrq(srq),
    max_send_wr: Math.min(dice.pick(8, 1, 2, 16), limits.max_qp_wr),
    max_recv_wr: dice.rarely(12)
      ? 0
      : Math.min(dice.pick(8, 1, 2, ownQueue(limits.max_qp_wr)), limits.max_qp_wr),
    max_send_sge: 1 + dice.below(limits.max_send_sge),
    max_recv_sge: 1 + dice.below(limits.max_recv_sge),
    max_inline_data: dice.pick(0, 64),
    sq_sig_type: dice.pick('REQ', 'ALL'),
  };
}

/**
 * Limits the size of a receive queue. The reference miscounts the receives of a queue that held 16 or more (docs/deviations.md,
 * V2), so the recorded traces have no such queue.
 */
function ownQueue(limit: Limits['max_qp_wr']): number {
  return Math.min(15, limit);
}

export function queryQp(scene: VerbsScene): VerbsOperation | undefined {
  const qp = scene.dice.recent(scene.qps());
  return qp === undefined ? undefined : { op: 'query_qp', qp: scene.nameQp(qp.id) };
}

export function destroyQp(scene: VerbsScene): VerbsOperation | undefined {
  const qp = scene.dice.recent(scene.qps());
  return qp === undefined ? undefined : { op: 'destroy_qp', qp: scene.nameQp(qp.id) };
}
