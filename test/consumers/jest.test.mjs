// Jest: its tests run in a realm of their own, where errors and memory are of other classes than Node's.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { installedConsumer, root } from './support.mjs';

test('in Jest the errors and the memory are of the test’s classes', (t) => {
  const consumer = installedConsumer(t);
  consumer.copyProgram('errors.test.cjs');
  const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
  const config = { testMatch: ['**/*.test.cjs'], cacheDirectory: consumer.path('.jest') };
  const { stderr } = consumer.run([jest, '--config', JSON.stringify(config), '--rootDir', consumer.folder]);
  assert.match(stderr, /^Tests: +2 passed, 2 total$/m);
});
