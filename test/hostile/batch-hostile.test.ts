// The block of a batch belongs to everybody: another thread writes whatever it likes into it, at any time.
import { Worker } from 'node:worker_threads';
import { Access, CheckBatch } from '../../lib';
import { ALL, DMA, dmaPages, PAGE, scene } from '../support/scene';

/** So long each. */
const MILLISECONDS = 1000;
const CAPACITY = 256;
const GUARD = 4096;

/** Writes numbers over the whole block until it is told to stop: at random, or such that are nearly right. */
const scribbler = `
  const { workerData } = require('node:worker_threads');
  const { block, stop, hints } = workerData;
  const words = new Uint32Array(block, 0, block.byteLength >> 2);
  let state = 12345;
  const dice = () => {
    state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
    return state >>> 0;
  };
  let written = 0;
  Atomics.store(stop, 1, 1);
  while (!Atomics.load(stop, 0)) {
    for (let i = 0; i < 1000; i++) {
      const value = dice() & 3 ? hints[dice() % hints.length] + (dice() & 1 ? 0 : dice() % 5000) : dice();
      words[dice() & 1 ? dice() % words.length : dice() % 16] = value;
      written++;
    }
    Atomics.store(stop, 2, written | 0);
  }
`;

async function scribbledOver(batches: CheckBatch[], hints: number[], work: () => void): Promise<number> {
  const stop = new Int32Array(new SharedArrayBuffer(12));
  const workers = batches.map(
    ({ words }) => new Worker(scribbler, { eval: true, workerData: { block: words.buffer, stop, hints } }),
  );
  const ended = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
  while (!Atomics.load(stop, 2)) await new Promise((resolve) => setTimeout(resolve, 5));
  const until = Date.now() + MILLISECONDS;
  try {
    while (Date.now() < until) work();
  } finally {
    Atomics.store(stop, 0, 1);
  }
  expect(await Promise.all(ended)).toEqual(batches.map(() => 0));
  return stop[2]!;
}

/** What is thrown is an answer too: the status word is in the block. */
function attempt(use: () => unknown): void {
  try {
    use();
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
  }
}

/** Regions between bytes that no call may touch. */
function guarded() {
  const { device, pd, qp } = scene({ trusted: true, remoteKeyZero: true });
  const slab = Buffer.alloc(3 * PAGE + 2 * GUARD, 0xee);
  const user = slab.subarray(GUARD, GUARD + 3 * PAGE);
  const mr = pd.regUserMr(user, { start: 0x1000n, iova: 0x1000n, access: ALL });
  const dma = dmaPages(device, 4);
  const region = pd.getDmaMr();
  const fmr = pd.allocFmr({ maxPages: 4, access: ALL });
  fmr.mapPhys([DMA, DMA + 2n * BigInt(PAGE)], 0x5000n);
  const secret = Buffer.alloc(PAGE, 0xdd);
  const foreign = device.allocPd().regUserMr(secret, { start: 0x1000n, iova: 0x1000n, access: ALL });
  const guards = [slab.subarray(0, GUARD), slab.subarray(GUARD + 3 * PAGE), secret];
  const images = guards.map((guard) => Buffer.from(guard));
  const regions = [mr, region, fmr];
  const atRest = regions.map(({ refs }) => refs);
  return {
    pd,
    qp,
    keys: [mr.lkey, 0, fmr.lkey, foreign.lkey],
    hints: [
      mr.lkey,
      fmr.lkey,
      foreign.lkey,
      0,
      0x1000,
      0x5000,
      Number(DMA),
      8,
      64,
      PAGE,
      CAPACITY,
      ALL,
      1,
      4,
    ],
    regions,
    expectUntouched: () => {
      for (const [i, guard] of guards.entries()) expect(guard.equals(images[i]!)).toBe(true);
      expect(regions.map(({ refs }) => refs)).toEqual(atRest);
      expect(secret.every((byte) => byte === 0xdd)).toBe(true);
      expect(dma.length).toBeGreaterThan(0n);
    },
  };
}

const ADDRESSES = [0x1000, Number(DMA), 0x5000, 0x1000];

function refill(batch: CheckBatch, keys: number[]): void {
  for (let i = 0; i < CAPACITY; i++) {
    batch.longs[i * 2] = BigInt(ADDRESSES[i & 3]!);
    batch.words[i * 4 + 2] = 64;
    batch.words[i * 4 + 3] = keys[i & 3]!;
  }
}

test.each([false, true])('checks, acquires and releases (places: %p)', async (places) => {
  const { pd, qp, keys, hints, expectUntouched } = guarded();
  const batches = [pd.lkeyBatch(CAPACITY, { places }), qp.rkeyBatch(CAPACITY, { places })];
  let elements = 0;
  await scribbledOver(batches, hints, () => {
    for (const batch of batches) {
      refill(batch, keys);
      attempt(() => batch.check(CAPACITY, Access.LocalWrite));
      attempt(() => batch.acquire(CAPACITY, Access.RemoteRead, { coalesce: true }));
      elements += 2 * CAPACITY;
      const taken = batch.take(elements % CAPACITY);
      if (taken) expect(typeof taken.at).toBe('bigint');
      taken?.put();
      attempt(() => batch.firstReason);
      expect(typeof batch.firstRefusal).toBe('number');
      // The count is in the block too, so one release may put less than is held.
      for (let i = 0; i < 3; i++) batch.put();
    }
  });
  expect(elements).toBeGreaterThan(10_000);
  for (const batch of batches) batch.put();
  expectUntouched();
});

test('copies', async () => {
  const { pd, qp, keys, hints, expectUntouched } = guarded();
  const [local, remote] = [pd.lkeyBatch(CAPACITY), qp.rkeyBatch(CAPACITY)];
  const size = CAPACITY * 64;
  const whole = Buffer.alloc(size + 2 * GUARD, 0xcc);
  const data = whole.subarray(GUARD, GUARD + size);
  let elements = 0;
  await scribbledOver([local, remote], hints, () => {
    for (const batch of [local, remote]) {
      refill(batch, keys);
      attempt(() => batch.gather(data, CAPACITY, Access.RemoteRead));
      refill(batch, keys);
      attempt(() => batch.scatter(data, CAPACITY, Access.LocalWrite | Access.RemoteWrite));
      elements += 2 * CAPACITY;
    }
    attempt(() => local.copyTo(remote, CAPACITY, 0, CAPACITY, Access.RemoteWrite));
    attempt(() => remote.copyTo(local, CAPACITY, Access.RemoteRead, CAPACITY, Access.LocalWrite));
    attempt(() => local.copyTo(local, CAPACITY, 0, CAPACITY, Access.LocalWrite));
    attempt(() => local.checkPacked(new Uint8Array(remote.words.buffer, 64, size / 4), Access.LocalWrite));
  });
  expect(elements).toBeGreaterThan(20_000);
  expect(whole.subarray(0, GUARD).every((byte) => byte === 0xcc)).toBe(true);
  expect(whole.subarray(GUARD + size).every((byte) => byte === 0xcc)).toBe(true);
  expectUntouched();
});
