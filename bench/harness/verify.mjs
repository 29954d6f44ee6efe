// Before anything is timed: the subject and its peer answer the same, element by element, refusals and reasons too.
import { deepStrictEqual, ok } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { FlatTable } from './peers.mjs';
import { BITS, PD, World } from './world.mjs';

/**
 * @param {number} regions
 */
export function agreeOnVerdicts(regions) {
  const world = new World(regions, { mixed: true });
  try {
    const work = world.work(4096, { mixed: true, seed: 7 });
    const flat = new FlatTable(BITS, world.entries);
    const batch = world.pd.lkeyBatch(work.count, { places: true });
    batch.words.set(work.packed);
    const access = Access.LocalWrite;

    const verdicts = new Uint32Array(work.count);
    const positions = new Float64Array(work.count);
    const passed = flat.placePacked(work.packed, 0, work.count, PD, access, verdicts, positions);
    ok(passed > 0 && passed < work.count);
    const expected = { passed, firstRefusal: flat.firstRefusal };
    deepStrictEqual({ passed: batch.check(work.count, access), firstRefusal: batch.firstRefusal }, expected);
    deepStrictEqual([...batch.verdicts.subarray(0, work.count)], [...verdicts]);
    for (let i = 0; i < work.count; i++) {
      if (verdicts[i] === 0) deepStrictEqual(Number(batch.positions[i]), positions[i]);
    }

    const sges = new Uint8Array(work.packed.buffer);
    deepStrictEqual({ passed: batch.checkPacked(sges, access), firstRefusal: batch.firstRefusal }, expected);
    const { addresses, lengths, keys, count } = work;
    deepStrictEqual(flat.checkPacked(work.packed, 0, count, PD, access), passed);
    deepStrictEqual(flat.checkNumbers(addresses, lengths, keys, 0, count, PD, access), passed);
    deepStrictEqual(flat.firstRefusal, expected.firstRefusal);
  } finally {
    world.close();
  }
}
