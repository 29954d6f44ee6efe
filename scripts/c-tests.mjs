// Builds and runs the C tests: node scripts/c-tests.mjs [plain|asan|tsan|valgrind] [test ...]
//
// node-gyp always builds into ./build of the directory it runs in. So each mode gets a directory of its own,
// build/c-tests/<mode>, with a generated binding.gyp: the modes stay apart, and a second run compiles only what changed. Of the tests
// only those that are to run are built.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeCounts } from './counts.mjs';
import { nodeGyp } from './node-gyp.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const testDirectory = join(root, 'test', 'c');
const TIMEOUT_MS = 10 * 60_000;

/**
 * @typedef {object} Mode
 * @property {string} sanitize what -fsanitize= gets; empty for none
 * @property {string} [buildOf] the mode whose build this one runs
 * @property {string[]} [wrapper] what runs the program
 * @property {string[]} [skip] tests left out
 * @property {boolean} [sideBySide] one program for each processor at a time; otherwise one after the other
 * @property {Record<string, string>} env defaults; the environment of the caller goes first
 */

/** @type {Record<string, Mode>} */
const modes = {
  plain: { sanitize: '', env: {} },
  asan: {
    sanitize: 'address,undefined',
    env: {
      ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
  },
  tsan: { sanitize: 'thread', env: { TSAN_OPTIONS: 'second_deadlock_stack=1' } },
  valgrind: {
    sanitize: '',
    buildOf: 'plain',
    wrapper: [
      'valgrind',
      '--quiet',
      '--fair-sched=yes',
      '--leak-check=full',
      '--error-exitcode=99',
      // A test takes a SIGSEGV in the middle of a loop and goes on: every register must be true at that load.
      '--vex-iropt-register-updates=allregs-at-mem-access',
    ],
    sideBySide: true, // valgrind runs one thread at a time, so that a program uses one processor
    // For the same reason these take minutes, and there are no races to be seen.
    skip: [
      'test_stress',
      'test_stress_contexts',
      'test_stress_dma',
      'test_stress_references',
      'test_stress_revocation',
    ],
    env: {},
  },
};

const [modeName = 'plain', ...only] = process.argv.slice(2);
const mode = selectMode(modeName);

const wanted = only.map((name) => `test_${basename(name, '.c').replace(/^test_/, '')}`);
/** By name, the file in test/c. @type {Map<string, string>} */
const sources = new Map(
  readdirSync(testDirectory, { recursive: true, encoding: 'utf8' })
    .filter((file) => /(^|[\\/])test_\w+\.c$/.test(file))
    .map((file) => [basename(file, '.c'), file.replaceAll('\\', '/')]),
);
const allTests = [...sources.keys()].sort();
const tests = allTests.filter((name) => (wanted.length ? wanted.includes(name) : !mode.skip?.includes(name)));
const unknown = wanted.filter((name) => !allTests.includes(name));
if (unknown.length || !tests.length) {
  console.error(`c-tests: no such test: ${unknown.join(', ') || 'test/c has none'}`);
  process.exit(2);
}

const buildDirectory = join(root, 'build', 'c-tests', mode.buildOf ?? modeName);
build();

let passed = 0;
let failed = 0;
const waiting = [...tests];
await Promise.all(Array.from({ length: mode.sideBySide ? availableParallelism() : 1 }, runWaiting));
writeCounts(`c-${modeName}`, { passed, failed });
console.log(`C tests (${modeName}): ${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;

/**
 * @param {string} name
 * @returns {Mode}
 */
function selectMode(name) {
  const found = modes[name];
  if (found) return found;
  console.error(`c-tests: no mode "${name}"; there are ${Object.keys(modes).join(', ')}`);
  process.exit(2);
}

function build() {
  mkdirSync(buildDirectory, { recursive: true });
  const up = '../../..';
  const gyp = {
    variables: { sanitize: mode.sanitize },
    includes: [`${up}/test/c/tests.gypi`],
    targets: allTests.map((name) => ({
      target_name: name,
      type: 'executable',
      dependencies: ['rdmavt_core_tested'],
      sources: [`${up}/test/c/${sources.get(name)}`],
      include_dirs: [`${up}/test/c`, `${up}/native`],
      cflags_c: ['-std=c11'],
      // Lets a test use what POSIX adds to C11 (clock_gettime, usleep, pthread barriers).
      defines: ['_DEFAULT_SOURCE', '_XOPEN_SOURCE=700'],
      ldflags: ['-pthread'],
    })),
  };
  writeIfChanged(join(buildDirectory, 'binding.gyp'), `${JSON.stringify(gyp, null, 2)}\n`);

  const configuration = configurationOf(JSON.stringify(gyp));
  const stamp = join(buildDirectory, 'configuration');
  const isConfigured =
    existsSync(join(buildDirectory, 'build', 'config.gypi')) &&
    existsSync(stamp) &&
    readFileSync(stamp, 'utf8') === configuration;
  if (!isConfigured) rmSync(stamp, { force: true });
  // The library comes with the tests that are named: they depend on it.
  const args = [...(isConfigured ? [] : ['configure']), 'build', ...tests, '--release'];
  const result = nodeGyp(buildDirectory, args);
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout}${result.stderr}`);
    console.error(`c-tests: the build failed (${modeName})`);
    writeCounts(`c-${modeName}`, { passed: 0, failed: 1 });
    console.log(`C tests (${modeName}): 0 passed, 1 failed`);
    process.exit(1);
  }
  writeIfChanged(stamp, configuration);
  // A build that succeeds is silent but for its warnings.
  const warnings = result.stderr.split('\n').filter((line) => !/^make: warning:/.test(line));
  process.stderr.write(warnings.join('\n'));
}

/**
 * All that the generated makefiles depend on: while it stays the same, they need not be generated anew.
 * @param {string} gyp
 */
function configurationOf(gyp) {
  const files = ['test/c/tests.gypi', 'native/core/core.gypi', 'native/flags.gypi'];
  const variables = ['CC', 'CXX', 'CFLAGS', 'CXXFLAGS', 'LDFLAGS', 'CI', 'npm_config_nodedir'];
  return JSON.stringify([
    gyp,
    process.execPath,
    process.version,
    files.map((file) => readFileSync(join(root, file), 'utf8')),
    variables.map((name) => process.env[name] ?? null),
  ]);
}

/** Runs programs until none is left. */
async function runWaiting() {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const counts = await runTest(name);
    passed += counts.passed;
    failed += counts.failed;
  }
}

/**
 * Runs one program, shows its output and takes the counts of its last line. A program that ends without that line, or
 * badly in spite of it (a sanitizer's report at exit), counts as one failed test more.
 * @param {string} name
 */
async function runTest(name) {
  const program = join(
    buildDirectory,
    'build',
    'Release',
    process.platform === 'win32' ? `${name}.exe` : name,
  );
  let result = await execute([...(mode.wrapper ?? []), program]);
  // ThreadSanitizer of gcc 12 and clang 14 cannot place its shadow when the kernel randomizes addresses by more than
  // 28 bits. It says so and ends before main: run it without randomization then.
  if (/unexpected memory mapping/.test(result.output)) {
    result = await execute(['setarch', '-R', program]);
  }

  const summary = /(\d+) passed, (\d+) failed\s*$/.exec(result.stdout);
  const counts = { passed: Number(summary?.[1] ?? 0), failed: Number(summary?.[2] ?? 0) };
  const endedBadly = result.why !== undefined && counts.failed === 0;
  if (endedBadly || !summary) counts.failed++;

  if (counts.failed) {
    process.stdout.write(`# ${name} (${modeName})\n${result.output}\n`);
    console.log(`not ok ${name}: ${result.why ?? 'ended without its summary'}`);
  } else {
    console.log(`ok ${name}: ${counts.passed} passed`);
  }
  return counts;
}

/**
 * @param {string[]} command
 * @returns {Promise<{ stdout: string, output: string, why: string | undefined }>}
 */
function execute([file = '', ...args]) {
  const options = {
    cwd: root,
    encoding: /** @type {const} */ ('utf8'),
    env: { ...mode.env, ...process.env },
    maxBuffer: 1 << 26,
    timeout: TIMEOUT_MS,
    killSignal: /** @type {const} */ ('SIGKILL'),
  };
  return new Promise((resolve) => {
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      const { exitCode, signalCode } = child;
      const why = signalCode
        ? `ended by ${signalCode}`
        : exitCode
          ? `exit status ${exitCode}`
          : error?.message;
      resolve({ stdout, output: `${stdout}${stderr}`, why });
    });
  });
}

/**
 * Leaves the time stamp alone when nothing changed, or make would generate its files anew.
 * @param {string} file
 * @param {string} text
 */
function writeIfChanged(file, text) {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
}
