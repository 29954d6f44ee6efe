// Bundles by esbuild, as the README tells to make them.
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { installedConsumer, tool } from './support.mjs';

const esbuild = join(tool('esbuild'), 'bin', 'esbuild');

/** @typedef {import('./support.mjs').Consumer} Consumer */

/** @param {import('node:test').TestContext} t */
function bundling(t) {
  const consumer = installedConsumer(t);
  consumer.copyProgram('smoke.mjs', 'app.mjs');
  return consumer;
}

/**
 * What makes a bundle complete where nothing is installed.
 * @param {Consumer} consumer
 */
function withoutPackage(consumer) {
  cpSync(join(consumer.installed, 'prebuilds'), consumer.path('out', 'prebuilds'), { recursive: true });
  rmSync(consumer.path('node_modules'), { recursive: true });
}

for (const format of ['cjs', 'esm']) {
  test(`the package external, as ${format}`, (t) => {
    const consumer = bundling(t);
    const file = `out/app.${format === 'cjs' ? 'cjs' : 'mjs'}`;
    const options = [
      '--bundle',
      '--platform=node',
      `--format=${format}`,
      '--external:rdmavt',
      '--log-level=warning',
    ];
    const { stdout, stderr } = consumer.run([esbuild, 'app.mjs', ...options, `--outfile=${file}`]);
    assert.equal(stdout + stderr, '');
    consumer.good([file]);
  });
}

for (const minify of [[], ['--minify']]) {
  test(`the package in the bundle, its prebuilds beside it ${minify.join()}`, (t) => {
    const consumer = bundling(t);
    const options = ['--bundle', '--platform=node', ...minify, '--outfile=out/app.js', '--log-level=warning'];
    const { stdout, stderr } = consumer.run([esbuild, 'app.mjs', ...options]);
    assert.equal(stdout + stderr, '');
    withoutPackage(consumer);
    // Of somebody else, and in the folder above the bundle: not to be taken for ours.
    consumer.write('build/Release/other.node', 'not an add-on');
    consumer.good(['out/app.js']);
  });
}

test('a bundle without its prebuilds says where they belong', (t) => {
  const consumer = bundling(t);
  consumer.run([esbuild, 'app.mjs', '--bundle', '--platform=node', '--outfile=out/app.js']);
  withoutPackage(consumer);
  rmSync(consumer.path('out', 'prebuilds'), { recursive: true });
  const { status, stderr } = consumer.try(['out/app.js']);
  assert.equal(status, 1);
  assert.match(stderr, /This program is a bundle: put the folder prebuilds of the package rdmavt beside it/);
  assert(stderr.includes(consumer.path('out')));
  assert.match(stderr, /code: 'ERR_RDMAVT_NO_BINARY'/);
});
