// Measuring: every contender of a question, round by round, in one process.
//
// Not tinybench or mitata: those run one task to its end and then the next one, so whatever the machine does in between (another
// process, a change of clock) lands on one side of a ratio, and they read the clock around each call, which here may take
// 3 ns. This loop interleaves the contenders and reads the clock around thousands of calls. It also keeps the
// shipped package free of a dependency that only `rdmavt bench` would use.

/**
 * One of those that a question compares.
 *
 * @typedef {object} Contender
 * @property {string} label for people
 * @property {number} elements what one pass works through
 * @property {(passes: number) => number} run does the passes and answers the sum of what each of them found, made of data that
 *   was read back: nothing of the work can be left out
 * @property {string} [task] contenders of the same task must find the same in a pass. Default: all of a question do the same
 * @property {() => void} [reset] what must be undone after `run`; not timed
 * @property {number} [mostPasses] as many can be done before `reset`
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
 * Nanoseconds an element of every contender in every round.
 *
 * @param {readonly Contender[]} contenders
 * @param {Effort} effort
 * @returns {number[][]}
 */
export function measure(contenders, effort) {
  const expected = agree(contenders);
  const passes = contenders.map((contender, i) => warmUp(contender, effort, expected[i] ?? 0));
  const times = contenders.map(() => /** @type {number[]} */ ([]));
  for (let round = 0; round < effort.rounds; round++) {
    for (let k = 0; k < contenders.length; k++) {
      // Another one begins each round, so that nobody always comes after the same one.
      const i = (k + round) % contenders.length;
      const contender = /** @type {Contender} */ (contenders[i]);
      const count = passes[i] ?? 1;
      times[i]?.push((timed(contender, count, expected[i] ?? 0) * 1e6) / (count * contender.elements));
    }
  }
  return times;
}

/**
 * What a pass of each finds.
 *
 * @param {readonly Contender[]} contenders
 */
function agree(contenders) {
  /** @type {Map<string, { label: string, found: number }>} */
  const first = new Map();
  return contenders.map((contender) => {
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
 * @param {Contender} contender
 * @param {Effort} effort
 * @param {number} expected
 * @returns how many passes fill a slice
 */
function warmUp(contender, effort, expected) {
  const most = contender.mostPasses ?? Infinity;
  let best = Infinity;
  let count = 1;
  for (let spent = 0; spent < effort.warmUp;) {
    const time = timed(contender, count, expected);
    spent += time;
    best = Math.min(best, time / count);
    count = Math.min(most, Math.max(1, Math.round(effort.slice / best)));
  }
  return count;
}

/**
 * @param {Contender} contender
 * @param {number} count
 * @param {number} expected
 * @returns milliseconds
 */
function timed(contender, count, expected) {
  const begin = performance.now();
  const found = contender.run(count);
  const time = performance.now() - begin;
  contender.reset?.();
  if (found !== expected * count) {
    throw new Disagreement(`'${contender.label}' found ${expected} at first, and later not`);
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
