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
 * @property {string} [peer] the contender it is compared with
 * @property {number} [reach] the ratio that is to be reached: at most this
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
 * @property {string} unit what a nanosecond figure is for: 'ns/element'
 * @property {Effort} [effort]
 * @property {boolean} [compact] the table for people leaves out the rows of the peers
 * @property {() => Prepared} prepare makes what is measured, and proves that all contenders answer the same
 */

/**
 * A line with its figures. What is compared with nothing has no peer, ratio or reach.
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
 * @property {number | null} reach
 * @property {boolean | null} met
 */

/**
 * @param {Question} question
 * @param {boolean} smoke
 * @returns {Row[]}
 */
export function answer(question, smoke) {
  const { contenders, lines, close } = question.prepare();
  try {
    const names = Object.keys(contenders);
    const effort = smoke ? SMOKE : (question.effort ?? FULL);
    const times = measure(Object.values(contenders), effort);
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
function row(question, { name, of: subject, peer: peerName, reach: wanted }, of, smoke) {
  const { rounds, label, median, min, max } = of(subject);
  const figures = { name, question: question.name, label, median, min, max, unit: question.unit };
  if (peerName === undefined) {
    return { ...figures, peer: null, ratio: null, ratioMin: null, ratioMax: null, reach: null, met: null };
  }
  const peer = of(peerName);
  const each = summary(rounds.map((time, i) => time / (peer.rounds[i] ?? NaN)));
  const ratio = median / peer.median;
  const reach = wanted ?? null;
  const met = reach === null || smoke ? null : ratio <= reach;
  return { ...figures, peer: peer.label, ratio, ratioMin: each.min, ratioMax: each.max, reach, met };
}
