// Detects whether dist/ is complete and was built from the current sources.
//
// Compares contents instead of modification times: a checkout gives every file a new time, and a removed file has none.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** File in dist/ with the hashes of sources and results. Not published (`files` in package.json). */
const STAMP = '.built-from.json';
/** The tools that write dist/. Another version may write other files. */
const TOOLS = ['@microsoft/api-extractor', 'esbuild', 'typescript', 'uplot'];

/** @typedef {{ sources: string, results: Record<string, string> }} Stamp */

/**
 * Returns whether dist/ is complete and was built from the current sources.
 * @param {string} root the checkout
 * @param {readonly string[]} results the files that a build writes, relative to the root
 */
export function isFresh(root, results) {
  const file = join(root, 'dist', STAMP);
  if (!existsSync(file)) return false;
  /** @type {Stamp} */
  const stamp = JSON.parse(readFileSync(file, 'utf8'));
  return stamp.sources === hashOfSources(root) && sameResults(stamp.results, hashesOf(root, results));
}

/**
 * Records the sources that dist/ was built from, and the results.
 * @param {string} root
 * @param {readonly string[]} results
 */
export function writeStamp(root, results) {
  /** @type {Stamp} */
  const stamp = { sources: hashOfSources(root), results: hashesOf(root, results) };
  writeFileSync(join(root, 'dist', STAMP), `${JSON.stringify(stamp, null, 2)}\n`);
}

/** @param {string} root */
function hashOfSources(root) {
  const files = [
    ...filesBelow(root, 'lib'),
    ...filesBelow(root, 'scripts/build-dist'),
    'scripts/build-dist.mjs',
    'tsconfig.json',
    'binding.gyp',
  ].sort();
  /** @type {{ version: string, devDependencies: Record<string, string> }} */
  const { version, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const hash = createHash('sha256');
  hash.update(JSON.stringify([version, TOOLS.map((name) => devDependencies[name])]));
  for (const file of files) {
    const content = readFileSync(join(root, file));
    hash.update(`\n${file} ${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}

/**
 * @param {string} root
 * @param {readonly string[]} files
 * @returns {Record<string, string>} the hash of each file that exists
 */
function hashesOf(root, files) {
  const there = files.filter((file) => existsSync(join(root, file)));
  return Object.fromEntries(
    there.map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(join(root, file)))
        .digest('hex'),
    ]),
  );
}

/**
 * @param {Record<string, string>} one
 * @param {Record<string, string>} other
 */
function sameResults(one, other) {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].every((name) => one[name] === other[name]);
}

/**
 * @param {string} root
 * @param {string} folder
 */
function filesBelow(root, folder) {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|mjs|html|css)$/.test(name))
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`);
}
