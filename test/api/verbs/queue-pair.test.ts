import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import { type CreateQpOptions, type QpType, QueuePair } from '../../../lib';
import { rdma } from '../../support/answers';
import { open } from '../../support/scene';
import { ends, memory, refusal, REMOTE } from '../../support/queue-pairs';

function world(limits = {}) {
  const device = open({ limits, keyPolicy: 'sequential' });
  const pd = device.allocPd();
  const cq = device.createCq(16);
  return { device, pd, cq };
}

test.each(['RC', 'UC', 'UD'] as const)('creates a queue pair of type %s in RESET', (type) => {
  const { pd, cq } = world();
  const qp = pd.createQp({ type, sendCq: cq });
  expect(qp).toBeInstanceOf(QueuePair);
  expect(qp).toBeInstanceOf(EventEmitter);
  expect([qp.type, qp.state, qp.qpn]).toEqual([type, 'RESET', 2]);
  expect([qp.sendCq, qp.recvCq, qp.srq]).toEqual([cq, cq, undefined]);
});

test('without options, or with type CHECK, creates a queue pair that has no queues', () => {
  const { pd } = world();
  for (const qp of [pd.createQp(), pd.createQp({}), pd.createQp({ type: 'CHECK' })]) {
    expect([qp.type, qp.qpn, qp.sendCq, qp.recvCq, qp.srq]).toEqual([
      'CHECK',
      0,
      undefined,
      undefined,
      undefined,
    ]);
  }
});

test('methods that need queues refuse a queue pair without queues with EINVAL', () => {
  const { pd, cq } = world();
  const check = pd.createQp() as unknown as QueuePair<'RC'>;
  const peer = pd.createQp({ type: 'RC', sendCq: cq });
  const sge = memory(pd, 8).sge();
  const none = ['EINVAL', 'QpHasNoQueues'];
  expect(refusal(() => check.state).slice(0, 2)).toEqual(none);
  expect(refusal(() => check.query()).slice(0, 2)).toEqual(none);
  expect(
    refusal(() => {
      check.modify({ state: 'ERR' });
    }).slice(0, 2),
  ).toEqual(none);
  expect(
    refusal(() => {
      check.postSend({ opcode: 'SEND' });
    }),
  ).toEqual([...none, undefined, 0]);
  expect(
    refusal(() => {
      check.postRecv({});
    }),
  ).toEqual([...none, undefined, 0]);
  expect(refusal(() => check.recv(sge)).slice(0, 2)).toEqual(none);
  expect(refusal(() => check.send(sge)).slice(0, 2)).toEqual(none);
  expect(() => {
    check.connect(peer, { access: 0 });
  }).toThrow(/must be of type CHECK/);
  expect(() => {
    peer.connect(check, { access: 0 });
  }).toThrow(/must be of type RC/);
});

test('numbers of queue pairs begin at 2 and are never reused', () => {
  const { pd, cq } = world();
  const first = pd.createQp({ type: 'RC', sendCq: cq });
  const second = pd.createQp({ type: 'UD', sendCq: cq });
  first.destroy();
  expect([first.qpn, second.qpn, pd.createQp({ type: 'UC', sendCq: cq }).qpn]).toEqual([2, 3, 4]);
});

test('the sizes of the queues are 64 work requests with 4 SGEs unless given', () => {
  const { pd, cq } = world();
  const sizes = (qp: QueuePair<'RC'>) => {
    const { maxSendWr, maxRecvWr, maxSendSge, maxRecvSge, sqSigAll } = qp.query();
    return [maxSendWr, maxRecvWr, maxSendSge, maxRecvSge, sqSigAll];
  };
  expect(sizes(pd.createQp({ type: 'RC', sendCq: cq }))).toEqual([64, 64, 4, 4, false]);
  const given = { maxSendWr: 1, maxRecvWr: 2, maxSendSge: 3, maxRecvSge: 0, sqSigAll: true };
  expect(sizes(pd.createQp({ type: 'RC', sendCq: cq, ...given }))).toEqual([1, 2, 3, 0, true]);
  const srq = pd.createSrq({ maxWr: 4 });
  const shared = pd.createQp({ type: 'RC', sendCq: cq, srq, maxRecvWr: 4_000_000_000 });
  expect(sizes(shared)).toEqual([64, 0, 4, 0, false]);
  expect(shared.srq).toBe(srq);
});

describe('createQp refuses', () => {
  test.each<[string, Partial<CreateQpOptions>, string[]]>([
    ['more work requests than maxQpWr', { maxSendWr: 11 }, ['EINVAL', 'Capacity']],
    ['more receives than maxQpWr', { maxRecvWr: 11 }, ['EINVAL', 'Capacity']],
    ['more SGEs than maxSendSge', { maxSendSge: 6 }, ['EINVAL', 'Capacity']],
    ['more SGEs than maxRecvSge', { maxRecvSge: 7 }, ['EINVAL', 'Capacity']],
    [
      'no capacity at all',
      { maxSendWr: 0, maxRecvWr: 0, maxSendSge: 0, maxRecvSge: 0 },
      ['EINVAL', 'NoCapacity'],
    ],
  ])('%s', (_, options, expected) => {
    const { device, pd, cq } = world({ maxQpWr: 10, maxSendSge: 5, maxRecvSge: 6 });
    const small = { maxSendWr: 1, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1 };
    expect(refusal(() => pd.createQp({ type: 'RC', sendCq: cq, ...small, ...options })).slice(0, 2)).toEqual(
      expected,
    );
    expect(device.resources().queuePairs).toEqual([]);
  });

  test('more queue pairs than maxQp', () => {
    const { pd, cq } = world({ maxQp: 1 });
    const first = pd.createQp({ type: 'RC', sendCq: cq });
    const create = () => pd.createQp({ type: 'RC', sendCq: cq });
    expect(refusal(create).slice(0, 2)).toEqual(['ENOMEM', 'TooManyObjects']);
    first.destroy();
    expect(create().state).toBe('RESET');
  });

  test('queues of another device', () => {
    const { pd, cq } = world();
    const other = world();
    expect(refusal(() => pd.createQp({ type: 'RC', sendCq: other.cq })).slice(0, 2)).toEqual([
      'EINVAL',
      'QueueElsewhere',
    ]);
    expect(refusal(() => pd.createQp({ type: 'RC', sendCq: cq, recvCq: other.cq })).slice(0, 2)).toEqual([
      'EINVAL',
      'QueueElsewhere',
    ]);
    const srq = other.pd.createSrq({ maxWr: 1 });
    expect(refusal(() => pd.createQp({ type: 'RC', sendCq: cq, srq })).slice(0, 2)).toEqual([
      'EINVAL',
      'QueueElsewhere',
    ]);
  });

  test('destroyed queues and a deallocated domain with EBADF', () => {
    const { pd, cq, device } = world();
    const dead = device.createCq(1);
    dead.destroy();
    expect(refusal(() => pd.createQp({ type: 'RC', sendCq: dead })).slice(0, 2)).toEqual(['EBADF', 'CqGone']);
    expect(refusal(() => pd.createQp({ type: 'RC', sendCq: cq, recvCq: dead })).slice(0, 2)).toEqual([
      'EBADF',
      'CqGone',
    ]);
    const srq = pd.createSrq({ maxWr: 1 });
    srq.destroy();
    expect(refusal(() => pd.createQp({ type: 'RC', sendCq: cq, srq })).slice(0, 2)).toEqual([
      'EBADF',
      'SrqGone',
    ]);
    pd.dealloc();
    expect(refusal(() => pd.createQp({ type: 'RC', sendCq: cq })).slice(0, 2)).toEqual(['EBADF', 'PdGone']);
  });

  test.each<[string, object, RegExp]>([
    ['an unknown type', { type: 'XRC_INI' }, /'options.type' must be one of: 'CHECK', 'RC', 'UC', 'UD'/],
    [
      'a missing completion queue',
      { type: 'RC', sendCq: undefined },
      /"options.sendCq" property must be an instance of CompletionQueue/,
    ],
    [
      'a receive queue of another class',
      { type: 'RC', recvCq: {} },
      /"options.recvCq" property must be an instance of CompletionQueue/,
    ],
    [
      'a shared receive queue of another class',
      { type: 'RC', srq: {} },
      /"options.srq" property must be an instance of SharedReceiveQueue/,
    ],
    ['an unknown option', { type: 'RC', maxWr: 1 }, /'options.maxWr' is not a known option/],
    ['a size that is no integer', { type: 'RC', maxSendWr: 1.5 }, /"options.maxSendWr" is out of range/],
    ['a negative maxPending', { type: 'RC', maxPending: -1 }, /"options.maxPending" is out of range/],
    [
      'a number as sqSigAll',
      { type: 'RC', sqSigAll: 1 },
      /"options.sqSigAll" property must be of type boolean/,
    ],
    ['queues without a type', { type: 'CHECK' }, /'options.sendCq' needs options.type/],
  ])('%s', (_, options, message) => {
    const { pd, cq, device } = world();
    expect(() => pd.createQp({ sendCq: cq, ...options } as unknown as CreateQpOptions)).toThrow(message);
    expect(device.resources().queuePairs).toEqual([]);
  });
});

test('a queue pair is shown with type, number and state', () => {
  const { pd, cq } = world();
  const qp = pd.createQp({ type: 'RC', sendCq: cq });
  expect(qp.toJSON()).toEqual({ class: 'QueuePair', id: qp.id, type: 'RC', qpn: 2, state: 'RESET' });
  expect(String(qp)).toBe(`QueuePair { #${qp.id} type RC qpn 2 RESET }`);
  expect(inspect(qp)).toBe(String(qp));
  qp.destroy();
  expect(qp.toJSON()).toEqual({ class: 'QueuePair', id: qp.id, type: 'RC', qpn: 2, state: 'Closed' });
  expect(pd.createQp().toJSON()).toMatchObject({ class: 'QueuePair', state: 'Open' });
});

test('after destroy every method but destroy throws EBADF, and number and type stay', () => {
  const { a, b } = ends();
  const sge = { addr: 0n, length: 0, lkey: 0 as never };
  a.destroy();
  a.destroy();
  a[Symbol.dispose]();
  expect([a.qpn, a.type]).toEqual([2, 'RC']);
  expect(() => a.state).toThrow(rdma('EBADF', 'query_qp'));
  expect(() => a.query()).toThrow(rdma('EBADF', 'query_qp'));
  expect(() => {
    a.modify({ state: 'ERR' });
  }).toThrow(rdma('EBADF', 'modify_qp'));
  expect(() => {
    a.connect(b, { access: REMOTE });
  }).toThrow(rdma('EBADF', 'modify_qp'));
  expect(
    refusal(() => {
      a.postSend({ opcode: 'SEND', sges: [sge] });
    }),
  ).toEqual(['EBADF', 'QpGone', undefined, 0]);
  expect(
    refusal(() => {
      a.postRecv({});
    }),
  ).toEqual(['EBADF', 'QpGone', undefined, 0]);
});

test('destroying a queue pair drops its work requests without completions', () => {
  const { device, a, b, aCq, bCq } = ends();
  a.postSend({ opcode: 'SEND', signaled: true });
  b.postRecv({});
  a.destroy();
  b.destroy();
  device.run();
  expect([aCq.poll(), bCq.poll()]).toEqual([[], []]);
});

test('a domain, a completion queue and a shared receive queue in use by queue pairs refuse to end with EBUSY', () => {
  const { device, pd, cq } = world();
  const srq = pd.createSrq({ maxWr: 1 });
  const qps = [0, 1].map(() => pd.createQp({ type: 'RC', sendCq: cq, srq }));
  const ah = pd.createAh();
  const counts = (call: () => void) => {
    try {
      call();
    } catch (error) {
      return (error as { detail: { counts: object } }).detail.counts;
    }
    return undefined;
  };
  expect(
    counts(() => {
      pd.dealloc();
    }),
  ).toEqual({ queuePairs: 2, sharedReceiveQueues: 1, addressHandles: 1 });
  expect(
    counts(() => {
      cq.destroy();
    }),
  ).toEqual({ queuePairs: 2 });
  expect(
    counts(() => {
      srq.destroy();
    }),
  ).toEqual({ queuePairs: 2 });
  for (const qp of qps) qp.destroy();
  srq.destroy();
  cq.destroy();
  ah.destroy();
  pd.dealloc();
  expect(device.resources().queuePairs).toEqual([]);
});

test('lastWqe is emitted after the call, for a queue pair with a shared receive queue that goes into error', async () => {
  const { device, pd, cq } = world();
  const srq = pd.createSrq({ maxWr: 4 });
  const qp = pd.createQp({ type: 'RC', sendCq: cq, srq });
  qp.connect(qp, { access: 0 });
  const events: string[] = [];
  const emitted = new Promise<void>((resolve) => {
    qp.on('lastWqe', () => {
      events.push('event');
      resolve();
    });
  });
  qp.modify({ state: 'ERR' });
  events.push('after the call');
  device.run();
  await emitted;
  expect(events).toEqual(['after the call', 'event']);
});

test('createQp has the types that its arguments determine', () => {
  const types: QpType[] = ['CHECK', 'RC', 'UC', 'UD'];
  const { pd, cq } = world();
  expect(
    types.map((type) => (type === 'CHECK' ? pd.createQp({ type }) : pd.createQp({ type, sendCq: cq })).type),
  ).toEqual(types);
});
