// Loops that post packed work requests in batches and read completions from a ring. Shared by the benchmarks of the verbs.
import { strictEqual } from 'node:assert/strict';

import { Connection, PASS } from './connection.mjs';

/** Work requests per batch. Only the last one is signaled. */
export const BATCH = 256;

/** @typedef {import('./rounds.mjs').Work} Work */
/** @typedef {'RDMA_WRITE' | 'RDMA_READ'} OneSided */

/**
 * Opens a connection whose completions are in rings.
 *
 * @param {number} bytes of a place
 * @param {number} [places] a multiple of {@link PASS}
 */
export function openRings(bytes, places = PASS) {
  return new Connection({ bytes, places, maxSendWr: BATCH, rings: true });
}

/**
 * Returns numbers instead of bigints. The addresses of the benchmarks are below 2^53.
 *
 * @param {readonly bigint[]} addresses
 */
const numbers = (addresses) => Float64Array.from(addresses, Number);

/** @param {import('rdmavt').CompletionQueue} cq */
function ringOf(cq) {
  if (!cq.ring) throw new Error('the completion queue has no ring');
  return cq.ring;
}

/**
 * Takes the waiting completions and returns how many succeeded.
 *
 * @param {import('rdmavt').CompletionRing} ring
 */
function take(ring) {
  let succeeded = 0;
  while (ring.next()) if (ring.ok) succeeded++;
  return succeeded;
}

/**
 * Returns a contender that posts RDMA_WRITEs or RDMA_READs in batches.
 *
 * @param {Connection} connection
 * @param {OneSided} opcode
 * @param {object} [options]
 * @param {boolean} [options.prefilled] the slots of a pass are filled once, before the measurement. Default: the program sets the local and
 *   the remote address of each work request before it is posted
 * @returns {Work}
 */
export function batches(connection, opcode, { prefilled = false } = {}) {
  const { qp, cq, from, to, bytes: length, order, places } = connection;
  const ring = ringOf(cq);
  const reads = opcode === 'RDMA_READ';
  // A read also moves the bytes from the source to the target; the source is the remote side then.
  const [near, far] = reads ? [to, from] : [from, to];
  const local = numbers(order.map((place) => near.start + BigInt(place * length)));
  const remote = numbers(order.map((place) => far.iova + BigInt(place * length)));
  const { lkey } = near;
  const { rkey } = far;
  const sends = qp.sendQueue(prefilled ? PASS : BATCH);
  for (let i = 0; i < sends.capacity; i++) {
    sends.fill(i, {
      opcode,
      sges: [{ addr: BigInt(local[i] ?? 0), length, lkey }],
      remoteAddr: remote[i] ?? 0,
      rkey,
      signaled: i % BATCH === BATCH - 1,
    });
  }
  const how = prefilled ? 'slots filled before' : 'addresses set for each';
  let at = 0;
  return {
    label: `${opcode} of ${length.toLocaleString('en')} bytes, ${how}`,
    task: 'one-sided',
    elements: PASS,
    run(passes) {
      let succeeded = 0;
      for (let left = passes; left > 0; left--) {
        for (let first = 0; first < PASS; first += BATCH) {
          if (prefilled) {
            succeeded += sends.post(BATCH, first);
          } else {
            for (let i = 0; i < BATCH; i++) {
              sends.setLocal(i, /** @type {number} */ (local[at + i]), length, lkey);
              sends.setRemote(i, /** @type {number} */ (remote[at + i]), rkey);
            }
            succeeded += sends.post(BATCH);
            at += BATCH;
            if (at === places) at = 0;
          }
          succeeded += take(ring);
        }
      }
      return succeeded;
    },
  };
}

/**
 * Returns a contender that sends messages in batches. The peer posts a receive for each message before, and takes the completion
 * of each.
 *
 * @param {Connection} connection
 * @returns {Work}
 */
export function messages({ qp, cq, peer, peerCq, from, to, bytes: length, order }) {
  const ring = ringOf(cq);
  const peerRing = ringOf(peerCq);
  const local = numbers(order.map((place) => from.start + BigInt(place * length)));
  const target = numbers(order.map((place) => to.start + BigInt(place * length)));
  const { lkey } = from;
  const { lkey: peerLkey } = to;
  const sends = qp.sendQueue(BATCH);
  const receives = peer.recvQueue(BATCH);
  for (let i = 0; i < BATCH; i++) {
    sends.fill(i, { opcode: 'SEND', sges: [{ addr: from.start, length, lkey }], signaled: i === BATCH - 1 });
    receives.fill(i, { wrId: i, sges: [{ addr: to.start, length, lkey: peerLkey }] });
  }
  return {
    label: `SEND of ${length} bytes into receives, addresses set for each`,
    task: 'send',
    elements: PASS,
    run(passes) {
      let succeeded = 0;
      for (let left = passes; left > 0; left--) {
        for (let first = 0; first < PASS; first += BATCH) {
          for (let i = 0; i < BATCH; i++) {
            receives.setLocal(i, /** @type {number} */ (target[first + i]), length, peerLkey);
          }
          succeeded += receives.post(BATCH);
          for (let i = 0; i < BATCH; i++) {
            sends.setLocal(i, /** @type {number} */ (local[first + i]), length, lkey);
          }
          succeeded += sends.post(BATCH);
          succeeded += take(ring) + take(peerRing);
        }
      }
      return succeeded;
    },
  };
}

/**
 * Returns a contender that copies the same bytes between the same places with existing typed arrays.
 *
 * @param {Connection} connection
 * @returns {Work}
 */
export function copies({ source, target, bytes: length, order, places }) {
  const from = order.map((place) => source.subarray(place * length, (place + 1) * length));
  const to = order.map((place) => target.subarray(place * length, (place + 1) * length));
  let i = 0;
  return {
    label: `Uint8Array.set of the same ${length.toLocaleString('en')} bytes`,
    task: 'set',
    elements: PASS,
    run(passes) {
      let copied = 0;
      for (let left = passes * PASS; left > 0; left--) {
        const bytes = /** @type {Uint8Array} */ (to[i]);
        bytes.set(/** @type {Uint8Array} */ (from[i]));
        copied += bytes.length + ((bytes[length - 1] ?? 0) & 0);
        if (++i === places) i = 0;
      }
      return copied;
    },
  };
}

/**
 * Lets a contender use each place once, and verifies that all bytes arrived and all work requests succeeded.
 *
 * @param {Connection} connection
 * @param {Work} work
 * @param {number} expected result of a pass
 */
export function verify(connection, work, expected) {
  const passes = connection.places / PASS;
  strictEqual(work.run(passes), expected * passes, work.label);
  connection.verify();
}
