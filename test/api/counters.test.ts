// What the counters count: accepted checks, refusals by reason, copied bytes; per thread, in total, and per region on request.
import { Access, Device, SgeState } from '../../lib';
import { everyKind, fill } from '../support/batches';
import { accepted, rdma, wrongType } from '../support/answers';
import { ALL, DMA, dmaPages, open, otherVariant, PAGE, scene } from '../support/scene';
import { Peer, type Scope } from '../support/workers';

const nothing = { accepted: 0, refused: 0, reasons: {}, bytesCopied: 0 };

/** Returns a function that returns what the device counted since its previous call. */
function counting(device: Device): () => object {
  let last = device.counters();
  return () => {
    const now = device.counters();
    const reasons = Object.fromEntries(
      Object.entries(now.reasons)
        .map(
          ([name, count]) => [name, count - (last.reasons[name as keyof typeof last.reasons] ?? 0)] as const,
        )
        .filter(([, count]) => count),
    );
    const answer = {
      accepted: now.accepted - last.accepted,
      refused: now.refused - last.refused,
      reasons,
      bytesCopied: now.bytesCopied - last.bytesCopied,
    };
    last = now;
    return answer;
  };
}

/** The counts of the whole device, which has no completions here. */
const ofDevice = (counts: object): object => ({ ...counts, completions: { lost: 0 } });
const accepts = (count: number, bytesCopied = 0): object => ({ ...nothing, accepted: count, bytesCopied });
const refuses = (reason: string, count = 1): object => ({
  ...nothing,
  refused: count,
  reasons: { [reason]: count },
});

/** Creates a region of shared memory with all rights, and one element over all of it. */
function ready(length = 64) {
  const all = scene();
  const mr = all.pd.regUserMr(new SharedArrayBuffer(length), { access: ALL, start: 0x1000n, iova: 0x1000n });
  return { ...all, mr, element: { addr: mr.start, length, lkey: mr.lkey }, next: counting(all.device) };
}

describe('checks', () => {
  test('start at zero, and registering, mapping and querying leave them there', () => {
    const { device, pd, mr } = ready();
    dmaPages(device, 1);
    const fmr = pd.allocFmr({ maxPages: 1 });
    fmr.mapPhys([DMA], 0);
    mr.countAccesses();
    device.keyTable();
    device.resources();
    expect(device.counters()).toEqual(ofDevice(nothing));
    expect(device.counters({ own: true })).toEqual(nothing);
    expect(mr.counters).toEqual({ accepted: 0, refused: 0, bytesCopied: 0 });
  });

  test('of every form count once each', () => {
    const { pd, qp, mr, element, next } = ready();
    const request = { vaddr: mr.iova, length: 64, rkey: mr.rkey };
    pd.acquire(element, 0);
    expect(next()).toEqual(accepts(1));
    qp.acquire(request, 4);
    expect(next()).toEqual(accepts(1));
    pd.check(element, 0);
    qp.check(request, 4);
    expect(next()).toEqual(accepts(2));
    for (const block of [pd.checker(), qp.checker()]) {
      block.refusal(mr.start, 8, mr.lkey, 4);
      expect(next()).toEqual(accepts(1));
    }
    pd.acquire({ ...element, length: 65 }, 0);
    expect(next()).toEqual(refuses('OutOfBounds'));
    qp.check({ ...request, rkey: otherVariant(mr.rkey) }, 4);
    expect(next()).toEqual(refuses('StaleKey'));
    pd.checker().refusal(0, 1, mr.lkey, 0);
    expect(next()).toEqual(refuses('OutOfBounds'));
  });

  test.each([
    ['with places', { places: true }],
    ['without places', {}],
  ])('in batches count once per element, %s', (_, options) => {
    const { pd, qp, mr, next } = ready();
    for (const batch of [pd.lkeyBatch(300, options), qp.rkeyBatch(300, options)]) {
      for (let i = 0; i < 300; i++) batch.set(i, i < 250 ? mr.start : 0n, i === 299 ? 0 : 8, mr.lkey);
      expect(batch.check(300, 4)).toBe(250);
      expect(next()).toEqual({ ...accepts(250), refused: 50, reasons: { OutOfBounds: 50 } });
      batch.checkPacked(batch.words.subarray(0, 40), 4);
      expect(next()).toEqual(accepts(10));
      expect([batch.acquire(300, 4), batch.put()]).toEqual([250, 250]);
      expect(next()).toEqual({ ...accepts(250), refused: 50, reasons: { OutOfBounds: 50 } });
      batch.check(0, 4);
      expect(next()).toEqual(nothing);
    }
  });

  test('are counted by reason, for every reason, in agreement with the answers', () => {
    const { device, pd, qp, user, readOnly, foreign, goneKey, sg } = everyKind(false);
    const next = counting(device);
    const local: [number, bigint, number, number][] = [
      [user.lkey, 0x1000n, 8, 0],
      [0, 0n, 8, 0],
      [(goneKey ^ 0x100) >>> 0, 0x4000n, 8, 0],
      [goneKey, 0x4000n, 8, 0],
      [otherVariant(user.lkey), 0x1000n, 8, 0],
      [sg.lkey, DMA, 8, 0],
      [foreign.lkey, 0x3000n, 8, 0],
      [user.lkey, 0x1000n, PAGE + 1, 0],
      [readOnly.lkey, 0x2000n, 8, 1],
    ];
    const reasons: Record<string, number> = {};
    let passed = 0;
    for (const [lkey, addr, length, access] of local) {
      const check = pd.check({ addr, length, lkey: lkey as any }, access);
      if (check.ok) passed++;
      else reasons[check.reason] = (reasons[check.reason] ?? 0) + 1;
    }
    const zero = qp.check({ vaddr: DMA, length: 8, rkey: 0 as any }, 4);
    expect(zero).toMatchObject({ reason: 'KeyZeroDenied' });
    reasons.KeyZeroDenied = (reasons.KeyZeroDenied ?? 0) + 1;
    expect(Object.keys(reasons).length).toBeGreaterThanOrEqual(8);
    expect(next()).toEqual({
      ...nothing,
      accepted: passed,
      refused: Object.values(reasons).reduce((a, b) => a + b),
      reasons,
    });
    const batch = pd.lkeyBatch(local.length);
    const free = local.filter(([, , , access]) => !access);
    fill(
      batch,
      free.map(([lkey, addr, length]) => [addr, length, lkey]),
    );
    batch.check(free.length, 0);
    const told = free.map((_, i) => batch.reason(i)).filter((reason) => reason !== undefined);
    expect(next()).toMatchObject({ accepted: free.length - told.length, refused: told.length });
  });

  test('that coalesce count as accepted', () => {
    const { device, pd } = scene();
    dmaPages(device, 2);
    const fmr = pd.allocFmr({ maxPages: 2 });
    fmr.mapPhys([DMA, DMA + 4096n], DMA);
    const next = counting(device);
    const element = { addr: DMA, length: PAGE, lkey: fmr.lkey };
    const last = accepted(pd.acquire(element, 0));
    expect(pd.acquire({ ...element, addr: DMA + 4096n }, 0, { last })).toMatchObject({ coalesced: true });
    expect(next()).toEqual(accepts(2));
  });

  test('on closed objects are refused and counted; calls that throw count nothing', () => {
    const { device, pd, qp, mr, element } = ready();
    const [batch, places] = [pd.lkeyBatch(4), pd.lkeyBatch(4, { places: true })];
    for (const list of [batch, places]) for (let i = 0; i < 4; i++) list.set(i, mr.start, 8, mr.lkey);
    const block = pd.checker();
    pd.dealloc({ cascade: true });
    const next = counting(device);
    for (const [use, count] of [
      [() => pd.acquire(element, 0), 1],
      [() => pd.check(element, 0), 1],
      [() => qp.acquire({ vaddr: 0, length: 8, rkey: element.lkey as any }, 4), 1],
      [() => batch.check(4, 0), 4],
      [() => places.check(4, 0), 4],
      [() => batch.checkPacked(Buffer.alloc(160), 0), 10],
      [() => batch.acquire(4, 0), 4],
      [() => batch.acquire(4, 0, { coalesce: true }), 4],
      [() => batch.gather(Buffer.alloc(32), 4, 0), 1], // A copy counts only the element at which it stops.
      [() => batch.scatter(Buffer.alloc(32), 4, 1), 1],
      [() => block.refusal(0, 8, element.lkey, 0), 1],
    ] as const) {
      use();
      expect(next()).toEqual({ ...nothing, refused: count, reasons: { Closed: count } });
    }
    expect(() => pd.acquire({ ...element, length: -1 }, 0)).toThrow(RangeError);
    expect(next()).toEqual(nothing);
  });
});

describe('copies', () => {
  test('of SGEs and walks count their bytes', () => {
    const { pd, element, next } = ready();
    const sge = accepted(pd.acquire(element, Access.LocalWrite));
    next();
    sge.copyTo(Buffer.alloc(64));
    expect(next()).toEqual({ ...nothing, bytesCopied: 64 });
    sge.copyTo(Buffer.alloc(5), { offset: 3 });
    sge.copyFrom(Buffer.alloc(7));
    sge.copyFrom(Buffer.alloc(20), { offset: 1, ordered: true });
    expect(next()).toEqual({ ...nothing, bytesCopied: 32 });
    new SgeState([sge]).copyIn(Buffer.alloc(9), { ordered: true });
    new SgeState([sge]).copyOut(Buffer.alloc(11));
    expect(next()).toEqual({ ...nothing, bytesCopied: 20 });
    new SgeState([sge]).walk([64]);
    sge.copyTo(Buffer.alloc(0));
    expect(next()).toEqual(nothing);
  });

  test('of batches count their bytes once, and each element that was moved completely as accepted', () => {
    const { pd, mr, next } = ready(256);
    const [from, to] = [pd.lkeyBatch(8), pd.lkeyBatch(8)];
    for (let i = 0; i < 8; i++) {
      from.set(i, mr.start + BigInt(i * 16), 16, mr.lkey);
      to.set(i, mr.start + 128n + BigInt(i * 16), 16, mr.lkey);
    }
    from.gather(Buffer.alloc(128), 8, 0);
    expect(next()).toEqual(accepts(8, 128));
    from.scatter(Buffer.alloc(64), 4, 1);
    expect(next()).toEqual(accepts(4, 64));
    from.gather(Buffer.alloc(40), 8, 0);
    expect(next()).toEqual(accepts(2, 32));
    expect(from.copyTo(to, 8, 0, 8, 1)).toBe(128);
    expect(next()).toEqual(accepts(16, 128));
  });

  test('of many MiB count an element once, for the device and for its region', () => {
    const length = 3 << 20;
    const { device, pd, mr, next } = ready(2 * length);
    mr.countAccesses();
    const [from, to] = [pd.lkeyBatch(1), pd.lkeyBatch(1)];
    from.set(0, mr.start, length, mr.lkey);
    to.set(0, mr.start + BigInt(length), length, mr.lkey);
    expect(from.gather(Buffer.alloc(length), 1, 0)).toBe(length);
    expect(next()).toEqual(accepts(1, length));
    expect(mr.counters).toEqual({ accepted: 1, refused: 0, bytesCopied: length });
    expect(from.copyTo(to, 1, 0, 1, 1)).toBe(length);
    expect(next()).toEqual(accepts(2, length));
    expect(mr.counters).toEqual({ accepted: 3, refused: 0, bytesCopied: 3 * length });
    const sge = accepted(pd.acquire({ addr: mr.start, length: 2 * length, lkey: mr.lkey }, 0));
    sge.copyTo(Buffer.alloc(2 * length));
    expect(next()).toEqual(accepts(1, 2 * length));
    expect(mr.counters).toEqual({ accepted: 4, refused: 0, bytesCopied: 5 * length });
    expect(ofDevice(device.counters({ own: true }))).toEqual(device.counters());
  });

  test('that are refused count once each, by reason', () => {
    const { device, pd } = scene();
    const buffer = new ArrayBuffer(8);
    const mr = pd.regUserMr(buffer, { access: ALL });
    const element = { addr: mr.start, length: 8, lkey: mr.lkey };
    const [sge, reader] = [accepted(pd.acquire(element, ALL)), accepted(pd.acquire(element, 0))];
    const batch = pd.lkeyBatch(1);
    batch.set(0, mr.start, 8, mr.lkey);
    const next = counting(device);
    expect(() => reader.copyFrom(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge', 'AccessDenied'));
    expect(next()).toEqual(refuses('AccessDenied'));
    expect(() => reader.fetchAdd(1n)).toThrow(rdma('EACCES'));
    expect(next()).toEqual(refuses('AccessDenied'));
    structuredClone(buffer, { transfer: [buffer] });
    const uses: (() => unknown)[] = [
      () => sge.copyTo(Buffer.alloc(8)),
      () => sge.copyTo(Buffer.alloc(8), { offset: 1 }),
      () => sge.copyFrom(Buffer.alloc(8)),
      () => sge.copyFrom(Buffer.alloc(8), { ordered: true }),
      () => sge.fetchAdd(1n),
      () => sge.compareSwap(1n, 1n),
      () => new SgeState([sge]).copyIn(Buffer.alloc(8)),
      () => new SgeState([sge]).copyOut(Buffer.alloc(8)),
    ];
    for (const use of uses) {
      expect(use).toThrow(rdma('EACCES', undefined, 'MemoryDetached'));
      expect(next()).toEqual(refuses('MemoryDetached'));
    }
    expect(batch.gather(Buffer.alloc(8), 1, 0)).toBe(0);
    expect(next()).toEqual(refuses('MemoryDetached'));
    mr.dereg({ force: true });
    for (const use of [...uses.slice(0, 1), () => new SgeState([sge]).walk([8])]) {
      expect(use).toThrow(rdma('EACCES', undefined, 'RegionRevoked'));
      expect(next()).toEqual(refuses('RegionRevoked'));
    }
    expect(batch.gather(Buffer.alloc(8), 1, 0)).toBe(0);
    expect(next()).toEqual(refuses('Revoked'));
  });
});

describe('with several threads', () => {
  const work = (w: Scope, number: number, addr: bigint, lkey: number, count: number): object => {
    const pd = w.device.importPd(number);
    const batch = pd.lkeyBatch(2);
    batch.set(0, addr, 8, lkey);
    batch.set(1, 0n, 8, lkey);
    for (let i = 0; i < count; i++) {
      const sge = w.accepted(pd.acquire({ addr, length: 8, lkey }, 0));
      sge.copyTo(new Uint8Array(8));
      sge.put();
      batch.check(2, 0);
      pd.check({ addr, length: 8, lkey: (lkey ^ 1) >>> 0 }, 0);
    }
    return w.device.counters({ own: true });
  };
  const times = (count: number): object => ({
    accepted: 2 * count,
    refused: 2 * count,
    reasons: { OutOfBounds: count, StaleKey: count },
    bytesCopied: 8 * count,
  });

  test('each thread counts its own checks, and the totals include threads that have ended', async () => {
    const { device, pd, mr } = ready();
    mr.countAccesses();
    const peers = [1, 2, 3].map(() => new Peer({ token: device.share() }));
    const counts = [1000, 2000, 500];
    const own = await Promise.all(
      peers.map((peer, i) => peer.run(work, pd.id, mr.start, mr.lkey as number, counts[i]!)),
    );
    expect(own).toEqual(counts.map(times));
    expect(device.counters({ own: true })).toEqual(nothing);
    expect(device.counters()).toEqual(ofDevice(times(3500)));
    await peers[0]!.close();
    await peers[1]!.worker.terminate();
    expect(device.counters()).toEqual(ofDevice(times(3500)));
    expect(await peers[2]!.run((w) => [w.device.counters(), w.device.counters({ own: true })])).toEqual([
      ofDevice(times(3500)),
      times(500),
    ]);
    // In each of the 3500 rounds, two requests with the region's own key are accepted and one is refused.
    expect(mr.counters).toEqual({ accepted: 7000, refused: 3500, bytesCopied: 28_000 });
  });

  test('Device objects in one thread count separately, and totals keep the counts of closed ones', () => {
    const { device, pd, mr, element } = ready();
    const other = Device.attach(device.share());
    const there = other.importPd(pd.id);
    pd.check(element, 0);
    for (let i = 0; i < 3; i++) there.check(element, 0);
    const seen = [device, other].map((object) => object.counters({ own: true }).accepted);
    expect([...seen, device.counters().accepted]).toEqual([1, 3, 4]);
    other.detach();
    expect(device.counters()).toEqual(ofDevice(accepts(4)));
    expect(mr.counters).toBeUndefined();
  });
});

describe('a region', () => {
  test('counts nothing before countAccesses is called', () => {
    const { pd, mr, element } = ready();
    pd.check(element, 0);
    expect(mr.counters).toBeUndefined();
    mr.countAccesses();
    expect(mr.counters).toEqual({ accepted: 0, refused: 0, bytesCopied: 0 });
    pd.check(element, 0);
    mr.countAccesses();
    expect(mr.counters).toEqual({ accepted: 1, refused: 0, bytesCopied: 0 });
  });

  test('counts every form of check and copy of its own key only', () => {
    const { pd, qp, mr, element } = ready();
    const other = pd.regUserMr(Buffer.alloc(64), { start: 0x5000n, access: ALL });
    mr.countAccesses();
    const request = { vaddr: mr.iova, length: 8, rkey: mr.rkey };
    const sge = accepted(pd.acquire(element, 1)); // 1 accepted check so far
    accepted(qp.acquire(request, 4)).put();
    pd.check(element, 0);
    qp.check(request, 4); // 4 accepted checks so far
    pd.checker().refusal(mr.start, 8, mr.lkey, 0);
    const [batch, places] = [pd.lkeyBatch(3), pd.lkeyBatch(3, { places: true })];
    for (const list of [batch, places]) {
      list.set(0, mr.start, 8, mr.lkey);
      list.set(1, other.start, 8, other.lkey);
      list.set(2, mr.start + 60n, 8, mr.lkey);
      list.check(3, 0); // both batches together: 2 accepted and 2 refused checks of this region
    }
    batch.acquire(3, 0);
    batch.put();
    expect(mr.counters).toEqual({ accepted: 8, refused: 3, bytesCopied: 0 });
    pd.check({ ...element, lkey: otherVariant(mr.lkey) }, 0); // the key differs, so the region does not count the check
    expect(mr.counters).toMatchObject({ accepted: 8, refused: 3 });
    sge.copyTo(Buffer.alloc(10));
    sge.copyFrom(Buffer.alloc(20), { ordered: true });
    new SgeState([sge]).copyOut(Buffer.alloc(5));
    expect(mr.counters).toEqual({ accepted: 8, refused: 3, bytesCopied: 35 });
    batch.gather(Buffer.alloc(16), 2, 0);
    batch.scatter(Buffer.alloc(16), 2, 1);
    expect(mr.counters).toEqual({ accepted: 10, refused: 3, bytesCopied: 51 });
    expect(other.counters).toBeUndefined();
  });

  test('of every kind counts its accesses', () => {
    const { device, pd, sg, fmr, dma, qp } = everyKind();
    const regions = [sg, fmr, dma];
    qp.fastRegMr(sg, { key: sg.rkey, access: ALL });
    for (const region of regions) region.countAccesses();
    for (const [addr, lkey] of [
      [DMA, sg.lkey],
      [0x5000n, fmr.lkey],
      [DMA, 0],
    ] as const) {
      const sge = accepted(pd.acquire({ addr, length: 8, lkey: lkey as any }, 1));
      sge.copyTo(Buffer.alloc(8));
      sge.put();
      pd.acquire({ addr, length: 2 ** 31, lkey: lkey as any }, 1);
    }
    expect(regions.map(({ counters }) => counters)).toEqual(
      Array<object>(3).fill({ accepted: 1, refused: 1, bytesCopied: 8 }),
    );
    expect(device.counters().bytesCopied).toBe(24);
  });

  test('keeps counting when it is remapped, and stops when it is deregistered', () => {
    const { device, pd } = scene();
    dmaPages(device, 2);
    const fmr = pd.allocFmr({ maxPages: 1 });
    fmr.countAccesses();
    for (let i = 0; i < 3; i++) {
      fmr.mapPhys([DMA + BigInt((i % 2) * PAGE)], 0);
      pd.check({ addr: 0, length: 8, lkey: fmr.lkey }, 0);
      fmr.unmap();
      pd.check({ addr: 0, length: 8, lkey: fmr.lkey }, 0);
    }
    expect(fmr.counters).toEqual({ accepted: 3, refused: 3, bytesCopied: 0 });
    fmr.dealloc();
    expect(() => fmr.counters).toThrow(rdma('EBADF', 'query_mr'));
    expect(() => fmr.countAccesses()).toThrow(rdma('EBADF', 'count_mr'));
    // The next region in the same slot does not count its accesses.
    expect(pd.allocFmr({ maxPages: 1 }).counters).toBeUndefined();
  });
});

test('counters rejects invalid options, and a closed device with EBADF', () => {
  const device = open();
  for (const own of [1, 'true', null]) {
    expect(() => device.counters({ own: own as any })).toThrow(wrongType('"options.own"'));
  }
  device.close();
  expect(() => device.counters()).toThrow(rdma('EBADF', 'counters'));
});
