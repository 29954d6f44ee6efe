/** Recognizes packets of requests that were sent before. */
import { WireRow } from '../internal/layout';
import type { CaptureState } from './capture-state';
import { FlowDouble, FlowFlag, type Flows, FlowWord } from './flows';
import { Kind, Role } from './opcodes';
import { MOST_HELD } from './held-packets';
import { get, psnAfter, psnDistance } from './reading';
import { Outcome, RequestDouble, RequestFlag, RequestWord } from './requests';

/** Returned by {@link repeatedPacket}: the packet begins another connection. */
export const NOT_REPEATED = -2;

/** What a packet is in the sequence of those that were sent. */
const enum Turn {
  /** It goes on behind those before. */
  On = 0,
  /** It is behind its place: PSNs after it were sent, itself not yet. */
  Late = 1,
  /** It was sent before, so with it the requester goes back. */
  Back = 2,
}

function turnOf(flows: Flows, flow: number, psn: number): Turn {
  const behind = psnDistance(flows.get(flow, FlowWord.SentPsn), psn);
  if (behind < 0) return Turn.On;
  const isAsked = flows.has(flow, FlowFlag.Awaited) && psn === flows.get(flow, FlowWord.AwaitedPsn);
  const wentBack = flows.getDouble(flow, FlowDouble.ReturnPacket);
  if (isAsked && wentBack < flows.getDouble(flow, FlowDouble.AwaitedPacket)) return Turn.Back;
  // A requester that goes back does not stop short: what is acknowledged is never sent again. So a PSN that has not been sent since it
  // last went back is not a further return.
  return behind < 32 && (flows.get(flow, FlowWord.SentBits) & (1 << behind)) === 0 ? Turn.Late : Turn.Back;
}

/** Notes that a packet was sent for the first time. */
export function noteNew(flows: Flows, flow: number, psn: number, number: number): void {
  const back = flows.getDouble(flow, FlowDouble.ReturnPacket);
  const isNext = psn === psnAfter(flows.get(flow, FlowWord.SentPsn), 1);
  // It was sent before the requester went back, and the capture has it behind that.
  if (back > 0 && !isNext && number - back < MOST_HELD) return;
  noteSent(flows, flow, psn);
}

/** Notes that a packet was sent behind the ones before. */
function noteSent(flows: Flows, flow: number, psn: number): void {
  const ahead = psnDistance(psn, flows.get(flow, FlowWord.SentPsn));
  const bits = ahead < 32 ? flows.get(flow, FlowWord.SentBits) << ahead : 0;
  flows.set(flow, FlowWord.SentPsn, psn);
  flows.set(flow, FlowWord.SentBits, bits | 1);
}

/** Notes that the requester goes back, and sends again from a PSN on. */
export function noteReturn(flows: Flows, flow: number, psn: number, number: number): void {
  flows.set(flow, FlowWord.SentPsn, psnAfter(psn, -1));
  flows.set(flow, FlowWord.SentBits, 0);
  flows.setDouble(flow, FlowDouble.ReturnPacket, number);
}

function noteTurn(flows: Flows, flow: number, psn: number, turn: Turn, number: number): void {
  switch (turn) {
    case Turn.On:
      noteSent(flows, flow, psn);
      break;
    case Turn.Late: {
      const behind = psnDistance(flows.get(flow, FlowWord.SentPsn), psn);
      flows.set(flow, FlowWord.SentBits, flows.get(flow, FlowWord.SentBits) | (1 << behind));
      break;
    }
    default:
      noteReturn(flows, flow, psn, number);
      noteSent(flows, flow, psn);
  }
}

/**
 * Takes a packet whose PSN was sent before, or could have been.
 *
 * @returns the slot of its request; -1 if that is not kept; {@link NOT_REPEATED} if it is another request with an old PSN, so a new
 *   connection
 */
export function repeatedPacket(
  { requests, flows, findings }: CaptureState,
  words: Uint32Array,
  at: number,
  flow: number,
  role: Role,
  kind: Kind,
  psn: number,
  number: number,
): number {
  const slot = requests.find(flow, psn);
  const turn = turnOf(flows, flow, psn);
  // A packet that comes for the first time, later than those that wait for it do so.
  const isFirstTime = turn === Turn.Late && flows.getDouble(flow, FlowDouble.ReturnPacket) === 0;
  if (slot < 0) {
    // Older than what is kept, or missing in the capture at first.
    noteTurn(flows, flow, psn, turn, number);
    if (turn === Turn.Back) flows.add(flow, FlowWord.Repeated, 1);
    if (isFirstTime) findings.add('StoredOutOfOrder', flow, number, 1, psn);
    else findings.add('Repeated', flow, number);
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
  noteTurn(flows, flow, psn, turn, number);
  if (isFirstTime) {
    findings.add('StoredOutOfOrder', flow, number, 1, psn);
    return slot;
  }
  // A request counts once each time that the requester goes back; a READ may be asked for from different places on.
  const counted = requests.getDouble(slot, RequestDouble.LastRepeat);
  const isCounted = counted > 0 && counted >= flows.getDouble(flow, FlowDouble.ReturnPacket);
  if (kind === Kind.Read ? !begins : isCounted || (turn === Turn.On && !begins)) return slot;
  requests.setDouble(slot, RequestDouble.LastRepeat, number);
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
    findings.add('RepeatedAfterAnswer', flow, number, 1, requests.getDouble(slot, RequestDouble.Packet));
  } else {
    if (isAfterNak) requests.raise(slot, RequestFlag.RepeatedAfterAnswer);
    findings.add('Repeated', flow, number, 1, requests.getDouble(slot, RequestDouble.Packet));
  }
  if (flows.has(flow, FlowFlag.Awaited) && psn === flows.get(flow, FlowWord.AwaitedPsn)) {
    flows.lower(flow, FlowFlag.Awaited);
  }
  return slot;
}
