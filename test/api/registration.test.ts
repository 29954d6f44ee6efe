import { Access } from '../../lib';
import { rdma, refusal } from '../support/answers';
import { ALL, DMA, dmaPages, open, PAGE_N, scene, TOP } from '../support/scene';

describe('regUserMr', () => {
  test('chooses page-aligned, non-overlapping addresses, the same for remote peers', () => {
    const pd = open().allocPd();
    const one = pd.regUserMr(Buffer.alloc(5000));
    const two = pd.regUserMr(Buffer.alloc(1));
    expect(one.start % PAGE_N).toBe(0n);
    expect(two.start % PAGE_N).toBe(0n);
    expect(two.start >= one.start + 5000n || one.start > two.start).toBe(true);
    expect(one.iova).toBe(one.start);
  });

  test('returns a region with the requested properties', () => {
    const pd = open().allocPd();
    const mr = pd.regUserMr(Buffer.alloc(100), { start: 0x1234n, iova: 7, access: ALL });
    expect(mr).toMatchObject({
      lkey: mr.rkey,
      start: 0x1234n,
      iova: 7n,
      length: 100,
      access: ALL,
      refs: 2,
      state: 'Valid',
    });
    expect(pd.regUserMr(Buffer.alloc(1)).access).toBe(0);
  });

  test('uses start as the iova when none is given', () => {
    expect(open().allocPd().regUserMr(Buffer.alloc(1), { start: 77 }).iova).toBe(77n);
  });

  test('allows overlapping ranges and several regions over one memory', () => {
    const pd = open().allocPd();
    const memory = Buffer.alloc(8);
    const one = pd.regUserMr(memory, { start: 0x1000n });
    const two = pd.regUserMr(memory, { start: 0x1000n });
    expect(one.lkey).not.toBe(two.lkey);
    one.dereg();
    expect(two.state).toBe('Valid');
  });

  test('works in trusted and in untrusted domains', () => {
    expect(open().allocPd({ trusted: true }).regUserMr(Buffer.alloc(8)).state).toBe('Valid');
  });

  test.each([
    ['start + length is 2^64', { start: TOP - 4096n }],
    ['start + length exceeds 2^64', { start: TOP - 1n }],
    ['the end, rounded up to a page, is 2^64', { start: TOP - 4097n }],
    ['iova + length exceeds 2^64', { start: 0, iova: TOP - 4095n }],
  ])('rejects a range with EINVAL when %s', (_, options) => {
    const pd = open().allocPd();
    expect(() => pd.regUserMr(Buffer.alloc(4096), options)).toThrow(rdma('EINVAL', 'reg_user_mr'));
  });

  test('accepts an iova range that ends at exactly 2^64', () => {
    const { pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(4096), { start: 0, iova: TOP - 4096n, access: Access.RemoteRead });
    const last = { vaddr: TOP - 1n, length: 1, rkey: mr.rkey };
    expect(qp.check(last, Access.RemoteRead)).toMatchObject({ ok: true, at: 4095n });
    expect(refusal(qp.check({ ...last, length: 2 }, Access.RemoteRead))).toBe('OutOfBounds');
  });
});

describe('access rights', () => {
  const { LocalWrite, RemoteWrite, RemoteRead, RemoteAtomic, MwBind } = Access;
  const good = [0, LocalWrite, RemoteRead, MwBind, RemoteRead | MwBind, LocalWrite | RemoteWrite, ALL];
  const bad = [
    RemoteWrite,
    RemoteAtomic,
    RemoteWrite | RemoteRead,
    RemoteAtomic | MwBind,
    32,
    ALL + 32,
    0x80000001,
  ];

  test.each(good)('accepts %i', (access) => {
    const { pd, qp } = scene();
    expect(pd.regUserMr(Buffer.alloc(8), { access }).access).toBe(access);
    expect(pd.allocFmr({ maxPages: 1, access }).access).toBe(access);
    const mr = pd.allocMr({ maxNumSg: 1 });
    qp.fastRegMr(mr, { key: mr.rkey, access });
    expect(mr.access).toBe(access);
  });

  test.each(bad)('rejects %i with EINVAL', (access) => {
    const { pd, qp, device } = scene();
    const mr = pd.allocMr({ maxNumSg: 1 });
    const before = device.keyTable();
    expect(() => pd.regUserMr(Buffer.alloc(8), { access })).toThrow(rdma('EINVAL', 'reg_user_mr'));
    expect(() => pd.allocFmr({ maxPages: 1, access })).toThrow(rdma('EINVAL', 'alloc_fmr'));
    expect(() => qp.fastRegMr(mr, { key: mr.rkey, access })).toThrow(rdma('EINVAL', 'fast_reg_mr'));
    expect(mr.access).toBe(0);
    expect(device.keyTable()).toEqual(before);
  });

  test('of a DMA region are not validated, except for unknown bits', () => {
    const pd = open().allocPd({ trusted: true });
    expect(() => pd.getDmaMr({ access: 32 })).toThrow(rdma('EINVAL', 'get_dma_mr'));
    using region = pd.getDmaMr({ access: RemoteWrite });
    expect(region.access).toBe(RemoteWrite);
  });

  test('the object Access is frozen', () => {
    expect(Object.isFrozen(Access)).toBe(true);
    expect(Access).toEqual({ LocalWrite: 1, RemoteWrite: 2, RemoteRead: 4, RemoteAtomic: 8, MwBind: 16 });
  });
});

describe('getDmaMr', () => {
  test('fails with EPERM in an untrusted domain', () => {
    expect(() => open().allocPd().getDmaMr()).toThrow(rdma('EPERM', 'get_dma_mr'));
  });

  test('returns a region with both keys 0, three references when published, and no slot', () => {
    const device = open();
    using region = device.allocPd({ trusted: true }).getDmaMr();
    expect(region).toMatchObject({ lkey: 0, rkey: 0, refs: 3, length: 0, start: 0n, iova: 0n });
    expect(device.keyTable().used).toEqual([]);
  });

  test('returns an inert second region, which is not promoted when the first ends', () => {
    const device = open();
    dmaPages(device, 1);
    const pd = device.allocPd({ trusted: true });
    const first = pd.getDmaMr();
    const second = pd.getDmaMr();
    expect(second.refs).toBe(2);
    const element = { addr: DMA, length: 1, lkey: first.lkey };
    expect(pd.acquire(element, 0)).toMatchObject({ ok: true, sge: { region: first } });
    expect(() => first.dereg()).toThrow(rdma('EBUSY', 'dereg_mr'));
    expect(refusal(pd.acquire(element, 0))).toBe('NoDmaRegion');
    second.dereg();
    using third = pd.getDmaMr();
    expect(pd.acquire(element, 0)).toMatchObject({ ok: true, sge: { region: third } });
  });
});

describe('allocMr', () => {
  test('starts without rights and without a mapping', () => {
    const mr = open().allocPd().allocMr({ maxNumSg: 4 });
    expect(mr).toMatchObject({ start: 0n, iova: 0n, length: 0, access: 0, refs: 2, state: 'Valid' });
  });

  test.each(['SG_GAPS', 'DM', 'USER', 'DMA', 'INTEGRITY'] as const)('rejects type %s with EINVAL', (type) => {
    expect(() => open().allocPd().allocMr({ type, maxNumSg: 1 })).toThrow(rdma('EINVAL', 'alloc_mr'));
  });

  test('checks the type before it searches the key table', () => {
    const pd = open({ lkeyTableBits: 1 }).allocPd();
    pd.allocMr({ maxNumSg: 1 });
    pd.allocMr({ maxNumSg: 1, type: 'MEM_REG' });
    expect(() => pd.allocMr({ maxNumSg: 1, type: 'DM' })).toThrow(rdma('EINVAL'));
    expect(() => pd.allocMr({ maxNumSg: 1 })).toThrow(rdma('ENOMEM'));
  });

  test.each([0x80000000, 0xffffff01, 0xffffffff])('rejects maxNumSg %i with EINVAL', (maxNumSg) => {
    expect(() => open().allocPd().allocMr({ maxNumSg })).toThrow(rdma('EINVAL', 'alloc_mr'));
  });

  test('accepts a maxNumSg of 0 and of 2^31 - 1', () => {
    const pd = open().allocPd();
    expect(pd.allocMr({ maxNumSg: 0 }).state).toBe('Valid');
    expect(pd.allocMr({ maxNumSg: 2 ** 31 - 1 }).state).toBe('Valid');
  });
});

describe('allocFmr', () => {
  test('starts without a mapping', () => {
    const fmr = open().allocPd().allocFmr({ maxPages: 4 });
    expect(fmr).toMatchObject({ start: 0n, iova: 0n, length: 0, access: 0, refs: 2, state: 'Valid' });
  });

  test.each([31, 32, 64, 255])('rejects pageShift %i with EINVAL', (pageShift) => {
    expect(() => open().allocPd().allocFmr({ maxPages: 1, pageShift })).toThrow(rdma('EINVAL', 'alloc_fmr'));
  });

  test.each([-1, -1000, 2 ** 31, 2 ** 32, -(2 ** 53 - 1), 2 ** 53 - 1])(
    'rejects maxPages %i with EINVAL',
    (maxPages) => {
      expect(() => open().allocPd().allocFmr({ maxPages })).toThrow(rdma('EINVAL', 'alloc_fmr'));
    },
  );

  test.each([
    [0, 12],
    [1, 0],
    [1, 30],
    [2 ** 31 - 1, 12],
  ])('accepts maxPages %i with pageShift %i', (maxPages, pageShift) => {
    expect(open().allocPd().allocFmr({ maxPages, pageShift, maxMaps: 0xffffffff }).state).toBe('Valid');
  });
});

describe('DMA mappings', () => {
  test('report their address and length', () => {
    const device = open();
    const mapping = device.dma.map(Buffer.alloc(5000), { address: 0x7000 });
    expect(mapping).toMatchObject({ address: 0x7000n, length: 5000 });
  });

  test('choose a free page-aligned address', () => {
    const device = open();
    const one = device.dma.map(Buffer.alloc(5000));
    const two = device.dma.map(Buffer.alloc(1));
    expect(one.address % PAGE_N).toBe(0n);
    expect(two.address % PAGE_N).toBe(0n);
    expect(two.address >= one.address + 5000n || one.address > two.address).toBe(true);
  });

  test.each([
    ['an address inside a page', 0x7001n, 1],
    ['a range that exceeds 2^64', TOP - 4096n, 4097],
    ['memory of 0 bytes', 0x9000n, 0],
    ['the range of another mapping', 0x3000n, 1],
    ['a range that ends in another mapping', 0x2000n, 4097],
    ['a range around another mapping', 0x2000n, 0x3000],
  ])('reject %s with EINVAL', (_, address, length) => {
    const device = open();
    device.dma.map(Buffer.alloc(4096), { address: 0x3000n });
    expect(() => device.dma.map(Buffer.alloc(length), { address })).toThrow(rdma('EINVAL', 'dma_map'));
  });

  test('may be adjacent, and may end at exactly 2^64', () => {
    const device = open();
    device.dma.map(Buffer.alloc(4096), { address: 0x3000n });
    device.dma.map(Buffer.alloc(4096), { address: 0x4000n });
    device.dma.map(Buffer.alloc(4096), { address: 0x2000n });
    expect(device.dma.map(Buffer.alloc(4096), { address: TOP - 4096n }).address).toBe(TOP - 4096n);
  });

  test('free their address on unmap, which is a no-op the second time', () => {
    const device = open();
    const mapping = device.dma.map(Buffer.alloc(1), { address: 0x3000n });
    mapping.unmap();
    const next = device.dma.map(Buffer.alloc(1), { address: 0x3000n });
    mapping.unmap();
    mapping[Symbol.dispose]();
    expect(() => device.dma.map(Buffer.alloc(1), { address: 0x3000n })).toThrow(rdma('EINVAL'));
    next.unmap();
    device.close();
  });

  test('cannot be unmapped while a page list uses them', () => {
    const { device, pd } = scene();
    const mapping = dmaPages(device, 2);
    const fmr = pd.allocFmr({ maxPages: 1 });
    fmr.mapPhys([DMA], 0);
    expect(() => mapping.unmap()).toThrow(rdma('EBUSY', 'dma_unmap'));
    fmr.unmap();
    const mr = pd.allocMr({ maxNumSg: 1 });
    mr.mapSg([{ addr: DMA, length: 1 }]);
    expect(() => mapping.unmap()).toThrow(rdma('EBUSY', 'dma_unmap'));
    mapping[Symbol.dispose]();
    expect(() => device.dma.map(Buffer.alloc(1), { address: DMA })).toThrow(rdma('EINVAL'));
    mr.dereg();
    mapping.unmap();
  });

  test('cannot be unmapped while an SGE of key 0 is held on them; the published DMA region alone does not prevent it', () => {
    const { device, pd } = scene({ trusted: true });
    const mapping = dmaPages(device, 2);
    const other = dmaPages(device, 1, DMA * 2n);
    using region = pd.getDmaMr();
    const check = pd.acquire({ addr: DMA, length: 1, lkey: region.lkey }, 0);
    expect(() => mapping.unmap()).toThrow(rdma('EBUSY', 'dma_unmap'));
    other.unmap();
    if (check.ok) check.sge.put();
    mapping.unmap();
  });
});
