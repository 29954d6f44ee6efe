// Pool slots, key slots, DMA addresses and numbers of checkers are reused. An old object must report that it is closed, and must
// not affect the new object in its place.
import {
  type Checker,
  Device,
  type DmaMapping,
  FastMemoryRegion,
  lkey,
  type MemoryRegion,
  type ProtectionDomain,
  type QueuePair,
  type Sge,
  SgeState,
} from '../../lib';
import { same, told, toldAll } from '../support/reach';
import { accepted, rdma, refusal } from '../support/answers';
import { testWithCollector } from '../support/conditions';
import { collect } from '../support/garbage';
import { ALL, DMA, open, PAGE, scene } from '../support/scene';

const CYCLES = 1000;

/** Every use of an old region. None may succeed or affect the region that now occupies its slot. */
const regionUses = (old: MemoryRegion | FastMemoryRegion): [string, () => unknown][] => [
  ['refs', () => old.refs],
  ['counters', () => old.counters],
  ...('mapPhys' in old
    ? ([
        ['mapPhys', () => old.mapPhys([DMA], 0)],
        ['unmap', () => old.unmap()],
        ['static unmap', () => FastMemoryRegion.unmap([old])],
      ] as [string, () => unknown][])
    : ([['mapSg', () => old.mapSg([{ addr: DMA, length: 8 }])]] as [string, () => unknown][])),
];
const noOps = (old: MemoryRegion | FastMemoryRegion): [string, () => unknown][] => [
  ['dispose', () => old[Symbol.dispose]()],
  ...('mapPhys' in old
    ? ([
        ['dealloc', () => old.dealloc()],
        ['dealloc by force', () => old.dealloc({ force: true })],
      ] as [string, () => unknown][])
    : ([
        ['dereg', () => old.dereg()],
        ['dereg by force', () => old.dereg({ force: true })],
      ] as [string, () => unknown][])),
];

describe('a thousand reuses of', () => {
  test.each(['user', 'mem_reg', 'fmr'] as const)('the slot of a region of kind %s', (kind) => {
    const { device, pd, qp } = scene({ lkeyTableBits: 2 });
    device.dma.map(Buffer.alloc(PAGE), { address: DMA });
    const make = (value: number): MemoryRegion | FastMemoryRegion => {
      if (kind === 'user') {
        return pd.regUserMr(Buffer.alloc(16, value), { start: DMA, iova: DMA, access: ALL });
      }
      if (kind === 'fmr') {
        const fmr = pd.allocFmr({ maxPages: 1, access: ALL });
        fmr.mapPhys([DMA], DMA);
        return fmr;
      }
      const mr = pd.allocMr({ maxNumSg: 1 });
      mr.mapSg([{ addr: DMA, length: 16 }]);
      qp.fastRegMr(mr, { key: mr.rkey, access: ALL });
      return mr;
    };
    const kept: [MemoryRegion | FastMemoryRegion, number][] = [];
    const heldDead: Sge[] = [];
    const keys = new Set<number>();
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const region = make(cycle & 0xff);
      const key = region.lkey;
      keys.add(key);
      const element = { addr: DMA, length: 16, lkey: key };
      const sge = accepted(pd.acquire(element, 1));
      for (const [old, oldKey] of kept) {
        same(old.state, 'Closed');
        same(toldAll(regionUses(old)), 'EBADF');
        same(toldAll(noOps(old)), 'ok');
        if (kind === 'mem_reg') {
          expect(told(() => qp.fastRegMr(old as MemoryRegion, { key: region.rkey, access: 0 }))).toBe(
            'EBADF',
          );
        }
        if (oldKey !== key) same(pd.check({ ...element, lkey: lkey(oldKey) }, 0).ok, false);
      }
      // Held elements of regions closed by force stay refused, whatever region occupies the slot now.
      for (const dead of heldDead.splice(cycle % 7 ? 1 : 0)) {
        same(
          told(() => dead.copyFrom(Buffer.alloc(16, 0xff))),
          'RegionRevoked',
        );
        same(
          told(() => new SgeState([dead]).walk([8])),
          'RegionRevoked',
        );
        dead.put();
        dead.put();
      }
      same(region.state, 'Valid');
      same(region.refs, 3);
      same(region.length, kind === 'fmr' ? PAGE : 16);
      same(region.lkey, key);
      same(pd.check(element, ALL).ok, true);
      const target = Buffer.alloc(16);
      same(sge.copyTo(target), 16);
      if (kind === 'user') same(target[15], cycle & 0xff);
      same(sge.region, region);
      if (cycle % 2) sge.put();
      else heldDead.push(sge);
      if (kind === 'fmr') (region as FastMemoryRegion).dealloc({ force: true });
      else (region as MemoryRegion).dereg({ force: true });
      // Keep the first region and the last two.
      if (kept.length < 3) kept.push([region, key]);
      else kept[1 + (cycle % 2)] = [region, key];
    }
    expect(keys.size).toBeGreaterThan(20); // The generations of the keys differ.
    for (const sge of heldDead) sge.put();
    expect(device.keyTable().used).toEqual([]);
    pd.dealloc({ cascade: true });
  });

  test('the slot of a domain and of a queue pair', () => {
    const device = open({ lkeyTableBits: 2 });
    interface Old {
      pd: ProtectionDomain;
      qp: QueuePair;
      blocks: Checker[];
      key: number;
    }
    const kept: Old[] = [];
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const pd = device.allocPd({ trusted: cycle % 2 === 0 });
      const qp = pd.createQp();
      const mr = pd.regUserMr(Buffer.alloc(16), { start: 0n, iova: 0n, access: ALL });
      const [element, request] = [
        { addr: 0n, length: 16, lkey: mr.lkey },
        { vaddr: 0n, length: 16, rkey: mr.rkey },
      ];
      for (const old of kept) {
        // The new domain occupies the slot of an old one, and its region may have an old key.
        expect(
          toldAll([
            ['allocPd’s', () => old.pd.createQp()],
            ['regUserMr', () => old.pd.regUserMr(Buffer.alloc(8))],
            ['getDmaMr', () => old.pd.getDmaMr()],
            ['allocMr', () => old.pd.allocMr({ maxNumSg: 1 })],
            ['pd.lkeyBatch', () => old.pd.lkeyBatch(1)],
            ['pd.checker', () => old.pd.checker()],
            ['rkeyBatch', () => old.qp.rkeyBatch(1)],
            ['invalidateRkey', () => old.qp.invalidateRkey(mr.rkey)],
          ]),
        ).toBe('EBADF');
        same(refusal(old.pd.acquire(element, 0)), 'Closed');
        same(refusal(old.pd.check(element, 0)), 'Closed');
        same(refusal(old.qp.acquire(request, 4)), 'Closed');
        same(refusal(old.qp.check(request, 4)), 'Closed');
        for (const block of old.blocks) {
          block.refusal(0n, 16, mr.lkey, 4);
          same(block.reason, 'Closed');
        }
        old.pd.dealloc({ cascade: true });
        old.pd[Symbol.dispose]();
        old.qp.destroy();
      }
      same(pd.check(element, 0).ok && qp.check(request, 4).ok, true);
      same(mr.state, 'Valid');
      same(mr.refs, 2);
      if (cycle % 100 < 2) kept.push({ pd, qp, blocks: [pd.checker(), qp.checker()], key: mr.lkey });
      if (kept.length > 3) kept.shift();
      if (cycle % 3 === 0) qp.destroy();
      pd.dealloc({ cascade: true });
    }
  });

  test('the address of a mapping', () => {
    const { device, pd } = scene({ trusted: true, lkeyTableBits: 2 });
    const region = pd.getDmaMr();
    const fmr = pd.allocFmr({ maxPages: 1, access: ALL });
    const kept: DmaMapping[] = [];
    let before: Sge | undefined;
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const memory = Buffer.alloc(PAGE, cycle & 0xff);
      const mapping = device.dma.map(memory, { address: DMA });
      for (const old of kept) {
        old.unmap();
        old[Symbol.dispose]();
        expect([old.address, old.length]).toEqual([DMA, PAGE]);
      }
      if (before) {
        // The held SGE belongs to the previous mapping at the same address.
        same(
          told(() => before!.copyFrom(Buffer.alloc(8, 0xee))),
          'Remapped',
        );
        before.put();
      }
      fmr.mapPhys([DMA], 0);
      expect(() => mapping.unmap()).toThrow(rdma('EBUSY', 'dma_unmap'));
      before = accepted(pd.acquire({ addr: 0n, length: 8, lkey: fmr.lkey }, 1));
      const zero = accepted(pd.acquire({ addr: DMA, length: 8, lkey: lkey(0) }, 1));
      const target = Buffer.alloc(8);
      expect([zero.copyTo(target), target[7]]).toEqual([8, cycle & 0xff]);
      fmr.unmap();
      expect(() => mapping.unmap()).toThrow(rdma('EBUSY', 'dma_unmap'));
      zero.put();
      mapping.unmap();
      same(
        memory.every((byte) => byte === (cycle & 0xff)),
        true,
      );
      kept.push(mapping);
      if (kept.length > 4) kept.splice(1, 1);
    }
    before?.put();
    expect(pd.check({ addr: DMA, length: 1, lkey: lkey(0) }, 0)).toMatchObject({ reason: 'Unmapped' });
    same(region.refs, 3);
    region.dereg();
  });

  test('the cells of an SGE, a walk and a batch', () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(64), { start: 0n, access: 1 });
    const batch = pd.lkeyBatch(4);
    for (let i = 0; i < 4; i++) batch.set(i, BigInt(i * 16), 16, mr.lkey);
    const old: { sge: Sge; state: SgeState }[] = [];
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      same(batch.acquire(4, 1), 4);
      const taken = batch.take(cycle % 4)!;
      const state = new SgeState([taken, accepted(pd.acquire({ addr: 0n, length: 8, lkey: mr.lkey }, 1))]);
      same(mr.refs, 7);
      for (const { sge, state: walk } of old) {
        sge.put();
        same(
          told(() => sge.copyTo(Buffer.alloc(8))),
          'EBADF',
        );
        walk.put();
        expect([walk.totalLength, walk.remaining, told(() => walk.copyOut(Buffer.alloc(1)))]).toEqual([
          0,
          0,
          'ERR_OUT_OF_RANGE',
        ]);
      }
      same(mr.refs, 7);
      expect([taken.at, taken.length]).toEqual([BigInt((cycle % 4) * 16), 16]);
      if (cycle % 2) state.put();
      else state.skip(24, { put: true });
      expect([batch.put(), mr.refs]).toEqual([3, 2]);
      old.push({ sge: taken, state });
      if (old.length > 4) old.shift();
    }
    mr.dereg();
  });
});

test('objects of hundreds of closed devices stay closed', () => {
  const old: { device: Device; pd: ProtectionDomain; mr: MemoryRegion; sge: Sge }[] = [];
  for (let cycle = 0; cycle < 300; cycle++) {
    const device = new Device({ lkeyTableBits: 1 });
    const pd = device.allocPd();
    const mr = pd.regUserMr(Buffer.alloc(8, cycle), { start: 0n, access: 1 });
    const sge = accepted(pd.acquire({ addr: 0n, length: 8, lkey: mr.lkey }, 1));
    for (const dead of old) {
      expect(
        toldAll([
          ['allocPd', () => dead.device.allocPd()],
          ['table', () => dead.device.keyTable()],
          ['regUserMr', () => dead.pd.regUserMr(Buffer.alloc(8))],
          ['refs', () => dead.mr.refs],
        ]),
      ).toBe('EBADF');
      same(refusal(dead.pd.acquire({ addr: 0n, length: 8, lkey: dead.mr.lkey }, 0)), 'Closed');
      same(
        told(() => dead.sge.copyFrom(Buffer.alloc(8, 0xff))),
        'RegionRevoked',
      );
      expect(told(() => pd.acquire({ addr: 0n, length: 8, lkey: mr.lkey }, 0, { last: dead.sge }))).toBe(
        'EINVAL',
      );
      dead.mr[Symbol.dispose]();
      dead.pd[Symbol.dispose]();
      dead.device.close();
    }
    expect(mr).toMatchObject({ state: 'Valid', refs: 3 });
    const target = Buffer.alloc(8);
    sge.copyTo(target);
    expect(target).toEqual(Buffer.alloc(8, cycle));
    device.close({ cascade: true });
    old.push({ device, pd, mr, sge });
    if (old.length > 5) old.shift()!.sge.put();
  }
});

testWithCollector('the number of a collected checker is reused by one checker at a time', async () => {
  const { pd } = scene();
  const mr = pd.regUserMr(Buffer.alloc(64), { start: 0n });
  const live = Array.from({ length: 20 }, () => pd.checker());
  const refs: WeakRef<Checker>[] = [];
  for (let round = 0; round < 3; round++) {
    (() => {
      for (let i = 0; i < 200; i++) {
        const block = pd.checker();
        same(block.refusal(0, i % 64, mr.lkey, 0), 0);
        refs.push(new WeakRef(block));
      }
    })();
    // Each live checker must use its own state, not that of a checker with a former or neighboring number.
    for (const [i, block] of live.entries()) {
      same(block.refusal(i, 64 - i, mr.lkey, 0), 0);
      expect(block.refusal(i, 65 - i, mr.lkey, 0)).not.toBe(0);
      same(block.reason, 'OutOfBounds');
    }
    await collect(() => refs.every((ref) => ref.deref() === undefined));
    live[round] = pd.checker();
  }
  same(mr.refs, 2);
});
