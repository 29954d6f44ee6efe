// The cache of registered regions: what a get returns, when regions grow, go and end, and what happens to memory that is gone.
import {
  Access,
  Device,
  MemoryRegion,
  type ProtectionDomain,
  type QueuePair,
  RegistrationCache,
  type RegionUse,
} from '../../lib';
import { accepted, outOfRange, rdma, wrongType } from '../support/answers';
import { testWithCollector as testGc } from '../support/conditions';
import { collect } from '../support/garbage';
import { ends, linesOf } from '../support/queue-pairs';
import { open, PAGE, scene } from '../support/scene';

const READ = Access.RemoteRead;
const WRITE = Access.RemoteWrite | Access.LocalWrite;

/** The number of regions that the device has, whatever the cache says. */
const registered = (device: Device): number => device.resources().regions.length;

/** Whether the peer may read the bytes that the use describes. */
const readable = (
  qp: QueuePair,
  { iova, length, rkey }: { iova: bigint; length: number; rkey: any },
): boolean => qp.check({ vaddr: iova, length, rkey }, READ).ok;

/** Returns the bytes that a peer reads by what the use advertises. */
function readBy(qp: QueuePair, use: RegionUse): Buffer {
  const { vaddr, length, rkey } = use.advertise();
  const sge = accepted(qp.acquire({ vaddr, length, rkey }, READ));
  const bytes = Buffer.alloc(length);
  sge.copyTo(bytes);
  sge.put();
  return bytes;
}

describe('a get', () => {
  test('registers memory once, and serves later gets of it from the cache', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const buffer = Buffer.alloc(PAGE);
    const first = cache.get(buffer, WRITE);
    const second = cache.get(buffer, WRITE);
    expect(second).not.toBe(first);
    expect(second.region).toBe(first.region);
    expect(first.region).toBeInstanceOf(MemoryRegion);
    expect([first.start, first.iova, first.length, first.lkey, first.rkey, first.access]).toEqual([
      first.region.start,
      first.region.iova,
      PAGE,
      first.region.lkey,
      first.region.rkey,
      WRITE,
    ]);
    expect(pd.check({ addr: first.start, length: PAGE, lkey: first.lkey }, Access.LocalWrite).ok).toBe(true);
    first.put();
    second.put();
    cache.get(buffer, WRITE).put();
    expect(cache.counters()).toEqual({ hits: 2, misses: 1, evictions: 0, regions: 1, bytes: PAGE, inUse: 0 });
    expect(registered(device)).toBe(1);
  });

  test('accepts every kind of memory, and names its place in the region', () => {
    const { pd, qp } = scene();
    const cache = new RegistrationCache(pd);
    for (const arena of [new ArrayBuffer(PAGE), new SharedArrayBuffer(PAGE)]) {
      const all = new Uint8Array(arena).map((_, i) => i % 251);
      new Uint8Array(arena).set(all);
      cache.get(arena, READ).put();
      const before = cache.counters().misses;
      for (const view of [
        new Uint8Array(arena, 848, 100),
        new Float64Array(arena, 1000, 7),
        new DataView(arena, 5, 9),
        new BigUint64Array(arena, PAGE - 8, 1),
        new Uint8Array(arena).subarray(100).subarray(50, 60),
        Buffer.from(arena, 7, 33),
        arena,
      ]) {
        using use = cache.get(view, READ);
        const offset = 'byteOffset' in view ? view.byteOffset : 0;
        expect([use.length, use.iova - use.region.iova, use.start - use.region.start]).toEqual([
          view.byteLength,
          BigInt(offset),
          BigInt(offset),
        ]);
        expect(readBy(qp, use)).toEqual(Buffer.from(all.subarray(offset, offset + view.byteLength)));
      }
      expect(cache.counters().misses).toBe(before);
    }
  });

  test('of device memory works like any other', () => {
    const { device, pd, qp } = scene();
    const cache = new RegistrationCache(pd);
    const dm = device.allocDm(PAGE);
    new Uint8Array(dm.buffer).fill(7);
    using use = cache.get(new Uint8Array(dm.buffer, 8, 8), READ);
    expect(readBy(qp, use)).toEqual(Buffer.alloc(8, 7));
    expect(() => dm.free()).toThrow(rdma('EBUSY'));
    cache[Symbol.dispose]();
    dm.free();
  });

  test('does not give a region of another buffer at the same offset', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd);
    using one = cache.get(new Uint8Array(64), WRITE);
    using two = cache.get(new Uint8Array(64), WRITE);
    expect(two.region).not.toBe(one.region);
    expect(cache.counters()).toMatchObject({ hits: 0, misses: 2 });
  });

  test('is refused for bad arguments, and registers nothing then', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd, { maxBytes: PAGE }) as any;
    const bytes = new Uint8Array(8);
    for (const memory of [undefined, null, 1, 'text', {}, [], new Proxy(bytes, {}), { byteLength: 8 }]) {
      expect(() => cache.get(memory, 0)).toThrow(wrongType('memory'));
    }
    for (const access of [undefined, null, '1', {}, 1n]) {
      expect(() => cache.get(bytes, access)).toThrow(wrongType('access'));
    }
    for (const access of [-1, 0.5, 2 ** 32, NaN])
      expect(() => cache.get(bytes, access)).toThrow(outOfRange('access'));
    expect(() => cache.get(bytes, 32)).toThrow(rdma('EINVAL', 'reg_user_mr'));
    expect(() => cache.get(bytes, Access.RemoteWrite)).toThrow(rdma('EINVAL', 'reg_user_mr'));
    for (const empty of [
      new Uint8Array(0),
      new ArrayBuffer(0),
      new SharedArrayBuffer(0),
      new DataView(bytes.buffer, 8),
    ]) {
      expect(() => cache.get(empty, 0)).toThrow(
        expect.objectContaining({ code: 'EINVAL', detail: { cause: 'EmptyMemory', argument: 'memory' } }),
      );
    }
    expect(() => cache.get(new Uint8Array(PAGE + 1), 0)).toThrow(
      expect.objectContaining({
        code: 'EINVAL',
        detail: { cause: 'AboveMaxBytes', argument: 'memory', value: PAGE + 1, limit: PAGE },
      }),
    );
    expect(registered(device)).toBe(0);
    expect(cache.counters()).toMatchObject({ regions: 0, bytes: 0, inUse: 0 });
  });

  test('reads no property of the memory that a program can override', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd);
    class Liar extends Uint8Array {
      override get buffer(): ArrayBuffer {
        throw new Error('read');
      }
      override get byteOffset(): number {
        throw new Error('read');
      }
      override get byteLength(): number {
        throw new Error('read');
      }
      override get length(): number {
        throw new Error('read');
      }
    }
    using use = cache.get(new Liar(16), 0);
    expect(use.length).toBe(16);
  });

  test('-0 is no right', () => {
    const { pd } = scene();
    expect(Object.is(new RegistrationCache(pd).get(new Uint8Array(1), -0).access, 0)).toBe(true);
  });
});

describe('the place of the memory', () => {
  test('is that of the view, not of the cached region: its base is not handed out', () => {
    // As in a cache of this field, which exported the base of the cached region, 848 bytes before the user's buffer.
    const { pd, qp } = scene();
    const cache = new RegistrationCache(pd);
    const arena = new ArrayBuffer(16384);
    const user = new Uint8Array(arena, 848, 8117).fill(0x61);
    cache.get(arena, READ).put();
    using use = cache.get(user, READ);
    expect(use.region.length).toBe(16384);
    expect(use.iova).toBe(use.region.iova + 848n);
    expect(use.advertise()).toEqual({ vaddr: use.region.iova + 848n, length: 8117, rkey: use.region.rkey });
    expect(readBy(qp, use)).toEqual(Buffer.from(user));
  });

  test('advertise gives ranges of the view, and none outside', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd);
    const arena = new Uint8Array(100);
    cache.get(arena, READ).put();
    using use = cache.get(arena.subarray(10, 30), READ);
    expect(use.advertise({ offset: 5 })).toEqual({ vaddr: use.iova + 5n, length: 15, rkey: use.rkey });
    expect(use.advertise({ offset: 19, length: 1 })).toEqual({
      vaddr: use.iova + 19n,
      length: 1,
      rkey: use.rkey,
    });
    for (const range of [
      { offset: 20 },
      { offset: -1 },
      { length: 0 },
      { length: 21 },
      { offset: 19, length: 2 },
    ]) {
      expect(() => use.advertise(range)).toThrow(outOfRange());
    }
    expect(() => use.advertise({ offset: '1' } as any)).toThrow(wrongType('options.offset'));
    expect(() => use.advertise({ ofset: 1 } as any)).toThrow(TypeError);
  });

  test('advertise is refused without a remote right of this use, even if the region grants one', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    cache.get(bytes, READ).put();
    using use = cache.get(bytes, 0);
    expect(use.region.access).toBe(READ);
    expect(() => use.advertise()).toThrow(
      expect.objectContaining({ code: 'EACCES', detail: { cause: 'NoRemoteRight', value: 0 } }),
    );
  });
});

describe('rights', () => {
  test('that a cached region lacks are added, and those that it has stay', () => {
    // As in caches of this field, where a later get found a region without the right that it wanted.
    const { device, pd, qp } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new BigInt64Array(new SharedArrayBuffer(64));
    cache.get(bytes, Access.LocalWrite | READ).put();
    using use = cache.get(bytes, Access.LocalWrite | Access.RemoteAtomic);
    expect(use.region.access).toBe(Access.LocalWrite | READ | Access.RemoteAtomic);
    expect(qp.check({ vaddr: use.iova, length: 8, rkey: use.rkey }, Access.RemoteAtomic).ok).toBe(true);
    cache.get(bytes, READ).put();
    expect(cache.counters()).toMatchObject({ hits: 1, misses: 2, regions: 1 });
    expect(registered(device)).toBe(1); // the weaker one is not leaked
  });

  test('of a region in use are not changed under its user: the weaker region stays until it is unused', () => {
    const { device, pd, qp } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    const weak = cache.get(bytes, READ);
    const strong = cache.get(bytes, WRITE);
    expect(strong.region).not.toBe(weak.region);
    expect(readable(qp, weak)).toBe(true);
    expect(qp.check({ vaddr: weak.iova, length: 1, rkey: weak.rkey }, Access.RemoteWrite).ok).toBe(false);
    expect(qp.check({ vaddr: strong.iova, length: 1, rkey: strong.rkey }, Access.RemoteWrite).ok).toBe(true);
    expect(cache.counters()).toMatchObject({ regions: 2, bytes: 128, inUse: 2 });
    const { region } = weak;
    weak.put();
    expect(region.state).toBe('Closed');
    expect(registered(device)).toBe(1);
    expect(cache.counters()).toMatchObject({ regions: 1, bytes: 64, inUse: 1, evictions: 0 });
  });
});

describe('growth', () => {
  test('joins cached regions that touch or overlap the memory, and only these', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const arena = new Uint8Array(1000);
    const get = (from: number, to: number): RegionUse => cache.get(arena.subarray(from, to), 0);
    get(0, 100).put(); // touches the front
    get(250, 400).put(); // overlaps the end
    get(500, 600).put(); // one byte after a gap
    get(401, 410).put(); // does not touch the memory, but the region after it
    expect(registered(device)).toBe(4);
    using use = get(100, 300);
    expect([use.region.length, use.start - use.region.start]).toEqual([400, 100n]);
    expect(registered(device)).toBe(3);
    get(0, 400).put();
    get(500, 600).put();
    get(401, 410).put();
    expect(cache.counters()).toMatchObject({ hits: 3, misses: 5, regions: 3, bytes: 509, evictions: 0 });
  });

  test('takes the rights of all that it joins', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd);
    const arena = new Uint8Array(100);
    cache.get(arena.subarray(0, 10), READ).put();
    cache.get(arena.subarray(20, 30), WRITE).put();
    using use = cache.get(arena.subarray(10, 20), Access.MwBind);
    expect(use.region.access).toBe(READ | WRITE | Access.MwBind);
    expect(use.access).toBe(Access.MwBind);
    expect(use.region.length).toBe(30);
  });

  test('leaves a neighbour that is in use as it is, until it is unused', () => {
    // As in caches of this field, which invalidated a neighbour together with the region that touched it.
    const { pd, qp } = scene();
    const cache = new RegistrationCache(pd);
    const arena = new Uint8Array(8192);
    const a = cache.get(arena.subarray(0, 4096), READ);
    const b = cache.get(arena.subarray(4096), READ);
    expect(b.region.length).toBe(8192);
    expect(readable(qp, a)).toBe(true);
    expect(qp.check({ vaddr: a.iova, length: 4097, rkey: a.rkey }, READ).ok).toBe(false);
    const { region } = a;
    a.put();
    expect(region.state).toBe('Closed');
    expect(readable(qp, b)).toBe(true);
    const again = cache.get(arena.subarray(0, 4096), READ);
    expect(again.region).toBe(b.region);
    b.put();
    expect(readable(qp, again)).toBe(true);
    again.put();
  });

  test('that does not fit into maxBytes registers the view alone, with the rights of the get', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd, { maxBytes: 150 });
    const arena = new Uint8Array(200);
    using first = cache.get(arena.subarray(0, 100), READ);
    using second = cache.get(arena.subarray(100, 150), WRITE);
    expect([second.region.length, second.region.access]).toEqual([50, WRITE]);
    expect(first.region.state).toBe('Valid');
    expect(cache.counters()).toMatchObject({ regions: 2, bytes: 150 });
    using third = cache.get(arena.subarray(0, 10), READ);
    expect(third.region).toBe(first.region);
    expect(() => cache.get(arena.subarray(0, 10), WRITE)).toThrow(rdma('ENOMEM'));
  });

  test('over regions that overlap, because they could not grow, finds each of them', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd, { maxBytes: 250 });
    const arena = new Uint8Array(200);
    using one = cache.get(arena.subarray(0, 150), READ);
    using two = cache.get(arena.subarray(100, 200), READ); // the union would need 200 bytes beside the first's 150
    expect(two.region.length).toBe(100);
    using left = cache.get(arena.subarray(0, 120), READ);
    using right = cache.get(arena.subarray(120, 200), READ);
    expect([left.region, right.region]).toEqual([one.region, two.region]);
  });
});

describe('eviction', () => {
  test('takes the least recently used, and has deregistered it when the get returns', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd, { maxRegions: 3 });
    const buffers = Array.from({ length: 5 }, () => new Uint8Array(64));
    const regions = buffers.slice(0, 3).map((buffer) => {
      using use = cache.get(buffer, WRITE);
      return use.region;
    });
    cache.get(buffers[0]!, WRITE).put(); // now the second is the oldest
    cache.get(buffers[3]!, WRITE).put();
    expect(regions.map(({ state }) => state)).toEqual(['Valid', 'Closed', 'Valid']);
    cache.get(buffers[4]!, WRITE).put();
    expect(regions.map(({ state }) => state)).toEqual(['Valid', 'Closed', 'Closed']);
    expect(cache.counters()).toMatchObject({ evictions: 2, regions: 3 });
    expect(registered(device)).toBe(3);
  });

  test('counts the order of puts, not of gets', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd, { maxRegions: 2 });
    const [a, b, c] = [new Uint8Array(8), new Uint8Array(8), new Uint8Array(8)];
    const first = cache.get(a, 0);
    const second = cache.get(b, 0);
    const { region } = second;
    second.put();
    first.put();
    cache.get(c, 0).put();
    expect(region.state).toBe('Closed');
    cache.get(a, 0).put();
    expect(cache.counters()).toMatchObject({ hits: 1, evictions: 1 });
  });

  test('keeps to maxBytes, evicting as many as it needs', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd, { maxBytes: 1000 });
    for (let i = 0; i < 10; i++) cache.get(new Uint8Array(100), 0).put();
    expect(cache.counters()).toMatchObject({ regions: 10, bytes: 1000 });
    cache.get(new Uint8Array(950), 0).put();
    expect(cache.counters()).toMatchObject({ regions: 1, bytes: 950, evictions: 10 });
    expect(registered(device)).toBe(1);
  });

  test('never takes a region in use: if all are, the get fails and says so', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd, { maxRegions: 2, maxBytes: 100 });
    const one = cache.get(new Uint8Array(8), 0);
    const two = cache.get(new Uint8Array(60), 0);
    expect(() => cache.get(new Uint8Array(8), 0)).toThrow(
      expect.objectContaining({
        code: 'ENOMEM',
        operation: 'reg_user_mr',
        message:
          'ENOMEM: RegistrationCache.get: the cache has no room: 2 regions of at most 2 (maxRegions) are in use; put uses back first',
        detail: { cause: 'CacheRegionsInUse', value: 2, limit: 2 },
      }),
    );
    expect([one.region.state, two.region.state]).toEqual(['Valid', 'Valid']);
    one.put();
    expect(() => cache.get(new Uint8Array(50), 0)).toThrow(
      expect.objectContaining({
        code: 'ENOMEM',
        message:
          'ENOMEM: RegistrationCache.get: the cache has no room: 60 of at most 100 bytes (maxBytes) are in use; put uses back first',
        detail: { cause: 'CacheBytesInUse', value: 60, limit: 100 },
      }),
    );
    expect(cache.counters()).toMatchObject({ evictions: 0, regions: 2 }); // nothing was evicted in vain
    two.put();
    cache.get(new Uint8Array(50), 0).put();
    expect(registered(device)).toBe(1); // neither of the others fits beside it
  });

  test('of two buffers in turn leaks nothing, with room for one', () => {
    // As in caches of this field, where two buffers in turn filled the table of the adapter.
    const { device, pd } = scene({ lkeyTableBits: 4 });
    const cache = new RegistrationCache(pd, { maxRegions: 1 });
    const [a, b] = [new Uint8Array(PAGE), new Uint8Array(PAGE)];
    for (let i = 0; i < 1000; i++) cache.get(i % 2 ? a : b, WRITE).put();
    expect(cache.counters()).toEqual({
      hits: 0,
      misses: 1000,
      evictions: 999,
      regions: 1,
      bytes: PAGE,
      inUse: 0,
    });
    expect(device.keyTable().used).toHaveLength(1);
  });

  test('makes room when the key table of the device is full', () => {
    const { device, pd } = scene({ lkeyTableBits: 1, keyPolicy: 'sequential' });
    const cache = new RegistrationCache(pd);
    const { total } = { total: 2 ** device.lkeyTableBits };
    const held = [] as RegionUse[];
    for (let i = 0; i < 100; i++) cache.get(new Uint8Array(8), 0).put();
    const { regions } = cache.counters();
    expect(regions).toBeLessThanOrEqual(total);
    expect(cache.counters().evictions).toBe(100 - regions);
    for (let i = 0; i < regions; i++) held.push(cache.get(new Uint8Array(8), 0));
    expect(() => cache.get(new Uint8Array(8), 0)).toThrow(
      expect.objectContaining({ code: 'ENOMEM', detail: expect.objectContaining({ cause: 'TableFull' }) }),
    );
    held.forEach((use) => use.put());
    cache.get(new Uint8Array(8), 0).put();
  });

  test('leaves a region alone that elements hold, though its user has put it back', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd, { maxRegions: 2 });
    const early = cache.get(new Uint8Array(8), 0);
    const { region } = early;
    const sge = accepted(pd.acquire({ addr: early.start, length: 8, lkey: early.lkey }, 0));
    early.put();
    cache.get(new Uint8Array(8), 0).put();
    for (let i = 0; i < 5; i++) cache.get(new Uint8Array(8), 0).put();
    expect(region.state).toBe('Valid');
    const last = cache.get(new Uint8Array(8), 0);
    expect(() => cache.get(new Uint8Array(8), 0)).toThrow(rdma('ENOMEM'));
    sge.copyTo(Buffer.alloc(8));
    sge.put();
    cache.get(new Uint8Array(8), 0).put();
    expect(region.state).toBe('Closed');
    last.put();
  });

  test('leaves a region alone that a queued send holds, until the send is done', () => {
    const { device, pd, a, b } = ends();
    const cache = new RegistrationCache(pd, { maxRegions: 1 });
    const use = cache.get(new Uint8Array(64), WRITE);
    const { region } = use;
    a.postSend({ opcode: 'SEND', sges: [{ addr: use.start, length: 64, lkey: use.lkey }] });
    use.put();
    expect(() => cache.get(new Uint8Array(64), WRITE)).toThrow(rdma('ENOMEM'));
    expect(region.state).toBe('Valid');
    const target = pd.regUserMr(new Uint8Array(64), { access: Access.LocalWrite });
    b.postRecv({ sges: [{ addr: target.start, length: 64, lkey: target.lkey }] });
    device.run();
    cache.get(new Uint8Array(64), WRITE).put();
    expect(region.state).toBe('Closed');
  });

  test('does take a region that only a posted receive names: it holds no reference until it is used', () => {
    const { device, pd, a, b, bCq } = ends();
    const cache = new RegistrationCache(pd, { maxRegions: 1 });
    const use = cache.get(new Uint8Array(64), WRITE);
    const { region } = use;
    b.postRecv({ sges: [{ addr: use.start, length: 64, lkey: use.lkey }] });
    use.put();
    using sent = cache.get(new Uint8Array(64), WRITE);
    expect(region.state).toBe('Closed');
    a.postSend({ opcode: 'SEND', sges: [{ addr: sent.start, length: 64, lkey: sent.lkey }] });
    device.run();
    expect(linesOf(bCq).join()).toBe('0 RECV LOC_PROT_ERR Revoked');
  });
});

test('a region with a live lease is neither evicted nor closed, until the lease has ended', () => {
  const { device, pd, qp } = scene();
  const cache = new RegistrationCache(pd, { maxRegions: 1 });
  const buffers = [Buffer.alloc(PAGE), Buffer.alloc(PAGE)] as const;
  const use = cache.get(buffers[0], READ);
  const lease = use.region.advertise({ expiresInMs: 60_000 });
  use.put();
  expect(() => cache.get(buffers[1], READ)).toThrow(rdma('ENOMEM'));
  expect(() => cache.close()).toThrow(rdma('EBUSY'));
  expect(qp.check(lease, READ).ok).toBe(true);
  cache.get(buffers[0], READ).put();
  expect(cache.counters()).toMatchObject({ hits: 1, evictions: 0, regions: 1 });
  lease.revoke();
  cache.get(buffers[1], READ).put();
  expect(cache.counters()).toMatchObject({ evictions: 1, regions: 1 });
  cache.get(buffers[0], READ).region.advertise({ expiresInMs: 60_000 });
  cache.close({ force: true }); // ends leases, too
  expect(device.resources().windows).toEqual([]);
});

describe('a use', () => {
  test('counts: the region is idle only after the last put, and a second put of one use does nothing', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd, { maxRegions: 1 });
    const bytes = new Uint8Array(8);
    const [one, two] = [cache.get(bytes, 0), cache.get(bytes, 0)];
    one.put();
    one.put();
    one[Symbol.dispose]();
    expect(cache.counters().inUse).toBe(1);
    expect(() => cache.get(new Uint8Array(8), 0)).toThrow(rdma('ENOMEM'));
    two.put();
    expect(cache.counters().inUse).toBe(0);
    cache.get(new Uint8Array(8), 0).put();
  });

  test('that was put tells nothing any more, whatever became of the region', () => {
    // As in caches of this field, where a pointer into the cache was used after its eviction.
    const { pd, qp } = scene({ keyPolicy: 'sequential' });
    const cache = new RegistrationCache(pd, { maxRegions: 1 });
    const use = cache.get(new Uint8Array(8), READ);
    const { rkey, iova } = use;
    use.put();
    for (const member of ['region', 'start', 'iova', 'length', 'access', 'lkey', 'rkey'] as const) {
      expect(() => use[member]).toThrow(
        expect.objectContaining({ code: 'EBADF', operation: 'query_mr', detail: { cause: 'UsePut' } }),
      );
    }
    expect(() => use.advertise()).toThrow(rdma('EBADF'));
    expect(qp.check({ vaddr: iova, length: 8, rkey }, READ).ok).toBe(true); // still cached
    cache.get(new Uint8Array(8), READ).put();
    expect(qp.check({ vaddr: iova, length: 8, rkey }, READ).ok).toBe(false); // evicted
    expect([String(use), JSON.stringify(use)]).toEqual([
      'RegionUse { Put }',
      '{"class":"RegionUse","state":"Put"}',
    ]);
  });

  test('is put at the end of a block by using', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(8);
    {
      using use = cache.get(bytes, 0);
      expect([use.length, cache.counters().inUse]).toEqual([8, 1]);
    }
    expect(cache.counters().inUse).toBe(0);
  });

  test('cannot be made by a program', () => {
    const { pd } = scene();
    const { constructor } = new RegistrationCache(pd).get(new Uint8Array(1), 0) as any;
    expect(() => new constructor()).toThrow(expect.objectContaining({ code: 'ERR_ILLEGAL_CONSTRUCTOR' }));
  });
});

describe('regions that end without the cache', () => {
  const ways: [string, (region: MemoryRegion, of: { pd: ProtectionDomain; qp: QueuePair }) => void][] = [
    ['dereg', (region) => region.dereg()],
    ['dereg by force', (region) => region.dereg({ force: true })],
    ['using', (region) => region[Symbol.dispose]()],
    ['deregMany', (region, { pd }) => pd.deregMany([region])],
    ['invalidateRkey', (region, { qp }) => qp.invalidateRkey(region.rkey)],
  ];

  test.each(ways)('are not given out again after %s, and leave the counters', (_, end) => {
    const { device, pd, qp } = scene({ keyPolicy: 'sequential' });
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    const use = cache.get(bytes, READ);
    const { region } = use;
    use.put();
    end(region, { pd, qp });
    using again = cache.get(bytes, READ);
    expect(again.region).not.toBe(region);
    expect(readable(qp, again)).toBe(true);
    expect(cache.counters()).toMatchObject({ hits: 0, misses: 2, regions: 1, bytes: 64, evictions: 0 });
    expect(registered(device)).toBe(1);
  });

  test.each(ways)('while in use, by %s: the use can be put, and a new get registers', (_, end) => {
    const { device, pd, qp } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    const use = cache.get(bytes, READ);
    end(use.region, { pd, qp });
    expect(readable(qp, use)).toBe(false);
    expect(() => use.advertise()).toThrow(rdma(use.region.state === 'Closed' ? 'EBADF' : 'EINVAL'));
    using again = cache.get(bytes, READ);
    expect(readable(qp, again)).toBe(true);
    use.put();
    expect(cache.counters()).toMatchObject({ regions: 1, bytes: 64, inUse: 1 });
    expect(registered(device)).toBe(1);
  });

  test('half-dead, with elements held, is not given out, and ends once they are put', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    const use = cache.get(bytes, 0);
    const { region } = use;
    const sge = accepted(pd.acquire({ addr: use.start, length: 8, lkey: use.lkey }, 0));
    use.put();
    expect(() => region.dereg()).toThrow(rdma('EBUSY'));
    cache.get(bytes, 0).put();
    expect(region.state).toBe('HalfDead');
    sge.put();
    expect(cache.counters()).toMatchObject({ regions: 1, bytes: 64 });
    expect(registered(device)).toBe(1);
  });

  test.each([
    ['other memory', () => ({ translation: { memory: new Uint8Array(64) } })],
    ['another address', (memory: Uint8Array) => ({ translation: { memory, start: 0x9000n } })],
    ['fewer rights', () => ({ access: 0 })],
    ['more rights', () => ({ access: READ | WRITE })],
  ])('re-registered with %s are not given out', (_, change) => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64).fill(7);
    const use = cache.get(bytes, READ);
    const { region } = use;
    use.put();
    region.rereg(change(bytes));
    using again = cache.get(bytes, READ);
    expect(again.region).not.toBe(region);
    expect(region.state).toBe('Closed');
    const sge = accepted(pd.acquire({ addr: again.start, length: 8, lkey: again.lkey }, 0));
    const copy = Buffer.alloc(8);
    sge.copyTo(copy);
    sge.put();
    expect(copy).toEqual(Buffer.alloc(8, 7));
    expect(registered(device)).toBe(1);
  });

  test('re-registered in another domain are not given out', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    const use = cache.get(bytes, READ);
    use.put();
    cache.get(bytes, READ).put(); // the stamp of the key is known now
    const { region } = cache.get(bytes, READ);
    region.rereg({ pd: device.allocPd() });
    expect(cache.get(bytes, READ).region).not.toBe(region);
  });

  test('counted regions, whose record changes, stay cached', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    using use = cache.get(bytes, READ);
    use.region.countAccesses();
    using again = cache.get(bytes, READ);
    expect(again.region).toBe(use.region);
    expect(cache.counters()).toMatchObject({ hits: 1, misses: 1 });
  });

  test.each([
    ['the domain', ({ pd }: { pd: ProtectionDomain; device: Device }) => pd.dealloc({ cascade: true })],
    ['the device', ({ device }: { pd: ProtectionDomain; device: Device }) => device.close({ cascade: true })],
  ])('with %s: gets fail with EBADF, and everything else still works', (_, close) => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    cache.get(bytes, 0).put();
    const use = cache.get(bytes, 0);
    close({ device, pd });
    expect(() => cache.get(bytes, 0)).toThrow(rdma('EBADF', 'reg_user_mr'));
    expect(() => cache.get(new Uint8Array(8), 0)).toThrow(rdma('EBADF', 'reg_user_mr'));
    expect(use.region.state).toBe('Closed');
    use.put();
    expect(cache.counters()).toMatchObject({ regions: 0, bytes: 0, inUse: 0 });
    cache.close();
    cache.close({ force: true });
  });

  test('a domain with cached regions is in use', () => {
    const { pd, qp } = scene();
    const cache = new RegistrationCache(pd);
    cache.get(new Uint8Array(8), 0).put();
    qp.destroy();
    expect(() => pd.dealloc()).toThrow(rdma('EBUSY'));
    cache.close();
    pd.dealloc();
  });
});

describe('memory that is gone', () => {
  test('detached: not given out, and leaves the counters', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    cache.get(bytes, WRITE).put();
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    expect(() => cache.get(bytes, WRITE)).toThrow(
      expect.objectContaining({ code: 'EINVAL', detail: { cause: 'MemoryDetached', argument: 'memory' } }),
    );
    expect(() => cache.get(bytes.buffer, WRITE)).toThrow(rdma('EINVAL'));
    expect(() => cache.get(new DataView(new ArrayBuffer(8)), 32)).toThrow(rdma('EINVAL'));
    expect(cache.counters()).toMatchObject({ regions: 0, bytes: 0 });
    expect(registered(device)).toBe(0);
  });

  test('detached while in use: accesses are refused, and the region ends with the put', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    const use = cache.get(bytes, WRITE);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    const sge = accepted(pd.acquire({ addr: use.start, length: 8, lkey: use.lkey }, 0));
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', undefined, 'MemoryDetached'));
    sge.put();
    expect(cache.counters()).toMatchObject({ regions: 1, inUse: 1 });
    use.put();
    expect(cache.counters()).toMatchObject({ regions: 0, inUse: 0 });
    expect(registered(device)).toBe(0);
  });

  test('detached leaves by later gets alone, without counters() being called', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    for (let i = 0; i < 1000; i++) {
      const bytes = new Uint8Array(64);
      cache.get(bytes, WRITE).put();
      structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    }
    expect(registered(device)).toBeLessThanOrEqual(4);
    const steady = new Uint8Array(64);
    cache.get(steady, WRITE).put();
    for (let i = 0; i < 2048; i++) cache.get(steady, WRITE).put();
    expect(registered(device)).toBe(1);
  });

  test('shrunk: a region that the buffer no longer holds is replaced', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const arena = new (ArrayBuffer as any)(1000, { maxByteLength: 2000 }) as ArrayBuffer & {
      resize(length: number): void;
    };
    cache.get(arena, WRITE).put();
    const part = new Uint8Array(arena, 0, 100);
    arena.resize(500);
    using use = cache.get(part, WRITE);
    expect(use.region.length).toBe(100);
    expect(pd.check({ addr: use.start, length: 100, lkey: use.lkey }, Access.LocalWrite).ok).toBe(true);
    const sge = accepted(pd.acquire({ addr: use.start, length: 100, lkey: use.lkey }, Access.LocalWrite));
    sge.copyFrom(Buffer.alloc(100, 9)); // the old region would refuse it: MemoryShrunk
    sge.put();
    expect(part[99]).toBe(9);
    expect(registered(device)).toBe(1);
    expect(() => cache.get(new Uint8Array(arena, 0, 500), 0)).not.toThrow();
    arena.resize(50);
    expect(() => cache.get(part, WRITE)).toThrow(
      expect.objectContaining({ code: 'EINVAL', detail: { cause: 'ViewOutOfBounds', argument: 'memory' } }),
    );
  });

  test('grown: the region stays, and more is registered when it is asked for', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd);
    const arena = new (ArrayBuffer as any)(100, { maxByteLength: 200 }) as ArrayBuffer & {
      resize(length: number): void;
    };
    const tracking = new Uint8Array(arena);
    cache.get(tracking, 0).put();
    arena.resize(200);
    using use = cache.get(tracking, 0);
    expect([use.length, use.region.length]).toEqual([200, 200]);
  });

  test.each<[string, () => ArrayBuffer]>([
    ['a buffer that keeps its length', () => new ArrayBuffer(100)],
    ['a resizable buffer', () => new (ArrayBuffer as any)(100, { maxByteLength: 200 }) as ArrayBuffer],
  ])('hits of %s find regions whose memory is gone, too', (_, make) => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const view = new Uint8Array(make());
    cache.get(view, 0).put();
    const gone = new ArrayBuffer(64);
    cache.get(gone, 0).put();
    structuredClone(gone, { transfer: [gone] });
    expect(registered(device)).toBe(2);
    for (let i = 0; i < 1000; i++) cache.get(view, 0).put();
    expect(registered(device)).toBe(1);
  });

  testGc('a cached region that is not in use does not keep its ArrayBuffer alive', async () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const reference = (() => {
      const buffer = new ArrayBuffer(PAGE);
      cache.get(buffer, WRITE).put();
      return new WeakRef(buffer);
    })();
    const kept = new Uint8Array(PAGE);
    cache.get(kept, WRITE).put();
    expect(registered(device)).toBe(2);
    expect(await collect(() => reference.deref() === undefined)).toBe(true);
    expect(cache.counters()).toMatchObject({ regions: 1, bytes: PAGE, evictions: 0 });
    expect(registered(device)).toBe(1);
    cache.get(kept, WRITE).put();
    expect(cache.counters().hits).toBe(1);
  });

  testGc('the key of a collected ArrayBuffer is refused as one of detached memory', async () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd);
    const { reference, start, lkey } = (() => {
      const buffer = new ArrayBuffer(PAGE);
      using use = cache.get(buffer, 0);
      return { reference: new WeakRef(buffer), start: use.start, lkey: use.lkey };
    })();
    expect(await collect(() => reference.deref() === undefined)).toBe(true);
    const sge = accepted(pd.acquire({ addr: start, length: 8, lkey }, 0));
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', undefined, 'MemoryDetached'));
    sge.put();
  });

  testGc('a use keeps its ArrayBuffer alive, also through a region that replaced another', async () => {
    const { pd, qp } = scene();
    const cache = new RegistrationCache(pd);
    const { reference, use } = (() => {
      const buffer = new ArrayBuffer(PAGE);
      new Uint8Array(buffer).fill(5);
      const use = cache.get(new Uint8Array(buffer, 0, 8), READ);
      cache.get(buffer, READ).put();
      return { reference: new WeakRef(buffer), use };
    })();
    expect(await collect(() => reference.deref() === undefined)).toBe(false);
    expect(readBy(qp, use)).toEqual(Buffer.alloc(8, 5));
    use.put();
    expect(await collect(() => reference.deref() === undefined)).toBe(true);
  });

  testGc('a region of the program over the same buffer keeps it alive, whatever the cache does', async () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd, { maxRegions: 1 });
    const { reference, mr } = (() => {
      const buffer = new ArrayBuffer(PAGE);
      cache.get(buffer, 0).put();
      const mr = pd.regUserMr(new Uint8Array(buffer).fill(3));
      return { reference: new WeakRef(buffer), mr };
    })();
    cache.get(new Uint8Array(8), 0).put(); // evicts the other
    expect(await collect(() => reference.deref() === undefined)).toBe(false);
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const bytes = Buffer.alloc(8);
    sge.copyTo(bytes);
    sge.put();
    expect(bytes).toEqual(Buffer.alloc(8, 3));
    mr.dereg();
    expect(await collect(() => reference.deref() === undefined)).toBe(true);
  });

  testGc('a cached region keeps its SharedArrayBuffer alive until it is evicted', async () => {
    const { pd, qp } = scene();
    const cache = new RegistrationCache(pd, { maxRegions: 1 });
    const { reference, place } = (() => {
      const buffer = new SharedArrayBuffer(PAGE);
      new Uint8Array(buffer).fill(4);
      using use = cache.get(buffer, READ);
      return { reference: new WeakRef(buffer), place: use.advertise({ length: 8 }) };
    })();
    expect(await collect(() => reference.deref() === undefined)).toBe(false);
    const sge = accepted(qp.acquire(place, READ));
    const bytes = Buffer.alloc(8);
    sge.copyTo(bytes);
    sge.put();
    expect(bytes).toEqual(Buffer.alloc(8, 4));
    cache.get(new Uint8Array(8), 0).put();
    expect(await collect(() => reference.deref() === undefined)).toBe(true);
  });
});

describe('close', () => {
  test('deregisters all regions; gets fail afterwards, and a second call is a no-op', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    for (let i = 0; i < 10; i++) cache.get(new Uint8Array(8), 0).put();
    cache.close();
    cache.close();
    expect(registered(device)).toBe(0);
    expect(() => cache.get(new Uint8Array(8), 0)).toThrow(
      expect.objectContaining({ code: 'EBADF', detail: { cause: 'CacheClosed' } }),
    );
    expect(cache.counters()).toEqual({ hits: 0, misses: 10, evictions: 0, regions: 0, bytes: 0, inUse: 0 });
    expect(String(cache)).toBe('RegistrationCache { regions 0 bytes 0 inUse 0 Closed }');
  });

  test('is refused while regions are in use, and changes nothing then', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(8);
    cache.get(new Uint8Array(8), 0).put();
    const use = cache.get(bytes, 0);
    expect(() => cache.close()).toThrow(
      expect.objectContaining({
        code: 'EBUSY',
        operation: 'dereg_mr',
        message:
          'EBUSY: RegistrationCache.close: 1 region of the cache is in use; put the uses back first, or pass { force: true }',
        detail: { cause: 'CacheInUse', value: 1 },
      }),
    );
    expect(registered(device)).toBe(2);
    cache.get(bytes, 0).put();
    use.put();
    cache.close();
    expect(registered(device)).toBe(0);
  });

  test('is refused while elements hold a region that was put', () => {
    const { device, pd } = scene();
    const cache = new RegistrationCache(pd);
    const use = cache.get(new Uint8Array(8), 0);
    const sge = accepted(pd.acquire({ addr: use.start, length: 8, lkey: use.lkey }, 0));
    use.put();
    expect(() => cache.close()).toThrow(rdma('EBUSY'));
    sge.put();
    cache.close();
    expect(registered(device)).toBe(0);
  });

  test.each([
    ['by force', (cache: RegistrationCache) => cache.close({ force: true })],
    ['dispose', (cache: RegistrationCache) => cache[Symbol.dispose]()],
  ])('%s ends regions in use: their bytes are refused when it returns', (_, close) => {
    const { device, pd, qp } = scene();
    const cache = new RegistrationCache(pd);
    const bytes = new Uint8Array(64);
    const old = cache.get(bytes.subarray(0, 8), READ);
    const use = cache.get(bytes, READ);
    const twice = cache.get(bytes, READ);
    const sge = accepted(pd.acquire({ addr: use.start, length: 8, lkey: use.lkey }, 0));
    close(cache);
    expect(registered(device)).toBe(0);
    expect([readable(qp, use), readable(qp, old)]).toEqual([false, false]);
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', undefined, 'RegionRevoked'));
    sge.put();
    expect(use.region.state).toBe('Closed');
    expect(() => use.advertise()).toThrow(rdma('EBADF'));
    [old, use, twice, use].forEach((one) => one.put());
    expect(cache.counters()).toMatchObject({ regions: 0, bytes: 0, inUse: 0 });
  });

  test('of one cache leaves another of the same domain and memory alone', () => {
    const { pd, qp } = scene();
    const [one, two] = [new RegistrationCache(pd), new RegistrationCache(pd)];
    const bytes = new Uint8Array(64);
    one.get(bytes, READ).put();
    using use = two.get(bytes, READ);
    one.close();
    expect(readable(qp, use)).toBe(true);
  });
});

describe('the constructor', () => {
  test('takes a domain and limits', () => {
    const { device, pd } = scene();
    for (const value of [undefined, null, {}, device, Object.create(pd), new Proxy(pd, {})] as any[]) {
      expect(() => new RegistrationCache(value)).toThrow(wrongType('pd'));
    }
    for (const maxRegions of [0, -1, 2 ** 23 + 1, 0.5, NaN, Infinity]) {
      expect(() => new RegistrationCache(pd, { maxRegions })).toThrow(outOfRange('options.maxRegions'));
    }
    for (const maxBytes of [0, -1, 2 ** 53, 0.5, NaN, Infinity]) {
      expect(() => new RegistrationCache(pd, { maxBytes })).toThrow(outOfRange('options.maxBytes'));
    }
    expect(() => new RegistrationCache(pd, { maxRegions: '1' } as any)).toThrow(
      wrongType('options.maxRegions'),
    );
    expect(() => new RegistrationCache(pd, { maxRegion: 1 } as any)).toThrow(TypeError);
    expect(() => new RegistrationCache(pd, { maxRegions: 2 ** 23, maxBytes: 2 ** 53 - 1 })).not.toThrow();
  });

  test('of a closed domain works; its gets fail', () => {
    const device = open();
    const pd = device.allocPd();
    pd.dealloc();
    const cache = new RegistrationCache(pd);
    expect(() => cache.get(new Uint8Array(8), 0)).toThrow(rdma('EBADF', 'reg_user_mr'));
    cache.close();
  });

  test('two caches, and two uses of one region, are not deep-equal', () => {
    const { pd } = scene();
    const cache = new RegistrationCache(pd);
    expect(cache).not.toEqual(new RegistrationCache(pd));
    const bytes = new Uint8Array(8);
    expect(cache.get(bytes, 0)).not.toEqual(cache.get(bytes, 0));
  });
});

test('objects describe themselves', () => {
  const { pd } = scene({ keyPolicy: 'sequential' });
  const cache = new RegistrationCache(pd);
  expect(cache.toJSON()).toEqual({
    class: 'RegistrationCache',
    regions: 0,
    bytes: 0,
    inUse: 0,
    state: 'Open',
  });
  const arena = new Uint8Array(64);
  cache.get(arena, READ).put();
  const use = cache.get(arena.subarray(16, 24), 0);
  expect(use.toJSON()).toEqual({
    class: 'RegionUse',
    region: use.region.id,
    lkey: `0x${use.lkey.toString(16)}`,
    rkey: `0x${use.rkey.toString(16)}`,
    start: `0x${use.start.toString(16)}`,
    iova: `0x${use.iova.toString(16)}`,
    length: 8,
    access: [],
    state: 'Held',
  });
  expect(String(cache)).toBe('RegistrationCache { regions 1 bytes 64 inUse 1 Open }');
});

test('a use on a strict device shows both keys', () => {
  const use = new RegistrationCache(open({ strict: true }).allocPd()).get(new Uint8Array(8), READ);
  expect(use.lkey).not.toBe(use.rkey);
  expect(use.toJSON()).toMatchObject({
    lkey: `0x${use.lkey.toString(16)}`,
    rkey: `0x${use.rkey.toString(16)}`,
  });
});
