import { Access } from '../../lib';
import { rdma, refusal } from '../support/answers';
import { ALL, DMA, dmaPages, open, PAGE_N, scene, TOP } from '../support/scene';

describe('regUserMr', () => {
  test('chooses page-aligned addresses that do not overlap, the same for peers', () => {
    const pd = open().allocPd();
    const one = pd.regUserMr(Buffer.alloc(5000));
    const two = pd.regUserMr(Buffer.alloc(1));
    expect(one.start % PAGE_N).toBe(0n);
    expect(two.start % PAGE_N).toBe(0n);
    expect(two.start >= one.start + 5000n || one.start > two.start).toBe(true);
    expect(one.iova).toBe(one.start);
  });

  test('says what it has registered', () => {
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

  test('start alone is the address for peers too', () => {
    expect(open().allocPd().regUserMr(Buffer.alloc(1), { start: 77 }).iova).toBe(77n);
  });

  test('ranges may overlap, and one memory may be registered often', () => {
    const pd = open().allocPd();
    const memory = Buffer.alloc(8);
    const one = pd.regUserMr(memory, { start: 0x1000n });
    const two = pd.regUserMr(memory, { start: 0x1000n });
    expect(one.lkey).not.toBe(two.lkey);
    one.dereg();
    expect(two.state).toBe('Valid');
  });

  test('an untrusted domain may do it, and a trusted one', () => {
    expect(open().allocPd({ trusted: true }).regUserMr(Buffer.alloc(8)).state).toBe('Valid');
  });

  test.each([
    ['start + length is 2^64', { start: TOP - 4096n }],
    ['start + length passes 2^64', { start: TOP - 1n }],
    ['the end, rounded up to a page, is 2^64', { start: TOP - 4097n }],
    ['iova + length passes 2^64', { start: 0, iova: TOP - 4095n }],
  ])('%s: EINVAL', (_, options) => {
    const pd = open().allocPd();
    expect(() => pd.regUserMr(Buffer.alloc(4096), options)).toThrow(rdma('EINVAL', 'reg_user_mr'));
  });

  test('an iova that ends at exactly 2^64 is good', () => {
    const { pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(4096), { start: 0, iova: TOP - 4096n, access: Access.RemoteRead });
    const last = { vaddr: TOP - 1n, length: 1, rkey: mr.rkey };
    expect(qp.check(last, Access.RemoteRead)).toMatchObject({ ok: true, at: 4095n });
    expect(refusal(qp.check({ ...last, length: 2 }, Access.RemoteRead))).toBe('OutOfBounds');
  });
});

describe('rights that can be given', () => {
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

  test.each(good)('%i', (access) => {
    const { pd, qp } = scene();
    expect(pd.regUserMr(Buffer.alloc(8), { access }).access).toBe(access);
    expect(pd.allocFmr({ maxPages: 1, access }).access).toBe(access);
    const mr = pd.allocMr({ maxNumSg: 1 });
    qp.fastRegMr(mr, { key: mr.rkey, access });
    expect(mr.access).toBe(access);
  });

  test.each(bad)('not %i', (access) => {
    const { pd, qp, device } = scene();
    const mr = pd.allocMr({ maxNumSg: 1 });
    const before = device.keyTable();
    expect(() => pd.regUserMr(Buffer.alloc(8), { access })).toThrow(rdma('EINVAL', 'reg_user_mr'));
    expect(() => pd.allocFmr({ maxPages: 1, access })).toThrow(rdma('EINVAL', 'alloc_fmr'));
    expect(() => qp.fastRegMr(mr, { key: mr.rkey, access })).toThrow(rdma('EINVAL', 'fast_reg_mr'));
    expect(mr.access).toBe(0);
    expect(device.keyTable()).toEqual(before);
  });

  test('of a DMA region nothing is looked at, but unknown bits are refused', () => {
    const pd = open().allocPd({ trusted: true });
    expect(() => pd.getDmaMr({ access: 32 })).toThrow(rdma('EINVAL', 'get_dma_mr'));
    using region = pd.getDmaMr({ access: RemoteWrite });
    expect(region.access).toBe(RemoteWrite);
  });

  test('Access cannot be changed', () => {
    expect(Object.isFrozen(Access)).toBe(true);
    expect(Access).toEqual({ LocalWrite: 1, RemoteWrite: 2, RemoteRead: 4, RemoteAtomic: 8, MwBind: 16 });
  });
});

describe('getDmaMr', () => {
  test('is not for untrusted domains', () => {
    expect(() => open().allocPd().getDmaMr()).toThrow(rdma('EPERM', 'get_dma_mr'));
  });

  test('has both keys 0, three references when published and no slot', () => {
    const device = open();
    using region = device.allocPd({ trusted: true }).getDmaMr();
    expect(region).toMatchObject({ lkey: 0, rkey: 0, refs: 3, length: 0, start: 0n, iova: 0n });
    expect(device.keyTable().used).toEqual([]);
  });

  test('a second one is inert, and is not promoted when the first goes', () => {
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
  test('begins with nothing: no rights, nothing mapped', () => {
    const mr = open().allocPd().allocMr({ maxNumSg: 4 });
    expect(mr).toMatchObject({ start: 0n, iova: 0n, length: 0, access: 0, refs: 2, state: 'Valid' });
  });

  test.each(['SG_GAPS', 'DM', 'USER', 'DMA', 'INTEGRITY'] as const)('type %s is not supported', (type) => {
    expect(() => open().allocPd().allocMr({ type, maxNumSg: 1 })).toThrow(rdma('EINVAL', 'alloc_mr'));
  });

  test('the type is judged before the table is searched', () => {
    const pd = open({ lkeyTableBits: 1 }).allocPd();
    pd.allocMr({ maxNumSg: 1 });
    pd.allocMr({ maxNumSg: 1, type: 'MEM_REG' });
    expect(() => pd.allocMr({ maxNumSg: 1, type: 'DM' })).toThrow(rdma('EINVAL'));
    expect(() => pd.allocMr({ maxNumSg: 1 })).toThrow(rdma('ENOMEM'));
  });

  test.each([0x80000000, 0xffffff01, 0xffffffff])('maxNumSg %i is too much', (maxNumSg) => {
    expect(() => open().allocPd().allocMr({ maxNumSg })).toThrow(rdma('EINVAL', 'alloc_mr'));
  });

  test('maxNumSg may be 0, and as much as 2^31 - 1', () => {
    const pd = open().allocPd();
    expect(pd.allocMr({ maxNumSg: 0 }).state).toBe('Valid');
    expect(pd.allocMr({ maxNumSg: 2 ** 31 - 1 }).state).toBe('Valid');
  });
});

describe('allocFmr', () => {
  test('begins with nothing mapped', () => {
    const fmr = open().allocPd().allocFmr({ maxPages: 4 });
    expect(fmr).toMatchObject({ start: 0n, iova: 0n, length: 0, access: 0, refs: 2, state: 'Valid' });
  });

  test.each([31, 32, 64, 255])('pageShift %i: EINVAL', (pageShift) => {
    expect(() => open().allocPd().allocFmr({ maxPages: 1, pageShift })).toThrow(rdma('EINVAL', 'alloc_fmr'));
  });

  test.each([-1, -1000, 2 ** 31, 2 ** 32, -(2 ** 53 - 1), 2 ** 53 - 1])('maxPages %i: EINVAL', (maxPages) => {
    expect(() => open().allocPd().allocFmr({ maxPages })).toThrow(rdma('EINVAL', 'alloc_fmr'));
  });

  test.each([
    [0, 12],
    [1, 0],
    [1, 30],
    [2 ** 31 - 1, 12],
  ])('maxPages %i with pageShift %i can be had', (maxPages, pageShift) => {
    expect(open().allocPd().allocFmr({ maxPages, pageShift, maxMaps: 0xffffffff }).state).toBe('Valid');
  });
});

describe('DMA mappings', () => {
  test('say their address and length', () => {
    const device = open();
    const mapping = device.dma.map(Buffer.alloc(5000), { address: 0x7000 });
    expect(mapping).toMatchObject({ address: 0x7000n, length: 5000 });
  });

  test('choose a page-aligned place that is free', () => {
    const device = open();
    const one = device.dma.map(Buffer.alloc(5000));
    const two = device.dma.map(Buffer.alloc(1));
    expect(one.address % PAGE_N).toBe(0n);
    expect(two.address % PAGE_N).toBe(0n);
    expect(two.address >= one.address + 5000n || one.address > two.address).toBe(true);
  });

  test.each([
    ['an address inside a page', 0x7001n, 1],
    ['a range that passes 2^64', TOP - 4096n, 4097],
    ['nothing', 0x9000n, 0],
    ['the range of another one', 0x3000n, 1],
    ['a range that ends in another one', 0x2000n, 4097],
    ['a range around another one', 0x2000n, 0x3000],
  ])('%s: EINVAL', (_, address, length) => {
    const device = open();
    device.dma.map(Buffer.alloc(4096), { address: 0x3000n });
    expect(() => device.dma.map(Buffer.alloc(length), { address })).toThrow(rdma('EINVAL', 'dma_map'));
  });

  test('may lie next to each other, and end at exactly 2^64', () => {
    const device = open();
    device.dma.map(Buffer.alloc(4096), { address: 0x3000n });
    device.dma.map(Buffer.alloc(4096), { address: 0x4000n });
    device.dma.map(Buffer.alloc(4096), { address: 0x2000n });
    expect(device.dma.map(Buffer.alloc(4096), { address: TOP - 4096n }).address).toBe(TOP - 4096n);
  });

  test('a place is free again after unmap, which is a no-op the second time', () => {
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

  test('cannot be unmapped while a page list names it', () => {
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

  test('cannot be unmapped while a key-0 element on it is held; the published DMA region alone does not count', () => {
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
