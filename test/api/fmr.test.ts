import { Access, FastMemoryRegion } from '../../lib';
import { accepted, rdma, refusal } from '../support/answers';
import { ALL, DMA, dmaPages, open, PAGE, PAGE_N, type Scene, scene, TOP } from '../support/scene';

/** Creates four pages of DMA memory and an FMR that can map as many. */
function ready(options: { maxPages?: number; pageShift?: number } = {}): Scene & { fmr: FastMemoryRegion } {
  const all = scene();
  dmaPages(all.device, 4);
  return { ...all, fmr: all.pd.allocFmr({ maxPages: 4, access: ALL, ...options }) };
}

const page = (n: number): bigint => DMA + BigInt(n) * PAGE_N;

describe('mapPhys', () => {
  test('maps pages at one address for local access and for remote peers', () => {
    const { fmr, pd, qp } = ready();
    fmr.mapPhys([page(2), page(0)], 0x5000n);
    expect(fmr).toMatchObject({ start: 0x5000n, iova: 0x5000n, length: 2 * PAGE, refs: 2 });
    const local = accepted(pd.acquire({ addr: 0x5000n + 5n, length: 1, lkey: fmr.lkey }, 0));
    expect(local).toMatchObject({ region: fmr, at: page(2) + 5n, segment: 0 });
    const remote = accepted(qp.acquire({ vaddr: 0x6005n, length: 1, rkey: fmr.rkey }, 4));
    expect(remote).toMatchObject({ region: fmr, at: page(0) + 5n, segmentLength: PAGE - 5, segment: 1 });
  });

  test('takes a BigUint64Array, numbers, repeated pages and any alignment', () => {
    const { fmr, pd } = ready();
    fmr.mapPhys(BigUint64Array.of(page(1) + 7n, page(1) + 7n), 3);
    expect(pd.check({ addr: 3 + PAGE, length: 1, lkey: fmr.lkey }, 0)).toMatchObject({
      at: page(1) + 7n,
    });
    fmr.mapPhys([Number(page(2))], 0);
    expect(pd.check({ addr: 0, length: 1, lkey: fmr.lkey }, 0)).toMatchObject({ at: page(2) });
  });

  test('starts at byte 0 of the first page even when the iova lies inside a page', () => {
    const { fmr, pd } = ready();
    fmr.mapPhys([page(0)], 0x5123n);
    expect(pd.check({ addr: 0x5123n, length: 1, lkey: fmr.lkey }, 0)).toMatchObject({ at: DMA, segment: 0 });
  });

  test('may be repeated without unmap, and with an empty list', () => {
    const { fmr } = ready();
    fmr.mapPhys([page(0)], 0x5000n);
    fmr.mapPhys([page(0), page(1)], 0x7000n);
    expect(fmr).toMatchObject({ start: 0x7000n, length: 2 * PAGE });
    fmr.mapPhys([], 0x9000n);
    expect(fmr).toMatchObject({ start: 0x9000n, length: 0 });
  });

  test('supports other page sizes', () => {
    const { fmr, pd } = ready({ pageShift: 13, maxPages: 2 });
    fmr.mapPhys([page(2), page(0)], 0);
    expect(fmr.length).toBe(4 * PAGE);
    expect(pd.check({ addr: 3 * PAGE, length: 1, lkey: fmr.lkey }, 0)).toMatchObject({
      at: page(1),
      segment: 1,
    });
  });

  test.each<[string, bigint[], bigint]>([
    ['more pages than maxPages', [0, 1, 2, 3, 0].map(page), 0n],
    ['a page outside DMA memory', [page(0), page(4)], 0n],
    ['a page half outside DMA memory', [page(0), page(3) + 1n], 0n],
    ['a page below DMA memory', [DMA - 1n], 0n],
    ['a page that crosses 2^64', [TOP - 1n], 0n],
    ['a range that ends above 2^64', [page(0)], TOP - 4095n],
  ])('rejects %s with EINVAL and keeps the mapping', (_, pages, iova) => {
    const { fmr } = ready();
    fmr.mapPhys([page(1)], 0x5000n);
    expect(() => fmr.mapPhys(pages, iova)).toThrow(rdma('EINVAL', 'map_phys_fmr'));
    expect(fmr).toMatchObject({ start: 0x5000n, length: PAGE });
  });

  test('may end at exactly 2^64', () => {
    const { fmr, pd } = ready();
    fmr.mapPhys([page(0)], TOP - PAGE_N);
    expect(pd.check({ addr: TOP - 1n, length: 1, lkey: fmr.lkey }, 0)).toMatchObject({
      at: page(1) - 1n,
    });
    expect(refusal(pd.check({ addr: TOP - 1n, length: 2, lkey: fmr.lkey }, 0))).toBe('OutOfBounds');
  });

  test('rejects a page that crosses from one mapping into the next', () => {
    const { fmr, device } = ready();
    dmaPages(device, 1, page(4));
    expect(() => fmr.mapPhys([page(3) + 1n], 0)).toThrow(rdma('EINVAL'));
    fmr.mapPhys([page(3), page(4)], 0);
  });

  test.each([4, 5])('rejects %i pages of 2^30 bytes, because the length exceeds 32 bits', (count) => {
    const { fmr } = ready({ pageShift: 30, maxPages: 8 });
    const pages = Array.from({ length: count }, () => DMA);
    expect(() => fmr.mapPhys(pages, 0)).toThrow(rdma('EINVAL', 'map_phys_fmr'));
  });

  test('fails with EBUSY while an SGE is held, before any other check', () => {
    const { fmr, pd } = ready();
    fmr.mapPhys([page(0)], 0);
    const sge = accepted(pd.acquire({ addr: 0, length: 1, lkey: fmr.lkey }, 0));
    expect(() => fmr.mapPhys([page(1)], 0)).toThrow(rdma('EBUSY', 'map_phys_fmr'));
    expect(() => fmr.mapPhys([0n], TOP - 1n)).toThrow(rdma('EBUSY', 'map_phys_fmr'));
    sge.put();
    fmr.mapPhys([page(1)], 0);
  });

  test('fails with EBUSY on a half-dead region, and held SGEs keep their pages', () => {
    const { fmr, pd } = ready();
    fmr.mapPhys([page(1)], 0);
    const sge = accepted(pd.acquire({ addr: 0, length: 1, lkey: fmr.lkey }, 0));
    expect(() => fmr.dealloc()).toThrow(rdma('EBUSY', 'dealloc_fmr'));
    expect(() => fmr.mapPhys([page(2)], 0)).toThrow(rdma('EBUSY', 'map_phys_fmr'));
    expect(() => fmr.unmap()).toThrow(rdma('EBUSY', 'unmap_fmr'));
    const target = Buffer.alloc(1);
    sge.copyTo(target);
    expect(target[0]).toBe(1);
  });

  test('does not make an invalidated FMR valid', () => {
    const { fmr, pd, qp } = ready();
    qp.invalidateRkey(fmr.rkey);
    expect(fmr.state).toBe('Invalid');
    fmr.mapPhys([page(0)], 0);
    expect(refusal(pd.acquire({ addr: 0, length: 1, lkey: fmr.lkey }, 0))).toBe('Invalidated');
  });
});

describe('unmap', () => {
  test('leaves a live key that maps nothing', () => {
    const { fmr, pd } = ready();
    fmr.mapPhys([page(0)], 0x5000n);
    fmr.unmap();
    expect(fmr).toMatchObject({ start: 0n, iova: 0n, length: 0, refs: 2, state: 'Valid' });
    expect(refusal(pd.acquire({ addr: 0x5000n, length: 1, lkey: fmr.lkey }, 0))).toBe('OutOfBounds');
    fmr.unmap();
  });

  test('of a list unmaps every FMR, even one that is listed twice', () => {
    const { fmr, pd } = ready();
    const other = pd.allocFmr({ maxPages: 1 });
    fmr.mapPhys([page(0)], 0);
    other.mapPhys([page(0)], 0);
    FastMemoryRegion.unmap([fmr, other, fmr]);
    expect([fmr.length, other.length]).toEqual([0, 0]);
    FastMemoryRegion.unmap([]);
  });

  test('keeps references held, but refuses their use', () => {
    const { fmr, pd } = ready();
    fmr.mapPhys([page(0)], 0);
    const sge = accepted(pd.acquire({ addr: 0, length: 8, lkey: fmr.lkey }, Access.LocalWrite));
    fmr.unmap();
    expect(fmr.refs).toBe(3);
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'Remapped'));
    expect(() => sge.copyFrom(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge', 'Remapped'));
    sge.put();
    expect(fmr.refs).toBe(2);
  });

  test('of a list unmaps either all or none', () => {
    const { fmr, pd } = ready();
    fmr.mapPhys([page(0)], 0);
    const gone = pd.allocFmr({ maxPages: 1 });
    gone.dealloc();
    expect(() => FastMemoryRegion.unmap([fmr, gone])).toThrow(rdma('EBADF', 'unmap_fmr'));
    const foreign = open().allocPd().allocFmr({ maxPages: 1 });
    expect(() => FastMemoryRegion.unmap([fmr, foreign])).toThrow(rdma('EINVAL', 'unmap_fmr'));
    const half = pd.allocFmr({ maxPages: 1 });
    half.mapPhys([page(0)], 0);
    accepted(pd.acquire({ addr: 0, length: 1, lkey: half.lkey }, 0));
    expect(() => half.dealloc()).toThrow(rdma('EBUSY'));
    expect(() => FastMemoryRegion.unmap([fmr, half])).toThrow(rdma('EBUSY', 'unmap_fmr'));
    expect(fmr.length).toBe(PAGE);
  });
});

describe('dealloc', () => {
  test('revokes the key and frees the region, and is a no-op the second time', () => {
    const { fmr, pd } = ready();
    const key = fmr.lkey;
    fmr.dealloc();
    fmr.dealloc();
    fmr[Symbol.dispose]();
    expect(fmr.state).toBe('Closed');
    expect(refusal(pd.acquire({ addr: 0, length: 1, lkey: key }, 0))).toBe('Revoked');
    expect(() => fmr.mapPhys([], 0)).toThrow(rdma('EBADF', 'map_phys_fmr'));
    expect(() => fmr.unmap()).toThrow(rdma('EBADF', 'unmap_fmr'));
    expect(() => fmr.lkey).toThrow(rdma('EBADF', 'query_mr'));
  });

  test('fails with EBUSY while an SGE is held; deallocAsync waits', async () => {
    const { fmr, pd } = ready();
    fmr.mapPhys([page(0)], 0);
    const sge = accepted(pd.acquire({ addr: 0, length: 1, lkey: fmr.lkey }, 0));
    expect(() => fmr.dealloc()).toThrow(rdma('EBUSY', 'dealloc_fmr'));
    await expect(fmr.deallocAsync({ timeoutMs: 0 })).rejects.toEqual(rdma('EBUSY', 'dealloc_fmr'));
    const gone = fmr.deallocAsync();
    setImmediate(() => sge.put());
    await gone;
    expect(fmr.state).toBe('Closed');
  });

  test('by force revokes held SGEs', () => {
    const { fmr, pd } = ready();
    fmr.mapPhys([page(0)], 0);
    const sge = accepted(pd.acquire({ addr: 0, length: 1, lkey: fmr.lkey }, 0));
    fmr.dealloc({ force: true });
    expect(fmr.state).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(1))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
    sge.put();
  });
});
