// Measures the wire between two processes on the loopback interface, by an endpoint and by node:net, in turns over connections that
// stay open. `node wire.mjs KIND COUNT` prints the median nanoseconds per message of both, and starts the other process.
//
// The subject uses what a program that wants speed would use: work requests packed in a SendQueue, one signaled of many, and
// completions from a ring, at which it looks once in every turn of the event loop. For round trips it polls the endpoint instead of
// returning to the event loop; they are also measured as promises. The other process only serves, on its event loop.
import { strictEqual } from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

import { Access, Device, Endpoint } from 'rdmavt';

import { runApart } from './own-process.mjs';
import { summary } from './rounds.mjs';

const here = fileURLToPath(import.meta.url);

const ADDRESS = '127.0.0.1';
const PATH_MTU = 4096;
const REMOTE = Access.RemoteRead | Access.RemoteWrite;

/** How many times each contender is measured; they take turns. */
const SLICES = 9;

/** Bytes of the number in front of a request or an answer of the other process: where to read. */
const QUESTION = 8;

/**
 * What is measured.
 *
 * @typedef {object} Traffic
 * @property {number} bytes of a message
 * @property {number} outstanding messages that are sent before the first one's acknowledgement
 * @property {number} group messages that are posted in one call, of which the last one is signaled
 * @property {boolean} [reads] READs one after the other, instead of WRITEs
 */

/** @type {Readonly<Record<string, Traffic>>} */
const kinds = {
  'write-64k': { bytes: 65536, outstanding: 16, group: 2 },
  'write-64': { bytes: 64, outstanding: 256, group: 64 },
  'read-8': { bytes: 8, outstanding: 1, group: 1, reads: true },
};

/** @typedef {keyof typeof kinds} Kind */

/** @typedef {{ rdma: number, awaited: number, net: number }} Figures */

/**
 * Measures in two new processes.
 *
 * @param {Kind} kind
 * @param {number} count messages per slice
 * @returns {Figures} median nanoseconds per message
 */
export function wire(kind, count) {
  return runApart(here, [kind, count]);
}

/** A device with an endpoint, a queue pair and memory for the outstanding messages. */
class End {
  device = new Device();
  endpoint = new Endpoint({ device: this.device, address: ADDRESS, port: 0 });
  cq = this.device.createCq(256, { ring: true });
  pd = this.device.allocPd();
  qp;
  memory;
  mr;

  /** @param {Traffic} traffic */
  constructor({ bytes, outstanding }) {
    this.qp = this.pd.createQp({ type: 'RC', sendCq: this.cq, maxSendWr: Math.max(outstanding, 1) });
    this.memory = Buffer.alloc(bytes * outstanding);
    this.mr = this.pd.regUserMr(this.memory, { access: Access.LocalWrite | REMOTE });
  }

  /** What the other end must know. */
  describe() {
    return {
      peer: this.endpoint.describe(this.qp),
      remoteAddr: Number(this.mr.iova),
      rkey: Number(this.mr.rkey),
    };
  }

  /** @param {ReturnType<End['describe']>} there */
  connect({ peer }) {
    this.qp.connect({ endpoint: this.endpoint, ...peer, pathMtu: PATH_MTU, access: REMOTE });
  }

  close() {
    this.device.close({ cascade: true });
  }
}

/** Fills the memory with bytes that depend on a number, so that old bytes are not taken for new ones. @param {Buffer} memory @param {number} salt */
function stamp(memory, salt) {
  for (let i = 0; i < memory.length; i++) memory[i] = (i * 31 + (i >> 8) * 7 + salt) & 0xff;
}

/**
 * Returns a function that sends messages through the endpoint, as packed work requests.
 *
 * @param {End} end
 * @param {ReturnType<End['describe']>} there
 * @param {Traffic} traffic
 * @returns {(count: number) => Promise<void>}
 */
function packed({ qp, cq, mr }, { remoteAddr, rkey }, { bytes, outstanding, group }) {
  const { ring } = cq;
  if (!ring) throw new Error('the completion queue has no ring');
  const sends = qp.sendQueue(outstanding);
  for (let i = 0; i < outstanding; i++) {
    sends.fill(i, {
      opcode: 'RDMA_WRITE',
      sges: [{ addr: mr.start + BigInt(i * bytes), length: bytes, lkey: mr.lkey }],
      remoteAddr: remoteAddr + i * bytes,
      rkey: /** @type {import('rdmavt').Rkey} */ (rkey),
      signaled: i % group === group - 1,
    });
  }
  return (count) =>
    new Promise((resolve, reject) => {
      let posted = 0;
      let done = 0;
      let slot = 0;
      const post = () => {
        if (sends.post(group, slot) !== group) throw sends.error;
        posted += group;
        slot = (slot + group) % outstanding;
      };
      const look = () => {
        try {
          while (ring.next()) {
            if (!ring.ok) throw new Error(ring.completion().explain());
            done += group;
            if (posted < count) post();
          }
          if (done < count) setImmediate(look);
          else resolve();
        } catch (error) {
          reject(error);
        }
      };
      while (posted < count && posted < outstanding) post();
      look();
    });
}

/** How long a READ's answer is waited for, in microseconds, before the ring is looked at again. */
const PATIENCE = 1000;

/**
 * Returns a function that READs one after the other without a turn of the event loop: it posts, and polls the endpoint until the
 * completion is in the ring.
 *
 * @param {End} end
 * @param {ReturnType<End['describe']>} there
 * @param {Traffic} traffic
 * @returns {(count: number) => Promise<void>}
 */
function polled({ qp, cq, mr, endpoint }, { remoteAddr, rkey }, { bytes }) {
  const { ring } = cq;
  if (!ring) throw new Error('the completion queue has no ring');
  const sends = qp.sendQueue(1);
  sends.fill(0, {
    opcode: 'RDMA_READ',
    sges: [{ addr: mr.start, length: bytes, lkey: mr.lkey }],
    remoteAddr,
    rkey: /** @type {import('rdmavt').Rkey} */ (rkey),
    signaled: true,
  });
  return async (count) => {
    for (let i = 0; i < count; i++) {
      if (sends.post(1) !== 1) throw sends.error;
      while (!ring.next()) endpoint.poll(PATIENCE);
      if (!ring.ok) throw new Error(ring.completion().explain());
    }
  };
}

/**
 * Returns a function that awaits the promise of one READ after the other.
 *
 * @param {End} end
 * @param {ReturnType<End['describe']>} there
 * @param {Traffic} traffic
 * @returns {(count: number) => Promise<void>}
 */
function awaited({ qp, mr }, { remoteAddr, rkey }, { bytes }) {
  const local = { addr: mr.start, length: bytes, lkey: mr.lkey };
  const remote = { remoteAddr, rkey: /** @type {import('rdmavt').Rkey} */ (rkey) };
  return async (count) => {
    for (let i = 0; i < count; i++) await qp.read(local, remote);
  };
}

/**
 * Returns a function that sends the same messages by a socket of node:net. The other process copies them to where the WRITE puts them,
 * and sends a byte for each.
 *
 * @param {import('node:net').Socket} socket
 * @param {Buffer} memory
 * @param {Traffic} traffic
 * @returns {(count: number) => Promise<void>}
 */
function streamed(socket, memory, { bytes, outstanding }) {
  const messages = Array.from({ length: outstanding }, (_, i) => memory.subarray(i * bytes, (i + 1) * bytes));
  return (count) =>
    new Promise((resolve) => {
      let sent = 0;
      let done = 0;
      const send = () => {
        socket.write(/** @type {Buffer} */ (messages[sent % outstanding]));
        sent++;
      };
      socket.on('data', function onAcks(acks) {
        done += acks.length;
        for (let i = acks.length; i > 0 && sent < count; i--) send();
        if (done < count) return;
        socket.off('data', onAcks);
        resolve();
      });
      while (sent < count && sent < outstanding) send();
    });
}

/**
 * Returns a function that asks the other process for the bytes at an offset, and copies its answer to where the READ puts it.
 *
 * @param {import('node:net').Socket} socket
 * @param {Buffer} memory
 * @param {Traffic} traffic
 * @returns {(count: number) => Promise<void>}
 */
function asked(socket, memory, { bytes }) {
  const question = Buffer.alloc(QUESTION);
  return (count) =>
    new Promise((resolve) => {
      let done = 0;
      let got = 0;
      socket.on('data', function onAnswer(answer) {
        got += answer.copy(memory, got);
        if (got < bytes) return;
        got = 0;
        if (++done < count) {
          socket.write(question);
          return;
        }
        socket.off('data', onAnswer);
        resolve();
      });
      socket.write(question);
    });
}

/**
 * Serves node:net as the other process: takes messages, or answers questions.
 *
 * @param {import('node:net').Socket} socket
 * @param {Buffer} memory
 * @param {Traffic} traffic
 */
function serve(socket, memory, { bytes, reads }) {
  const one = Buffer.alloc(4096, 1);
  const question = Buffer.alloc(QUESTION);
  let got = 0;
  let at = 0;
  socket.setNoDelay(true);
  socket.on('data', (chunk) => {
    if (reads) {
      for (let i = 0; i < chunk.length;) {
        const length = chunk.copy(question, got, i, i + QUESTION - got);
        got = (got + length) % QUESTION;
        i += length;
        if (got > 0) continue;
        const offset = question.readDoubleLE(0);
        socket.write(memory.subarray(offset, offset + bytes));
      }
      return;
    }
    for (let i = 0; i < chunk.length;) {
      const length = chunk.copy(memory, at, i);
      at = (at + length) % memory.length;
      i += length;
    }
    got += chunk.length;
    const whole = Math.floor(got / bytes);
    got -= whole * bytes;
    if (whole > 0) socket.write(one.subarray(0, whole));
  });
}

/** The other process. @param {Traffic} traffic */
async function other(traffic) {
  const tell = (/** @type {object} */ message) => process.send?.(message);
  const end = new End(traffic);
  const sink = Buffer.alloc(end.memory.length);
  const server = createServer((socket) => serve(socket, traffic.reads ? end.memory : sink, traffic));
  server.listen(0, ADDRESS);
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  if (traffic.reads) stamp(end.memory, 1);
  tell({ port, ...end.describe() });
  const [there] = await once(process, 'message');
  end.connect(there);
  tell({});
  for (;;) {
    const [message] = await once(process, 'message');
    if (message.end) break;
    // What has arrived by each, for the comparison.
    tell({ written: end.memory.toString('latin1'), sent: sink.toString('latin1') });
    end.memory.fill(0);
    sink.fill(0);
  }
  end.close();
  server.close();
  process.disconnect();
}

/**
 * @param {string} kind
 * @param {number} count
 */
async function main(kind, count) {
  const traffic = kinds[kind];
  if (!traffic) throw new Error(`no traffic is called ${kind}`);
  const child = fork(here, [kind]);
  const end = new End(traffic);
  const ask = async (/** @type {object} */ message) => {
    child.send(message);
    return (await once(child, 'message'))[0];
  };
  const [there] = await once(child, 'message');
  end.connect(there);
  await ask(end.describe());
  const socket = connect(there.port, ADDRESS);
  await once(socket, 'connect');
  socket.setNoDelay(true);
  const read = Buffer.alloc(end.memory.length);
  const whole = Math.ceil(count / traffic.outstanding) * traffic.outstanding;
  const contenders = {
    rdma: traffic.reads ? polled(end, there, traffic) : packed(end, there, traffic),
    ...(traffic.reads ? { awaited: awaited(end, there, traffic) } : {}),
    net: traffic.reads ? asked(socket, read, traffic) : streamed(socket, end.memory, traffic),
  };
  const names = Object.keys(contenders);
  const works = Object.values(contenders);
  const times = names.map(() => /** @type {number[]} */ ([]));
  if (!traffic.reads) stamp(end.memory, 1);
  for (const work of works) await work(traffic.outstanding);
  if (traffic.reads) {
    stamp(read, 1);
  } else {
    const { written, sent } = await ask({});
    strictEqual(written, sent, 'other bytes arrived');
    strictEqual(written, end.memory.toString('latin1'), 'wrong bytes arrived');
  }
  for (const work of works) await work(whole); // until the code is compiled
  for (let slice = 0; slice < SLICES; slice++) {
    for (let k = 0; k < works.length; k++) {
      const i = (k + slice) % works.length;
      const begin = performance.now();
      await works[i]?.(whole);
      times[i]?.push(((performance.now() - begin) * 1e6) / whole);
    }
  }
  const figures = Object.fromEntries(names.map((name, i) => [name, summary(times[i] ?? []).median]));
  if (process.env.WIRE_COUNTERS) console.error(end.endpoint.counters(), figures);
  process.stdout.write(JSON.stringify(figures));
  socket.destroy(); // first: an open connection keeps the other process alive
  child.send({ end: true });
  await once(child, 'exit');
  end.close();
}

const [, script, kind = '', count] = process.argv;
if (script === here) {
  if (count === undefined) await other(/** @type {Traffic} */ (kinds[kind]));
  else await main(kind, Number(count));
}
