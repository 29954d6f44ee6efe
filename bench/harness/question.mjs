// Defines what a benchmark file exports, and computes the rows of the result from it. ("Question" is the code's name for a
// benchmark.)
import { FULL, measure, SMOKE, summary } from './rounds.mjs';

/** @typedef {import('./rounds.mjs').Contender} Contender */
/** @typedef {import('./rounds.mjs').Effort} Effort */

/**
 * Describes one row of the result.
 *
 * @typedef {object} Line
 * @property {string} name stable and unique; programs use it to find the row
 * @property {string} of the contender, by its name in `contenders`
 * @property {string} [unit] unit of its figures, if it differs from the unit of the benchmark
 * @property {string} [peer] the contender that it is compared with
 * @property {number} [reach] the target for the ratio: at most this
 * @property {number} [limit] the target for the figure itself, in its unit: at most this
 * @property {number} [quoted] the figure of the reference's own C code for the same task, in the same unit: see {@link REFERENCE}
 */

/**
 * @typedef {object} Prepared
 * @property {Record<string, Contender>} contenders
 * @property {Line[]} lines
 * @property {() => void} close
 */

/**
 * A benchmark.
 *
 * @typedef {object} Question
 * @property {string} name the name of its file
 * @property {string} title
 * @property {string} unit unit of the figures, such as 'ns/element'
 * @property {Effort} [effort]
 * @property {boolean} [compact] whether the printed table omits the rows of the peers
 * @property {(options: { smoke: boolean }) => Prepared} prepare creates what is measured, and verifies that all contenders give
 *   the same results. It may do less in a smoke run
 */

/** The label of figures that were quoted instead of measured, as a peer and in the tables. */
export const REFERENCE = 'reference C (quoted)';

/**
 * Returns the figure of the reference's own C code as a contender. That code was compiled for user space and measured once, at
 * another time and perhaps on another machine, so a ratio with it is less reliable than a ratio with a contender of the same run.
 *
 * @param {number} figure
 * @returns {import('./rounds.mjs').Gauge}
 */
export function quoted(figure) {
  return { label: REFERENCE, read: () => figure };
}

/**
 * One row of the result. Fields without a value (no peer, no ratio, no target) are null.
 *
 * @typedef {object} Row
 * @property {string} name
 * @property {string} question
 * @property {string} label
 * @property {number} median
 * @property {number} min
 * @property {number} max
 * @property {string} unit
 * @property {string | null} peer
 * @property {number | null} ratio the median divided by the peer's median
 * @property {number | null} ratioMin the smallest ratio of a single round
 * @property {number | null} ratioMax the largest ratio of a single round
 * @property {number | null} reach the target for the ratio: at most this
 * @property {number | null} limit the target for the median: at most this
 * @property {boolean | null} met whether the target is met; null: no target, or a smoke run
 * @property {number | null} quoted the figure of the reference's own C code, which is not measured here
 */

/**
 * Runs a benchmark and returns its rows.
 *
 * @param {Question} question
 * @param {boolean} smoke
 * @returns {Promise<Row[]>}
 */
export async function answer(question, smoke) {
  const { contenders, lines, close } = question.prepare({ smoke });
  try {
    const names = Object.keys(contenders);
    const effort = smoke ? SMOKE : (question.effort ?? FULL);
    const times = await measure(Object.values(contenders), effort);
    /** @param {string} name */
    const of = (name) => {
      const i = names.indexOf(name);
      const rounds = times[i];
      const contender = contenders[name];
      if (!rounds || !contender) throw new Error(`${question.name}: no contender '${name}'`);
      return { rounds, label: contender.label, ...summary(rounds) };
    };
    return lines.map((line) => row(question, line, of, smoke));
  } finally {
    close();
  }
}

/**
 * Computes one row of the result.
 *
 * @param {Question} question
 * @param {Line} line
 * @param {(name: string) => { rounds: number[], label: string, median: number, min: number, max: number }} of
 * @param {boolean} smoke
 * @returns {Row}
 */
function row(question, line, of, smoke) {
  const { rounds, label, median, min, max } = of(line.of);
  const { name, unit = question.unit, reach = null, limit = null, quoted = null } = line;
  const figures = { name, question: question.name, label, median, min, max, unit };
  const compared = line.peer === undefined ? NO_PEER : compare(rounds, of(line.peer));
  const { ratio } = compared;
  const meetsRatio = reach === null || (ratio !== null && ratio <= reach);
  const meetsLimit = limit === null || median <= limit;
  const met = smoke || (reach === null && limit === null) ? null : meetsRatio && meetsLimit;
  return { ...figures, ...compared, reach, limit, met, quoted };
}

const NO_PEER = { peer: null, ratio: null, ratioMin: null, ratioMax: null };

/**
 * Computes the ratio to a peer.
 *
 * @param {number[]} rounds
 * @param {{ rounds: number[], label: string }} peer
 */
function compare(rounds, peer) {
  const each = summary(rounds.map((figure, i) => figure / (peer.rounds[i] ?? NaN)));
  const ratio = summary(rounds).median / summary(peer.rounds).median;
  return { peer: peer.label, ratio, ratioMin: each.min, ratioMax: each.max };
}
