// Checks the model of the waits (test/spin/revocation.pml) with Spin: node scripts/spin.mjs [part of a title]
//
// Each entry below is a test: a claim that must hold in every order of steps, or a variant with one mistake in which Spin must find
// what goes wrong. Spin writes a program for each, which looks at all states.
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { writeCounts } from './counts.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const model = join(root, 'test', 'spin', 'revocation.pml');
const buildDirectory = join(root, 'build', 'spin');
const TIMEOUT_MS = 5 * 60_000;
const DEPTH = 1_000_000;
const run = promisify(execFile);

/** What Spin's program says of an error, by kind. */
const sayings = /** @type {const} */ ({
  moved: 'assertion violated  !(gone',
  deadlock: 'invalid end state',
  endless: 'acceptance cycle',
});

/**
 * @typedef {object} Check
 * @property {string} title
 * @property {string} define macros of the model, by spaces
 * @property {keyof typeof sayings} [finds] the error that must be found; none without
 */

// LIVENESS: Spin looks for endless runs in which every process that can go on does so some time (weak fairness). Without it, Spin looks
// for bytes that move too late, and for processes that cannot go on.

/** @type {Check[]} */
const checks = [
  { title: 'no byte moves after a call has returned, and nobody is stuck', define: 'SLOW_PATH' },
  { title: 'the same with readers that change between two devices', define: 'DEVICES=2' },
  { title: 'what the collector retires is not freed under a reader', define: 'WAITERS=1 COLLECTED=2' },
  { title: 'the same with two devices', define: 'DEVICES=2 WAITERS=1 COLLECTED=1' },
  { title: 'every call ends, though readers never stop', define: 'LIVENESS' },
  {
    title: 'a reader that stays in one device holds up no call on another',
    define: 'LIVENESS READER_STAYS DEVICES=2',
  },
  {
    title: 'a reader that stays in the same device holds up the call',
    define: 'LIVENESS READER_STAYS',
    finds: 'endless',
  },
  { title: 'mistake: the call does not wait', define: 'NO_WAIT', finds: 'moved' },
  {
    title: 'mistake: the call waits with the lock that a reader takes',
    define: 'WAIT_UNDER_LOCK SLOW_PATH',
    finds: 'deadlock',
  },
  { title: 'mistake: the call adds to the epoch before the change', define: 'ADVANCE_FIRST', finds: 'moved' },
  { title: 'mistake: a load lets a reader go', define: 'LET_GO_BY_LOAD', finds: 'moved' },
  { title: 'mistake: a reader enters by a store', define: 'ENTER_BY_STORE', finds: 'moved' },
  {
    title: 'mistake: a reader loads the epoch without acquire',
    define: 'LOAD_EPOCH_RELAXED',
    finds: 'moved',
  },
  {
    title: 'mistake: a reader that changes the device only loads the epoch',
    define: 'DEVICES=2 SWITCH_BY_LOAD',
    finds: 'moved',
  },
  {
    title: 'mistake: what is as old as the oldest reader is freed',
    define: 'WAITERS=1 COLLECTED=1 FREE_TOO_EARLY',
    finds: 'moved',
  },
  {
    title: 'mistake: what was retired after the looks is freed',
    define: 'WAITERS=1 COLLECTED=1 NO_BOUND',
    finds: 'moved',
  },
];

const [part = ''] = process.argv.slice(2);
const wanted = checks.filter(({ title }) => title.includes(part));
if (!wanted.length) {
  console.error(`spin: no test has "${part}" in its title`);
  process.exit(2);
}

rmSync(buildDirectory, { recursive: true, force: true });
let passed = 0;
let failed = 0;
const waiting = wanted.entries();
await Promise.all(
  Array.from({ length: Math.min(availableParallelism(), 2) }, async () => {
    for (const [number, check] of waiting) await report(check, join(buildDirectory, String(number)));
  }),
);
writeCounts('spin', { passed, failed });
console.log(`Spin: ${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;

/**
 * @param {Check} check
 * @param {string} directory
 */
async function report(check, directory) {
  const { problem, states } = await judge(check, directory);
  if (problem === undefined) {
    passed++;
    console.log(`ok ${check.title} (${states} states)`);
  } else {
    failed++;
    console.log(`not ok ${check.title}\n${problem}`);
  }
}

/**
 * Whether Spin finds what it should.
 * @param {Check} check
 * @param {string} directory of its own
 * @returns {Promise<{ problem?: string, states?: string }>}
 */
async function judge({ define, finds }, directory) {
  mkdirSync(directory, { recursive: true });
  // Spin writes next to the model, and names the trail of an error after it.
  cpSync(model, join(directory, 'revocation.pml'));
  const options = { cwd: directory, timeout: TIMEOUT_MS, killSignal: /** @type {const} */ ('SIGKILL') };
  const isLiveness = define.split(' ').includes('LIVENESS');
  let stdout;
  try {
    const macros = define.split(' ').map((macro) => `-D${macro}`);
    await run('spin', ['-a', ...macros, 'revocation.pml'], options);
    // NFAIR: room for the five processes that are watched for fairness.
    const mode = isLiveness ? '-DNFAIR=3' : '-DSAFETY';
    // An error is found soon: then the compiler's time is the longer one.
    const level = finds ? '-O0' : '-O2';
    await run(process.env.CC ?? 'gcc', ['-w', level, mode, '-o', 'pan', 'pan.c'], options);
    const search = isLiveness ? ['-a', '-f'] : [];
    ({ stdout } = await run('./pan', [`-m${DEPTH}`, '-w24', '-n', ...search], options));
  } catch (error) {
    const { message, stdout: output = '' } = /** @type {Error & { stdout?: string }} */ (error);
    return { problem: `${message}\n${output}` };
  }
  const errors = /errors: (\d+)/.exec(stdout)?.[1];
  const states = /(\d+) states, stored/.exec(stdout)?.[1];
  const isComplete = errors !== undefined && !stdout.includes('max search depth too small');
  const isRight = finds ? errors === '1' && stdout.includes(sayings[finds]) : errors === '0';
  if (isComplete && isRight && states) return { states };
  const expected = finds ? `was to find: ${sayings[finds]}` : 'was to find no error';
  return { problem: `${expected}\n${stdout}${trailOf(directory)}` };
}

/**
 * How to see the steps that led to the error.
 * @param {string} directory
 */
function trailOf(directory) {
  try {
    readFileSync(join(directory, 'revocation.pml.trail'));
  } catch {
    return '';
  }
  return `\nsteps: cd ${directory} && ./pan -r -n\n`;
}
