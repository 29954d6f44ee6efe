// Measures reading a block store over RDMA, block by block in random order, like examples/block-store. Both sides check each
// access: the target checks the peer's request, the initiator the element that receives the response. Compared with a plain copy
// of the same blocks.
import { strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { openDevice, shuffled } from './harness/world.mjs';

const BLOCK = 4096;
const BATCH = 16;
const BYTES = 2 ** 26;
const BLOCKS = BYTES / BLOCK;

/** Blocks per pass. Each pass continues where the previous one ended. */
const PASS = 1024;

/** @typedef {import('./harness/rounds.mjs').Work} Work */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'block-store',
  title: 'Reading a store of 64 MiB in blocks of 4 KiB, in random order',
  unit: 'ns/block',
  prepare() {
    const store = new Store();
    const ways = { single: single(store), batches: batches(store), set: plain(store) };
    for (const { label, run } of Object.values(ways)) {
      store.buffer.fill(1);
      strictEqual(run(BLOCKS / PASS), BYTES, label);
      strictEqual(Buffer.compare(store.buffer, store.content), 0, `${label}: wrong bytes arrived`);
    }
    return {
      contenders: ways,
      lines: [
        { name: 'block-store', of: 'single', peer: 'set', reach: 2 },
        { name: 'block-store/batches-of-16', of: 'batches', peer: 'set', reach: 0.6 },
        { name: 'block-store/peer-set', of: 'set' },
      ],
      close: () => store.close(),
    };
  },
};

/**
 * A target with its store, and an initiator with its receive buffer. Both buffers are written before the measurement, so all
 * pages exist.
 */
class Store {
  content = Buffer.from(new ArrayBuffer(BYTES));
  buffer = Buffer.from(new ArrayBuffer(BYTES));
  targetDevice = openDevice();
  targetPd = this.targetDevice.allocPd();
  qp = this.targetPd.createQp();
  source = this.targetPd.regUserMr(this.content, { access: Access.RemoteRead });
  device = openDevice();
  pd = this.device.allocPd();
  mr = this.pd.regUserMr(this.buffer, { access: Access.LocalWrite });
  offsets = shuffled(BLOCKS).map((block) => block * BLOCK);

  constructor() {
    const words = new Uint32Array(this.content.buffer);
    for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 0x9e37_79b1);
  }

  close() {
    this.device.close({ cascade: true });
    this.targetDevice.close({ cascade: true });
  }
}

/**
 * Reads one block at a time: serves a request into a packet, then copies the packet into a local element.
 *
 * @param {Store} store
 * @returns {Work}
 */
function single({ qp, source, pd, mr, offsets }) {
  const wire = new Uint8Array(64 * 1024);
  const remote = { address: source.iova, rkey: source.rkey };
  /** @param {import('rdmavt').RemoteRequest} request @param {Uint8Array} packet */
  const serve = (request, packet) => {
    const answer = qp.acquire(request, Access.RemoteRead);
    if (!answer.ok) throw new Error(answer.reason);
    const moved = answer.sge.copyTo(packet);
    answer.sge.put();
    return moved;
  };
  /** @param {number} offset */
  const read = (offset) => {
    const packet = wire.subarray(0, BLOCK);
    serve({ vaddr: remote.address + BigInt(offset), length: BLOCK, rkey: remote.rkey }, packet);
    const element = { addr: mr.start + BigInt(offset), length: BLOCK, lkey: mr.lkey };
    const answer = pd.acquire(element, Access.LocalWrite);
    if (!answer.ok) throw new Error(answer.reason);
    const moved = answer.sge.copyFrom(packet);
    answer.sge.put();
    return moved;
  };
  return { ...inTurn(offsets, 1, (first) => read(offsets[first] ?? 0)), label: 'single verbs' };
}

/**
 * Reads sixteen blocks at a time: copies sixteen requests into sixteen local elements in one call.
 *
 * @param {Store} store
 * @returns {Work}
 */
function batches({ qp, source, pd, mr, offsets }) {
  const requests = qp.rkeyBatch(BATCH);
  const elements = pd.lkeyBatch(BATCH);
  const remote = { address: source.iova, rkey: source.rkey };
  /** @param {number} first */
  const read = (first) => {
    const { start, lkey } = mr;
    for (let i = 0; i < BATCH; i++) {
      const distance = BigInt(offsets[first + i] ?? 0);
      requests.set(i, remote.address + distance, BLOCK, remote.rkey);
      elements.set(i, start + distance, BLOCK, lkey);
    }
    return requests.copyTo(elements, BATCH, Access.RemoteRead, BATCH, Access.LocalWrite);
  };
  return { ...inTurn(offsets, BATCH, read), label: 'batches of 16' };
}

/**
 * Copies the blocks without any check.
 *
 * @param {Store} store
 * @returns {Work}
 */
function plain({ content, buffer, offsets }) {
  /** @param {number} first */
  const copy = (first) => {
    const offset = offsets[first] ?? 0;
    buffer.set(content.subarray(offset, offset + BLOCK), offset);
    return BLOCK;
  };
  return { ...inTurn(offsets, 1, copy), label: 'Uint8Array.set of the same blocks' };
}

/**
 * Returns a contender that reads the blocks in the given order.
 *
 * @param {readonly number[]} offsets
 * @param {number} step blocks per call
 * @param {(first: number) => number} read
 * @returns {Omit<Work, 'label'>}
 */
function inTurn(offsets, step, read) {
  let next = 0;
  return {
    elements: PASS,
    turn: true,
    run(passes) {
      let bytes = 0;
      for (let left = passes * PASS; left > 0; left -= step) {
        bytes += read(next);
        next = (next + step) % offsets.length;
      }
      return bytes;
    },
  };
}
