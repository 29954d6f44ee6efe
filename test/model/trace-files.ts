import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { gunzipSync } from 'node:zlib';

import type { Answer, Expected, Operation } from './trace-types';

export interface Difference<Op = Operation, Reply = Answer> {
  line: number;
  op: Op;
  expected: Reply | Expected;
  got: Reply;
}

export function readOperations(file: string): Operation[] {
  return readLines(file) as Operation[];
}

export function readExpected(file: string): Expected[] {
  return readLines(file) as Expected[];
}

/** Plays a trace and returns the first line whose answer differs from the expected one, if there is any. */
export function firstDifference<Op = Operation, Reply extends object = Answer>(
  play: (op: Op) => Reply,
  operations: readonly Op[],
  answers: readonly (Reply | Expected)[],
): Difference<Op, Reply> | undefined {
  for (const [i, op] of operations.entries()) {
    const got = play(op);
    const expected = answers[i];
    if (expected === undefined) throw new Error(`there is no answer for line ${i + 1}`);
    if (!matches(expected, got)) return { line: i + 1, op, expected, got };
  }
  return undefined;
}

/** Returns whether an answer matches: it has exactly the expected members with equal values. */
export function matches(expected: object, got: object): boolean {
  if ('any' in expected) return true;
  if ('not_reached' in expected) return isDeepStrictEqual(got, { skipped: true });
  return isDeepStrictEqual(got, expected);
}

export function readLines(file: string): unknown[] {
  const text = gunzipSync(readFileSync(file)).toString('utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}
