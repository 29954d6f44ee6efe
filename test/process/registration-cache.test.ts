// The memory of a process that uses a registration cache for long.
import { type RegistrationCacheCounters } from '../../lib';
import { tellsMemory, testIf } from '../support/conditions';
import { runProgram } from '../support/programs';

const testResident = testIf(tellsMemory, 'this system does not report the memory of a process');

const prelude = `
  const { Access, Device, RegistrationCache } = require('rdmavt');
  const device = new Device();
  const pd = device.allocPd();
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  /** Returns the resident memory and the heap in KiB. */
  const memory = async () => {
    for (let i = 0; i < 4; i++) { gc(); await turn(); }
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
    return [rss, heapUsed, arrayBuffers].map((bytes) => Math.round(bytes / 1024));
  };
  let seed = 1;
  const dice = (below) => ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32 * below) | 0;
`;

interface Answer {
  before: number[];
  after: number[];
  counters: RegistrationCacheCounters;
  regions: number;
  highest: number;
}

function answerOf(program: string): Answer {
  const { status, signal, stdout, stderr } = runProgram(prelude + program, ['--no-warnings', '--expose-gc']);
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  return JSON.parse(stdout) as Answer;
}

testResident('a million gets over 10,000 buffers end flat', () => {
  const { before, after, counters, regions } = answerOf(`(async () => {
    const buffers = Array.from({ length: 10_000 }, () => new Uint8Array(64));
    const cache = new RegistrationCache(pd, { maxRegions: 4096 });
    const use = (count) => {
      for (let i = 0; i < count; i++) cache.get(buffers[dice(10_000)], 1 + 4 * (i & 1)).put();
    };
    use(200_000);
    const before = await memory();
    use(1_000_000);
    const after = await memory();
    const counters = cache.counters();
    const regions = device.resources().regions.length;
    cache.close();
    console.log(JSON.stringify({ before, after, counters, regions, kept: buffers.length }));
  })();`);
  const [rss, heap, arrayBuffers] = after.map((kib, i) => kib - before[i]!);
  // One leaked region takes more than 100 bytes: 600,000 misses would show 60 MB.
  expect(rss).toBeLessThan(8 * 1024);
  expect(heap).toBeLessThan(1024);
  expect(arrayBuffers).toBeLessThan(64);
  expect(counters.regions).toBeLessThanOrEqual(4096);
  expect(regions).toBe(counters.regions);
  expect(counters.hits + counters.misses).toBe(1_200_000);
  expect(counters.hits).toBeGreaterThan(100_000);
  expect(counters.evictions).toBeGreaterThan(100_000);
});

testResident('a million short-lived buffers are not kept, and their regions leave by themselves', () => {
  const { before, after, counters, highest } = answerOf(`(async () => {
    const cache = new RegistrationCache(pd, { maxRegions: 2 ** 20, maxBytes: 2 ** 40 });
    const use = async (rounds) => {
      let highest = 0;
      for (let round = 0; round < rounds; round++) {
        for (let i = 0; i < 1000; i++) cache.get(new Uint8Array(1000), 1).put();
        gc({ type: 'minor' });
        await turn();
        if (round % 50 === 49) { gc(); await turn(); highest = Math.max(highest, cache.counters().regions); }
      }
      return highest;
    };
    await use(100);
    const before = await memory();
    const highest = await use(900);
    const after = await memory();
    const counters = cache.counters();
    console.log(JSON.stringify({ before, after, counters, highest }));
    cache.close();
  })();`);
  const [rss, heap, arrayBuffers] = after.map((kib, i) => kib - before[i]!);
  expect(arrayBuffers).toBeLessThan(1024);
  expect(heap).toBeLessThan(4 * 1024);
  expect(rss).toBeLessThan(64 * 1024); // a million buffers of 1,000 bytes would show 1 GB
  expect(counters).toMatchObject({ hits: 0, misses: 1_000_000, evictions: 0 });
  expect(highest).toBeLessThan(100_000);
  expect(counters.regions).toBeLessThan(1000);
});
