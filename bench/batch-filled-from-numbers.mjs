// Measures checking batches whose numbers come from JavaScript. The subject writes each SGE into the batch before the check; the
// JavaScript tables read the numbers directly.
import { Access } from 'rdmavt';

import { BigIntTable, FlatTable, ObjectTable } from './harness/peers.mjs';
import { agreeOnVerdicts } from './harness/verify.mjs';
import { BITS, PD, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 65_536;
const HIGH = 2 ** -32;

/** @typedef {import('./harness/peers.mjs').Numbers} Numbers */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'batch-filled-from-numbers',
  title: 'Batches of 256 SGEs filled by JavaScript from numbers, random over 1,024 regions',
  unit: 'ns/element',
  prepare() {
    agreeOnVerdicts(1024);
    const world = new World(1024);
    const work = world.work(ELEMENTS);
    /** @type {{ addresses: Numbers, lengths: Numbers, keys: Numbers }} */
    const { addresses, lengths, keys } = work;
    /** @type {Numbers} */
    const bigAddresses = Array.from(work.addresses, BigInt);
    const bigLengths = Array.from(work.lengths, BigInt);
    const batch = world.pd.lkeyBatch(BATCH);
    const { words } = batch;
    const flat = new FlatTable(BITS, world.entries);
    const objects = new ObjectTable(BITS, world.entries);
    const bigints = new BigIntTable(BITS, world.entries);

    /** @param {(first: number) => number} check checks one batch @returns {(passes: number) => number} */
    const sweep = (check) => (passes) => {
      let passed = 0;
      for (let pass = 0; pass < passes; pass++) {
        for (let first = 0; first < ELEMENTS; first += BATCH) passed += check(first);
      }
      return passed;
    };
    return {
      contenders: {
        words: {
          label: 'words, then check(count)',
          elements: ELEMENTS,
          run: sweep((first) => {
            for (let i = first, j = 0; j < 4 * BATCH; i++, j += 4) {
              // A store into a Uint32Array converts the number modulo 2^32.
              const address = addresses[i];
              words[j] = address;
              words[j + 1] = address * HIGH;
              words[j + 2] = lengths[i];
              words[j + 3] = keys[i];
            }
            return batch.check(BATCH, Access.LocalWrite) + batch.firstRefusal + 1;
          }),
        },
        set: {
          label: 'set(i, number, ...), then check(count)',
          elements: ELEMENTS,
          run: sweep((first) => {
            for (let i = 0; i < BATCH; i++) {
              batch.set(i, addresses[first + i], lengths[first + i], keys[first + i]);
            }
            return batch.check(BATCH, Access.LocalWrite) + batch.firstRefusal + 1;
          }),
        },
        setBigints: {
          label: 'set(i, bigint, ...), then check(count)',
          elements: ELEMENTS,
          run: sweep((first) => {
            for (let i = 0; i < BATCH; i++) {
              batch.set(i, bigAddresses[first + i], lengths[first + i], keys[first + i]);
            }
            return batch.check(BATCH, Access.LocalWrite) + batch.firstRefusal + 1;
          }),
        },
        flat: {
          label: 'JavaScript, flat table',
          elements: ELEMENTS,
          run: sweep(
            (first) =>
              flat.checkNumbers(addresses, lengths, keys, first, BATCH, PD, Access.LocalWrite) +
              flat.firstRefusal +
              1,
          ),
        },
        objects: {
          label: 'JavaScript, one object per region',
          elements: ELEMENTS,
          run: sweep(
            (first) =>
              objects.checkNumbers(addresses, lengths, keys, first, BATCH, PD, Access.LocalWrite) +
              objects.firstRefusal +
              1,
          ),
        },
        bigints: {
          label: 'JavaScript, bigints and a Map',
          elements: ELEMENTS,
          run: sweep(
            (first) =>
              bigints.check(bigAddresses, bigLengths, keys, first, BATCH, PD, Access.LocalWrite) +
              bigints.firstRefusal +
              1,
          ),
        },
      },
      lines: [
        { name: 'batch-filled-from-numbers', of: 'words', peer: 'flat', reach: 1 },
        { name: 'batch-filled-from-numbers/objects', of: 'words', peer: 'objects', reach: 0.7 },
        { name: 'batch-filled-from-numbers/set', of: 'set', peer: 'flat' },
        { name: 'batch-filled-from-numbers/set-bigints', of: 'setBigints', peer: 'bigints' },
        { name: 'batch-filled-from-numbers/peer-flat', of: 'flat' },
        { name: 'batch-filled-from-numbers/peer-objects', of: 'objects' },
        { name: 'batch-filled-from-numbers/peer-bigints', of: 'bigints' },
      ],
      close: () => world.close(),
    };
  },
};
