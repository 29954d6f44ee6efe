import { Device, type MemoryRegion, type Sge, SgeState } from '../../lib';
import { accepted, rdma, refusal } from '../support/answers';
import { describeWithCollector } from '../support/conditions';
import { collect } from '../support/garbage';
import { ALL, DMA, dmaPages, open, type Scene, scene } from '../support/scene';

/** A region of 8 bytes, and a way to hold it. */
function ready(): Scene & { mr: MemoryRegion; hold: () => Sge } {
  const all = scene();
  const mr = all.pd.regUserMr(Buffer.from('12345678'));
  const element = { addr: mr.start, length: 8, lkey: mr.lkey };
  return { ...all, mr, hold: () => accepted(all.pd.acquire(element, 0)) };
}

describe('counts', () => {
  test('two of its own, one for each held element', () => {
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

  test('refused checks, maps, invalidation and fast registration count for nothing', () => {
    const { device, pd, qp } = scene();
    dmaPages(device, 1);
    const mr = pd.allocMr({ maxNumSg: 1 });
    refusal(pd.acquire({ addr: DMA, length: 1, lkey: mr.lkey }, 0));
    mr.mapSg([{ addr: DMA, length: 1 }]);
    qp.fastRegMr(mr, { key: mr.rkey, access: 0 });
    qp.invalidateRkey(mr.rkey);
    expect(mr.refs).toBe(2);
  });

  test('a half-dead region has one of its own', () => {
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
  test('frees the region and its slot; a second one is a no-op', () => {
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

  test('what never changes is known to the object of user memory when the region is gone; of others nothing but the id', () => {
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

  test('while elements are held: the key is dead, the slot free, the elements good', () => {
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

  test('by force: held elements are dead', () => {
    const { mr, hold } = ready();
    const sge = hold();
    mr.dereg({ force: true });
    expect(mr.state).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
    sge.put();
    sge.put();
  });

  test('by force ends a half-dead region too', () => {
    const { mr, hold, pd } = ready();
    hold();
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    mr.dereg({ force: true });
    expect(mr.state).toBe('Closed');
    pd.dealloc({ cascade: true });
  });

  // The kernel drops one reference too many with each retry on a DMA region.
  test('of a DMA region is EBUSY as long as an element is held, however often it is tried', () => {
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
  test('frees at once if nobody holds the region', async () => {
    const { mr } = ready();
    const done = mr.deregAsync();
    expect(mr.state).toBe('Closed');
    await done;
    await mr.deregAsync();
  });

  test('revokes at once and waits for the last element', async () => {
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

  test('is EBUSY when the time is over, and can be called again', async () => {
    const { mr, hold } = ready();
    const sge = hold();
    await expect(mr.deregAsync({ timeoutMs: 0 })).rejects.toEqual(rdma('EBUSY', 'dereg_mr'));
    await expect(mr.deregAsync({ timeoutMs: 20 })).rejects.toEqual(rdma('EBUSY', 'dereg_mr'));
    expect(mr.state).toBe('HalfDead');
    sge.put();
    await mr.deregAsync({ timeoutMs: 0 });
    expect(mr.state).toBe('Closed');
  });

  test('ends when somebody else ends the region', async () => {
    const { mr, hold, device } = ready();
    hold();
    const gone = mr.deregAsync();
    device.close({ cascade: true });
    await gone;
  });
});

describe('deregAsync without polling', () => {
  test('a put that comes long after wakes who waits, and the end of one lets others wait on', async () => {
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

  test('waits longer than a timer can', async () => {
    const { mr, hold } = ready();
    const sge = hold();
    const gone = mr.deregAsync({ timeoutMs: 2 ** 32 - 1 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(mr.state).toBe('HalfDead');
    sge.put();
    await gone;
  });

  test('of an FMR, and by the put of a batch and of a walk', async () => {
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

  test('held regions are half-dead, and the others end all the same', () => {
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

  test('refuses before it touches anything', () => {
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

  test('also of a half-dead region', () => {
    const { mr, hold } = ready();
    const sge = hold();
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    mr[Symbol.dispose]();
    expect(mr.state).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', undefined, 'RegionRevoked'));
  });

  test('await using waits for the last element, which is good until then', async () => {
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

  test('await using of an FMR', async () => {
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

  test('await using ends it by force after five seconds', async () => {
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

  test('of an FMR and of an element', () => {
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
  test('a region whose object nobody keeps stays registered, and its object is found', async () => {
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

  test('table, regions and device go together, and with them the memory', async () => {
    const memory = ((): WeakRef<ArrayBuffer> => {
      const pd = new Device().allocPd();
      const buffer = new ArrayBuffer(8);
      pd.regUserMr(buffer);
      return new WeakRef(buffer);
    })();
    expect(await collect(() => memory.deref() === undefined)).toBe(true);
  });

  test('an element alone keeps its device open and its region known', async () => {
    const { sge, id } = (() => {
      const { mr, hold } = ready();
      return { sge: hold(), id: mr.id };
    })();
    await collect(() => false);
    expect(sge.region).toMatchObject({ id, state: 'Valid', refs: 3 });
    expect(sge.copyTo(Buffer.alloc(8))).toBe(8);
    sge.put();
  });

  test('an element that is forgotten gives its reference back in the end', async () => {
    const { mr, hold } = ready();
    (() => {
      hold();
    })();
    expect(mr.refs).toBe(3);
    expect(await collect(() => mr.refs === 2)).toBe(true);
    mr.dereg();
  });

  test('a region keeps its memory alive until it is gone', async () => {
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
