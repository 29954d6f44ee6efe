// Measures registering and deregistering a 4 KiB buffer: the same buffer each time, a new buffer each time, and only
// deregistering. Compared with an empty native call.
import { deepStrictEqual, strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { emptyCall } from './harness/empty-call.mjs';
import { openDevice } from './harness/world.mjs';

/** Regions per pass. */
const PASS = 64;
const BYTES = 4096;

/** @typedef {import('./harness/rounds.mjs').Work} Work */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'register-dereg',
  title: 'Registering and deregistering a 4 KiB buffer',
  unit: 'ns/region',
  prepare() {
    const device = openDevice();
    const pd = device.allocPd();
    agree(pd);
    const access = Access.LocalWrite;
    const one = new Uint8Array(BYTES);

    /** @param {string} label @param {Uint8Array} memory @returns {Work} */
    const same = (label, memory) => ({
      label,
      elements: PASS,
      turn: true,
      run(passes) {
        for (let left = passes * PASS; left > 0; left--) pd.regUserMr(memory, { access }).dereg();
        return 0;
      },
    });
    // Both variants create a new buffer and write to it. They differ only in which buffer they register.
    /** @param {string} label @param {boolean} isRegistered register the new buffer, not always the same @returns {Work} */
    const making = (label, isRegistered) => ({
      label,
      elements: PASS,
      turn: true,
      run(passes) {
        for (let left = passes * PASS; left > 0; left--) {
          const memory = new Uint8Array(BYTES);
          memory[0] = left;
          pd.regUserMr(isRegistered ? memory : one, { access }).dereg();
        }
        return 0;
      },
    });
    return {
      contenders: {
        same: same('regUserMr, dereg, same buffer', one),
        fresh: making('regUserMr(new buffer), dereg', true),
        beside: making('new buffer, regUserMr(same buffer), dereg', false),
        deregOnly: deregOnly(pd, one),
        gibibyte: same('regUserMr, dereg, same buffer of 1 GiB', new Uint8Array(2 ** 30)),
        empty: emptyCall(PASS),
      },
      lines: [
        { name: 'register-dereg', of: 'same', peer: 'empty', reach: 50, quoted: 177 },
        { name: 'register-dereg/new-buffer', of: 'fresh', peer: 'beside', reach: 2.5 },
        { name: 'register-dereg/dereg', of: 'deregOnly', peer: 'empty' },
        { name: 'register-dereg/1-gib', of: 'gibibyte', peer: 'same', quoted: 393_000 },
        { name: 'register-dereg/peer-new-buffer', of: 'beside' },
        { name: 'register-dereg/peer-empty', of: 'empty' },
      ],
      close: () => device.close({ cascade: true }),
    };
  },
};

/**
 * Measures only the deregistration; the regions are registered outside of the timed code.
 *
 * @param {import('rdmavt').ProtectionDomain} pd
 * @param {Uint8Array} memory
 * @returns {Work}
 */
function deregOnly(pd, memory) {
  /** @type {import('rdmavt').MemoryRegion[]} */
  const regions = [];
  const MOST = 16;
  const refill = () => {
    while (regions.length < MOST * PASS) regions.push(pd.regUserMr(memory, { access: Access.LocalWrite }));
  };
  refill();
  return {
    label: 'dereg alone',
    elements: PASS,
    turn: true,
    mostPasses: MOST,
    run(passes) {
      for (let left = passes * PASS; left > 0; left--) regions.pop()?.dereg();
      return 0;
    },
    reset: refill,
  };
}

/**
 * Verifies that a region is registered between the two calls, and revoked after the second.
 *
 * @param {import('rdmavt').ProtectionDomain} pd
 */
function agree(pd) {
  const memory = new Uint8Array(BYTES);
  const region = pd.regUserMr(memory, { access: Access.LocalWrite });
  const element = { addr: region.start, length: BYTES, lkey: region.lkey };
  strictEqual(pd.check(element, Access.LocalWrite).ok, true);
  region.dereg();
  const answer = pd.check(element, Access.LocalWrite);
  deepStrictEqual(answer.ok ? undefined : answer.reason, 'Revoked');
}
