// Formats the results as tables: for a terminal, and in Markdown for the documentation.

import { REFERENCE } from './question.mjs';

/** @typedef {import('./question.mjs').Question} Question */
/** @typedef {import('./question.mjs').Row} Row */
/** @typedef {import('../bench.mjs').Result} Result */

/** Column widths in characters. The column of the labels may be wider. */
const LABEL = 44;
const FIGURE = 9;
const UNIT = 11;
const RATIO = 8;
const TARGET = 13;
const QUOTED = 9;

const QUOTED_NOTE =
  `${REFERENCE}: the reference's own C code, compiled for user space. It was measured once, at another time, and was not ` +
  'measured in this run. Its checks use a reference count per processor. With a single locked count, a check and its put ' +
  'take 14, 15 and 114 ns over 1, 1,024 and 65,536 regions instead of 4.1, 7.2 and 132 ns.';

/** Prints a table for a terminal. Rows are printed as soon as a benchmark has ended, because a whole run takes a while. */
export class Table {
  #out;
  #colour;

  /** @param {NodeJS.WriteStream} out */
  constructor(out) {
    this.#out = out;
    // No colors for pipes and dumb terminals, or if NO_COLOR is set.
    this.#colour = out.isTTY === true && out.hasColors() && !process.env['NO_COLOR'];
  }

  /**
   * Prints the head of the output.
   * @param {Pick<Result, 'node' | 'platform' | 'cpu' | 'cores'>} machine
   * @param {boolean} smoke
   */
  head({ node, platform, cpu, cores }, smoke) {
    this.#line(`Node ${node}, ${platform}, ${cpu}, ${cores} cores`);
    if (smoke) this.#line('Smoke run: the figures are not meaningful.');
  }

  /**
   * Prints the rows of one benchmark.
   * @param {Question} question
   * @param {readonly Row[]} rows
   */
  answer({ name, title, compact = false }, rows) {
    this.#line(`\n${this.#paint(1, title)}  ${this.#paint(2, name)}`);
    const figures = ['median', 'min', 'max'].map((text) => text.padStart(FIGURE)).join('');
    const ratio = 'ratio'.padStart(RATIO);
    const reference = 'ref. C*'.padStart(QUOTED);
    const shown = rows.filter((row) => !compact || row.ratio !== null);
    const width = Math.max(LABEL, ...shown.map(({ label }) => label.length));
    const head = `  ${' '.repeat(width)}${figures} ${' '.repeat(UNIT)}${reference}${ratio}  ${'target'.padEnd(TARGET)}`;
    this.#line(this.#paint(4, `${head}compared with`));
    for (const row of shown) this.#line(this.#row(row, width));
  }

  /**
   * Prints the notes at the end.
   * @param {readonly Row[]} rows
   * @param {boolean} smoke
   */
  end(rows, smoke) {
    this.#line('');
    if (rows.some(({ quoted }) => quoted !== null)) this.#line(`* ${QUOTED_NOTE}`);
    const judged = rows.filter((row) => target(row) !== '');
    if (smoke || judged.length === 0) return;
    const met = judged.filter((row) => row.met).length;
    this.#line(
      `${met} of ${judged.length} targets met. A ratio is the median divided by the median of what it is compared with.`,
    );
  }

  /**
   * Formats one row.
   * @param {Row} row
   * @param {number} width of the labels
   */
  #row(row, width) {
    const { label, median, min, max, unit, ratio, met, peer, quoted } = row;
    const figures = [median, min, max].map((value) => figure(value).padStart(FIGURE)).join('');
    const reference = (quoted === null ? '' : figure(quoted)).padStart(QUOTED);
    const line = `  ${label.padEnd(width)}${figures} ${unit.padEnd(UNIT)}${reference}`;
    const wanted = target(row);
    if (ratio === null && wanted === '') return this.#paint(2, line);
    const told = met === null ? '' : met ? this.#paint(32, '  yes') : this.#paint(31, '  NO');
    const times = (ratio === null ? '' : `${ratio.toFixed(2)}x`).padStart(RATIO);
    return `${line}${times}  ${wanted.padEnd(TARGET)}${peer ?? ''}${told}`;
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
 * Formats a value with three significant digits.
 *
 * @param {number} value
 */
function figure(value) {
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en');
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/**
 * Formats the target: a ratio, a figure, or an empty string if there is none.
 *
 * @param {Row} row
 */
function target({ reach, limit, unit }) {
  if (reach !== null) return `<= ${reach}x`;
  return limit === null ? '' : `<= ${limit.toLocaleString('en')} ${unit}`;
}

/**
 * Returns the Markdown table of the documentation: all rows that have a target or a quoted figure of the reference.
 *
 * @param {Result} result
 * @param {readonly Question[]} questions
 */
export function markdown({ node, platform, cpu, cores, rows }, questions) {
  const titles = new Map(questions.map(({ name, title }) => [name, title]));
  const lines = rows
    .filter((row) => target(row) !== '' || row.quoted !== null)
    .map((row) => {
      const { question, label, median, unit, peer, ratio, met, quoted } = row;
      const cells = [
        `${titles.get(question) ?? question}: ${label}`,
        `${figure(median)} ${unit}`,
        ratio === null ? '' : `${ratio.toFixed(2)}x of ${peer ?? ''}`,
        `${met === false ? '**not met:** ' : ''}${target(row)}`,
        quoted === null ? '' : `${figure(quoted)} ${unit}`,
      ];
      return `| ${cells.join(' | ')} |`;
    });
  return [
    `| path | median | compared with | target | ${REFERENCE} |`,
    '|---|---|---|---|---|',
    ...lines,
    '',
    `Node ${node}, ${platform}, ${cpu}, ${cores} cores; medians over several rounds (at least 7 for times), alternating with the peers.`,
    ...(rows.some(({ quoted }) => quoted !== null) ? [QUOTED_NOTE] : []),
    '',
  ].join('\n');
}
