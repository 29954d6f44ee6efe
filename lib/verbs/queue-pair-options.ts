/** The options of a queue pair's methods, and what their arguments name. */
import { type Access } from './access';
import { type AddressHandle } from './address-handle';
import { type CompletionQueue } from './completion-queue';
import { type Endpoint } from './endpoint';
import { type Lkey, type Rkey } from './keys';
import { type PathMtu } from './qp-attributes';
import { type QpType } from './qp-types';
import { type AbortSignalLike } from './region';
import { type SharedReceiveQueue } from './shared-receive-queue';

/** The address range and key of a peer's request. */
export interface RemoteRequest {
  /** Remote address of the first byte of the range. */
  vaddr: bigint | number;
  /** Length of the range in bytes, 0..2^32-1. */
  length: number;
  /** The rkey of the region that contains the range. */
  rkey: Rkey;
}

/** Options of {@link QueuePair.fastRegMr}. */
export interface FastRegMrOptions {
  /** The new key: the low byte may change, the upper 24 bits must not. See {@link fastRegKey}. */
  key: Lkey | Rkey;
  /** The new access rights of the region, bits of {@link Access}. */
  access: Access;
  /** The new remote address of the first byte. Default: the address that {@link MemoryRegion.mapSg} set. */
  iova?: bigint | number;
}

/** Options of {@link ProtectionDomain.createQp} for a queue pair with queues. */
export interface CreateQpOptions<Type extends QpType = 'RC' | 'UC' | 'UD'> {
  /** Type of the queue pair. */
  type: Type;
  /** Receives the completions of sends. */
  sendCq: CompletionQueue;
  /** Receives the completions of receives. Default: `sendCq`. */
  recvCq?: CompletionQueue;
  /** Take receives from this queue. `maxRecvWr` and `maxRecvSge` are then ignored. Default: the queue pair's own queue. */
  srq?: SharedReceiveQueue;
  /** How many work requests the send queue holds. Default 64. */
  maxSendWr?: number;
  /** How many receives the receive queue holds. Default 64. */
  maxRecvWr?: number;
  /** How many elements a send work request may have. Default 4. */
  maxSendSge?: number;
  /** How many elements a receive may have. Default 4. */
  maxRecvSge?: number;
  /** Give every send work request a completion, as if all were `signaled`. Default false. */
  sqSigAll?: boolean;
  /**
   * How many operations with promises ({@link QueuePair.write} and others) may wait while the send queue is full, and how many
   * while the receive queue is full. Default 1024.
   */
  maxPending?: number;
}

/** Options of {@link QueuePair.connect}, for both queue pairs. */
export interface ConnectOptions {
  /** What each may do to the memory of the other: bits of {@link Access}: RemoteRead, RemoteWrite, RemoteAtomic. */
  access: Access;
  /** Largest packet. Default 4096. */
  pathMtu?: PathMtu;
  /** See {@link QpAttributes.minRnrTimer}. Default 12 (640 us). */
  minRnrTimer?: number;
  /** See {@link QpAttributes.rnrRetry}. Default 7: without end. */
  rnrRetry?: number;
  /** See {@link QpAttributes.retryCnt}. Default 7. */
  retryCnt?: number;
  /** See {@link QpAttributes.timeout}. Default 14. */
  timeout?: number;
  /** Most reads and atomics outstanding. Default: the device's `maxRdmaAtomic`, through an endpoint at most 16. */
  maxRdAtomic?: number;
}

/**
 * Options of {@link QueuePair.connect} with a queue pair at the other end of a network; the {@link WireAddress} is of that one. A UC
 * queue pair ignores what is about acknowledgements, reads and atomics.
 */
export interface WireConnectOptions extends ConnectOptions {
  /** The endpoint through which packets are sent and received. */
  endpoint: Endpoint;
  /** IPv4 or IPv6 address of the peer, of the same family as the endpoint's. Packets from other addresses are dropped. */
  address: string;
  /** UDP port to which packets are sent, 1..65535. Default 4791. */
  port?: number;
  /** Number of the peer's queue pair, 0..2^24-1. */
  qpn: number;
  /** Number of the first packet that the peer sends, 0..2^24-1. */
  psn: number;
  /**
   * Number of the first packet that this queue pair sends, 0..2^24-1, if the program draws it itself. Default: the one that
   * {@link Endpoint.describe} returns.
   */
  localPsn?: number;
  /** Largest packet: what the whole path carries, less 64 bytes of headers (84 with IPv6). Must be the same at both ends. Default 1024. */
  pathMtu?: PathMtu;
  /** Most reads and atomics of the peer that are outstanding here, 0..16. Default: the device's `maxRdmaAtomic`, at most 16. */
  maxDestRdAtomic?: number;
}

/** Options of {@link QueuePair.activate}. */
export interface ActivateOptions {
  /** The Q_Key that datagrams to this queue pair must have, 0..2^32-1. */
  qkey: number;
  /**
   * The endpoint through which datagrams are sent and received. Default: none; the queue pair talks to those of its device.
   */
  endpoint?: Endpoint;
  /**
   * The most bytes of a datagram, with an endpoint: what the whole path carries, less 56 bytes of headers (76 with IPv6). Longer ones
   * are neither posted nor received. Default 1024. Only with `endpoint`.
   */
  pathMtu?: PathMtu;
  /**
   * Number of the first datagram, 0..2^24-1. Default: the one that {@link Endpoint.describe} returns. Only with `endpoint`.
   */
  localPsn?: number;
}

/** Options of the methods that return a promise for a completion. */
export interface OperationOptions {
  /**
   * Rejects the promise when it aborts. Takes back a work request that is not posted yet; one that is posted goes on without a
   * promise.
   */
  signal?: AbortSignalLike;
}

/** Options of {@link QueuePair.write}. */
export interface WriteOptions extends OperationOptions {
  /** Immediate data for a receive of the peer, 0..2^32-1. Default: none, and no receive is taken. */
  imm?: number;
}

/** Options of {@link QueuePair.send}. */
export type SendOptions<Type extends QpType = 'RC' | 'UC' | 'UD'> = OperationOptions & {
  /** Immediate data, 0..2^32-1. */
  imm?: number;
  /** Mark the peer's completion as solicited. Default false. */
  solicited?: boolean;
} & (Type extends 'UD'
    ? {
        /** The path to the peer. */
        ah: AddressHandle;
        /** Number of the peer's queue pair. */
        remoteQpn: number;
        /** The peer's Q_Key; see {@link DatagramDestination.remoteQkey}. */
        remoteQkey: number;
      }
    : Type extends 'RC'
      ? {
          /** A key of the peer to invalidate. Not together with `imm`. */
          invalidateRkey?: Rkey;
        }
      : unknown);

/** The peer's memory that a write, read or atomic accesses; an {@link Advertisement} is one. */
export type RemoteMemory =
  | {
      /** Remote address of the first byte. */
      vaddr: bigint | number;
      /** The rkey of the region. */
      rkey: Rkey;
    }
  | {
      /** Remote address of the first byte. */
      remoteAddr: bigint | number;
      /** The rkey of the region. */
      rkey: Rkey;
    };
