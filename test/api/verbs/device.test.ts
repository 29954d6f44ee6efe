// The verbs of a device: limits, port, manual engine, timers and the counts of completions.
import { Device, type DeviceLimits } from '../../../lib';
import { argumentError, outOfRange, rdma, wrongType } from '../../support/answers';
import { ends, linesOf, refusal } from '../../support/queue-pairs';
import { open } from '../../support/scene';

const defaults: DeviceLimits = {
  maxQp: 65536,
  maxQpWr: 16384,
  maxSendSge: 32,
  maxRecvSge: 32,
  maxCq: 65536,
  maxCqe: 4194304,
  maxSrq: 65536,
  maxSrqWr: 65536,
  maxSrqSge: 32,
  maxPd: 16777216,
  maxRdmaAtomic: 16,
  npkeys: 1,
  maxAh: 65536,
};

describe('limits', () => {
  test('have defaults, and query returns them', () => {
    const device = open();
    expect(device.query()).toEqual(defaults);
    device.query().maxQp = 1; // a copy
    expect(device.query()).toEqual(defaults);
    expect(open({ limits: {} }).query()).toEqual(defaults);
  });

  test('can be set one by one, and a thread that attaches sees them', () => {
    const limits = {
      maxQp: 0,
      maxQpWr: 0xffff_ffff,
      maxSendSge: 255,
      npkeys: 7,
      maxPd: 2,
      maxAh: undefined as unknown,
    };
    const device = open({ limits: limits as Partial<DeviceLimits> });
    const expected = { ...defaults, ...limits, maxAh: 65536 };
    expect(device.query()).toEqual(expected);
    const attached = Device.attach(device.share());
    expect([attached.query(), attached.queryPort().pkeyTableLength]).toEqual([expected, 7]);
    device.allocPd();
    attached.allocPd();
    expect(refusal(() => device.allocPd()).slice(0, 2)).toEqual(['ENOMEM', 'TooManyObjects']);
    attached.detach({ cascade: true });
  });

  test.each(['maxSendSge', 'maxRecvSge', 'maxSrqSge'])('rejects %s above 255 with EINVAL', (name) => {
    expect(open({ limits: { [name]: 255 } }).query()).toMatchObject({ [name]: 255 });
    expect(() => new Device({ limits: { [name]: 256 } })).toThrow(rdma('EINVAL', 'driver_mr_init'));
    expect(refusal(() => new Device({ limits: { [name]: 256 } }))[1]).toBe('Limit');
    expect(() => new Device({ limits: { [name]: 256 } })).toThrow(`options.limits.${name}`);
  });

  test('allow no domain at all if the limit of domains is 0', () => {
    const device = open({ limits: { maxPd: 0 } });
    expect(refusal(() => device.allocPd()).slice(0, 2)).toEqual(['ENOMEM', 'TooManyObjects']);
  });

  test('rejects limits of wrong types, and unknown ones', () => {
    for (const limits of [null, 1, 'maxQp', []]) {
      expect(() => new Device({ limits } as never)).toThrow(wrongType('"options.limits"'));
    }
    expect(() => new Device({ limits: { maxQP: 1 } } as never)).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE', 'options.limits.maxQP'),
    );
    expect(() => new Device({ limits: { toString: 1 } } as never)).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE'),
    );
    expect(() => new Device({ limits: { maxQp: '1' } } as never)).toThrow(
      wrongType('"options.limits.maxQp"'),
    );
    for (const maxQp of [-1, 0.5, 2 ** 32]) {
      expect(() => new Device({ limits: { maxQp } })).toThrow(outOfRange('"options.limits.maxQp"'));
    }
    const inherited = Object.create({ maxCq: 1 }) as Partial<DeviceLimits>;
    expect(open({ limits: inherited }).query().maxCq).toBe(65536);
  });
});

test('queryPort returns the facts of the loopback, frozen', () => {
  const device = open({ limits: { npkeys: 3 } });
  const port = device.queryPort();
  expect(port).toEqual({
    port: 1,
    state: 'ACTIVE',
    lid: 1,
    maxMtu: 4096,
    activeMtu: 4096,
    gidTableLength: 1,
    pkeyTableLength: 3,
  });
  expect(Object.isFrozen(port)).toBe(true);
  device.close();
  expect(() => device.queryPort()).toThrow(rdma('EBADF', 'query_port'));
  expect(() => device.query()).toThrow(rdma('EBADF', 'query_device'));
});

describe('the manual engine', () => {
  test('works in run only, on queue pairs that are ready', () => {
    const { device, a, b, aCq } = ends();
    a.postSend({ opcode: 'RDMA_WRITE', wrId: 1, signaled: true, remoteAddr: 0, rkey: 0 as never });
    expect(aCq.length).toBe(0);
    device.run();
    expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE SUCCESS']);
    a.modify({ state: 'SQD' });
    a.postSend({ opcode: 'RDMA_WRITE', wrId: 2, signaled: true, remoteAddr: 0, rkey: 0 as never });
    device.run();
    a.modify({ state: 'RTS' });
    device.run();
    expect(linesOf(aCq)).toEqual([]);
    device.run({ kick: [b, a, a] });
    expect(linesOf(aCq)).toEqual(['2 RDMA_WRITE SUCCESS']);
  });

  test('is chosen by the opener; a Device object that attaches has it too', () => {
    expect(() => new Device({ engine: 'slow' } as never)).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE', "'auto', 'manual'"),
    );
    expect(() => new Device({ engine: 1 } as never)).toThrow(wrongType('"options.engine"'));
    const device = open({ engine: 'manual' });
    const attached = Device.attach(device.share());
    const pd = attached.allocPd();
    const cq = attached.createCq(4);
    const qp = pd.createQp({ type: 'RC', sendCq: cq });
    qp.connect(qp, { access: 0 });
    qp.postSend({ opcode: 'SEND', signaled: true });
    attached.run();
    expect(cq.length).toBe(0);
    expect(device.fireTimers()).toEqual([{ qp, qpId: qp.id, usec: 640 }]);
    attached.detach({ cascade: true });
  });

  test('fires timers in fireTimers only, in the order in which they were started', async () => {
    const { device, a, b, aCq, bCq } = ends({ connect: { minRnrTimer: 1, rnrRetry: 1 } });
    expect(device.fireTimers()).toEqual([]);
    b.postSend({ opcode: 'SEND', wrId: 2 });
    a.postSend({ opcode: 'SEND', wrId: 1 });
    device.run();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(device.fireTimers()).toEqual([
      { qp: b, qpId: b.id, usec: 10 },
      { qp: a, qpId: a.id, usec: 10 },
    ]);
    expect([aCq.length, device.fireTimers()]).toEqual([0, []]);
    device.run();
    expect(linesOf(bCq)).toEqual(['2 SEND RNR_RETRY_EXC_ERR NoReceive']);
    expect(linesOf(aCq)).toEqual(['1 SEND RETRY_EXC_ERR PeerState']); // the responder is in error now
  });

  test('run rejects wrong lists, queue pairs without queues and closed ones', () => {
    const { device, pd, a } = ends();
    expect(() => device.run({ kick: a } as never)).toThrow(wrongType('"options.kick"'));
    expect(() => device.run({ kick: [a, {}] } as never)).toThrow(wrongType('"options.kick[1]"'));
    expect(() => device.run({ kick: [null] } as never)).toThrow(wrongType('"options.kick[0]"'));
    expect(() => device.run({ now: 1 } as never)).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE', 'options.now'),
    );
    expect(refusal(() => device.run({ kick: [pd.createQp()] })).slice(0, 2)).toEqual([
      'EINVAL',
      'QpHasNoQueues',
    ]);
    a.destroy();
    expect(refusal(() => device.run({ kick: [a] })).slice(0, 2)).toEqual(['EBADF', 'QpGone']);
    device.close({ cascade: true });
    expect(() => device.run()).toThrow(rdma('EBADF', 'run_engine'));
    expect(() => device.fireTimers()).toThrow(rdma('EBADF', 'fire_timers'));
  });
});

describe('the automatic engine', () => {
  const auto = { device: { engine: 'auto' } } as const;

  test('fires RNR timers by itself, until the receive is there or the retries are used up', async () => {
    const { a, b, aCq } = ends({ ...auto, connect: { minRnrTimer: 1, rnrRetry: 7 } });
    a.postSend({ opcode: 'SEND', wrId: 1, signaled: true });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(aCq.length).toBe(0);
    b.postRecv({});
    aCq.arm();
    await new Promise<void>((resolve) => aCq.once('completion', resolve));
    expect(linesOf(aCq)).toEqual(['1 SEND SUCCESS']);
    a.modify({ state: 'RTS', minRnrTimer: 1 });
  });

  test('gives up after the retries', async () => {
    const { a, aCq } = ends({ ...auto, connect: { minRnrTimer: 1, rnrRetry: 3 } });
    const begin = performance.now();
    aCq.arm();
    a.postSend({ opcode: 'SEND', wrId: 1, signaled: true });
    expect(aCq.length).toBe(0);
    await new Promise<void>((resolve) => aCq.once('completion', resolve));
    expect(linesOf(aCq)).toEqual(['1 SEND RNR_RETRY_EXC_ERR NoReceive']);
    expect(performance.now() - begin).toBeLessThan(2000);
  });

  test('waits as long as the timer says: 491.52 ms for code 31', async () => {
    const { a, b, aCq } = ends({ ...auto, connect: { minRnrTimer: 31 } });
    const begin = performance.now();
    aCq.arm();
    a.postSend({ opcode: 'SEND', wrId: 1, signaled: true });
    b.postRecv({});
    await new Promise<void>((resolve) => aCq.once('completion', resolve));
    expect(performance.now() - begin).toBeGreaterThanOrEqual(490);
    expect(linesOf(aCq)).toEqual(['1 SEND SUCCESS']);
  });
});

describe('counters', () => {
  test('count completions by status, and lost ones', () => {
    const { device, a, b } = ends({ device: { engine: 'auto' }, cqe: 3, connect: { rnrRetry: 0 } });
    expect(device.counters().completions).toEqual({ lost: 0 });
    b.postRecv([{}, {}]);
    a.postSend({ opcode: 'SEND' });
    a.postSend({ opcode: 'SEND', signaled: true });
    a.postSend([{ opcode: 'SEND' }, { opcode: 'SEND' }, { opcode: 'SEND' }]);
    expect(device.counters().completions).toEqual({
      SUCCESS: 3,
      RNR_RETRY_EXC_ERR: 1,
      WR_FLUSH_ERR: 1,
      lost: 1,
    });
  });

  test('count completions for the whole device only', () => {
    const { device, pd } = ends();
    expect(device.counters({ own: true }).completions).toBeUndefined();
    const restricted = Device.attach(device.share({ pd }));
    expect(restricted.counters().completions).toBeUndefined();
    restricted.detach();
    const attached = Device.attach(device.share());
    expect(attached.counters().completions).toEqual({ lost: 0 });
    attached.detach();
  });
});
