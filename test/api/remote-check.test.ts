import { Access, lkey, rkey } from '../../lib';
import { accepted, outOfRange, refusal } from '../support/answers';
import { ALL, DMA, dmaPages, open, PAGE, scene, TOP } from '../support/scene';

const { RemoteRead, RemoteWrite, LocalWrite, RemoteAtomic } = Access;

test('an accepted SGE reports its region, address, lengths, segment and rights', () => {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(Buffer.alloc(3 * PAGE), { start: 100, iova: 0x9000n, access: ALL });
  const request = { vaddr: 0x9000n + 5000n, length: 600, rkey: mr.rkey };
  const sge = accepted(qp.acquire(request, RemoteRead));
  expect(sge).toMatchObject({
    region: mr,
    at: 5000n,
    segmentLength: 2 * PAGE - 5100, // segments are pages of the local address `start`
    length: 600,
    segment: 1,
    access: RemoteRead,
    remote: true,
    address: 0x9000n + 5000n,
  });
  const { at, segmentLength, segment } = sge;
  expect(qp.check(request, RemoteRead)).toEqual({ ok: true, at, segmentLength, segment });
});

test('an access is exactly one remote right, and the SGE is checked for that right only', () => {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(Buffer.alloc(8), { access: LocalWrite | RemoteRead });
  const request = { vaddr: mr.iova, length: 8, rkey: mr.rkey };
  const [checker, batch] = [qp.checker(), qp.rkeyBatch(1)];
  batch.set(0, mr.iova, 8, mr.rkey);
  expect(accepted(qp.acquire(request, RemoteRead)).access).toBe(RemoteRead);
  for (const access of [RemoteWrite, RemoteAtomic]) {
    expect(refusal(qp.acquire(request, access))).toBe('AccessDenied');
    expect(refusal(qp.check(request, access))).toBe('AccessDenied');
  }
  for (let access = 0; access < 64; access++) {
    const one = access === RemoteRead || access === RemoteWrite || access === RemoteAtomic;
    for (const use of [
      () => void qp.acquire(request, access),
      () => void qp.check(request, access),
      () => void checker.refusal(mr.iova, 8, mr.rkey, access),
      () => void batch.check(1, access),
      () => void batch.checkPacked(batch.words, access),
      () => {
        batch.acquire(1, access);
        batch.put();
      },
    ]) {
      if (one) expect(use).not.toThrow();
      else expect(use).toThrow(outOfRange('RemoteAtomic (8)'));
    }
    const other = pd.lkeyBatch(1);
    if (access !== RemoteWrite) {
      expect(() => batch.scatter(Buffer.alloc(8), 1, access)).toThrow(outOfRange('access'));
      expect(() => other.copyTo(batch, 0, 0, 1, access)).toThrow(outOfRange('access'));
    }
    if (access !== RemoteRead) {
      expect(() => batch.gather(Buffer.alloc(8), 1, access)).toThrow(outOfRange('access'));
      expect(() => batch.copyTo(other, 1, access, 0, LocalWrite)).toThrow(outOfRange('access'));
    }
  }
});

test('remote addresses are relative to iova, not to start', () => {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(Buffer.alloc(8), { start: 0x1000n, iova: 0x9000n, access: RemoteRead });
  expect(qp.acquire({ vaddr: 0x9000n, length: 8, rkey: mr.rkey }, RemoteRead).ok).toBe(true);
  expect(refusal(qp.acquire({ vaddr: 0x1000n, length: 8, rkey: mr.rkey }, RemoteRead))).toBe('OutOfBounds');
});

test.each([
  ['just below 2^64', 0n, TOP - 1n, 2],
  ['one byte too many', 0n, 8191n, 2],
  ['the longest length', 0x1000n, TOP - 1n, 0xffffffff],
  ['before the beginning', 0x1000n, 0xfffn, 1],
])('refuses a range outside the region: %s', (_, iova, vaddr, length) => {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(Buffer.alloc(8192), { iova, access: RemoteRead });
  const refused = { ok: false, reason: 'OutOfBounds', code: 'EINVAL' };
  expect(qp.acquire({ vaddr, length, rkey: mr.rkey }, RemoteRead)).toEqual(refused);
  expect(qp.check({ vaddr, length, rkey: mr.rkey }, RemoteRead)).toEqual(refused);
});

test('refuses an empty request where no segment exists', () => {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(Buffer.alloc(8192), { start: 0x1000, iova: 0, access: RemoteRead });
  expect(qp.check({ vaddr: 8191, length: 0, rkey: mr.rkey }, RemoteRead).ok).toBe(true);
  expect(refusal(qp.acquire({ vaddr: 8192, length: 0, rkey: mr.rkey }, RemoteRead))).toBe('Unmapped');
});

test('a region from allocMr refuses every peer until it is fast-registered', () => {
  const { device, pd, qp } = scene();
  dmaPages(device, 1);
  const mr = pd.allocMr({ maxNumSg: 1 });
  mr.mapSg([{ addr: DMA, length: 8 }]);
  const request = { vaddr: DMA, length: 8, rkey: mr.rkey };
  expect(refusal(qp.acquire(request, RemoteRead))).toBe('AccessDenied');
  qp.fastRegMr(mr, { key: mr.rkey, access: RemoteRead });
  expect(qp.acquire(request, RemoteRead).ok).toBe(true);
});

describe('key 0', () => {
  const request = { vaddr: DMA, length: 8, rkey: rkey(0) };

  test('is denied to remote peers', () => {
    const { device, pd, qp } = scene({ trusted: true });
    dmaPages(device, 1);
    using _region = pd.getDmaMr({ access: ALL });
    expect(refusal(qp.acquire(request, RemoteRead))).toBe('KeyZeroDenied');
    expect(refusal(qp.check(request, RemoteRead))).toBe('KeyZeroDenied');
    // Local access may use key 0 all the same.
    const local = pd.acquire({ addr: DMA, length: 8, lkey: lkey(0) }, 0);
    expect(local.ok).toBe(true);
    if (local.ok) local.sge.put();
  });

  test('with remoteKeyZero is accepted with any remote right, as in the kernel', () => {
    const { device, pd, qp } = scene({ trusted: true, remoteKeyZero: true });
    dmaPages(device, 1);
    expect(refusal(qp.acquire(request, RemoteRead))).toBe('NoDmaRegion');
    using _region = pd.getDmaMr();
    for (const access of [RemoteRead, RemoteWrite, RemoteAtomic]) {
      using sge = accepted(qp.acquire(request, access));
      expect(sge).toMatchObject({ at: DMA, access, remote: true });
    }
    expect(refusal(qp.acquire({ ...request, vaddr: DMA + 4089n }, RemoteRead))).toBe('OutOfBounds');
    expect(refusal(qp.acquire({ ...request, vaddr: TOP - 1n }, RemoteRead))).toBe('Unmapped');
  });

  test('with remoteKeyZero is still denied to untrusted domains', () => {
    const device = open({ remoteKeyZero: true });
    dmaPages(device, 1);
    using _region = device.allocPd({ trusted: true }).getDmaMr();
    expect(refusal(device.allocPd().createQp().acquire(request, RemoteRead))).toBe('KeyZeroDenied');
  });
});
