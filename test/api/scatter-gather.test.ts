import { Access, type MapSgOptions, type MemoryRegion, type SgEntry } from '../../lib';
import { accepted, rdma, refusal } from '../support/answers';
import { runProgram } from '../support/programs';
import { ALL, DMA, dmaPages, PAGE, PAGE_N, type Scene, scene, TOP } from '../support/scene';

/** Creates sixteen pages of DMA memory and a region that can map `maxNumSg` of them. */
function ready(maxNumSg = 16): Scene & { mr: MemoryRegion } {
  const all = scene();
  dmaPages(all.device, 16);
  return { ...all, mr: all.pd.allocMr({ maxNumSg }) };
}

const page = (n: number): bigint => DMA + BigInt(n) * PAGE_N;
/** Returns the entry for `length` bytes from byte `offset` of page `n`. */
const part = (n: number, offset: number, length: number): SgEntry => ({
  addr: page(n) + BigInt(offset),
  length,
});

describe('mapSg', () => {
  test('maps whole pages at any address', () => {
    const { mr, pd } = ready();
    expect(mr.mapSg([part(5, 0, 2 * PAGE), part(1, 0, PAGE)])).toBe(2);
    expect(mr).toMatchObject({ start: page(5), iova: page(5), length: 3 * PAGE, access: 0, refs: 2 });
    expect(pd.check({ addr: page(7) + 3n, length: 1, lkey: mr.lkey }, 0)).toMatchObject({
      at: page(1) + 3n,
      segment: 2,
    });
  });

  test('takes address and length pairs in a BigUint64Array', () => {
    const { mr } = ready();
    expect(mr.mapSg(BigUint64Array.of(page(5), PAGE_N, page(1), PAGE_N))).toBe(2);
    expect(mr.length).toBe(2 * PAGE);
  });

  test('may begin and end inside a page', () => {
    const { mr, pd } = ready();
    expect(mr.mapSg([part(3, 100, PAGE - 100), part(0, 0, 10)])).toBe(2);
    expect(mr).toMatchObject({ start: page(3) + 100n, length: PAGE - 90 });
    expect(accepted(pd.acquire({ addr: page(3) + 100n, length: 1, lkey: mr.lkey }, 0))).toMatchObject({
      at: page(3) + 100n,
      segmentLength: PAGE - 100,
    });
  });

  test('lets adjacent elements share a page', () => {
    const { mr } = ready(1);
    expect(mr.mapSg([part(2, 0, 100), part(2, 100, 50), part(2, 150, PAGE - 150)])).toBe(3);
    expect(mr.length).toBe(PAGE);
  });

  test('stops at a gap', () => {
    const { mr } = ready();
    expect(mr.mapSg([part(0, 0, PAGE), part(1, 0, 100), part(2, 0, PAGE)])).toBe(2);
    expect(mr.length).toBe(PAGE + 100);
    expect(mr.mapSg([part(0, 0, PAGE), part(1, 1, PAGE)])).toBe(1);
    expect(mr.length).toBe(PAGE);
  });

  test('stops when the region is full', () => {
    const { mr } = ready(2);
    expect(mr.mapSg([part(0, 0, PAGE), part(5, 0, PAGE), part(9, 0, PAGE)])).toBe(2);
    expect(mr.length).toBe(2 * PAGE);
  });

  test('does not count the last page that fits when it stops inside an element', () => {
    const { mr } = ready(3);
    expect(mr.mapSg([part(0, 0, PAGE), part(5, 0, 3 * PAGE)])).toBe(1);
    expect(mr.length).toBe(2 * PAGE);
  });

  test('with an offset skips the beginning of the first element', () => {
    const { mr, pd } = ready();
    expect(mr.mapSg([part(3, 0, 2 * PAGE)], { offset: PAGE + 10 })).toBe(1);
    expect(mr).toMatchObject({ start: page(4) + 10n, length: PAGE - 10 });
    expect(pd.check({ addr: page(4) + 10n, length: 1, lkey: mr.lkey }, 0)).toMatchObject({
      at: page(4) + 10n,
      segment: 0,
    });
  });

  test('allows local reads at once, without fast registration', () => {
    const { mr, pd } = ready();
    mr.mapSg([part(7, 0, PAGE)]);
    const target = Buffer.alloc(1);
    accepted(pd.acquire({ addr: page(7), length: 1, lkey: mr.lkey }, 0)).copyTo(target);
    expect(target[0]).toBe(7);
    expect(refusal(pd.acquire({ addr: page(7), length: 1, lkey: mr.lkey }, Access.LocalWrite))).toBe(
      'AccessDenied',
    );
  });

  test('succeeds while SGEs are held, and their use is refused afterwards', () => {
    const { mr, pd } = ready();
    mr.mapSg([part(7, 0, PAGE)]);
    const sge = accepted(pd.acquire({ addr: page(7), length: 1, lkey: mr.lkey }, 0));
    mr.mapSg([part(7, 0, PAGE)]);
    expect(() => sge.copyTo(Buffer.alloc(1))).toThrow(rdma('EACCES', 'copy_sge_out', 'Remapped'));
    expect(mr.refs).toBe(3);
  });
});

describe('rejects with EINVAL and changes nothing', () => {
  const good = part(0, 0, PAGE);
  test.each<[string, SgEntry[], MapSgOptions | undefined]>([
    ['no elements', [], undefined],
    ['an empty element', [good, part(1, 0, 0), part(2, 0, PAGE)], undefined],
    ['an empty first element', [part(1, 0, 0)], undefined],
    ['an offset beyond the first element', [good], { offset: PAGE + 1 }],
    ['an offset of the whole first element', [good, part(1, 0, PAGE)], { offset: PAGE }],
    ['an enormous offset', [good], { offset: TOP - 1n }],
    ['pages of 8192', [good], { pageSize: 8192 }],
    ['pages of 65536', [good], { pageSize: 65536 }],
    ['pages of 0', [good], { pageSize: 0 }],
    ['pages of 4095', [good], { pageSize: 4095 }],
    ['an element outside DMA memory', [good, part(16, 0, 1)], undefined],
    ['an element half outside DMA memory', [part(15, 1, PAGE)], undefined],
    [
      'an element outside DMA memory that would not be reached',
      [good, part(1, 1, 1), part(99, 0, 1)],
      undefined,
    ],
    ['an element across 2^64', [{ addr: TOP - PAGE_N, length: 2 * PAGE }], undefined],
    ['an element of 2^64 - 1 bytes', [{ addr: DMA, length: TOP - 1n }], undefined],
  ])('%s', (_, list, options) => {
    const { mr, qp, pd } = ready();
    mr.mapSg([part(3, 0, PAGE)]);
    qp.fastRegMr(mr, { key: mr.rkey, access: ALL, iova: 0x7000n });
    expect(() => mr.mapSg(list, options)).toThrow(rdma('EINVAL', 'map_mr_sg'));
    expect(mr).toMatchObject({ start: page(3), iova: 0x7000n, length: PAGE, access: ALL, state: 'Valid' });
    // Local checks still use the address of the last successful mapping, remote checks that of the fast registration.
    expect(pd.check({ addr: page(3), length: PAGE, lkey: mr.lkey }, 0)).toMatchObject({ at: page(3) });
    expect(qp.check({ vaddr: 0x7000n, length: PAGE, rkey: mr.rkey }, 4)).toMatchObject({ at: page(3) });
  });

  test('user, DMA and half-dead regions', () => {
    const { pd, mr } = ready();
    const user = pd.regUserMr(Buffer.alloc(PAGE), { start: 0x1000n });
    expect(() => user.mapSg([good])).toThrow(rdma('EINVAL', 'map_mr_sg'));
    expect(user).toMatchObject({ start: 0x1000n, length: PAGE });
    mr.mapSg([good]);
    accepted(pd.acquire({ addr: DMA, length: 1, lkey: mr.lkey }, 0));
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    expect(() => mr.mapSg([good])).toThrow(rdma('EINVAL', 'map_mr_sg'));

    const trusted = scene({ trusted: true });
    dmaPages(trusted.device, 1);
    using region = trusted.pd.getDmaMr();
    expect(() => region.mapSg([good])).toThrow(rdma('EINVAL', 'map_mr_sg'));
  });
});

describe('fails with ENOMEM and drops the old mapping when not one element fits', () => {
  test('an element of two pages in a region of one page', () => {
    const { mr } = ready(1);
    mr.mapSg([part(3, 0, PAGE)]);
    expect(() => mr.mapSg([part(5, 0, 2 * PAGE)])).toThrow(rdma('ENOMEM', 'map_mr_sg'));
    expect(mr).toMatchObject({ start: page(5), iova: page(5), length: 0 });
  });

  test('a region without segments', () => {
    const { mr } = ready(0);
    expect(() => mr.mapSg([])).toThrow(rdma('EINVAL', 'map_mr_sg'));
    expect(() => mr.mapSg([part(0, 0, PAGE)])).toThrow(rdma('ENOMEM', 'map_mr_sg'));
    expect(() => mr.mapSg([part(0, 0, PAGE)], { offset: 10 })).toThrow(rdma('ENOMEM', 'map_mr_sg'));
    expect(() => mr.mapSg([part(0, 0, PAGE)], { offset: PAGE })).toThrow(rdma('ENOMEM', 'map_mr_sg'));
  });

  test('reports a length of 0, not below, when the first element begins inside a page', () => {
    const { mr, pd } = ready(1);
    expect(mr.mapSg([part(0, 0x100, 2 * PAGE - 0x100)])).toBe(0);
    expect(mr).toMatchObject({ iova: DMA + 0x100n, length: 0 });
    expect(refusal(pd.acquire({ addr: DMA + 0x100n, length: 1, lkey: mr.lkey }, 0))).toBe('OutOfBounds');
    expect(() => mr.mapSg([part(0, 0, 2 * PAGE)], { offset: 0x100 })).toThrow(rdma('ENOMEM'));
    expect(mr.length).toBe(0);
  });
});

test('rejects a deregistered region with EBADF', () => {
  const { mr } = ready();
  mr.dereg();
  expect(() => mr.mapSg([part(0, 0, PAGE)])).toThrow(rdma('EBADF', 'map_mr_sg'));
});

test('may end at exactly 2^64', () => {
  const { mr, pd, device } = ready();
  device.dma.map(Buffer.alloc(PAGE), { address: TOP - PAGE_N });
  expect(mr.mapSg([{ addr: TOP - PAGE_N, length: PAGE }])).toBe(1);
  expect(pd.check({ addr: TOP - 1n, length: 1, lkey: mr.lkey }, 0)).toMatchObject({ at: TOP - 1n });
  expect(refusal(pd.check({ addr: TOP - 1n, length: 2, lkey: mr.lkey }, 0))).toBe('OutOfBounds');
});

test('rejects an empty list with EINVAL even as the first list of an environment', () => {
  const { stdout } = runProgram(`
    const mr = new (require('rdmavt').Device)().allocPd().allocMr({ maxNumSg: 4 });
    try { mr.mapSg([]); } catch (error) { console.log(error.code); }`);
  expect(stdout).toBe('EINVAL\n');
});
