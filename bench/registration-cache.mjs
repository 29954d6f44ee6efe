// Measures a registration cache: a get that a cached region serves, with its put. Compared with an empty native call, and with
// registering and deregistering each time.
import { strictEqual } from 'node:assert/strict';

import { Access, RegistrationCache } from 'rdmavt';

import { emptyCall } from './harness/empty-call.mjs';
import { openDevice } from './harness/world.mjs';

/** Gets per pass. */
const PASS = 64;
const BYTES = 4096;
/** Buffers that are used in turn in the row of many buffers. */
const MANY = 1024;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'registration-cache',
  title: 'A cached region: get and put',
  unit: 'ns/get',
  prepare() {
    const device = openDevice();
    const pd = device.allocPd();
    const access = Access.LocalWrite;
    const cache = new RegistrationCache(pd, { maxRegions: MANY + 1 });
    const one = new Uint8Array(BYTES);
    const many = Array.from({ length: MANY }, () => new Uint8Array(BYTES));
    for (const memory of [one, ...many]) cache.get(memory, access).put();
    agree(cache, one);

    let at = 0;
    return {
      contenders: {
        hit: {
          label: 'get, put, cached',
          elements: PASS,
          run(passes) {
            for (let left = passes * PASS; left > 0; left--) cache.get(one, access).put();
            return 0;
          },
        },
        many: {
          label: `get, put, ${MANY} cached buffers in turn`,
          elements: PASS,
          run(passes) {
            for (let left = passes * PASS; left > 0; left--) {
              // A prime step: the buffers come in an order that the processor does not foresee.
              at = (at + 389) % MANY;
              cache.get(many[at] ?? one, access).put();
            }
            return 0;
          },
        },
        fresh: {
          label: 'regUserMr, dereg',
          elements: PASS,
          turn: true,
          run(passes) {
            for (let left = passes * PASS; left > 0; left--) pd.regUserMr(one, { access }).dereg();
            return 0;
          },
        },
        empty: emptyCall(PASS),
      },
      lines: [
        { name: 'registration-cache', of: 'hit', peer: 'empty', reach: 5 },
        { name: 'registration-cache/many-buffers', of: 'many', peer: 'empty' },
        { name: 'registration-cache/register-dereg', of: 'hit', peer: 'fresh' },
        { name: 'registration-cache/peer-register-dereg', of: 'fresh' },
        { name: 'registration-cache/peer-empty', of: 'empty' },
      ],
      close: () => device.close({ cascade: true }),
    };
  },
};

/**
 * Verifies that a get of cached memory registers nothing and gives the place of the memory.
 *
 * @param {RegistrationCache} cache
 * @param {Uint8Array} memory
 */
function agree(cache, memory) {
  const { misses } = cache.counters();
  const use = cache.get(memory.subarray(1024, 2048), Access.LocalWrite);
  strictEqual(use.start - use.region.start, 1024n);
  strictEqual(use.region.length, BYTES);
  use.put();
  strictEqual(cache.counters().misses, misses);
}
