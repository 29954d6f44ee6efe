// Memory that is detached, moved, shrunk or grown: every way to do so, combined with every way to reach the bytes.
import { once } from 'node:events';
import { markAsUntransferable, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { type MemoryLike, SgeState } from '../../lib';
import {
  detach,
  expectOnly,
  fillRim,
  growable,
  localOf,
  reach,
  type Reach,
  remoteOf,
  resizable,
  same,
  told,
  toldAll,
  wasm,
} from '../support/reach';
import { canTransfer, describeWithTransfer, testIf, testWithTransfer } from '../support/conditions';
import { accepted, rdma } from '../support/answers';
import { runProgram } from '../support/programs';
import { ALL, scene } from '../support/scene';

const FROM = 64;
const SIZE = 64;
const WHOLE = FROM + SIZE + 64;

/** Fills a buffer with guard bytes and returns a view of its middle. */
function middle(buffer: ArrayBufferLike): Uint8Array {
  fillRim(buffer);
  return new Uint8Array(buffer, FROM, SIZE);
}

/** Expects every use to succeed and to change only the registered bytes. */
function expectAlive(
  buffer: ArrayBufferLike,
  { writers, readers, source, target }: Reach,
  from = FROM,
): void {
  for (const [name, write] of writers) {
    new Uint8Array(buffer, from, SIZE).fill(0);
    same(told(write), 'ok', name);
    expectOnly(buffer, from, SIZE, source[0]!);
  }
  for (const [name, read] of readers) {
    target.fill(0);
    same(told(read), 'ok', name);
    same(target.equals(source), true, name);
  }
  expectOnly(buffer, from, SIZE, source[0]!);
}

/** Expects every use to be refused with the reason, whatever checks answer, and no byte to change. */
function expectDead({ uses, checkers, target }: Reach, reason: string): void {
  target.fill(0x77);
  expect(toldAll(uses)).toBe(reason);
  expect(toldAll(checkers)).toBe('ok');
  expect(target.every((byte) => byte === 0x77)).toBe(true);
}

describe('memory that is transferred', () => {
  const { port1, port2 } = new MessageChannel();
  let worker: Worker;
  beforeAll(() => {
    worker = new Worker(
      `const { parentPort } = require('node:worker_threads');
       parentPort.on('message', (buffer) => parentPort.postMessage(buffer, [buffer]));`,
      { eval: true },
    );
  });
  afterAll(async () => {
    port1.close();
    port2.close();
    await worker.terminate();
  });

  /** Ways to detach a buffer. Each returns the buffer that has the bytes now. */
  const ways: [string, (buffer: any) => any][] = [
    ['by structuredClone', detach],
    [
      'through a MessageChannel',
      (buffer) => {
        port1.postMessage(buffer, [buffer]);
        return (receiveMessageOnPort(port2) as { message: unknown }).message;
      },
    ],
    [
      'inside an object with views of it',
      (buffer) => {
        const message = { buffer, view: new Uint8Array(buffer, 8), deep: [new DataView(buffer)] };
        port1.postMessage(message, [buffer]);
        return (receiveMessageOnPort(port2) as { message: any }).message.buffer;
      },
    ],
    [
      'to a worker and back',
      async (buffer) => {
        const back = once(worker, 'message');
        worker.postMessage(buffer, [buffer]);
        return (await back)[0];
      },
    ],
  ];
  const moves: [string, (buffer: any) => any][] = [
    ['by transfer', (buffer) => buffer.transfer()],
    ['by transfer to a longer buffer', (buffer) => buffer.transfer(WHOLE + 64)],
    ['by transferToFixedLength', (buffer) => buffer.transferToFixedLength()],
    ['by transferToFixedLength to a longer buffer', (buffer) => buffer.transferToFixedLength(WHOLE + 1)],
  ];

  const body = async (takeAway: (buffer: any) => any, buffer: ArrayBuffer): Promise<void> => {
    const all = reach(middle(buffer), SIZE);
    expectAlive(buffer, all);
    const there: ArrayBuffer = await takeAway(buffer);
    expect(buffer.byteLength).toBe(0);
    expectDead(all, 'MemoryDetached');
    expectOnly(there.slice(0, WHOLE), FROM, SIZE, 0x5a);
    // The regions still exist and can be deregistered.
    expect(all.regions.map(({ length }) => length)).toEqual([SIZE, SIZE, SIZE, 0]);
    expect(all.regions.map(({ state }) => state)).toEqual(Array(4).fill('Valid'));
    all.end();
    // The bytes can be registered again at their new location.
    const again = reach(middle(there), SIZE);
    expectAlive(there, again);
    again.end();
  };

  describe.each(ways)('%s', (_, takeAway) => {
    test('refuses every use and does not write to the new location, which can be registered', () =>
      body(takeAway, new ArrayBuffer(WHOLE)));
    test('does the same if the buffer is resizable', () => body(takeAway, resizable(WHOLE, 2 * WHOLE)));
  });
  for (const [title, takeAway] of moves) {
    describeWithTransfer(title, () => {
      test('refuses every use and does not write to the new location, which can be registered', () =>
        body(takeAway, new ArrayBuffer(WHOLE)));
      test('does the same if the buffer is resizable', () => body(takeAway, resizable(WHOLE, 2 * WHOLE)));
    });
  }
  testWithTransfer('by transfer to length 0', () => {
    const buffer: any = new ArrayBuffer(WHOLE);
    const all = reach(middle(buffer), SIZE);
    expect(buffer.transfer(0).byteLength).toBe(0);
    expectDead(all, 'MemoryDetached');
    all.end();
  });

  test('every registration of a detached buffer is refused, at any offset', () => {
    const { pd, device } = scene();
    const [buffer, other] = [new ArrayBuffer(4096), new ArrayBuffer(4096)];
    const of = (memory: ArrayBuffer) =>
      Array.from({ length: 64 }, (_, i) => {
        const view = i % 2 ? new Uint16Array(memory, i * 64, 4) : new DataView(memory, i * 64 + 1, 8);
        return pd.regUserMr(view, { access: 1 });
      });
    const [lost, kept] = [of(buffer), of(other)];
    const whole = device.dma.map(buffer);
    const hold = (list: typeof lost) =>
      list.map((mr) => accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 1)));
    const [dead, alive] = [hold(lost), hold(kept)];
    detach(buffer);
    for (const sge of dead) {
      expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'MemoryDetached'));
    }
    for (const sge of alive) expect(sge.copyFrom(Buffer.alloc(8, 1))).toBe(8);
    // In a list of both kinds nothing moves, even if the list starts with usable elements.
    const mixed = alive.slice(0, 20).flatMap((sge, i) => [sge, dead[i]!]);
    const target = Buffer.alloc(40 * 8, 0x77);
    expect(() => new SgeState(mixed).copyOut(target)).toThrow(
      rdma('EACCES', 'copy_sge_out', 'MemoryDetached'),
    );
    expect(target.every((byte) => byte === 0x77)).toBe(true);
    const batch = pd.lkeyBatch(128);
    for (let i = 0; i < 128; i++) {
      const mr = (i % 2 ? lost : kept)[i >> 1]!;
      batch.set(i, mr.start, 8, mr.lkey);
    }
    expect(batch.gather(target, 128, 0)).toBe(8); // copies only the element before the first refused one
    expect([batch.firstRefusal, batch.firstReason]).toEqual([1, 'MemoryDetached']);
    expect(target.subarray(8).every((byte) => byte === 0x77)).toBe(true);
    for (const sge of [...dead, ...alive]) sge.put();
    for (const mr of [...lost, ...kept]) mr.dereg();
    whole.unmap();
  });

  test('one detached memory in a list stops the copy before it starts, and the other elements stay usable alone', () => {
    const { pd } = scene();
    const [kept, lost] = [Buffer.alloc(8), new ArrayBuffer(8)];
    const list = [kept, lost].map((memory) => {
      const mr = pd.regUserMr(memory, { access: 1 });
      return accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 1));
    });
    detach(lost);
    const state = new SgeState(list);
    expect(() => state.copyIn(Buffer.alloc(16, 1))).toThrow(rdma('EACCES', 'copy_sge', 'MemoryDetached'));
    expect(kept).toEqual(Buffer.alloc(8));
    expect(state.copyIn(Buffer.alloc(8, 1))).toBe(8);
    expect(kept).toEqual(Buffer.alloc(8, 1));
  });

  test('a region registered again covers the new memory', () => {
    const { pd } = scene();
    let memory = new Uint8Array(SIZE).fill(1);
    for (let round = 1; round < 50; round++) {
      const mr = pd.regUserMr(memory, { start: 0x1000n, access: 1 });
      const sge = accepted(pd.acquire({ addr: 0x1000n, length: SIZE, lkey: mr.lkey }, 1));
      const there = new Uint8Array(detach(memory.buffer));
      expect(() => sge.copyFrom(Buffer.alloc(SIZE))).toThrow(rdma('EACCES', 'copy_sge', 'MemoryDetached'));
      sge.put();
      mr.dereg();
      expect(there.every((byte) => byte === round)).toBe(true);
      memory = there.fill(round + 1);
    }
  });

  test('marking a buffer as untransferable has no effect on native code', () => {
    const buffer = new ArrayBuffer(WHOLE);
    markAsUntransferable(buffer);
    const all = reach(middle(buffer), SIZE);
    // Node versions differ (an error or a copy), but none of them detaches the buffer.
    try {
      port1.postMessage(buffer, [buffer]);
      receiveMessageOnPort(port2);
    } catch (error) {
      expect((error as Error).name).toBe('DataCloneError');
    }
    expect(buffer.byteLength).toBe(WHOLE);
    expectAlive(buffer, all);
    // The engine's own transfer honors the mark from Node 24 on. The package does not rely on it.
    let there: ArrayBuffer | undefined;
    try {
      there = canTransfer ? (buffer as any).transfer() : undefined;
    } catch (error) {
      expect((error as Error).name).toBe('TypeError'); // The error may belong to another realm.
    }
    if (there) {
      expectDead(all, 'MemoryDetached');
      expectOnly(there, FROM, SIZE, 0x5a);
    } else {
      expectAlive(buffer, all);
    }
    all.end();
  });

  testWithTransfer('the whole pool of Buffers, through one small Buffer', () => {
    const { status, stdout, stderr } = runProgram(`
      const { Device } = require('rdmavt');
      const pd = new Device().allocPd();
      const [mine, other] = [Buffer.from('12345678'), Buffer.from('abcdefgh')];
      if (mine.buffer !== other.buffer) throw new Error('no pool');
      const reg = (bytes) => {
        const mr = pd.regUserMr(bytes, { access: 1 });
        return pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 1).sge;
      };
      const sges = [reg(mine), reg(other), reg(new Uint8Array(8))];
      let text;
      try {
        text = Array.from(new Uint8Array(mine.buffer.transfer()), (byte) => String.fromCharCode(byte)).join('');
      } catch (error) {
        text = error.name; // Node 24 and later refuse to detach the pool
      }
      const answers = sges.map((sge) => {
        try { return sge.copyFrom(new Uint8Array(8)); } catch (error) { return error.reason; }
      });
      require('node:fs').writeSync(1, (text.includes('12345678abcdefgh') ? 'moved' : text) + ' ' + answers.join());
      process.reallyExit(0); // the behavior of Node without its pool is not under test
    `);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(['moved MemoryDetached,MemoryDetached,8', 'TypeError 8,8,8']).toContain(stdout);
  });
});

describe('memory that changes its length', () => {
  test('is refused when shrunk below the registered bytes, and usable when they are covered again', () => {
    const buffer = resizable(WHOLE, 2 * WHOLE);
    const all = reach(middle(buffer), SIZE);
    expectAlive(buffer, all);
    for (const length of [FROM + SIZE - 1, FROM + 8, FROM + 1, FROM, FROM - 1, 0]) {
      buffer.resize(length);
      expectDead(all, 'MemoryShrunk');
      // Resize exactly to the end of the registered bytes.
      buffer.resize(FROM + SIZE);
      fillRim(buffer);
      expectAlive(buffer, all);
      buffer.resize(2 * WHOLE);
      fillRim(buffer);
      expectAlive(buffer, all);
    }
    // Bytes that were given up return as zeros.
    buffer.resize(FROM + 8);
    buffer.resize(FROM + SIZE);
    for (const [, read] of all.readers) {
      all.target.fill(0x77);
      read();
      expect(all.target.subarray(8).equals(Buffer.alloc(SIZE - 8))).toBe(true);
    }
    buffer.resize(0);
    detach(buffer);
    expectDead(all, 'MemoryDetached');
    all.end();
  });

  test('a whole buffer and a length-tracking view keep the length that they had at registration', () => {
    for (const of of [(buffer: any) => buffer, (buffer: any) => new Uint8Array(buffer)]) {
      const buffer = resizable(SIZE, WHOLE);
      const all = reach(of(buffer), SIZE);
      buffer.resize(WHOLE);
      fillRim(buffer);
      expectAlive(buffer, all, 0);
      for (const name of all.names.slice(0, 3)) {
        expect(all.pd.check(localOf(name, SIZE + 1), 0)).toMatchObject({ reason: 'OutOfBounds' });
        expect(all.qp.check(remoteOf(name, 1, SIZE), 4)).toMatchObject({ reason: 'OutOfBounds' });
      }
      buffer.resize(SIZE - 1);
      expectDead(all, 'MemoryShrunk');
      all.end();
    }
  });

  test('the rest of a region is also out of reach while part of it is missing', () => {
    const { pd } = scene();
    const buffer = resizable(16, 16);
    const mr = pd.regUserMr(buffer, { access: 1 });
    const first = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 1));
    buffer.resize(15);
    expect(() => first.copyFrom(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge', 'MemoryShrunk'));
    buffer.resize(16);
    expect(first.copyFrom(Buffer.alloc(8))).toBe(8);
  });

  test('growing shared memory keeps the old region usable, and the new range can be registered', () => {
    for (const start of [SIZE, FROM + SIZE]) {
      const shared = growable(start, 8192);
      fillRim(shared);
      const view = new Uint8Array(shared, start - SIZE, SIZE);
      const all = reach(view, SIZE);
      expectAlive(shared, all, start - SIZE);
      const before = shared.byteLength;
      shared.grow(8192);
      new Uint8Array(shared).fill(0xa5, before);
      expectAlive(shared, all, start - SIZE);
      expect(all.regions[0]!.length).toBe(SIZE);
      const longer = reach(shared, 8192);
      for (const [, write] of longer.writers.slice(0, 2)) write();
      expect(new Uint8Array(shared).every((byte) => byte === 0x5a)).toBe(true);
      longer.end();
      all.end();
    }
  });

  test('shared memory without bytes can be registered after it grows', () => {
    const { pd, device } = scene();
    const shared = growable(0, 4096);
    expect(() => pd.regUserMr(shared)).toThrow(rdma('EINVAL', 'reg_user_mr'));
    expect(() => device.dma.map(shared)).toThrow(rdma('EINVAL', 'dma_map'));
    shared.grow(WHOLE);
    const all = reach(middle(shared), SIZE);
    expectAlive(shared, all);
    all.end();
  });
});

describe('WebAssembly memory', () => {
  test.each([0, 1])('grown by %i pages detaches registered memory, and the new buffer is usable', (pages) => {
    const memory = wasm(1, 4);
    const buffer = memory.buffer;
    const all = reach(middle(buffer), SIZE);
    expectAlive(buffer, all);
    memory.grow(pages);
    expectDead(all, 'MemoryDetached');
    expectOnly(memory.buffer.slice(0, 65536), FROM, SIZE, 0x5a);
    all.end();
    const again = reach(new Uint8Array(memory.buffer, FROM, SIZE), SIZE);
    new Uint8Array(memory.buffer).fill(0xa5, 65536);
    expectAlive(memory.buffer, again);
    again.end();
  });

  test('grown by the module itself is detached', () => {
    // (module (memory (export "memory") 1 4) (func (export "grow") (drop (memory.grow (i32.const 1)))))
    const code = Buffer.from(
      '0061736d0100000001040160000003020100050401010104071102066d656d6f727902000467726f7700000a09010700410140001a0b',
      'hex',
    );
    const { WebAssembly } = globalThis as any;
    const { memory, grow } = new WebAssembly.Instance(new WebAssembly.Module(code)).exports;
    const buffer = memory.buffer;
    const all = reach(middle(buffer), SIZE);
    expectAlive(buffer, all);
    grow();
    expect(buffer.byteLength).toBe(0);
    expectDead(all, 'MemoryDetached');
    all.end();
  });

  test('that is shared and grown keeps the old region usable, and the longer range can be registered', () => {
    const memory = wasm(1, 4, true);
    const old = memory.buffer;
    const all = reach(middle(old), SIZE);
    expectAlive(old, all);
    memory.grow(1);
    expect(memory.buffer).not.toBe(old);
    expectAlive(old, all);
    const again = reach(new Uint8Array(memory.buffer, FROM, SIZE), SIZE);
    new Uint8Array(memory.buffer).fill(0xa5, 65536);
    expectAlive(memory.buffer, again);
    const end = reach(new Uint8Array(memory.buffer, 2 * 65536 - 64, SIZE), SIZE);
    for (const [, write] of end.writers) expect(told(write)).toBe('ok');
    end.end();
    again.end();
    all.end();
  });

  const { toResizableBuffer } = (globalThis as any).WebAssembly.Memory.prototype;
  testIf(!!toResizableBuffer, 'this Node has no WebAssembly.Memory.prototype.toResizableBuffer')(
    'as a resizable buffer stays usable',
    () => {
      const memory = wasm(1, 4);
      const buffer = memory.toResizableBuffer();
      const all = reach(middle(buffer), SIZE);
      memory.grow(1);
      fillRim(buffer);
      expectAlive(buffer, all);
      buffer.resize(3 * 65536);
      fillRim(buffer);
      expectAlive(buffer, all);
      memory.toFixedLengthBuffer();
      expectDead(all, 'MemoryDetached');
      all.end();
    },
  );

  test('grown between the check and the copy is refused every time', () => {
    const memory = wasm(1, 200);
    const { pd, qp } = scene();
    for (let round = 0; round < 100; round++) {
      const bytes = new Uint8Array(memory.buffer, round, SIZE).fill(round);
      const mr = pd.regUserMr(bytes, { start: 0n, iova: 0n, access: ALL });
      const sge = accepted(qp.acquire({ vaddr: 0n, length: SIZE, rkey: mr.rkey }, 2));
      const state = new SgeState([sge]);
      expect(state.copyIn(Buffer.alloc(8, round))).toBe(8);
      memory.grow(1);
      expect(told(() => state.copyIn(Buffer.alloc(8, 0xff)))).toBe('MemoryDetached');
      expect(state.totalLength).toBe(SIZE - 8);
      expect(told(() => sge.copyFrom(Buffer.alloc(8, 0xff)))).toBe('MemoryDetached');
      expect(new Uint8Array(memory.buffer, round, SIZE).every((byte) => byte === round)).toBe(true);
      sge.put();
      mr.dereg();
    }
  });
});

describe('memory passed to a copy', () => {
  const targets: [string, (length: number) => { memory: MemoryLike; take: () => unknown }, string][] = [
    ...(['Uint8Array', 'Buffer', 'DataView', 'Float64Array'] as const).map(
      (name): (typeof targets)[number] => [
        `a ${name} whose buffer is detached`,
        (length) => {
          const buffer = new ArrayBuffer(length);
          const memory =
            name === 'Buffer' ? Buffer.from(buffer) : (new (globalThis as any)[name](buffer) as Uint8Array);
          return { memory, take: () => detach(buffer) };
        },
        'EINVAL',
      ],
    ),
    [
      'a buffer that is detached',
      (length) => {
        const memory = new ArrayBuffer(length);
        return { memory, take: () => detach(memory) };
      },
      'EINVAL',
    ],
    [
      'a length-tracking view beyond the end of its buffer',
      (length) => {
        const buffer = resizable(length + 8, length + 8);
        return { memory: new Uint8Array(buffer, 8), take: () => buffer.resize(4) };
      },
      'EINVAL',
    ],
    [
      'a fixed-length view beyond the end of its buffer',
      (length) => {
        const buffer = resizable(length + 8, length + 8);
        return { memory: new Uint8Array(buffer, 8, length), take: () => buffer.resize(length + 7) };
      },
      'EINVAL',
    ],
    [
      'WebAssembly memory that has grown',
      (length) => {
        const memory = wasm(1, 2);
        return { memory: new Uint8Array(memory.buffer, 0, length), take: () => memory.grow(1) };
      },
      'EINVAL',
    ],
  ];

  test.each(targets)('%s is rejected by every copy, and nothing moves', (_, make, code) => {
    const buffer = new ArrayBuffer(WHOLE);
    const { pd, names, end } = reach(middle(buffer), SIZE);
    for (const name of names) {
      const { memory, take } = make(SIZE);
      const sge = accepted(pd.acquire(localOf(name, SIZE), ALL));
      const batch = pd.lkeyBatch(1);
      batch.set(0, name.local, SIZE, name.key as any);
      const uses: [string, () => unknown][] = [
        ['copyTo', () => sge.copyTo(memory)],
        ['copyTo, offset', () => sge.copyTo(memory, { offset: 1 })],
        ['copyFrom', () => sge.copyFrom(memory)],
        ['copyFrom, ordered', () => sge.copyFrom(memory, { ordered: true })],
        ['copyIn', () => new SgeState([sge]).copyIn(memory)],
        ['copyOut', () => new SgeState([sge]).copyOut(memory)],
        ['gather', () => batch.gather(memory, 1, 0)],
        ['scatter', () => batch.scatter(memory, 1, 1)],
        ['checkPacked', () => batch.checkPacked(memory, 0)],
      ];
      expect(toldAll(uses)).toBe('ok');
      new Uint8Array(buffer, FROM, SIZE).fill(3);
      take();
      expect(toldAll(uses)).toBe(code);
      expectOnly(buffer, FROM, SIZE, 3);
      sge.put();
    }
    end();
  });

  test('a length-tracking view has the length that it has at the call', () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(SIZE, 9), { access: 1 });
    const sge = accepted(pd.acquire({ addr: mr.start, length: SIZE, lkey: mr.lkey }, 1));
    const batch = pd.lkeyBatch(1);
    batch.set(0, mr.start, 8, mr.lkey);
    const buffer = resizable(WHOLE, WHOLE);
    const view = new Uint8Array(buffer, 8);
    for (const length of [WHOLE, 40, 9, 24]) {
      buffer.resize(length);
      fillRim(buffer);
      const bytes = Math.min(SIZE, length - 8);
      expect(sge.copyTo(view)).toBe(bytes);
      expectOnly(buffer, 8, bytes, 9);
      fillRim(buffer);
      expect(batch.gather(view, 1, 0)).toBe(length < 16 ? 0 : 8);
      expectOnly(buffer, 8, length < 16 ? 0 : 8, 9);
      if (length < WHOLE) expect(sge.copyFrom(view)).toBe(length - 8);
      sge.copyFrom(Buffer.alloc(SIZE, 9));
    }
  });
});
