// The blocks of packed work requests, whose words JavaScript and other threads may overwrite with anything between calls and during
// calls; and native functions whose objects have ended. Nothing may crash, no byte outside the registered memory may change, and
// every reference is put in the end.
import { Worker } from 'node:worker_threads';
import { type QueuePair, rkey, type SendQueue, type SendWorkRequest } from '../../lib';
import {
  QpType,
  QpState as State,
  RecvWrWord,
  RegionNameWord,
  SendFlag,
  SendWrWord,
  SgeWord,
  WrHeaderWord,
  WrOpcode,
} from '../../lib/internal/layout';
import {
  native,
  type NativeQueuePair,
  type NativeRecvQueue,
  type NativeSendQueue,
} from '../../lib/internal/native';
import { collect } from '../support/garbage';
import { bringTo, made, pollAll, qpInit, register } from '../support/native-verbs';
import { ends, linesOf, memory, refusal } from '../support/queue-pairs';
import { detach, expectOnly, fillRim } from '../support/reach';
import { ALL } from '../support/scene';

const CAPACITY = 8;
const SGES = 2;
const SEND_STRIDE = SendWrWord.Words + SGES * SgeWord.Words;
const RECV_STRIDE = RecvWrWord.Words + SGES * SgeWord.Words;
const FROM = 64;
const SIZE = 64;
const EINVAL = -22;
const EBADF = -9;
const WILD = [0, 1, 2, 7, 8, 9, 255, 256, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff];

const newBlock = (stride: number, capacity = CAPACITY): Uint8Array =>
  new Uint8Array(new SharedArrayBuffer((WrHeaderWord.Words + capacity * stride) * 4));
const wordsOf = (block: Uint8Array): Uint32Array => new Uint32Array(block.buffer);

/** A queue pair that is connected with itself, registered memory between guard bytes, and blocks that the test can write to. */
function world(type: QpType.Rc | QpType.Ud = QpType.Rc) {
  const { a } = ends({ device: { engine: 'auto' } }); // keeps the classes of lib busy in the same environment
  const device = made(native.openDevice(8, false, false, false, limits()));
  const pd = made(device.allocPd(false));
  const cq = made(device.createCq(1024, 0, 0));
  const qp = made(
    pd.createQp(cq, cq, undefined, qpInit({ type, sendWr: 64, recvWr: 64, sendSge: SGES, recvSge: SGES })),
  );
  const srq = made(pd.createSrq(64, SGES, 0, true));
  bringTo(qp, type, State.Rts, { 9: qp.qpn() });
  const buffer = new ArrayBuffer(FROM + SIZE + 64);
  fillRim(buffer);
  const region = register(pd, new Uint8Array(buffer, FROM, SIZE), ALL);
  const foreign = register(made(device.allocPd(false)), new Uint8Array(64).fill(0xdd), ALL);
  const sends = newBlock(SEND_STRIDE);
  const receives = newBlock(RECV_STRIDE);
  const shared = newBlock(RECV_STRIDE);
  const ah = made(pd.createAh(1, 0, 0, 1));
  return {
    a,
    device,
    pd,
    cq,
    qp,
    srq,
    region,
    foreign,
    buffer,
    ah,
    sends,
    receives,
    shared,
    send: made(native.createSendQueue(qp, sends, CAPACITY)),
    recv: made(native.createRecvQueue(qp, receives, CAPACITY)),
    srqRecv: made(native.createRecvQueue(srq, shared, CAPACITY)),
  };
}
type World = ReturnType<typeof world>;

function limits(): Uint32Array {
  return Uint32Array.of(16, 64, 16, 4, 16, 1024, 16, 64, 4, 16, 16, 1, 16);
}

/** Writes an RDMA_WRITE of 8 bytes inside the memory to a slot. */
function fillWrite({ sends, region }: World, slot: number): void {
  const words = wordsOf(sends);
  const at = WrHeaderWord.Words + slot * SEND_STRIDE;
  const { start, key } = region.constants!;
  words.fill(0, at, at + SEND_STRIDE);
  words[at + SendWrWord.Opcode] = WrOpcode.RdmaWrite;
  words[at + SendWrWord.Flags] = SendFlag.Signaled;
  words[at + SendWrWord.NumSge] = 1;
  new BigUint64Array(sends.buffer)[(at + SendWrWord.RemoteAddr) / 2] = BigInt(start) + 8n;
  words[at + SendWrWord.Rkey] = key;
  new BigUint64Array(sends.buffer)[(at + SendWrWord.Words) / 2] = BigInt(start);
  words[at + SendWrWord.Words + SgeWord.Length] = 8;
  words[at + SendWrWord.Words + SgeWord.Lkey] = key;
}

/** Posts slots and returns what the header says afterwards. */
function post(queue: NativeSendQueue | NativeRecvQueue, block: Uint8Array, count: number, first = 0) {
  const words = wordsOf(block);
  words[WrHeaderWord.Count] = count;
  words[WrHeaderWord.First] = first;
  queue.post();
  return [words[WrHeaderWord.Status]! | 0, words[WrHeaderWord.Posted]!];
}

/** Brings the queue pair back from an error that a work request has caused. */
function revive({ qp, cq }: World): void {
  const query = new Uint32Array(36);
  if (qp.query(query) === 0 && query[0] !== State.Rts) {
    qp.modify(1, new Uint32Array(26));
    bringTo(qp, QpType.Rc, State.Rts, { 9: qp.qpn() });
  }
  pollAll(cq, 200);
}

/** Expects that only the registered memory has changed, and that nothing is held once the queues are empty. */
function expectUnharmed({ buffer, qp, device, pd }: World): void {
  expectOnly(buffer, FROM, SIZE, 0xa5);
  qp.destroy();
  expect(device.close(true)).toBe(0);
  expect(pd.serial()).toBe(EBADF);
}

const RANDOM_ROUNDS = 4000;
/** Returns a generator of numbers below a bound. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('overwritten between calls', () => {
  test('counts and first slots that the block does not have are refused, and nothing is posted', () => {
    const all = world();
    for (const [queue, block] of [
      [all.send, all.sends],
      [all.recv, all.receives],
      [all.srqRecv, all.shared],
    ] as const) {
      for (const [count, first] of [
        [CAPACITY + 1, 0],
        [1, CAPACITY],
        [0, CAPACITY + 1],
        [2, CAPACITY - 1],
        [2 ** 32 - 1, 0],
        [2 ** 32 - 1, 2],
        [1, 2 ** 32 - 1],
        [2 ** 31, 2 ** 31],
        [2 ** 32 - 1, 2 ** 32 - 1],
      ] as const)
        expect(post(queue, block, count, first)).toEqual([EINVAL, 0]);
      expect(post(queue, block, 0, CAPACITY)).toEqual([0, 0]);
    }
    expect(pollAll(all.cq)).toEqual([]);
    expectUnharmed(all);
  });

  test('every word of a slot takes every value without harm', () => {
    const all = world();
    const words = wordsOf(all.sends);
    for (let word = 0; word < SEND_STRIDE; word++) {
      for (const value of WILD) {
        fillWrite(all, 1);
        words[WrHeaderWord.Words + SEND_STRIDE + word] = value;
        const [status, posted] = post(all.send, all.sends, 1, 1);
        expect([0, EINVAL, EBADF, -13, -12]).toContain(status);
        expect(posted).toBe(status === 0 ? 1 : 0);
        revive(all);
      }
    }
    expectUnharmed(all);
  });

  test.each([0, 1, 3, 255, 256, 2 ** 31, 2 ** 32 - 1])('%p SGEs in a slot of two', (count) => {
    const all = world();
    fillWrite(all, CAPACITY - 1);
    wordsOf(all.sends)[WrHeaderWord.Words + (CAPACITY - 1) * SEND_STRIDE + SendWrWord.NumSge] = count;
    expect(post(all.send, all.sends, 1, CAPACITY - 1)).toEqual(count <= SGES ? [0, 1] : [EINVAL, 0]);
    for (const [queue, block] of [
      [all.recv, all.receives],
      [all.srqRecv, all.shared],
    ] as const) {
      wordsOf(block)[WrHeaderWord.Words + (CAPACITY - 1) * RECV_STRIDE + RecvWrWord.NumSge] = count;
      expect(post(queue, block, CAPACITY)).toEqual(count <= SGES ? [0, CAPACITY] : [EINVAL, CAPACITY - 1]);
    }
    expectUnharmed(all);
  });

  test('random words', () => {
    const all = world();
    const random = randomOf(15);
    const { region, foreign } = all;
    const start = region.constants!.start as number;
    const likely = [
      region.constants!.key,
      foreign.constants!.key,
      start % 2 ** 32,
      Math.floor(start / 2 ** 32),
      8,
      64,
      1,
      2,
      0,
    ];
    for (let round = 0; round < RANDOM_ROUNDS; round++) {
      for (const block of [all.sends, all.receives]) {
        const words = wordsOf(block);
        for (let i = 0; i < 6; i++)
          words[random(words.length)] = random(3) === 0 ? random(2 ** 32) : likely[random(likely.length)]!;
        const slot = random(CAPACITY);
        if (random(2) === 0) fillWrite(all, slot);
        words[WrHeaderWord.Count] = random(CAPACITY + 2);
        words[WrHeaderWord.First] = random(CAPACITY);
      }
      all.recv.post();
      all.send.post();
      const status = wordsOf(all.sends)[WrHeaderWord.Status]! | 0;
      if (status > 0 || wordsOf(all.sends)[WrHeaderWord.Posted]! > CAPACITY)
        throw new Error(`status ${status}`);
      revive(all);
    }
    expectUnharmed(all);
  });

  test('a REG_MR cannot name a region of another domain, or one that does not exist', () => {
    const all = world();
    const words = wordsOf(all.sends);
    const at = WrHeaderWord.Words;
    const { checker, index, generation } = all.foreign;
    for (const [name, expected] of [
      [[checker, index, generation, 0], -13],
      [[checker, 2 ** 32 - 1, 1, 0], EBADF],
      [[2 ** 32 - 1, 0, 1, 0], EBADF],
      [[0, 0, 0, 0], EBADF],
    ] as const) {
      words.fill(0, at, at + SEND_STRIDE);
      words[at + SendWrWord.Opcode] = WrOpcode.RegMr;
      words.set(name, at + SendWrWord.Region + RegionNameWord.Checker);
      words[at + SendWrWord.Key] = all.foreign.constants!.key;
      expect(post(all.send, all.sends, 1)).toEqual([expected, 0]);
    }
    expectUnharmed(all);
  });

  test('a datagram names only address handles that its queue was given', () => {
    const all = world(QpType.Ud);
    const words = wordsOf(all.sends);
    const at = WrHeaderWord.Words;
    words[at + SendWrWord.Opcode] = WrOpcode.Send;
    const outcomes = () =>
      WILD.map((ah) => {
        words[at + SendWrWord.Ah] = ah;
        return post(all.send, all.sends, 1)[0];
      });
    expect(new Set(outcomes())).toEqual(new Set([EINVAL]));
    expect(all.send.setAh(7, all.ah)).toBe(0);
    expect(outcomes()).toEqual(WILD.map((ah) => (ah === 7 ? 0 : EINVAL)));
    expectUnharmed(all);
  });
});

const scribbler = `
  const { workerData: { blocks, stop, hints } } = require('node:worker_threads');
  let seed = 99;
  const random = (below) => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return Math.floor(seed / 2 ** 32 * below); };
  const views = blocks.map((block) => new Uint32Array(block));
  Atomics.store(stop, 1, 1);
  while (!Atomics.load(stop, 0)) {
    for (const words of views)
      for (let i = 0; i < 64; i++)
        words[random(words.length)] = random(3) ? hints[random(hints.length)] : random(2 ** 32);
  }
`;

test('overwritten by another thread during calls', async () => {
  const all = world();
  const start = all.region.constants!.start as number;
  const hints = [
    ...[all.region.constants!.key, all.foreign.constants!.key, start % 2 ** 32, Math.floor(start / 2 ** 32)],
    ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 64],
  ];
  const stop = new Int32Array(new SharedArrayBuffer(8));
  const plain = new Uint8Array(new SharedArrayBuffer(4096));
  const list = native.createPostBlock(plain);
  const blocks = [all.sends, all.receives, all.shared, plain].map(({ buffer }) => buffer);
  const worker = new Worker(scribbler, { eval: true, workerData: { blocks, stop, hints } });
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  while (!Atomics.load(stop, 1)) await new Promise((resolve) => setTimeout(resolve, 2));
  let posted = 0;
  for (const until = Date.now() + 1500; Date.now() < until;) {
    for (let i = 0; i < 50; i++) {
      fillWrite(all, i % CAPACITY);
      const [status] = post(all.send, all.sends, 1 + (i % 3), i % CAPACITY);
      if (status === 0) posted++;
      post(all.recv, all.receives, 4);
      post(all.srqRecv, all.shared, 4);
      wordsOf(plain)[WrHeaderWord.Qp] = all.qp.number();
      wordsOf(plain)[WrHeaderWord.Count] = 2;
      list.postSend();
      wordsOf(plain)[WrHeaderWord.Qp] = all.qp.number();
      list.postRecv();
      revive(all);
    }
  }
  Atomics.store(stop, 0, 1);
  expect(await ended).toBe(0);
  expect(posted).toBeGreaterThan(0);
  expectUnharmed(all);
});

describe('a block of postSend', () => {
  const newList = (words = 64) => {
    const block = new Uint8Array(new SharedArrayBuffer((WrHeaderWord.Words + words) * 4));
    const list = native.createPostBlock(block);
    const view = wordsOf(block);
    const call = (name: 'postSend' | 'postRecv', qp: number, count: number) => {
      view[WrHeaderWord.Qp] = qp;
      view[WrHeaderWord.Count] = count;
      list[name]();
      return [view[WrHeaderWord.Status]! | 0, view[WrHeaderWord.Bad]!];
    };
    return { view, call };
  };

  test('numbers that name no queue pair', () => {
    const all = world();
    const { call } = newList();
    for (const number of [0, all.pd.number(), 2 ** 31, 2 ** 32 - 1])
      for (const name of ['postSend', 'postRecv'] as const) expect(call(name, number, 1)[0]).toBe(EBADF);
    expectUnharmed(all);
  });

  test('more work requests or SGEs than the block has', () => {
    const all = world();
    const { view, call } = newList();
    const qp = all.qp.number();
    // 64 words of zeros: two empty RDMA_WRITEs, and too few words for a third one.
    expect(call('postSend', qp, 3)).toEqual([EINVAL, 2]);
    expect(call('postSend', qp, 2 ** 32 - 1)).toEqual([EINVAL, 2]);
    expect(call('postRecv', qp, 17)).toEqual([EINVAL, 16]);
    for (const count of [11, 255, 256, 2 ** 30, 2 ** 32 - 1]) {
      view[WrHeaderWord.Words + SendWrWord.NumSge] = count;
      expect(call('postSend', qp, 1)).toEqual([EINVAL, 0]);
    }
    view[WrHeaderWord.Words + SendWrWord.NumSge] = 10; // as many as the block has room for, but too many for the queue pair
    expect(call('postSend', qp, 1)).toEqual([EINVAL, 0]);
    expectUnharmed(all);
  });

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['memory that can be detached', new Uint8Array(4096)],
    ['a block without room for the header', new Uint8Array(new SharedArrayBuffer(60))],
    ['a block that is not aligned', new Uint8Array(new SharedArrayBuffer(4096), 4)],
    ['words', new Uint32Array(new SharedArrayBuffer(4096))],
  ])('is not made of %s', (_, block) => {
    expect(() => native.createPostBlock(block as Uint8Array)).toThrow(/^argument 0 must be/);
  });
});

describe('native arguments', () => {
  test.each<[string, (all: World) => unknown]>([
    [
      'a block that is too short',
      ({ qp }) => native.createSendQueue(qp, newBlock(SEND_STRIDE).subarray(0, -4), CAPACITY),
    ],
    [
      'a block that is too long',
      ({ qp }) => native.createSendQueue(qp, newBlock(SEND_STRIDE, CAPACITY + 1), CAPACITY),
    ],
    [
      'memory that can be detached',
      ({ qp }) => native.createSendQueue(qp, new Uint8Array(newBlock(SEND_STRIDE).length), CAPACITY),
    ],
    ['the capacity 0', ({ qp }) => native.createSendQueue(qp, newBlock(SEND_STRIDE, 0), 0)],
    [
      'a capacity above the limit',
      ({ qp }) => native.createRecvQueue(qp, newBlock(RECV_STRIDE), 2 ** 20 + 1),
    ],
    [
      'a domain',
      ({ pd, sends }) => native.createSendQueue(pd as unknown as NativeQueuePair, sends, CAPACITY),
    ],
    [
      'a completion queue',
      ({ cq, receives }) => native.createRecvQueue(cq as unknown as NativeQueuePair, receives, CAPACITY),
    ],
    ['an object', ({ sends }) => native.createSendQueue({} as NativeQueuePair, sends, CAPACITY)],
  ])('refuse %s', (_, use) => {
    expect(() => use(world())).toThrow(/^argument \d must be/);
  });

  test('of setAh', () => {
    const { send, ah, qp } = world();
    const set = send.setAh as (...args: unknown[]) => number;
    for (const args of [[], [0], [0, {}], [0, qp], [CAPACITY, ah], [2 ** 32 - 1, ah], ['0', ah], [0, null]])
      expect(set(...args)).toBe(EINVAL);
    expect(set(-1, ah)).toBe(EINVAL);
    expect(set(0, ah)).toBe(0);
  });

  test('posting functions need no receiver and ignore arguments', () => {
    const all = world();
    fillWrite(all, 0);
    wordsOf(all.sends)[WrHeaderWord.Count] = 1;
    Reflect.apply(all.send.post, undefined, [all, 1, 2, 3]);
    expect(pollAll(all.cq)).toHaveLength(1);
  });
});

describe('ended objects', () => {
  test.each<[string, (all: World) => void]>([
    [
      'a destroyed queue pair',
      ({ qp, srq }) => {
        qp.destroy();
        srq.destroy();
      },
    ],
    [
      'a deallocated domain',
      ({ pd }) => {
        pd.dealloc(true);
      },
    ],
    [
      'a closed device',
      ({ device }) => {
        device.close(true);
      },
    ],
    [
      'a detached context',
      ({ device }) => {
        device.detach(true);
      },
    ],
  ])('%s', (_, end) => {
    const all = world();
    fillWrite(all, 0);
    end(all);
    for (const [queue, block] of [
      [all.send, all.sends],
      [all.recv, all.receives],
      [all.srqRecv, all.shared],
    ] as const)
      expect(post(queue, block, 1)).toEqual([EBADF, 0]);
    expect(all.send.setAh(0, all.ah)).toBe(0);
    expect(native.createSendQueue(all.qp, newBlock(SEND_STRIDE), CAPACITY)).toBe(EBADF);
    expect(native.createRecvQueue(all.srq, newBlock(RECV_STRIDE), CAPACITY)).toBe(EBADF);
    expectOnly(all.buffer, FROM, SIZE, 0xa5);
  });

  test('a function works when everything else is collected', async () => {
    const {
      post: posting,
      block,
      gone,
    } = (() => {
      const all = world();
      fillWrite(all, 0);
      wordsOf(all.sends)[WrHeaderWord.Count] = 1;
      return { post: all.send.post, block: new WeakRef(all.sends), gone: new WeakRef(all.qp) };
    })();
    expect(await collect(() => gone.deref() === undefined && block.deref() === undefined)).toBe(true);
    posting(); // the block and the device are kept: this writes to the header, and posts
    posting();
  });
});

/** A send queue of lib, with an RDMA_WRITE in each slot. */
function filled() {
  const all = ends({ device: { engine: 'auto' } });
  const [from, to] = [memory(all.pd, 'abcdefgh'), memory(all.pd, 8)];
  const wr: SendWorkRequest<'RC'> = {
    opcode: 'RDMA_WRITE',
    wrId: 1,
    signaled: true,
    sges: [from.sge()],
    ...to.at(),
  };
  const queue = all.a.sendQueue(4);
  for (let i = 0; i < 4; i++) queue.fill(i, wr);
  return { ...all, from, to, wr, queue };
}
type Filled = ReturnType<typeof filled>;

const acts: Record<string, (all: Filled) => void> = {
  'closes the device': ({ device }) => {
    device.close({ cascade: true });
  },
  'destroys the queue pair': ({ a }) => {
    a.destroy();
  },
  'fills the same slot': ({ queue, wr }) => {
    queue.fill(0, { ...wr, wrId: 50 });
  },
  'posts the slot': ({ queue }) => {
    queue.post(1);
  },
  'posts by postSend': ({ a, wr }) => {
    refusal(() => {
      a.postSend(wr);
      throw Object.assign(new Error(), { code: '' });
    });
  },
  throws: () => {
    throw new Error('thrown by the getter');
  },
};
describe.each(Object.entries(acts))('a getter that %s, in fill', (name, act) => {
  test.each(['opcode', 'wrId', 'signaled', 'sges', 'remoteAddr', 'rkey'])('at %s', (property) => {
    const all = filled();
    const wr = { ...all.wr, wrId: 60 };
    const value: unknown = Reflect.get(wr, property);
    Object.defineProperty(wr, property, {
      get: () => {
        act(all);
        return value;
      },
    });
    if (name === 'throws')
      expect(() => {
        all.queue.fill(0, wr);
      }).toThrow(/thrown by the getter/);
    else all.queue.fill(0, wr);
    const isOpen = !/closes|destroys/.test(name);
    expect(all.queue.post(1)).toBe(isOpen ? 1 : 0);
    if (isOpen) {
      // The slot has all words of one of the calls.
      expect(linesOf(all.aCq).at(-1)).toBe(
        name === 'throws' ? '1 RDMA_WRITE SUCCESS' : '60 RDMA_WRITE SUCCESS',
      );
    } else {
      expect(all.queue.error?.code).toBe('EBADF');
    }
  });
});

test('replaced built-ins do not reach a queue', () => {
  const { a, aCq } = ends({ device: { engine: 'auto' } });
  const kept = globalThis.SharedArrayBuffer;
  const seen: unknown[] = [];
  (globalThis as { SharedArrayBuffer: unknown }).SharedArrayBuffer = class extends kept {
    constructor(length: number) {
      super(length);
      seen.push(this);
    }
  };
  let queue: SendQueue<'RC'>;
  try {
    queue = a.sendQueue(1);
  } finally {
    globalThis.SharedArrayBuffer = kept;
  }
  queue.fill(0, { opcode: 'RDMA_WRITE', remoteAddr: 0, rkey: rkey(0), signaled: true });
  expect([queue.post(1), seen]).toEqual([1, []]);
  expect(linesOf(aCq)).toHaveLength(1);
  expect(Object.keys(queue).sort()).toEqual(['capacity', 'qp']);
});

test('changing the public properties of a queue changes nothing', () => {
  const { queue } = filled();
  Object.assign(queue, { capacity: 1000, qp: undefined });
  expect(() => queue.post(5)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  expect(() => {
    queue.setId(4, 0);
  }).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  expect(queue.post(4)).toBe(4);
  expect(typeof String(queue)).toBe('string');
});

test('a queue of a garbage-collected queue pair posts', async () => {
  const { queue, weak, to } = (() => {
    const all = filled();
    return { queue: all.b.sendQueue(1), weak: new WeakRef<QueuePair>(all.a), to: all.to };
  })();
  expect(await collect(() => weak.deref() === undefined)).toBe(true);
  queue.fill(0, { opcode: 'RDMA_WRITE', ...to.at() });
  expect(queue.post(1)).toBe(1);
});

test('memory that is detached while its slot is filled is refused when it is used', () => {
  const { a, b, aCq, pd } = ends({ device: { engine: 'auto' } });
  const bytes = new Uint8Array(8);
  const mr = pd.regUserMr(bytes, { access: ALL });
  const queue = a.sendQueue(1);
  queue.fill(0, {
    opcode: 'RDMA_WRITE',
    signaled: true,
    sges: [{ addr: mr.start, length: 8, lkey: mr.lkey }],
    ...memory(pd, 8).at(),
  });
  detach(bytes.buffer);
  expect(queue.post(1)).toBe(1);
  expect(linesOf(aCq)).toEqual(['0 RDMA_WRITE LOC_PROT_ERR MemoryDetached']);
  expect(b.state).toBe('RTS');
});
