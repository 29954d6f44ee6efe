/** Takes the packets of requests by their PSNs: new ones, repeated ones, gaps, and the first of another connection. */
import { WireRow } from '../internal/layout';
import type { CaptureState } from './capture-state';
import { CmConnections } from './cm-connections';
import { FlowDouble, FlowFlag, type Flows, FlowWord } from './flows';
import { Messages } from './messages';
import { kindOf, Role, Transport } from './opcodes';
import { detachRequests } from './outcomes';
import { learnMtuAfterRead } from './psn-ranges';
import { FARTHEST, get, psnAfter, psnDistance } from './reading';
import { NOT_REPEATED, noteNew, repeatedPacket } from './repeats';
import { Outcome, RequestFlag, RequestWord } from './requests';
import type { Rows } from './rows';

/** A damaged packet with a PSN further away than this is counted and otherwise ignored: its PSN may be damaged. */
const FARTHEST_DAMAGED = 4096;

/** The packets of requests of all flows. */
export class RequestPackets {
  readonly #state: CaptureState;
  readonly #messages: Messages;
  readonly #connections: CmConnections;

  /** @param makeRoom - removes the oldest request; called when the ring of requests is full */
  constructor(state: CaptureState, makeRoom: () => void) {
    this.#state = state;
    this.#messages = new Messages(state, makeRoom);
    this.#connections = new CmConnections(state);
  }

  /** Takes a packet of a request. Returns the request's slot; -1 if it belongs to none that is kept. */
  take(
    rows: Rows,
    at: number,
    flow: number,
    opcode: number,
    role: Role,
    number: number,
    damaged: boolean,
  ): number {
    const { words } = rows;
    const { flows, requests } = this.#state;
    const transport = (opcode >> 5) as Transport;
    flows.set(flow, FlowWord.Transport, transport);
    const kind = kindOf(opcode);
    const psn = get(words, at + WireRow.Psn);
    if (transport === Transport.Ud) {
      const slot = this.#messages.begin(rows, at, flow, kind, psn, number);
      this.#messages.finish(words, at, slot);
      this.#connections.take(rows, at, flow, slot);
      requests.settle(slot, Outcome.Unacknowledged);
      return slot;
    }
    if (!flows.has(flow, FlowFlag.Started)) {
      flows.raise(flow, FlowFlag.Started);
      begin(flows, flow, psn);
    }
    if (flows.has(flow, FlowFlag.Uncertain)) learnMtuAfterRead(this.#state, flow, psn);
    let ahead = psnDistance(psn, flows.get(flow, FlowWord.NextPsn));
    if (damaged && (ahead > FARTHEST_DAMAGED || ahead < -FARTHEST_DAMAGED)) return -1;
    if (ahead < 0 && ahead >= -FARTHEST) {
      const slot = repeatedPacket(this.#state, words, at, flow, role, kind, psn, number);
      if (slot !== NOT_REPEATED) return slot;
    }
    if (ahead > FARTHEST || ahead < 0) {
      this.#restart(flow, psn, number);
      ahead = 0;
    }
    if (ahead > 0) {
      const expected = flows.get(flow, FlowWord.NextPsn);
      this.#state.findings.add('PsnGap', flow, number, ahead, expected, psnAfter(psn, -1));
      flows.add(flow, FlowWord.MissingPackets, ahead);
      const unfinished = flows.get(flow, FlowWord.Unfinished);
      if (unfinished > 0) requests.raise(unfinished - 1, RequestFlag.HasGap);
    }
    noteNew(flows, flow, psn, number);
    const slot = this.#messages.take(rows, at, flow, role, kind, psn, number, ahead);
    if (transport === Transport.Uc) {
      if (role >= Role.Last) requests.settle(slot, Outcome.Unacknowledged);
      return slot;
    }
    if (
      flows.has(flow, FlowFlag.Failed) &&
      requests.outcome(slot) === Outcome.Pending &&
      psnDistance(psn, flows.get(flow, FlowWord.FailedPsn)) > 0
    ) {
      // Packets of a request that was on its way when the NAK came are no mistake; a request that begins later is.
      if (role === Role.First || role === Role.Only) this.#state.findings.add('SentAfterError', flow, number);
      if (requests.get(slot, RequestWord.Psn) !== flows.get(flow, FlowWord.FailedPsn)) {
        requests.settle(slot, Outcome.NotCarriedOut, flows.getDouble(flow, FlowDouble.FailedPacket));
      }
    }
    return slot;
  }

  /** Begins to count anew: another connection uses the same queue pair number. */
  #restart(flow: number, psn: number, number: number): void {
    const { flows } = this.#state;
    this.#state.findings.add('NewSequence', flow, number, 1, flows.get(flow, FlowWord.NextPsn), psn);
    flows.lower(flow, FlowFlag.Failed | FlowFlag.Awaited | FlowFlag.MsnKnown | FlowFlag.Uncertain);
    flows.set(flow, FlowWord.FirstOpen, 0);
    flows.set(flow, FlowWord.Unfinished, 0);
    flows.set(flow, FlowWord.Answered, 0);
    begin(flows, flow, psn);
    // Requests of the connection before must not be found by PSNs of the new one.
    detachRequests(this.#state, flow);
  }
}

/** Begins to count the PSNs of a flow. */
function begin(flows: Flows, flow: number, psn: number): void {
  flows.set(flow, FlowWord.NextPsn, psn);
  flows.set(flow, FlowWord.SentPsn, psnAfter(psn, -1));
  flows.set(flow, FlowWord.SentBits, 0);
  flows.setDouble(flow, FlowDouble.ReturnPacket, 0);
}
