/**
 * Follows the packets of a capture: puts packets together to requests, and finds the answers of each. A packet costs a constant time
 * and, but for the first packet of a flow or of a finding, no allocation.
 */
import { IcrcVerdict, WireFault, WireFlag, WireRow } from '../internal/layout';
import { emptyAnswer, readAnswer } from './answer';
import { Answers } from './answers';
import { CopiedFrames } from './copied-frames';
import { type CaptureState, noTotals } from './capture-state';
import { Findings } from './findings';
import { FlowDouble, Flows, FlowWord } from './flows';
import { Role, roleOf, Transport } from './opcodes';
import { lastOutcome } from './outcomes';
import { type InOrder, PacketOrder } from './packet-order';
import { get } from './reading';
import { RequestPackets } from './request-packets';
import { Outcome, RequestFlag, Requests, type RequestSink, RequestWord } from './requests';
import type { Rows } from './rows';
import { type Pairing, UnclearAnswers } from './unclear-answers';

/** The packets of one capture. */
export class Tracker implements CaptureState, InOrder {
  readonly flows = new Flows();
  readonly requests: Requests = new Requests(this.flows);
  readonly findings = new Findings();
  readonly totals = noTotals();
  readonly #sink: RequestSink;
  readonly #requestPackets = new RequestPackets(this, () => this.#release());
  readonly #answer = emptyAnswer();
  readonly #answers = new Answers(this);
  readonly #unclear = new UnclearAnswers(this, this.#answers);
  readonly #copies = new CopiedFrames();
  readonly #order = new PacketOrder(this, this);

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

    this.#order.expire(number, seconds);
    const icrc = get(words, at + WireRow.Icrc) as IcrcVerdict;
    const fault = get(words, at + WireRow.Fault) as WireFault;
    if (fault !== WireFault.None && fault !== WireFault.Payload) {
      this.#faulty(rows, at, number, fault, icrc !== IcrcVerdict.Good);
      return;
    }
    const flow = this.flows.ofPacket(words, at);
    if (flow < 0) {
      totals.untracked++;
      this.#countIcrc(icrc);
      return;
    }
    const naks = this.flows.get(flow, FlowWord.SequenceNaks) + this.flows.get(flow, FlowWord.RnrNaks);
    if (this.#isCopy(rows, at, flow, naks, number)) return;
    const wrongIcrc = this.#countIcrc(icrc);
    const flags = get(words, at + WireRow.Flags);
    const wrongChecksum = (flags & (WireFlag.BadUdpChecksum | WireFlag.BadIpChecksum)) !== 0;

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
    const opcode = get(words, at + WireRow.Opcode);
    const role = roleOf(opcode);
    if (role === Role.None) {
      totals.cnps++;
      this.findings.add('Congestion', flow, number, 1, 2);
      return;
    }
    const isDamaged = wrongIcrc || wrongChecksum;
    if (role >= Role.ReadResponse) {
      // The requester drops a damaged answer.
      if (!isDamaged) this.#order.answer(rows, at, flow);
    } else if (isDamaged) {
      this.#order.damaged(flow);
      this.#damagedRequest(rows, at, flow, icrc, wrongChecksum);
    } else if (opcode >> 5 === (Transport.Ud as number)) {
      this.request(rows, at, flow);
    } else {
      this.#order.request(rows, at, flow);
    }
  }

  /** Counts the check of a packet's ICRC. Returns whether it was wrong. */
  #countIcrc(icrc: IcrcVerdict): boolean {
    const isWrong = icrc === IcrcVerdict.Bad || icrc === IcrcVerdict.OtherId;
    if (icrc !== IcrcVerdict.NotChecked) this.totals.icrcChecked++;
    if (isWrong) this.totals.icrcWrong++;
    return isWrong;
  }

  /** Takes a packet of a request, in the order of its flow. */
  request(rows: Rows, at: number, flow: number): void {
    this.#takeRequest(rows, at, flow, false);
  }

  #takeRequest(rows: Rows, at: number, flow: number, isDamaged: boolean): number {
    const opcode = get(rows.words, at + WireRow.Opcode);
    const number = get(rows.doubles, (at + WireRow.Number) >> 1);
    return this.#requestPackets.take(rows, at, flow, opcode, roleOf(opcode), number, isDamaged);
  }

  #damagedRequest(rows: Rows, at: number, flow: number, icrc: IcrcVerdict, wrongChecksum: boolean): void {
    const slot = this.#takeRequest(rows, at, flow, true);
    if (slot < 0) return;
    this.requests.add(slot, RequestWord.BadPackets, 1);
    if (wrongChecksum) this.requests.raise(slot, RequestFlag.BadChecksum);
    if (icrc === IcrcVerdict.OtherId) {
      this.requests.raise(slot, RequestFlag.OtherIpId);
      this.requests.set(slot, RequestWord.IcrcIpId, get(rows.words, at + WireRow.IcrcIpId));
    }
  }

  /** Takes an answer to the requests of a flow, in their order. */
  answer(rows: Rows, at: number, requests: number): void {
    readAnswer(rows, at, this.#answer);
    this.#answers.apply(requests, this.#answer);
  }

  /** Takes an answer in a flow whose requests are not known. See {@link InOrder.unpaired}. */
  unpaired(rows: Rows, at: number, flow: number, isLast: boolean): Pairing {
    readAnswer(rows, at, this.#answer);
    return this.#unclear.take(flow, this.#answer, isLast);
  }

  /** Counts a frame that the capture has had already. */
  #isCopy(rows: Rows, at: number, flow: number, naks: number, number: number): boolean {
    const original = this.#copies.originalOf(rows, at, flow, naks);
    if (original === 0) return false;
    this.findings.add('DuplicateFrames', 0, number, 1, original);
    return true;
  }

  /** Hands on the requests that are done, oldest first. Call it between batches of packets. */
  drain(): void {
    while (this.requests.isHeadDone(this.totals.lastSeconds)) this.#release();
  }

  /** Hands on all requests: the capture has ended. */
  end(): void {
    this.#order.end();
    this.#unclear.end();
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
      requests.set(slot, RequestWord.Outcome, lastOutcome(this, slot));
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

  #count(flow: number, number: number): void {
    const base = flow * FlowDouble.Words;
    const { doubles } = this.flows;
    if (get(doubles, base + FlowDouble.Packets) === 0) doubles[base + FlowDouble.FirstPacket] = number;
    doubles[base + FlowDouble.LastPacket] = number;
    doubles[base + FlowDouble.Packets] = get(doubles, base + FlowDouble.Packets) + 1;
  }

  #faulty(rows: Rows, at: number, number: number, fault: WireFault, unproven: boolean): void {
    if (fault === WireFault.Cut) {
      this.totals.cut++;
      return;
    }
    if (this.#isCopy(rows, at, -1, 0, number)) return;
    const { words } = rows;
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
}
