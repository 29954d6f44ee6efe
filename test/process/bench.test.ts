// `rdmavt bench`: it runs, the compared implementations agree with what is measured, and the output has its documented format.
// Speed is not tested.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');
const main = join(root, 'dist', 'cli.js');

function bench(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'bench', ...args], {
    encoding: 'utf8',
    env: { ...process.env, FORCE_COLOR: '1' },
    maxBuffer: 2 ** 24,
  });
  return { status, stdout, stderr };
}

interface Row {
  name: string;
  question: string;
  label: string;
  median: number;
  min: number;
  max: number;
  unit: string;
  peer: string | null;
  ratio: number | null;
  ratioMin: number | null;
  ratioMax: number | null;
  reach: number | null;
  limit: number | null;
  met: boolean | null;
  quoted: number | null;
}

interface Result {
  node: string;
  platform: string;
  cpu: string;
  cores: number;
  date: string;
  smoke: boolean;
  rounds: number;
  rows: Row[];
  ratios: Record<string, number>;
}

/** Targets for ratios. Programs rely on the names, so the names must not change. */
const reaches: Record<string, number> = {
  'request-acquire-put': 9,
  'request-acquire-put/local': 9,
  'request-copy/read-4k': 4.5,
  'request-copy/write-4k': 4.5,
  'request-check': 6,
  'request-check/local': 6,
  'request-long-job': 1.3,
  'block-store': 2,
  'block-store/batches-of-16': 0.6,
  'work-request-batches': 12,
  'work-request-batches/prefilled': 12,
  'work-request-batches/write-4k': 1.5,
  'work-request-batches/write-4k-64-mib': 1.5,
  'work-request-batches/read': 1.3,
  'work-request-batches/send': 2,
  'post-poll': 60,
  'post-poll/await-write': 2,
  'many-queue-pairs': 2,
  'work-request-long-job': 1.3,
  'ping-pong': 0.2,
  ...(process.platform === 'linux' ? { 'wire-write/65536': 2, 'wire-write/64': 0.5, 'wire-read': 0.6 } : {}),
  'register-dereg': 50,
  'register-dereg/new-buffer': 2.5,
  'registration-cache': 5,
  'register-long-job': 1.2,
  'fields/sge-length': 3,
  'fields/sge-at': 3,
  'fields/region-lkey': 3,
  'fields/region-length': 3,
  'fields/region-start': 3,
  'fields/region-refs': 3,
  'explain-capture/1k': 20,
  'batch-nothing-filled': 0.5,
  'batch-filled-from-numbers': 1,
  'batch-filled-from-numbers/objects': 0.7,
  'batch-regions-65536': 1.5,
  'acquire-put': 4,
  'acquire-put/one-region': 4,
  'acquire-put/regions-65536': 1.5,
  'acquire-put-two-threads': 1.3,
  'gather-64': 0.4,
  'gather-4096': 1,
  'single-check': 3,
  'page-list': 4,
  'page-list-256': 1.5,
  registration: 1.5,
  'copy-large/64k-in': 1.08,
  'copy-large/64k-out': 1.08,
  'copy-large/256k-in': 1.1,
  'copy-large/256k-out': 1.1,
  'copy-large/1m-in': 1.1,
  'copy-large/1m-out': 1.1,
  'close-cascade': 5,
};

/** Targets for absolute figures. */
const limits: Record<string, [most: number, unit: string]> = {
  'request-long-job/growth': [4, 'MiB'],
  'register-long-job/growth': [4, 'MiB'],
  'work-request-long-job/growth': [4, 'MiB'],
  'explain-capture/64': [1160, 'ns/packet'],
  'explain-capture/64-read': [1160, 'ns/packet'],
  'make-objects/checker': [10_000, 'ns/object'],
  'make-objects/remote-checker': [10_000, 'ns/object'],
  'object-memory/checker': [1024, 'bytes'],
  'first-region-memory': [64, 'KiB'],
};

/** The times of the reference's own C code. */
const quoted: Record<string, number> = {
  'request-acquire-put': 7.2,
  'request-acquire-put/local': 7.2,
  'request-acquire-put/one-region': 4.1,
  'request-acquire-put/regions-65536': 132,
  'acquire-put': 7.2,
  'acquire-put/one-region': 4.1,
  'acquire-put/regions-65536': 132,
  'page-list': 0.68,
  'page-list/map-sg': 2.63,
  'page-list-256': 0.68,
  'register-dereg': 177,
  'register-dereg/1-gib': 393_000,
};

describe('bench --smoke', () => {
  let result: Result;
  beforeAll(() => {
    const { status, stdout, stderr } = bench('--smoke', '--json');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    result = JSON.parse(stdout) as Result;
  }, 300_000);

  it('reports the machine and the time of the run', () => {
    expect(result).toMatchObject({ node: process.version, smoke: true, cpu: expect.any(String) });
    expect(result.cores).toBeGreaterThan(0);
    expect(result.rounds).toBeGreaterThan(0);
    expect(new Date(result.date).toISOString()).toBe(result.date);
  });

  it('has every row with a target under its documented name', () => {
    const judged = result.rows.filter(({ reach }) => reach !== null);
    expect(Object.fromEntries(judged.map(({ name, reach }) => [name, reach]))).toEqual(reaches);
    const limited = result.rows.filter(({ limit }) => limit !== null);
    expect(Object.fromEntries(limited.map(({ name, limit, unit }) => [name, [limit, unit]]))).toEqual(limits);
  });

  it('quotes the times of the reference', () => {
    const beside = result.rows.filter((row) => row.quoted !== null);
    expect(Object.fromEntries(beside.map((row) => [row.name, row.quoted]))).toEqual(quoted);
  });

  it('has unique row names in the documented format', () => {
    const names = result.rows.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z0-9-]+(\/[a-z0-9-]+)*$/);
  });

  it('has numbers in every row and compares none of them with targets', () => {
    for (const row of result.rows) {
      // Memory figures are differences, and with few objects they may be 0 or negative.
      if (/^(bytes|KiB|MiB)$/.test(row.unit)) expect(Number.isFinite(row.min)).toBe(true);
      else {
        expect(row.min).toBeGreaterThan(0);
        expect(row.unit).toMatch(/^(ns\/\w+|ms(\/\w+)?)$/);
      }
      expect(row.median).toBeGreaterThanOrEqual(row.min);
      expect(row.max).toBeGreaterThanOrEqual(row.median);
      expect(row.met).toBeNull();
      if (row.peer === null) {
        expect(row).toMatchObject({ ratio: null, ratioMin: null, ratioMax: null, reach: null });
      } else {
        expect(row.ratio).toBeGreaterThan(0);
        expect(row.ratioMax).toBeGreaterThanOrEqual(row.ratioMin!);
      }
    }
  });

  it('has the ratio of every row that is compared with a peer', () => {
    const compared = result.rows.filter(({ peer }) => peer !== null);
    expect(result.ratios).toEqual(Object.fromEntries(compared.map(({ name, ratio }) => [name, ratio])));
  });

  it('runs the benchmark in every file of bench/', () => {
    const files = readdirSync(join(root, 'bench')).filter(
      (name) => name.endsWith('.mjs') && name !== 'bench.mjs',
    );
    const asked = new Set(result.rows.map(({ question }) => `${question}.mjs`));
    expect([...asked].sort()).toEqual(files.sort());
  });

  describe('scripts/bench-chart.mjs', () => {
    let folder: string;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'rdmavt-bench-'));
    });
    afterAll(() => {
      rmSync(folder, { recursive: true });
    });

    function draw(from?: Result) {
      const input = join(folder, 'result.json');
      const output = join(folder, 'chart.svg');
      rmSync(output, { force: true });
      if (from) writeFileSync(input, JSON.stringify(from));
      const script = join(root, 'scripts', 'bench-chart.mjs');
      const args = [script, '--out', output, from ? input : '--smoke'];
      const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      return { status, stderr, svg: existsSync(output) ? readFileSync(output, 'utf8') : undefined };
    }

    it('draws the results of batch-sizes: one line for each number of regions, method and peer', () => {
      const { status, stderr, svg = '' } = draw(result);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(svg).toMatch(/^<svg [^>]*>\n[\s\S]*<\/svg>\n$/);
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
      // A line has seven sizes and one of three colors; dots mark a peer.
      const lines = svg.match(/<path d="M[\d. ]+(L[\d. ]+){6}" fill="none"[^>]*>/g) ?? [];
      for (const colour of ['#0072b2', '#d55e00', '#009e73']) {
        const coloured = lines.filter((line) => line.includes(`stroke="${colour}"`));
        expect(coloured.map((line) => line.includes('stroke-dasharray')).sort()).toEqual([
          false,
          false,
          true,
          true,
        ]);
      }
      for (const text of ['1,024 regions', '65,536 regions, flat table in JavaScript', '4,096']) {
        expect(svg).toContain(`>${text}<`);
      }
      expect(svg).toContain(`Node ${result.node}, ${result.cpu}<`);
    });

    it('draws larger numbers higher', () => {
      const slow = 'batch-sizes/packed/1-regions/1';
      const rows = result.rows.map((row) => ({ ...row, median: row.name === slow ? 500 : 5 }));
      const { svg = '' } = draw({ ...result, rows });
      const heights = [...svg.matchAll(/<path d="(M[\d. ]+(?:L[\d. ]+){6})" fill="none"/g)].map(([, path]) =>
        [...path!.matchAll(/[\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y)),
      );
      expect(heights).toHaveLength(12);
      const uneven = heights.filter((line) => new Set(line).size > 1);
      expect(uneven).toHaveLength(1);
      // SVG coordinates grow downward.
      expect(uneven[0]![0]).toBeLessThan(uneven[0]![1]!);
    });

    it('measures by itself when no result is given', () => {
      const { status, stderr, svg = '' } = draw();
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(svg).toContain(`Node ${result.node}, ${result.cpu}<`);
    });

    it('follows the color scheme of the reader', () => {
      expect(draw(result).svg).toContain('prefers-color-scheme: dark');
    });

    it.each([
      ['a number is missing', (row: Row) => row.name !== 'batch-sizes/peer-packed/1-regions/16'],
      ['the benchmark did not run', (row: Row) => row.question !== 'batch-sizes'],
    ])('rejects a result in which %s', (_, has) => {
      const { status, stderr, svg } = draw({ ...result, rows: result.rows.filter(has) });
      expect({ status, svg }).toEqual({ status: 1, svg: undefined });
      expect(stderr).toContain('batch-sizes');
    });
  });
});

describe('bench', () => {
  it('prints a table without colors into a pipe', () => {
    const { status, stdout, stderr } = bench('--smoke', '--only', 'registration');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('1 GiB');
    expect(stdout).not.toContain('gather');
    expect(stdout).not.toContain('\u001b');
    expect(stdout).not.toMatch(/\b(yes|NO)\b/);
  });

  it('prints a Markdown table for the guide', () => {
    const { status, stdout } = bench('--smoke', '--markdown', '--only', 'registration');
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^\| path \| median \| compared with \| target \| .*\n\|(---\|)+\n(\|.*\|\n)+\nNode v/,
    );
  });

  it('marks quoted times in its tables', () => {
    const { stdout: table } = bench('--smoke', '--only', 'page-list-256');
    expect(table).toMatch(/ref\. C\* +ratio +target +compared with$/m);
    expect(table).toMatch(/fmr\.mapPhys.* 0\.68 +[\d.]+x +<= 1\.5x +reference C \(quoted\)$/m);
    expect(table).toContain('was not measured in this run');
    const { stdout: markdown } = bench('--smoke', '--markdown', '--only', 'page-list-256');
    expect(markdown).toMatch(/^\| .*mapPhys.* \| <= 1\.5x \| 0\.68 ns\/page \|$/m);
    expect(markdown).toContain('was not measured in this run');
  });

  it('prints units other than times', () => {
    const { stdout } = bench('--smoke', '--only', 'first-region-memory');
    expect(stdout).toMatch(/ KiB +<= 64 KiB$/m);
  });

  it('lists the benchmarks in its help', () => {
    const { status, stdout } = bench('--help');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ {2}gather-64$/m);
  });

  it.each<[args: string[], message: RegExp]>([
    [['--only', 'nothing'], /unknown benchmark 'nothing'/],
    [['--only', 'gather-46'], /unknown benchmark 'gather-46', did you mean 'gather-64'\?/],
    [['--json', '--markdown'], /--json and --markdown cannot be used together/],
    [['--svg', 'chart.svg'], /'--svg'/],
    [['now'], /unexpected argument 'now'/],
  ])('%j is reported in one line, with status 2', (args, message) => {
    const { status, stdout, stderr } = bench(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^rdmavt: [^\n]* \(see rdmavt bench --help\)\n$/);
  });
});
