// What a file of bench says, and what becomes of it.
import { FULL, measure, SMOKE, summary } from './rounds.mjs';

/** @typedef {import('./rounds.mjs').Contender} Contender */
/** @typedef {import('./rounds.mjs').Effort} Effort */

/**
 * A line of the result.
 *
 * @typedef {object} Line
 * @property {string} name stable and unique: programs look for it
 * @property {string} of the contender, by its name in `contenders`
 * @property {string} [unit] of its figures, if it is not that of the question
 * @property {string} [peer] the contender it is compared with
 * @property {number} [reach] the target for the ratio: at most this
 * @property {number} [limit] the target for the figure itself, in its unit: at most this
 * @property {number} [quoted] the reference's own C doing the same, in the same unit: see {@link REFERENCE}
 */

/**
 * @typedef {object} Prepared
 * @property {Record<string, Contender>} contenders
 * @property {Line[]} lines
 * @property {() => void} close
 */

/**
 * @typedef {object} Question
 * @property {string} name the name of its file
 * @property {string} title
 * @property {string} unit of the figures: 'ns/element'
 * @property {Effort} [effort]
 * @property {boolean} [compact] the table for people leaves out the rows of the peers
 * @property {(options: { smoke: boolean }) => Prepared} prepare makes what is measured, and checks that all contenders
 *   give the same answers. May do less in a smoke run
 */

/** The label of figures that were not measured here, as a peer and in the tables. */
export const REFERENCE = 'reference C (quoted)';

/**
 * The reference's own C as a peer. It was compiled for user space and measured once, on another occasion and maybe on another machine, so
 * a ratio with it says less than one with a contender of the same run.
 *
 * @param {number} figure
 * @returns {import('./rounds.mjs').Gauge}
 */
export function quoted(figure) {
  return { label: REFERENCE, read: () => figure };
}

/**
 * A line with its figures. What has no peer, ratio or target has null there.
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
 * @property {number | null} ratio median by median
 * @property {number | null} ratioMin the smallest of one round
 * @property {number | null} ratioMax
 * @property {number | null} reach the target for the ratio: at most this
 * @property {number | null} limit the target for the median: at most this
 * @property {boolean | null} met whether the target is met; null: no target, or a trial run
 * @property {number | null} quoted the reference's own C, quoted and not measured here
 */

/**
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
      if (!rounds || !contender) throw new Error(`${question.name}: there is no contender '${name}'`);
      return { rounds, label: contender.label, ...summary(rounds) };
    };
    return lines.map((line) => row(question, line, of, smoke));
  } finally {
    close();
  }
}

/**
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
 * @param {number[]} rounds
 * @param {{ rounds: number[], label: string }} peer
 */
function compare(rounds, peer) {
  const each = summary(rounds.map((figure, i) => figure / (peer.rounds[i] ?? NaN)));
  const ratio = summary(rounds).median / summary(peer.rounds).median;
  return { peer: peer.label, ratio, ratioMin: each.min, ratioMax: each.max };
}
