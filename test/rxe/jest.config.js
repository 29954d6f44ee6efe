'use strict';

const project = require('../../jest.config.js');

// The tests against soft-RoCE in a virtual machine: npm run test:rxe.
/** @type {import('jest').Config} */
module.exports = {
  ...project,
  rootDir: '../..',
  testMatch: ['<rootDir>/test/rxe/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  // Jest names its default folder by the user's number, which is root's in the namespace that an ordinary user gets.
  cacheDirectory: '<rootDir>/build/rxe/jest',
  // Each file boots a machine, which keeps a processor busy.
  maxWorkers: 1,
  reporters: [
    'default',
    ['<rootDir>/scripts/jest-counts.mjs', { name: 'rxe' }],
    '<rootDir>/scripts/rxe/summary.mjs',
  ],
};
