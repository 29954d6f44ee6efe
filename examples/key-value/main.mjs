#!/usr/bin/env node
// A key-value store whose values are read by RDMA. The main thread keeps the values in registered shared memory; clients in four
// worker threads read them with RDMA_READ, by address and rkey. While they read, the store deletes half of the values, one after
// the other, and stores new values in the same memory. A deleted value must be dead at once: from then on each read of it must
// fail, and no read may return bytes of another value. The clients check this for every read.
//
//     node examples/key-value/main.mjs [--keys N] [--reads N] [--seed N]      (--help explains them)
//
// Prints the refused requests with their explanations, and a checksum of all values at the end, which depends only on the
// arguments. Exit status: 0 if every answer was right, else 1.
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';

import { heading, refusalTable, table } from './report.mjs';
import { Store } from './store.mjs';
import { Checksum, random, valueOf } from './values.mjs';

const CLIENTS = 4;
const MOST_KEYS = 10_000;
const MOST_READS = 1e7;
const MOST_SEED = 2 ** 31;

const USAGE = `usage: node examples/key-value/main.mjs [--keys N] [--reads N] [--seed N]

  --keys N     values that are stored at first, 2 to ${MOST_KEYS.toLocaleString('en')} (default 256)
  --reads N    reads of each client while values are deleted, 0 to ${MOST_READS.toLocaleString('en')} (default 3000)
  --seed N     chooses the values and the order of the deletions, 0 to ${MOST_SEED.toLocaleString('en')} (default 1)
  --help       print this text`;

/** @typedef {import('./client.mjs').Refusal} Refusal */
/** @typedef {import('./report.mjs').ExplainedRefusal} ExplainedRefusal */

/**
 * What a client found.
 *
 * @typedef {object} Result
 * @property {string} checksum of the values that the store has at the end
 * @property {number} accepted how many reads succeeded
 * @property {Refusal[]} refusals
 * @property {string[]} violations descriptions of wrong answers
 */

/**
 * Reads a whole number from the command line.
 *
 * @param {string} text
 * @param {string} name of the argument
 * @param {number} least
 * @param {number} most
 */
function wholeNumber(text, name, least, most) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most) {
    const range = `${least.toLocaleString('en')} to ${most.toLocaleString('en')}`;
    throw new Error(`--${name} must be a whole number from ${range}, not '${text}'`);
  }
  return value;
}

/** Deletes half of the values of a store in random order, and stores a new value in the memory of each. */
class Deletions {
  #store;
  #victims;
  #firstNew;
  done = 0;

  /**
   * @param {Store} store
   * @param {number} seed
   */
  constructor(store, seed) {
    const { keys } = store;
    const next = random(seed);
    const ranked = keys.map((key) => ({ key, rank: next() })).sort((a, b) => a.rank - b.rank);
    this.#store = store;
    this.#victims = ranked.slice(0, keys.length >> 1).map(({ key }) => key);
    this.#firstNew = keys.length;
  }

  get count() {
    return this.#victims.length;
  }

  /** Deletes the next value. */
  next() {
    const victim = this.#victims[this.done];
    if (victim === undefined) return;
    const place = this.#store.delete(victim);
    this.#store.put(this.#firstNew + this.done, place);
    this.done++;
  }

  /** Deletes all values that are left to delete. */
  finish() {
    while (this.done < this.count) this.next();
  }
}

/**
 * Runs the clients while the store deletes values.
 *
 * @param {Store} store
 * @param {Deletions} deletions
 * @param {{ seed: number, reads: number, states: Uint8Array }} options
 * @returns {Promise<{ results: Result[], refusals: ExplainedRefusal[] }>}
 */
async function serve(store, deletions, { seed, reads, states }) {
  const offers = store.keys.map((key) => store.offer(key));
  const foreign = store.foreign.advertise();
  const token = store.device.share();
  /** @type {Result[]} */
  const results = [];
  /** @type {ExplainedRefusal[]} */
  const refusals = [];
  /** @type {Worker[]} */
  const waiting = [];
  const clients = Array.from({ length: CLIENTS }, (_, index) => {
    const qp = store.createQp();
    const reports = Math.ceil(deletions.count / CLIENTS);
    const task = { token, peer: qp.qpn, index, seed, reads, reports, states, offers, foreign };
    const client = new Worker(new URL('client.mjs', import.meta.url), { workerData: task });
    client.on('message', (message) => {
      if (message.what === 'connect') {
        store.connect(qp, message.qpn);
        client.postMessage('connected');
      } else if (message.what === 'progress') {
        deletions.next();
      } else if (message.what === 'done') {
        waiting.push(client);
        if (waiting.length < CLIENTS) return;
        deletions.finish();
        const final = store.keys.map((key) => store.offer(key));
        for (const each of waiting) each.postMessage(final);
      } else if (message.what === 'result') {
        results.push(message);
        for (const refusal of message.refusals) {
          refusals.push({ ...refusal, store: store.explain(qp, refusal.request) });
        }
      }
    });
    return client;
  });
  try {
    // `once` rejects if a client fails.
    await Promise.all(clients.map((client) => once(client, 'exit')));
  } catch (error) {
    await Promise.all(clients.map((client) => client.terminate()));
    throw error;
  }
  return { results, refusals };
}

/**
 * Returns the checksum of the values that belong to the given keys, computed from the seed and not from the store's memory.
 *
 * @param {number} seed
 * @param {readonly number[]} keys
 */
function expectedChecksum(seed, keys) {
  const checksum = new Checksum();
  for (const key of keys) checksum.add(key, valueOf(seed, key));
  return checksum.text();
}

/** @param {number} count */
const whole = (count) => count.toLocaleString('en');

/** @returns {Promise<boolean>} whether every answer was right; true as well if only help was printed */
async function main() {
  const { values } = parseArgs({
    options: {
      keys: { type: 'string', default: '256' },
      reads: { type: 'string', default: '3000' },
      seed: { type: 'string', default: '1' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return true;
  }
  const keys = wholeNumber(values.keys, 'keys', 2, MOST_KEYS);
  const reads = wholeNumber(values.reads, 'reads', 0, MOST_READS);
  const seed = wholeNumber(values.seed, 'seed', 0, MOST_SEED);
  const states = new Uint8Array(new SharedArrayBuffer(2 * keys)); // also for the keys of new values
  const store = new Store(keys, seed, states);
  try {
    for (let key = 0; key < keys; key++) store.put(key, key);
    const deletions = new Deletions(store, seed);
    const { results, refusals } = await serve(store, deletions, { seed, reads, states });
    const expected = expectedChecksum(seed, store.keys);
    const violations = results.flatMap((result) => result.violations);
    const same = results.filter(({ checksum }) => checksum === expected).length;
    const dead = refusals.filter(({ access }) => access === 'read a deleted value').length;
    const accepted = results.reduce((sum, result) => sum + result.accepted, 0);

    heading('Refused requests');
    refusalTable(refusals);
    heading('Result');
    table([
      ['values stored', whole(keys + deletions.done)],
      ['values deleted', whole(deletions.done)],
      ['reads with the right bytes', whole(accepted - violations.length)],
      ['reads of deleted values, refused', `${whole(dead)} (${CLIENTS} clients, each key once)`],
      ['wrong answers', whole(violations.length)],
      ['checksum of the stored values', expected],
      ['clients that read the same', `${same} of ${CLIENTS}`],
    ]);
    for (const violation of violations.slice(0, 10)) console.error(`key-value: ${violation}`);
    return violations.length === 0 && same === CLIENTS && dead === CLIENTS * deletions.count;
  } finally {
    store.close();
  }
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  const [line] = (error instanceof Error ? error.message : String(error)).split('\n');
  console.error(`key-value: ${line}`);
  process.exitCode = 1;
}
