// Batches that hold references, and batches that coalesce adjacent elements.
import * as fc from 'fast-check';
import { Access, lkey, type Sge, CheckBatch } from '../../lib';
import { type Element, everyKind, fill, placeIn } from '../support/batches';
import { accepted, rdma, wrongType } from '../support/answers';
import { testWithCollector } from '../support/conditions';
import { collect } from '../support/garbage';
import { ALL, DMA, open, PAGE, PAGE_N, scene } from '../support/scene';

describe('references', () => {
  function three() {
    const { device, pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(64), { start: 0n, iova: 0n, access: ALL });
    const batch = pd.lkeyBatch(4);
    const rest = mr.refs;
    fill(batch, [
      [0n, 8, mr.lkey],
      [65n, 8, mr.lkey],
      [16n, 8, mr.lkey],
      [24n, 8, mr.lkey],
    ]);
    return { device, pd, qp, mr, batch, rest };
  }

  test('acquire takes one per accepted element, and put gives them back', () => {
    const { mr, batch, rest } = three();
    expect(batch.acquire(3, Access.LocalWrite)).toBe(2);
    expect([...batch.verdicts.subarray(0, 3)].map(Boolean)).toEqual([false, true, false]);
    expect([batch.firstRefusal, batch.firstReason]).toEqual([1, 'OutOfBounds']);
    expect(mr.refs).toBe(rest + 2);
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    expect(batch.put(1)).toBe(1);
    expect(batch.put()).toBe(1);
    expect(batch.put()).toBe(0);
    mr.dereg();
  });

  test('acquire is refused with EBUSY while the batch holds references', () => {
    const { mr, batch, rest } = three();
    expect(batch.acquire(1, 0)).toBe(1);
    expect(() => batch.acquire(3, 0)).toThrow(rdma('EBUSY', 'acquire_batch'));
    expect(() => batch.acquire(1, 0)).toThrow(rdma('EBUSY'));
    expect(mr.refs).toBe(rest + 1);
    expect(batch.check(3, 0)).toBe(2);
    expect(batch.put()).toBe(1);
    expect(batch.acquire(3, 0)).toBe(2);
    batch[Symbol.dispose]();
    expect(mr.refs).toBe(rest);
  });

  test('take hands over one element at a time as an SGE', () => {
    const { mr, batch, rest } = three();
    expect(batch.take(0)).toBeUndefined();
    batch.acquire(4, Access.LocalWrite);
    expect(batch.take(1)).toBeUndefined();
    const sge = batch.take(2)!;
    expect(batch.take(2)).toBeUndefined();
    expect(batch.put()).toBe(2);
    expect(mr.refs).toBe(rest + 1);
    expect(sge.region).toBe(mr);
    expect(sge.at).toBe(16n);
    expect(sge.copyFrom(Buffer.alloc(8, 7))).toBe(8);
    sge.put();
    mr.dereg();
  });

  test('can still be put after the parent of the batch is closed', () => {
    const { device, pd, qp, mr, batch } = three();
    const remote = qp.rkeyBatch(1);
    remote.set(0, 0n, 8, mr.rkey);
    expect(remote.acquire(1, 4)).toBe(1);
    batch.acquire(4, 0);
    expect(() => pd.dealloc()).toThrow(rdma('EBUSY'));
    qp.destroy();
    expect([remote.check(1, 4), remote.firstReason]).toEqual([0, 'Closed']);
    expect(() => remote.acquire(0, 4)).not.toThrow(RangeError);
    device.close({ cascade: true });
    for (const use of [
      () => batch.check(1, 0),
      () => batch.checkPacked(Buffer.alloc(16), 0),
      () => batch.gather(Buffer.alloc(8), 1, 0),
      () => batch.scatter(Buffer.alloc(8), 1, 1),
      () => batch.copyTo(remote, 1, 1, 1, 2),
    ]) {
      expect([use(), batch.firstRefusal, batch.firstReason]).toEqual([0, 0, 'Closed']);
    }
    const sge = batch.take(0)!;
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
    sge.put();
    expect(batch.put()).toBe(2);
    expect(remote.put()).toBe(1);
    expect([batch.acquire(1, 0), batch.firstReason, batch.put()]).toEqual([0, 'Closed', 0]);
  });

  testWithCollector('are put when the batch is garbage-collected', async () => {
    const { mr, rest, pd } = three();
    (() => {
      const batch = pd.lkeyBatch(1000);
      for (let i = 0; i < 1000; i++) batch.set(i, 0n, 8, mr.lkey);
      expect(batch.acquire(1000, 0)).toBe(1000);
    })();
    expect(await collect(() => mr.refs === rest)).toBe(true);
    mr.dereg();
  });
});

describe('coalescing', () => {
  test('gives the same results as acquire with `last`', () => {
    const { pd, fmr, user } = everyKind();
    const own = pd.allocFmr({ maxPages: 4, access: ALL });
    own.mapPhys([DMA, DMA + PAGE_N, DMA + 2n * PAGE_N], DMA);
    const atRest = [own, fmr, user].map(({ refs }) => refs);
    const step = fc.record({
      key: fc.constantFrom(...Array<number>(8).fill(0), own.lkey, own.lkey, fmr.lkey, user.lkey, 0x77),
      follows: fc.constantFrom(true, true, true, false),
      at: fc.oneof(fc.constantFrom(0n, PAGE_N, PAGE_N - 1n, PAGE_N + 1n), fc.bigInt(0n, 3n * PAGE_N)),
      length: fc.constantFrom(0, 16, 16, 100, PAGE, PAGE, PAGE - 1, PAGE + 1),
    });
    const merged = { count: 0 };
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30, size: 'max' }), fc.boolean(), (steps, seeded) => {
        let end = DMA;
        const elements = steps.map(({ key, follows, at, length }): Element => {
          const address = follows ? end : DMA + at;
          end = address + BigInt(length);
          return [address, length, key];
        });
        const batch = pd.lkeyBatch(30, { places: true });
        const seeds = seeded
          ? [0, 1].map(() => accepted(pd.acquire({ addr: DMA, length: 0, lkey: lkey(0) }, 0)))
          : [null, null];
        fill(batch, elements);
        const passed = batch.acquire(elements.length, 0, { coalesce: true, last: seeds[0]! });
        let last = seeds[1]!;
        let count = 0;
        const singles = elements.map(([addr, length, key], i) => {
          const check = pd.acquire({ addr, length, lkey: lkey(key) }, 0, { last });
          if (!check.ok) {
            expect(batch.reason(i)).toBe(check.reason);
            return undefined;
          }
          count++;
          last = check.sge;
          expect(batch.verdicts[i]).toBe(check.coalesced ? CheckBatch.COALESCED : 0);
          expect(batch.reason(i)).toBeUndefined();
          expect(placeIn(batch, i)).toEqual({
            at: last.at,
            segmentLength: last.segmentLength,
            segment: last.segment,
          });
          if (check.coalesced) merged.count++;
          return check.coalesced ? undefined : check.sge;
        });
        expect(passed).toBe(count);
        const tell = (sge?: Sge | null) => sge && [sge.at, sge.segmentLength, sge.length, sge.region];
        for (const [i, sge] of singles.entries()) {
          const taken = batch.take(i);
          expect(tell(taken)).toEqual(tell(sge));
          taken?.put();
          sge?.put();
        }
        expect(tell(seeds[0])).toEqual(tell(seeds[1]));
        for (const seed of seeds) seed?.put();
        expect(batch.put()).toBe(0);
      }),
      { numRuns: 500 },
    );
    expect(merged.count).toBeGreaterThan(500);
    expect([own, fmr, user].map(({ refs }) => refs)).toEqual(atRest);
  });

  test('rejects a `last` element of another device', () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8), { start: 0n });
    const sge = accepted(pd.acquire({ addr: 0n, length: 8, lkey: mr.lkey }, 0));
    const batch = open().allocPd().lkeyBatch(1);
    expect(() => batch.acquire(0, 0, { coalesce: true, last: sge })).toThrow(rdma('EINVAL', 'acquire_batch'));
    for (const last of [{}, 7, mr]) {
      expect(() => batch.acquire(0, 0, { last: last as any })).toThrow(wrongType('options.last'));
    }
    expect(() => batch.acquire(0, 0, { coalesce: 1 as any })).toThrow(wrongType('options.coalesce'));
    expect(() => batch.acquire(0, 0, 7 as any)).toThrow(wrongType('options'));
    sge.put();
    const local = pd.lkeyBatch(1);
    local.set(0, 0n, 8, mr.lkey);
    expect(local.acquire(1, 0, { coalesce: true, last: sge })).toBe(1);
    expect(local.verdicts[0]).toBe(0);
  });

  test('happens only on request, and never in remote batches', () => {
    const { pd, qp, dma } = everyKind();
    const rest = dma.refs;
    for (const batch of [pd.lkeyBatch(2), qp.rkeyBatch(2)]) {
      fill(batch, [
        [DMA, 16, 0],
        [DMA + 16n, 16, 0],
      ]);
      expect(batch.acquire(2, 4)).toBe(2);
      expect(dma.refs).toBe(rest + 2);
      batch.put();
    }
    const remote = qp.rkeyBatch(2);
    fill(remote, [
      [DMA, 16, 0],
      [DMA + 16n, 16, 0],
    ]);
    expect(remote.acquire(2, 4, { coalesce: true })).toBe(2);
    expect(dma.refs).toBe(rest + 2);
    remote.put();
  });
});
