// Draws the chart of the README from what `rdmavt bench --json` has printed:
//
//   node scripts/bench-chart.mjs RESULT.json [FILE.svg]   (default: docs/bench.svg)
//
// It shows nanoseconds an element against the size of the batch: one panel for packed SGEs, one for SGEs that JavaScript fills.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as echarts from 'echarts';

/** @typedef {import('../bench/bench.mjs').Result} Result */

const WIDTH = 880;
const HEIGHT = 432;

const PANELS = [
  { title: 'Packed SGEs, nothing filled', subject: 'packed', peer: 'peer-packed', left: 56 },
  { title: 'Filled by JavaScript from numbers', subject: 'filled', peer: 'peer-filled', left: 488 },
];

/** For light pages, and for dark ones. The hues are those of Okabe and Ito, which differ for colour-blind eyes too. */
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

const [input, output = fileURLToPath(new URL('../docs/bench.svg', import.meta.url))] = process.argv.slice(2);
if (input === undefined) {
  console.error('Usage: node scripts/bench-chart.mjs RESULT.json [FILE.svg]');
  process.exitCode = 2;
} else {
  writeFileSync(output, draw(JSON.parse(readFileSync(input, 'utf8'))));
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
  if (!sizes.length) throw new Error(`${input} has no answer to the question batch-sizes`);

  /**
   * @param {string} kind
   * @param {number} regions
   */
  const values = (kind, regions) =>
    sizes.map((size) => {
      const name = `batch-sizes/${kind}/${regions}-regions/${size}`;
      const value = medians.get(name);
      if (value === undefined) throw new Error(`${input} has no ${name}`);
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

  // Both panels have one scale, so that they can be compared.
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
    // Those of this package in one row, those of its peer in the next.
    legend: [true, false].map((ours) => ({
      bottom: ours ? 28 : 6,
      itemWidth: 32,
      itemGap: 32, // without a browser, widths of texts are estimated, and too small
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
 * The next of 1, 2, 5, 10, 20, ... that is not less.
 * @param {number} value
 */
function roundUp(value) {
  const decade = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((digit) => digit * decade).find((candidate) => candidate >= value) ?? value;
}

/**
 * The library writes colours as attributes, which rules of style take precedence over.
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
 * The numbers that a pattern finds in names, each once, in their order of size.
 * @param {string[]} names
 * @param {RegExp} pattern
 */
function numbersOf(names, pattern) {
  const found = names.flatMap((name) => pattern.exec(name)?.[1] ?? []).map(Number);
  return [...new Set(found)].sort((a, b) => a - b);
}
