// Runs programs of random calls as child processes: starts and watches them, and decides whether they failed.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readJournal } from './journal.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const program = fileURLToPath(new URL('program.mjs', import.meta.url));
/** Maximum time between two calls of a program, in ms. A program that makes no progress for longer is killed. */
const STALL_MS = 30_000;
const POLL_MS = 500;
const LAST_LINES = 12;

/**
 * @typedef {object} Run
 * @property {string} node
 * @property {number} seed
 * @property {number} calls
 * @property {boolean} threads
 * @property {number | undefined} until
 * @property {string} [only] the calls to run, as text (see ranges.mjs)
 * @property {Record<string, string>} environment additional environment variables
 */

/**
 * @typedef {object} Ending
 * @property {string} [failure] description in one line; undefined if the program succeeded
 * @property {string} details
 * @property {number} last index of the last call that was started
 * @property {import('./ledger.mjs').Account | undefined} account
 */

/** Returns the command line arguments that repeat a run. */
export function runArguments(/** @type {Run} */ { seed, calls, threads, only }) {
  return [
    '--seed',
    `${seed}`,
    '--calls',
    `${calls}`,
    ...(threads ? ['--threads'] : []),
    ...(only === undefined ? [] : ['--only', only]),
  ];
}

/**
 * Runs a program and waits until it ends. Kills it if it hangs in a call.
 *
 * @param {Run} run
 * @param {string} folder folder for the files of the run
 * @param {string} name name of the files, without extension
 * @returns {Promise<Ending>}
 */
export function runChild(run, folder, name) {
  const journal = join(folder, `${name}.journal`);
  const result = join(folder, `${name}.json`);
  for (const file of [journal, result]) rmSync(file, { force: true });
  const options = ['--expose-gc', '--no-warnings'];
  const until = run.until === undefined ? [] : ['--until', `${run.until}`];
  const child = spawn(
    run.node,
    [...options, program, ...runArguments(run), ...until, '--journal', journal, '--result', result],
    {
      cwd: root,
      env: { ...process.env, ...run.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (/** @type {string} */ text) => (output = (output + text).slice(-20_000)));
  }
  let stalled = false;
  const begin = Date.now();
  const watchdog = setInterval(() => {
    // The program writes to the journal before each call.
    const alive = existsSync(journal) ? statSync(journal).mtimeMs : begin;
    if (Date.now() - alive > STALL_MS) {
      stalled = true;
      child.kill('SIGKILL');
    }
  }, POLL_MS);
  return new Promise((resolve) => {
    child.once('close', (status, signal) => {
      clearInterval(watchdog);
      const account = existsSync(result) ? JSON.parse(readFileSync(result, 'utf8')) : undefined;
      const lines = existsSync(journal) ? readJournal(journal) : [];
      const failure = failureOf(status, signal, stalled, account);
      resolve({
        ...(failure === undefined ? {} : { failure }),
        details: failure === undefined ? '' : detailsOf(output, lines, account),
        last: lines.at(-1)?.index ?? 0,
        account,
      });
    });
  });
}

/**
 * Returns a description of the failure, or undefined if the program succeeded.
 *
 * @param {number | null} status
 * @param {string | null} signal
 * @param {boolean} stalled
 * @param {import('./ledger.mjs').Account | undefined} account
 */
function failureOf(status, signal, stalled, account) {
  if (stalled) return `a call has not returned for ${STALL_MS / 1000} s`;
  if (signal) return `killed by ${signal}`;
  const [finding] = account?.findings ?? [];
  if (finding !== undefined) return finding.split('\n')[0] ?? '';
  if (status !== 0) return `exited with status ${status}`;
  return account ? undefined : 'exited without a result';
}

/**
 * Returns the findings, or the last calls if there are none, and the output of the program.
 *
 * @param {string} output
 * @param {{ index: number, text: string }[]} lines
 * @param {import('./ledger.mjs').Account | undefined} account
 */
function detailsOf(output, lines, account) {
  const calls = lines.slice(-LAST_LINES).map(({ index, text }) => `  ${index} ${text}`);
  const [first, ...more] = account?.findings ?? [];
  return [
    ...(first === undefined ? ['the last calls:', ...calls] : [first]),
    ...more.map((finding) => finding.split('\n')[0]),
    ...(output.trim() ? ['output:', output.trim()] : []),
  ].join('\n');
}
