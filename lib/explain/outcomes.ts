/** Decides what became of requests that no answer has settled. */
import type { CaptureState } from './capture-state';
import { FlowFlag, FlowWord } from './flows';
import { Transport } from './opcodes';
import { psnDistance } from './reading';
import { MOST_REQUESTS, Outcome, RequestFlag, RequestWord } from './requests';

/** Says what became of a request that nothing has settled. */
export function lastOutcome({ requests, flows }: CaptureState, slot: number): Outcome {
  const flow = requests.get(slot, RequestWord.Flow);
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

/** Settles the requests of a flow that are still open, with what is known of them, and takes them out of the flow. */
export function detachRequests(state: CaptureState, flow: number): void {
  const { requests, flows } = state;
  let slot = flows.get(flow, FlowWord.Newest) - 1;
  for (let i = 0; i < MOST_REQUESTS && slot >= 0; i++) {
    if (requests.outcome(slot) !== Outcome.Pending) break;
    requests.set(slot, RequestWord.Outcome, lastOutcome(state, slot));
    slot = requests.get(slot, RequestWord.PreviousInFlow) - 1;
  }
  flows.set(flow, FlowWord.Oldest, 0);
  flows.set(flow, FlowWord.Newest, 0);
}
