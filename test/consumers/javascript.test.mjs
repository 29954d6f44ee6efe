// Tests programs that use the installed package without a bundler: CommonJS, ES modules and the command line.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installedConsumer } from './support.mjs';

test('works in CommonJS', (t) => {
  const consumer = installedConsumer(t);
  consumer.copyProgram('smoke.cjs');
  consumer.good(['smoke.cjs']);
});

test('works in an ES module', (t) => {
  const consumer = installedConsumer(t, { type: 'module' });
  consumer.copyProgram('smoke.mjs', 'smoke.js');
  consumer.good(['smoke.js']);
});

test('CommonJS and ES modules share the classes', (t) => {
  const consumer = installedConsumer(t);
  consumer.write(
    'both.mjs',
    `import { createRequire } from 'node:module';
     import * as imported from 'rdmavt';
     const required = createRequire(import.meta.url)('rdmavt');
     const names = Object.keys(required);
     console.log(names.length > 10 && names.every((name) => required[name] === imported[name]) ? 'good' : names);`,
  );
  consumer.good(['both.mjs']);
});

test('works in several worker threads, one of which shares a device', (t) => {
  const consumer = installedConsumer(t);
  consumer.copyProgram('threads.mjs');
  consumer.good(['threads.mjs']);
});

test('the command line works', (t) => {
  const consumer = installedConsumer(t);
  const { version } = JSON.parse(
    consumer.run(['-p', "JSON.stringify(require('rdmavt/package.json'))"]).stdout,
  );
  assert.equal(consumer.npm('exec', '--offline', '--', 'rdmavt', '--version').stdout, `${version}\n`);
  const help = consumer.npm('exec', '--offline', '--', 'rdmavt', 'bench', '--help').stdout;
  assert.match(help, /^Benchmarks:$/m);
});
