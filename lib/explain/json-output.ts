/** Prints requests and the summary as JSON, one object a line (docs/explain.schema.json). */
import { type Analysis, type RequestOutput } from './analysis';
import { timeOf } from './explained-request';
import { type Verdict } from './judge';
import { LineWriter, WRITE_BYTES } from './line-writer';
import { RequestJson } from './request-json';
import { type CaptureReport } from './summary';
import { hexIfGiven } from './words';

/** Writes an object for each request. */
export class JsonOutput implements RequestOutput {
  readonly lines = new LineWriter();
  readonly #requests = new RequestJson(this.lines);
  #origin: bigint | undefined;

  request(analysis: Analysis, slot: number, verdict: Verdict | undefined): void {
    const { totals } = analysis.tracker;
    this.#origin ??= timeOf(totals.firstSeconds, totals.firstNanoseconds);
    this.#requests.write(analysis.objectOf(slot, verdict), this.#origin);
  }
}

/**
 * Formats the summary: an object for each queue pair, key and finding, and one for the whole.
 *
 * @returns the lines in pieces, each valid until the next step
 */
export function* summaryJson(report: CaptureReport): Generator<Uint8Array, void, undefined> {
  const lines = new LineWriter();
  for (const row of summaryRows(report)) {
    lines.text(JSON.stringify(row)).end();
    if (lines.length >= WRITE_BYTES) yield lines.take();
  }
  yield lines.take();
}

function* summaryRows(report: CaptureReport): Generator<object, void, undefined> {
  const { queuePairs, keys, findings, firstTime, lastTime, ...rest } = report;
  for (const row of queuePairs) yield { type: 'queuePair', ...row };
  for (const row of keys) {
    yield {
      type: 'key',
      ...row,
      key: hexIfGiven(row.key),
      firstAddress: hexIfGiven(row.firstAddress),
      lastAddress: hexIfGiven(row.lastAddress),
    };
  }
  for (const row of findings) yield { type: 'finding', ...row, key: hexIfGiven(row.key) };
  yield {
    type: 'summary',
    format: 'rdmavt-explain',
    version: 1,
    ...rest,
    firstTime: Number(firstTime) / 1e9,
    lastTime: Number(lastTime) / 1e9,
  };
}
