// Measures which batch size pays off: sizes 1 to 4,096, over 1, 1,024 and 65,536 regions. scripts/bench-chart.mjs draws the
// results.
import { Access } from 'rdmavt';

import { FlatTable } from './harness/peers.mjs';
import { MANY } from './harness/rounds.mjs';
import { BITS, PD, viewsOf, World } from './harness/world.mjs';

const SIZES = [1, 4, 16, 64, 256, 1024, 4096];
const REGIONS = [1, 1024, 65_536];

const ELEMENTS = 65_536;
const HIGH = 2 ** -32;

/** @typedef {import('./harness/peers.mjs').Numbers} Numbers */
/** @typedef {import('./harness/question.mjs').Contender} Contender */
/** @typedef {import('./harness/question.mjs').Line} Line */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'batch-sizes',
  title: 'Batches of 1 to 4,096 SGEs over 1, 1,024 and 65,536 regions',
  unit: 'ns/element',
  effort: MANY,
  compact: true,
  prepare() {
    /** @type {Record<string, Contender>} */
    const contenders = {};
    /** @type {Line[]} */
    const lines = [];
    const worlds = REGIONS.map((count) => new World(count));
    for (const world of worlds) {
      const flat = new FlatTable(BITS, world.entries);
      for (const size of SIZES) {
        const of = `${world.entries.length}-regions/${size}`;
        for (const [kind, contender] of Object.entries(fourWays(world, flat, size))) {
          contenders[`${kind}/${of}`] = contender;
        }
        lines.push(
          { name: `batch-sizes/packed/${of}`, of: `packed/${of}`, peer: `flatPacked/${of}` },
          { name: `batch-sizes/filled/${of}`, of: `filled/${of}`, peer: `flatNumbers/${of}` },
          { name: `batch-sizes/peer-packed/${of}`, of: `flatPacked/${of}` },
          { name: `batch-sizes/peer-filled/${of}`, of: `flatNumbers/${of}` },
        );
      }
    }
    return {
      contenders,
      lines,
      close() {
        for (const world of worlds) world.close();
      },
    };
  },
};

/**
 * Returns four contenders for one batch size: SGEs packed by the caller or filled by JavaScript, each native and in JavaScript.
 *
 * @param {World} world
 * @param {FlatTable} flat
 * @param {number} size
 * @returns {Record<'packed' | 'filled' | 'flatPacked' | 'flatNumbers', Contender>}
 */
function fourWays(world, flat, size) {
  const work = world.work(ELEMENTS);
  const { packed } = work;
  /** @type {{ addresses: Numbers, lengths: Numbers, keys: Numbers }} */
  const { addresses, lengths, keys } = work;
  const views = viewsOf(work, size);
  const batch = world.pd.lkeyBatch(size);
  const { words } = batch;
  const access = Access.LocalWrite;
  const where = `${size} over ${world.entries.length.toLocaleString('en')}`;

  /** @param {string} label @param {() => number} pass @returns {Contender} */
  const contender = (label, pass) => ({
    label,
    elements: ELEMENTS,
    run(passes) {
      let passed = 0;
      for (let k = 0; k < passes; k++) passed += pass();
      return passed;
    },
  });
  return {
    packed: contender(`checkPacked(sges), ${where}`, () => {
      let passed = 0;
      for (const sges of views) passed += batch.checkPacked(sges, access);
      return passed;
    }),
    filled: contender(`words, then check(count), ${where}`, () => {
      let passed = 0;
      for (let first = 0; first < ELEMENTS; first += size) {
        for (let i = first, j = 0; j < 4 * size; i++, j += 4) {
          const address = addresses[i];
          words[j] = address;
          words[j + 1] = address * HIGH;
          words[j + 2] = lengths[i];
          words[j + 3] = keys[i];
        }
        passed += batch.check(size, access);
      }
      return passed;
    }),
    flatPacked: contender('JavaScript, flat table', () => {
      let passed = 0;
      for (let first = 0; first < ELEMENTS; first += size) {
        passed += flat.checkPacked(packed, first, size, PD, access);
      }
      return passed;
    }),
    flatNumbers: contender('JavaScript, flat table', () => {
      let passed = 0;
      for (let first = 0; first < ELEMENTS; first += size) {
        passed += flat.checkNumbers(addresses, lengths, keys, first, size, PD, access);
      }
      return passed;
    }),
  };
}
