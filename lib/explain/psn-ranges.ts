/** Works out which PSNs a request takes, from its length and the path MTU, and learns the path MTU where it is not known. */
import type { CaptureState } from './capture-state';
import { FlowFlag, FlowWord } from './flows';
import { psnAfter, psnDistance } from './reading';
import { RequestFlag, RequestWord } from './requests';

/** Sets the last PSN of a WRITE that has begun, from its length. */
export function extendWrite(state: CaptureState, flow: number, slot: number): void {
  const { requests } = state;
  const mtu = state.flows.get(flow, FlowWord.Mtu);
  if (mtu === 0 || !requests.has(slot, RequestFlag.HasTarget)) return;
  const packets = Math.max(1, Math.ceil(requests.get(slot, RequestWord.Length) / mtu));
  requests.set(slot, RequestWord.LastPsn, psnAfter(requests.get(slot, RequestWord.Psn), packets - 1));
}

/** Sets the last PSN of a READ, whose responses have PSNs of their own, and the PSN that follows it. */
export function extendRead(state: CaptureState, flow: number, slot: number): void {
  const { requests, flows } = state;
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

/** Returns the path MTU with which a READ has so many responses; 0 if there is none. */
function mtuOfRead(length: number, responses: number): number {
  for (let mtu = 4096; mtu >= 256; mtu /= 2) {
    if (Math.ceil(length / mtu) === responses) return mtu;
  }
  return 0;
}

/** Returns whether a request with this PSN can follow the READ of unknown path MTU that a flow has last. */
export function canFollowRead({ flows, requests }: CaptureState, flow: number, psn: number): boolean {
  const read = flows.get(flow, FlowWord.Newest) - 1;
  if (read < 0) return true;
  const responses = psnDistance(psn, requests.get(read, RequestWord.Psn));
  return mtuOfRead(requests.get(read, RequestWord.Length), responses) > 0;
}

/** Learns the path MTU from the PSN of the request that follows a READ. */
export function learnMtuAfterRead(state: CaptureState, flow: number, psn: number): void {
  const { requests, flows } = state;
  const read = flows.get(flow, FlowWord.Newest) - 1;
  if (read < 0) {
    flows.lower(flow, FlowFlag.Uncertain);
    return;
  }
  const packets = psnDistance(psn, requests.get(read, RequestWord.Psn));
  if (packets <= 0) return; // sent again, or another connection
  flows.learnMtu(flow, mtuOfRead(requests.get(read, RequestWord.Length), packets));
  flows.lower(flow, FlowFlag.Uncertain);
  if (flows.get(flow, FlowWord.Mtu) !== 0) extendRead(state, flow, read);
}
