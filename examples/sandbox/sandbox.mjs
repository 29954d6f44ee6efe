// The host's side: starts a plugin in a worker thread, gives it windows into the host's memory, and cuts it off if it reaches for more.
// What a plugin can read and write is decided by the checks of its device alone, whatever its code does with the numbers it was given.
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { Access, Device } from 'rdmavt';

/** How often the counters of a running plugin are looked at, in milliseconds. */
const WATCH_MS = 5;
/** How long the library of a plugin may take to explain a refusal. A refused plugin can do meanwhile what it may, and no more. */
const EXPLAIN_MS = 1000;

/**
 * How a plugin ended.
 *
 * @typedef {object} Outcome
 * @property {'finished' | 'failed' | 'cut off'} end
 * @property {string} [reason] of the refusal, or `Time`
 * @property {string} [text] the explanation
 * @property {boolean} [isOver] after it was cut off: whether its output changed no more, though its thread was still running
 */

/**
 * Waits until a plugin ends, is refused, or takes too long.
 *
 * @param {Worker} worker
 * @param {Device} device
 * @param {number} limitMs
 * @returns {Promise<Outcome>}
 */
async function watch(worker, device, limitMs) {
  let hasEnded = false;
  /** @type {string | undefined} */
  let error;
  /** @type {string | undefined} */
  let told;
  worker.once('exit', () => (hasEnded = true));
  worker.once('error', ({ message }) => (error = message));
  worker.on('message', (text) => (told ??= String(text)));
  const begin = performance.now();
  while (!hasEnded && performance.now() - begin < limitMs) {
    if (device.counters().refused > 0) break;
    await setTimeout(WATCH_MS);
  }
  // The device's counters say whether it was refused. The plugin may say why, or be silent.
  const [reason] = Object.keys(device.counters().reasons);
  if (reason !== undefined) {
    for (let waited = 0; told === undefined && !hasEnded && waited < EXPLAIN_MS; waited += WATCH_MS)
      await setTimeout(WATCH_MS);
    return {
      end: 'cut off',
      reason,
      text: told ?? 'The device has counted it; the plugin has told nothing.',
    };
  }
  if (!hasEnded) return { end: 'cut off', reason: 'Time', text: `It has taken more than ${limitMs} ms.` };
  return error === undefined ? { end: 'finished' } : { end: 'failed', text: error };
}

/**
 * Runs a plugin until it ends or is cut off.
 *
 * @param {URL} plugin a module
 * @param {object} windows into memory of the host; the plugin never gets the memory itself
 * @param {Uint8Array} windows.input that it may read, over a SharedArrayBuffer
 * @param {Uint8Array} windows.output that it may read and write, over a SharedArrayBuffer
 * @param {number} limitMs how long it may take
 * @returns {Promise<Outcome>}
 */
export async function runPlugin(plugin, { input, output }, limitMs) {
  // A device of its own: its counters are those of the plugin, and closing it takes back all that the plugin has.
  const device = new Device();
  const pd = device.allocPd();
  const { LocalWrite, RemoteRead, RemoteWrite } = Access;
  const workerData = {
    token: device.share({ pd }), // of this domain only: no queues, no other domain, no closing
    pd: pd.id,
    input: pd.regUserMr(input, { access: RemoteRead }).advertise(),
    output: pd.regUserMr(output, { access: LocalWrite | RemoteRead | RemoteWrite }).advertise(),
  };
  const worker = new Worker(plugin, { workerData, env: {}, resourceLimits: { maxOldGenerationSizeMb: 64 } });
  const exited = new Promise((resolve) => worker.once('exit', resolve));
  const outcome = await watch(worker, device, limitMs);
  device.close({ cascade: true }); // its keys, and what it still holds, are void when this returns
  if (outcome.end === 'cut off') {
    const last = Buffer.from(output);
    await setTimeout(2 * WATCH_MS);
    outcome.isOver = last.equals(output);
    await worker.terminate(); // even if it never ends by itself
  }
  await exited;
  return outcome;
}
