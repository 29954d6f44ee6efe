// A Jest reporter whose last line is "N passed, N skipped, N failed", after the reasons of what was skipped.

const REASON = /\(skipped: (.*?)\)(?= |$)/;

export default class Summary {
  /**
   * @param {unknown} _contexts
   * @param {import('@jest/reporters').AggregatedResult} results
   */
  onRunComplete(_contexts, results) {
    const { numPassedTests, numPendingTests, numFailedTests, numRuntimeErrorTestSuites } = results;
    /** @type {Map<string, number>} */
    const reasons = new Map();
    for (const { status, fullName } of results.testResults.flatMap(({ testResults }) => testResults)) {
      const reason = status === 'pending' ? REASON.exec(fullName)?.[1] : undefined;
      if (reason) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    const failed = numFailedTests + numRuntimeErrorTestSuites;
    // Jest's own summary comes behind all reporters.
    process.once('exit', () => {
      for (const [reason, count] of reasons) console.log(`skipped ${count}: ${reason}`);
      console.log(`${numPassedTests} passed, ${numPendingTests} skipped, ${failed} failed`);
    });
  }
}
