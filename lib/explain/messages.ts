/** Puts the packets of requests together to messages: FIRST, MIDDLE and LAST to one request. */
import { WireHeaders, WireRow } from '../internal/layout';
import type { CaptureState } from './capture-state';
import { FlowWord } from './flows';
import { Kind, Role } from './opcodes';
import { extendRead, extendWrite } from './psn-ranges';
import { get, psnAfter, psnDistance } from './reading';
import { MOST_REQUESTS, RequestDouble, RequestFlag, RequestWord } from './requests';
import type { Rows } from './rows';

/** The messages of all flows. */
export class Messages {
  readonly #state: CaptureState;
  readonly #makeRoom: () => void;

  /** @param makeRoom - removes the oldest request; called when the ring of requests is full */
  constructor(state: CaptureState, makeRoom: () => void) {
    this.#state = state;
    this.#makeRoom = makeRoom;
  }

  /**
   * Takes a packet of RC or UC whose PSN is new.
   *
   * @param missing - how many PSNs before it are missing in the capture
   * @returns the slot of its request
   */
  take(
    rows: Rows,
    at: number,
    flow: number,
    role: Role,
    kind: Kind,
    psn: number,
    number: number,
    missing: number,
  ): number {
    const { words } = rows;
    const { flows, requests } = this.#state;
    const payload = get(words, at + WireRow.PayloadLength);
    flows.set(flow, FlowWord.NextPsn, psnAfter(psn, 1));
    const unfinished = flows.get(flow, FlowWord.Unfinished) - 1;
    if (role === Role.First || role === Role.Only) {
      if (unfinished >= 0) {
        flows.set(flow, FlowWord.Unfinished, 0);
        if (missing === 0) this.#wrongOrder(unfinished, flow, number);
      }
      const slot = this.begin(rows, at, flow, kind, psn, number);
      if (role === Role.Only) {
        this.finish(words, at, slot);
        if (kind === Kind.Read) extendRead(this.#state, flow, slot);
        return slot;
      }
      flows.set(flow, FlowWord.Unfinished, slot + 1);
      if (flows.get(flow, FlowWord.Mtu) === 0) flows.learnMtu(flow, payload);
      extendWrite(this.#state, flow, slot);
      return slot;
    }
    let slot = unfinished;
    if (slot < 0 || requests.get(slot, RequestWord.Kind) !== kind) {
      const isFirst = flows.get(flow, FlowWord.Requests) === 0 || missing > 0;
      slot = this.begin(rows, at, flow, kind, psn, number);
      requests.raise(slot, RequestFlag.BeginsMidway);
      if (!isFirst) this.#wrongOrder(slot, flow, number);
      flows.set(flow, FlowWord.Unfinished, slot + 1);
    } else {
      requests.add(slot, RequestWord.Packets, 1);
      requests.add(slot, RequestWord.Payload, payload);
      requests.setDouble(slot, RequestDouble.LastPacket, number);
      if (!requests.has(slot, RequestFlag.HasTarget)) requests.add(slot, RequestWord.Length, payload);
    }
    if (psnDistance(psn, requests.get(slot, RequestWord.LastPsn)) > 0) {
      requests.set(slot, RequestWord.LastPsn, psn);
    }
    if (role === Role.Middle) {
      if (flows.get(flow, FlowWord.Mtu) === 0) flows.learnMtu(flow, payload);
      return slot;
    }
    this.finish(words, at, slot);
    flows.set(flow, FlowWord.Unfinished, 0);
    return slot;
  }

  #wrongOrder(slot: number, flow: number, number: number): void {
    this.#state.requests.raise(slot, RequestFlag.WrongOrder);
    this.#state.findings.add('WrongOrder', flow, number);
  }

  /** Appends a request, from its first packet. */
  begin(rows: Rows, at: number, flow: number, kind: Kind, psn: number, number: number): number {
    const { words, doubles } = rows;
    const { requests, flows } = this.#state;
    if (requests.count === MOST_REQUESTS) this.#makeRoom();
    const slot = requests.append(flow, number);
    this.#state.totals.requests++;
    flows.add(flow, FlowWord.Requests, 1);
    const payload = get(words, at + WireRow.PayloadLength);
    requests.set(slot, RequestWord.Kind, kind);
    requests.set(slot, RequestWord.Psn, psn);
    requests.set(slot, RequestWord.LastPsn, psn);
    requests.set(slot, RequestWord.NextResponse, psn);
    requests.set(slot, RequestWord.Packets, 1);
    requests.set(slot, RequestWord.Payload, payload);
    const hasTarget = (get(words, at + WireRow.Headers) & (WireHeaders.Reth | WireHeaders.AtomicEth)) !== 0;
    if (hasTarget) {
      requests.raise(slot, RequestFlag.HasTarget);
      requests.set(slot, RequestWord.Address, get(words, at + WireRow.Address));
      requests.set(slot, RequestWord.Address + 1, get(words, at + WireRow.Address + 1));
      requests.set(slot, RequestWord.Key, get(words, at + WireRow.Rkey));
      requests.set(slot, RequestWord.Length, get(words, at + WireRow.Length));
    } else {
      requests.set(slot, RequestWord.Length, payload);
    }
    if (kind >= Kind.CompareSwap) {
      for (let i = 0; i < 4; i++) {
        requests.set(slot, RequestWord.SwapAdd + i, get(words, at + WireRow.SwapAdd + i));
      }
      if ((get(words, at + WireRow.Address) & 7) !== 0) this.#state.findings.add('Misaligned', flow, number);
    }
    requests.setDouble(slot, RequestDouble.LastPacket, number);
    requests.setDouble(slot, RequestDouble.Seconds, get(doubles, (at + WireRow.Seconds) >> 1));
    requests.setDouble(slot, RequestDouble.Nanoseconds, get(words, at + WireRow.Nanoseconds));
    return slot;
  }

  /** Reads the headers that only the last packet of a message has, and compares its length. */
  finish(words: Uint32Array, at: number, slot: number): void {
    const { requests } = this.#state;
    const headers = get(words, at + WireRow.Headers);
    requests.raise(slot, RequestFlag.Complete);
    if ((headers & WireHeaders.Imm) !== 0) {
      requests.raise(slot, RequestFlag.HasImmediate);
      requests.set(slot, RequestWord.Immediate, get(words, at + WireRow.Immediate));
    }
    if ((headers & WireHeaders.Ieth) !== 0) {
      requests.raise(slot, RequestFlag.HasInvalidate);
      requests.set(slot, RequestWord.Invalidate, get(words, at + WireRow.Invalidate));
    }
    if (
      requests.get(slot, RequestWord.Kind) === Kind.Write &&
      !requests.has(slot, RequestFlag.HasGap) &&
      !requests.has(slot, RequestFlag.BeginsMidway) &&
      requests.get(slot, RequestWord.Payload) !== requests.get(slot, RequestWord.Length)
    ) {
      requests.raise(slot, RequestFlag.WrongLength);
      this.#state.findings.add(
        'WrongLength',
        requests.get(slot, RequestWord.Flow),
        requests.getDouble(slot, RequestDouble.Packet),
        1,
        requests.get(slot, RequestWord.Length),
        requests.get(slot, RequestWord.Payload),
      );
    }
  }
}
