// Completion queues with a ring: the cursor, and what differs from other queues. events-with-rings.test.ts and
// test/model/verbs/rings.test.ts repeat the tests of other queues with rings.
import { inspect } from 'node:util';
import { CompletionQueue, CompletionRing, type QueuePair, type RingCompletionQueue } from '../../../lib';
import { argumentError, rdma, wrongType } from '../../support/answers';
import { memory, REMOTE, refusal } from '../../support/queue-pairs';
import { open } from '../../support/scene';

/** A queue with a ring, and a queue pair that is connected to itself and reports everything there. */
function loop(cqe = 8, options: { engine?: 'auto' | 'manual' } = {}) {
  const device = open({ engine: 'auto', ...options });
  const pd = device.allocPd();
  const cq: RingCompletionQueue = device.createCq(cqe, { ring: true });
  const qp = pd.createQp({ type: 'RC', sendCq: cq, maxSendWr: 64, maxRecvWr: 64 });
  qp.connect(qp, { access: REMOTE });
  return { device, pd, cq, ring: cq.ring, qp };
}

/** Posts signaled RDMA writes of no bytes, which need no key, with these wr_ids. */
function write(qp: QueuePair<'RC'>, ...wrIds: (number | bigint)[]): void {
  for (const wrId of wrIds) {
    qp.postSend({ opcode: 'RDMA_WRITE', wrId, signaled: true, remoteAddr: 0, rkey: 0 as never });
  }
}

/** Moves the cursor over all completions and returns their wr_ids. */
function rest(ring: CompletionRing): number[] {
  const ids: number[] = [];
  while (ring.next()) ids.push(ring.wrIdNumber);
  return ids;
}

const turns = async (count = 8): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

const nowhere = argumentError('ERR_INVALID_STATE', 'Invalid state: the cursor stands on no completion');

describe('createCq with ring', () => {
  test('creates a queue with a cursor; a queue without the option has none', () => {
    const { device, cq } = loop();
    expect(cq).toBeInstanceOf(CompletionQueue);
    expect(cq.ring).toBeInstanceOf(CompletionRing);
    expect(cq.ring).toBe(cq.ring);
    expect(device.createCq(4).ring).toBeUndefined();
    expect(device.createCq(4, { ring: false }).ring).toBeUndefined();
    expect(device.createCq(4, { ring: undefined } as never).ring).toBeUndefined();
    expect([cq.cqe, cq.length, cq.ring.length, cq.isBroken]).toEqual([8, 0, 0, false]);
  });

  test('rejects an option that is not a boolean', () => {
    expect(() => open().createCq(4, { ring: 1 } as never)).toThrow(wrongType('"options.ring"'));
  });

  test('rejects the same sizes, before it allocates the memory', () => {
    const device = open({ limits: { maxCqe: 8 } });
    for (const cqe of [0, 9, 0xffff_ffff]) {
      expect(refusal(() => device.createCq(cqe, { ring: true }))).toEqual([
        'EINVAL',
        'Cqe',
        undefined,
        undefined,
      ]);
    }
  });

  test('fails with ENOMEM when the memory cannot be allocated', () => {
    const { SharedArrayBuffer } = globalThis;
    const device = open();
    globalThis.SharedArrayBuffer = function () {
      throw new RangeError('Array buffer allocation failed');
    } as never;
    try {
      expect(() => device.createCq(4, { ring: true })).toThrow(rdma('ENOMEM', 'create_cq'));
      expect(refusal(() => device.createCq(4, { ring: true }))[1]).toBe('NoMemory');
    } finally {
      globalThis.SharedArrayBuffer = SharedArrayBuffer;
    }
    expect(device.resources().completionQueues).toEqual([]);
  });

  test('fails with EBADF on a closed device and leaves nothing behind', () => {
    const device = open();
    device.close();
    expect(() => device.createCq(4, { ring: true })).toThrow(rdma('EBADF', 'create_cq'));
  });
});

describe('the cursor', () => {
  test('moves over the completions in order and gives their places back', () => {
    const { cq, ring, qp } = loop(3);
    for (let round = 0; round < 20; round++) {
      write(qp, round * 3, round * 3 + 1, round * 3 + 2);
      expect([cq.length, ring.length]).toEqual([3, 3]);
      expect(ring.next()).toBe(true);
      expect([ring.wrIdNumber, cq.length, ring.length]).toEqual([round * 3, 2, 2]);
      expect(rest(ring)).toEqual([round * 3 + 1, round * 3 + 2]);
      expect([ring.next(), cq.length]).toEqual([false, 0]);
    }
    expect(cq.isBroken).toBe(false);
  });

  test('keeps the place of the completion at which it stands', () => {
    const { cq, ring, qp } = loop(2);
    write(qp, 1, 2);
    ring.next();
    expect(cq.length).toBe(1);
    write(qp, 3); // finds both places taken
    expect(cq.isBroken).toBe(true);
    expect(ring.wrIdNumber).toBe(1);
    expect(rest(ring)).toEqual([2]);
    const next = loop(2);
    write(next.qp, 1, 2);
    next.ring.next();
    next.ring.next(); // gives the place of 1 back
    write(next.qp, 3);
    expect([next.cq.isBroken, rest(next.ring)]).toEqual([false, [3]]);
  });

  test('has the values of the completion object', () => {
    const { pd, ring, qp } = loop();
    const { sge, at } = memory(pd, 64);
    qp.postRecv([{ wrId: 1, sges: [sge()] }, { wrId: 2n ** 63n - 1n }]);
    qp.postSend([
      { opcode: 'SEND_WITH_IMM', wrId: 3, signaled: true, imm: 0xfedc_ba98, sges: [sge(0, 5)] },
      { opcode: 'RDMA_WRITE_WITH_IMM', wrId: 4, signaled: true, imm: 0, sges: [sge(0, 7)], ...at(8) },
      { opcode: 'RDMA_READ', wrId: 2n ** 53n, signaled: true, sges: [sge(0, 9)], ...at(16) },
      { opcode: 'SEND', wrId: 6, signaled: true }, // there is no receive: fails after the retries
    ]);
    qp.modify({ state: 'ERR' });
    let count = 0;
    while (ring.next()) {
      count++;
      const seen = {
        wrId: ring.wrId,
        wrIdNumber: ring.wrIdNumber,
        status: ring.status,
        ok: ring.ok,
        opcode: ring.opcode,
        byteLength: ring.byteLength,
        qpId: ring.qpId,
        qpn: ring.qpn,
        srcQp: ring.srcQp,
        imm: ring.imm,
        invalidatedRkey: ring.invalidatedRkey,
      };
      const wc = ring.completion();
      const expected = {
        wrId: BigInt(wc.wrId),
        wrIdNumber: Number(wc.wrId),
        status: wc.status,
        ok: wc.ok,
        opcode: wc.opcode,
        byteLength: wc.byteLength,
        qpId: wc.qpId,
        qpn: wc.qpn,
        srcQp: wc.srcQp,
        imm: wc.imm,
        invalidatedRkey: wc.invalidatedRkey,
      };
      expect(seen).toEqual(expected);
      expect(ring.completion()).toBe(wc);
      // The same from the object.
      expect({
        ...seen,
        wrId: ring.wrId,
        wrIdNumber: ring.wrIdNumber,
        ok: ring.ok,
        qpId: ring.qpId,
        imm: ring.imm,
        invalidatedRkey: ring.invalidatedRkey,
      }).toEqual(expected);
      expect(wc.qp).toBe(qp);
    }
    expect(count).toBe(6);
  });

  test('has the key that a message has invalidated', () => {
    const { pd, ring, qp } = loop();
    const { mr } = memory(pd, 64);
    qp.postRecv({ wrId: 1 });
    qp.postSend({ opcode: 'SEND_WITH_INV', wrId: 3, invalidateRkey: mr.rkey });
    const keys: unknown[] = [];
    while (ring.next()) keys.push([ring.opcode, ring.invalidatedRkey]);
    expect(keys).toEqual([['RECV', mr.rkey]]);
  });

  test('tells a failure, whose explanation the object has', () => {
    const { pd, ring, qp } = loop();
    const { sge } = memory(pd, 64);
    qp.postSend({
      opcode: 'RDMA_WRITE',
      wrId: 9,
      sges: [sge(0, 8)],
      remoteAddr: 0,
      rkey: 0x1234_5600 as never,
    });
    expect(ring.next()).toBe(true);
    expect([ring.ok, ring.status]).toEqual([false, 'REM_ACCESS_ERR']);
    const wc = ring.completion();
    ring.next();
    expect(wc.reason).toBe('NoSuchKey');
    expect(wc.explain()).toContain('RDMA_WRITE 9 of queue pair');
  });

  test('stands on no completion before the first and after the last one', () => {
    const { ring, qp } = loop();
    const properties = [
      () => ring.wrId,
      () => ring.wrIdNumber,
      () => ring.status,
      () => ring.ok,
      () => ring.opcode,
      () => ring.byteLength,
      () => ring.qpId,
      () => ring.qpn,
      () => ring.srcQp,
      () => ring.imm,
      () => ring.invalidatedRkey,
      () => ring.completion(),
    ];
    for (const property of properties) expect(property).toThrow(nowhere);
    write(qp, 1);
    for (const property of properties) expect(property).toThrow(nowhere);
    ring.next();
    for (const property of properties) expect(property).not.toThrow();
    ring.next();
    for (const property of properties) expect(property).toThrow(nowhere);
  });

  test('allocates nothing for each completion', () => {
    const { cq, ring, qp } = loop(64);
    let sum = 0;
    const pass = (): void => {
      while (ring.next()) if (ring.ok) sum += ring.wrIdNumber + ring.byteLength + ring.qpn;
    };
    const wrs = Array.from({ length: 64 }, (_, i) => ({
      opcode: 'RDMA_WRITE',
      wrId: i,
      signaled: true,
      remoteAddr: 0,
      rkey: 0,
    }));
    const bytesOf = (work: () => void): number => {
      let used = 0;
      for (let i = 0; i < 200; i++) {
        qp.postSend(wrs as never);
        const before = process.memoryUsage().heapUsed;
        work();
        const bytes = process.memoryUsage().heapUsed - before;
        if (bytes > 0 && i >= 100) used += bytes;
      }
      return used / 100 / 64;
    };
    bytesOf(pass);
    const withCursor = bytesOf(pass);
    const withObjects = bytesOf(() => void cq.poll(64));
    expect(sum).toBeGreaterThan(0);
    expect(withObjects).toBeGreaterThan(100);
    expect(withCursor).toBeLessThan(withObjects / 3);
  });
});

describe('the cursor and other ways to take completions', () => {
  test('poll takes what the cursor has not reached, and the cursor stays where it stands', () => {
    const { cq, ring, qp } = loop(4);
    write(qp, 1, 2, 3);
    ring.next();
    expect(cq.poll(1).map((wc) => wc.wrId)).toEqual([2]);
    expect([ring.wrIdNumber, cq.length]).toEqual([1, 1]);
    write(qp, 4, 5, 6); // poll has given the place of the first back
    expect([cq.isBroken, cq.length, ring.wrIdNumber, ring.status]).toEqual([false, 4, 1, 'SUCCESS']);
    expect(rest(ring)).toEqual([3, 4, 5, 6]);
  });

  test('arm does not count the completion at which the cursor stands', () => {
    const { cq, ring, qp } = loop(4);
    write(qp, 1);
    ring.next();
    expect([cq.arm(), ring.wrIdNumber, cq.length]).toEqual([false, 1, 0]);
    write(qp, 2);
    expect(cq.arm()).toBe(true);
    expect(rest(ring)).toEqual([2]);
  });

  test('completions that promises wait for go to the promises', async () => {
    const { cq, ring, qp } = loop(16);
    const order: unknown[] = [];
    write(qp, 1);
    const promise = qp.write([], { vaddr: 0, rkey: 0 as never }).then((wc) => order.push(wc.opcode));
    write(qp, 2);
    expect(rest(ring)).toEqual([1, 2]);
    await promise;
    expect(order).toEqual(['RDMA_WRITE']);
    expect([ring.next(), cq.length]).toEqual([false, 0]);
  });

  test('completions that were kept while promises waited come first', async () => {
    const { cq, ring, qp } = loop(16);
    const promise = qp.write([], { vaddr: 0, rkey: 0 as never });
    write(qp, 1, 2);
    await promise; // takes all completions and keeps two
    write(qp, 3);
    expect([cq.length, ring.length]).toEqual([3, 3]);
    expect(ring.next()).toBe(true);
    expect([ring.wrId, ring.wrIdNumber, ring.qpn, ring.length]).toEqual([1n, 1, qp.qpn, 2]);
    expect(rest(ring)).toEqual([2, 3]);
  });

  test('the cursor keeps its completion while a promise is settled', async () => {
    const { cq, ring, qp } = loop(4);
    write(qp, 1);
    ring.next();
    for (let i = 0; i < 10; i++) await qp.write([], { vaddr: 0, rkey: 0 as never });
    expect([ring.wrIdNumber, ring.status, cq.isBroken]).toEqual([1, 'SUCCESS', false]);
    expect(rest(ring)).toEqual([]);
  });

  test('an iteration and the cursor share the completions', async () => {
    const { cq, ring, qp } = loop(8);
    write(qp, 1, 2, 3);
    ring.next();
    const seen: unknown[] = [];
    for await (const wc of cq) {
      seen.push(wc.wrId);
      if (seen.length === 1) break;
    }
    // The iteration has taken the others from the memory; they were kept.
    expect([seen, ring.wrIdNumber, rest(ring)]).toEqual([[2], 1, [3]]);
  });

  test('a thousand operations at once need no more room than the queue has', async () => {
    const { cq, qp } = loop(4);
    const all = await Promise.all(
      Array.from({ length: 1000 }, () => qp.write([], { vaddr: 0, rkey: 0 as never })),
    );
    expect([all.length, cq.isBroken, cq.length]).toEqual([1000, false, 0]);
  });

  test('the event of an armed queue leads to the completions in the ring', async () => {
    const { cq, ring, qp } = loop(8);
    const seen: number[] = [];
    cq.on('completion', () => {
      seen.push(...rest(ring));
      cq.arm();
    });
    cq.arm();
    write(qp, 1, 2);
    await turns();
    write(qp, 3);
    await turns();
    expect(seen).toEqual([1, 2, 3]);
    cq.unref();
  });
});

describe('a queue with a ring', () => {
  test('polls like other queues', () => {
    const { cq, qp } = loop(64);
    write(qp, ...Array.from({ length: 40 }, (_, i) => i + 1));
    expect(cq.poll().map((wc) => wc.wrId)).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
    expect(cq.poll(0)).toEqual([]);
    expect(cq.poll(1)[0]!.wrId).toBe(17);
    expect(cq.poll(0xffff_ffff)).toHaveLength(23);
    expect([cq.poll(), cq.length]).toEqual([[], 0]);
  });

  test('loses completions when it is full, and is broken then', async () => {
    const { device, cq, ring, qp } = loop(2);
    let errors = 0;
    cq.on('cqError', () => errors++);
    write(qp, 1, 2, 3);
    expect([cq.isBroken, cq.length]).toEqual([true, 2]);
    await turns();
    expect([errors, rest(ring), qp.state]).toEqual([1, [1, 2], 'ERR']);
    expect(device.counters().completions).toEqual({ SUCCESS: 2, lost: 1 });
  });

  test('cannot be resized', () => {
    const { cq } = loop(4);
    expect(() => cq.resize(8)).toThrow(rdma('EINVAL', 'resize_cq'));
    expect(refusal(() => cq.resize(8))).toEqual(['EINVAL', 'CqRing', undefined, undefined]);
    expect(cq.cqe).toBe(4);
  });

  test('reports how many completions wait', () => {
    const { device, cq, ring, qp } = loop(4);
    const held = () => device.resources().completionQueues[0]!.held;
    write(qp, 1, 2, 3);
    expect(held()).toBe(3);
    cq.poll(1);
    expect(held()).toBe(2);
    rest(ring);
    expect(held()).toBe(0);
  });

  test('is refused with EBADF after it was destroyed, even if it held completions', () => {
    const { device, cq, ring, qp } = loop(4);
    write(qp, 1, 2);
    ring.next();
    qp.destroy();
    expect(cq.length).toBe(1);
    cq.destroy();
    expect(ring.wrIdNumber).toBe(1); // the cursor has its completion
    const calls: [() => unknown, string][] = [
      [() => cq.poll(), 'poll_cq'],
      [() => cq.poll(0), 'poll_cq'],
      [() => ring.next(), 'poll_cq'],
      [() => cq.length, 'query_cq'],
      [() => ring.length, 'query_cq'],
      [() => cq.arm(), 'req_notify_cq'],
      [() => cq.resize(1), 'resize_cq'],
    ];
    for (const [call, operation] of calls) expect(call).toThrow(rdma('EBADF', operation));
    expect(refusal(() => ring.next())[1]).toBe('CqGone');
    expect(() => ring.wrId).toThrow(nowhere);
    const other = device.createCq(4, { ring: true });
    device.close({ cascade: true });
    expect(refusal(() => other.poll())[1]).toBe('DeviceClosed');
    expect(refusal(() => other.ring.next())[1]).toBe('DeviceClosed');
  });

  test('ends iterations and promises when it is destroyed', async () => {
    const { device, cq, qp } = loop(4, { engine: 'manual' });
    const promise = qp.write([], { vaddr: 0, rkey: 0 as never });
    const iterated = cq[Symbol.asyncIterator]().next();
    device.close({ cascade: true });
    await expect(promise).rejects.toThrow();
    expect(await iterated).toEqual({ done: true, value: undefined });
  });
});

describe('a ring shows', () => {
  test('how many completions wait and where the cursor stands', () => {
    const { cq, ring, qp } = loop(4);
    const text = 'CompletionRing { held 0 Open }';
    expect([inspect(ring), String(ring), ring.toString()]).toEqual([text, text, text]);
    write(qp, 1, 2n ** 60n);
    ring.next();
    expect(ring.toJSON()).toEqual({
      class: 'CompletionRing',
      held: 1,
      wrId: 1,
      status: 'SUCCESS',
      state: 'Open',
    });
    expect(String(cq)).toBe('CompletionQueue { #1 cqe 4 held 1 broken false Open }');
    ring.next();
    expect(ring.toJSON()).toMatchObject({ held: 0, wrId: '0x1000000000000000' });
    qp.destroy();
    cq.destroy();
    ring.completion();
    expect(JSON.parse(JSON.stringify(ring))).toEqual({
      class: 'CompletionRing',
      wrId: '0x1000000000000000',
      status: 'SUCCESS',
      state: 'Closed',
    });
    expect(CompletionRing.prototype.toString()).toBe('CompletionRing {}');
    expect(inspect([[[ring]]], { depth: 1 })).toContain('[Array]');
  });

  test('no state as own properties, cannot be constructed, and cannot be cloned', () => {
    const { ring } = loop();
    expect(Object.keys(ring)).toEqual([]);
    expect(ring).not.toEqual(loop().ring);
    expect(() => new (CompletionRing as any)()).toThrow(argumentError('ERR_ILLEGAL_CONSTRUCTOR'));
    expect(() => CompletionRing.prototype.next.call({} as never)).toThrow(TypeError);
  });
});
