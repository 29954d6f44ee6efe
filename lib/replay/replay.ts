/** Playing a file of operations from end to end. */
import type { Readable, Writable } from 'node:stream';

import { KeptLines } from './kept-lines';
import { TracePlayer } from './player';
import { Progress, type Terminal } from './progress';
import { InputError, LineReader, onLine } from './read-lines';
import { AnswerComparer, AnswerPrinter, type AnswerSink } from './sinks';
import { parseOperation } from './trace-format';

/** Exit status of a replay. */
export const enum ReplayStatus {
  /** All played, and all as expected if anything was. */
  Played = 0,
  /** An answer is not the expected one, or there are more or fewer than expected. */
  Differs = 1,
  /** Input that is not readable or not of the format, or no memory for an operation. */
  Failed = 2,
}

/** What to play; `-` is standard input. */
export interface ReplayOptions {
  readonly trace: string;
  /** Compare with the answers in this file, and print none. */
  readonly expect?: string | undefined;
  /** Play consecutive checks together. */
  readonly batch?: boolean | undefined;
}

/** Where it reads and writes. */
export interface ReplayStreams {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Terminal;
}

/** Plays a trace: prints its answers, or compares them with the expected ones. */
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

  const player = new TracePlayer(options.batch);
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
    await sink.pause();
    say(error.message);
    return ReplayStatus.Failed;
  } finally {
    progress.clear();
    player.close();
    operations.close();
    expectations?.close();
  }
}

/** The first difference, if there is one. */
async function playAll(
  player: TracePlayer,
  operations: LineReader,
  sink: AnswerSink,
  progress: Progress,
): Promise<string | undefined> {
  const kept = new KeptLines(player, operations, sink);
  try {
    for (;;) {
      const text = operations.take();
      if (text === undefined) {
        const difference = await kept.play();
        if (difference !== undefined) return difference;
        await sink.pause();
        progress.update(operations.number, operations.bytesTaken);
        if (!(await operations.readOn())) return await sink.end();
        continue;
      }
      const line = { text, number: operations.number };
      const op = onLine(operations, () => parseOperation(text));
      if (kept.add(line, op)) continue;
      if (!kept.empty) {
        const difference = await kept.play();
        if (difference !== undefined) return difference;
        if (kept.add(line, op)) continue;
      }
      const answer = onLine(operations, () => player.play(op));
      const difference = await sink.take(line, answer);
      if (difference !== undefined) return difference;
    }
  } catch (error) {
    // A line that is of no use; those before it are answered first.
    const difference = await kept.play();
    if (difference !== undefined) return difference;
    throw error;
  }
}
