'use strict';

const project = require('../../../jest.config.js');

// The page of an inspector in a headless Chromium: npm run test:inspect.
/** @type {import('jest').Config} */
module.exports = {
  ...project,
  rootDir: '../../..',
  testMatch: ['<rootDir>/test/inspect/browser/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
  maxWorkers: 1,
  testTimeout: 120_000,
  reporters: ['default', ['<rootDir>/scripts/jest-counts.mjs', { name: 'inspect' }]],
};
