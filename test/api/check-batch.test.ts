// Many checks in one call: elements, verdicts, places.
import * as fc from 'fast-check';
import { type Lkey, lkey, type Rkey, rkey, CheckBatch } from '../../lib';
import { checkReasons } from '../../lib/internal/reasons';
import { accessArb, elementArb, everyKind, fill, placeIn, single } from '../support/batches';
import { outOfRange, rdma, wrongType } from '../support/answers';
import { DMA, scene, TOP } from '../support/scene';

describe('a batch gives the same answers as single checks', () => {
  test.each(['local', 'remote'])('for random %s elements, with and without places', (side) => {
    const kinds = everyKind();
    const { pd, qp } = kinds;
    const checker = side === 'local' ? pd : qp;
    const make = (places: boolean): CheckBatch =>
      side === 'local' ? pd.lkeyBatch(40, { places }) : qp.rkeyBatch(40, { places });
    const [plain, placed] = [make(false), make(true)];
    const seen = new Set<string | undefined>();
    fc.assert(
      fc.property(fc.array(elementArb(kinds), { maxLength: 40 }), accessArb(side), (elements, access) => {
        const wanted = elements.map((element) => single(checker, element, access));
        const passed = wanted.filter(({ reason }) => reason === undefined).length;
        const first = wanted.findIndex(({ reason }) => reason !== undefined);
        for (const batch of [plain, placed]) {
          fill(batch, elements);
          expect(batch.check(elements.length, access)).toBe(passed);
          expect(batch.firstRefusal).toBe(first);
          expect(batch.firstReason).toBe(wanted[first]?.reason);
          expect(elements.map((_, i) => batch.reason(i))).toEqual(wanted.map(({ reason }) => reason));
        }
        for (const [i, { reason, place }] of wanted.entries()) {
          seen.add(reason);
          if (place) expect(placeIn(placed, i)).toEqual(place);
        }
      }),
      { numRuns: 1500 },
    );
    // KeyZeroDenied and NoDmaRegion need devices configured differently.
    const never = side === 'local' ? ['WindowOtherQp', 'LeaseExpired'] : ['WindowLocal'];
    const possible = checkReasons.slice(3).filter((reason) => !never.includes(reason));
    for (const reason of possible) expect(seen).toContain(reason);
  });

  test('for key 0 in a domain that is not trusted', () => {
    const trusted = everyKind(false);
    const remote = trusted.qp.rkeyBatch(1);
    fill(remote, [[DMA, 1, 0]]);
    expect(remote.check(1, 4)).toBe(0);
    expect(remote.firstReason).toBe('KeyZeroDenied');
    const local = scene().pd.lkeyBatch(1);
    fill(local, [[DMA, 1, 0]]);
    expect(local.check(1, 0)).toBe(0);
    expect(local.reason(0)).toBe('KeyZeroDenied');
  });

  test('for key 0 without a DMA region', () => {
    const batch = scene({ trusted: true }).pd.lkeyBatch(1);
    fill(batch, [[DMA, 1, 0]]);
    expect(batch.check(1, 0)).toBe(0);
    expect(batch.reason(0)).toBe('NoDmaRegion');
  });

  test('names regions by their ID', () => {
    const { pd, user, readOnly, dma } = everyKind();
    const rest = dma.refs;
    const batch = pd.lkeyBatch(3, { places: true });
    fill(batch, [
      [0x1000n, 8, user.lkey],
      [0x2000n, 8, readOnly.lkey],
      [DMA, 8, 0],
    ]);
    expect(batch.check(3, 0)).toBe(3);
    const told = [...batch.regions];
    expect(new Set(told).size).toBe(3);
    // Two batches report the same ID for the same region.
    const again = pd.lkeyBatch(1, { places: true });
    fill(again, [[DMA, 8, 0]]);
    again.check(1, 0);
    expect(again.regions[0]).toBe(told[2]);
    expect(dma.refs).toBe(rest);
  });
});

describe('elements', () => {
  test('are stored where the documented views say', () => {
    const { pd } = scene();
    const batch = pd.lkeyBatch(3);
    batch.set(1, 0x1122_3344_5566_7788n, 0x99aa_bbcc, lkey(0xddee_ff01));
    expect(batch.longs[2]).toBe(0x1122_3344_5566_7788n);
    expect(batch.words[6]).toBe(0x99aa_bbcc);
    expect(batch.words[7]).toBe(0xddee_ff01);
    const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
    expect(batch.view.getBigUint64(16, little)).toBe(0x1122_3344_5566_7788n);
    expect(batch.view.getUint32(24, little)).toBe(0x99aa_bbcc);
    expect(batch.view.getUint32(28, little)).toBe(0xddee_ff01);
    batch.set(0, 2 ** 53 - 1, 0, rkey(0));
    expect(batch.longs[0]).toBe(2n ** 53n - 1n);
    expect([batch.words.length, batch.longs.length, batch.view.byteLength]).toEqual([12, 6, 48]);
    expect(batch.capacity).toBe(3);
    expect(batch.verdicts).toHaveLength(3);
    for (const column of ['regions', 'positions', 'segmentLengths', 'segments'] as const) {
      expect(batch[column]).toHaveLength(0);
      expect(pd.lkeyBatch(3, { places: true })[column]).toHaveLength(3);
    }
  });

  test('rejects invalid indexes, addresses, lengths and keys', () => {
    const batch = scene().pd.lkeyBatch(2);
    const set = batch.set.bind(batch) as (...args: unknown[]) => void;
    for (const index of [-1, 2, 0.5, NaN]) expect(() => set(index, 0, 0, 0)).toThrow(outOfRange('index'));
    expect(() => set('0', 0, 0, 0)).toThrow(wrongType('index'));
    for (const address of [-1, -1n, TOP, 2 ** 53, 0.5])
      expect(() => set(0, address, 0, 0)).toThrow(outOfRange());
    expect(() => set(0, '1', 0, 0)).toThrow(wrongType('address'));
    for (const length of [-1, 2 ** 32]) expect(() => set(0, 0, length, 0)).toThrow(outOfRange('length'));
    for (const key of [-1, 2 ** 32]) expect(() => set(0, 0, 0, key)).toThrow(outOfRange('key'));
    expect(() => set(0, 0, 0, undefined)).toThrow(wrongType('key'));
    expect([...batch.words]).toEqual(Array(8).fill(0));
  });

  test('accepts both lkeys and rkeys as keys', () => {
    const batch = scene().pd.lkeyBatch(1);
    const keys: [Lkey, Rkey] = [lkey(1), rkey(1)];
    for (const key of keys) batch.set(0, 0n, 0, key);
    // @ts-expect-error -- a plain number is not a key
    batch.set(0, 0n, 0, 1);
  });
});

describe('creating a batch', () => {
  test('takes a capacity from 1 to 2^24 elements', () => {
    const { pd, qp } = scene();
    for (const capacity of [0, -1, 2 ** 24 + 1, 1.5, NaN, Infinity]) {
      expect(() => pd.lkeyBatch(capacity)).toThrow(outOfRange('capacity'));
      expect(() => qp.rkeyBatch(capacity)).toThrow(outOfRange('capacity'));
    }
    for (const capacity of ['1', 1n, null, undefined, {}]) {
      expect(() => pd.lkeyBatch(capacity as any)).toThrow(wrongType('capacity'));
    }
    expect(pd.lkeyBatch(1).capacity).toBe(1);
    const most = pd.lkeyBatch(2 ** 24);
    expect(most.check(2 ** 24, 0)).toBe(0);
    expect(most.firstRefusal).toBe(0);
  });

  test('requires valid options and an open parent, and the constructor is not public', () => {
    const { pd, qp } = scene();
    expect(() => new (CheckBatch as any)()).toThrow(TypeError);
    expect(() => pd.lkeyBatch(1, { places: 1 as any })).toThrow(wrongType('options.places'));
    expect(() => pd.lkeyBatch(1, 7 as any)).toThrow(wrongType('options'));
    qp.destroy();
    expect(() => qp.rkeyBatch(1)).toThrow(rdma('EBADF'));
    pd.dealloc();
    expect(() => pd.lkeyBatch(1)).toThrow(rdma('EBADF'));
  });

  test('rejects methods called on other objects', () => {
    const batch = scene().pd.lkeyBatch(1);
    for (const name of ['check', 'acquire', 'put', 'take', 'gather', 'scatter', 'copyTo'] as const) {
      for (const self of [{}, Object.create(batch), Object.create(CheckBatch.prototype)]) {
        expect(() => (batch[name] as any).call(self, 0, 0, 0, 0, 0)).toThrow(TypeError);
      }
    }
  });
});

describe('counts and access', () => {
  test('accepts a count of 0', () => {
    const { pd } = scene();
    const batch = pd.lkeyBatch(2);
    expect(batch.check(0, 0)).toBe(0);
    expect(batch.firstRefusal).toBe(-1);
    expect(batch.firstReason).toBeUndefined();
    expect(batch.acquire(0, 0)).toBe(0);
    expect(batch.put(0)).toBe(0);
    expect(batch.checkPacked(Buffer.alloc(0), 0)).toBe(0);
  });

  test('rejects invalid counts and access masks', () => {
    const batch = scene().pd.lkeyBatch(2);
    const calls: ((count: any, access: any) => unknown)[] = [
      (count, access) => batch.check(count, access),
      (count, access) => batch.acquire(count, access),
      (count, access) => batch.gather(Buffer.alloc(1), count, access),
      (count, access) => batch.scatter(Buffer.alloc(1), count, access),
      (count, access) => batch.copyTo(batch, count, access, 0, 0),
      (count, access) => batch.copyTo(batch, 0, 0, count, access),
    ];
    for (const call of calls) {
      for (const count of [-1, 3, 0.5, NaN, 2 ** 32]) expect(() => call(count, 0)).toThrow(outOfRange());
      for (const count of ['1', null, undefined, {}, 1n]) expect(() => call(count, 0)).toThrow(wrongType());
      for (const access of [-1, 0.5, NaN, 2 ** 32])
        expect(() => call(1, access)).toThrow(outOfRange('access'));
      for (const access of ['1', null, undefined, {}])
        expect(() => call(1, access)).toThrow(wrongType('access'));
    }
    for (const count of [-1, 3]) expect(() => batch.put(count)).toThrow(outOfRange('count'));
    for (const index of [-1, 2]) {
      expect(() => batch.take(index)).toThrow(outOfRange('index'));
      expect(() => batch.reason(index)).toThrow(outOfRange('index'));
    }
  });
});

describe('packed elements', () => {
  test('may start at any byte and outnumber the capacity of the batch', () => {
    const kinds = everyKind();
    const { pd } = kinds;
    const batch = pd.lkeyBatch(8);
    fc.assert(
      fc.property(
        fc.array(elementArb(kinds), { maxLength: 20 }),
        fc.nat(17),
        fc.nat(31),
        fc.boolean(),
        (elements, offset, access, shared) => {
          const Buffers = shared ? SharedArrayBuffer : ArrayBuffer;
          const packed = new Uint8Array(new Buffers(offset + elements.length * 16), offset);
          const wide = pd.lkeyBatch(32);
          fill(wide, elements);
          packed.set(new Uint8Array(wide.words.buffer, wide.words.byteOffset, elements.length * 16));
          const passed = wide.check(elements.length, access);
          batch.verdicts.fill(99);
          expect(batch.checkPacked(packed, access)).toBe(passed);
          expect(batch.firstRefusal).toBe(wide.firstRefusal);
          expect(batch.firstReason).toBe(wide.firstReason);
          const told = elements.length <= 8 ? [...wide.verdicts.subarray(0, elements.length)] : [];
          expect([...batch.verdicts]).toEqual([...told, ...Array<number>(8 - told.length).fill(99)]);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('may be in any kind of memory', () => {
    const { pd, user } = everyKind();
    const batch = pd.lkeyBatch(2);
    fill(batch, [
      [0x1000n, 8, user.lkey],
      [0x1000n, 8, 0x77],
    ]);
    const bytes = new Uint8Array(32);
    bytes.set(new Uint8Array(batch.words.buffer, batch.words.byteOffset, 32));
    const { buffer } = bytes;
    for (const memory of [buffer, new DataView(buffer), new Float64Array(buffer), Buffer.from(buffer)]) {
      batch.verdicts.fill(99);
      expect(batch.checkPacked(memory, 0)).toBe(1);
      expect(batch.firstRefusal).toBe(1);
      expect(batch.verdicts[0]).toBe(0);
    }
    for (const length of [1, 15, 17, 31]) {
      expect(() => batch.checkPacked(bytes.subarray(0, length), 0)).toThrow(outOfRange('multiple of 16'));
    }
    structuredClone(buffer, { transfer: [buffer] });
    expect(() => batch.checkPacked(buffer, 0)).toThrow(rdma('EINVAL'));
    expect(() => batch.checkPacked(bytes, 0)).toThrow(rdma('EINVAL'));
  });
});
