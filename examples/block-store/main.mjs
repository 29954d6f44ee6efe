#!/usr/bin/env node
// A block store over RDMA reads, in one process. The target registers the bytes of a file for remote reading and advertises their
// address and key. The initiator reads the whole file into its own registered buffer, block by block in random order: first with
// single verbs, then in batches. A plain copy of the same blocks, without any check, is measured for comparison. Finally the
// program tries accesses that must be refused and prints the reason of each refusal.
//
//     node examples/block-store/main.mjs [FILE]      (default: the running Node executable)
//
// Exit status: 0 if every byte arrived and every forbidden access was refused for the expected reason, else 1.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

import { BlockReader } from './initiator.mjs';
import { forbiddenAccesses } from './refusals.mjs';
import { bytes, heading, table, verdict, whole } from './report.mjs';
import { BlockTarget } from './target.mjs';
import { measure, waysToRead } from './ways.mjs';

const BLOCK = 4096;
const BATCH = 16;

/** @param {string} path */
async function sha256OfFile(path) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/**
 * @param {string} path
 * @param {BlockTarget} target
 * @param {BlockReader} reader
 * @returns whether every result was as expected
 */
async function run(path, target, reader) {
  const { address, rkey, length } = target.advertisement;
  const expected = await sha256OfFile(path);
  heading('Block store');
  table([
    ['file', path],
    ['size', `${bytes(length)} in blocks of ${bytes(BLOCK)}`],
    ['remote address', `0x${address.toString(16)}`],
    ['rkey', `0x${rkey.toString(16)}`],
    ['SHA-256', expected],
  ]);

  const blocks = reader.blocksInRandomOrder(BLOCK);
  const results = measure(waysToRead(reader, target, BATCH), reader, blocks);
  heading('Read by the initiator, in random order');
  const plain = results[0]?.seconds ?? NaN;
  table(
    results.map(({ name, seconds, sha256 }) => [
      name,
      whole(blocks.length / seconds),
      whole(length / 1e6 / seconds),
      `${(seconds / plain).toFixed(2)}x`,
      verdict(sha256 === expected),
    ]),
    ['way', 'blocks/s', 'MB/s', 'time', 'SHA-256 of what arrived'],
  );

  heading('Accesses that must fail');
  const refusals = forbiddenAccesses(target);
  table(
    refusals.map(({ access, expected: reason, answer }) => [access, answer, verdict(answer === reason)]),
    ['access', 'answer', ''],
  );
  return (
    results.every(({ sha256 }) => sha256 === expected) &&
    refusals.every(({ expected: reason, answer }) => answer === reason)
  );
}

/** @param {string} path */
async function main(path) {
  const target = new BlockTarget(path, BATCH);
  const reader = new BlockReader(target.advertisement, BATCH);
  try {
    return await run(path, target, reader);
  } finally {
    reader.close();
    target.close();
  }
}

try {
  process.exitCode = (await main(process.argv[2] ?? process.execPath)) ? 0 : 1;
} catch (error) {
  console.error(`block-store: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
