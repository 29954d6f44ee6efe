// Failures of packed queues and of completion rings, through the classes.
import {
  Access,
  type CreateQpOptions,
  type DeviceOptions,
  type LocalSge,
  lkey,
  type QueuePair,
  type ReceiveWorkRequest,
  type RecvQueue,
  rkey,
  type SendQueue,
  type SendWorkRequest,
} from '../../../lib';
import { open } from '../scene';
import { failure, type Failure } from './failure';

const SLOTS = 8;
const write = { opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: rkey(0) } as const;
const sges = (count: number): LocalSge[] =>
  Array.from({ length: count }, () => ({ addr: 0x1000, length: 8, lkey: lkey(0x100) }));

/** A queue pair in RTS that is its own peer, with queues of 4 work requests with 2 SGEs each, and a shared receive queue alike. */
function make(options: Partial<CreateQpOptions<'RC'>> = {}, ofDevice: DeviceOptions = {}) {
  const device = open({ keyPolicy: 'sequential', engine: 'manual', ...ofDevice });
  const pd = device.allocPd();
  const sendCq = device.createCq(16);
  const limits = { maxSendWr: 4, maxRecvWr: 4, maxSendSge: 2, maxRecvSge: 2 };
  const qp = pd.createQp({ type: 'RC', sendCq, ...limits, ...options });
  qp.connect(qp, { access: Access.RemoteWrite, maxRdAtomic: 0 });
  return { device, pd, qp, srq: pd.createSrq({ maxWr: 4, maxSge: 2 }) };
}
type World = ReturnType<typeof make>;

/** Throws the error of the last posting of a packed queue. */
function raise(queue: SendQueue<'RC'> | RecvQueue): never {
  throw queue.error!;
}

type Expected = readonly [
  code: Failure['code'],
  cause: Failure['detail']['cause'],
  detail: Omit<Failure['detail'], 'cause'>,
];

/** A failure of `SendQueue.post`: `wrs` are posted from the first slots, after `before` has changed the world or the slots. */
function sends(
  [code, cause, detail]: Expected,
  posted: number,
  wrs: readonly SendWorkRequest<'RC'>[],
  before: (world: World, queue: SendQueue<'RC'>) => void = () => undefined,
  options: Partial<CreateQpOptions<'RC'>> = {},
): Failure {
  const described = failure('SendQueue.post', 'post_send', code, cause, detail, () => {
    const world = make(options);
    const queue = world.qp.sendQueue(SLOTS);
    wrs.forEach((wr, i) => {
      queue.fill(i, wr);
    });
    before(world, queue);
    return () => {
      queue.post(Math.max(1, wrs.length));
      raise(queue);
    };
  });
  return { ...described, posted };
}

/** A failure of `RecvQueue.post`, of the receives of a queue pair or of a shared receive queue. */
function receives(
  of: 'qp' | 'srq',
  [code, cause, detail]: Expected,
  posted: number,
  wrs: readonly ReceiveWorkRequest[],
  before: (world: World, queue: RecvQueue) => void = () => undefined,
): Failure {
  const [method, operation] =
    of === 'qp' ? ['RecvQueue.post', 'post_recv'] : ['RecvQueue.post (SharedReceiveQueue)', 'post_srq_recv'];
  const described = failure(method, operation, code, cause, detail, () => {
    const world = make();
    const queue = of === 'qp' ? world.qp.recvQueue(SLOTS) : world.srq.recvQueue(SLOTS);
    wrs.forEach((wr, i) => {
      queue.fill(i, wr);
    });
    before(world, queue);
    return () => {
      queue.post(wrs.length);
      raise(queue);
    };
  });
  return { ...described, posted };
}

const five = Array.from({ length: 5 }, () => ({}));
const full = { argument: 'wrs[4]', index: 4, value: 4, limit: 4 };
const inline = { argument: 'wrs[0].inline', index: 0, value: 8, limit: 4 };
const tooMany = { argument: 'wr.sges', value: 3, limit: 2 };

/** A call that creates something, after `before`. */
const creates = (
  method: string,
  operation: string,
  [code, cause, detail]: Expected,
  call: (world: World) => unknown,
  before: (world: World) => void = () => undefined,
): Failure =>
  failure(method, operation, code, cause, detail, () => {
    const world = make();
    before(world);
    return () => call(world);
  });

const destroyQp = ({ qp }: World): void => qp.destroy();
const destroySrq = ({ srq }: World): void => srq.destroy();

/** A completion ring whose queue is destroyed. */
const ringGone = (method: string, operation: string, use: 'next' | 'length'): Failure =>
  failure(method, operation, 'EBADF', 'CqGone', {}, () => {
    const cq = open().createCq(4, { ring: true });
    cq.destroy();
    return () => (use === 'next' ? cq.ring.next() : cq.ring.length);
  });

export const packedFailures: Failure[] = [
  creates(
    ...(['QueuePair.sendQueue', 'create_send_queue', ['EBADF', 'QpGone', {}]] as const),
    ({ qp }) => qp.sendQueue(1),
    destroyQp,
  ),
  creates(
    ...(['QueuePair.recvQueue', 'create_recv_queue', ['EBADF', 'QpGone', {}]] as const),
    ({ qp }) => qp.recvQueue(1),
    destroyQp,
  ),
  creates(
    ...(['SharedReceiveQueue.recvQueue', 'create_recv_queue', ['EBADF', 'SrqGone', {}]] as const),
    ({ srq }) => srq.recvQueue(1),
    destroySrq,
  ),
  creates(
    ...(['QueuePair.sendQueue', 'create_send_queue', ['EINVAL', 'QpHasNoQueues', {}]] as const),
    ({ pd }) => (pd.createQp() as QueuePair as QueuePair<'RC'>).sendQueue(1),
  ),
  creates(
    ...(['QueuePair.recvQueue', 'create_recv_queue', ['EINVAL', 'QpHasNoQueues', {}]] as const),
    ({ pd }) => (pd.createQp() as QueuePair as QueuePair<'RC'>).recvQueue(1),
  ),

  creates('SendQueue.fill', 'post_send', ['EINVAL', 'WrSges', tooMany], ({ qp }) => {
    qp.sendQueue(1).fill(0, { ...write, sges: sges(3) });
  }),
  creates('RecvQueue.fill', 'post_recv', ['EINVAL', 'WrSges', tooMany], ({ qp }) => {
    qp.recvQueue(1).fill(0, { sges: sges(3) });
  }),
  creates(
    'RecvQueue.fill (SharedReceiveQueue)',
    'post_srq_recv',
    ['EINVAL', 'WrSges', tooMany],
    ({ srq }) => {
      srq.recvQueue(1).fill(0, { sges: sges(3) });
    },
  ),

  {
    ...failure('QueuePair.postSend', 'post_send', 'EINVAL', 'WrInline', inline, () => {
      const { pd, qp } = make({}, { strict: { maxInlineData: 4 } });
      const mr = pd.regUserMr(Buffer.alloc(8));
      const sge = { addr: mr.start, length: 8, lkey: mr.lkey };
      return () => qp.postSend({ ...write, sges: [sge], inline: true });
    }),
    posted: 0,
  },

  sends(['EBADF', 'QpGone', {}], 0, [write], destroyQp),
  sends(['EINVAL', 'QpState', { value: 'RESET' }], 0, [write], ({ qp }) => {
    qp.modify({ state: 'RESET' });
  }),
  sends(
    ['ENOMEM', 'QueueFull', full],
    4,
    Array.from({ length: 5 }, () => write),
  ),
  // A slot that was never filled.
  sends(['EINVAL', 'WrOpcode', { argument: 'wrs[0].opcode', index: 0, value: 255, limit: 'RC' }], 0, []),
  sends(
    ['EINVAL', 'WrSgeRefused', { argument: 'wrs[1].sges[0]', index: 1, sge: 0, reason: 'NoSuchKey' }],
    1,
    [write, write],
    (_, queue) => {
      queue.setLocal(1, 0x1000, 8, lkey(0x100));
    },
  ),
  sends(['EINVAL', 'WrNoRdAtomic', { argument: 'wrs[1].opcode', index: 1 }], 1, [
    write,
    { opcode: 'RDMA_READ', remoteAddr: 0, rkey: rkey(0), sges: sges(1) },
  ]),

  receives('qp', ['EBADF', 'QpGone', {}], 0, [{}], destroyQp),
  receives('srq', ['EBADF', 'SrqGone', {}], 0, [{}], destroySrq),
  receives('qp', ['EINVAL', 'QpState', { value: 'RESET' }], 0, [{}], ({ qp }) => {
    qp.modify({ state: 'RESET' });
  }),
  receives('qp', ['ENOMEM', 'QueueFull', full], 4, five),
  receives('srq', ['ENOMEM', 'QueueFull', full], 4, five),

  ringGone('CompletionRing.next', 'poll_cq', 'next'),
  ringGone('CompletionRing.length', 'query_cq', 'length'),
];
