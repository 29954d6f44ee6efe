/** Explains a capture on the command line, from its first packet to its last. */
import type { Readable, Writable } from 'node:stream';

import { toPrintable } from '../terminal/printable';
import { Progress, type Terminal } from '../terminal/progress';
import { Analysis, type RequestFilter } from './analysis';
import { CaptureError, CaptureFeed } from './capture-source';
import { fileChunks } from './file-chunks';
import { Judge } from './judge';
import { JsonOutput, summaryJson } from './json-output';
import { WRITE_BYTES } from './line-writer';
import { type RegionList, parseRegions, RegionListError } from './regions-file';
import { summaryText, TextOutput } from './text-output';

/** Exit status of `rdmavt explain`. */
export const enum ExplainStatus {
  /** The whole capture was read. */
  Explained = 0,
  /** The capture or the list of regions cannot be read or is invalid; what was read before is explained. */
  Failed = 2,
}

/** What to explain. */
export interface ExplainCommand {
  /** Path of the capture; `-` is standard input. */
  readonly capture: string;
  /** Path of the list of regions; `-` is standard input. */
  readonly regions: string | undefined;
  readonly json: boolean;
  readonly filter: RequestFilter;
}

/** The streams that the command reads and writes. */
export interface ExplainStreams {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Terminal;
}

/**
 * Explains a capture: prints its requests and a summary to standard output, and messages to standard error.
 *
 * @returns the exit status
 */
export async function explain(command: ExplainCommand, streams: ExplainStreams): Promise<ExplainStatus> {
  const { stdout, stderr } = streams;
  const progress = new Progress(stderr, command.capture, process.env, 'packets');
  const fail = (text: string): ExplainStatus => {
    progress.clear();
    stderr.write(`rdmavt: ${text}\n`);
    return ExplainStatus.Failed;
  };
  let judge: Judge | undefined;
  try {
    if (command.regions !== undefined) judge = new Judge(await readRegions(command.regions, streams.stdin));
  } catch (error) {
    if (!(error instanceof RegionListError)) throw error;
    return fail(`${nameOf(command.regions ?? '')}: ${error.message}`);
  }

  const output = command.json ? new JsonOutput() : new TextOutput();
  const { lines } = output;
  const analysis = new Analysis(command.filter, output, judge);
  const feed = new CaptureFeed(analysis);
  const write = async (bytes: string | Uint8Array): Promise<void> => {
    if (bytes.length === 0) return;
    progress.clear();
    // Wait until the stream is done with the bytes, whose buffer is used again. An error of the stream is reported by its own event.
    await new Promise<unknown>((resolve) => stdout.write(bytes, resolve));
  };

  let fault: string | undefined;
  try {
    const stream = command.capture === '-' ? streams.stdin : fileChunks(command.capture);
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      for (let from = 0; from < chunk.length;) {
        from = feed.take(chunk, from);
        if (lines.length >= WRITE_BYTES) await write(lines.take());
      }
      await write(lines.take());
      progress.update(feed.packets, feed.bytes);
    }
    feed.end();
  } catch (error) {
    if (error instanceof CaptureError) fault = error.message;
    else if (isSystemError(error)) fault = `cannot be read: ${error.message}`;
    else throw error;
  }
  analysis.end();
  await write(lines.take());
  // A file that is no capture at all has no summary.
  if (fault === undefined || feed.packets > 0) {
    const report = feed.report();
    for (const part of command.json ? summaryJson(report) : [summaryText(report)]) await write(part);
  }
  judge?.close();
  progress.clear();
  return fault === undefined ? ExplainStatus.Explained : fail(`${nameOf(command.capture)}: ${fault}`);
}

function nameOf(path: string): string {
  return path === '-' ? 'standard input' : toPrintable(path);
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

/** Most bytes of a list of regions. */
const MOST_LIST_BYTES = 2 ** 28;

/** @throws RegionListError */
async function readRegions(path: string, stdin: Readable): Promise<RegionList> {
  // A file is read in chunks too: it may be a device or a pipe that never ends, which only the count of bytes shows.
  const stream: AsyncIterable<Uint8Array> = path === '-' ? stdin : fileChunks(path);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream) {
      bytes += chunk.length;
      if (bytes > MOST_LIST_BYTES) throw new RegionListError(`longer than ${MOST_LIST_BYTES} bytes`);
      chunks.push(Uint8Array.from(chunk)); // the buffer of a chunk is used again
    }
  } catch (error) {
    if (isSystemError(error)) throw new RegionListError(`cannot be read: ${error.message}`);
    throw error;
  }
  return parseRegions(Buffer.concat(chunks).toString('utf8'));
}
