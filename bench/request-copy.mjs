// Measures a complete request through the facade: acquire, copy the bytes, put. Compared with a plain copy of the same bytes
// through existing typed arrays.
import { strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { PASS, requestsOf } from './harness/requests.mjs';
import { agreeOnSingleVerdicts } from './harness/verify.mjs';
import { World } from './harness/world.mjs';

const COUNT = 4096;

/** @type {[bytes: number, name: string, label: string, reach: number | undefined][]} */
const SIZES = [
  [4096, '4k', '4 KiB', 4.5],
  [64, '64', '64 bytes', undefined],
];

/** @typedef {import('./harness/question.mjs').Line} Line */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'request-copy',
  title: 'One request acquired, copied and put, random over 1,024 regions',
  unit: 'ns/request',
  prepare() {
    agreeOnSingleVerdicts(1024);
    const world = new World(1024, { regionBytes: 8192 });
    world.fill();
    /** @type {Record<string, import('./harness/rounds.mjs').Work>} */
    const contenders = {};
    /** @type {Line[]} */
    const lines = [];
    for (const [bytes, name, label, reach] of SIZES) {
      const { read, readPlain, write, writePlain } = fourWays(world, bytes, label);
      contenders[`read-${name}`] = read;
      contenders[`set-out-${name}`] = readPlain;
      contenders[`write-${name}`] = write;
      contenders[`set-in-${name}`] = writePlain;
      const goal = reach === undefined ? {} : { reach };
      lines.push(
        { name: `request-copy/read-${name}`, of: `read-${name}`, peer: `set-out-${name}`, ...goal },
        { name: `request-copy/write-${name}`, of: `write-${name}`, peer: `set-in-${name}`, ...goal },
        { name: `request-copy/read-${name}-peer-set`, of: `set-out-${name}` },
        { name: `request-copy/write-${name}-peer-set`, of: `set-in-${name}` },
      );
    }
    return { contenders, lines, close: () => world.close() };
  },
};

/**
 * Returns four contenders for one size: read and write through the facade, and the same copies without checks.
 *
 * @param {World} world
 * @param {number} bytes
 * @param {string} label
 */
function fourWays(world, bytes, label) {
  const { pd, qp, memory, entries } = world;
  const { addresses, lengths, keys } = requestsOf(world, { count: COUNT, bytes });
  const first = BigInt(entries[0]?.base ?? 0);
  /** Existing typed arrays over the bytes that the requests name. */
  const views = Array.from({ length: COUNT }, (_, k) => {
    const at = Number(addresses[k] - first);
    return new Uint8Array(memory.buffer, memory.byteOffset + at, bytes);
  });
  const last = bytes - 1;
  /** @type {Uint8Array & import('./harness/peers.mjs').Numbers} */
  const target = new Uint8Array(bytes);
  /** @type {Uint8Array & import('./harness/peers.mjs').Numbers} */
  const plainTarget = new Uint8Array(bytes);
  const source = Uint8Array.from({ length: bytes }, (_, k) => (k * 7 + (k >> 6)) & 0xff);

  /** @param {number} k @returns {number} the number of copied bytes */
  const read = (k) => {
    const answer = qp.acquire({ vaddr: addresses[k], length: lengths[k], rkey: keys[k] }, Access.RemoteRead);
    if (!answer.ok) return 0;
    const moved = answer.sge.copyTo(target);
    answer.sge.put();
    return moved;
  };
  /** @param {number} k @returns {number} the number of copied bytes */
  const write = (k) => {
    const answer = pd.acquire({ addr: addresses[k], length: lengths[k], lkey: keys[k] }, Access.LocalWrite);
    if (!answer.ok) return 0;
    const moved = answer.sge.copyFrom(source);
    answer.sge.put();
    return moved;
  };
  agree(views, { read, write, target, source });

  /** @param {string} what @param {string} task @param {(k: number) => number} copy @returns {import('./harness/rounds.mjs').Work} */
  const contender = (what, task, copy) => {
    let k = 0;
    return {
      label: `${what}, ${label}`,
      task: `${task}-${bytes}`,
      elements: PASS,
      turn: true,
      run(passes) {
        let sum = 0;
        for (let left = passes * PASS; left > 0; left--) {
          sum += copy(k);
          if (++k === COUNT) k = 0;
        }
        return sum;
      },
    };
  };
  return {
    read: contender('qp.acquire, sge.copyTo, sge.put', 'read', (k) => read(k) + (target[last] & 0)),
    readPlain: contender('Uint8Array.set of the same bytes', 'read', (k) => {
      plainTarget.set(/** @type {Uint8Array} */ (views[k]));
      return bytes + (plainTarget[last] & 0);
    }),
    write: contender('pd.acquire, sge.copyFrom, sge.put', 'write', write),
    writePlain: contender('Uint8Array.set of the same bytes', 'write', (k) => {
      /** @type {Uint8Array} */ (views[k]).set(source);
      return bytes;
    }),
  };
}

/**
 * Verifies that both ways copy the same bytes for every request. Restores the memory afterwards.
 *
 * @param {readonly Uint8Array[]} views
 * @param {{ read: (k: number) => number, write: (k: number) => number, target: Uint8Array, source: Uint8Array }} ways
 */
function agree(views, { read, write, target, source }) {
  for (const [k, view] of views.entries()) {
    strictEqual(read(k), view.length);
    strictEqual(Buffer.compare(target, view), 0, `request ${k} read wrong bytes`);
    const before = Buffer.from(view);
    strictEqual(write(k), view.length);
    strictEqual(Buffer.compare(view, source), 0, `request ${k} wrote wrong bytes`);
    view.set(before);
  }
}
