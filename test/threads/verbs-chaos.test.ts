// Threads that post, poll, wait, deregister, invalidate, destroy, detach, end and are terminated, while the device is closed and
// opened again. support/chaos/verbs-chaos.cjs describes what is checked.
//
// For longer runs: RDMAVT_CHAOS_SECONDS=600 npm run test:jest -- threads/verbs-chaos. It prints the counts of each run.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const program = join(__dirname, '..', 'support', 'chaos', 'verbs-chaos.cjs');
const requested = Number(process.env.RDMAVT_CHAOS_SECONDS ?? 0);
/** Seconds of one run. */
const SECONDS = 5;
const RUNS = requested ? Math.ceil(requested / SECONDS) : 3;
const firstSeed = Number(process.env.RDMAVT_CHAOS_SEED ?? 1);

interface Counts {
  posted: number;
  violations: number;
  completions: Record<string, number>;
  [counter: string]: unknown;
}

test.each(Array.from({ length: RUNS }, (_, i) => firstSeed + i))(
  'no completion is lost or doubled, no memory is touched after it was taken back, and nothing is left: seed %i',
  (seed) => {
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      [program, String(seed), String(SECONDS)],
      {
        encoding: 'utf8',
        timeout: 120_000,
        killSignal: 'SIGKILL',
      },
    );
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    const counts = JSON.parse(stdout) as Counts;
    if (requested) process.stdout.write(stdout);
    expect(counts.violations).toBe(0);
    // A run in which nothing happened tests nothing.
    const reached = [
      'posted',
      'packed',
      'fromRings',
      'settled',
      'iterated',
      'deregs',
      'quiets',
      'events',
      'terminations',
    ];
    expect(reached.filter((name) => !(Number(counts[name]) > 0))).toEqual([]);
    const statuses = ['SUCCESS', 'WR_FLUSH_ERR', 'RETRY_EXC_ERR'];
    expect(statuses.filter((name) => !counts.completions[name])).toEqual([]);
  },
);
