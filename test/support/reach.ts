// Helpers shared by the tests in hostile/: every way to reach the bytes of a memory, and guard bytes around them that must not be
// reached.
import {
  Access,
  type DmaMapping,
  type FastMemoryRegion,
  lkey,
  type MemoryLike,
  type MemoryRegion,
  type ProtectionDomain,
  type QueuePair,
  rkey,
  type Sge,
  type CheckBatch,
  SgeState,
} from '../../lib';
import { accepted } from './answers';
import { ALL, DMA, type Scene, scene } from './scene';

/** Returns the outcome of a call: `'ok'`, or the reason, code or name of its error. */
export function told(use: () => unknown): string {
  try {
    use();
    return 'ok';
  } catch (error) {
    const { reason, code, name } = error as { reason?: string; code?: string; name: string };
    return reason ?? code ?? name;
  }
}

/** Like `expect(actual).toBe(expected)`, but fast enough for thousands of iterations: it calls a matcher only on failure. */
export function same(actual: unknown, expected: unknown, where?: unknown): void {
  if (actual !== expected) expect([where, actual]).toEqual([where, expected]);
}

/** Returns the outcome of many calls: one word if all have the same outcome, else the outcome of each call. */
export function toldAll(
  uses: readonly (readonly [string, () => unknown])[],
): string | Record<string, string> {
  const answers = uses.map(([name, use]) => [name, told(use)] as const);
  const all = new Set(answers.map(([, answer]) => answer));
  return all.size === 1 ? [...all][0]! : Object.fromEntries(answers);
}

/** Throws a refusal in a batch the way the data path throws one. */
function moved(batch: CheckBatch, bytes: number): void {
  if (batch.firstRefusal >= 0)
    throw Object.assign(new Error('refused'), { reason: batch.firstReason ?? 'room' });
  if (bytes === 0) throw new Error('nothing moved');
}

/** One way to name the bytes of a region: an address and a key. */
export interface Name {
  kind: 'user' | 'list' | 'fmr' | 'key 0';
  local: bigint;
  remote: bigint;
  key: number;
}

/** All calls that use bytes: through SGEs, walks and batches. */
export interface Reach extends Scene {
  names: Name[];
  regions: (MemoryRegion | FastMemoryRegion)[];
  mapping: DmaMapping;
  /** Calls that write `value` into all of the bytes, and calls that read them. */
  writers: (readonly [string, () => unknown])[];
  readers: (readonly [string, () => unknown])[];
  /** Checks, which test only addresses and keys and do not touch bytes. */
  checkers: (readonly [string, () => unknown])[];
  uses: (readonly [string, () => unknown])[];
  /** The bytes that the writers write. */
  source: Buffer;
  /** The buffer into which the readers copy. */
  target: Buffer;
  /** Puts everything held, and ends the regions and the mapping. */
  end: () => void;
}

/** Creates names for all of `memory`: user memory, a scatter-gather list, a page list, and key 0. */
export function names(all: Scene, memory: MemoryLike, size: number) {
  const mapping = all.device.dma.map(memory, { address: DMA });
  const user = all.pd.regUserMr(memory, { access: ALL });
  const list = all.pd.allocMr({ maxNumSg: 64 });
  list.mapSg([{ addr: DMA, length: size }]);
  all.qp.fastRegMr(list, { key: list.rkey, access: ALL });
  const pages = size & -size; // The largest power of two that divides the size.
  const fmr = all.pd.allocFmr({ maxPages: size / pages, pageShift: Math.log2(pages), access: ALL });
  fmr.mapPhys(
    Array.from({ length: size / pages }, (_, i) => DMA + BigInt(i * pages)),
    0x7000n,
  );
  const zero = all.pd.getDmaMr();
  const regions = [user, list, fmr, zero];
  const kinds = ['user', 'list', 'fmr', 'key 0'] as const;
  const found = regions.map(({ start, iova, lkey: key }, i): Name => {
    const kind = kinds[i]!;
    return kind === 'key 0'
      ? { kind, local: DMA, remote: DMA, key: 0 }
      : { kind, local: start, remote: iova, key };
  });
  return { mapping, regions, names: found };
}

export const localOf = ({ local, key }: Name, length: number, offset = 0) => ({
  addr: local + BigInt(offset),
  length,
  lkey: lkey(key),
});
export const remoteOf = ({ remote, key }: Name, length: number, offset = 0) => ({
  vaddr: remote + BigInt(offset),
  length,
  rkey: rkey(key),
});

function batchOf(
  checker: ProtectionDomain | QueuePair,
  { local, remote, key }: Name,
  size: number,
): CheckBatch {
  const isLocal = 'lkeyBatch' in checker;
  const batch = isLocal ? checker.lkeyBatch(2) : checker.rkeyBatch(2);
  batch.set(0, isLocal ? local : remote, size, lkey(key));
  return batch;
}

/** Creates every way to reach the first `size` bytes of `memory`. `size` must be a multiple of 8. */
export function reach(memory: MemoryLike, size: number): Reach {
  const all = scene({ trusted: true, remoteKeyZero: true });
  const named = names(all, memory, size);
  const source = Buffer.alloc(size, 0x5a);
  const target = Buffer.alloc(size);
  const good = all.pd.regUserMr(Buffer.alloc(size, 0x5a), { access: ALL });
  const sink = all.pd.regUserMr(target, { access: ALL });
  const writers: [string, () => unknown][] = [];
  const readers: [string, () => unknown][] = [];
  const checkers: [string, () => unknown][] = [];
  const held: Sge[] = [];
  const hold = (sge: Sge): Sge => {
    held.push(sge);
    return sge;
  };
  const ok = (check: { ok: boolean }): void => {
    if (!check.ok) throw Object.assign(new Error('refused'), check);
  };
  for (const name of named.names) {
    const { kind } = name;
    const local = hold(accepted(all.pd.acquire(localOf(name, size), ALL)));
    const written = hold(accepted(all.qp.acquire(remoteOf(name, size), Access.RemoteWrite)));
    const read = hold(accepted(all.qp.acquire(remoteOf(name, size), Access.RemoteRead)));
    const word = hold(accepted(all.qp.acquire(remoteOf(name, 8), Access.RemoteAtomic)));
    const locals = batchOf(all.pd, name, size);
    const remotes = batchOf(all.qp, name, size);
    const goods = batchOf(all.pd, { kind, local: good.start, remote: good.iova, key: good.lkey }, size);
    const sinks = batchOf(all.pd, { kind, local: sink.start, remote: sink.iova, key: sink.lkey }, size);
    for (const [side, sge, readable, batch] of [
      ['local', local, local, locals],
      ['remote', written, read, remotes],
    ] as const) {
      const by = `${kind}, ${side}`;
      writers.push(
        [`copyFrom, ${by}`, () => sge.copyFrom(source)],
        [
          `copyFrom in two, ${by}`,
          () => [0, 8].map((offset) => sge.copyFrom(source.subarray(offset), { offset })),
        ],
        [`copyFrom ordered, ${by}`, () => sge.copyFrom(source, { ordered: true })],
        [`copyIn, ${by}`, () => new SgeState([sge]).copyIn(source)],
        [`copyIn ordered, ${by}`, () => new SgeState([sge]).copyIn(source, { ordered: true })],
        [`scatter, ${by}`, () => moved(batch, batch.scatter(source, 1, side === 'local' ? 1 : 2))],
        [`copyTo it, ${by}`, () => moved(batch, goods.copyTo(batch, 1, 0, 1, side === 'local' ? 1 : 2))],
      );
      readers.push(
        [`copyTo, ${by}`, () => readable.copyTo(target)],
        [
          `copyTo in two, ${by}`,
          () => [0, 8].map((offset) => readable.copyTo(target.subarray(offset), { offset })),
        ],
        [`copyOut, ${by}`, () => new SgeState([readable]).copyOut(target)],
        [`gather, ${by}`, () => moved(batch, batch.gather(target, 1, 4))],
        [`copyTo from it, ${by}`, () => moved(batch, batch.copyTo(sinks, 1, 4, 1, 1))],
      );
      const packed = new Uint8Array(batch.words.buffer, 64, 16);
      checkers.push(
        [`check, ${by}`, () => moved(batch, batch.check(1, 4))],
        [`checkPacked, ${by}`, () => moved(batch, batch.checkPacked(packed.slice(), 4))],
        [
          `acquire, ${by}`,
          () => {
            const passed = batch.acquire(1, 4);
            moved(batch, passed);
            moved(batch, batch.put());
          },
        ],
        [`walk, ${by}`, () => new SgeState([sge]).walk([size])],
      );
    }
    writers.push([
      `atomics, ${kind}`,
      () => {
        const before = word.fetchAdd(0n);
        word.compareSwap(before, 0x5a5a_5a5a_5a5a_5a5an);
        for (const sge of [local, written]) sge.copyFrom(source);
      },
    ]);
    readers.push([`fetchAdd, ${kind}`, () => (word.fetchAdd(0n), read.copyTo(target))]);
    checkers.push(
      [`pd.acquire, ${kind}`, () => accepted(all.pd.acquire(localOf(name, size), ALL)).put()],
      [`qp.acquire, ${kind}`, () => accepted(all.qp.acquire(remoteOf(name, size), Access.RemoteRead)).put()],
      [`pd.check, ${kind}`, () => ok(all.pd.check(localOf(name, size), ALL))],
      [`qp.check, ${kind}`, () => ok(all.qp.check(remoteOf(name, size), Access.RemoteRead))],
    );
  }
  return {
    ...all,
    ...named,
    writers,
    readers,
    checkers,
    uses: [...writers, ...readers],
    source,
    target,
    end: () => {
      for (const sge of held) sge.put();
      const [user, list, fmr, zero] = named.regions as [
        MemoryRegion,
        MemoryRegion,
        FastMemoryRegion,
        MemoryRegion,
      ];
      expect(named.regions.map(({ refs }) => refs)).toEqual([2, 2, 2, 3]);
      for (const region of [user, list, zero, good, sink]) region.dereg();
      fmr.dealloc();
      named.mapping.unmap();
      all.device.close({ cascade: true });
    },
  };
}

/** Creates a resizable buffer. The type is `any` because the tests compile against ES2022. */
export const resizable = (length: number, maxByteLength: number): any =>
  new (ArrayBuffer as any)(length, { maxByteLength });
export const growable = (length: number, maxByteLength: number): any =>
  new (SharedArrayBuffer as any)(length, { maxByteLength });
export const wasm = (initial: number, maximum: number, shared = false): any =>
  new (globalThis as any).WebAssembly.Memory({ initial, maximum, shared });
export const detach = (buffer: any): any => structuredClone(buffer, { transfer: [buffer] });

/** The value of each guard byte. */
const RIM_BYTE = 0xa5;

/** Expects the bytes [from, from + length) of a buffer to be `value`, and all others to be unchanged since {@link fillRim}. */
export function expectOnly(buffer: ArrayBufferLike, from: number, length: number, value: number): void {
  const expected = new Uint8Array(buffer.byteLength).fill(RIM_BYTE);
  expected.fill(value, from, from + length);
  // Compare once in the common case, because a matcher compares each byte.
  if (Buffer.compare(Buffer.from(buffer), expected)) expect(new Uint8Array(buffer)).toEqual(expected);
}

export const fillRim = (buffer: ArrayBufferLike): void => void new Uint8Array(buffer).fill(RIM_BYTE);
