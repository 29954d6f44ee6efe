import * as fc from 'fast-check';

import * as checks from './check-commands';
import { Dice } from './dice';
import { Model } from './model';
import { hex } from './numbers';
import * as regions from './region-commands';
import { History, Scene } from './scene';
import type { Hex, InitOp, Operation } from './trace-types';

type Resolver = (scene: Scene) => Operation | Operation[] | undefined;

/** The kinds of commands and their weights, simplest first: fast-check shrinks toward the start of the list. */
const kinds = {
  table: [2, () => ({ op: 'table' })],
  refs: [3, checks.refs],
  allocPd: [1, regions.allocPd],
  createQp: [1, regions.createQp],
  allocMr: [5, regions.allocMr],
  regUserMr: [6, regions.regUserMr],
  allocFmr: [5, regions.allocFmr],
  getDmaMr: [2, regions.getDmaMr],
  lkeyOk: [14, checks.lkeyOk],
  rkeyOk: [12, checks.rkeyOk],
  mapMrSg: [9, regions.mapMrSg],
  mapPhysFmr: [9, regions.mapPhysFmr],
  fastRegMr: [6, regions.fastRegMr],
  invalidateRkey: [2, regions.invalidateRkey],
  unmapFmr: [3, regions.unmapFmr],
  release: [5, regions.release],
  putSge: [5, checks.putSge],
  lkeyOkNext: [14, checks.lkeyOkNext],
  walk: [10, checks.walk],
  fillTable: [1, regions.fillTable],
} satisfies Record<string, [weight: number, resolve: Resolver]>;

export type CommandKind = keyof typeof kinds | 'restart';

/** A kind of operation without its objects: the dice choose the objects when the program has reached the command. */
export interface Command {
  kind: CommandKind;
  dice: number[];
}

export interface Setup {
  bits: number;
  dmaPages: number;
  /** `null` means an address so high that only one page is free above DMA memory. */
  dmaBase: Hex | null;
  /** One PD with one QP each; true for a user PD. */
  pds: boolean[];
}

export interface Program {
  setup: Setup;
  commands: Command[];
}

const weightedKinds: CommandKind[] = (Object.keys(kinds) as (keyof typeof kinds)[]).flatMap((kind) =>
  Array.from({ length: 4 * kinds[kind][0] }, () => kind),
);

const commandArb: fc.Arbitrary<Command> = fc.record({
  kind: fc.constantFrom<CommandKind[]>(...weightedKinds, 'restart'),
  dice: fc.array(fc.nat({ max: 0xffffffff }), { maxLength: 48, size: 'max' }),
});

// Three arrays instead of one with a minimum length, so that a failing program may shrink to nothing.
const someCommandsArb = fc.array(commandArb, { maxLength: 40, size: 'max' });
const commandsArb: fc.Arbitrary<Command[]> = fc
  .tuple(someCommandsArb, someCommandsArb, someCommandsArb)
  .map((parts) => parts.flat());

const setupArb: fc.Arbitrary<Setup> = fc.record({
  bits: fc.oneof(
    { withCrossShrink: true },
    { weight: 24, arbitrary: fc.constantFrom(4, 1, 2, 3, 5, 6) },
    { weight: 3, arbitrary: fc.constant(8) },
    { weight: 2, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(16, 22, 23, 24, 32, 0xffffffff) },
  ),
  dmaPages: fc.oneof(
    { withCrossShrink: true },
    { weight: 20, arbitrary: fc.constantFrom(64, 16, 4, 1, 512) },
    { weight: 1, arbitrary: fc.constant(0) },
  ),
  dmaBase: fc.constantFrom<(Hex | null)[]>('0x100000', '0x4000', '0xffff000', '0x7f4500000000', '0x0', null),
  pds: fc.array(fc.boolean(), { minLength: 1, maxLength: 3, size: 'max' }),
});

/** Generates programs before their resolution, for tests that inspect the choices. */
export const abstractProgramArb: fc.Arbitrary<Program> = fc.record({
  setup: setupArb,
  commands: commandsArb,
});

/** Generates random programs in the trace format, from `init` to `exit`. */
export const programArb: fc.Arbitrary<Operation[]> = abstractProgramArb.map(resolve);

/** Resolves a program: plays the model along, so that each operation can refer to the objects that exist at that point. */
export function resolve({ setup, commands }: Program): Operation[] {
  const model = new Model();
  const history = new History();
  const operations: Operation[] = [];
  const play = (op: Operation) => {
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
    const { session } = model;
    if (session === undefined) throw new Error('a program keeps its session open');
    const [, resolver]: [number, Resolver] = kinds[kind];
    const resolved = resolver(new Scene(session, history, new Dice(dice))) ?? [];
    (Array.isArray(resolved) ? resolved : [resolved]).forEach(play);
  }
  play({ op: 'table' });
  play({ op: 'exit' });
  return operations;
}

function open({ bits, dmaPages, dmaBase, pds }: Setup, history: History): Operation[] {
  const top = hex((1n << 64n) - BigInt(dmaPages + 1) * 4096n);
  const init = (lkeyTableBits: number): InitOp => ({
    op: 'init',
    lkey_table_bits: lkeyTableBits,
    dma_pages: dmaPages,
    dma_base: dmaBase ?? top,
  });
  // An `init` that is refused must be followed by another one.
  const operations: Operation[] = bits === 0 ? [init(0), init(4)] : [init(bits)];
  for (const user of pds) {
    const pd = history.fresh('pd');
    operations.push({ op: 'alloc_pd', id: pd, user }, { op: 'create_qp', id: history.fresh('qp'), pd });
  }
  return operations;
}
