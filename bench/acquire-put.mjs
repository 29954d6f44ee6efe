// What do references cost, taken and given back for a whole batch?
import { Access } from 'rdmavt';

import { FlatTable } from './harness/peers.mjs';
import { batchesOf, BITS, PD, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 16_384;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'acquire-put',
  title: 'Batches of 256 packed SGEs acquired and put, random over 1,024 regions',
  unit: 'ns/element',
  prepare() {
    const world = new World(1024);
    const work = world.work(ELEMENTS);
    const batches = batchesOf(work, BATCH, (capacity) => world.pd.lkeyBatch(capacity));
    const { packed } = work;
    const flat = new FlatTable(BITS, world.entries);
    const counts = new Int32Array(2 ** BITS);
    /** @type {import('./harness/peers.mjs').Numbers} */
    const references = counts;
    /** @type {import('./harness/peers.mjs').Numbers} */
    const words = packed;
    return {
      contenders: {
        batch: {
          label: 'acquire(count), put(count)',
          elements: ELEMENTS,
          run(passes) {
            let passed = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (const batch of batches) {
                passed += batch.acquire(BATCH, Access.LocalWrite);
                batch.put(BATCH);
              }
            }
            return passed;
          },
        },
        flat: {
          label: 'JavaScript, flat table and counts',
          elements: ELEMENTS,
          run(passes) {
            let passed = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (let first = 0; first < ELEMENTS; first += BATCH) {
                passed += flat.checkPacked(packed, first, BATCH, PD, Access.LocalWrite);
                for (let j = 4 * first + 3; j < 4 * (first + BATCH); j += 4)
                  references[words[j] >>> (32 - BITS)]++;
                for (let j = 4 * first + 3; j < 4 * (first + BATCH); j += 4)
                  references[words[j] >>> (32 - BITS)]--;
              }
            }
            return passed;
          },
        },
      },
      lines: [
        { name: 'acquire-put', of: 'batch', peer: 'flat' },
        { name: 'acquire-put/peer-flat', of: 'flat' },
      ],
      close: () => world.close(),
    };
  },
};
