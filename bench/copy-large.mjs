// Does an SGE cost anything where the copy is long? Against the same bytes by a ready view.
import { ok, strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { openDevice } from './harness/world.mjs';

/** @typedef {import('./harness/question.mjs').Contender} Contender */
/** @typedef {import('./harness/question.mjs').Line} Line */

/** @type {[bytes: number, name: string, label: string][]} */
const SIZES = [
  [2 ** 16, '64k', '64 KiB'],
  [2 ** 18, '256k', '256 KiB'],
  [2 ** 20, '1m', '1 MiB'],
];

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'copy-large',
  title: 'Copying through an accepted SGE',
  unit: 'ns/copy',
  prepare() {
    const device = openDevice();
    const pd = device.allocPd();
    /** @type {Record<string, Contender>} */
    const contenders = {};
    /** @type {Line[]} */
    const lines = [];
    for (const [bytes, name, label] of SIZES) {
      const memory = new Uint8Array(bytes);
      const outside = Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
      const region = pd.regUserMr(memory, { access: Access.LocalWrite });
      const check = pd.acquire({ addr: region.start, length: bytes, lkey: region.lkey }, Access.LocalWrite);
      ok(check.ok);
      const { sge } = check;
      strictEqual(sge.copyFrom(outside), bytes);
      ok(Buffer.compare(memory, outside) === 0);

      /** @param {string} what @param {() => number} copy @param {Uint8Array} written @returns {Contender} */
      const contender = (what, copy, written) => ({
        label: `${what}, ${label}`,
        task: name,
        elements: 1,
        run(passes) {
          let sum = 0;
          for (let pass = 0; pass < passes; pass++) sum += copy() + (written[bytes - 1] ?? 0);
          return sum;
        },
      });
      const target = new Uint8Array(bytes);
      contenders[`${name}-in`] = contender('sge.copyFrom(source)', () => sge.copyFrom(outside), memory);
      contenders[`${name}-set-in`] = contender(
        'Uint8Array.set, the same way',
        () => {
          memory.set(outside);
          return bytes;
        },
        memory,
      );
      contenders[`${name}-out`] = contender('sge.copyTo(target)', () => sge.copyTo(target), target);
      contenders[`${name}-set-out`] = contender(
        'Uint8Array.set, the same way',
        () => {
          target.set(memory);
          return bytes;
        },
        target,
      );
      lines.push(
        { name: `copy-large/${name}-in`, of: `${name}-in`, peer: `${name}-set-in`, reach: 1.1 },
        { name: `copy-large/${name}-out`, of: `${name}-out`, peer: `${name}-set-out`, reach: 1.1 },
        { name: `copy-large/${name}-peer-set-in`, of: `${name}-set-in` },
        { name: `copy-large/${name}-peer-set-out`, of: `${name}-set-out` },
      );
    }
    return { contenders, lines, close: () => device.close({ cascade: true }) };
  },
};
