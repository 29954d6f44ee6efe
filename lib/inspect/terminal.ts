/** What `rdmavt inspect` does: connects to a running inspector, and prints what its page shows, as text. Needs no native module. */
import { get, type IncomingMessage } from 'node:http';
import { applyTick, type LiveState, liveStateOf } from './apply-tick';
import {
  END_EVENT,
  INSPECT_FORMAT,
  type InspectEnd,
  type InspectState,
  type InspectTick,
  STATE_EVENT,
  TICK_EVENT,
} from './protocol';
import { countWords, lettersOf, sizeWords } from './view-words';

/** Time without an event after which the connection counts as lost, in milliseconds; the server sends one each second. */
const SILENCE_MS = 15_000;
/** A longer event than a server sends is not kept. */
const MOST_EVENT_CHARACTERS = 1 << 28;

const LOOPBACK = new Set(['127.0.0.1', 'localhost']);

/**
 * Reads the address that a program printed.
 *
 * @throws Error: it is not the address of an inspector
 */
export function inspectorAddress(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error(
      `'${shown(text)}' is not an address: give the url of an inspector, http://127.0.0.1:PORT/TOKEN/`,
    );
  }
  if (url.protocol !== 'http:' || !LOOPBACK.has(url.hostname))
    throw new Error('the address of an inspector begins with http://127.0.0.1');
  const token = /^\/([\w-]+)\/?$/.exec(url.pathname)?.[1];
  if (token === undefined || url.search !== '' || url.username !== '' || url.password !== '')
    throw new Error('the address has no token: it is http://127.0.0.1:PORT/TOKEN/');
  return new URL(`/${token}/events`, url);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 100)).slice(1, -1);
}

/** Takes events out of a stream of server-sent events. Each part may end anywhere. */
export class EventReader {
  readonly #handle: (name: string, data: string) => void;
  #text = '';

  constructor(handle: (name: string, data: string) => void) {
    this.#handle = handle;
  }

  add(part: string): void {
    this.#text += part;
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end < 0) break;
      const lines = this.#text.slice(0, end).split('\n');
      this.#text = this.#text.slice(end + 2);
      const field = (name: string): string | undefined =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field('data');
      if (data !== undefined) this.#handle(field('event') ?? 'message', data);
    }
    if (this.#text.length > MOST_EVENT_CHARACTERS)
      throw new Error('the server sent an event that is too long');
  }
}

export interface WatchOptions {
  /** Print once, then end. */
  readonly once: boolean;
  /** Print this program's state as JSON, one line for each update. */
  readonly json: boolean;
  /** Time between two updates, in milliseconds. */
  readonly everyMs: number;
  /** Whether the output is a terminal, in which each update replaces the one before. */
  readonly isTerminal: boolean;
}

/**
 * Prints what an inspector shows until it ends, the signal aborts, or after the first state.
 *
 * @returns why it ended; `'stopped'`: by the signal, or after the first state
 * @throws Error: the server cannot be reached, refuses, is not an inspector, or is lost
 */
export async function watchInspector(
  events: URL,
  { once, json, everyMs, isTerminal }: WatchOptions,
  write: (text: string) => void,
  signal: AbortSignal,
): Promise<InspectEnd['why'] | 'stopped'> {
  const response = await request(events, signal);
  return new Promise((resolve, reject) => {
    let state: LiveState | undefined;
    let before: LiveState['counters'] | undefined;
    let beforeAt = 0;
    let ended: InspectEnd['why'] | 'stopped' | undefined;
    let printedRefusal = 0;

    const print = (): void => {
      if (state === undefined) return;
      if (json) {
        write(`${JSON.stringify(plainOf(state))}\n`);
      } else {
        const seconds = before === undefined ? 0 : (state.time - beforeAt) / 1000;
        const text = summaryOf(state, before, seconds);
        const news = state.refusals.filter(({ n }) => n > printedRefusal);
        printedRefusal = state.refusals.at(-1)?.n ?? printedRefusal;
        if (isTerminal && !once) write(`\x1b[H\x1b[2J${text}${refusalsOf(state.refusals.slice(-5))}`);
        else write(`${text}${refusalsOf(news)}\n`);
      }
      before = state.counters;
      beforeAt = state.time;
    };

    const finish = (why: InspectEnd['why'] | 'stopped', error?: Error): void => {
      if (ended !== undefined) return;
      ended = why;
      clearInterval(timer);
      clearTimeout(silence);
      response.destroy();
      if (error === undefined) resolve(why);
      else reject(error);
    };

    const timer = setInterval(print, everyMs);
    let silence: NodeJS.Timeout | undefined;
    const heard = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => finish('stopped', new Error('the inspector is silent')), SILENCE_MS);
    };
    heard();

    const reader = new EventReader((name, data) => {
      heard();
      const value = JSON.parse(data) as unknown;
      if (name === STATE_EVENT) {
        const first = value as InspectState;
        if (first.format !== INSPECT_FORMAT)
          throw new Error('the inspector is of another version of this package');
        const isFirst = state === undefined;
        state = liveStateOf(first);
        if (!isFirst) return;
        print();
        if (once) finish('stopped');
      } else if (name === TICK_EVENT) {
        if (state !== undefined) applyTick(state, value as InspectTick);
      } else if (name === END_EVENT) {
        if (!once) print();
        finish((value as InspectEnd).why);
      }
    });
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      if (ended !== undefined) return;
      try {
        reader.add(part);
      } catch (error) {
        const message =
          error instanceof SyntaxError ? 'the server sent what is not JSON' : (error as Error).message;
        finish('stopped', new Error(message));
      }
    });
    response.on('error', () => finish('stopped', new Error('the connection was lost')));
    response.on('close', () => finish('stopped', new Error('the connection was lost')));
    signal.addEventListener('abort', () => finish('stopped'));
    if (signal.aborted) finish('stopped');
  });
}

/** Asks for the events. */
function request(events: URL, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = get(
      events,
      { headers: { Accept: 'text/event-stream' }, agent: false, signal },
      (response) => {
        if (
          response.statusCode === 200 &&
          response.headers['content-type']?.startsWith('text/event-stream') === true
        ) {
          resolve(response);
          return;
        }
        response.destroy();
        const words: Readonly<Record<number, string | undefined>> = {
          403: 'the server refuses: it is of another program',
          404: 'the server does not know this token: the program may have started anew',
          503: 'too many look already',
        };
        reject(new Error(words[response.statusCode ?? 0] ?? 'the server is not an inspector'));
      },
    );
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'ECONNREFUSED' ? 'nothing listens there: the program has ended' : error.message;
      reject(new Error(`cannot connect to ${events.host}: ${why}`));
    });
  });
}

/** Returns the state as it was sent, with lists in place of maps. */
function plainOf(state: LiveState): InspectState {
  return {
    ...state,
    regions: [...state.regions.values()],
    windows: [...state.windows.values()],
    queuePairs: [...state.queuePairs.values()],
    completionQueues: [...state.completionQueues.values()],
    sharedReceiveQueues: [...state.sharedReceiveQueues.values()],
  };
}

const MOST_LINES = 12;

/**
 * Formats a state for a terminal.
 *
 * @param before - earlier counters, for rates
 * @param seconds - since then; 0: no rates
 */
export function summaryOf(
  state: LiveState,
  before: LiveState['counters'] | undefined,
  seconds: number,
): string {
  const { device, totals, counters, keys } = state;
  const rate = (now: number, then: number | undefined, words: (value: number) => string): string =>
    then === undefined || seconds <= 0 ? '' : ` (${words(Math.max(0, now - then) / seconds)}/s)`;
  const thread = device.thread === 0 ? '' : `, thread ${device.thread}`;
  const lines = [
    `device ${device.id} of process ${device.pid}${thread}${device.onlyPd === 0 ? '' : `, domain ${device.onlyPd} only`}`,
    `checks: ${countWords(counters.accepted)} accepted${rate(counters.accepted, before?.accepted, countWords)}, ` +
      `${countWords(counters.refused)} refused${rate(counters.refused, before?.refused, countWords)}; ` +
      `${sizeWords(counters.bytesCopied)} copied${rate(counters.bytesCopied, before?.bytesCopied, sizeWords)}`,
    countsLine('completions', counters.completions ?? {}),
    countsLine('refusals', counters.reasons),
    `keys: ${countWords(keys.used)} of ${countWords(keys.max)} slots used`,
    `${countWords(totals.regions)} regions, ${countWords(totals.windows)} windows, ${countWords(totals.pds)} domains, ` +
      `${countWords(totals.queuePairs)} queue pairs, ${countWords(totals.completionQueues)} completion queues`,
    '',
    ...listed('regions', [...state.regions.values()], totals.regions, (region) =>
      [
        `  ${String(region.id).padStart(6)} ${region.kind.padEnd(7)} ${region.key.padStart(10)} ${lettersOf(region.access).padEnd(5)}`,
        `domain ${region.pd} iova ${region.iova} ${sizeWords(region.length)} refs ${region.refs}`,
        region.state === 'Valid' ? '' : region.state,
      ]
        .join(' ')
        .trimEnd(),
    ),
    ...listed('queue pairs', [...state.queuePairs.values()], totals.queuePairs, (qp) =>
      qp.type === undefined
        ? `  ${String(qp.id).padStart(6)} checks only`
        : `  ${String(qp.id).padStart(6)} ${qp.type} ${qp.qpn ?? 0} ${qp.state ?? ''} sends ${qp.sends ?? 0} receives ${qp.receives ?? 0}` +
          (qp.peer === undefined ? '' : ` peer ${qp.peer}`),
    ),
    ...listed(
      'completion queues',
      [...state.completionQueues.values()],
      totals.completionQueues,
      (cq) =>
        `  ${String(cq.id).padStart(6)} holds ${cq.held} of ${cq.cqe}${cq.broken ? ', overflowed' : ''}`,
    ),
  ];
  return `${lines.filter((line, i) => line !== '' || i > 0).join('\n')}\n`;
}

function countsLine(name: string, counts: Readonly<Record<string, number>>): string {
  const parts = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .sort(([, one], [, other]) => other - one)
    .map(([what, count]) => `${what} ${countWords(count)}`);
  return `${name}: ${parts.length === 0 ? 'none' : parts.join(', ')}`;
}

function listed<T>(name: string, list: readonly T[], total: number, line: (object: T) => string): string[] {
  if (total === 0) return [];
  const shownLines = list.slice(0, MOST_LINES).map(line);
  const more = total - shownLines.length;
  return [`${name}:`, ...shownLines, ...(more > 0 ? [`  and ${countWords(more)} more`] : [])];
}

function refusalsOf(refusals: LiveState['refusals']): string {
  return refusals.map(({ n, text }) => `refusal ${n}: ${printableLine(text)}\n`).join('');
}

/** What another process sends could hold control characters of a terminal. */
function printableLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- these are what is replaced
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
