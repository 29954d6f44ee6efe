// A jest reporter: hands the counts to scripts/counts.mjs.
import { writeCounts } from './counts.mjs';

export default class CountsReporter {
  /**
   * @param {unknown} _contexts
   * @param {import('@jest/reporters').AggregatedResult} results
   */
  onRunComplete(_contexts, results) {
    writeCounts('jest', {
      passed: results.numPassedTests,
      // A file that does not load has no tests to count: it is one failed.
      failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
    });
  }
}
