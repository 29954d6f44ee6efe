// Measures all contenders of a benchmark, alternating between them round by round, in one process.
//
// tinybench and mitata are not suitable: they run one task to completion before the next, so a disturbance (another process, a
// change of the clock rate) affects only one side of a ratio. They also read the clock around each call, and a call may take only
// 3 ns here. This loop alternates between the contenders and reads the clock around thousands of calls. It also saves the
// published package a dependency that only `rdmavt bench` would use.
//
// The event loop turns once after each slice, so that finalizers clean up after a contender before the next one begins.
import { setImmediate as turn } from 'node:timers/promises';

/**
 * One of the alternatives that a benchmark compares: timed work, or a gauge.
 *
 * @typedef {Work | Gauge} Contender
 */

/**
 * @typedef {object} Work
 * @property {string} label shown in the tables
 * @property {number} elements number of elements per pass
 * @property {(passes: number) => number | Promise<number>} run runs the passes and returns the sum of their results. The sum must
 *   depend on data that was read back, so that the compiler cannot eliminate any work
 * @property {string} [task] contenders of the same task must give the same result per pass. Default: all contenders have the same
 *   task
 * @property {() => void} [reset] undoes what `run` did; not timed
 * @property {number} [mostPasses] number of passes possible before `reset` is needed
 * @property {boolean} [turn] whether the time includes the following turn of the event loop, in which finalizers run. Set for
 *   work that creates objects, whose cleanup is part of the cost
 */

/**
 * A figure that the benchmark obtains itself: bytes, or a time measured by another process.
 *
 * @typedef {object} Gauge
 * @property {string} label shown in the tables
 * @property {() => number} read returns the figure of one round, in the unit of its rows
 */

/**
 * @typedef {object} Effort
 * @property {number} rounds
 * @property {number} warmUp milliseconds per contender
 * @property {number} slice milliseconds per contender and round
 */

/**
 * Many short rounds: if another process interrupts a few slices, the median is still undisturbed.
 *
 * @type {Effort}
 */
export const FULL = { rounds: 31, warmUp: 100, slice: 3 };

/**
 * For figures that take a second or more each to measure.
 *
 * @type {Effort}
 */
export const FEW = { rounds: 7, warmUp: 0, slice: 0 };

/**
 * For benchmarks with very many contenders.
 *
 * @type {Effort}
 */
export const MANY = { rounds: 15, warmUp: 40, slice: 2 };

/**
 * Verifies only that everything runs and gives the expected results. The times are meaningless.
 *
 * @type {Effort}
 */
export const SMOKE = { rounds: 1, warmUp: 0, slice: 0 };

/**
 * Thrown if contenders of the same task give different results. At least one of them is wrong, so their times are meaningless.
 */
export class Disagreement extends Error {
  /** @override */
  name = 'Disagreement';
}

/**
 * Returns the figures of every contender in every round: nanoseconds per element, or the figure of a gauge.
 *
 * @param {readonly Contender[]} contenders
 * @param {Effort} effort
 * @returns {Promise<number[][]>}
 */
export async function measure(contenders, effort) {
  const found = await agree(contenders);
  /** @type {(() => number | Promise<number>)[]} */
  const readers = [];
  for (const [i, contender] of contenders.entries()) {
    if ('read' in contender) readers.push(() => contender.read());
    else readers.push(await warmUp(contender, effort, found[i] ?? 0));
  }
  const figures = readers.map(() => /** @type {number[]} */ ([]));
  for (let round = 0; round < effort.rounds; round++) {
    for (let k = 0; k < readers.length; k++) {
      // Each round begins with another contender, so that the order does not favor any of them.
      const i = (k + round) % readers.length;
      const figure = await readers[i]?.();
      if (figure !== undefined) figures[i]?.push(figure);
    }
  }
  return figures;
}

/**
 * Runs one pass of each contender and compares the results. Throws Disagreement if they differ.
 *
 * @param {readonly Contender[]} contenders
 * @returns {Promise<number[]>} the result of each contender; 0 for a gauge
 */
async function agree(contenders) {
  /** @type {Map<string, { label: string, found: number }>} */
  const first = new Map();
  /** @type {number[]} */
  const results = [];
  for (const contender of contenders) {
    if ('read' in contender) {
      results.push(0);
      continue;
    }
    const { label, task = '' } = contender;
    const found = await contender.run(1);
    contender.reset?.();
    const other = first.get(task);
    if (!other) first.set(task, { label, found });
    else if (other.found !== found) {
      throw new Disagreement(`'${label}' found ${found}, but '${other.label}' found ${other.found}`);
    }
    results.push(found);
  }
  return results;
}

/**
 * Runs work until V8 has compiled it, and determines the number of passes per slice.
 *
 * @param {Work} work
 * @param {Effort} effort
 * @param {number} expected result of one pass
 * @returns {Promise<() => Promise<number>>} a function that times one slice and returns nanoseconds per element
 */
async function warmUp(work, effort, expected) {
  const most = work.mostPasses ?? Infinity;
  let best = Infinity;
  let count = 1;
  for (let spent = 0; spent < effort.warmUp;) {
    const time = await timed(work, count, expected);
    spent += time;
    best = Math.min(best, time / count);
    count = Math.min(most, Math.max(1, Math.round(effort.slice / best)));
  }
  return async () => ((await timed(work, count, expected)) * 1e6) / (count * work.elements);
}

/**
 * Times one slice.
 *
 * @param {Work} work
 * @param {number} count number of passes
 * @param {number} expected result of one pass
 * @returns {Promise<number>} milliseconds
 */
async function timed(work, count, expected) {
  const begin = performance.now();
  const answer = work.run(count);
  const found = typeof answer === 'number' ? answer : await answer;
  if (work.turn) await turn();
  const time = performance.now() - begin;
  if (!work.turn) await turn();
  work.reset?.();
  if (found !== expected * count) {
    throw new Disagreement(`'${work.label}' found ${expected} per pass at first, and another number later`);
  }
  return time;
}

/**
 * Returns median, minimum and maximum.
 *
 * @param {readonly number[]} values at least one
 */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (/** @type {number} */ i) => sorted[i] ?? NaN;
  const middle = (sorted.length - 1) / 2;
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    min: at(0),
    max: at(sorted.length - 1),
  };
}
