import { readUdpPort } from '../internal/wire-numbers';
import { boolean, integer, invalidType, u32 } from '../internal/arguments';
import { dispose } from '../internal/disposal';
import { explainedError, resultOf } from '../internal/errors';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { EndpointCounter, EndpointFlag, VerbsEvent, WireRefusalWord } from '../internal/layout';
import { native, type NativeEndpoint } from '../internal/native';
import { PlainNumbers } from '../internal/intrinsics';
import { requiredOptionsOf } from '../internal/options';
import { isWatched } from '../internal/refused-channel';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { type Device, homeOfDevice } from './device';
import {
  type Connection,
  type ConnectionListener,
  type ConnectionRequest,
  type DisconnectedBy,
  type ListenOptions,
  type ServiceConnectOptions,
} from './connection-options';
import { type ConnectionCounters, Connections } from './connections';
import { setEndpointLookUp } from './endpoint-native';
import { dropEntry, holdEntry, soon, watchEvents } from './event-dispatch';
import { localEndOf, type QueuePair } from './queue-pair';
import { VerbsEmitter } from './verbs-emitter';
import { type Entry, type VerbsHome } from './verbs-registry';
import { reportWireRefusal } from './refused-message';
import { type WireRefusal, wireRefusalOf } from './wire-refusal';

/** UDP port of RoCEv2. */
const DEFAULT_REFUSALS = 16;
/** The longest wait of {@link Endpoint.poll}, in microseconds. */
const MOST_POLL = 1_000_000;

/** Options of the {@link Endpoint} constructor. */
export interface EndpointOptions {
  /** The device whose queue pairs the endpoint connects. */
  device: Device;
  /**
   * IPv4 or IPv6 address of a network interface of this machine. There is no default, and the address of all interfaces is refused:
   * an endpoint belongs on a network that the program trusts. A link-local IPv6 address needs its zone: `'fe80::1%eth0'`.
   */
  address: string;
  /** UDP port, 0..65535; 0: a free one, for tests. Default 4791, at which every RoCEv2 peer expects the other. */
  port?: number;
  /**
   * How many requests of a source address may be refused within a minute. After that the address gets no new connection until the
   * minute is over: each wrong guess of a key costs a peer its connection, and that many cost it the connection of a UC queue pair. 0:
   * no limit. Default 16.
   */
  refusalsPerMinute?: number;
  /**
   * Open an endpoint on a device with `keyPolicy: 'sequential'`, whose keys a peer can foretell. Default false.
   */
  allowForeseeableKeys?: boolean;
}

/** What the other end of a connection must know of a queue pair; see {@link Endpoint.describe}. Plain JSON. */
export interface WireAddress {
  /** Address of the endpoint. */
  address: string;
  /** UDP port of the endpoint. */
  port: number;
  /** Number of the queue pair. */
  qpn: number;
  /** Number of the first packet that the queue pair sends, 0..2^24-1. */
  psn: number;
}

/** Returned by {@link Endpoint.counters}: counts since the endpoint was opened. */
export interface EndpointCounters {
  /** Packets received and sent. */
  received: number;
  sent: number;
  /** Bytes of payload of packets that were accepted, and of those that were sent. */
  bytesReceived: number;
  bytesSent: number;
  /** Dropped: not a packet for a queue pair of that type, or lengths that do not fit. */
  malformed: number;
  /** Dropped: damaged. */
  badIcrc: number;
  /** Dropped: no connected queue pair has the number. */
  unknownQp: number;
  /** Dropped: not the address of the queue pair's peer. */
  wrongSource: number;
  /** Notifications of congestion, which are ignored. */
  congestion: number;
  /** Requests that came again. */
  duplicates: number;
  /** Requests that came too early, because one before them was lost; for a UC queue pair also those that came again. */
  outOfOrder: number;
  /** NAKs that were sent, by kind: no receive was there; a packet is missing; a request was refused. */
  rnrNaks: number;
  sequenceNaks: number;
  fatalNaks: number;
  /** Request packets that were sent again. */
  retransmitted: number;
  /** Timeouts after which requests were sent again. */
  timeouts: number;
  /** Connections that were denied ({@link EndpointOptions.refusalsPerMinute}). */
  limited: number;
  /** Dropped: datagrams with another Q_Key than that of the UD queue pair. */
  wrongQkey: number;
  /** Dropped: messages for UC and UD queue pairs that had no receive. */
  noReceive: number;
  /** Dropped: messages for UC and UD queue pairs that were longer than the receive, which stays for the next one. */
  shortReceives: number;
  /** Dropped: writes that a UC queue pair refused. */
  refusedWrites: number;
  /** Dropped: messages to UC queue pairs that were cut off, and packets that belong to no message, because one before was lost. */
  incomplete: number;
  /** Packets that were not sent because the network interface cannot carry such long ones: lower `pathMtu`. */
  tooLong: number;
  /** Packets that the system did not send for another reason, such as a missing route. */
  unsent: number;
  /** Refusals without an event `'refused'`, because too many waited. */
  unreported: number;
  /** Counts of {@link Endpoint.listen} and {@link Endpoint.connect}. */
  connections: ConnectionCounters;
}

/** The events of an {@link Endpoint}. */
export interface EndpointEvents {
  /** A connection of {@link Endpoint.connect} or {@link ConnectionRequest.accept} has ended; its queue pair is in the error state. */
  disconnect: [connection: Connection, by: DisconnectedBy];
  /** A peer's request was refused, which has put its RC queue pair into the error state; a UC queue pair has dropped it. */
  refused: [refusal: WireRefusal];
  /** The endpoint is closed: by {@link Endpoint.close}, or with its device. */
  close: [];
}

/** Returned by {@link Endpoint.toJSON}. */
export interface ShownEndpoint extends Shown {
  class: 'Endpoint';
  /** Number of the endpoint in this process. */
  id: number;
  address: string;
  port: number;
  state: 'Open' | 'Closed';
}

let describeEndpoint: (object: Endpoint) => ShownEndpoint;

/**
 * An endpoint on a RoCEv2 network: connects RC, UC and UD queue pairs of a device with queue pairs of other processes and machines,
 * which may be RDMA NICs or Linux's soft-RoCE, over UDP. Linux only.
 *
 * RoCE has no authentication and no encryption: whoever can send packets in the name of a peer and knows the numbers of a connection
 * can use it. Open endpoints only on networks where all hosts are trusted. A peer learns the class of a refusal, never the reason.
 *
 * The endpoint works on the event loop of the thread that created it, and keeps the process alive until it is closed
 * ({@link Endpoint.unref}). While the program computes, peers wait; a peer whose requests find no answer for longer than its timeouts
 * fails. Memory that another thread has registered is served if it is a SharedArrayBuffer or {@link Device.allocDm}; accesses to its
 * other buffers are refused with `'OtherEnvironment'`.
 *
 * @example
 * ```ts
 * import { Access, Device, Endpoint } from 'rdmavt';
 *
 * const device = new Device();
 * const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
 * const cq = device.createCq(64);
 * const one = device.allocPd().createQp({ type: 'RC', sendCq: cq });
 * const other = device.allocPd().createQp({ type: 'RC', sendCq: cq });
 * // Programs on two machines send each other what `describe` returns, by any way that they trust.
 * one.connect({ endpoint, ...endpoint.describe(other), access: Access.RemoteWrite });
 * other.connect({ endpoint, ...endpoint.describe(one), access: Access.RemoteWrite });
 * console.log(one.state, other.state); // RTS RTS
 * device.close({ cascade: true });
 * ```
 */
export class Endpoint extends VerbsEmitter<EndpointEvents> {
  readonly #native: NativeEndpoint;
  readonly #home: VerbsHome;
  readonly #id: number;
  readonly #address: string;
  readonly #port: number;
  readonly #entry: Entry;
  readonly #connections: Connections;
  #isEnded = false;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /**
   * Opens an endpoint.
   *
   * @throws RdmaError `EINVAL`: the address is not that of one host; the device's keys can be foretold. `EADDRNOTAVAIL`: it is not an
   *   address of this machine. `EADDRINUSE`: another socket has the port; with the module rdma_rxe the kernel itself. `EACCES`: the
   *   system forbids the port. `EMFILE`, `ENOMEM`. `EBADF`: the device is closed. `EPERM`: the Device object is restricted to a domain.
   *   `EOPNOTSUPP`: the operating system is not Linux, or an old one
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  constructor(options: EndpointOptions) {
    const given = requiredOptionsOf<EndpointOptions>(options, [
      'device',
      'address',
      'port',
      'refusalsPerMinute',
      'allowForeseeableKeys',
    ]);
    const home = homeOfDevice(given.device);
    if (home === undefined) throw invalidType('options.device', 'an instance of Device', given.device);
    if (typeof given.address !== 'string')
      throw invalidType('options.address', 'of type string', given.address);
    const { refusalsPerMinute = DEFAULT_REFUSALS } = given;
    const port = readUdpPort(given.port, 'options.port', 0);
    const refusals = u32(refusalsPerMinute, 'options.refusalsPerMinute');
    const { allowForeseeableKeys = false } = given;
    const flags = boolean(allowForeseeableKeys, 'options.allowForeseeableKeys') ? EndpointFlag.AnyKeys : 0;
    super();
    const made = native.createEndpoint(home.native, given.address, port, refusals, flags);
    try {
      const self = resultOf('new Endpoint', made);
      this.#native = self;
      this.#home = home;
      this.#id = self.id();
      this.#address = self.address();
      this.#port = self.port();
      this.#connections = new Connections(self, home, (connection, by) => {
        this.emit('disconnect', connection, by);
      });
      this.#entry = {
        object: this,
        isLive: () => self.live() >= 0,
        deliverEvent: (event) => {
          if (event === VerbsEvent.Endpoint) this.#deliver();
        },
      };
      home.registry.register('endpoint', this.#id, this.#entry);
      watchEvents(home);
      markUncloneable(this);
      holdEntry(this.#entry); // an open socket stays, like any server, whether the program keeps the object or not
    } catch (error) {
      if (typeof made === 'object') made.close(); // a constructor that throws must leave nothing open
      throw error;
    }
  }

  /** Unique in the process. */
  get id(): number {
    return this.#id;
  }

  /** Address at which the endpoint is bound. */
  get address(): string {
    return this.#address;
  }

  /** UDP port at which the endpoint is bound. */
  get port(): number {
    return this.#port;
  }

  /**
   * Returns what the other end must know to connect with a queue pair through this endpoint, for {@link QueuePair.connect} there. The
   * first call after the queue pair was created or reset draws the number of the first packet from the system's CSPRNG; the following
   * ones return the same until the queue pair is reset. Send it over a connection that you trust: whoever knows it can write packets in
   * the name of this end.
   *
   * For a UD queue pair, address and port are for {@link ProtectionDomain.createAh} there, and the number for each datagram.
   *
   * @throws RdmaError `EINVAL`: the queue pair has no queues, or is on another device. `EBADF`: it is destroyed, or the endpoint is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  describe(qp: QueuePair<'RC' | 'UC' | 'UD'>): WireAddress {
    if (this.#native.live() < 0) throw explainedError('Endpoint.describe', 'EBADF', 'EndpointClosed');
    const { qpn, psn } = localEndOf('Endpoint.describe', qp, this.#home);
    return { address: this.#address, port: this.#port, qpn, psn };
  }

  /**
   * Listens for requests for connections, which programs with librdmacm, or {@link Endpoint.connect}, send: the passive side of the
   * connection manager (InfiniBand specification, chapter 12).
   *
   * @param service - a port of `RDMA_PS_TCP`, 1..65535, or a 64-bit service id as a bigint
   * @param onRequest - called from the event loop for each request, once, however often the peer repeats it
   * @returns the listener, which also ends with the endpoint
   * @throws RdmaError `EADDRINUSE`: the endpoint has another listener for the service; `EMFILE`: it has 64; `EBADF`: it is closed; `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   *
   * @example
   * ```ts
   * import { Access, Device, Endpoint } from 'rdmavt';
   *
   * const open = () => {
   *   const device = new Device();
   *   const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
   *   const qp = device.allocPd().createQp({ type: 'RC', sendCq: device.createCq(64) });
   *   return { device, endpoint, qp };
   * };
   * const [server, client] = [open(), open()];
   * server.endpoint.listen(7174, (request) => {
   *   console.log(Buffer.from(request.privateData).toString('latin1', 0, 5)); // hello
   *   void request.accept({ qp: server.qp, access: Access.RemoteWrite, privateData: Buffer.from('welcome') });
   * });
   * const { address, port } = server.endpoint;
   * const connection = await client.endpoint.connect(address, 7174, {
   *   port, // only because the server's endpoint is not at 4791
   *   qp: client.qp,
   *   access: 0,
   *   privateData: Buffer.from('hello'),
   * });
   * console.log(Buffer.from(connection.privateData).toString('latin1', 0, 7), client.qp.state); // welcome RTS
   * await connection.disconnect();
   * for (const { device } of [server, client]) device.close({ cascade: true });
   * ```
   */
  listen(
    service: number | bigint,
    onRequest: (request: ConnectionRequest) => void,
    options?: ListenOptions,
  ): ConnectionListener {
    return this.#connections.listen(service, onRequest, options);
  }

  /**
   * Connects a queue pair with one of a program that listens: a program with librdmacm, or {@link Endpoint.listen}. The active side of
   * the connection manager.
   *
   * @param address - IPv4 or IPv6 address of the peer, of the same family as the endpoint's
   * @param service - the port of `RDMA_PS_TCP` at which it listens, 1..65535, or a 64-bit service id as a bigint
   * @returns a promise of the connection, whose queue pair is in RTS. It rejects with an {@link RdmaError}: `ECONNREFUSED`: the peer has
   *   rejected the request, see `detail.value` (8: nobody listens, 28: the program) and `privateData`; `ETIMEDOUT`: it did not answer;
   *   `EINVAL`: the address is not that of one host, or of another family than the endpoint's; the queue pair is not in RESET or INIT, or
   *   is of another device; there is too much private data; `EBUSY`: the queue pair has a connection; `EACCES`: too many requests of the
   *   peer were refused; `EMFILE`; `EBADF`: the endpoint is closed; `ENOMEM`. And with the reason of `signal`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  connect(address: string, service: number | bigint, options: ServiceConnectOptions): Promise<Connection> {
    return this.#connections.connect(address, service, options);
  }

  /** Returns what the endpoint counted since it was opened. Those of a closed endpoint stay as they were. */
  counters(): EndpointCounters {
    const counts = new BigUint64Array(EndpointCounter.Count);
    this.#native.counters(counts);
    const of = (counter: EndpointCounter): number => Number(counts[counter] ?? 0n);
    return {
      received: of(EndpointCounter.Received),
      sent: of(EndpointCounter.Sent),
      bytesReceived: of(EndpointCounter.BytesReceived),
      bytesSent: of(EndpointCounter.BytesSent),
      malformed: of(EndpointCounter.Malformed),
      badIcrc: of(EndpointCounter.BadIcrc),
      unknownQp: of(EndpointCounter.UnknownQp),
      wrongSource: of(EndpointCounter.WrongSource),
      congestion: of(EndpointCounter.Congestion),
      duplicates: of(EndpointCounter.Duplicates),
      outOfOrder: of(EndpointCounter.OutOfOrder),
      rnrNaks: of(EndpointCounter.RnrNaks),
      sequenceNaks: of(EndpointCounter.SequenceNaks),
      fatalNaks: of(EndpointCounter.FatalNaks),
      retransmitted: of(EndpointCounter.Retransmitted),
      timeouts: of(EndpointCounter.Timeouts),
      limited: of(EndpointCounter.Limited),
      wrongQkey: of(EndpointCounter.WrongQkey),
      noReceive: of(EndpointCounter.NoReceive),
      shortReceives: of(EndpointCounter.ShortReceives),
      refusedWrites: of(EndpointCounter.RefusedWrites),
      incomplete: of(EndpointCounter.Incomplete),
      tooLong: of(EndpointCounter.TooLong),
      unsent: of(EndpointCounter.Unsent),
      unreported: of(EndpointCounter.Unreported),
      connections: this.#connections.counters(),
    };
  }

  /**
   * Receives and sends packets now, instead of in the next turn of the event loop. For a program that waits for a completion and has
   * nothing else to do: a round trip then costs no turn of the event loop, and no sleep if the answer comes at once.
   *
   * ```js
   * while (!ring.next()) endpoint.poll(1000);
   * ```
   *
   * Nothing else runs in this thread meanwhile: no timer, no promise, no event.
   *
   * @param microseconds - how long to wait for a packet if none is there, 0..1,000,000. Default 0. Ends early for a packet, for a timeout
   *   of the transport, or if another thread has posted work requests
   * @returns whether packets were received; false, too, if the endpoint is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  poll(microseconds = 0): boolean {
    return this.#native.poll(integer(microseconds, 'microseconds', 0, MOST_POLL));
  }

  /**
   * Lets the open endpoint keep the process alive. This is the default.
   *
   * @returns this endpoint
   */
  ref(): this {
    this.#native.reference(true);
    return this;
  }

  /**
   * Lets the open endpoint not keep the process alive.
   *
   * @returns this endpoint
   */
  unref(): this {
    this.#native.reference(false);
    return this;
  }

  /** Returns a one-line description of the endpoint. Never throws. */
  override toString(): string {
    return textOf('Endpoint', this, describeEndpoint);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownEndpoint {
    return jsonOf('Endpoint', this, describeEndpoint);
  }

  /**
   * Closes the endpoint and its socket. The queue pairs that are connected through it go into the error state; their work requests
   * complete with `WR_FLUSH_ERR`. After it has returned, no packet moves a byte. The event `'close'` follows. A second call is a no-op.
   * Closing the device closes its endpoints, too.
   */
  close(): void {
    this.#native.close();
  }

  /** Closes the endpoint. Same as {@link Endpoint.close}. */
  [dispose](): void {
    this.#native.close();
  }

  /** Emits the events of what has happened. */
  #deliver(): void {
    const words = new PlainNumbers(WireRefusalWord.Words);
    let isDone = false;
    try {
      for (let address; (address = this.#native.takeRefusal(words)) !== undefined;) {
        const refusal = wireRefusalOf(this.#home.registry, address, words);
        if (isWatched()) reportWireRefusal(refusal, this.#home.registry.device);
        this.emit('refused', refusal);
      }
      this.#connections.deliver();
      if (this.#native.live() < 0) this.#end();
      isDone = true;
    } finally {
      // A listener has thrown: tell the rest in another callback.
      if (!isDone && !this.#isEnded)
        soon(() => {
          this.#deliver();
        });
    }
  }

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    dropEntry(this.#entry);
    this.#connections.end();
    this.emit('close');
  }

  static {
    setEndpointLookUp((value) =>
      typeof value === 'object' && value !== null && #native in value ? value.#native : undefined,
    );
    describeEndpoint = (endpoint) => ({
      class: 'Endpoint',
      id: endpoint.#id,
      address: endpoint.#address,
      port: endpoint.#port,
      state: endpoint.#native.live() < 0 ? 'Closed' : 'Open',
    });
    showAs(Endpoint, 'Endpoint', (object) => textOf('Endpoint', object, describeEndpoint));
  }
}
