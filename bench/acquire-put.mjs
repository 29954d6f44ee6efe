// Measures acquiring and putting references for whole batches, compared with only checking them: over one region, over 1,024
// regions, and over more regions than the caches can hold.
import { Access } from 'rdmavt';

import { FlatTable } from './harness/peers.mjs';
import { checkBatches, holdBatches } from './harness/sweeps.mjs';
import { batchesOf, BITS, PD, World } from './harness/world.mjs';

const BATCH = 256;
/** Elements in a few batches, as in a program that reuses its batches. */
const FEW = 4096;
/** Enough elements to access each of 65,536 regions. */
const MANY = 65_536;

/** @typedef {import('./harness/question.mjs').Contender} Contender */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'acquire-put',
  title: 'Batches of 256 packed SGEs acquired and put, random over 1,024, 65,536 and one region',
  unit: 'ns/element',
  prepare({ smoke }) {
    const worlds = [1, 1024, smoke ? 1024 : 65_536].map((regions) => new World(regions));
    const [one, some, many] = /** @type {[World, World, World]} */ (worlds);
    return {
      contenders: {
        hold: hold(some, FEW, '1,024 regions'),
        check: check(some, FEW, '1,024 regions'),
        flat: peer(some, FEW),
        holdOne: hold(one, FEW, 'one region'),
        checkOne: check(one, FEW, 'one region'),
        holdWide: hold(some, MANY, '1,024 regions, 65,536 elements'),
        holdMany: hold(many, MANY, '65,536 regions'),
      },
      lines: [
        { name: 'acquire-put', of: 'hold', peer: 'check', reach: 4, quoted: 7.2 },
        { name: 'acquire-put/one-region', of: 'holdOne', peer: 'checkOne', reach: 4, quoted: 4.1 },
        { name: 'acquire-put/regions-65536', of: 'holdMany', peer: 'holdWide', reach: 1.5, quoted: 132 },
        { name: 'acquire-put/flat', of: 'hold', peer: 'flat' },
        { name: 'acquire-put/check', of: 'check' },
        { name: 'acquire-put/check-one-region', of: 'checkOne' },
        { name: 'acquire-put/peer-flat', of: 'flat' },
      ],
      close() {
        for (const world of worlds) world.close();
      },
    };
  },
};

/**
 * Acquires and puts all elements, batch by batch.
 * @param {World} world
 * @param {number} elements
 * @param {string} where
 * @returns {Contender}
 */
function hold(world, elements, where) {
  const batches = batchesOf(world.work(elements), BATCH, (capacity) => world.pd.lkeyBatch(capacity));
  return {
    label: `acquire(count), put(count), ${where}`,
    task: String(elements),
    elements,
    run: holdBatches(batches),
  };
}

/**
 * Checks all elements, batch by batch, without references.
 * @param {World} world
 * @param {number} elements
 * @param {string} where
 * @returns {Contender}
 */
function check(world, elements, where) {
  const batches = batchesOf(world.work(elements), BATCH, (capacity) => world.pd.lkeyBatch(capacity));
  return {
    label: `check(count), ${where}`,
    task: String(elements),
    elements,
    run: checkBatches(batches),
  };
}

/**
 * Checks all elements in JavaScript, and increments and decrements a reference count per region.
 * @param {World} world
 * @param {number} elements
 * @returns {Contender}
 */
function peer(world, elements) {
  const { packed } = world.work(elements);
  const flat = new FlatTable(BITS, world.entries);
  const counts = new Int32Array(2 ** BITS);
  /** @type {import('./harness/peers.mjs').Numbers} */
  const references = counts;
  /** @type {import('./harness/peers.mjs').Numbers} */
  const words = packed;
  return {
    label: 'JavaScript, flat table and counts',
    task: String(elements),
    elements,
    run(passes) {
      let passed = 0;
      for (let pass = 0; pass < passes; pass++) {
        for (let first = 0; first < elements; first += BATCH) {
          passed += flat.checkPacked(packed, first, BATCH, PD, Access.LocalWrite);
          for (let j = 4 * first + 3; j < 4 * (first + BATCH); j += 4) references[words[j] >>> (32 - BITS)]++;
          for (let j = 4 * first + 3; j < 4 * (first + BATCH); j += 4) references[words[j] >>> (32 - BITS)]--;
        }
      }
      return passed;
    },
  };
}
