// RC queue pairs: the order of their completions, RNR retries, and the errors that end a connection.
import { rkey, type QueuePair } from '../../../lib';
import { ends, linesOf, memory, REMOTE } from '../../support/queue-pairs';

test('work requests of a queue pair are carried out in order, whatever their opcodes', () => {
  const { device, pd, a, b, aCq, bCq } = ends({ qp: { sqSigAll: true } });
  const [mem, word] = [memory(pd, 'abcdefgh'), memory(pd, 8)];
  b.postRecv({ wrId: 9, sges: [mem.sge(4, 2)] });
  a.postSend([
    { wrId: 1, opcode: 'RDMA_WRITE', sges: [mem.sge(0, 2)], ...mem.at(2) },
    { wrId: 2, opcode: 'SEND', sges: [mem.sge(2, 2)] },
    { wrId: 3, opcode: 'RDMA_READ', sges: [mem.sge(6, 2)], ...mem.at(4) },
    { wrId: 4, opcode: 'ATOMIC_FETCH_AND_ADD', sges: [word.sge()], ...mem.at(), compareAdd: 1 },
  ]);
  device.run();
  expect(linesOf(aCq)).toEqual([
    '1 RDMA_WRITE SUCCESS',
    '2 SEND SUCCESS',
    '3 RDMA_READ SUCCESS',
    '4 FETCH_ADD SUCCESS',
  ]);
  expect(linesOf(bCq)).toEqual(['9 RECV SUCCESS']);
  expect([mem.bytes.toString(), word.bytes.toString()]).toEqual(['bbababab', 'abababab']);
});

test('messages in both directions do not disturb each other', () => {
  const { device, pd, a, b, aCq, bCq } = ends();
  const [left, right] = [memory(pd, 'left '), memory(pd, 'right')];
  const [toLeft, toRight] = [memory(pd, 5), memory(pd, 5)];
  a.postRecv({ wrId: 1, sges: [toLeft.sge()] });
  b.postRecv({ wrId: 2, sges: [toRight.sge()] });
  a.postSend({ wrId: 3, opcode: 'SEND', sges: [left.sge()], signaled: true });
  b.postSend({ wrId: 4, opcode: 'SEND', sges: [right.sge()], signaled: true });
  device.run();
  expect([toLeft.bytes.toString(), toRight.bytes.toString()]).toEqual(['right', 'left ']);
  expect([linesOf(aCq), linesOf(bCq)]).toEqual([
    ['3 SEND SUCCESS', '1 RECV SUCCESS'],
    ['2 RECV SUCCESS', '4 SEND SUCCESS'],
  ]);
});

test('a write to the memory that a queue pair itself sends from is seen by later requests', () => {
  const { device, pd, a } = ends();
  const [one, two] = [memory(pd, '12'), memory(pd, 'xy')];
  a.postSend([
    { opcode: 'RDMA_WRITE', sges: [one.sge()], ...two.at() },
    { opcode: 'RDMA_WRITE', sges: [two.sge(1, 1)], ...one.at() },
  ]);
  device.run();
  expect([one.bytes.toString(), two.bytes.toString()]).toEqual(['22', '12']);
});

test('requests behind one that waits for a receive wait, too', () => {
  const { device, pd, a, aCq, b } = ends();
  const target = memory(pd, 1);
  a.postSend([
    { wrId: 1, opcode: 'SEND', signaled: true },
    { wrId: 2, opcode: 'RDMA_WRITE', sges: [memory(pd, 'x').sge()], ...target.at(), signaled: true },
  ]);
  device.run();
  device.run({ kick: [a] }); // does not end the waiting
  expect([linesOf(aCq), target.bytes[0]]).toEqual([[], 0]);
  b.postRecv({});
  device.run();
  expect(linesOf(aCq)).toEqual([]);
  device.fireTimers();
  device.run();
  expect(linesOf(aCq)).toEqual(['1 SEND SUCCESS', '2 RDMA_WRITE SUCCESS']);
});

test('a queue pair that failed works again after a reset of both ends', () => {
  const { device, pd, a, b, aCq, bCq } = ends();
  a.postSend({
    wrId: 1,
    opcode: 'RDMA_WRITE',
    sges: [memory(pd, 1).sge()],
    remoteAddr: 0,
    rkey: rkey(0xff00_0001),
  });
  device.run();
  expect([a.state, b.state]).toEqual(['ERR', 'ERR']);
  for (const qp of [a, b]) qp.modify({ state: 'RESET' });
  a.connect(b, { access: REMOTE });
  b.postRecv({ wrId: 2 });
  a.postSend({ wrId: 3, opcode: 'SEND', signaled: true });
  device.run();
  expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE REM_ACCESS_ERR NoSuchKey', '3 SEND SUCCESS']);
  expect(linesOf(bCq)).toEqual(['2 RECV SUCCESS']);
});

test('several queue pairs share a completion queue, and completions name theirs', () => {
  const { device, pd } = ends();
  const cq = device.createCq(64);
  const qps = [0, 1, 2].map(() => {
    const qp: QueuePair<'RC'> = pd.createQp({ type: 'RC', sendCq: cq });
    qp.connect(qp, { access: REMOTE });
    return qp;
  });
  for (const qp of qps) qp.postRecv({});
  for (const qp of qps) qp.postSend({ opcode: 'SEND', signaled: true });
  device.run();
  expect(cq.poll().map((wc) => [wc.qp, wc.qpn, wc.opcode])).toEqual(
    qps.flatMap((qp) => [
      [qp, qp.qpn, 'RECV'],
      [qp, qp.qpn, 'SEND'],
    ]),
  );
});

test('sends and receives report to different queues if they are given', () => {
  const { device, pd } = ends();
  const [sendCq, recvCq] = [device.createCq(4), device.createCq(4)];
  const qp = pd.createQp({ type: 'RC', sendCq, recvCq });
  qp.connect(qp, { access: 0 });
  qp.postRecv({ wrId: 1 });
  qp.postSend({ wrId: 2, opcode: 'SEND', signaled: true });
  device.run();
  expect([linesOf(sendCq), linesOf(recvCq)]).toEqual([['2 SEND SUCCESS'], ['1 RECV SUCCESS']]);
});

test('maxSendWr counts requests that wait, and completed ones make room', () => {
  const { device, a } = ends({ qp: { maxSendWr: 3 } });
  const wr = { opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: rkey(0) } as const;
  a.postSend([wr, wr, wr]);
  expect(() => {
    a.postSend(wr);
  }).toThrow(/the queue has no room for wrs\[0\]: it holds 3 of at most 3 work requests \(maxSendWr\)/);
  device.run();
  a.postSend([wr, wr, wr]);
  expect(a.query().sends).toBe(3);
});
