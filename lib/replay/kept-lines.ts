/** Lines whose operations are kept back, to be played together. */
import type { Operation } from './operations';
import type { TracePlayer } from './player';
import { onLine, type LineReader } from './read-lines';
import type { AnswerSink, TraceLine } from './sinks';

/** More characters are not kept back, however few lines they are. */
const MOST_KEPT = 2 ** 20;

export class KeptLines {
  readonly #player: TracePlayer;
  readonly #operations: LineReader;
  readonly #sink: AnswerSink;
  #lines: TraceLine[] = [];
  #length = 0;

  constructor(player: TracePlayer, operations: LineReader, sink: AnswerSink) {
    this.#player = player;
    this.#operations = operations;
    this.#sink = sink;
  }

  get empty(): boolean {
    return this.#lines.length === 0;
  }

  /** False: it must be played alone, or after {@link play}. */
  add(line: TraceLine, op: Operation): boolean {
    if (this.#length > MOST_KEPT || !this.#player.keep(op)) return false;
    this.#lines.push(line);
    this.#length += line.text.length;
    return true;
  }

  /** Plays them all; the first difference, if there is one. */
  async play(): Promise<string | undefined> {
    const lines = this.#lines;
    this.#lines = [];
    this.#length = 0;
    const answers = this.#player.playKept();
    for (const line of lines) {
      const { value: answer } = onLine(this.#operations, () => answers.next(), line.number);
      if (answer === undefined) throw new Error(`${this.#operations.place(line.number)}: there is no answer`);
      const difference = await this.#sink.take(line, answer);
      if (difference !== undefined) return difference;
    }
    return undefined;
  }
}
