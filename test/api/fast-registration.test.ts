import { Access, fastRegKey, type Lkey, lkey, type MemoryRegion, type Rkey, rkey } from '../../lib';
import { accepted, rdma, refusal } from '../support/answers';
import { ALL, DMA, dmaPages, open, otherVariant, PAGE, type Scene, scene, TOP } from '../support/scene';

const { LocalWrite, RemoteRead, RemoteWrite } = Access;

/** Creates a region over two pages of DMA memory. */
function ready(): Scene & { mr: MemoryRegion } {
  const all = scene();
  dmaPages(all.device, 2);
  const mr = all.pd.allocMr({ maxNumSg: 2 });
  mr.mapSg([{ addr: DMA, length: 2 * PAGE }]);
  return { ...all, mr };
}

describe('keys', () => {
  test('fastRegKey changes only the low byte', () => {
    expect(fastRegKey(rkey(0xfedcba98), 0x01)).toBe(0xfedcba01);
    expect(fastRegKey(lkey(0x00000100), 0xff)).toBe(0x1ff);
    expect(fastRegKey(lkey(0x100), 0)).toBe(0x100);
  });

  test('lkey and rkey brand a number', () => {
    expect(lkey(5)).toBe(5);
    expect(rkey(0xffffffff)).toBe(0xffffffff);
  });
});

describe('fastRegMr', () => {
  test('gives the region a new key and new rights, and makes it valid', () => {
    const { mr, pd, qp } = ready();
    const old = mr.rkey;
    const key = otherVariant(old);
    qp.invalidateRkey(old);
    qp.fastRegMr(mr, { key, access: LocalWrite | RemoteRead });
    expect(mr).toMatchObject({ lkey: key, rkey: key, access: LocalWrite | RemoteRead, state: 'Valid' });
    expect(mr.iova).toBe(DMA);
    expect(qp.acquire({ vaddr: DMA, length: 1, rkey: key }, RemoteRead).ok).toBe(true);
    expect(pd.acquire({ addr: DMA, length: 1, lkey: mr.lkey }, LocalWrite).ok).toBe(true);
    expect(refusal(qp.acquire({ vaddr: DMA, length: 1, rkey: old }, RemoteRead))).toBe('StaleKey');
  });

  test('updates the key in the key table', () => {
    const { mr, qp, device } = ready();
    qp.fastRegMr(mr, { key: fastRegKey(mr.rkey, 7), access: 0 });
    expect(device.keyTable().used).toEqual([{ index: mr.rkey >>> 16, lkey: mr.rkey, region: mr }]);
    expect(mr.rkey & 0xff).toBe(7);
  });

  test('accepts any low byte, also a previously used one, whether the region is valid or mapped', () => {
    const { qp, pd } = scene();
    const mr = pd.allocMr({ maxNumSg: 1 });
    for (const low of [0, 1, 1, 255, 0]) {
      qp.fastRegMr(mr, { key: fastRegKey(mr.rkey, low), access: 0 });
      expect(mr.rkey & 0xff).toBe(low);
    }
  });

  test('changes the address for remote peers, but not for local access', () => {
    const { mr, pd, qp } = ready();
    qp.fastRegMr(mr, { key: mr.rkey, access: RemoteRead, iova: 0x7000n });
    expect(mr).toMatchObject({ start: DMA, iova: 0x7000n });
    expect(qp.check({ vaddr: 0x7000n, length: 1, rkey: mr.rkey }, RemoteRead)).toMatchObject({ at: DMA });
    expect(refusal(qp.acquire({ vaddr: DMA, length: 1, rkey: mr.rkey }, RemoteRead))).toBe('OutOfBounds');
    expect(pd.check({ addr: DMA, length: 1, lkey: mr.lkey }, 0).ok).toBe(true);
    // The next mapping resets both addresses at once.
    mr.mapSg([{ addr: DMA, length: PAGE }]);
    expect(qp.check({ vaddr: DMA, length: 1, rkey: mr.rkey }, RemoteRead).ok).toBe(true);
  });

  test('does not affect held SGEs', () => {
    const { mr, qp } = ready();
    qp.fastRegMr(mr, { key: mr.rkey, access: RemoteRead });
    const sge = accepted(qp.acquire({ vaddr: DMA, length: 1, rkey: mr.rkey }, RemoteRead));
    qp.fastRegMr(mr, { key: otherVariant(mr.rkey), access: 0, iova: 0 });
    expect(sge.copyTo(Buffer.alloc(1))).toBe(1);
    expect(mr.refs).toBe(3);
  });

  test('in another protection domain fails with EACCES before any other check', () => {
    const { mr, device } = ready();
    const other = device.allocPd().createQp();
    expect(() => other.fastRegMr(mr, { key: rkey(0xdead0000), access: 0 })).toThrow(
      rdma('EACCES', 'fast_reg_mr'),
    );
  });

  test('of another kind of region fails with EINVAL', () => {
    const { pd, qp } = scene({ trusted: true });
    const user = pd.regUserMr(Buffer.alloc(8));
    using dma = pd.getDmaMr();
    expect(() => qp.fastRegMr(user, { key: user.rkey, access: 0 })).toThrow(rdma('EINVAL', 'fast_reg_mr'));
    expect(() => qp.fastRegMr(dma, { key: dma.rkey, access: 0 })).toThrow(rdma('EINVAL', 'fast_reg_mr'));
  });

  test('with a different upper part of the key fails with EINVAL, but stores the given iova', () => {
    const { mr, qp } = ready();
    const key = rkey((mr.rkey ^ 0x100) >>> 0);
    expect(() => qp.fastRegMr(mr, { key, access: 0, iova: 0x7000n })).toThrow(rdma('EINVAL', 'fast_reg_mr'));
    expect(mr).toMatchObject({ iova: 0x7000n, access: 0 });
    qp.fastRegMr(mr, { key: mr.rkey, access: RemoteRead });
    expect(qp.check({ vaddr: 0x7000n, length: 1, rkey: mr.rkey }, RemoteRead).ok).toBe(true);
  });

  test('with a range above 2^64 fails with EINVAL; an end of exactly 2^64 is allowed', () => {
    const { mr, qp } = ready();
    const iova = TOP - BigInt(2 * PAGE);
    expect(() => qp.fastRegMr(mr, { key: mr.rkey, access: RemoteRead, iova: iova + 1n })).toThrow(
      rdma('EINVAL'),
    );
    qp.fastRegMr(mr, { key: mr.rkey, access: RemoteRead, iova });
    expect(qp.check({ vaddr: TOP - 1n, length: 1, rkey: mr.rkey }, RemoteRead).ok).toBe(true);
    expect(refusal(qp.check({ vaddr: TOP - 1n, length: 2, rkey: mr.rkey }, RemoteRead))).toBe('OutOfBounds');
  });

  test('of a half-dead region fails with EINVAL, of a deregistered one with EBADF', () => {
    const { mr, pd, qp } = ready();
    const key = mr.rkey;
    const sge = accepted(pd.acquire({ addr: DMA, length: 1, lkey: mr.lkey }, 0));
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    expect(() => qp.fastRegMr(mr, { key, access: 0 })).toThrow(rdma('EINVAL', 'fast_reg_mr'));
    sge.put();
    mr.dereg();
    expect(() => qp.fastRegMr(mr, { key, access: 0 })).toThrow(rdma('EBADF', 'fast_reg_mr'));
  });

  test('of a region of another device fails with EINVAL', () => {
    const { mr } = ready();
    const qp = open().allocPd().createQp();
    expect(() => qp.fastRegMr(mr, { key: mr.rkey, access: 0 })).toThrow(rdma('EINVAL', 'fast_reg_mr'));
  });
});

describe('invalidateRkey', () => {
  test('makes every check refuse, and may be repeated', () => {
    const { mr, pd, qp } = ready();
    qp.invalidateRkey(mr.rkey);
    qp.invalidateRkey(mr.rkey);
    expect(mr).toMatchObject({ state: 'Invalid', refs: 2 });
    expect(refusal(pd.acquire({ addr: DMA, length: 1, lkey: mr.lkey }, 0))).toBe('Invalidated');
    expect(refusal(qp.acquire({ vaddr: DMA, length: 1, rkey: mr.rkey }, RemoteRead))).toBe('Invalidated');
  });

  test('leaves held SGEs usable', () => {
    const { mr, pd, qp } = ready();
    const sge = accepted(pd.acquire({ addr: DMA, length: 1, lkey: mr.lkey }, 0));
    qp.invalidateRkey(mr.rkey);
    expect(sge.copyTo(Buffer.alloc(1))).toBe(1);
  });

  test('works on user regions, which never become valid again, and on FMRs', () => {
    const { pd, qp } = scene();
    const user = pd.regUserMr(Buffer.alloc(8), { access: ALL });
    const fmr = pd.allocFmr({ maxPages: 1 });
    qp.invalidateRkey(user.rkey);
    qp.invalidateRkey(fmr.rkey);
    expect([user.state, fmr.state]).toEqual(['Invalid', 'Invalid']);
    expect(refusal(pd.acquire({ addr: user.start, length: 1, lkey: user.lkey }, 0))).toBe('Invalidated');
    user.dereg();
    fmr.dealloc();
  });

  test('rejects key 0, unknown keys, another low byte and another domain with EINVAL', () => {
    const { mr, qp, device } = ready();
    const refused = rdma('EINVAL', 'invalidate_rkey');
    expect(() => qp.invalidateRkey(rkey(0))).toThrow(refused);
    expect(() => qp.invalidateRkey(rkey(0xffff0000))).toThrow(refused);
    expect(() => qp.invalidateRkey(otherVariant(mr.rkey))).toThrow(refused);
    expect(() => device.allocPd().createQp().invalidateRkey(mr.rkey)).toThrow(refused);
    expect(mr.state).toBe('Valid');
    const gone: Rkey = mr.rkey;
    mr.dereg();
    expect(() => qp.invalidateRkey(gone)).toThrow(refused);
  });

  test('accepts the number of an rkey as an lkey, since both are equal', () => {
    const { mr, pd } = ready();
    const asLocal: Lkey = lkey(mr.rkey);
    expect(pd.check({ addr: DMA, length: 1, lkey: asLocal }, 0).ok).toBe(true);
    expect(refusal(pd.check({ addr: DMA, length: 1, lkey: asLocal }, RemoteWrite))).toBe('AccessDenied');
  });
});
