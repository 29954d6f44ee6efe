// Measures one RDMA_WRITE through objects: posting it and polling its completion, and as a promise. Compared with an empty native
// call, and with the same work request behind an awaited promise that is already resolved.
import { Connection, PASS, postAndPoll } from './harness/connection.mjs';
import { emptyCall } from './harness/empty-call.mjs';

/** Promises per pass. */
const FEWER = 64;

/** @typedef {import('./harness/rounds.mjs').Work} Work */

/** @type {import('./harness/question.mjs').Question} */
export default {
  name: 'post-poll',
  title: 'One RDMA_WRITE of 64 bytes, random over 1,024 places of one region',
  unit: 'ns/request',
  prepare() {
    const direct = new Connection();
    const ringed = new Connection({ rings: true });
    const promised = new Connection();
    const resolved = new Connection();
    const objects = postAndPoll(direct);
    const ring = postAndPoll(ringed);
    const contenders = {
      objects,
      ring: { ...ring, label: `${ring.label}, completions in a ring` },
      empty: emptyCall(PASS),
      promise: awaitWrite(promised),
      resolved: awaitResolved(resolved),
    };
    objects.run(1);
    direct.verify();
    return {
      contenders,
      lines: [
        { name: 'post-poll', of: 'objects', peer: 'empty', reach: 60 },
        { name: 'post-poll/ring', of: 'ring', peer: 'empty' },
        { name: 'post-poll/await-write', of: 'promise', peer: 'resolved', reach: 2 },
        { name: 'post-poll/peer-empty-call', of: 'empty' },
        { name: 'post-poll/peer-await-resolved', of: 'resolved' },
      ],
      close() {
        for (const connection of [direct, ringed, promised, resolved]) connection.close();
      },
    };
  },
};

/**
 * Awaits one write at a time.
 *
 * @param {Connection} connection
 * @returns {Work}
 */
function awaitWrite({ qp, from, to, bytes: length, local, remote, places }) {
  const { lkey } = from;
  const { rkey } = to;
  let i = 0;
  return {
    label: 'await qp.write(...)',
    task: 'awaited',
    elements: FEWER,
    turn: true,
    async run(passes) {
      let completed = 0;
      for (let left = passes * FEWER; left > 0; left--) {
        const addr = /** @type {bigint} */ (local[i]);
        const remoteAddr = /** @type {bigint} */ (remote[i]);
        const completion = await qp.write({ addr, length, lkey }, { remoteAddr, rkey });
        if (completion.ok) completed++;
        if (++i === places) i = 0;
      }
      return completed;
    },
  };
}

/**
 * Awaits a resolved promise, then posts one write and polls its completion.
 *
 * @param {Connection} connection
 * @returns {Work}
 */
function awaitResolved(connection) {
  const { run } = postAndPoll(connection, 1);
  return {
    label: 'await Promise.resolve(), qp.postSend({ ... }), cq.poll()',
    task: 'awaited',
    elements: FEWER,
    turn: true,
    async run(passes) {
      let completed = 0;
      for (let left = passes * FEWER; left > 0; left--) {
        await Promise.resolve();
        completed += run(1);
      }
      return completed;
    },
  };
}
