// Collects test counts for .ci/run: each kind of test writes one JSON file into the directory $RDMAVT_TEST_COUNTS.
//
//   node scripts/counts.mjs DIRECTORY   prints the sums as "PASSED FAILED"
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** @typedef {{ passed: number, failed: number }} Counts */

/**
 * @param {string} name
 * @param {Counts} counts
 */
export function writeCounts(name, counts) {
  const directory = process.env.RDMAVT_TEST_COUNTS;
  if (!directory) return;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, `${name}.json`), `${JSON.stringify(counts)}\n`);
}

/**
 * @param {string} directory
 * @returns {Counts}
 */
export function sumCounts(directory) {
  const sum = { passed: 0, failed: 0 };
  for (const file of readdirSync(directory)) {
    /** @type {Counts} */
    const counts = JSON.parse(readFileSync(join(directory, file), 'utf8'));
    sum.passed += counts.passed;
    sum.failed += counts.failed;
  }
  return sum;
}

if (process.argv[2] && import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { passed, failed } = sumCounts(process.argv[2]);
  console.log(`${passed} ${failed}`);
}
