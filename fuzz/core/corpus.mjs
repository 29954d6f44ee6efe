// The programs that fuzzing starts with: those kept in corpus.gz, and those made from scenes and traces.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

/** @typedef {import('./targets.mjs').Target} Target */

/** @param {Target} target */
export const keptCorpus = (target) => join(target.directory, 'corpus.gz');

/** Yields the programs of a packed file. Each is preceded by its length (16 bits, little-endian). */
function* unpack(/** @type {Buffer} */ packed) {
  for (let at = 0; at < packed.length;) {
    const end = at + 2 + packed.readUInt16LE(at);
    yield packed.subarray(at + 2, end);
    at = end;
  }
}

/** @param {Iterable<Buffer>} programs */
export function pack(programs) {
  const parts = [];
  for (const program of programs) {
    const length = Buffer.alloc(2);
    length.writeUInt16LE(program.length);
    parts.push(length, program);
  }
  return Buffer.concat(parts);
}

/**
 * Yields the programs that fuzzing starts with.
 * @param {Target} target
 */
export function* beginnings(target) {
  if (existsSync(keptCorpus(target))) yield* unpack(gunzipSync(readFileSync(keptCorpus(target))));
  yield* target.seeds();
}

/** @param {Buffer} bytes */
export const nameOf = (bytes) => createHash('sha1').update(bytes).digest('hex');

/**
 * @param {string} directory
 * @param {Iterable<Buffer>} programs
 */
export function fill(directory, programs) {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const program of programs) writeFileSync(join(directory, nameOf(program)), program);
}

/**
 * Replaces the kept corpus.
 * @param {Target} target
 * @param {Buffer[]} programs
 */
export function writeKept(target, programs) {
  writeFileSync(keptCorpus(target), gzipSync(pack(programs), { level: 9 }));
}
