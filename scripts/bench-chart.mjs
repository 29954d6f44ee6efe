// Draws the benchmark chart of docs/guide/performance.md: node scripts/bench-chart.mjs [--out FILE.svg] [--smoke] [RESULT.json]
//
//   RESULT.json      output of `rdmavt bench --json`; without this argument, the benchmark batch-sizes runs now
//   --out FILE.svg   output file (default: docs/bench.svg)
//   --smoke          measure briefly; the figures are meaningless
//
// The chart shows nanoseconds per element against the batch size: one panel for packed SGEs, one for SGEs that JavaScript fills.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as echarts from 'echarts';

/** @typedef {import('../bench/bench.mjs').Result} Result */

const WIDTH = 880;
const HEIGHT = 432;

const PANELS = [
  { title: 'SGEs already packed by the caller', subject: 'packed', peer: 'peer-packed', left: 56 },
  { title: 'SGEs filled by JavaScript from numbers', subject: 'filled', peer: 'peer-filled', left: 488 },
];

/**
 * Each pair is [color on light pages, color on dark pages]. The series use the Okabe-Ito palette, which stays distinguishable for
 * people with color blindness.
 */
const colours = {
  paper: ['#ffffff', '#0d1117'],
  text: ['#24292f', '#e6edf3'],
  faint: ['#57606a', '#9198a1'],
  grid: ['#d0d7de', '#30363d'],
  series: [
    ['#0072b2', '#56b4e9'],
    ['#d55e00', '#f0883e'],
    ['#009e73', '#3fb98f'],
  ],
};
const paper = light(colours.paper);
const text = light(colours.text);
const faint = light(colours.faint);
const grid = light(colours.grid);

const root = fileURLToPath(new URL('..', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: 'string' }, smoke: { type: 'boolean', default: false } },
});
const [input] = positionals;
const json = input === undefined ? measure(values.smoke) : readFileSync(input, 'utf8');
writeFileSync(values.out ?? join(root, 'docs', 'bench.svg'), draw(JSON.parse(json)));

/**
 * Runs the benchmark batch-sizes and returns the output of `rdmavt bench --json`. Throws if the command fails.
 * @param {boolean} smoke
 */
function measure(smoke) {
  /** @type {{ bin: { rdmavt: string } }} */
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const args = ['bench', '--json', '--only', 'batch-sizes', ...(smoke ? ['--smoke'] : [])];
  const { status, stdout } = spawnSync(process.execPath, [join(root, bin.rdmavt), ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`rdmavt ${args.join(' ')} failed with status ${status}`);
  return stdout;
}

/**
 * @param {Result} result
 * @returns {string} the SVG
 */
function draw({ node, cpu, rows }) {
  const medians = new Map(rows.map(({ name, median }) => [name, median]));
  const names = [...medians.keys()];
  const regionCounts = numbersOf(names, /^batch-sizes\/packed\/(\d+)-regions\//);
  const sizes = numbersOf(names, /^batch-sizes\/packed\/\d+-regions\/(\d+)$/);
  if (!sizes.length) throw new Error('the result has no rows of the benchmark batch-sizes');

  /**
   * @param {string} kind
   * @param {number} regions
   */
  const values = (kind, regions) =>
    sizes.map((size) => {
      const name = `batch-sizes/${kind}/${regions}-regions/${size}`;
      const value = medians.get(name);
      if (value === undefined) throw new Error(`the result has no row ${name}`);
      return value;
    });
  const series = PANELS.flatMap(({ subject, peer }, panel) =>
    regionCounts.flatMap((regions, index) => {
      const colour = light(colours.series[index % colours.series.length]);
      const name = regions === 1 ? '1 region' : `${regions.toLocaleString('en')} regions`;
      const common = {
        type: 'line',
        xAxisIndex: panel,
        yAxisIndex: panel,
        itemStyle: { color: colour },
        silent: true,
      };
      return [
        { ...common, name, data: values(subject, regions), symbol: 'circle', symbolSize: 6 },
        {
          ...common,
          name: `${name}, flat table in JavaScript`,
          data: values(peer, regions),
          symbol: 'none',
          lineStyle: { type: 'dotted' },
        },
      ];
    }),
  );

  // Both panels share one scale so that they can be compared.
  const all = series.flatMap(({ data }) => data);
  const min = 10 ** Math.floor(Math.log10(Math.min(...all)));
  const max = roundUp(Math.max(...all));

  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT });
  const label = { color: faint, fontSize: 11, fontWeight: /** @type {const} */ ('normal') };
  chart.setOption({
    animation: false,
    backgroundColor: paper,
    title: [
      { ...titleAt(16, 8, 'ns per checked element (log), lower is better'), textStyle: label },
      { ...titleAt(WIDTH - 16, 8, `Node ${node}, ${cpu}`), textAlign: 'right', textStyle: label },
      ...PANELS.map(({ title, left }) => ({
        ...titleAt(left, 32, title),
        textStyle: { color: text, fontSize: 14, fontWeight: 600 },
      })),
    ],
    // The first legend row lists the series of this package, the second row those of the JavaScript table.
    legend: [true, false].map((ours) => ({
      bottom: ours ? 28 : 6,
      itemWidth: 32,
      itemGap: 32, // without a browser, echarts underestimates the width of texts
      itemStyle: { opacity: ours ? 1 : 0 },
      textStyle: { color: text },
      data: namesOf(series.filter(({ symbol }) => (symbol !== 'none') === ours)),
    })),
    grid: PANELS.map(({ left }) => ({ left, top: 64, width: 360, height: 264 })),
    xAxis: PANELS.map((_, panel) => ({
      gridIndex: panel,
      type: 'category',
      data: sizes.map((size) => size.toLocaleString('en')),
      name: 'elements in a batch',
      nameLocation: 'middle',
      nameGap: 28,
      nameTextStyle: label,
      axisLabel: label,
      axisLine: { lineStyle: { color: faint } },
    })),
    yAxis: PANELS.map((_, panel) => ({
      gridIndex: panel,
      type: 'log',
      min,
      max,
      axisLabel: label,
      splitLine: { lineStyle: { color: grid } },
      minorTick: { splitNumber: 9 },
      minorSplitLine: { show: true, lineStyle: { color: grid, opacity: 0.5 } },
    })),
    series: /** @type {import('echarts').SeriesOption[]} */ (series),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${forDarkPages(svg)}\n`;
}

/** @param {{ name: string }[]} series */
function namesOf(series) {
  return [...new Set(series.map(({ name }) => name))];
}

/**
 * @param {number} left
 * @param {number} top
 * @param {string} title
 */
function titleAt(left, top, title) {
  return { left, top, text: title, padding: 0 };
}

/**
 * Returns the smallest number of the sequence 1, 2, 5, 10, 20, ... that is not less than `value`.
 * @param {number} value
 */
function roundUp(value) {
  const decade = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((digit) => digit * decade).find((candidate) => candidate >= value) ?? value;
}

/**
 * Adds a style sheet that replaces the light colors on dark pages. echarts writes colors as attributes, which CSS rules override.
 * @param {string} svg
 */
function forDarkPages(svg) {
  const pairs = [colours.paper, colours.text, colours.faint, colours.grid, ...colours.series];
  const rules = pairs.flatMap(([from, to]) => [
    `[fill="${from}"]{fill:${to}}`,
    `[stroke="${from}"]{stroke:${to}}`,
  ]);
  const style = `<style>@media (prefers-color-scheme: dark){${rules.join('')}}</style>`;
  return svg.replace(/^<svg [^>]*>/, (start) => `${start}\n${style}`);
}

/** @param {string[] | undefined} pair */
function light([colour = ''] = []) {
  return colour;
}

/**
 * Returns the numbers that a pattern captures in the names: without duplicates, in ascending order.
 * @param {string[]} names
 * @param {RegExp} pattern
 */
function numbersOf(names, pattern) {
  const found = names.flatMap((name) => pattern.exec(name)?.[1] ?? []).map(Number);
  return [...new Set(found)].sort((a, b) => a - b);
}
