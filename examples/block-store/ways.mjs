// Three ways to read a whole store, block by block, and how long each takes.
import { createHash } from 'node:crypto';

/** Rounds of all ways; the median counts, and the first round is for the compiler. */
const ROUNDS = 5;

/**
 * @typedef {object} Way
 * @property {string} name
 * @property {(blocks: readonly import('./initiator.mjs').Block[]) => void} readAll
 */

/**
 * @param {import('./initiator.mjs').BlockReader} reader
 * @param {import('./target.mjs').BlockTarget} target
 * @param {number} batch blocks in a batch
 * @returns {[plain: Way, single: Way, batches: Way]}
 */
export function waysToRead(reader, target, batch) {
  const { content } = target;
  const { buffer } = reader;
  return [
    {
      // What the others are compared with: nothing is checked.
      name: 'plain copy, Uint8Array.set',
      readAll(blocks) {
        for (const { offset, length } of blocks) {
          buffer.set(content.subarray(offset, offset + length), offset);
        }
      },
    },
    {
      name: 'single verbs',
      readAll(blocks) {
        for (const { offset, length } of blocks) reader.read(target, offset, length);
      },
    },
    {
      name: `batches of ${batch}`,
      readAll(blocks) {
        for (let first = 0; first < blocks.length; first += batch) {
          reader.readMany(target, blocks, first, Math.min(batch, blocks.length - first));
        }
      },
    },
  ];
}

/**
 * Read the store in every way, round by round. Before each reading the reader's buffer is filled, so that its pages are there and no
 * byte of an earlier reading is left; the time is that of the reading alone.
 *
 * @param {readonly Way[]} ways
 * @param {import('./initiator.mjs').BlockReader} reader
 * @param {readonly import('./initiator.mjs').Block[]} blocks
 * @returns {{ name: string, seconds: number, sha256: string }[]} the median of each way, and the hash of what arrived last
 */
export function measure(ways, reader, blocks) {
  const results = ways.map(({ name }) => ({ name, times: /** @type {number[]} */ ([]), sha256: '' }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, { readAll }] of ways.entries()) {
      reader.buffer.fill(0);
      const begin = process.hrtime.bigint();
      readAll(blocks);
      const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
      const result = /** @type {(typeof results)[number]} */ (results[i]);
      result.times.push(seconds);
      if (round === ROUNDS - 1) result.sha256 = createHash('sha256').update(reader.buffer).digest('hex');
    }
  }
  return results.map(({ name, times, sha256 }) => {
    times.sort((a, b) => a - b);
    return { name, seconds: times[Math.floor(ROUNDS / 2)] ?? NaN, sha256 };
  });
}
