// Runs the Jest suite on the prebuilt binary that matches the given Node.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run, workDirectory } from '../run.mjs';

const jest = join('node_modules', 'jest', 'bin', 'jest.js');

/**
 * Runs Jest and prints the test counts. Rejects with Jest's output if a test fails.
 * @param {string} title
 * @param {string} node path of the Node executable, or of a script that emulates it
 * @param {{ args?: string[], env?: Record<string, string> }} [options]
 */
export async function runJest(title, node, { args = [], env = {} } = {}) {
  mkdirSync(workDirectory, { recursive: true });
  const file = join(workDirectory, `jest-${title.replaceAll(/\W+/g, '-')}.json`);
  rmSync(file, { force: true });
  // A run can take an hour. The log file shows its progress.
  const log = file.replace(/json$/, 'log');
  const output = openSync(log, 'w');
  const start = performance.now();
  try {
    await run([node, '--expose-gc', jest, '--json', `--outputFile=${file}`, ...args], {
      // Ignore an add-on that `npm run build` has built.
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
 * @param {string} file Jest's JSON report
 * @param {number} start as given by performance.now()
 */
function report(title, file, start) {
  if (!existsSync(file)) return; // Jest did not start
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(file, 'utf8'));
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  const skipped = numPendingTests ? `, ${numPendingTests} skipped` : '';
  console.log(`${title}: ${numPassedTests} passed, ${numFailedTests} failed${skipped} (${seconds} s)`);
}
