'use strict';

/** @type {import('jest').Config} */
module.exports = {
  // Node's; a test that makes the process warn fails.
  testEnvironment: '<rootDir>/test/support/environment.ts',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // Copies of the sources (and of package.json) that must not be taken for modules.
  modulePathIgnorePatterns: ['<rootDir>/build/', '<rootDir>/dist/'],
  // Transpiled file by file (isolatedModules in tsconfig.json): `npm run typecheck` checks the types, once for all.
  transform: {
    '^.+\\.ts$': [
      'ts-jest',
      { tsconfig: '<rootDir>/tsconfig.check.json', transpilation: true, diagnostics: false },
    ],
  },
  // Property-based tests, workers and child processes take their time on two loaded cores.
  testTimeout: 60_000,
  maxWorkers: 2,
  // Jest kills a child that has not ended after so long (ms), and says so. The children hold nothing open: their event loop is empty
  // after some 3 ms, and the end takes 20 to 40 ms of processor. Jest's own 500 ms are too few for even empty tests when the
  // processors have ten times more to do. A child that does not end by itself is still told of.
  workerGracefulExitTimeout: 30_000,
  reporters: [
    'default',
    '<rootDir>/scripts/jest-counts.mjs', // leaves the counts for .ci/run (scripts/counts.mjs), and wants a reason for each skipped test
    '<rootDir>/scripts/jest-debug-build.mjs',
  ],
};
