// Runs the Jest suite on an add-on built with AddressSanitizer and UndefinedBehaviorSanitizer:
//
//   node scripts/jest-asan.mjs [--all] [jest arguments]
//
// Without arguments, leaves the long tests out; `--all` runs them, and so do arguments that name them.
//
// A sanitizer report fails the run, even one of a child process whose exit status no test checks. LeakSanitizer cannot run inside
// Jest, so a separate program (scripts/sanitized/leaks.mjs) checks for leaks at the end.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sumCounts, writeCounts } from './counts.mjs';
import { longTests } from './long-tests.mjs';
import { testsWithoutAddon } from './tests-without-addon.mjs';
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

/** Tests that cannot run under the sanitizers, with the reason. @type {{ file: string, because: string }[]} */
const excluded = [
  {
    file: 'test/process/registration-cache',
    because: 'the sanitizer delays freeing memory, which the test measures',
  },
  {
    file: 'test/process/memory-pressure',
    because: 'the sanitizer delays freeing memory, which the test measures',
  },
  {
    file: 'test/process/resident-memory',
    because: 'the sanitizer delays freeing memory, which the test measures',
  },
  {
    file: 'test/explain/(altered|stored)',
    because:
      'they explain a thousand altered captures, which takes minutes here; the fuzzer of the wire reads worse ones',
  },
  {
    file: 'test/(explain/|process/serve-)resident-memory',
    because: 'the sanitizer takes memory for itself, which the test would measure',
  },
  {
    file: 'test/hostile/stack-end',
    because:
      'it fills the stack 20,000 times, which takes many minutes here; other tests cover the same native calls',
  },
  {
    file: 'test/process/bench',
    because: 'it runs every benchmark, which takes minutes here; other tests cover the same calls',
  },
  {
    file: 'test/process/sandbox',
    because: 'its plugins get no environment variables, so they would load another build of the add-on',
  },
  ...testsWithoutAddon.map((file) => ({ file, because: 'it does not use the add-on' })),
];
const all = process.argv.includes('--all');
const jestArguments = process.argv.slice(2).filter((argument) => argument !== '--all');
// Besides the long tests, those that start many processes to test what JavaScript prints.
const longHere = [
  'hostile/memory-intrinsics',
  'inspect/lifecycle',
  'inspect/server',
  'inspect/terminal',
  'process/cli',
  'process/documents',
  'process/examples',
  'process/serve-',
].map((name) => `test/${name}`);
if (!all && jestArguments.length === 0) {
  for (const file of [...longTests, ...longHere]) {
    excluded.push({ file, because: 'it takes long; .ci/nightly runs it here' });
  }
}

buildSanitizedAddon();
const environment = sanitizedEnvironment({ reports });
proveSanitized(environment);

for (const { file, because } of excluded) console.log(`skipped: ${file} (${because})`);
rmSync(counts, { recursive: true, force: true });
const { status, signal } = spawnSync(
  process.execPath,
  [
    '--expose-gc',
    join(root, 'node_modules', 'jest', 'bin', 'jest.js'),
    ...jestArguments, // must come first: `--testPathIgnorePatterns` consumes all following arguments
    ...excluded.flatMap(({ file }) => ['--testPathIgnorePatterns', file]),
  ],
  // Use a separate folder for the counts, apart from those of a run without sanitizers.
  { cwd: root, stdio: 'inherit', env: { ...process.env, ...environment, RDMAVT_TEST_COUNTS: counts } },
);

const problems = [...sanitizerReports(reports), ...leaks()];
for (const problem of problems) console.error(`\n${problem}`);
// Without counts, Jest failed before running tests, or its arguments asked for something other than tests.
const { passed, failed } = existsSync(counts)
  ? sumCounts(counts)
  : { passed: 0, failed: status === 0 ? 0 : 1 };
writeCounts('jest-asan', { passed, failed: failed + problems.length });
console.log(`Jest with ASan and UBSan: ${passed} passed, ${failed} failed, ${problems.length} reports`);
process.exitCode = status === 0 && signal === null && problems.length === 0 ? 0 : 1;
