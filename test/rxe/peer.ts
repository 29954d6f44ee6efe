// One side of a connection, whatever implements it: soft-RoCE in the guest, or an endpoint of this package.
import type { CompletionStatus, PairState } from './verbs-shell';

/** Rights of regions and of queue pairs, by their numbers in <infiniband/verbs.h>. */
export const Right = { LocalWrite: 1, RemoteWrite: 2, RemoteRead: 4, RemoteAtomic: 8 } as const;
export const ALL_RIGHTS = 15;

/** Syndromes of acknowledge packets that refuse. */
export const Nak = {
  Sequence: 0x60,
  InvalidRequest: 0x61,
  RemoteAccess: 0x62,
  RemoteOperation: 0x63,
} as const;

export type Family = 'ipv4' | 'ipv6';

/** Types of queue pairs. */
export type Service = 'rc' | 'uc' | 'ud';
/** The largest datagram of a peer. */
export const DATAGRAM_BYTES = 4096;
/** Bytes in front of a datagram that is received. */
export const GRH_BYTES = 40;

/** Memory of a peer that the other may reach. */
export interface PeerRegion {
  readonly address: bigint;
  readonly rkey: number;
  readonly length: number;
  /** Writes {@link patternOf} into a range; default: all. */
  fill(seed: number, offset?: number, length?: number): Promise<void>;
  /** Returns the index of the range's first byte that is not of the pattern; -1 if there is none. */
  differs(seed: number, offset?: number, length?: number): Promise<number>;
  /** Writes 64 bits in the byte order of the machine, as atomics see them. */
  setWord(offset: number, value: bigint): Promise<void>;
  word(offset: number): Promise<bigint>;
  deregister(): Promise<void>;
}

/** A key over a part of a region, which a peer may invalidate: a window, or a fast registration. */
export interface PeerWindow {
  readonly address: bigint;
  readonly rkey: number;
}

/** Byte `i` of a range that is filled. It changes from packet to packet, so that packets that are swapped show. */
export function patternOf(length: number, seed: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13 + seed) & 255));
}

export type Operation = 'write' | 'write_imm' | 'read' | 'send' | 'send_imm' | 'send_inv' | 'cas' | 'faa';

/** A request, of one element. */
export interface PeerRequest {
  readonly id: number;
  readonly operation: Operation;
  /** The requester's memory. */
  readonly region: PeerRegion;
  readonly offset?: number;
  readonly length: number;
  /** The responder's memory. */
  readonly address?: bigint;
  readonly rkey?: number;
  readonly immediate?: number;
  /** SEND with invalidate: the key. */
  readonly invalidate?: number;
  readonly compare?: bigint;
  readonly swap?: bigint;
  readonly add?: bigint;
  /** UD: where it goes. */
  readonly to?: { readonly address: string; readonly number: number; readonly qkey: number };
}

export interface PeerCompletion {
  readonly id: number;
  readonly status: CompletionStatus;
  readonly length: number;
  /** Of a receive: the immediate, or the key that was invalidated. */
  readonly immediate?: number;
  readonly invalidated?: number;
  /** Of a datagram: the number of the sender's queue pair. */
  readonly from?: number;
}

/** Attributes of a connection. Times and counts are codes of the verbs. */
export interface Connection {
  readonly mtu?: 256 | 512 | 1024 | 2048 | 4096;
  readonly timeout?: number;
  readonly retryCount?: number;
  readonly rnrRetry?: number;
  readonly minRnrTimer?: number;
  /** What the queue pair lets the other side do. */
  readonly rights?: number;
}

export interface PeerPair {
  readonly number: number;
  connect(
    to: { address: string; number: number; psn: number },
    mine: { psn: number } & Connection,
  ): Promise<void>;
  /** Makes a UD queue pair ready. */
  activate(mine: { psn: number; qkey: number }): Promise<void>;
  post(request: PeerRequest): Promise<void>;
  receive(id: number, region: PeerRegion, offset: number, length: number): Promise<void>;
  /** Waits until there are so many completions, at most `ms`. */
  completions(count: number, ms?: number): Promise<PeerCompletion[]>;
  state(): Promise<PairState>;
}

/** How a SEND is refused that is longer than its receive. */
export interface TooLong {
  readonly syndrome: number;
  /** Statuses of the two completions. */
  readonly requester: CompletionStatus;
  readonly responder: CompletionStatus;
}

export interface Peer {
  /** What it is, for titles: `soft-RoCE`. */
  readonly title: string;
  readonly tooLong: TooLong;
  /** Status of a READ of this peer whose rest is refused after a part of it has come. The queue pair is in ERR then. */
  readonly brokenRead: CompletionStatus;
  /** Whether it refuses a READ that comes again and is not allowed any more. If not, it is silent. */
  readonly refusesRepeatedRead: boolean;
  /** Whether a UC message of which a packet behind the first is missing takes the next message with it. */
  readonly losesNextMessage: boolean;
  addressOf(family: Family): string;
  region(length: number, rights?: number): Promise<PeerRegion>;
  /** Makes a key over the whole region that a SEND with invalidate may end. The pair must be connected. */
  window(pair: PeerPair, region: PeerRegion): Promise<PeerWindow>;
  pair(family: Family, service?: Service): Promise<PeerPair>;
  /** Destroys everything that was made, after a test. */
  reset(): Promise<void>;
}
