// Runs the tests of rdma-core (pyverbs) on the libibverbs shim: node scripts/pyverbs.mjs [plain|asan] [--write] [--seed N]
//
// The tests are those of Debian's package rdma-core, unchanged, under Debian's Python. test/ibverbs/pyverbs-passes.txt lists the
// names of those that pass: they must pass again, and no test may fail. The list only grows. --write adds tests that pass now.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { buildIbverbs } from './build-ibverbs.mjs';
import { writeCounts } from './counts.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const LIST = 'test/ibverbs/pyverbs-passes.txt';
/** Raise this together with the list: a shorter list has lost names. */
const LEAST_NAMES = 126;
const HEAD =
  '# Tests of rdma-core that pass on the libibverbs shim: `npm run test:pyverbs`. The list only grows. Three need huge pages.';
/** A listed test may be skipped if the machine does not have what it needs. */
const MACHINE_LACKS = /huge pages of size 2M/i;
const TIMEOUT_MS = 10 * 60_000;
const PYTHON = '/usr/bin/python3';
const PACKAGES = ['libibverbs-dev', 'rdma-core', 'python3-pyverbs'];
const INSTALLED_TESTS = 'usr/share/doc/rdma-core/tests';
const directory = join(root, 'build', 'pyverbs');

/** @typedef {{ name: string, outcome: 'started' | 'passed' | 'skipped' | 'failed', text: string }} Result */

const { values, positionals } = parseArgs({
  options: { write: { type: 'boolean' }, seed: { type: 'string', default: '1' } },
  allowPositionals: true,
});
const mode = positionals[0] ?? 'plain';

try {
  installPackages();
  buildIbverbs(mode);
  const results = runTests(unpackTests());
  if (values.write) writeList(results);
  report(results, [...judgeResults(results), ...judgeList()]);
} catch (error) {
  console.error(`pyverbs: ${error instanceof Error ? error.message : error}`);
  writeCounts(`pyverbs-${mode}`, { passed: 0, failed: 1 });
  process.exitCode = 1;
}

/* --- the tests --- */

function installPackages() {
  const missing = PACKAGES.filter((name) => spawnSync('dpkg', ['-s', name]).status !== 0);
  if (!missing.length) return;
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo'];
  run([...asRoot, 'apt-get', 'update', '-qq']);
  run([
    ...asRoot,
    ...['env', 'DEBIAN_FRONTEND=noninteractive'],
    ...['apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...missing],
  ]);
}

/** Copies the tests to a folder of the build, uncompressed, and returns the folder. */
function unpackTests() {
  mkdirSync(directory, { recursive: true });
  let from = join('/', INSTALLED_TESTS);
  if (!existsSync(from)) from = downloadTests();
  const to = join(directory, 'tests');
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to);
  for (const file of readdirSync(from)) {
    if (file.endsWith('.gz')) {
      writeFileSync(join(to, file.slice(0, -'.gz'.length)), gunzipSync(readFileSync(join(from, file))));
    } else {
      copyFileSync(join(from, file), join(to, file));
    }
  }
  return to;
}

/** Unpacks the package where no documentation is installed, as in most container images. Returns the folder of the tests. */
function downloadTests() {
  const folder = mkdtempSync(join(directory, 'package-'));
  run(['apt-get', 'download', '-qq', 'rdma-core'], folder);
  const [file] = readdirSync(folder).filter((name) => name.endsWith('.deb'));
  run(['dpkg-deb', '-x', join(folder, file ?? ''), folder]);
  return join(folder, INSTALLED_TESTS);
}

/**
 * @param {string[]} command
 * @param {string} [cwd]
 */
function run([file = '', ...args], cwd = root) {
  const { status, error } = spawnSync(file, args, { cwd, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with status ${status}`);
}

/**
 * Runs all tests in one process. A test that was running when the process ended has failed.
 * @param {string} tests
 * @returns {Map<string, Result>}
 */
function runTests(tests) {
  const file = join(directory, 'results.jsonl');
  rmSync(file, { force: true });
  const runner = join(root, 'scripts', 'pyverbs', 'run.py');
  const { status, signal, error, stdout, stderr } = spawnSync(
    join(root, 'scripts', 'with-rdmavt'),
    [PYTHON, runner, tests, file, values.seed],
    {
      // Python and its modules leave memory behind when they end.
      env: {
        ASAN_OPTIONS: 'detect_leaks=0:detect_stack_use_after_return=1',
        UBSAN_OPTIONS: 'print_stacktrace=1',
        PYTHONDONTWRITEBYTECODE: '1',
        ...process.env,
        RDMAVT_IBVERBS: mode,
      },
      encoding: 'utf8',
      maxBuffer: 1 << 26,
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
    },
  );
  /** @type {Map<string, Result>} */
  const results = new Map();
  for (const line of existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []) {
    if (!line) continue;
    /** @type {Result} */
    const result = JSON.parse(line);
    // A test fails if any of its parts has failed.
    if (results.get(result.name)?.outcome !== 'failed') results.set(result.name, result);
  }
  for (const result of results.values()) {
    if (result.outcome === 'started') {
      Object.assign(result, { outcome: 'failed', text: 'the process ended during the test' });
    }
  }
  if (status !== 0) {
    process.stdout.write(`${stdout}${stderr}`);
    throwUnlessKnown(
      results,
      `the tests ended with ${signal ?? `status ${status}`}: ${error?.message ?? ''}`,
    );
  }
  return results;
}

/**
 * @param {Map<string, Result>} results
 * @param {string} message
 */
function throwUnlessKnown(results, message) {
  if (![...results.values()].some(({ outcome }) => outcome === 'failed')) throw new Error(message);
  console.log(`pyverbs: ${message}`);
}

/* --- the list --- */

/**
 * @param {string} text
 * @returns {string[]}
 */
function namesIn(text) {
  return text.split('\n').filter((line) => line && !line.startsWith('#'));
}

/** @returns {string[]} */
function listed() {
  return namesIn(readFileSync(join(root, LIST), 'utf8'));
}

/** @param {Map<string, Result>} results */
function writeList(results) {
  const passed = [...results.values()].filter(({ outcome }) => outcome === 'passed');
  const names = [...new Set([...listed(), ...passed.map(({ name }) => name)])].sort();
  writeFileSync(join(root, LIST), `${[HEAD, ...names].join('\n')}\n`);
  console.log(`pyverbs: wrote ${names.length} names to ${LIST}`);
}

/** Returns the names that the list had in any commit of the history that is here: a shallow clone has only a part of it. */
function namesInHistory() {
  const git = (/** @type {string[]} */ ...args) =>
    spawnSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  const commits = git('log', '--format=%H', '--', LIST);
  const hashes = commits.status === 0 ? commits.stdout.split('\n').filter(Boolean) : [];
  return new Set(
    hashes.flatMap((hash) => {
      const shown = git('show', `${hash}:${LIST}`);
      return shown.status === 0 ? namesIn(shown.stdout) : [];
    }),
  );
}

/** @returns {string[]} what is wrong with the list */
function judgeList() {
  const names = listed();
  const problems = [...namesInHistory()]
    .filter((name) => !names.includes(name))
    .map((name) => `removed from ${LIST}, which only grows: ${name}`);
  if (names.length < LEAST_NAMES) {
    problems.push(`${LIST} has ${names.length} names, and must have at least ${LEAST_NAMES}`);
  }
  return problems;
}

/**
 * @param {Map<string, Result>} results
 * @returns {string[]} what is wrong with the results
 */
function judgeResults(results) {
  const names = listed();
  const problems = [];
  for (const { name, outcome, text } of results.values()) {
    if (outcome === 'failed') problems.push(`failed: ${name}\n${text}`);
    else if (outcome === 'passed' && !names.includes(name)) {
      problems.push(`passes and is not in ${LIST} (run npm run test:pyverbs -- --write): ${name}`);
    }
  }
  for (const name of names) {
    const result = results.get(name);
    if (!result) problems.push(`in ${LIST}, but did not run: ${name}`);
    else if (result.outcome === 'skipped' && !MACHINE_LACKS.test(result.text)) {
      problems.push(`passed before: ${name} was skipped: ${result.text}`);
    }
  }
  return problems;
}

/**
 * @param {Map<string, Result>} results
 * @param {string[]} problems
 */
function report(results, problems) {
  const count = (/** @type {Result['outcome']} */ wanted) =>
    [...results.values()].filter(({ outcome }) => outcome === wanted).length;
  for (const problem of problems) console.error(`pyverbs: ${problem}`);
  const passed = count('passed');
  writeCounts(`pyverbs-${mode}`, { passed, failed: problems.length });
  console.log(
    `pyverbs (${mode}): ${passed} passed, ${count('skipped')} skipped, ${count('failed')} failed of ${results.size}; ` +
      `${problems.length} problems; results: ${relative(process.cwd(), join(directory, 'results.jsonl'))}`,
  );
  if (problems.length) process.exitCode = 1;
}
