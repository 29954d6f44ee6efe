import { Access, type QpAttributes, type QueuePair } from '../../../lib';
import { open } from '../../support/scene';
import { linesOf, refusal, REMOTE, ends } from '../../support/queue-pairs';

type Any = QueuePair<'RC' | 'UC' | 'UD'>;

const init: QpAttributes = { state: 'INIT', pkeyIndex: 0, port: 1, access: REMOTE };
const rtr: QpAttributes = {
  state: 'RTR',
  av: { dlid: 1 },
  pathMtu: 1024,
  destQpn: 2,
  rqPsn: 0,
  maxDestRdAtomic: 4,
  minRnrTimer: 1,
};
const rts: QpAttributes = { state: 'RTS', timeout: 14, retryCnt: 7, rnrRetry: 7, sqPsn: 0, maxRdAtomic: 4 };

/** Returns a queue pair of type RC in the state. */
function inState(state: 'RESET' | 'INIT' | 'RTR' | 'RTS' | 'SQD' | 'ERR'): QueuePair<'RC'> {
  const device = open({ engine: 'manual', keyPolicy: 'sequential' });
  const qp = device.allocPd().createQp({ type: 'RC', sendCq: device.createCq(16) });
  const path = {
    RESET: [],
    INIT: [init],
    RTR: [init, rtr],
    RTS: [init, rtr, rts],
    SQD: [init, rtr, rts, { state: 'SQD' }],
    ERR: [init, { state: 'ERR' }],
  } as const;
  for (const attributes of path[state]) qp.modify(attributes);
  return qp;
}

const modify = (qp: Any, attributes: QpAttributes) => () => {
  qp.modify(attributes);
};
const causeOf = (call: () => unknown) => refusal(call).slice(0, 2).join(' ');

test.each(['RESET', 'INIT', 'RTR', 'RTS', 'SQD', 'ERR'] as const)('reaches state %s', (state) => {
  expect(inState(state).state).toBe(state);
});

test('query returns what modify has set', () => {
  const qp = inState('RTS');
  expect(qp.query()).toEqual({
    qpn: 2,
    type: 'RC',
    state: 'RTS',
    access: REMOTE,
    pkeyIndex: 0,
    port: 1,
    qkey: 0,
    av: { dlid: 1, sl: 0, staticRate: 0, port: 1 },
    pathMtu: 1024,
    timeout: 14,
    retryCnt: 7,
    rnrRetry: 7,
    rqPsn: 0,
    maxRdAtomic: 4,
    altPath: { dlid: 0, sl: 0, staticRate: 0, port: 0, pkeyIndex: 0 },
    minRnrTimer: 1,
    sqPsn: 0,
    maxDestRdAtomic: 4,
    pathMigState: 'MIGRATED',
    destQpn: 2,
    sqSigAll: false,
    maxSendWr: 64,
    maxRecvWr: 64,
    maxSendSge: 4,
    maxRecvSge: 4,
    sends: 0,
    receives: 0,
    sqDraining: false,
  });
});

test('a new queue pair has no attributes', () => {
  expect(inState('RESET').query()).toMatchObject({
    port: 0,
    pathMtu: undefined,
    access: 0,
    pathMigState: 'MIGRATED',
  });
});

test.each([256, 512, 1024, 2048, 4096] as const)('takes a path MTU of %i bytes', (pathMtu) => {
  const qp = inState('INIT');
  qp.modify({ ...rtr, pathMtu });
  expect(qp.query().pathMtu).toBe(pathMtu);
});

test('stores paths with all their properties', () => {
  const qp = inState('INIT');
  const av = { dlid: 0xbfff, sl: 3, staticRate: 22, port: 1 };
  const altPath = { dlid: 7, sl: 4, staticRate: 2, port: 1, pkeyIndex: 0 };
  qp.modify({ ...rtr, av, altPath });
  expect(qp.query()).toMatchObject({ av, altPath });
});

test('the defaults of a path are service level 0, static rate 0 and port 1', () => {
  const qp = inState('INIT');
  qp.modify({ ...rtr, altPath: { dlid: 9 } });
  expect(qp.query().altPath).toEqual({ dlid: 9, sl: 0, staticRate: 0, port: 1, pkeyIndex: 0 });
});

test('PSNs are taken modulo 2^24', () => {
  const qp = inState('INIT');
  qp.modify({ ...rtr, rqPsn: 2 ** 24 + 5 });
  qp.modify({ ...rts, sqPsn: 2 ** 32 - 1 });
  expect(qp.query()).toMatchObject({ rqPsn: 5, sqPsn: 2 ** 24 - 1 });
});

test('curState must be the present state', () => {
  const qp = inState('RTS');
  expect(causeOf(modify(qp, { curState: 'SQD', state: 'RTS' }))).toBe('EINVAL CurState');
  qp.modify({ curState: 'RTS', state: 'RTS' });
  expect(qp.state).toBe('RTS');
});

test('SQD takes enSqdAsyncNotify, and goes back to RTS', () => {
  const qp = inState('RTS');
  qp.modify({ state: 'SQD', enSqdAsyncNotify: true });
  expect(qp.state).toBe('SQD');
  qp.modify({ state: 'RTS' });
  expect(qp.state).toBe('RTS');
});

describe('refuses with EINVAL and changes nothing:', () => {
  test.each<[string, Parameters<typeof inState>[0], QpAttributes, string]>([
    ['a step over a state', 'RESET', { ...rtr }, 'QpMove'],
    ['ERR from RESET', 'RESET', { state: 'ERR' }, 'QpMove'],
    ['SQE', 'RTS', { state: 'SQE' }, 'QpMove'],
    ['an attribute in RTR without a new state', 'RTR', { access: 0 }, 'QpMove'],
    ['a missing attribute', 'RESET', { state: 'INIT', pkeyIndex: 0, port: 1 }, 'QpNeeds'],
    ['an attribute that the change of state does not take', 'RESET', { ...init, qkey: 1 }, 'QpForbids'],
    ['an attribute with RESET', 'RTS', { state: 'RESET', access: 0 }, 'QpForbids'],
    ['a P_Key index beyond the table', 'RESET', { ...init, pkeyIndex: 1 }, 'QpAttribute'],
    ['port 2', 'RESET', { ...init, port: 2 }, 'QpAttribute'],
    ['an RNR timer above 31', 'INIT', { ...rtr, minRnrTimer: 32 }, 'QpAttribute'],
    ['a queue pair number above 24 bits', 'INIT', { ...rtr, destQpn: 2 ** 24 }, 'QpAttribute'],
    ['an MTU that does not exist', 'INIT', { ...rtr, pathMtu: 300 as 256 }, 'QpAttribute'],
    ['more outstanding reads than maxRdmaAtomic', 'INIT', { ...rtr, maxDestRdAtomic: 17 }, 'QpAttribute'],
    ['a retry count above 7', 'RTR', { ...rts, retryCnt: 8 }, 'QpAttribute'],
    ['an RNR retry count above 7', 'RTR', { ...rts, rnrRetry: 8 }, 'QpAttribute'],
    ['a multicast LID', 'INIT', { ...rtr, av: { dlid: 0xc000 } }, 'PathDlid'],
    ['a path over port 2', 'INIT', { ...rtr, av: { dlid: 1, port: 2 } }, 'PathPort'],
    ['an unknown static rate', 'INIT', { ...rtr, av: { dlid: 1, staticRate: 1 } }, 'PathRate'],
    [
      'an alternate path with a wrong P_Key index',
      'INIT',
      { ...rtr, altPath: { dlid: 1, pkeyIndex: 1 } },
      'QpAttribute',
    ],
    ['migration state ARMED', 'RTS', { state: 'RTS', pathMigState: 'ARMED' }, 'PathMig'],
  ])('%s', (_, state, attributes, cause) => {
    const qp = inState(state);
    const before = qp.query();
    expect(causeOf(modify(qp, attributes))).toBe(`EINVAL ${cause}`);
    expect(qp.query()).toEqual(before);
  });
});

describe('refuses arguments of wrong types:', () => {
  test.each<[string, unknown, RegExp]>([
    ['no attributes', undefined, /must be of type object/],
    ['an unknown attribute', { cap: {} }, /'options.cap' is not a known option/],
    ['an unknown state', { state: 'READY' }, /'attributes.state' must be one of: 'RESET', 'INIT'/],
    ['a state that is a number', { state: 1 }, /"attributes.state" property must be of type string/],
    [
      'undefined rights',
      { state: 'INIT', access: undefined },
      /"options.access" property must be of type number/,
    ],
    ['a path that is a number', { av: 1 }, /"attributes.av" property must be of type object/],
    ['a path without a destination', { av: {} }, /"attributes.av.dlid" property must be of type number/],
    ['a number that does not fit', { timeout: 256 }, /"attributes.timeout" is out of range/],
    ['a bigint', { sqPsn: 1n }, /"attributes.sqPsn" property must be of type number/],
    ['an MTU below the smallest', { pathMtu: 1 }, /"attributes.pathMtu" is out of range/],
    [
      'enSqdAsyncNotify that is a number',
      { enSqdAsyncNotify: 1 },
      /"attributes.enSqdAsyncNotify" property must be of type boolean/,
    ],
  ])('%s', (_, attributes, message) => {
    const qp = inState('RTS');
    expect(modify(qp, attributes as QpAttributes)).toThrow(message);
    expect(qp.state).toBe('RTS');
  });

  test('unknown access bits, with EINVAL', () => {
    expect(causeOf(modify(inState('RESET'), { ...init, access: 1 << 20 }))).toBe('EINVAL UnknownRights');
  });
});

test('a reset drops sends without completions, keeps receives, and forgets the peer', () => {
  const { device, a, b, aCq, bCq } = ends();
  b.postRecv({ wrId: 1 });
  b.postSend({ wrId: 2, opcode: 'SEND', signaled: true });
  b.modify({ state: 'RESET' });
  device.run();
  expect(b.query()).toMatchObject({ state: 'RESET', destQpn: 0, access: 0, sends: 0, receives: 1 });
  expect([linesOf(aCq), linesOf(bCq)]).toEqual([[], []]);
  a.modify({ state: 'RESET' });
  a.connect(b, { access: REMOTE });
  a.postSend({ opcode: 'SEND' });
  device.run();
  expect(linesOf(bCq)).toEqual(['1 RECV SUCCESS']);
});

test('the error state flushes receives at once and sends when the engine comes to them', () => {
  const { device, a, aCq } = ends();
  a.postSend([
    { wrId: 1, opcode: 'SEND' },
    { wrId: 2, opcode: 'SEND' },
  ]);
  a.postRecv([{ wrId: 3 }, { wrId: 4 }]);
  a.modify({ state: 'ERR' });
  expect(linesOf(aCq)).toEqual(['3 RECV WR_FLUSH_ERR Flushed', '4 RECV WR_FLUSH_ERR Flushed']);
  device.run();
  expect(linesOf(aCq)).toEqual(['1 SEND WR_FLUSH_ERR Flushed', '2 SEND WR_FLUSH_ERR Flushed']);
});

test('SQD stops the send queue, and RTS alone does not start it again: a kick does', () => {
  const { device, a, aCq, b } = ends();
  b.postRecv({});
  a.modify({ state: 'SQD' });
  a.postSend({ wrId: 1, opcode: 'SEND', signaled: true });
  device.run();
  expect(linesOf(aCq)).toEqual([]);
  a.modify({ state: 'RTS' });
  device.run();
  expect(linesOf(aCq)).toEqual([]);
  device.run({ kick: [a] });
  expect(linesOf(aCq)).toEqual(['1 SEND SUCCESS']);
});

test('sqDraining tells whether a send was in progress when the queue pair went to SQD', () => {
  const { device, a } = ends();
  a.postSend({ opcode: 'SEND' }); // the peer has no receive
  device.run();
  a.modify({ state: 'SQD' });
  expect(a.query()).toMatchObject({ sqDraining: true, sends: 1 });
});

test('posted messages advance sqPsn by their packets', () => {
  const { pd, device } = ends();
  const cq = device.createCq(4);
  const [a, b] = [0, 1].map(() => pd.createQp({ type: 'RC', sendCq: cq })) as [
    QueuePair<'RC'>,
    QueuePair<'RC'>,
  ];
  a.connect(b, { access: Access.RemoteWrite, pathMtu: 256 });
  const bytes = Buffer.alloc(513);
  const { start, lkey } = pd.regUserMr(bytes);
  a.postSend({
    opcode: 'RDMA_WRITE',
    sges: [{ addr: start, length: 513, lkey }],
    remoteAddr: 0,
    rkey: 0 as never,
  });
  a.postSend({ opcode: 'SEND' });
  expect(a.query().sqPsn).toBe(4);
});
