/** The options of connections that an endpoint makes, and what programs get of them. */
import { type MemoryLike } from '../internal/memory-argument';
import { type Access } from './access';
import { type PathMtu } from './qp-attributes';
import { type QueuePair } from './queue-pair';
import { type AbortSignalLike } from './region';

/** What both ends of a connection say of their queue pairs. */
export interface ConnectionOptions {
  /**
   * The queue pair, in RESET or INIT. In INIT (`qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access })`) it can have receives
   * already, so that the first message of the peer finds one.
   */
  qp: QueuePair<'RC'>;
  /** What the peer may do to the memory of this end: bits of {@link Access}: RemoteRead, RemoteWrite, RemoteAtomic. */
  access: Access;
  /**
   * Bytes for the program at the other end: in a request for a port at most 56, for another service 92; in an answer 196. The other
   * end gets them with zeros behind them. They are neither secret nor authentic.
   */
  privateData?: MemoryLike;
  /** How long the peer waits when there is no receive for its message; see {@link QpAttributes.minRnrTimer}. Default 12 (640 us). */
  minRnrTimer?: number;
  /** How often the peer sends such a message again, 0..7. Default 7: without end. */
  rnrRetry?: number;
  /** How long this end waits for an answer; see {@link QpAttributes.timeout}. Default 14 (67 ms). */
  timeout?: number;
  /** Most reads and atomics of this end outstanding, if the peer can answer so many. Default: the most possible, at most 16. */
  maxRdAtomic?: number;
  /** Most reads and atomics of the peer outstanding here, 0..16. Default: the most possible, at most 16. */
  maxDestRdAtomic?: number;
}

/** Options of {@link ConnectionRequest.accept}. What they do not have, the request has said. */
export type AcceptOptions = ConnectionOptions;

/** Options of {@link Endpoint.connect}. */
export interface ServiceConnectOptions extends ConnectionOptions {
  /** UDP port of the peer's endpoint, 1..65535. Default 4791, at which every RoCEv2 peer is. */
  port?: number;
  /** Largest packet: what the whole path carries, less 64 bytes of headers (84 with IPv6). Default 1024. */
  pathMtu?: PathMtu;
  /** How often either end sends a packet again that is not answered, 0..7. Default 7. */
  retryCnt?: number;
  /** How often the request is sent, 1..16. Default 8. */
  attempts?: number;
  /** Milliseconds between two of these, 1..60,000. Default 1000. */
  attemptMs?: number;
  /** Takes the request back when it aborts, and rejects the promise. */
  signal?: AbortSignalLike;
}

/** Options of {@link Endpoint.listen}. */
export interface ListenOptions {
  /** How many requests may be half-open, 1..4096: not answered by the program, or not confirmed by their peers. Default 64. */
  backlog?: number;
}

/** Returned by {@link Endpoint.listen}. */
export interface ConnectionListener {
  /** The service id. */
  readonly service: bigint;
  /** Ends listening. Requests of which the program has not heard are rejected; the others, and connections, stay. */
  close(): void;
}

/** The other end of a connection, or of a request for one. */
export interface ConnectionPeer {
  /** Its address. */
  readonly address: string;
  /** UDP port to which packets are sent. */
  readonly port: number;
  /** Number of its queue pair. */
  readonly qpn: number;
  /** The port that its program has bound, as it says; 0 if it says none. */
  readonly sourcePort: number;
}

/**
 * A peer's request for a connection. It waits for {@link ConnectionRequest.accept} or {@link ConnectionRequest.reject} for 60 seconds;
 * a peer that asks again meanwhile is told to wait.
 */
export interface ConnectionRequest {
  readonly peer: ConnectionPeer;
  /** The service id that was asked for; of a port of `RDMA_PS_TCP` it is `0x01060000` + port. */
  readonly service: bigint;
  /** The peer's bytes, with zeros behind them: 56 for a port, 92 for another service. A stranger has written them. */
  readonly privateData: Uint8Array;
  /** The path MTU that the peer asks for: that of the connection. */
  readonly pathMtu: PathMtu;
  /** How many reads and atomics the peer wants to have outstanding here, and how many it can answer. */
  readonly initiatorDepth: number;
  readonly responderResources: number;
  /**
   * Accepts the request: brings the queue pair to RTS, and answers. The queue pair takes the peer's messages from then on, though the
   * promise is resolved only when the peer has confirmed.
   *
   * @returns a promise of the connection. It rejects with an {@link RdmaError}: `EBADF`: the request is over, or the endpoint is closed;
   *   `EINVAL`: it was answered before, the queue pair cannot be used, or there is too much private data; `EBUSY`: the queue pair has a
   *   connection; `EACCES`: too many requests of the peer were refused; `ETIMEDOUT`: the peer did not confirm; `ECONNREFUSED`: it has
   *   changed its mind; `ENOMEM`. After an error of an argument the request still waits
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  accept(options: AcceptOptions): Promise<Connection>;
  /**
   * Rejects the request: the peer gets reason 28, and up to 148 bytes.
   *
   * @throws RdmaError `EBADF`: the request is over, or the endpoint is closed; `EINVAL`: it was answered before, or there are too many bytes
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  reject(privateData?: MemoryLike): void;
}

/** Who has ended a connection: a program, by {@link Connection.disconnect} or the end of its queue pair, or the end of the endpoint. */
export type DisconnectedBy = 'program' | 'peer' | 'endpoint';

/** A connection. */
export interface Connection {
  /** The queue pair of this end. */
  readonly qp: QueuePair<'RC'>;
  readonly peer: ConnectionPeer;
  readonly service: bigint;
  /** What the peer's program has sent with its request or its answer, with zeros behind it. */
  readonly privateData: Uint8Array;
  readonly isConnected: boolean;
  /** Resolved when the connection has ended, with who has ended it. Never rejected. */
  readonly closed: Promise<DisconnectedBy>;
  /**
   * Ends the connection: the queue pair goes into the error state, which flushes its work requests, and the peer is told. Wait for the
   * completions of what must arrive before. Does nothing if the connection has ended.
   *
   * @returns {@link Connection.closed}, which is resolved when the peer has answered, or is silent for five seconds
   */
  disconnect(): Promise<DisconnectedBy>;
}

/** Service ids of ports, in the port space RDMA_PS_TCP. */
const TCP_SERVICES = 0x0000_0000_0106_0000n;

/** Returns the service id of a port in the port space `RDMA_PS_TCP`, for which programs with librdmacm listen. */
export function tcpService(port: number): bigint {
  return TCP_SERVICES + BigInt(port);
}
