/** Reads the lines of a file or stream, plain or gzip-compressed. */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';

import { decompress, GzipError } from './gunzip';
import { toPrintable, TraceError } from './trace-format';

/** The longest line in bytes. A longer one could not be parsed in reasonable memory. */
const MOST_BYTES = 64 * 2 ** 20;

const LF = 0x0a;

/** A file cannot be read, or one of its lines is invalid. The message names the file, and the line if there is one. */
export class InputError extends Error {
  override name = 'InputError';
}

/**
 * Reads a file or stream of any size line by line. Holds one chunk, and the beginning of a line that spans chunks.
 *
 * {@link take} is synchronous and returns a line if a whole one has been read; {@link readOn} waits for more. The last line may
 * lack its LF.
 */
export class LineReader {
  /** The file's name in messages. */
  readonly name: string;
  /** Number of the line taken last, from 1 on. */
  number = 0;
  /** Bytes read from the file so far; compressed ones if it is compressed. */
  bytesRead = 0;
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  #position = 0;
  /** The beginning of a line whose end has not been read yet. */
  #begun: Buffer[] = [];
  #begunBytes = 0;
  #ended = false;

  constructor(name: string, stream: Readable) {
    this.name = name;
    this.#stream = stream;
    this.#chunks = decompress(this.#countBytes());
    // It may fail before the first read, which reports the error then.
    stream.on('error', () => undefined);
  }

  /** Reads a file, or standard input for `-`. */
  static open(path: string, stdin: Readable): LineReader {
    return path === '-'
      ? new LineReader('standard input', stdin)
      : new LineReader(toPrintable(path), createReadStream(path));
  }

  /**
   * Returns the next line without its LF, or `undefined` if {@link readOn} must be called first.
   *
   * @throws InputError if the line is too long or not UTF-8
   */
  take(): string | undefined {
    const end = this.#chunk.indexOf(LF, this.#position);
    if (end >= 0) {
      const line = this.#finish(this.#chunk.subarray(this.#position, end));
      this.#position = end + 1;
      return line;
    }
    this.#keep(this.#chunk.subarray(this.#position));
    this.#chunk = Buffer.alloc(0);
    this.#position = 0;
    return this.#ended && this.#begunBytes > 0 ? this.#finish(this.#chunk) : undefined;
  }

  /**
   * Waits for more of the file.
   *
   * @returns false at its end, when {@link take} has returned everything
   * @throws InputError if it cannot be read, or is a corrupt or truncated gzip file
   */
  async readOn(): Promise<boolean> {
    if (this.#ended) return false;
    const read = await this.#chunks.next().catch((error: unknown) => {
      const message = toPrintable((error as Error).message);
      const why = error instanceof GzipError ? message : `cannot be read: ${message}`;
      throw new InputError(`${this.place()}: ${why}`, { cause: error });
    });
    if (read.done === true) this.#ended = true;
    else this.#chunk = read.value;
    return true;
  }

  /** Waits for the next line and returns it; `undefined` at the end of the file. Throws as {@link take} and {@link readOn}. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const line = this.take();
      if (line !== undefined) return line;
      if (!(await this.readOn())) return undefined;
    }
  }

  /** Names the place of a line for messages, by default of the line taken last. Before the first it is the file's name alone. */
  place(number = this.number): string {
    return number === 0 ? this.name : `${this.name}:${number}`;
  }

  /** Stops reading and releases the stream. */
  close(): void {
    this.#stream.destroy();
  }

  async *#countBytes(): AsyncGenerator<Buffer, void> {
    for await (const chunk of this.#stream as AsyncIterable<Buffer>) {
      this.bytesRead += chunk.length;
      yield chunk;
    }
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#begun.push(part);
    this.#begunBytes += part.length;
    if (this.#begunBytes > MOST_BYTES) this.#reject(`the line is longer than ${MOST_BYTES} bytes`);
  }

  #finish(end: Buffer): string {
    const line = this.#begun.length === 0 ? end : Buffer.concat([...this.#begun, end]);
    this.#begun = [];
    this.#begunBytes = 0;
    if (line.length > MOST_BYTES) this.#reject(`the line is longer than ${MOST_BYTES} bytes`);
    if (!isUtf8(line)) this.#reject('the line is not UTF-8');
    this.number++;
    return line.toString('utf8');
  }

  #reject(why: string): never {
    this.number++;
    throw new InputError(`${this.place()}: ${why}`);
  }
}

/**
 * Runs `work`, which is about the line that was taken last.
 *
 * @returns what `work` returns
 * @throws InputError in place of any error of `work`, with the file's name and the line's number
 */
export function runOnLine<T>(reader: LineReader, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const why = error instanceof TraceError ? error.message : `internal error: ${toPrintable(String(error))}`;
    throw new InputError(`${reader.place()}: ${why}`, { cause: error });
  }
}
