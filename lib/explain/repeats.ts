/** Recognizes packets of requests that were sent before. */
import { WireRow } from '../internal/layout';
import type { CaptureState } from './capture-state';
import { FlowFlag, FlowWord } from './flows';
import { Kind, Role } from './opcodes';
import { get, psnDistance } from './reading';
import { Outcome, RequestDouble, RequestFlag, RequestWord } from './requests';

/** Returned by {@link repeatedPacket}: the packet begins another connection. */
export const NOT_REPEATED = -2;

/**
 * Takes a packet whose PSN was sent before.
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
  const isRewind = psnDistance(psn, flows.get(flow, FlowWord.SentPsn)) <= 0;
  if (slot < 0) {
    // Older than what is kept, or missing in the capture at first.
    flows.set(flow, FlowWord.SentPsn, psn);
    if (isRewind) flows.add(flow, FlowWord.Repeated, 1);
    findings.add('Repeated', flow, number);
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
    findings.add('RepeatedAfterAnswer', flow, number, 1, requests.getDouble(slot, RequestDouble.Packet));
    if (kind === Kind.Read) requests.set(slot, RequestWord.NextResponse, psn);
  } else {
    if (isAfterNak) requests.raise(slot, RequestFlag.RepeatedAfterAnswer);
    findings.add('Repeated', flow, number, 1, requests.getDouble(slot, RequestDouble.Packet));
  }
  if (flows.has(flow, FlowFlag.Awaited) && psn === flows.get(flow, FlowWord.AwaitedPsn)) {
    flows.lower(flow, FlowFlag.Awaited);
  }
  return slot;
}
