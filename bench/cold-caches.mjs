// Measures checks with cold caches, as in a program that does other work between its requests. Each call is timed separately, and
// before each call the benchmark reads a block of memory larger than the caches.
import { Access } from 'rdmavt';

import { FlatTable } from './harness/peers.mjs';
import { acquireRemote } from './harness/requests.mjs';
import { agreeOnVerdicts } from './harness/verify.mjs';
import { batchesOf, BITS, PD, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 65_536;
const LINE = 64;

/** Larger than the last-level cache of most machines. */
const BYTES = 2 ** 26;

/** Calls before the first timed call, so that V8 has compiled the code. */
const WARM_UP = 20_000;

/** @typedef {import('./harness/rounds.mjs').Work} Work */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'cold-caches',
  title: 'With cold caches: one batch of 256 packed SGEs, and one request, random over 1,024 regions',
  unit: 'ns/element',
  effort: { rounds: 101, warmUp: 0, slice: 0 },
  prepare({ smoke }) {
    agreeOnVerdicts(1024);
    const world = new World(1024);
    const work = world.work(ELEMENTS);
    const flat = new FlatTable(BITS, world.entries);
    const checked = batchesOf(work, BATCH, (capacity) => world.pd.lkeyBatch(capacity));
    const held = batchesOf(work, BATCH, (capacity) => world.pd.lkeyBatch(capacity));
    const others = new Float64Array((smoke ? LINE : BYTES) / 8);
    const evict = () => {
      let sum = 0;
      for (let i = 0; i < others.length; i += LINE / 8) sum += others[i] ?? 0;
      return sum;
    };

    /** @param {string} label @param {(i: number) => number} call checks one batch @returns {Work} */
    const contender = (label, call) => {
      let i = 0;
      const next = () => call((i = (i + 1) % (ELEMENTS / BATCH)));
      for (let k = smoke ? 0 : WARM_UP / 10; k > 0; k--) next();
      return { label, task: 'batch', elements: BATCH, mostPasses: 1, run: next, reset: evict };
    };
    const request = acquireRemote(world, 'one request', 1);
    if (!smoke) request.run(WARM_UP);
    return {
      contenders: {
        request: { ...request, task: 'request', mostPasses: 1, turn: false, reset: evict },
        check: contender('check(count)', (i) => checked[i]?.check(BATCH, Access.LocalWrite) ?? 0),
        hold: contender('acquire(count), put(count)', (i) => {
          const passed = held[i]?.acquire(BATCH, Access.LocalWrite) ?? 0;
          held[i]?.put(BATCH);
          return passed;
        }),
        flat: contender('JavaScript, flat table', (i) =>
          flat.checkPacked(work.packed, BATCH * i, BATCH, PD, Access.LocalWrite),
        ),
      },
      lines: [
        { name: 'cold-caches', of: 'check', peer: 'flat' },
        { name: 'cold-caches/acquire-put', of: 'hold', peer: 'check' },
        { name: 'cold-caches/request', of: 'request' },
        { name: 'cold-caches/peer-flat', of: 'flat' },
      ],
      close: () => world.close(),
    };
  },
};
