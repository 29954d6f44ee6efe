// Measures perftest between two processes of the libibverbs shim, beside plain UDP between two processes:
//
//   node scripts/two-processes-rates.mjs [ROUNDS]   (default: 5)
//
// The rounds of all are interleaved, because the machine may be busy; the table has medians. Needs perftest, libibverbs-dev and gcc.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildIbverbs } from './build-ibverbs.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const directory = join(root, 'build', 'two-processes');
const plainUdp = join(directory, 'plain_udp');
const LIMIT_MS = 60_000;
const SERVER = networkAddress(5);
const CLIENT = networkAddress(6);
/** As many bytes as the bandwidth tests of perftest send. */
const MESSAGES = 2000;
const MESSAGE_BYTES = 65_536;
const PACKETS = (MESSAGES * MESSAGE_BYTES) / 4096;
const TURNS = 5000;

/** @typedef {{ name: string, unit: string, measure: () => Promise<number> }} Measurement */

/** Columns of perftest's row: bytes, iterations, then peak and average MB/s, or least, greatest and typical microseconds. */
const AVERAGE = 3;
const TYPICAL = 4;
const bandwidth = ['-n', String(MESSAGES), '-s', String(MESSAGE_BYTES), '-m', '4096'];
const latency = ['-n', String(TURNS), '-s', '64', '-m', '4096'];

/** @type {Measurement[]} */
const measurements = [
  { name: 'plain UDP, 4 KiB datagrams', unit: 'MB/s', measure: () => plain('bw', PACKETS) },
  ...['ib_write_bw', 'ib_read_bw', 'ib_send_bw'].map((program) => ({
    name: `${program} 64 KiB`,
    unit: 'MB/s',
    measure: () => perftest(program, bandwidth, AVERAGE),
  })),
  { name: 'plain UDP, 64 bytes, half a round trip', unit: 'us', measure: () => plain('lat', TURNS) },
  ...['ib_send_lat', 'ib_write_lat', 'ib_read_lat'].map((program) => ({
    name: `${program} 64 bytes`,
    unit: 'us',
    measure: () => perftest(program, latency, TYPICAL),
  })),
];

try {
  await main(Number(process.argv[2] ?? 5));
} catch (error) {
  console.error(`two-processes-rates: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}

/** @param {number} rounds */
async function main(rounds) {
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('the number of rounds is not 1 or more');
  buildIbverbs('plain');
  compilePlainUdp();
  /** @type {number[][]} */
  const results = measurements.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { measure }] of measurements.entries()) results[i]?.push(await measure());
  }
  console.log(`medians of ${rounds} rounds\n`);
  /** @type {Record<string, number>} */
  const plainOf = {};
  for (const [i, { name, unit }] of measurements.entries()) {
    const median = medianOf(results[i] ?? []);
    plainOf[unit] ??= median; // the first of a unit is plain UDP
    const ratio = (median / (plainOf[unit] ?? NaN)).toFixed(2);
    console.log(
      `${name.padEnd(40)} ${median.toFixed(2).padStart(9)} ${unit.padEnd(4)} ${ratio.padStart(6)} of plain UDP`,
    );
  }
}

function compilePlainUdp() {
  mkdirSync(directory, { recursive: true });
  const source = join(root, 'test', 'two-processes', 'plain_udp.c');
  const flags = ['-std=c11', '-O2', '-Wall', '-Wextra', '-Wshadow', '-Wformat=2', '-Werror'];
  const { status } = spawnSync(process.env.CC ?? 'gcc', [...flags, source, '-o', plainUdp], {
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('plain_udp does not compile');
}

/** @param {number[]} numbers */
function medianOf(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? NaN;
}

/**
 * An address of this host. Other runs at the same time have others.
 * @param {number} number
 */
function networkAddress(number) {
  return `127.${1 + ((process.pid >> 8) % 254)}.${process.pid & 255}.${number}`;
}

/**
 * Starts a program. `ready` resolves with its first output.
 * @param {string} file
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 */
function start(file, args, env) {
  const child = spawn(file, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  let problems = '';
  child.stderr.setEncoding('utf8').on('data', (/** @type {string} */ text) => (problems += text));
  const ready = new Promise((resolve) => child.stdout.once('data', resolve).once('end', resolve));
  child.stdout.setEncoding('utf8').on('data', (/** @type {string} */ text) => (output += text));
  /** @type {Promise<string>} */
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) resolve(output);
      else reject(new Error(`${[file, ...args].join(' ')} ended with ${status ?? signal}\n${problems}`));
    });
  });
  ended.catch(() => undefined); // whoever awaits it is told
  return { ready, ended, child };
}

/**
 * @param {'bw' | 'lat'} kind
 * @param {number} packets
 */
async function plain(kind, packets) {
  const server = start(plainUdp, ['serve', kind, SERVER, String(packets)]);
  await server.ready;
  const client = start(plainUdp, ['ask', kind, CLIENT, String(packets), SERVER]);
  const output = await client.ended;
  await server.ended;
  return Number(output);
}

/**
 * Returns a column of the row that the client prints.
 * @param {string} program
 * @param {string[]} options
 * @param {number} column
 */
async function perftest(program, options, column) {
  const shim = join(root, 'scripts', 'with-rdmavt');
  const port = String(20_000 + (process.pid % 10_000));
  const args = [program, ...options, '-p', port];
  const server = start(shim, args, { RDMAVT_ADDRESS: SERVER });
  await new Promise((resolve) => setTimeout(resolve, 1000)); // until it listens
  try {
    const output = await start(shim, [...args, '127.0.0.1'], { RDMAVT_ADDRESS: CLIENT }).ended;
    await server.ended;
    const row = output.split('\n').find((line) => line.trim().startsWith(`${options[3]} `));
    return Number(row?.trim().split(/\s+/)[column]);
  } finally {
    server.child.kill('SIGKILL');
  }
}
