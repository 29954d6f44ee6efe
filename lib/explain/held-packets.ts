/** Packets that wait for one that belongs before them. */
import { WireRow } from '../internal/layout';
import { get } from './reading';
import type { Rows } from './rows';

/** Most packets that wait at a time. */
export const MOST_HELD = 64;

const nothing = new Uint8Array(0);

/** Copies of rows in the order in which the capture has them. Nothing here allocates. */
export class HeldPackets implements Rows {
  readonly words = new Uint32Array(MOST_HELD * WireRow.Words);
  readonly doubles = new Float64Array(this.words.buffer);
  count = 0;
  /** Numbers of rows: those of the packets that wait, oldest first, and behind them those that are free. */
  readonly #order = Uint8Array.from({ length: MOST_HELD }, (_, row) => row);
  /** By row: the flow of the packet, and the flow of the requests that it is of or answers, which is -1 if that is not known. */
  readonly #flows = new Int32Array(MOST_HELD);
  readonly #requests = new Int32Array(MOST_HELD);

  /** Payloads are not kept: only datagrams are read further than their headers, and they wait for nothing. */
  payload(): Uint8Array {
    return nothing;
  }

  /** Appends a packet. There must be room. */
  add({ words }: Rows, at: number, flow: number, requests: number): void {
    const row = this.#order[this.count++] ?? 0;
    const own = this.words;
    const to = row * WireRow.Words;
    for (let i = 0; i < WireRow.Words; i++) own[to + i] = get(words, at + i);
    this.#flows[row] = flow;
    this.#requests[row] = requests;
  }

  /** Removes a packet. Its row stays as it is until another one is added. */
  remove(index: number): void {
    const row = this.#order[index] ?? 0;
    this.#order.copyWithin(index, index + 1, this.count);
    this.#order[--this.count] = row;
  }

  /** Returns the index of the first word of a packet's row. Packets are counted from the oldest on. */
  at(index: number): number {
    return (this.#order[index] ?? 0) * WireRow.Words;
  }

  flow(index: number): number {
    return this.#flows[this.#order[index] ?? 0] ?? 0;
  }

  requests(index: number): number {
    return this.#requests[this.#order[index] ?? 0] ?? 0;
  }

  setRequests(index: number, requests: number): void {
    this.#requests[this.#order[index] ?? 0] = requests;
  }

  psn(index: number): number {
    return get(this.words, this.at(index) + WireRow.Psn);
  }

  opcode(index: number): number {
    return get(this.words, this.at(index) + WireRow.Opcode);
  }

  number(index: number): number {
    return get(this.doubles, (this.at(index) + WireRow.Number) >> 1);
  }

  seconds(index: number): number {
    return get(this.doubles, (this.at(index) + WireRow.Seconds) >> 1);
  }

  nanoseconds(index: number): number {
    return get(this.words, this.at(index) + WireRow.Nanoseconds);
  }
}
