// Generates modify_qp and the steps that connect queue pairs.

import { moveOf, type Move } from './modify-qp';
import { createCq, path, queuePair } from './object-commands';
import type { Attributes, Id, ModifyQpOp, QpType, State, VerbsOperation } from './operations';
import type { QueuePair } from './queue-pair';
import type { VerbsScene } from './scene';

const states: State[] = ['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'SQE', 'ERR'];

type Attribute = Exclude<keyof Attributes, 'state'>;

const attributes: Attribute[] = [
  ...([
    'cur_state',
    'access',
    'pkey_index',
    'port',
    'qkey',
    'av',
    'path_mtu',
    'timeout',
    'retry_cnt',
  ] as const),
  ...(['rnr_retry', 'rq_psn', 'max_rd_atomic', 'alt_path', 'min_rnr_timer', 'sq_psn'] as const),
  ...(['max_dest_rd_atomic', 'path_mig_state', 'dest_qpn', 'en_sqd_async_notify', 'cap'] as const),
];

/** Creates two queue pairs and connects them up to RTS, or one queue pair with itself. */
export function connect(scene: VerbsScene): VerbsOperation[] {
  const { dice, session } = scene;
  if (![...session.cqs.values()].some(({ broken }) => !broken) && !dice.rarely(4)) return [createCq(scene)];
  // Few queue pairs meet each other more often than many.
  const many = Math.min(6, session.limits.max_qp - 1);
  if (session.qps.size >= many && !dice.rarely(4)) return reconnect(scene) ?? [];
  const type = dice.choose<QpType>([6, () => 'RC'], [3, () => 'UC'], [3, () => 'UD']);
  const pd = scene.pdId();
  const one = queuePair(scene, type, pd);
  const first = session.nextQpn;
  if (dice.rarely(10)) return [one, ...bringUp(scene, type, one.id, first)];
  const other = queuePair(scene, type, dice.rarely(3) ? scene.pdId() : pd);
  return [one, other, ...bringUp(scene, type, one.id, first + 1), ...bringUp(scene, type, other.id, first)];
}

/** Returns the moves from RESET to RTS. */
export function bringUp(scene: VerbsScene, type: QpType, qp: Id, peer: number): VerbsOperation[] {
  const steps: State[] = ['INIT', 'RTR', 'RTS'];
  return steps.map((state, i): VerbsOperation => {
    const move = moveOf(type, i === 0 ? 'RESET' : (steps[i - 1] ?? 'RESET'), state);
    const attr: Attributes = { state };
    for (const name of move?.required ?? []) Object.assign(attr, { [name]: value(scene, name) });
    if (attr.dest_qpn !== undefined) attr.dest_qpn = peer;
    if (attr.access !== undefined)
      attr.access = scene.dice.choose([8, () => 15], [1, () => scene.dice.below(16)]);
    return { op: 'modify_qp', qp, attr };
  });
}

/** Moves a queue pair to another state. Most moves are allowed. */
export function modifyQp(scene: VerbsScene): VerbsOperation | undefined {
  const { dice } = scene;
  const qp = dice.recent(scene.qps());
  if (qp === undefined) return undefined;
  const state = dice.choose<State>(
    [8, () => next(scene, qp)],
    [3, () => qp.state],
    [2, () => dice.pick('ERR', 'RESET')],
    [1, () => dice.pick('RESET', ...states)],
  );
  return modify(scene, qp, state);
}

/** Reconnects queue pairs that are not in RTS: brings one to RESET and up again. */
export function reconnect(scene: VerbsScene): VerbsOperation[] | undefined {
  const { dice } = scene;
  const down = scene.qps().filter(({ state }) => state !== 'RTS');
  const qp = dice.recent(down);
  if (qp === undefined) return undefined;
  const qpn = dice.recent(scene.qps(qp.type))?.qpn ?? 2;
  const peer = qp.destQpn > 1 && !dice.rarely(4) ? qp.destQpn : qpn;
  const operations: VerbsOperation[] = [{ op: 'modify_qp', qp: qp.id, attr: { state: 'RESET' } }];
  if (dice.rarely(3)) operations.push({ op: 'query_qp', qp: qp.id });
  return [...operations, ...bringUp(scene, qp.type, qp.id, peer)];
}

/** Drains the send queue of a queue pair that sends, or lets a drained one send again. */
export function drain(scene: VerbsScene): VerbsOperation[] | undefined {
  const { dice } = scene;
  const able = scene.qps().filter(({ state }) => state === 'RTS' || state === 'SQD');
  const waiting = able.filter(({ waitsForRnr }) => waitsForRnr);
  const qp = dice.recent(waiting.length > 0 && !dice.rarely(3) ? waiting : able);
  if (qp === undefined) return undefined;
  const op = modify(
    scene,
    qp,
    dice.choose([4, () => (qp.state === 'RTS' ? 'SQD' : 'RTS')], [1, () => 'SQD']),
  );
  return [op, { op: 'query_qp', qp: qp.id }];
}

/** Brings a queue pair with queued work to the error state. */
export function failQp(scene: VerbsScene): VerbsOperation | undefined {
  const { dice } = scene;
  const busy = scene
    .qps()
    .filter((qp) => qp.state !== 'ERR' && (qp.sends.length > 0 || qp.receives.length > 0 || qp.inHand));
  const qp = dice.recent(busy);
  return qp && { op: 'modify_qp', qp: qp.id, attr: { state: dice.pick('ERR', 'RESET') } };
}

function next({ dice }: VerbsScene, { state }: QueuePair): State {
  switch (state) {
    case 'RESET':
      return 'INIT';
    case 'INIT':
      return 'RTR';
    case 'RTR':
      return 'RTS';
    case 'RTS':
      return dice.pick('RTS', 'SQD');
    case 'SQD':
      return dice.pick('RTS', 'SQD');
    default:
      return 'RESET';
  }
}

function modify(scene: VerbsScene, qp: QueuePair, state: State): ModifyQpOp {
  const { dice } = scene;
  const move: Move = moveOf(qp.type, qp.state, state) ?? { required: [], optional: [] };
  const attr: Attributes = state === qp.state && dice.rarely(2) ? {} : { state };
  const give = (name: Attribute) => Object.assign(attr, { [name]: value(scene, name, qp) });
  move.required.forEach(give);
  for (let more = dice.choose([3, () => 0], [3, () => 1], [1, () => 3]); more > 0; more--) {
    const optional = dice.recent(move.optional);
    if (optional !== undefined) give(optional);
  }
  if (move.optional.includes('path_mig_state') && dice.rarely(4)) give('path_mig_state');
  // Break a rule, rarely: leave out an attribute, add one, or give a wrong value.
  const mistake = dice.rarely(6) ? dice.pick('value', 'missing', 'more') : undefined;
  if (mistake === 'missing') {
    const missing = dice.recent(move.required);
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the attributes are the members of a plain object
    if (missing !== undefined) delete attr[missing];
  }
  if (mistake === 'more') give(dice.recent(attributes) ?? 'cap');
  if (mistake === 'value') Object.assign(attr, wrongValue(scene, attr));
  // The recorded traces only give the present state (docs/deviations.md, V1).
  return { op: 'modify_qp', qp: scene.nameQp(qp.id), attr };
}

function value(scene: VerbsScene, name: Attribute, qp?: QueuePair): unknown {
  const { dice, session } = scene;
  const { npkeys, max_rdma_atomic } = session.limits;
  switch (name) {
    case 'cur_state':
      return qp?.state ?? 'RESET';
    case 'access':
      return dice.pick(15, 0, 2, 4, 8, 31, 0x10f);
    case 'pkey_index':
      return dice.below(npkeys);
    case 'port':
      return 1;
    case 'qkey':
      return dice.choose([6, () => 0x11], [1, () => dice.pick(0x22, 0x80000001)]);
    case 'av':
      return path(scene);
    case 'alt_path':
      return { ...path(scene), pkey_index: dice.below(npkeys) };
    case 'path_mtu':
      return 1 + dice.below(5);
    case 'timeout':
      return dice.pick(14, 0, 255, 0x10e);
    case 'retry_cnt':
    case 'rnr_retry':
      return dice.below(8);
    case 'rq_psn':
    case 'sq_psn':
      return dice.choose([6, () => dice.below(2 ** 24)], [1, () => 0xffffff], [1, () => dice.roll()]);
    case 'max_rd_atomic':
      return dice.choose([8, () => 4], [1, () => dice.pick(0, 1, 255, 256)]);
    case 'max_dest_rd_atomic':
      return dice.below(max_rdma_atomic + 1);
    case 'min_rnr_timer':
      return dice.below(32);
    case 'path_mig_state':
      return dice.pick('MIGRATED', 'REARM');
    case 'dest_qpn':
      return dice.choose(
        [8, () => dice.recent(scene.qps())?.qpn ?? 2],
        [1, () => dice.pick(0, 1, 0xffffff, session.nextQpn)],
      );
    case 'en_sqd_async_notify':
      return dice.below(2);
    case 'cap':
      return 0;
  }
}

/** Returns an attribute with a value that is not allowed, of those that are given if possible. */
function wrongValue(scene: VerbsScene, attr: Attributes): Attributes {
  const { dice, session } = scene;
  const { npkeys, max_rdma_atomic } = session.limits;
  const av = {
    ...path(scene),
    ...dice.pick({ dlid: 0xc000 }, { port: 2 }, { static_rate: 1 }, { static_rate: 23 }),
  };
  const wrong: Attributes[] = [
    { pkey_index: npkeys },
    { port: dice.pick(0, 2) },
    { min_rnr_timer: 32 },
    { dest_qpn: 0x1000000 },
    { retry_cnt: 8 },
    { rnr_retry: 8 },
    { path_mtu: dice.pick(0, 6) },
    { max_dest_rd_atomic: max_rdma_atomic + 1 },
    { av },
    { alt_path: { ...av, pkey_index: 0 } },
    { alt_path: { ...path(scene), pkey_index: npkeys } },
    { path_mig_state: 'ARMED' },
  ];
  const given = wrong.filter((one) => Object.keys(one).every((name) => name in attr));
  return dice.recent(given.length > 0 ? given : wrong) ?? {};
}
