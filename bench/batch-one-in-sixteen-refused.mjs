// Measures the cost of refusals in a batch: compares batches with one element in sixteen out of bounds to batches without
// refusals. Every element gets a verdict.
import { deepStrictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { FlatTable } from './harness/peers.mjs';
import { holdBatches } from './harness/sweeps.mjs';
import { agreeOnVerdicts } from './harness/verify.mjs';
import { batchesOf, BITS, PD, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 16_384;
const ONE_IN = 16;

/** @typedef {import('./harness/rounds.mjs').Work} Work */
/** @typedef {import('./harness/world.mjs').Work} Elements */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'batch-one-in-sixteen-refused',
  title: 'Batches of 256 packed SGEs, one in sixteen refused, random over 1,024 regions',
  unit: 'ns/element',
  prepare() {
    agreeOnVerdicts(1024);
    const world = new World(1024);
    const good = world.work(ELEMENTS);
    const bad = withRefusals(world);
    const flat = new FlatTable(BITS, world.entries);
    agree(world, flat, bad);
    return {
      contenders: {
        refused: check(world, bad, 'check(count), one in sixteen refused'),
        flat: peer(flat, bad),
        none: check(world, good, 'check(count), none refused'),
        held: hold(world, bad, 'acquire(count), put(count), one in sixteen refused'),
        heldNone: hold(world, good, 'acquire(count), put(count), none refused'),
      },
      lines: [
        { name: 'batch-one-in-sixteen-refused', of: 'refused', peer: 'flat' },
        { name: 'batch-one-in-sixteen-refused/none', of: 'refused', peer: 'none' },
        { name: 'batch-one-in-sixteen-refused/acquire-put', of: 'held', peer: 'heldNone' },
        { name: 'batch-one-in-sixteen-refused/peer-flat', of: 'flat' },
        { name: 'batch-one-in-sixteen-refused/peer-none', of: 'none' },
        { name: 'batch-one-in-sixteen-refused/peer-acquire-put-none', of: 'heldNone' },
      ],
      close: () => world.close(),
    };
  },
};

/**
 * Draws elements, and moves one of every sixteen elements so that it ends one byte past its region. The position within the group
 * of sixteen varies.
 *
 * @param {World} world
 */
function withRefusals(world) {
  const work = world.work(ELEMENTS);
  for (let first = 0, k = 0; first < ELEMENTS; first += ONE_IN, k++) {
    const i = first + ((k * 7) % ONE_IN);
    const entry = world.entries.find(({ key }) => key === work.keys[i]);
    if (!entry) throw new Error('an element names no region');
    const address = entry.base + entry.length - (work.lengths[i] ?? 0) + 1;
    work.addresses[i] = address;
    work.packed.set([address % 2 ** 32, Math.floor(address / 2 ** 32)], 4 * i);
  }
  return work;
}

/**
 * Verifies that every batch gives the verdicts of the flat table.
 *
 * @param {World} world
 * @param {FlatTable} flat
 * @param {Elements} work
 */
function agree(world, flat, work) {
  const verdicts = new Uint32Array(BATCH);
  const positions = new Float64Array(BATCH);
  for (const [i, batch] of batchesOf(work, BATCH, (capacity) => world.pd.lkeyBatch(capacity)).entries()) {
    const passed = flat.placePacked(
      work.packed,
      BATCH * i,
      BATCH,
      PD,
      Access.LocalWrite,
      verdicts,
      positions,
    );
    deepStrictEqual(passed, BATCH - BATCH / ONE_IN);
    deepStrictEqual(batch.check(BATCH, Access.LocalWrite), passed);
    deepStrictEqual([...batch.verdicts], [...verdicts]);
    deepStrictEqual(batch.acquire(BATCH, Access.LocalWrite), passed);
    deepStrictEqual([...batch.verdicts], [...verdicts]);
    deepStrictEqual(batch.put(BATCH), passed);
  }
}

/**
 * Checks all elements, batch by batch.
 *
 * @param {World} world
 * @param {Elements} work
 * @param {string} label
 * @returns {Work}
 */
function check(world, work, label) {
  const batches = batchesOf(work, BATCH, (capacity) => world.pd.lkeyBatch(capacity));
  return {
    label,
    task: label.endsWith('none refused') ? 'none' : 'some',
    elements: ELEMENTS,
    run(passes) {
      let passed = 0;
      for (let pass = 0; pass < passes; pass++) {
        for (const batch of batches)
          passed += batch.check(BATCH, Access.LocalWrite) + (batch.verdicts[0] ?? 0);
      }
      return passed;
    },
  };
}

/**
 * Acquires and puts all elements, batch by batch.
 *
 * @param {World} world
 * @param {Elements} work
 * @param {string} label
 * @returns {Work}
 */
function hold(world, work, label) {
  const batches = batchesOf(work, BATCH, (capacity) => world.pd.lkeyBatch(capacity));
  return {
    label,
    task: label,
    elements: ELEMENTS,
    run: holdBatches(batches),
  };
}

/**
 * Checks all elements in JavaScript and writes a verdict for each.
 *
 * @param {FlatTable} flat
 * @param {Elements} work
 * @returns {Work}
 */
function peer(flat, { packed }) {
  const verdicts = new Uint32Array(BATCH);
  const positions = new Float64Array(BATCH);
  return {
    label: 'JavaScript, flat table, with verdicts',
    task: 'some',
    elements: ELEMENTS,
    run(passes) {
      let passed = 0;
      for (let pass = 0; pass < passes; pass++) {
        for (let first = 0; first < ELEMENTS; first += BATCH) {
          passed += flat.placePacked(packed, first, BATCH, PD, Access.LocalWrite, verdicts, positions);
          passed += verdicts[0] ?? 0;
        }
      }
      return passed;
    },
  };
}
