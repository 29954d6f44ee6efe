import { Access, type ConnectOptions, type QueuePair } from '../../../lib';
import { open } from '../../support/scene';
import { linesOf, refusal, REMOTE } from '../../support/queue-pairs';

function world(keyPolicy: 'sequential' | 'random' = 'sequential', limits = {}) {
  const device = open({ keyPolicy, limits });
  const pd = device.allocPd();
  const cq = device.createCq(16);
  const create = <Type extends 'RC' | 'UC' | 'UD'>(type: Type): QueuePair<Type> =>
    pd.createQp<Type>({ type, sendCq: cq });
  return { device, pd, cq, create };
}

test('connect brings both RC queue pairs to RTS, with the given rights and the defaults', () => {
  const { create } = world();
  const [a, b] = [create('RC'), create('RC')];
  a.connect(b, { access: Access.RemoteRead });
  const common = {
    state: 'RTS',
    access: Access.RemoteRead,
    pathMtu: 4096,
    minRnrTimer: 12,
    rnrRetry: 7,
    retryCnt: 7,
    timeout: 14,
    maxRdAtomic: 16,
    maxDestRdAtomic: 16,
    rqPsn: 0,
    sqPsn: 0,
    port: 1,
    av: { dlid: 1, sl: 0, staticRate: 0, port: 1 },
  };
  expect(a.query()).toMatchObject({ ...common, destQpn: b.qpn });
  expect(b.query()).toMatchObject({ ...common, destQpn: a.qpn });
});

test('connect takes every option', () => {
  const { create } = world();
  const [a, b] = [create('RC'), create('RC')];
  const options: ConnectOptions = {
    access: REMOTE,
    pathMtu: 256,
    minRnrTimer: 1,
    rnrRetry: 2,
    retryCnt: 3,
    timeout: 4,
    maxRdAtomic: 5,
  };
  a.connect(b, options);
  expect(a.query()).toMatchObject(options);
  expect(b.query()).toMatchObject(options);
});

test('maxRdAtomic defaults to the limit of the device', () => {
  const { create } = world('sequential', { maxRdmaAtomic: 3 });
  const [a, b] = [create('RC'), create('RC')];
  a.connect(b, { access: 0 });
  expect(a.query()).toMatchObject({ maxRdAtomic: 3, maxDestRdAtomic: 3 });
});

test('connects UC queue pairs', () => {
  const { create } = world();
  const [a, b] = [create('UC'), create('UC')];
  a.connect(b, { access: REMOTE, pathMtu: 512 });
  expect([a.state, b.state, a.query().pathMtu, b.query().destQpn]).toEqual(['RTS', 'RTS', 512, a.qpn]);
});

test('a queue pair may be connected with itself', () => {
  const { create, cq } = world();
  const qp = create('RC');
  qp.connect(qp, { access: 0 });
  qp.postRecv({ wrId: 1 });
  qp.postSend({ wrId: 2, opcode: 'SEND', signaled: true });
  expect(linesOf(cq)).toEqual(['1 RECV SUCCESS', '2 SEND SUCCESS']);
});

test('activate brings a UD queue pair to RTS', () => {
  const { create } = world();
  const qp = create('UD');
  qp.activate({ qkey: 0x11 });
  expect(qp.query()).toMatchObject({ state: 'RTS', qkey: 0x11, sqPsn: 0, port: 1 });
});

test('first packet numbers are random if the keys are, and those of the two directions match', () => {
  const { create } = world('random');
  const pairs = [0, 1, 2, 3].map(() => {
    const [a, b] = [create('RC'), create('RC')];
    a.connect(b, { access: 0 });
    expect([a.query().sqPsn, b.query().sqPsn]).toEqual([b.query().rqPsn, a.query().rqPsn]);
    return a.query().sqPsn;
  });
  expect(new Set(pairs).size).toBeGreaterThan(1);
  const ud = [0, 1, 2, 3].map(() => {
    const qp = create('UD');
    qp.activate({ qkey: 1 });
    return qp.query().sqPsn;
  });
  expect(new Set(ud).size).toBeGreaterThan(1);
});

test('refuses queue pairs that are not in RESET, and changes neither', () => {
  const { create } = world();
  const [a, b, c] = [create('RC'), create('RC'), create('RC')];
  a.connect(b, { access: 0 });
  const before = [a.query(), b.query(), c.query()];
  const connect = (one: QueuePair<'RC'>, other: QueuePair<'RC'>) =>
    refusal(() => {
      one.connect(other, { access: 0 });
    });
  expect(connect(a, c).slice(0, 2)).toEqual(['EINVAL', 'QpMove']);
  expect(connect(c, a).slice(0, 2)).toEqual(['EINVAL', 'QpMove']);
  expect([a.query(), b.query(), c.query()]).toEqual(before);
  const ud = create('UD');
  ud.activate({ qkey: 1 });
  expect(
    refusal(() => {
      ud.activate({ qkey: 1 });
    }).slice(0, 2),
  ).toEqual(['EINVAL', 'QpMove']);
});

test('a failure leaves both queue pairs in RESET', () => {
  const { create } = world();
  const [a, b] = [create('RC'), create('RC')];
  expect(
    refusal(() => {
      a.connect(b, { access: REMOTE, rnrRetry: 8 });
    }).slice(0, 2),
  ).toEqual(['EINVAL', 'QpAttribute']);
  expect(() => {
    a.connect(b, { access: REMOTE, timeout: 256 });
  }).toThrow(/"options.timeout" is out of range/);
  expect([a.state, b.state, a.query().access]).toEqual(['RESET', 'RESET', 0]);
  a.connect(b, { access: REMOTE });
  expect([a.state, b.state]).toEqual(['RTS', 'RTS']);
});

test('refuses peers of another type, of another device and of another class', () => {
  const { create } = world();
  const rc = create('RC');
  const connect = (peer: unknown) => () => {
    rc.connect(peer as QueuePair<'RC'>, { access: 0 });
  };
  expect(connect(create('UC'))).toThrow(/The argument 'peer' must be of type RC/);
  expect(connect(world().create('RC'))).toThrow(/The argument 'peer' must be of the same device/);
  expect(connect({})).toThrow(/The "peer" argument must be an instance of QueuePair/);
  expect(connect(undefined)).toThrow(/The "peer" argument must be an instance of QueuePair/);
  expect(rc.state).toBe('RESET');
});

test('rights are never a default', () => {
  const { create } = world();
  const [a, b] = [create('RC'), create('RC')];
  expect(() => {
    a.connect(b, {} as ConnectOptions);
  }).toThrow(/"options.access" property must be of type number/);
  expect(() => {
    a.connect(b, { access: undefined } as unknown as ConnectOptions);
  }).toThrow(/"options.access"/);
  expect(() => {
    a.connect(b, undefined as unknown as ConnectOptions);
  }).toThrow(/"options" argument must be of type object/);
  expect(() => {
    create('UD').activate({} as { qkey: number });
  }).toThrow(/"options.qkey" property must be of type number/);
});

test('UD queue pairs cannot be connected, nor others activated', () => {
  const { create } = world();
  const [a, b] = [create('UD'), create('UD')] as unknown as [QueuePair<'RC'>, QueuePair<'RC'>];
  expect(
    refusal(() => {
      a.connect(b, { access: 0 });
    })[0],
  ).toBe('EINVAL');
  expect(a.state).toBe('RESET');
  expect(
    refusal(() => {
      (create('RC') as unknown as QueuePair<'UD'>).activate({ qkey: 1 });
    })[0],
  ).toBe('EINVAL');
});
