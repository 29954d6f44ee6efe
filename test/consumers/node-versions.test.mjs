// One tarball works on every Node version since 20.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installedConsumer, nodeOf } from './support.mjs';

for (const major of [20, 22, 24, 26]) {
  test(`Node ${major}`, (t) => {
    const consumer = installedConsumer(t);
    const node = nodeOf(major);
    const version = consumer.run(['--version'], { node }).stdout.trim();
    assert(version.startsWith(`v${major}.`), version);
    for (const program of ['smoke.cjs', 'smoke.mjs', 'threads.mjs']) {
      consumer.copyProgram(program);
      consumer.good([program], { node });
    }
    t.diagnostic(version);
  });
}
