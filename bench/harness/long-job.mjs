// Runs the same work in one long synchronous job, or in many short jobs with an event loop turn after each. `node long-job.mjs
// WORK COUNT JOB` prints the nanoseconds per item, and how much the process has grown at the end of the last job. Finalizers run
// only between jobs, so an implementation that relies on them grows and slows down in a long job.
import { fileURLToPath } from 'node:url';

import { Access } from 'rdmavt';

import { Connection, postAndPoll } from './connection.mjs';
import { gaugesOf, runApart } from './own-process.mjs';
import { acquireRemote, PASS } from './requests.mjs';
import { collect, residentBytes } from './resident.mjs';
import { openDevice, World } from './world.mjs';

const here = fileURLToPath(import.meta.url);

/** @typedef {'acquire-put' | 'register-dereg' | 'post-poll'} Kind */

/** Requests, regions or work requests per short job. */
const SHORT = PASS;

/** Limit for the growth in MiB. V8's own heap grows and shrinks by up to this much. */
export const NO_GROWTH_MIB = 4;

/**
 * Returns gauges for one long job and for the same work in short jobs.
 *
 * @param {Kind} kind
 * @param {number} count
 * @param {string} label
 */
export function longJobs(kind, count, label) {
  const whole = Math.ceil(count / SHORT) * SHORT;
  const long = gaugesOf(() => runApart(here, [kind, whole, whole]), {
    time: `${label}, ${count.toLocaleString('en')} in one job`,
    growth: `process growth in one job`,
  });
  const short = gaugesOf(() => runApart(here, [kind, whole, SHORT]), {
    time: `${label}, jobs of ${SHORT.toLocaleString('en')}`,
    growth: `process growth in short jobs`,
  });
  return { long: long.time, growth: long.growth, short: short.time, shortGrowth: short.growth };
}

/**
 * Prepares the work of a kind.
 * @param {Kind} kind
 * @returns {{ work: (passes: number) => number, close: () => void }} a pass of `work` is a short job
 */
function prepare(kind) {
  if (kind === 'acquire-put') {
    const world = new World(1024);
    return { work: acquireRemote(world, '').run, close: () => world.close() };
  }
  if (kind === 'post-poll') {
    const connection = new Connection();
    return { work: postAndPoll(connection, SHORT).run, close: () => connection.close() };
  }
  const device = openDevice();
  const pd = device.allocPd();
  const memory = new Uint8Array(4096);
  return {
    work(passes) {
      let registered = 0;
      for (let left = passes * SHORT; left > 0; left--) {
        const region = pd.regUserMr(memory, { access: Access.LocalWrite });
        registered++;
        region.dereg();
      }
      return registered;
    },
    close: () => device.close({ cascade: true }),
  };
}

/**
 * Measures one run and prints the figures.
 * @param {Kind} kind
 * @param {number} count
 * @param {number} job
 */
async function main(kind, count, job) {
  const { work, close } = prepare(kind);
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  /** @param {number} left @param {number} size */
  const jobs = async (left, size) => {
    let done = 0;
    for (; left > 0; left -= size) {
      done += work(size / SHORT);
      await turn();
    }
    return done;
  };
  // Warm up until the code is compiled and V8's heap has its final size.
  await jobs(Math.min(count, 128 * SHORT), SHORT);
  await collect();
  const before = residentBytes();
  const begin = performance.now();
  let done = 0;
  let growth = 0;
  for (let left = count; left > 0; left -= job) {
    done += work(job / SHORT);
    if (left === job) growth = residentBytes() - before;
    await turn();
  }
  const time = performance.now() - begin;
  if (done !== count) throw new Error(`${kind}: ${done} of ${count} were accepted`);
  process.stdout.write(JSON.stringify({ time: (time * 1e6) / count, growth: growth / 2 ** 20 }));
  close();
}

if (process.argv[1] === here) {
  const [kind, count, job] = process.argv.slice(2);
  await main(/** @type {Kind} */ (kind), Number(count), Number(job));
}
