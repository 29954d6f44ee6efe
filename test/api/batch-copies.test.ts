// Copies over batches: compared with naive byte-by-byte copies, with the rights of the elements, and over memory that is detached
// or shrunk.
import * as fc from 'fast-check';
import { Access, lkey, type CheckBatch } from '../../lib';
import { type Element, fill } from '../support/batches';
import { outOfRange, rdma, wrongType } from '../support/answers';
import { ALL, DMA, PAGE, PAGE_N, open, scene } from '../support/scene';

const GUARD = 64;

/** Creates regions of every kind over two buffers, and records which byte of which buffer each region byte is. */
function world() {
  const { device, pd, qp } = scene({ trusted: true, remoteKeyZero: true });
  const one = Buffer.alloc(4 * PAGE);
  const two = Buffer.from(new SharedArrayBuffer(2 * PAGE + 2 * GUARD));
  const all = [one, two];
  const places: { key: number; base: bigint; bytes: Buffer[] }[] = [];
  const add = (key: number, base: bigint, ...bytes: Buffer[]): void => void places.push({ key, base, bytes });

  const user = one.subarray(100, 100 + PAGE + 77);
  add(pd.regUserMr(user, { start: 0x1000n, iova: 0x1000n, access: ALL }).lkey, 0x1000n, user);
  // A second region over the same bytes makes copies overlap.
  const overlap = one.subarray(300, 300 + PAGE);
  add(pd.regUserMr(overlap, { start: 0x8000n, iova: 0x8000n, access: ALL }).lkey, 0x8000n, overlap);
  device.dma.map(one, { address: DMA });
  const second = DMA + 16n * PAGE_N;
  const inside = two.subarray(GUARD, GUARD + 2 * PAGE);
  device.dma.map(inside, { address: second });
  pd.getDmaMr();
  add(0, DMA, one);
  const fmr = pd.allocFmr({ maxPages: 8, access: ALL });
  const order = [second, DMA + 2n * PAGE_N, DMA, second + PAGE_N];
  fmr.mapPhys(order, 0x20_0000n);
  const page = (address: bigint): Buffer => {
    const [bytes, base] = address >= second ? [inside, second] : [one, DMA];
    const begin = Number(address - base);
    return bytes.subarray(begin, begin + PAGE);
  };
  add(fmr.lkey, 0x20_0000n, ...order.map(page));
  const sg = pd.allocMr({ maxNumSg: 4 });
  sg.mapSg([
    { addr: second, length: PAGE },
    { addr: DMA + PAGE_N, length: 2 * PAGE },
  ]);
  qp.fastRegMr(sg, { key: sg.rkey, access: ALL, iova: second });
  add(sg.lkey, second, page(second), page(DMA + PAGE_N), page(DMA + 2n * PAGE_N));
  return { pd, qp, all, places };
}

type World = ReturnType<typeof world>;

/** Returns the buffer and index of a region's byte, so that a test can read or write the byte directly. */
function at({ places }: World, [address, , key]: Element, offset: number): { buffer: Buffer; index: number } {
  const region = places.find((each) => each.key === key)!;
  let index = Number(address - region.base) + offset;
  for (const buffer of region.bytes) {
    if (index < buffer.length) return { buffer, index };
    index -= buffer.length;
  }
  throw new Error('outside');
}

/** Generates elements inside the regions, and occasionally an element that is refused. */
function listArb({ places }: World): fc.Arbitrary<Element[]> {
  const good = fc
    .record({
      place: fc.constantFrom(...places),
      from: fc.double({ min: 0, max: 1, noNaN: true }),
      length: fc.oneof(fc.constantFrom(0, 1, 7, 8, 64), fc.nat(PAGE + 300)),
    })
    .map(({ place, from, length }): Element => {
      const size = place.bytes.reduce((sum, { length: bytes }) => sum + bytes, 0);
      const begin = Math.floor(from * (size - 1));
      return [place.base + BigInt(begin), Math.min(length, size - begin), place.key];
    });
  const refused = fc.constantFrom<Element>([0n, 1, 0x77], [0xffffn, 2 ** 32 - 1, places[0]!.key]);
  return fc.array(fc.oneof({ weight: 25, arbitrary: good }, refused), { maxLength: 12, size: 'max' });
}

const refusedKind = ([address, length, key]: Element): boolean =>
  key === 0x77 || (address === 0xffffn && length > PAGE);

/** Fills both buffers with bytes that depend on their position. */
function shuffle({ all }: World, seed: number): void {
  for (const [b, buffer] of all.entries()) {
    for (let i = 0; i < buffer.length; i++) buffer[i] = (i * 31 + b * 7 + (i >> 8) * 13 + seed) & 0xff;
  }
}

describe('compared with naive copies', () => {
  test.each(['local', 'remote'])('gather and scatter move the same bytes, %s', (side) => {
    const w = world();
    const batch: CheckBatch = side === 'local' ? w.pd.lkeyBatch(12) : w.qp.rkeyBatch(12);
    fc.assert(
      fc.property(
        listArb(w),
        fc.boolean(),
        fc.nat(6 * PAGE),
        fc.boolean(),
        fc.nat(255),
        (elements, gather, room, enough, seed) => {
          shuffle(w, seed);
          const sum = elements.reduce((total, [, length]) => total + (length < 2 ** 20 ? length : 0), 0);
          const size = enough ? sum + 3 : room;
          const whole = Buffer.alloc(size + 2 * GUARD, 0xaa);
          const data = whole.subarray(GUARD, GUARD + size);
          if (!gather) for (let i = 0; i < size; i++) data[i] = (i * 17 + seed) & 0xff;

          fill(batch, elements);
          const images = w.all.map((buffer) => Buffer.from(buffer));
          const target = Buffer.from(whole);
          const got = gather
            ? batch.gather(data, elements.length, Access.RemoteRead)
            : batch.scatter(data, elements.length, Access.RemoteWrite);
          const after = w.all.map((buffer) => Buffer.from(buffer));

          // Copy the same bytes one at a time.
          for (const [i, image] of images.entries()) image.copy(w.all[i]!);
          let moved = 0;
          let stopped = -1;
          for (const [i, element] of elements.entries()) {
            const [, length] = element;
            if (refusedKind(element) || length > size - moved) {
              stopped = i;
              break;
            }
            // A byte-by-byte copy is correct here because an element never overlaps the target or source buffer.
            for (let offset = 0; offset < length; offset++) {
              const { buffer, index } = at(w, element, offset);
              if (gather) target[GUARD + moved + offset] = buffer[index]!;
              else buffer[index] = data[moved + offset]!;
            }
            moved += length;
          }
          expect(got).toBe(moved);
          expect(batch.firstRefusal).toBe(stopped);
          expect(batch.firstReason === undefined).toBe(stopped < 0 || !refusedKind(elements[stopped]!));
          if (gather) expect(whole.equals(target)).toBe(true);
          for (const [i, buffer] of w.all.entries()) expect(after[i]!.equals(buffer)).toBe(true);
        },
      ),
      { numRuns: 600 },
    );
  });

  test('copies from list to list where they do not overlap', () => {
    const [w, v] = [world(), world()];
    const [from, to] = [w.qp.rkeyBatch(12), v.pd.lkeyBatch(12)];
    fc.assert(
      fc.property(listArb(w), listArb(v), fc.nat(255), (sources, targets, seed) => {
        shuffle(w, seed);
        shuffle(v, 255 - seed);
        fill(from, sources);
        fill(to, targets);
        const images = v.all.map((buffer) => Buffer.from(buffer));
        const before = w.all.map((buffer) => Buffer.from(buffer));
        const got = from.copyTo(to, sources.length, Access.RemoteRead, targets.length, Access.LocalWrite);
        const after = v.all.map((buffer) => Buffer.from(buffer));
        for (const [i, image] of images.entries()) image.copy(v.all[i]!);

        const bytes = (world: World, list: Element[]): { buffer: Buffer; index: number }[] => {
          const end = list.findIndex(refusedKind);
          return (end < 0 ? list : list.slice(0, end)).flatMap((element) =>
            Array.from({ length: element[1] }, (_, offset) => at(world, element, offset)),
          );
        };
        const [read, write] = [bytes(w, sources), bytes(v, targets)];
        const count = Math.min(read.length, write.length);
        for (let i = 0; i < count; i++) write[i]!.buffer[write[i]!.index] = read[i]!.buffer[read[i]!.index]!;
        expect(got).toBe(count);
        for (const [i, buffer] of v.all.entries()) expect(after[i]!.equals(buffer)).toBe(true);
        for (const [i, buffer] of w.all.entries()) expect(before[i]!.equals(buffer)).toBe(true);
        if (read.length < write.length) {
          expect(from.firstRefusal).toBe(sources.findIndex(refusedKind));
        } else if (write.length < read.length) {
          expect(to.firstRefusal).toBe(targets.findIndex(refusedKind));
        }
      }),
      { numRuns: 300 },
    );
  });

  test('copies more than a MiB in one element', () => {
    const { pd, qp } = scene();
    const size = 5 * 2 ** 20 + 333;
    const [source, target, out] = [Buffer.alloc(size), Buffer.alloc(size), Buffer.alloc(size)];
    for (let i = 0; i < size; i++) source[i] = (i * 2654435761) >>> 24;
    const [a, b] = [source, target].map((bytes) => pd.regUserMr(bytes, { start: 0n, iova: 0n, access: ALL }));
    const [from, to] = [pd.lkeyBatch(2), qp.rkeyBatch(2)];
    fill(from, [[0n, size, a!.lkey]]);
    fill(to, [
      [0n, 12345, b!.lkey],
      [12345n, size - 12345, b!.lkey],
    ]);
    expect(from.gather(out, 1, 0)).toBe(size);
    expect(out.equals(source)).toBe(true);
    expect(from.copyTo(to, 1, 0, 2, Access.RemoteWrite)).toBe(size);
    expect(target.equals(source)).toBe(true);
    expect([from.firstRefusal, to.firstRefusal]).toEqual([-1, -1]);
    expect(to.scatter(out.fill(7), 2, Access.RemoteWrite)).toBe(size);
    expect(target.equals(out)).toBe(true);
  });
});

describe('rights', () => {
  function regions() {
    const { pd, qp } = scene();
    const bytes = Buffer.alloc(64, 1);
    const reg = (access: number) => pd.regUserMr(bytes, { start: 0n, iova: 0n, access });
    const local = pd.lkeyBatch(1);
    const remote = qp.rkeyBatch(1);
    return { bytes, reg, local, remote };
  }

  test('reading a local element needs none; reading a remote element needs RemoteRead, requested and granted', () => {
    const { reg, local, remote } = regions();
    const none = reg(0);
    fill(local, [[0n, 8, none.lkey]]);
    expect(local.gather(Buffer.alloc(8), 1, 0)).toBe(8);
    expect(local.gather(Buffer.alloc(8), 1, Access.LocalWrite)).toBe(0);
    expect(local.firstReason).toBe('AccessDenied');
    const write = reg(Access.LocalWrite | Access.RemoteWrite);
    fill(remote, [[0n, 8, write.lkey]]);
    const out = Buffer.alloc(8);
    expect(remote.gather(out, 1, Access.RemoteRead)).toBe(0);
    expect([remote.firstRefusal, remote.firstReason]).toEqual([0, 'AccessDenied']);
    for (const access of [Access.RemoteWrite, Access.RemoteWrite | Access.RemoteRead, 5, 0]) {
      expect(() => remote.gather(out, 1, access)).toThrow(outOfRange('RemoteRead'));
    }
    expect(out.equals(Buffer.alloc(8))).toBe(true);
    const read = reg(Access.RemoteRead | Access.LocalWrite | Access.RemoteWrite);
    fill(remote, [[0n, 8, read.lkey]]);
    expect(remote.gather(Buffer.alloc(8), 1, Access.RemoteRead)).toBe(8);
  });

  test('writing needs LocalWrite or RemoteWrite, requested and granted', () => {
    const { bytes, reg, local, remote } = regions();
    const source = Buffer.alloc(8, 9);
    const cases: [CheckBatch, granted: number, asked: number, moved: number][] = [
      [local, 0, 0, 0],
      [local, 0, Access.LocalWrite, 0],
      [local, Access.LocalWrite, 0, 0],
      [local, Access.RemoteRead, Access.RemoteRead, 0],
      [local, Access.LocalWrite, Access.LocalWrite, 8],
      [remote, Access.LocalWrite, Access.RemoteWrite, 0],
      [remote, Access.RemoteRead, Access.RemoteWrite, 0],
      [remote, ALL, Access.RemoteWrite, 8],
    ];
    for (const [batch, granted, asked, moved] of cases) {
      bytes.fill(1);
      fill(batch, [[0n, 8, reg(granted).lkey]]);
      expect(batch.scatter(source, 1, asked)).toBe(moved);
      expect(batch.firstReason).toBe(moved ? undefined : 'AccessDenied');
      expect(bytes[0]).toBe(moved ? 9 : 1);
      const from = batch === local ? remote : local;
      const other = from === local ? 0 : Access.RemoteRead;
      const key = reg(ALL).lkey;
      fill(from, [[16n, 8, key]]);
      expect(from.copyTo(batch, 1, other, 1, asked)).toBe(moved);
      expect(batch.firstReason).toBe(moved ? undefined : 'AccessDenied');
      expect(from.firstReason).toBeUndefined();
    }
  });
});

describe('memory that is taken away in the middle of a list', () => {
  const resizable = (length: number): any => new (ArrayBuffer as any)(length, { maxByteLength: 64 });
  const cases: [string, () => ArrayBuffer, (buffer: any) => void, string][] = [
    ['detached', () => new ArrayBuffer(64), (b) => structuredClone(b, { transfer: [b] }), 'MemoryDetached'],
    ['shrunk', () => resizable(64), (b) => b.resize(63), 'MemoryShrunk'],
    ['shrunk to zero bytes', () => resizable(64), (b) => b.resize(0), 'MemoryShrunk'],
  ];
  test.each(cases)('stops the copy: memory that was %s', (_, make, take, reason) => {
    const { pd } = scene();
    const [first, lost] = [Buffer.alloc(64, 1), make()];
    const key = pd.regUserMr(first, { start: 0n, access: ALL }).lkey;
    const lostKey = pd.regUserMr(lost, { start: 0n, access: ALL }).lkey;
    const batch = pd.lkeyBatch(3);
    const good: Element = [0n, 8, key];
    fill(batch, [good, [8n, 8, lostKey], good]);
    const out = Buffer.alloc(24, 5);
    expect(batch.gather(out, 3, 0)).toBe(24);
    take(lost);
    // Checks still accept the element: they test keys and ranges, not the memory behind them.
    expect(batch.check(3, 0)).toBe(3);
    out.fill(5);
    expect(batch.gather(out, 3, 0)).toBe(8);
    expect([batch.firstRefusal, batch.firstReason]).toEqual([1, reason]);
    expect([...out]).toEqual([...Array(8).fill(1), ...Array(16).fill(5)]);
    expect(batch.scatter(Buffer.alloc(24, 6), 3, Access.LocalWrite)).toBe(8);
    expect([batch.firstRefusal, batch.firstReason]).toEqual([1, reason]);
    expect([...first.subarray(0, 9)]).toEqual([...Array(8).fill(6), 1]);
    const other = pd.lkeyBatch(1);
    fill(other, [[32n, 24, key]]);
    expect(batch.copyTo(other, 3, 0, 1, Access.LocalWrite)).toBe(8);
    expect([batch.firstRefusal, batch.firstReason]).toEqual([1, reason]);
    expect(other.copyTo(batch, 1, 0, 3, Access.LocalWrite)).toBe(8);
    expect([batch.firstRefusal, batch.firstReason]).toEqual([1, reason]);
    expect(other.firstRefusal).toBe(-1);
  });
});

describe('source and target buffers', () => {
  test('may be any memory, empty, or part of a region', () => {
    const { pd } = scene();
    const bytes = Buffer.from(Array.from({ length: 64 }, (_, i) => i));
    const batch = pd.lkeyBatch(2);
    const key = pd.regUserMr(bytes, { start: 0n, access: ALL }).lkey;
    fill(batch, [
      [0n, 8, key],
      [8n, 0, key],
    ]);
    const sink = new ArrayBuffer(8);
    for (const target of [sink, new Float64Array(1), new DataView(sink), new SharedArrayBuffer(8)]) {
      expect(batch.gather(target, 2, 0)).toBe(8);
    }
    expect(batch.gather(Buffer.alloc(0), 2, 0)).toBe(0);
    expect([batch.firstRefusal, batch.firstReason]).toEqual([0, undefined]);
    expect(batch.gather(bytes.subarray(4), 1, 0)).toBe(8);
    expect([...bytes.subarray(0, 13)]).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 12]);
    const [view, detached] = [new Uint8Array(sink), sink];
    structuredClone(sink, { transfer: [sink] });
    for (const gone of [view, detached]) {
      expect(() => batch.gather(gone, 1, 0)).toThrow(rdma('EINVAL', 'gather'));
      expect(() => batch.scatter(gone, 1, 1)).toThrow(rdma('EINVAL', 'scatter'));
    }
    for (const none of ['abc', null, undefined, 7, {}, [1]]) {
      expect(() => batch.gather(none as any, 1, 0)).toThrow(wrongType('target'));
      expect(() => batch.scatter(none as any, 1, 1)).toThrow(wrongType('source'));
      expect(() => batch.copyTo(none as any, 1, 0, 1, 1)).toThrow(wrongType('other'));
    }
    expect(() => batch.gather(bytes, 3, 0)).toThrow(outOfRange('count'));
    expect(() => batch.copyTo(batch, 1, 0, 1, 1)).toThrow(rdma('EINVAL', 'copy_batch'));
  });

  test('a batch of a closed domain moves nothing, not even for a new domain in the same slot', () => {
    const device = open();
    const pd = device.allocPd({ trusted: true });
    const batch = pd.lkeyBatch(1);
    pd.dealloc();
    const next = device.allocPd({ trusted: true });
    const secret = Buffer.alloc(PAGE, 7);
    const mr = next.regUserMr(secret, { start: DMA, access: ALL });
    device.dma.map(secret, { address: DMA });
    next.getDmaMr();
    const other = next.lkeyBatch(1);
    for (const key of [mr.lkey, lkey(0)]) {
      const element: Element[] = [[DMA, 8, key]];
      fill(batch, element);
      fill(other, element);
      const out = Buffer.alloc(8);
      for (const use of [
        () => batch.gather(out, 1, 0),
        () => batch.scatter(out, 1, Access.LocalWrite),
        () => other.copyTo(batch, 1, 0, 1, Access.LocalWrite),
        () => batch.copyTo(other, 1, 0, 1, Access.LocalWrite),
      ]) {
        expect([use(), batch.firstRefusal, batch.firstReason]).toEqual([0, 0, 'Closed']);
        expect([other.firstRefusal, other.firstReason]).toEqual([-1, undefined]);
      }
      expect(out.equals(Buffer.alloc(8))).toBe(true);
      expect(secret.equals(Buffer.alloc(PAGE, 7))).toBe(true);
      expect(other.gather(out, 1, 0)).toBe(8);
    }
  });
});
