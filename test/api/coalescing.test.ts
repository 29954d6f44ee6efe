import * as fc from 'fast-check';

import { Access, type FastMemoryRegion, type LocalCheck, type MemoryRegion, type Sge } from '../../lib';
import { accepted, rdma, refusal } from '../support/answers';
import { DMA, dmaPages, open, PAGE, PAGE_N, type Scene, scene } from '../support/scene';

/** Creates a trusted scene with four pages of DMA memory. */
function dmaScene(): Scene & { bytes: Buffer } {
  const all = scene({ trusted: true });
  return { ...all, bytes: dmaPages(all.device, 4).bytes };
}

/** Creates a scene with a region that `mapSg` maps to all of its DMA pages, at their DMA address. */
function scattered(): Scene & { mr: MemoryRegion } {
  const all = dmaScene();
  const mr = all.pd.allocMr({ maxNumSg: 4 });
  mr.mapSg([{ addr: DMA, length: 4 * PAGE }]);
  return { ...all, mr };
}

/** Creates a scene with an FMR that maps its DMA pages in the given order. */
function permuted(iova: bigint, order: readonly bigint[]): Scene & { fmr: FastMemoryRegion } {
  const all = dmaScene();
  const fmr = all.pd.allocFmr({ maxPages: 4 });
  fmr.mapPhys(
    order.map((page) => DMA + page * PAGE_N),
    iova,
  );
  return { ...all, fmr };
}

const kind = (check: LocalCheck): string =>
  check.ok ? (check.coalesced ? 'coalesced' : 'new') : check.reason;

/** Checks [addr, addr + length) against the region of `last`. */
function next({ pd }: Scene, last: Sge, addr: bigint, length: number, access = 0): LocalCheck {
  return pd.acquire({ addr, length, lkey: last.region!.lkey }, access, { last });
}

describe('adjacent elements', () => {
  test('merge at the edge of the first segment, without taking a reference', () => {
    const all = scattered();
    const last = accepted(all.pd.acquire({ addr: DMA + 96n, length: 4000, lkey: all.mr.lkey }, 0));
    const check = next(all, last, DMA + PAGE_N, 100);
    expect(check).toEqual({ ok: true, coalesced: true, sge: last });
    expect(last).toMatchObject({ at: DMA + 96n, segmentLength: 4000, length: 4100, segment: 0 });
    expect(all.mr.refs).toBe(3);
    last.put();
    expect(all.mr.refs).toBe(2);
  });

  test('merge into an SGE whose bytes are those of both', () => {
    const all = scattered();
    const last = accepted(all.pd.acquire({ addr: DMA, length: PAGE, lkey: all.mr.lkey }, 0));
    next(all, last, DMA + PAGE_N, 10);
    const target = Buffer.alloc(5000);
    expect(last.copyTo(target)).toBe(PAGE + 10);
    expect(target[PAGE - 1]).toBe(0);
    expect(target[PAGE]).toBe(1);
  });

  test('with a region key merge only once', () => {
    const all = scattered();
    const last = accepted(all.pd.acquire({ addr: DMA, length: PAGE, lkey: all.mr.lkey }, 0));
    expect(kind(next(all, last, DMA + PAGE_N, PAGE))).toBe('coalesced');
    expect(kind(next(all, last, DMA + 2n * PAGE_N, PAGE))).toBe('new');
  });

  test('inside one segment do not merge', () => {
    const all = scattered();
    const last = accepted(all.pd.acquire({ addr: DMA, length: 100, lkey: all.mr.lkey }, 0));
    expect(kind(next(all, last, DMA + 100n, 100))).toBe('new');
  });

  test('of an FMR merge where its address equals its DMA address', () => {
    const all = permuted(DMA, [0n, 1n, 2n, 3n]);
    const last = accepted(all.pd.acquire({ addr: DMA, length: PAGE, lkey: all.fmr.lkey }, 0));
    expect(kind(next(all, last, DMA + PAGE_N, PAGE))).toBe('coalesced');
  });

  test('with key 0 merge any number of times', () => {
    const all = dmaScene();
    using region = all.pd.getDmaMr();
    const { lkey } = region;
    using last = accepted(all.pd.acquire({ addr: DMA, length: 10, lkey }, 0));
    for (let i = 1; i <= 5; i++) {
      const check = all.pd.acquire({ addr: DMA + BigInt(i * 10), length: 10, lkey }, 0, { last });
      expect(kind(check)).toBe('coalesced');
    }
    expect(last).toMatchObject({ at: DMA, segmentLength: 60, length: 60 });
    expect(region.refs).toBe(4);
  });

  test('of key 0 in two mappings do not merge', () => {
    const all = dmaScene();
    dmaPages(all.device, 1, DMA + 4n * PAGE_N);
    using region = all.pd.getDmaMr();
    using last = accepted(all.pd.acquire({ addr: DMA, length: 4 * PAGE, lkey: region.lkey }, 0));
    using second = accepted(next(all, last, DMA + 4n * PAGE_N, 1));
    expect(second).not.toBe(last);
  });

  test('of user memory do not merge', () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(2 * PAGE));
    const last = accepted(pd.acquire({ addr: mr.start, length: PAGE, lkey: mr.lkey }, 0));
    expect(kind(pd.acquire({ addr: mr.start + PAGE_N, length: PAGE, lkey: mr.lkey }, 0, { last }))).toBe(
      'new',
    );
  });

  test('keep only the rights that both were checked for', () => {
    const all = scattered();
    all.qp.fastRegMr(all.mr, { key: all.mr.rkey, access: Access.LocalWrite });
    const element = { addr: DMA, length: PAGE, lkey: all.mr.lkey };
    const last = accepted(all.pd.acquire(element, Access.LocalWrite));
    expect(kind(next(all, last, DMA + PAGE_N, 1, 0))).toBe('coalesced');
    expect(last.access).toBe(0);
    expect(() => last.copyFrom(Buffer.alloc(1))).toThrow(rdma('EACCES', 'copy_sge', 'AccessDenied'));
  });
});

describe('elements that are not adjacent do not merge, even when the segments suggest it', () => {
  test('after a gap behind a short element', () => {
    const all = scattered();
    const last = accepted(all.pd.acquire({ addr: DMA, length: 16, lkey: all.mr.lkey }, 0));
    expect(kind(next(all, last, DMA + PAGE_N, 16))).toBe('new');
    expect(last.length).toBe(16);
  });

  test('when the same piece was merged before', () => {
    const all = scattered();
    const last = accepted(all.pd.acquire({ addr: DMA, length: PAGE, lkey: all.mr.lkey }, 0));
    expect(kind(next(all, last, DMA + PAGE_N, 16))).toBe('coalesced');
    expect(kind(next(all, last, DMA + PAGE_N, 16))).toBe('new');
  });

  test('when an address equals a DMA address by coincidence', () => {
    const all = permuted(DMA, [1n, 0n, 2n, 3n]);
    const last = accepted(all.pd.acquire({ addr: DMA, length: 16, lkey: all.fmr.lkey }, 0));
    expect(last.at + BigInt(last.segmentLength)).toBe(DMA + 2n * PAGE_N);
    expect(kind(next(all, last, DMA + 2n * PAGE_N, 16))).toBe('new');
  });

  test('when the second page follows an element that covers the whole region', () => {
    const all = scattered();
    const last = accepted(all.pd.acquire({ addr: DMA, length: 4 * PAGE, lkey: all.mr.lkey }, 0));
    expect(kind(next(all, last, DMA + PAGE_N, PAGE))).toBe('new');
    expect(last.length).toBe(4 * PAGE);
  });

  test('when the element ends at segment 255 of 256', () => {
    const { device, pd } = scene();
    dmaPages(device, 256);
    const mr = pd.allocMr({ maxNumSg: 256 });
    mr.mapSg([{ addr: DMA, length: 256 * PAGE }]);
    const last = accepted(pd.acquire({ addr: DMA + 254n * PAGE_N, length: 2 * PAGE, lkey: mr.lkey }, 0));
    const check = pd.acquire({ addr: DMA + 255n * PAGE_N, length: PAGE, lkey: mr.lkey }, 0, { last });
    expect(kind(check)).toBe('new');
    expect(last.length).toBe(2 * PAGE);
  });

  test('when the region was remapped in between', () => {
    const all = scattered();
    const last = accepted(all.pd.acquire({ addr: DMA, length: PAGE, lkey: all.mr.lkey }, 0));
    all.mr.mapSg([{ addr: DMA, length: 2 * PAGE }]);
    expect(kind(next(all, last, DMA + PAGE_N, PAGE))).toBe('new');
  });
});

describe('an access that would merge is still checked for', () => {
  function ready(): Scene & { mr: MemoryRegion; last: Sge } {
    const all = scattered();
    return { ...all, last: accepted(all.pd.acquire({ addr: DMA, length: PAGE, lkey: all.mr.lkey }, 0)) };
  }

  test('the bounds of the region', () => {
    const all = ready();
    expect(refusal(next(all, all.last, DMA + PAGE_N, 3 * PAGE + 1))).toBe('OutOfBounds');
    expect(all.last.length).toBe(PAGE);
  });

  test('the lower bound of an FMR, even if the length would wrap', () => {
    const all = permuted(DMA + 2n * PAGE_N, [0n, 1n, 2n, 3n]);
    const last = accepted(all.pd.acquire({ addr: DMA + 2n * PAGE_N, length: PAGE, lkey: all.fmr.lkey }, 0));
    expect(last.at + BigInt(last.segmentLength)).toBe(DMA + PAGE_N);
    expect(refusal(next(all, last, DMA + PAGE_N, 4 * PAGE))).toBe('OutOfBounds');
    expect(last.length).toBe(PAGE);
  });

  test('the validity of the key', () => {
    const all = ready();
    all.qp.invalidateRkey(all.mr.rkey);
    expect(refusal(next(all, all.last, DMA + PAGE_N, PAGE))).toBe('Invalidated');
  });

  test('the protection domain', () => {
    const all = ready();
    const other = { ...all, pd: all.device.allocPd() };
    expect(refusal(next(other, all.last, DMA + PAGE_N, PAGE))).toBe('WrongPd');
  });

  test('the access rights', () => {
    const all = ready();
    expect(refusal(next(all, all.last, DMA + PAGE_N, PAGE, Access.LocalWrite))).toBe('AccessDenied');
  });

  test('a region that was released', () => {
    const all = ready();
    expect(() => all.mr.dereg()).toThrow(rdma('EBUSY'));
    expect(refusal(next(all, all.last, DMA + PAGE_N, PAGE))).toBe('Revoked');
    expect(all.mr.refs).toBe(2);
  });
});

describe('the option `last`', () => {
  test('may be omitted, null, or a put SGE: acquire then returns a new SGE', () => {
    const all = scattered();
    const element = { addr: DMA + PAGE_N, length: PAGE, lkey: all.mr.lkey };
    const last = accepted(all.pd.acquire({ ...element, addr: DMA }, 0));
    last.put();
    for (const options of [undefined, {}, { last: undefined }, { last: null }, { last }]) {
      expect(kind(all.pd.acquire(element, 0, options as { last: Sge }))).toBe('new');
    }
  });

  test('leaves an SGE of a remote peer unchanged', () => {
    const all = scattered();
    all.qp.fastRegMr(all.mr, { key: all.mr.rkey, access: Access.RemoteRead });
    const request = { vaddr: DMA, length: PAGE, rkey: all.mr.rkey };
    const last = accepted(all.qp.acquire(request, Access.RemoteRead));
    expect(kind(next(all, last, DMA + PAGE_N, PAGE))).toBe('new');
  });

  test('rejects an SGE of another device with EINVAL', () => {
    const all = scattered();
    const last = accepted(all.pd.acquire({ addr: DMA, length: PAGE, lkey: all.mr.lkey }, 0));
    const other = open().allocPd();
    expect(() => other.acquire({ addr: 0, length: 0, lkey: all.mr.lkey }, 0, { last })).toThrow(
      rdma('EINVAL', 'lkey_ok'),
    );
  });
});

describe('adjacent elements that end at, before and after page edges', () => {
  /** Offsets at page edges, one byte before or after them, and a few others. */
  const place = fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .tuple(fc.nat(4), fc.constantFrom(0, 0, -1, 1))
        .map(([page, by]) => Math.min(4 * PAGE, Math.max(0, page * PAGE + by))),
    },
    fc.nat(4 * PAGE),
  );

  test.each([
    ['in order', [0, 1, 2, 3]],
    ['out of order', [1, 0, 2, 2]],
  ])('with pages %s, merge only where the first ends with its segment', (_, order) => {
    const all = permuted(
      DMA,
      order.map((page) => BigInt(page)),
    );
    const kinds: Record<string, number> = {};
    fc.assert(
      fc.property(place, place, place, fc.constantFrom(0, 0, 0, -1, 1), (from, to, end, gap) => {
        const second = to + gap;
        fc.pre(from < to && second >= 0 && second < end);
        const element = { addr: DMA + BigInt(from), length: to - from, lkey: all.fmr.lkey };
        using last = accepted(all.pd.acquire(element, 0));
        const edge = (order[Math.floor(from / PAGE)]! + 1) * PAGE;
        const found = next(all, last, DMA + BigInt(second), end - second);
        if (found.ok && !found.coalesced) found.sge.put();
        kinds[kind(found)] = (kinds[kind(found)] ?? 0) + 1;
        expect(kind(found)).toBe(gap === 0 && edge === to ? 'coalesced' : 'new');
        expect(last.length).toBe(kind(found) === 'coalesced' ? end - from : to - from);
      }),
      { numRuns: 1000 },
    );
    expect(kinds).toEqual({ coalesced: expect.any(Number), new: expect.any(Number) });
    expect(kinds.coalesced).toBeGreaterThan(30);
  });
});
