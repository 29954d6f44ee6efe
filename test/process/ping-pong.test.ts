// examples/ping-pong: both ways of sending a message back and forth complete every round trip, and nothing stays on the device.
// Times are not tested.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const main = join(__dirname, '..', '..', 'examples', 'ping-pong', 'main.mjs');

function run(...args: string[]) {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
}

/** Returns the sums of the counts of the histograms in the output, and the bounds of all buckets in microseconds. */
function histogramsIn(stdout: string) {
  const factors = { us: 1, ms: 1000, s: 1_000_000 };
  const us = (value: string, unit: string) => Number(value) * factors[unit as keyof typeof factors];
  const bucket = /^ {2} *([\d.]+) (us|ms|s) to +([\d.]+) (us|ms|s) +([\d,]+)(?: {2}(#+))?$/gm;
  return stdout.split(/^postMessage/m).map((part) =>
    [...part.matchAll(bucket)].map(
      ([, from = '', fromUnit = '', to = '', toUnit = '', count = '', bar = '']) => ({
        from: us(from, fromUnit),
        to: us(to, toUnit),
        count: Number(count.replaceAll(',', '')),
        bar: bar.length,
      }),
    ),
  );
}

describe('examples/ping-pong', () => {
  it.each([
    ['300', '64'],
    ['1000', '1'],
    ['1', '4096'],
    ['50', '70001'],
  ])('completes %s round trips of %s bytes in both ways', (rounds, size) => {
    const { status, stdout, stderr } = run('--rounds', rounds, '--size', size);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [first] = stdout.split('\n');
    expect(first?.replaceAll(',', '')).toBe(
      `Ping-pong between two workers: ${rounds} round trips of ${size} bytes`,
    );
    const histograms = histogramsIn(stdout);
    expect(histograms.map((buckets) => buckets.reduce((sum, { count }) => sum + count, 0))).toEqual([
      Number(rounds),
      Number(rounds),
    ]);
    for (const buckets of histograms) {
      const most = Math.max(...buckets.map(({ count }) => count));
      for (const [i, { from, to, count, bar }] of buckets.entries()) {
        expect(to / from).toBeGreaterThan(1.2);
        expect(to / from).toBeLessThan(1.8);
        if (i > 0) expect(from).toBe(buckets[i - 1]!.to);
        expect(bar).toBe(Math.ceil((50 * count) / most));
      }
    }
    const percentiles = stdout.match(
      /^ {2}p50 [\d.]+ \w+ {3}p90 [\d.]+ \w+ {3}p99 [\d.]+ \w+ {3}max [\d.]+ \w+$/gm,
    );
    expect(percentiles).toHaveLength(2);
    expect(stdout).toMatch(
      /^The median round trip by SEND and RECV takes [\d.]+ times as long as by postMessage\.$/m,
    );
    expect(stdout).toContain('Every message came back unchanged. The players have released everything.');
  });

  it('explains its arguments with --help', () => {
    const { status, stdout, stderr } = run('--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const option of ['--rounds N', '--size BYTES']) expect(stdout).toContain(`\n  ${option} `);
  });

  it.each([
    [['--rounds', '0'], '--rounds must be a whole number from 1 to 10,000,000'],
    [['--rounds', '-5'], "Option '--rounds' argument is ambiguous"],
    [['--rounds', '1e21'], '--rounds must be a whole number from 1 to 10,000,000'],
    [['--rounds', 'many'], '--rounds must be a whole number from 1 to 10,000,000'],
    [['--rounds', '1.5'], '--rounds must be a whole number from 1 to 10,000,000'],
    [['--size', '1048577'], '--size must be a whole number from 1 to 1,048,576'],
    [['--speed', '1'], "Unknown option '--speed'"],
    [['file'], 'Unexpected argument'],
  ])('ends with status 1 and one line for the arguments %j', (args, text) => {
    const { status, stdout, stderr } = run(...args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^ping-pong: .+\n$/);
    expect(stderr).toContain(text);
  });
});
