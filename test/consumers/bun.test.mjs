// A smoke test on Bun. The package does not support Bun officially; the test shows what works there.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { emptyConsumer, tarball, tool } from './support.mjs';

test('Bun installs and runs the package', (t) => {
  const consumer = emptyConsumer(t);
  const node = join(tool('bun'), 'bin', process.platform === 'win32' ? 'bun.exe' : 'bun');
  const { stdout, stderr } = consumer.run(['add', tarball], { node });
  assert.doesNotMatch(stdout + stderr, /gyp(?!-build)|blocked|\bwarn/i);
  for (const program of ['smoke.cjs', 'smoke.mjs', 'threads.mjs']) {
    consumer.copyProgram(program);
    consumer.good([program], { node });
  }
});
