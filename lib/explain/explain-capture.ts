/** The analysis of captures, for programs. */
import { illegalConstructor, integer, invalidState, invalidType, invalidValue } from '../internal/arguments';
import { construction } from '../internal/construction';
import { optionsOf } from '../internal/options';
import { Analysis, type RequestFilter, type RequestOutput } from './analysis';
import { CaptureFeed } from './capture-source';
import { fileChunks } from './file-chunks';
import type { ExplainedRequest } from './explained-request';
import { Judge, type Verdict } from './judge';
import { parseRegions, RegionListError } from './regions-file';
import { type CaptureSummary } from './summary';

/** Options of {@link explainCapture}. */
export interface ExplainOptions {
  /**
   * The regions of the responder, by which the core judges each request: the result of {@link Device.resources}, its JSON, or a
   * list `[{ key, address, length, rights, domain }]`. Default: requests are not judged.
   */
  regions?: string | object | undefined;
  /** `'refused'`: give only requests that were refused, or that the regions refuse. Default: all. */
  only?: 'refused' | undefined;
  /** Give only requests that name this key. */
  key?: number | undefined;
  /** Give only requests from or to the queue pair with this number. */
  queuePair?: number | undefined;
}

/** Collects requests as objects. */
class Collector implements RequestOutput {
  #requests: ExplainedRequest[] = [];

  request(analysis: Analysis, slot: number, verdict: Verdict | undefined): void {
    this.#requests.push(analysis.objectOf(slot, verdict));
  }

  take(): ExplainedRequest[] {
    const taken = this.#requests;
    if (taken.length > 0) this.#requests = [];
    return taken;
  }
}

/**
 * The requests of a capture, in the order of their first packets, and a summary. Created by {@link explainCapture}; can be iterated
 * once.
 */
export class CaptureExplanation implements AsyncIterable<ExplainedRequest> {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #filter: RequestFilter;
  readonly #judge: Judge | undefined;
  #begun = false;
  #summary: CaptureSummary | undefined;

  /** @internal */
  constructor(
    token: typeof construction,
    source: AsyncIterable<Uint8Array>,
    filter: RequestFilter,
    judge: Judge | undefined,
  ) {
    if (token !== construction) throw illegalConstructor();
    this.#source = source;
    this.#filter = filter;
    this.#judge = judge;
  }

  /**
   * Reads the capture and gives its requests. A request is given when nothing more is expected to change it: when 1,024 later requests
   * have begun, or two seconds later in the time of the capture, or at its end.
   *
   * @throws CaptureError: the file is not a capture, or is damaged; the requests before the fault are given first
   * @throws Error with the code `ERR_INVALID_STATE`: iterated before
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<ExplainedRequest, void, undefined> {
    if (this.#begun) throw invalidState('the explanation was iterated before');
    this.#begun = true;
    const collector = new Collector();
    const analysis = new Analysis(this.#filter, collector, this.#judge);
    const feed = new CaptureFeed(analysis);
    let fault: Error | undefined;
    try {
      try {
        for await (const chunk of this.#source) {
          for (let from = 0; from < chunk.length;) {
            from = feed.take(chunk, from);
            yield* collector.take();
          }
        }
        feed.end();
      } catch (error) {
        fault = error instanceof Error ? error : new Error('the source failed', { cause: error });
      }
      analysis.end();
      this.#summary = feed.summary();
      yield* collector.take();
    } finally {
      this.#judge?.close();
    }
    if (fault !== undefined) throw fault;
  }

  /**
   * Returns the summary: totals, queue pairs, keys and findings. Those filters of the options that apply to rows apply to its rows too.
   *
   * @throws Error with the code `ERR_INVALID_STATE`: the iteration has not reached the end of the capture
   */
  summary(): CaptureSummary {
    if (this.#summary === undefined) throw invalidState('the capture has not been read to its end');
    return this.#summary;
  }
}

/**
 * Explains a capture of RoCEv2 traffic (pcap or pcapng; Ethernet, raw IP, Linux cooked): each request, what became of it and, if it
 * failed, the most likely mistake. Needs constant memory whatever the size of the capture. `rdmavt explain` prints the same.
 *
 * @param source - path of a file, or its bytes: a stream, or any async iterable of Uint8Arrays
 * @returns an object to iterate with `for await`, once
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
 *
 * @example
 * ```ts
 * import { explainCapture } from 'rdmavt';
 *
 * // A capture of two packets: a WRITE with a key that does not exist, and the NAK that answers it.
 * const capture = Buffer.from(
 *   '1MOyoQIABAAAAAAAAAAAAP//AAABAAAA8/QKa1p/AQBaAAAAWgAAAFJUCgACEFJUCgACDwgARQAATOGaQABAEUDoCgACDwoAAhDB5BK3ADgAAA' +
 *     'oA//8AAAAWgP//+AAAVau5TCAAABACKgAAABABCA8WHSQrMjlAR05VXGNq+gJeBvP0CmtwhwEAPgAAAD4AAABSVAoAAg9SVAoAAhAIAEUAADD8' +
 *     '8UAAQBElrQoAAhAKAAIPweQStwAcAAARAP//AAAAFgD///hiAAAAXl0Ekg==',
 *   'base64',
 * );
 * async function* chunks() {
 *   yield capture;
 * }
 * const explanation = explainCapture(chunks());
 * for await (const { packet, opcode, outcome } of explanation) {
 *   console.log(packet, opcode, outcome); // 1 RDMA_WRITE Refused
 * }
 * console.log(explanation.summary().packets); // 2
 * ```
 */
export function explainCapture(
  source: string | AsyncIterable<Uint8Array>,
  options: ExplainOptions = {},
): CaptureExplanation {
  const given = optionsOf<ExplainOptions>(options, ['regions', 'only', 'key', 'queuePair']);
  const { only, key, queuePair } = given;
  if (only !== undefined && only !== 'refused') throw invalidValue('options.only', "must be 'refused'", only);
  const filter: RequestFilter = {
    onlyRefused: only === 'refused',
    key: key === undefined ? undefined : integer(key, 'options.key', 0, 0xffff_ffff),
    queuePair: queuePair === undefined ? undefined : integer(queuePair, 'options.queuePair', 0, 0xff_ffff),
  };
  const stream = sourceOf(source);
  const judge = given.regions === undefined ? undefined : judgeOf(given.regions);
  return new CaptureExplanation(construction, stream, filter, judge);
}

function sourceOf(source: unknown): AsyncIterable<Uint8Array> {
  if (typeof source === 'string') return fileChunks(source);
  if (typeof source === 'object' && source !== null && Symbol.asyncIterator in source) {
    return source as AsyncIterable<Uint8Array>;
  }
  throw invalidType('source', 'of type string or an async iterable', source);
}

function judgeOf(regions: unknown): Judge {
  if (typeof regions !== 'string' && (typeof regions !== 'object' || regions === null)) {
    throw invalidType('options.regions', 'of type string or object', regions);
  }
  const text =
    typeof regions === 'string'
      ? regions
      : JSON.stringify(regions, (_, value: unknown) =>
          typeof value === 'bigint' ? `0x${value.toString(16)}` : value,
        );
  try {
    return new Judge(parseRegions(text));
  } catch (error) {
    if (!(error instanceof RegionListError)) throw error;
    throw invalidValue('options.regions', `is not a list of regions: ${error.message}`, regions);
  }
}
