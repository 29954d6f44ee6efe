#!/usr/bin/env node
// Two worker threads send a message back and forth over one device: with SEND and RECV, each thread polling its own completion
// queue; then, for comparison, with postMessage over a MessageChannel between the same two threads. Prints a histogram of the
// round-trip times of both.
//
//     node examples/ping-pong/main.mjs [--rounds N] [--size BYTES]      (defaults: 20000 round trips, 64 bytes; --help)
//
// Exit status: 0 if every message came back unchanged and nothing is left on the device, else 1.
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { MessageChannel, Worker } from 'node:worker_threads';

import { Device } from 'rdmavt';

import { histogram, percentile, time } from './histogram.mjs';

/** Largest message in bytes. */
const MOST_BYTES = 2 ** 20;
const MOST_ROUNDS = 1e7;

const USAGE = `usage: node examples/ping-pong/main.mjs [--rounds N] [--size BYTES]

  --rounds N      round trips of each kind, 1 to ${MOST_ROUNDS.toLocaleString('en')} (default 20000)
  --size BYTES    length of a message, 1 to ${MOST_BYTES.toLocaleString('en')} (default 64)
  --help          print this text`;

/**
 * Measured times of round trips in microseconds.
 *
 * @typedef {object} Times
 * @property {Float64Array} rdma SEND and RECV
 * @property {Float64Array} message postMessage
 */

/**
 * Reads a whole number from the command line.
 *
 * @param {string} text
 * @param {string} name of the argument
 * @param {number} most
 */
function wholeNumber(text, name, most) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new Error(`--${name} must be a whole number from 1 to ${most.toLocaleString('en')}, not '${text}'`);
  }
  return value;
}

/**
 * Starts both players and returns the times that the first one measured.
 *
 * @param {Device} device
 * @param {import('rdmavt').ProtectionDomain} pd
 * @param {number} rounds
 * @param {number} size of a message in bytes
 */
async function play(device, pd, rounds, size) {
  const { port1, port2 } = new MessageChannel();
  const ports = [port1, port2];
  const players = ports.map(
    (port, i) =>
      new Worker(new URL('player.mjs', import.meta.url), {
        workerData: { token: device.share(), pd: pd.id, port, isFirst: i === 0, rounds, size },
        transferList: [port],
      }),
  );
  /** @type {Times | undefined} */
  let times;
  players[0]?.once('message', (answer) => (times = answer));
  try {
    // `once` rejects if a player fails.
    await Promise.all(players.map((player) => once(player, 'exit')));
  } catch (error) {
    // The other player may be polling for a message that never comes.
    await Promise.all(players.map((player) => player.terminate()));
    throw error;
  }
  if (times === undefined) throw new Error('no times were measured');
  return times;
}

/** @param {Device} device */
function leftOn(device) {
  const { queuePairs, completionQueues, regions, elements } = device.resources();
  return queuePairs.length + completionQueues.length + regions.length + elements.length;
}

/**
 * @param {string} title
 * @param {Float64Array} times
 */
function report(title, times) {
  console.log(`\n${title}\n`);
  for (const line of histogram(times)) console.log(`  ${line}`);
  const parts = [50, 90, 99].map((percent) => `p${percent} ${time(percentile(times, percent))}`);
  console.log(`\n  ${parts.join('   ')}   max ${time(times.at(-1) ?? NaN)}`);
}

async function main() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '20000' },
      size: { type: 'string', default: '64' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const rounds = wholeNumber(values.rounds, 'rounds', MOST_ROUNDS);
  const size = wholeNumber(values.size, 'size', MOST_BYTES);
  const device = new Device();
  try {
    const pd = device.allocPd();
    const { rdma, message } = await play(device, pd, rounds, size);
    rdma.sort();
    message.sort();
    console.log(
      `Ping-pong between two workers: ${rounds.toLocaleString('en')} round trips of ${size.toLocaleString('en')} bytes`,
    );
    report('SEND and RECV, both threads poll', rdma);
    report('postMessage, both threads wait for events', message);
    const ratio = percentile(rdma, 50) / percentile(message, 50);
    console.log(
      `\nThe median round trip by SEND and RECV takes ${ratio.toFixed(2)} times as long as by postMessage.`,
    );
    const left = leftOn(device);
    if (left > 0) throw new Error(`the players have left ${left} objects on the device`);
    console.log('Every message came back unchanged. The players have released everything.');
    pd.dealloc();
  } finally {
    device.close({ cascade: true });
  }
}

try {
  await main();
} catch (error) {
  const [line] = (error instanceof Error ? error.message : String(error)).split('\n');
  console.error(`ping-pong: ${line}`);
  process.exitCode = 1;
}
