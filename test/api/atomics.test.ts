import { Worker } from 'node:worker_threads';
import { Access, type Sge } from '../../lib';
import { accepted, rdma } from '../support/answers';
import { ALL, DMA, dmaPages, scene } from '../support/scene';

const { RemoteAtomic } = Access;
const MAX = (1n << 64n) - 1n;

interface Request {
  offset?: number;
  length?: number;
  access?: number;
  iova?: bigint;
}

/** Returns an SGE over 8 bytes of `memory`, checked for remote atomics. */
function word(memory: NodeJS.ArrayBufferView | SharedArrayBuffer | ArrayBuffer, request: Request = {}): Sge {
  const { offset = 0, length = 8, access = RemoteAtomic, iova = 0x1000n } = request;
  const { pd, qp } = scene();
  const mr = pd.regUserMr(memory, { iova, access: ALL });
  return accepted(qp.acquire({ vaddr: iova + BigInt(offset), length, rkey: mr.rkey }, access));
}

test('fetchAdd adds and returns the previous value', () => {
  const memory = BigUint64Array.of(5n, 7n);
  const sge = word(memory, { offset: 8 });
  expect(sge.fetchAdd(3n)).toBe(7n);
  expect(sge.fetchAdd(0)).toBe(10n);
  expect(memory).toEqual(BigUint64Array.of(5n, 10n));
});

test('fetchAdd wraps at 2^64', () => {
  const memory = BigUint64Array.of(5n);
  const sge = word(memory);
  expect(sge.fetchAdd(MAX)).toBe(5n);
  expect(memory[0]).toBe(4n);
});

test('compareSwap stores only if the current value equals the expected one', () => {
  const memory = BigUint64Array.of(5n);
  const sge = word(memory);
  expect(sge.compareSwap(4n, 9n)).toBe(5n);
  expect(memory[0]).toBe(5n);
  expect(sge.compareSwap(5n, MAX)).toBe(5n);
  expect(memory[0]).toBe(MAX);
  expect(sge.compareSwap(MAX, 0)).toBe(MAX);
});

test.each([
  ['reading', Access.RemoteRead],
  ['writing', Access.RemoteWrite],
])('an SGE checked for %s only is refused with EACCES', (_, access) => {
  const sge = word(new ArrayBuffer(8), { access });
  expect(() => sge.fetchAdd(1n)).toThrow(rdma('EACCES', 'fetch_add', 'AccessDenied'));
  expect(() => sge.compareSwap(0n, 1n)).toThrow(rdma('EACCES', 'compare_swap', 'AccessDenied'));
});

test.each([
  ['less than 8 bytes', { length: 7 }],
  ['more than 8 bytes', { length: 16 }],
  ['no bytes', { length: 0 }],
  ['an address that is not a multiple of 8', { offset: 4 }],
])('an SGE with %s is refused with EINVAL', (_, request) => {
  const memory = new Uint8Array(32);
  const sge = word(memory, request);
  expect(() => sge.fetchAdd(1n)).toThrow(rdma('EINVAL', 'fetch_add'));
  expect(() => sge.compareSwap(0n, 1n)).toThrow(rdma('EINVAL', 'compare_swap'));
  expect(memory).toEqual(new Uint8Array(32));
});

test('memory not aligned to 8 bytes is refused with EINVAL, even at an aligned address', () => {
  const sge = word(new Uint8Array(new ArrayBuffer(32), 4, 16));
  expect(() => sge.fetchAdd(1n)).toThrow(rdma('EINVAL', 'fetch_add'));
});

test('an SGE whose segments are smaller than 8 bytes is refused', () => {
  const { device, pd, qp } = scene();
  dmaPages(device, 1);
  const fmr = pd.allocFmr({ maxPages: 8, pageShift: 0, access: ALL });
  fmr.mapPhys(
    Array.from({ length: 8 }, (_, i) => DMA + BigInt(i)),
    0,
  );
  const sge = accepted(qp.acquire({ vaddr: 0, length: 8, rkey: fmr.rkey }, RemoteAtomic));
  expect(() => sge.fetchAdd(1n)).toThrow(rdma('EINVAL', 'fetch_add'));
});

test('work on DMA memory', () => {
  const { device, pd, qp } = scene();
  const { bytes } = dmaPages(device, 1);
  const fmr = pd.allocFmr({ maxPages: 1, access: ALL });
  fmr.mapPhys([DMA], 0);
  const sge = accepted(qp.acquire({ vaddr: 16, length: 8, rkey: fmr.rkey }, RemoteAtomic));
  expect(sge.fetchAdd(258n)).toBe(0n);
  expect(new BigUint64Array(bytes.buffer, bytes.byteOffset + 16, 1)[0]).toBe(258n);
});

test('agree with Atomics used by another thread on the same memory', async () => {
  const rounds = 20_000;
  const shared = new SharedArrayBuffer(16);
  const sge = word(shared);
  const counter = new BigUint64Array(shared);
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads');
     const counter = new BigUint64Array(workerData);
     Atomics.store(counter, 1, 1n);
     for (let i = 0; i < ${rounds}; i++) Atomics.add(counter, 0, 1n);`,
    { eval: true, workerData: shared },
  );
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  while (Atomics.load(counter, 1) === 0n) await new Promise((resolve) => setImmediate(resolve));
  for (let i = 0; i < rounds; i++) {
    if (i % 2) {
      sge.fetchAdd(1n);
    } else {
      let seen = sge.fetchAdd(0n);
      for (;;) {
        const found = sge.compareSwap(seen, seen + 1n);
        if (found === seen) break;
        seen = found;
      }
    }
  }
  expect(await ended).toBe(0);
  expect(counter[0]).toBe(BigInt(2 * rounds));
});
