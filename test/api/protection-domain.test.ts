import { Access, lkey, rkey } from '../../lib';
import { accepted, rdma, refusal } from '../support/answers';
import { open, scene } from '../support/scene';

test('regions can be used only through their own domain', () => {
  const device = open();
  const mine = device.allocPd();
  const yours = device.allocPd();
  const mr = mine.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
  const local = { addr: mr.start, length: 8, lkey: mr.lkey };
  const remote = { vaddr: mr.iova, length: 8, rkey: mr.rkey };
  expect(mine.acquire(local, 0).ok).toBe(true);
  expect(refusal(yours.acquire(local, 0))).toBe('WrongPd');
  expect(mine.createQp().acquire(remote, Access.RemoteRead).ok).toBe(true);
  expect(refusal(yours.createQp().acquire(remote, Access.RemoteRead))).toBe('WrongPd');
});

describe('dealloc', () => {
  test('fails with EBUSY while it has a queue pair', () => {
    const { pd, qp } = scene();
    expect(() => pd.dealloc()).toThrow(rdma('EBUSY', 'dealloc_pd'));
    qp.destroy();
    pd.dealloc();
  });

  test('fails with EBUSY while it has a region, even a half-dead one', () => {
    const pd = open().allocPd();
    const mr = pd.regUserMr(Buffer.alloc(8));
    expect(() => pd.dealloc()).toThrow(rdma('EBUSY', 'dealloc_pd'));
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    expect(() => mr.dereg()).toThrow(rdma('EBUSY'));
    expect(() => pd.dealloc()).toThrow(rdma('EBUSY', 'dealloc_pd'));
    sge.put();
    mr.dereg();
    pd.dealloc();
  });

  test('with cascade closes queue pairs and regions, and revokes held SGEs', () => {
    const { pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8));
    const fmr = pd.allocFmr({ maxPages: 1 });
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    pd.dealloc({ cascade: true });
    expect(mr.state).toBe('Closed');
    expect(fmr.state).toBe('Closed');
    expect(refusal(qp.acquire({ vaddr: 0, length: 0, rkey: rkey(0x100) }, 4))).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
    sge.put();
  });

  test('is a no-op the second time and leaves other domains open', () => {
    const device = open();
    const pd = device.allocPd();
    const other = device.allocPd();
    const mr = other.regUserMr(Buffer.alloc(8));
    pd.dealloc();
    pd.dealloc();
    pd.dealloc({ cascade: true });
    pd[Symbol.dispose]();
    expect(mr.state).toBe('Valid');
    device.allocPd(); // the new domain may use the slot of the closed one
    pd.dealloc({ cascade: true });
    expect(mr.state).toBe('Valid');
  });

  test('happens at the end of a `using` block, with cascade', () => {
    const device = open();
    let mr;
    {
      using pd = device.allocPd();
      mr = pd.regUserMr(Buffer.alloc(8));
      pd.createQp();
    }
    expect(mr.state).toBe('Closed');
    device.close();
  });

  test('makes methods throw EBADF and checks refuse', () => {
    const { pd, device } = scene({ trusted: true });
    pd.dealloc({ cascade: true });
    const element = { addr: 0, length: 0, lkey: lkey(0) };
    expect(() => pd.regUserMr(Buffer.alloc(8))).toThrow(rdma('EBADF', 'reg_user_mr'));
    expect(() => pd.getDmaMr()).toThrow(rdma('EBADF', 'get_dma_mr'));
    expect(() => pd.allocMr({ maxNumSg: 1 })).toThrow(rdma('EBADF', 'alloc_mr'));
    expect(() => pd.allocFmr({ maxPages: 1 })).toThrow(rdma('EBADF', 'alloc_fmr'));
    expect(() => pd.createQp()).toThrow(rdma('EBADF', 'create_qp'));
    expect(pd.acquire(element, 0)).toEqual({ ok: false, reason: 'Closed', code: 'EINVAL' });
    expect(pd.check(element, 0)).toEqual({ ok: false, reason: 'Closed', code: 'EINVAL' });
    expect(device.keyTable().used).toEqual([]);
  });
});

describe('queue pairs', () => {
  test('destroy is a no-op the second time, and other methods then fail', () => {
    const { pd, qp } = scene();
    const mr = pd.allocMr({ maxNumSg: 1 });
    qp.destroy();
    qp.destroy();
    qp[Symbol.dispose]();
    const request = { vaddr: 0, length: 0, rkey: mr.rkey };
    expect(qp.acquire(request, 4)).toEqual({ ok: false, reason: 'Closed', code: 'EINVAL' });
    expect(qp.check(request, 4)).toEqual({ ok: false, reason: 'Closed', code: 'EINVAL' });
    expect(() => qp.fastRegMr(mr, { key: mr.rkey, access: 0 })).toThrow(rdma('EBADF', 'fast_reg_mr'));
    expect(() => qp.invalidateRkey(mr.rkey)).toThrow(rdma('EBADF', 'invalidate_rkey'));
  });

  test('an SGE stays usable after its queue pair is destroyed', () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.from('12345678'), { access: Access.RemoteRead });
    let sge;
    {
      using qp = pd.createQp();
      sge = accepted(qp.acquire({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, Access.RemoteRead));
    }
    const target = Buffer.alloc(8);
    sge.copyTo(target);
    expect(target.toString()).toBe('12345678');
  });
});
