// Unreliable connected queue pairs: sends and writes only; what the peer cannot take is lost.
import { Access, rkey, type SendWorkRequest } from '../../../lib';
import { ends, linesOf, memory, outcome, refusal } from '../../support/queue-pairs';

const uc = (options = {}) => ends({ type: 'UC', ...options });

test('sends and writes work as with RC', () => {
  const all = uc();
  const { pd, b, bCq } = all;
  const [from, to] = [memory(pd, 'abc'), memory(pd, 3)];
  b.postRecv([{ wrId: 2, sges: [to.sge()] }, { wrId: 3 }]);
  expect(outcome(all, { opcode: 'SEND_WITH_IMM', sges: [from.sge()], imm: 4 })).toBe('1 SEND SUCCESS');
  expect(to.bytes.toString()).toBe('abc');
  expect(outcome(all, { opcode: 'RDMA_WRITE_WITH_IMM', sges: [from.sge(1, 1)], ...to.at(), imm: 5 })).toBe(
    '1 RDMA_WRITE SUCCESS',
  );
  expect(to.bytes.toString()).toBe('bbc');
  expect(bCq.poll().map(({ wrId, imm }) => [wrId, imm])).toEqual([
    [2, 4],
    [3, 5],
  ]);
});

test.each(['SEND_WITH_INV', 'RDMA_READ', 'ATOMIC_CMP_AND_SWP', 'ATOMIC_FETCH_AND_ADD'] as const)(
  'refuses %s',
  (opcode) => {
    const { pd, a } = uc();
    const wr = {
      opcode,
      sges: [memory(pd, 8).sge()],
      remoteAddr: 0,
      rkey: rkey(0),
      invalidateRkey: rkey(1),
      compareAdd: 0,
      swap: 0,
    };
    expect(
      refusal(() => {
        a.postSend(wr as unknown as SendWorkRequest<'UC'>);
      }),
    ).toEqual(['EINVAL', 'WrOpcode', 0, 0]);
  },
);

test('a send to a peer without a receive is dropped and succeeds', () => {
  const all = uc();
  expect(outcome(all, { opcode: 'SEND' })).toBe('1 SEND SUCCESS NoReceive');
  expect([all.a.state, all.b.state]).toEqual(['RTS', 'RTS']);
});

test('a send to a missing peer succeeds, and the rest of the queue waits for the next kick', () => {
  const { device, a, b, aCq } = uc();
  b.destroy();
  a.postSend([
    { wrId: 1, opcode: 'SEND', signaled: true },
    { wrId: 2, opcode: 'SEND', signaled: true },
  ]);
  device.run();
  expect(linesOf(aCq)).toEqual(['1 SEND SUCCESS NoPeer']);
  device.run({ kick: [a] });
  expect(linesOf(aCq)).toEqual(['2 SEND SUCCESS NoPeer']);
});

test('a message that does not fit succeeds, and only the peer goes into error', () => {
  const all = uc();
  all.b.postRecv({ wrId: 2 });
  expect(outcome(all, { opcode: 'SEND', sges: [memory(all.pd, 1).sge()] })).toBe(
    '1 SEND SUCCESS ReceiveTooShort',
  );
  expect(linesOf(all.bCq)).toEqual(['2 RECV LOC_QP_OP_ERR ReceiveTooShort']);
  expect([all.a.state, all.b.state]).toEqual(['RTS', 'ERR']);
});

test('a refused write fails with REM_ACCESS_ERR, and the sender stays in RTS', () => {
  const all = uc();
  const target = memory(all.pd, 8, Access.RemoteRead);
  expect(outcome(all, { opcode: 'RDMA_WRITE', sges: [memory(all.pd, 8).sge()], ...target.at() })).toBe(
    '1 RDMA_WRITE REM_ACCESS_ERR AccessDenied',
  );
  expect([all.a.state, all.b.state]).toEqual(['RTS', 'ERR']);
});

test('promises of UC queue pairs', async () => {
  const { pd, a, b } = uc({ device: { engine: 'auto' } });
  const [from, to] = [memory(pd, 'abc'), memory(pd, 3)];
  const received = b.recv([]);
  await a.write(from.sge(), to.at());
  await a.send([]);
  expect((await received).ok).toBe(true);
  expect(to.bytes.toString()).toBe('abc');
});
