import { Access, type Completion, CompletionError, RdmaError, rkey, type QueuePair } from '../../../lib';
import { runProgram } from '../../support/programs';
import { open } from '../../support/scene';
import { ends, lineOf, linesOf, memory, REMOTE } from '../../support/queue-pairs';

/** Connected queue pairs of a device whose engine works by itself. */
const auto = (options: Parameters<typeof ends<'RC'>>[0] = {}) =>
  ends({ ...options, device: { engine: 'auto', ...options.device } });

/** Returns how a promise ended: a completion's line, the value, or the error in short. */
async function endOf(promise: Promise<Completion | bigint>): Promise<string> {
  try {
    const value = await promise;
    return typeof value === 'bigint' ? String(value) : lineOf(value).replace(/^\d+ /, '');
  } catch (error) {
    if (error instanceof CompletionError) return `${error.status} ${error.reason}`;
    if (error instanceof RdmaError) return `${error.code} ${error.detail?.cause}`;
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

describe('resolves with the completion:', () => {
  test('write', async () => {
    const { pd, a } = auto();
    const [from, to] = [memory(pd, 'hello'), memory(pd, 8)];
    const wc = await a.write(from.sge(), to.mr.advertise({ offset: 2 }));
    expect([wc.ok, wc.opcode, wc.byteLength, wc.qp]).toEqual([true, 'RDMA_WRITE', 5, a]);
    expect(to.bytes.toString()).toBe('\0\0hello\0');
  });

  test('write with immediate data, which takes a receive of the peer', async () => {
    const { pd, a, b } = auto();
    const [from, to] = [memory(pd, 'hello'), memory(pd, 5)];
    const received = b.recv([]);
    expect(await endOf(a.write([from.sge(0, 2), from.sge(2)], to.at(), { imm: 7 }))).toBe(
      'RDMA_WRITE SUCCESS',
    );
    expect(await received).toMatchObject({ opcode: 'RECV_RDMA_WITH_IMM', imm: 7, byteLength: 5 });
    expect(to.bytes.toString()).toBe('hello');
  });

  test('read', async () => {
    const { pd, a } = auto();
    const [to, from] = [memory(pd, 5), memory(pd, 'hello')];
    expect(await endOf(a.read(to.sge(), from.at()))).toBe('RDMA_READ SUCCESS');
    expect(to.bytes.toString()).toBe('hello');
  });

  test('send and recv', async () => {
    const { pd, a, b } = auto();
    const [from, to] = [memory(pd, 'hello'), memory(pd, 8)];
    const received = b.recv(to.sge());
    expect(await endOf(a.send(from.sge(), { imm: 3, solicited: true }))).toBe('SEND SUCCESS');
    expect(await received).toMatchObject({ opcode: 'RECV', byteLength: 5, imm: 3, ok: true });
    expect(to.bytes.toString()).toBe('hello\0\0\0');
  });

  test('send with invalidate', async () => {
    const { pd, a, b } = auto();
    const { sge, mr } = memory(pd, 4);
    const received = b.recv([]);
    expect(await endOf(a.send([], { invalidateRkey: mr.rkey }))).toBe('SEND SUCCESS');
    expect((await received).invalidatedRkey).toBe(mr.rkey);
    expect(await endOf(a.send(sge()))).toBe('EINVAL WrSgeRefused');
  });

  test('send of datagrams', async () => {
    const device = open();
    const pd = device.allocPd();
    const [a, b] = [0, 1].map(() => pd.createQp({ type: 'UD', sendCq: device.createCq(8) })) as [
      QueuePair<'UD'>,
      QueuePair<'UD'>,
    ];
    for (const qp of [a, b]) qp.activate({ qkey: 5 });
    const [from, to] = [memory(pd, 'hello'), memory(pd, 45)];
    const received = b.recv(to.sge());
    await a.send(from.sge(), { ah: pd.createAh(), remoteQpn: b.qpn, remoteQkey: 5 });
    expect(await received).toMatchObject({ byteLength: 45, srcQp: a.qpn });
    expect(to.bytes.subarray(40).toString()).toBe('hello');
  });
});

describe('atomics resolve with the old value:', () => {
  test('fetchAdd', async () => {
    const { pd, a } = auto();
    const [old, word] = [memory(pd, 8), memory(pd, 8)];
    word.bytes.writeBigUInt64LE(41n);
    expect(await a.fetchAdd(old.sge(), word.at(), 2)).toBe(41n);
    expect(await a.fetchAdd(old.sge(), word.at(), 2n ** 64n - 1n)).toBe(43n);
    expect(word.bytes.readBigUInt64LE()).toBe(42n);
  });

  test('compareSwap, whether it swaps or not', async () => {
    const { pd, a } = auto();
    const [old, word] = [memory(pd, 8), memory(pd, 8)];
    word.bytes.writeBigUInt64LE(2n ** 63n);
    expect(await a.compareSwap(old.sge(), word.mr.advertise(), 1, 5)).toBe(2n ** 63n);
    expect(await a.compareSwap(old.sge(), word.mr.advertise(), 2n ** 63n, 5)).toBe(2n ** 63n);
    expect(word.bytes.readBigUInt64LE()).toBe(5n);
  });

  test('reject with EACCES if the old value cannot be read back', async () => {
    const { device, pd, a } = ends();
    const [old, word] = [memory(pd, 8), memory(pd, 8)];
    const pending = a.fetchAdd(old.sge(), word.at(), 1);
    device.run();
    old.mr.dereg();
    expect(await endOf(pending)).toBe('EACCES BytesUnusable');
    expect(word.bytes[0]).toBe(1);
  });
});

describe('rejects with', () => {
  test('CompletionError cannot be created without a completion', () => {
    const create = CompletionError as unknown as new (...args: unknown[]) => Error;
    const { a } = auto();
    a.postSend({ opcode: 'SEND' });
    a.modify({ state: 'ERR' });
    const [wc] = a.sendCq?.poll() ?? [];
    const invalid: unknown[][] = [
      [],
      ['write'],
      ['write', {}],
      ['write', { status: 'SUCCESS' }],
      ['write', Object.create(wc ?? null)],
      [Symbol('write'), wc],
      [undefined, wc],
    ];
    for (const args of invalid)
      expect(() => new create(...args)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }) as Error,
      );
    expect(new create('write', wc).message).toMatch(/^WR_FLUSH_ERR: write: /);
  });

  test('CompletionError for a failed completion', async () => {
    const { pd, a } = auto();
    const [from, to] = [memory(pd, 'hello'), memory(pd, 8, Access.RemoteRead)];
    const error: unknown = await a.write(from.sge(), to.at()).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(CompletionError);
    expect(error).toMatchObject({
      name: 'CompletionError',
      status: 'REM_ACCESS_ERR',
      reason: 'AccessDenied',
    });
    const { completion, message } = error as CompletionError;
    expect([completion.ok, completion.status]).toEqual([false, 'REM_ACCESS_ERR']);
    expect(message).toBe(`REM_ACCESS_ERR: QueuePair.write: ${completion.explain()}`);
  });

  test('RdmaError for a work request that cannot be posted', async () => {
    const { device, pd, a } = auto();
    const { sge, at } = memory(pd, 16, 0);
    const reset = pd.createQp({ type: 'RC', sendCq: device.createCq(4) });
    expect(await endOf(reset.write(sge(), at()))).toBe('EINVAL QpState');
    expect(await endOf(reset.recv(sge()))).toBe('EINVAL QpState');
    expect(await endOf(a.read(sge(), at()))).toBe('EINVAL WrSgeRefused');
    expect(await endOf(a.fetchAdd(sge(1, 8), at(), 1))).toBe('EINVAL WrAtomicAddress');
    expect(await endOf(a.fetchAdd(sge(0, 4), at(), 1))).toBe('EINVAL WrAtomicSge');
  });
});

describe('throws, and posts nothing, for', () => {
  test.each<[string, (qp: QueuePair<'RC'>) => unknown, RegExp]>([
    [
      'an element that is none',
      (qp) => qp.write(5 as never, { vaddr: 0, rkey: rkey(0) }),
      /"wr.sges\[0\]" property must be of type object/,
    ],
    [
      'no remote address',
      (qp) => qp.write([], {} as never),
      /"remote.vaddr" property must be of type bigint or number/,
    ],
    [
      'two remote addresses',
      (qp) => qp.read([], { vaddr: 0, remoteAddr: 0, rkey: rkey(0) }),
      /'remote.vaddr' cannot be combined/,
    ],
    ['no rkey', (qp) => qp.read([], { vaddr: 0 } as never), /"remote.rkey" property must be of type number/],
    [
      'imm with invalidateRkey',
      (qp) => qp.send([], { imm: 1, invalidateRkey: rkey(1) }),
      /cannot be combined with options.invalidateRkey/,
    ],
    ['an unknown option', (qp) => qp.recv([], { imm: 1 } as never), /'options.imm' is not a known option/],
    [
      'a signal that is none',
      (qp) => qp.recv([], { signal: {} as never }),
      /"options.signal" property must be an instance of AbortSignal/,
    ],
    [
      'a summand above 64 bits',
      (qp) => qp.fetchAdd({ addr: 0, length: 8, lkey: 0 as never }, { vaddr: 0, rkey: rkey(0) }, 2n ** 64n),
      /"add" is out of range/,
    ],
  ])('%s', (_, call, message) => {
    const { a } = auto();
    expect(() => call(a)).toThrow(message);
    expect(a.query()).toMatchObject({ sends: 0, receives: 0 });
  });
});

describe('on a full send queue', () => {
  const full = (maxPending = 1024) => ends({ qp: { maxSendWr: 1, maxPending } });
  /** Runs the engine until all promises have settled. */
  async function runUntil(device: { run: () => void }, promises: Promise<unknown>[]): Promise<void> {
    const state = { isOver: false };
    void Promise.allSettled(promises).then(() => (state.isOver = true));
    while (!state.isOver) {
      device.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  test.each([
    [1, 64],
    [16, 4],
    [16, 64],
  ])('many operations of one job do not fill a completion queue of %i (%i sends)', async (cqe, maxSendWr) => {
    const { pd, a, aCq } = auto({ cqe, qp: { maxSendWr } });
    const { sge, at } = memory(pd, 16);
    const order: number[] = [];
    const remote = { vaddr: at(8).remoteAddr, rkey: at().rkey };
    const write = (i: number) => a.write(sge(0, 8), remote).then(() => order.push(i));
    await Promise.all(Array.from({ length: 100 }, (_, i) => write(i)));
    expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect([aCq.isBroken, aCq.length]).toEqual([false, 0]);
  });

  test('operations that waited do not fill the completion queue when they are carried out at once', async () => {
    const { a, b, aCq, bCq } = auto({ cqe: 16, qp: { maxSendWr: 4, maxRecvWr: 8 } });
    const sends = Array.from({ length: 100 }, (_, i) => a.send([], { imm: i }));
    const got: (number | undefined)[] = [];
    for (let i = 0; i < 25; i++) {
      const receives = Array.from({ length: 4 }, () => b.recv([]));
      for (const { imm } of await Promise.all(receives)) got.push(imm);
    }
    await Promise.all(sends);
    expect(got).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect([aCq.isBroken, bCq.isBroken]).toEqual([false, false]);
  });

  test('the program still polls the completions of its own work requests, in order', async () => {
    const { a, aCq } = auto({ cqe: 16 });
    const remote = { remoteAddr: 0, rkey: rkey(0) };
    const operations: Promise<Completion>[] = [];
    for (let i = 0; i < 12; i++) {
      a.postSend({ opcode: 'RDMA_WRITE', wrId: i, signaled: true, ...remote });
      for (let k = 0; k < 5; k++) operations.push(a.write([], remote));
    }
    expect(aCq.poll(6).map(({ wrId }) => wrId)).toEqual([0, 1, 2, 3, 4, 5]);
    await Promise.all(operations);
    expect(aCq.poll().map(({ wrId }) => wrId)).toEqual([6, 7, 8, 9, 10, 11]);
  });

  test('operations wait and are carried out in the order of the calls', async () => {
    const { device, pd, a } = full();
    const to = memory(pd, 8);
    const order: number[] = [];
    const promises = [0, 1, 2, 3].map((i) => {
      const from = memory(pd, String(i).repeat(8));
      return a.write(from.sge(), to.at()).then(() => order.push(i));
    });
    expect(a.query().sends).toBe(1);
    await runUntil(device, promises);
    expect(order).toEqual([0, 1, 2, 3]);
    expect(to.bytes.toString()).toBe('33333333');
  });

  test('at most maxPending operations wait', async () => {
    const { device, a } = full(2);
    const writes = [0, 1, 2, 3].map(() => a.write([], { vaddr: 0, rkey: rkey(0) }));
    expect(await endOf(writes[3]!)).toBe('ENOMEM QueueFull');
    await runUntil(device, writes.slice(0, 3));
    expect(await endOf(writes[2]!)).toBe('RDMA_WRITE SUCCESS');
  });

  test('with maxPending 0 none waits', async () => {
    const { device, a } = full(0);
    const first = a.write([], { vaddr: 0, rkey: rkey(0) });
    expect(await endOf(a.write([], { vaddr: 0, rkey: rkey(0) }))).toBe('ENOMEM QueueFull');
    await runUntil(device, [first]);
  });

  test('a queue without any room rejects at once', async () => {
    const { a } = ends({ qp: { maxSendWr: 0 } });
    expect(await endOf(a.write([], { vaddr: 0, rkey: rkey(0) }))).toBe('ENOMEM QueueFull');
  });

  test('an operation goes on when work requests of the program have made room', async () => {
    const { device, a, aCq } = full();
    a.postSend({ wrId: 5, opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: rkey(0) }); // not signaled
    const write = a.write([], { vaddr: 0, rkey: rkey(0) });
    expect(a.query().sends).toBe(1);
    await runUntil(device, [write]);
    expect(linesOf(aCq)).toEqual([]);
  });

  test('the memory of elements may change while the operation waits: their properties were read by the call', async () => {
    const { device, pd, a } = full();
    const [one, two, to] = [memory(pd, 'one'), memory(pd, 'two'), memory(pd, 6)];
    const sge = one.sge();
    const remote = to.at();
    const first = a.write(sge, remote);
    Object.assign(sge, two.sge());
    Object.assign(remote, to.at(3));
    const second = a.write(sge, remote);
    Object.assign(sge, { addr: 0n, length: 1, lkey: 0 });
    Object.assign(remote, { remoteAddr: 0n });
    await runUntil(device, [first, second]);
    expect(to.bytes.toString()).toBe('onetwo');
  });

  test('receives wait, too', async () => {
    const { device, a, b } = ends({ qp: { maxRecvWr: 1 } });
    const received = [b.recv([]), b.recv([]), b.recv([])];
    expect(b.query().receives).toBe(1);
    a.postSend([{ opcode: 'SEND' }, { opcode: 'SEND' }, { opcode: 'SEND' }]);
    const state = { isOver: false };
    void Promise.all(received).then(() => (state.isOver = true));
    while (!state.isOver) {
      device.run();
      device.fireTimers();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(b.query().receives).toBe(0);
  });
});

describe('an AbortSignal', () => {
  test('that has aborted rejects at once, and nothing is posted', async () => {
    const { a } = ends();
    const write = a.write([], { vaddr: 0, rkey: rkey(0) }, { signal: AbortSignal.abort('no') });
    expect(await endOf(write)).toBe('no');
    expect(a.query().sends).toBe(0);
  });

  test('takes back an operation that waits', async () => {
    const { device, pd, a } = ends({ qp: { maxSendWr: 1 } });
    const [one, two, to] = [memory(pd, '1'), memory(pd, '2'), memory(pd, 1)];
    const controller = new AbortController();
    const first = a.write(one.sge(), to.at());
    const second = a.write(two.sge(), to.at(), { signal: controller.signal });
    controller.abort();
    expect(await endOf(second)).toBe('AbortError: This operation was aborted');
    device.run();
    await first;
    await settled();
    device.run();
    expect([to.bytes.toString(), a.query().sends]).toEqual(['1', 0]);
  });

  test('rejects the promise of a posted operation, which goes on; its completion is not polled', async () => {
    const { device, pd, a, aCq } = ends();
    const [from, to] = [memory(pd, 'x'), memory(pd, 1)];
    const controller = new AbortController();
    const write = a.write(from.sge(), to.at(), { signal: controller.signal });
    controller.abort('enough');
    expect(await endOf(write)).toBe('enough');
    device.run();
    expect(to.bytes.toString()).toBe('x');
    await settled();
    expect(linesOf(aCq)).toEqual([]);
  });

  test('that aborts after the completion changes nothing', async () => {
    const { pd, a } = auto();
    const controller = new AbortController();
    const write = a.write(memory(pd, 'x').sge(), memory(pd, 1).at(), { signal: controller.signal });
    expect(await endOf(write)).toBe('RDMA_WRITE SUCCESS');
    controller.abort();
    expect(await endOf(write)).toBe('RDMA_WRITE SUCCESS');
  });
});

describe('promises whose completion never comes reject', () => {
  const pending = () => {
    const all = ends({ qp: { maxSendWr: 1, maxRecvWr: 1 } });
    const none = { vaddr: 0, rkey: rkey(0) };
    return {
      ...all,
      sends: [all.a.write([], none), all.a.write([], none)],
      receives: [all.a.recv([]), all.a.recv([])],
    };
  };
  const all = (promises: Promise<Completion>[]) => Promise.all(promises.map(endOf));

  test('with EBADF when the queue pair is destroyed', async () => {
    const { a, sends, receives } = pending();
    a.destroy();
    expect(await all([...sends, ...receives])).toEqual(Array(4).fill('EBADF QpGone'));
  });

  test('with EBADF when the domain is deallocated with its queue pairs', async () => {
    const { pd, sends, receives } = pending();
    pd.dealloc({ cascade: true });
    expect(await all([...sends, ...receives])).toEqual(Array(4).fill('EBADF QpGone'));
  });

  test('with EBADF when the device is closed', async () => {
    const { device, sends, receives } = pending();
    device.close({ cascade: true });
    expect(await all([...sends, ...receives])).toEqual(Array(4).fill('EBADF DeviceClosed'));
  });

  test('with EINVAL when a reset drops the sends; receives stay', async () => {
    const { device, a, b, sends, receives } = pending();
    a.modify({ state: 'RESET' });
    expect(await all(sends)).toEqual(['EINVAL QpState', 'EINVAL QpState']);
    b.modify({ state: 'RESET' });
    a.connect(b, { access: REMOTE });
    b.postSend({ opcode: 'SEND' });
    device.run();
    expect(await endOf(receives[0]!)).toBe('RECV SUCCESS');
    a.destroy();
    expect(await endOf(receives[1]!)).toBe('EBADF QpGone');
  });

  test('with ENOMEM when the completion queue was full', async () => {
    const { device, a, aCq } = ends({ cqe: 1 });
    const none = { opcode: 'RDMA_WRITE', signaled: true, remoteAddr: 0, rkey: rkey(0) } as const;
    const write = a.write([], { vaddr: 0, rkey: rkey(0) });
    a.postSend([none, none]);
    device.run();
    expect(await endOf(write)).toBe('RDMA_WRITE SUCCESS');
    expect(aCq.isBroken).toBe(true);
  });

  test('with WR_FLUSH_ERR when the queue pair goes into error', async () => {
    const { device, a, sends, receives } = pending();
    a.modify({ state: 'ERR' });
    device.run();
    expect(await endOf(sends[0]!)).toBe('WR_FLUSH_ERR Flushed');
    expect(await all(receives)).toEqual(Array(2).fill('WR_FLUSH_ERR Flushed'));
    await settled();
    device.run();
    expect(await endOf(sends[1]!)).toBe('WR_FLUSH_ERR Flushed');
  });
});

test('a completion that came before the queue pair was destroyed resolves the promise', async () => {
  const { device, a } = ends();
  const write = a.write([], { vaddr: 0, rkey: rkey(0) });
  device.run();
  a.destroy();
  expect(await endOf(write)).toBe('RDMA_WRITE SUCCESS');
});

test('a program may poll a completion queue that promises use: each gets its own completions', async () => {
  const { pd, a, aCq } = auto();
  const to = memory(pd, 8);
  const writes = [0, 1, 2].map((i) => {
    a.postSend({ wrId: i, opcode: 'RDMA_WRITE', signaled: true, ...to.at() });
    return a.write(to.sge(0, 1), to.at(1));
  });
  expect(linesOf(aCq)).toEqual(['0 RDMA_WRITE SUCCESS', '1 RDMA_WRITE SUCCESS', '2 RDMA_WRITE SUCCESS']);
  expect(await Promise.all(writes.map(endOf))).toEqual(Array(3).fill('RDMA_WRITE SUCCESS'));
  const late = a.write([], to.at());
  a.postSend({ wrId: 9, opcode: 'RDMA_WRITE', signaled: true, ...to.at() });
  await late;
  expect(linesOf(aCq)).toEqual(['9 RDMA_WRITE SUCCESS']);
});

describe('the process', () => {
  const program = (body: string): string => `
    const { Device } = require('rdmavt');
    const device = new Device();
    const pd = device.allocPd();
    const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(8) });
    qp.connect(qp, { access: 0 });
    process.on('exit', () => console.log('exit'));
    ${body}`;

  test('stays alive while a promise is pending', () => {
    const { stdout, signal } = runProgram(
      program(
        'qp.recv([]).then(() => console.log("received")); setTimeout(() => qp.postSend({ opcode: "SEND" }), 300).unref();',
      ),
      [],
      30_000,
    );
    expect([stdout, signal]).toEqual(['received\nexit\n', null]);
  });

  test('ends although a work request is posted whose promise was aborted', () => {
    const { stdout, signal } = runProgram(
      program(
        'const abort = new AbortController(); qp.recv([], { signal: abort.signal }).catch(() => console.log("aborted")); setTimeout(() => abort.abort(), 50);',
      ),
      [],
      30_000,
    );
    expect([stdout, signal]).toEqual(['aborted\nexit\n', null]);
  });
});

test('an operation waits for a receive of the peer: RNR timers fire by themselves', async () => {
  const { a, b } = auto({ connect: { minRnrTimer: 1 } });
  const send = a.send([]);
  await settled();
  b.postRecv({});
  expect(await endOf(send)).toBe('SEND SUCCESS');
});
