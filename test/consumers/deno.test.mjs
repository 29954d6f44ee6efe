// A smoke test on Deno. The package does not support Deno officially; the test shows what works there.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { installedConsumer, tool } from './support.mjs';

test('Deno runs a package that npm installed', (t) => {
  const consumer = installedConsumer(t);
  const node = join(tool('deno'), process.platform === 'win32' ? 'deno.exe' : 'deno');
  const env = { DENO_DIR: consumer.path('.deno'), DENO_NO_UPDATE_CHECK: '1' };
  t.diagnostic(consumer.run(['--version'], { node, env }).stdout.split('\n')[0] ?? '');
  consumer.copyProgram('smoke.mjs');
  const allowed = ['--no-prompt', '--allow-read', '--allow-env', '--allow-sys', '--node-modules-dir=manual'];
  const { stderr } = consumer.try(['run', ...allowed, 'smoke.mjs'], { node, env });
  assert.match(stderr, /\nDisabled by Deno without --allow-ffi\.\nStart Deno with --allow-ffi if /);
  assert.doesNotMatch(stderr, /build/);
  for (const program of ['smoke.cjs', 'smoke.mjs', 'threads.mjs']) {
    consumer.copyProgram(program);
    const { stdout } = consumer.run(['run', '--allow-all', '--node-modules-dir=manual', program], {
      node,
      env,
    });
    assert.equal(stdout, 'good\n');
  }
});
