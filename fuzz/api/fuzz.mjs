// Calls all exports of the package, and the native module itself, with random values of every kind that JavaScript has:
//
//   npm run fuzz:api -- [--seconds N] [--seed N] [--jobs N] [--calls N] [--node PATH]... [--asan] [--no-shrink]
//
// Random programs run as child processes (program.mjs). A program fails if it crashes, hangs, gets an unexpected exception, or
// finds that a call changed a byte outside of the registered memory. For each failure, the fuzzer prints the command that
// repeats it, reduced to as few calls as still fail.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeCounts } from '../../scripts/counts.mjs';
import { runArguments, runChild } from './children.mjs';
import { addAccount, newAccount } from './ledger.mjs';
import { formatRanges } from './ranges.mjs';
import { shrink } from './shrink.mjs';

/** @typedef {import('./children.mjs').Run} Run */
/** @typedef {import('./children.mjs').Ending} Ending */

const SHRINK_MS = 40_000;
/** Stop after this many different failures. */
const MOST_FAILURES = 5;
/** Only one in this many programs uses other threads, because threads make the result depend on timing. */
const THREADS_EVERY = 3;

const options = readOptions();
const folder = mkdtempSync(join(tmpdir(), 'rdmavt-fuzz-'));
const environment = options.asan ? await sanitized() : {};
const sum = newAccount();
let children = 0;
let failed = 0;
/** Failures so far, without varying parts, so that details are printed only once. @type {Set<string>} */
const failures = new Set();
const begin = Date.now();
const until = begin + options.seconds * 1000;

try {
  await Promise.all(Array.from({ length: options.jobs }, (_, job) => runJob(job)));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
report();
writeCounts(options.asan ? 'fuzz-api-asan' : 'fuzz-api', { passed: failed ? 0 : 1, failed: failed ? 1 : 0 });
process.exitCode = failed ? 1 : 0;

async function runJob(/** @type {number} */ job) {
  for (let number = job; Date.now() < until && failures.size < MOST_FAILURES; number += options.jobs) {
    /** @type {Run} */
    const run = {
      node: options.nodes[number % options.nodes.length] ?? process.execPath,
      seed: options.seed + number,
      calls: options.calls,
      threads: number % THREADS_EVERY === 0,
      until,
      environment,
    };
    const ending = await runChild(run, folder, `job-${job}`);
    children++;
    if (ending.account) addAccount(sum, ending.account);
    if (ending.failure !== undefined) await fail(run, ending, job);
  }
}

/**
 * @param {Run} run
 * @param {Ending} ending
 * @param {number} job
 */
async function fail(run, ending, job) {
  const failure = /** @type {string} */ (ending.failure);
  const seen = failures.has(alike(failure));
  failed++;
  failures.add(alike(failure));
  const where = options.nodes.length > 1 ? `, node ${number(run.node)}` : '';
  const seconds = ((Date.now() - begin) / 1000).toFixed(1);
  console.log(`\nFAILED after ${seconds} s, seed ${run.seed}${where}: ${failure}`);
  if (seen) return;
  console.log(ending.details.replace(/^/gm, '  '));
  console.log(`repeat: ${command(run)}`);
  if (!options.shrink) return;
  const all = Array.from({ length: ending.last + 1 }, (_, index) => index);
  const fails = async (/** @type {number[]} */ indices) => {
    const fewer = { ...run, until: undefined, only: formatRanges(indices) };
    const again = await runChild(fewer, folder, `shrink-${job}`);
    return again.failure !== undefined && alike(again.failure) === alike(failure);
  };
  const kept = (await fails(all)) ? await shrink(all, fails, Date.now() + SHRINK_MS) : undefined;
  console.log(
    kept
      ? `shrunk: ${command({ ...run, only: formatRanges(kept) })}`
      : 'The failure did not repeat: it depends on timing.',
  );
}

/** Returns a failure without numbers and locations, to compare it with other failures. */
function alike(/** @type {string} */ failure) {
  return failure.replace(/^.* threw /, '').replace(/\d+/g, 'N');
}

/** Returns the number of a Node executable in the order of the --node options. */
function number(/** @type {string} */ node) {
  return options.nodes.indexOf(node) + 1;
}

function command(/** @type {Run} */ run) {
  const asan = options.asan ? ' (in the environment of --asan)' : '';
  return `node --expose-gc fuzz/api/program.mjs --verbose ${runArguments(run).join(' ')}${asan}`;
}

function report() {
  const exceptions = Object.entries(sum.exceptions).sort(([, a], [, b]) => b - a);
  for (const [name, count] of exceptions) console.log(`${String(count).padStart(10)}  ${name}`);
  const states = Object.entries(sum.states).sort(([, a], [, b]) => b - a);
  for (const [name, count] of states) console.log(`${String(count).padStart(10)}  ${name}`);
  const members = Object.entries(sum.members);
  const called = members.filter(([, [succeeded, threw]]) => succeeded + threw > 0);
  // Constructors that throw on purpose and that users cannot call always appear in this list.
  const never = members
    .filter(([name, [succeeded]]) => succeeded === 0 && !name.startsWith('native '))
    .map(([name]) => name);
  const neverNative = members
    .filter(([name, [succeeded]]) => succeeded === 0 && name.startsWith('native '))
    .map(([name]) => name);
  console.log(`functions called: ${called.length} of ${members.length}`);
  console.log(`never succeeded: ${never.join(', ') || 'none'}`);
  console.log(`never succeeded in the native module: ${neverNative.join(', ') || 'none'}`);
  console.log(
    `API fuzzer: ${children} programs, first seed ${options.seed}, ${sum.calls} calls, ${sum.transfers} transfers compared, ` +
      `${sum.workers} workers terminated, ${failed} failed`,
  );
}

/** Builds the sanitized add-on. Returns the environment variables that make the programs load it. */
async function sanitized() {
  const { buildSanitizedAddon, proveSanitized, sanitizedEnvironment } =
    await import('../../scripts/sanitized/addon.mjs');
  buildSanitizedAddon();
  // Let reports go to standard error, so that they appear together with the output of the program.
  const made = sanitizedEnvironment();
  for (const node of options.nodes) proveSanitized(made, node);
  return made;
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '10' },
      seed: { type: 'string' },
      jobs: { type: 'string', default: '2' },
      calls: { type: 'string', default: '6000' },
      node: { type: 'string', multiple: true },
      asan: { type: 'boolean', default: false },
      'no-shrink': { type: 'boolean', default: false },
    },
  });
  return {
    seconds: Number(values.seconds),
    seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed),
    jobs: Number(values.jobs),
    calls: Number(values.calls),
    nodes: values.node ?? [process.execPath],
    asan: values.asan,
    shrink: !values['no-shrink'],
  };
}
