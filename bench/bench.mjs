// Implements `rdmavt bench` (`npm run bench`): runs the benchmarks in this folder, one per file, and prints the results.
//
// The package ships these plain modules unchanged, outside of lib/. They import the package by its name, as users do, so anyone
// who doubts a figure can read and change the benchmark without building anything. lib/cli/bench-command.ts parses the command
// line; harness/ contains code that several benchmarks share.
import { availableParallelism, cpus, platform } from 'node:os';

import acquirePut from './acquire-put.mjs';
import acquirePutTwoThreads from './acquire-put-two-threads.mjs';
import batchFilledFromNumbers from './batch-filled-from-numbers.mjs';
import batchNothingFilled from './batch-nothing-filled.mjs';
import batchOneInSixteenRefused from './batch-one-in-sixteen-refused.mjs';
import batchPlacesRead from './batch-places-read.mjs';
import batchRegions65536 from './batch-regions-65536.mjs';
import batchSizes from './batch-sizes.mjs';
import blockStore from './block-store.mjs';
import closeCascade from './close-cascade.mjs';
import coldCaches from './cold-caches.mjs';
import copyLarge from './copy-large.mjs';
import copySmall from './copy-small.mjs';
import countedRegions from './counted-regions.mjs';
import deregWhileCopying from './dereg-while-copying.mjs';
import explainCapture from './explain-capture.mjs';
import fields from './fields.mjs';
import firstRegionMemory from './first-region-memory.mjs';
import gather4096 from './gather-4096.mjs';
import gather64 from './gather-64.mjs';
import { answerApart } from './harness/apart.mjs';
import { markdown, Table } from './harness/report.mjs';
import { FULL, SMOKE } from './harness/rounds.mjs';
import listToList from './list-to-list.mjs';
import makeObjects from './make-objects.mjs';
import manyQueuePairs from './many-queue-pairs.mjs';
import objectMemory from './object-memory.mjs';
import pageList from './page-list.mjs';
import pageList256 from './page-list-256.mjs';
import pingPong from './ping-pong.mjs';
import postPoll from './post-poll.mjs';
import queuePairMemory from './queue-pair-memory.mjs';
import registerDereg from './register-dereg.mjs';

import registerLongJob from './register-long-job.mjs';
import registration from './registration.mjs';
import registrationCache from './registration-cache.mjs';
import requestAcquirePut from './request-acquire-put.mjs';
import requestCheck from './request-check.mjs';
import requestCopy from './request-copy.mjs';
import requestLongJob from './request-long-job.mjs';
import scatter from './scatter.mjs';
import sequentialKeys from './sequential-keys.mjs';
import singleCheck from './single-check.mjs';
import startUp from './start-up.mjs';
import twoThreads from './two-threads.mjs';
import wireRead from './wire-read.mjs';
import wireWrite from './wire-write.mjs';
import workRequestBatches from './work-request-batches.mjs';
import workRequestLongJob from './work-request-long-job.mjs';

/** @typedef {import('./harness/question.mjs').Question} Question */
/** @typedef {import('./harness/question.mjs').Row} Row */

/**
 * All benchmarks in the order in which they run. Whole requests through the facade come first.
 *
 * @type {readonly Question[]}
 */
const all = [
  requestAcquirePut,
  requestCopy,
  requestCheck,
  requestLongJob,
  blockStore,
  workRequestBatches,
  postPoll,
  manyQueuePairs,
  workRequestLongJob,
  pingPong,
  // Endpoints exist on Linux only.
  ...(platform() === 'linux' ? [wireWrite, wireRead] : []),
  registerDereg,
  registrationCache,
  registerLongJob,
  fields,
  explainCapture,
  batchNothingFilled,
  batchFilledFromNumbers,
  batchRegions65536,
  batchPlacesRead,
  batchOneInSixteenRefused,
  acquirePut,
  gather64,
  gather4096,
  scatter,
  listToList,
  singleCheck,
  pageList,
  pageList256,
  registration,
  copySmall,
  copyLarge,
  twoThreads,
  acquirePutTwoThreads,
  deregWhileCopying,
  countedRegions,
  sequentialKeys,
  coldCaches,
  closeCascade,
  makeObjects,
  objectMemory,
  queuePairMemory,
  firstRegionMemory,
  startUp,
  batchSizes,
];

/**
 * @typedef {object} Options
 * @property {readonly string[]} only names of the benchmarks to run, which are the names of their files; empty: all
 * @property {boolean} smoke run every benchmark briefly; the figures are meaningless and are not compared with the targets
 * @property {'table' | 'json' | 'markdown'} format
 */

/**
 * The result of a run, as printed by `--json`.
 *
 * @typedef {object} Result
 * @property {string} node
 * @property {string} platform
 * @property {string} cpu
 * @property {number} cores
 * @property {string} date
 * @property {boolean} smoke
 * @property {number} rounds number of rounds, except for benchmarks that set their own
 * @property {Row[]} rows
 * @property {Record<string, number>} ratios median ratio of each compared row, by row name
 */

/**
 * Runs benchmarks and prints the results.
 * @param {Options} options
 * @param {{ stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream }} out
 * @returns {number} the exit status
 */
export function bench({ only, smoke, format }, { stdout, stderr }) {
  const asked = all.filter(({ name }) => only.length === 0 || only.includes(name));
  const table = new Table(stdout);
  const machine = about();
  if (format === 'table') table.head(machine, smoke);
  /** @type {Row[]} */
  const rows = [];
  for (const question of asked) {
    if (format !== 'table' && stderr.isTTY) stderr.write(`${question.name}\n`);
    const answered = answerApart(question.name, smoke);
    if (!answered) return 1;
    rows.push(...answered);
    if (format === 'table') table.answer(question, answered);
  }
  const result = resultOf(machine, smoke, rows);
  if (format === 'json') stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  else if (format === 'markdown') stdout.write(markdown(result, all));
  else table.end(rows, smoke);
  return 0;
}

/** Describes the machine and the time of the run. */
function about() {
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    date: new Date().toISOString(),
  };
}

/**
 * Returns the result that `--json` prints.
 * @param {ReturnType<typeof about>} machine
 * @param {boolean} smoke
 * @param {Row[]} rows
 * @returns {Result}
 */
function resultOf(machine, smoke, rows) {
  const compared = rows.filter(({ ratio }) => ratio !== null);
  return {
    ...machine,
    smoke,
    rounds: smoke ? SMOKE.rounds : FULL.rounds,
    rows,
    ratios: Object.fromEntries(compared.map(({ name, ratio }) => [name, ratio ?? NaN])),
  };
}
