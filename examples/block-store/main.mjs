#!/usr/bin/env node
// A block store over RDMA reads, in one process: a target registers a file's bytes for remote reading and hands out key and
// address; an initiator reads all of it, block by block in random order, into a registered buffer of its own. Then come the
// accesses that must fail, each with the reason why.
//
//   node examples/block-store/main.mjs [FILE]      (default: the running Node executable)
//
// Exit status: 0 when every byte arrived and every forbidden access was refused for the expected reason, else 1.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

import { BlockReader } from './initiator.mjs';
import { forbiddenAccesses } from './refusals.mjs';
import { bytes, heading, rate, table, verdict } from './report.mjs';
import { BlockTarget } from './target.mjs';

const BLOCK = 4096;

/** @param {string} path */
async function sha256OfFile(path) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/**
 * Read the whole store; the time is that of the reads alone.
 *
 * @param {BlockReader} reader
 * @param {BlockTarget} target
 */
function readAll(reader, target) {
  const blocks = reader.blocksInRandomOrder(BLOCK);
  const begin = process.hrtime.bigint();
  for (const { offset, length } of blocks) {
    reader.read(target, offset, length);
  }
  return { count: blocks.length, seconds: Number(process.hrtime.bigint() - begin) / 1e9 };
}

/**
 * @param {string} path
 * @param {BlockTarget} target
 * @param {BlockReader} reader
 * @returns whether everything was as it must be
 */
async function run(path, target, reader) {
  const { address, rkey, length } = target.advertisement;
  heading('Block store');
  table([
    ['file', path],
    ['size', `${bytes(length)} in blocks of ${bytes(BLOCK)}`],
    ['remote address', `0x${address.toString(16)}`],
    ['rkey', `0x${rkey.toString(16)}`],
  ]);

  const { count, seconds } = readAll(reader, target);
  const arrived = createHash('sha256').update(reader.buffer).digest('hex');
  const expected = await sha256OfFile(path);
  heading('Read by the initiator, in random order');
  table([
    ['blocks', rate(count, seconds, 'blocks')],
    ['bytes', rate(length / 1e6, seconds, 'MB')],
    ['SHA-256 of the file', expected],
    ['SHA-256 of what arrived', `${arrived}  ${verdict(arrived === expected)}`],
  ]);

  heading('Accesses that must fail');
  const refusals = forbiddenAccesses(target);
  table(
    refusals.map(({ access, expected: reason, answer }) => [access, answer, verdict(answer === reason)]),
    ['access', 'answer', ''],
  );
  return arrived === expected && refusals.every(({ expected: reason, answer }) => answer === reason);
}

/** @param {string} path */
async function main(path) {
  const target = new BlockTarget(path);
  const reader = new BlockReader(target.advertisement);
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
