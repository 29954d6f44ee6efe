// The central guarantee: no program that uses the public API can crash the process or make it touch memory outside the registered
// bytes. The programs come from the API fuzzer (fuzz/api): random calls with random arguments, each program in a process of its
// own. `npm run fuzz:api` tries more programs for a longer time.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The statistics that fuzz/api/ledger.mjs writes. */
interface Account {
  members: Record<string, [succeeded: number, threw: number]>;
  exceptions: Record<string, number>;
  findings: string[];
}

const root = join(__dirname, '..', '..');
const directory = mkdtempSync(join(tmpdir(), 'rdmavt-programs-'));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

const CALLS = 4000;
/** In ms. A program needs about 2 s of processor time. */
const LIMIT = 240_000;

function run(seed: number): Account {
  const result = join(directory, `${seed}.json`);
  const program = join('fuzz', 'api', 'program.mjs');
  const flags = ['--seed', `${seed}`, '--calls', `${CALLS}`, '--result', result];
  const { status, signal, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', '--no-warnings', program, ...flags],
    { cwd: root, encoding: 'utf8', timeout: LIMIT, killSignal: 'SIGKILL' },
  );
  // Status 3 means that the program found an error and recorded it.
  if (status !== 3)
    expect({ seed, status, signal, stderr }).toEqual({ seed, status: 0, signal: null, stderr: '' });
  return JSON.parse(readFileSync(result, 'utf8')) as Account;
}

const happened = new Set<string>();

// Four fixed programs, and one that is new in each run.
test.each([1, 2, 3, 5, Math.floor(Math.random() * 2 ** 31)])(
  'a program of random calls finishes without a finding: seed %i',
  (seed) => {
    const { members, exceptions, findings } = run(seed);
    expect(findings).toEqual([]);
    for (const [name, [succeeded]] of Object.entries(members)) if (succeeded) happened.add(name);
    for (const name of Object.keys(exceptions)) happened.add(name);
  },
  LIMIT + 60_000,
);

test('the programs use all ways to move bytes, and meet every kind of refusal', () => {
  const uses = [
    'Sge.copyTo',
    'Sge.copyFrom',
    'Sge.fetchAdd',
    'Sge.compareSwap',
    'SgeState.copyIn',
    'SgeState.copyOut',
  ];
  const batches = ['CheckBatch.copyTo', 'CheckBatch.gather', 'CheckBatch.scatter'];
  const refusals = ['EBADF', 'EBUSY', 'EINVAL', 'EACCES', 'EPERM'].map((code) => `RdmaError ${code}`);
  expect([...uses, ...batches, ...refusals].filter((thing) => !happened.has(thing))).toEqual([]);
});
