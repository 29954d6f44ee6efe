// Every reason for which an access can be refused, and their order of precedence.
import {
  Access,
  type CheckReason,
  checkReasons,
  type DataPathReason,
  dataPathReasons,
  lkey,
} from '../../lib';
import { native } from '../../lib/internal/native';
import { accepted, rdma, refusal } from '../support/answers';
import { DMA, dmaPages, otherVariant, PAGE, scene, TOP } from '../support/scene';

test('the names are those of the native module', () => {
  expect(new Set([...checkReasons, ...dataPathReasons])).toEqual(new Set(native.reasonNames.slice(1)));
  // 'Closed' is checked first, but has a later number because it was added later, and those of windows after that.
  expect(checkReasons).toEqual([
    'Closed',
    ...native.reasonNames.slice(1, 11),
    ...native.reasonNames.slice(17, 21),
  ]);
});

/** Provokes each reason with a local element that passes all earlier checks. */
const checks: Record<CheckReason, () => string> = {
  Closed: () => {
    const { device, pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
    const request = { vaddr: mr.iova, length: 8, rkey: mr.rkey };
    expect(qp.check(request, Access.RemoteRead).ok).toBe(true);
    device.close({ cascade: true });
    return refusal(qp.acquire(request, Access.RemoteRead));
  },
  KeyZeroDenied: () => {
    const { pd } = scene();
    return refusal(pd.acquire({ addr: TOP - 1n, length: 2, lkey: lkey(0) }, 0));
  },
  NoDmaRegion: () => {
    const { pd } = scene({ trusted: true });
    return refusal(pd.acquire({ addr: TOP - 1n, length: 2, lkey: lkey(0) }, 0));
  },
  NoSuchKey: () => {
    const { pd } = scene();
    return refusal(pd.acquire({ addr: 0, length: 1, lkey: lkey(0x12345678) }, 0));
  },
  Revoked: () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8));
    const key = mr.lkey;
    mr.dereg();
    return refusal(pd.acquire({ addr: 0, length: 1, lkey: key }, 0));
  },
  StaleKey: () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8));
    return refusal(pd.acquire({ addr: 0, length: 1, lkey: otherVariant(mr.lkey) }, 0));
  },
  Invalidated: () => {
    const { pd, qp, device } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8));
    qp.invalidateRkey(mr.rkey);
    // The element is also in another domain, out of bounds and without the right.
    return refusal(device.allocPd().acquire({ addr: 0, length: 1, lkey: mr.lkey }, Access.LocalWrite));
  },
  WrongPd: () => {
    const { pd, device } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8));
    return refusal(device.allocPd().acquire({ addr: 0, length: 1, lkey: mr.lkey }, Access.LocalWrite));
  },
  OutOfBounds: () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8));
    return refusal(pd.acquire({ addr: 0, length: 1, lkey: mr.lkey }, Access.LocalWrite));
  },
  AccessDenied: () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(PAGE));
    return refusal(pd.acquire({ addr: mr.start + 4096n, length: 0, lkey: mr.lkey }, Access.LocalWrite));
  },
  Unmapped: () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(PAGE));
    return refusal(pd.acquire({ addr: mr.start + 4096n, length: 0, lkey: mr.lkey }, 0));
  },
  WindowUnbound: () => {
    const { pd, device } = scene();
    // The request is also from another domain and local.
    return refusal(device.allocPd().acquire({ addr: 0, length: 1, lkey: lkey(pd.allocMw().rkey) }, 0));
  },
  WindowLocal: () => {
    const { pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
    const lease = mr.advertise({ expiresInMs: 0, qp });
    return refusal(pd.acquire({ addr: 0, length: 1, lkey: lkey(lease.rkey) }, 0));
  },
  WindowOtherQp: () => {
    const { pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
    const { rkey } = mr.advertise({ expiresInMs: 0, qp: pd.createQp() });
    return refusal(qp.acquire({ vaddr: 0, length: 1, rkey }, Access.RemoteRead));
  },
  LeaseExpired: () => {
    const { pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
    const { rkey } = mr.advertise({ expiresInMs: 0 });
    return refusal(qp.acquire({ vaddr: 0, length: 1, rkey }, Access.RemoteRead));
  },
};

test.each(checkReasons)('%s is reported by a check', (reason) => {
  expect(checks[reason]()).toBe(reason);
});

test('an old key is reported as NoSuchKey once its slot has held a later key', () => {
  const { pd } = scene({ lkeyTableBits: 1, keyPolicy: 'sequential' });
  const [first, , third] = Array.from({ length: 3 }, () => {
    const mr = pd.regUserMr(Buffer.alloc(8));
    const key = mr.lkey;
    mr.dereg();
    return key;
  });
  expect(refusal(pd.acquire({ addr: 0, length: 1, lkey: first! }, 0))).toBe('NoSuchKey');
  expect(refusal(pd.acquire({ addr: 0, length: 1, lkey: third! }, 0))).toBe('Revoked');
});

/** For each reason, returns a use of an SGE's bytes that is refused with it. */
const uses: Record<Exclude<DataPathReason, 'OtherEnvironment'>, () => () => unknown> = {
  WindowEnded: () => {
    const { pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
    const lease = mr.advertise({ expiresInMs: 60_000 });
    const sge = accepted(qp.acquire(lease, Access.RemoteRead));
    lease.revoke();
    return () => sge.copyTo(Buffer.alloc(8));
  },
  LeaseExpired: () => {
    const { pd, qp } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
    const lease = mr.advertise({ expiresInMs: 50 });
    const sge = accepted(qp.acquire(lease, Access.RemoteRead));
    while (lease.state === 'Live'); // no event loop needed
    return () => sge.copyTo(Buffer.alloc(8));
  },
  AccessDenied: () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.LocalWrite });
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    return () => sge.copyFrom(Buffer.alloc(8));
  },
  MemoryDetached: () => {
    const { pd } = scene();
    const memory = new ArrayBuffer(8);
    const mr = pd.regUserMr(memory);
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    structuredClone(memory, { transfer: [memory] });
    return () => sge.copyTo(Buffer.alloc(8));
  },
  MemoryShrunk: () => {
    const { pd } = scene();
    const memory = new (ArrayBuffer as any)(8, { maxByteLength: 16 });
    const mr = pd.regUserMr(memory);
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    memory.resize(7);
    return () => sge.copyTo(Buffer.alloc(1));
  },
  Remapped: () => {
    const { pd, device } = scene();
    dmaPages(device, 2);
    const mr = pd.allocMr({ maxNumSg: 1 });
    mr.mapSg([{ addr: DMA, length: 8 }]);
    const sge = accepted(pd.acquire({ addr: DMA, length: 8, lkey: mr.lkey }, 0));
    mr.mapSg([{ addr: DMA, length: 8 }]);
    return () => sge.copyTo(Buffer.alloc(8));
  },
  RegionRevoked: () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8));
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    mr.dereg({ force: true });
    return () => sge.copyTo(Buffer.alloc(8));
  },
};

// OtherEnvironment needs two environments that share a device, so it cannot be provoked here.
test.each(dataPathReasons.filter((reason) => reason !== 'OtherEnvironment'))(
  '%s is reported on the data path',
  (reason) => {
    expect(uses[reason]()).toThrow(rdma('EACCES', undefined, reason));
  },
);

test('an error of the data path has a reason, other errors have none', () => {
  let error: any;
  try {
    uses.AccessDenied()();
  } catch (caught) {
    error = caught;
  }
  expect(error.message).toBe(
    'EACCES: Sge.copyFrom: AccessDenied: the element was checked for local reading, but this call requires LocalWrite or RemoteWrite',
  );
  try {
    scene().pd.regUserMr(Buffer.alloc(0));
  } catch (caught) {
    error = caught;
  }
  expect(error.message).toBe('EINVAL: ProtectionDomain.regUserMr: the memory is empty');
  expect('reason' in error).toBe(false);
});
