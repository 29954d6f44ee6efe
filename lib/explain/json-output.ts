/** Prints requests and the summary as JSON, one object a line (docs/explain.schema.json). */
import { type Analysis, type RequestOutput } from './analysis';
import { explainedRequest, requestJson, timeOf } from './explained-request';
import { type Verdict } from './judge';
import { type CaptureSummary } from './summary';

/** Writes an object for each request. */
export class JsonOutput implements RequestOutput {
  readonly #lines: string[] = [];

  request(analysis: Analysis, slot: number, verdict: Verdict | undefined): void {
    const { flows, requests, totals } = analysis.tracker;
    const told = verdict === undefined ? undefined : (verdict.reason ?? 'Accepted');
    const request = explainedRequest(flows, requests, slot, told, analysis.explain(slot, verdict));
    const origin = timeOf(totals.firstSeconds, totals.firstNanoseconds);
    this.#lines.push(JSON.stringify(requestJson(request, origin)));
  }

  /** Returns the lines since the last call. */
  take(): string {
    const text = this.#lines.map((line) => `${line}\n`).join('');
    this.#lines.length = 0;
    return text;
  }
}

/** Formats the summary: an object for each queue pair, key and finding, and one for the whole. */
export function summaryJson(summary: CaptureSummary): string {
  const { queuePairs, keys, findings, firstTime, lastTime, ...rest } = summary;
  const hex = (value: bigint | number | undefined): string | undefined =>
    value === undefined ? undefined : `0x${value.toString(16)}`;
  const objects: object[] = [
    ...queuePairs.map((row) => ({ type: 'queuePair', ...row })),
    ...keys.map((row) => ({
      type: 'key',
      ...row,
      key: hex(row.key),
      firstAddress: hex(row.firstAddress),
      lastAddress: hex(row.lastAddress),
    })),
    ...findings.map((row) => ({ type: 'finding', ...row, key: hex(row.key) })),
    {
      type: 'summary',
      format: 'rdmavt-explain',
      version: 1,
      ...rest,
      firstTime: Number(firstTime) / 1e9,
      lastTime: Number(lastTime) / 1e9,
    },
  ];
  return objects.map((object) => `${JSON.stringify(object)}\n`).join('');
}
