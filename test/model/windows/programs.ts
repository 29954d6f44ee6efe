import * as fc from 'fast-check';

import { Dice } from '../dice';
import { PAGE } from '../numbers';
import { WindowsModel } from './model';
import {
  DOMAINS,
  LOCAL_WRITE,
  MW_BIND,
  type QueuePair,
  type Region,
  REMOTE,
  REMOTE_ATOMIC,
  REMOTE_READ,
  REMOTE_WRITE,
  type Window,
  type WindowsSession,
} from './objects';
import type { Translation, WindowsOperation } from './operations';

const TOP = 1n << 64n;

/** What the dice choose from: the objects at one point of a program. */
interface Scene {
  session: WindowsSession;
  dice: Dice;
  /** Keys that objects had, also those that are gone. */
  keys: readonly number[];
  id: number;
}

type Resolver = (scene: Scene) => WindowsOperation;

/** The kinds of commands and their weights, simplest first: fast-check shrinks toward the start of the list. */
const kinds = {
  reg: [8, reg],
  allocMw: [6, (scene: Scene) => ({ op: 'allocMw', id: scene.id, pd: domain(scene) })],
  createQp: [4, (scene: Scene) => ({ op: 'createQp', id: scene.id, pd: domain(scene) })],
  check: [14, (scene: Scene) => ({ op: 'check', ...access(scene) })],
  acquire: [10, (scene: Scene) => ({ op: 'acquire', id: scene.id, ...access(scene) })],
  bind: [16, bind],
  lease: [9, lease],
  copy: [6, (scene: Scene) => ({ op: 'copy', sge: element(scene) })],
  put: [8, (scene: Scene) => ({ op: 'put', sge: element(scene) })],
  invalidate: [10, invalidate],
  rereg: [10, rereg],
  dereg: [6, (scene: Scene) => ({ op: 'dereg', mr: region(scene)?.id ?? 0, force: scene.dice.rarely(3) })],
  end: [4, (scene: Scene) => ({ op: 'end', mw: anyWindow(scene)?.id ?? 0 })],
  destroyQp: [1, (scene: Scene) => ({ op: 'destroyQp', qp: queuePair(scene)?.id ?? 0 })],
  allocMr: [1, (scene: Scene) => ({ op: 'allocMr', id: scene.id, pd: domain(scene) })],
} satisfies Record<string, [weight: number, resolve: Resolver]>;

type Kind = keyof typeof kinds;

export interface WindowsProgram {
  /** The number of slots of the key table is 2^bits. */
  bits: number;
  operations: WindowsOperation[];
}

const commandArb = fc.record({
  kind: fc.constantFrom(
    ...(Object.keys(kinds) as Kind[]).flatMap((kind) => Array.from({ length: kinds[kind][0] }, () => kind)),
  ),
  dice: fc.array(fc.nat({ max: 0xffffffff }), { maxLength: 32, size: 'max' }),
});

/** Generates random programs: 2 queue pairs, a region and a window, and then up to 60 operations. */
export const windowsProgramArb: fc.Arbitrary<WindowsProgram> = fc
  .record({
    bits: fc.constantFrom(4, 2, 3, 5, 8),
    commands: fc.array(commandArb, { maxLength: 60, size: 'max' }),
  })
  .map(({ bits, commands }) => resolve(bits, commands));

function resolve(bits: number, commands: readonly { kind: Kind; dice: number[] }[]): WindowsProgram {
  const model = new WindowsModel(bits);
  const operations: WindowsOperation[] = [];
  const keys: number[] = [];
  const all: { kind: Kind; dice: readonly number[] }[] = [
    { kind: 'createQp', dice: [] },
    { kind: 'createQp', dice: [] },
    { kind: 'reg', dice: [] },
    { kind: 'allocMw', dice: [] },
    ...commands,
  ];
  for (const [i, { kind, dice }] of all.entries()) {
    const [, resolver]: [number, Resolver] = kinds[kind];
    const op = resolver({ session: model.session, dice: new Dice(dice), keys, id: i + 1 });
    operations.push(op);
    model.play(op);
    for (const { key } of [...model.session.regions.values(), ...model.session.windows.values()])
      if (keys.at(-1) !== key && !keys.includes(key)) keys.push(key);
  }
  return { bits, operations };
}

function domain({ dice }: Scene): number {
  return dice.rarely(25) ? DOMAINS - 1 : dice.rarely(5) ? 1 : 0;
}

function rights({ dice }: Scene): number {
  const all = LOCAL_WRITE | REMOTE | MW_BIND;
  return dice.choose(
    [8, () => all],
    [3, () => LOCAL_WRITE | MW_BIND],
    [3, () => LOCAL_WRITE | REMOTE_READ | REMOTE_WRITE],
    [2, () => REMOTE_READ | MW_BIND],
    [3, () => dice.below(32)],
  );
}

function translation({ dice }: Scene): Translation {
  const size = dice.choose(
    [8, () => 1 + dice.below(9000)],
    [3, () => Number(PAGE) * (1 + dice.below(3))],
    [1, () => 0],
  );
  const end = TOP - BigInt(size);
  const start = dice.choose(
    [6, () => PAGE * (1n + dice.bytes(1000))],
    [4, () => PAGE + dice.bytes(2 ** 31)],
    [1, () => dice.pick(end, end - 1n, end - PAGE, TOP - PAGE - BigInt(size)) & (TOP - 1n)],
  );
  const iova = dice.choose<bigint | undefined>(
    [4, () => undefined],
    [4, () => dice.bytes(2 ** 31)],
    [1, () => dice.pick(end, end - 1n, end + 1n, TOP - 1n) & (TOP - 1n)],
  );
  return { size, start, iova };
}

function reg(scene: Scene): WindowsOperation {
  return { op: 'reg', id: scene.id, pd: domain(scene), access: rights(scene), ...translation(scene) };
}

/** Chooses one of the objects, usually one that lives. */
function choose<T extends { alive: boolean }>(
  dice: Dice,
  objects: Iterable<T>,
  preferred: (object: T) => boolean = () => true,
): T | undefined {
  const all = [...objects];
  const living = all.filter(({ alive }) => alive);
  const best = living.filter(preferred);
  const list = dice.rarely(12) ? all : dice.rarely(8) || best.length === 0 ? living : best;
  return dice.recent(list.length > 0 ? list : all);
}

function region({ session, dice }: Scene, preferred?: (region: Region) => boolean): Region | undefined {
  return choose(dice, session.regions.values(), preferred);
}

function queuePair({ session, dice }: Scene, pd?: number): QueuePair | undefined {
  return choose(dice, session.qps.values(), (qp) => pd === undefined || qp.pd === pd);
}

function anyWindow({ session, dice }: Scene): Window | undefined {
  return choose(dice, session.windows.values());
}

function element({ session, dice }: Scene): number {
  return dice.recent([...session.elements.keys()]) ?? 0;
}

/** Chooses a range: inside the room, or at or beyond one of its ends. */
function range({ dice }: Scene, origin: bigint, room: number): { addr: bigint; length: number } {
  const { at, length } = dice.choose(
    [8, () => part(dice, room)],
    [3, () => ({ at: 0, length: room })],
    [2, () => ({ at: room, length: 0 })],
    [1, () => ({ at: dice.below(room + 1), length: 0 })],
    [2, () => ({ at: dice.below(room + 1), length: room + 1 })],
    [1, () => ({ at: -1, length: 1 })],
    [1, () => ({ at: 0, length: room + 1 })],
    [1, () => ({ at: dice.below(2 * room + 2), length: dice.below(3) })],
  );
  const addr = origin + BigInt(at);
  return { addr: ((addr % TOP) + TOP) % TOP, length };
}

function part(dice: Dice, room: number) {
  const at = dice.below(Math.max(room, 1));
  return { at, length: 1 + dice.below(Math.max(room - at, 1)) };
}

function bind(scene: Scene): WindowsOperation {
  const { session, dice } = scene;
  const windows = [...session.windows.values()].filter(({ terms }) => !terms);
  const mw = choose(dice, windows, ({ binding }) => !binding);
  const mr = region(scene, ({ pd, access }) => pd === mw?.pd && (access & MW_BIND) !== 0);
  const key = mw?.key ?? 0;
  return {
    op: 'bind',
    qp: queuePair(scene, mw?.pd)?.id ?? 0,
    mw: mw?.id ?? 0,
    mr: mr?.id ?? 0,
    ...range(scene, mr?.iova ?? 0n, mr?.length ?? 0),
    access: dice.choose([8, () => REMOTE_READ], [4, () => dice.below(8) * 2], [1, () => dice.below(64)]),
    key: dice.choose(
      [8, () => key - (key % 256) + ((key + 1) % 256)],
      [3, () => key],
      [1, () => key - (key % 256) + dice.below(256)],
      [1, () => (key ^ 0x100) >>> 0],
      [1, () => dice.roll()],
    ),
  };
}

function lease(scene: Scene): WindowsOperation {
  const { dice } = scene;
  const mr = region(scene, ({ access }) => (access & REMOTE) !== 0);
  const room = mr?.length ?? 0;
  const offset = dice.choose([4, () => 0], [6, () => dice.below(Math.max(room, 1))], [1, () => room]);
  return {
    op: 'lease',
    id: scene.id,
    mr: mr?.id ?? 0,
    offset,
    length: dice.choose<number | undefined>(
      [4, () => undefined],
      [6, () => 1 + dice.below(Math.max(room - offset, 1))],
      [1, () => room + 1],
    ),
    access: dice.choose<number | undefined>(
      [5, () => undefined],
      [4, () => dice.pick(REMOTE_READ, REMOTE_WRITE, REMOTE_ATOMIC)],
      [2, () => dice.below(32)],
    ),
    qp: dice.rarely(3) ? queuePair(scene, mr?.pd)?.id : undefined,
    expired: dice.rarely(4),
  };
}

/** Chooses a key: usually of an object, else an old or a wrong one. */
function anyKey({ session, dice, keys }: Scene): number {
  // Most windows are unbound, and say the same to every access.
  const held = [...session.table.slots.values()].flatMap((holder) =>
    holder.holds === 'region' || holder.binding || dice.rarely(5) ? holder.key : [],
  );
  return dice.choose(
    [8, () => dice.recent(held) ?? 0x100],
    [3, () => dice.recent(keys) ?? 0x100],
    [1, () => dice.roll() || 1],
    [1, () => ((dice.recent(held) ?? 0) ^ (1 + dice.below(0x200))) >>> 0 || 1],
  );
}

function invalidate(scene: Scene): WindowsOperation {
  const { session, dice } = scene;
  const bound = [...session.windows.values()].filter(({ binding }) => binding);
  const used = [...session.elements.values()].flatMap(({ through }) => through?.window ?? []);
  const window = dice.rarely(4) ? undefined : dice.recent(dice.rarely(3) && used.length > 0 ? used : bound);
  const owner = dice.rarely(4) ? undefined : window?.binding?.qp;
  const key = dice.rarely(40) ? 0 : (window?.key ?? anyKey(scene));
  return {
    op: 'invalidate',
    qp: (owner ?? queuePair(scene, window?.pd))?.id ?? 0,
    key,
    how: dice.pick('post', 'call', 'receive'),
  };
}

function rereg(scene: Scene): WindowsOperation {
  const { dice } = scene;
  const mr = region(scene, ({ windows, held }) => windows.size === 0 && held === 0);
  return {
    op: 'rereg',
    mr: mr?.id ?? 0,
    translation: dice.rarely(2) ? translation(scene) : undefined,
    access: dice.rarely(2) ? rights(scene) : undefined,
    pd: dice.rarely(3) ? domain(scene) : undefined,
  };
}

function access(scene: Scene) {
  const { session, dice } = scene;
  const key = anyKey(scene);
  const holder = session.table.find(key);
  const window = holder?.holds === 'window' ? holder : undefined;
  const target = holder?.holds === 'region' ? holder : undefined;
  const local = dice.rarely(3) && (!window || dice.rarely(4));
  const owner = dice.rarely(3) ? undefined : window?.binding?.qp;
  const qp = owner ?? queuePair(scene, holder?.pd);
  const origin = window?.binding?.addr ?? (local ? target?.start : target?.iova) ?? 0n;
  return {
    by: local || !qp ? { pd: dice.rarely(6) ? domain(scene) : (holder?.pd ?? 0) } : { qp: qp.id },
    ...range(scene, origin, window?.binding?.length ?? target?.length ?? 0),
    key,
    acc: local
      ? dice.pick(0, LOCAL_WRITE, LOCAL_WRITE | MW_BIND)
      : dice.pick(REMOTE_READ, REMOTE_WRITE, REMOTE_ATOMIC), // a peer requests one operation
  };
}
