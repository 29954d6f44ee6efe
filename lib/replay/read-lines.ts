/** Reads the lines of a file or stream, plain or gzip-compressed. */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';

import { decompress, GzipError } from './gunzip';
import { toPrintable } from '../terminal/printable';
import { TraceError } from './trace-format';

/** Maximum length of a line in bytes. Parsing a longer line would need too much memory. */
const MOST_BYTES = 64 * 2 ** 20;

const LF = 0x0a;

/** Thrown if a file cannot be read or has an invalid line. The message names the file and, if known, the line. */
export class InputError extends Error {
  override name = 'InputError';
}

/**
 * Reads a file or stream of any size line by line. Buffers one chunk, and the beginning of a line that spans chunks.
 *
 * {@link take} is synchronous and returns a line if a complete one has been read; {@link readOn} waits for more data. The last
 * line may lack its LF.
 */
export class LineReader {
  /** Name of the file in messages. */
  readonly name: string;
  /** Number of the last line that was taken, counted from 1; 0 before the first. */
  number = 0;
  /** Number of bytes read from the file so far; for a compressed file, compressed bytes. */
  bytesRead = 0;
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  #position = 0;
  /** Chunks of a line whose end has not been read yet. */
  #begun: Buffer[] = [];
  #begunBytes = 0;
  #ended = false;

  constructor(name: string, stream: Readable) {
    this.name = name;
    this.#stream = stream;
    this.#chunks = decompress(this.#countBytes());
    // The stream may fail before the first read. Keep that error from crashing the process; the first read reports it.
    stream.on('error', () => undefined);
  }

  /** Opens a file, or standard input for `-`. */
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
   * Waits for the next chunk of the file.
   *
   * @returns false at the end of the file, after {@link take} has returned the last line
   * @throws InputError if the file cannot be read, or is a corrupt or truncated gzip file
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

  /** Waits for the next line and returns it; `undefined` at the end of the file. Throws like {@link take} and {@link readOn}. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const line = this.take();
      if (line !== undefined) return line;
      if (!(await this.readOn())) return undefined;
    }
  }

  /** Returns `FILE:LINE` for messages, by default of the last line taken; before the first line, only the file's name. */
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
 * Runs `work`, which processes the last line that was taken.
 *
 * @returns the result of `work`
 * @throws InputError instead of any error of `work`, with the file's name and the line's number
 */
export function runOnLine<T>(reader: LineReader, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const why = error instanceof TraceError ? error.message : `internal error: ${toPrintable(String(error))}`;
    throw new InputError(`${reader.place()}: ${why}`, { cause: error });
  }
}
