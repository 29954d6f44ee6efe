// Measures round trips between two worker threads: by SEND and RECV on one device, each thread polling its own completion ring, and
// by postMessage over a MessageChannel. `node round-trips.mjs ROUNDS` prints the median nanoseconds of both, measured in turns
// between the same two threads.
import { once } from 'node:events';
import { isMainThread, MessageChannel, Worker, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

import { Access, Device } from 'rdmavt';

import { runApart } from './own-process.mjs';
import { summary } from './rounds.mjs';
import { openDevice } from './world.mjs';

const here = fileURLToPath(import.meta.url);

/** Bytes of a message. */
export const BYTES = 64;

/** How many times each kind is measured; the kinds take turns. */
const SLICES = 16;

/**
 * After this many polls that found nothing, a thread naps, so that the other thread can run on a machine with one processor. The
 * polls must take much longer than a nap. Otherwise each thread would only wait for the end of the other thread's nap.
 */
const PATIENCE = 30_000;

/** Length of a nap in milliseconds. */
const NAP = 0.05;

/**
 * Measures in a new process.
 *
 * @param {number} rounds round trips of each kind
 * @returns {{ rdma: number, message: number }} median nanoseconds
 */
export function roundTrips(rounds) {
  return runApart(here, [rounds]);
}

/** @typedef {import('node:worker_threads').MessagePort} MessagePort */

/**
 * What a player is told.
 *
 * @typedef {object} Task
 * @property {string} token
 * @property {number} pd
 * @property {MessagePort} port to the other player
 * @property {boolean} isFirst
 * @property {number} rounds
 */

/** One end of the connection, in one of the threads. */
class Player {
  #port;
  #device;
  #cq;
  #qp;
  #mr;
  #ring;
  #sends;
  #receives;
  #nap = new Int32Array(new SharedArrayBuffer(4));

  /** @param {Task} task */
  constructor({ token, pd, port }) {
    this.#port = port;
    this.#device = Device.attach(token);
    const domain = this.#device.importPd(pd);
    this.#cq = this.#device.createCq(16, { ring: true });
    this.#ring = this.#cq.ring;
    this.#qp = domain.createQp({ type: 'RC', sendCq: this.#cq });
    // The other thread may be the one that copies, so the bytes are in shared memory.
    this.#mr = domain.regUserMr(new SharedArrayBuffer(2 * BYTES), { access: Access.LocalWrite });
    const { start, lkey } = this.#mr;
    const sges = [{ addr: start, length: BYTES, lkey }];
    this.#sends = this.#qp.sendQueue(1);
    this.#sends.fill(0, { opcode: 'SEND', sges });
    this.#receives = this.#qp.recvQueue(1);
    this.#receives.fill(0, { sges: [{ addr: start + BigInt(BYTES), length: BYTES, lkey }] });
  }

  async connect() {
    const destQpn = Number(await this.exchange(this.#qp.qpn));
    this.#qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
    this.#qp.modify({
      state: 'RTR',
      av: { dlid: 1 },
      pathMtu: 4096,
      destQpn,
      rqPsn: 0,
      maxDestRdAtomic: 0,
      minRnrTimer: 1,
    });
    this.#qp.modify({ state: 'RTS', sqPsn: 0, timeout: 14, retryCnt: 7, rnrRetry: 7, maxRdAtomic: 0 });
    // Two, so that one receive is ready for the next message while the other is posted again.
    this.repost();
    this.repost();
    await this.exchange('ready');
  }

  /**
   * Sends a value to the other player and returns the value that the other player sends.
   *
   * @param {unknown} value
   */
  exchange(value) {
    return new Promise((resolve) => {
      this.#port.once('message', resolve);
      this.#port.postMessage(value);
    });
  }

  send() {
    if (this.#sends.post(1) !== 1) throw this.#sends.error;
  }

  receive() {
    for (let polls = 1; !this.#ring.next(); polls++) {
      if (polls % PATIENCE === 0) Atomics.wait(this.#nap, 0, 0, NAP);
    }
    if (!this.#ring.ok) throw new Error(this.#ring.completion().explain());
  }

  /** Posts a receive in place of the one that the last message has used. */
  repost() {
    if (this.#receives.post(1) !== 1) throw this.#receives.error;
  }

  close() {
    this.#qp.destroy();
    this.#cq.destroy();
    this.#mr.dereg();
    this.#device.detach();
    this.#port.close();
  }
}

/** @param {Task} task */
async function play(task) {
  const player = new Player(task);
  const { port, isFirst, rounds } = task;
  const each = Math.ceil(rounds / SLICES);
  /** @type {number[]} */
  const rdma = [];
  /** @type {number[]} */
  const message = [];
  await player.connect();
  for (let slice = 0; slice < SLICES; slice++) {
    await player.exchange('begin');
    for (let i = 0; i < each; i++) {
      const begin = performance.now();
      if (isFirst) player.send();
      player.receive();
      if (!isFirst) player.send();
      player.repost();
      rdma.push(performance.now() - begin);
    }
    await player.exchange('messages');
    if (isFirst) {
      for (let i = 0; i < each; i++) {
        const begin = performance.now();
        await player.exchange(i);
        message.push(performance.now() - begin);
      }
    } else {
      await answerAll(port, each);
    }
  }
  player.close();
  return { rdma: summary(rdma).median * 1e6, message: summary(message).median * 1e6 };
}

/**
 * Returns each message to its sender.
 *
 * @param {MessagePort} port
 * @param {number} count
 */
function answerAll(port, count) {
  return new Promise((resolve) => {
    let left = count;
    port.on('message', function answer(value) {
      port.postMessage(value);
      if (--left > 0) return;
      port.off('message', answer);
      resolve(undefined);
    });
  });
}

/** @param {number} rounds */
async function main(rounds) {
  const device = openDevice();
  const pd = device.allocPd();
  const { port1, port2 } = new MessageChannel();
  const { port1: result, port2: to } = new MessageChannel();
  const players = [port1, port2].map((port, i) => {
    const isFirst = i === 0;
    const task = { token: device.share(), pd: pd.id, port, isFirst, rounds, ...(isFirst ? { to } : {}) };
    return new Worker(here, { workerData: task, transferList: isFirst ? [port, to] : [port] });
  });
  const [figures] = await Promise.all([
    new Promise((resolve) => result.once('message', resolve)),
    ...players.map((player) => once(player, 'exit')),
  ]);
  pd.dealloc();
  device.close();
  process.stdout.write(JSON.stringify(figures));
}

if (!isMainThread && workerData?.isFirst !== undefined) {
  const figures = await play(workerData);
  workerData.to?.postMessage(figures);
  workerData.to?.close();
} else if (process.argv[1] === here) {
  await main(Number(process.argv[2]));
}
