// Measuring: every contender of a question, round by round, in one process.
//
// Not tinybench or mitata: those run one task to its end and then the next one, so whatever the machine does in between (another
// process, a change of clock) lands on one side of a ratio, and they read the clock around each call, which here may take
// 3 ns. This loop interleaves the contenders and reads the clock around thousands of calls. It also keeps the
// shipped package free of a dependency that only `rdmavt bench` would use.
//
// Each slice is a job of its own: the event loop turns once after it, so that what a contender leaves to finalizers is cleaned up
// before the next one begins.
import { setImmediate as turn } from 'node:timers/promises';

/**
 * One of those that a question compares: work to be timed, or a gauge.
 *
 * @typedef {Work | Gauge} Contender
 */

/**
 * @typedef {object} Work
 * @property {string} label for people
 * @property {number} elements what one pass works through
 * @property {(passes: number) => number} run does the passes and answers the sum of what each of them found, made of data that
 *   was read back: nothing of the work can be left out
 * @property {string} [task] contenders of the same task must find the same in a pass. Default: all of a question do the same
 * @property {() => void} [reset] what must be undone after `run`; not timed
 * @property {number} [mostPasses] as many can be done before `reset`
 * @property {boolean} [turn] the time includes the turn of the event loop after the job, where finalizers run. For work that makes
 *   objects: cleaning up is part of its price
 */

/**
 * Something that reads its figure itself, such as bytes, or a time that another process has measured.
 *
 * @typedef {object} Gauge
 * @property {string} label for people
 * @property {() => number} read the figure of one round, in the unit of its rows
 */

/**
 * @typedef {object} Effort
 * @property {number} rounds
 * @property {number} warmUp milliseconds a contender
 * @property {number} slice milliseconds a contender and round
 */

/**
 * Many short rounds: a slice that another process falls into is lost, and the median needs most of them whole.
 *
 * @type {Effort}
 */
export const FULL = { rounds: 31, warmUp: 100, slice: 3 };

/**
 * For figures that take a second or more each.
 *
 * @type {Effort}
 */
export const FEW = { rounds: 7, warmUp: 0, slice: 0 };

/**
 * For questions of very many contenders.
 *
 * @type {Effort}
 */
export const MANY = { rounds: 15, warmUp: 40, slice: 2 };

/**
 * That everything runs, and finds what it must; the times mean nothing.
 *
 * @type {Effort}
 */
export const SMOKE = { rounds: 1, warmUp: 0, slice: 0 };

/** Contenders found different things: one of them is wrong, and no time of theirs means anything. */
export class Disagreement extends Error {
  /** @override */
  name = 'Disagreement';
}

/**
 * The figures of every contender in every round: nanoseconds an element, or what a gauge reads.
 *
 * @param {readonly Contender[]} contenders
 * @param {Effort} effort
 * @returns {Promise<number[][]>}
 */
export async function measure(contenders, effort) {
  const found = agree(contenders);
  /** @type {(() => number | Promise<number>)[]} */
  const readers = [];
  for (const [i, contender] of contenders.entries()) {
    if ('read' in contender) readers.push(() => contender.read());
    else readers.push(await warmUp(contender, effort, found[i] ?? 0));
  }
  const figures = readers.map(() => /** @type {number[]} */ ([]));
  for (let round = 0; round < effort.rounds; round++) {
    for (let k = 0; k < readers.length; k++) {
      // Another one begins each round, so that nobody always comes after the same one.
      const i = (k + round) % readers.length;
      const figure = await readers[i]?.();
      if (figure !== undefined) figures[i]?.push(figure);
    }
  }
  return figures;
}

/**
 * Compares what a pass of each finds.
 *
 * @param {readonly Contender[]} contenders
 * @returns {number[]} what each found; a gauge finds nothing
 */
function agree(contenders) {
  /** @type {Map<string, { label: string, found: number }>} */
  const first = new Map();
  return contenders.map((contender) => {
    if ('read' in contender) return 0;
    const { label, task = '' } = contender;
    const found = contender.run(1);
    contender.reset?.();
    const other = first.get(task);
    if (!other) first.set(task, { label, found });
    else if (other.found !== found) {
      throw new Disagreement(`'${label}' finds ${found}, '${other.label}' ${other.found}`);
    }
    return found;
  });
}

/**
 * Runs until the compiler is done with it.
 *
 * @param {Work} work
 * @param {Effort} effort
 * @param {number} expected of one pass
 * @returns {Promise<() => Promise<number>>} times a slice: nanoseconds an element
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
 * @param {Work} work
 * @param {number} count
 * @param {number} expected of one pass
 * @returns {Promise<number>} milliseconds
 */
async function timed(work, count, expected) {
  const begin = performance.now();
  const found = work.run(count);
  if (work.turn) await turn();
  const time = performance.now() - begin;
  if (!work.turn) await turn();
  work.reset?.();
  if (found !== expected * count) {
    throw new Disagreement(`'${work.label}' found ${expected} at first, and later not`);
  }
  return time;
}

/**
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
