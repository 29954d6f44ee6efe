import { Access, lkey, rkey } from '../../lib';
import { accepted, refusal } from '../support/answers';
import { ALL, DMA, dmaPages, open, PAGE, scene, TOP } from '../support/scene';

const { RemoteRead, RemoteWrite, LocalWrite, RemoteAtomic } = Access;

test('an accepted element says what it is', () => {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(Buffer.alloc(3 * PAGE), { start: 100, iova: 0x9000n, access: ALL });
  const request = { vaddr: 0x9000n + 5000n, length: 600, rkey: mr.rkey };
  const sge = accepted(qp.acquire(request, RemoteRead));
  expect(sge).toMatchObject({
    region: mr,
    at: 5000n,
    segmentLength: 2 * PAGE - 5100, // segments are pages of `start`
    length: 600,
    segment: 1,
    access: RemoteRead,
    remote: true,
    address: 0x9000n + 5000n,
  });
  const { at, segmentLength, segment } = sge;
  expect(qp.check(request, RemoteRead)).toEqual({ ok: true, at, segmentLength, segment });
});

test('any bit asked for is enough, and only what was found is proven; none never is', () => {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(Buffer.alloc(8), { access: LocalWrite | RemoteRead });
  const request = { vaddr: mr.iova, length: 8, rkey: mr.rkey };
  expect(accepted(qp.acquire(request, RemoteRead | RemoteWrite)).access).toBe(RemoteRead);
  expect(accepted(qp.acquire(request, ALL)).access).toBe(LocalWrite | RemoteRead);
  for (const access of [0, RemoteWrite, RemoteAtomic, RemoteWrite | RemoteAtomic]) {
    expect(refusal(qp.acquire(request, access))).toBe('AccessDenied');
    expect(refusal(qp.check(request, access))).toBe('AccessDenied');
  }
});

test('remote addresses go by iova, not by start', () => {
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
])('bounds: %s', (_, iova, vaddr, length) => {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(Buffer.alloc(8192), { iova, access: RemoteRead });
  const refused = { ok: false, reason: 'OutOfBounds', code: 'EINVAL' };
  expect(qp.acquire({ vaddr, length, rkey: mr.rkey }, RemoteRead)).toEqual(refused);
  expect(qp.check({ vaddr, length, rkey: mr.rkey }, RemoteRead)).toEqual(refused);
});

test('an empty request is refused where no segment lies', () => {
  const { pd, qp } = scene();
  const mr = pd.regUserMr(Buffer.alloc(8192), { start: 0x1000, iova: 0, access: RemoteRead });
  expect(qp.check({ vaddr: 8191, length: 0, rkey: mr.rkey }, RemoteRead).ok).toBe(true);
  expect(refusal(qp.acquire({ vaddr: 8192, length: 0, rkey: mr.rkey }, RemoteRead))).toBe('Unmapped');
});

test('a region of allocMr answers no peer before it is fast-registered', () => {
  const { device, pd, qp } = scene();
  dmaPages(device, 1);
  const mr = pd.allocMr({ maxNumSg: 1 });
  mr.mapSg([{ addr: DMA, length: 8 }]);
  const request = { vaddr: DMA, length: 8, rkey: mr.rkey };
  expect(refusal(qp.acquire(request, ALL))).toBe('AccessDenied');
  qp.fastRegMr(mr, { key: mr.rkey, access: RemoteRead });
  expect(qp.acquire(request, ALL).ok).toBe(true);
});

describe('key 0', () => {
  const request = { vaddr: DMA, length: 8, rkey: rkey(0) };

  test('is denied to peers', () => {
    const { device, pd, qp } = scene({ trusted: true });
    dmaPages(device, 1);
    using _region = pd.getDmaMr({ access: ALL });
    expect(refusal(qp.acquire(request, RemoteRead))).toBe('KeyZeroDenied');
    expect(refusal(qp.check(request, RemoteRead))).toBe('KeyZeroDenied');
    // Local work may use it all the same.
    const local = pd.acquire({ addr: DMA, length: 8, lkey: lkey(0) }, 0);
    expect(local.ok).toBe(true);
    if (local.ok) local.sge.put();
  });

  test('with remoteKeyZero it is as in the kernel: any access, also none', () => {
    const { device, pd, qp } = scene({ trusted: true, remoteKeyZero: true });
    dmaPages(device, 1);
    expect(refusal(qp.acquire(request, RemoteRead))).toBe('NoDmaRegion');
    using _region = pd.getDmaMr();
    for (const access of [0, RemoteRead, RemoteWrite]) {
      using sge = accepted(qp.acquire(request, access));
      expect(sge).toMatchObject({ at: DMA, access, remote: true });
    }
    expect(refusal(qp.acquire({ ...request, vaddr: DMA + 4089n }, RemoteRead))).toBe('OutOfBounds');
    expect(refusal(qp.acquire({ ...request, vaddr: TOP - 1n }, RemoteRead))).toBe('Unmapped');
  });

  test('with remoteKeyZero untrusted domains are denied all the same', () => {
    const device = open({ remoteKeyZero: true });
    dmaPages(device, 1);
    using _region = device.allocPd({ trusted: true }).getDmaMr();
    expect(refusal(device.allocPd().createQp().acquire(request, RemoteRead))).toBe('KeyZeroDenied');
  });
});
