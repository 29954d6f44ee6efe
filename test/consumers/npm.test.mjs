// Current npm versions install the package silently and quickly, without compiling anything.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { emptyConsumer, installedConsumer, nodeOf, tarball, tool } from './support.mjs';

/** npm 12 does not run on Node 20. */
const npms = [
  { name: 'npm 11', cli: () => join(tool('npm11'), 'bin', 'npm-cli.js'), node: () => process.execPath },
  { name: 'npm 12', cli: () => join(tool('npm12'), 'bin', 'npm-cli.js'), node: () => nodeOf(26) },
];

const quiet = ['--no-audit', '--no-fund'];

for (const { name, cli, node } of npms) {
  test(`${name} ci installs from a lock file with scripts allowed`, (t) => {
    const consumer = emptyConsumer(t);
    consumer.copyProgram('smoke.cjs');
    const npm = (/** @type {string[]} */ ...args) => consumer.run([cli(), ...args], { node: node() });
    npm('install', '--package-lock-only', ...quiet, tarball);
    const { stdout, stderr } = npm('ci', ...quiet);
    assert.equal(stderr, '');
    assert.match(stdout, /^\nadded 2 packages in \d+m?s\n$/);
    assert(!existsSync(join(consumer.installed, 'build')));
    consumer.good(['smoke.cjs']);
  });
}

test('an installation takes about a second', (t) => {
  installedConsumer(t); // This puts node-gyp-build into the cache.
  const seconds = [1, 2, 3].map(() => {
    const consumer = emptyConsumer(t);
    const start = performance.now();
    consumer.npm('install', ...quiet, tarball);
    return (performance.now() - start) / 1000;
  });
  // The fastest installation: other load on the machine may slow down the others.
  const best = Math.min(...seconds);
  t.diagnostic(`npm install: ${best.toFixed(2)} s`);
  // A generous limit for loaded machines; an installation that compiles takes longer on any machine.
  assert(best < 15, `it took ${best.toFixed(1)} s`);
});
