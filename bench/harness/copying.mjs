// Shared code of the benchmarks that copy through an accepted SGE: copies of each size in both directions, compared with copies
// through existing typed arrays.
import { ok, strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { openDevice } from './world.mjs';

/** @typedef {import('./rounds.mjs').Contender} Contender */
/** @typedef {import('./question.mjs').Line} Line */

/**
 * @param {string} question name of the benchmark
 * @param {readonly { bytes: number, name: string, label: string, reach?: number }[]} sizes
 * @returns {import('./question.mjs').Prepared}
 */
export function copying(question, sizes) {
  const device = openDevice();
  const pd = device.allocPd();
  /** @type {Record<string, Contender>} */
  const contenders = {};
  /** @type {Line[]} */
  const lines = [];
  for (const { bytes, name, label, reach } of sizes) {
    const goal = reach === undefined ? {} : { reach };
    const elements = Math.max(1, 2 ** 14 / bytes);
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
      elements,
      run(passes) {
        let sum = 0;
        for (let left = passes * elements; left > 0; left--) sum += copy() + (written[bytes - 1] ?? 0);
        return sum;
      },
    });
    const target = new Uint8Array(bytes);
    contenders[`${name}-in`] = contender('sge.copyFrom(source)', () => sge.copyFrom(outside), memory);
    contenders[`${name}-set-in`] = contender(
      'Uint8Array.set, same direction',
      () => {
        memory.set(outside);
        return bytes;
      },
      memory,
    );
    contenders[`${name}-out`] = contender('sge.copyTo(target)', () => sge.copyTo(target), target);
    contenders[`${name}-set-out`] = contender(
      'Uint8Array.set, same direction',
      () => {
        target.set(memory);
        return bytes;
      },
      target,
    );
    lines.push(
      { name: `${question}/${name}-in`, of: `${name}-in`, peer: `${name}-set-in`, ...goal },
      { name: `${question}/${name}-out`, of: `${name}-out`, peer: `${name}-set-out`, ...goal },
      { name: `${question}/${name}-peer-set-in`, of: `${name}-set-in` },
      { name: `${question}/${name}-peer-set-out`, of: `${name}-set-out` },
    );
  }
  return { contenders, lines, close: () => device.close({ cascade: true }) };
}
