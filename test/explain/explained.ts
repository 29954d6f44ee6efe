// Helpers of the tests of captures: explains a capture in memory or in the repository.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type CaptureSummary,
  explainCapture,
  type ExplainedRequest,
  type ExplainOptions,
  type FindingKind,
} from '../../lib';
import { pcap, type PacketOf } from '../support/roce-captures';

const folder = join(__dirname, '..', 'wire', 'captures');

/** Returns the path of a capture of real traffic. */
export function capturePath(name: string): string {
  return join(folder, `${name}.pcap`);
}

export function captureBytes(name: string): Buffer {
  return readFileSync(capturePath(name));
}

/** Gives bytes in chunks of the given size. Each chunk is a copy, which is overwritten when the next one is asked for. */
export async function* chunksOf(bytes: Uint8Array, size = bytes.length): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = Uint8Array.from(bytes.subarray(at, at + size));
    yield chunk;
    chunk.fill(0xee);
  }
}

export interface Explained {
  requests: ExplainedRequest[];
  summary: CaptureSummary;
}

/** Explains the bytes of a capture. */
export async function explainBytes(
  bytes: Uint8Array,
  options?: ExplainOptions,
  size?: number,
): Promise<Explained> {
  const explanation = explainCapture(chunksOf(bytes, size), options);
  const requests: ExplainedRequest[] = [];
  for await (const request of explanation) requests.push(request);
  return { requests, summary: explanation.summary() };
}

/** Explains packets. */
export function explainPackets(packets: readonly PacketOf[], options?: ExplainOptions): Promise<Explained> {
  return explainBytes(pcap(packets), options);
}

/** Describes a request in a line: `1 RDMA_WRITE Refused by 2 (0x62)`. */
export function lineOf({
  packet,
  opcode,
  outcome,
  answerPacket,
  nak,
  repeats,
  cm,
}: ExplainedRequest): string {
  const what = cm === undefined ? opcode : `CM ${cm.name}`;
  const by = answerPacket === undefined ? '' : ` by ${answerPacket}`;
  const again = repeats === 0 ? '' : ` repeated ${repeats}`;
  return `${packet} ${what} ${outcome}${by}${nak === undefined ? '' : ` (0x${nak.toString(16)})`}${again}`;
}

/** Returns the kinds of the findings, in order, each once. */
export function kindsOf({ findings }: CaptureSummary): FindingKind[] {
  return [...new Set(findings.map(({ kind }) => kind))];
}
