'use strict';

/** @type {import('jest').Config} */
module.exports = {
  // Node's environment, extended: a test fails if the process emits a warning.
  testEnvironment: '<rootDir>/test/support/environment.ts',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // The first need a virtual machine, npm run test:rxe, the second the libibverbs shim, npm run test:two-processes, the third a
  // browser, npm run test:inspect.
  testPathIgnorePatterns: [
    '/node_modules/',
    '<rootDir>/test/rxe/',
    '<rootDir>/test/two-processes/',
    '<rootDir>/test/inspect/browser/',
  ],
  // These folders contain copies of sources and of package.json, which Jest must not treat as modules.
  modulePathIgnorePatterns: ['<rootDir>/build/', '<rootDir>/dist/'],
  // ts-jest transpiles file by file (isolatedModules in tsconfig.json); `npm run typecheck` checks the types once for the whole
  // project.
  transform: {
    '^.+\\.ts$': [
      'ts-jest',
      { tsconfig: '<rootDir>/tsconfig.check.json', transpilation: true, diagnostics: false },
    ],
  },
  // Property-based tests, workers and child processes are slow when both cores are loaded.
  testTimeout: 60_000,
  maxWorkers: 2,
  // Time in ms after which Jest kills a worker process that has not exited, and reports it. The worker's event loop is empty
  // after about 3 ms and its exit takes 20 to 40 ms of CPU time. Jest's default of 500 ms is too short on a machine with ten
  // times as many runnable processes as processors, even for empty tests. Jest still reports a worker that does not exit by
  // itself.
  workerGracefulExitTimeout: 30_000,
  reporters: [
    'default',
    '<rootDir>/scripts/jest-counts.mjs', // writes the counts for .ci/run, requires a reason for each skipped test
    '<rootDir>/scripts/jest-debug-build.mjs',
  ],
};
