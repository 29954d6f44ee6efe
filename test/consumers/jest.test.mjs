// Jest runs tests in a separate realm, whose classes of errors and memory differ from Node's.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { installedConsumer, root } from './support.mjs';

test("in Jest, errors and memory have the classes of the test's realm, and the matchers of rdmavt/testing work", (t) => {
  const consumer = installedConsumer(t);
  consumer.copyProgram('errors.test.cjs');
  consumer.copyProgram('testing.test.cjs');
  const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
  const config = { testMatch: ['**/*.test.cjs'], cacheDirectory: consumer.path('.jest') };
  const { stderr } = consumer.run([jest, '--config', JSON.stringify(config), '--rootDir', consumer.folder]);
  assert.match(stderr, /^Tests: +4 passed, 4 total$/m);
});
