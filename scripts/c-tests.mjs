// Builds and runs the C tests: node scripts/c-tests.mjs [plain|asan|tsan|valgrind] [test ...]
//
// Each mode has its own directory, build/c-tests/<mode>. Only the requested tests are built.
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { builds } from './c-builds.mjs';
import { gypBuild } from './gyp-build.mjs';
import { report, runPrograms } from './test-programs.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const testDirectory = join(root, 'test', 'c');

/**
 * @typedef {object} Options
 * @property {string} [buildOf] the mode whose programs this mode runs, instead of building its own
 * @property {string[]} [wrapper] command that runs each test program
 * @property {string[]} [skip] tests that this mode does not run by default
 *
 * @typedef {import('./c-builds.mjs').Build & Options} Mode
 */

/**
 * How many programs and packets the tests of endpoints play where each costs more than in the plain build, and how many percent of
 * their rounds other random tests.
 * @param {number} programs
 * @param {number} packets
 * @param {number} percent
 */
const fewer = (programs, packets, percent) => ({
  RVT_ROUNDS_PERCENT: String(percent),
  RVT_LINK_SEEDS: String(programs),
  RVT_HOSTILE_PACKETS: String(packets),
});

/** @type {Record<string, Mode>} */
const modes = {
  ...builds,
  asan: { ...builds.asan, env: { ...builds.asan.env, ...fewer(300, 100_000, 100) } },
  tsan: { ...builds.tsan, env: { ...builds.tsan.env, ...fewer(50, 20_000, 20) } },
  valgrind: {
    ...builds.plain,
    env: { ...builds.plain.env, ...fewer(30, 5_000, 20) },
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
      'test_stress_endpoint',
      'test_stress_engine',
      'test_stress_references',
      'test_stress_revocation',
      'test_stress_ring',
    ],
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

// Named tests have counts of their own: they may be run beside all.
const kind = wanted.length ? ['c', ...tests].join('-') : 'c';
const run = { title: 'C tests', kind, mode: modeName, env: mode.env };
const buildDirectory = join(root, 'build', 'c-tests', mode.buildOf ?? modeName);
build();
// The tests of threads need the processors for themselves: their threads must run at the same time.
await runPrograms(
  tests.map((name) => ({
    name,
    command: [...(mode.wrapper ?? []), programOf(name)],
    alone: sources.get(name)?.startsWith('threads/') || name.startsWith('test_stress'),
  })),
  run,
);

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
  const includes = [
    ...['test/c/tests.gypi', 'native/flags.gypi'],
    ...['native/core/core.gypi', 'native/core/settings.gypi', 'native/wire/wire.gypi'],
  ];
  // make also builds the libraries, because every test depends on them.
  const { ok, output } = gypBuild(buildDirectory, gyp, includes, tests);
  process.stderr.write(output);
  if (ok) return;
  console.error(`c-tests: the build failed (${modeName})`);
  report({ passed: 0, failed: 1 }, run);
  process.exit();
}

/** @param {string} name */
function programOf(name) {
  return join(buildDirectory, 'build', 'Release', process.platform === 'win32' ? `${name}.exe` : name);
}
