/**
 * Serves the programs of perftest as clients: `ib_write_bw`, `ib_write_lat`, `ib_read_bw`, `ib_read_lat`, `ib_send_bw`, `ib_send_lat`,
 * `ib_atomic_bw` and `ib_atomic_lat`. What they ask of their server: memory that they write, read and change; receives; messages back,
 * as SEND or as WRITE.
 */
import { type Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { Access } from '../verbs/access';
import { type Device } from '../verbs/device';
import { type Endpoint } from '../verbs/endpoint';
import { type PathMtu } from '../verbs/qp-attributes';
import { type LocalSge, type ProtectionDomain } from '../verbs/protection-domain';
import { type QueuePair } from '../verbs/queue-pair';
import { rkey } from '../verbs/keys';
import { ClientWords } from './client-words';
import { expectOwnGid, gidOf } from './host-address';
import { withEndpoint } from './endpoint-of';
import { hex24, hex32, hex64 } from './numbers';
import { formatPerftestLine, type PerftestLine } from './perftest-line';
import { greet, nextWord, sayDone, type Results } from './perftest-words';
import { Patience } from './patience';
import { TcpService, type TcpServiceOptions } from './tcp-service';

/** What is served for the programs, without the `ib_` of their names: access of the client, and what this end does. */
const PROGRAMS = {
  write_bw: { access: Access.RemoteWrite, task: 'memory' },
  write_lat: { access: Access.RemoteWrite, task: 'write back' },
  read_bw: { access: Access.RemoteRead, task: 'memory' },
  read_lat: { access: Access.RemoteRead, task: 'memory' },
  send_bw: { access: 0, task: 'receive' },
  send_lat: { access: 0, task: 'send back' },
  atomic_bw: { access: Access.RemoteAtomic, task: 'memory' },
  atomic_lat: { access: Access.RemoteAtomic, task: 'memory' },
} as const;

/** The client's program. */
export type PerftestProgram = keyof typeof PROGRAMS;

/** How to serve. */
export interface PerftestOptions extends TcpServiceOptions {
  readonly program: PerftestProgram;
  /** UDP port of the endpoint, and of the client's. */
  readonly udpPort: number;
  /** The greatest path MTU: a client with a smaller one gets that. */
  readonly mtu: PathMtu;
  /** Bytes of a message of `write_lat`, at most {@link MEMORY_BYTES}: the exchange does not say it. */
  readonly size: number;
}

/** Memory that is served to each client: enough for the longest message of the option -a. */
export const MEMORY_BYTES = 1 << 23;
/** Most queue pairs of a client (its option -q). */
const MOST_QPS = 64;
/** Receives of a queue pair. They share the memory: nobody looks at what came. */
const RECEIVES = 64;
const CQ_ROOM = 2 * RECEIVES;
/**
 * A client may be silent over TCP while it runs, but then its packets come. They are counted of all clients together: one that hangs
 * is ended when the others have gone.
 */
const LIMITS = { beginMs: 10_000, silenceMs: 60_000 };
const KEEP_ALIVE_MS = 10_000;
/** How long after a failed write the client may need to end its TCP connection: it ends without a word when it has all it wants, ms. */
const LEAVING_MS = 1000;
/** At its third line a client of `write_lat` is about to connect its queue pair, or has done so; retries bridge the rest. */
const LINES_BEFORE_WRITES = 3;
/** The wait for a packet between two turns of the event loop, which TCP and other clients need, us. */
const POLL_US = 200;
/** Packets of other clients must not keep TCP waiting. */
const MOST_POLLS = 16;
const MOST_READS = 16;
const BYTE = 0xff;
const MILLISECONDS = 1000;

/**
 * Serves until the signal aborts, or with `once` until the first client is gone.
 *
 * @throws RdmaError if the endpoint cannot be opened; the error of the TCP socket
 */
export async function servePerftest(
  options: PerftestOptions,
  output: Writable,
  signal?: AbortSignal,
): Promise<void> {
  await withEndpoint(options, (device, endpoint) =>
    new PerftestServer(device, endpoint, options, output).run(signal),
  );
}

class PerftestServer {
  readonly #pd: ProtectionDomain;
  readonly #gid: Uint8Array;
  readonly #service: TcpService;

  constructor(
    private readonly device: Device,
    private readonly endpoint: Endpoint,
    private readonly options: PerftestOptions,
    output: Writable,
  ) {
    this.#pd = device.allocPd();
    this.#gid = gidOf(endpoint.address);
    this.#service = new TcpService(options, output, (socket, from) => this.#serve(socket, from));
    endpoint.on('refused', (refusal) => {
      this.#service.say(refusal.explain());
    });
  }

  run(signal: AbortSignal | undefined): Promise<void> {
    const { address, program } = this.options;
    return this.#service.run(
      (port) => `serving ib_${program} at ${address}: TCP port ${port}, UDP port ${this.endpoint.port}`,
      signal,
    );
  }

  async #serve(socket: Socket, from: string): Promise<void> {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const { device, endpoint, options } = this;
    const client = new PerftestClient(device, this.#pd, endpoint, options);
    const end = (): void => {
      client.end();
    };
    this.#service.stopped.addEventListener('abort', end);
    const gone = this.#speak(socket, from, client);
    try {
      await Promise.race([gone, client.failed]);
    } catch (error) {
      // If the client has what it wants, its end is the reason, and not worth a word.
      await Promise.race([
        gone,
        sleep(LEAVING_MS, undefined, { ref: false }).then(() => Promise.reject(error as Error)),
      ]);
    } finally {
      this.#service.stopped.removeEventListener('abort', end);
      client.end();
      socket.destroy();
      await gone.catch(() => undefined);
      if (client.isConnected) this.#say(from, client.summary());
    }
  }

  #say(from: string, text: string): void {
    this.#service.say(`${from}: ${text}`);
  }

  /** Speaks with the client until it has gone. */
  async #speak(socket: Socket, from: string, client: PerftestClient): Promise<void> {
    const { endpoint, options } = this;
    const patience = new Patience(
      LIMITS,
      () => client.isConnected,
      () => endpoint.counters().received,
    );
    const words = new ClientWords(socket, () => patience.whyNoMore());
    const { version, mtu } = await greet(words, options.mtu);
    const pathMtu = Math.min(mtu, options.mtu) as PathMtu;
    this.#say(
      from,
      `version ${version} of perftest's exchange, path MTU ${pathMtu} (it asks for ${mtu}); it should be ib_${options.program}`,
    );
    for (;;) {
      const word = await nextWord(words);
      if (word === undefined) return;
      patience.renew();
      if (word.kind === 'results') this.#say(from, resultsText(word.results));
      else if (word.kind === 'done') {
        await sayDone(words);
        return;
      } else {
        const { line } = word;
        if (!client.knows(line.qpn)) {
          this.#say(from, lineText(line));
          expectOwnGid(line.address, from, '-x');
        }
        await words.say(formatPerftestLine(client.answer(line, pathMtu), this.#gid));
      }
    }
  }
}

/** The queue pairs of a client, and its memory. */
class PerftestClient {
  /** Rejects when a queue pair fails before {@link PerftestClient.end}. */
  readonly failed: Promise<never>;
  readonly #fail: (error: unknown) => void;
  readonly #qps = new Map<number, { qp: QueuePair<'RC'>; cq: { destroy(): void }; here: PerftestLine }>();
  readonly #memory = new Uint8Array(new SharedArrayBuffer(MEMORY_BYTES));
  readonly #region;
  /** What `write_lat` sends: its last byte counts. */
  readonly #message: Uint8Array;
  readonly #messageRegion;
  readonly #start = performance.now();
  readonly #before: { received: number; sent: number };
  #lines = 0;
  #messages = 0;
  #bytes = 0;
  #isOver = false;

  constructor(
    private readonly device: Device,
    private readonly pd: ProtectionDomain,
    private readonly endpoint: Endpoint,
    private readonly options: PerftestOptions,
  ) {
    let fail: ((error: unknown) => void) | undefined;
    this.failed = new Promise((_resolve, reject) => {
      fail = reject;
    });
    this.failed.catch(() => undefined); // it may come when nobody waits for it any more
    this.#fail = (error) => {
      if (!this.#isOver) fail?.(error);
    };
    const { access } = PROGRAMS[options.program];
    this.#region = pd.regUserMr(this.#memory, { access: Access.LocalWrite | access });
    this.#message = new Uint8Array(new SharedArrayBuffer(options.size));
    this.#messageRegion = pd.regUserMr(this.#message, { access: 0 });
    this.#before = this.#transferred();
  }

  get isConnected(): boolean {
    return this.#qps.size > 0;
  }

  /** Whether this number of a queue pair was told before. */
  knows(qpn: number): boolean {
    return this.#qps.has(qpn);
  }

  /** Returns the line with which a line is answered. The first line of a queue pair connects one of this end with it. */
  answer(line: PerftestLine, pathMtu: PathMtu): PerftestLine {
    let known = this.#qps.get(line.qpn);
    if (known === undefined) {
      if (this.#qps.size >= MOST_QPS) throw new Error(`it has more than ${MOST_QPS} queue pairs`);
      known = this.#connect(line, pathMtu);
      this.#qps.set(line.qpn, known);
    }
    this.#lines++;
    if (PROGRAMS[this.options.program].task === 'write back' && this.#lines === LINES_BEFORE_WRITES)
      this.#writeBack(known.qp, line).catch(this.#fail);
    return known.here;
  }

  #connect(
    line: PerftestLine,
    pathMtu: PathMtu,
  ): { qp: QueuePair<'RC'>; cq: { destroy(): void }; here: PerftestLine } {
    const { device, pd, endpoint, options } = this;
    const { access, task } = PROGRAMS[options.program];
    const reads = Math.min(Math.max(line.reads, 1), MOST_READS);
    const cq = device.createCq(CQ_ROOM);
    const qp = pd.createQp({ type: 'RC', sendCq: cq, maxSendWr: RECEIVES, maxRecvWr: RECEIVES });
    const { address, qpn, psn } = endpoint.describe(qp);
    try {
      qp.connect({
        ...{ endpoint, address: line.address, port: endpoint.port, qpn: line.qpn, psn: line.psn },
        ...{ access, pathMtu, maxDestRdAtomic: reads },
      });
    } catch (error) {
      qp.destroy();
      cq.destroy();
      throw error;
    }
    // Before the client gets the answer, so that its first message finds a receive.
    if (task === 'receive' || task === 'send back')
      for (let i = 0; i < RECEIVES; i++) this.#receive(qp, task === 'send back').catch(this.#fail);
    const remoteAddress = this.#region.iova;
    return { qp, cq, here: { reads, qpn, psn, rkey: this.#region.rkey, remoteAddress, address } };
  }

  async #receive(qp: QueuePair<'RC'>, isSentBack: boolean): Promise<void> {
    while (!this.#ended()) {
      const { byteLength } = await qp.recv(this.#sge(MEMORY_BYTES));
      this.#messages++;
      this.#bytes += byteLength;
      if (isSentBack) await qp.send(byteLength === 0 ? [] : this.#sge(byteLength));
    }
  }

  /** Both ends of `write_lat` write in turns, and count in the last byte of their messages; the server begins. */
  async #writeBack(qp: QueuePair<'RC'>, { remoteAddress, rkey: key }: PerftestLine): Promise<void> {
    const { size } = this.options;
    const message = { addr: this.#messageRegion.start, length: size, lkey: this.#messageRegion.lkey };
    for (let turn = 1; !this.#ended(); turn++) {
      this.#message[size - 1] = turn & BYTE;
      const written = qp.write(message, { vaddr: remoteAddress, rkey: rkey(key) });
      written.catch(this.#fail);
      // The packets of an answer are taken here: a turn of the event loop for each would be slower.
      for (let polls = 1; this.#memory[size - 1] !== (turn & BYTE); polls++) {
        if (this.#ended()) return;
        if (!this.endpoint.poll(POLL_US) || polls % MOST_POLLS === 0) await nextTurn();
      }
      await written;
      this.#messages++;
      this.#bytes += size;
    }
  }

  #ended(): boolean {
    return this.#isOver;
  }

  #sge(length: number): LocalSge {
    return { addr: this.#region.start, length, lkey: this.#region.lkey };
  }

  #transferred(): { received: number; sent: number } {
    const { bytesReceived: received, bytesSent: sent } = this.endpoint.counters();
    return { received, sent };
  }

  /** What was done. */
  summary(): string {
    const seconds = ((performance.now() - this.#start) / MILLISECONDS).toFixed(2);
    const { task } = PROGRAMS[this.options.program];
    const done = { receive: 'received', 'send back': 'sent back', 'write back': 'written back' };
    if (task !== 'memory')
      return `${this.#messages} messages, ${this.#bytes} bytes, ${done[task]}; ${seconds} s in all`;
    const { received, sent } = this.#transferred();
    const moved = `${received - this.#before.received} bytes came in, ${sent - this.#before.sent} went out (of all clients meanwhile)`;
    const [number = 0n] = new BigUint64Array(this.#memory.buffer, 0, 1);
    const changed =
      PROGRAMS[this.options.program].access === Access.RemoteAtomic
        ? `the number in memory is ${number}`
        : moved;
    return `${changed}; ${seconds} s in all`;
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const { qp, cq } of this.#qps.values()) {
      qp.destroy();
      cq.destroy();
    }
    this.#region.dereg({ force: true });
    this.#messageRegion.dereg({ force: true });
  }
}

function lineText({ qpn, psn, rkey: key, remoteAddress, reads, address }: PerftestLine): string {
  return `queue pair ${hex24(qpn)}, first packet ${hex24(psn)}, key ${hex32(key)}, address ${hex64(remoteAddress)}, ${reads} ${reads === 1 ? 'read' : 'reads'} outstanding, GID ${address}`;
}

function resultsText({ bytes, iterations, peak, average, rate }: Results): string {
  return `it reports ${iterations} iterations of ${bytes} bytes: ${average.toFixed(2)} MB/s (peak ${peak.toFixed(2)}), ${rate.toFixed(4)} million messages/s`;
}
