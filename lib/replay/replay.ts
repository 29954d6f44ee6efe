/** Replays a trace file from the first line to the last. */
import type { Readable, Writable } from 'node:stream';

import { AnswerComparer, AnswerPrinter, type AnswerSink } from './answer-sinks';
import { TracePlayer } from './player';
import { Progress, type Terminal } from '../terminal/progress';
import { InputError, LineReader, runOnLine } from './read-lines';
import { parseOperation } from './trace-format';

/** Exit status of a replay. */
export const enum ReplayStatus {
  /** All operations were executed and, with an expectation file, all answers matched. */
  Played = 0,
  /** An answer differs, or there are more or fewer answers than expected. */
  Differs = 1,
  /** The input cannot be read or is invalid, or there is not enough memory for an operation. */
  Failed = 2,
}

/** The input files; `-` is standard input. */
export interface ReplayOptions {
  /** Path of the trace. */
  readonly trace: string;
  /** Path of the expected answers; if given, answers are compared and not printed. */
  readonly expect?: string | undefined;
}

/** The streams that a replay reads and writes. */
export interface ReplayStreams {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Terminal;
}

/**
 * Replays a trace: prints its answers to standard output, or compares them with the expected ones. Messages go to standard error.
 *
 * @returns the exit status
 */
export async function replay(options: ReplayOptions, streams: ReplayStreams): Promise<ReplayStatus> {
  const { stdin, stdout, stderr } = streams;
  const operations = LineReader.open(options.trace, stdin);
  const expectations = options.expect === undefined ? undefined : LineReader.open(options.expect, stdin);
  const sink =
    expectations === undefined ? new AnswerPrinter(stdout) : new AnswerComparer(operations, expectations);
  const progress = new Progress(stderr, options.trace);
  const say = (text: string): void => {
    progress.clear();
    stderr.write(`rdmavt: ${text}\n`);
  };

  const player = new TracePlayer();
  try {
    const difference = await playAll(player, operations, sink, progress);
    if (difference !== undefined) {
      say(difference);
      return ReplayStatus.Differs;
    }
    if (expectations !== undefined) say(`${operations.number} operations matched ${expectations.name}`);
    return ReplayStatus.Played;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    await sink.flush();
    say(error.message);
    return ReplayStatus.Failed;
  } finally {
    progress.clear();
    player.close();
    operations.close();
    expectations?.close();
  }
}

/** Executes all operations, up to the first difference. Returns the description of the difference, if there is one. */
async function playAll(
  player: TracePlayer,
  operations: LineReader,
  sink: AnswerSink,
  progress: Progress,
): Promise<string | undefined> {
  for (;;) {
    const line = operations.take();
    if (line === undefined) {
      await sink.flush();
      progress.update(operations.number, operations.bytesRead);
      if (!(await operations.readOn())) return await sink.end();
      continue;
    }
    const answer = runOnLine(operations, () => player.play(parseOperation(line)));
    const difference = await sink.take(line, answer);
    if (difference !== undefined) return difference;
  }
}
