/**
 * Follows the packets of a capture: puts packets together to requests, and finds the answers of each. A packet costs a constant time
 * and, but for the first packet of a flow or of a finding, no allocation.
 */
import {
  AethKind,
  BthOpcode,
  IcrcVerdict,
  NakCode,
  WireFault,
  WireFlag,
  WireHeaders,
  WireRow,
} from '../internal/layout';
import { CM_QKEY, CM_QUEUE_PAIR, CmAttribute, type CmMessage, parseCm } from './cm';
import { Findings } from './findings';
import { FlowDouble, FlowFlag, Flows, FlowWord } from './flows';
import { aethKind, Kind, kindOf, Role, roleOf, Transport } from './opcodes';
import { candidatesFor, MOST_UNCLEAR, MOST_WAITING } from './pairing';
import { get, psnAfter, psnDistance } from './reading';
import {
  MOST_REQUESTS,
  Outcome,
  RequestDouble,
  RequestFlag,
  Requests,
  type RequestSink,
  RequestWord,
} from './requests';

/** Two PSNs of one flow that are further apart belong to different connections. */
const FARTHEST = 65_536;
/** A damaged packet with a PSN further away than this is counted and otherwise ignored: its PSN may be damaged. */
const FARTHEST_DAMAGED = 4096;
/** Returned by `#repeated`: the packet begins another connection. */
const NOT_REPEATED = -2;
/** Requests for connections that are kept until their answer comes. */
const MOST_CM_REQUESTS = 256;

/** Where packets are: rows of them, as the native reader fills them in. */
export interface Rows {
  readonly words: Uint32Array;
  readonly doubles: Float64Array;
  /** Returns the bytes of the payload that the capture has, of the row at word `at`. */
  payload(at: number): Uint8Array;
}

/** An answer, as far as it is needed later. */
interface Answer {
  opcode: number;
  psn: number;
  syndrome: number;
  msn: number;
  original: number;
  originalHigh: number;
  payload: number;
  packet: number;
  seconds: number;
  nanoseconds: number;
}

/** Answers of a flow for which several connections are possible. */
interface Unclear {
  readonly answers: Answer[];
  candidates: readonly number[];
}

function emptyAnswer(): Answer {
  return {
    opcode: 0,
    psn: 0,
    syndrome: 0,
    msn: 0,
    original: 0,
    originalHigh: 0,
    payload: 0,
    packet: 0,
    seconds: 0,
    nanoseconds: 0,
  };
}

/** Numbers about the whole capture. */
export interface Totals {
  /** Packets to the port of RoCEv2. */
  roce: number;
  malformed: number;
  notRoce: number;
  /** Packets of which the capture has too little to read their headers. */
  cut: number;
  cnps: number;
  /** Packets whose ICRC was checked, and those of which it was wrong. */
  icrcChecked: number;
  icrcWrong: number;
  requests: number;
  /** Packets of flows beyond the limit. */
  untracked: number;
  /** Answers that waited in vain for their connection to become clear. */
  unclear: number;
  firstSeconds: number;
  firstNanoseconds: number;
  lastSeconds: number;
  lastNanoseconds: number;
}

/** The analysis of one capture. */
export class Tracker {
  readonly flows = new Flows();
  readonly requests: Requests = new Requests(this.flows);
  readonly findings = new Findings();
  readonly totals: Totals = {
    roce: 0,
    malformed: 0,
    notRoce: 0,
    cut: 0,
    cnps: 0,
    icrcChecked: 0,
    icrcWrong: 0,
    requests: 0,
    untracked: 0,
    unclear: 0,
    firstSeconds: 0,
    firstNanoseconds: 0,
    lastSeconds: 0,
    lastNanoseconds: 0,
  };
  readonly #sink: RequestSink;
  readonly #answer = emptyAnswer();
  readonly #unclear = new Map<number, Unclear>();
  /** The flow to the requester's queue pair, by the hosts and the communication id of its REQ. */
  readonly #cmRequests = new Map<string, { flow: number; mtu: number }>();

  constructor(sink: RequestSink) {
    this.#sink = sink;
  }

  /** Takes the packet of the row that begins at word `at`. */
  packet(rows: Rows, at: number): void {
    const { words, doubles } = rows;
    const totals = this.totals;
    const number = get(doubles, (at + WireRow.Number) >> 1);
    const seconds = get(doubles, (at + WireRow.Seconds) >> 1);
    const nanoseconds = get(words, at + WireRow.Nanoseconds);
    if (totals.roce++ === 0) {
      totals.firstSeconds = seconds;
      totals.firstNanoseconds = nanoseconds;
    }
    totals.lastSeconds = seconds;
    totals.lastNanoseconds = nanoseconds;

    const icrc = get(words, at + WireRow.Icrc) as IcrcVerdict;
    const wrongIcrc = icrc === IcrcVerdict.Bad || icrc === IcrcVerdict.OtherId;
    const flags = get(words, at + WireRow.Flags);
    const wrongChecksum = (flags & (WireFlag.BadUdpChecksum | WireFlag.BadIpChecksum)) !== 0;
    const fault = get(words, at + WireRow.Fault) as WireFault;
    if (fault !== WireFault.None && fault !== WireFault.Payload) {
      this.#faulty(words, at, number, fault, icrc !== IcrcVerdict.Good);
      return;
    }
    if (icrc !== IcrcVerdict.NotChecked) totals.icrcChecked++;
    if (wrongIcrc) totals.icrcWrong++;

    const opcode = get(words, at + WireRow.Opcode);
    const role = roleOf(opcode);
    const flow = this.flows.ofPacket(words, at);
    if (flow < 0) {
      totals.untracked++;
      return;
    }
    this.#count(flow, number);
    if ((get(words, at + WireRow.TrafficClass) & 3) === 3)
      this.findings.add('Congestion', flow, number, 1, 1);
    if (wrongIcrc) {
      const id = icrc === IcrcVerdict.OtherId ? get(words, at + WireRow.IcrcIpId) + 1 : 0;
      this.findings.add('BadIcrc', flow, number, 1, id, get(words, at + WireRow.IpId));
      this.flows.add(flow, FlowWord.BadPackets, 1);
    }
    if (wrongChecksum) {
      this.findings.add('BadChecksum', flow, number, 1, flags & WireFlag.BadUdpChecksum);
      this.flows.add(flow, FlowWord.BadPackets, 1);
    }
    if (role === Role.None) {
      totals.cnps++;
      this.findings.add('Congestion', flow, number, 1, 2);
      return;
    }
    const damaged = wrongIcrc || wrongChecksum;
    if (role >= Role.ReadResponse) {
      // The requester drops a damaged answer.
      if (!damaged) this.#answered(words, doubles, at, flow, opcode, number);
      return;
    }
    const slot = this.#request(rows, at, flow, opcode, role, number, damaged);
    if (slot < 0 || !damaged) return;
    this.requests.add(slot, RequestWord.BadPackets, 1);
    if (wrongChecksum) this.requests.raise(slot, RequestFlag.BadChecksum);
    if (wrongIcrc) this.requests.raise(slot, RequestFlag.BadIcrc);
    if (icrc === IcrcVerdict.OtherId) {
      this.requests.raise(slot, RequestFlag.OtherIpId);
      this.requests.set(slot, RequestWord.IcrcIpId, get(words, at + WireRow.IcrcIpId));
    }
  }

  /** Hands on the requests that are done, oldest first. Call it between batches of packets. */
  drain(): void {
    while (this.requests.isHeadDone(this.totals.lastSeconds)) this.#release();
  }

  /** Hands on all requests: the capture has ended. */
  end(): void {
    for (const [flow, unclear] of this.#unclear) this.#settleUnclear(flow, unclear);
    this.#unclear.clear();
    while (this.requests.count > 0) this.#release();
    for (let flow = 0; flow < this.flows.count; flow++) {
      const requests = this.flows.get(flow, FlowWord.Requests);
      if (requests === 0 || this.flows.get(flow, FlowWord.Transport) !== Transport.Rc) continue;
      if (this.flows.get(flow, FlowWord.Answers) > 0) continue;
      const [first, last] = [FlowDouble.FirstPacket, FlowDouble.LastPacket];
      this.findings.add('NoAnswers', flow, this.flows.getDouble(flow, first), requests);
      this.findings.add('NoAnswers', flow, this.flows.getDouble(flow, last), 0);
    }
  }

  #release(): void {
    const { requests, flows } = this;
    const slot = requests.head;
    const flow = requests.get(slot, RequestWord.Flow);
    if (requests.outcome(slot) === Outcome.Pending) {
      requests.set(slot, RequestWord.Outcome, this.#lastOutcome(slot, flow));
    }
    switch (requests.outcome(slot)) {
      case Outcome.Acknowledged:
        flows.add(flow, FlowWord.Acknowledged, 1);
        break;
      case Outcome.Refused:
        flows.add(flow, FlowWord.Refused, 1);
        break;
      case Outcome.Unacknowledged:
        break;
      default:
        flows.add(flow, FlowWord.Unanswered, 1);
    }
    this.#sink.take(slot);
    requests.removeHead();
  }

  /** Says what became of a request that nothing has settled. */
  #lastOutcome(slot: number, flow: number): Outcome {
    const { requests, flows } = this;
    if (flows.get(flow, FlowWord.Transport) !== Transport.Rc) return Outcome.Unacknowledged;
    if (requests.get(slot, RequestWord.Responses) > 0) return Outcome.PartlyAnswered;
    if (requests.get(slot, RequestWord.RnrNaks) > 0) return Outcome.ReceiverNotReady;
    if (requests.has(slot, RequestFlag.PassedOver)) return Outcome.NoAnswer;
    if (requests.get(slot, RequestWord.SequenceNaks) > 0) return Outcome.OutOfSequence;
    const psn = requests.get(slot, RequestWord.LastPsn);
    if (
      flows.has(flow, FlowFlag.Awaited) &&
      psnDistance(psn, flows.get(flow, FlowWord.AwaitedPsn)) >= 0 &&
      requests.get(slot, RequestWord.Repeats) === 0
    ) {
      return Outcome.OutOfSequence;
    }
    return Outcome.NoAnswer;
  }

  #count(flow: number, number: number): void {
    const base = flow * FlowDouble.Words;
    const { doubles } = this.flows;
    if (get(doubles, base + FlowDouble.Packets) === 0) doubles[base + FlowDouble.FirstPacket] = number;
    doubles[base + FlowDouble.LastPacket] = number;
    doubles[base + FlowDouble.Packets] = get(doubles, base + FlowDouble.Packets) + 1;
  }

  #faulty(words: Uint32Array, at: number, number: number, fault: WireFault, unproven: boolean): void {
    if (fault === WireFault.Cut) {
      this.totals.cut++;
      return;
    }
    // Without a valid ICRC, a datagram to this port that does not look like RoCEv2 is probably something else.
    if (
      unproven &&
      (fault === WireFault.Opcode || fault === WireFault.Version || fault === WireFault.Short)
    ) {
      this.totals.notRoce++;
      this.findings.add('NotRoce', 0, number, 1, get(words, at + WireRow.Opcode), fault);
      return;
    }
    this.totals.malformed++;
    this.findings.add('Malformed', fault, number, 1, get(words, at + WireRow.Opcode), fault);
  }

  /** Takes a packet of a request. Returns the request's slot; -1 if it belongs to none that is kept. */
  #request(
    rows: Rows,
    at: number,
    flow: number,
    opcode: number,
    role: Role,
    number: number,
    damaged: boolean,
  ): number {
    const { words } = rows;
    const { flows, requests } = this;
    const transport = (opcode >> 5) as Transport;
    flows.set(flow, FlowWord.Transport, transport);
    const kind = kindOf(opcode);
    const psn = get(words, at + WireRow.Psn);
    if (transport === Transport.Ud) {
      const slot = this.#begin(rows, at, flow, kind, psn, number);
      this.#finish(words, at, slot);
      this.#datagram(rows, at, flow, slot);
      this.#settle(slot, Outcome.Unacknowledged, 0, 0, 0);
      return slot;
    }
    if (!flows.has(flow, FlowFlag.Started)) {
      flows.raise(flow, FlowFlag.Started);
      flows.set(flow, FlowWord.NextPsn, psn);
      flows.set(flow, FlowWord.SentPsn, psnAfter(psn, -1));
    }
    if (flows.has(flow, FlowFlag.Uncertain)) this.#afterRead(flow, psn);
    let ahead = psnDistance(psn, flows.get(flow, FlowWord.NextPsn));
    if (damaged && (ahead > FARTHEST_DAMAGED || ahead < -FARTHEST_DAMAGED)) return -1;
    if (ahead < 0 && ahead >= -FARTHEST) {
      const slot = this.#repeated(words, at, flow, role, kind, psn, number);
      if (slot !== NOT_REPEATED) return slot;
    }
    if (ahead > FARTHEST || ahead < 0) {
      this.#restart(flow, psn, number);
      ahead = 0;
    }
    if (ahead > 0) {
      const expected = flows.get(flow, FlowWord.NextPsn);
      this.findings.add('PsnGap', flow, number, ahead, expected, psnAfter(psn, -1));
      flows.add(flow, FlowWord.MissingPackets, ahead);
      const unfinished = flows.get(flow, FlowWord.Unfinished);
      if (unfinished > 0) requests.raise(unfinished - 1, RequestFlag.HasGap);
    }
    flows.set(flow, FlowWord.SentPsn, psn);
    const slot = this.#advance(rows, at, flow, role, kind, psn, number, ahead);
    if (transport === Transport.Uc) {
      if (role >= Role.Last) this.#settle(slot, Outcome.Unacknowledged, 0, 0, 0);
      return slot;
    }
    if (
      flows.has(flow, FlowFlag.Failed) &&
      requests.outcome(slot) === Outcome.Pending &&
      psnDistance(psn, flows.get(flow, FlowWord.FailedPsn)) > 0
    ) {
      // Packets of a request that was on its way when the NAK came are no mistake; a request that begins later is.
      if (role === Role.First || role === Role.Only) this.findings.add('SentAfterError', flow, number);
      if (requests.get(slot, RequestWord.Psn) !== flows.get(flow, FlowWord.FailedPsn)) {
        this.#settle(slot, Outcome.NotCarriedOut, flows.getDouble(flow, FlowDouble.FailedPacket), 0, 0);
      }
    }
    return slot;
  }

  /** Takes a packet whose PSN is new. */
  #advance(
    rows: Rows,
    at: number,
    flow: number,
    role: Role,
    kind: Kind,
    psn: number,
    number: number,
    missing: number,
  ): number {
    const { words } = rows;
    const { flows, requests } = this;
    const payload = get(words, at + WireRow.PayloadLength);
    flows.set(flow, FlowWord.NextPsn, psnAfter(psn, 1));
    const unfinished = flows.get(flow, FlowWord.Unfinished) - 1;
    if (role === Role.First || role === Role.Only) {
      if (unfinished >= 0) {
        flows.set(flow, FlowWord.Unfinished, 0);
        if (missing === 0) this.#wrongOrder(unfinished, flow, number);
      }
      const slot = this.#begin(rows, at, flow, kind, psn, number);
      if (role === Role.Only) {
        this.#finish(words, at, slot);
        if (kind === Kind.Read) this.#extendRead(flow, slot);
        return slot;
      }
      flows.set(flow, FlowWord.Unfinished, slot + 1);
      if (flows.get(flow, FlowWord.Mtu) === 0) flows.learnMtu(flow, payload);
      this.#extendWrite(flow, slot);
      return slot;
    }
    let slot = unfinished;
    if (slot < 0 || requests.get(slot, RequestWord.Kind) !== kind) {
      const isFirst = flows.get(flow, FlowWord.Requests) === 0 || missing > 0;
      slot = this.#begin(rows, at, flow, kind, psn, number);
      requests.raise(slot, RequestFlag.BeginsMidway);
      if (!isFirst) this.#wrongOrder(slot, flow, number);
      flows.set(flow, FlowWord.Unfinished, slot + 1);
    } else {
      requests.add(slot, RequestWord.Packets, 1);
      requests.add(slot, RequestWord.Payload, payload);
      requests.setDouble(slot, RequestDouble.LastPacket, number);
      if (!requests.has(slot, RequestFlag.HasTarget)) requests.add(slot, RequestWord.Length, payload);
    }
    if (psnDistance(psn, requests.get(slot, RequestWord.LastPsn)) > 0) {
      requests.set(slot, RequestWord.LastPsn, psn);
    }
    if (role === Role.Middle) {
      if (flows.get(flow, FlowWord.Mtu) === 0) flows.learnMtu(flow, payload);
      return slot;
    }
    this.#finish(words, at, slot);
    flows.set(flow, FlowWord.Unfinished, 0);
    return slot;
  }

  #wrongOrder(slot: number, flow: number, number: number): void {
    this.requests.raise(slot, RequestFlag.WrongOrder);
    this.findings.add('WrongOrder', flow, number);
  }

  /** Appends a request, from its first packet. */
  #begin(rows: Rows, at: number, flow: number, kind: Kind, psn: number, number: number): number {
    const { words, doubles } = rows;
    const { requests, flows } = this;
    if (requests.count === MOST_REQUESTS) this.#release();
    const slot = requests.append(flow);
    this.totals.requests++;
    flows.add(flow, FlowWord.Requests, 1);
    const payload = get(words, at + WireRow.PayloadLength);
    requests.set(slot, RequestWord.Kind, kind);
    requests.set(slot, RequestWord.Psn, psn);
    requests.set(slot, RequestWord.LastPsn, psn);
    requests.set(slot, RequestWord.NextResponse, psn);
    requests.set(slot, RequestWord.Packets, 1);
    requests.set(slot, RequestWord.Payload, payload);
    const hasTarget = (get(words, at + WireRow.Headers) & (WireHeaders.Reth | WireHeaders.AtomicEth)) !== 0;
    if (hasTarget) {
      requests.raise(slot, RequestFlag.HasTarget);
      requests.set(slot, RequestWord.Address, get(words, at + WireRow.Address));
      requests.set(slot, RequestWord.Address + 1, get(words, at + WireRow.Address + 1));
      requests.set(slot, RequestWord.Key, get(words, at + WireRow.Rkey));
      requests.set(slot, RequestWord.Length, get(words, at + WireRow.Length));
    } else {
      requests.set(slot, RequestWord.Length, payload);
    }
    if (kind >= Kind.CompareSwap) {
      for (let i = 0; i < 4; i++) {
        requests.set(slot, RequestWord.SwapAdd + i, get(words, at + WireRow.SwapAdd + i));
      }
      if ((get(words, at + WireRow.Address) & 7) !== 0) this.findings.add('Misaligned', flow, number);
    }
    requests.setDouble(slot, RequestDouble.Packet, number);
    requests.setDouble(slot, RequestDouble.LastPacket, number);
    requests.setDouble(slot, RequestDouble.Seconds, get(doubles, (at + WireRow.Seconds) >> 1));
    requests.setDouble(slot, RequestDouble.Nanoseconds, get(words, at + WireRow.Nanoseconds));
    return slot;
  }

  /** Reads the headers that only the last packet of a message has, and compares its length. */
  #finish(words: Uint32Array, at: number, slot: number): void {
    const { requests } = this;
    const headers = get(words, at + WireRow.Headers);
    requests.raise(slot, RequestFlag.Complete);
    if ((headers & WireHeaders.Imm) !== 0) {
      requests.raise(slot, RequestFlag.HasImmediate);
      requests.set(slot, RequestWord.Immediate, get(words, at + WireRow.Immediate));
    }
    if ((headers & WireHeaders.Ieth) !== 0) {
      requests.raise(slot, RequestFlag.HasInvalidate);
      requests.set(slot, RequestWord.Invalidate, get(words, at + WireRow.Invalidate));
    }
    if ((get(words, at + WireRow.Flags) & WireFlag.Solicited) !== 0)
      requests.raise(slot, RequestFlag.Solicited);
    if (
      requests.get(slot, RequestWord.Kind) === Kind.Write &&
      !requests.has(slot, RequestFlag.HasGap) &&
      !requests.has(slot, RequestFlag.BeginsMidway) &&
      requests.get(slot, RequestWord.Payload) !== requests.get(slot, RequestWord.Length)
    ) {
      requests.raise(slot, RequestFlag.WrongLength);
      this.findings.add(
        'WrongLength',
        requests.get(slot, RequestWord.Flow),
        requests.getDouble(slot, RequestDouble.Packet),
        1,
        requests.get(slot, RequestWord.Length),
        requests.get(slot, RequestWord.Payload),
      );
    }
  }

  /** Sets the last PSN of a WRITE that has begun, from its length. */
  #extendWrite(flow: number, slot: number): void {
    const { requests } = this;
    const mtu = this.flows.get(flow, FlowWord.Mtu);
    if (mtu === 0 || !requests.has(slot, RequestFlag.HasTarget)) return;
    const packets = Math.max(1, Math.ceil(requests.get(slot, RequestWord.Length) / mtu));
    requests.set(slot, RequestWord.LastPsn, psnAfter(requests.get(slot, RequestWord.Psn), packets - 1));
  }

  /** Sets the last PSN of a READ, whose responses have PSNs of their own, and the PSN that follows it. */
  #extendRead(flow: number, slot: number): void {
    const { requests, flows } = this;
    const length = requests.get(slot, RequestWord.Length);
    const mtu = flows.get(flow, FlowWord.Mtu);
    if (length > 256 && mtu === 0) {
      flows.raise(flow, FlowFlag.Uncertain);
      return;
    }
    const packets = length <= 256 ? 1 : Math.ceil(length / mtu);
    const last = psnAfter(requests.get(slot, RequestWord.Psn), packets - 1);
    requests.set(slot, RequestWord.LastPsn, last);
    flows.set(flow, FlowWord.NextPsn, psnAfter(last, 1));
  }

  /** Learns the path MTU from the PSN of the request that follows a READ. */
  #afterRead(flow: number, psn: number): void {
    const { requests, flows } = this;
    const read = flows.get(flow, FlowWord.Newest) - 1;
    if (read < 0) {
      flows.lower(flow, FlowFlag.Uncertain);
      return;
    }
    const packets = psnDistance(psn, requests.get(read, RequestWord.Psn));
    if (packets <= 0) return; // sent again, or another connection
    const length = requests.get(read, RequestWord.Length);
    for (let mtu = 4096; mtu >= 256; mtu /= 2) {
      if (Math.ceil(length / mtu) !== packets) continue;
      flows.learnMtu(flow, mtu);
      break;
    }
    flows.lower(flow, FlowFlag.Uncertain);
    if (flows.get(flow, FlowWord.Mtu) !== 0) this.#extendRead(flow, read);
  }

  /**
   * Takes a packet whose PSN was sent before. Returns {@link NOT_REPEATED} if it is another request with an old PSN, so a new
   * connection.
   */
  #repeated(
    words: Uint32Array,
    at: number,
    flow: number,
    role: Role,
    kind: Kind,
    psn: number,
    number: number,
  ): number {
    const { requests, flows } = this;
    const slot = requests.find(flow, psn);
    const isRewind = psnDistance(psn, flows.get(flow, FlowWord.SentPsn)) <= 0;
    if (slot < 0) {
      // Older than what is kept, or missing in the capture at first.
      flows.set(flow, FlowWord.SentPsn, psn);
      if (isRewind) flows.add(flow, FlowWord.Repeated, 1);
      this.findings.add('Repeated', flow, number);
      return -1;
    }
    if (requests.get(slot, RequestWord.Kind) !== kind) return NOT_REPEATED;
    const begins = role === Role.First || role === Role.Only;
    const isStart = psn === requests.get(slot, RequestWord.Psn);
    // Only a READ can be asked for again from its middle on.
    if (begins && !isStart && kind !== Kind.Read) return NOT_REPEATED;
    if (begins && requests.has(slot, RequestFlag.HasTarget)) {
      if (requests.get(slot, RequestWord.Key) !== get(words, at + WireRow.Rkey)) return NOT_REPEATED;
      if (isStart !== (requests.get(slot, RequestWord.Address) === get(words, at + WireRow.Address))) {
        return NOT_REPEATED;
      }
    }
    flows.set(flow, FlowWord.SentPsn, psn);
    if (!isRewind && !begins) return slot;
    requests.add(slot, RequestWord.Repeats, 1);
    flows.add(flow, FlowWord.Repeated, 1);
    const isAfterNak =
      requests.outcome(slot) === Outcome.Refused && !requests.has(slot, RequestFlag.RepeatedAfterAnswer);
    if (isAfterNak || requests.getDouble(slot, RequestDouble.RepeatPacket) === 0) {
      requests.setDouble(slot, RequestDouble.RepeatPacket, number);
    }
    if (requests.outcome(slot) === Outcome.Acknowledged) {
      if (!requests.has(slot, RequestFlag.RepeatedAfterAnswer)) {
        requests.setDouble(slot, RequestDouble.NeedlessPacket, number);
      }
      requests.raise(slot, RequestFlag.RepeatedAfterAnswer);
      this.findings.add(
        'RepeatedAfterAnswer',
        flow,
        number,
        1,
        requests.getDouble(slot, RequestDouble.Packet),
      );
      if (kind === Kind.Read) requests.set(slot, RequestWord.NextResponse, psn);
    } else {
      if (isAfterNak) requests.raise(slot, RequestFlag.RepeatedAfterAnswer);
      this.findings.add('Repeated', flow, number, 1, requests.getDouble(slot, RequestDouble.Packet));
    }
    if (flows.has(flow, FlowFlag.Awaited) && psn === flows.get(flow, FlowWord.AwaitedPsn)) {
      flows.lower(flow, FlowFlag.Awaited);
    }
    return slot;
  }

  /** Begins to count anew: another connection uses the same queue pair number. */
  #restart(flow: number, psn: number, number: number): void {
    const { flows } = this;
    this.findings.add('NewSequence', flow, number, 1, flows.get(flow, FlowWord.NextPsn), psn);
    flows.lower(flow, FlowFlag.Failed | FlowFlag.Awaited | FlowFlag.MsnKnown | FlowFlag.Uncertain);
    flows.set(flow, FlowWord.FirstOpen, 0);
    flows.set(flow, FlowWord.Unfinished, 0);
    flows.set(flow, FlowWord.Answered, 0);
    flows.set(flow, FlowWord.NextPsn, psn);
    flows.set(flow, FlowWord.SentPsn, psnAfter(psn, -1));
    // Requests of the connection before must not be found by PSNs of the new one.
    this.#detach(flow);
  }

  /** Settles the requests of a flow that are still open, with what is known of them, and takes them out of the flow. */
  #detach(flow: number): void {
    const { requests, flows } = this;
    let slot = flows.get(flow, FlowWord.Newest) - 1;
    for (let i = 0; i < MOST_REQUESTS && slot >= 0; i++) {
      if (requests.outcome(slot) !== Outcome.Pending) break;
      requests.set(slot, RequestWord.Outcome, this.#lastOutcome(slot, flow));
      slot = requests.get(slot, RequestWord.PreviousInFlow) - 1;
    }
    flows.set(flow, FlowWord.Oldest, 0);
    flows.set(flow, FlowWord.Newest, 0);
  }

  /** Reads a datagram: the sender's queue pair, and a message of the connection manager. */
  #datagram(rows: Rows, at: number, flow: number, slot: number): void {
    const { words } = rows;
    const { flows, requests } = this;
    flows.raise(flow, FlowFlag.SourceKnown);
    flows.set(flow, FlowWord.SourceQueuePair, get(words, at + WireRow.SourceQp));
    if (get(words, at + WireRow.DestQp) !== CM_QUEUE_PAIR || get(words, at + WireRow.Qkey) !== CM_QKEY)
      return;
    const message = parseCm(rows.payload(at));
    if (message === undefined) return;
    requests.set(slot, RequestWord.Cm, message.attribute + 1);
    requests.set(slot, RequestWord.CmReason, message.reason);
    requests.set(slot, RequestWord.CmQueuePair, message.queuePair);
    if (message.queuePair !== 0) this.#connect(words, at, flow, message);
  }

  /** Learns the two directions of a connection from REQ and REP. */
  #connect(words: Uint32Array, at: number, flow: number, message: CmMessage): void {
    const { flows } = this;
    const [source, destination] = [
      flows.get(flow, FlowWord.SourceHost),
      flows.get(flow, FlowWord.DestinationHost),
    ];
    // Packets to the sender's queue pair travel against the direction of its message.
    if (message.attribute === CmAttribute.Req) {
      const towards = flows.ofAddresses(words, at, message.queuePair, true);
      if (towards < 0) return;
      if (this.#cmRequests.size === MOST_CM_REQUESTS) {
        const [oldest] = this.#cmRequests.keys();
        if (oldest !== undefined) this.#cmRequests.delete(oldest);
      }
      this.#cmRequests.set(`${source} ${destination} ${message.localId}`, {
        flow: towards,
        mtu: message.mtu,
      });
      return;
    }
    const asked = this.#cmRequests.get(`${destination} ${source} ${message.remoteId}`);
    if (asked === undefined) return;
    const towards = flows.ofAddresses(words, at, message.queuePair, true);
    if (towards < 0 || towards === asked.flow) return;
    this.#marry(asked.flow, towards);
    flows.raise(asked.flow, FlowFlag.Managed);
    flows.raise(towards, FlowFlag.Managed);
    if (asked.mtu !== 0) flows.learnMtu(towards, asked.mtu);
  }

  /** Makes two flows mates; a new connection may use queue pairs that had other ones. */
  #marry(one: number, other: number): void {
    const { flows } = this;
    for (const flow of [one, other]) {
      const former = flows.mate(flow);
      if (former >= 0 && former !== one && former !== other) flows.set(former, FlowWord.Mate, 0);
    }
    flows.marry(one, other);
  }

  /** Takes an answer. */
  #answered(
    words: Uint32Array,
    doubles: Float64Array,
    at: number,
    flow: number,
    opcode: number,
    number: number,
  ): void {
    const answer = this.#answer;
    answer.opcode = opcode;
    answer.psn = get(words, at + WireRow.Psn);
    answer.syndrome = get(words, at + WireRow.Syndrome);
    answer.msn = get(words, at + WireRow.Msn);
    answer.original = get(words, at + WireRow.OriginalValue);
    answer.originalHigh = get(words, at + WireRow.OriginalValue + 1);
    answer.payload = get(words, at + WireRow.PayloadLength);
    answer.packet = number;
    answer.seconds = get(doubles, (at + WireRow.Seconds) >> 1);
    answer.nanoseconds = get(words, at + WireRow.Nanoseconds);
    const mate = this.flows.mate(flow);
    if (mate >= 0) this.#apply(mate, answer);
    else this.#findMate(flow, answer);
  }

  /** Finds out to which connection an answer belongs, or keeps it until that is clear. */
  #findMate(flow: number, answer: Answer): void {
    const role = roleOf(answer.opcode);
    const kind = role === Role.ReadResponse ? Kind.Read : kindOf(answer.opcode);
    const waiting = this.#unclear.get(flow);
    const facts = { psn: answer.psn, kind };
    const candidates = candidatesFor(this.flows, this.requests, flow, facts, waiting?.candidates);
    const [only] = candidates;
    if (candidates.length === 1 && only !== undefined) {
      this.#unclear.delete(flow);
      this.#marry(flow, only);
      for (const earlier of waiting?.answers ?? []) this.#apply(only, earlier);
      this.#apply(only, answer);
      return;
    }
    if (waiting === undefined) {
      if (candidates.length === 0 || this.#unclear.size === MOST_UNCLEAR) {
        this.#unmatched(flow, answer);
        return;
      }
      this.#unclear.set(flow, { answers: [{ ...answer }], candidates });
      return;
    }
    // An answer that fits none of the flows that fitted before says nothing.
    if (candidates.length > 0) waiting.candidates = candidates;
    waiting.answers.push({ ...answer });
    if (waiting.answers.length < MOST_WAITING) return;
    this.#unclear.delete(flow);
    this.#settleUnclear(flow, waiting);
  }

  /** Takes the oldest of several flows that fit, because connections are mostly made in the order of their queue pairs. */
  #settleUnclear(flow: number, { candidates, answers }: Unclear): void {
    let oldest = -1;
    for (const other of candidates) {
      if (this.flows.mate(other) < 0 && (oldest < 0 || other < oldest)) oldest = other;
    }
    if (oldest < 0) {
      this.totals.unclear += answers.length;
      return;
    }
    this.#marry(flow, oldest);
    this.flows.raise(flow, FlowFlag.Guessed);
    this.flows.raise(oldest, FlowFlag.Guessed);
    this.findings.add(
      'AmbiguousConnection',
      flow,
      answers[0]?.packet ?? 0,
      answers.length,
      candidates.length,
    );
    for (const answer of answers) this.#apply(oldest, answer);
  }

  #unmatched(flow: number, answer: Answer): void {
    this.findings.add('AnswerWithoutRequest', flow, answer.packet, 1, answer.psn, answer.syndrome);
  }

  /** Applies an answer to the requests of a flow. */
  #apply(flow: number, answer: Answer): void {
    this.flows.add(flow, FlowWord.Answers, 1);
    if (roleOf(answer.opcode) === Role.ReadResponse) {
      this.#readResponse(flow, answer);
      return;
    }
    switch (aethKind(answer.syndrome)) {
      case AethKind.Nak:
        this.#nak(flow, answer);
        break;
      case AethKind.RnrNak:
        this.#rnrNak(flow, answer);
        break;
      default:
        this.#acknowledgement(flow, answer);
    }
  }

  #acknowledgement(flow: number, answer: Answer): void {
    const { requests, flows } = this;
    const isAtomic = answer.opcode === (BthOpcode.RcAtomicAcknowledge as number);
    if (!this.#reach(flow, answer)) return;
    const before = flows.get(flow, FlowWord.FirstOpen);
    this.#acknowledgeUpTo(flow, answer.psn, answer, true);
    const slot = requests.find(flow, answer.psn);
    if (isAtomic && slot >= 0 && (requests.get(slot, RequestWord.Kind) as Kind) >= Kind.CompareSwap) {
      if (requests.outcome(slot) === Outcome.Pending) {
        this.#settle(slot, Outcome.Acknowledged, answer.packet, answer.seconds, answer.nanoseconds);
      }
      requests.set(slot, RequestWord.OriginalValue, answer.original);
      requests.set(slot, RequestWord.OriginalValue + 1, answer.originalHigh);
    }
    if (
      slot >= 0 &&
      before === flows.get(flow, FlowWord.FirstOpen) &&
      requests.outcome(slot) !== Outcome.Pending
    ) {
      requests.add(slot, RequestWord.RepeatedAnswers, 1);
    }
    this.#countMessages(flow, slot, answer);
    if (flows.has(flow, FlowFlag.Awaited)) {
      if (psnDistance(answer.psn, flows.get(flow, FlowWord.AwaitedPsn)) >= 0)
        flows.lower(flow, FlowFlag.Awaited);
    }
  }

  /** Notices a SEND_WITH_INV whose acknowledgement does not count it: the receiver failed to invalidate the key. */
  #countMessages(flow: number, slot: number, answer: Answer): void {
    const { requests, flows } = this;
    const known = flows.has(flow, FlowFlag.MsnKnown);
    const before = flows.get(flow, FlowWord.Msn);
    flows.set(flow, FlowWord.Msn, answer.msn);
    flows.raise(flow, FlowFlag.MsnKnown);
    if (slot < 0 || !requests.has(slot, RequestFlag.HasInvalidate)) return;
    if (requests.getDouble(slot, RequestDouble.AnswerPacket) !== answer.packet) return;
    const counted = known ? answer.msn !== before : answer.msn !== 0;
    if (counted) return;
    requests.raise(slot, RequestFlag.NotCounted);
    this.findings.add(
      'InvalidateFailed',
      flow,
      requests.getDouble(slot, RequestDouble.Packet),
      1,
      requests.get(slot, RequestWord.Invalidate),
      answer.packet,
    );
  }

  /** Takes into account that an answer names a PSN that the capture does not have. Returns false if it is of no use. */
  #reach(flow: number, answer: Answer): boolean {
    const { flows } = this;
    if (!flows.has(flow, FlowFlag.Started)) {
      flows.raise(flow, FlowFlag.Started);
      flows.set(flow, FlowWord.NextPsn, psnAfter(answer.psn, 1));
      this.#unmatched(flow, answer);
      return false;
    }
    const ahead = psnDistance(answer.psn, psnAfter(flows.get(flow, FlowWord.NextPsn), -1));
    if (ahead <= 0) return true;
    if (flows.has(flow, FlowFlag.Uncertain)) {
      flows.lower(flow, FlowFlag.Uncertain);
    } else if (ahead > FARTHEST) {
      this.#unmatched(flow, answer);
      return false;
    } else {
      this.findings.add(
        'RequestsNotInCapture',
        flow,
        answer.packet,
        ahead,
        flows.get(flow, FlowWord.NextPsn),
        answer.psn,
      );
      flows.add(flow, FlowWord.MissingPackets, ahead);
    }
    flows.set(flow, FlowWord.NextPsn, psnAfter(answer.psn, 1));
    const unfinished = flows.get(flow, FlowWord.Unfinished) - 1;
    if (unfinished >= 0) {
      this.requests.raise(unfinished, RequestFlag.HasGap);
      flows.set(flow, FlowWord.Unfinished, 0);
    }
    return true;
  }

  /**
   * Settles the requests up to a PSN. A READ or an atomic operation needs an answer of its own, but once a later request is
   * acknowledged, none is expected.
   *
   * @param including - whether an atomic operation that ends at this PSN is answered by it
   */
  #acknowledgeUpTo(flow: number, psn: number, answer: Answer, including: boolean): void {
    const { requests, flows } = this;
    let slot = flows.get(flow, FlowWord.FirstOpen) - 1;
    while (slot >= 0) {
      const left = psnDistance(psn, requests.get(slot, RequestWord.LastPsn));
      if (left < 0) break;
      if (slot + 1 === flows.get(flow, FlowWord.Unfinished)) break; // more of this message is to come
      const kind = requests.get(slot, RequestWord.Kind) as Kind;
      if (requests.outcome(slot) === Outcome.Pending) {
        if (kind < Kind.Read || (kind > Kind.Read && left === 0 && including)) {
          this.#settle(slot, Outcome.Acknowledged, answer.packet, answer.seconds, answer.nanoseconds);
        } else {
          if (left === 0 && including) break;
          requests.raise(slot, RequestFlag.PassedOver);
        }
      }
      slot = requests.get(slot, RequestWord.NextInFlow) - 1;
    }
    flows.set(flow, FlowWord.FirstOpen, slot + 1);
  }

  #settle(slot: number, outcome: Outcome, packet: number, seconds: number, nanoseconds: number): void {
    const { requests } = this;
    requests.set(slot, RequestWord.Outcome, outcome);
    requests.setDouble(slot, RequestDouble.AnswerPacket, packet);
    requests.setDouble(slot, RequestDouble.AnswerSeconds, seconds);
    requests.setDouble(slot, RequestDouble.AnswerNanoseconds, nanoseconds);
  }

  #rnrNak(flow: number, answer: Answer): void {
    const { requests, flows } = this;
    if (!this.#reach(flow, answer)) return;
    this.#acknowledgeUpTo(flow, psnAfter(answer.psn, -1), answer, false);
    flows.add(flow, FlowWord.RnrNaks, 1);
    this.findings.add('ReceiverNotReady', flow, answer.packet, 1, answer.syndrome);
    const slot = requests.find(flow, answer.psn);
    if (slot < 0 || requests.outcome(slot) !== Outcome.Pending) return;
    requests.add(slot, RequestWord.RnrNaks, 1);
    requests.set(slot, RequestWord.Syndrome, answer.syndrome);
    requests.setDouble(slot, RequestDouble.AnswerPacket, answer.packet);
  }

  #nak(flow: number, answer: Answer): void {
    const { requests, flows } = this;
    const code = (answer.syndrome & 31) as NakCode;
    if (code === NakCode.PsnSequenceError) {
      flows.add(flow, FlowWord.SequenceNaks, 1);
      const slot = requests.find(flow, answer.psn);
      const packet = slot < 0 ? 0 : requests.getDouble(slot, RequestDouble.Packet);
      this.findings.add('SequenceNak', flow, answer.packet, 1, answer.psn, packet);
      this.#acknowledgeUpTo(flow, psnAfter(answer.psn, -1), answer, false);
      flows.raise(flow, FlowFlag.Awaited);
      flows.set(flow, FlowWord.AwaitedPsn, answer.psn);
      flows.setDouble(flow, FlowDouble.AwaitedPacket, answer.packet);
      if (slot >= 0) requests.add(slot, RequestWord.SequenceNaks, 1);
      return;
    }
    if (!this.#reach(flow, answer)) return;
    this.#acknowledgeUpTo(flow, psnAfter(answer.psn, -1), answer, false);
    flows.raise(flow, FlowFlag.Failed);
    flows.setDouble(flow, FlowDouble.FailedPacket, answer.packet);
    this.findings.add('ConnectionFailed', flow, answer.packet, 1, answer.syndrome, answer.psn);
    const refused = requests.find(flow, answer.psn);
    if (refused < 0) {
      flows.set(flow, FlowWord.FailedPsn, answer.psn);
      this.#unmatched(flow, answer);
    } else {
      flows.set(flow, FlowWord.FailedPsn, requests.get(refused, RequestWord.Psn));
      if (requests.outcome(refused) === Outcome.Pending) {
        this.#settle(refused, Outcome.Refused, answer.packet, answer.seconds, answer.nanoseconds);
        requests.set(refused, RequestWord.Syndrome, answer.syndrome);
        requests.set(refused, RequestWord.RefusedPsn, answer.psn);
      }
    }
    // The queue pair of the requester goes into error: what it had sent behind the refused request is not carried out.
    let slot = flows.get(flow, FlowWord.FirstOpen) - 1;
    for (; slot >= 0; slot = requests.get(slot, RequestWord.NextInFlow) - 1) {
      if (requests.outcome(slot) !== Outcome.Pending) continue;
      this.#settle(slot, Outcome.NotCarriedOut, answer.packet, answer.seconds, answer.nanoseconds);
    }
    flows.set(flow, FlowWord.FirstOpen, 0);
  }

  #readResponse(flow: number, answer: Answer): void {
    const { requests, flows } = this;
    const { psn, opcode } = answer;
    let slot = flows.get(flow, FlowWord.Answered) - 1;
    if (slot < 0 || !requests.contains(slot, psn)) {
      slot = requests.find(flow, psn);
      // With the path MTU unknown, only the first response of a READ is found by its PSN.
      if (slot < 0 && flows.has(flow, FlowFlag.Uncertain)) slot = flows.get(flow, FlowWord.Newest) - 1;
    }
    if (slot < 0 || requests.get(slot, RequestWord.Kind) !== Kind.Read) {
      this.#unmatched(flow, answer);
      return;
    }
    flows.set(flow, FlowWord.Answered, slot + 1);
    if (
      opcode === (BthOpcode.RcReadResponseFirst as number) ||
      opcode === (BthOpcode.RcReadResponseMiddle as number)
    ) {
      if (flows.get(flow, FlowWord.Mtu) === 0) flows.learnMtu(flow, answer.payload);
    }
    const newest = flows.get(flow, FlowWord.Newest) === slot + 1;
    if (newest && flows.has(flow, FlowFlag.Uncertain) && flows.get(flow, FlowWord.Mtu) !== 0) {
      flows.lower(flow, FlowFlag.Uncertain);
      this.#extendRead(flow, slot);
    }
    this.#acknowledgeUpTo(flow, psnAfter(requests.get(slot, RequestWord.Psn), -1), answer, false);
    const ahead = psnDistance(psn, requests.get(slot, RequestWord.NextResponse));
    if (ahead < 0) {
      requests.add(slot, RequestWord.RepeatedAnswers, 1);
      return;
    }
    if (ahead > 0) {
      if (!requests.has(slot, RequestFlag.ResponseGap)) {
        requests.raise(slot, RequestFlag.ResponseGap);
        const first = requests.get(slot, RequestWord.NextResponse);
        this.findings.add('ResponseGap', flow, answer.packet, ahead, first, psnAfter(psn, -1));
      }
      return;
    }
    requests.set(slot, RequestWord.NextResponse, psnAfter(psn, 1));
    if (requests.outcome(slot) !== Outcome.Pending) return;
    requests.add(slot, RequestWord.Responses, 1);
    requests.add(slot, RequestWord.ResponseBytes, answer.payload);
    const isLast =
      opcode === (BthOpcode.RcReadResponseLast as number) ||
      opcode === (BthOpcode.RcReadResponseOnly as number);
    if (!isLast || psnDistance(psn, requests.get(slot, RequestWord.LastPsn)) < 0) return;
    this.#settle(slot, Outcome.Acknowledged, answer.packet, answer.seconds, answer.nanoseconds);
    if (flows.get(flow, FlowWord.FirstOpen) === slot + 1) {
      flows.set(flow, FlowWord.FirstOpen, requests.get(slot, RequestWord.NextInFlow));
    }
    flows.set(flow, FlowWord.Msn, answer.msn);
    flows.raise(flow, FlowFlag.MsnKnown);
  }
}
