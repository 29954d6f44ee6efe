/**
 * Serves the pingpongs of libibverbs: `ibv_rc_pingpong`, `ibv_uc_pingpong` and `ibv_ud_pingpong` as client. Sends every message back.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatAddress } from '../internal/host-text';
import { native } from '../internal/native';
import { Access } from '../verbs/access';
import { type AddressHandle } from '../verbs/address-handle';
import { type Completion } from '../verbs/completion';
import { Device } from '../verbs/device';
import { Endpoint } from '../verbs/endpoint';
import { type PathMtu } from '../verbs/qp-attributes';
import { type LocalSge, type ProtectionDomain } from '../verbs/protection-domain';
import { type QueuePair } from '../verbs/queue-pair';
import { formatLine, LINE_BYTES, parseLine, type PingpongLine } from './pingpong-line';

/** The type of queue pair that the client's program has. */
export type PingpongType = 'rc' | 'uc' | 'ud';

/** How to serve. */
export interface PingpongOptions {
  /** Address of a network interface: of the TCP socket and of the endpoint. */
  readonly address: string;
  readonly type: PingpongType;
  /** TCP port; 0: a free one. */
  readonly port: number;
  /** UDP port of the endpoint, and of the client's. */
  readonly udpPort: number;
  readonly mtu: PathMtu;
  /** Ends after the first client. */
  readonly once: boolean;
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
const MOST_CLIENTS = 16;
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
  const device = new Device();
  try {
    const endpoint = new Endpoint({ device, address: options.address, port: options.udpPort });
    await new PingpongServer(device, endpoint, options, output).run(signal);
  } finally {
    device.close({ cascade: true });
  }
}

class PingpongServer {
  readonly #pd: ProtectionDomain;
  readonly #gid = new Uint8Array(16);
  readonly #server: Server;
  /** Of clients that are served; most of them are closed. */
  readonly #sockets = new Set<Socket>();
  readonly #clients = new Set<PingpongClient>();

  constructor(
    private readonly device: Device,
    private readonly endpoint: Endpoint,
    private readonly options: PingpongOptions,
    private readonly output: Writable,
  ) {
    this.#pd = device.allocPd();
    native.readHostAddress(endpoint.address, this.#gid);
    endpoint.on('refused', (refusal) => {
      this.#say(refusal.explain());
    });
    this.#server = createServer((socket) => {
      void this.#take(socket);
    });
  }

  async run(signal: AbortSignal | undefined): Promise<void> {
    const { address, port, type } = this.options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.once('close', resolve);
      signal?.addEventListener('abort', () => {
        this.#end();
      });
      this.#server.listen(port, address, () => {
        const at = this.#server.address();
        const bound = typeof at === 'object' && at !== null ? at.port : port;
        this.#say(
          `serving ibv_${type}_pingpong at ${address}: TCP port ${bound}, UDP port ${this.endpoint.port}`,
        );
      });
    });
  }

  #say(text: string): void {
    this.output.write(`${text}\n`);
  }

  #end(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    for (const client of this.#clients) client.end();
  }

  async #take(socket: Socket): Promise<void> {
    const from = plainAddress(socket.remoteAddress ?? '');
    if (this.#sockets.size >= MOST_CLIENTS) {
      this.#say(`${from}: refused, because ${MOST_CLIENTS} clients are served`);
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on('error', () => {
      // The client is gone, which its close tells.
    });
    try {
      await this.#serve(socket, from);
    } catch (error) {
      this.#say(`${from}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      socket.destroy();
      this.#sockets.delete(socket);
      if (this.options.once) this.#end();
    }
  }

  async #serve(socket: Socket, from: string): Promise<void> {
    const line = parseLine(await readLine(socket));
    if (line === undefined) throw new Error('what the client says is not the line of a pingpong');
    this.#say(
      `${from}: queue pair ${hex(line.qpn)}, first packet ${hex(line.psn)}, GID ${line.address}; wants ${QP_TYPES[this.options.type]}`,
    );
    // Else anybody who reaches the TCP port could make this end send packets to others.
    if (line.address !== from)
      throw new Error(
        `its GID is not the address that it comes from; choose the GID of ${from} with -g (show_gids, ibv_devinfo -v)`,
      );
    const client = new PingpongClient(this.device, this.#pd, this.endpoint, this.options, line);
    this.#clients.add(client);
    try {
      const failed = client.start();
      const { qpn, psn } = client.here;
      socket.write(formatLine(qpn, psn, this.#gid));
      socket.resume(); // `done`, and the end
      await Promise.race([failed, client.silence()]);
      this.#say(`${from}: ${summaryOf(client.count)}`);
    } catch (error) {
      // The last acknowledgement can be lost with a client that has ended.
      if (client.count.messages > 0) this.#say(`${from}: ${summaryOf(client.count)}`);
      throw error;
    } finally {
      client.end();
      this.#clients.delete(client);
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

/** A socket of both families calls an IPv4 address `::ffff:a.b.c.d`; the zone of a link-local address is not in the GID. */
function plainAddress(address: string): string {
  const bytes = new Uint8Array(16);
  if (native.readHostAddress(address, bytes) < 0) return address;
  const view = new DataView(bytes.buffer);
  return formatAddress(
    [0, 1, 2, 3].map((i) => view.getUint32(4 * i)),
    0,
  );
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(6, '0')}`;
}

function summaryOf({ messages, bytes, first, last }: Count): string {
  if (messages === 0) return 'no message came';
  const seconds = (last - first) / MILLISECONDS;
  const each = messages > 1 ? `, ${((seconds * 1e6) / (messages - 1)).toFixed(1)} us each` : '';
  return `${messages} messages, ${bytes} bytes, sent back in ${seconds.toFixed(2)} s${each}`;
}
