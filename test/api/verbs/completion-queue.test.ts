// Completion queues: creation, polling, arming, overflow, resizing and destroying. events.test.ts tests iterations and promises.
import { inspect } from 'node:util';
import { CompletionQueue, Device, type QueuePair } from '../../../lib';
import { argumentError, outOfRange, rdma, wrongType } from '../../support/answers';
import { ends, linesOf, memory, refusal } from '../../support/queue-pairs';
import { open } from '../../support/scene';

/** Waits until events so far have been delivered: they come in an earlier phase of the event loop than this. */
const turns = async (count = 8): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** Posts `count` signaled RDMA writes of no bytes, which need no key, with wr_ids from `first` on. */
const write = (qp: QueuePair<'RC'>, count: number, first = 1, more: object = {}): void => {
  for (let i = 0; i < count; i++) {
    qp.postSend({
      opcode: 'RDMA_WRITE',
      wrId: first + i,
      signaled: true,
      remoteAddr: 0,
      rkey: 0 as never,
      ...more,
    });
  }
};

const auto = { device: { engine: 'auto' } } as const;

describe('createCq', () => {
  test('creates a queue of the requested size, with an id that is not reused', () => {
    const device = open();
    const cq = device.createCq(3, { compVector: 0xffff_ffff });
    expect([cq.cqe, cq.length, cq.isBroken, cq.id]).toEqual([3, 0, false, 1]);
    cq.destroy();
    expect(device.createCq(1).id).toBe(2);
    expect(device.resources().completionQueues).toMatchObject([{ id: 2, own: true, cqe: 1 }]);
  });

  test('rejects sizes outside 1..maxCqe with EINVAL', () => {
    const device = open({ limits: { maxCqe: 8 } });
    for (const cqe of [0, 9, 0xffff_ffff]) {
      expect(() => device.createCq(cqe)).toThrow(rdma('EINVAL', 'create_cq'));
    }
    expect(refusal(() => device.createCq(9))).toEqual(['EINVAL', 'Cqe', undefined, undefined]);
    expect(device.createCq(8).cqe).toBe(8);
  });

  test('fails with ENOMEM while maxCq queues exist', () => {
    const device = open({ limits: { maxCq: 2 } });
    const cqs = [device.createCq(1), device.createCq(1)];
    expect(() => device.createCq(1)).toThrow(rdma('ENOMEM', 'create_cq'));
    expect(refusal(() => device.createCq(1))[1]).toBe('TooManyObjects');
    cqs[0]!.destroy();
    expect(device.createCq(1).id).toBe(3);
  });

  test('fails with EBADF on a closed device and EPERM on a restricted one', () => {
    const device = open();
    const pd = device.allocPd();
    const restricted = Device.attach(device.share({ pd }));
    expect(() => restricted.createCq(1)).toThrow(rdma('EPERM', 'create_cq'));
    restricted.detach();
    device.close({ cascade: true });
    expect(() => device.createCq(1)).toThrow(rdma('EBADF', 'create_cq'));
  });

  test('rejects arguments of wrong types, and unknown options', () => {
    const device = open();
    expect(() => device.createCq('1' as never)).toThrow(wrongType('"cqe"'));
    expect(() => device.createCq(1.5)).toThrow(outOfRange('"cqe"'));
    expect(() => device.createCq(-1)).toThrow(outOfRange('"cqe"'));
    expect(() => device.createCq(2 ** 32)).toThrow(outOfRange('"cqe"'));
    expect(() => device.createCq(1, { compVector: -1 })).toThrow(outOfRange('"options.compVector"'));
    expect(() => device.createCq(1, { flags: 0 } as never)).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE', 'flags'),
    );
    expect(() => device.createCq(1, null as never)).toThrow(wrongType('"options"'));
    expect(device.createCq(1, { compVector: undefined } as never).cqe).toBe(1);
  });

  test('cannot be called as a constructor', () => {
    expect(() => new (CompletionQueue as any)()).toThrow(argumentError('ERR_ILLEGAL_CONSTRUCTOR'));
    expect(() => new (CompletionQueue as any)(Symbol('construction'), {}, {}, 1)).toThrow(
      argumentError('ERR_ILLEGAL_CONSTRUCTOR'),
    );
  });
});

describe('poll', () => {
  test('returns completions first in, first out, at most as many as asked for', () => {
    const { a, aCq } = ends(auto);
    write(a, 40);
    expect(aCq.length).toBe(40);
    expect(aCq.poll().map((wc) => wc.wrId)).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
    expect(aCq.poll(0)).toEqual([]);
    expect(aCq.poll(1).map((wc) => wc.wrId)).toEqual([17]);
    expect(aCq.length).toBe(23);
    expect(aCq.poll(0xffff_ffff).map((wc) => wc.wrId)).toEqual(Array.from({ length: 23 }, (_, i) => i + 18));
    expect([aCq.poll(), aCq.length]).toEqual([[], 0]);
  });

  test('returns more completions than one native call takes', () => {
    const { a, aCq } = ends({ ...auto, cqe: 1000, qp: { maxSendWr: 1000 } });
    write(a, 321);
    expect(aCq.poll(300).map((wc) => wc.wrId)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(aCq.poll(300)).toHaveLength(21);
  });

  test('rejects counts of wrong types and out of range', () => {
    const cq = open().createCq(1);
    expect(() => cq.poll('1' as never)).toThrow(wrongType('"max"'));
    for (const max of [-1, 1.5, 2 ** 32, Number.NaN]) expect(() => cq.poll(max)).toThrow(outOfRange('"max"'));
  });
});

describe('arm', () => {
  const armed = (options = {}) => {
    const all = ends({ ...auto, ...options });
    let count = 0;
    all.aCq.on('completion', () => count++);
    return { ...all, events: () => count };
  };

  test('reports the next completion once, after the call that caused it', async () => {
    const { a, aCq, events } = armed();
    expect(aCq.arm()).toBe(false);
    write(a, 2);
    expect(events()).toBe(0);
    await Promise.resolve();
    expect(events()).toBe(0);
    await turns();
    expect(events()).toBe(1);
    write(a, 1);
    await turns();
    expect([events(), aCq.length]).toEqual([1, 3]);
  });

  test('does not report completions that are there already, but says so', async () => {
    const { a, aCq, events } = armed();
    write(a, 1);
    expect(aCq.arm()).toBe(true);
    await turns();
    expect(events()).toBe(0);
    write(a, 1);
    await turns();
    expect(events()).toBe(1);
    aCq.poll();
    expect([aCq.arm(), aCq.arm({ solicited: true })]).toEqual([false, false]);
  });

  test('for solicited completions reports failed ones and solicited receives only', async () => {
    const { pd, a, b, aCq, bCq } = ends(auto);
    const { sge } = memory(pd, 64);
    const seen: string[] = [];
    aCq.on('completion', () => seen.push('a'));
    bCq.on('completion', () => seen.push('b'));
    b.postRecv([1, 2, 3].map((wrId) => ({ wrId, sges: [sge()] })));
    aCq.arm({ solicited: true });
    bCq.arm({ solicited: true });
    a.postSend({ opcode: 'SEND', signaled: true });
    await turns();
    expect(seen).toEqual([]);
    a.postSend({ opcode: 'SEND', signaled: true, solicited: true });
    await turns();
    expect(seen).toEqual(['b']);
    write(a, 1, 1, { sges: [sge(0, 8)] }); // key 0 is refused
    await turns();
    expect(seen).toEqual(['b', 'a']);
    expect(linesOf(aCq)).toEqual([
      '0 SEND SUCCESS',
      '0 SEND SUCCESS',
      '1 RDMA_WRITE REM_ACCESS_ERR KeyZeroDenied',
    ]);
  });

  test('for the next completion stays until it is used up, whatever is armed afterwards', async () => {
    const { a, aCq, events } = armed();
    aCq.arm();
    aCq.arm({ solicited: true });
    aCq.disarm();
    write(a, 1);
    await turns();
    expect(events()).toBe(1);
  });

  test('for solicited completions can be replaced and ended', async () => {
    const { a, aCq, events } = armed();
    aCq.arm({ solicited: true });
    aCq.disarm();
    aCq.arm({ solicited: true });
    aCq.arm({ solicited: false });
    write(a, 1);
    await turns();
    expect(events()).toBe(1);
    aCq.arm({ solicited: true });
    aCq.disarm();
    a.modify({ state: 'ERR' });
    write(a, 1);
    await turns();
    expect([events(), linesOf(aCq)]).toEqual([
      1,
      ['1 RDMA_WRITE SUCCESS', '1 RDMA_WRITE WR_FLUSH_ERR Flushed'],
    ]);
  });

  test('again before the event was delivered: every arming that was used up is reported', async () => {
    const { a, aCq, events } = armed();
    for (let i = 0; i < 3; i++) {
      aCq.arm();
      write(a, 1);
    }
    await turns();
    expect(events()).toBe(3);
    write(a, 1);
    await turns();
    expect(events()).toBe(3);
  });

  test('survives a resize', async () => {
    const { a, aCq, events } = armed();
    aCq.arm();
    aCq.resize(2);
    write(a, 1);
    await turns();
    expect([events(), aCq.cqe]).toEqual([1, 2]);
  });

  test('needs no listener, and listeners get no arguments', async () => {
    const { a, aCq } = ends(auto);
    aCq.arm();
    write(a, 1);
    await turns();
    const got: unknown[][] = [];
    aCq.once('completion', (...args: unknown[]) => got.push(args));
    aCq.arm();
    write(a, 1);
    await turns();
    expect(got).toEqual([[]]);
  });

  test('rejects wrong options', () => {
    const cq = open().createCq(1);
    expect(() => cq.arm({ solicited: 1 } as never)).toThrow(wrongType('"options.solicited"'));
    expect(() => cq.arm({ next: true } as never)).toThrow(
      argumentError('ERR_INVALID_ARG_VALUE', 'options.next'),
    );
    expect(() => cq.arm(true as never)).toThrow(wrongType('"options"'));
  });
});

describe('a completion that finds the queue full', () => {
  test('is lost, breaks the queue for good and is reported; what the queue holds can still be polled', async () => {
    const { device, a, aCq } = ends({ ...auto, cqe: 2 });
    const events: string[] = [];
    aCq.on('cqError', () => events.push('cqError')).on('completion', () => events.push('completion'));
    aCq.arm();
    write(a, 2);
    expect(aCq.isBroken).toBe(false);
    write(a, 1, 3);
    expect([aCq.isBroken, aCq.length, events]).toEqual([true, 2, []]);
    await turns();
    expect(events).toEqual(['completion', 'cqError']);
    expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE SUCCESS', '2 RDMA_WRITE SUCCESS']);
    expect([a.state, aCq.isBroken]).toEqual(['ERR', true]);
    aCq.resize(8);
    write(a, 2, 4);
    await turns();
    expect([aCq.length, aCq.isBroken, events]).toEqual([
      0,
      true,
      ['completion', 'cqError', 'cqError', 'cqError'],
    ]);
    expect(device.counters().completions).toEqual({ SUCCESS: 2, lost: 3 });
  });

  test('is reported to a listener that was added before the event is delivered', async () => {
    const { a, aCq } = ends({ ...auto, cqe: 1 });
    write(a, 2);
    const lost = new Promise<void>((resolve) => aCq.once('cqError', resolve));
    await lost;
    expect(aCq.isBroken).toBe(true);
  });
});

describe('resize', () => {
  test('changes the size down to the number of completions held, and keeps them', () => {
    const { a, aCq } = ends({ ...auto, device: { engine: 'auto', limits: { maxCqe: 100 } } });
    write(a, 3);
    for (const cqe of [0, 2, 101]) expect(() => aCq.resize(cqe)).toThrow(rdma('EINVAL', 'resize_cq'));
    expect(refusal(() => aCq.resize(2))[1]).toBe('CqeBelowHeld');
    expect(refusal(() => aCq.resize(101))[1]).toBe('Cqe');
    expect(aCq.cqe).toBe(64);
    aCq.resize(3);
    expect([aCq.cqe, aCq.length]).toEqual([3, 3]);
    aCq.resize(100);
    write(a, 20, 4);
    expect(aCq.poll(100)).toHaveLength(23);
  });

  test('rejects sizes of wrong types', () => {
    const cq = open().createCq(1);
    expect(() => cq.resize(undefined as never)).toThrow(wrongType('"cqe"'));
    expect(() => cq.resize(0.5)).toThrow(outOfRange('"cqe"'));
  });
});

describe('destroy', () => {
  test('is refused with EBUSY while a queue pair uses the queue', () => {
    const { a, b, aCq, bCq } = ends(auto);
    expect(() => aCq.destroy()).toThrow(rdma('EBUSY', 'destroy_cq'));
    expect(refusal(() => bCq.destroy())[1]).toBe('CqInUse');
    bCq[Symbol.dispose]();
    expect(bCq.length).toBe(0);
    a.destroy();
    b.destroy();
    aCq.destroy();
    bCq[Symbol.dispose]();
    expect([aCq.toJSON().state, bCq.toJSON().state]).toEqual(['Closed', 'Closed']);
  });

  test('a second time does nothing, and all other calls fail with EBADF', () => {
    const cq = open().createCq(4);
    cq.destroy();
    cq.destroy();
    cq[Symbol.dispose]();
    expect(cq.id).toBe(1);
    expect(cq.ref()).toBe(cq);
    expect(cq.unref()).toBe(cq);
    const calls: [() => unknown, string][] = [
      [() => cq.cqe, 'query_cq'],
      [() => cq.length, 'query_cq'],
      [() => cq.isBroken, 'query_cq'],
      [() => cq.poll(), 'poll_cq'],
      [() => cq.poll(0), 'poll_cq'],
      [() => cq.arm(), 'req_notify_cq'],
      [() => cq.disarm(), 'req_notify_cq'],
      [() => cq.resize(1), 'resize_cq'],
    ];
    for (const [call, operation] of calls) expect(call).toThrow(rdma('EBADF', operation));
    expect(refusal(() => cq.poll())[1]).toBe('CqGone');
  });

  test('happens with the device, whose closing is the cause then', () => {
    const device = open();
    const cq = device.createCq(4);
    device.close({ cascade: true });
    expect(refusal(() => cq.arm())).toEqual(['EBADF', 'DeviceClosed', undefined, undefined]);
    cq.destroy();
  });

  test('is what using does', () => {
    const device = open();
    {
      using cq = device.createCq(4);
      expect(cq.cqe).toBe(4);
    }
    expect(device.resources().completionQueues).toEqual([]);
  });
});

describe('a completion queue shows', () => {
  test('its size and state in one line and as JSON', () => {
    const { a, aCq } = ends(auto);
    write(a, 1);
    const text = 'CompletionQueue { #1 cqe 64 held 1 broken false Open }';
    expect([inspect(aCq), String(aCq)]).toEqual([text, text]);
    expect(JSON.parse(JSON.stringify(aCq))).toEqual({
      class: 'CompletionQueue',
      id: 1,
      cqe: 64,
      held: 1,
      broken: false,
      state: 'Open',
    });
    expect(inspect([[[aCq]]], { depth: 1 })).toContain('[Array]');
    a.destroy();
    const cq = open().createCq(1);
    cq.destroy();
    expect([String(cq), cq.toJSON()]).toEqual([
      'CompletionQueue { #1 Closed }',
      { class: 'CompletionQueue', id: 1, state: 'Closed' },
    ]);
  });

  test('nothing of its EventEmitter: only its number is an own enumerable property', () => {
    const cq = open().createCq(1);
    cq.on('completion', () => {}).setMaxListeners(20);
    cq.removeAllListeners();
    cq.on('completion', () => {});
    expect(Object.keys(cq)).toEqual([]);
    expect(Reflect.ownKeys(cq).filter((key) => Object.prototype.propertyIsEnumerable.call(cq, key))).toEqual([
      expect.any(Symbol),
    ]);
    expect(Object.assign({}, cq)).toEqual({
      [Reflect.ownKeys(Object.assign({}, cq))[0]!]: expect.any(Number),
    });
    expect(cq).not.toEqual(open().createCq(1));
  });
});
