// Checks the Promela model of revocation and waiting (test/spin/revocation.pml) with Spin: node scripts/spin.mjs [part of a
// title]
//
// Each entry of `checks` is a test: a property that must hold for every interleaving, or a variant of the model with one
// deliberate mistake that Spin must detect. For each test, Spin generates a program that explores all states.
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

/** What the generated program prints for each kind of error. */
const sayings = /** @type {const} */ ({
  moved: 'assertion violated  !(gone',
  deadlock: 'invalid end state',
  endless: 'acceptance cycle',
});

/**
 * @typedef {object} Check
 * @property {string} title
 * @property {string} define macros of the model, separated by spaces
 * @property {keyof typeof sayings} [finds] the error that Spin must find; without it, Spin must find no error
 */

// With LIVENESS, Spin looks for infinite runs under weak fairness: a process that can always proceed does proceed eventually.
// Without LIVENESS, Spin looks for bytes that move after a call has returned, and for deadlocks.

/** @type {Check[]} */
const checks = [
  { title: 'no byte moves after a call has returned, and no process deadlocks', define: 'SLOW_PATH' },
  { title: 'no byte moves late when readers switch between two devices', define: 'DEVICES=2' },
  {
    title: 'memory retired by the garbage collector is not freed while a reader uses it',
    define: 'WAITERS=1 COLLECTED=2',
  },
  {
    title: 'memory retired by the garbage collector is not freed while a reader uses it, with two devices',
    define: 'DEVICES=2 WAITERS=1 COLLECTED=1',
  },
  { title: 'every call returns, even if readers never stop', define: 'LIVENESS' },
  {
    title: 'a reader that never leaves a device does not delay calls on another device',
    define: 'LIVENESS READER_STAYS DEVICES=2',
  },
  {
    title: 'a reader that never leaves a device blocks calls on this device',
    define: 'LIVENESS READER_STAYS',
    finds: 'endless',
  },
  { title: 'mistake: the call does not wait', define: 'NO_WAIT', finds: 'moved' },
  {
    title: 'mistake: the call waits while it holds a lock that a reader takes',
    define: 'WAIT_UNDER_LOCK SLOW_PATH',
    finds: 'deadlock',
  },
  {
    title: 'mistake: the call advances the epoch before the change',
    define: 'ADVANCE_FIRST',
    finds: 'moved',
  },
  {
    title: 'mistake: the call stops waiting for a reader after a plain load',
    define: 'LET_GO_BY_LOAD',
    finds: 'moved',
  },
  { title: 'mistake: a reader enters with a plain store', define: 'ENTER_BY_STORE', finds: 'moved' },
  {
    title: 'mistake: a reader loads the epoch without acquire',
    define: 'LOAD_EPOCH_RELAXED',
    finds: 'moved',
  },
  {
    title: 'mistake: a reader that switches devices only loads the epoch',
    define: 'DEVICES=2 SWITCH_BY_LOAD',
    finds: 'moved',
  },
  {
    title: 'mistake: memory retired in the epoch of the oldest reader is freed',
    define: 'WAITERS=1 COLLECTED=1 FREE_TOO_EARLY',
    finds: 'moved',
  },
  {
    title: 'mistake: memory retired after the readers were scanned is freed',
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
 * Runs one check and returns a description of the problem, if Spin does not give the expected result, and the number of states.
 * @param {Check} check
 * @param {string} directory an empty directory for this check
 * @returns {Promise<{ problem?: string, states?: string }>}
 */
async function judge({ define, finds }, directory) {
  mkdirSync(directory, { recursive: true });
  // Copy the model: Spin writes its output next to the model, and names the trail of an error after the model.
  cpSync(model, join(directory, 'revocation.pml'));
  const options = { cwd: directory, timeout: TIMEOUT_MS, killSignal: /** @type {const} */ ('SIGKILL') };
  const isLiveness = define.split(' ').includes('LIVENESS');
  let stdout;
  try {
    const macros = define.split(' ').map((macro) => `-D${macro}`);
    await run('spin', ['-a', ...macros, 'revocation.pml'], options);
    // NFAIR: memory for the weak fairness algorithm, enough for five processes.
    const mode = isLiveness ? '-DNFAIR=3' : '-DSAFETY';
    // A check that finds an error ends soon, so compiling takes longer than searching.
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
  const expected = finds ? `Spin should have found: ${sayings[finds]}` : 'Spin should have found no error';
  return { problem: `${expected}\n${stdout}${trailOf(directory)}` };
}

/**
 * Returns the command that shows the steps to the error, or an empty string if Spin wrote no trail.
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
