// The whole Jest suite on the add-on with AddressSanitizer and UndefinedBehaviorSanitizer: node scripts/jest-asan.mjs [jest arguments]
//
// A report in any process fails the run: also in one whose end no test looks at. At last, what a program of every kind of
// object leaves behind is looked at by LeakSanitizer, which can tell only of plain programs: not of Jest.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sumCounts, writeCounts } from './counts.mjs';
import { leaks } from './sanitized/leaks.mjs';
import {
  buildSanitizedAddon,
  proveSanitized,
  sanitizedEnvironment,
  sanitizerReports,
} from './sanitized/addon.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const directory = join(root, 'build', 'asan');
const reports = join(directory, 'reports');
const counts = join(directory, 'counts');

/** Tests that cannot run under the sanitizers, and why. @type {{ file: string, because: string }[]} */
const excluded = [
  {
    file: 'test/process/memory-pressure',
    because: 'the sanitizer keeps freed memory, and the test counts it',
  },
  {
    file: 'test/process/resident-memory',
    because: 'the same',
  },
  {
    file: 'test/hostile/stack-end',
    because:
      'it fills the stack 20,000 times, which takes many minutes here; the native calls in it are those of other tests',
  },
];

buildSanitizedAddon();
const environment = sanitizedEnvironment({ reports });
proveSanitized(environment);

for (const { file, because } of excluded) console.log(`left out: ${file} (${because})`);
rmSync(counts, { recursive: true, force: true });
const { status, signal } = spawnSync(
  process.execPath,
  [
    '--expose-gc',
    join(root, 'node_modules', 'jest', 'bin', 'jest.js'),
    ...process.argv.slice(2), // first: `--testPathIgnorePatterns` takes all that follows it
    ...excluded.flatMap(({ file }) => ['--testPathIgnorePatterns', file]),
  ],
  // The counts of this run are not those of a run without sanitizers.
  { cwd: root, stdio: 'inherit', env: { ...process.env, ...environment, RDMAVT_TEST_COUNTS: counts } },
);

const problems = [...sanitizerReports(reports), ...leaks()];
for (const problem of problems) console.error(`\n${problem}`);
// No counts: Jest did not come so far, or was asked for something else than tests.
const { passed, failed } = existsSync(counts)
  ? sumCounts(counts)
  : { passed: 0, failed: status === 0 ? 0 : 1 };
writeCounts('jest-asan', { passed, failed: failed + problems.length });
console.log(`Jest with ASan and UBSan: ${passed} passed, ${failed} failed, ${problems.length} reports`);
process.exitCode = status === 0 && signal === null && problems.length === 0 ? 0 : 1;
