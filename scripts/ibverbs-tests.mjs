// Builds and runs the C tests of the libibverbs shim: node scripts/ibverbs-tests.mjs [plain|asan|tsan] [test ...]
//
// The programs of test/ibverbs are written against the public header <infiniband/verbs.h> and linked to the system's libibverbs, as
// any program is. scripts/with-rdmavt runs them with the library of this mode, which is built first.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildIbverbs } from './build-ibverbs.mjs';
import { builds } from './c-builds.mjs';
import { report, runPrograms } from './test-programs.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const testDirectory = join(root, 'test', 'ibverbs');
const TIMEOUT_MS = 5 * 60_000;
/** Their threads must run at the same time. */
const ALONE = ['test_fork', 'test_threads', 'test_network_threads'];
/**
 * Tests that also run on a device with an address, whose queue pairs reach each other through the network: those that neither use UC
 * or UD nor expect that a request is complete when it has been posted.
 */
const ALSO_ON_THE_NETWORK = [
  ...[
    'test_atomics',
    'test_dm',
    'test_domain_ends',
    'test_endless_lists',
    'test_events',
    'test_extended_attributes',
  ],
  ...['test_keys', 'test_on_demand', 'test_srq', 'test_unsupported', 'test_waiting', 'test_windows'],
];

const [mode = 'plain', ...only] = process.argv.slice(2);
const build = builds[/** @type {keyof typeof builds} */ (mode)];
if (!build) usage(`no mode "${mode}"; the modes are ${Object.keys(builds).join(', ')}`);

const all = readdirSync(testDirectory)
  .filter((file) => /^test_\w+\.c$/.test(file))
  .map((file) => basename(file, '.c'))
  .sort();
const wanted = only.map((name) => `test_${basename(name, '.c').replace(/^test_/, '')}`);
const unknown = wanted.filter((name) => !all.includes(name));
if (unknown.length) usage(`no such test: ${unknown.join(', ')}`);
const tests = wanted.length ? wanted : all;

const buildDirectory = join(root, 'build', 'ibverbs-tests', mode);
const run = {
  title: 'ibverbs tests',
  kind: 'ibverbs',
  mode,
  timeoutMs: TIMEOUT_MS,
  env: {
    ...build.env,
    // test_fork starts threads in children of programs with threads, which ThreadSanitizer refuses by default.
    ...('TSAN_OPTIONS' in build.env && { TSAN_OPTIONS: `${build.env.TSAN_OPTIONS}:die_after_fork=0` }),
  },
};
try {
  buildIbverbs(mode);
  mkdirSync(buildDirectory, { recursive: true });
  const programs = tests.flatMap((name) => {
    const program = { name, command: withRdmavt(compile(name)), alone: ALONE.includes(name) };
    if (!ALSO_ON_THE_NETWORK.includes(name)) return [program];
    const address = `RDMAVT_ADDRESS=${networkAddress(ALSO_ON_THE_NETWORK.indexOf(name))}`;
    const onTheNetwork = {
      ...program,
      name: `${name} on the network`,
      command: ['env', address, ...program.command],
    };
    return [program, onTheNetwork];
  });
  await runPrograms(programs, run);
} catch (error) {
  console.error(`ibverbs-tests: ${error instanceof Error ? error.message : error}`);
  report({ passed: 0, failed: 1 }, run);
}

/** @param {string} problem */
function usage(problem) {
  console.error(`ibverbs-tests: ${problem}`);
  process.exit(2);
}

/**
 * An address of this host for a test. Tests of other runs at the same time have others.
 * @param {number} number
 */
function networkAddress(number) {
  return `127.${1 + ((process.pid >> 8) % 254)}.${process.pid & 255}.${100 + number}`;
}

/** @param {string} program */
function withRdmavt(program) {
  return ['env', `RDMAVT_IBVERBS=${mode}`, join(root, 'scripts', 'with-rdmavt'), program];
}

/**
 * Compiles a test and returns its program. Throws an error if that fails; the compiler has printed why.
 * @param {string} name
 */
function compile(name) {
  const program = join(buildDirectory, name);
  const sanitize = build.sanitize
    ? [`-fsanitize=${build.sanitize}`, '-fno-sanitize-recover=all', '-fno-omit-frame-pointer']
    : [];
  const args = [
    ...['-std=c11', '-D_GNU_SOURCE', '-O1', '-g', '-pthread', ...sanitize],
    ...[
      '-Wall',
      '-Wextra',
      '-Wshadow',
      '-Wformat=2',
      '-Wstrict-prototypes',
      '-Wmissing-prototypes',
      '-Werror',
    ],
    ...['-I', join(root, 'test', 'c'), '-I', testDirectory],
    ...[join(testDirectory, `${name}.c`), '-o', program, '-libverbs'],
  ];
  const { status } = spawnSync(process.env.CC ?? 'gcc', args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${name} does not compile`);
  return program;
}
