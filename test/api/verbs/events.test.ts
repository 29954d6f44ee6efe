// How completions and events reach a program: async iterations, listeners, promises on the same queue, and what stays reachable.
import { EventEmitter, on, once } from 'node:events';
import { type Completion, type CompletionQueue, type QueuePair } from '../../../lib';
import { collect } from '../../support/garbage';
import { ends, linesOf, memory } from '../../support/queue-pairs';
import { open } from '../../support/scene';

const auto = { device: { engine: 'auto' } } as const;

const turns = async (count = 8): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** Collects garbage, so that an object that nothing holds is gone. */
const collectTwice = async (): Promise<void> => {
  let rounds = 0;
  await collect(() => ++rounds === 2);
};

/** Posts signaled RDMA writes of no bytes, which need no key, with these wr_ids. */
const write = (qp: QueuePair<'RC'>, ...wrIds: number[]): void => {
  for (const wrId of wrIds) {
    qp.postSend({ opcode: 'RDMA_WRITE', wrId, signaled: true, remoteAddr: 0, rkey: 0 as never });
  }
};

/** Reports more events than the native queue of events keeps. The queue pair is in error, and its completion queue is broken. */
const flood = (qp: QueuePair<'RC'>): void => {
  const many = Array.from({ length: 64 }, () => ({ opcode: 'SEND', signaled: true }) as const);
  for (let i = 0; i < 1100; i++) qp.postSend(many);
};

/** Adds the wr_ids of an iteration to a list, in the background. */
const gather = (
  cq: CompletionQueue | AsyncIterable<Completion>,
): { ids: unknown[]; ended: Promise<void> } => {
  const ids: unknown[] = [];
  const ended = (async () => {
    for await (const wc of cq) ids.push(wc.wrId);
    ids.push('end');
  })();
  return { ids, ended };
};

describe('an async iteration', () => {
  test('yields completions that are there and those that come, in order', async () => {
    const { a, aCq } = ends(auto);
    write(a, 1, 2);
    const { ids } = gather(aCq);
    await turns();
    expect(ids).toEqual([1, 2]);
    write(a, 3);
    expect(ids).toEqual([1, 2]);
    await turns();
    write(a, 4, 5);
    await turns();
    expect([ids, aCq.length]).toEqual([[1, 2, 3, 4, 5], 0]);
  });

  test('ends when the queue is destroyed, even before its first completion', async () => {
    const device = open();
    const cq = device.createCq(4);
    const [first, second] = [gather(cq), gather(cq)];
    await turns();
    cq.destroy();
    await Promise.all([first.ended, second.ended]);
    expect([first.ids, second.ids]).toEqual([['end'], ['end']]);
    const late = gather(cq);
    await late.ended;
    expect(late.ids).toEqual(['end']);
  });

  test.each<[string, (all: ReturnType<typeof ends>) => void]>([
    ['closed', ({ device }) => device.close({ cascade: true })],
    ['disposed', ({ device }) => device[Symbol.dispose]()],
    ['detached', ({ device }) => device.detach({ cascade: true })],
  ])('ends when the device is %s', async (_, close) => {
    const all = ends(auto);
    const { ids, ended } = gather(all.aCq);
    write(all.a, 1);
    await turns();
    close(all);
    await ended;
    expect(ids).toEqual([1, 'end']);
  });

  test('loses nothing when the loop is left', async () => {
    const { a, aCq } = ends(auto);
    write(a, 1, 2, 3);
    for await (const wc of aCq) {
      expect(wc.wrId).toBe(1);
      break;
    }
    expect([aCq.length, aCq.poll().map(({ wrId }) => wrId)]).toEqual([2, [2, 3]]);
  });

  test('return ends a waiting next, and every later one', async () => {
    const { a, aCq } = ends(auto);
    const iteration = aCq[Symbol.asyncIterator]();
    expect(iteration[Symbol.asyncIterator]()).toBe(iteration);
    const waiting = [iteration.next(), iteration.next()];
    expect(await iteration.return!()).toEqual({ done: true, value: undefined });
    expect(await Promise.all(waiting)).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
    write(a, 1);
    expect(await iteration.next()).toEqual({ done: true, value: undefined });
    await turns();
    expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE SUCCESS']);
  });

  test('several calls of next are answered in order', async () => {
    const { a, aCq } = ends(auto);
    const iteration = aCq[Symbol.asyncIterator]();
    const results = [iteration.next(), iteration.next(), iteration.next()];
    write(a, 1, 2, 3, 4);
    expect((await Promise.all(results)).map(({ value }) => (value as Completion).wrId)).toEqual([1, 2, 3]);
    expect(aCq.length).toBe(1);
  });

  test('shares the completions with other iterations and polls: each goes to one of them', async () => {
    const { a, aCq } = ends({ ...auto, cqe: 100 });
    const [first, second] = [gather(aCq), gather(aCq)];
    const polled: unknown[] = [];
    for (let i = 0; i < 20; i++) {
      write(a, 3 * i, 3 * i + 1, 3 * i + 2);
      polled.push(...aCq.poll(1).map(({ wrId }) => wrId));
      await turns(2);
    }
    await turns();
    expect(polled).toHaveLength(20);
    expect([first.ids.length, second.ids.length]).toEqual([20, 20]);
    const all = [...polled, ...first.ids, ...second.ids] as number[];
    expect(all.sort((x, y) => x - y)).toEqual(Array.from({ length: 60 }, (_, i) => i));
  });

  test('goes on with what was held, after the queue broke', async () => {
    const { a, aCq } = ends({ ...auto, cqe: 2 });
    write(a, 1, 2, 3);
    const { ids } = gather(aCq);
    await turns();
    expect([ids, aCq.isBroken]).toEqual([[1, 2], true]);
  });
});

describe('listeners', () => {
  test('run after the call and may destroy the queue', async () => {
    const device = open();
    const cq = device.createCq(1);
    const qp = device.allocPd().createQp({ type: 'RC', sendCq: cq });
    qp.connect(qp, { access: 0 });
    const seen: string[] = [];
    cq.on('completion', () => {
      seen.push('completion');
      qp.destroy();
      cq.destroy();
    });
    cq.on('cqError', () => seen.push('cqError'));
    cq.arm();
    write(qp, 1, 2);
    expect(seen).toEqual([]);
    await turns();
    expect(seen).toEqual(['completion']); // the queue, and with it its other events, are gone
  });

  test('learn of a completion that follows more events than the native queue of events keeps', async () => {
    const { a, b, aCq, bCq } = ends({ ...auto, cqe: 1 });
    let completions = 0;
    bCq.on('completion', () => completions++);
    write(a, 1, 2); // the second completion is lost: every later one is too, with an event of its own
    expect(aCq.isBroken).toBe(true);
    flood(a);
    bCq.arm();
    b.modify({ state: 'ERR' });
    b.postRecv({ wrId: 3, sges: [] });
    await turns();
    expect([completions, bCq.poll().map(({ wrId, status }) => `${wrId} ${status}`)]).toEqual([
      1,
      ['3 WR_FLUSH_ERR'],
    ]);
  });

  test('are not needed to reject a promise whose completion and its event are lost', async () => {
    const { a, b, bCq, pd } = ends({ ...auto, cqe: 1 });
    write(a, 1, 2);
    write(b, 3); // fills the queue; b is connected with a queue pair in error
    const { sge } = memory(pd, 8);
    flood(a);
    await expect(b.recv(sge())).rejects.toMatchObject({ code: 'ENOMEM' });
    expect(bCq.isBroken).toBe(true);
  });

  test('can be added and removed in every way of an EventEmitter', async () => {
    const { a, aCq } = ends(auto);
    const seen: string[] = [];
    const [first, second] = [() => void seen.push('first'), () => void seen.push('second')];
    aCq.addListener('completion', second).prependListener('completion', first);
    aCq
      .once('completion', () => seen.push('once'))
      .prependOnceListener('completion', () => seen.push('before'));
    expect(aCq.listenerCount('completion')).toBe(4);
    const next = async (wrId: number): Promise<string[]> => {
      aCq.arm();
      write(a, wrId);
      await turns();
      return seen.splice(0);
    };
    expect(await next(1)).toEqual(['before', 'first', 'second', 'once']);
    expect(await next(2)).toEqual(['first', 'second']);
    aCq.off('completion', first);
    expect(await next(3)).toEqual(['second']);
    aCq.removeListener('completion', second);
    expect(await next(4)).toEqual([]);
    aCq.on('completion', first).on('cqError', second);
    aCq.removeAllListeners('completion');
    expect(await next(5)).toEqual([]);
    expect(aCq.eventNames()).toEqual(['cqError']);
    aCq.removeAllListeners();
    expect(aCq.eventNames()).toEqual([]);
    expect(aCq).toBeInstanceOf(EventEmitter);
  });

  test('work with once and on of node:events', async () => {
    const { a, aCq } = ends(auto);
    aCq.arm();
    const first = once(aCq, 'completion');
    write(a, 1);
    expect(await first).toEqual([]);
    const all = on(aCq, 'completion');
    for (let i = 0; i < 3; i++) {
      aCq.arm();
      write(a, i);
      expect((await all.next()).value).toEqual([]);
    }
    await all.return!();
    expect(aCq.listenerCount('completion')).toBe(0);
  });
});

describe('promises, polls, iterations and listeners on one queue', () => {
  test('a promise takes its own completion only; others wait for poll, in order', async () => {
    const { pd, a, aCq } = ends(auto);
    const [source, target] = [memory(pd, 'hello'), memory(pd, 8)];
    write(a, 1);
    const promise = a.write(source.sge(), target.at());
    write(a, 2);
    const wc = await promise;
    write(a, 3);
    expect([wc.ok, wc.byteLength, aCq.length]).toEqual([true, 5, 3]);
    expect(aCq.poll().map(({ wrId }) => wrId)).toEqual([1, 2, 3]);
    expect(target.bytes.toString('latin1', 0, 5)).toBe('hello');
  });

  test('poll skips the completion of a promise and settles it', async () => {
    const { a, aCq, pd } = ends(auto);
    const { sge, at } = memory(pd, 8);
    const promise = a.read(sge(), at());
    write(a, 1);
    expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE SUCCESS']);
    expect((await promise).opcode).toBe('RDMA_READ');
  });

  test("an armed queue reports completions that promises did not take, and not the promises' own", async () => {
    const { a, aCq, pd } = ends(auto);
    const { sge, at } = memory(pd, 8);
    let reported = 0;
    aCq.on('completion', () => reported++);
    aCq.arm();
    await a.write(sge(), at());
    await turns();
    expect(reported).toBe(0);
    const promise = a.write(sge(), at());
    write(a, 1);
    await promise;
    await turns();
    expect([reported, aCq.length]).toEqual([1, 1]);
    expect(aCq.arm()).toBe(true); // it was kept
    expect(aCq.poll()).toHaveLength(1);
    write(a, 2);
    await turns();
    expect(reported).toBe(2);
  });

  test('an arming for solicited completions is not used up by successful sends while a promise waits', async () => {
    const { a, b, aCq, pd } = ends(auto);
    const { sge } = memory(pd, 8);
    let reported = 0;
    aCq.on('completion', () => reported++);
    aCq.arm({ solicited: true });
    const promise = b.send([]).then(() => 'sent');
    const waiting = a.recv(sge());
    write(a, 1);
    await turns();
    expect([await promise, (await waiting).opcode, reported]).toEqual(['sent', 'RECV', 0]);
    aCq.poll();
    a.modify({ state: 'ERR' });
    a.postRecv({ wrId: 9 });
    await turns();
    expect([reported, linesOf(aCq)]).toEqual([1, ['9 RECV WR_FLUSH_ERR Flushed']]);
  });

  test('an iteration gets what promises do not', async () => {
    const { a, aCq, pd } = ends(auto);
    const { sge, at } = memory(pd, 8);
    const { ids } = gather(aCq);
    const promises = [];
    for (let i = 0; i < 10; i++) {
      promises.push(a.fetchAdd(sge(), at(), 1));
      write(a, i);
    }
    await Promise.all(promises);
    await turns();
    expect(ids).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('completions that nobody takes do not pile up beyond the size of the queue', async () => {
    const { a, b, aCq } = ends({ ...auto, cqe: 4, responder: { maxRecvWr: 8 } });
    const late = a.recv([]); // nothing is sent yet
    write(a, 1, 2, 3, 4);
    await turns();
    write(a, 5, 6, 7, 8);
    await turns();
    expect([aCq.length, aCq.isBroken]).toEqual([8, false]);
    expect(aCq.poll(5).map(({ wrId }) => wrId)).toEqual([1, 2, 3, 4, 5]);
    b.postSend({ opcode: 'SEND' });
    expect((await late).opcode).toBe('RECV');
    expect(aCq.poll().map(({ wrId }) => wrId)).toEqual([6, 7, 8]);
  });

  test('a promise whose completion is lost is rejected', async () => {
    const { a, aCq, pd } = ends({ ...auto, cqe: 1 });
    const { sge, at } = memory(pd, 8);
    write(a, 1);
    const lost = a.write(sge(), at());
    await expect(lost).rejects.toMatchObject({ name: expect.any(String) });
    expect([aCq.isBroken, linesOf(aCq)]).toEqual([true, ['1 RDMA_WRITE SUCCESS']]);
  });

  test.each<[string, (all: ReturnType<typeof ends>) => void]>([
    ['the queue pair is destroyed', ({ a }) => a.destroy()],
    ['the domain is closed', ({ pd }) => pd.dealloc({ cascade: true })],
    ['the domain is disposed', ({ pd }) => pd[Symbol.dispose]()],
    ['the device is closed', ({ device }) => device.close({ cascade: true })],
  ])('a waiting promise is rejected with EBADF when %s', async (_, close) => {
    const all = ends(auto);
    const waiting = all.a.recv([]);
    await turns();
    close(all);
    await expect(waiting).rejects.toMatchObject({ name: 'RdmaError', code: 'EBADF' });
  });
});

describe('a completion queue without references', () => {
  test('is garbage-collected, together with its queue pair', async () => {
    const device = open();
    const refs = (() => {
      const cq = device.createCq(4);
      const qp = device.allocPd().createQp({ type: 'RC', sendCq: cq });
      qp.connect(qp, { access: 0 });
      cq.arm();
      write(qp, 1);
      return [new WeakRef<object>(cq), new WeakRef<object>(qp)];
    })();
    await turns();
    expect(await collect(() => refs.every((ref) => ref.deref() === undefined))).toBe(true);
    // Both still exist on the device.
    expect(device.resources()).toMatchObject({ completionQueues: [{ held: 1 }], queuePairs: [{ id: 1 }] });
    device.close({ cascade: true });
  });

  test.each<[string, (cq: CompletionQueue) => unknown]>([
    ['has a listener', (cq) => cq.on('completion', () => {})],
    ['has a listener of cqError', (cq) => cq.on('cqError', () => {})],
    ['is iterated over', (cq) => gather(cq)],
  ])('is kept while it %s, and let go when it is destroyed or its device is closed', async (_, use) => {
    for (const end of ['destroy', 'close']) {
      const device = open();
      const ref = (() => {
        const cq = device.createCq(4);
        use(cq);
        return new WeakRef(cq);
      })();
      await collectTwice();
      expect(ref.deref()).toBeDefined();
      if (end === 'destroy') ref.deref()!.destroy();
      else device.close({ cascade: true });
      expect(await collect(() => ref.deref() === undefined)).toBe(true);
    }
  });

  test('is kept while a promise waits', async () => {
    const device = open();
    const pd = device.allocPd();
    const [ref, waiting] = (() => {
      const cq = device.createCq(4);
      const qp = pd.createQp({ type: 'RC', sendCq: cq });
      qp.connect(qp, { access: 0 });
      return [new WeakRef(qp), qp.recv([])] as const;
    })();
    await collectTwice();
    ref.deref()!.postSend({ opcode: 'SEND' });
    expect((await waiting).opcode).toBe('RECV');
    expect(await collect(() => ref.deref() === undefined)).toBe(true);
  });

  test('is let go when its last listener is removed', async () => {
    const device = open();
    const listener = (): void => {};
    const ref = (() => new WeakRef(device.createCq(4).on('completion', listener)))();
    await collectTwice();
    (() => ref.deref()!.off('completion', listener))();
    expect(await collect(() => ref.deref() === undefined)).toBe(true);
  });

  test('does not keep its device from being collected', async () => {
    const { Device } = jest.requireActual<typeof import('../../../lib')>('../../../lib');
    const ref = (() => {
      const device = new Device();
      device.createCq(4).arm();
      return new WeakRef(device);
    })();
    expect(await collect(() => ref.deref() === undefined)).toBe(true);
  });
});
