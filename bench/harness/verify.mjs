// Verifies before any measurement that the native checks and the JavaScript table give the same verdicts, element by element,
// including refusals and their reasons.
import { deepStrictEqual, ok } from 'node:assert/strict';

import { Access, lkey, rkey } from 'rdmavt';

import { reasonNumber } from './native.mjs';
import { FlatTable } from './peers.mjs';
import { BITS, PD, World } from './world.mjs';

/** Reference count of a region on which no SGE is held: one for the region object and one for the key. */
const NOT_HELD = 2;

/**
 * Compares the batch checks with the flat table. Throws if a verdict differs.
 *
 * @param {number} regions
 * @param {import('rdmavt').KeyPolicy} [keyPolicy]
 */
export function agreeOnVerdicts(regions, keyPolicy = 'random') {
  const world = new World(regions, { mixed: true, keyPolicy });
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

/**
 * Compares the single checks of the facade, local and remote, with and without a reference, with the flat table. Throws if a
 * verdict differs.
 *
 * @param {number} regions
 */
export function agreeOnSingleVerdicts(regions) {
  const world = new World(regions, { mixed: true });
  try {
    const { pd, qp, entries } = world;
    const { addresses, lengths, keys, count } = world.work(2048, { mixed: true, seed: 7 });
    const flat = new FlatTable(BITS, entries);
    let refused = 0;
    for (let i = 0; i < count; i++) {
      const address = /** @type {number} */ (addresses[i]);
      const length = /** @type {number} */ (lengths[i]);
      const key = /** @type {number} */ (keys[i]);
      const local = { addr: BigInt(address), length, lkey: lkey(key) };
      const remote = { vaddr: BigInt(address), length, rkey: rkey(key) };
      const expectedLocal = flat.judge(address, length, key, PD, Access.LocalWrite);
      const expectedRemote = flat.judge(address, length, key, PD, Access.RemoteWrite);
      deepStrictEqual(verdictOf(pd.check(local, Access.LocalWrite)), expectedLocal);
      deepStrictEqual(verdictOf(qp.check(remote, Access.RemoteWrite)), expectedRemote);
      deepStrictEqual(verdictOf(pd.acquire(local, Access.LocalWrite)), expectedLocal);
      deepStrictEqual(verdictOf(qp.acquire(remote, Access.RemoteWrite)), expectedRemote);
      if (expectedLocal) refused++;
    }
    ok(refused > 0 && refused < count);
    for (const region of world.regions) deepStrictEqual(region.refs, NOT_HELD);
  } finally {
    world.close();
  }
}

/**
 * Returns 0, or the number of the refusal reason. Puts the reference if there is one.
 *
 * @param {import('rdmavt').CheckedPlace | import('rdmavt').LocalCheck} answer
 */
function verdictOf(answer) {
  if (!answer.ok) return reasonNumber(answer.reason);
  if ('sge' in answer) answer.sge.put();
  return 0;
}
