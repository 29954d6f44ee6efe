// Completion queues, shared receive queues and address handles in the hands of a hostile program: getters that destroy objects in the
// middle of a call, events emitted by the program, replaced intrinsics, calls at the end of the stack.
import { type CompletionQueue, type QueuePair } from '../../lib';
import { outOfRange, rdma, wrongType } from '../support/answers';
import { ends, linesOf, memory } from '../support/queue-pairs';
import { runProgram } from '../support/programs';
import { open } from '../support/scene';

const auto = { device: { engine: 'auto' } } as const;
const turns = async (count = 8): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};
const write = (qp: QueuePair<'RC'>, ...wrIds: number[]): void => {
  for (const wrId of wrIds) {
    qp.postSend({ opcode: 'RDMA_WRITE', wrId, signaled: true, remoteAddr: 0, rkey: 0 as never });
  }
};

/** An object whose property runs `act` when it is read, and then has the value. */
const trap = (name: string, value: unknown, act: () => void): any =>
  Object.defineProperty({}, name, {
    enumerable: true,
    get() {
      act();
      return value;
    },
  });

describe('a getter that destroys the object in the middle of a call', () => {
  test('of arm: EBADF', () => {
    const cq = open().createCq(4);
    expect(() => cq.arm(trap('solicited', false, () => cq.destroy()))).toThrow(
      rdma('EBADF', 'req_notify_cq'),
    );
  });

  test('of createCq, createSrq, createAh and run: EBADF', () => {
    const close = (): [ReturnType<typeof open>, () => void] => {
      const device = open();
      return [device, () => device.close({ cascade: true })];
    };
    let [device, act] = close();
    expect(() => device.createCq(1, trap('compVector', 0, act))).toThrow(rdma('EBADF', 'create_cq'));
    [device, act] = close();
    let pd = device.allocPd();
    expect(() => pd.createSrq(trap('maxWr', 1, act))).toThrow(rdma('EBADF', 'create_srq'));
    [device, act] = close();
    pd = device.allocPd();
    expect(() => pd.createAh(trap('sl', 1, act))).toThrow(rdma('EBADF', 'create_ah'));
    [device, act] = close();
    expect(() => device.run(trap('kick', [], act))).toThrow(rdma('EBADF', 'run_engine'));
  });

  test('of modify and postRecv of a shared receive queue: EBADF', () => {
    const pd = open().allocPd();
    const [first, second] = [pd.createSrq({ maxWr: 1 }), pd.createSrq({ maxWr: 1 })];
    expect(() => first.modify(trap('limit', 1, () => first.destroy()))).toThrow(rdma('EBADF', 'modify_srq'));
    expect(() => second.postRecv(trap('wrId', 1, () => second.destroy()))).toThrow(
      rdma('EBADF', 'post_srq_recv'),
    );
  });

  test('of a receive that posts another one: both are posted, each as it is', () => {
    const { pd, a, b, bCq } = ends(auto);
    const srq = pd.createSrq({ maxWr: 4, maxSge: 2 });
    srq.postRecv(trap('wrId', 1, () => srq.postRecv([{ wrId: 7 }, { wrId: 8 }])));
    expect(srq.query().held).toBe(3);
    b.postRecv(trap('wrId', 1, () => b.postRecv({ wrId: 7 })));
    a.postSend([{ opcode: 'SEND' }, { opcode: 'SEND' }]);
    expect(linesOf(bCq)).toEqual(['7 RECV SUCCESS', '1 RECV SUCCESS']);
  });

  test('of the limits of a device reads each one once', () => {
    let reads = 0;
    const limits = trap('maxCq', 1, () => reads++);
    const device = open({ limits });
    expect([reads, device.query().maxCq]).toEqual([1, 1]);
    expect(() => open({ limits: trap('maxCq', 1, () => { throw new Error('mine'); }) })).toThrow('mine'); // prettier-ignore
  });
});

describe('lists that are no lists', () => {
  test('of queue pairs to kick are rejected, whatever they pretend to be', () => {
    const { device, a } = ends();
    const endless = new Proxy([], { get: (_, name) => (name === 'length' ? 2 ** 32 : undefined) });
    expect(() => device.run({ kick: endless })).toThrow(outOfRange('length'));
    const sparse = new Proxy([], { get: (_, name) => (name === 'length' ? 2 ** 31 : undefined) });
    expect(() => device.run({ kick: sparse })).toThrow(wrongType('kick[0]'));
    expect(() => device.run({ kick: [new Proxy(a, {})] })).toThrow(wrongType('kick[0]'));
    expect(() => device.run({ kick: [Object.create(a)] })).toThrow(wrongType('kick[0]'));
    expect(() => device.run({ kick: { length: 0 } as never })).toThrow(wrongType('kick'));
    device.run({ kick: new Proxy([a], {}) });
  });

  test('of receives are rejected at the first hole', () => {
    const srq = open().allocPd().createSrq({ maxWr: 4 });
    const sparse = new Proxy([], { get: (_, name) => (name === 'length' ? 2 ** 20 : undefined) });
    expect(() => srq.postRecv(sparse as never)).toThrow(wrongType('wrs[0]'));
    // eslint-disable-next-line no-sparse-arrays -- on purpose
    expect(() => srq.postRecv([{}, , {}] as never)).toThrow(wrongType('wrs[1]'));
    expect(srq.query().held).toBe(0);
  });
});

describe('events', () => {
  test('that the program emits itself do no harm', async () => {
    const { a, aCq } = ends(auto);
    let count = 0;
    aCq.on('completion', () => count++);
    aCq.emit('completion');
    aCq.emit('cqError');
    expect(count).toBe(1);
    aCq.arm();
    write(a, 1);
    await turns();
    expect([count, aCq.isBroken, aCq.length]).toEqual([2, false, 1]);
  });

  test('of a broken queue, however many, do not hide the completion that a promise waits for', async () => {
    const { device, pd, a, b } = ends(auto);
    const small = device.createCq(1);
    const flushed = pd.createQp({ type: 'UC', sendCq: small });
    flushed.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
    flushed.modify({ state: 'ERR' });
    const received = b.recv([]);
    await turns();
    flushed.postRecv(Array.from({ length: 70_000 }, () => ({}))); // each completes at once, and all but one are lost
    a.postSend({ opcode: 'SEND' });
    expect(small.isBroken).toBe(true);
    expect(await received).toMatchObject({ status: 'SUCCESS' });
  });

  test('of an object whose EventEmitter was tampered with are lost at most', async () => {
    const { a, aCq, bCq, b } = ends(auto);
    Object.assign(aCq, { _events: undefined, _eventsCount: -1 });
    Object.defineProperty(bCq, 'emit', { value: () => { throw new Error('mine'); } }); // prettier-ignore
    aCq.arm();
    write(a, 1);
    expect(() => bCq.emit('completion')).toThrow('mine');
    await turns();
    expect(linesOf(aCq)).toEqual(['1 RDMA_WRITE SUCCESS']);
    write(b, 2);
    expect(linesOf(bCq)).toEqual(['2 RDMA_WRITE SUCCESS']);
  });

  test('do not reach objects of other classes through the methods of the prototype', () => {
    const cq = open().createCq(4);
    const { on } = Object.getPrototypeOf(Object.getPrototypeOf(cq)) as CompletionQueue;
    const stranger = {} as never;
    expect(() => Reflect.apply(on, stranger, ['completion', () => {}])).toThrow(TypeError);
    expect(() => cq.on('completion', 1 as never)).toThrow(wrongType('"listener"'));
    expect(cq.listenerCount('completion')).toBe(0);
  });

  test('handlers that destroy other objects whose events are due', async () => {
    const device = open();
    const pd = device.allocPd();
    const seen: number[] = [];
    const all = Array.from({ length: 4 }, () => {
      const cq = device.createCq(4);
      const qp = pd.createQp({ type: 'RC', sendCq: cq });
      qp.connect(qp, { access: 2 });
      return { cq, qp };
    });
    for (const { cq, qp } of all) {
      cq.on('completion', () => {
        seen.push(cq.id);
        device.close({ cascade: true });
      });
      cq.arm();
      write(qp, 1);
    }
    await turns();
    expect(seen).toHaveLength(1);
  });
});

describe('an async iteration', () => {
  test('whose promises nobody looks at leaves no unhandled rejection', async () => {
    const { device, aCq } = ends(auto);
    const iteration = aCq[Symbol.asyncIterator]();
    void iteration.next();
    void iteration.next();
    device.close({ cascade: true });
    await turns();
    expect(await iteration.next()).toEqual({ done: true, value: undefined });
  });

  test('cannot be made for another object', () => {
    const cq = open().createCq(4);
    const make = cq[Symbol.asyncIterator].bind({} as never);
    expect(make).toThrow(TypeError);
    expect(() => Reflect.apply(cq[Symbol.asyncIterator], new Proxy(cq, {}), [])).toThrow(TypeError);
  });

  test('whose methods are taken off works without a receiver', async () => {
    const { a, aCq } = ends(auto);
    const { next, return: end } = aCq[Symbol.asyncIterator]();
    write(a, 1);
    expect((await next()).value).toMatchObject({ wrId: 1 });
    expect(await end!()).toEqual({ done: true, value: undefined });
    expect(await next()).toEqual({ done: true, value: undefined });
  });

  test('settles a thenable-polluted prototype without running it for the queue', async () => {
    const { a, aCq } = ends(auto);
    const iteration = aCq[Symbol.asyncIterator]();
    const waiting = iteration.next();
    write(a, 1, 2);
    expect((await waiting).value).toMatchObject({ wrId: 1 });
    expect(aCq.poll()).toMatchObject([{ wrId: 2 }]);
  });
});

test('native events of one copy of the package do not disturb another copy', async () => {
  const { a, aCq, pd } = ends(auto);
  let other!: typeof import('../../lib');
  jest.isolateModules(() => {
    other = jest.requireActual('../../lib');
  });
  const device = new other.Device();
  const cq = device.createCq(4);
  const qp = device.allocPd().createQp({ type: 'RC', sendCq: cq });
  qp.connect(qp, { access: 2 });
  const seen: string[] = [];
  cq.on('completion', () => seen.push('other'));
  aCq.on('completion', () => seen.push('own'));
  cq.arm();
  aCq.arm();
  write(qp as never, 1);
  write(a, 1);
  await turns();
  expect(seen.sort()).toEqual(['other', 'own']);
  expect(() => pd.createQp({ type: 'RC', sendCq: cq })).toThrow(wrongType('"options.sendCq"'));
  device.close({ cascade: true });
});

test('replaced intrinsics do not get hold of native objects, and the queues go on', () => {
  const { status, stdout, stderr } = runProgram(
    `
      const { Device } = require('./dist/index.js');
      const device = new Device(), cq = device.createCq(64), pd = device.allocPd();
      const qp = pd.createQp({ type: 'RC', sendCq: cq });
      qp.connect(qp, { access: 2 });
      const seen = [];
      const { apply } = Reflect, { test } = RegExp.prototype;
      const look = (value) => {
        if (typeof value !== 'object' || value === null) return;
        const name = Object.getPrototypeOf(value)?.constructor?.name;
        if (typeof name === 'string' && apply(test, /^Native/, [name])) seen[seen.length] = name;
      };
      const spy = (prototype, name) => {
        const original = prototype[name];
        prototype[name] = function () {
          look(this);
          for (let i = 0; i < arguments.length; i++) look(arguments[i]);
          const result = apply(original, this, arguments);
          look(result);
          return result;
        };
      };
      for (const name of ['push', 'pop', 'shift', 'splice', 'map', 'forEach', 'filter', 'includes', Symbol.iterator]) spy(Array.prototype, name);
      for (const name of ['get', 'set', 'has', 'delete', 'forEach']) spy(Map.prototype, name);
      for (const name of ['add', 'has', 'delete', 'forEach', 'clear']) spy(Set.prototype, name);
      spy(WeakRef.prototype, 'deref');
      (async () => {
        let count = 0;
        cq.on('completion', () => count++);
        cq.arm();
        qp.postSend({ opcode: 'RDMA_WRITE', wrId: 1, signaled: true, remoteAddr: 0, rkey: 0 });
        const promise = qp.recv([]);
        qp.postSend({ opcode: 'SEND', wrId: 2, signaled: true });
        await promise;
        const iteration = cq[Symbol.asyncIterator]();
        const ids = [(await iteration.next()).value.wrId, (await iteration.next()).value.wrId];
        await iteration.return();
        const srq = pd.createSrq({ maxWr: 2 });
        srq.postRecv([{}, {}]);
        pd.createAh().destroy();
        device.run({ kick: [qp] });
        device.close({ cascade: true });
        console.log(JSON.stringify([ids, count, seen]));
      })();
    `,
    ['--no-warnings'],
  );
  expect([status, stderr, JSON.parse(stdout)]).toEqual([0, '', [[1, 2], 1, []]]);
});

test('random programs of arms, writes, promises, polls, iterations and resizes lose no completion', async () => {
  let seed = 12345;
  const dice = (sides: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % sides;
  };
  for (let round = 0; round < 30; round++) {
    const { device, a, aCq, pd } = ends({ ...auto, cqe: 4096 });
    const { sge, at } = memory(pd, 8);
    const got: number[] = [];
    let promised = 0;
    let posted = 0;
    const settled: Promise<unknown>[] = [];
    for (let step = 0; step < 60; step++) {
      switch (dice(8)) {
        case 0:
        case 1:
          write(a, posted++);
          break;
        case 2:
          promised++;
          settled.push(a.write(sge(), at()));
          break;
        case 3:
          for (const { wrId } of aCq.poll(dice(4))) got.push(wrId as number);
          break;
        case 4:
          aCq.arm({ solicited: dice(2) === 0 });
          break;
        case 5: {
          const iteration = aCq[Symbol.asyncIterator]();
          settled.push(
            iteration.next().then(({ done, value }) => {
              if (done !== true) got.push((value as { wrId: number }).wrId);
            }),
          );
          if (dice(2) === 0) settled.push(iteration.return!());
          break;
        }
        case 6:
          await turns(1);
          break;
        default:
          aCq.resize(4096 + dice(100));
      }
    }
    await turns();
    for (const { wrId } of aCq.poll(1000)) got.push(wrId as number);
    expect([round, got.sort((x, y) => x - y)]).toEqual([round, Array.from({ length: posted }, (_, i) => i)]);
    device.close({ cascade: true });
    await Promise.all(settled);
    expect(promised).toBeLessThanOrEqual(60);
  }
});
