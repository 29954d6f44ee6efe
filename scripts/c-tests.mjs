// Builds and runs the C tests: node scripts/c-tests.mjs [plain|asan|tsan|valgrind] [test ...]
//
// node-gyp always builds into ./build of its working directory. So each mode has its own directory, build/c-tests/<mode>, with a
// generated binding.gyp: the modes do not overwrite each other, and a second run compiles only changed files. Only the requested
// tests are built.
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
 * @property {string} sanitize value of -fsanitize=; empty for no sanitizer
 * @property {string} [buildOf] the mode whose programs this mode runs, instead of building its own
 * @property {string[]} [wrapper] command that runs each test program
 * @property {string[]} [skip] tests that this mode does not run by default
 * @property {Record<string, string>} env default environment variables; variables that the caller has set take precedence
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
      // One test handles a SIGSEGV inside a loop and continues: at each load, valgrind must hold the exact value of every
      // register.
      '--vex-iropt-register-updates=allregs-at-mem-access',
    ],
    // Since threads do not run in parallel, these tests take minutes and cannot expose races.
    skip: [
      'test_chaos_engine',
      'test_stress',
      'test_stress_contexts',
      'test_stress_dma',
      'test_stress_engine',
      'test_stress_references',
      'test_stress_revocation',
      'test_stress_ring',
    ],
    env: {},
  },
};

const [modeName = 'plain', ...only] = process.argv.slice(2);
const mode = selectMode(modeName);

const wanted = only.map((name) => `test_${basename(name, '.c').replace(/^test_/, '')}`);
/** Maps the name of each test to its source file in test/c. @type {Map<string, string>} */
const sources = new Map(
  readdirSync(testDirectory, { recursive: true, encoding: 'utf8' })
    .filter((file) => /(^|[\\/])test_\w+\.c$/.test(file))
    .map((file) => [basename(file, '.c'), file.replaceAll('\\', '/')]),
);
const allTests = [...sources.keys()].sort();
const tests = allTests.filter((name) => (wanted.length ? wanted.includes(name) : !mode.skip?.includes(name)));
const unknown = wanted.filter((name) => !allTests.includes(name));
if (unknown.length || !tests.length) {
  console.error(`c-tests: ${unknown.length ? `no such test: ${unknown.join(', ')}` : 'no test to run'}`);
  process.exit(2);
}

const buildDirectory = join(root, 'build', 'c-tests', mode.buildOf ?? modeName);
build();

let passed = 0;
let failed = 0;
// The tests of threads need the processors for themselves: their threads must run at the same time. Of the other programs, one runs
// per processor.
const ofThreads = (/** @type {string} */ name) => sources.get(name)?.startsWith('threads/');
await runAll(tests.filter(ofThreads), 1);
await runAll(
  tests.filter((name) => !ofThreads(name)),
  availableParallelism(),
);
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
  console.error(`c-tests: no mode "${name}"; the modes are ${Object.keys(modes).join(', ')}`);
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
      dependencies: ['rdmavt_wire_tested', 'rdmavt_core_tested'],
      sources: [`${up}/test/c/${sources.get(name)}`],
      include_dirs: [`${up}/test/c`, `${up}/native`],
      cflags_c: ['-std=c11'],
      // Declare POSIX functions in addition to those of C11: clock_gettime, usleep, pthread barriers.
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
  // make also builds the libraries, because every test depends on them.
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
  // A successful build prints nothing but compiler warnings.
  const warnings = result.stderr.split('\n').filter((line) => !/^make: warning:/.test(line));
  process.stderr.write(warnings.join('\n'));
}

/**
 * Returns a text of everything that the generated makefiles depend on. While this text is unchanged, node-gyp need not configure
 * again.
 * @param {string} gyp
 */
function configurationOf(gyp) {
  const files = [
    ...['test/c/tests.gypi', 'native/flags.gypi'],
    ...['native/core/core.gypi', 'native/wire/wire.gypi'],
  ];
  const variables = ['CC', 'CXX', 'CFLAGS', 'CXXFLAGS', 'LDFLAGS', 'CI', 'npm_config_nodedir'];
  return JSON.stringify([
    gyp,
    process.execPath,
    process.version,
    files.map((file) => readFileSync(join(root, file), 'utf8')),
    variables.map((name) => process.env[name] ?? null),
  ]);
}

/**
 * Runs test programs.
 * @param {string[]} names
 * @param {number} atOnce how many run at the same time
 */
async function runAll(names, atOnce) {
  const waiting = [...names];
  const runWaiting = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const counts = await runTest(name);
      passed += counts.passed;
      failed += counts.failed;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, runWaiting));
}

/**
 * Runs one test program, prints its output and returns the counts of its summary line. A program that ends without this line, or
 * fails without reporting a failed test (for example because a sanitizer reports at exit), counts as one more failed test.
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
  // ThreadSanitizer of gcc 12 and clang 14 cannot place its shadow memory when the kernel randomizes addresses by more than
  // 28 bits. It then prints this message and exits before main(). Run the program again without randomization.
  if (/unexpected memory mapping/.test(result.output)) {
    result = await execute(['setarch', '-R', program]);
  }

  const summary = /(\d+) passed, (\d+) failed\s*$/.exec(result.stdout);
  const counts = { passed: Number(summary?.[1] ?? 0), failed: Number(summary?.[2] ?? 0) };
  const endedBadly = result.why !== undefined && counts.failed === 0;
  if (endedBadly || !summary) counts.failed++;

  if (counts.failed) {
    process.stdout.write(`# ${name} (${modeName})\n${result.output}\n`);
    console.log(`not ok ${name}: ${result.why ?? 'ended without a summary'}`);
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
 * Writes the file only if its content changes: make would rebuild everything that depends on a newer file.
 * @param {string} file
 * @param {string} text
 */
function writeIfChanged(file, text) {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
}
