// The answers as tables: for a terminal, and for the README.

/** @typedef {import('./question.mjs').Question} Question */
/** @typedef {import('./question.mjs').Row} Row */
/** @typedef {import('../bench.mjs').Result} Result */

const LABEL = 44;
const FIGURE = 9;

/** Written as the answers come: a run takes its time. */
export class Table {
  #out;
  #colour;

  /** @param {NodeJS.WriteStream} out */
  constructor(out) {
    this.#out = out;
    // Pipes and dumb terminals get none, nor does who sets NO_COLOR.
    this.#colour = out.isTTY === true && out.hasColors() && !process.env['NO_COLOR'];
  }

  /**
   * @param {Pick<Result, 'node' | 'platform' | 'cpu' | 'cores'>} machine
   * @param {boolean} smoke
   */
  head({ node, platform, cpu, cores }, smoke) {
    this.#line(`Node ${node}, ${platform}, ${cpu}, ${cores} cores`);
    if (smoke) this.#line('A trial run: the figures mean nothing.');
  }

  /**
   * @param {Question} question
   * @param {readonly Row[]} rows
   */
  answer({ name, title, unit, compact = false }, rows) {
    this.#line(`\n${this.#paint(1, title)}  ${this.#paint(2, name)}`);
    const head = ['median', 'min', 'max'].map((text) => text.padStart(FIGURE)).join('');
    this.#line(this.#paint(4, `  ${unit.padEnd(LABEL)}${head}  ${'ratio'.padStart(7)}  to reach  against`));
    for (const row of rows) {
      if (!compact || row.ratio !== null) this.#line(this.#row(row));
    }
  }

  /**
   * @param {readonly Row[]} rows
   * @param {boolean} smoke
   */
  end(rows, smoke) {
    const judged = rows.filter(({ reach }) => reach !== null);
    if (smoke || judged.length === 0) return;
    const met = judged.filter((row) => row.met).length;
    this.#line(
      `\n${met} of ${judged.length} ratios are reached. A ratio is the median by its peer's median.`,
    );
  }

  /** @param {Row} row */
  #row({ label, median, min, max, ratio, reach, met, peer }) {
    const figures = [median, min, max].map((value) => figure(value).padStart(FIGURE)).join('');
    const line = `  ${label.padEnd(LABEL)}${figures}`;
    if (ratio === null) return this.#paint(2, line);
    const wanted = reach === null ? ''.padEnd(8) : `<= ${reach}`.padEnd(8);
    const told = met === null ? '' : met ? this.#paint(32, '  yes') : this.#paint(31, '  NO');
    return `${line}  ${`${ratio.toFixed(2)}x`.padStart(7)}  ${wanted}  ${peer ?? ''}${told}`;
  }

  /**
   * @param {number} code
   * @param {string} text
   */
  #paint(code, text) {
    return this.#colour ? `\u001b[${code}m${text}\u001b[0m` : text;
  }

  /** @param {string} text */
  #line(text) {
    this.#out.write(`${text.trimEnd()}\n`);
  }
}

/**
 * Three digits that count.
 *
 * @param {number} value
 */
function figure(value) {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

/**
 * The table of the README: the rows that have something to reach.
 *
 * @param {Result} result
 * @param {readonly Question[]} questions
 */
export function markdown({ node, platform, cpu, cores, rounds, rows }, questions) {
  const titles = new Map(questions.map(({ name, title }) => [name, title]));
  const lines = rows.flatMap(({ question, label, median, unit, peer, ratio, reach, met }) => {
    if (ratio === null || reach === null) return [];
    const time = `${figure(median)} ${unit}`;
    const wanted = `${met === false ? '**not reached:** ' : ''}at most ${reach}x`;
    return `| ${titles.get(question) ?? question}: ${label} | ${time} | ${ratio.toFixed(2)}x of ${peer ?? ''} | ${wanted} |`;
  });
  return [
    '| path | median | against | to reach |',
    '|---|---|---|---|',
    ...lines,
    '',
    `Node ${node}, ${platform}, ${cpu}, ${cores} cores; medians of ${rounds} rounds, peers in the same process round by round.`,
    '',
  ].join('\n');
}
