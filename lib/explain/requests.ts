/** The requests that are kept: a ring in the order of their first packets, and for each flow the chain of its own requests. */
import { FlowWord, type Flows } from './flows';
import { psnDistance } from './reading';

/**
 * Most requests that are kept at once. A request leaves the ring, with the outcome that it has by then, when this many later ones
 * have begun.
 */
export const MOST_REQUESTS = 16_384;

/** A settled request stays until this many later ones have begun, because it may be sent again. */
const LINGER_REQUESTS = 1024;
/** ... or until this many seconds have passed in the capture, so that the lines of a live capture appear. */
const LINGER_SECONDS = 2;
/** A request without an answer is given up after this many seconds. */
const GIVE_UP_SECONDS = 60;

/** What became of a request. */
export const enum Outcome {
  /** Not decided yet. */
  Pending = 0,
  Acknowledged = 1,
  /** A NAK that ends the connection. */
  Refused = 2,
  /** Sent on a connection that a NAK had put into error, or was about to. */
  NotCarriedOut = 3,
  /** UC and UD: nothing acknowledges it. */
  Unacknowledged = 4,
  /** The last answer was an RNR NAK. */
  ReceiverNotReady = 5,
  /** The responder waits for an earlier packet, which never came. */
  OutOfSequence = 6,
  /** A READ of which the capture does not have all responses. */
  PartlyAnswered = 7,
  NoAnswer = 8,
}

/** Words of a request. 64-bit numbers have their low word first. Slots are stored plus 1, so that 0 means none. */
export const enum RequestWord {
  Flow = 0,
  Kind = 1,
  /** Bits of {@link RequestFlag}. */
  Flags = 2,
  Outcome = 3,
  Psn = 4,
  /** The last PSN that belongs to it, as far as that is known. */
  LastPsn = 5,
  Address = 6,
  Key = 8,
  /** Bytes of the message: what its header says, or what its packets have. */
  Length = 9,
  Immediate = 10,
  Invalidate = 11,
  /** Payload of its packets in bytes, without repeated ones. */
  Payload = 12,
  Packets = 13,
  /** How often it, or a part of it, was sent again. */
  Repeats = 14,
  RnrNaks = 15,
  SequenceNaks = 16,
  /** Of the NAK that refused it, or of the last RNR NAK. */
  Syndrome = 17,
  /** PSN of the packet that was refused. */
  RefusedPsn = 18,
  NextInFlow = 19,
  PreviousInFlow = 20,
  /** READ: the response that is expected next. */
  NextResponse = 21,
  Responses = 22,
  ResponseBytes = 23,
  /** Packets of it with a wrong ICRC or UDP checksum. */
  BadPackets = 24,
  SwapAdd = 25,
  Compare = 27,
  OriginalValue = 29,
  /** Attribute of a connection manager's message plus 1; 0 for anything else. */
  Cm = 31,
  /** Reason of its REJ. */
  CmReason = 32,
  /** Queue pair that it names. */
  CmQueuePair = 33,
  /** The IP ID for which the ICRC would be right. */
  IcrcIpId = 34,
  Words = 35,
}

export const enum RequestDouble {
  Packet = 0,
  Seconds = 1,
  Nanoseconds = 2,
  /** Number of the packet that settled it; 0: none. */
  AnswerPacket = 3,
  AnswerSeconds = 4,
  AnswerNanoseconds = 5,
  /** Number of the first packet that was sent again. */
  RepeatPacket = 6,
  /** Number of its last packet, without repeated ones. */
  LastPacket = 7,
  /** Number of the first packet that was sent again although the request was settled. */
  NeedlessPacket = 8,
  /** Number of the last packet for which it was counted as sent again. */
  LastRepeat = 9,
  Words = 10,
}

export const enum RequestFlag {
  HasImmediate = 1,
  HasInvalidate = 2,
  /** Its last packet was seen. */
  Complete = 4,
  /** It has an address, a key and a length. */
  HasTarget = 8,
  /** Its first packets are not in the capture. */
  BeginsMidway = 16,
  /** A packet in its middle is not in the capture. */
  HasGap = 32,
  /** It was sent again although an acknowledgement of it is in the capture. */
  RepeatedAfterAnswer = 64,
  /** The ICRC of a packet would be right for another IP ID. */
  OtherIpId = 128,
  BadChecksum = 256,
  /** A response in its middle is not in the capture, or came out of order. */
  ResponseGap = 512,
  /** A later request was answered, so nothing more is expected. */
  PassedOver = 1024,
  /** The length of its header is not that of its payload. */
  WrongLength = 2048,
  /** An opcode that cannot follow the one before it. */
  WrongOrder = 4096,
  /** SEND_WITH_INV: the acknowledgement does not count the message. */
  NotCounted = 8192,
}

/** Receives the requests in the order of their first packets. */
export interface RequestSink {
  /** Called when nothing more is expected to change a request, or the ring is full. The slot is reused afterwards. */
  take(slot: number): void;
}

/** Limits of the search for a PSN, so that a packet's cost stays constant. */
const SEARCH_NEWEST = 256;
const SEARCH_OPEN = 64;

/** The ring of requests. No function here allocates. */
export class Requests {
  readonly words = new Uint32Array(MOST_REQUESTS * RequestWord.Words);
  readonly doubles = new Float64Array(MOST_REQUESTS * RequestDouble.Words);
  /** How many requests there are. */
  count = 0;
  /** Slots: from place `#head` on those of requests, in the order of their first packets, and behind them those that are free. */
  readonly #order = Uint16Array.from({ length: MOST_REQUESTS }, (_, slot) => slot);
  #head = 0;
  readonly #flows: Flows;

  constructor(flows: Flows) {
    this.#flows = flows;
  }

  get(slot: number, word: RequestWord): number {
    return this.words[slot * RequestWord.Words + word] ?? 0;
  }

  set(slot: number, word: RequestWord, value: number): void {
    this.words[slot * RequestWord.Words + word] = value;
  }

  add(slot: number, word: RequestWord, amount: number): void {
    this.set(slot, word, this.get(slot, word) + amount);
  }

  getDouble(slot: number, double: RequestDouble): number {
    return this.doubles[slot * RequestDouble.Words + double] ?? 0;
  }

  setDouble(slot: number, double: RequestDouble, value: number): void {
    this.doubles[slot * RequestDouble.Words + double] = value;
  }

  has(slot: number, flag: RequestFlag): boolean {
    return (this.get(slot, RequestWord.Flags) & flag) !== 0;
  }

  raise(slot: number, flag: RequestFlag): void {
    this.set(slot, RequestWord.Flags, this.get(slot, RequestWord.Flags) | flag);
  }

  outcome(slot: number): Outcome {
    return this.get(slot, RequestWord.Outcome);
  }

  /** Settles a request. Packet and time are those of the answer, if an answer settles it. */
  settle(slot: number, outcome: Outcome, packet = 0, seconds = 0, nanoseconds = 0): void {
    this.set(slot, RequestWord.Outcome, outcome);
    this.setDouble(slot, RequestDouble.AnswerPacket, packet);
    this.setDouble(slot, RequestDouble.AnswerSeconds, seconds);
    this.setDouble(slot, RequestDouble.AnswerNanoseconds, nanoseconds);
  }

  /** The slot of the oldest request. */
  get head(): number {
    return this.#order[this.#head] ?? 0;
  }

  /**
   * Adds a request, empty but for its flow and the number of its first packet. It is the last of its flow. In the ring it comes before
   * those with a later first packet: a packet may have waited for the one before it. The ring must have room.
   */
  append(flow: number, packet: number): number {
    const order = this.#order;
    let place = (this.#head + this.count++) % MOST_REQUESTS;
    const slot = order[place] ?? 0;
    while (place !== this.#head) {
      const before = (place + MOST_REQUESTS - 1) % MOST_REQUESTS;
      const other = order[before] ?? 0;
      if (this.getDouble(other, RequestDouble.Packet) <= packet) break;
      order[place] = other;
      order[before] = slot;
      place = before;
    }
    // Loops, because fill() of so few elements takes longer.
    const { words, doubles } = this;
    for (let at = slot * RequestWord.Words, i = 0; i < RequestWord.Words; i++) words[at++] = 0;
    for (let at = slot * RequestDouble.Words, i = 0; i < RequestDouble.Words; i++) doubles[at++] = 0;
    const flows = this.#flows;
    this.set(slot, RequestWord.Flow, flow);
    this.setDouble(slot, RequestDouble.Packet, packet);
    const newest = flows.get(flow, FlowWord.Newest);
    this.set(slot, RequestWord.PreviousInFlow, newest);
    if (newest === 0) flows.set(flow, FlowWord.Oldest, slot + 1);
    else this.set(newest - 1, RequestWord.NextInFlow, slot + 1);
    flows.set(flow, FlowWord.Newest, slot + 1);
    if (flows.get(flow, FlowWord.FirstOpen) === 0) flows.set(flow, FlowWord.FirstOpen, slot + 1);
    return slot;
  }

  /** Removes the oldest request of the ring. Mostly it is also the oldest of its flow. */
  removeHead(): void {
    const slot = this.head;
    const flows = this.#flows;
    const flow = this.get(slot, RequestWord.Flow);
    const next = this.get(slot, RequestWord.NextInFlow);
    const previous = this.get(slot, RequestWord.PreviousInFlow);
    // A request of an earlier connection is not in the flow's chain any more.
    if (flows.get(flow, FlowWord.Oldest) === slot + 1) flows.set(flow, FlowWord.Oldest, next);
    if (flows.get(flow, FlowWord.Newest) === slot + 1) flows.set(flow, FlowWord.Newest, previous);
    if (next !== 0) this.set(next - 1, RequestWord.PreviousInFlow, previous);
    if (previous !== 0) this.set(previous - 1, RequestWord.NextInFlow, next);
    if (flows.get(flow, FlowWord.FirstOpen) === slot + 1) flows.set(flow, FlowWord.FirstOpen, next);
    if (flows.get(flow, FlowWord.Unfinished) === slot + 1) flows.set(flow, FlowWord.Unfinished, 0);
    if (flows.get(flow, FlowWord.Answered) === slot + 1) flows.set(flow, FlowWord.Answered, 0);
    this.#head = (this.#head + 1) % MOST_REQUESTS;
    this.count--;
  }

  /** Returns whether the oldest request can leave the ring: nothing is expected to change it any more. */
  isHeadDone(seconds: number): boolean {
    if (this.count === 0) return false;
    const slot = this.head;
    const begun = this.getDouble(slot, RequestDouble.Seconds);
    if (this.outcome(slot) === Outcome.Pending && !this.has(slot, RequestFlag.PassedOver)) {
      return seconds - begun > GIVE_UP_SECONDS;
    }
    if (this.count > LINGER_REQUESTS) return true;
    const since = this.getDouble(slot, RequestDouble.AnswerSeconds) || begun;
    return seconds - since > LINGER_SECONDS;
  }

  /** Returns whether a PSN belongs to a request. */
  contains(slot: number, psn: number): boolean {
    return (
      psnDistance(psn, this.get(slot, RequestWord.Psn)) >= 0 &&
      psnDistance(psn, this.get(slot, RequestWord.LastPsn)) <= 0
    );
  }

  /** Finds the request of a flow that a PSN belongs to, among the newest and the oldest open ones. Returns -1 if there is none. */
  find(flow: number, psn: number): number {
    let slot = this.#flows.get(flow, FlowWord.Newest) - 1;
    for (let i = 0; i < SEARCH_NEWEST && slot >= 0; i++) {
      if (this.contains(slot, psn)) return slot;
      slot = this.get(slot, RequestWord.PreviousInFlow) - 1;
    }
    if (slot < 0) return -1;
    slot = this.#flows.get(flow, FlowWord.FirstOpen) - 1;
    for (let i = 0; i < SEARCH_OPEN && slot >= 0; i++) {
      if (this.contains(slot, psn)) return slot;
      slot = this.get(slot, RequestWord.NextInFlow) - 1;
    }
    return -1;
  }
}
