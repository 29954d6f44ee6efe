// How much memory objects of one kind take while a program keeps them: `node object-memory.mjs KIND COUNT` prints the bytes of each that
// became resident, and how many of them are in the engine's heap.
import { fileURLToPath } from 'node:url';

import { Access } from 'rdmavt';

import { runApart } from './own-process.mjs';
import { collect, residentBytes } from './resident.mjs';
import { openDevice } from './world.mjs';

const here = fileURLToPath(import.meta.url);

/** Room for all regions of the kind that has most. */
const BITS = 18;

/** @typedef {keyof typeof makers} Kind */

/**
 * What makes one of each kind, when it is asked to.
 *
 * @satisfies {Record<string, () => () => unknown>}
 */
const makers = {
  region() {
    const pd = openDevice({ lkeyTableBits: BITS }).allocPd();
    const memory = new Uint8Array(4096);
    return () => pd.regUserMr(memory, { access: Access.LocalWrite });
  },
  element() {
    const { pd, region } = openRegion();
    const element = { addr: region.start, length: 4096, lkey: region.lkey };
    return () => {
      const answer = pd.acquire(element, Access.LocalWrite);
      if (!answer.ok) throw new Error(answer.reason);
      return answer.sge;
    };
  },
  /** One of a batch of 1,024 that holds all its elements. */
  batchElements() {
    const { pd, region } = openRegion();
    return () => {
      const batch = pd.lkeyBatch(BATCH);
      for (let i = 0; i < BATCH; i++) batch.set(i, region.start, 4096, region.lkey);
      if (batch.acquire(BATCH, Access.LocalWrite) !== BATCH) throw new Error('the batch is refused');
      return batch;
    };
  },
  domain() {
    const device = openDevice();
    return () => device.allocPd();
  },
  queuePair() {
    const pd = openDevice().allocPd();
    return () => pd.createQp();
  },
  checker() {
    const pd = openDevice().allocPd();
    return () => pd.checker();
  },
  batch() {
    const pd = openDevice().allocPd();
    return () => pd.lkeyBatch(16);
  },
  device() {
    return () => openDevice();
  },
  /** A device with 1,024 regions, whose records random keys put on as many pages of the table. */
  regionsOfDevice() {
    const memory = new Uint8Array(4096);
    return () => {
      const device = openDevice();
      const pd = device.allocPd();
      const regions = Array.from({ length: 1024 }, () => pd.regUserMr(memory));
      return { device, regions };
    };
  },
};

const BATCH = 1024;

function openRegion() {
  const pd = openDevice().allocPd();
  return { pd, region: pd.regUserMr(new Uint8Array(4096), { access: Access.LocalWrite }) };
}

/**
 * @param {Kind} kind
 * @param {number} count
 * @returns {{ resident: number, heap: number }} bytes of each
 */
export function memoryOf(kind, count) {
  return runApart(here, [kind, count]);
}

/**
 * @param {Kind} kind
 * @param {number} count
 */
async function main(kind, count) {
  /** @type {() => unknown} */
  const make = makers[kind]();
  // Those that come first, and their garbage, take what the process needs once.
  /** @type {unknown[]} */
  const kept = [];
  for (let i = 0; i < count / 10; i++) kept.push(make());
  /** @type {unknown[]} */
  const measured = new Array(count).fill(undefined);
  await collect();
  residentBytes();
  const resident = residentBytes();
  const heap = process.memoryUsage().heapUsed;
  for (let i = 0; i < count; i++) measured[i] = make();
  await collect();
  const answer = {
    resident: (residentBytes() - resident) / count,
    heap: (process.memoryUsage().heapUsed - heap) / count,
  };
  if (kept.includes(undefined) || measured.includes(undefined)) throw new Error('one was not made');
  process.stdout.write(JSON.stringify(answer));
}

if (process.argv[1] === here) {
  const [kind, count] = process.argv.slice(2);
  await main(/** @type {Kind} */ (kind), Number(count));
}
