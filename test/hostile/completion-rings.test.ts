// The memory of a completion queue's ring in the hands of a hostile program: it writes anything into any word, between calls and from
// another thread during calls. It may spoil the completions of that queue, but nothing else.
import { type CompletionRing, type QueuePair, type RingCompletionQueue } from '../../lib';
import { RingWord, WcWord } from '../../lib/internal/layout';
import { native, type NativeDevice } from '../../lib/internal/native';
import { defaultLimits, limitWords } from '../../lib/internal/device-limits';
import { REMOTE } from '../support/queue-pairs';
import { runProgram } from '../support/programs';
import { open } from '../support/scene';

const WILD = [0, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 255, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_ffff];
const CQE = 8;

/** Returns a function that returns repeatable random numbers below its argument. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Runs a function and returns what it returned, and the shared memory that it allocated. */
function spy<T>(create: () => T): [T, Uint32Array] {
  const { SharedArrayBuffer } = globalThis;
  const seen: SharedArrayBuffer[] = [];
  globalThis.SharedArrayBuffer = class extends SharedArrayBuffer {
    constructor(length?: number) {
      super(length);
      seen.push(this);
    }
  };
  try {
    const made = create();
    expect(seen).toHaveLength(1);
    return [made, new Uint32Array(seen[0]!)];
  } finally {
    globalThis.SharedArrayBuffer = SharedArrayBuffer;
  }
}

/** A queue with a ring whose words the test can write, and a second queue that must stay intact, each with a queue pair. */
function scene() {
  const device = open({ engine: 'auto' });
  const pd = device.allocPd();
  const [cq, words] = spy(() => device.createCq(CQE, { ring: true }));
  const witness = device.createCq(CQE, { ring: true });
  const [qp, other] = [cq, witness].map((sendCq) => {
    const made = pd.createQp({ type: 'RC', sendCq, maxSendWr: 64 });
    made.connect(made, { access: REMOTE });
    return made;
  }) as [QueuePair<'RC'>, QueuePair<'RC'>];
  return { device, cq, words, qp, witness, other };
}

const write = (qp: QueuePair<'RC'>, wrId: number): void => {
  qp.postSend({ opcode: 'RDMA_WRITE', wrId, signaled: true, remoteAddr: 0, rkey: 0 as never });
};

/** Reads every property of the completion at which the cursor stands, and its object. */
function readAll(ring: CompletionRing): unknown[] {
  return [
    ring.wrId,
    ring.wrIdNumber,
    ring.status,
    ring.ok,
    ring.opcode,
    ring.byteLength,
    ring.qpId,
    ring.qpn,
    ring.srcQp,
    ring.imm,
    ring.invalidatedRkey,
    ring.completion().explain(),
    ring.completion().qp,
    String(ring.completion()),
    JSON.stringify(ring),
  ];
}

/** Uses the queue in every way. No more completions may come out than a ring holds. */
function use(cq: RingCompletionQueue, qp: QueuePair<'RC'>, wrId: number): void {
  try {
    write(qp, wrId);
  } catch (error) {
    // The send queue may be full, or the queue pair in error after its queue broke.
    expect(error).toMatchObject({ name: 'RdmaError' });
  }
  expect(cq.ring.length).toBeLessThanOrEqual(CQE);
  if (cq.ring.next()) readAll(cq.ring);
  for (const wc of cq.poll(2)) String(wc);
  expect(typeof cq.arm()).toBe('boolean');
  expect(cq.length).toBeLessThanOrEqual(CQE);
  expect(cq.toJSON().cqe).toBe(CQE);
}

describe('words written between calls', () => {
  test.each([RingWord.Head, RingWord.Ended, RingWord.Tail])('word %i: any value', (word) => {
    const { cq, words, qp, witness, other } = scene();
    let count = 0;
    for (const base of ['absolute', 'relative']) {
      for (const wild of WILD) {
        for (let i = 0; i < 3; i++) {
          const head = words[0]!;
          words[word] = base === 'absolute' ? wild : head + wild;
          use(cq, qp, count);
          write(other, ++count);
          expect(witness.poll().map((wc) => wc.wrId)).toEqual([count]);
        }
      }
    }
    expect(witness.isBroken).toBe(false);
    words[RingWord.Ended] = 0;
    qp.destroy();
    cq.destroy();
    expect(() => cq.poll()).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });

  test('any words of completions', () => {
    const { cq, words, qp, witness, other } = scene();
    const random = randomNumbers(7);
    for (let i = 0; i < 500; i++) {
      write(qp, i);
      for (let at: number = RingWord.Entries; at < words.length; at++) {
        if (random(4) === 0) words[at] = random(2) === 0 ? random(2 ** 32) : WILD[random(WILD.length)]!;
      }
      expect(cq.ring.next()).toBe(true);
      readAll(cq.ring);
      if (i % 3 === 0) {
        write(qp, i);
        expect(cq.poll()).toHaveLength(1);
      }
      write(other, i);
      expect(witness.ring.next()).toBe(true);
      expect([witness.ring.wrIdNumber, witness.ring.ok]).toEqual([i, true]);
    }
    expect(cq.isBroken).toBe(false);
  });

  test('promises are settled by what the ring says, or when the queue ends', async () => {
    const { device, words, qp } = scene();
    const settled = Array.from({ length: 20 }, () =>
      qp.write([], { vaddr: 0, rkey: 0 as never }).then(
        () => 'resolved',
        (error: unknown) => (error as Error).constructor.name,
      ),
    );
    words.fill(0xffff_ffff);
    await new Promise((resolve) => setImmediate(resolve));
    words.fill(0);
    device.close({ cascade: true });
    const outcomes = new Set(await Promise.all(settled));
    for (const outcome of outcomes) expect(['resolved', 'RdmaError', 'CompletionError']).toContain(outcome);
  });

  test('a queue that seems to have ended is asked, and works', () => {
    const { cq, words, qp } = scene();
    words[RingWord.Ended] = 1;
    write(qp, 1);
    write(qp, 2);
    expect(cq.length).toBe(2);
    expect(cq.poll(1)[0]!.wrId).toBe(1);
    expect(cq.ring.next()).toBe(true);
    expect(cq.ring.wrIdNumber).toBe(2);
  });
});

test('words written by another thread while queues are used', () => {
  const { status, signal, stdout, stderr } = runProgram(
    `
    const { Worker } = require('node:worker_threads');
    const { Device, Access } = require('rdmavt');
    const Plain = SharedArrayBuffer;
    let seen;
    globalThis.SharedArrayBuffer = class extends Plain { constructor(length) { super(length); seen = this; } };
    const device = new Device();
    const pd = device.allocPd();
    const make = (cqe) => {
      const cq = device.createCq(cqe, { ring: true });
      const qp = pd.createQp({ type: 'RC', sendCq: cq, maxSendWr: 64 });
      qp.connect(qp, { access: Access.RemoteWrite });
      return { cq, qp };
    };
    const victims = [];
    const rings = [];
    for (let i = 0; i < 4; i++) {
      victims.push(make(1 << (i * 2)));
      rings.push(new Uint32Array(seen));
    }
    const witness = make(64);
    globalThis.SharedArrayBuffer = Plain;
    const stop = new Int32Array(new Plain(4));
    const worker = new Worker(\`
      const { rings, stop } = require('node:worker_threads').workerData;
      let seed = 1;
      const random = (below) => ((seed = (seed * 1103515245 + 12345) >>> 0) >>> 4) % below;
      while (!Atomics.load(stop, 0)) {
        const words = rings[random(rings.length)];
        const at = [0, 0, 0, 1, 16, 16, 16, random(words.length)][random(8)];
        words[at] = [0, 1, words[0] + 1, words[16] + 1, words[0] - random(80), random(2 ** 28) * 16][random(6)];
      }
    \`, { eval: true, workerData: { rings, stop } });
    worker.on('online', () => {
      let posted = 0, right = 0, taken = 0;
      const until = Date.now() + 3000;
      while (Date.now() < until) {
        for (const { cq, qp } of victims) {
          try {
            qp.postSend({ opcode: 'RDMA_WRITE', wrId: posted, signaled: true, remoteAddr: 0, rkey: 0 });
          } catch (error) {
            if (error.code !== 'ENOMEM') throw error;
          }
          if (qp.state === 'ERR' && posted % 64 === 0) {
            qp.modify({ state: 'RESET' });
            qp.connect(qp, { access: Access.RemoteWrite });
          }
          for (let i = 0; i < 8 && cq.ring.next(); i++, taken++) cq.ring.completion().explain();
          taken += cq.poll(8).length;
          cq.arm();
          if (cq.length > 64) throw new Error('more than the ring holds');
        }
        witness.qp.postSend({ opcode: 'RDMA_WRITE', wrId: ++posted, signaled: true, remoteAddr: 0, rkey: 0 });
        if (witness.cq.ring.next() && witness.cq.ring.wrIdNumber === posted && witness.cq.ring.ok) right++;
      }
      Atomics.store(stop, 0, 1);
      device.close({ cascade: true });
      console.log(posted > 100, right === posted, taken > 100);
    });
    `,
  );
  expect({ status, signal, stdout, stderr }).toEqual({
    status: 0,
    signal: null,
    stdout: 'true true true\n',
    stderr: '',
  });
});

describe('the native module', () => {
  const BYTES = (RingWord.Entries + CQE * WcWord.Count) * 4;
  const device = native.openDevice(8, false, true, true, limitWords(defaultLimits)) as NativeDevice;
  const create = (ring: unknown) => device.createCq(CQE, 0, 0, ring as Uint8Array);
  afterAll(() => device.close(true));

  test('refuses memory that is not shared, not aligned or of another kind', () => {
    const shared = new SharedArrayBuffer(BYTES + 8);
    for (const ring of [
      new Uint8Array(BYTES),
      new Uint8Array(shared, 4, BYTES),
      new Uint32Array(shared),
      new DataView(shared),
      shared,
      null,
      {},
      1,
    ]) {
      expect(() => create(ring)).toThrow('argument 3 must be');
    }
  });

  test('refuses memory that is too short', () => {
    for (const bytes of [0, 64, BYTES - 1]) {
      expect(create(new Uint8Array(new SharedArrayBuffer(BYTES), 0, bytes))).toBe(-22);
    }
    expect(typeof create(new Uint8Array(new SharedArrayBuffer(BYTES)))).toBe('object');
  });

  test('lets two queues share one memory, and survives it', () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(BYTES));
    const [one, two] = [create(bytes), create(bytes)];
    if (typeof one === 'number' || typeof two === 'number') throw new Error('not created');
    const out = new Uint32Array(CQE * WcWord.Count);
    expect([
      one.poll(out, CQE),
      two.poll(out, CQE),
      one.destroy(),
      two.poll(out, CQE),
      two.destroy(),
    ]).toEqual([0, 0, 0, 0, 0]);
  });
});
