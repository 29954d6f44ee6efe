/** The rates as lines, of the last two minutes. uPlot draws them: it is made for lines that grow while one looks. */
import uPlot from 'uplot';
import { type CountersView } from '../protocol';
import { countWords, sizeWords } from '../view-words';
import { byId, setText } from './elements';
import { type Palette } from './theme';

const SAMPLE_MS = 500;
const SAMPLES = 240;
const HEIGHT = 170;

interface Sample {
  readonly at: number;
  readonly values: readonly number[];
}

interface Line {
  readonly label: string;
  readonly color: number;
  /** Lengths of strokes and gaps: lines can be told apart without colors. */
  readonly dash: number[];
}

interface Chart {
  readonly box: string;
  readonly lines: readonly Line[];
  readonly words: (rate: number) => string;
  plot: uPlot | undefined;
}

const perSecond = (rate: number): string => countWords(rate);

export class Rates {
  readonly #counters: () => CountersView;
  readonly #charts: Chart[] = [
    {
      box: 'rates-events',
      lines: [
        { label: 'accepted', color: 0, dash: [] },
        { label: 'refused', color: 1, dash: [6, 3] },
        { label: 'completions', color: 2, dash: [2, 2] },
      ],
      words: perSecond,
      plot: undefined,
    },
    {
      box: 'rates-bytes',
      lines: [{ label: 'bytes copied', color: 3, dash: [] }],
      words: (rate) => sizeWords(rate),
      plot: undefined,
    },
  ];
  #before: Sample | undefined;
  /** For each sample its time in seconds, then the rate of each line. */
  #samples: number[][] = [];

  /** @param counters - returns the present counters */
  constructor(counters: () => CountersView) {
    this.#counters = counters;
    setInterval(() => this.#sample(), SAMPLE_MS);
    new ResizeObserver(() => {
      for (const { box, plot } of this.#charts)
        plot?.setSize({ width: byId(box).clientWidth, height: HEIGHT });
    }).observe(byId('rates'));
  }

  /** Starts anew, because other counters follow. */
  reset(): void {
    this.#before = undefined;
  }

  themeChanged(palette: Palette): void {
    for (const chart of this.#charts) {
      chart.plot?.destroy();
      chart.plot = new uPlot(optionsOf(chart, palette), this.#dataOf(chart), byId(chart.box));
    }
  }

  #sample(): void {
    const { accepted, refused, bytesCopied, completions } = this.#counters();
    const done = Object.values(completions ?? {}).reduce((sum, count) => sum + count, 0);
    const now: Sample = { at: performance.now(), values: [accepted, refused, done, bytesCopied] };
    const before = this.#before;
    this.#before = now;
    if (before === undefined) return;
    const seconds = (now.at - before.at) / 1000;
    const rates = now.values.map((value, i) => Math.max(0, value - (before.values[i] ?? 0)) / seconds);
    this.#samples.push([Date.now() / 1000, ...rates]);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    for (const chart of this.#charts) {
      if (!document.hidden) chart.plot?.setData(this.#dataOf(chart));
      this.#tell(chart, rates);
    }
  }

  /** Puts the present rates into words, below the lines. */
  #tell({ box, lines, words }: Chart, rates: readonly number[]): void {
    const text = lines.map(({ label, color }) => `${label} ${words(rates[color] ?? 0)}/s`).join(', ');
    setText(byId(`${box}-now`), text);
  }

  #dataOf({ lines }: Chart): uPlot.AlignedData {
    const column = (i: number): number[] => this.#samples.map((sample) => sample[i] ?? 0);
    return [column(0), ...lines.map(({ color }) => column(color + 1))];
  }
}

/** Formats seconds since 1970 as a time of the day. */
function clockWords(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString(undefined, { hour12: false });
}

function optionsOf({ box, lines, words }: Chart, palette: Palette): uPlot.Options {
  const axis = {
    stroke: palette.muted,
    grid: { stroke: palette.line, width: 1 },
    ticks: { stroke: palette.line, width: 1 },
    font: '11px system-ui, sans-serif',
  };
  return {
    width: Math.max(byId(box).clientWidth, 200),
    height: HEIGHT,
    legend: { live: false },
    cursor: { show: false },
    scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, space: 80, values: (_plot, splits) => splits.map(clockWords) },
      { ...axis, size: 70, values: (_plot, splits) => splits.map((split) => words(split)) },
    ],
    series: [
      {},
      ...lines.map(({ label, color, dash }) => ({
        label,
        stroke: palette.series[color] ?? palette.text,
        width: 2,
        dash,
        points: { show: false },
      })),
    ],
  };
}
