import { ends, linesOf, memory, refusal } from '../../support/queue-pairs';

test('receives are used in order', () => {
  const { device, a, b, bCq } = ends();
  b.postRecv([{ wrId: 3 }, { wrId: 1n }]);
  b.postRecv({ wrId: 2n ** 63n });
  a.postSend([{ opcode: 'SEND' }, { opcode: 'SEND' }, { opcode: 'SEND' }]);
  device.run();
  expect(linesOf(bCq)).toEqual(['3 RECV SUCCESS', '1 RECV SUCCESS', `${2n ** 63n} RECV SUCCESS`]);
});

test('receives may be posted from INIT on, but not in RESET', () => {
  const { device, pd } = ends();
  const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(4) });
  expect(
    refusal(() => {
      qp.postRecv([{}, {}]);
    }),
  ).toEqual(['EINVAL', 'QpState', undefined, 0]);
  qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
  qp.postRecv([{}, {}]);
  expect(qp.query().receives).toBe(2);
});

test('receives before the refused one stay posted, and the error says how many', () => {
  const { pd, b } = ends({ qp: { maxRecvSge: 1, maxRecvWr: 3 } });
  const { sge } = memory(pd, 8);
  expect(
    refusal(() => {
      b.postRecv([{}, {}, { sges: [sge(), sge()] }]);
    }),
  ).toEqual(['EINVAL', 'WrSges', 2, 2]);
  expect(
    refusal(() => {
      b.postRecv([{}, {}]);
    }),
  ).toEqual(['ENOMEM', 'QueueFull', 1, 1]);
  expect(b.query().receives).toBe(3);
});

test('the SGEs of a receive are not checked and not referenced by the call', () => {
  const { pd, b } = ends();
  const { sge, mr } = memory(pd, 8);
  const { refs } = mr;
  b.postRecv([{ sges: [sge(), { addr: 0, length: 99, lkey: 5 as never }] }]);
  expect(mr.refs).toBe(refs);
});

test('the queue holds no reference to the lists of the program', () => {
  const { device, pd, a, b } = ends();
  const [from, to] = [memory(pd, 'abc'), memory(pd, 6)];
  const sges = [to.sge(0, 3)];
  const wr = { wrId: 1, sges };
  b.postRecv(wr);
  Object.assign(sges[0]!, to.sge(3));
  wr.sges = [];
  a.postSend({ opcode: 'SEND', sges: [from.sge()] });
  device.run();
  expect(to.bytes.toString()).toBe('abc\0\0\0');
});

describe('throws, and posts nothing, for', () => {
  test.each<[string, unknown, RegExp]>([
    ['no receive', undefined, /"wr" argument must be of type object/],
    ['a string', 'x', /"wr" argument must be of type object/],
    ['null in a list', [{}, null], /"wrs\[1\]" argument must be of type object/],
    ['a wr_id above 64 bits', [{}, { wrId: 2n ** 64n }], /"wrs\[1\].wrId" is out of range/],
    ['SGEs that are no list', { sges: 'abc' }, /"wr.sges" property must be an instance of Array/],
    [
      'an SGE without a length',
      { sges: [{ addr: 0, lkey: 1 }] },
      /"wr.sges\[0\].length" property must be of type number/,
    ],
  ])('%s', (_, wrs, message) => {
    const { b } = ends();
    expect(() => {
      b.postRecv(wrs as never);
    }).toThrow(message);
    expect(b.query().receives).toBe(0);
  });
});

test('the same checks hold for a shared receive queue', () => {
  const { pd } = ends();
  const srq = pd.createSrq({ maxWr: 2, maxSge: 1 });
  const { sge } = memory(pd, 8);
  expect(() => {
    srq.postRecv([{}, { wrId: -1 }]);
  }).toThrow(/"wrs\[1\].wrId" is out of range/);
  expect(
    refusal(() => {
      srq.postRecv([{}, { sges: [sge(), sge()] }]);
    }),
  ).toEqual(['EINVAL', 'WrSges', 1, 1]);
  expect(
    refusal(() => {
      srq.postRecv([{}, {}]);
    }),
  ).toEqual(['ENOMEM', 'QueueFull', 1, 1]);
});
