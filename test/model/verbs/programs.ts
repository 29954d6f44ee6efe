import * as fc from 'fast-check';

import { Model } from '../model';
import type { Hex } from '../trace-types';
import { EndlessDice } from './endless-dice';
import * as memory from './memory-commands';
import * as modify from './modify-commands';
import * as objects from './object-commands';
import type { Limits, VerbsOperation } from './operations';
import { VerbsHistory, VerbsScene } from './scene';
import * as work from './work-commands';

type Resolver = (scene: VerbsScene) => VerbsOperation | VerbsOperation[] | undefined;

/** The kinds of commands and their weights, simplest first: fast-check shrinks toward the start of the list. */
const kinds = {
  run: [8, work.run],
  queryQp: [3, objects.queryQp],
  refs: [3, memory.refs],
  mrState: [1, memory.mrState],
  mem: [3, memory.mem],
  allocPd: [1, objects.allocPd],
  createCq: [2, objects.createCq],
  createSrq: [2, objects.createSrq],
  createAh: [1, objects.createAh],
  createQp: [2, objects.createQp],
  regUserMr: [5, (scene) => memory.regUserMr(scene)],
  getDmaMr: [1, memory.getDmaMr],
  allocMr: [2, memory.allocMr],
  mapMrSg: [3, memory.mapMrSg],
  fill: [3, memory.fill],
  pollCq: [6, objects.pollCq],
  reqNotifyCq: [4, objects.reqNotifyCq],
  connect: [7, modify.connect],
  postRecv: [7, work.postRecv],
  postSrqRecv: [3, work.postSrqRecv],
  postSend: [14, work.postSend],
  exchange: [24, work.exchange],
  starve: [5, work.starve],
  shortReceive: [2, work.shortReceive],
  holdDma: [2, work.holdDma],
  overflow: [2, work.overflow],
  deregShared: [2, work.deregShared],
  timers: [5, work.timers],
  modifyQp: [8, modify.modifyQp],
  reconnect: [6, modify.reconnect],
  drain: [3, modify.drain],
  postDrained: [2, work.postDrained],
  failQp: [2, modify.failQp],
  delayInvalidation: [2, work.delayInvalidation],
  registerMr: [3, work.registerMr],
  deregMr: [3, memory.deregMr],
  modifySrq: [2, objects.modifySrq],
  querySrq: [1, objects.querySrq],
  resizeCq: [1, objects.resizeCq],
  destroyQp: [1, objects.destroyQp],
  destroySrq: [1, objects.destroySrq],
  destroyAh: [1, objects.destroyAh],
  destroyCq: [1, objects.destroyCq],
  deallocPd: [1, objects.deallocPd],
} satisfies Record<string, [weight: number, resolve: Resolver]>;

export type VerbsCommandKind = keyof typeof kinds | 'restart';

/** A kind of operation without its objects: the dice choose the objects when the program has reached the command. */
export interface VerbsCommand {
  kind: VerbsCommandKind;
  dice: number[];
}

export interface VerbsSetup {
  bits: number;
  dmaPages: number;
  dmaBase: Hex;
  limits: Limits;
  /** One PD each; true for a user PD. */
  pds: boolean[];
}

export interface VerbsProgram {
  setup: VerbsSetup;
  commands: VerbsCommand[];
}

const weightedKinds: VerbsCommandKind[] = (Object.keys(kinds) as (keyof typeof kinds)[]).flatMap((kind) =>
  Array.from({ length: 4 * kinds[kind][0] }, () => kind),
);

const commandArb: fc.Arbitrary<VerbsCommand> = fc.record({
  kind: fc.constantFrom<VerbsCommandKind[]>(...weightedKinds, 'restart'),
  dice: fc.array(fc.nat({ max: 0xffffffff }), { maxLength: 24, size: 'max' }),
});

// Three arrays instead of one with a minimum length, so that a failing program may shrink to nothing.
const someCommandsArb = fc.array(commandArb, { maxLength: 50, size: 'max' });
const commandsArb: fc.Arbitrary<VerbsCommand[]> = fc
  .tuple(someCommandsArb, someCommandsArb, someCommandsArb)
  .map((parts) => parts.flat());

const roomy: Limits = {
  max_qp: 24,
  max_qp_wr: 32,
  max_send_sge: 4,
  max_recv_sge: 4,
  max_cq: 16,
  max_cqe: 4096,
  max_srq: 6,
  max_srq_wr: 32,
  max_srq_sge: 3,
  max_pd: 8,
  max_rdma_atomic: 8,
  npkeys: 4,
  max_ah: 8,
};
const tight: Limits = {
  ...{ max_qp: 3, max_qp_wr: 4, max_send_sge: 2, max_recv_sge: 1, max_cq: 2, max_cqe: 8, max_srq: 1 },
  ...{ max_srq_wr: 3, max_srq_sge: 1, max_pd: 2, max_rdma_atomic: 1, npkeys: 1, max_ah: 1 },
};

const setupArb: fc.Arbitrary<VerbsSetup> = fc.record({
  bits: fc.constantFrom(8, 4, 6),
  dmaPages: fc.constantFrom(16, 96, 8),
  dmaBase: fc.constantFrom<Hex[]>('0x200000000000', '0x100000', '0x0'),
  limits: fc.oneof(
    { withCrossShrink: true },
    { weight: 12, arbitrary: fc.constant(roomy) },
    { weight: 2, arbitrary: fc.constant(tight) },
  ),
  pds: fc.array(fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, fc.boolean()), {
    minLength: 1,
    maxLength: 3,
    size: 'max',
  }),
});

/** Generates verbs programs before their resolution, for tests that inspect the choices. */
export const abstractVerbsProgramArb: fc.Arbitrary<VerbsProgram> = fc.record({
  setup: setupArb,
  commands: commandsArb,
});

/** Generates random verbs programs in the trace format, from `init` to `exit`. */
export const verbsProgramArb: fc.Arbitrary<VerbsOperation[]> = abstractVerbsProgramArb.map(resolveVerbs);

/** Resolves a program: plays the model along, so that each operation can refer to the objects that exist at that point. */
export function resolveVerbs({ setup, commands }: VerbsProgram): VerbsOperation[] {
  const model = new Model();
  const history = new VerbsHistory();
  const operations: VerbsOperation[] = [];
  const play = (op: VerbsOperation) => {
    operations.push(op);
    const answer = model.play(op);
    if ('lkey' in answer) history.sawKey(Number(answer.lkey));
  };

  open(setup, history).forEach(play);
  for (const { kind, dice } of commands) {
    if (kind === 'restart') {
      play({ op: 'exit' });
      history.restart();
      open(setup, history).forEach(play);
      continue;
    }
    const { verbs } = model;
    if (verbs === undefined) throw new Error('a program keeps its session open');
    const [, resolver]: [number, Resolver] = kinds[kind];
    const resolved = resolver(new VerbsScene(verbs, history, new EndlessDice(dice))) ?? [];
    (Array.isArray(resolved) ? resolved : [resolved]).forEach(play);
  }
  play({ op: 'run' });
  play({ op: 'exit' });
  return operations;
}

function open({ bits, dmaPages, dmaBase, limits, pds }: VerbsSetup, history: VerbsHistory): VerbsOperation[] {
  const operations: VerbsOperation[] = [
    { op: 'init', lkey_table_bits: bits, dma_pages: dmaPages, dma_base: dmaBase, limits },
  ];
  for (const user of pds) operations.push({ op: 'alloc_pd', id: history.fresh(), user });
  operations.push({ op: 'create_cq', id: history.fresh(), cqe: Math.min(64, limits.max_cqe) });
  return operations;
}
