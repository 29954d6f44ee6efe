/** Consumers of a replay's answers: one prints them, the other compares them with the lines of an expectation file. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';

import type { Answer } from './answers';
import { type LineReader, runOnLine } from './read-lines';
import { parseExpectation } from './trace-format';

/** Receives the answers one by one. */
export interface AnswerSink {
  /**
   * Receives the answer to the next operation.
   *
   * @param line - the line of the operation in the trace
   * @returns a description of the difference, if another answer was expected
   */
  take(line: string, answer: Answer): Promise<string | undefined>;
  /** Writes the buffered answers, because the next operation may arrive much later. */
  flush(): Promise<void>;
  /** Called after the last answer. Returns a description of the difference, if more answers were expected. */
  end(): Promise<string | undefined>;
}

/** The printer writes when its buffer has at least this many characters. */
const WRITE_CHARACTERS = 65_536;

/** Prints one answer per line. Waits while the stream's buffer is full. */
export class AnswerPrinter implements AnswerSink {
  readonly #stream: Writable;
  #lines: string[] = [];
  #length = 0;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  async take(_line: string, answer: Answer): Promise<undefined> {
    const text = JSON.stringify(answer);
    this.#lines.push(text);
    this.#length += text.length;
    if (this.#length >= WRITE_CHARACTERS) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#lines.length === 0) return;
    const text = `${this.#lines.join('\n')}\n`;
    this.#lines = [];
    this.#length = 0;
    if (!this.#stream.write(text)) await once(this.#stream, 'drain');
  }

  async end(): Promise<undefined> {
    await this.flush();
  }
}

/** Compares the answers with the lines of an expectation file. */
export class AnswerComparer implements AnswerSink {
  readonly #operations: LineReader;
  readonly #expectations: LineReader;

  /**
   * @param operations - the reader of the trace, for file names and line numbers in messages
   * @param expectations - the reader of the expected answers
   */
  constructor(operations: LineReader, expectations: LineReader) {
    this.#operations = operations;
    this.#expectations = expectations;
  }

  async take(line: string, answer: Answer): Promise<string | undefined> {
    const expected = this.#expectations.take() ?? (await this.#expectations.next());
    if (expected === undefined) {
      const { name, number } = this.#expectations;
      return describeDifference(`${name}:${number + 1}: no expected answer for this operation`, [
        [this.#operations.place(), line],
        ['expected', '(end of file)'],
        ['answered', JSON.stringify(answer)],
      ]);
    }
    const path = runOnLine(this.#expectations, () => findDifference(parseExpectation(expected), answer));
    if (path === undefined) return undefined;
    const where = path === '' ? '' : ` at ${cut(path)}`;
    return describeDifference(`${this.#expectations.place()}: the answer differs${where}`, [
      [this.#operations.place(), line],
      ['expected', expected],
      ['answered', JSON.stringify(answer)],
    ]);
  }

  async flush(): Promise<void> {
    // Nothing is buffered.
  }

  async end(): Promise<string | undefined> {
    const more = await this.#expectations.next();
    if (more === undefined) return undefined;
    return describeDifference(`${this.#expectations.place()}: no operation for this expected answer`, [
      [this.#operations.name, `(end of file after ${this.#operations.number} lines)`],
      ['expected', more],
    ]);
  }
}

/**
 * Finds where an answer differs from the expected one. Both must have the same members with equal values; the order of members
 * does not matter. `{"any":true}` matches every answer, and `{"not_reached":true}` matches a skipped operation.
 *
 * @returns a path into the answer (`.sge.at.byte`; empty for the whole answer), or `undefined` if there is no difference
 */
export function findDifference(expected: object, answer: object): string | undefined {
  if (isMark(expected, 'any')) return undefined;
  return findIn(isMark(expected, 'not_reached') ? { skipped: true } : expected, answer, '');
}

function isMark(expected: object, name: string): boolean {
  return Object.keys(expected).length === 1 && (expected as Record<string, unknown>)[name] === true;
}

/** Recurses no deeper than the answer, which the player created, so a malicious expectation file cannot overflow the stack. */
function findIn(expected: unknown, answer: unknown, path: string): string | undefined {
  if (expected === answer) return undefined;
  if (!isObject(expected) || !isObject(answer) || Array.isArray(expected) !== Array.isArray(answer))
    return path;
  for (const name of Object.keys(answer)) {
    const inside = Array.isArray(answer) ? `${path}[${name}]` : `${path}.${name}`;
    if (!Object.hasOwn(expected, name)) return inside;
    const found = findIn(expected[name], answer[name], inside);
    if (found !== undefined) return found;
  }
  return Object.keys(expected).length === Object.keys(answer).length ? undefined : path;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Longer lines are cut to this many characters in messages. */
const MOST_SHOWN = 4000;

/** Formats a title and, below it, rows of a label and a text. */
function describeDifference(title: string, rows: [label: string, text: string][]): string {
  const width = Math.max(...rows.map(([label]) => label.length));
  return [title, ...rows.map(([label, text]) => `  ${label.padEnd(width)}  ${cut(text)}`)].join('\n');
}

function cut(text: string): string {
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}... (${text.length} characters)` : text;
}
