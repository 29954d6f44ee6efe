// Two connected queue pairs of one device, a source and a target region with many places, and loops that post work requests. Shared
// by the benchmarks of the verbs.
import { strictEqual } from 'node:assert/strict';

import { Access } from 'rdmavt';

import { openDevice, shuffled } from './world.mjs';

/** Work requests per pass. Each pass continues where the previous one ended. */
export const PASS = 1024;

const REMOTE = Access.RemoteRead | Access.RemoteWrite;

/**
 * @typedef {object} ConnectionOptions
 * @property {number} [bytes] of a place. Default 64
 * @property {number} [places] number of places in each region. Default {@link PASS}
 * @property {number} [cqe] size of the completion queue. Default 1024
 * @property {number} [maxSendWr] Default 64
 * @property {boolean} [rings] whether the completions are in rings, a ring for each side. Default: one queue without a ring for both
 */

/** A queue pair and its peer, and registered memory on both sides, all on one device. */
export class Connection {
  device = openDevice();
  pd = this.device.allocPd();
  cq;
  peerCq;
  qp;
  peer;
  /** Numbers of the places in an order that is random but the same in every run. */
  order;
  /** Addresses of the places in this order, as a program keeps them. */
  local;
  remote;

  /** @param {ConnectionOptions} [options] */
  constructor({ bytes = 64, places = PASS, cqe = 1024, maxSendWr = 64, rings = false } = {}) {
    this.bytes = bytes;
    this.places = places;
    this.cq = rings ? this.device.createCq(cqe, { ring: true }) : this.device.createCq(cqe);
    this.peerCq = rings ? this.device.createCq(cqe, { ring: true }) : this.cq;
    const sizes = { maxSendWr, maxRecvWr: maxSendWr };
    this.qp = this.pd.createQp({ type: 'RC', sendCq: this.cq, ...sizes });
    this.peer = this.pd.createQp({ type: 'RC', sendCq: this.peerCq, ...sizes });
    this.qp.connect(this.peer, { access: REMOTE });
    this.source = new Uint8Array(places * bytes);
    this.target = new Uint8Array(places * bytes);
    for (let i = 0; i < this.source.length; i++) this.source[i] = (i * 31 + (i >> 8) * 7) & 0xff;
    this.from = this.pd.regUserMr(this.source, { access: Access.LocalWrite | REMOTE });
    this.to = this.pd.regUserMr(this.target, { access: Access.LocalWrite | REMOTE });
    this.order = shuffled(places);
    this.local = this.order.map((place) => this.from.start + BigInt(place * bytes));
    this.remote = this.order.map((place) => this.to.iova + BigInt(place * bytes));
  }

  /** Verifies that the target has the bytes of the source, and clears it. */
  verify() {
    strictEqual(Buffer.compare(this.target, this.source), 0, 'wrong bytes arrived');
    this.target.fill(0);
  }

  close() {
    this.device.close({ cascade: true });
  }
}

/**
 * Returns a contender that posts one signaled RDMA_WRITE at a time, as an object, and polls its completion.
 *
 * @param {Connection} connection
 * @param {number} [pass] work requests per pass
 * @param {readonly import('rdmavt').QueuePair<'RC'>[]} [qps] used in turn; their completions go to the queue of the connection
 */
export function postAndPoll(connection, pass = PASS, qps = [connection.qp]) {
  const { cq, from, to, bytes: length, local, remote, places } = connection;
  const { lkey } = from;
  const { rkey } = to;
  let i = 0;
  let next = 0;
  return {
    label: `qp.postSend({ ... }), cq.poll(), RDMA_WRITE of ${length} bytes`,
    elements: pass,
    turn: true,
    /** @param {number} passes */
    run(passes) {
      let completed = 0;
      for (let left = passes * pass; left > 0; left--) {
        const qp = /** @type {(typeof qps)[number]} */ (qps[next]);
        const addr = /** @type {bigint} */ (local[i]);
        const remoteAddr = /** @type {bigint} */ (remote[i]);
        qp.postSend({
          opcode: 'RDMA_WRITE',
          wrId: i,
          sges: [{ addr, length, lkey }],
          remoteAddr,
          rkey,
          signaled: true,
        });
        const [completion] = cq.poll(1);
        if (completion?.ok && completion.wrId === i) completed++;
        if (++i === places) i = 0;
        if (++next === qps.length) next = 0;
      }
      return completed;
    },
  };
}
