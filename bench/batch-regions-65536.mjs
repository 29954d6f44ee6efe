// Measures whether the number of regions matters: the same batches over 65,536 regions and over one region.
import { Access } from 'rdmavt';

import { FlatTable } from './harness/peers.mjs';
import { agreeOnVerdicts } from './harness/verify.mjs';
import { BITS, PD, viewsOf, World } from './harness/world.mjs';

const BATCH = 256;
const ELEMENTS = 65_536;

/** @typedef {import('./harness/question.mjs').Contender} Contender */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'batch-regions-65536',
  title: 'Batches of 256 SGEs already packed by the caller, random over 65,536 regions, and over one region',
  unit: 'ns/element',
  prepare() {
    agreeOnVerdicts(65_536);
    const many = new World(65_536);
    const one = new World(1);
    return {
      contenders: {
        many: subject(many, 'checkPacked(sges), 65,536 regions'),
        one: subject(one, 'checkPacked(sges), one region'),
        flatMany: peer(many, 'JavaScript, flat table, 65,536 regions'),
        flatOne: peer(one, 'JavaScript, flat table, one region'),
      },
      lines: [
        { name: 'batch-regions-65536', of: 'many', peer: 'one', reach: 1.5 },
        { name: 'batch-regions-65536/flat', of: 'many', peer: 'flatMany' },
        { name: 'batch-regions-65536/one-region', of: 'one', peer: 'flatOne' },
        { name: 'batch-regions-65536/peer-flat', of: 'flatMany', peer: 'flatOne' },
        { name: 'batch-regions-65536/peer-flat-one-region', of: 'flatOne' },
      ],
      close() {
        many.close();
        one.close();
      },
    };
  },
};

/**
 * Checks all elements with a native batch.
 *
 * @param {World} world
 * @param {string} label
 * @returns {Contender}
 */
function subject(world, label) {
  const views = viewsOf(world.work(ELEMENTS), BATCH);
  const batch = world.pd.lkeyBatch(BATCH);
  return {
    label,
    elements: ELEMENTS,
    run(passes) {
      let passed = 0;
      for (let pass = 0; pass < passes; pass++) {
        for (const sges of views)
          passed += batch.checkPacked(sges, Access.LocalWrite) + batch.firstRefusal + 1;
      }
      return passed;
    },
  };
}

/**
 * Checks all elements in JavaScript.
 *
 * @param {World} world
 * @param {string} label
 * @returns {Contender}
 */
function peer(world, label) {
  const { packed } = world.work(ELEMENTS);
  const flat = new FlatTable(BITS, world.entries);
  return {
    label,
    elements: ELEMENTS,
    run(passes) {
      let passed = 0;
      for (let pass = 0; pass < passes; pass++) {
        for (let first = 0; first < ELEMENTS; first += BATCH) {
          passed += flat.checkPacked(packed, first, BATCH, PD, Access.LocalWrite) + flat.firstRefusal + 1;
        }
      }
      return passed;
    },
  };
}
