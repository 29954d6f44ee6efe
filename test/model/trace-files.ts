import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { gunzipSync } from 'node:zlib';

import type { Answer, Expected, Operation } from './trace-types';

export interface Difference {
  line: number;
  op: Operation;
  expected: Expected;
  got: Answer;
}

export function readOperations(file: string): Operation[] {
  return readLines(file) as Operation[];
}

export function readExpected(file: string): Expected[] {
  return readLines(file) as Expected[];
}

/** Plays a trace to its end; the first line that is answered otherwise than expected, if there is one. */
export function firstDifference(
  play: (op: Operation) => Answer,
  operations: readonly Operation[],
  answers: readonly Expected[],
): Difference | undefined {
  for (const [i, op] of operations.entries()) {
    const got = play(op);
    const expected = answers[i];
    if (expected === undefined) throw new Error(`there is no answer for line ${i + 1}`);
    if (!matches(expected, got)) return { line: i + 1, op, expected, got };
  }
  return undefined;
}

/** Whether an answer is the expected one: every member there and equal, no others. */
export function matches(expected: Expected, got: Answer): boolean {
  if ('any' in expected) return true;
  if ('not_reached' in expected) return isDeepStrictEqual(got, { skipped: true });
  return isDeepStrictEqual(got, expected);
}

function readLines(file: string): unknown[] {
  const text = gunzipSync(readFileSync(file)).toString('utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}
