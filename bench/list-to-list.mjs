// Measures copying from one list of SGEs into another in one call that checks both lists.
import { strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { FlatTable } from './harness/peers.mjs';
import { batchesOf, BITS, PD, World } from './harness/world.mjs';

const BATCH = 256;
const BATCHES = 16;
const BYTES = 512;
const REGION = 4096;
const READ = 0;

/** @typedef {import('./harness/question.mjs').Contender} Contender */
/** @typedef {import('./harness/peers.mjs').Numbers} Numbers */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'list-to-list',
  title: 'Checking two lists of 256 SGEs of 512 bytes and copying one into the other',
  unit: 'ns/element',
  prepare() {
    const world = new World(1024, { regionBytes: REGION });
    world.fill();
    const { memory, entries, pd } = world;
    // Draw sources and targets from different regions, so that the order of copying does not affect the result.
    const sources = world.work(BATCH * BATCHES, { bytes: BYTES, among: entries.slice(0, 512) });
    const targets = world.work(BATCH * BATCHES, { bytes: BYTES, among: entries.slice(512), seed: 2 });
    const from = batchesOf(sources, BATCH, (capacity) => pd.lkeyBatch(capacity));
    const to = batchesOf(targets, BATCH, (capacity) => pd.lkeyBatch(capacity));
    const flat = new FlatTable(BITS, entries);
    const verdicts = new Uint32Array(BATCH);
    /** @type {Numbers} */
    const fromOffsets = new Float64Array(BATCH);
    /** @type {Numbers} */
    const toOffsets = new Float64Array(BATCH);
    /** @type {Numbers} */
    const fromKeys = sources.keys;
    /** @type {Numbers} */
    const toKeys = targets.keys;

    /** @param {number} i */
    const native = (i) => {
      const other = to[i];
      return other ? (from[i]?.copyTo(other, BATCH, READ, BATCH, Access.LocalWrite) ?? 0) : 0;
    };
    /** @param {number} i */
    const byHand = (i) => {
      const first = BATCH * i;
      flat.placePacked(sources.packed, first, BATCH, PD, READ, verdicts, fromOffsets);
      let most = flat.firstRefusal < 0 ? BATCH : flat.firstRefusal;
      flat.placePacked(targets.packed, first, BATCH, PD, Access.LocalWrite, verdicts, toOffsets);
      if (flat.firstRefusal >= 0) most = Math.min(most, flat.firstRefusal);
      // The lengths are the same on both sides, so no element needs to be split.
      for (let k = 0; k < most; k++) {
        const source = flat.positionOf(fromKeys[first + k]) + fromOffsets[k];
        const target = flat.positionOf(toKeys[first + k]) + toOffsets[k];
        memory.copy(memory, target, source, source + BYTES);
      }
      return most * BYTES;
    };
    for (let i = 0; i < BATCHES; i++) strictEqual(native(i), BATCH * BYTES);
    const once = Buffer.from(memory);
    memory.fill(0, 512 * REGION);
    for (let i = 0; i < BATCHES; i++) strictEqual(byHand(i), BATCH * BYTES);
    // Compare only the targets of the elements: the rest of the memory was cleared before the second way ran.
    for (const [i, address] of targets.addresses.entries()) {
      const at = address - (entries[0]?.base ?? 0);
      strictEqual(memory.compare(once, at, at + BYTES, at, at + BYTES), 0, `element ${i}`);
    }

    /** @param {string} label @param {(batch: number) => number} copy @returns {Contender} */
    const contender = (label, copy) => ({
      label,
      elements: BATCH * BATCHES,
      run(passes) {
        let sum = 0;
        for (let pass = 0; pass < passes; pass++) {
          for (let i = 0; i < BATCHES; i++) {
            const address = targets.addresses[i] ?? 0;
            sum += copy(i) + (memory[address - (entries[0]?.base ?? 0)] ?? 0);
          }
        }
        return sum;
      },
    });
    return {
      contenders: {
        native: contender('copyTo(other)', native),
        byHand: contender('JavaScript, flat table, Buffer.copy', byHand),
      },
      lines: [
        { name: 'list-to-list', of: 'native', peer: 'byHand' },
        { name: 'list-to-list/peer-copy', of: 'byHand' },
      ],
      close: () => world.close(),
    };
  },
};
