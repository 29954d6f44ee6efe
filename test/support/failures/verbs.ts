// Failures of the verbs: completion queues, shared receive queues, address handles, queue pairs and postings. They call the native
// module, which explains them by the cause that the core recorded: the classes cannot be told to make most of these mistakes.
import { type CountName } from '../../../lib';
import { defaultLimits, limitWords } from '../../../lib/internal/device-limits';
import { rdmaError } from '../../../lib/internal/errors';
import {
  MigrationState,
  QpAttribute as Q,
  QpAttrWord,
  QpState,
  QpType,
  RingWord,
  SrqMask,
  WcWord,
  WrOpcode,
} from '../../../lib/internal/layout';
import { type Method } from '../../../lib/internal/methods';
import { native, type NativeDevice } from '../../../lib/internal/native';
import {
  allocMr,
  bringTo,
  made,
  type NativeScene,
  nativeScene,
  type NativeSend,
  type NativeSge,
  postRecvs,
  postSends,
  qpAttributes,
  qpInit,
  type QpSizes,
  register,
  regionWords,
  setState,
  sgeOver,
} from '../native-verbs';
import { failure, type Failure } from './failure';

type Detail = Omit<Failure['detail'], 'cause'>;
type Cause = Failure['detail']['cause'];

/** Describes a failure of a native call: `prepare` creates the objects and returns the call, which returns a status. */
function verb(
  method: Method,
  operation: string,
  code: Failure['code'],
  cause: Cause,
  detail: Detail,
  prepare: () => () => unknown,
): Failure {
  return failure(method, operation, code, cause, detail, () => {
    const call = prepare();
    return () => {
      const status = call();
      if (typeof status === 'number' && status < 0) throw rdmaError(method, status);
    };
  });
}

type Limits = Partial<typeof defaultLimits>;
/** Describes a failure of a call on the objects of a native scene. */
const on = (
  head: readonly [method: Method, operation: string, code: Failure['code'], cause: Cause],
  detail: Detail,
  call: (s: NativeScene) => unknown,
  limits: Limits = {},
  sizes: QpSizes = {},
): Failure =>
  verb(...head, detail, () => {
    const s = nativeScene(limits, sizes);
    return () => call(s);
  });

/** Describes a failure of a posting, whose native call reports the index of the work request at fault. */
function posting(
  method: Method,
  operation: string,
  code: Failure['code'],
  cause: Cause,
  detail: Detail,
  prepare: () => () => [status: number, bad: number],
): Failure {
  return failure(method, operation, code, cause, detail, () => {
    const call = prepare();
    return () => {
      const [status, bad] = call();
      if (status < 0) throw rdmaError(method, status, bad);
    };
  });
}

const noSges: NativeSge[] = [];
const sge = (length = 8, addr = 0x1000n, lkey = 0x100): NativeSge => ({ addr, length, lkey });

// --- closed objects ---

const gone: Failure[] = [
  on(['CompletionQueue.resize', 'resize_cq', 'EBADF', 'CqGone'], {}, ({ device }) => {
    const cq = made(device.createCq(1, 0, 0));
    cq.destroy();
    return cq.resize(2);
  }),
  on(
    ['ProtectionDomain.createQp', 'create_qp', 'EBADF', 'CqGone'],
    { argument: 'options.recvCq' },
    ({ device, pd, cq }) => {
      const other = made(device.createCq(1, 0, 0));
      other.destroy();
      return pd.createQp(cq, other, undefined, qpInit());
    },
  ),
  on(['SharedReceiveQueue.query', 'query_srq', 'EBADF', 'SrqGone'], {}, ({ pd }) => {
    const srq = made(pd.createSrq(1, 1, 0, true));
    srq.destroy();
    return srq.query(new Uint32Array(8));
  }),
  on(
    ['ProtectionDomain.createQp', 'create_qp', 'EBADF', 'SrqGone'],
    { argument: 'options.srq' },
    ({ pd, cq }) => {
      const srq = made(pd.createSrq(1, 1, 0, true));
      srq.destroy();
      return pd.createQp(cq, cq, srq, qpInit());
    },
  ),
  on(['AddressHandle.destroy', 'destroy_ah', 'EBADF', 'AhGone'], {}, ({ pd }) => {
    const ah = made(pd.createAh(1, 0, 0, 1));
    ah.destroy();
    return ah.destroy();
  }),
  on(['QueuePair.query', 'query_qp', 'EBADF', 'QpGone'], {}, ({ qp }) => {
    qp.destroy();
    return qp.query(new Uint32Array(QpAttrWord.Words));
  }),
];

// --- limits and queues in use ---

const tooMany = (
  method: Method,
  operation: string,
  limit: keyof typeof defaultLimits,
  value: CountName,
  create: (s: NativeScene) => unknown,
  most = 2,
): Failure =>
  on(
    [method, operation, 'ENOMEM', 'TooManyObjects'],
    { value, limit: most },
    (s) => {
      // The scene has one object of some of the kinds.
      for (let i = 0; i < most; i++) if (typeof create(s) === 'number') break;
      return create(s);
    },
    { [limit]: most },
  );

const inUse: Failure[] = [
  on(['CompletionQueue.destroy', 'destroy_cq', 'EBUSY', 'CqInUse'], { counts: { queuePairs: 2 } }, (s) => {
    made(s.pd.createQp(s.cq, made(s.device.createCq(1, 0, 0)), undefined, qpInit()));
    return s.cq.destroy();
  }),
  on(
    ['SharedReceiveQueue.destroy', 'destroy_srq', 'EBUSY', 'SrqInUse'],
    { counts: { queuePairs: 1 } },
    ({ pd, cq }) => {
      const srq = made(pd.createSrq(1, 1, 0, true));
      made(pd.createQp(cq, cq, srq, qpInit()));
      return srq.destroy();
    },
  ),
  on(
    ['ProtectionDomain.dealloc', 'dealloc_pd', 'EBUSY', 'PdInUse'],
    { counts: { queuePairs: 1, sharedReceiveQueues: 2, addressHandles: 1 } },
    ({ pd }) => {
      made(pd.createSrq(1, 1, 0, true));
      made(pd.createSrq(1, 1, 0, true));
      made(pd.createAh(1, 0, 0, 1));
      return pd.dealloc(false);
    },
  ),
  on(
    ['Device.detach', 'dealloc_ucontext', 'EBUSY', 'ContextInUse'],
    { counts: { domains: 1, queuePairs: 1, completionQueues: 2, addressHandles: 1 } },
    ({ device, pd }) => {
      made(device.createCq(1, 0, 0));
      made(pd.createAh(1, 0, 0, 1));
      return device.detach(false);
    },
  ),
  on(
    ['Device.close', 'mr_exit', 'EBUSY', 'DeviceInUse'],
    { counts: { domains: 1, queuePairs: 1, completionQueues: 1, sharedReceiveQueues: 1 } },
    ({ device, pd }) => {
      made(pd.createSrq(1, 1, 0, true));
      return device.close(false);
    },
  ),
  tooMany('Device.createCq', 'create_cq', 'maxCq', 'completionQueues', (s) => s.device.createCq(1, 0, 0)),
  tooMany('Device.allocPd', 'alloc_pd', 'maxPd', 'domains', (s) => s.device.allocPd(false)),
  tooMany('ProtectionDomain.createSrq', 'create_srq', 'maxSrq', 'sharedReceiveQueues', ({ pd }) =>
    pd.createSrq(1, 1, 0, true),
  ),
  tooMany('ProtectionDomain.createAh', 'create_ah', 'maxAh', 'addressHandles', ({ pd }) =>
    pd.createAh(1, 0, 0, 1),
  ),
  tooMany(
    'ProtectionDomain.createQp',
    'create_qp',
    'maxQp',
    'queuePairs',
    ({ pd, cq }) => pd.createQp(cq, cq, undefined, qpInit()),
    3,
  ),
];

// --- attributes of new queues and queue pairs ---

const capacity = (sizes: QpSizes, name: string, value: number, limit: number): Failure =>
  on(
    ['ProtectionDomain.createQp', 'create_qp', 'EINVAL', 'Capacity'],
    { argument: `options.${name}`, value, limit },
    ({ pd, cq }) => pd.createQp(cq, cq, undefined, qpInit(sizes)),
    { maxQpWr: 16, maxSendSge: 5, maxRecvSge: 6 },
  );
const srqCapacity = (maxWr: number, maxSge: number, name: string, value: number, limit: number): Failure =>
  on(
    ['ProtectionDomain.createSrq', 'create_srq', 'EINVAL', 'Capacity'],
    { argument: `options.${name}`, value, limit },
    ({ pd }) => pd.createSrq(maxWr, maxSge, 0, true),
    { maxSrqWr: 8, maxSrqSge: 3 },
  );
/** Creates a shared receive queue for 4 receives that holds 2 and has the limit 2, and changes it. */
const modifySrq = (
  cause: Cause,
  argument: string,
  value: number,
  limit: number,
  ...change: [mask: number, maxWr: number, limit: number]
): Failure =>
  on(
    ['SharedReceiveQueue.modify', 'modify_srq', 'EINVAL', cause],
    { argument: `changes.${argument}`, value, limit },
    ({ pd }) => {
      const srq = made(pd.createSrq(4, 1, 2, true));
      postRecvs(srq, [noSges, noSges]);
      return srq.modify(...change);
    },
    { maxSrqWr: 8 },
  );

/** Creates a queue pair with a queue that another Device object created. */
const elsewhere = (argument: string, create: (mine: NativeScene, theirs: NativeScene) => unknown): Failure =>
  verb(
    ...(['ProtectionDomain.createQp', 'create_qp', 'EINVAL', 'QueueElsewhere'] as const),
    { argument },
    () => {
      const [mine, theirs] = [nativeScene(), nativeScene()];
      return () => create(mine, theirs);
    },
  );

const created: Failure[] = [
  ...(['maxSendSge', 'maxRecvSge', 'maxSrqSge'] as const).map((name, i) =>
    verb(
      ...(['new Device', 'driver_mr_init', 'EINVAL', 'Limit'] as const),
      { argument: `options.limits.${name}`, value: 256 + i, limit: 255 },
      () => () => native.openDevice(8, false, false, true, limitWords({ ...defaultLimits, [name]: 256 + i })),
    ),
  ),
  on(
    ['Device.createCq', 'create_cq', 'EOPNOTSUPP', 'CqFlags'],
    { argument: 'options.flags', value: 3 },
    ({ device }) => device.createCq(1, 0, 3),
  ),
  on(
    ['ProtectionDomain.createSrq', 'create_srq', 'EOPNOTSUPP', 'SrqType'],
    { argument: 'options.type' },
    ({ pd }) => pd.createSrq(1, 1, 0, false),
  ),
  on(
    ['ProtectionDomain.createQp', 'create_qp', 'EOPNOTSUPP', 'QpType'],
    { argument: 'options.type', value: 'RAW_PACKET' },
    ({ pd, cq }) => pd.createQp(cq, cq, undefined, qpInit({ type: QpType.RawPacket })),
  ),
  on(
    ['Device.createCq', 'create_cq', 'EINVAL', 'Cqe'],
    { argument: 'cqe', value: 0, limit: 100 },
    ({ device }) => device.createCq(0, 0, 0),
    { maxCqe: 100 },
  ),
  on(
    ['CompletionQueue.resize', 'resize_cq', 'EINVAL', 'Cqe'],
    { argument: 'cqe', value: 101, limit: 100 },
    ({ cq }) => cq.resize(101),
    { maxCqe: 100 },
  ),
  on(
    ['CompletionQueue.resize', 'resize_cq', 'EINVAL', 'CqeBelowHeld'],
    { argument: 'cqe', value: 1, limit: 2 },
    ({ cq, qp }) => {
      bringTo(qp, QpType.Rc, QpState.Init);
      setState(qp, QpType.Rc, QpState.Err);
      postRecvs(qp, [noSges, noSges]);
      return cq.resize(1);
    },
  ),
  on(['CompletionQueue.resize', 'resize_cq', 'EINVAL', 'CqRing'], {}, ({ device }) => {
    const bytes = (RingWord.Entries + WcWord.Count) * 4;
    return made(device.createCq(1, 0, 0, new Uint8Array(new SharedArrayBuffer(bytes)))).resize(2);
  }),
  capacity({ sendWr: 17 }, 'maxSendWr', 17, 16),
  capacity({ recvWr: 18 }, 'maxRecvWr', 18, 16),
  capacity({ sendSge: 6 }, 'maxSendSge', 6, 5),
  capacity({ recvSge: 7 }, 'maxRecvSge', 7, 6),
  srqCapacity(0, 1, 'maxWr', 0, 8),
  srqCapacity(8, 4, 'maxSge', 4, 3),
  on(
    ['ProtectionDomain.createQp', 'create_qp', 'EINVAL', 'NoCapacity'],
    { argument: 'options' },
    ({ pd, cq }) => pd.createQp(cq, cq, undefined, qpInit({ sendWr: 0, recvWr: 0, sendSge: 0, recvSge: 0 })),
  ),
  elsewhere('options.sendCq', (mine, { cq }) => mine.pd.createQp(cq, mine.cq, undefined, qpInit())),
  elsewhere('options.recvCq', (mine, { cq }) => mine.pd.createQp(mine.cq, cq, undefined, qpInit())),
  elsewhere('options.srq', ({ pd, cq }, theirs) =>
    pd.createQp(cq, cq, made(theirs.pd.createSrq(1, 1, 0, true)), qpInit()),
  ),
  modifySrq('Capacity', 'maxWr', 9, 8, SrqMask.MaxWr, 9, 0),
  modifySrq('SrqLimit', 'limit', 5, 4, SrqMask.Limit, 0, 5),
  modifySrq('SrqLimit', 'maxWr', 2, 1, SrqMask.MaxWr, 1, 0),
  modifySrq('SrqBelowHeld', 'maxWr', 1, 2, SrqMask.MaxWr | SrqMask.Limit, 1, 0),
];

// --- the state machine ---

type Way = readonly [
  detail: Detail,
  from: QpState,
  to: QpState,
  attributes?: Parameters<typeof setState>[3],
  more?: number,
];
/** Fails to change a queue pair from one state to another. */
const modify = (
  cause: Cause,
  [detail, from, to, attributes = {}, more = 0]: Way,
  limits: Limits = {},
): Failure =>
  on(
    ['QueuePair.modify', 'modify_qp', 'EINVAL', cause],
    detail,
    ({ qp }) => {
      if (from !== QpState.Reset) bringTo(qp, QpType.Rc, from);
      return setState(qp, QpType.Rc, to, attributes, more);
    },
    limits,
  );
const attribute = (
  name: string,
  word: QpAttrWord,
  value: number,
  limit: number,
  limits: Limits = {},
): Failure => {
  const early = word === QpAttrWord.PkeyIndex || word === QpAttrWord.Port;
  const late = word === QpAttrWord.RetryCnt || word === QpAttrWord.RnrRetry;
  const [from, next] = early
    ? [QpState.Reset, QpState.Init]
    : late
      ? [QpState.Rtr, QpState.Rts]
      : [QpState.Init, QpState.Rtr];
  return modify(
    'QpAttribute',
    [{ argument: `attributes.${name}`, value, limit }, from, next, { [word]: value }],
    limits,
  );
};

const states: Failure[] = [
  on(['QueuePair.query', 'query_qp', 'EINVAL', 'QpHasNoQueues'], {}, ({ pd }) =>
    made(pd.createCheckQp()).query(new Uint32Array(QpAttrWord.Words)),
  ),
  modify('QpMove', [
    { argument: 'attributes.state', value: 'RTS', limit: 'INIT' },
    QpState.Init,
    QpState.Rts,
  ]),
  modify('QpMove', [{ argument: 'attributes.state', value: 'RTR', limit: 'RTR' }, QpState.Rtr, QpState.Rtr]),
  on(
    ['QueuePair.modify', 'modify_qp', 'EINVAL', 'QpNeeds'],
    { argument: 'attributes', value: 'access, pkeyIndex, port' },
    ({ qp }) => qp.modify(Q.State, qpAttributes({ [QpAttrWord.State]: QpState.Init })),
  ),
  on(
    ['QueuePair.modify', 'modify_qp', 'EINVAL', 'QpNeeds'],
    { argument: 'attributes.access', value: 'access' },
    ({ qp }) =>
      qp.modify(
        Q.State | Q.PkeyIndex | Q.Port,
        qpAttributes({ [QpAttrWord.State]: QpState.Init, [QpAttrWord.Port]: 1 }),
      ),
  ),
  modify('QpForbids', [
    { argument: 'attributes.qkey', value: 'qkey' },
    QpState.Init,
    QpState.Rtr,
    {},
    Q.Qkey,
  ]),
  modify('QpForbids', [
    { argument: 'attributes', value: 'timeout, retryCnt, rnrRetry, maxRdAtomic, sqPsn, cap' },
    QpState.Rts,
    QpState.Rts,
    // The attributes that the transition from RTR needs, which a queue pair in RTS does not take.
    {},
    Q.Cap,
  ]),
  modify('QpAttribute', [
    { argument: 'attributes.pathMtu' },
    QpState.Init,
    QpState.Rtr,
    { [QpAttrWord.PathMtu]: 0 },
  ]),
  attribute('destQpn', QpAttrWord.DestQpn, 0x100_0000, 0xff_ffff),
  attribute('maxDestRdAtomic', QpAttrWord.MaxDestRdAtomic, 17, 16),
  attribute('minRnrTimer', QpAttrWord.MinRnrTimer, 32, 31),
  attribute('retryCnt', QpAttrWord.RetryCnt, 8, 7),
  attribute('rnrRetry', QpAttrWord.RnrRetry, 9, 7),
  attribute('port', QpAttrWord.Port, 2, 1),
  attribute('pkeyIndex', QpAttrWord.PkeyIndex, 3, 2, { npkeys: 3 }),
  attribute('pkeyIndex', QpAttrWord.PkeyIndex, 0, -1, { npkeys: 0 }),
  modify('QpAttribute', [
    { argument: 'attributes.altPath.pkeyIndex', value: 1, limit: 0 },
    QpState.Init,
    QpState.Rtr,
    { [QpAttrWord.AltPkeyIndex]: 1 },
    Q.AltPath,
  ]),
  modify('CurState', [
    { argument: 'attributes.curState', value: 'RTR', limit: 'RTS' },
    QpState.Rts,
    QpState.Rts,
    { [QpAttrWord.CurState]: QpState.Rtr },
    Q.CurState,
  ]),
  modify('PathDlid', [
    { argument: 'attributes.av.dlid', value: 0xc000, limit: 0xbfff },
    QpState.Init,
    QpState.Rtr,
    { av: [0xc000, 0, 0, 1] },
  ]),
  modify('PathPort', [
    { argument: 'attributes.altPath.port', value: 3, limit: 1 },
    QpState.Init,
    QpState.Rtr,
    { altAv: [1, 0, 0, 3] },
    Q.AltPath,
  ]),
  on(
    ['ProtectionDomain.createAh', 'create_ah', 'EINVAL', 'PathPort'],
    { argument: 'options.port', value: 0, limit: 1 },
    ({ pd }) => pd.createAh(1, 0, 0, 0),
  ),
  on(
    ['ProtectionDomain.createAh', 'create_ah', 'EINVAL', 'PathRate'],
    { argument: 'options.staticRate', value: 1, limit: 22 },
    ({ pd }) => pd.createAh(1, 0, 1, 1),
  ),
  modify('PathMig', [
    { argument: 'attributes.pathMigState', value: 'ARMED' },
    QpState.Rtr,
    QpState.Rts,
    { [QpAttrWord.PathMigState]: MigrationState.Armed },
    Q.PathMigState,
  ]),
];

// --- postings ---

/** Posts sends to a queue pair in RTS. */
function sends(
  cause: Cause,
  detail: Detail,
  wrs: readonly NativeSend[],
  {
    code = 'EINVAL',
    type = QpType.Rc,
    ...rest
  }: { code?: Failure['code']; type?: QpType; maxRdAtomic?: number } = {},
): Failure {
  return posting('QueuePair.postSend', 'post_send', code, cause, detail, () => {
    const { qp } = nativeScene({}, { type });
    bringTo(qp, type as QpType.Rc, QpState.Rts, { [QpAttrWord.MaxRdAtomic]: rest.maxRdAtomic ?? 1 });
    return () => postSends(qp, wrs);
  });
}

/** Creates a UD queue pair in RTS and posts a send that needs an address handle. */
const datagram = (
  cause: Cause,
  handles: (device: NativeDevice, s: NativeScene) => Parameters<typeof postSends>[2],
): Failure =>
  posting(
    ...(['QueuePair.postSend', 'post_send', 'EINVAL', cause] as const),
    { argument: 'wrs[0].ah', index: 0 },
    () => {
      const s = nativeScene({}, { type: QpType.Ud });
      bringTo(s.qp, QpType.Ud, QpState.Rts);
      const ahs = handles(s.device, s);
      return () => postSends(s.qp, [{}], ahs);
    },
  );

const empty: NativeSend = {};
const postings: Failure[] = [
  posting('QueuePair.postSend', 'post_send', 'EINVAL', 'QpState', { value: 'RESET' }, () => {
    const { qp } = nativeScene();
    return () => postSends(qp, [empty]);
  }),
  posting('QueuePair.postRecv', 'post_recv', 'EINVAL', 'QpState', { value: 'RESET' }, () => {
    const { qp } = nativeScene();
    return () => postRecvs(qp, [noSges]);
  }),
  posting('QueuePair.postRecv', 'post_recv', 'EINVAL', 'QpHasSrq', {}, () => {
    const { pd, cq } = nativeScene();
    const qp = made(pd.createQp(cq, cq, made(pd.createSrq(1, 1, 0, true)), qpInit()));
    bringTo(qp, QpType.Rc, QpState.Init);
    return () => postRecvs(qp, [noSges]);
  }),
  sends(
    'QueueFull',
    { argument: 'wrs[4]', index: 4, value: 4, limit: 4 },
    [empty, empty, empty, empty, empty],
    { code: 'ENOMEM' },
  ),
  posting(
    ...(['SharedReceiveQueue.postRecv', 'post_srq_recv', 'ENOMEM', 'QueueFull'] as const),
    { argument: 'wrs[1]', index: 1, value: 1, limit: 1 },
    () => {
      const srq = made(nativeScene().pd.createSrq(1, 1, 0, true));
      return () => postRecvs(srq, [noSges, noSges]);
    },
  ),
  sends('WrSges', { argument: 'wrs[1].sges', index: 1, value: 3, limit: 2 }, [
    empty,
    { sges: [sge(), sge(), sge()] },
  ]),
  posting(
    ...(['QueuePair.postRecv', 'post_recv', 'EINVAL', 'WrSges'] as const),
    { argument: 'wrs[0].sges', index: 0, value: 3, limit: 2 },
    () => {
      const { qp } = nativeScene();
      bringTo(qp, QpType.Rc, QpState.Init);
      return () => postRecvs(qp, [[sge(), sge(), sge()]]);
    },
  ),
  posting(
    ...(['SharedReceiveQueue.postRecv', 'post_srq_recv', 'EINVAL', 'WrSges'] as const),
    { argument: 'wrs[0].sges', index: 0, value: 2, limit: 1 },
    () => {
      const srq = made(nativeScene().pd.createSrq(1, 1, 0, true));
      return () => postRecvs(srq, [[sge(), sge()]]);
    },
  ),
  sends(
    'WrOpcode',
    { argument: 'wrs[0].opcode', index: 0, value: 'RDMA_READ', limit: 'UC' },
    [{ opcode: WrOpcode.RdmaRead }],
    { type: QpType.Uc },
  ),
  sends('WrAtomicSge', { argument: 'wrs[0].sges[0]', index: 0, value: 4, limit: 8 }, [
    { opcode: WrOpcode.AtomicFetchAndAdd, sges: [sge(4)] },
  ]),
  sends('WrAtomicAddress', { argument: 'wrs[0].sges[0]', index: 0, value: 0x1004n, limit: 8 }, [
    { opcode: WrOpcode.AtomicCmpAndSwp, sges: [sge(8, 0x1004n)] },
  ]),
  sends(
    'WrNoRdAtomic',
    { argument: 'wrs[0].opcode', index: 0 },
    [{ opcode: WrOpcode.RdmaRead, sges: [sge()] }],
    { maxRdAtomic: 0 },
  ),
  sends('WrSgeRefused', { argument: 'wrs[2].sges[1]', index: 2, sge: 1, reason: 'NoSuchKey' }, [
    empty,
    empty,
    { sges: [sge(0), sge()] },
  ]),
  sends('KeyZero', { argument: 'wrs[1].invalidateRkey', index: 1 }, [empty, { opcode: WrOpcode.LocalInv }]),
  sends('UnknownKey', { argument: 'wrs[0].invalidateRkey', index: 0, value: 0xabc }, [
    { opcode: WrOpcode.LocalInv, invalidateRkey: 0xabc },
  ]),
  sends('RegionGone', { argument: 'wrs[1].mr', index: 1 }, [empty, { opcode: WrOpcode.RegMr }], {
    code: 'EBADF',
  }),
  posting(
    ...(['QueuePair.postSend', 'post_send', 'EINVAL', 'KeySlot'] as const),
    { argument: 'wrs[0].key', index: 0, value: 0x100, limit: 0x100_0200 },
    () => {
      const { pd, qp } = nativeScene();
      bringTo(qp, QpType.Rc, QpState.Rts);
      register(pd, Buffer.alloc(8));
      const mr = allocMr(pd);
      return () => postSends(qp, [{ opcode: WrOpcode.RegMr, region: regionWords(mr), key: 0x100 }]);
    },
  ),
  posting(
    ...(['QueuePair.postSend', 'post_send', 'EACCES', 'RegionInOtherPd'] as const),
    { argument: 'wrs[2].mr', index: 2 },
    () => {
      const { device, qp } = nativeScene();
      bringTo(qp, QpType.Rc, QpState.Rts);
      const mr = allocMr(made(device.allocPd(false)));
      const wr = { opcode: WrOpcode.RegMr, region: regionWords(mr), key: mr.key };
      return () => postSends(qp, [empty, empty, wr]);
    },
  ),
  posting(
    ...(['QueuePair.postSend', 'post_send', 'EINVAL', 'WrLength'] as const),
    { argument: 'wrs[0].sges', index: 0, value: 4097, limit: 4096 },
    () => {
      const { pd, qp } = nativeScene({}, { type: QpType.Ud });
      bringTo(qp, QpType.Ud, QpState.Rts);
      const sges = [sgeOver(register(pd, Buffer.alloc(4090))), sgeOver(register(pd, Buffer.alloc(7)))];
      const ah = made(pd.createAh(1, 0, 0, 1));
      return () => postSends(qp, [{ sges }], [ah]);
    },
  ),
  datagram('AhGone', () => []),
  datagram('WrAhInOtherPd', (device) => [made(made(device.allocPd(false)).createAh(1, 0, 0, 1))]),
];

export const verbsFailures: Failure[] = [...gone, ...inUse, ...created, ...states, ...postings];
