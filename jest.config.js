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
  reporters: [
    'default',
    '<rootDir>/scripts/jest-counts.mjs', // leaves the counts for .ci/run (scripts/counts.mjs), and wants a reason for each skipped test
    '<rootDir>/scripts/jest-debug-build.mjs',
  ],
};
