/**
 * Puts packets that the capture has out of order into their order. A capture of several queues of a network card has neighbouring packets
 * of a connection exchanged: an answer before its request, or a packet of a message before the one that precedes it.
 *
 * A packet whose predecessor is missing waits, and with it what follows on its connection, until the predecessor comes. If it does not
 * come, it was lost or not captured: then all are analysed in the order in which the capture has them.
 */
import { AethKind, NakCode, WireRow } from '../internal/layout';
import { type Answer, emptyAnswer, readAnswer } from './answer';
import type { CaptureState } from './capture-state';
import { FlowFlag, FlowWord } from './flows';
import { HeldPackets, MOST_HELD } from './held-packets';
import { aethKind, Kind, Role, roleOf } from './opcodes';
import { canFollowRead } from './psn-ranges';
import { FARTHEST, get, psnDistance } from './reading';
import { noteReturn } from './repeats';
import { RequestWord } from './requests';
import { Pairing } from './unclear-answers';
import type { Rows } from './rows';

/** A packet waits until the file has this many further ones. Queues are emptied some 64 packets at a time. It is also the room that is needed. */
const MOST_FURTHER = MOST_HELD;
/** ... or until this many seconds have passed in the capture, so that the lines of a live capture appear. */
const LONGEST_SECONDS = 1;
/**
 * A packet of a request that comes more than so many seconds behind its successor was sent again after a timeout; then the first one was
 * lost. Cards exchange packets of microseconds, and timeouts are mostly of 8 ms (a value of 11) and more.
 */
const LATEST_SECONDS = 0.01;
/** So many PSNs before the first one that the capture has of a flow, a packet belongs before it. Otherwise it is of another connection. */
const FARTHEST_BEFORE = 8192;

/** What the order needs of the analysis. */
export interface InOrder {
  /** Takes a packet of a request. */
  request(rows: Rows, at: number, flow: number): void;
  /** Takes an answer in flow `flow` to the requests of flow `requests`. */
  answer(rows: Rows, at: number, requests: number): void;
  /**
   * Takes an answer of which it is not known whose requests it answers.
   *
   * @param isLast - give it up if nothing fits
   * @returns what became of it; if its connection is known now, it is still to be taken
   */
  unpaired(rows: Rows, at: number, flow: number, isLast: boolean): Pairing;
}

/** The packets that wait. A packet in its order costs a few comparisons, any other a constant time; nothing here allocates. */
export class PacketOrder {
  readonly #state: CaptureState;
  readonly #next: InOrder;
  readonly #held = new HeldPackets();
  /** Of those that wait, the answers of which it is not known whose requests they answer. */
  #unpaired = 0;
  readonly #answer = emptyAnswer();

  constructor(state: CaptureState, next: InOrder) {
    this.#state = state;
    this.#next = next;
  }

  /** Gives up waiting for what should have come by now. Call it with each packet. */
  expire(number: number, seconds: number): void {
    const held = this.#held;
    while (
      held.count > 0 &&
      (number - held.number(0) >= MOST_FURTHER || Math.abs(seconds - held.seconds(0)) > LONGEST_SECONDS)
    ) {
      this.#giveUp();
    }
  }

  /** Gives up waiting: the capture has ended. */
  end(): void {
    while (this.#held.count > 0) this.#giveUp();
  }

  /** Takes the packets of the oldest one's connection as they are. */
  #giveUp(): void {
    const held = this.#held;
    const requests = held.requests(0);
    if (requests >= 0) {
      this.#flush(requests);
      return;
    }
    const [at, flow] = [held.at(0), held.flow(0)];
    held.remove(0);
    this.#unpaired--;
    const { flows } = this.#state;
    if (flows.mate(flow) >= 0 || this.#next.unpaired(held, at, flow, true) === Pairing.Paired) {
      this.#next.answer(held, at, flows.mate(flow));
    }
  }

  /** Takes a packet of a request of RC or UC that is not damaged. */
  request(rows: Rows, at: number, flow: number): void {
    const { flows } = this.#state;
    const psn = get(rows.words, at + WireRow.Psn);
    if (!flows.has(flow, FlowFlag.Started)) {
      if (this.#first(rows, at, flow, psn)) return;
    }
    const ahead = this.#ahead(flow, psn);
    if (flows.get(flow, FlowWord.Held) === 0) {
      if (ahead <= 0 || ahead > FARTHEST || this.#isGapKnown(flow)) this.#takeRequest(rows, at, flow, psn);
      else this.#hold(rows, at, flow, flow);
      return;
    }
    if (this.#isGapKnown(flow)) {
      this.#flush(flow);
      this.#takeRequest(rows, at, flow, psn);
      return;
    }
    const successor = ahead === 0 ? this.#successor(flow, psn) : -1;
    if (successor >= 0 && !this.#isSentAgain(rows, at, successor)) {
      this.#late(flow, rows, at);
      this.#takeRequest(rows, at, flow, psn);
      this.#drain(flow);
    } else if (successor < 0 && ahead >= 0 && ahead <= FARTHEST) {
      this.#hold(rows, at, flow, flow);
    } else {
      // It is sent again, so what is missing was really lost; or it is of another connection.
      this.#flush(flow);
      if (successor >= 0) noteReturn(flows, flow, psn, get(rows.doubles, (at + WireRow.Number) >> 1));
      this.#takeRequest(rows, at, flow, psn);
    }
  }

  /** Analyses what waits in a flow: a damaged packet of it comes, which does not wait because its PSN may be wrong. */
  damaged(flow: number): void {
    if (this.#state.flows.get(flow, FlowWord.Held) > 0) this.#flush(flow);
  }

  /**
   * Takes the first two packets of a flow. The first one waits for the second, because the capture may have the second before the first.
   *
   * @returns false if the packet is still to be taken, behind the first one
   */
  #first(rows: Rows, at: number, flow: number, psn: number): boolean {
    const { flows } = this.#state;
    const held = this.#held;
    if (!flows.has(flow, FlowFlag.Starting)) {
      // An answer that came already shows that this is the packet with which the flow begins, as far as the capture has it.
      if (this.#hasAnswerTo(flow, psn)) {
        this.#takeRequest(rows, at, flow, psn);
        this.#drain(flow);
      } else {
        flows.raise(flow, FlowFlag.Starting);
        this.#hold(rows, at, flow, flow);
      }
      return true;
    }
    const index = this.#indexOfStart(flow);
    const before = psnDistance(held.psn(index), psn);
    if (before <= 0 || before > FARTHEST_BEFORE) {
      this.release(flow);
      return false;
    }
    flows.lower(flow, FlowFlag.Starting);
    this.#late(flow, rows, at);
    this.#takeRequest(rows, at, flow, psn);
    this.#drain(flow);
    return true;
  }

  /** Takes an answer in a flow. */
  answer(rows: Rows, at: number, flow: number): void {
    const { flows } = this.#state;
    const answer = this.#answer;
    readAnswer(rows, at, answer);
    if (flows.mate(flow) < 0) {
      if (this.#held.count > 0) this.#releaseOpposite(flow, isNak(answer));
      const pairing = this.#next.unpaired(rows, at, flow, false);
      if (pairing === Pairing.None) {
        this.#hold(rows, at, flow, -1);
        this.#unpaired++;
      }
      if (pairing !== Pairing.Paired) return;
      if (this.#unpaired > 0) this.#pair();
      readAnswer(rows, at, answer);
    }
    const requests = flows.mate(flow);
    if (flows.has(requests, FlowFlag.Starting)) {
      this.release(requests);
      readAnswer(rows, at, answer);
    }
    const isWaiting = flows.get(requests, FlowWord.Held) > 0;
    if (isSequenceNak(answer)) {
      // The responder did not get a packet either: it was lost.
      if (isWaiting) this.#flush(requests);
      this.#next.answer(rows, at, requests);
      return;
    }
    const isNext = this.#isAnswerNext(requests, answer);
    if (!isWaiting && isNext) {
      this.#next.answer(rows, at, requests);
    } else if (isWaiting && isNext && this.#isResponseAwaited(requests, answer)) {
      this.#late(requests, rows, at);
      this.#next.answer(rows, at, requests);
      this.#drain(requests);
    } else {
      this.#hold(rows, at, flow, requests);
    }
  }

  /** Takes the packet with which a flow begins, if that waits: the next one shows that nothing belongs before it. */
  release(flow: number): void {
    const held = this.#held;
    this.#state.flows.lower(flow, FlowFlag.Starting);
    const index = this.#indexOfStart(flow);
    if (index < 0) return;
    const at = held.at(index);
    this.#remove(index);
    this.#takeRequest(held, at, flow, get(held.words, at + WireRow.Psn));
    this.#drain(flow);
  }

  /**
   * Releases the flows that go against a flow, because an answer in it may be theirs.
   *
   * @param all - also those whose first packets were taken: the answer is a NAK, before which what waits must be taken
   */
  #releaseOpposite(flow: number, all: boolean): void {
    const { flows } = this.#state;
    const held = this.#held;
    for (let index = 0; index < held.count;) {
      const other = held.requests(index);
      if (other < 0 || flows.mate(other) >= 0 || !isOpposite(this.#state, other, flow)) {
        index++;
      } else if (flows.has(other, FlowFlag.Starting)) {
        this.release(other);
        index = 0;
      } else if (all) {
        this.#flush(other);
        index = 0;
      } else {
        index++;
      }
    }
  }

  /** Returns the index of the first packet of a request that waits in a flow; -1 if there is none. */
  #indexOfStart(flow: number): number {
    const held = this.#held;
    for (let index = 0; index < held.count; index++) {
      if (held.flow(index) === flow && roleOf(held.opcode(index)) <= Role.Only) return index;
    }
    return -1;
  }

  #hold(rows: Rows, at: number, flow: number, requests: number): void {
    const held = this.#held;
    // Cannot be: each packet of the file adds one at most, and those of as many packets before are given up.
    if (held.count === MOST_HELD) this.#giveUp();
    held.add(rows, at, flow, requests);
    if (requests >= 0) this.#state.flows.add(requests, FlowWord.Held, 1);
  }

  #remove(index: number): void {
    const held = this.#held;
    const requests = held.requests(index);
    if (requests >= 0) this.#state.flows.add(requests, FlowWord.Held, -1);
    else this.#unpaired--;
    held.remove(index);
  }

  #takeRequest(rows: Rows, at: number, flow: number, psn: number): void {
    this.#next.request(rows, at, flow);
    if (this.#unpaired > 0) this.#findAnswers(rows, at, flow, psn);
  }

  /** Takes what waits for the requests of a flow, as far as its turn has come. */
  #drain(requests: number): void {
    const held = this.#held;
    for (let index = 0; index < held.count;) {
      if (held.requests(index) !== requests || !this.#isNext(requests, index)) {
        index++;
        continue;
      }
      this.#takeHeld(requests, index);
      index = 0;
    }
  }

  /** Takes all that waits for the requests of a flow, as the capture has it. */
  #flush(requests: number): void {
    const held = this.#held;
    this.#state.flows.lower(requests, FlowFlag.Starting);
    for (let index = 0; index < held.count;) {
      if (held.requests(index) !== requests) {
        index++;
        continue;
      }
      this.#takeHeld(requests, index);
      index = 0;
    }
  }

  #takeHeld(requests: number, index: number): void {
    const held = this.#held;
    const at = held.at(index);
    const isRequest = roleOf(held.opcode(index)) <= Role.Only;
    this.#remove(index);
    if (isRequest) this.#takeRequest(held, at, requests, get(held.words, at + WireRow.Psn));
    else this.#next.answer(held, at, requests);
  }

  /** Returns whether the turn of a packet has come. */
  #isNext(requests: number, index: number): boolean {
    const held = this.#held;
    if (roleOf(held.opcode(index)) <= Role.Only) {
      const { flows } = this.#state;
      return flows.has(requests, FlowFlag.Started) && this.#ahead(requests, held.psn(index)) <= 0;
    }
    readAnswer(held, held.at(index), this.#answer);
    return this.#isAnswerNext(requests, this.#answer);
  }

  /** Returns whether an answer does not come before its request or, a READ response, before the response that precedes it. */
  #isAnswerNext(flow: number, { opcode, psn }: Answer): boolean {
    const { flows, requests } = this.#state;
    if (!flows.has(flow, FlowFlag.Started)) return false;
    const isResponse = roleOf(opcode) === Role.ReadResponse;
    if (isResponse && flows.has(flow, FlowFlag.Uncertain)) {
      // The last request is a READ, and nobody knows how many PSNs its responses have.
      const read = flows.get(flow, FlowWord.Newest) - 1;
      return read < 0 || psnDistance(psn, requests.get(read, RequestWord.NextResponse)) <= 0;
    }
    if (psnDistance(psn, flows.get(flow, FlowWord.NextPsn)) >= 0) return false;
    if (!isResponse) return true;
    let slot = flows.get(flow, FlowWord.Answered) - 1;
    if (slot < 0 || !requests.contains(slot, psn)) slot = requests.find(flow, psn);
    if (slot < 0 || requests.get(slot, RequestWord.Kind) !== Kind.Read) return true;
    return psnDistance(psn, requests.get(slot, RequestWord.NextResponse)) <= 0;
  }

  /** Returns how many PSNs are missing before a packet of a request; below 0: it was sent before. */
  #ahead(flow: number, psn: number): number {
    const { flows } = this.#state;
    const ahead = psnDistance(psn, flows.get(flow, FlowWord.NextPsn));
    const follows = ahead > 0 && flows.has(flow, FlowFlag.Uncertain) && canFollowRead(this.#state, flow, psn);
    return follows ? 0 : ahead;
  }

  /** Returns whether it is known that packets are missing: then there is nothing to wait for. */
  #isGapKnown(flow: number): boolean {
    const { flows } = this.#state;
    return (
      flows.has(flow, FlowFlag.Awaited) &&
      flows.get(flow, FlowWord.AwaitedPsn) === flows.get(flow, FlowWord.NextPsn)
    );
  }

  /** Returns the index of what waits for the packet of a request with a PSN: a later packet, or an answer; -1 if there is nothing. */
  #successor(flow: number, psn: number): number {
    const held = this.#held;
    for (let index = 0; index < held.count; index++) {
      if (held.requests(index) !== flow) continue;
      const isRequest = roleOf(held.opcode(index)) <= Role.Only;
      if (psnDistance(held.psn(index), psn) >= (isRequest ? 1 : 0)) return index;
    }
    return -1;
  }

  /** Returns whether a packet of a request came so long behind a later one that it must have been sent again. */
  #isSentAgain({ words, doubles }: Rows, at: number, index: number): boolean {
    const held = this.#held;
    if (roleOf(held.opcode(index)) > Role.Only) return false;
    const seconds = get(doubles, (at + WireRow.Seconds) >> 1) - held.seconds(index);
    const nanoseconds = get(words, at + WireRow.Nanoseconds) - held.nanoseconds(index);
    return seconds + nanoseconds / 1e9 > LATEST_SECONDS;
  }

  /** Returns whether later responses to the same READ wait for a response. */
  #isResponseAwaited(flow: number, { opcode, psn }: Answer): boolean {
    if (roleOf(opcode) !== Role.ReadResponse) return false;
    const held = this.#held;
    for (let index = 0; index < held.count; index++) {
      if (held.requests(index) !== flow || roleOf(held.opcode(index)) !== Role.ReadResponse) continue;
      if (psnDistance(held.psn(index), psn) > 0) return true;
    }
    return false;
  }

  /** Returns whether an answer to the request with a PSN waits for it. */
  #hasAnswerTo(flow: number, psn: number): boolean {
    const held = this.#held;
    for (let index = 0; index < held.count; index++) {
      if (held.psn(index) === psn && this.#isAnswerTo(flow, index)) return true;
    }
    return false;
  }

  #isAnswerTo(flow: number, index: number): boolean {
    const held = this.#held;
    if (roleOf(held.opcode(index)) <= Role.Only) return false;
    const requests = held.requests(index);
    return requests === flow || (requests < 0 && isOpposite(this.#state, flow, held.flow(index)));
  }

  /** Finds, among the answers of which it is not known whose requests they answer, those to the request that has just been taken. */
  #findAnswers(rows: Rows, at: number, flow: number, psn: number): void {
    const { flows } = this.#state;
    const held = this.#held;
    for (let index = 0; index < held.count; index++) {
      if (held.requests(index) >= 0 || held.psn(index) !== psn || !this.#isAnswerTo(flow, index)) continue;
      if (flows.mate(flow) >= 0) continue;
      const [from, answers] = [held.at(index), held.flow(index)];
      const pairing = this.#next.unpaired(held, from, answers, false);
      if (pairing === Pairing.None) continue;
      this.#late(flow, rows, at);
      if (pairing === Pairing.Taken) this.#remove(index);
      else this.#pair();
      return;
    }
  }

  /** Takes the answers that waited for their connection to be known, and of which it is known now, as far as their turn has come. */
  #pair(): void {
    const { flows } = this.#state;
    const held = this.#held;
    for (let index = 0; index < held.count; index++) {
      const mate = held.requests(index) < 0 ? flows.mate(held.flow(index)) : -1;
      if (mate < 0) continue;
      this.#unpaired--;
      held.setRequests(index, mate);
      flows.add(mate, FlowWord.Held, 1);
      this.#drain(mate);
      index = -1;
    }
  }

  /** Notes a packet that is stored behind one that it belongs before. */
  #late(flow: number, { words, doubles }: Rows, at: number): void {
    const number = get(doubles, (at + WireRow.Number) >> 1);
    this.#state.findings.add('StoredOutOfOrder', flow, number, 1, get(words, at + WireRow.Psn));
  }
}

/** Returns whether two flows have the same addresses in opposite directions. */
function isOpposite({ flows }: CaptureState, one: number, other: number): boolean {
  return (
    flows.get(one, FlowWord.SourceHost) === flows.get(other, FlowWord.DestinationHost) &&
    flows.get(one, FlowWord.DestinationHost) === flows.get(other, FlowWord.SourceHost)
  );
}

function isNak({ opcode, syndrome }: Answer): boolean {
  return roleOf(opcode) === Role.Acknowledge && aethKind(syndrome) === AethKind.Nak;
}

function isSequenceNak(answer: Answer): boolean {
  return isNak(answer) && ((answer.syndrome & 31) as NakCode) === NakCode.PsnSequenceError;
}
