// A Jest reporter that passes the test counts to scripts/counts.mjs, and fails a run in which a skipped test gives no reason.
import { writeCounts } from './counts.mjs';

/** The title of a skipped test, or of a group around it, must contain this text followed by the reason. */
const REASON = '(skipped: ';

export default class CountsReporter {
  /** @type {Error | undefined} */
  #error;
  #isWhole;
  #name;

  /**
   * @param {import('@jest/types').Config.GlobalConfig} config
   * @param {{ name?: string }} [options] `name`: of the tests, for scripts/counts.mjs
   */
  constructor({ testNamePattern }, { name = 'jest' } = {}) {
    this.#name = name;
    // Jest also reports tests as skipped that a name pattern excludes; these need no reason.
    this.#isWhole = !testNamePattern;
  }

  /**
   * @param {unknown} _contexts
   * @param {import('@jest/reporters').AggregatedResult} results
   */
  onRunComplete(_contexts, results) {
    const silent = this.#isWhole ? skippedWithoutReason(results) : [];
    if (silent.length > 0) {
      const list = silent.map((name) => `\n  ${name}`).join('');
      this.#error = new Error(`Skipped tests whose title has no "${REASON}because)":${list}`);
      console.error(`\n${this.#error.message}`);
    }
    writeCounts(this.#name, {
      passed: results.numPassedTests,
      // A file that fails to load has no tests to count, so it counts as one failed test.
      failed: results.numFailedTests + results.numRuntimeErrorTestSuites + silent.length,
    });
  }

  /** Called by Jest, which fails the run if this returns an error. */
  getLastError() {
    return this.#error;
  }
}

/**
 * Returns the full names of skipped tests whose titles give no reason.
 * @param {import('@jest/reporters').AggregatedResult} results
 * @returns {string[]} full names
 */
export function skippedWithoutReason({ testResults }) {
  return testResults
    .flatMap(({ testResults: tests }) => tests)
    .filter(({ status, fullName }) => status === 'pending' && !fullName.includes(REASON))
    .map(({ fullName }) => fullName);
}
