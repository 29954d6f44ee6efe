import { Device, type MemoryRegion, type Sge, SgeState } from '../../lib';
import { accepted, rdma, refusal } from '../support/answers';
import { describeWithCollector } from '../support/conditions';
import { collect } from '../support/garbage';
import { ALL, DMA, dmaPages, open, type Scene, scene } from '../support/scene';

/** Creates a region of 8 bytes and a function that holds it. */
function ready(): Scene & { mr: MemoryRegion; hold: () => Sge } {
  const all = scene();
  const mr = all.pd.regUserMr(Buffer.from('12345678'));
  const element = { addr: mr.start, length: 8, lkey: mr.lkey };
  return { ...all, mr, hold: () => accepted(all.pd.acquire(element, 0)) };
}

describe('the count', () => {
  test('is two for the region itself plus one for each held SGE', () => {
    const { mr, hold } = ready();
    expect(mr.refs).toBe(2);
    const [one, two] = [hold(), hold()];
    expect(mr.refs).toBe(4);
    one.put();
    one.put();
    expect(mr.refs).toBe(3);
    two.put();
    expect(mr.refs).toBe(2);
  });

  test('is not changed by refused checks, mappings, invalidation and fast registration', () => {
    const { device, pd, qp } = scene();
    dmaPages(device, 1);
    const mr = pd.allocMr({ maxNumSg: 1 });
    refusal(pd.acquire({ addr: DMA, length: 1, lkey: mr.lkey }, 0));
    mr.mapSg([{ addr: DMA, length: 1 }]);
    qp.fastRegMr(mr, { key: mr.rkey, access: 0 });
    qp.invalidateRkey(mr.rkey);
    expect(mr.refs).toBe(2);
  });

  test('is one for a half-dead region itself', () => {
    const { mr, hold } = ready();
    const [one] = [hold(), hold()];
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    expect(mr).toMatchObject({ refs: 3, state: 'HalfDead' });
    one.put();
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    expect(mr.refs).toBe(2);
  });
});

describe('dereg', () => {
  test('frees the region and its slot, and is a no-op the second time', () => {
    const { mr, device } = ready();
    mr.dereg();
    mr.dereg();
    mr.dereg({ force: true });
    mr[Symbol.dispose]();
    expect(mr.state).toBe('Closed');
    expect(device.keyTable().used).toEqual([]);
    expect(() => mr.refs).toThrow(rdma('EBADF', 'query_mr'));
    expect(() => mr.counters).toThrow(rdma('EBADF', 'query_mr'));
  });

  test('leaves unchanging properties readable on user regions, and only the id on other regions', () => {
    const { pd } = scene({ trusted: true });
    const properties = ['id', 'lkey', 'rkey', 'start', 'iova', 'length', 'access'] as const;
    const user = pd.regUserMr(Buffer.alloc(64), { start: 0x1234, iova: 2n ** 64n - 64n, access: ALL });
    const values = properties.map((property) => user[property]);
    expect(values).toEqual([user.id, user.rkey, user.rkey, 0x1234n, 2n ** 64n - 64n, 64, ALL]);
    const others = [pd.allocMr({ maxNumSg: 1 }), pd.allocFmr({ maxPages: 1 }), pd.getDmaMr()];
    const ids = others.map(({ id }) => id);
    pd.dealloc({ cascade: true });
    expect(user.state).toBe('Closed');
    expect(properties.map((property) => user[property])).toEqual(values);
    expect(others.map(({ id }) => id)).toEqual(ids);
    for (const other of others) {
      for (const property of properties.slice(1))
        expect(() => other[property]).toThrow(rdma('EBADF', 'query_mr'));
    }
  });

  test('with held SGEs fails with EBUSY: the key is revoked, the slot is free, and the SGEs stay usable', () => {
    const { mr, hold, pd, device } = ready();
    const sge = hold();
    const { lkey, start } = mr;
    expect(() => mr.dereg()).toThrow(rdma('EBUSY', 'dereg_mr'));
    expect(refusal(pd.acquire({ addr: start, length: 8, lkey }, 0))).toBe('Revoked');
    expect(device.keyTable().used).toEqual([]);
    expect(sge.region).toBe(mr);
    const target = Buffer.alloc(8);
    sge.copyTo(target);
    expect(target.toString()).toBe('12345678');
    expect(() => mr.dereg()).toThrow(rdma('EBUSY', 'dereg_mr'));
    sge.put();
    mr.dereg();
    expect(mr.state).toBe('Closed');
  });

  test('by force revokes held SGEs', () => {
    const { mr, hold } = ready();
    const sge = hold();
    mr.dereg({ force: true });
    expect(mr.state).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
    sge.put();
    sge.put();
  });

  test('by force also ends a half-dead region', () => {
    const { mr, hold, pd } = ready();
    hold();
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    mr.dereg({ force: true });
    expect(mr.state).toBe('Closed');
    pd.dealloc({ cascade: true });
  });

  // The kernel drops one reference too many on each retry for a DMA region.
  test('of a DMA region fails with EBUSY on every retry while an SGE is held', () => {
    const { device, pd } = scene({ trusted: true });
    dmaPages(device, 1);
    const region = pd.getDmaMr();
    const element = { addr: DMA, length: 1, lkey: region.lkey };
    const held = [accepted(pd.acquire(element, 0)), accepted(pd.acquire(element, 0))];
    for (const sge of held) {
      expect(() => region.dereg()).toThrow(rdma('EBUSY', 'dereg_mr'));
      expect(() => region.dereg()).toThrow(rdma('EBUSY', 'dereg_mr'));
      expect(sge.copyTo(Buffer.alloc(1))).toBe(1);
      sge.put();
    }
    region.dereg();
    expect(region.state).toBe('Closed');
  });
});

describe('deregAsync', () => {
  test('frees the region at once if no element is held', async () => {
    const { mr } = ready();
    const done = mr.deregAsync();
    expect(mr.state).toBe('Closed');
    await done;
    await mr.deregAsync();
  });

  test('revokes the key at once and waits for the last SGE', async () => {
    const { mr, hold } = ready();
    const [one, two] = [hold(), hold()];
    let done = false;
    const gone = mr.deregAsync().then(() => (done = true));
    expect(mr.state).toBe('HalfDead');
    one.put();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(done).toBe(false);
    two.put();
    await gone;
    expect(mr.state).toBe('Closed');
  });

  test('fails with EBUSY on timeout, and can be called again', async () => {
    const { mr, hold } = ready();
    const sge = hold();
    await expect(mr.deregAsync({ timeoutMs: 0 })).rejects.toEqual(rdma('EBUSY', 'dereg_mr'));
    await expect(mr.deregAsync({ timeoutMs: 20 })).rejects.toEqual(rdma('EBUSY', 'dereg_mr'));
    expect(mr.state).toBe('HalfDead');
    sge.put();
    await mr.deregAsync({ timeoutMs: 0 });
    expect(mr.state).toBe('Closed');
  });

  test('resolves when another call ends the region', async () => {
    const { mr, hold, device } = ready();
    hold();
    const gone = mr.deregAsync();
    device.close({ cascade: true });
    await gone;
  });
});

describe('deregAsync without polling', () => {
  test('a late put resolves the wait for its region, and other waits continue', async () => {
    const { pd } = scene();
    const held = [0, 1, 2].map(() => {
      const mr = pd.regUserMr(Buffer.alloc(8));
      return { mr, sge: accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0)) };
    });
    const done: number[] = [];
    const all = held.map(({ mr }, i) => mr.deregAsync().then(() => done.push(i)));
    for (const i of [1, 0, 2]) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      held[i]!.sge.put();
      await all[i];
    }
    expect(done).toEqual([1, 0, 2]);
  });

  test('waits longer than the maximum timeout of a timer', async () => {
    const { mr, hold } = ready();
    const sge = hold();
    const gone = mr.deregAsync({ timeoutMs: 2 ** 32 - 1 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(mr.state).toBe('HalfDead');
    sge.put();
    await gone;
  });

  test('resolves for an FMR, and on the put of a batch or a walk', async () => {
    const { device, pd } = scene();
    dmaPages(device, 1);
    const fmr = pd.allocFmr({ maxPages: 1 });
    fmr.mapPhys([DMA], 0);
    const mr = pd.regUserMr(Buffer.alloc(8));
    const batch = pd.lkeyBatch(2);
    batch.set(0, 0, 1, fmr.lkey);
    batch.set(1, mr.start, 1, mr.lkey);
    expect(batch.acquire(2, 0)).toBe(2);
    const walked = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const gone = [fmr.deallocAsync(), mr.deregAsync()];
    batch.put(2);
    await gone[0];
    expect(mr.state).toBe('HalfDead');
    new SgeState([walked]).copyOut(Buffer.alloc(8), { put: true });
    await gone[1];
  });
});

describe('deregMany', () => {
  test('ends regions of every kind, each once', () => {
    const { pd, device } = scene({ trusted: true });
    const regions = [
      pd.regUserMr(Buffer.alloc(8)),
      pd.allocMr({ maxNumSg: 1 }),
      pd.allocFmr({ maxPages: 1 }),
      pd.getDmaMr(),
    ];
    pd.deregMany([...regions, ...regions]);
    expect(regions.map(({ state }) => state)).toEqual(Array(4).fill('Closed'));
    expect(device.keyTable().used).toEqual([]);
    pd.deregMany(regions);
    pd.deregMany([]);
  });

  test('leaves held regions half-dead and ends all others', () => {
    const { mr, hold, pd } = ready();
    const other = pd.regUserMr(Buffer.alloc(8));
    const sge = hold();
    expect(() => pd.deregMany([mr, other])).toThrow(rdma('EBUSY', 'dereg_mr'));
    expect([mr.state, other.state]).toEqual(['HalfDead', 'Closed']);
    expect(sge.copyTo(Buffer.alloc(8))).toBe(8);
    pd.deregMany([mr], { force: true });
    expect(mr.state).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', undefined, 'RegionRevoked'));
  });

  test('checks all regions before it changes any', () => {
    const { mr, pd, device } = ready();
    const stranger = device.allocPd().regUserMr(Buffer.alloc(8));
    const foreign = open().allocPd().regUserMr(Buffer.alloc(8));
    for (const wrong of [stranger, foreign]) {
      expect(() => pd.deregMany([mr, wrong])).toThrow(rdma('EINVAL', 'dereg_mr'));
      expect(mr.state).toBe('Valid');
    }
    for (const wrong of [undefined, {}, [mr, {}], [mr, null], [mr.lkey]]) {
      expect(() => pd.deregMany(wrong as never)).toThrow(TypeError);
    }
    expect(() => pd.deregMany([mr], { force: 1 as never })).toThrow(TypeError);
    expect(mr.state).toBe('Valid');
    pd.dealloc({ cascade: true });
    expect(() => pd.deregMany([mr])).toThrow(rdma('EBADF', 'dereg_mr'));
  });
});

describe('dispose', () => {
  test('ends the region at once, by force, and never throws', () => {
    const { mr, hold, pd, qp } = ready();
    const sge = hold();
    {
      using _mr = mr;
    }
    expect(mr.state).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', undefined, 'RegionRevoked'));
    mr[Symbol.dispose]();
    qp.destroy();
    pd.dealloc();
    sge.put();
  });

  test('also ends a half-dead region', () => {
    const { mr, hold } = ready();
    const sge = hold();
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    mr[Symbol.dispose]();
    expect(mr.state).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', undefined, 'RegionRevoked'));
  });

  test('`await using` waits for the last SGE, which stays usable until then', async () => {
    const { mr, hold } = ready();
    const sge = hold();
    setImmediate(() => {
      expect(sge.copyTo(Buffer.alloc(8))).toBe(8);
      sge.put();
    });
    {
      await using _mr = mr;
    }
    expect(mr.state).toBe('Closed');
  });

  test('`await using` works for an FMR', async () => {
    const { device, pd } = scene();
    dmaPages(device, 1);
    const fmr = pd.allocFmr({ maxPages: 1 });
    fmr.mapPhys([DMA], 0);
    const sge = accepted(pd.acquire({ addr: 0, length: 1, lkey: fmr.lkey }, 0));
    setImmediate(() => sge.put());
    {
      await using _fmr = fmr;
    }
    expect(fmr.state).toBe('Closed');
  });

  test('`await using` ends the region by force after five seconds', async () => {
    const { mr, hold } = ready();
    const sge = hold();
    jest.useFakeTimers({ doNotFake: ['performance'] });
    try {
      const disposed = mr[Symbol.asyncDispose]();
      expect(mr.state).toBe('HalfDead');
      jest.spyOn(performance, 'now').mockReturnValue(performance.now() + 5001);
      jest.advanceTimersByTime(5001);
      await disposed;
    } finally {
      jest.restoreAllMocks();
      jest.useRealTimers();
    }
    expect(mr.state).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', undefined, 'RegionRevoked'));
    sge.put();
  });

  test('works for an FMR and an SGE', () => {
    const { device, pd } = scene();
    dmaPages(device, 1);
    const fmr = pd.allocFmr({ maxPages: 1 });
    fmr.mapPhys([DMA], 0);
    {
      using _fmr = fmr;
      using _sge = accepted(pd.acquire({ addr: 0, length: 1, lkey: fmr.lkey }, 0));
      expect(fmr.refs).toBe(3);
    }
    expect(fmr.state).toBe('Closed');
  });
});

describeWithCollector('objects that were garbage-collected', () => {
  test('a region whose object is unreachable stays registered, and resources() returns its object', async () => {
    const { pd, device } = scene({ keyPolicy: 'sequential' });
    const made = ((): { key: number; start: bigint; id: number } => {
      const mr = pd.regUserMr(Buffer.from('abc'));
      Object.assign(mr, { mark: 'the same object' });
      return { key: mr.lkey, start: mr.start, id: mr.id };
    })();
    await collect(() => false);
    const row = device.keyTable().used[0];
    expect(row).toEqual({
      index: 0,
      lkey: made.key,
      region: expect.objectContaining({ mark: 'the same object' }),
    });
    const sge = accepted(pd.acquire({ addr: made.start, length: 3, lkey: row!.lkey }, 0));
    expect(sge.region).toBe(row!.region);
    expect(sge.region!.id).toBe(made.id);
    const target = Buffer.alloc(3);
    sge.copyTo(target);
    expect(target.toString()).toBe('abc');
  });

  test('table, regions, device and memory are collected together', async () => {
    const memory = ((): WeakRef<ArrayBuffer> => {
      const pd = new Device().allocPd();
      const buffer = new ArrayBuffer(8);
      pd.regUserMr(buffer);
      return new WeakRef(buffer);
    })();
    expect(await collect(() => memory.deref() === undefined)).toBe(true);
  });

  test('an SGE alone keeps its device open and its region known', async () => {
    const { sge, id } = (() => {
      const { mr, hold } = ready();
      return { sge: hold(), id: mr.id };
    })();
    await collect(() => false);
    expect(sge.region).toMatchObject({ id, state: 'Valid', refs: 3 });
    expect(sge.copyTo(Buffer.alloc(8))).toBe(8);
    sge.put();
  });

  test('an unreachable SGE eventually gives its reference back', async () => {
    const { mr, hold } = ready();
    (() => {
      hold();
    })();
    expect(mr.refs).toBe(3);
    expect(await collect(() => mr.refs === 2)).toBe(true);
    mr.dereg();
  });

  test('a region keeps its memory alive until it is deregistered', async () => {
    const pd = open().allocPd();
    const { mr, memory } = ((): { mr: MemoryRegion; memory: WeakRef<ArrayBuffer> } => {
      const buffer = new ArrayBuffer(8);
      return { mr: pd.regUserMr(buffer), memory: new WeakRef(buffer) };
    })();
    const collected = (): boolean => memory.deref() === undefined;
    expect(await collect(collected)).toBe(false);
    mr.dereg();
    expect(await collect(collected)).toBe(true);
  });
});
