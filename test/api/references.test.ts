import { type MemoryRegion, type Sge } from '../../lib';
import { accepted, rdma, refusal } from '../support/answers';
import { describeWithCollector } from '../support/conditions';
import { collect } from '../support/garbage';
import { DMA, dmaPages, open, type Scene, scene } from '../support/scene';

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
    const properties = ['lkey', 'rkey', 'start', 'iova', 'length', 'access', 'refs'] as const;
    for (const property of properties) expect(() => mr[property]).toThrow(rdma('EBADF', 'query_mr'));
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

describe('dispose', () => {
  test('revokes at once, never throws, and the last put frees', () => {
    const { mr, hold, pd, qp } = ready();
    const sge = hold();
    {
      using _mr = mr;
    }
    expect(mr.state).toBe('HalfDead');
    expect(sge.copyTo(Buffer.alloc(8))).toBe(8);
    mr[Symbol.dispose]();
    qp.destroy();
    expect(() => pd.dealloc()).toThrow(rdma('EBUSY'));
    sge.put();
    expect(mr.state).toBe('Closed');
    pd.dealloc();
  });

  test('await using waits for the last element', async () => {
    const { mr, hold } = ready();
    const sge = hold();
    setImmediate(() => sge.put());
    {
      await using _mr = mr;
    }
    expect(mr.state).toBe('Closed');
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
  test('a region lives on without its object: its key works, and it is told as undefined', async () => {
    const { pd, device } = scene();
    const made = ((): { key: number; start: bigint; object: WeakRef<MemoryRegion> } => {
      const mr = pd.regUserMr(Buffer.from('abc'));
      return { key: mr.lkey, start: mr.start, object: new WeakRef(mr) };
    })();
    expect(await collect(() => made.object.deref() === undefined)).toBe(true);
    const row = device.keyTable().used[0];
    expect(row).toEqual({ index: 0, lkey: made.key, region: undefined });
    const sge = accepted(pd.acquire({ addr: made.start, length: 3, lkey: row!.lkey }, 0));
    expect(sge.region).toBeUndefined();
    const target = Buffer.alloc(3);
    sge.copyTo(target);
    expect(target.toString()).toBe('abc');
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
