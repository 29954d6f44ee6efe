/**
 * Finds the two directions of a connection. Packets name only the queue pair that they go to, so which queue pair sent an answer is
 * learned: from the PSNs of the answers, or from messages of the connection manager.
 */
import { type Flows, FlowFlag, FlowWord } from './flows';
import { Kind } from './opcodes';
import { psnDistance } from './reading';
import { type Requests, RequestWord } from './requests';

/** Flows with the same addresses that are compared with an answer. */
const MOST_COMPARED = 128;
/** A PSN this far from those of a flow can be of a packet that the capture does not have. */
const NEARBY = 64;

/** How an answer fits a flow of requests. */
const enum Fit {
  None = 0,
  /** The PSN is close to those of its requests. */
  Near = 1,
  /** The PSN is of one of its requests, and the kind of the answer is right. */
  Exact = 2,
}

/** What the answer is, for comparing it with requests. */
export interface AnswerFacts {
  readonly psn: number;
  /** Read, FetchAdd (any atomic), or Send (anything). */
  readonly kind: Kind;
}

function fitOf(flows: Flows, requests: Requests, flow: number, psn: number, kind: Kind): Fit {
  if (!flows.has(flow, FlowFlag.Started)) return Fit.None;
  const slot = requests.find(flow, psn);
  if (slot >= 0) {
    const asked = requests.get(slot, RequestWord.Kind) as Kind;
    if (kind === Kind.Read) return asked === Kind.Read ? Fit.Exact : Fit.None;
    if (kind === Kind.FetchAdd) return asked >= Kind.CompareSwap ? Fit.Exact : Fit.None;
    return Fit.Exact;
  }
  const ahead = psnDistance(psn, flows.get(flow, FlowWord.NextPsn) - 1);
  if (ahead > 0) {
    // A response to a READ that is still to come is of another connection. The responses of the last READ may have any PSNs behind it.
    if (kind === Kind.Read && !flows.has(flow, FlowFlag.Uncertain)) return Fit.None;
    return ahead <= 4 * NEARBY ? Fit.Near : Fit.None;
  }
  const oldest = flows.get(flow, FlowWord.Oldest) - 1;
  if (oldest < 0) return Fit.None;
  const before = psnDistance(requests.get(oldest, RequestWord.Psn), psn);
  return before > 0 && before <= NEARBY ? Fit.Near : Fit.None;
}

/**
 * Returns the flows whose requests an answer in `flow` may answer: those that fit best. Flows that have a mate already are left out.
 *
 * @param among - look only at these, if given
 */
export function candidatesFor(
  flows: Flows,
  requests: Requests,
  flow: number,
  { psn, kind }: AnswerFacts,
  among?: readonly number[],
): number[] {
  let best = Fit.Near;
  let found: number[] = [];
  const consider = (other: number): void => {
    if (flows.mate(other) >= 0) return;
    const fit = fitOf(flows, requests, other, psn, kind);
    if (fit === Fit.None || fit < best) return;
    if (fit > best) {
      best = fit;
      found = [];
    }
    found.push(other);
  };
  if (among !== undefined) {
    for (const other of among) consider(other);
    return found;
  }
  let other = flows.newestOpposite(flow);
  for (let i = 0; i < MOST_COMPARED && other >= 0; i++) {
    consider(other);
    other = flows.get(other, FlowWord.NextOfPair) - 1;
  }
  return found;
}
