// Measures checking SGEs that already lie packed in memory: batches of 256 over 1,024 regions.
import { Access } from 'rdmavt';

import { BigIntTable, FlatTable, ObjectTable } from './harness/peers.mjs';
import { agreeOnVerdicts } from './harness/verify.mjs';
import { batchesOf, BITS, PD, viewsOf, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 65_536;

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'batch-nothing-filled',
  title: 'Batches of 256 SGEs already packed by the caller, random over 1,024 regions',
  unit: 'ns/element',
  prepare() {
    agreeOnVerdicts(1024);
    const world = new World(1024);
    const work = world.work(ELEMENTS);
    const { packed, keys } = work;
    const batches = batchesOf(work, BATCH, (capacity) => world.pd.lkeyBatch(capacity));
    const remote = batchesOf(work, BATCH, (capacity) => world.qp.rkeyBatch(capacity));
    const views = viewsOf(work, BATCH);
    const empty = world.pd.lkeyBatch(1);
    const flat = new FlatTable(BITS, world.entries);
    const objects = new ObjectTable(BITS, world.entries);
    const bigints = new BigIntTable(BITS, world.entries);
    const addresses = BigUint64Array.from(work.addresses, BigInt);
    const lengths = BigUint64Array.from(work.lengths, BigInt);

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
        batch: {
          label: 'check(count)',
          elements: ELEMENTS,
          run(passes) {
            let passed = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (const batch of batches)
                passed += batch.check(BATCH, Access.LocalWrite) + batch.firstRefusal + 1;
            }
            return passed;
          },
        },
        callersBuffer: {
          label: "checkPacked(sges) in the caller's buffer",
          elements: ELEMENTS,
          run(passes) {
            let passed = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (const sges of views)
                passed += empty.checkPacked(sges, Access.LocalWrite) + empty.firstRefusal + 1;
            }
            return passed;
          },
        },
        remote: {
          label: 'check(count) of remote requests',
          elements: ELEMENTS,
          run(passes) {
            let passed = 0;
            for (let pass = 0; pass < passes; pass++) {
              for (const batch of remote)
                passed += batch.check(BATCH, Access.RemoteWrite) + batch.firstRefusal + 1;
            }
            return passed;
          },
        },
        flat: {
          label: 'JavaScript, flat table',
          elements: ELEMENTS,
          run: sweep(
            (first) => flat.checkPacked(packed, first, BATCH, PD, Access.LocalWrite) + flat.firstRefusal + 1,
          ),
        },
        objects: {
          label: 'JavaScript, one object per region',
          elements: ELEMENTS,
          run: sweep(
            (first) =>
              objects.checkPacked(packed, first, BATCH, PD, Access.LocalWrite) + objects.firstRefusal + 1,
          ),
        },
        bigints: {
          label: 'JavaScript, bigints and a Map',
          elements: ELEMENTS,
          run: sweep(
            (first) =>
              bigints.check(addresses, lengths, keys, first, BATCH, PD, Access.LocalWrite) +
              bigints.firstRefusal +
              1,
          ),
        },
      },
      lines: [
        // The target is for SGEs checked in the caller's buffer, because the batch's own block would have to be filled first.
        { name: 'batch-nothing-filled', of: 'callersBuffer', peer: 'flat', reach: 0.5 },
        { name: 'batch-nothing-filled/block', of: 'batch', peer: 'flat' },
        { name: 'batch-nothing-filled/remote', of: 'remote', peer: 'flat' },
        { name: 'batch-nothing-filled/peer-flat', of: 'flat' },
        { name: 'batch-nothing-filled/peer-objects', of: 'objects' },
        { name: 'batch-nothing-filled/peer-bigints', of: 'bigints' },
      ],
      close: () => world.close(),
    };
  },
};
