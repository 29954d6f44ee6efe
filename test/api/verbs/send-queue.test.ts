// Packed send queues do what postSend does: the same work requests, refusals and limits, one native call for all.
import {
  Access,
  type CreateQpOptions,
  type DeviceOptions,
  lkey,
  type MemoryRegion,
  type QueuePair,
  rkey,
  type RdmaError,
  SendQueue,
  type SendWorkRequest,
} from '../../../lib';
import { open } from '../../support/scene';
import { ends, linesOf, memory, refusal, REMOTE } from '../../support/queue-pairs';

type AnyQueue = SendQueue<any>;
type AnyRequest = SendWorkRequest<any>;
const none = { remoteAddr: 0, rkey: rkey(0) };
const write = { opcode: 'RDMA_WRITE', ...none } as const;

/** Fills the first slots and posts them. */
function postAll(queue: AnyQueue, wrs: readonly AnyRequest[]): number {
  wrs.forEach((wr, i) => {
    queue.fill(i, wr);
  });
  return queue.post(wrs.length);
}

/** Returns what two errors of a posting must have in common. */
function facts(error: RdmaError | undefined) {
  if (error === undefined) return undefined;
  const { code, operation, detail, index, posted, message } = error;
  return {
    code,
    operation,
    detail,
    index,
    posted,
    text: message.replace(/(Queue|SendQueue|QueuePair)\.\w+/, ''),
  };
}

function thrown(call: () => unknown): RdmaError {
  try {
    call();
  } catch (error) {
    return error as RdmaError;
  }
  throw new Error('the call did not throw');
}

/** Two queue pairs of any type that are ready to send to one another, receives at the responder, and memory. */
function world(
  type: 'RC' | 'UC' | 'UD',
  options: Partial<CreateQpOptions<any>> = {},
  of: DeviceOptions = {},
) {
  const device = open({ engine: 'manual', keyPolicy: 'sequential', ...of });
  const pd = device.allocPd();
  const [aCq, bCq] = [device.createCq(64), device.createCq(64)];
  const a = pd.createQp({ type, sendCq: aCq, ...options });
  const b = pd.createQp({ type, sendCq: bCq, ...options });
  if (type === 'UD') {
    for (const qp of [a, b]) (qp as unknown as QueuePair<'UD'>).activate({ qkey: 7 });
  } else {
    a.connect(b, { access: REMOTE });
  }
  const from = memory(pd, 'the bytes of the requester: 48 of them, all read');
  const to = memory(pd, 64);
  const inbox = memory(pd, 128);
  const mr: MemoryRegion = pd.allocMr({ maxNumSg: 1 });
  const victim = memory(pd, 8);
  const ah = pd.createAh({ sl: 3 });
  for (let i = 0; i < 8; i++) b.postRecv({ wrId: 100 + i, sges: [inbox.sge()] });
  return { device, pd, a, b, aCq, bCq, from, to, inbox, mr, victim, ah };
}
type World = ReturnType<typeof world>;

const every: Record<string, (all: World) => AnyRequest> = {
  SEND: ({ from }) => ({ opcode: 'SEND', sges: [from.sge(0, 3), from.sge(8, 5)] }),
  'SEND solicited': ({ from }) => ({ opcode: 'SEND', sges: [from.sge()], solicited: true }),
  SEND_WITH_IMM: ({ from }) => ({ opcode: 'SEND_WITH_IMM', sges: [from.sge(1, 9)], imm: 0xffff_fffe }),
  SEND_WITH_INV: ({ from, victim }) => ({
    opcode: 'SEND_WITH_INV',
    sges: [from.sge()],
    invalidateRkey: victim.mr.rkey,
  }),
  RDMA_WRITE: ({ from, to }) => ({
    opcode: 'RDMA_WRITE',
    sges: [from.sge(4, 8), from.sge(0, 2)],
    ...to.at(3),
  }),
  RDMA_WRITE_WITH_IMM: ({ from, to }) => ({
    opcode: 'RDMA_WRITE_WITH_IMM',
    sges: [from.sge()],
    ...to.at(),
    imm: 5,
  }),
  RDMA_READ: ({ from, to }) => ({ opcode: 'RDMA_READ', sges: [from.sge(0, 8)], ...to.at() }),
  ATOMIC_CMP_AND_SWP: ({ from, to }) => ({
    opcode: 'ATOMIC_CMP_AND_SWP',
    sges: [from.sge(0, 8)],
    ...to.at(8),
    compareAdd: 0,
    swap: 0x0102_0304_0506_0708n,
  }),
  ATOMIC_FETCH_AND_ADD: ({ from, to }) => ({
    opcode: 'ATOMIC_FETCH_AND_ADD',
    sges: [from.sge(8, 8)],
    ...to.at(16),
    compareAdd: 2n ** 63n,
  }),
  REG_MR: ({ mr }) => ({ opcode: 'REG_MR', mr, key: rkey(mr.rkey + 1), access: Access.LocalWrite }),
  LOCAL_INV: ({ victim }) => ({ opcode: 'LOCAL_INV', invalidateRkey: victim.mr.rkey }),
  'LOCAL_INV fenced': ({ victim }) => ({
    opcode: 'LOCAL_INV',
    invalidateRkey: victim.mr.rkey,
    fence: true,
    inline: true,
  }),
};

describe.each(['RC', 'UC', 'UD'] as const)('of a queue pair of type %s', (type) => {
  test.each(Object.entries(every))('%s does the same as with postSend', (_, of) => {
    const outcomes = [false, true].map((packed) => {
      const all = world(type);
      const { device, a, b, aCq, bCq, from, to, inbox, mr, ah } = all;
      const wr = {
        wrId: 2n ** 64n - 3n,
        signaled: true,
        ...of(all),
        ...(type === 'UD' ? { ah, remoteQpn: b.qpn, remoteQkey: 7 } : {}),
      } as AnyRequest;
      let error: RdmaError | undefined;
      if (packed) {
        const queue = a.sendQueue(3) as AnyQueue;
        queue.fill(1, wr);
        const posted = queue.post(1, 1);
        error = queue.error;
        expect(posted).toBe(error === undefined ? 1 : 0);
      } else {
        try {
          a.postSend(wr);
        } catch (thrownError) {
          error = thrownError as RdmaError;
        }
      }
      device.run();
      const seen = [...aCq.poll(), ...bCq.poll()].map((wc) => ({
        ...wc.toJSON(),
        qp: undefined,
        imm: wc.imm,
        sl: wc.sl,
      }));
      const bytes = [from, to, inbox].map((one) => one.bytes.toString('latin1'));
      return { error: facts(error), seen, bytes, key: mr.rkey, state: a.state };
    });
    expect(outcomes[1]).toEqual(outcomes[0]);
  });
});

describe('the error of a refused posting is that of postSend', () => {
  const bad: Record<string, (all: World) => AnyRequest> = {
    'a key of no region': () => ({ ...write, sges: [{ addr: 0, length: 1, lkey: lkey(99_999) }] }),
    'bytes out of bounds': ({ from }) => ({ ...write, sges: [from.sge(), { ...from.sge(), length: 49 }] }),
    'a short SGE of an atomic': ({ from }) => ({
      opcode: 'ATOMIC_FETCH_AND_ADD',
      ...none,
      sges: [from.sge(0, 7)],
      compareAdd: 1,
    }),
    'an unaligned SGE of an atomic': ({ from }) => ({
      opcode: 'ATOMIC_FETCH_AND_ADD',
      ...none,
      sges: [from.sge(1, 8)],
      compareAdd: 1,
    }),
    'a REG_MR of another device': () => {
      const mr = ends().pd.allocMr({ maxNumSg: 1 });
      return { opcode: 'REG_MR', mr, key: mr.rkey, access: 0 };
    },
    'a REG_MR of another domain': ({ device }) => {
      const mr = device.allocPd().allocMr({ maxNumSg: 1 });
      return { opcode: 'REG_MR', mr, key: mr.rkey, access: 0 };
    },
    'a REG_MR with another key': ({ mr }) => ({ opcode: 'REG_MR', mr, key: rkey(mr.rkey + 256), access: 0 }),
    'a REG_MR of a deregistered region': ({ pd }) => {
      const mr = pd.allocMr({ maxNumSg: 1 });
      const key = mr.rkey;
      mr.dereg();
      return { opcode: 'REG_MR', mr, key, access: 0 };
    },
    'a LOCAL_INV of key 0': () => ({ opcode: 'LOCAL_INV', invalidateRkey: rkey(0) }),
  };
  test.each(Object.entries(bad))('%s', (_, of) => {
    const [first, second] = [world('RC'), world('RC')];
    const error = thrown(() => {
      first.a.postSend([write, write, of(first), write] as never);
    });
    const queue = second.a.sendQueue(8);
    expect(postAll(queue, [write, write, of(second), write])).toBe(2);
    expect(facts(queue.error)).toEqual(facts(error));
    expect(queue.error).toMatchObject({ index: 2, posted: 2 });
    expect(queue.error?.message).toContain('SendQueue.post: ');
    expect(second.a.query().sends).toBe(2);
  });

  test('maxRdAtomic of 0', () => {
    const { a } = ends({ connect: { maxRdAtomic: 0 } });
    const queue = a.sendQueue(1);
    expect(postAll(queue, [{ opcode: 'RDMA_READ', ...none }])).toBe(0);
    expect(queue.error).toMatchObject({
      code: 'EINVAL',
      index: 0,
      posted: 0,
      detail: { cause: 'WrNoRdAtomic' },
    });
  });

  test('a message above 2^31 bytes', () => {
    const { a, pd } = ends();
    const mr = pd.regUserMr(Buffer.from(new SharedArrayBuffer(2 ** 29 + 1)));
    const { refs } = mr;
    const sge = { addr: mr.start, length: 2 ** 29 + 1, lkey: mr.lkey };
    const queue = a.sendQueue(1);
    expect(postAll(queue, [{ ...write, sges: [sge, sge, sge, sge] }])).toBe(0);
    expect(queue.error?.detail?.cause).toBe('WrLength');
    expect(mr.refs).toBe(refs);
  });

  test('a slot that was never filled', () => {
    const { a } = ends();
    const queue = a.sendQueue(2);
    queue.fill(0, write);
    expect(queue.post(2)).toBe(1);
    expect(queue.error).toMatchObject({ code: 'EINVAL', index: 1, posted: 1, detail: { cause: 'WrOpcode' } });
    expect(queue.error?.message).toMatch(/wrs\[1\] is a slot that was never filled/);
  });

  test.each(['RESET', 'INIT'] as const)('state %s forbids all', (state) => {
    const { device, pd } = ends();
    const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(4) });
    if (state === 'INIT') qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
    const queue = qp.sendQueue(2);
    expect(postAll(queue, [write, write])).toBe(0);
    expect([queue.error?.code, queue.error?.detail?.cause, queue.error?.index, queue.error?.posted]).toEqual([
      'EINVAL',
      'QpState',
      undefined,
      0,
    ]);
  });

  test.each<[string, string, (all: ReturnType<typeof ends>) => void]>([
    [
      'a destroyed queue pair',
      'QpGone',
      ({ a }) => {
        a.destroy();
      },
    ],
    [
      'a deallocated domain',
      'QpGone',
      ({ pd }) => {
        pd.dealloc({ cascade: true });
      },
    ],
    [
      'a closed device',
      'DeviceClosed',
      ({ device }) => {
        device.close({ cascade: true });
      },
    ],
  ])('%s', (_, cause, end) => {
    const all = ends();
    const queue = all.a.sendQueue(2);
    queue.fill(0, write);
    end(all);
    queue.fill(1, write);
    expect(queue.post(2)).toBe(0);
    expect([queue.error?.code, queue.error?.detail?.cause, queue.error?.index, queue.error?.posted]).toEqual([
      'EBADF',
      cause,
      undefined,
      0,
    ]);
    expect(queue.post(0)).toBe(0);
    expect(queue.error?.code).toBe('EBADF');
  });
});

describe('error', () => {
  test('is undefined before a posting and after one that posted all, and one object until the next posting', () => {
    const { a } = ends();
    const queue = a.sendQueue(2);
    expect(queue.error).toBeUndefined();
    queue.fill(0, write);
    expect(queue.post(2)).toBe(1);
    const { error } = queue;
    expect(error).toBeDefined();
    expect(queue.error).toBe(error);
    expect(queue.post(2)).toBe(1);
    expect(queue.error).not.toBe(error);
    expect(queue.post(1)).toBe(1);
    expect(queue.error).toBeUndefined();
  });

  test('is that of its own posting, although other calls have failed since', () => {
    const { a } = ends();
    const [first, second] = [a.sendQueue(1), a.sendQueue(1)];
    second.fill(0, { ...write, sges: [{ addr: 1, length: 2, lkey: lkey(77_777) }] });
    expect([first.post(1), second.post(1)]).toEqual([0, 0]);
    refusal(() => {
      a.modify({ state: 'RTR' });
    });
    expect(first.error?.detail?.cause).toBe('WrOpcode');
    expect(second.error?.detail).toMatchObject({ cause: 'WrSgeRefused', reason: 'NoSuchKey', sge: 0 });
  });
});

describe('the send queue is full', () => {
  test('after as many as maxSendWr, and takes the rest when the engine has made room', () => {
    const { device, a, aCq } = ends({ qp: { maxSendWr: 5 } });
    const queue = a.sendQueue(8);
    for (let i = 0; i < 8; i++) queue.fill(i, { ...write, wrId: i, signaled: true });
    expect(queue.post(8)).toBe(5);
    expect(queue.error).toMatchObject({
      code: 'ENOMEM',
      index: 5,
      posted: 5,
      detail: { cause: 'QueueFull', limit: 5 },
    });
    expect(queue.error?.message).toMatch(/maxSendWr.*wrs\[0\] to wrs\[4\] were posted/);
    device.run();
    expect(queue.post(3, 5)).toBe(3);
    device.run();
    expect(linesOf(aCq)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => `${i} RDMA_WRITE SUCCESS`));
  });

  test('before the engine starts: all of a posting must fit, also without the manual mode', () => {
    const { a } = ends({ device: { engine: 'auto' }, qp: { maxSendWr: 2 } });
    const queue = a.sendQueue(3);
    for (let i = 0; i < 3; i++) queue.fill(i, write);
    expect(queue.post(3)).toBe(2);
    expect(a.query().sends).toBe(0);
    expect(queue.post(2)).toBe(2);
  });
});

test('slots are posted again and again, from any first slot, in order', () => {
  const { device, a, aCq } = ends();
  const queue = a.sendQueue(4);
  for (let i = 0; i < 4; i++) queue.fill(i, { ...write, wrId: i, signaled: true });
  expect([queue.post(2, 2), queue.post(4), queue.post(0), queue.post(0, 4), queue.post(1, 3)]).toEqual([
    2, 4, 0, 0, 1,
  ]);
  device.run();
  expect(
    linesOf(aCq)
      .map((line) => line[0])
      .join(''),
  ).toBe('2301233');
});

test('16,384 work requests are posted by one call', () => {
  const { pd, a, aCq } = ends({ device: { engine: 'auto' }, qp: { maxSendWr: 16_384 } });
  const [from, to] = [memory(pd, 16_384), memory(pd, 16_384)];
  for (let i = 0; i < 16_384; i++) from.bytes[i] = i % 251;
  const queue = a.sendQueue(16_384);
  for (let i = 0; i < 16_384; i++)
    queue.fill(i, { opcode: 'RDMA_WRITE', sges: [from.sge(i, 1)], ...to.at(i) });
  queue.setSignaled(16_383, true);
  expect(queue.post(16_384)).toBe(16_384);
  expect(aCq.poll()).toHaveLength(1);
  expect(to.bytes.equals(from.bytes)).toBe(true);
});

test('two queues and postSend on one queue pair do not disturb one another', () => {
  const { device, a, aCq } = ends();
  const [first, second] = [a.sendQueue(2), a.sendQueue(2)];
  for (const [queue, base] of [
    [first, 10],
    [second, 20],
  ] as const)
    for (let i = 0; i < 2; i++) queue.fill(i, { ...write, wrId: base + i, signaled: true });
  first.post(2);
  a.postSend({ ...write, wrId: 1, signaled: true });
  second.post(1, 1);
  first.post(1);
  device.run();
  expect(linesOf(aCq).map((line) => line.split(' ')[0])).toEqual(['10', '11', '1', '21', '10']);
});

test('completions of promises and of packed work requests each go where they belong', async () => {
  const { pd, a, aCq } = ends({ device: { engine: 'auto' } });
  const [from, to] = [memory(pd, 'abc'), memory(pd, 3)];
  const queue = a.sendQueue(1);
  queue.fill(0, { ...write, wrId: 3, signaled: true });
  const promise = a.write(from.sge(), to.at());
  queue.post(1);
  expect((await promise).ok).toBe(true);
  expect(linesOf(aCq)).toEqual(['3 RDMA_WRITE SUCCESS']);
});

describe('setters', () => {
  test('change the SGE, the target, the wr_id and whether it is signaled', () => {
    const { device, pd, a, aCq } = ends();
    const [from, to] = [memory(pd, 'abcdefgh'), memory(pd, 8)];
    const queue = a.sendQueue(2);
    queue.fill(1, { opcode: 'RDMA_WRITE', sges: [from.sge(0, 1), from.sge(7, 1)], ...to.at() });
    queue.setLocal(1, Number(from.mr.start) + 2, 3, from.mr.lkey);
    queue.setRemote(1, to.mr.iova + 1n, to.mr.rkey);
    queue.setSignaled(1, true);
    queue.setId(1, 2 ** 53 - 1);
    queue.post(1, 1);
    queue.setId(1, 2n ** 64n - 1n);
    queue.setLocal(1, from.mr.start, 1, from.mr.lkey);
    queue.setRemote(1, Number(to.mr.iova), to.mr.rkey);
    queue.post(1, 1);
    queue.setSignaled(1, false);
    queue.post(1, 1);
    device.run();
    expect(aCq.poll().map(({ wrId }) => wrId)).toEqual([2 ** 53 - 1, 2n ** 64n - 1n]);
    expect(to.bytes.toString()).toBe('ahdeh\0\0\0');
  });

  test('setLocal gives a work request without SGEs one', () => {
    const { device, pd, a } = ends();
    const [from, to] = [memory(pd, 'xy'), memory(pd, 2)];
    const queue = a.sendQueue(1);
    queue.fill(0, { opcode: 'RDMA_WRITE', ...to.at() });
    queue.setLocal(0, from.mr.start, 2, from.mr.lkey);
    queue.post(1);
    device.run();
    expect(to.bytes.toString()).toBe('xy');
  });

  test('keep the other flags', async () => {
    const { device, a, b, bCq } = ends();
    const queue = a.sendQueue(1);
    queue.fill(0, { opcode: 'SEND', solicited: true });
    queue.setSignaled(0, true);
    queue.setSignaled(0, false);
    b.postRecv({});
    const completed = new Promise((resolve) =>
      bCq.once('completion', () => {
        resolve('solicited');
      }),
    );
    bCq.arm({ solicited: true });
    queue.post(1);
    device.run();
    expect(await completed).toBe('solicited');
  });

  const used = (queue: AnyQueue): [string, () => void][] => [
    [
      'fill',
      () => {
        queue.fill(-1, write);
      },
    ],
    [
      'setLocal',
      () => {
        queue.setLocal(4, 0, 0, lkey(0));
      },
    ],
    [
      'setRemote',
      () => {
        queue.setRemote(1.5, 0, rkey(0));
      },
    ],
    [
      'setId',
      () => {
        queue.setId(2 ** 32, 0);
      },
    ],
    [
      'setSignaled',
      () => {
        queue.setSignaled(NaN, true);
      },
    ],
  ];
  test('refuse a slot that does not exist', () => {
    const { a } = ends();
    for (const [, use] of used(a.sendQueue(4)))
      expect(use).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
    expect(() => {
      a.sendQueue(4).setId('0' as never, 0);
    }).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  });

  test.each<[string, (queue: SendQueue<'RC'>) => void, string]>([
    [
      'a negative address',
      (q) => {
        q.setLocal(0, -1, 0, lkey(0));
      },
      'ERR_OUT_OF_RANGE',
    ],
    [
      'an address above 64 bits',
      (q) => {
        q.setLocal(0, 2n ** 64n, 0, lkey(0));
      },
      'ERR_OUT_OF_RANGE',
    ],
    [
      'an address that is no integer',
      (q) => {
        q.setRemote(0, 0.5, rkey(0));
      },
      'ERR_OUT_OF_RANGE',
    ],
    [
      'an address that is a string',
      (q) => {
        q.setRemote(0, '1' as never, rkey(0));
      },
      'ERR_INVALID_ARG_TYPE',
    ],
    [
      'a length above 32 bits',
      (q) => {
        q.setLocal(0, 0, 2 ** 32, lkey(0));
      },
      'ERR_OUT_OF_RANGE',
    ],
    [
      'a negative length',
      (q) => {
        q.setLocal(0, 0, -1, lkey(0));
      },
      'ERR_OUT_OF_RANGE',
    ],
    [
      'an lkey that is a bigint',
      (q) => {
        q.setLocal(0, 0, 0, 1n as never);
      },
      'ERR_INVALID_ARG_TYPE',
    ],
    [
      'an rkey above 32 bits',
      (q) => {
        q.setRemote(0, 0, (2 ** 32) as never);
      },
      'ERR_OUT_OF_RANGE',
    ],
    [
      'no rkey',
      (q) => {
        q.setRemote(0, 0, undefined as never);
      },
      'ERR_INVALID_ARG_TYPE',
    ],
    [
      'a wr_id above 2^53',
      (q) => {
        q.setId(0, 2 ** 53);
      },
      'ERR_OUT_OF_RANGE',
    ],
    [
      'a wr_id that is null',
      (q) => {
        q.setId(0, null as never);
      },
      'ERR_INVALID_ARG_TYPE',
    ],
    [
      'a number for signaled',
      (q) => {
        q.setSignaled(0, 1 as never);
      },
      'ERR_INVALID_ARG_TYPE',
    ],
  ])('refuse %s, and change nothing', (_, use, code) => {
    const { device, pd, a, aCq } = ends();
    const [from, to] = [memory(pd, 'z'), memory(pd, 1)];
    const queue = a.sendQueue(1);
    queue.fill(0, { wrId: 4, signaled: true, opcode: 'RDMA_WRITE', sges: [from.sge()], ...to.at() });
    expect(() => {
      use(queue);
    }).toThrow(expect.objectContaining({ code }));
    queue.post(1);
    device.run();
    expect(linesOf(aCq)).toEqual(['4 RDMA_WRITE SUCCESS']);
    expect(to.bytes.toString()).toBe('z');
  });

  test('setLocal needs a queue pair that takes SGEs', () => {
    const { a } = ends({ qp: { maxSendSge: 0 } });
    const queue = a.sendQueue(2);
    queue.fill(0, write);
    expect(
      refusal(() => {
        queue.setLocal(0, 0, 0, lkey(0));
      }).slice(0, 2),
    ).toEqual(['EINVAL', 'WrSges']);
    expect(queue.post(1)).toBe(1);
  });
});

describe('fill', () => {
  test.each<[string, unknown, RegExp]>([
    ['no work request', undefined, /"wr" argument must be of type object/],
    ['a list', [write], /"wr.opcode" property must be of type string/],
    ['an unknown opcode', { opcode: 'LSO' }, /'wr.opcode' must be one of: 'SEND'/],
    ['a bad wr_id', { ...write, wrId: -1 }, /"wr.wrId" is out of range/],
    ['a bad flag', { ...write, signaled: 1 }, /"wr.signaled" property must be of type boolean/],
    ['an SGE that is null', { ...write, sges: [null] }, /"wr.sges\[0\]" property must be of type object/],
    ['no rkey', { opcode: 'RDMA_READ', remoteAddr: 0 }, /"wr.rkey" property must be of type number/],
    [
      'no region',
      { opcode: 'REG_MR', mr: {}, key: 1, access: 0 },
      /"wr.mr" property must be an instance of MemoryRegion/,
    ],
    [
      'too many SGEs',
      { ...write, sges: Array.from({ length: 5 }, () => ({ addr: 0, length: 0, lkey: 0 })) },
      /wr.sges has 5 SGEs, but at most 4 are allowed \(maxSendSge\)/,
    ],
    ['invalid rights', { opcode: 'REG_MR', access: 1 << 20, key: 0 }, /SendQueue.fill/],
  ])('refuses %s, and leaves the slot as it was', (_, given, message) => {
    const { device, pd, a, aCq } = ends();
    const wr =
      given !== null && typeof given === 'object' && 'access' in given && !('mr' in given)
        ? { ...given, mr: pd.allocMr({ maxNumSg: 1 }) }
        : given;
    const queue = a.sendQueue(2);
    queue.fill(0, { ...write, wrId: 4, signaled: true });
    expect(() => {
      queue.fill(0, wr as never);
    }).toThrow(message);
    expect(queue.post(1)).toBe(1);
    device.run();
    expect(linesOf(aCq)).toEqual(['4 RDMA_WRITE SUCCESS']);
  });

  test('replaces all of the work request that the slot had', () => {
    const { device, a, aCq } = ends();
    const queue = a.sendQueue(1);
    queue.fill(0, { ...write, wrId: 9, signaled: true, sges: [{ addr: 1, length: 1, lkey: lkey(1) }] });
    queue.fill(0, write);
    queue.setSignaled(0, true);
    expect(queue.post(1)).toBe(1);
    device.run();
    expect(linesOf(aCq)).toEqual(['0 RDMA_WRITE SUCCESS']);
  });

  test('needs an address handle for a datagram, of the domain of the queue pair', () => {
    const { pd, device } = world('UD');
    const qp = pd.createQp({ type: 'UD', sendCq: device.createCq(4) });
    qp.activate({ qkey: 7 });
    const queue = qp.sendQueue(4);
    const to = { remoteQpn: qp.qpn, remoteQkey: 7 };
    expect(() => {
      queue.fill(0, { opcode: 'SEND', ah: {} as never, ...to });
    }).toThrow(/"wr.ah" property must be an instance of AddressHandle/);
    queue.fill(0, { opcode: 'SEND', ah: device.allocPd().createAh(), ...to });
    queue.fill(1, { opcode: 'SEND', ah: open({ engine: 'manual' }).allocPd().createAh(), ...to });
    const gone = pd.createAh();
    queue.fill(2, { opcode: 'SEND', ah: gone, ...to });
    gone.destroy();
    queue.fill(3, { opcode: 'SEND', ah: pd.createAh(), ...to });
    expect([0, 1, 2, 3].map((i) => [queue.post(1, i), queue.error?.detail?.cause])).toEqual([
      [0, 'WrAhInOtherPd'],
      [0, 'WrAhInOtherPd'],
      [0, 'AhGone'],
      [1, undefined],
    ]);
    queue.fill(0, { opcode: 'SEND', ah: pd.createAh(), ...to });
    expect(queue.post(1)).toBe(1);
  });
});

describe('post refuses', () => {
  test.each<[string, unknown, unknown, string]>([
    ['a count above the capacity', 5, 0, 'ERR_OUT_OF_RANGE'],
    ['a count above what follows the first slot', 2, 3, 'ERR_OUT_OF_RANGE'],
    ['a first slot above the capacity', 0, 5, 'ERR_OUT_OF_RANGE'],
    ['a negative count', -1, 0, 'ERR_OUT_OF_RANGE'],
    ['a count that is no integer', 0.5, 0, 'ERR_OUT_OF_RANGE'],
    ['no count', undefined, 0, 'ERR_INVALID_ARG_TYPE'],
    ['a bigint', 1n, 0, 'ERR_INVALID_ARG_TYPE'],
    ['a first slot that is a string', 1, '0', 'ERR_INVALID_ARG_TYPE'],
  ])('%s', (_, count, first, code) => {
    const { a } = ends();
    const queue = a.sendQueue(4);
    for (let i = 0; i < 4; i++) queue.fill(i, write);
    expect(() => queue.post(count as number, first as number)).toThrow(expect.objectContaining({ code }));
    expect(a.query().sends).toBe(0);
  });
});

describe('sendQueue', () => {
  test.each([0, -1, 1.5, 2 ** 20 + 1, NaN])('refuses the capacity %p', (capacity) => {
    const { a } = ends();
    expect(() => a.sendQueue(capacity)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  });

  test('refuses a queue pair that is destroyed, or has no queues', () => {
    const { a, pd } = ends();
    a.destroy();
    expect(refusal(() => a.sendQueue(1)).slice(0, 2)).toEqual(['EBADF', 'QpGone']);
    const check = pd.createQp() as QueuePair as unknown as QueuePair<'RC'>;
    expect(refusal(() => check.sendQueue(1)).slice(0, 2)).toEqual(['EINVAL', 'QpHasNoQueues']);
  });

  test('is the only way to create one', () => {
    expect(() => new (SendQueue as new () => unknown)()).toThrow(/Illegal constructor/);
  });

  test('methods refuse another receiver', () => {
    const { post, fill, setLocal, setId, setRemote, setSignaled } = SendQueue.prototype;
    for (const method of [post, fill, setLocal, setId, setRemote, setSignaled])
      expect(() => Reflect.apply(method as () => unknown, {}, [0, 0, 0, 0])).toThrow(TypeError);
  });

  test('describes itself', () => {
    const { a } = ends();
    const queue = a.sendQueue(3);
    expect(queue.toJSON()).toEqual({ class: 'SendQueue', qp: a.id, capacity: 3 });
    expect(String(queue)).toBe(`SendQueue { qp ${a.id} capacity 3 }`);
    expect([queue.qp, queue.capacity]).toEqual([a, 3]);
  });
});

test('posts work requests with as many SGEs as a device can allow', () => {
  const count = 255;
  const device = open({ engine: 'manual', limits: { maxSendSge: count, maxRecvSge: count } });
  const pd = device.allocPd();
  const cq = device.createCq(8);
  const limits = { maxSendSge: count, maxRecvSge: count, maxSendWr: 4, maxRecvWr: 4 };
  const qp = pd.createQp({ type: 'RC', sendCq: cq, ...limits });
  qp.connect(qp, { access: REMOTE });
  const from = memory(pd, 4 * count);
  for (let i = 0; i < from.bytes.length; i++) from.bytes[i] = i * 7;
  const inbox = memory(pd, 4 * count);
  /** Adjacent pieces of 1 to 7 bytes: each two of them have 8 bytes together, and the last one has 4. */
  const pieces = ({ sge }: typeof from) =>
    Array.from({ length: count }, (_, i) => {
      const shift = i === count - 1 ? 0 : ((i >> 1) % 4) * (i % 2 === 0 ? 1 : -1);
      const begin = 4 * i + (i % 2 === 0 ? 0 : (i >> 1) % 4);
      return sge(begin, 4 + shift);
    });
  const [sends, receives] = [qp.sendQueue(4), qp.recvQueue(4)];
  for (let i = 0; i < 4; i++) {
    receives.fill(i, { wrId: i, sges: pieces(inbox) });
    sends.fill(i, { opcode: 'SEND', wrId: 10 + i, sges: pieces(from) });
  }
  expect([receives.post(4), sends.post(4)]).toEqual([4, 4]);
  device.run();
  expect(linesOf(cq)).toEqual([0, 1, 2, 3].map((wrId) => `${wrId} RECV SUCCESS`));
  expect(inbox.bytes.equals(from.bytes)).toBe(true);

  const many = [...pieces(from), from.sge(0, 1)];
  expect(() => {
    sends.fill(0, { opcode: 'SEND', sges: many });
  }).toThrow(/wr.sges has 256 SGEs, but at most 255 are allowed/);
  // The last slot of the block, whose last word is the last one of the memory.
  sends.setLocal(3, from.mr.start, 2, from.mr.lkey);
  expect([receives.post(1), sends.post(1, 3)]).toEqual([1, 1]);
  device.run();
  expect(cq.poll().map(({ byteLength }) => byteLength)).toEqual([4 * count - 2]);
});

test('works when only the queue is still referenced', async () => {
  const make = () => {
    const { a, pd } = ends({ device: { engine: 'auto' } });
    const [from, to] = [memory(pd, 'kept'), memory(pd, 4)];
    const queue = a.sendQueue(1);
    queue.fill(0, { opcode: 'RDMA_WRITE', sges: [from.sge()], ...to.at() });
    return { queue, bytes: to.bytes, regions: [from.mr, to.mr] };
  };
  const { queue, bytes } = make();
  for (let i = 0; i < 5; i++) {
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(queue.post(1)).toBe(1);
  expect(bytes.toString()).toBe('kept');
});

test.each(['RC', 'UC'] as const)('REG_MR of a slot changes the key of its region (%s)', (type) => {
  const { a, pd } = world(type);
  const queue = a.sendQueue(1);
  const mr = pd.allocMr({ maxNumSg: 1 });
  const old = mr.rkey;
  queue.fill(0, { opcode: 'REG_MR', mr, key: rkey(old + 3), access: Access.RemoteRead });
  expect(mr.rkey).toBe(old);
  expect(queue.post(1)).toBe(1);
  expect(mr.rkey).toBe(old + 3);
});
