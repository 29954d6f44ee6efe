// Calls everything that the package exports with everything that JavaScript has, at random:
//
//   npm run fuzz:api -- [--seconds N] [--seed N] [--jobs N] [--calls N] [--node PATH]... [--asan] [--no-shrink]
//
// Programs of random calls run as processes of their own (program.mjs). None may ever crash, hang, be told something
// unforeseen, or find a byte changed that no call may touch. What fails is printed with the command that repeats it, and with as
// few calls as still fail.
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
/** After so many different ones it is known that something is wrong. */
const MOST_FAILURES = 5;
/** One program in so many has other threads: those make what happens depend on the clock. */
const THREADS_EVERY = 3;

const options = readOptions();
const folder = mkdtempSync(join(tmpdir(), 'rdmavt-fuzz-'));
const environment = options.asan ? await sanitized() : {};
const sum = newAccount();
let children = 0;
let failed = 0;
/** What failed, to be told once. @type {Set<string>} */
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
  console.log(`again:  ${command(run)}`);
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
      : 'It does not fail again by itself: it was a matter of time.',
  );
}

/** What went wrong, without where it was. */
function alike(/** @type {string} */ failure) {
  return failure.replace(/^.* threw /, '').replace(/\d+/g, 'N');
}

/** Which of the versions of Node. */
function number(/** @type {string} */ node) {
  return options.nodes.indexOf(node) + 1;
}

function command(/** @type {Run} */ run) {
  const asan = options.asan ? ' (with the environment of --asan)' : '';
  return `node --expose-gc fuzz/api/program.mjs --verbose ${runArguments(run).join(' ')}${asan}`;
}

function report() {
  const exceptions = Object.entries(sum.exceptions).sort(([, a], [, b]) => b - a);
  for (const [name, count] of exceptions) console.log(`${String(count).padStart(10)}  ${name}`);
  const members = Object.entries(sum.members);
  const called = members.filter(([, [succeeded, threw]]) => succeeded + threw > 0);
  // That constructors which nobody may call always throw is as it should be.
  const never = members
    .filter(([name, [succeeded]]) => succeeded === 0 && !name.startsWith('native '))
    .map(([name]) => name);
  const neverNative = members
    .filter(([name, [succeeded]]) => succeeded === 0 && name.startsWith('native '))
    .map(([name]) => name);
  console.log(`members called: ${called.length} of ${members.length}`);
  console.log(`never successfully: ${never.join(', ') || 'none'}`);
  console.log(`never successfully: ${neverNative.join(', ') || 'none of the native module'}`);
  console.log(
    `API fuzzer: ${children} programs from seed ${options.seed} on, ${sum.calls} calls, ${sum.transfers} transfers compared, ` +
      `${sum.workers} workers terminated, ${failed} failed`,
  );
}

/** Builds the sanitized add-on, and makes the programs take it. */
async function sanitized() {
  const { buildSanitizedAddon, proveSanitized, sanitizedEnvironment } =
    await import('../../scripts/sanitized/addon.mjs');
  buildSanitizedAddon();
  // No file for a report: it is to be seen with the program that it is about.
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
