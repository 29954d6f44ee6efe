/**
 * Serves the pingpongs of libibverbs: `ibv_rc_pingpong`, `ibv_uc_pingpong` and `ibv_ud_pingpong` as client. Sends every message back.
 */
import { type Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Access } from '../verbs/access';
import { type AddressHandle } from '../verbs/address-handle';
import { type Completion } from '../verbs/completion';
import { type Device } from '../verbs/device';
import { type Endpoint } from '../verbs/endpoint';
import { type PathMtu } from '../verbs/qp-attributes';
import { type LocalSge, type ProtectionDomain } from '../verbs/protection-domain';
import { type QueuePair } from '../verbs/queue-pair';
import { expectOwnGid, gidOf } from './host-address';
import { withEndpoint } from './endpoint-of';
import { hex24 } from './numbers';
import { formatLine, LINE_BYTES, parseLine, type PingpongLine } from './pingpong-line';
import { TcpService, type TcpServiceOptions } from './tcp-service';

/** The type of queue pair that the client's program has. */
export type PingpongType = 'rc' | 'uc' | 'ud';

/** How to serve. */
export interface PingpongOptions extends TcpServiceOptions {
  readonly type: PingpongType;
  /** UDP port of the endpoint, and of the client's. */
  readonly udpPort: number;
  readonly mtu: PathMtu;
}

/** Q_Key of `ibv_ud_pingpong`. */
const QKEY = 0x11111111;
/** Bytes in front of a datagram. */
const GRH_BYTES = 40;
/** The longest message: of `-s`. */
const MOST_MESSAGE = 1 << 20;
const MOST_DATAGRAM = 4096;
/** Receives of a client. Its programs wait for each message to come back. */
const RECEIVES = 4;
/** How long a client may take to tell its line, ms. */
const LINE_MS = 10_000;
/**
 * The programs close the TCP connection when they have told each other their lines, so that nothing tells when a client has ended: it has
 * when no first message comes for so long, or no further one, ms.
 */
const FIRST_MESSAGE_MS = 20_000;
const NEXT_MESSAGE_MS = 2000;
const LOOK_EVERY_MS = 100;
const QP_TYPES = { rc: 'RC', uc: 'UC', ud: 'UD' } as const;
/** The largest packet that every port can send, for datagrams: it only limits what is sent back. */
const DATAGRAM_MTU = 4096;
const MILLISECONDS = 1000;

interface Count {
  messages: number;
  bytes: number;
  /** When the first message came, and the last. */
  first: number;
  last: number;
}

/**
 * Serves until the signal aborts, or with `once` until the first client is gone.
 *
 * @throws RdmaError if the endpoint cannot be opened; the error of the TCP socket
 */
export async function servePingpong(
  options: PingpongOptions,
  output: Writable,
  signal?: AbortSignal,
): Promise<void> {
  await withEndpoint(options, (device, endpoint) =>
    new PingpongServer(device, endpoint, options, output).run(signal),
  );
}

class PingpongServer {
  readonly #pd: ProtectionDomain;
  readonly #gid: Uint8Array;
  readonly #service: TcpService;

  constructor(
    private readonly device: Device,
    private readonly endpoint: Endpoint,
    private readonly options: PingpongOptions,
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
    const { address, type } = this.options;
    return this.#service.run(
      (port) =>
        `serving ibv_${type}_pingpong at ${address}: TCP port ${port}, UDP port ${this.endpoint.port}`,
      signal,
    );
  }

  async #serve(socket: Socket, from: string): Promise<void> {
    const line = parseLine(await readLine(socket));
    if (line === undefined) throw new Error('what the client says is not the line of a pingpong');
    const service = this.#service;
    service.say(
      `${from}: queue pair ${hex24(line.qpn)}, first packet ${hex24(line.psn)}, GID ${line.address}; wants ${QP_TYPES[this.options.type]}`,
    );
    expectOwnGid(line.address, from, '-g');
    const client = new PingpongClient(this.device, this.#pd, this.endpoint, this.options, line);
    const end = (): void => {
      client.end();
    };
    service.stopped.addEventListener('abort', end);
    try {
      const failed = client.start();
      const { qpn, psn } = client.here;
      socket.write(formatLine(qpn, psn, this.#gid));
      socket.resume(); // `done`, and the end
      await Promise.race([failed, client.silence()]);
      service.say(`${from}: ${summaryOf(client.count)}`);
    } catch (error) {
      // The last acknowledgement can be lost with a client that has ended.
      if (client.count.messages > 0) service.say(`${from}: ${summaryOf(client.count)}`);
      throw error;
    } finally {
      client.end();
      service.stopped.removeEventListener('abort', end);
    }
  }
}

/** The queue pair of a client. */
class PingpongClient {
  readonly count: Count = { messages: 0, bytes: 0, first: 0, last: 0 };
  readonly here: { qpn: number; psn: number };
  readonly #type: PingpongType;
  readonly #qp: QueuePair<'RC'>;
  readonly #cq;
  readonly #memory: SharedArrayBuffer;
  readonly #region;
  readonly #ah: AddressHandle | undefined;
  readonly #peer: PingpongLine;
  /** Bytes of a receive, and of those in front of a message. */
  readonly #room: number;
  readonly #skip: number;
  #isOver = false;

  constructor(
    device: Device,
    pd: ProtectionDomain,
    endpoint: Endpoint,
    { type, mtu }: PingpongOptions,
    peer: PingpongLine,
  ) {
    this.#type = type;
    this.#peer = peer;
    this.#skip = type === 'ud' ? GRH_BYTES : 0;
    this.#room = type === 'ud' ? GRH_BYTES + MOST_DATAGRAM : MOST_MESSAGE;
    this.#cq = device.createCq(4 * RECEIVES);
    this.#memory = new SharedArrayBuffer(RECEIVES * this.#room);
    this.#region = pd.regUserMr(this.#memory, { access: Access.LocalWrite });
    // One class for the three types: what each may do is decided by `type` here, and by the queue pair itself.
    this.#qp = pd.createQp({ type: QP_TYPES[type] as 'RC', sendCq: this.#cq });
    this.here = endpoint.describe(this.#qp);
    if (type === 'ud') {
      (this.#qp as unknown as QueuePair<'UD'>).activate({ endpoint, qkey: QKEY, pathMtu: DATAGRAM_MTU });
      this.#ah = pd.createAh({ address: peer.address, udpPort: endpoint.port });
    } else {
      const { address, qpn, psn } = peer;
      this.#qp.connect({ endpoint, address, port: endpoint.port, qpn, psn, access: 0, pathMtu: mtu });
    }
  }

  /** Posts the receives. The promise rejects when the queue pair fails before {@link PingpongClient.end}. */
  start(): Promise<void> {
    const slots = Array.from({ length: RECEIVES }, (_, i) => this.#echo(i * this.#room));
    return Promise.race(slots);
  }

  /** Waits until no message has come for so long that the client must have ended. */
  async silence(): Promise<void> {
    const start = performance.now();
    const { count } = this;
    let quiet: number;
    do {
      await sleep(LOOK_EVERY_MS);
      quiet = performance.now() - (count.messages === 0 ? start : count.last);
    } while (!this.#isOver && quiet < (count.messages === 0 ? FIRST_MESSAGE_MS : NEXT_MESSAGE_MS));
  }

  async #echo(offset: number): Promise<void> {
    while (!this.#ended()) {
      try {
        const received = await this.#qp.recv(this.#sge(offset, this.#room));
        const bytes = received.byteLength - this.#skip;
        this.#note(bytes);
        await this.#send(this.#sge(offset + this.#skip, bytes));
      } catch (error) {
        if (this.#ended()) return;
        throw error;
      }
    }
  }

  #ended(): boolean {
    return this.#isOver;
  }

  #sge(offset: number, length: number): LocalSge {
    return { addr: this.#region.start + BigInt(offset), length, lkey: this.#region.lkey };
  }

  #send(sge: LocalSge): Promise<Completion> {
    if (this.#type !== 'ud' || this.#ah === undefined) return this.#qp.send(sge.length === 0 ? [] : sge);
    return (this.#qp as unknown as QueuePair<'UD'>).send(sge.length === 0 ? [] : sge, {
      ah: this.#ah,
      remoteQpn: this.#peer.qpn,
      remoteQkey: QKEY,
    });
  }

  #note(bytes: number): void {
    const { count } = this;
    count.last = performance.now();
    if (count.messages === 0) count.first = count.last;
    count.messages++;
    count.bytes += bytes;
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#qp.destroy();
    this.#cq.destroy();
    this.#ah?.destroy();
    this.#region.dereg({ force: true });
  }
}

/** Waits for the 52 bytes with which a client begins. */
function readLine(socket: Socket): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`the client has said nothing for ${LINE_MS / MILLISECONDS} s`));
    }, LINE_MS);
    let bytes = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk.subarray(0, LINE_BYTES - bytes.length)]);
      if (bytes.length < LINE_BYTES) return;
      clearTimeout(timer);
      socket.off('data', onData);
      socket.pause();
      resolve(bytes);
    };
    socket.on('data', onData);
    socket.once('close', () => {
      clearTimeout(timer);
      reject(new Error('the client has gone without a word'));
    });
  });
}

function summaryOf({ messages, bytes, first, last }: Count): string {
  if (messages === 0) return 'no message came';
  const seconds = (last - first) / MILLISECONDS;
  const each = messages > 1 ? `, ${((seconds * 1e6) / (messages - 1)).toFixed(1)} us each` : '';
  return `${messages} messages, ${bytes} bytes, sent back in ${seconds.toFixed(2)} s${each}`;
}
