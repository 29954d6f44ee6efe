// Lists that are copied completely or not at all, and lists with a separate access for each element.
import * as fc from 'fast-check';
import { Access, type CheckBatch, lkey, type Lkey, SgeState } from '../../lib';
import { accepted, argumentError, outOfRange, wrongType } from '../support/answers';
import { accessArb, type Element, elementArb, everyKind, fill, single } from '../support/batches';
import { detach } from '../support/reach';
import { ALL, DMA, dmaPages, PAGE, scene } from '../support/scene';

const { LocalWrite, RemoteAtomic, RemoteRead, RemoteWrite } = Access;

/** Creates a batch of each kind over three elements of 8 bytes in one memory. */
function ready() {
  const all = scene();
  const bytes = Buffer.from(Array.from({ length: 64 }, (_, i) => i + 1));
  const mr = all.pd.regUserMr(bytes, { start: 0n, iova: 0n, access: ALL });
  const local = all.pd.lkeyBatch(8);
  const remote = all.qp.rkeyBatch(8);
  for (const batch of [local, remote]) for (let i = 0; i < 3; i++) batch.set(i, i * 8, 8, mr.lkey);
  return { ...all, bytes, mr, local, remote };
}

describe('the option all', () => {
  test.each(['local', 'remote'] as const)(
    'copies an accepted list like a copy without the option, %s',
    (side) => {
      const { [side]: batch, bytes } = ready();
      const target = Buffer.alloc(30);
      expect(batch.gather(target, 3, RemoteRead, { all: true })).toBe(24);
      expect(target).toEqual(Buffer.concat([bytes.subarray(0, 24), Buffer.alloc(6)]));
      const source = Buffer.alloc(24, 0xee);
      expect(batch.scatter(source, 3, RemoteWrite, { all: true })).toBe(24);
      expect(bytes.subarray(0, 24)).toEqual(source);
      expect(bytes[24]).toBe(25);
      expect([batch.firstRefusal, batch.firstReason]).toEqual([-1, undefined]);
    },
  );

  test('moves nothing if any element is refused', () => {
    const { pd, local, mr, bytes, device } = ready();
    const before = Buffer.from(bytes);
    local.set(2, 60, 8, mr.lkey);
    const other = pd.lkeyBatch(1);
    other.set(0, 40, 24, mr.lkey);
    const target = Buffer.alloc(64);
    for (const use of [
      () => local.gather(target, 3, 0, { all: true }),
      () => local.scatter(Buffer.alloc(24, 0xee), 3, LocalWrite, { all: true }),
      () => local.copyTo(other, 3, 0, 1, LocalWrite, { all: true }),
    ]) {
      const { refused, bytesCopied, reasons } = device.counters();
      expect(use()).toBe(0);
      expect([local.firstRefusal, local.firstReason]).toEqual([2, 'OutOfBounds']);
      const now = device.counters();
      expect([now.refused, now.bytesCopied]).toEqual([refused + 1, bytesCopied]);
      expect(now.reasons.OutOfBounds).toBe((reasons.OutOfBounds ?? 0) + 1);
    }
    expect(other.copyTo(local, 1, 0, 3, LocalWrite, { all: true })).toBe(0);
    expect([other.firstRefusal, local.firstRefusal, local.firstReason]).toEqual([-1, 2, 'OutOfBounds']);
    expect(bytes).toEqual(before);
    expect(target).toEqual(Buffer.alloc(64));
    // Without the option, the elements before the refused one are moved.
    expect(local.gather(target, 3, 0, { all: false })).toBe(16);
  });

  test('checks the memory behind each element as well', () => {
    const { pd, local, bytes } = ready();
    const gone = new ArrayBuffer(8);
    local.set(2, 0x1000n, 8, pd.regUserMr(gone, { start: 0x1000n, access: ALL }).lkey);
    detach(gone);
    expect(local.scatter(Buffer.alloc(24, 0xee), 3, LocalWrite, { all: true })).toBe(0);
    expect([local.firstRefusal, local.firstReason, bytes[0]]).toEqual([2, 'MemoryDetached', 1]);
  });

  test('rejects a buffer that is too small with a RangeError that states by how much', () => {
    const { pd, local, remote, mr, bytes } = ready();
    const before = Buffer.from(bytes);
    const target = Buffer.alloc(20);
    const all = { all: true };
    expect(() => local.gather(target, 3, 0, all)).toThrow(
      outOfRange(
        '"target.byteLength" is out of range. It must be >= 24; the value is 4 too small. Received 20',
      ),
    );
    expect(() => local.scatter(Buffer.alloc(23), 3, LocalWrite, all)).toThrow(
      outOfRange('"source.byteLength" is out of range. It must be 24; the value is 1 too small. Received 23'),
    );
    expect(() => remote.scatter(Buffer.alloc(30), 3, RemoteWrite, all)).toThrow(
      outOfRange('It must be 24; the value is 6 too large. Received 30'),
    );
    const other = pd.lkeyBatch(1);
    other.set(0, 40, 23, mr.lkey);
    expect(() => local.copyTo(other, 3, 0, 1, LocalWrite, all)).toThrow(
      outOfRange(
        '"bytes of the other list" is out of range. It must be >= 24; the value is 1 too small. Received 23',
      ),
    );
    expect([target, bytes]).toEqual([Buffer.alloc(20), before]);
    // A refusal takes precedence over a target that is too small.
    local.set(1, 100, 8, mr.lkey);
    expect(local.gather(target, 3, 0, all)).toBe(0);
    expect(local.firstRefusal).toBe(1);
  });

  test('allows a longer target list, which is filled in part, and an empty one', () => {
    const { pd, local, mr } = ready();
    const other = pd.lkeyBatch(2);
    other.set(0, 32, 8, mr.lkey);
    other.set(1, 40, 24, mr.lkey);
    expect(local.copyTo(other, 3, 0, 2, LocalWrite, { all: true })).toBe(24);
    expect(local.gather(Buffer.alloc(0), 0, 0, { all: true })).toBe(0);
    expect(local.scatter(Buffer.alloc(0), 0, LocalWrite, { all: true })).toBe(0);
  });

  test('checks long page lists over many mappings with the same result as the copy', () => {
    const { device, pd } = scene();
    const parts = Array.from({ length: 40 }, (_, i) => dmaPages(device, 4, DMA + BigInt(i) * 0x1_0000n));
    const fmr = pd.allocFmr({ maxPages: 160, access: ALL });
    fmr.mapPhys(
      parts.flatMap(({ address }) => [0n, 1n, 2n, 3n].map((n) => address + n * 4096n)),
      0,
    );
    const batch = pd.lkeyBatch(20_000);
    for (let i = 0; i < 20_000; i++) batch.set(i, i * 32, 32, fmr.lkey);
    const target = Buffer.alloc(160 * PAGE);
    const whole = pd.lkeyBatch(1);
    whole.set(0, 0, 160 * PAGE, fmr.lkey);
    expect(batch.gather(target, 20_000, 0, { all: true })).toBe(640_000);
    expect(target.subarray(0, PAGE).equals(Buffer.alloc(PAGE, 0))).toBe(true);
    expect(target[PAGE]).toBe(1);
    expect(whole.gather(target, 1, 0, { all: true })).toBe(160 * PAGE);
    batch.set(19_999, 160 * PAGE, 1, fmr.lkey);
    expect(batch.gather(target, 20_000, 0, { all: true })).toBe(0);
    expect(batch.firstRefusal).toBe(19_999);
  });

  test.each(['local', 'remote'] as const)(
    'moves for random lists either everything that a copy without it would move, or nothing, %s',
    (side) => {
      const kinds = everyKind();
      const batch = side === 'local' ? kinds.pd.lkeyBatch(6) : kinds.qp.rkeyBatch(6);
      let whole = 0;
      fc.assert(
        fc.property(fc.array(elementArb(kinds), { maxLength: 6 }), (drawn) => {
          const elements = drawn.map(([at, length, key]): Element => [at, length % (4 * PAGE), key]);
          fill(batch, elements);
          const sum = elements.reduce((total, [, length]) => total + length, 0);
          const [one, two] = [Buffer.alloc(sum, 0xaa), Buffer.alloc(sum, 0xaa)];
          const moved = batch.gather(one, elements.length, RemoteRead);
          const told = [batch.firstRefusal, batch.firstReason];
          const all = batch.gather(two, elements.length, RemoteRead, { all: true });
          expect([batch.firstRefusal, batch.firstReason]).toEqual(told);
          expect(all).toBe(told[0] === -1 ? moved : 0);
          expect(two.equals(told[0] === -1 ? one : Buffer.alloc(sum, 0xaa))).toBe(true);
          if (told[0] === -1 && sum > 0) whole++;
        }),
        { numRuns: 1500 },
      );
      expect(whole).toBeGreaterThan(10);
    },
  );

  test('rejects invalid options before it changes anything', () => {
    const { local } = ready();
    const gather = local.gather.bind(local) as (...args: unknown[]) => unknown;
    expect(() => gather(Buffer.alloc(24), 3, 0, { all: 1 })).toThrow(wrongType('options.all'));
    expect(() => gather(Buffer.alloc(24), 3, 0, 1)).toThrow(wrongType('options'));
  });
});

describe('a separate access for each element', () => {
  function own() {
    const { pd, qp } = scene();
    const reg = (start: bigint, access: number): Lkey =>
      pd.regUserMr(Buffer.alloc(8, Number(start)), { start, iova: start, access }).lkey;
    const keys = { none: reg(0n, 0), write: reg(8n, LocalWrite), both: reg(16n, ALL) };
    const options = { accessPerElement: true };
    return { pd, qp, keys, local: pd.lkeyBatch(4, options), remote: qp.rkeyBatch(4, options) };
  }

  test('allows reads and writes in one list', () => {
    const { local, keys } = own();
    local.set(0, 0, 8, keys.none, 0);
    local.set(1, 8, 8, keys.write, LocalWrite);
    local.set(2, 0, 8, keys.none, LocalWrite);
    local.set(3, 16, 8, keys.both, LocalWrite | RemoteAtomic);
    expect([...local.access]).toEqual([0, 1, 1, 9]);
    expect(local.check(4, undefined)).toBe(3);
    expect([local.firstRefusal, local.firstReason]).toEqual([2, 'AccessDenied']);
    expect(local.acquire(4, undefined)).toBe(3);
    expect(local.take(1)!.access).toBe(LocalWrite);
    expect(local.put()).toBe(2);
    expect(local.explain(2)).toMatch(/grants no rights; LocalWrite is missing/);
    expect(local.acquire(4, undefined, { coalesce: true })).toBe(3);
    local.put();
    expect(local.gather(Buffer.alloc(32), 4, undefined)).toBe(16);
    expect(local.firstRefusal).toBe(2);
  });

  test('of a remote batch must be exactly one remote right', () => {
    const { remote, local, keys } = own();
    for (const [i, access] of [RemoteRead, RemoteWrite, RemoteAtomic].entries())
      remote.set(i, 16, 8, keys.both, access);
    expect(remote.check(3, undefined)).toBe(3);
    for (const access of [0, LocalWrite, RemoteRead | RemoteWrite, 16, 31, 0xffff_ffff]) {
      expect(() => remote.set(3, 16, 8, keys.both, access)).toThrow(outOfRange('access'));
      remote.set(3, 16, 8, keys.both, RemoteRead);
      remote.access[3] = access;
      expect(remote.check(4, undefined)).toBe(3);
      expect([remote.firstRefusal, remote.firstReason]).toEqual([3, 'AccessDenied']);
      expect([remote.acquire(4, undefined), remote.put()]).toEqual([3, 3]);
      expect(remote.explain(3)).toMatch(
        /must ask for exactly one of RemoteRead, RemoteWrite and RemoteAtomic/,
      );
    }
    // Reading needs RemoteRead, writing RemoteWrite.
    const target = Buffer.alloc(32);
    expect(remote.gather(target, 4, undefined)).toBe(8);
    expect([remote.firstRefusal, remote.firstReason]).toEqual([1, 'AccessDenied']);
    expect(remote.scatter(target, 4, undefined)).toBe(0);
    local.set(0, 16, 8, keys.both, LocalWrite);
    expect(remote.copyTo(local, 1, undefined, 1, undefined, { all: true })).toBe(8);
  });

  test('cannot be combined with a common mask, and is rejected by other batches', () => {
    const { pd, local, keys } = own();
    const invalid = argumentError('ERR_INVALID_ARG_VALUE', 'access');
    for (const use of [
      () => local.check(1, 0),
      () => local.acquire(1, 0),
      () => local.gather(Buffer.alloc(8), 1, 0),
      () => local.scatter(Buffer.alloc(8), 1, LocalWrite),
    ]) {
      expect(use).toThrow(invalid);
    }
    const set = local.set.bind(local) as (...args: unknown[]) => unknown;
    expect(() => set(0, 0, 8, keys.none)).toThrow(wrongType('access'));
    expect(() => local.set(0, 0, 8, keys.none, -1)).toThrow(outOfRange('access'));
    expect(local.checkPacked(local.words.slice(0, 4), 0)).toBe(0); // takes a mask, because packed elements have no access column
    const common = pd.lkeyBatch(1);
    expect(common.access).toHaveLength(0);
    expect(() => common.set(0, 0, 8, keys.none, 0)).toThrow(invalid);
    expect(() => common.check(1, undefined)).toThrow(wrongType('access'));
    expect(() => pd.lkeyBatch(1, { accessPerElement: 1 as never })).toThrow(
      wrongType('options.accessPerElement'),
    );
  });

  test.each([
    ['local', false],
    ['local', true],
    ['remote', false],
    ['remote', true],
  ] as const)('gives the same answers as single checks, %s, places: %s', (side, places) => {
    const kinds = everyKind();
    const options = { places, accessPerElement: true };
    const checker = side === 'local' ? kinds.pd : kinds.qp;
    const batch: CheckBatch =
      side === 'local' ? kinds.pd.lkeyBatch(40, options) : kinds.qp.rkeyBatch(40, options);
    const one = fc.tuple(elementArb(kinds), accessArb(side));
    fc.assert(
      fc.property(fc.array(one, { maxLength: 40 }), (elements) => {
        for (const [i, [[address, length, key], access]] of elements.entries()) {
          batch.set(i, address, length, lkey(key), access);
        }
        const wanted = elements.map(([element, access]) => single(checker, element, access).reason);
        const passed = wanted.filter((reason) => reason === undefined).length;
        expect(batch.check(elements.length, undefined)).toBe(passed);
        expect(elements.map((_, i) => batch.reason(i))).toEqual(wanted);
        expect([batch.acquire(elements.length, undefined), batch.put()]).toEqual([passed, passed]);
        expect(elements.map((_, i) => batch.reason(i))).toEqual(wanted);
      }),
      { numRuns: 500 },
    );
  });
});

test('SGEs and walks report by how much a buffer is too large', () => {
  const { pd, mr } = ready();
  const sge = accepted(pd.acquire({ addr: 0n, length: 8, lkey: mr.lkey }, LocalWrite));
  expect(() => sge.copyFrom(Buffer.alloc(11))).toThrow(
    outOfRange('<= 8; the value is 3 too large. Received 11'),
  );
  expect(() => sge.copyFrom(Buffer.alloc(8), { offset: 2 })).toThrow(
    outOfRange('<= 6; the value is 2 too large. Received 8'),
  );
  const walk = new SgeState([sge, sge]);
  expect(walk.copyOut(Buffer.alloc(5))).toBe(5);
  expect(() => walk.copyOut(Buffer.alloc(13))).toThrow(
    outOfRange('"target.byteLength" is out of range. It must be <= 11'),
  );
  expect(() => walk.copyIn(Buffer.alloc(12))).toThrow(outOfRange('the value is 1 too large. Received 12'));
  expect(walk.totalLength).toBe(11);
});
