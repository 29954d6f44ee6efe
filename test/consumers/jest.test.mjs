// Jest runs tests in a separate realm, whose classes of errors and memory differ from Node's.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { installedConsumer, root } from './support.mjs';

test("in Jest, errors and memory have the classes of the test's realm", (t) => {
  const consumer = installedConsumer(t);
  consumer.copyProgram('errors.test.cjs');
  const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
  const config = { testMatch: ['**/*.test.cjs'], cacheDirectory: consumer.path('.jest') };
  const { stderr } = consumer.run([jest, '--config', JSON.stringify(config), '--rootDir', consumer.folder]);
  assert.match(stderr, /^Tests: +2 passed, 2 total$/m);
});
