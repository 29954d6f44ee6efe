// The Jest suite on the prebuilt binary of the machine that the given Node believes to be on.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
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
  const file = join(workDirectory, `jest-${title.replaceAll(/\W+/g, '-')}.json`);
  rmSync(file, { force: true });
  // It can take an hour: what has ended so far can be looked at meanwhile.
  const log = file.replace(/json$/, 'log');
  const output = openSync(log, 'w');
  const start = performance.now();
  try {
    await run([node, '--expose-gc', jest, '--json', `--outputFile=${file}`, ...args], {
      // What `npm run build` has left must not be taken instead.
      env: { PREBUILDS_ONLY: '1', ...env },
      output,
    });
  } catch (error) {
    throw new Error(`${/** @type {Error} */ (error).message}${readFileSync(log, 'utf8')}`, { cause: error });
  } finally {
    closeSync(output);
    report(title, file, start);
  }
}

/**
 * @param {string} title
 * @param {string} file Jest's report
 * @param {number} start
 */
function report(title, file, start) {
  if (!existsSync(file)) return; // Jest itself did not run
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(file, 'utf8'));
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  const skipped = numPendingTests ? `, ${numPendingTests} skipped` : '';
  console.log(`${title}: ${numPassedTests} passed, ${numFailedTests} failed${skipped} (${seconds} s)`);
}
