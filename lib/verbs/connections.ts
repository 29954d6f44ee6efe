/** The connections that an endpoint makes by messages of its connection manager: requests, answers, and their ends. */
import { abortReason, abortSignal, isAborted, listenForAbort, stopListening } from '../internal/abort-signal';
import { integer, invalidType, invalidValue, u64 } from '../internal/arguments';
import { explainedError, RdmaError, rdmaError, throwOnError } from '../internal/errors';
import { mapOf, ownList, PlainNumbers } from '../internal/intrinsics';
import { HALF_RANGE } from '../internal/halves';
import { CmCounter, CmEventKind, CmEventWord, CmOfferWord } from '../internal/layout';
import { transientBytesOf } from '../internal/memory-argument';
import { type Method } from '../internal/methods';
import { type NativeEndpoint } from '../internal/native';
import { optionsOf, requiredOptionsOf } from '../internal/options';
import { type Access, readAccessBits } from './access';
import {
  type AcceptOptions,
  type Connection,
  type ConnectionListener,
  type ConnectionPeer,
  type ConnectionRequest,
  type DisconnectedBy,
  type ListenOptions,
  type ServiceConnectOptions,
  tcpService,
} from './connection-options';
import { type PathMtu } from './qp-attributes';
import { type ManagedQueuePair, manageQp } from './queue-pair';
import { type VerbsHome } from './verbs-registry';
import { MOST_PORT, randomPsn, readUdpPort } from '../internal/wire-numbers';

const { defineProperty } = Reflect;

const MOST_DATA = 196;
const USEC_PER_MSEC = 1000;
const DEFAULT_BACKLOG = 64;
const MOST_BACKLOG = 4096;
const DEFAULT_ATTEMPTS = 8;
const MOST_ATTEMPTS = 16;
const DEFAULT_ATTEMPT_MS = 1000;
const MOST_ATTEMPT_MS = 60_000;
/** The path MTU in bytes is 128 << its code. */
const MTU_OF_CODE = 128;
const CODES: Readonly<Record<number, number | undefined>> = { 256: 1, 512: 2, 1024: 3, 2048: 4, 4096: 5 };

const NO_DATA = new Uint8Array(0);

/** Returned by {@link EndpointCounters}: counts of the endpoint's connection manager. */
export interface ConnectionCounters {
  /** Messages received and sent. */
  received: number;
  sent: number;
  /** Messages that were sent again, because no answer came. */
  repeated: number;
  /** Dropped: not a message of the connection manager. */
  malformed: number;
  /** Messages that came again, or too late. */
  duplicates: number;
  /** Messages about connections that do not exist. */
  unknown: number;
  /** Requests that a listener was told. */
  requests: number;
  /** Requests that were rejected without a listener: no service, fields that do not fit, too many refusals. */
  refused: number;
  /** Of these, and of answers, those with a queue pair that the peer has in another connection. */
  stale: number;
  /** Requests that were dropped, because too many were half-open, and answers, because too many waited to be sent. */
  overflows: number;
  /** Requests and connections that ended because nobody answered. */
  timeouts: number;
  /** Requests that are neither established nor ended now. */
  halfOpen: number;
  /** Connections now, with those that wait for late packets. */
  open: number;
}

/** What both ends say of their queue pairs, as numbers. */
interface Offer {
  readonly managed: ManagedQueuePair;
  readonly access: Access;
  readonly data: Uint8Array;
  readonly minRnrTimer: number;
  readonly rnrRetry: number;
  readonly timeout: number;
  readonly maxRdAtomic: number;
  readonly maxDestRdAtomic: number;
  /** Number of the first packet that the peer sends. */
  readonly psn: number;
}

/** A request or a connection that the native connection manager knows. */
interface Known {
  readonly id: number;
  peer: ConnectionPeer;
  readonly service: bigint;
  offer?: Offer;
  connection?: OwnConnection;
  /** The promise of `accept` or `connect`. */
  settle?: { resolve(connection: Connection): void; reject(error: unknown): void; method: Method };
  /** How often this end sends a packet again; of `connect`. */
  readonly retryCnt: number;
  /** Whether the program has accepted or rejected the request. */
  isAnswered: boolean;
  /** Whether the program has disconnected. */
  isLeaving: boolean;
}

interface OwnConnection {
  readonly facade: Connection;
  end(by: DisconnectedBy): void;
}

type Handler = (request: ConnectionRequest) => void;

const numbers = (words: Uint32Array, word: CmEventWord): number => words[word] ?? 0;

/** The connections of one endpoint. */
export class Connections {
  readonly #native: NativeEndpoint;
  readonly #home: VerbsHome;
  readonly #tell: (connection: Connection, by: DisconnectedBy) => void;
  readonly #listeners = new Map<number, Handler>();
  readonly #known = new Map<number, Known>();

  /** @param tell - emits the event of a connection that has ended */
  constructor(
    native: NativeEndpoint,
    home: VerbsHome,
    tell: (connection: Connection, by: DisconnectedBy) => void,
  ) {
    this.#native = native;
    this.#home = home;
    this.#tell = tell;
  }

  listen(service: unknown, handler: unknown, options: unknown): ConnectionListener {
    const id = serviceOf(service);
    if (typeof handler !== 'function') throw invalidType('onRequest', 'of type function', handler);
    const { backlog = DEFAULT_BACKLOG } = optionsOf<ListenOptions>(options, ['backlog']);
    const most = integer(backlog, 'options.backlog', 1, MOST_BACKLOG);
    const listener = throwOnError('Endpoint.listen', this.#native.listen(id, most));
    this.#listeners.set(listener, handler as Handler);
    return Object.freeze({
      service: id,
      close: (): void => {
        if (this.#listeners.delete(listener)) this.#native.unlisten(listener);
      },
    });
  }

  connect(address: unknown, service: unknown, options: unknown): Promise<Connection> {
    return promised(() => this.#connect(address, service, options));
  }

  #connect(address: unknown, service: unknown, options: unknown): Promise<Connection> {
    const method = 'Endpoint.connect';
    if (typeof address !== 'string') throw invalidType('address', 'of type string', address);
    const id = serviceOf(service);
    const given = requiredOptionsOf<ServiceConnectOptions>(options, [
      ...OFFER_NAMES,
      'port',
      'pathMtu',
      'retryCnt',
      'attempts',
      'attemptMs',
      'signal',
    ]);
    const { pathMtu: givenMtu = 1024, retryCnt: givenRetries = 7 } = given;
    const { attempts: givenAttempts = DEFAULT_ATTEMPTS, attemptMs: givenMs = DEFAULT_ATTEMPT_MS } = given;
    const port = readUdpPort(given.port, 'options.port', 1);
    const mtuCode = typeof givenMtu === 'number' ? CODES[givenMtu] : undefined;
    if (mtuCode === undefined)
      throw invalidValue('options.pathMtu', 'must be one of: 256, 512, 1024, 2048, 4096', givenMtu);
    const retryCnt = integer(givenRetries, 'options.retryCnt', 0, 7);
    const attempts = integer(givenAttempts, 'options.attempts', 1, MOST_ATTEMPTS);
    const attemptMs = integer(givenMs, 'options.attemptMs', 1, MOST_ATTEMPT_MS);
    const signal = abortSignal(given.signal, 'options.signal');
    const offer = this.#offerOf(method, given);
    if (signal !== undefined && isAborted(signal))
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what the program has aborted with
      return Promise.reject(abortReason(signal));
    const words = wordsOf(offer, offer.maxRdAtomic, offer.maxDestRdAtomic);
    words[CmOfferWord.PathMtu] = mtuCode;
    words[CmOfferWord.RetryCnt] = retryCnt;
    words[CmOfferWord.AckTimeout] = offer.timeout;
    const interval = attemptMs * USEC_PER_MSEC;
    const connectionId = throwOnError(
      method,
      this.#native.cmConnect(address, port, id, words, offer.data, interval, attempts - 1),
    );
    const peer = { address, port, qpn: 0, sourcePort: 0 };
    const known = knownOf(connectionId, peer, id, retryCnt);
    known.offer = offer;
    this.#known.set(connectionId, known);
    return this.#promise(known, method, signal);
  }

  /** Returns the promise of a request or an accepted one, which an abort ends. */
  #promise(known: Known, method: Method, signal?: AbortSignal): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        if (known.settle === undefined || signal === undefined) return;
        this.#native.cmDisconnect(known.id);
        this.#fail(known, abortReason(signal));
      };
      const done = (): void => {
        delete known.settle;
        if (signal !== undefined) stopListening(signal, onAbort);
      };
      known.settle = {
        method,
        resolve: (connection) => {
          done();
          resolve(connection);
        },
        reject: (error) => {
          done();
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what the program has aborted with
          reject(error);
        },
      };
      if (signal !== undefined) listenForAbort(signal, onAbort);
    });
  }

  /** Reads what the program says of its queue pair. */
  #offerOf(method: Method, given: Partial<Record<keyof AcceptOptions, unknown>>): Offer {
    const { minRnrTimer = 12, rnrRetry = 7, timeout = 14, privateData } = given;
    const access = readAccessBits(method, given.access, 'options.access');
    const data =
      privateData === undefined ? NO_DATA : transientBytesOf(method, privateData, 'options.privateData');
    const numbersOf = {
      minRnrTimer: integer(minRnrTimer, 'options.minRnrTimer', 0, 31),
      rnrRetry: integer(rnrRetry, 'options.rnrRetry', 0, 7),
      timeout: integer(timeout, 'options.timeout', 0, 31),
    };
    const managed = manageQp(method, given.qp, this.#home);
    const { maxRdAtomic = managed.mostReads, maxDestRdAtomic = managed.mostReads } = given;
    return {
      managed,
      access,
      data,
      ...numbersOf,
      maxRdAtomic: integer(maxRdAtomic, 'options.maxRdAtomic', 0, managed.mostReads),
      maxDestRdAtomic: integer(maxDestRdAtomic, 'options.maxDestRdAtomic', 0, managed.mostReads),
      psn: randomPsn(),
    };
  }

  /** Takes the events of the native connection manager. A handler of the program may throw: then the rest is still there. */
  deliver(): void {
    for (;;) {
      const words = new PlainNumbers(CmEventWord.Words);
      const data = new Uint8Array(MOST_DATA);
      const address = this.#native.takeCmEvent(words, data);
      if (address === undefined) return;
      this.#take(words, address, data);
    }
  }

  #take(words: Uint32Array, address: string, data: Uint8Array): void {
    const id = numbers(words, CmEventWord.Id);
    const privateData = data.subarray(0, numbers(words, CmEventWord.DataLength));
    const kind: number = numbers(words, CmEventWord.Kind);
    if (kind === (CmEventKind.Request as number)) {
      this.#onRequest(id, words, address, privateData);
      return;
    }
    const known = this.#known.get(id);
    switch (kind) {
      case CmEventKind.Reply as number:
        if (known?.settle === undefined) this.#native.cmDisconnect(id);
        else this.#onReply(known, words, privateData);
        break;
      case CmEventKind.Established as number:
        if (known?.connection !== undefined) known.settle?.resolve(known.connection.facade);
        break;
      case CmEventKind.Rejected as number:
        if (known !== undefined)
          this.#fail(known, rejected(known, numbers(words, CmEventWord.Reason), privateData));
        break;
      case CmEventKind.Timeout as number:
        if (known !== undefined)
          this.#fail(known, explainedError(methodOf(known), 'ETIMEDOUT', 'ConnectionTimeout'));
        break;
      case CmEventKind.Disconnect as number:
        known?.offer?.managed.stop(); // before the peer is told that it may forget the connection
        this.#native.cmDisconnect(id);
        if (known !== undefined) this.#end(known, known.isLeaving ? 'program' : 'peer');
        break;
      case CmEventKind.Disconnected as number:
        known?.offer?.managed.stop();
        if (known !== undefined) this.#end(known, 'program');
        break;
      default:
        break;
    }
  }

  #onRequest(id: number, words: Uint32Array, address: string, privateData: Uint8Array): void {
    const handler = this.#listeners.get(numbers(words, CmEventWord.Listener));
    if (handler === undefined) {
      this.#native.cmDisconnect(id);
      return;
    }
    const service =
      BigInt(numbers(words, CmEventWord.Service)) +
      BigInt(words[CmEventWord.Service + 1] ?? 0) * BigInt(HALF_RANGE);
    const known = knownOf(id, peerOf(words, address), service, numbers(words, CmEventWord.RetryCnt));
    this.#known.set(id, known);
    const expectOpen = (method: Method): void => {
      if (known.isAnswered) throw explainedError(method, 'EINVAL', 'ConnectionState');
      if (this.#known.get(id) !== known) throw explainedError(method, 'EBADF', 'ConnectionGone');
    };
    const request: ConnectionRequest = {
      peer: known.peer,
      service,
      privateData,
      pathMtu: (MTU_OF_CODE << numbers(words, CmEventWord.PathMtu)) as PathMtu,
      initiatorDepth: numbers(words, CmEventWord.InitiatorDepth),
      responderResources: numbers(words, CmEventWord.ResponderResources),
      accept: (options) =>
        promised(() => {
          const given = requiredOptionsOf<ServiceConnectOptions>(options, OFFER_NAMES);
          const offer = this.#offerOf('ConnectionRequest.accept', given);
          expectOpen('ConnectionRequest.accept');
          return this.#accept(known, words, offer, privateData);
        }),
      reject: (bytes) => {
        const method = 'ConnectionRequest.reject';
        const sent = bytes === undefined ? NO_DATA : transientBytesOf(method, bytes, 'privateData');
        expectOpen(method);
        throwOnError(method, this.#native.cmReject(id, sent));
        known.isAnswered = true;
        this.#known.delete(id);
      },
    };
    handler(Object.freeze(request));
  }

  #accept(known: Known, words: Uint32Array, offer: Offer, privateData: Uint8Array): Promise<Connection> {
    const method = 'ConnectionRequest.accept';
    const reads = {
      maxRdAtomic: Math.min(offer.maxRdAtomic, numbers(words, CmEventWord.ResponderResources)),
      maxDestRdAtomic: Math.min(offer.maxDestRdAtomic, numbers(words, CmEventWord.InitiatorDepth)),
    };
    this.#connectQp(method, known, offer, words, reads);
    const answer = wordsOf(offer, reads.maxRdAtomic, reads.maxDestRdAtomic);
    const status = this.#native.cmAccept(known.id, answer, offer.data);
    if (status < 0) {
      const error = rdmaError(method, status);
      offer.managed.undo();
      throw error;
    }
    known.isAnswered = true;
    known.offer = offer;
    this.#makeConnection(known, privateData);
    return this.#promise(known, method);
  }

  #onReply(known: Known, words: Uint32Array, privateData: Uint8Array): void {
    const { offer, settle } = known;
    if (offer === undefined || settle === undefined) return;
    known.peer = Object.freeze({ ...known.peer, qpn: numbers(words, CmEventWord.Qpn) });
    try {
      this.#connectQp(settle.method, known, offer, words, {
        maxRdAtomic: Math.min(offer.maxRdAtomic, numbers(words, CmEventWord.ResponderResources)),
        maxDestRdAtomic: Math.min(offer.maxDestRdAtomic, numbers(words, CmEventWord.InitiatorDepth)),
      });
      throwOnError(settle.method, this.#native.cmConfirm(known.id));
    } catch (error) {
      this.#native.cmDisconnect(known.id);
      this.#fail(known, error);
      return;
    }
    this.#makeConnection(known, privateData);
    const { connection } = known;
    if (connection !== undefined) settle.resolve(connection.facade);
  }

  #connectQp(
    method: Method,
    known: Known,
    offer: Offer,
    words: Uint32Array,
    reads: { maxRdAtomic: number; maxDestRdAtomic: number },
  ): void {
    offer.managed.connect(method, this.#native, {
      address: known.peer.address,
      port: known.peer.port,
      destQpn: numbers(words, CmEventWord.Qpn),
      rqPsn: offer.psn,
      // "Starting PSN" is where the one who reads it begins to send.
      sqPsn: numbers(words, CmEventWord.Psn),
      access: offer.access,
      pathMtu: MTU_OF_CODE << numbers(words, CmEventWord.PathMtu),
      minRnrTimer: offer.minRnrTimer,
      rnrRetry: numbers(words, CmEventWord.RnrRetry),
      retryCnt: known.retryCnt,
      timeout: offer.timeout,
      ...reads,
    });
  }

  #makeConnection(known: Known, privateData: Uint8Array): void {
    const { offer, peer, service } = known;
    if (offer === undefined) return;
    let isConnected = true;
    let resolveClosed: ((by: DisconnectedBy) => void) | undefined;
    const closed = new Promise<DisconnectedBy>((resolve) => {
      resolveClosed = resolve;
    });
    const facade: Connection = Object.freeze({
      qp: offer.managed.qp,
      peer,
      service,
      privateData,
      get isConnected() {
        return isConnected;
      },
      closed,
      disconnect: () => {
        if (isConnected && !known.isLeaving) {
          known.isLeaving = true;
          offer.managed.stop();
          this.#native.cmDisconnect(known.id);
        }
        return closed;
      },
    });
    known.connection = {
      facade,
      end: (by) => {
        isConnected = false;
        resolveClosed?.(by);
      },
    };
  }

  /** A request that came to nothing. */
  #fail(known: Known, error: unknown): void {
    this.#known.delete(known.id);
    known.offer?.managed.stop();
    known.connection?.end('peer');
    known.settle?.reject(error);
  }

  /** A connection that was, or was about to be. */
  #end(known: Known, by: DisconnectedBy): void {
    this.#known.delete(known.id);
    const wasEstablished = known.settle === undefined;
    known.settle?.reject(explainedError(methodOf(known), 'EBADF', 'ConnectionGone'));
    known.connection?.end(by);
    if (wasEstablished && known.connection !== undefined) this.#tell(known.connection.facade, by);
  }

  /** Ends everything: the endpoint is closed. */
  end(): void {
    this.#listeners.clear();
    const all = ownList<Known>();
    mapOf.forEach(this.#known, (known) => {
      all[all.length] = known;
    });
    for (let i = 0; i < all.length; i++) {
      const known = all[i];
      if (known === undefined) continue;
      if (known.settle !== undefined)
        this.#fail(known, explainedError(methodOf(known), 'EBADF', 'EndpointClosed'));
      else this.#end(known, 'endpoint');
    }
  }

  counters(): ConnectionCounters {
    const counts = new BigUint64Array(CmCounter.Count);
    this.#native.cmCounters(counts);
    const of = (counter: CmCounter): number => Number(counts[counter] ?? 0n);
    return {
      received: of(CmCounter.Received),
      sent: of(CmCounter.Sent),
      repeated: of(CmCounter.Repeated),
      malformed: of(CmCounter.Malformed),
      duplicates: of(CmCounter.Duplicates),
      unknown: of(CmCounter.Unknown),
      requests: of(CmCounter.Requests),
      refused: of(CmCounter.Refused),
      stale: of(CmCounter.Stale),
      overflows: of(CmCounter.Overflows),
      timeouts: of(CmCounter.Timeouts),
      halfOpen: of(CmCounter.HalfOpen),
      open: of(CmCounter.Open),
    };
  }
}

const OFFER_NAMES = [
  'qp',
  'access',
  'privateData',
  'minRnrTimer',
  'rnrRetry',
  'timeout',
  'maxRdAtomic',
  'maxDestRdAtomic',
] as const;

/** As other methods with promises do: wrong arguments throw at once, failures reject. */
function promised(call: () => Promise<Connection>): Promise<Connection> {
  try {
    return call();
  } catch (error) {
    if (error instanceof RdmaError) return Promise.reject(error);
    throw error;
  }
}

/** A port of `RDMA_PS_TCP`, or a service id. */
function serviceOf(service: unknown): bigint {
  if (typeof service === 'bigint') return u64(service, 'service');
  return tcpService(integer(service, 'service', 1, MOST_PORT));
}

function wordsOf(offer: Offer, maxRdAtomic: number, maxDestRdAtomic: number): Uint32Array {
  const words = new PlainNumbers(CmOfferWord.Words);
  words[CmOfferWord.Qpn] = offer.managed.qpn;
  words[CmOfferWord.Psn] = offer.psn;
  words[CmOfferWord.ResponderResources] = maxDestRdAtomic;
  words[CmOfferWord.InitiatorDepth] = maxRdAtomic;
  words[CmOfferWord.RnrRetry] = offer.rnrRetry;
  words[CmOfferWord.Srq] = offer.managed.hasSrq ? 1 : 0;
  return words;
}

function peerOf(words: Uint32Array, address: string): ConnectionPeer {
  return Object.freeze({
    address,
    port: numbers(words, CmEventWord.Port),
    qpn: numbers(words, CmEventWord.Qpn),
    sourcePort: numbers(words, CmEventWord.SourcePort),
  });
}

function knownOf(id: number, peer: ConnectionPeer, service: bigint, retryCnt: number): Known {
  return { id, peer, service, retryCnt, isAnswered: false, isLeaving: false };
}

const methodOf = (known: Known): Method => known.settle?.method ?? 'ConnectionRequest.accept';

function rejected(known: Known, reason: number, privateData: Uint8Array): RdmaError {
  const error = explainedError(methodOf(known), 'ECONNREFUSED', 'ConnectionRejected', {
    value: BigInt(reason),
  });
  // Not enumerable, so that a logged error is not a page of zeros.
  defineProperty(error, 'privateData', { __proto__: null, value: privateData } as PropertyDescriptor);
  return error;
}
