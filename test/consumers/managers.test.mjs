// Package managers other than npm. None may compile anything or ask for permission to do so.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { emptyConsumer, tarball, tool } from './support.mjs';

/** Matches what a manager prints when it runs a package's build script or was kept from running one. */
const BUILD = /gyp(?!-build)|build script|approve-builds|YN0004|YN0007|\bwarn(ing)?\b/i;

/** @param {import('./support.mjs').Consumer} consumer */
function programs(consumer) {
  consumer.copyProgram('smoke.cjs');
  consumer.copyProgram('smoke.mjs');
  consumer.copyProgram('threads.mjs');
}

/** @param {import('./support.mjs').Consumer} consumer */
function runAll(consumer) {
  for (const program of ['smoke.cjs', 'smoke.mjs', 'threads.mjs']) consumer.good([program]);
  assert(!existsSync(join(consumer.installed, 'build')));
}

for (const [name, entry] of /** @type {const} */ ([
  ['pnpm10', 'bin/pnpm.cjs'],
  ['pnpm12', 'bin/pnpm.mjs'],
])) {
  test(name, (t) => {
    const consumer = emptyConsumer(t);
    programs(consumer);
    const args = ['add', tarball, '--store-dir', consumer.path('.store')];
    const { stdout, stderr } = consumer.run([join(tool(name), entry), ...args]);
    assert.doesNotMatch(stdout + stderr, BUILD);
    runAll(consumer);
  });
}

test('yarn 1 installs and runs the package', (t) => {
  const consumer = emptyConsumer(t);
  programs(consumer);
  const { stdout, stderr } = consumer.run([join(tool('yarn1'), 'bin', 'yarn.js'), 'add', tarball]);
  assert.doesNotMatch(stdout + stderr, BUILD);
  runAll(consumer);
});

test('yarn 4 installs and runs the package with nodeLinker node-modules', (t) => {
  const consumer = emptyConsumer(t);
  programs(consumer);
  consumer.write('.yarnrc.yml', 'nodeLinker: node-modules\n');
  consumer.write('yarn.lock', '');
  const yarn = join(tool('yarn4'), 'bin', 'yarn.js');
  const { stdout, stderr } = consumer.run([yarn, 'add', `rdmavt@${tarball}`]);
  assert.doesNotMatch(stdout + stderr, BUILD);
  runAll(consumer);
});

test("yarn 4 installs and runs the package with Plug'n'Play", (t) => {
  const consumer = emptyConsumer(t);
  programs(consumer);
  consumer.write('.yarnrc.yml', 'nodeLinker: pnp\npnpEnableEsmLoader: true\n');
  consumer.write('yarn.lock', '');
  const yarn = join(tool('yarn4'), 'bin', 'yarn.js');
  const { stdout, stderr } = consumer.run([yarn, 'add', `rdmavt@${tarball}`]);
  assert.doesNotMatch(stdout + stderr, BUILD);
  assert(!existsSync(consumer.path('node_modules')));
  for (const program of ['smoke.cjs', 'smoke.mjs', 'threads.mjs']) consumer.good([yarn, 'node', program]);
});
