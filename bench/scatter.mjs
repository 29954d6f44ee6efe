// Measures checking elements and copying one buffer into them.
import { strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { FlatTable } from './harness/peers.mjs';
import { batchesOf, BITS, PD, World } from './harness/world.mjs';

const BATCH = 256;
const BATCHES = 16;

/** @typedef {import('./harness/question.mjs').Contender} Contender */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'scatter',
  title: 'Check and scatter elements, batches of 256, random over 1,024 regions',
  unit: 'ns/element',
  prepare() {
    const worlds = [64, 4096].map((bytes) => {
      const world = new World(1024, { regionBytes: 8192 });
      const work = world.work(BATCH * BATCHES, { bytes });
      const { packed } = work;
      const { memory } = world;
      const batches = batchesOf(work, BATCH, (capacity) => world.pd.lkeyBatch(capacity));
      const flat = new FlatTable(BITS, world.entries);
      const source = Buffer.alloc(BATCH * bytes);
      for (let i = 0; i < source.length; i++) source[i] = (i * 7 + (i >> 6)) & 0xff;

      const access = Access.LocalWrite;
      /** @param {number} i */
      const scatter = (i) => batches[i]?.scatter(source, BATCH, access) ?? 0;
      /** @param {number} i */
      const copy = (i) => flat.scatter(packed, BATCH * i, BATCH, PD, access, source, memory);
      // Elements may overlap, so compare the whole memory.
      for (let i = 0; i < BATCHES; i++) strictEqual(scatter(i), source.length);
      const once = Buffer.from(memory);
      memory.fill(0);
      for (let i = 0; i < BATCHES; i++) strictEqual(copy(i), source.length);
      strictEqual(Buffer.compare(once, memory), 0);

      /** @param {string} label @param {(batch: number) => number} work @returns {Contender} */
      const contender = (label, work) => ({
        label: `${label}, ${bytes} bytes`,
        task: `${bytes}`,
        elements: BATCH * BATCHES,
        run(passes) {
          let sum = 0;
          for (let pass = 0; pass < passes; pass++) {
            for (let i = 0; i < BATCHES; i++) sum += work(i) + (memory[i * 4096] ?? 0);
          }
          return sum;
        },
      });
      return {
        bytes,
        world,
        subject: contender('check and scatter()', scatter),
        peer: contender('JavaScript, flat table, Buffer.copy', copy),
      };
    });
    return {
      contenders: Object.fromEntries(
        worlds.flatMap(({ bytes, subject, peer }) => [
          [`scatter-${bytes}`, subject],
          [`copy-${bytes}`, peer],
        ]),
      ),
      lines: worlds.flatMap(({ bytes }) => [
        { name: `scatter/${bytes}`, of: `scatter-${bytes}`, peer: `copy-${bytes}` },
        { name: `scatter/${bytes}-peer-copy`, of: `copy-${bytes}` },
      ]),
      close() {
        for (const { world } of worlds) world.close();
      },
    };
  },
};
