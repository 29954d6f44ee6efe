'use strict';

const project = require('../../jest.config.js');

// Unmodified programs of libibverbs, in two processes that reach each other over UDP: npm run test:two-processes.
/** @type {import('jest').Config} */
module.exports = {
  ...project,
  rootDir: '../..',
  testMatch: ['<rootDir>/test/two-processes/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  // Each pair of programs keeps two processors busy.
  maxWorkers: 1,
  // More than pair.ts gives the two programs.
  testTimeout: 150_000,
  reporters: ['default', ['<rootDir>/scripts/jest-counts.mjs', { name: 'two-processes' }]],
};
