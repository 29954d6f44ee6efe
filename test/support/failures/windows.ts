// Failures of memory windows, leases and the work request BIND_MW.
import { Access, type BindMwRequest, type ErrorCause, type MemoryWindow } from '../../../lib';
import { open } from '../scene';
import { failure, type Failure } from './failure';

const MW = Access.LocalWrite | Access.MwBind;

/** A connected queue pair with a window (id 1) and a region of 16 bytes at remote address 0x1000, keys 0x..., sequential. */
function bindScene() {
  const device = open({ keyPolicy: 'sequential', lkeyTableBits: 4 });
  const pd = device.allocPd();
  const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(8) });
  qp.connect(qp, { access: 0 });
  const mr = pd.regUserMr(Buffer.alloc(16), { iova: 0x1000n, access: MW });
  return { device, pd, qp, mr, mw: pd.allocMw() };
}
type BindScene = ReturnType<typeof bindScene>;

const bindOf = ({ mw, mr }: BindScene): BindMwRequest => ({
  opcode: 'BIND_MW',
  mw,
  mr,
  addr: 0x1000n,
  length: 8,
  access: Access.RemoteRead,
  key: mw.rkey,
});

/** A BIND_MW that is refused; `detail` without the index. */
const refused = (
  code: Failure['code'],
  cause: ErrorCause,
  detail: Omit<Failure['detail'], 'cause'>,
  change: (s: BindScene) => Partial<BindMwRequest>,
): Failure => ({
  ...failure('QueuePair.postSend', 'post_send', code, cause, { ...detail, index: 0 }, () => {
    const s = bindScene();
    const wr = { ...bindOf(s), ...change(s) };
    return () => {
      s.qp.postSend(wr);
    };
  }),
  posted: 0,
});

const dealloced = (mw: MemoryWindow): MemoryWindow => {
  mw.dealloc();
  return mw;
};

/** A region with RemoteRead and one lease of an hour. */
function leaseScene() {
  const s = bindScene();
  const leased = s.pd.regUserMr(Buffer.alloc(8), { access: Access.RemoteRead });
  return { ...s, leased, lease: leased.advertise({ expiresInMs: 3_600_000 }) };
}

const busy = (
  method: string,
  operation: string,
  call: (s: ReturnType<typeof leaseScene>) => unknown,
): Failure =>
  failure(method, operation, 'EBUSY', 'WindowsBound', { counts: { windows: 1 } }, () => {
    const s = leaseScene();
    return () => call(s);
  });

const getters = ['rkey', 'regionId', 'qpId', 'vaddr', 'length', 'access'] as const;

export const windowFailures: Failure[] = [
  ...getters.map((property) =>
    failure(`MemoryWindow.${property}`, 'query_mw', 'EBADF', 'WindowGone', {}, () => {
      const { mw } = bindScene();
      mw.dealloc();
      return () => mw[property];
    }),
  ),
  failure('ProtectionDomain.allocMw', 'alloc_mw', 'EBADF', 'PdGone', {}, () => {
    const { pd } = bindScene();
    pd.dealloc({ cascade: true });
    return () => pd.allocMw();
  }),
  failure('ProtectionDomain.allocMw', 'alloc_mw', 'ENOMEM', 'TableFull', { value: 2, limit: 2 }, () => {
    const pd = open({ lkeyTableBits: 1 }).allocPd();
    pd.allocMw();
    pd.allocMw();
    return () => pd.allocMw();
  }),
  failure('ProtectionDomain.dealloc', 'dealloc_pd', 'EBUSY', 'PdInUse', { counts: { windows: 1 } }, () => {
    const pd = open().allocPd();
    pd.allocMw();
    return () => {
      pd.dealloc();
    };
  }),
  busy('MemoryRegion.dereg', 'dereg_mr', ({ leased }) => {
    leased.dereg();
  }),
  busy('MemoryRegion.rereg', 'rereg_mr', ({ leased }) => {
    leased.rereg({ access: 0 });
  }),
  busy('QueuePair.invalidateRkey', 'invalidate_rkey', ({ qp, leased }) => {
    qp.invalidateRkey(leased.rkey);
  }),
  failure(
    ...(['ProtectionDomain.deregMany', 'dereg_mr', 'EBUSY', 'WindowsBound'] as const),
    { argument: 'regions[1]', index: 1, counts: { windows: 1 } },
    () => {
      const { pd, mr, leased } = leaseScene();
      return () => {
        pd.deregMany([mr, leased]);
      };
    },
  ),
  refused('EBADF', 'WindowGone', { argument: 'wrs[0].mw' }, ({ mw }) => ({ mw: dealloced(mw) })),
  refused('EACCES', 'WindowInOtherPd', { argument: 'wrs[0].mw' }, ({ device }) => ({
    mw: device.allocPd().allocMw(),
  })),
  refused('EINVAL', 'WindowOnOtherDevice', { argument: 'wrs[0].mw' }, () => ({
    mw: open().allocPd().allocMw(),
  })),
  refused('EINVAL', 'WindowBound', { argument: 'wrs[0].mw', value: 0x10000200, limit: 1 }, (s) => {
    s.qp.postSend(bindOf(s));
    return {};
  }),
  refused(
    ...(['EINVAL', 'WindowKeySlot'] as const),
    { argument: 'wrs[0].key', value: 0x20000200, limit: 0x10000200 },
    () => ({ key: 0x20000200 as never }),
  ),
  refused('EACCES', 'BindNotAllowed', { argument: 'wrs[0].mr', value: 1, limit: 16 }, ({ pd }) => ({
    mr: pd.regUserMr(Buffer.alloc(8), { access: Access.LocalWrite }),
  })),
  refused('EACCES', 'BindNeedsLocalWrite', { argument: 'wrs[0].access', value: 2, limit: 16 }, ({ pd }) => ({
    mr: pd.regUserMr(Buffer.alloc(8), { access: Access.MwBind }),
    access: Access.RemoteWrite,
  })),
  refused('EINVAL', 'BindInvalid', { argument: 'wrs[0].mr', value: 0x100 }, ({ qp, mr }) => {
    qp.invalidateRkey(mr.rkey);
    return {};
  }),
  refused('EINVAL', 'BindRights', { argument: 'wrs[0].access', value: 17, limit: 14 }, () => ({
    access: 17,
  })),
  refused('EINVAL', 'BindEmpty', { argument: 'wrs[0].length' }, () => ({ length: 0 })),
  refused('EINVAL', 'BindOutside', { argument: 'wrs[0].addr', value: 0xfffn, limit: 8 }, () => ({
    addr: 0xfffn,
  })),
  failure(
    ...(['QueuePair.invalidateRkey', 'invalidate_rkey', 'EINVAL', 'WindowUnbound'] as const),
    { argument: 'rkey', value: 0x10000200 },
    () => {
      const { qp, mw } = bindScene();
      const { rkey } = mw;
      return () => {
        qp.invalidateRkey(rkey);
      };
    },
  ),
  failure(
    ...(['QueuePair.invalidateRkey', 'invalidate_rkey', 'EINVAL', 'WindowOfOtherQp'] as const),
    { argument: 'rkey', value: 0x10000200, limit: 1 },
    () => {
      const s = bindScene();
      s.qp.postSend(bindOf(s));
      const other = s.pd.createQp();
      const { rkey } = s.mw;
      return () => {
        other.invalidateRkey(rkey);
      };
    },
  ),
  failure(
    ...(['MemoryRegion.advertise', 'advertise_mr', 'EACCES', 'LeaseRights'] as const),
    { argument: 'options.access', value: 2, limit: 5 },
    () => {
      const { pd } = bindScene();
      const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.LocalWrite | Access.RemoteRead });
      return () => mr.advertise({ expiresInMs: 1, access: Access.RemoteWrite });
    },
  ),
  failure(
    ...(['MemoryRegion.advertise', 'advertise_mr', 'EINVAL', 'BindRights'] as const),
    { argument: 'options.access', value: 0, limit: 14 },
    () => {
      const { leased } = leaseScene();
      return () => leased.advertise({ expiresInMs: 1, access: 0 });
    },
  ),
];
