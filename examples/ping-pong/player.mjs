// One of the two threads. The first one sends a numbered message, waits for its return and measures the time; the second one
// sends every message back.
import { parentPort, workerData } from 'node:worker_threads';

import { Access, Device } from 'rdmavt';

import { connect } from './connection.mjs';

/**
 * After this many polls that found nothing, a thread naps, so that the other thread can run on a machine with one processor. The
 * polls must take much longer than a nap. Otherwise each thread would only wait for the end of the other thread's nap.
 */
const PATIENCE = 5000;

/** Length of a nap in milliseconds. */
const NAP = 0.05;

/** wr_ids of the two kinds of work requests. */
const RECEIVE = 1;
const SEND = 2;

/**
 * @typedef {object} Task
 * @property {string} token of the device
 * @property {number} pd id of the protection domain
 * @property {import('node:worker_threads').MessagePort} port to the other player
 * @property {boolean} isFirst whether this player sends first
 * @property {number} rounds
 * @property {number} size of a message in bytes
 */

/** @type {Task} */
const { token, pd: pdId, port, isFirst, rounds, size } = workerData;

/**
 * Sends a value to the other player and returns what the other player sends at the same point of its program.
 *
 * @param {unknown} value
 */
function exchange(value) {
  return new Promise((resolve) => {
    port.once('message', resolve);
    port.postMessage(value);
  });
}

/** A queue pair that is connected with the other player's, and its two buffers of one message each. */
class Connection {
  device = Device.attach(token);
  pd = this.device.importPd(pdId);
  /** The completions are in shared memory, so a poll that finds none costs no native call. */
  cq = this.device.createCq(16, { ring: true });
  qp = this.pd.createQp({ type: 'RC', sendCq: this.cq, maxSendWr: 4, maxRecvWr: 4 });
  /** The other thread may be the one that copies, so the bytes must be in memory that both threads can access. */
  memory = new Uint8Array(new SharedArrayBuffer(2 * size));
  outbox = this.memory.subarray(0, size);
  inbox = this.memory.subarray(size);
  mr = this.pd.regUserMr(this.memory, { access: Access.LocalWrite });
  #receive = {
    wrId: RECEIVE,
    sges: [{ addr: this.mr.start + BigInt(size), length: size, lkey: this.mr.lkey }],
  };
  /** @type {import('rdmavt').SendWorkRequest<'RC'>} */
  #send = {
    opcode: 'SEND',
    wrId: SEND,
    sges: [{ addr: this.mr.start, length: size, lkey: this.mr.lkey }],
  };
  #nap = new Int32Array(new SharedArrayBuffer(4));

  async open() {
    const peer = await exchange(this.qp.qpn);
    connect(this.qp, Number(peer));
    // Two, so that one receive is ready for the next message while the other is posted again.
    this.qp.postRecv([this.#receive, this.#receive]);
    await exchange('ready'); // both have posted receives, so no message meets a queue without one
  }

  /** Sends the outbox. The send is not signaled: it has a completion only if it fails. */
  send() {
    this.qp.postSend(this.#send);
  }

  /** Waits for a message by polling. */
  receive() {
    for (let polls = 1; ; polls++) {
      const [completion] = this.cq.poll(1);
      if (completion !== undefined) {
        if (!completion.ok) throw new Error(completion.explain());
        return;
      }
      if (polls % PATIENCE === 0) Atomics.wait(this.#nap, 0, 0, NAP);
    }
  }

  /** Posts a receive in place of the one that the last message has used. */
  repost() {
    this.qp.postRecv(this.#receive);
  }

  close() {
    this.qp.destroy();
    this.cq.destroy();
    this.mr.dereg();
    this.device.detach();
  }
}

/**
 * Writes the number of a round trip into all bytes of a message.
 *
 * @param {Uint8Array} message
 * @param {number} round
 */
function mark(message, round) {
  message.fill(round + (round >>> 8) + (round >>> 16));
}

/**
 * @param {Uint8Array} sent
 * @param {Uint8Array} returned
 */
function expectSame(sent, returned) {
  if (Buffer.compare(sent, returned) !== 0) throw new Error('a message came back changed');
}

/** @param {Connection} connection */
function firstByRdma(connection) {
  const { outbox, inbox } = connection;
  const times = new Float64Array(rounds);
  for (let round = 0; round < rounds; round++) {
    mark(outbox, round);
    const begin = performance.now();
    connection.send();
    connection.receive();
    times[round] = (performance.now() - begin) * 1000;
    connection.repost();
    expectSame(outbox, inbox);
  }
  return times;
}

/** @param {Connection} connection */
function secondByRdma(connection) {
  const { outbox, inbox } = connection;
  for (let round = 0; round < rounds; round++) {
    connection.receive();
    outbox.set(inbox); // the first player sends no further message before it has this one
    connection.send();
    connection.repost();
  }
}

async function firstByMessage() {
  const times = new Float64Array(rounds);
  const sent = new Uint8Array(size);
  for (let round = 0; round < rounds; round++) {
    mark(sent, round);
    const begin = performance.now();
    const returned = await exchange(sent);
    times[round] = (performance.now() - begin) * 1000;
    expectSame(sent, /** @type {Uint8Array} */ (returned));
  }
  return times;
}

function secondByMessage() {
  let left = rounds;
  return new Promise((resolve) => {
    port.on('message', function answer(message) {
      port.postMessage(message);
      if (--left > 0) return;
      port.off('message', answer);
      resolve(undefined);
    });
  });
}

const connection = new Connection();
await connection.open();
if (isFirst) {
  const rdma = firstByRdma(connection);
  const message = await firstByMessage();
  await exchange('done'); // the other queue pair must exist until its last message has arrived
  parentPort?.postMessage({ rdma, message });
} else {
  secondByRdma(connection);
  await secondByMessage();
  await exchange('done');
}
connection.close();
port.close();
