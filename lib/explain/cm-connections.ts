/** Learns connections from datagrams: who sent them, and the queue pairs that messages of the connection manager name. */
import { CmAttribute, WireRow } from '../internal/layout';
import type { CaptureState } from './capture-state';
import { CM_QKEY, CM_QUEUE_PAIR, type CmMessage, parseCm } from './cm';
import { FlowFlag, FlowWord } from './flows';
import { get } from './reading';
import { RequestWord } from './requests';
import type { Rows } from './rows';

/** Requests for connections that are kept until their answer comes. */
const MOST_CM_REQUESTS = 256;

/** The connections that datagrams tell about. */
export class CmConnections {
  readonly #state: CaptureState;
  /** The flow to the requester's queue pair, by the hosts and the communication id of its REQ. */
  readonly #cmRequests = new Map<string, { flow: number; mtu: number }>();

  constructor(state: CaptureState) {
    this.#state = state;
  }

  /** Reads a datagram: the sender's queue pair, and a message of the connection manager. */
  take(rows: Rows, at: number, flow: number, slot: number): void {
    const { words } = rows;
    const { flows, requests } = this.#state;
    flows.raise(flow, FlowFlag.SourceKnown);
    flows.set(flow, FlowWord.SourceQueuePair, get(words, at + WireRow.SourceQp));
    if (get(words, at + WireRow.DestQp) !== CM_QUEUE_PAIR || get(words, at + WireRow.Qkey) !== CM_QKEY)
      return;
    const message = parseCm(rows.payload(at));
    if (message === undefined) return;
    requests.set(slot, RequestWord.Cm, message.attribute + 1);
    requests.set(slot, RequestWord.CmReason, message.reason);
    requests.set(slot, RequestWord.CmQueuePair, message.queuePair);
    if (message.queuePair !== 0) this.#connect(words, at, flow, message);
  }

  /** Learns the two directions of a connection from REQ and REP. */
  #connect(words: Uint32Array, at: number, flow: number, message: CmMessage): void {
    const { flows } = this.#state;
    const [source, destination] = [
      flows.get(flow, FlowWord.SourceHost),
      flows.get(flow, FlowWord.DestinationHost),
    ];
    // Packets to the sender's queue pair travel against the direction of its message.
    if (message.attribute === CmAttribute.Req) {
      const towards = flows.ofAddresses(words, at, message.queuePair, true);
      if (towards < 0) return;
      if (this.#cmRequests.size === MOST_CM_REQUESTS) {
        const [oldest] = this.#cmRequests.keys();
        if (oldest !== undefined) this.#cmRequests.delete(oldest);
      }
      this.#cmRequests.set(`${source} ${destination} ${message.localId}`, {
        flow: towards,
        mtu: message.mtu,
      });
      return;
    }
    const asked = this.#cmRequests.get(`${destination} ${source} ${message.remoteId}`);
    if (asked === undefined) return;
    const towards = flows.ofAddresses(words, at, message.queuePair, true);
    if (towards < 0 || towards === asked.flow) return;
    flows.connect(asked.flow, towards);
    if (asked.mtu !== 0) flows.learnMtu(towards, asked.mtu);
  }
}
