// A jest reporter: hands the counts to scripts/counts.mjs, and fails a run in which a skipped test does not say why.
import { writeCounts } from './counts.mjs';

/** In the title of a skipped test, or of a group that it is in: why it is skipped. */
const REASON = '(skipped: ';

export default class CountsReporter {
  /** @type {Error | undefined} */
  #error;
  #isWhole;

  /** @param {import('@jest/types').Config.GlobalConfig} config */
  constructor({ testNamePattern }) {
    // What a pattern leaves out is reported as skipped too.
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
    writeCounts('jest', {
      passed: results.numPassedTests,
      // A file that does not load has no tests to count: it is one failed.
      failed: results.numFailedTests + results.numRuntimeErrorTestSuites + silent.length,
    });
  }

  /** Jest fails the run if there is one. */
  getLastError() {
    return this.#error;
  }
}

/**
 * @param {import('@jest/reporters').AggregatedResult} results
 * @returns {string[]} full names
 */
export function skippedWithoutReason({ testResults }) {
  return testResults
    .flatMap(({ testResults: tests }) => tests)
    .filter(({ status, fullName }) => status === 'pending' && !fullName.includes(REASON))
    .map(({ fullName }) => fullName);
}
