// Untrusted memory: the block of a batch, the command block of single checks, and packed elements of the caller. They are
// overwritten between calls, by another thread during calls, and by the copies themselves.
import { Worker } from 'node:worker_threads';
import { Access, lkey, type MemoryLike, type Sge, CheckBatch } from '../../lib';
import { COMMAND_BYTES } from '../../lib/internal/layout';
import { native } from '../../lib/internal/native';
import { expectOnly, fillRim, same, told } from '../support/reach';
import { outOfRange } from '../support/answers';
import { runProgram } from '../support/programs';
import { ALL, DMA, dmaPages, otherVariant, PAGE, scene } from '../support/scene';

const HEADER_WORDS = 16;
const WILD = [0, 1, 2, 4, 5, 7, 255, 256, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff];

/** Creates regions between guard bytes, and batches over them. */
function guarded() {
  const { device, pd, qp } = scene({ trusted: true, remoteKeyZero: true, lkeyTableBits: 6 });
  const buffer = new ArrayBuffer(PAGE + 256 + PAGE);
  fillRim(buffer);
  const bytes = new Uint8Array(buffer, PAGE, 256).fill(1);
  const mr = pd.regUserMr(bytes, { start: 0x1000n, iova: 0x1000n, access: ALL });
  const dma = dmaPages(device, 2);
  const zero = pd.getDmaMr();
  const fmr = pd.allocFmr({ maxPages: 2, access: ALL });
  fmr.mapPhys([DMA, DMA + BigInt(PAGE)], 0x5000n);
  const secret = Buffer.alloc(256, 0xdd);
  const foreign = device.allocPd().regUserMr(secret, { start: 0x1000n, iova: 0x1000n, access: ALL });
  const regions = [mr, zero, fmr];
  return {
    device,
    pd,
    qp,
    mr,
    fmr,
    zero,
    foreign,
    bytes,
    end: () => {
      bytes.fill(0xa5);
      expectOnly(buffer, 0, 0, 0);
      expect(secret.every((byte) => byte === 0xdd)).toBe(true);
      expect(regions.map(({ refs }) => refs)).toEqual([2, 3, 2]);
      expect(foreign.refs).toBe(2);
      expect(dma.bytes).toHaveLength(2 * PAGE);
      zero.dereg();
    },
  };
}
type Guarded = ReturnType<typeof guarded>;

const headerOf = (batch: CheckBatch): Uint32Array => new Uint32Array(batch.words.buffer, 0, HEADER_WORDS);

/** Expects that a check would accept the SGE: its range lies inside the region that it names. */
function expectProven(sge: Sge, { mr, fmr, zero }: Guarded): void {
  const { region, at, length: sgeLength } = sge;
  expect([mr, fmr, zero]).toContain(region);
  const [low, high] = region === mr ? [0n, 256n] : [DMA, DMA + BigInt(2 * PAGE)];
  if (at < low || at > high || at + BigInt(sgeLength) > high) {
    throw new Error(`forged: ${sgeLength} bytes at ${at}`);
  }
}

describe('overwritten between calls', () => {
  test.each([false, true])('header words have no effect on the next call (places: %p)', (places) => {
    const all = guarded();
    const { pd, qp, mr } = all;
    for (const batch of [pd.lkeyBatch(4, { places }), qp.rkeyBatch(4, { places })]) {
      const header = headerOf(batch);
      const access = Access.RemoteRead;
      const write = Access.RemoteWrite;
      const target = Buffer.alloc(64);
      const other = pd.lkeyBatch(1);
      other.set(0, 0x1080, 64, mr.lkey);
      const uses: [string, () => unknown, unknown][] = [
        ['check', () => batch.check(2, access), 1],
        ['check of no elements', () => batch.check(0, access), 0],
        ['checkPacked', () => batch.checkPacked(new Uint8Array(batch.words.buffer, 64, 32), access), 1],
        ['acquire', () => [batch.acquire(2, access), batch.put()], [1, 1]],
        ['gather', () => batch.gather(target, 2, access), 8],
        ['scatter', () => batch.scatter(target, 2, write), 8],
        ['copyTo', () => batch.copyTo(other, 2, access, 1, 1), 8],
        ['copyTo into the batch', () => other.copyTo(batch, 1, 0, 2, write), 8],
        ['take', () => batch.take(0), undefined],
        ['put', () => batch.put(), 0],
      ];
      for (let word = 0; word < HEADER_WORDS; word++) {
        for (const value of WILD) {
          for (const [name, use, answer] of uses) {
            batch.set(0, 0x1000, 8, mr.lkey);
            batch.set(1, 0x1000, 257, mr.lkey);
            header[word] = value;
            same(String(use()), String(answer), [word, value, name]);
            if (name.startsWith('check') && name !== 'check of no elements') {
              same(batch.firstRefusal, 1, name);
              same(batch.firstReason, 'OutOfBounds', name);
            }
          }
          header[word] = value;
          // Without a call in between, the getters return whatever the header holds or undefined; they do not throw.
          const { firstRefusal, firstReason } = batch;
          same(firstRefusal >= -1 && firstRefusal < 4, true, firstRefusal);
          same(firstReason === undefined || typeof firstReason === 'string', true, firstReason);
        }
      }
    }
    all.end();
  });

  test('a capacity raised in JavaScript does not raise that of the block', () => {
    const all = guarded();
    const { pd, mr } = all;
    const batch = pd.lkeyBatch(4, { places: true });
    for (let i = 0; i < 4; i++) batch.set(i, 0x1000 + i, 8, mr.lkey);
    for (const capacity of [5, 1000, 2 ** 24, 2 ** 32, Infinity]) {
      (batch as any).capacity = capacity;
      for (const count of [5, 1000, 2 ** 24, 2 ** 32 - 1].filter((most) => most <= capacity)) {
        expect(batch.check(count, 0)).toBe(4);
        expect(batch.acquire(count, 0)).toBe(4);
        expect(mr.refs).toBe(6);
        for (const index of [4, 5, 1000, 2 ** 24 - 1].filter((most) => most < capacity)) {
          expect(batch.take(index)).toBeUndefined();
        }
        expect(batch.put(Math.min(count, 2 ** 32 - 1))).toBe(4);
        expect(batch.gather(Buffer.alloc(64), count, 0)).toBe(32);
        expect(batch.scatter(Buffer.alloc(64), count, 1)).toBe(32);
        const other = pd.lkeyBatch(1);
        other.set(0, 0x1040, 64, mr.lkey);
        expect(batch.copyTo(other, count, 0, 1, 1)).toBe(32);
      }
      batch.set(4, 0, 0, mr.lkey);
      if (capacity > 2 ** 20) batch.set(2 ** 20, 0n, 0, mr.lkey);
    }
    (batch as any).words = (batch as any).longs = (batch as any).verdicts = [];
    expect(batch.check(4, 0)).toBe(4);
    all.end();
  });

  test('verdicts and columns are never read back', () => {
    const all = guarded();
    const { pd, mr, fmr } = all;
    const batch = pd.lkeyBatch(8, { places: true });
    const columns = [batch.verdicts, batch.regions, batch.positions, batch.segmentLengths, batch.segments];
    const garbage = (): void => {
      for (const column of columns)
        new Uint8Array(column.buffer, column.byteOffset, column.byteLength).fill(0xff);
    };
    for (let i = 0; i < 8; i++) batch.set(i, i % 2 ? 0x5000 : 0x1000, 8, i % 2 ? fmr.lkey : mr.lkey);
    garbage();
    expect(batch.acquire(8, 0)).toBe(8);
    garbage();
    // The elements are not read back either: held references stay held.
    batch.words.fill(0xffff_ffff);
    for (let i = 0; i < 8; i += 3) {
      const sge = batch.take(i)!;
      expect([sge.region, sge.at, sge.length]).toEqual(i % 2 ? [fmr, DMA, 8] : [mr, 0n, 8]);
      expectProven(sge, all);
      sge.put();
      expect(batch.take(i)).toBeUndefined();
    }
    expect(() => batch.acquire(8, 0)).toThrow('EBUSY');
    garbage();
    expect(batch.put()).toBe(5);
    expect(batch.put()).toBe(0);
    // A verdict that is not the number of a reason yields undefined.
    expect(['string', 'undefined']).toContain(typeof told(() => batch.reason(0)));
    all.end();
  });

  test('a put reports no refusal', () => {
    const { pd, mr, end } = guarded();
    const batch = pd.lkeyBatch(2);
    batch.set(0, 0x1000, 8, mr.lkey);
    batch.acquire(1, 0);
    expect([batch.firstRefusal, batch.put(), batch.firstRefusal, batch.firstReason]).toEqual([
      -1,
      1,
      -1,
      undefined,
    ]);
    end();
  });
});

describe('overwritten by the copies themselves', () => {
  /** Returns one packed element as bytes. */
  const element = (address: bigint, length: number, key: number): Buffer => {
    const words = new Uint32Array(4);
    new BigUint64Array(words.buffer)[0] = address;
    words[2] = length;
    words[3] = key;
    return Buffer.from(words.buffer);
  };

  test('a gather into the block itself judges the elements that it wrote', () => {
    const all = guarded();
    const { pd, mr, foreign, bytes } = all;
    // Enough elements that the copy needs several rounds.
    const batch = pd.lkeyBatch(64);
    const forged: [Buffer, string][] = [
      [element(0x1000n, 16, foreign.lkey), 'WrongPd'],
      [element(0x1000n, 257, mr.lkey), 'OutOfBounds'],
      [element(0xfffn, 16, mr.lkey), 'OutOfBounds'],
      [element(0x1000n, 16, otherVariant(mr.lkey)), 'StaleKey'],
    ];
    for (const [evil, reason] of forged) {
      bytes.set(evil);
      for (const ahead of [16, 17, 24, 33, 48, 63]) {
        for (let i = 0; i < 64; i++) batch.set(i, 0x1000, 16, mr.lkey);
        // The bytes read from element 0 become element `ahead`, and so on.
        const into = new Uint8Array(batch.words.buffer, 64 + ahead * 16, (64 - ahead) * 16);
        const fits = Math.min(ahead, 64 - ahead);
        expect([ahead, batch.gather(into, 64, 0)]).toEqual([ahead, fits * 16]);
        expect([batch.firstRefusal, batch.firstReason]).toEqual([fits, fits < ahead ? undefined : reason]);
        expect(Buffer.from(into.subarray(0, 16)).equals(evil)).toBe(true);
      }
    }
    // Also overwrite the header.
    bytes.fill(0xff);
    batch.set(0, 0x1000, 256, mr.lkey);
    expect(batch.gather(new Uint8Array(batch.words.buffer), 1, 0)).toBe(256);
    all.end();
  });

  test('a scatter from the block, and a block that is registered memory, stay in bounds', () => {
    const all = guarded();
    const { pd, mr, foreign, device } = all;
    const batch = pd.lkeyBatch(16, { places: true });
    const other = pd.lkeyBatch(16);
    const { buffer } = batch.words;
    const size = buffer.byteLength;
    const self = pd.regUserMr(new Uint8Array(buffer), { start: 0n, iova: 0n, access: ALL });
    const mapping = device.dma.map(new Uint8Array(buffer), { address: 0x40_0000n });
    const evil = Buffer.concat(
      Array.from({ length: Math.ceil(size / 16) }, () => element(0x1000n, 16, foreign.lkey)),
    ).subarray(0, size);
    // Overwrite the whole block: header, elements and columns.
    batch.set(0, 0, size, self.lkey);
    expect(batch.scatter(evil, 1, 1)).toBe(size);
    expect(batch.check(16, 0)).toBe(0);
    expect(batch.firstReason).toBe('WrongPd');
    // Each element overwrites the element after the next one.
    for (let i = 0; i < 16; i++) batch.set(i, 64 + 16 * ((i + 2) % 16), 16, self.lkey);
    const moved = batch.scatter(evil, 16, 1);
    expect(moved).toBeLessThan(size);
    expect(new Uint8Array(buffer).length).toBe(size);
    // Copy from the block into itself, with two batches and with one batch that is both registered and read.
    batch.set(0, 0, size, self.lkey);
    other.set(0, 8, size - 8, self.lkey);
    expect(batch.copyTo(other, 1, 0, 1, 1)).toBe(size - 8);
    other.set(0, 0, 64 + 16, self.lkey);
    expect(other.scatter(Buffer.alloc(80, 0xff), 1, 1)).toBe(80);
    expect(batch.check(1, 0)).toBe(0);
    // Elements are judged in place, also as packed elements that their own verdicts overwrite.
    for (let i = 0; i < 16; i++) batch.set(i, 0x1000, 8, mr.lkey);
    expect(batch.checkPacked(new Uint8Array(buffer, 64, 256), 0)).toBe(16);
    const all16 = new Uint8Array(buffer).subarray(0, size - (size % 16));
    expect(batch.checkPacked(all16, 0)).toBeLessThanOrEqual(all16.length / 16);
    const verdicts = new Uint8Array(buffer, batch.verdicts.byteOffset, 64);
    expect(batch.checkPacked(verdicts, 0)).toBe(0);
    self.dereg();
    mapping.unmap();
    all.end();
  });

  test('packed elements beyond the capacity are checked and counted, but get no verdicts', () => {
    const all = guarded();
    const { pd, mr } = all;
    const batch = pd.lkeyBatch(2, { places: true });
    const size = batch.words.buffer.byteLength;
    batch.verdicts.fill(0x1234);
    const image = Buffer.from(new Uint8Array(batch.words.buffer, 64));
    const packed = Buffer.concat([
      ...Array.from({ length: 999 }, () => element(0x1000n, 8, mr.lkey)),
      element(0x1000n, 257, mr.lkey),
    ]);
    expect(batch.checkPacked(packed, 0)).toBe(999);
    expect([batch.firstRefusal, batch.firstReason]).toEqual([999, 'OutOfBounds']);
    expect(Buffer.from(new Uint8Array(batch.words.buffer, 64)).equals(image)).toBe(true);
    expect(size).toBe(image.length + 64);
    for (const at of [1, 2, 3, 5, 7]) {
      // Start the elements at any byte offset.
      const whole = Buffer.alloc(32 + at);
      packed.copy(whole, at, 0, 32);
      expect(batch.checkPacked(whole.subarray(at), 0)).toBe(2);
    }
    for (const wrong of [packed.subarray(1), packed.subarray(0, 15)]) {
      expect(() => batch.checkPacked(wrong as MemoryLike, 0)).toThrow(outOfRange('sges.byteLength'));
    }
    all.end();
  });
});

describe('overwritten by another thread', () => {
  /** A worker that writes random values to random words of the blocks until it is stopped. */
  const scribbler = `
    const { workerData: { buffers, stop, hints } } = require('node:worker_threads');
    const blocks = buffers.map((buffer) => new Uint32Array(buffer));
    let state = 54321;
    const dice = () => {
      state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
      return state >>> 0;
    };
    Atomics.store(stop, 1, 1);
    while (!Atomics.load(stop, 0)) {
      for (let i = 0; i < 500; i++) {
        const words = blocks[dice() % blocks.length];
        const value = dice() & 3 ? hints[dice() % hints.length] + (dice() & 3 ? 0 : dice() % 300) : dice();
        words[dice() & 1 ? dice() % words.length : dice() % Math.min(words.length, 16)] = value;
      }
    }`;

  /**
   * Calls `work` for at least the given time (ms) and a minimum number of times: on a busy machine one thread may sleep while the
   * other runs.
   */
  async function hammered(
    milliseconds: number,
    buffers: any[],
    hints: number[],
    work: () => void,
    enough = () => true,
  ): Promise<void> {
    const stop = new Int32Array(new SharedArrayBuffer(8));
    const worker = new Worker(scribbler, { eval: true, workerData: { buffers, stop, hints } });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    while (!Atomics.load(stop, 1)) await new Promise((resolve) => setTimeout(resolve, 2));
    const [until, latest] = [milliseconds, 20_000].map((time) => Date.now() + time) as [number, number];
    try {
      for (let rounds = 0; Date.now() < until || rounds < 5 || !enough(); rounds++) {
        work();
        if (Date.now() > latest) throw new Error('too few calls were made');
      }
    } finally {
      Atomics.store(stop, 0, 1);
    }
    expect(await ended).toBe(0);
  }

  const hintsOf = ({ mr, fmr, foreign }: Guarded): number[] => [
    ...[mr.lkey, fmr.lkey, foreign.lkey, 0, 0x1000, 0x5000, Number(DMA), 8, 16, 256, 257, 64],
    ...[Access.RemoteRead, ALL, 0xffff_ffff],
  ];

  test('held SGEs are ones that a check accepted, and all of them are put', async () => {
    const all = guarded();
    const { pd, qp, mr, fmr } = all;
    const batches = [pd.lkeyBatch(64, { places: true }), qp.rkeyBatch(64)];
    let taken = 0;
    await hammered(
      300,
      batches.map(({ words }) => words.buffer),
      hintsOf(all),
      () => {
        for (const batch of batches) {
          for (let i = 0; i < 64; i++) {
            if (i % 3 === 0) batch.set(i, 0x1000 + i, 16, mr.lkey);
            else
              batch.set(
                i,
                i % 3 === 1 ? 0x5000 + 16 * i : Number(DMA) + 16 * i,
                16,
                i % 3 === 1 ? fmr.lkey : lkey(0),
              );
          }
          told(() => batch.check(64, Access.LocalWrite));
          told(() => batch.acquire(64, Access.RemoteRead, { coalesce: true }));
          expect(typeof batch.firstRefusal).toBe('number');
          expect(['string', 'undefined']).toContain(typeof batch.firstReason);
          for (let i = 0; i < 64; i += 5) {
            const sge = batch.take(i);
            if (!sge) continue;
            taken++;
            expectProven(sge, all);
            told(() => sge.copyTo(Buffer.alloc(16))); // The SGE may have any rights, so the copy may be refused.
            sge.put();
          }
          for (let tries = 0; tries < 3; tries++) batch.put();
        }
      },
      () => taken > 10,
    );
    for (const batch of batches) batch.put();
    all.end();
  });

  test('copies move registered bytes only, whatever the other thread writes', async () => {
    const all = guarded();
    const { pd, qp, mr } = all;
    const batches = [pd.lkeyBatch(64), qp.rkeyBatch(64)];
    const whole = new ArrayBuffer(PAGE + 1024 + PAGE);
    fillRim(whole);
    const target = new Uint8Array(whole, PAGE, 1024);
    await hammered(
      300,
      batches.map(({ words }) => words.buffer),
      hintsOf(all),
      () => {
        for (const [i, batch] of batches.entries()) {
          for (let at = 0; at < 64; at++) batch.set(at, 0x1000 + at, 16, mr.lkey);
          told(() => batch.gather(target, 64, Access.RemoteRead));
          told(() => batch.scatter(target, 64, Access.LocalWrite | Access.RemoteWrite));
          told(() => batch.copyTo(batches[1 - i]!, 64, Access.RemoteRead, 64, 3));
          told(() => batch.copyTo(batch, 64, Access.RemoteRead, 64, 3));
        }
      },
    );
    // No byte of the other domain was copied, not even read.
    expect(target.includes(0xdd)).toBe(false);
    target.fill(0xa5);
    expectOnly(whole, 0, 0, 0);
    all.end();
  });

  test('packed elements in shared memory of the caller, and their verdicts, stay in bounds', async () => {
    const all = guarded();
    const { pd, qp } = all;
    const batches = [pd.lkeyBatch(64, { places: true }), qp.rkeyBatch(16)];
    const shared = new SharedArrayBuffer(64 * 16);
    await hammered(200, [shared, ...batches.map(({ words }) => words.buffer)], hintsOf(all), () => {
      for (const batch of batches) {
        told(() => batch.checkPacked(shared, Access.RemoteRead));
        told(() => batch.checkPacked(new Uint8Array(shared, 16, 512), 0));
        // Read packed elements from the block of another batch.
        told(() => batch.checkPacked(new Uint8Array(batches[1]!.words.buffer, 64, 256), Access.LocalWrite));
      }
    });
    // The other thread has stopped: verdicts are correct again.
    const batch = batches[0]!;
    new Uint8Array(shared).fill(0);
    batch.set(0, 0x1000, 16, all.mr.lkey);
    new Uint32Array(shared).set(batch.words.subarray(0, 4));
    expect(batch.checkPacked(new Uint8Array(shared, 0, 16), 0)).toBe(1);
    all.end();
  });

  test('the command block yields a verdict or an error, nothing else', async () => {
    const all = guarded();
    const { pd, qp, mr } = all;
    const command = native.commandBlock(new Uint8Array(new SharedArrayBuffer(COMMAND_BYTES)));
    const [local, remote] = [pd.checker(), qp.checker()];
    const answers = new Set<unknown>();
    await hammered(200, [command.buffer], [0, 1, 2, 3, 0xff, 0xffff_ffea], () => {
      for (const block of [local, remote]) {
        for (let i = 0; i < 50; i++) {
          const answer = told(() => answers.add(block.refusal(0x1000 + i, 16, mr.lkey, Access.RemoteRead)));
          answers.add(answer);
          expect(['string', 'undefined']).toContain(typeof block.reason);
        }
      }
    });
    for (const answer of answers) expect(['number', 'string']).toContain(typeof answer);
    command.fill(0);
    // Without the other thread, both agree again.
    for (const block of [local, remote]) {
      expect(block.refusal(0x1000, 256, mr.lkey, Access.RemoteRead)).toBe(0);
      expect(block.refusal(0x1000, 257, mr.lkey, Access.RemoteRead)).toBe(
        native.reasonNames.indexOf('OutOfBounds'),
      );
    }
    all.end();
  });
});

// Calls the native functions directly, so that header words have exactly the written values. Runs in a separate process.
describe('the native functions', () => {
  const prelude = `
    const { native, Block, Word, UNANSWERED } = require('./test/support/native.cjs');
    const command = new Block();
    const GUARD = 0xa5a5a5a5, CAPACITY = 4, RIM = 1024;
    const slab = new Uint8Array(4096 + 256 + 4096).fill(0xa5), bytes = slab.subarray(4096, 4096 + 256);
    const device = native.openDevice(6, false, true, false, new Uint32Array(13).fill(250)), pd = device.allocPd(false), qp = pd.createCheckQp();
    const user = command.register(pd, bytes, 0x1000n, 0x1000n, 31), { key } = user;
    const refs = () => command.refs(user);
    const secret = new Uint8Array(256).fill(0xdd), foreignPd = device.allocPd(true), foreignKey = command.register(foreignPd, secret, 0x1000n, 0x1000n, 31).key;
    // Creates a batch whose block lies between guards.
    const make = (checker, places) => {
      const size = 64 + CAPACITY * (16 + 4 + (places ? 24 : 0));
      const words = new Uint32Array(new SharedArrayBuffer(size + 2 * RIM)).fill(GUARD);
      const batch = native.createBatch(checker, new Uint8Array(words.buffer, RIM, size), CAPACITY, places, false);
      const block = words.subarray(RIM / 4, (RIM + size) / 4);
      const intact = () => words.every((word, i) => (i >= RIM / 4 && i < (RIM + size) / 4) || word === GUARD);
      const fill = (length = 16, of = key) => { for (let i = 0; i < CAPACITY; i++) block.set([0x1000 + i, 0, length, of], 16 + 4 * i); };
      return { batch, block, intact, fill };
    };
    const rim = () => slab.subarray(0, 4096).every((byte) => byte === 0xa5) && slab.subarray(4096 + 256).every((byte) => byte === 0xa5) && secret.every((byte) => byte === 0xdd);
    const wild = ${JSON.stringify(WILD)};
  `;
  const run = (program: string): string => {
    const { status, signal, stdout, stderr } = runProgram(prelude + program, ['--no-warnings']);
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    return stdout;
  };

  test('clamp the count to the capacity of the block, and write their results into it', () => {
    expect(
      run(`
        let calls = 0;
        for (const places of [false, true]) for (const checker of [pd, qp]) {
          const one = make(checker, places), two = make(qp, !places);
          for (const count of wild) for (const access of wild) for (const flags of [0, 1, 0xffffffff]) {
            for (const of of [key, foreignKey, 0]) {
              one.fill(16, of); two.fill();
              const set = () => { for (const { block } of [one, two]) { block[0] = count; block[1] = access; block[2] = flags; } };
              const target = new Uint8Array(128 + 40 + 128).fill(0xa5), inside = target.subarray(128, 128 + 40);
              const most = Math.min(count, CAPACITY);
              const uses = [() => one.batch.check(), () => one.batch.acquire(count % 2 === 1), () => one.batch.put(), () => one.batch.gather(inside), () => one.batch.scatter(inside),
                () => one.batch.copyTo(two.batch), () => two.batch.copyTo(one.batch), () => one.batch.checkPacked(new Uint8Array(one.block.buffer, RIM + 64, 64))];
              for (const [i, use] of uses.entries()) {
                set();
                if (i === 2) one.block[0] = 0xffffffff;
                use();
                calls++;
                const [passed, first, , status] = one.block.subarray(3, 7);
                if (passed > CAPACITY || (status && status !== 0xfffffff0)) throw new Error([i, passed, first, status].join());
                if (i < 2 && (passed > most || (of === foreignKey && passed))) throw new Error('passed ' + [i, passed]);
              }
              if (!target.subarray(0, 128).every((byte) => byte === 0xa5) || !target.subarray(128 + 40).every((byte) => byte === 0xa5)) throw new Error('target');
              if (target.includes(0xdd) || bytes.includes(0xdd)) throw new Error('another domain was read');
              // Put all references, whatever the calls above acquired.
              for (const { batch, block } of [one, two]) { block[0] = 0xffffffff; batch.put(); }
              if (refs() !== 2) throw new Error('references ' + refs());
            }
          }
          if (!one.intact() || !two.intact() || !rim()) throw new Error('a guard was written');
        }
        console.log(calls > 10000);`),
    ).toBe('true\n');
  });

  test('put exactly the held references, however the count changes between calls', () => {
    expect(
      run(`
        const { batch, block, intact, fill } = make(pd, true);
        for (const first of wild) for (const second of wild) {
          fill();
          block[0] = first; block[1] = 0; block[2] = 0;
          batch.acquire();
          const held = Math.min(first, CAPACITY);
          if (refs() !== 2 + held || block[3] !== held) throw new Error('held');
          // Overwrite the elements and results: the held references stay the same.
          block.fill(0xffffffff);
          block[0] = second;
          batch.put();
          const put = Math.min(held, second);
          if (refs() !== 2 + held - put || block[3] !== put) throw new Error('put');
          for (let i = 0; i < 8; i++) {
            const sge = command.take(batch, i);
            if ((sge !== -9) !== (i >= put && i < held)) throw new Error('taken');
            if (sge === -9) continue;
            const told = command.describe(sge);
            if (Number(told.At) !== i || told.SgeLength !== 16n) throw new Error('forged');
            if (command.take(batch, i) !== -9) throw new Error('taken twice');
            if (command.put(sge) !== 0 || command.put(sge) !== -9) throw new Error('put');
          }
          for (const index of [-1, 1.5, NaN, 2 ** 31, '0', {}, null, undefined, 1n]) { const sge = command.take(batch, index); if (typeof sge !== 'number') command.put(sge); }
          if (refs() !== 2) throw new Error('references ' + refs());
        }
        console.log(intact() && rim());`),
    ).toBe('true\n');
  });

  test('move an element only to an empty cell that has a holder, whatever the command block contains', () => {
    expect(
      run(`
        const { batch, block, intact, fill } = make(pd, false);
        const acquire = () => { fill(); block[0] = CAPACITY; block[1] = 0; block[2] = 0; batch.acquire(); return refs(); };
        const holder = {}, cell = native.bindCell(holder), full = command.acquire(pd, 0x1000n, 8, key, 0);
        if (acquire() !== 7) throw new Error('held');
        for (const number of [0, full.cell, cell + 1, cell + 200, 257, ...wild.filter((word) => word !== cell)]) {
          command.words.fill(GUARD);
          command.words[Word.Cell] = number;
          command.words[Word.Answer] = UNANSWERED;
          batch.take(0);
          if (command.answer !== -22) throw new Error('taken into ' + number + ': ' + command.answer);
          // The call wrote no other word.
          if (!command.words.every((word, i) => i === Word.Answer || i === Word.Cell || word === GUARD)) throw new Error('words');
        }
        console.log(refs(), Number(command.describe(full).SgeLength));
        command.words[Word.Cell] = cell;
        batch.take(1);
        console.log(command.answer, refs(), command.put({ cell, generation: command.words[Word.CellGeneration] }), refs());
        block[0] = CAPACITY;
        batch.put();
        console.log(block[3], refs(), intact() && rim());`),
    ).toBe('7 8\n0 7 0 6\n3 3 true\n');
  });

  test('coalesce only with the element that the command block names', () => {
    expect(
      run(`
        const { batch, block, intact } = make(pd, true);
        const DMA = 0x100000n, memory = new Uint8Array(8192), mapping = device.mapDma(memory, DMA), sg = command.make(pd, 'allocMr', 0, 4);
        command.mapSg(sg, BigUint64Array.from([DMA, 8192n]));
        const sgKey = Number(command.query(sg).Lkey), second = native.openDevice(6, false, true, false, new Uint32Array(13).fill(250)), other = second.allocPd(false);
        const elsewhere = command.register(other, new Uint8Array(64), 0n, 0n, 1);
        const first = command.acquire(pd, DMA + 96n, 4000, sgKey, 0), remote = command.acquire(qp, 0x1000n, 8, key, 4), foreign = command.acquire(other, 0n, 8, elsewhere.key, 0), put = command.acquire(pd, DMA + 96n, 4000, sgKey, 0);
        command.put(put);
        const acquire = (continues, last) => {
          block.set([0x101000, 0, 100, sgKey], 16);
          block[0] = 1; block[1] = 0; block[2] = 1;
          command.words[Word.LastCell] = last.cell; command.words[Word.LastGeneration] = last.generation;
          batch.acquire(continues);
          const verdict = new Uint32Array(block.buffer, RIM + 64 + CAPACITY * 40, 1)[0];
          block[0] = CAPACITY;
          batch.put();
          return verdict;
        };
        const lasts = [first, { cell: first.cell, generation: first.generation + 1 }, put, remote, foreign, { cell: 0, generation: 0 }, { cell: 0xffffffff, generation: 1 }];
        // Without the flag no batch coalesces; with the flag, only with the name of an existing local SGE.
        console.log(lasts.map((last) => acquire(false, last)).join(), [0, 1, 'true', {}, undefined, null].map((no) => acquire(no, first)).join());
        console.log(lasts.slice(1).map((last) => acquire(true, last)).join(), acquire(true, first), Number(command.describe(first).SgeLength), Number(command.describe(foreign).SgeLength), intact() && rim());`),
    ).toBe('0,0,0,0,0,0,0 0,0,0,0,0,0\n0,0,0,0,0,0 256 4100 8 true\n');
  });

  test('check for the domain or queue pair whose number was written, or refuse', () => {
    expect(
      run(`
        const EBADF = -9, outOfBounds = native.reasonNames.indexOf('OutOfBounds');
        const others = [new Uint8Array(new SharedArrayBuffer(256)), new Uint8Array(64), undefined, {}];
        for (const other of others) if (native.commandBlock(other).buffer !== command.words.buffer) throw new Error('another block');
        const all = [pd, qp, foreignPd];
        for (let i = 0; i < 6; i++) all.push(i % 2 ? pd.createCheckQp() : device.allocPd(false));
        const gonePd = device.allocPd(false), goneQp = gonePd.createCheckQp();
        gonePd.dealloc(true);
        const numbers = new Map(all.map((one) => [one.number(), one]));
        if (numbers.size !== 9 || numbers.has(0)) throw new Error('numbers');
        const dead = [gonePd, goneQp].map((one) => one.number());
        const tried = [...Array(64).keys(), 255, 256, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1];
        const ours = new Set([pd, qp, ...all.slice(3).filter((one) => 'destroy' in one)].map((one) => one.number()));
        for (let round = 0; round < 50; round++) {
          for (const number of tried) for (const length of [16, 257]) for (const name of ['checkOne', 'placeOne']) {
            command.words.fill(0xffffffff);
            command.storeAccess(number, 0x1000n, length, key, 4);
            const before = command.words.slice(), answer = command.call(name);
            const wanted = dead.includes(number) ? native.reasonNames.indexOf('Closed') : !numbers.has(number) ? EBADF : !ours.has(number) ? native.reasonNames.indexOf('WrongPd') : length === 16 ? 0 : outOfBounds;
            if (answer !== wanted) throw new Error(number + ': ' + answer);
            // The call writes only its result words and leaves the request unchanged.
            for (let i = 1; i < command.words.length; i++) {
              const place = name === 'placeOne' && answer === 0 && i >= Word.Fields && i < Word.Fields + 8;
              const told = place || (answer > 0 && (i === Word.RecordSequence || i === Word.RecordSequence + 1));
              if (!told && command.words[i] !== before[i]) throw new Error('word ' + i);
            }
          }
          native.checkOne.call(null, 1, 2, 3);
          gc();
        }
        console.log(dead.every((number) => command.check(number, 0x1000n, 16, key, 4) === native.reasonNames.indexOf('Closed')), rim(), refs());
        // The number of a collected domain becomes free and is assigned to another one.
        (async () => {
          const count = 50;
          const before = (() => Array.from({ length: count }, () => device.allocPd(false).number()))();
          for (let i = 0; i < 10; i++) { gc(); await new Promise(setImmediate); }
          const after = Array.from({ length: count }, () => device.allocPd(false));
          console.log(after.filter((one) => before.includes(one.number())).length > count / 2, after.every((one) => command.check(one.number(), 0x1000n, 16, key, 4) === native.reasonNames.indexOf('WrongPd')));
        })();`),
    ).toBe('true true 2\ntrue true\n');
  });
});
