/** One who looks: a response that never ends, to which events are written (server-sent events). */
import { type ServerResponse } from 'node:http';
import { END_EVENT, STATE_EVENT, TICK_EVENT, type InspectEnd, type InspectState } from './protocol';

/**
 * Bytes that may wait in the process for one who does not read. Beyond, ticks are left out until it has read, and it then gets
 * everything anew.
 */
const MOST_WAITING = 1 << 20;
/** A state is costly to make: one who reads slowly gets no more than one in this time, in milliseconds. */
const BETWEEN_STATES_MS = 1000;
/** Milliseconds after which a browser connects again, if the connection was lost. */
const RETRY_MS = 1000;

/** Formats an event; JSON has no line breaks. */
export function eventText(name: string, value: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(value)}\n\n`;
}

/** Formats a tick, once for all who look. */
export function tickText(tick: object): string {
  return eventText(TICK_EVENT, tick);
}

export class EventStream {
  readonly #response: ServerResponse;
  readonly #stateOf: () => InspectState | undefined;
  /** Bytes that may wait: beside the last state, which may be long. */
  #mayWait = MOST_WAITING;
  #isBehind = false;
  #isDrained = false;
  #stateAt = 0;

  /** @param stateOf - returns everything that there is; undefined once the device is closed */
  constructor(response: ServerResponse, stateOf: () => InspectState | undefined) {
    this.#response = response;
    this.#stateOf = stateOf;
  }

  /**
   * Writes the head and the first state.
   *
   * @param now - time in milliseconds, as of all other calls
   */
  open(now: number): void {
    this.#response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
    this.#response.write(`retry: ${RETRY_MS}\n\n`);
    this.#writeState(now);
  }

  /** Writes a tick, unless too much waits to be read. */
  tick(text: string, now: number): void {
    const response = this.#response;
    if (this.#isBehind) {
      if (this.#isDrained && now - this.#stateAt >= BETWEEN_STATES_MS) this.#writeState(now);
      return;
    }
    if (response.writableLength <= this.#mayWait) {
      response.write(text);
      return;
    }
    this.#isBehind = true;
    this.#isDrained = false;
    response.once('drain', () => {
      this.#isDrained = true;
    });
  }

  end(why: InspectEnd['why']): void {
    this.#response.end(eventText(END_EVENT, { why } satisfies InspectEnd));
  }

  #writeState(now: number): void {
    const state = this.#stateOf();
    if (state === undefined) return;
    const text = eventText(STATE_EVENT, state);
    this.#isBehind = false;
    this.#stateAt = now;
    this.#mayWait = text.length + MOST_WAITING;
    this.#response.write(text);
  }
}
