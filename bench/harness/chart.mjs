// The chart: nanoseconds an element against the size of the batch, one panel for packed SGEs, one for SGEs that JavaScript fills.
//
// SVG by hand: two panels of polylines need no library. Colours are in classes that follow the reader's scheme, so that it can be
// read on light and on dark.
import { REGIONS, SIZES } from '../batch-sizes.mjs';

/** @typedef {import('../bench.mjs').Result} Result */

const WIDTH = 880;
const HEIGHT = 424;
const PANEL = { width: 350, height: 270, top: 62, lefts: [64, 488] };

/** Same hues in both schemes, as different as eyes need that tell few colours apart (Okabe and Ito). */
const STYLE = `
  .paper { fill: #ffffff }
  text { fill: #24292f; font: 12px system-ui, sans-serif }
  .title { font-size: 14px; font-weight: 600 }
  .small { font-size: 11px; fill: #57606a }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .axis { stroke: #57606a; stroke-width: 1 }
  .line { fill: none; stroke-width: 2 }
  .peer { stroke-dasharray: 2 4; stroke-linecap: round }
  .any { stroke: #57606a }
  .r0 { stroke: #0072b2 } .r1 { stroke: #d55e00 } .r2 { stroke: #009e73 }
  circle.r0 { fill: #0072b2 } circle.r1 { fill: #d55e00 } circle.r2 { fill: #009e73 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 }
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .grid { stroke: #30363d }
    .axis, .any { stroke: #9198a1 }
    .r0 { stroke: #56b4e9 } .r1 { stroke: #f0883e } .r2 { stroke: #3fb98f }
    circle.r0 { fill: #56b4e9 } circle.r1 { fill: #f0883e } circle.r2 { fill: #3fb98f }
  }`;

const PANELS = [
  { title: 'Packed SGEs, nothing filled', subject: 'packed', peer: 'peer-packed' },
  { title: 'Filled by JavaScript from numbers', subject: 'filled', peer: 'peer-filled' },
];

/**
 * @param {Result} result with the rows of batch-sizes
 * @returns {string}
 */
export function chart({ node, cpu, rows }) {
  const medians = new Map(rows.map(({ name, median }) => [name, median]));
  /**
   * @param {string} kind
   * @param {number} regions
   */
  const series = (kind, regions) =>
    SIZES.map((size) => medians.get(`batch-sizes/${kind}/${regions}-regions/${size}`) ?? NaN);
  const values = PANELS.flatMap(({ subject, peer }) =>
    REGIONS.flatMap((regions) => [...series(subject, regions), ...series(peer, regions)]),
  );
  const scale = new LogScale(Math.min(...values), Math.max(...values));
  const panels = PANELS.map(({ title, subject, peer }, i) => {
    const left = PANEL.lefts[i] ?? 0;
    const lines = REGIONS.flatMap((regions, r) => [
      polyline(series(peer, regions), left, scale, `line peer r${r}`),
      polyline(series(subject, regions), left, scale, `line r${r}`),
      ...series(subject, regions).map(
        (value, k) => `<circle class="r${r}" cx="${x(left, k)}" cy="${scale.y(value)}" r="3"/>`,
      ),
    ]);
    return [text(left, PANEL.top - 14, title, 'title'), axes(left, scale), ...lines].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="Nanoseconds a checked element against the size of the batch">
<style>${STYLE}
</style>
<rect class="paper" width="${WIDTH}" height="${HEIGHT}" rx="6"/>
${text(16, 24, 'ns per checked element (log), lower is better', 'small')}
${panels.join('\n')}
${legend()}
${text(WIDTH - 16, 24, `Node ${node}, ${cpu}`, 'small', 'end')}
</svg>
`;
}

class LogScale {
  #low;
  #high;

  /**
   * @param {number} min
   * @param {number} max
   */
  constructor(min, max) {
    this.#low = Math.floor(Math.log10(min) * 3) / 3;
    this.#high = Math.ceil(Math.log10(max) * 3) / 3;
  }

  /** @param {number} value */
  y(value) {
    const part = (Math.log10(value) - this.#low) / (this.#high - this.#low);
    return round(PANEL.top + PANEL.height * (1 - part));
  }

  /** 1, 2, 5, 10, ... as far as they are in it. */
  ticks() {
    const ticks = [];
    for (let decade = Math.floor(this.#low); decade <= this.#high; decade++) {
      for (const digit of [1, 2, 5]) ticks.push(Number((digit * 10 ** decade).toPrecision(1)));
    }
    return ticks.filter((tick) => Math.log10(tick) >= this.#low && Math.log10(tick) <= this.#high);
  }
}

/**
 * @param {number} left
 * @param {LogScale} scale
 */
function axes(left, scale) {
  const right = left + PANEL.width;
  const bottom = PANEL.top + PANEL.height;
  return [
    ...scale
      .ticks()
      .flatMap((tick) => [
        `<line class="grid" x1="${left}" y1="${scale.y(tick)}" x2="${right}" y2="${scale.y(tick)}"/>`,
        text(left - 8, scale.y(tick) + 4, String(tick), 'small', 'end'),
      ]),
    `<line class="axis" x1="${left}" y1="${bottom}" x2="${right}" y2="${bottom}"/>`,
    ...SIZES.map((size, k) => text(x(left, k), bottom + 20, size.toLocaleString('en'), 'small', 'middle')),
    text(left + PANEL.width / 2, bottom + 40, 'elements in a batch', 'small', 'middle'),
  ].join('\n');
}

function legend() {
  const y = HEIGHT - 16;
  /** @type {[left: number, classes: string, name: string][]} */
  const keys = [
    ...REGIONS.map(
      (regions, r) =>
        /** @type {[number, string, string]} */ ([
          64 + 130 * r,
          `r${r}`,
          regions === 1 ? '1 region' : `${regions.toLocaleString('en')} regions`,
        ]),
    ),
    [488, 'any', 'this package'],
    [620, 'any peer', 'flat table in plain JavaScript'],
  ];
  return keys
    .map(
      ([left, classes, name]) =>
        `<line class="line ${classes}" x1="${left}" y1="${y - 4}" x2="${left + 24}" y2="${y - 4}"/>` +
        text(left + 30, y, name),
    )
    .join('\n');
}

/**
 * @param {number[]} values
 * @param {number} left
 * @param {LogScale} scale
 * @param {string} classes
 */
function polyline(values, left, scale, classes) {
  const points = values.map((value, k) => `${x(left, k)},${scale.y(value)}`).join(' ');
  return `<polyline class="${classes}" points="${points}"/>`;
}

/**
 * @param {number} left
 * @param {number} k position in {@link SIZES}: they are powers of 4, so the axis is logarithmic
 */
function x(left, k) {
  return round(left + 12 + ((PANEL.width - 24) * k) / (SIZES.length - 1));
}

/**
 * @param {number} left
 * @param {number} bottom
 * @param {string} content
 * @param {string} [classes]
 * @param {'start' | 'middle' | 'end'} [anchor]
 */
function text(left, bottom, content, classes = '', anchor = 'start') {
  const escaped = content.replace(/&/g, '&amp;').replace(/</g, '&lt;');
  return `<text class="${classes}" x="${left}" y="${bottom}" text-anchor="${anchor}">${escaped}</text>`;
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
