// SGEs have no native objects: they occupy cells that are reused. A handle to an old SGE must never reach the next occupant of
// its cell.
import {
  Device,
  type LocalSge,
  type MemoryRegion,
  rkey,
  type RemoteRequest,
  type Sge,
  SgeState,
} from '../../lib';
import { accepted, rdma } from '../support/answers';
import { describeWithCollector } from '../support/conditions';
import { collect } from '../support/garbage';
import { ALL, DMA, dmaPages, open, otherVariant, PAGE, PAGE_N, type Scene, scene } from '../support/scene';
import { told } from '../support/reach';

/** Creates a region whose byte b holds b, and a function that holds 8 bytes of it from `at` on. */
function ready(): Scene & { mr: MemoryRegion; hold: (at?: number) => Sge } {
  const all = scene({ trusted: true, remoteKeyZero: true });
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const mr = all.pd.regUserMr(bytes, { start: 0x1000n, iova: 0x1000n, access: ALL });
  const hold = (at = 0): Sge =>
    accepted(all.pd.acquire({ addr: 0x1000n + BigInt(at), length: 8, lkey: mr.lkey }, ALL));
  return { ...all, mr, hold };
}

/** Returns the first byte of an SGE, read by its own copyTo. */
function firstByte(sge: Sge): number {
  const target = Buffer.alloc(8);
  expect(sge.copyTo(target)).toBe(8);
  return target[0]!;
}

const HOLDERS_KEPT = 2 ** 16;

describeWithCollector('SGEs that are garbage-collected', () => {
  test('are put, a thousand of them, and SGEs still in use are not', async () => {
    const { mr, hold } = ready();
    const held = Array.from({ length: 200 }, (_, i) => {
      for (let k = 0; k < 5; k++) hold((i + k) % 248);
      return hold(i % 248);
    });
    expect(mr.refs).toBe(2 + 1200);
    expect(await collect(() => mr.refs === 2 + 200)).toBe(true);
    expect(held.map(firstByte)).toEqual(held.map((_, i) => i % 248));
    for (const sge of held) sge.put();
    expect(mr.refs).toBe(2);
  });

  test('are put even beyond the number of holders that are kept for reuse, repeatedly', async () => {
    const { mr, hold } = ready();
    const many = HOLDERS_KEPT + 5000;
    const own = hold(7);
    for (let round = 0; round < 2; round++) {
      let all = Array.from({ length: many }, (_, i) => hold(i % 248));
      expect(mr.refs).toBe(3 + many);
      expect([0, 1, HOLDERS_KEPT - 1, HOLDERS_KEPT, many - 1].map((i) => firstByte(all[i]!))).toEqual(
        [0, 1, HOLDERS_KEPT - 1, HOLDERS_KEPT, many - 1].map((i) => i % 248),
      );
      // Put the SGEs in another order than they were acquired, so that holders kept for reuse mix with other holders.
      for (let i = 0; i < many; i++) all[(i * 7919) % many]!.put();
      expect(mr.refs).toBe(3);
      all = [];
    }
    (() => {
      for (let i = 0; i < many; i++) hold(i % 248);
    })();
    expect(await collect(() => mr.refs === 3)).toBe(true);
    expect(firstByte(own)).toBe(7);
    const last = [0, 1, 2].map((at) => hold(at));
    expect(last.map(firstByte)).toEqual([0, 1, 2]);
    expect(mr.refs).toBe(6);
  });

  test('are put together with the last walk over them, and not before', async () => {
    const { mr, hold } = ready();
    const walks = (() => {
      const sges = [hold(1), hold(9)];
      return [new SgeState(sges), new SgeState(sges.reverse()), new SgeState([hold(17)])];
    })();
    await collect(() => false);
    // The SGE objects are unreachable now, but the walks still use the SGEs.
    expect(mr.refs).toBe(5);
    // Other SGEs occupy their cells.
    const others = Array.from({ length: 300 }, (_, i) => hold(100 + (i % 100)));
    const target = Buffer.alloc(16);
    expect(walks[0]!.copyOut(target)).toBe(16);
    expect([target[0], target[8]]).toEqual([1, 9]);
    expect(walks[0]!.remaining).toBe(0);
    expect(walks[1]!.walk([16])[0]!.map(({ region }) => region)).toEqual([mr, mr]);
    walks[2]!.put();
    expect(mr.refs).toBe(304);
    walks.splice(0, 1);
    await collect(() => false);
    expect(mr.refs).toBe(304);
    walks.length = 0;
    expect(await collect(() => mr.refs === 302)).toBe(true);
    expect(others.map(firstByte)).toEqual(others.map((_, i) => 100 + (i % 100)));
  });
});

/** Every way to use an SGE or to read one of its properties. */
const uses: Record<string, (sge: Sge, all: Scene & { mr: MemoryRegion }) => unknown> = {
  region: (sge) => sge.region,
  at: (sge) => sge.at,
  segmentLength: (sge) => sge.segmentLength,
  length: (sge) => sge.length,
  segment: (sge) => sge.segment,
  access: (sge) => sge.access,
  remote: (sge) => sge.remote,
  address: (sge) => sge.address,
  copyTo: (sge) => sge.copyTo(Buffer.alloc(8)),
  'copyTo with an offset': (sge) => sge.copyTo(Buffer.alloc(8), { offset: 4 }),
  copyFrom: (sge) => sge.copyFrom(Buffer.alloc(8, 0xee)),
  'ordered copyFrom': (sge) => sge.copyFrom(Buffer.alloc(8, 0xee), { ordered: true }),
  fetchAdd: (sge) => sge.fetchAdd(0x0101_0101n),
  compareSwap: (sge) => sge.compareSwap(0n, 1n),
  SgeState: (sge) => new SgeState([sge]),
};
/** Calls that take the SGE as `last`. A `last` that has been put is ignored: the call returns a new SGE, and no SGE grows. */
const lasts: Record<string, (sge: Sge, all: Scene & { mr: MemoryRegion }) => unknown> = {
  acquire: (last, { pd, mr }) => {
    const check = pd.acquire({ addr: 0x1000n, length: 8, lkey: mr.lkey }, 0, { last });
    accepted(check).put();
  },
  'a batch': (last, { pd, mr }) => {
    const batch = pd.lkeyBatch(1);
    batch.set(0, 0x1000n, 8, mr.lkey);
    expect(batch.acquire(1, 0, { last, coalesce: true })).toBe(1);
    expect(batch.verdicts[0]).toBe(0);
    batch.put();
  },
};

describe('an SGE that is put', () => {
  const ends: Record<string, (sge: Sge) => void> = {
    'by its own put': (sge) => sge.put(),
    'at the end of a `using` block': (sge) => sge[Symbol.dispose](),
    'by the put of a walk': (sge) => new SgeState([sge]).put(),
    'by a walk that consumes it': (sge) => new SgeState([sge]).copyOut(Buffer.alloc(8), { put: true }),
    'by a walk that skips it': (sge) => new SgeState([sge]).skip(8, { put: true }),
    'by the put of a walk and then its own': (sge) => {
      new SgeState([sge]).put();
      sge.put();
    },
    'by its own put and then that of a walk': (sge) => {
      const state = new SgeState([sge]);
      sge.put();
      state.put();
    },
  };
  // When its cell is reused, the old SGE must not reach the new one.
  test.each(Object.keys(ends).flatMap((end) => [[end, false] as const, [end, true] as const]))(
    '%s, then throws EBADF everywhere; cell reused: %s',
    (end, again) => {
      const all = ready();
      const { mr, hold, pd } = all;
      const sge = hold(16);
      ends[end]!(sge);
      expect(mr.refs).toBe(2);
      const next = again ? Array.from({ length: 4 }, (_, i) => hold(i * 8)) : [];
      for (const [name, use] of Object.entries(uses)) {
        expect([name, told(() => use(sge, all))]).toEqual([name, 'EBADF']);
      }
      for (const [name, use] of Object.entries(lasts)) {
        expect([name, told(() => use(sge, all))]).toEqual([name, 'ok']);
      }
      expect(() => new SgeState([...next, sge])).toThrow(rdma('EBADF', 'sge_state'));
      expect(() => new SgeState([sge, ...next])).toThrow(rdma('EBADF', 'sge_state'));
      sge.put();
      sge[Symbol.dispose]();
      // The SGEs that now occupy the cells are unchanged.
      expect(mr.refs).toBe(2 + next.length);
      expect(next.map(firstByte)).toEqual(next.map((_, i) => i * 8));
      for (const other of next) other.put();
      expect(mr.refs).toBe(2);
      mr.dereg();
      pd.dealloc({ cascade: true });
    },
  );

  test('does not coalesce, even when another SGE occupies its cell', () => {
    const { device, pd } = scene({ trusted: true });
    dmaPages(device, 4);
    const mr = pd.allocMr({ maxNumSg: 4 });
    mr.mapSg([{ addr: DMA, length: 4 * PAGE }]);
    const first = (): Sge => accepted(pd.acquire({ addr: DMA + 96n, length: 4000, lkey: mr.lkey }, 0));
    const put = first();
    put.put();
    const other = first(); // Occupies the same cell, and the next element would be adjacent to it.
    const element = { addr: DMA + PAGE_N, length: 100, lkey: mr.lkey };
    accepted(pd.acquire(element, 0, { last: put })).put();
    const batch = pd.lkeyBatch(1);
    batch.set(0, element.addr, element.length, mr.lkey);
    batch.acquire(1, 0, { last: put, coalesce: true });
    expect([other.length, batch.verdicts[0]]).toEqual([4000, 0]);
    batch.put();
    expect(pd.acquire(element, 0, { last: other })).toEqual({ ok: true, coalesced: true, sge: other });
    expect(other.length).toBe(4100);
    other.put();
    expect(mr.refs).toBe(2);
  });
});

describe('an SGE of another device', () => {
  test('is refused even when its numbers match', () => {
    const [one, two] = [ready(), ready()];
    const [here, there] = [one.hold(8), two.hold(8)];
    expect(() => new SgeState([here, there])).toThrow(rdma('EINVAL', 'sge_state'));
    expect(() => new SgeState([there, here])).toThrow(rdma('EINVAL', 'sge_state'));
    const element = { addr: 0x1000n, length: 8, lkey: one.mr.lkey };
    expect(() => one.pd.acquire(element, 0, { last: there })).toThrow(rdma('EINVAL'));
    const batch = one.pd.lkeyBatch(1);
    expect(() => batch.acquire(1, 0, { last: there })).toThrow(rdma('EINVAL'));
    // After the SGE of the other device is put, SGEs of this device may reuse its cell.
    there.put();
    const next = [one.hold(32), one.hold(40)];
    expect(() => new SgeState([here, there])).toThrow(rdma('EINVAL', 'sge_state'));
    two.device.close({ cascade: true });
    expect([here, ...next].map(firstByte)).toEqual([8, 32, 40]);
  });

  test('whose device was closed by force can still be put by its holder', () => {
    const [one, two] = [ready(), ready()];
    const theirs = [8, 16].map((at) => two.hold(at));
    two.device.close({ cascade: true });
    const ours = [one.hold(1), one.hold(2)];
    for (const sge of theirs) expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES'));
    for (const sge of theirs) sge.put();
    const later = [one.hold(3), one.hold(4)];
    for (const sge of theirs) expect(() => sge.length).toThrow(rdma('EBADF'));
    expect([...ours, ...later].map(firstByte)).toEqual([1, 2, 3, 4]);
  });
});

test('an SGE whose put overflowed the stack can be put again', () => {
  const { mr, hold } = ready();
  let threw = 0;
  for (let pad = 0; pad < 40; pad++) {
    hold().put(); // Compiled code needs less stack.
    const sge = hold();
    let isPut = false;
    // More arguments make larger frames, so that the put overflows the stack at different points.
    const deep = (...padding: number[]): void => {
      try {
        deep(...padding);
      } catch {
        if (isPut) return;
      }
      try {
        sge.put();
        isPut = true;
      } catch (error) {
        threw++;
        throw error;
      }
    };
    deep(...Array.from({ length: pad }, (_, i) => i));
    expect([isPut, mr.refs]).toEqual([true, 2]);
  }
  expect(threw).toBeGreaterThan(0);
});

describe('walks and puts in every order', () => {
  /** What can happen to one SGE: puts, two walks over it, and other SGEs. */
  const steps: Record<string, (all: ReturnType<typeof begin>) => void> = {
    'sge.put': ({ sge }) => sge.put(),
    'walk.put': ({ one }) => one.put(),
    'walk consumes': ({ two }) => void told(() => two.copyOut(Buffer.alloc(8), { put: true })),
    'walk continues': ({ three }) => void told(() => three.update(4, { put: true })),
    'another SGE arrives': ({ others, hold }) => void others.push(hold(64 + 8 * others.length)),
    'another SGE leaves': ({ others }) => others.shift()?.put(),
  };
  function begin() {
    const all = ready();
    const sge = all.hold(8);
    const others: Sge[] = [all.hold(64)];
    const [one, two, three] = [new SgeState([sge]), new SgeState([sge, others[0]!]), new SgeState([sge])];
    return { ...all, sge, others, one, two, three };
  }

  function* orders(list: readonly string[]): Generator<string[]> {
    if (list.length === 0) yield [];
    for (const step of list) {
      for (const rest of orders(list.filter((other) => other !== step))) yield [step, ...rest];
    }
  }

  test('no reference is put twice, and none is lost', () => {
    let count = 0;
    for (const order of orders(Object.keys(steps))) {
      const all = begin();
      const { mr, sge, others } = all;
      let living = true;
      for (const step of order) {
        steps[step]!(all);
        // The walk that continues has not consumed the SGE.
        if (/^(sge|walk)/.test(step) && step !== 'walk continues') living = false;
        const theirs = others.filter((other) => told(() => other.length) === 'ok');
        const refs = 2 + (living ? 1 : 0) + theirs.length;
        if (mr.refs !== refs) expect([order, step, mr.refs]).toEqual([order, step, refs]);
        const length = told(() => sge.length);
        if (length !== (living ? 'ok' : 'EBADF'))
          expect([order, step, length]).toEqual([order, step, living]);
      }
      // No handle to the old SGE reaches the new occupant of its cell.
      const next = [all.hold(16), all.hold(24), all.hold(32)];
      for (const walk of [all.one, all.two, all.three]) {
        walk.put();
        told(() => walk.copyOut(Buffer.alloc(walk.totalLength), { put: true }));
      }
      sge.put();
      const left = others.filter((other) => told(() => other.length) === 'ok');
      if (mr.refs !== 5 + left.length) expect([order, mr.refs]).toEqual([order, 5 + left.length]);
      if (next.map(firstByte).join() !== '16,24,32')
        expect([order, next.map(firstByte)]).toEqual([order, []]);
      all.device.close({ cascade: true });
      for (const other of [...next, ...left]) other.put();
      count++;
    }
    expect(count).toBe(720);
  });

  test('a walk keeps the length that an SGE had when the walk started, even if the SGE grows', () => {
    const { device, pd } = scene({ trusted: true });
    const { bytes } = dmaPages(device, 4);
    const mr = pd.allocMr({ maxNumSg: 4 });
    mr.mapSg([{ addr: DMA, length: 4 * PAGE }]);
    bytes.fill(7, 96, PAGE).fill(9, PAGE, PAGE + 100);
    const sge = accepted(pd.acquire({ addr: DMA + 96n, length: 4000, lkey: mr.lkey }, 0));
    const [before, element] = [new SgeState([sge]), { addr: DMA + PAGE_N, length: 100, lkey: mr.lkey }];
    expect(pd.acquire(element, 0, { last: sge })).toEqual({ ok: true, coalesced: true, sge });
    const after = new SgeState([sge]);
    expect([sge.length, after.totalLength, mr.refs]).toEqual([4100, 4100, 3]);
    const target = Buffer.alloc(4100);
    expect(after.copyOut(target)).toBe(4100);
    expect(target).toEqual(Buffer.concat([Buffer.alloc(4000, 7), Buffer.alloc(100, 9)]));
    expect(before.totalLength).toBe(4000);
    before.copyOut(Buffer.alloc(4000), { put: true });
    expect(told(() => sge.length)).toBe('EBADF');
    expect(mr.refs).toBe(2);
    // Another SGE occupies the cell; the remaining walk has no SGE to use.
    sge.put();
    const next = accepted(pd.acquire({ addr: DMA, length: 8, lkey: mr.lkey }, 0));
    after.put();
    expect([next.length, mr.refs]).toEqual([8, 3]);
    next.put();
  });
});

describe('a getter that calls the API while an argument is being read', () => {
  /** Calls on another region, with other numbers and other kinds of objects, which the getters make. */
  function interruptions(all: ReturnType<typeof begin>): (() => unknown)[] {
    const { device, pd, qp, other, sg, fmr, sge, batch, checker, remoteChecker } = all;
    return [
      () => accepted(pd.acquire({ addr: 0x9008n, length: 4, lkey: other.lkey }, 1)).put(),
      () => accepted(qp.acquire({ vaddr: 0xa000n, length: 4, rkey: other.rkey }, 4)).put(),
      () => pd.acquire({ addr: 0n, length: 99, lkey: other.lkey }, 31),
      () => pd.check({ addr: 0x9001n, length: 3, lkey: other.lkey }, 0),
      () => qp.check({ vaddr: 0xa001n, length: 2 ** 31, rkey: other.rkey }, 2),
      () => checker.refusal(0x9000n, 1, other.lkey, 0),
      () => remoteChecker.refusal(0n, 1, 77 as never, 2),
      () => pd.regUserMr(Buffer.alloc(40), { start: 0x7777n, iova: 0x8888n, access: 3 }).dereg(),
      () => pd.regUserMr(Buffer.alloc(40)).dereg({ force: true }),
      () => sg.mapSg([{ addr: DMA + PAGE_N, length: PAGE }]),
      () => {
        fmr.unmap();
        fmr.mapPhys([DMA + PAGE_N], 0x4000n);
      },
      () => qp.fastRegMr(sg, { key: sg.rkey, access: 1, iova: 0x5000n }),
      () => sge.copyTo(Buffer.alloc(3)),
      () => sge.copyFrom(Buffer.alloc(2, 1), { offset: 1, ordered: true }),
      () => [sge.length, sge.at, sge.region, other.refs, other.state, other.counters],
      () => sge.fetchAdd(5n),
      () => {
        batch.set(0, 0x9000n, 8, other.lkey);
        batch.acquire(1, 0, { last: sge, coalesce: true });
        batch.take(0)!.put();
      },
      () => pd.allocMr({ maxNumSg: 1 }).dereg(),
      () => new SgeState([sge]).copyOut(Buffer.alloc(2)),
      () => device.keyTable(),
    ];
  }
  function begin() {
    const all = ready();
    dmaPages(all.device, 4);
    const { pd, qp } = all;
    const other = pd.regUserMr(Buffer.alloc(64), { start: 0x9000n, iova: 0xa000n, access: ALL });
    const sg = pd.allocMr({ maxNumSg: 4 });
    const fmr = pd.allocFmr({ maxPages: 4, access: ALL });
    const mine = { sg: pd.allocMr({ maxNumSg: 4 }), fmr: pd.allocFmr({ maxPages: 4, access: ALL }) };
    const sge = accepted(pd.acquire({ addr: 0x9000n, length: 8, lkey: other.lkey }, ALL));
    const checkers = { checker: pd.checker(), remoteChecker: qp.checker() };
    return { ...all, other, sg, fmr, mine, sge, batch: pd.lkeyBatch(1), ...checkers };
  }

  /** The result of each call, with different values in every property. `wrap` wraps each argument that has properties. */
  type With = <T extends object>(value: T) => T;
  const calls: Record<string, (all: ReturnType<typeof begin>, wrap: With) => unknown> = {
    'pd.acquire': ({ pd, mr }, wrap) => {
      const sge = accepted(pd.acquire(wrap<LocalSge>({ addr: 0x1010n, length: 24, lkey: mr.lkey }), 1));
      const answer = [sge.address, sge.length, sge.access, sge.remote, sge.region === mr, mr.refs];
      sge.put();
      return answer;
    },
    'pd.acquire with `last`': ({ pd, mr, hold }, wrap) => {
      const last = hold(0);
      const check = pd.acquire(wrap<LocalSge>({ addr: 0x1008, length: 8, lkey: mr.lkey }), 4, wrap({ last }));
      const sge = accepted(check);
      const answer = [sge !== last, sge.address, sge.length, sge.access, mr.refs];
      for (const held of [sge, last]) held.put();
      return answer;
    },
    'pd.acquire out of bounds': ({ pd, mr }, wrap) =>
      pd.acquire(wrap<LocalSge>({ addr: 0x1000n, length: 257, lkey: mr.lkey }), 1),
    'qp.acquire': ({ qp, mr }, wrap) => {
      const sge = accepted(qp.acquire(wrap<RemoteRequest>({ vaddr: 0x1020n, length: 16, rkey: mr.rkey }), 8));
      const answer = [sge.address, sge.length, sge.access, sge.remote, sge.region === mr, mr.refs];
      sge.put();
      return answer;
    },
    'pd.check': ({ pd, mr }, wrap) =>
      pd.check(wrap<LocalSge>({ addr: 0x1030n, length: 16, lkey: mr.lkey }), 1),
    'pd.check that is refused': ({ pd, mr }, wrap) =>
      pd.check(wrap({ addr: 0x1030n, length: 16, lkey: otherVariant(mr.lkey) }), 1),
    'qp.check': ({ qp, mr }, wrap) => qp.check(wrap({ vaddr: 0x1001n, length: 255, rkey: mr.rkey }), 4),
    'qp.check that is refused': ({ qp, mr }, wrap) =>
      qp.check(wrap({ vaddr: 0x1001n, length: 256, rkey: mr.rkey }), 4),
    'pd.regUserMr': ({ pd }, wrap) => {
      const mr = pd.regUserMr(Buffer.alloc(48), wrap({ start: 0x123n, iova: 2n ** 63n, access: 7 }));
      const { start, iova, length, access, lkey, refs, state } = mr;
      const { index } = (pd.acquire({ addr: 0x123n, length: 48, lkey }, 0) as { sge: Sge }).sge
        .region as never;
      mr.dereg({ force: true });
      return [start, iova, length, access, refs, state, index];
    },
    'mapSg with a list of objects': ({ mine: { sg } }, wrap) => {
      const list = [wrap({ addr: DMA, length: PAGE }), wrap({ addr: DMA + 2n * PAGE_N, length: PAGE })];
      const mapped = sg.mapSg(wrap(list), wrap({ offset: 16n, pageSize: PAGE }));
      return [mapped, sg.iova, sg.length, sg.refs, sg.state];
    },
    'mapPhys with a list': ({ mine: { fmr } }, wrap) => {
      fmr.mapPhys(wrap([DMA, DMA + 3n * PAGE_N]), 0x6000n);
      const answer = [fmr.iova, fmr.length];
      fmr.unmap();
      return answer;
    },
    'qp.fastRegMr': ({ qp, mine: { sg } }, wrap) => {
      sg.mapSg([{ addr: DMA, length: PAGE }]);
      qp.fastRegMr(sg, wrap({ key: rkey(((sg.rkey & ~0xff) | 0x5a) >>> 0), access: 7, iova: 0x7000n }));
      return [sg.rkey & 0xff, sg.access, sg.iova, sg.state];
    },
    'sge.copyTo': ({ hold }, wrap) => {
      const sge = hold(40);
      const target = Buffer.alloc(4);
      const answer = [sge.copyTo(target, wrap({ offset: 3 })), [...target]];
      sge.put();
      return answer;
    },
    'sge.copyFrom': ({ hold }, wrap) => {
      const sge = hold(40);
      const answer = [
        sge.copyFrom(Buffer.from([1, 2]), wrap({ offset: 5, ordered: true })),
        sge.fetchAdd(0n),
      ];
      sge.copyFrom(Buffer.from([40, 41, 42, 43, 44, 45, 46, 47]));
      sge.put();
      return answer;
    },
    'batch.acquire': ({ pd, mr, hold }, wrap) => {
      const batch = pd.lkeyBatch(2, wrap({ places: true }));
      const last = hold(0);
      batch.set(0, 0x1008n, 8, mr.lkey);
      batch.set(1, 0x1010n, 8, mr.lkey);
      const answer = [batch.acquire(2, 1, wrap({ coalesce: true, last })), batch.take(1)!.address, mr.refs];
      batch.put();
      last.put();
      return answer;
    },
    'new SgeState': ({ hold }, wrap) => {
      const sges = [hold(8), hold(16)];
      const target = Buffer.alloc(16);
      const state = new SgeState(wrap(sges));
      const answer = [state.totalLength, state.copyOut(target, wrap({ put: true })), [...target]];
      for (const sge of sges) sge.put();
      return answer;
    },
    'pd.deregMany': ({ pd }, wrap) => {
      const regions = [0, 1, 2].map(() => pd.regUserMr(Buffer.alloc(8)));
      pd.deregMany(wrap(regions), wrap({ force: false }));
      return regions.map(({ state }) => state);
    },
  };

  /** Runs `act` before each property read. */
  const getters =
    (act: () => void): With =>
    (value) =>
      Object.defineProperties(
        Array.isArray(value) ? ([] as never) : ({} as typeof value),
        Object.fromEntries(
          Object.entries(value).map(([name, held]) => [
            name,
            { enumerable: true, configurable: true, get: () => (act(), held as unknown) },
          ]),
        ),
      );
  const proxies =
    (act: () => void): With =>
    (value) =>
      new Proxy(value, {
        get: (target, name, receiver) => (act(), Reflect.get(target, name, receiver) as unknown),
      });

  test.each(Object.keys(calls))('%s uses the values that it read, whatever ran in between', (name) => {
    const call = calls[name]!;
    const plain = begin();
    const wanted = call(plain, (value) => value);
    const refs = (all: ReturnType<typeof begin>): number[] => [all.mr.refs, all.other.refs];
    const rest = refs(plain);
    let calledBack = 0;
    for (const wrapper of [getters, proxies]) {
      const number = interruptions(plain).length;
      // Interrupt at each property read in turn, and then at all of them.
      for (let which = 0; which <= number; which++) {
        const all = begin();
        const list = interruptions(all);
        const chosen = which === number ? list : [list[which]!];
        const wrap = wrapper(() => {
          calledBack++;
          for (const use of chosen) use();
        });
        const answer = call(all, wrap);
        expect([which, answer]).toEqual([which, wanted]);
        expect([which, refs(all)]).toEqual([which, rest]);
        all.device.close({ cascade: true });
      }
    }
    expect(calledBack).toBeGreaterThan(20);
  });
});

describe('the object of a region', () => {
  test('is returned by held SGEs after the region was deregistered by force', () => {
    const { device, mr, hold, pd } = ready();
    const held = [hold(0), hold(8)];
    mr.dereg({ force: true });
    expect(held.map(({ region }) => region)).toEqual([mr, mr]);
    // Other regions are registered, one of which reuses the slot.
    const next = Array.from({ length: 8 }, () => pd.regUserMr(Buffer.alloc(8)));
    for (const sge of held) expect([undefined, mr]).toContain(sge.region);
    const table = device.keyTable().used.map(({ region }) => region);
    expect(new Set(table)).toEqual(new Set(next));
    expect(new Set(device.resources().regions.map(({ region }) => region))).toEqual(new Set(next));
    for (const other of next) {
      const sge = accepted(pd.acquire({ addr: other.start, length: 8, lkey: other.lkey }, 0));
      expect(sge.region).toBe(other);
      sge.put();
    }
    for (const sge of held) sge.put();
  });

  test('is returned while the region is half-dead, also by resources()', () => {
    const { device, mr, hold } = ready();
    const sge = hold();
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    expect(sge.region).toBe(mr);
    expect(device.resources().regions.map(({ region }) => region)).toEqual([mr]);
    expect(device.keyTable().used).toEqual([]);
    sge.put();
    mr.dereg();
    expect(device.resources().regions).toEqual([]);
  });

  test('is returned through another Device object of the same device in this thread', () => {
    const one = open();
    const two = Device.attach(one.share());
    try {
      const [first, second] = [one.allocPd(), two.importPd(one.allocPd().id)];
      const [mine, theirs] = [first.regUserMr(Buffer.alloc(8)), second.regUserMr(Buffer.alloc(8))];
      for (const device of [one, two]) {
        expect(new Set(device.keyTable().used.map(({ region }) => region))).toEqual(new Set([mine, theirs]));
        expect(new Set(device.resources().regions.map(({ region }) => region))).toEqual(
          new Set([mine, theirs]),
        );
      }
      const imported = one.importPd(second.id);
      const sge = accepted(imported.acquire({ addr: theirs.start, length: 8, lkey: theirs.lkey }, 0));
      expect(sge.region).toBe(theirs);
      const own = accepted(second.acquire({ addr: theirs.start, length: 8, lkey: theirs.lkey }, 0));
      expect(new SgeState([own, sge]).walk([16])[0]!.map(({ region }) => region)).toEqual([theirs, theirs]);
      sge.put();
      own.put();
      // One region ends, and the other Device object's new region takes its slot.
      theirs.dereg();
      const again = first.regUserMr(Buffer.alloc(8));
      for (const device of [one, two]) {
        expect(new Set(device.keyTable().used.map(({ region }) => region))).toEqual(new Set([mine, again]));
      }
    } finally {
      two.detach({ cascade: true });
    }
  });
});

describeWithCollector('the table of regions', () => {
  test('does not keep alive what another Device object of the same device created', async () => {
    const device = open({ keyPolicy: 'sequential' });
    const pd = device.allocPd();
    const own = pd.regUserMr(Buffer.alloc(8));
    const { theirs, memory } = (() => {
      const other = Device.attach(device.share());
      const buffer = new ArrayBuffer(64);
      const mr = other.allocPd().regUserMr(buffer);
      expect(device.keyTable().used.map(({ region }) => region)).toEqual([own, mr]);
      return { theirs: new WeakRef(other), memory: new WeakRef(buffer) };
    })();
    expect(await collect(() => theirs.deref() === undefined && memory.deref() === undefined)).toBe(true);
    expect(device.resources().contexts).toHaveLength(1);
    expect(device.keyTable().used.map(({ region }) => region)).toEqual([own]);
    // Register and drop many regions: the list of known regions must not grow without bound.
    for (let round = 0; round < 5; round++) {
      (() => {
        for (let i = 0; i < 40; i++) Device.attach(device.share()).allocPd().regUserMr(Buffer.alloc(8));
      })();
      await collect(() => device.resources().contexts.length === 1);
    }
    expect(device.keyTable().used.map(({ region }) => region)).toEqual([own]);
  });

  test('releases deregistered regions together with their memory', async () => {
    const { pd } = ready();
    const ends: ((mr: MemoryRegion) => unknown)[] = [
      (mr) => mr.dereg(),
      (mr) => mr.dereg({ force: true }),
      (mr) => pd.deregMany([mr]),
      (mr) => mr.deregAsync(),
    ];
    const made = (() =>
      ends.flatMap((end) => {
        const buffer = new ArrayBuffer(64);
        const mr = pd.regUserMr(buffer);
        end(mr);
        return [new WeakRef(buffer)];
      }))();
    expect(await collect(() => made.every((memory) => memory.deref() === undefined))).toBe(true);
  });
});
