// Tests bundles made by esbuild as docs/guide/packaging.md describes.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bundlingConsumer, withoutPackage } from './bundles.mjs';
import { tool } from './support.mjs';

const esbuild = join(tool('esbuild'), 'bin', 'esbuild');

for (const format of ['cjs', 'esm']) {
  test(`works as an external package, format ${format}`, (t) => {
    const consumer = bundlingConsumer(t);
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
  test(`works inside the bundle with the prebuilds beside it ${minify.join()}`, (t) => {
    const consumer = bundlingConsumer(t);
    const options = ['--bundle', '--platform=node', ...minify, '--outfile=out/app.js', '--log-level=warning'];
    const { stdout, stderr } = consumer.run([esbuild, 'app.mjs', ...options]);
    assert.equal(stdout + stderr, '');
    withoutPackage(consumer);
    consumer.good(['out/app.js']);
  });
}

test("creation stacks show the bundle's own code, wherever the bundle is", (t) => {
  const consumer = bundlingConsumer(t);
  const options = ['--bundle', '--platform=node', '--outfile=dist/server/app.js', '--log-level=warning'];
  consumer.run([esbuild, 'stacks.mjs', ...options]);
  withoutPackage(consumer, 'dist/server');
  consumer.good(['dist/server/app.js']);
});

test('a bundle without its prebuilds reports where they belong', (t) => {
  const consumer = bundlingConsumer(t);
  consumer.run([esbuild, 'app.mjs', '--bundle', '--platform=node', '--outfile=out/app.js']);
  withoutPackage(consumer);
  rmSync(consumer.path('out', 'prebuilds'), { recursive: true });
  const { status, stderr } = consumer.try(['out/app.js']);
  assert.equal(status, 1);
  assert.match(
    stderr,
    /This program is a bundle: copy the prebuilds folder of the rdmavt package next to it/,
  );
  assert(stderr.includes(consumer.path('out')));
  assert.match(stderr, /code: 'ERR_RDMAVT_NO_BINARY'/);
});
