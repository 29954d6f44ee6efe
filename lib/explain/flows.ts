/**
 * Flows: all packets from one address to one queue pair of another address. A connection is two flows, one in each direction, that
 * are mates: the answers to the requests of a flow travel in its mate.
 */
import { WireRow } from '../internal/layout';
import { Hosts } from './hosts';
import { get } from './reading';

/** Most flows that are told apart; half as many connections. Packets of further ones are counted, not analysed. */
export const MOST_FLOWS = 8192;

/** Words of a flow. Slots of requests, and other flows, are stored plus 1, so that 0 means none. */
export const enum FlowWord {
  /** The addresses, four words each. */
  Source = 0,
  Destination = 4,
  /** Number of the destination's queue pair. */
  QueuePair = 8,
  SourceHost = 9,
  DestinationHost = 10,
  Mate = 11,
  /** Bits of {@link FlowFlag}. */
  Flags = 12,
  Transport = 13,
  /** The PSN that the next new packet should have. */
  NextPsn = 14,
  /** The last PSN that was sent since the requester last went back. */
  SentPsn = 15,
  /** Payload of a full packet in bytes; 0 if not known. */
  Mtu = 16,
  /** The requests of the flow that are kept: oldest, newest, and the oldest one that is not settled. */
  Oldest = 17,
  Newest = 18,
  FirstOpen = 19,
  /** The message of several packets that has begun and not ended. */
  Unfinished = 20,
  /** The READ that was answered last. */
  Answered = 21,
  /** With {@link FlowFlag.Failed}: PSN of the refused request. */
  FailedPsn = 22,
  /** With {@link FlowFlag.Awaited}: the PSN that the responder waits for. */
  AwaitedPsn = 23,
  /** Message sequence number of the last acknowledgement. */
  Msn = 24,
  /** The next flow with the same two addresses in the same direction. */
  NextOfPair = 25,
  /** Number of the source's queue pair where a datagram or the connection manager told it; 0: not known. */
  SourceQueuePair = 26,
  Requests = 27,
  Acknowledged = 28,
  Refused = 29,
  Unanswered = 30,
  Repeated = 31,
  RnrNaks = 32,
  SequenceNaks = 33,
  BadPackets = 34,
  MissingPackets = 35,
  /** Answers that arrived for requests of this flow. */
  Answers = 36,
  /** Packets that wait until what belongs before them comes: of its requests, and answers to them. */
  Held = 37,
  /** Which PSNs were sent since the requester last went back: bit i is that of SentPsn - i. */
  SentBits = 38,
  Words = 40,
}

export const enum FlowDouble {
  FirstPacket = 0,
  LastPacket = 1,
  Packets = 2,
  /** Bytes that the requests moved or asked for. */
  Bytes = 3,
  /** Number of the packet with the NAK that ended the connection. */
  FailedPacket = 4,
  /** Number of the packet with the last NAK for a PSN sequence error. */
  AwaitedPacket = 5,
  /** Number of the packet with which the requester last went back and sent again; 0: it did not. */
  ReturnPacket = 6,
  Words = 7,
}

export const enum FlowFlag {
  /** NextPsn is known. */
  Started = 1,
  /** The last request is a READ of unknown path MTU, so NextPsn is only the least that the next PSN can be. */
  Uncertain = 2,
  /** A NAK put the connection into error. */
  Failed = 4,
  /** The responder asked for a PSN again and has not got it yet. */
  Awaited = 8,
  /** Msn is known. */
  MsnKnown = 16,
  /** Which flow is the mate could not be told with certainty. */
  Guessed = 32,
  /** The number of SourceQueuePair is known. */
  SourceKnown = 64,
  /** Its first packet waits for the second. */
  Starting = 128,
}

/** A power of two above twice {@link MOST_FLOWS}, so that probing ends early. */
const BUCKETS = 4 * MOST_FLOWS;

/** The table of flows. Looking up a packet's flow allocates nothing. */
export class Flows {
  readonly words = new Uint32Array(MOST_FLOWS * FlowWord.Words);
  readonly doubles = new Float64Array(MOST_FLOWS * FlowDouble.Words);
  readonly hosts = new Hosts();
  count = 0;
  /** Flow plus 1 by bucket. */
  readonly #buckets = new Uint16Array(BUCKETS);
  /** The newest flow by its two addresses. */
  readonly #pairs = new Map<number, number>();

  get(flow: number, word: FlowWord): number {
    return this.words[flow * FlowWord.Words + word] ?? 0;
  }

  set(flow: number, word: FlowWord, value: number): void {
    this.words[flow * FlowWord.Words + word] = value;
  }

  add(flow: number, word: FlowWord, amount: number): void {
    this.set(flow, word, this.get(flow, word) + amount);
  }

  getDouble(flow: number, double: FlowDouble): number {
    return this.doubles[flow * FlowDouble.Words + double] ?? 0;
  }

  setDouble(flow: number, double: FlowDouble, value: number): void {
    this.doubles[flow * FlowDouble.Words + double] = value;
  }

  has(flow: number, flag: FlowFlag): boolean {
    return (this.get(flow, FlowWord.Flags) & flag) !== 0;
  }

  raise(flow: number, flag: FlowFlag): void {
    this.set(flow, FlowWord.Flags, this.get(flow, FlowWord.Flags) | flag);
  }

  lower(flow: number, flag: FlowFlag): void {
    this.set(flow, FlowWord.Flags, this.get(flow, FlowWord.Flags) & ~flag);
  }

  /**
   * Returns the flow of a packet.
   *
   * @param rows - rows of packets
   * @param at - index of the packet's first word
   * @returns -1 if there are too many flows
   */
  ofPacket(rows: Uint32Array, at: number): number {
    const hash =
      get(rows, at + WireRow.SourceHash) ^ Math.imul(get(rows, at + WireRow.DestinationHash), 0x9e3779b1);
    return this.#find(
      rows,
      at + WireRow.Source,
      at + WireRow.Destination,
      get(rows, at + WireRow.DestQp),
      hash,
    );
  }

  /** The words of a flow that is looked up without a packet. */
  readonly #asked = new Uint32Array(8);

  /**
   * Returns the flow from `source` to a queue pair of `destination`, where both are the addresses of packet `at` in either order.
   *
   * @param reverse - look for a flow from the packet's destination to its source
   */
  ofAddresses(rows: Uint32Array, at: number, queuePair: number, reverse: boolean): number {
    const [from, to] = reverse
      ? [WireRow.Destination, WireRow.Source]
      : [WireRow.Source, WireRow.Destination];
    for (let i = 0; i < 4; i++) {
      this.#asked[i] = get(rows, at + from + i);
      this.#asked[4 + i] = get(rows, at + to + i);
    }
    const [fromHash, toHash] = reverse
      ? [WireRow.DestinationHash, WireRow.SourceHash]
      : [WireRow.SourceHash, WireRow.DestinationHash];
    const hash = get(rows, at + fromHash) ^ Math.imul(get(rows, at + toHash), 0x9e3779b1);
    return this.#find(this.#asked, 0, 4, queuePair, hash);
  }

  #find(words: Uint32Array, source: number, destination: number, queuePair: number, hash: number): number {
    let bucket = Math.imul(hash ^ Math.imul(queuePair, 0x85ebca6b), 0xc2b2ae35) >>> 15;
    // An attacker can make all flows fall into one bucket; a limit on the steps keeps a packet's cost constant.
    for (let steps = 0; steps < 64; steps++, bucket++) {
      const flow = (this.#buckets[bucket & (BUCKETS - 1)] ?? 0) - 1;
      if (flow < 0) return this.#create(words, source, destination, queuePair, bucket & (BUCKETS - 1));
      const base = flow * FlowWord.Words;
      const own = this.words;
      if (
        own[base + FlowWord.QueuePair] === queuePair &&
        own[base + 3] === words[source + 3] &&
        own[base + 7] === words[destination + 3] &&
        own[base + 2] === words[source + 2] &&
        own[base + 6] === words[destination + 2] &&
        own[base + 1] === words[source + 1] &&
        own[base + 5] === words[destination + 1] &&
        own[base] === words[source] &&
        own[base + 4] === words[destination]
      ) {
        return flow;
      }
    }
    return -1;
  }

  #create(
    words: Uint32Array,
    source: number,
    destination: number,
    queuePair: number,
    bucket: number,
  ): number {
    if (this.count === MOST_FLOWS) return -1;
    const [from, to] = [this.hosts.number(words, source), this.hosts.number(words, destination)];
    if (from < 0 || to < 0) return -1;
    const flow = this.count++;
    this.#buckets[bucket] = flow + 1;
    const base = flow * FlowWord.Words;
    for (let i = 0; i < 4; i++) {
      this.words[base + FlowWord.Source + i] = get(words, source + i);
      this.words[base + FlowWord.Destination + i] = get(words, destination + i);
    }
    this.set(flow, FlowWord.QueuePair, queuePair);
    this.set(flow, FlowWord.SourceHost, from);
    this.set(flow, FlowWord.DestinationHost, to);
    const pair = from * 65_536 + to;
    this.set(flow, FlowWord.NextOfPair, this.#pairs.get(pair) ?? 0);
    this.#pairs.set(pair, flow + 1);
    return flow;
  }

  /** Returns the newest flow in the opposite direction; -1 if there is none. {@link FlowWord.NextOfPair} leads to the others. */
  newestOpposite(flow: number): number {
    const pair = this.get(flow, FlowWord.DestinationHost) * 65_536 + this.get(flow, FlowWord.SourceHost);
    return (this.#pairs.get(pair) ?? 0) - 1;
  }

  /** Makes two flows the two directions of one connection. A new connection may use queue pairs that had other mates. */
  connect(one: number, other: number): void {
    for (const flow of [one, other]) {
      const former = this.mate(flow);
      if (former >= 0 && former !== one && former !== other) this.set(former, FlowWord.Mate, 0);
    }
    this.set(one, FlowWord.Mate, other + 1);
    this.set(other, FlowWord.Mate, one + 1);
    const mtu = this.get(one, FlowWord.Mtu) || this.get(other, FlowWord.Mtu);
    this.set(one, FlowWord.Mtu, mtu);
    this.set(other, FlowWord.Mtu, mtu);
  }

  /** Returns the flow in the other direction of the same connection; -1 if it is not known. */
  mate(flow: number): number {
    return this.get(flow, FlowWord.Mate) - 1;
  }

  /** Returns the number of the source's queue pair; -1 if it is not known. */
  sourceQueuePair(flow: number): number {
    const mate = this.mate(flow);
    if (mate >= 0) return this.get(mate, FlowWord.QueuePair);
    return this.has(flow, FlowFlag.SourceKnown) ? this.get(flow, FlowWord.SourceQueuePair) : -1;
  }

  /** Learns the payload of a full packet, for both directions. Path MTUs are powers of two from 256 to 4096. */
  learnMtu(flow: number, bytes: number): void {
    if (bytes < 256 || bytes > 4096 || (bytes & (bytes - 1)) !== 0) return;
    this.set(flow, FlowWord.Mtu, bytes);
    const mate = this.mate(flow);
    if (mate >= 0) this.set(mate, FlowWord.Mtu, bytes);
  }
}
