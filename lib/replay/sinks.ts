/** What becomes of the answers: they are printed, or compared with a file. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';

import { differenceFrom } from './compare';
import type { Answer } from './operations';
import { onLine, type LineReader } from './read-lines';
import { parseExpectation } from './trace-format';

/** A line of the operations. */
export interface TraceLine {
  readonly text: string;
  readonly number: number;
}

/** Takes the answers one by one. */
export interface AnswerSink {
  /** The answer to the next operation; a text if it is not what was expected. */
  take(operation: TraceLine, answer: Answer): Promise<string | undefined>;
  /** Nothing more is there for now: what was taken must be out. */
  pause(): Promise<void>;
  /** There are no more; a text if there should have been. */
  end(): Promise<string | undefined>;
}

/** Written to the stream in pieces of about so many characters. */
const PIECE = 65_536;

/** Prints one answer a line, no faster than the stream takes them. */
export class AnswerPrinter implements AnswerSink {
  readonly #stream: Writable;
  #lines: string[] = [];
  #length = 0;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  async take(_operation: TraceLine, answer: Answer): Promise<undefined> {
    const line = JSON.stringify(answer);
    this.#lines.push(line);
    this.#length += line.length;
    if (this.#length >= PIECE) await this.pause();
  }

  async pause(): Promise<void> {
    if (this.#lines.length === 0) return;
    const text = `${this.#lines.join('\n')}\n`;
    this.#lines = [];
    this.#length = 0;
    if (!this.#stream.write(text)) await once(this.#stream, 'drain');
  }

  async end(): Promise<undefined> {
    await this.pause();
  }
}

/** Longer lines are cut where they are shown. */
const MOST_SHOWN = 4000;

/** Compares the answers with the lines of an expectation file. */
export class AnswerComparer implements AnswerSink {
  readonly #operations: LineReader;
  readonly #expectations: LineReader;

  constructor(operations: LineReader, expectations: LineReader) {
    this.#operations = operations;
    this.#expectations = expectations;
  }

  async take(operation: TraceLine, answer: Answer): Promise<string | undefined> {
    const expected = this.#expectations.take() ?? (await this.#expectations.next());
    if (expected === undefined) {
      const { name, number } = this.#expectations;
      return difference(`${name}:${number + 1}: there is no line for this answer`, [
        [this.#operations.place(operation.number), operation.text],
        ['expected', '(the file has ended)'],
        ['answered', JSON.stringify(answer)],
      ]);
    }
    const path = onLine(this.#expectations, () => differenceFrom(parseExpectation(expected), answer));
    if (path === undefined) return undefined;
    const where = path === '' ? '' : `, at ${cut(path)}`;
    return difference(`${this.#expectations.place()}: the answer is not the expected one${where}`, [
      [this.#operations.place(operation.number), operation.text],
      ['expected', expected],
      ['answered', JSON.stringify(answer)],
    ]);
  }

  async pause(): Promise<void> {
    // Nothing is kept back.
  }

  async end(): Promise<string | undefined> {
    const more = await this.#expectations.next();
    if (more === undefined) return undefined;
    return difference(`${this.#expectations.place()}: there is no operation for this line`, [
      [this.#operations.name, `(ended after ${this.#operations.number} lines)`],
      ['expected', more],
    ]);
  }
}

function difference(title: string, rows: [label: string, text: string][]): string {
  const width = Math.max(...rows.map(([label]) => label.length));
  return [title, ...rows.map(([label, text]) => `  ${label.padEnd(width)}  ${cut(text)}`)].join('\n');
}

function cut(text: string): string {
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}... (${text.length} characters)` : text;
}
