// Completions: every member, the reasons of failures, and their explanations.
import { inspect } from 'node:util';
import { Access, Completion, fastRegKey } from '../../../lib';
import { argumentError } from '../../support/answers';
import { ends, lineOf, memory, REMOTE } from '../../support/queue-pairs';
import { open } from '../../support/scene';

const auto = { device: { engine: 'auto' } } as const;
const one = (list: Completion[]): Completion => {
  expect(list).toHaveLength(1);
  return list[0]!;
};

describe('the members of a completion', () => {
  test('name the work request, its queue pair and what was done', () => {
    const { pd, a, b, aCq } = ends(auto);
    const { sge, at } = memory(pd, 64);
    a.postSend({ opcode: 'RDMA_READ', wrId: 7, signaled: true, sges: [sge(0, 3), sge(8, 5)], ...at(32) });
    const wc = one(aCq.poll());
    expect(Object.assign({}, wc)).toEqual({
      wrId: 7,
      status: 'SUCCESS',
      ok: true,
      opcode: 'RDMA_READ',
      byteLength: 8,
      qpId: a.id,
      qpn: a.qpn,
      srcQp: 0,
      grh: false,
      imm: undefined,
      invalidatedRkey: undefined,
      slid: 0,
      sl: 0,
      port: 0,
      reason: undefined,
    });
    expect([wc.qp === a, wc instanceof Completion, b.id]).toEqual([true, true, 2]);
  });

  test('have immediate data, the invalidated key and the path of a receive', () => {
    const { pd, a, b, bCq } = ends(auto);
    const target = memory(pd, 64);
    b.postRecv([1, 2, 3].map((wrId) => ({ wrId })));
    a.postSend([
      { opcode: 'SEND_WITH_IMM', imm: 0xffff_ffff },
      { opcode: 'SEND_WITH_INV', invalidateRkey: target.mr.rkey },
      { opcode: 'RDMA_WRITE_WITH_IMM', imm: 0, remoteAddr: 0, rkey: target.mr.rkey },
    ]);
    expect(bCq.poll()).toMatchObject([
      {
        wrId: 1,
        opcode: 'RECV',
        imm: 0xffff_ffff,
        invalidatedRkey: undefined,
        srcQp: a.qpn,
        qpn: b.qpn,
        slid: 1,
        port: 1,
      },
      { wrId: 2, opcode: 'RECV', imm: undefined, invalidatedRkey: target.mr.rkey, srcQp: a.qpn },
      { wrId: 3, opcode: 'RECV_RDMA_WITH_IMM', imm: 0, invalidatedRkey: undefined },
    ]);
    expect(target.mr.state).toBe('Invalid');
  });

  test('have wr_ids as numbers up to 2^53 - 1, and as bigints above', () => {
    const { a, aCq } = ends(auto);
    const ids = [0, Number.MAX_SAFE_INTEGER, 2n ** 53n, 2n ** 64n - 1n];
    for (const wrId of [0n, BigInt(Number.MAX_SAFE_INTEGER), 2n ** 53n, 2n ** 64n - 1n]) {
      a.postSend({ opcode: 'RDMA_WRITE', wrId, signaled: true, remoteAddr: 0, rkey: 0 as never });
    }
    expect(aCq.poll().map(({ wrId }) => wrId)).toEqual(ids);
  });

  test('name every opcode', () => {
    const { pd, a, b, aCq, bCq } = ends({ ...auto, qp: { sqSigAll: true } });
    const { sge, at } = memory(pd, 64);
    const fast = pd.allocMr({ maxNumSg: 1 });
    b.postRecv([{}, {}]);
    a.postSend([
      { opcode: 'SEND' },
      { opcode: 'RDMA_WRITE', ...at() },
      { opcode: 'RDMA_WRITE_WITH_IMM', imm: 1, ...at() },
      { opcode: 'RDMA_READ', ...at() },
      { opcode: 'ATOMIC_CMP_AND_SWP', compareAdd: 0, swap: 1, sges: [sge(0, 8)], ...at(8) },
      { opcode: 'ATOMIC_FETCH_AND_ADD', compareAdd: 1, sges: [sge(0, 8)], ...at(8) },
      {
        opcode: 'REG_MR',
        mr: fast,
        key: fastRegKey(fast.rkey, 9),
        access: Access.RemoteRead,
        signaled: true,
      },
      { opcode: 'LOCAL_INV', invalidateRkey: fastRegKey(fast.rkey, 9), signaled: true },
    ]);
    expect(aCq.poll().map(({ opcode, status }) => `${opcode} ${status}`)).toEqual(
      ['SEND', 'RDMA_WRITE', 'RDMA_WRITE', 'RDMA_READ', 'COMP_SWAP', 'FETCH_ADD', 'REG_MR', 'LOCAL_INV'].map(
        (opcode) => `${opcode} SUCCESS`,
      ),
    );
    expect(bCq.poll().map(({ opcode }) => opcode)).toEqual(['RECV', 'RECV_RDMA_WITH_IMM']);
  });

  test('have no queue pair that another thread created, or that was collected', () => {
    const { a, aCq } = ends(auto);
    a.postSend({ opcode: 'RDMA_WRITE', signaled: true, remoteAddr: 0, rkey: 0 as never });
    a.destroy();
    const wc = one(aCq.poll());
    expect([wc.qp, wc.qpId, wc.qpn]).toEqual([a, a.id, 2]);
  });
});

describe('the reason of a failed completion', () => {
  test('is that of the refused access, which the completion explains', () => {
    const { pd, a, b, aCq } = ends(auto);
    const source = memory(pd, 64);
    const target = memory(pd, 64, Access.RemoteRead);
    a.postSend({ opcode: 'RDMA_WRITE', wrId: 3, sges: [source.sge(0, 16)], ...target.at(8) });
    const wc = one(aCq.poll());
    expect([wc.ok, lineOf(wc)]).toEqual([false, '3 RDMA_WRITE REM_ACCESS_ERR AccessDenied']);
    const text = wc.explain();
    expect(text).toContain(
      `RDMA_WRITE 3 of queue pair ${a.id} (number ${a.qpn}): REM_ACCESS_ERR. The peer refused the access to its memory`,
    );
    expect(text).toContain(`AccessDenied: A peer's write (RemoteWrite) of 16 bytes at remote address`);
    expect(text).toContain(`over queue pair ${b.id} was refused. Region ${target.mr.id} (user memory`);
    expect(text).toContain('RemoteWrite is missing');
  });

  test('is found in the domain of the queue pair for an access to its own memory', () => {
    const { pd, b, a, bCq, aCq } = ends(auto);
    const small = memory(pd, 8);
    b.postRecv({ wrId: 4, sges: [{ ...small.sge(), length: 9 }] });
    a.postSend({ opcode: 'SEND', wrId: 5 });
    const [received, sent] = [one(bCq.poll()), one(aCq.poll())];
    expect([received, sent].map(lineOf)).toEqual([
      '4 RECV LOC_PROT_ERR OutOfBounds',
      '5 SEND REM_OP_ERR OutOfBounds',
    ]);
    expect(received.explain()).toMatch(
      /An SGE of this receive was refused .+ by protection domain 1 was refused\. It ends 1 byte past/,
    );
    expect(sent.explain()).toContain("The peer's completion says which");
  });

  test('is the cause if no access was refused', () => {
    const { a, b, aCq } = ends({ ...auto, connect: { rnrRetry: 0 } });
    a.postSend([
      { opcode: 'SEND', wrId: 1 },
      { opcode: 'SEND', wrId: 2 },
    ]);
    const list = aCq.poll();
    expect(list.map(lineOf)).toEqual(['1 SEND RNR_RETRY_EXC_ERR NoReceive', '2 SEND WR_FLUSH_ERR Flushed']);
    expect(list[0]!.explain()).toContain('The peer had no receive posted');
    expect(list[1]!.explain()).toContain('The queue pair was in the error state');
    b.destroy();
  });

  test.each<[string, string, (all: ReturnType<typeof ends>) => void]>([
    ['NoPeer', 'RETRY_EXC_ERR', ({ b }) => b.destroy()],
    ['PeerState', 'RETRY_EXC_ERR', ({ b }) => b.modify({ state: 'ERR' })],
    ['QpAccess', 'REM_INV_REQ_ERR', ({ b }) => b.modify({ access: 0 })],
  ])('%s: %s', (reason, status, act) => {
    const all = ends(auto);
    act(all);
    const { at } = memory(all.pd, 8);
    all.a.postSend({ opcode: 'RDMA_READ', ...at() });
    const wc = one(all.aCq.poll());
    expect([wc.status, wc.reason]).toEqual([status, reason]);
    expect(wc.explain()).toMatch(/^RDMA_READ 0 of queue pair 1 \(number \d+\): \w+\. .+\.$/);
  });

  test('ReceiveTooShort is told to both sides', () => {
    const { pd, a, b, aCq, bCq } = ends(auto);
    const { sge } = memory(pd, 64);
    b.postRecv({ sges: [sge(0, 4)] });
    a.postSend({ opcode: 'SEND', sges: [sge(0, 5)] });
    const [received, sent] = [one(bCq.poll()), one(aCq.poll())];
    expect([received.reason, sent.reason]).toEqual(['ReceiveTooShort', 'ReceiveTooShort']);
    expect(received.explain()).toContain('A message was longer than this receive');
    expect(sent.explain()).toContain('The message is longer than the receive that the peer had posted');
  });

  test('is undefined for success, whose explanation says so', () => {
    const { a, aCq } = ends(auto);
    a.postSend({ opcode: 'RDMA_WRITE', signaled: true, remoteAddr: 0, rkey: 0 as never });
    const wc = one(aCq.poll());
    expect([wc.reason, wc.explain()]).toEqual([
      undefined,
      `RDMA_WRITE 0 of queue pair 1 (number ${a.qpn}): SUCCESS. The work request succeeded.`,
    ]);
  });
});

test('an explanation says that the state has changed, and that the queue pair is gone', () => {
  const { device, pd, a, b, aCq } = ends({ ...auto, otherPd: true });
  const { sge } = memory(pd, 8);
  a.postSend({ opcode: 'RDMA_WRITE', sges: [sge()], remoteAddr: 0, rkey: 0x1234_5678 as never });
  const wc = one(aCq.poll());
  expect(wc.explain()).toContain('No region has this key');
  b.destroy();
  expect(wc.explain()).toContain(`Queue pair ${b.id} no longer exists`);
  device.close({ cascade: true });
  expect(wc.explain()).toContain('REM_ACCESS_ERR');
  expect(wc.reason).toBe('NoSuchKey');
});

describe('a completion', () => {
  test('prints as one line and as JSON', () => {
    const { a, b, aCq, bCq } = ends({ ...auto, connect: { access: REMOTE, rnrRetry: 0 } });
    b.postRecv({ wrId: 2n ** 60n });
    a.postSend([
      { opcode: 'SEND_WITH_IMM', imm: 5, wrId: 1, signaled: true },
      { opcode: 'SEND', wrId: 2 },
    ]);
    const [sent, failed] = aCq.poll();
    const received = one(bCq.poll());
    expect(inspect(sent)).toBe(
      'Completion { wrId 1 status SUCCESS opcode SEND byteLength 0 qp 1 qpn 2 srcQp 0 }',
    );
    expect(String(failed)).toContain('wrId 2 status RNR_RETRY_EXC_ERR opcode SEND byteLength 0');
    expect(JSON.parse(JSON.stringify([received, failed]))).toEqual([
      {
        class: 'Completion',
        wrId: '0x1000000000000000',
        status: 'SUCCESS',
        opcode: 'RECV',
        byteLength: 0,
        qp: 2,
        qpn: 3,
        srcQp: 2,
        imm: 5,
      },
      {
        class: 'Completion',
        wrId: 2,
        status: 'RNR_RETRY_EXC_ERR',
        opcode: 'SEND',
        byteLength: 0,
        qp: 1,
        qpn: 2,
        srcQp: 0,
        reason: 'NoReceive',
      },
    ]);
    expect(Object.prototype.toString.call(sent)).toBe('[object Completion]');
  });

  test('is a value: equal if its members are', () => {
    const { a, aCq } = ends(auto);
    const wr = { opcode: 'RDMA_WRITE', signaled: true, remoteAddr: 0, rkey: 0 as never } as const;
    a.postSend([wr, wr, { ...wr, wrId: 1 }]);
    const [first, second, third] = aCq.poll();
    expect(first).toEqual(second);
    expect(first).not.toEqual(third);
  });

  test('cannot be created by programs, and its methods work on completions only', () => {
    open();
    expect(() => new (Completion as any)()).toThrow(argumentError('ERR_ILLEGAL_CONSTRUCTOR'));
    expect(() => Completion.prototype.explain.call({} as never)).toThrow(TypeError);
    expect(() => Completion.prototype.qp).toThrow(TypeError);
    expect(String(Object.create(Completion.prototype))).toBe('Completion {}');
    expect(Completion.prototype.toJSON.call({} as never)).toEqual({ class: 'Completion' });
  });
});
