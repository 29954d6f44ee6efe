// Measures batches in which the program reads the verdict and position of every element, and about 1 in 11 elements is refused.
import { Access } from 'rdmavt';

import { FlatTable } from './harness/peers.mjs';
import { agreeOnVerdicts } from './harness/verify.mjs';
import { batchesOf, BITS, PD, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 65_536;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'batch-places-read',
  title: 'Batches of 256 packed SGEs, some refused, verdict and position of each read, 1,024 regions',
  unit: 'ns/element',
  prepare() {
    agreeOnVerdicts(1024);
    const world = new World(1024, { mixed: true });
    const work = world.work(ELEMENTS, { mixed: true });
    const { packed } = work;
    const batches = batchesOf(work, BATCH, (capacity) => world.pd.lkeyBatch(capacity, { places: true })).map(
      (batch) => ({
        batch,
        verdicts: batch.verdicts,
        // Read only the low words: positions are below 2^32 here, and reading BigInts would dominate the time.
        positions: new Uint32Array(batch.positions.buffer, batch.positions.byteOffset, 2 * BATCH),
      }),
    );
    const flat = new FlatTable(BITS, world.entries);
    const flatVerdicts = new Uint32Array(BATCH);
    const flatPositions = new Float64Array(BATCH);

    /**
     * Sums up verdicts and positions, so that every element is read.
     * @param {import('./harness/peers.mjs').Numbers} verdicts
     * @param {import('./harness/peers.mjs').Numbers} positions
     * @param {number} step words per position
     */
    const read = (verdicts, positions, step) => {
      let sum = 0;
      for (let i = 0, j = 0; i < BATCH; i++, j += step) {
        const verdict = verdicts[i];
        sum += verdict === 0 ? positions[j] : verdict;
      }
      return sum;
    };
    return {
      contenders: {
        batch: {
          label: 'check(count), verdicts and positions',
          elements: ELEMENTS,
          run(passes) {
            let sum = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (const { batch, verdicts, positions } of batches) {
                sum += batch.check(BATCH, Access.LocalWrite) + read(verdicts, positions, 2);
              }
            }
            return sum;
          },
        },
        flat: {
          label: 'JavaScript, flat table',
          elements: ELEMENTS,
          run(passes) {
            let sum = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (let first = 0; first < ELEMENTS; first += BATCH) {
                sum +=
                  flat.placePacked(packed, first, BATCH, PD, Access.LocalWrite, flatVerdicts, flatPositions) +
                  read(flatVerdicts, flatPositions, 1);
              }
            }
            return sum;
          },
        },
      },
      lines: [
        { name: 'batch-places-read', of: 'batch', peer: 'flat' },
        { name: 'batch-places-read/peer-flat', of: 'flat' },
      ],
      close: () => world.close(),
    };
  },
};
