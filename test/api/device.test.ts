import { Access, Device, fastRegKey, RdmaError } from '../../lib';
import { rdma } from '../support/answers';
import { open } from '../support/scene';

/** Captures the warnings of a test, so that they do not reach standard error. */
function watchWarnings(): jest.SpyInstance {
  return jest.spyOn(process, 'emitWarning').mockImplementation(() => {});
}

afterEach(() => {
  jest.restoreAllMocks();
});

describe('opening', () => {
  test('uses a key table of 2^16 slots by default', () => {
    const device = open();
    expect(device.lkeyTableBits).toBe(16);
    expect(device.keyTable()).toEqual({ max: 65536, next: 0, generation: 0, used: [] });
  });

  test.each([1, 2, 12, 22, 23])('accepts a table of %i bits', (lkeyTableBits) => {
    const device = open({ lkeyTableBits });
    expect(device.lkeyTableBits).toBe(lkeyTableBits);
    expect(device.keyTable().max).toBe(2 ** lkeyTableBits);
  });

  test('rejects a table of 0 bits with EINVAL', () => {
    expect(() => new Device({ lkeyTableBits: 0 })).toThrow(rdma('EINVAL', 'driver_mr_init'));
  });

  test.each([24, 32, 0xffffffff])('clamps %i bits to 23 and warns', (lkeyTableBits) => {
    const warnings = watchWarnings();
    expect(open({ lkeyTableBits }).lkeyTableBits).toBe(23);
    expect(warnings).toHaveBeenCalledTimes(1);
    expect(warnings).toHaveBeenCalledWith(
      expect.stringContaining(String(lkeyTableBits)),
      expect.objectContaining({ code: 'RDMAVT_LKEY_TABLE_BITS' }),
    );
  });

  test('keeps devices independent of one another', () => {
    const one = open();
    const other = open();
    const mr = one.allocPd().regUserMr(Buffer.alloc(8));
    expect(other.keyTable().used).toEqual([]);
    const there = other.allocPd().acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0);
    expect(there).toMatchObject({ ok: false, reason: 'NoSuchKey' });
  });
});

describe('keys', () => {
  test('follow the sequence of the kernel', () => {
    const device = open({ lkeyTableBits: 4, keyPolicy: 'sequential' });
    const pd = device.allocPd();
    const regions = Array.from({ length: 3 }, () => pd.regUserMr(Buffer.alloc(8)));
    expect(regions.map((mr) => mr.lkey)).toEqual([0x100, 0x10000200, 0x20000300]);
    expect(device.keyTable()).toEqual({
      max: 16,
      next: 3,
      generation: 3,
      used: regions.map((region, index) => ({ index, lkey: region.lkey, region })),
    });
  });

  test('a full table fails with ENOMEM and leaves the sequence unchanged', () => {
    const device = open({ lkeyTableBits: 1, keyPolicy: 'sequential' });
    const pd = device.allocPd();
    const first = pd.regUserMr(Buffer.alloc(8));
    pd.allocMr({ maxNumSg: 1 });
    const before = device.keyTable();
    expect(() => pd.regUserMr(Buffer.alloc(8))).toThrow(rdma('ENOMEM', 'reg_user_mr'));
    expect(() => pd.allocMr({ maxNumSg: 1 })).toThrow(rdma('ENOMEM', 'alloc_mr'));
    expect(() => pd.allocFmr({ maxPages: 1 })).toThrow(rdma('ENOMEM', 'alloc_fmr'));
    expect(device.keyTable()).toEqual(before);
    first.dereg();
    expect(pd.regUserMr(Buffer.alloc(8)).lkey).toBe(0x300);
  });

  test('a freed slot is reused only when the search wraps around to it', () => {
    const pd = open({ lkeyTableBits: 2, keyPolicy: 'sequential' }).allocPd();
    const slots = (): number => pd.regUserMr(Buffer.alloc(8)).lkey >>> 30;
    const first = pd.regUserMr(Buffer.alloc(8));
    expect(slots()).toBe(1);
    first.dereg();
    expect([slots(), slots(), slots()]).toEqual([2, 3, 0]);
  });

  test('sequential keys repeat after 65,536 registrations', () => {
    const pd = open({ keyPolicy: 'sequential' }).allocPd();
    const next = (): number => {
      const mr = pd.allocMr({ maxNumSg: 0 });
      const { lkey } = mr;
      mr.dereg();
      return lkey;
    };
    const first = next();
    const seen = new Set([first]);
    for (let i = 1; i < 65_536; i++) seen.add(next());
    expect(seen.size).toBe(65_536);
    expect(next()).toBe(first);
  });

  test.each([
    ['with the key unchanged', false],
    ['with the low byte changed', true],
  ])('a new random key never equals the previous one in a table with one free slot, %s', (_, changed) => {
    const device = open({ lkeyTableBits: 12 });
    const pd = device.allocPd();
    const qp = pd.createQp();
    for (let i = 1; i < 4096; i++) pd.allocMr({ maxNumSg: 1 });
    let again = 0;
    for (let i = 0, last = -1; i < 40_000; i++) {
      const mr = pd.allocMr({ maxNumSg: 1 });
      if (mr.rkey >>> 8 === last) again++;
      last = mr.rkey >>> 8;
      if (changed) qp.fastRegMr(mr, { key: fastRegKey(mr.rkey, i & 0xff), access: 0 });
      mr.dereg();
    }
    expect(again).toBe(0);
  });

  test('are random by default: all bits vary, every slot is used, none is 0', () => {
    const device = open({ lkeyTableBits: 8 });
    const pd = device.allocPd();
    const keys = Array.from({ length: 256 }, () => pd.regUserMr(Buffer.alloc(8)).lkey as number);
    expect(new Set(keys.map((key) => key >>> 24)).size).toBe(256);
    expect(keys.filter((key) => key >>> 8 === 0)).toEqual([]);
    expect(keys.reduce((all, key) => all | key, 0) & 0xffffff).toBe(0xffffff);
    expect(keys.reduce((all, key) => all & key, -1) & 0xffffff).toBe(0);
    expect(keys.map((key) => key >>> 24)).not.toEqual(keys.map((_, slot) => slot));
    expect(() => pd.regUserMr(Buffer.alloc(8))).toThrow(rdma('ENOMEM'));
  });
});

describe('closing', () => {
  test('fails with EBUSY while a protection domain is open', () => {
    const device = open();
    const pd = device.allocPd();
    expect(() => device.close()).toThrow(rdma('EBUSY', 'mr_exit'));
    pd.dealloc();
    device.close();
  });

  test('fails with EBUSY while DMA memory is mapped', () => {
    const device = open();
    const mapping = device.dma.map(Buffer.alloc(1));
    expect(() => device.close()).toThrow(rdma('EBUSY', 'mr_exit'));
    mapping.unmap();
    device.close();
  });

  test('changes nothing when it fails', () => {
    const device = open();
    const pd = device.allocPd();
    const mr = pd.regUserMr(Buffer.alloc(8));
    expect(() => device.close()).toThrow(rdma('EBUSY'));
    expect(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0).ok).toBe(true);
  });

  test('closes every object of the device with `cascade`', () => {
    const device = open();
    const pd = device.allocPd();
    const qp = pd.createQp();
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
    const { rkey } = mr;
    const mapping = device.dma.map(Buffer.alloc(8));
    const check = qp.acquire({ vaddr: mr.iova, length: 8, rkey }, Access.RemoteRead);
    device.close({ cascade: true });
    expect(mr.state).toBe('Closed');
    expect(() => mr.refs).toThrow(rdma('EBADF'));
    expect(() => pd.createQp()).toThrow(rdma('EBADF'));
    expect(() => qp.invalidateRkey(rkey)).toThrow(rdma('EBADF', 'invalidate_rkey'));
    expect(check.ok && (() => check.sge.copyTo(Buffer.alloc(8)))).toThrow(
      rdma('EACCES', 'copy_sge_out', 'RegionRevoked'),
    );
    mapping.unmap();
    mr.dereg();
    qp.destroy();
    pd.dealloc();
  });

  test('is a no-op the second time', () => {
    const device = open();
    device.close();
    device.close();
    device.close({ cascade: true });
    device[Symbol.dispose]();
  });

  test('makes methods throw EBADF, but leaves the options readable', () => {
    const device = open({ lkeyTableBits: 5 });
    const { dma } = device;
    device.close();
    expect(() => device.allocPd()).toThrow(rdma('EBADF', 'alloc_pd'));
    expect(() => device.keyTable()).toThrow(rdma('EBADF', 'key_table'));
    expect(() => dma.map(Buffer.alloc(8))).toThrow(rdma('EBADF', 'dma_map'));
    expect(device.lkeyTableBits).toBe(5);
  });

  test('happens at the end of a `using` block, with cascade, and never throws', () => {
    let pd;
    {
      using device = new Device();
      pd = device.allocPd();
      pd.regUserMr(Buffer.alloc(8));
      device.dma.map(Buffer.alloc(8));
    }
    expect(() => pd.createQp()).toThrow(RdmaError);
  });

  test('warns if a DMA region is still published, in close and in dispose', () => {
    const warnings = watchWarnings();
    const leak = expect.objectContaining({ code: 'RDMAVT_DMA_MR_LEAKED' });
    for (const close of [
      (device: Device) => device.close({ cascade: true }),
      (device: Device) => device[Symbol.dispose](),
    ]) {
      const device = open();
      device.allocPd({ trusted: true }).getDmaMr();
      close(device);
      expect(warnings).toHaveBeenCalledWith(expect.any(String), leak);
      warnings.mockClear();
      close(device);
      expect(warnings).not.toHaveBeenCalled();
    }
  });

  test('does not warn of a DMA region that was deregistered or never published', () => {
    const warnings = watchWarnings();
    const device = open();
    const pd = device.allocPd({ trusted: true });
    const published = pd.getDmaMr();
    pd.getDmaMr();
    published.dereg();
    device.close({ cascade: true });
    expect(warnings).not.toHaveBeenCalled();
  });
});
