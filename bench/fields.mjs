// Measures reading one field of an accepted SGE or of a region, compared with an empty native call.
import { ok, strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { emptyCall } from './harness/empty-call.mjs';
import { World } from './harness/world.mjs';

/** Number of objects. The benchmark reads them in turn, so that no two consecutive reads are the same. */
const THINGS = 64;
const READS = 1024;
const REGION = 4096;

/** Reference count of a region on which one SGE is held: one each for the region object, the key and the SGE. */
const HELD_ONCE = 3;

/** @typedef {import('./harness/rounds.mjs').Work} Work */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'fields',
  title: 'Reading one field of 64 SGEs or regions in turn',
  unit: 'ns/read',
  prepare() {
    const world = new World(THINGS, { regionBytes: REGION });
    const { pd, regions, entries } = world;
    const sges = entries.map(({ base, key }, i) => {
      const lkey = /** @type {import('rdmavt').Lkey} */ (key);
      const answer = pd.acquire({ addr: base + i, length: 100 + i, lkey }, Access.LocalWrite);
      ok(answer.ok);
      return answer.sge;
    });
    const starts = entries.map(({ base }) => BigInt(base));
    const places = entries.map((_, i) => BigInt(i));
    agree(sges, regions, entries);

    /** @param {string} label @param {(i: number) => number} read @returns {Work} */
    const contender = (label, read) => ({
      label,
      task: label,
      elements: READS,
      turn: true,
      run(passes) {
        let sum = 0;
        for (let i = passes * READS; i > 0; i--) sum += read(i & (THINGS - 1));
        return sum;
      },
    });
    const contenders = {
      sgeLength: contender('sge.length', (i) => sges[i]?.length ?? 0),
      sgeAt: contender('sge.at', (i) => (sges[i]?.at === places[i] ? 1 : 0)),
      lkey: contender('region.lkey', (i) => regions[i]?.lkey ?? 0),
      length: contender('region.length', (i) => regions[i]?.length ?? 0),
      start: contender('region.start', (i) => (regions[i]?.start === starts[i] ? 1 : 0)),
      refs: contender('region.refs', (i) => regions[i]?.refs ?? 0),
      empty: emptyCall(READS),
    };
    return {
      contenders,
      lines: [
        { name: 'fields/sge-length', of: 'sgeLength', peer: 'empty', reach: 3 },
        { name: 'fields/sge-at', of: 'sgeAt', peer: 'empty', reach: 3 },
        { name: 'fields/region-lkey', of: 'lkey', peer: 'empty', reach: 3 },
        { name: 'fields/region-length', of: 'length', peer: 'empty', reach: 3 },
        { name: 'fields/region-start', of: 'start', peer: 'empty', reach: 3 },
        { name: 'fields/region-refs', of: 'refs', peer: 'empty', reach: 3 },
        { name: 'fields/peer-empty', of: 'empty' },
      ],
      close() {
        for (const sge of sges) sge.put();
        world.close();
      },
    };
  },
};

/**
 * Verifies that every field has the expected value.
 *
 * @param {readonly import('rdmavt').Sge[]} sges
 * @param {readonly import('rdmavt').MemoryRegion[]} regions
 * @param {readonly import('./harness/peers.mjs').Entry[]} entries
 */
function agree(sges, regions, entries) {
  for (const [i, { key, base }] of entries.entries()) {
    strictEqual(sges[i]?.length, 100 + i);
    strictEqual(sges[i]?.at, BigInt(i));
    strictEqual(regions[i]?.lkey, key);
    strictEqual(regions[i]?.length, REGION);
    strictEqual(regions[i]?.start, BigInt(base));
    strictEqual(regions[i]?.refs, HELD_ONCE);
  }
}
