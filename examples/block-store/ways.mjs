// Reads the whole store in three ways, block by block, and measures the time of each.
import { createHash } from 'node:crypto';

/**
 * Number of times that each way is measured. The median is reported, so the slow first round, in which the code is compiled, has
 * no effect.
 */
const ROUNDS = 5;

/**
 * @typedef {object} Way
 * @property {string} name
 * @property {(blocks: readonly import('./initiator.mjs').Block[]) => void} readAll
 */

/**
 * @param {import('./initiator.mjs').BlockReader} reader
 * @param {import('./target.mjs').BlockTarget} target
 * @param {number} batch number of blocks in a batch
 * @returns {[plain: Way, single: Way, batches: Way]}
 */
export function waysToRead(reader, target, batch) {
  const { content } = target;
  const { buffer } = reader;
  return [
    {
      // The baseline of the comparison: a copy without checks.
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
 * Measures all ways of reading the store, round by round. Clears the buffer before each measurement, so that its pages are
 * resident and no byte of an earlier reading remains; the measured time includes the reading only.
 *
 * @param {readonly Way[]} ways
 * @param {import('./initiator.mjs').BlockReader} reader
 * @param {readonly import('./initiator.mjs').Block[]} blocks
 * @returns {{ name: string, seconds: number, sha256: string }[]} per way: the median time, and the hash of the bytes that arrived
 *   in the last round
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
