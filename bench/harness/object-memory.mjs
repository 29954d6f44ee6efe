// Measures the memory of objects of one kind while the program keeps them: `node object-memory.mjs KIND COUNT` prints the
// resident bytes per object, and the bytes per object in V8's heap.
import { fileURLToPath } from 'node:url';

import { Access } from 'rdmavt';

import { runApart } from './own-process.mjs';
import { collect, residentBytes } from './resident.mjs';
import { openDevice } from './world.mjs';

const here = fileURLToPath(import.meta.url);

/** Key table size in bits, large enough for the kind with the most regions. */
const BITS = 18;

/** @typedef {keyof typeof makers} Kind */

/**
 * For each kind, prepares what is needed and returns a function that creates one object.
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
  /** A batch that holds references to all of its 1,024 elements. */
  batchElements() {
    const { pd, region } = openRegion();
    return () => {
      const batch = pd.lkeyBatch(BATCH);
      for (let i = 0; i < BATCH; i++) batch.set(i, region.start, 4096, region.lkey);
      if (batch.acquire(BATCH, Access.LocalWrite) !== BATCH) throw new Error('the batch was refused');
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
  /** A queue pair with queues, connected with itself. */
  unusedQueuePair() {
    const { connect } = openConnections();
    return connect;
  },
  usedQueuePair() {
    const { cq, connect, request } = openConnections();
    return () => {
      const qp = connect();
      qp.postSend(request);
      if (!cq.poll(1)[0]?.ok) throw new Error('the work request failed');
      return qp;
    };
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
  /** A device with 1,024 regions. Random keys spread their records over about as many pages of the key table. */
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

function openConnections() {
  const device = openDevice();
  const pd = device.allocPd();
  const cq = device.createCq(16);
  const access = Access.RemoteWrite;
  const mr = pd.regUserMr(new Uint8Array(64), { access: Access.LocalWrite | access });
  const connect = () => {
    const qp = pd.createQp({ type: 'RC', sendCq: cq });
    qp.connect(qp, { access });
    return qp;
  };
  const sges = [{ addr: mr.start, length: 64, lkey: mr.lkey }];
  const request = {
    opcode: /** @type {const} */ ('RDMA_WRITE'),
    sges,
    remoteAddr: mr.iova,
    rkey: mr.rkey,
    signaled: true,
  };
  return { cq, connect, request };
}

/**
 * Measures objects of one kind in a new process.
 *
 * @param {Kind} kind
 * @param {number} count
 * @returns {{ resident: number, heap: number }} bytes per object
 */
export function memoryOf(kind, count) {
  return runApart(here, [kind, count]);
}

/**
 * Measures objects of one kind in this process and prints the figures.
 * @param {Kind} kind
 * @param {number} count
 */
async function main(kind, count) {
  /** @type {() => unknown} */
  const make = makers[kind]();
  // Create some objects first, so that memory that the process needs only once is already allocated.
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
  if (kept.includes(undefined) || measured.includes(undefined)) throw new Error('an object was not created');
  process.stdout.write(JSON.stringify(answer));
}

if (process.argv[1] === here) {
  const [kind, count] = process.argv.slice(2);
  await main(/** @type {Kind} */ (kind), Number(count));
}
