// Measures whether closing a device takes linear time: four times as many protection domains, each with one region, should take
// about four times as long.
import { strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { FEW } from './harness/rounds.mjs';
import { openDevice } from './harness/world.mjs';

const FEWER = 10_000;
const MORE = 40_000;

/** Key table size in bits, large enough for all regions. */
const BITS = 17;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'close-cascade',
  title: 'device.close({ cascade: true }) with many protection domains, each with one region',
  unit: 'ms/close',
  effort: FEW,
  prepare: ({ smoke }) => ({
    contenders: {
      more: { label: 'close, 40,000 domains', read: () => close(smoke ? MORE / 100 : MORE) },
      fewer: { label: 'close, 10,000 domains', read: () => close(smoke ? FEWER / 100 : FEWER) },
    },
    lines: [
      { name: 'close-cascade', of: 'more', peer: 'fewer', reach: 5 },
      { name: 'close-cascade/peer-10000', of: 'fewer' },
    ],
    close: () => undefined,
  }),
};

/**
 * Measures one close.
 *
 * @param {number} domains
 * @returns {number} milliseconds
 */
function close(domains) {
  const device = openDevice({ lkeyTableBits: BITS });
  const memory = new Uint8Array(64);
  const regions = Array.from({ length: domains }, () =>
    device.allocPd().regUserMr(memory, { access: Access.LocalWrite }),
  );
  strictEqual(device.resources().regions.length, domains);
  const begin = performance.now();
  device.close({ cascade: true });
  const time = performance.now() - begin;
  for (const region of regions) strictEqual(region.state, 'Closed');
  return time;
}
