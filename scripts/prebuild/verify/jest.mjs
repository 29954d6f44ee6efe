// The Jest suite, against the prebuilt binary of the machine that the given Node believes to be on.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run, workDirectory } from '../run.mjs';

const jest = join('node_modules', 'jest', 'bin', 'jest.js');

/**
 * @param {string} title
 * @param {string} node
 * @param {{ args?: string[], env?: Record<string, string> }} [options]
 */
export async function runJest(title, node, { args = [], env = {} } = {}) {
  mkdirSync(workDirectory, { recursive: true });
  const report = join(workDirectory, `jest-${title.replaceAll(/\W+/g, '-')}.json`);
  rmSync(report, { force: true });
  const start = performance.now();
  try {
    await run([node, '--expose-gc', jest, '--json', `--outputFile=${report}`, ...args], {
      // What `npm run build` has left must not be taken instead.
      env: { PREBUILDS_ONLY: '1', ...env },
    });
  } catch (error) {
    // The others are run nevertheless.
    console.error(/** @type {Error} */ (error).message);
    process.exitCode = 1;
  }
  if (!existsSync(report)) return; // Jest itself did not run
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'));
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  const skipped = numPendingTests ? `, ${numPendingTests} skipped` : '';
  console.log(`${title}: ${numPassedTests} passed, ${numFailedTests} failed${skipped} (${seconds} s)`);
}
