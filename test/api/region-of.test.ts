// Finding the regions that contain given memory: `pd.regionOf`, `device.regionsOf`.
import { Access, Device, type MemoryRegion } from '../../lib';
import { IntervalTree } from '../../lib/internal/interval-tree';
import { RegionIndex } from '../../lib/verbs/region-index';
import { accepted, outOfRange, rdma, wrongType } from '../support/answers';
import { DMA, dmaPages, open, PAGE, scene } from '../support/scene';
import { Peer } from '../support/workers';

/** Returns a generator of integers below a limit that repeats in each run. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('regionOf', () => {
  test('finds the region that covers all bytes of a view of any type', () => {
    const { pd } = scene();
    const buffer = new ArrayBuffer(PAGE);
    const mr = pd.regUserMr(new Uint8Array(buffer, 100, 200));
    for (const view of [
      new Uint8Array(buffer, 100, 200),
      new Uint8Array(buffer, 100, 1),
      new Uint8Array(buffer, 299, 1),
      new Float64Array(buffer, 104, 10),
      new DataView(buffer, 150, 9),
      Buffer.from(buffer, 120, 8).subarray(2),
    ]) {
      expect(pd.regionOf(view)).toBe(mr);
    }
    for (const view of [
      buffer,
      new Uint8Array(buffer, 99, 2),
      new Uint8Array(buffer, 299, 2),
      new Uint8Array(buffer, 300),
    ]) {
      expect(pd.regionOf(view)).toBe(undefined);
    }
    expect(pd.regionOf(new Uint8Array(buffer, 150, 0))).toBe(undefined);
    expect(pd.regionOf(Buffer.alloc(8))).toBe(undefined);
  });

  test('among several, prefers the closest start before the view, then the newest region', () => {
    const { device, pd } = scene();
    const buffer = new SharedArrayBuffer(1000);
    const over = (from: number, length: number): MemoryRegion =>
      pd.regUserMr(new Uint8Array(buffer, from, length));
    const [whole, near, old, newest] = [over(0, 1000), over(100, 900), over(200, 100), over(200, 400)];
    const view = (from: number, length: number): Uint8Array => new Uint8Array(buffer, from, length);
    expect(pd.regionOf(view(200, 10))).toBe(newest);
    newest.dereg();
    expect(pd.regionOf(view(200, 10))).toBe(old);
    expect(pd.regionOf(view(250, 100))).toBe(near);
    expect(pd.regionOf(view(50, 10))).toBe(whole);
    expect(device.regionsOf(view(250, 10))).toEqual([whole, near, old]);
    expect(device.regionsOf(view(0, 1000))).toEqual([whole]);
  });

  test('finds only regions of this domain with the requested rights', () => {
    const { device, pd } = scene();
    const other = device.allocPd();
    const memory = Buffer.alloc(64);
    const [mine, theirs] = [pd.regUserMr(memory, { access: 1 }), other.regUserMr(memory, { access: 31 })];
    const [read, both] = [pd.regUserMr(memory, { access: 4 }), pd.regUserMr(memory, { access: 7 })];
    expect([pd.regionOf(memory, 1), pd.regionOf(memory, Access.RemoteRead), other.regionOf(memory)]).toEqual([
      both,
      both,
      theirs,
    ]);
    both.dereg();
    expect([
      pd.regionOf(memory, 1),
      pd.regionOf(memory, 4),
      pd.regionOf(memory, 5),
      pd.regionOf(memory, 32),
    ]).toEqual([mine, read, undefined, undefined]);
    expect(device.regionsOf(memory)).toEqual([mine, theirs, read]);
  });

  test('finds only regions whose keys work, however the others ended', () => {
    const { device, pd, qp } = scene();
    const memory = Buffer.alloc(64);
    const of = (): MemoryRegion => pd.regUserMr(memory);
    const [kept, dereg, force, half, invalid] = [of(), of(), of(), of(), of()];
    expect(device.regionsOf(memory)).toHaveLength(5);
    dereg.dereg();
    force.dereg({ force: true });
    accepted(pd.acquire({ addr: half.start, length: 8, lkey: half.lkey }, 0));
    expect(() => half.dereg()).toThrow(rdma('EBUSY'));
    qp.invalidateRkey(invalid.rkey);
    expect(device.regionsOf(memory)).toEqual([kept]);
    expect(pd.regionOf(memory)).toBe(kept);
    const other = device.allocPd();
    other.regUserMr(memory);
    other.dealloc({ cascade: true });
    expect(device.regionsOf(memory)).toEqual([kept]);
    const later = of();
    expect([device.regionsOf(memory), pd.regionOf(memory)]).toEqual([[kept, later], later]);
  });

  test('ignores regions that map DMA addresses, even if they reach the bytes', () => {
    const { device, pd } = scene();
    const mapping = dmaPages(device, 1);
    expect(mapping.length).toBe(PAGE);
    const memory = new ArrayBuffer(PAGE);
    device.dma.map(memory, { address: 2n * DMA });
    pd.allocFmr({ maxPages: 1 }).mapPhys([2n * DMA], 0);
    expect(device.regionsOf(memory)).toEqual([]);
  });

  test('finds regions of device memory through any buffer over it', () => {
    const { device, pd } = scene();
    const memory = device.allocDm(PAGE);
    const mr = pd.regUserMr(new Uint8Array(memory.buffer, 8));
    expect(pd.regionOf(new Uint8Array(memory.buffer, 16, 8))).toBe(mr);
    expect(pd.regionOf(new Uint8Array(device.importDm(memory.id).buffer, 16, 8))).toBe(mr);
    expect(pd.regionOf(device.allocDm(8).buffer)).toBe(undefined);
  });

  test('finds regions of shared memory through any buffer object over it', () => {
    const { device, pd } = scene();
    const buffer = new SharedArrayBuffer(64);
    const again = structuredClone(buffer);
    expect(again).not.toBe(buffer);
    const mr = pd.regUserMr(buffer);
    expect(pd.regionOf(again)).toBe(mr);
    const second = pd.regUserMr(new Uint8Array(again, 8, 8));
    expect(device.regionsOf(new Uint8Array(buffer, 8, 8))).toEqual([mr, second]);
  });

  test('works through every object of the device in this thread, but not for regions of other threads', async () => {
    const { device, pd } = scene();
    const buffer = new SharedArrayBuffer(64);
    const peer = new Peer({ token: device.share() });
    await peer.run((w, number, memory) => void w.device.importPd(number).regUserMr(memory), pd.id, buffer);
    expect(device.regionsOf(buffer)).toEqual([]);
    const other = Device.attach(device.share());
    const mine = pd.regUserMr(buffer);
    const imported = other.importPd(pd.id).regUserMr(buffer);
    expect(other.regionsOf(buffer)).toEqual([mine, imported]);
    expect(pd.regionOf(buffer)).toBe(imported);
    other.detach({ cascade: true });
    expect(device.regionsOf(buffer)).toEqual([mine]);
  });

  test('rejects values that are not memory, and closed objects', () => {
    const { device, pd } = scene();
    const gone = new Uint8Array(8);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    for (const memory of [undefined, null, 8, 'text', {}, [1], new Proxy(new Uint8Array(8), {})]) {
      expect(() => pd.regionOf(memory as any)).toThrow(wrongType('memory'));
      expect(() => device.regionsOf(memory as any)).toThrow(wrongType('memory'));
    }
    expect(() => pd.regionOf(gone)).toThrow(rdma('EINVAL', 'find_mr'));
    expect(() => device.regionsOf(gone)).toThrow(rdma('EINVAL', 'find_mr'));
    expect(() => pd.regionOf(Buffer.alloc(1), -1)).toThrow(outOfRange('access'));
    expect(() => pd.regionOf(Buffer.alloc(1), '1' as any)).toThrow(wrongType('access'));
    device.close({ cascade: true });
    expect(() => pd.regionOf(Buffer.alloc(1))).toThrow(rdma('EBADF', 'find_mr'));
    expect(() => device.regionsOf(Buffer.alloc(1))).toThrow(rdma('EBADF', 'find_mr'));
  });

  test('agrees with a linear search through all regions', () => {
    const { device, pd } = scene();
    const random = dice(7);
    const buffers = [new ArrayBuffer(256), new SharedArrayBuffer(256)];
    let alive: { mr: MemoryRegion; buffer: ArrayBufferLike; from: number; to: number }[] = [];
    const range = (): [number, number] => {
      const from = random(255);
      return [from, from + 1 + random(256 - from)];
    };
    for (let round = 0; round < 3000; round++) {
      const buffer = buffers[random(2)]!;
      const [from, to] = range();
      const view = new Uint8Array(buffer, from, to - from);
      if (random(3) === 0) {
        alive.push({ mr: pd.regUserMr(view), buffer, from, to });
      } else if (random(4) === 0 && alive.length) {
        const [{ mr }] = alive.splice(random(alive.length), 1) as [(typeof alive)[number]];
        if (random(2)) mr.dereg();
        else mr[Symbol.dispose]();
      } else {
        const found = alive.filter((at) => at.buffer === buffer && at.from <= from && at.to >= to);
        expect(device.regionsOf(view)).toEqual(found.map(({ mr }) => mr).sort((a, b) => a.id - b.id));
        const best = found.sort((a, b) => b.from - a.from || b.mr.id - a.mr.id)[0];
        expect(pd.regionOf(view)).toBe(best?.mr);
      }
      if (round % 1000 === 999) alive = alive.filter(({ mr }) => mr.state === 'Valid');
    }
  });
});

describe('with 100,000 regions', () => {
  test('a search visits nodes proportional to the depth of the tree, not to the number of regions', () => {
    const device = open({ lkeyTableBits: 17 });
    const pd = device.allocPd();
    const pool = new ArrayBuffer(1_000_000);
    const spy = jest.spyOn(IntervalTree.prototype, 'findCovering');
    const regions = Array.from({ length: 100_000 }, (_, i) => pd.regUserMr(new Uint8Array(pool, i * 10, 10)));
    const views = Array.from({ length: 100 }, (_, i) => new Uint8Array(pool, i * 9990 + 3, 4));
    expect(views.map((view) => pd.regionOf(view))).toEqual(views.map((_, i) => regions[i * 999]));
    // Registrations continue between the searches.
    for (const view of views) {
      const newer = pd.regUserMr(view);
      expect(pd.regionOf(view)).toBe(newer);
      newer.dereg();
    }
    const tree = spy.mock.contexts[0] as IntervalTree<unknown>;
    spy.mockRestore();
    expect(tree.size).toBe(100_000);
    // 200 searches in trees of 100,000 visit about 2 * log2(100,000) = 33 nodes each; linear searches would visit 10,000,000.
    expect(tree.looks).toBeLessThan(200 * 100);
  });

  test('finds the newest region at once when one memory is registered many times', () => {
    const device = open({ lkeyTableBits: 17 });
    const pd = device.allocPd();
    const memory = Buffer.alloc(64);
    const regions = Array.from({ length: 20_000 }, () => pd.regUserMr(memory));
    const spy = jest.spyOn(IntervalTree.prototype, 'findCovering');
    expect(pd.regionOf(memory)).toBe(regions.at(-1));
    const before = (spy.mock.contexts[0] as IntervalTree<unknown>).looks;
    spy.mockRestore();
    expect(before).toBeLessThan(100);
  });

  test('the index drops regions that were closed without notifying it', () => {
    const { device, pd } = scene();
    const memory = Buffer.alloc(64);
    const sizes: number[] = [];
    const spy = jest.spyOn(RegionIndex.prototype, 'find');
    pd.regUserMr(memory);
    pd.regionOf(memory);
    const index = spy.mock.contexts[0] as RegionIndex<unknown>;
    spy.mockRestore();
    for (let i = 0; i < 2000; i++) {
      pd.regUserMr(memory)[Symbol.dispose]();
      if (i % 100 === 0) device.regionsOf(Buffer.alloc(1));
      sizes.push(index.size);
    }
    expect(Math.max(...sizes)).toBeLessThan(20);
  });
});
