#!/usr/bin/env node
// A double of an NVMe-over-Fabrics target, and random capsules whose answers are known from a table: the double must give exactly these,
// and a refused command must move no byte, neither in the namespace nor in the host's memory.
//
//     node examples/nvme-target-double/main.mjs [--capsules N] [--seed N]
//
// Exit status: 0 if every answer was right, else 1.
import { parseArgs } from 'node:util';

import { Device } from 'rdmavt';

import { randomCapsule, randomNumbers, table } from './capsules.mjs';
import { Host } from './host.mjs';
import { Memory } from './memory.mjs';
import { statusName } from './status.mjs';
import { TargetDouble } from './target.mjs';

const DEPTH = 8;

/**
 * Reads a whole number from the command line.
 *
 * @param {string} text
 * @param {string} name
 * @param {number} least
 */
function wholeNumber(text, name, least) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > 2 ** 31)
    throw new Error(`--${name} must be a whole number of at least ${least}, not '${text}'`);
  return value;
}

/** Throws unless two values are the same. @param {string} what @param {unknown} is @param {unknown} wanted */
function mustBe(what, is, wanted) {
  if (is !== wanted) throw new Error(`${what}: ${String(is)} instead of ${String(wanted)}`);
}

/** @param {number} status */
const shown = (status) => `0x${status.toString(16).padStart(3, '0')} ${statusName(status)}`;

/**
 * Sends a random capsule and judges the answer.
 *
 * @param {Host} host
 * @param {Memory} memory
 * @param {import('./capsules.mjs').Random} random
 */
async function tryOne(host, memory, random) {
  const { fast, regions } = memory.register();
  const { command, rows, status, good, invalidated } = randomCapsule(random, regions);
  const answer = await host.send(command);
  const what = `${good.kind}, ${good.layout}${rows.map(({ name }) => `, ${name}`).join('')}`;
  mustBe(what, shown(answer.status), shown(status));
  mustBe(`${what}: do not retry`, answer.doNotRetry, status !== 0);
  mustBe(`${what}: key that was invalidated`, answer.invalidatedRkey, invalidated);
  mustBe(`${what}: state of that region`, fast.mr.state, invalidated === undefined ? 'Valid' : 'Invalid');
  if (status === 0) memory.apply(good);
  mustBe(`${what}: bytes`, memory.differences().join(), '');
  fast.release();
  return { rows, ...answer };
}

/**
 * Sends random capsules, and prints how many had which answer.
 *
 * @param {Host} host
 * @param {TargetDouble} target
 * @param {number} capsules
 * @param {number} seed
 */
async function run(host, target, capsules, seed) {
  const random = randomNumbers(seed);
  const memory = new Memory(host, target.blocks, random);
  mustBe('a read before Connect', shown((await host.send({ opcode: 2, nsid: 1 })).status), shown(0x00c));
  mustBe('Connect', shown((await host.connect(target.subsystem, 1, 1)).status), shown(0));
  /** @type {Map<number, number>} */
  const answers = new Map();
  const used = new Set();
  let last = '';
  for (let i = 0; i < capsules; i++) {
    const { rows, status, head } = await tryOne(host, memory, random);
    mustBe('head of the queue', head, (i + 3) % DEPTH);
    answers.set(status, (answers.get(status) ?? 0) + 1);
    for (const row of rows) used.add(row);
    if (status === 0x004) last = target.explanation ?? '';
  }
  for (const [status, count] of [...answers].sort(([a], [b]) => a - b))
    console.log(`  ${String(count).padStart(6)}  ${shown(status)}`);
  console.log(
    `${used.size} of the table's ${table.length} rows were used. All answers and all bytes were right.`,
  );
  if (last !== '') console.log(`The last DATA_TRANSFER_ERROR: ${last}`);
}

async function main() {
  const { values } = parseArgs({
    options: { capsules: { type: 'string', default: '1000' }, seed: { type: 'string', default: '1' } },
  });
  const capsules = wholeNumber(values.capsules, 'capsules', 1);
  const seed = wholeNumber(values.seed, 'seed', 0);
  const device = new Device();
  const target = new TargetDouble(device);
  const host = new Host(device);
  try {
    target.accept(host.qp);
    console.log(`${capsules.toLocaleString('en')} random capsules, seed ${seed}`);
    await run(host, target, capsules, seed);
  } finally {
    target.close();
    device.close({ cascade: true });
  }
}

main().catch((/** @type {unknown} */ error) => {
  console.error(`nvme-target-double: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
