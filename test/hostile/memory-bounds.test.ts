// Exactly the registered bytes are reachable: neighbors in a buffer stay out of reach, for views of every type, and for copies
// into and out of the registered memory itself.
import { type DmaMapping, type MemoryLike, type MemoryRegion, type Sge, SgeState } from '../../lib';
import {
  expectOnly,
  fillRim,
  growable,
  localOf,
  names,
  reach,
  remoteOf,
  same,
  told,
  toldAll,
} from '../support/reach';
import { accepted, rdma } from '../support/answers';
import { describeWithCollector, testIf } from '../support/conditions';
import { collect } from '../support/garbage';
import { runProgram } from '../support/programs';
import { ALL, DMA, open, PAGE, scene } from '../support/scene';

describe('neighbors', () => {
  /** Returns three adjacent small Buffers of Node's pool; the middle one is registered. */
  function pooled() {
    for (;;) {
      const [before, mine, after] = [16, 16, 16].map((size) => Buffer.allocUnsafe(size)) as [
        Buffer,
        Buffer,
        Buffer,
      ];
      if (before.buffer === after.buffer && after.byteOffset - before.byteOffset === 32) {
        before.fill(0xbb);
        mine.fill(0x11);
        after.fill(0xaa);
        return {
          mine,
          intact: () => before.every((byte) => byte === 0xbb) && after.every((byte) => byte === 0xaa),
        };
      }
    }
  }

  /** Returns the expected refusal of `length` bytes at `offset` in a range of 16 bytes. */
  function verdict(kind: string, offset: number, length: number): string | undefined {
    const begins = offset >= 0 && offset < 16;
    if (kind === 'key 0') return !begins ? 'Unmapped' : length > 16 - offset ? 'OutOfBounds' : undefined;
    if (offset < 0 || offset > 16 || length > 16 - offset) return 'OutOfBounds';
    // An empty access at the very end is refused where the only page of the list ends there.
    return kind === 'fmr' && offset === 16 ? 'Unmapped' : undefined;
  }

  test('in the pool are out of reach, byte by byte, for every kind of key', () => {
    const all = scene({ trusted: true, remoteKeyZero: true });
    const { mine, intact } = pooled();
    const { names: found, regions } = names(all, mine, 16);
    const data = Buffer.alloc(32, 0x22);
    const [locals, remotes] = [all.pd.lkeyBatch(1), all.qp.rkeyBatch(1)];
    const blocks = [all.pd.checker(), all.qp.checker()];
    for (const name of found) {
      for (let offset = -9; offset <= 25; offset++) {
        for (let length = 0; length <= 25; length++) {
          const reason = verdict(name.kind, offset, length);
          const [local, remote] = [localOf(name, length, offset), remoteOf(name, length, offset)];
          locals.set(0, local.addr, length, local.lkey);
          remotes.set(0, remote.vaddr, length, remote.rkey);
          const held = [all.pd.acquire(local, 1), all.qp.acquire(remote, 4), all.qp.acquire(remote, 2)];
          const reasons = [...held, all.pd.check(local, 1), all.qp.check(remote, 4)].map((check) =>
            check.ok ? undefined : check.reason,
          );
          for (const batch of [locals, remotes]) {
            for (const what of [1, new Uint8Array(batch.words.buffer, 64, 16)]) {
              const access = batch === locals ? 0 : 4;
              const passed =
                typeof what === 'number' ? batch.check(what, access) : batch.checkPacked(what, access);
              same(passed, reason ? 0 : 1);
              reasons.push(batch.firstReason as any);
            }
          }
          blocks[0]!.refusal(local.addr, length, local.lkey, 1);
          blocks[1]!.refusal(remote.vaddr, length, remote.rkey, 4);
          reasons.push(...blocks.map((block) => block.reason as any));
          const where = [name.kind, offset, length];
          same(reasons.length, 11);
          for (const found of reasons) same(found, reason, where);

          const target = Buffer.alloc(32, 0x33);
          for (const check of held) {
            if (!check.ok) continue;
            const { sge } = check;
            // A remote SGE is checked either for reading or for writing.
            if (sge.remote && sge.access === 2) {
              same(sge.copyFrom(data.subarray(0, length)), length, where);
              sge.put();
              continue;
            }
            same(sge.copyTo(target), length, where);
            same(
              target.subarray(length).every((byte) => byte === 0x33),
              true,
              where,
            );
            same(
              target.subarray(0, length).every((byte) => byte === 0x11 || byte === 0x22),
              true,
              where,
            );
            const more = data.subarray(0, length + 1);
            same(
              told(() => sge.copyFrom(more)),
              'ERR_OUT_OF_RANGE',
              where,
            );
            same(
              told(() => new SgeState([sge]).copyIn(more)),
              'ERR_OUT_OF_RANGE',
              where,
            );
            same(
              told(() => new SgeState([sge]).copyOut(Buffer.alloc(length + 1))),
              'ERR_OUT_OF_RANGE',
              where,
            );
            if (!sge.remote) same(sge.copyFrom(data.subarray(0, length)), length, where);
            sge.put();
          }
          const bytes = reason ? 0 : length;
          for (const moved of [locals.gather(target, 1, 0), remotes.gather(target, 1, 4)])
            same(moved, bytes, where);
          for (const moved of [locals.scatter(data, 1, 1), remotes.scatter(data, 1, 2)])
            same(moved, bytes, where);
        }
      }
    }
    expect(intact()).toBe(true);
    expect(mine.every((byte) => byte === 0x22)).toBe(true);
    regions[3]![Symbol.dispose]();
  });

  test('in the pool are out of reach of page lists and scatter-gather lists', () => {
    const { device, pd } = scene();
    const { mine, intact } = pooled();
    const mapping = device.dma.map(mine, { address: DMA });
    for (let shift = 0; shift <= 5; shift++) {
      const page = 1 << shift;
      const fmr = pd.allocFmr({ maxPages: 2, pageShift: shift, access: ALL });
      for (let offset = -33; offset <= 33; offset++) {
        const inside = offset >= 0 && offset + page <= 16;
        const at = DMA + BigInt(offset);
        for (const list of [[at], BigUint64Array.of(at), inside ? [at, at] : [DMA, at]]) {
          expect([shift, offset, told(() => fmr.mapPhys(list, 0))]).toEqual([
            shift,
            offset,
            inside ? 'ok' : 'EINVAL',
          ]);
        }
        if (!inside) continue;
        // Access the last byte of the list and the byte after it.
        const whole = { addr: 0, length: 2 * page, lkey: fmr.lkey };
        expect(pd.check({ ...whole, length: 2 * page + 1 }, 0)).toMatchObject({ reason: 'OutOfBounds' });
        const sge = accepted(pd.acquire(whole, 1));
        sge.copyFrom(Buffer.alloc(2 * page, 0x44));
        sge.put();
      }
      fmr.dealloc();
    }
    const sg = pd.allocMr({ maxNumSg: 4 });
    for (let offset = -20; offset <= 20; offset++) {
      for (let length = 0; length <= 20; length++) {
        const inside = offset >= 0 && length > 0 && offset + length <= 16;
        const element = { addr: DMA + BigInt(offset), length };
        const lists = [[element], [element, { addr: 0, length: 1 }], [{ addr: DMA, length: 16 }, element]];
        const [one, wild, second] = lists.map((list) => told(() => sg.mapSg(list)));
        expect([offset, length, one, wild, second]).toEqual([
          offset,
          length,
          inside ? 'ok' : 'EINVAL',
          'EINVAL',
          inside ? 'ok' : 'EINVAL',
        ]);
      }
    }
    expect(intact()).toBe(true);
    sg.dereg();
    mapping.unmap();
  });

  test('in DMA space are other mappings: no access crosses from one into the next, even if they are adjacent', () => {
    const all = scene({ trusted: true, remoteKeyZero: true });
    const slab = Buffer.alloc(3 * PAGE, 7);
    const [one, two] = [slab.subarray(0, PAGE), slab.subarray(PAGE, 2 * PAGE)];
    all.device.dma.map(one, { address: DMA });
    all.device.dma.map(two, { address: DMA + BigInt(PAGE) });
    const [edge, end] = [DMA + BigInt(PAGE), DMA + 2n * BigInt(PAGE)];
    const zero = all.pd.getDmaMr();
    for (const [addr, length, ok] of [
      [edge - 1n, 1, true],
      [edge - 1n, 2, false],
      [edge, PAGE, true],
      [end - 1n, 2, false],
      [end, 1, false],
      [DMA, 2 * PAGE, false],
    ] as const) {
      expect(all.pd.check({ addr, length, lkey: zero.lkey }, 0).ok).toBe(ok);
      expect(all.qp.check({ vaddr: addr, length, rkey: zero.rkey }, 4).ok).toBe(ok);
    }
    const fmr = all.pd.allocFmr({ maxPages: 4, access: ALL });
    expect(() => fmr.mapPhys([DMA + 8n], 0)).toThrow(rdma('EINVAL', 'map_phys_fmr'));
    fmr.mapPhys([DMA, edge, DMA], 0);
    const sge = accepted(all.pd.acquire({ addr: 0, length: 3 * PAGE, lkey: fmr.lkey }, 1));
    expect(sge.copyFrom(Buffer.alloc(3 * PAGE, 9))).toBe(3 * PAGE);
    expect(slab.subarray(2 * PAGE).every((byte) => byte === 7)).toBe(true);
    expect(slab.subarray(0, 2 * PAGE).every((byte) => byte === 9)).toBe(true);
    zero.dereg();
  });
});

interface ViewType {
  new (buffer: ArrayBufferLike, offset?: number, length?: number): NodeJS.ArrayBufferView;
  readonly name: string;
  readonly BYTES_PER_ELEMENT?: number;
}
const viewTypes = (
  [
    'Int8Array',
    'Uint8Array',
    'Uint8ClampedArray',
    'Int16Array',
    'Uint16Array',
    'Float16Array',
    'Int32Array',
    'Uint32Array',
    'Float32Array',
    'Float64Array',
    'BigInt64Array',
    'BigUint64Array',
    'DataView',
    'Buffer',
  ] as const
)
  .filter((name) => name in globalThis)
  .map((name): [string, ViewType] => [
    name,
    name === 'Buffer'
      ? (Object.assign(
          function (buffer: ArrayBuffer, offset: number, length: number) {
            return Buffer.from(buffer, offset, length);
          },
          { BYTES_PER_ELEMENT: 1 },
        ) as unknown as ViewType)
      : (globalThis as any)[name],
  ]);

describe.each(viewTypes)('a view of type %s', (_, Type) => {
  const size = Type.BYTES_PER_ELEMENT ?? 1;

  test('covers exactly its bytes, at every offset', () => {
    for (const [from, buffer] of [
      [8, new ArrayBuffer(192)],
      [24, new SharedArrayBuffer(192)],
      [72, growable(192, 4096)],
    ]) {
      fillRim(buffer);
      const view = new Type(buffer, from, 64 / size);
      const { writers, readers, source, target, end } = reach(view, 64);
      for (const [name, write] of writers) {
        new Uint8Array(buffer, from, 64).fill(0);
        same(told(write), 'ok', name);
        expectOnly(buffer, from, 64, 0x5a);
      }
      for (const [name, read] of readers) {
        target.fill(0);
        read();
        same(target.equals(source), true, name);
      }
      end();
    }
  });

  test('at unaligned offsets copies exact bytes and refuses atomics', () => {
    const { pd, qp } = scene();
    const buffer = new ArrayBuffer(64);
    for (const from of [1, 2, 3, 4, 5, 7, 8, 9].filter((at) => at % size === 0)) {
      fillRim(buffer);
      const bytes = 3 * size;
      const mr = pd.regUserMr(new Type(buffer, from, 3), { start: 0n, iova: 0n, access: ALL });
      expect(mr.length).toBe(bytes);
      const sge = accepted(pd.acquire({ addr: 0n, length: bytes, lkey: mr.lkey }, 1));
      sge.copyFrom(Buffer.alloc(bytes, 1));
      expectOnly(buffer, from, bytes, 1);
      if (bytes >= 8) {
        const word = accepted(qp.acquire({ vaddr: 0n, length: 8, rkey: mr.rkey }, 8));
        expect(told(() => word.fetchAdd(1n))).toBe(from % 8 ? 'EINVAL' : 'ok');
        expect(told(() => word.compareSwap(0n, 1n))).toBe(from % 8 ? 'EINVAL' : 'ok');
        word.put();
      }
      sge.put();
      mr.dereg();
    }
  });

  test('is filled and read exactly, as source and target', () => {
    const { pd } = scene();
    const bytes = 64 * 8;
    const mr = pd.regUserMr(Buffer.alloc(bytes, 6), { access: 1 });
    const sge = accepted(pd.acquire({ addr: mr.start, length: bytes, lkey: mr.lkey }, 1));
    const batch = pd.lkeyBatch(1);
    batch.set(0, mr.start, 5 * size, mr.lkey);
    const buffer = new ArrayBuffer(192);
    const view = new Type(buffer, 2 * size, 5);
    const uses: [string, () => number][] = [
      ['copyTo', () => sge.copyTo(view)],
      ['copyTo, offset', () => sge.copyTo(view, { offset: 3 })],
      ['copyOut', () => new SgeState([sge]).copyOut(view)],
      ['gather', () => batch.gather(view, 1, 0)],
    ];
    for (const [name, use] of uses) {
      // Repeat the copies, also with plain bytes in between: no call may depend on the previous one.
      for (let round = 0; round < 3; round++) {
        fillRim(buffer);
        sge.copyTo(new Uint8Array(8));
        expect([name, use()]).toEqual([name, 5 * size]);
        expectOnly(buffer, 2 * size, 5 * size, 6);
      }
    }
    new Uint8Array(buffer, 2 * size, 5 * size).fill(8);
    for (const use of [
      () => sge.copyFrom(view),
      () => sge.copyFrom(view, { ordered: true }),
      () => new SgeState([sge]).copyIn(view),
      () => batch.scatter(view, 1, 1),
    ]) {
      const target = Buffer.alloc(5 * size + 1);
      sge.copyFrom(Buffer.alloc(bytes, 6));
      expect(use()).toBe(5 * size);
      sge.copyTo(target);
      expect(target).toEqual(Buffer.concat([Buffer.alloc(5 * size, 8), Buffer.alloc(1, 6)]));
    }
  });

  test('without bytes cannot be registered (EINVAL), and copies nothing', () => {
    const { device, pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8, 1), { access: ALL });
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 1));
    const none = accepted(pd.acquire({ addr: mr.start, length: 0, lkey: mr.lkey }, ALL));
    const batch = pd.lkeyBatch(1);
    batch.set(0, mr.start, 8, mr.lkey);
    const before = device.keyTable();
    const buffer = new ArrayBuffer(64);
    for (const at of [0, 32, 64]) {
      const empty = new Type(buffer, at, 0);
      expect(() => pd.regUserMr(empty)).toThrow(rdma('EINVAL', 'reg_user_mr'));
      expect(() => device.dma.map(empty)).toThrow(rdma('EINVAL', 'dma_map'));
      for (const element of [sge, none]) {
        expect(element.copyTo(empty)).toBe(0);
        expect(element.copyTo(empty, { offset: 0 })).toBe(0);
        expect(element.copyFrom(empty)).toBe(0);
        expect(element.copyFrom(empty, { ordered: true })).toBe(0);
        const state = new SgeState([element]);
        expect([state.copyIn(empty, { ordered: true }), state.copyIn(empty), state.copyOut(empty)]).toEqual([
          0, 0, 0,
        ]);
      }
      expect(batch.gather(empty, 1, 0)).toBe(0);
      expect([batch.firstRefusal, batch.firstReason]).toEqual([0, undefined]);
      expect(batch.scatter(empty, 1, 1)).toBe(0);
      expect(batch.checkPacked(empty, 0)).toBe(0);
      expect([batch.firstRefusal, batch.firstReason]).toEqual([-1, undefined]);
    }
    expect(none.copyTo(new Type(buffer, 0, 1))).toBe(0);
    expect(Buffer.from(buffer).equals(Buffer.alloc(64))).toBe(true);
    expect(device.keyTable()).toEqual(before);
    expect(mr.refs).toBe(4);
  });
});

// Node 22 has the type behind a flag, with a Node-API that has no constant for it.
const FLAG = '--js-float16array';
const flagged = 'Float16Array' in globalThis || runProgram('', [FLAG]).status !== 0;
testIf(!flagged, 'this Node has the type without a flag, or not at all')(
  'a view of a type unknown to Node-API is handled exactly',
  () => {
    const { status, stdout, stderr } = runProgram(
      `const { Device, SgeState } = require('rdmavt');
     const pd = new Device().allocPd();
     const buffer = new ArrayBuffer(64);
     const mr = pd.regUserMr(new Float16Array(buffer, 8, 8), { access: 1 });
     const sge = pd.acquire({ addr: mr.start, length: 16, lkey: mr.lkey }, 1).sge;
     const answers = new Set([mr.length]);
     for (let i = 0; i < 20; i++) {
       sge.copyTo(new Uint8Array(64));
       answers.add(sge.copyTo(new Float16Array(8)));
       sge.copyFrom(new Uint8Array(16).fill(7));
       answers.add(sge.copyFrom(new Float16Array(8)));
       answers.add(new SgeState([sge]).copyOut(new Float16Array(8)));
       answers.add(new SgeState([sge]).copyIn(new Float16Array(8).fill(1)));
     }
     const { native } = require('./test/support/native.cjs');
     const raw = native.openDevice(4, false, false, false, new Uint32Array(13).fill(250)).createCq(4, 0, 0);
     for (const words of [new Uint32Array(16), new Float16Array(32)]) {
       try { console.log(raw.query(words), words[0]); } catch (error) { console.log(error.name, words[0]); }
     }
     console.log([...answers].join(), [...new Uint8Array(buffer)].map((byte) => byte && 1).join(''));`,
      [FLAG, '--no-warnings'],
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const ones = `${'0'.repeat(8)}${'01'.repeat(8)}${'0'.repeat(40)}`;
    expect(stdout).toBe(`0 4\nTypeError 0\n16 ${ones}\n`);
  },
);

describe('copies into and out of the registered buffer itself', () => {
  const SIZE = 256;
  const bytes = (): Buffer => Buffer.from(Array.from({ length: SIZE }, (_, i) => i));

  /** Returns the image after moving `length` bytes from `from` to `to`, piece by piece, with memmove semantics for each piece. */
  function model(image: Buffer, from: number, to: number, pieces: readonly number[]): Buffer {
    for (const piece of pieces) {
      image.copyWithin(to, from, from + piece);
      from += piece;
      to += piece;
    }
    return image;
  }

  const LENGTH = 96;
  const moves = [0, 1, 7, 8, 17, 64, 95, 96].flatMap((by) => [
    [64, 64 + by],
    [64 + by, 64],
  ]);

  test.each(moves)('move like memmove from byte %i to byte %i', (from, to) => {
    const { pd } = scene();
    const memory = bytes();
    const mr = pd.regUserMr(memory, { start: 0n, iova: 0n, access: ALL });
    const part = (at: number, length = LENGTH): Sge =>
      accepted(pd.acquire({ addr: BigInt(at), length, lkey: mr.lkey }, ALL));
    const view = (at: number): Buffer => memory.subarray(at, at + LENGTH);
    const [left, right] = [pd.lkeyBatch(2), pd.lkeyBatch(2)];
    left.set(0, from, LENGTH, mr.lkey);
    right.set(0, to, LENGTH, mr.lkey);
    const whole = [LENGTH];
    const uses: [string, () => unknown, number[]][] = [
      ['copyTo', () => part(from).copyTo(view(to)), whole],
      ['copyFrom', () => part(to).copyFrom(view(from)), whole],
      ['copyFrom, ordered', () => part(to).copyFrom(view(from), { ordered: true }), whole],
      ['copyIn', () => new SgeState([part(to)]).copyIn(view(from)), whole],
      ['copyIn, ordered', () => new SgeState([part(to)]).copyIn(view(from), { ordered: true }), whole],
      ['copyOut', () => new SgeState([part(from)]).copyOut(view(to)), whole],
      [
        'copyOut of two elements',
        () => new SgeState([part(from, 40), part(from + 40, 56)]).copyOut(view(to)),
        [40, 56],
      ],
      ['gather', () => left.gather(view(to), 1, 0), whole],
      ['scatter', () => right.scatter(view(from), 1, 1), whole],
      ['batch.copyTo', () => left.copyTo(right, 1, 0, 1, 1), whole],
    ];
    for (const [name, use, pieces] of uses) {
      bytes().copy(memory);
      expect([name, told(use)]).toEqual([name, 'ok']);
      expect([name, memory.equals(model(bytes(), from, to, pieces))]).toEqual([name, true]);
    }
  });

  test('move like memmove between two overlapping regions over one buffer', () => {
    const { pd } = scene();
    const memory = bytes();
    const [low, high] = [memory.subarray(0, 160), memory.subarray(32)].map((view) => {
      const mr = pd.regUserMr(view, { access: ALL });
      return accepted(pd.acquire({ addr: mr.start, length: 128, lkey: mr.lkey }, 1));
    });
    const buffer = memory.buffer;
    expect(low!.copyTo(new Uint8Array(buffer, memory.byteOffset + 32, 128))).toBe(128);
    expect(memory.equals(model(bytes(), 0, 32, [128]))).toBe(true);
    expect(high!.copyTo(memory)).toBe(128);
    expect(memory.equals(model(model(bytes(), 0, 32, [128]), 32, 0, [128]))).toBe(true);
  });
});

describeWithCollector('garbage', () => {
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) await collect(() => true);
  };

  /** Returns the result of `hold` over a new buffer, and a WeakRef as the only reference to the buffer. */
  function weakly<T>(
    length: number,
    hold: (buffer: ArrayBuffer) => T,
  ): { held: T; ref: WeakRef<ArrayBuffer> } {
    const buffer = new ArrayBuffer(length);
    new Uint8Array(buffer).fill(0x3c);
    return { held: hold(buffer), ref: new WeakRef(buffer) };
  }
  const collected = (ref: WeakRef<object>) => () => ref.deref() === undefined;

  test('bytes stay correct while views over them are garbage-collected', async () => {
    const { device, pd } = scene();
    const keys: { addr: bigint; length: number; lkey: any }[] = [];
    const refs: WeakRef<object>[] = [];
    (() => {
      for (let i = 0; i < 200; i++) {
        const view = new Uint16Array(new ArrayBuffer(2048), 8, 8).fill(i);
        const mr = pd.regUserMr(view);
        keys.push({ addr: mr.start, length: 16, lkey: mr.lkey });
        refs.push(new WeakRef(view));
      }
    })();
    expect(await collect(() => refs.every((ref) => ref.deref() === undefined))).toBe(true);
    const churn = Array.from({ length: 200 }, () => new ArrayBuffer(2048));
    for (const [i, key] of keys.entries()) {
      const target = new Uint16Array(8);
      accepted(pd.acquire(key, 0)).copyTo(target);
      expect([...target]).toEqual(Array(8).fill(i));
    }
    expect(churn).toHaveLength(200);
    expect(device.keyTable().used.every(({ region }) => region !== undefined)).toBe(true);
  });

  const endings: [string, (all: Held) => unknown][] = [
    ['dereg', ({ mr }) => mr.dereg()],
    [
      'dereg by force with a held SGE',
      ({ mr, hold }) => {
        hold();
        mr.dereg({ force: true });
      },
    ],
    [
      'dispose and the last put',
      ({ mr, hold }) => {
        const sge = hold();
        mr[Symbol.dispose]();
        sge.put();
      },
    ],
    [
      'dispose and the end of a walk',
      ({ mr, hold }) => {
        const state = new SgeState([hold()]);
        mr[Symbol.dispose]();
        state.skip(8, { put: true });
      },
    ],
    [
      'dispose and the put of a batch',
      ({ mr, pd }) => {
        const batch = pd.lkeyBatch(1);
        batch.set(0, mr.start, 8, mr.lkey);
        batch.acquire(1, 0);
        mr[Symbol.dispose]();
        batch.put();
      },
    ],
    ['deregAsync', ({ mr }) => mr.deregAsync()],
    ['dealloc of the domain', ({ pd }) => pd.dealloc({ cascade: true })],
    ['close of the device', ({ device }) => device.close({ cascade: true })],
  ];
  interface Held {
    device: ReturnType<typeof open>;
    pd: ReturnType<ReturnType<typeof open>['allocPd']>;
    mr: MemoryRegion;
    hold: () => Sge;
  }

  test.each(endings)('a buffer may be collected after %s, and not before', async (_, end) => {
    const device = open();
    const pd = device.allocPd();
    const { held: mr, ref } = weakly(64, (buffer) => pd.regUserMr(new DataView(buffer, 3, 8)));
    await turns();
    expect(ref.deref()).toBeDefined();
    await turns();
    const hold = (): Sge => accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const target = Buffer.alloc(8);
    using sge = hold();
    sge.copyTo(target);
    sge.put();
    expect(target).toEqual(Buffer.alloc(8, 0x3c));
    await end({ device, pd, mr, hold });
    expect(await collect(collected(ref))).toBe(true);
  });

  test('a mapped buffer may be collected after unmap, and not before', async () => {
    const device = open();
    const { held, ref } = weakly(64, (buffer): DmaMapping => device.dma.map(buffer));
    await turns();
    expect(ref.deref()).toBeDefined();
    await turns();
    held.unmap();
    expect(await collect(collected(ref))).toBe(true);
  });

  test('a buffer with several registrations may be collected after the last one ends', async () => {
    const pd = open().allocPd();
    const { held, ref } = weakly(64, (buffer) =>
      Array.from({ length: 20 }, (_, i) => pd.regUserMr(new Uint8Array(buffer, i, 8))),
    );
    for (const mr of held.splice(1)) mr.dereg();
    await turns();
    expect(ref.deref()).toBeDefined();
    await turns();
    held[0]!.dereg();
    expect(await collect(collected(ref))).toBe(true);
  });

  test('a buffer used by copies may be collected afterwards', async () => {
    const pd = open().allocPd();
    const mr = pd.regUserMr(Buffer.alloc(64), { access: 1 });
    const sge = accepted(pd.acquire({ addr: mr.start, length: 64, lkey: mr.lkey }, 1));
    const batch = pd.lkeyBatch(4);
    batch.set(0, mr.start, 64, mr.lkey);
    const { ref } = weakly(64, (buffer) => {
      const memory: MemoryLike = buffer;
      return [
        sge.copyTo(memory),
        sge.copyFrom(memory),
        new SgeState([sge]).copyOut(memory),
        batch.gather(memory, 1, 0),
        batch.scatter(memory, 1, 1),
        batch.checkPacked(memory, 0),
      ];
    });
    expect(await collect(collected(ref))).toBe(true);
    expect(toldAll([['copyTo', () => sge.copyTo(Buffer.alloc(64))]])).toBe('ok');
  });
});
