/** Matches answers with the requests of a flow. */
import { AethKind, BthOpcode, NakCode } from '../internal/layout';
import type { Answer } from './answer';
import type { CaptureState } from './capture-state';
import { FlowDouble, FlowFlag, FlowWord } from './flows';
import { aethKind, Kind, Role, roleOf } from './opcodes';
import { extendRead } from './psn-ranges';
import { FARTHEST, psnAfter, psnDistance } from './reading';
import { Outcome, RequestDouble, RequestFlag, RequestWord } from './requests';

/** Settles the requests of all flows by their answers. */
export class Answers {
  readonly #state: CaptureState;

  constructor(state: CaptureState) {
    this.#state = state;
  }

  /**
   * Notes an answer of a connection that is not known, so that its request is not known either. A NAK is named nevertheless: it says
   * that a request failed.
   *
   * @param flow - the flow of the answer itself
   */
  withoutConnection(flow: number, answer: Answer): void {
    this.#withoutRequest(flow, answer);
    this.#nameNak(2 * flow + 1, answer);
  }

  /** Notes an answer to a request of a flow that the capture does not have. */
  #withoutRequest(flow: number, { packet, psn }: Answer): void {
    this.#state.findings.add('AnswerWithoutRequest', flow, packet, 1, psn);
  }

  /**
   * Adds the finding of a NAK. Does nothing for other answers.
   *
   * @param place - twice the flow of the requests; or twice the flow of the answers plus 1, if that of the requests is not known
   * @param request - number of the first packet of the request; 0 if it is not in the capture
   */
  #nameNak(place: number, { opcode, packet, psn, syndrome }: Answer, request = 0): void {
    if (roleOf(opcode) !== Role.Acknowledge) return;
    const { findings } = this.#state;
    const kind = aethKind(syndrome);
    if (kind === AethKind.RnrNak) {
      findings.add('ReceiverNotReady', place, packet, 1, syndrome);
    } else if (kind === AethKind.Nak && ((syndrome & 31) as NakCode) === NakCode.PsnSequenceError) {
      findings.add('SequenceNak', place, packet, 1, psn, request);
    } else if (kind === AethKind.Nak) {
      findings.add('ConnectionFailed', place, packet, 1, syndrome, psn);
    }
  }

  /** Applies an answer to the requests of a flow. */
  apply(flow: number, answer: Answer): void {
    this.#state.flows.add(flow, FlowWord.Answers, 1);
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
    const { requests, flows } = this.#state;
    const isAtomic = answer.opcode === (BthOpcode.RcAtomicAcknowledge as number);
    if (!this.#reach(flow, answer)) return;
    this.#acknowledgeUpTo(flow, answer.psn, answer, true);
    const slot = requests.find(flow, answer.psn);
    if (isAtomic && slot >= 0 && (requests.get(slot, RequestWord.Kind) as Kind) >= Kind.CompareSwap) {
      if (requests.outcome(slot) === Outcome.Pending) {
        requests.settle(slot, Outcome.Acknowledged, answer.packet, answer.seconds, answer.nanoseconds);
      }
      requests.set(slot, RequestWord.OriginalValue, answer.original);
      requests.set(slot, RequestWord.OriginalValue + 1, answer.originalHigh);
    }
    this.#countMessages(flow, slot, answer);
    if (flows.has(flow, FlowFlag.Awaited)) {
      if (psnDistance(answer.psn, flows.get(flow, FlowWord.AwaitedPsn)) >= 0)
        flows.lower(flow, FlowFlag.Awaited);
    }
  }

  /** Notices a SEND_WITH_INV whose acknowledgement does not count it: the receiver failed to invalidate the key. */
  #countMessages(flow: number, slot: number, answer: Answer): void {
    const { requests, flows } = this.#state;
    const known = flows.has(flow, FlowFlag.MsnKnown);
    const before = flows.get(flow, FlowWord.Msn);
    // An acknowledgement that the capture has behind a later one says nothing new.
    if (known && psnDistance(answer.msn, before) < 0) return;
    flows.set(flow, FlowWord.Msn, answer.msn);
    flows.raise(flow, FlowFlag.MsnKnown);
    if (slot < 0 || !requests.has(slot, RequestFlag.HasInvalidate)) return;
    if (requests.getDouble(slot, RequestDouble.AnswerPacket) !== answer.packet) return;
    const counted = known ? answer.msn !== before : answer.msn !== 0;
    if (counted) return;
    requests.raise(slot, RequestFlag.NotCounted);
    this.#state.findings.add(
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
    const { flows } = this.#state;
    if (!flows.has(flow, FlowFlag.Started)) {
      flows.raise(flow, FlowFlag.Started);
      flows.set(flow, FlowWord.NextPsn, psnAfter(answer.psn, 1));
      const answers = flows.mate(flow);
      if (answers >= 0) {
        this.withoutConnection(answers, answer);
      } else {
        this.#withoutRequest(flow, answer);
        this.#nameNak(2 * flow, answer);
      }
      return false;
    }
    const ahead = psnDistance(answer.psn, psnAfter(flows.get(flow, FlowWord.NextPsn), -1));
    if (ahead <= 0) return true;
    if (flows.has(flow, FlowFlag.Uncertain)) {
      flows.lower(flow, FlowFlag.Uncertain);
    } else if (ahead > FARTHEST) {
      this.#withoutRequest(flow, answer);
      this.#nameNak(2 * flow, answer);
      return false;
    } else {
      this.#state.findings.add(
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
      this.#state.requests.raise(unfinished, RequestFlag.HasGap);
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
    const { requests, flows } = this.#state;
    let slot = flows.get(flow, FlowWord.FirstOpen) - 1;
    while (slot >= 0) {
      const left = psnDistance(psn, requests.get(slot, RequestWord.LastPsn));
      if (left < 0) break;
      if (slot + 1 === flows.get(flow, FlowWord.Unfinished)) break; // more of this message is to come
      const kind = requests.get(slot, RequestWord.Kind) as Kind;
      if (requests.outcome(slot) === Outcome.Pending) {
        if (kind < Kind.Read || (kind > Kind.Read && left === 0 && including)) {
          requests.settle(slot, Outcome.Acknowledged, answer.packet, answer.seconds, answer.nanoseconds);
        } else {
          if (left === 0 && including) break;
          requests.raise(slot, RequestFlag.PassedOver);
        }
      }
      slot = requests.get(slot, RequestWord.NextInFlow) - 1;
    }
    flows.set(flow, FlowWord.FirstOpen, slot + 1);
  }

  #rnrNak(flow: number, answer: Answer): void {
    const { requests, flows } = this.#state;
    if (!this.#reach(flow, answer)) return;
    this.#acknowledgeUpTo(flow, psnAfter(answer.psn, -1), answer, false);
    flows.add(flow, FlowWord.RnrNaks, 1);
    this.#nameNak(2 * flow, answer);
    const slot = requests.find(flow, answer.psn);
    if (slot < 0 || requests.outcome(slot) !== Outcome.Pending) return;
    requests.add(slot, RequestWord.RnrNaks, 1);
    requests.set(slot, RequestWord.Syndrome, answer.syndrome);
    requests.setDouble(slot, RequestDouble.AnswerPacket, answer.packet);
  }

  #nak(flow: number, answer: Answer): void {
    const { requests, flows } = this.#state;
    const code = (answer.syndrome & 31) as NakCode;
    if (code === NakCode.PsnSequenceError) {
      flows.add(flow, FlowWord.SequenceNaks, 1);
      const slot = requests.find(flow, answer.psn);
      const packet = slot < 0 ? 0 : requests.getDouble(slot, RequestDouble.Packet);
      this.#nameNak(2 * flow, answer, packet);
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
    this.#nameNak(2 * flow, answer);
    const refused = requests.find(flow, answer.psn);
    if (refused < 0) {
      flows.set(flow, FlowWord.FailedPsn, answer.psn);
      this.#withoutRequest(flow, answer);
    } else {
      flows.set(flow, FlowWord.FailedPsn, requests.get(refused, RequestWord.Psn));
      if (requests.outcome(refused) === Outcome.Pending) {
        requests.settle(refused, Outcome.Refused, answer.packet, answer.seconds, answer.nanoseconds);
        requests.set(refused, RequestWord.Syndrome, answer.syndrome);
        requests.set(refused, RequestWord.RefusedPsn, answer.psn);
      }
    }
    // The queue pair of the requester goes into error: what it had sent behind the refused request is not carried out.
    let slot = flows.get(flow, FlowWord.FirstOpen) - 1;
    for (; slot >= 0; slot = requests.get(slot, RequestWord.NextInFlow) - 1) {
      if (requests.outcome(slot) !== Outcome.Pending) continue;
      requests.settle(slot, Outcome.NotCarriedOut, answer.packet, answer.seconds, answer.nanoseconds);
    }
    flows.set(flow, FlowWord.FirstOpen, 0);
  }

  #readResponse(flow: number, answer: Answer): void {
    const { requests, flows } = this.#state;
    const { psn, opcode } = answer;
    let slot = flows.get(flow, FlowWord.Answered) - 1;
    if (slot < 0 || !requests.contains(slot, psn)) {
      slot = requests.find(flow, psn);
      // With the path MTU unknown, only the first response of a READ is found by its PSN.
      if (slot < 0 && flows.has(flow, FlowFlag.Uncertain)) slot = flows.get(flow, FlowWord.Newest) - 1;
    }
    if (slot < 0 || requests.get(slot, RequestWord.Kind) !== Kind.Read) {
      this.#withoutRequest(flow, answer);
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
      extendRead(this.#state, flow, slot);
    }
    this.#acknowledgeUpTo(flow, psnAfter(requests.get(slot, RequestWord.Psn), -1), answer, false);
    const ahead = psnDistance(psn, requests.get(slot, RequestWord.NextResponse));
    if (ahead < 0) return; // it came again
    if (ahead > 0) {
      if (!requests.has(slot, RequestFlag.ResponseGap)) {
        requests.raise(slot, RequestFlag.ResponseGap);
        const first = requests.get(slot, RequestWord.NextResponse);
        this.#state.findings.add('ResponseGap', flow, answer.packet, ahead, first, psnAfter(psn, -1));
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
    requests.settle(slot, Outcome.Acknowledged, answer.packet, answer.seconds, answer.nanoseconds);
    if (flows.get(flow, FlowWord.FirstOpen) === slot + 1) {
      flows.set(flow, FlowWord.FirstOpen, requests.get(slot, RequestWord.NextInFlow));
    }
    flows.set(flow, FlowWord.Msn, answer.msn);
    flows.raise(flow, FlowFlag.MsnKnown);
  }
}
