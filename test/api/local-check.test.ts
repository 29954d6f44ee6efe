import { Access, lkey, type MemoryRegion, type ProtectionDomain } from '../../lib';
import { accepted, refusal } from '../support/answers';
import { DMA, dmaPages, open, PAGE, scene, TOP } from '../support/scene';

const START = 0x1_0000n;

/** Registers a user region of `length` bytes at {@link START}. */
function registered(length: number, access = 0, start = START): { pd: ProtectionDomain; mr: MemoryRegion } {
  const pd = open().allocPd();
  return { pd, mr: pd.regUserMr(Buffer.alloc(length), { start, access }) };
}

describe('an accepted SGE', () => {
  test('reports its region, address, lengths, segment and rights', () => {
    const { pd, mr } = registered(3 * PAGE, Access.LocalWrite | Access.RemoteRead);
    const sge = accepted(pd.acquire({ addr: START + 5000n, length: 600, lkey: mr.lkey }, Access.LocalWrite));
    expect(sge).toMatchObject({
      region: mr,
      at: 5000n,
      segmentLength: 2 * PAGE - 5000,
      length: 600,
      segment: 1,
      access: Access.LocalWrite,
      remote: false,
      address: START + 5000n,
    });
  });

  test('counts segments by pages of the address, not of the memory', () => {
    const { pd, mr } = registered(2 * PAGE, 0, START + 4000n);
    expect(accepted(pd.acquire({ addr: START + 4000n, length: 1, lkey: mr.lkey }, 0))).toMatchObject({
      at: 0n,
      segmentLength: 96,
      segment: 0,
    });
    expect(accepted(pd.acquire({ addr: START + 4096n, length: 1, lkey: mr.lkey }, 0))).toMatchObject({
      at: 96n,
      segmentLength: PAGE,
      segment: 1,
    });
  });

  test('numbers segments beyond the first block of 256', () => {
    const { pd, mr } = registered(300 * PAGE);
    const addr = START + 259n * 4096n + 1n;
    expect(accepted(pd.acquire({ addr, length: 1, lkey: mr.lkey }, 0))).toMatchObject({ segment: 256 + 3 });
  });

  test('may be longer than its segment', () => {
    const { pd, mr } = registered(2 * PAGE);
    expect(accepted(pd.acquire({ addr: START, length: 2 * PAGE, lkey: mr.lkey }, 0))).toMatchObject({
      segmentLength: PAGE,
      length: 2 * PAGE,
    });
  });

  test('takes addresses as numbers as well as bigints', () => {
    const { pd, mr } = registered(8);
    expect(pd.acquire({ addr: Number(START), length: 8, lkey: mr.lkey }, 0).ok).toBe(true);
  });
});

describe('rights', () => {
  test('all requested bits must be granted; requesting none is always allowed', () => {
    const { pd, mr } = registered(8, Access.LocalWrite | Access.RemoteRead);
    const element = { addr: START, length: 8, lkey: mr.lkey };
    for (const access of [0, 1, 4, 5]) expect(pd.acquire(element, access).ok).toBe(true);
    for (const access of [2, 3, 8, 16, 32, 0x80000001, 7]) {
      expect(refusal(pd.acquire(element, access))).toBe('AccessDenied');
    }
  });
});

describe('bounds', () => {
  test.each([
    ['one byte before', START - 1n, 1],
    ['one byte after', START + 100n, 1],
    ['one byte too many', START, 101],
    ['one byte too many at the end', START + 99n, 2],
    ['everything', 0n, 0xffffffff],
    ['the last byte of the address space', TOP - 1n, 1],
  ])('refuses a range outside the region: %s', (_, addr, length) => {
    const { pd, mr } = registered(100);
    const check = pd.acquire({ addr, length, lkey: mr.lkey }, 0);
    expect(check).toEqual({ ok: false, reason: 'OutOfBounds', code: 'EINVAL' });
  });

  // A sum of offset and length that wraps must not be accepted.
  test.each([
    ['an address just below 2^64', 0x1000n, TOP - 1n, 0x1002],
    ['an address half a page below 2^64', 0x1000n, TOP - 0x800n, 0x1801],
    ['the longest length', 0n, TOP - 0xffffffffn, 0xffffffff],
    ['an address one below the start', 0x1000n, 0xfffn, 0xffffffff],
  ])('does not wrap the sum of offset and length: %s', (_, start, addr, length) => {
    const pd = open().allocPd();
    const mr = pd.regUserMr(Buffer.alloc(0x2000), { start });
    expect(refusal(pd.acquire({ addr, length, lkey: mr.lkey }, 0))).toBe('OutOfBounds');
    expect(refusal(pd.check({ addr, length, lkey: mr.lkey }, 0))).toBe('OutOfBounds');
  });

  test('local addresses are relative to start, not to iova', () => {
    const pd = open().allocPd();
    const mr = pd.regUserMr(Buffer.alloc(8), { start: 0x1000n, iova: 0x9000n });
    expect(refusal(pd.acquire({ addr: 0x9000n, length: 8, lkey: mr.lkey }, 0))).toBe('OutOfBounds');
  });
});

describe('empty elements', () => {
  test('are accepted inside the region, and at an end inside a page', () => {
    const { pd, mr } = registered(100);
    for (const offset of [0n, 50n, 100n]) {
      const sge = accepted(pd.acquire({ addr: START + offset, length: 0, lkey: mr.lkey }, 0));
      expect(sge).toMatchObject({ at: offset, length: 0 });
      expect(sge.copyTo(Buffer.alloc(8))).toBe(0);
    }
    expect(refusal(pd.acquire({ addr: START + 101n, length: 0, lkey: mr.lkey }, 0))).toBe('OutOfBounds');
  });

  test.each([1, 2, 256])('are refused at the end of %i whole pages', (pages) => {
    const { pd, mr } = registered(pages * PAGE);
    const element = { addr: START + BigInt(pages * PAGE), length: 0, lkey: mr.lkey };
    expect(refusal(pd.acquire(element, 0))).toBe('Unmapped');
    expect(refusal(pd.check(element, 0))).toBe('Unmapped');
  });

  test('are refused on an FMR that maps nothing', () => {
    const { device, pd } = scene();
    dmaPages(device, 1);
    const fmr = pd.allocFmr({ maxPages: 1 });
    const element = { addr: 0n, length: 0, lkey: fmr.lkey };
    expect(refusal(pd.acquire(element, 0))).toBe('Unmapped');
    fmr.mapPhys([DMA], 0);
    expect(pd.check(element, 0).ok).toBe(true);
    fmr.unmap();
    expect(refusal(pd.acquire(element, 0))).toBe('Unmapped');
  });

  test('are refused on a region without segments', () => {
    const pd = open().allocPd();
    const mr = pd.allocMr({ maxNumSg: 0 });
    expect(refusal(pd.acquire({ addr: 0, length: 0, lkey: mr.lkey }, 0))).toBe('Unmapped');
  });

  test('are refused at the end of one-byte segments', () => {
    const { device, pd } = scene();
    dmaPages(device, 1);
    const fmr = pd.allocFmr({ maxPages: 4, pageShift: 0 });
    fmr.mapPhys([DMA, DMA + 1n, DMA + 2n, DMA + 3n], 0);
    expect(pd.check({ addr: 3, length: 0, lkey: fmr.lkey }, 0).ok).toBe(true);
    expect(refusal(pd.check({ addr: 4, length: 0, lkey: fmr.lkey }, 0))).toBe('Unmapped');
  });
});

describe('key 0', () => {
  test('is denied to untrusted domains, with or without a DMA region', () => {
    const device = open();
    dmaPages(device, 1);
    const user = device.allocPd();
    const element = { addr: DMA, length: 1, lkey: lkey(0) };
    expect(refusal(user.acquire(element, 0))).toBe('KeyZeroDenied');
    using _region = device.allocPd({ trusted: true }).getDmaMr();
    expect(refusal(user.acquire(element, 0))).toBe('KeyZeroDenied');
  });

  test('needs a published DMA region', () => {
    const device = open();
    dmaPages(device, 1);
    const pd = device.allocPd({ trusted: true });
    expect(refusal(pd.acquire({ addr: DMA, length: 1, lkey: lkey(0) }, 0))).toBe('NoDmaRegion');
  });

  test('names any range of one mapping, with any rights, through any trusted domain', () => {
    const device = open();
    dmaPages(device, 2);
    using region = device.allocPd({ trusted: true }).getDmaMr();
    const pd = device.allocPd({ trusted: true });
    using sge = accepted(pd.acquire({ addr: DMA + 100n, length: 5000, lkey: lkey(0) }, Access.LocalWrite));
    expect(sge).toMatchObject({ region, at: DMA + 100n, segmentLength: 5000, length: 5000, segment: 0 });
    expect(region.refs).toBe(4);
  });

  test.each([
    ['before', DMA - 1n, 1, 'Unmapped'],
    ['after', DMA + 8192n, 1, 'Unmapped'],
    ['past the end', DMA + 8191n, 2, 'OutOfBounds'],
    ['before the beginning', DMA - 1n, 2, 'Unmapped'],
    ['across 2^64', TOP - 1n, 2, 'Unmapped'],
    ['empty, inside', DMA + 8191n, 0, undefined],
    ['empty, at the end', DMA + 8192n, 0, 'Unmapped'],
  ])('checks the range against one mapping: %s', (_, addr, length, reason) => {
    const device = open();
    dmaPages(device, 2);
    const pd = device.allocPd({ trusted: true });
    using _region = pd.getDmaMr();
    const element = { addr, length, lkey: lkey(0) };
    const check = pd.check(element, 0);
    expect(check.ok ? undefined : check.reason).toBe(reason);
    const taken = pd.acquire(element, 0);
    if (taken.ok) taken.sge.put();
    expect(taken.ok ? undefined : taken.reason).toBe(reason);
  });

  test('does not extend from one mapping into the next', () => {
    const device = open();
    dmaPages(device, 1);
    dmaPages(device, 1, DMA + 4096n);
    const pd = device.allocPd({ trusted: true });
    using _region = pd.getDmaMr();
    expect(refusal(pd.acquire({ addr: DMA + 4095n, length: 2, lkey: lkey(0) }, 0))).toBe('OutOfBounds');
  });
});

describe('check', () => {
  test('returns the same place as acquire and takes no reference', () => {
    const { pd, mr } = registered(300 * PAGE);
    const element = { addr: START + 260n * 4096n + 7n, length: 9, lkey: mr.lkey };
    const { at, segmentLength, segment } = accepted(pd.acquire(element, 0));
    const refs = mr.refs;
    expect(pd.check(element, 0)).toEqual({ ok: true, at, segmentLength, segment });
    expect(mr.refs).toBe(refs);
  });

  test('refuses exactly as acquire does', () => {
    const { pd, mr } = registered(8);
    const element = { addr: START, length: 9, lkey: mr.lkey };
    expect(pd.check(element, 0)).toEqual({ ok: false, reason: 'OutOfBounds', code: 'EINVAL' });
    expect(pd.acquire(element, 0)).toEqual(pd.check(element, 0));
  });
});
