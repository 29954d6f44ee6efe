/**
 * Follows the packets of a capture: puts packets together to requests, and finds the answers of each. A packet costs a constant time
 * and, but for the first packet of a flow or of a finding, no allocation.
 */
import { IcrcVerdict, WireFault, WireFlag, WireRow } from '../internal/layout';
import { emptyAnswer, readAnswer } from './answer';
import { Answers } from './answers';
import { type CaptureState, noTotals } from './capture-state';
import { Findings } from './findings';
import { FlowDouble, Flows, FlowWord } from './flows';
import { Role, roleOf, Transport } from './opcodes';
import { lastOutcome } from './outcomes';
import { get } from './reading';
import { RequestPackets } from './request-packets';
import { Outcome, RequestFlag, Requests, type RequestSink, RequestWord } from './requests';
import type { Rows } from './rows';
import { UnclearAnswers } from './unclear-answers';

/** The packets of one capture. */
export class Tracker implements CaptureState {
  readonly flows = new Flows();
  readonly requests: Requests = new Requests(this.flows);
  readonly findings = new Findings();
  readonly totals = noTotals();
  readonly #sink: RequestSink;
  readonly #requestPackets = new RequestPackets(this, () => this.#release());
  readonly #answer = emptyAnswer();
  readonly #answers = new Answers(this);
  readonly #unclear = new UnclearAnswers(this, this.#answers);

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
      if (!damaged) this.#answered(rows, at, flow);
      return;
    }
    const slot = this.#requestPackets.take(rows, at, flow, opcode, role, number, damaged);
    if (slot < 0 || !damaged) return;
    this.requests.add(slot, RequestWord.BadPackets, 1);
    if (wrongChecksum) this.requests.raise(slot, RequestFlag.BadChecksum);
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

  /** Takes an answer in a flow: the requests are those of its mate. */
  #answered(rows: Rows, at: number, flow: number): void {
    const answer = this.#answer;
    readAnswer(rows, at, answer);
    const mate = this.flows.mate(flow);
    if (mate >= 0) this.#answers.apply(mate, answer);
    else this.#unclear.take(flow, answer);
  }
}
