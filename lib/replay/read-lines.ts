import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';

import { printable, TraceError } from './trace-error';

/** A longer line is not read: it could not be parsed in reasonable memory. */
const MOST_BYTES = 64 * 2 ** 20;

const LF = 0x0a;

/** A file cannot be read, or a line of it is of no use. The message names the file, and the line if there is one. */
export class InputError extends Error {
  override name = 'InputError';
}

/**
 * The lines of a file or stream of any size, one after the other. Holds one chunk and the line that the chunk before began.
 *
 * {@link take} is synchronous and has a line as long as one is there; {@link readOn} waits for more. The last line may lack
 * its LF.
 */
export class LineReader {
  /** The file's name in messages. */
  readonly name: string;
  /** Number of the line taken last, from 1 on. */
  number = 0;
  /** Bytes of the lines taken so far. */
  bytesTaken = 0;
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  #position = 0;
  /** The beginning of a line that no chunk has ended yet. */
  #begun: Buffer[] = [];
  #begunBytes = 0;
  #ended = false;

  constructor(name: string, stream: Readable) {
    this.name = name;
    this.#stream = stream;
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    // It may fail before it is first read from; the iterator tells of it then.
    stream.on('error', () => undefined);
  }

  /** Reads a file, or standard input for `-`. */
  static open(path: string, stdin: Readable): LineReader {
    return path === '-'
      ? new LineReader('standard input', stdin)
      : new LineReader(printable(path), createReadStream(path));
  }

  /** The next line without its LF, or `undefined` if {@link readOn} must be called first. */
  take(): string | undefined {
    const end = this.#chunk.indexOf(LF, this.#position);
    if (end >= 0) {
      const line = this.#finish(this.#chunk.subarray(this.#position, end));
      this.#position = end + 1;
      this.bytesTaken++;
      return line;
    }
    this.#begin(this.#chunk.subarray(this.#position));
    this.#chunk = Buffer.alloc(0);
    this.#position = 0;
    return this.#ended && this.#begunBytes > 0 ? this.#finish(this.#chunk) : undefined;
  }

  /** Waits for more of the file; false at its end, when {@link take} has handed out everything. */
  async readOn(): Promise<boolean> {
    if (this.#ended) return false;
    const read = await this.#chunks.next().catch((error: unknown) => {
      throw new InputError(`${this.place()}: cannot be read: ${printable((error as Error).message)}`);
    });
    if (read.done === true) this.#ended = true;
    else this.#chunk = read.value;
    return true;
  }

  /** The next line, waited for; `undefined` at the end of the file. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const line = this.take();
      if (line !== undefined) return line;
      if (!(await this.readOn())) return undefined;
    }
  }

  /** Where a line stands, by default the one taken last, for messages: the name alone before the first. */
  place(number = this.number): string {
    return number === 0 ? this.name : `${this.name}:${number}`;
  }

  /** Stops reading; nothing waits for the rest. */
  close(): void {
    this.#stream.destroy();
  }

  #begin(part: Buffer): void {
    if (part.length === 0) return;
    this.#begun.push(part);
    this.#begunBytes += part.length;
    if (this.#begunBytes > MOST_BYTES) this.#refuse(`the line is longer than ${MOST_BYTES} bytes`);
  }

  #finish(end: Buffer): string {
    const line = this.#begun.length === 0 ? end : Buffer.concat([...this.#begun, end]);
    this.#begun = [];
    this.#begunBytes = 0;
    if (line.length > MOST_BYTES) this.#refuse(`the line is longer than ${MOST_BYTES} bytes`);
    if (!isUtf8(line)) this.#refuse('the line is not UTF-8');
    this.number++;
    this.bytesTaken += line.length;
    return line.toString('utf8');
  }

  #refuse(why: string): never {
    this.number++;
    throw new InputError(`${this.place()}: ${why}`);
  }
}

/**
 * Runs `work` on a line, by default the one taken last; what it has against the line is told with the file's name and the
 * line's number.
 */
export function onLine<T>(reader: LineReader, work: () => T, number = reader.number): T {
  try {
    return work();
  } catch (error) {
    const why = error instanceof TraceError ? error.message : `cannot be played: ${printable(String(error))}`;
    throw new InputError(`${reader.place(number)}: ${why}`, { cause: error });
  }
}
