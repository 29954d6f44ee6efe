// The error when no prebuilt binary fits, and the command that builds a binary.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { installedConsumer } from './support.mjs';

const machine = `${process.platform}-${process.arch}`;
/** Prints the fields of the error and its message. */
const REQUIRE = `
  try { require('rdmavt'); console.log('loaded'); }
  catch ({ stack, cause, ...error }) { console.log(JSON.stringify({ ...error, cause: cause?.code, stack })); }`;

/** @param {import('node:test').TestContext} t */
function withoutPrebuilds(t) {
  const consumer = installedConsumer(t);
  rmSync(join(consumer.installed, 'prebuilds'), { recursive: true });
  consumer.copyProgram('smoke.cjs');
  consumer.copyProgram('smoke.mjs');
  return consumer;
}

/**
 * @param {import('./support.mjs').Consumer} consumer
 * @param {string[]} [flags]
 * @param {NodeJS.ProcessEnv} [env]
 */
function errorOf(consumer, flags = [], env = {}) {
  return JSON.parse(consumer.run([...flags, '--eval', REQUIRE], { env }).stdout);
}

test('require reports the machine, the searched paths and the build command', (t) => {
  const consumer = withoutPrebuilds(t);
  const { stack, ...fields } = errorOf(consumer);
  const buildCommand = `node "${join(consumer.installed, 'dist', 'cli.js')}" build`;
  const libc = process.platform === 'linux' ? fields.libc : undefined;
  assert.deepEqual(fields, {
    code: 'ERR_RDMAVT_NO_BINARY',
    platform: process.platform,
    arch: process.arch,
    ...(libc && { libc }),
    node: process.version,
    lookedFor: [
      join(consumer.installed, 'build', 'Release', '*.node'),
      join(consumer.installed, 'prebuilds', machine, '*.node'),
      join(process.execPath, '..', 'prebuilds', machine, '*.node'),
    ],
    buildCommand,
  });
  for (const part of [machine, process.version, ...fields.lookedFor, buildCommand]) {
    assert(stack.includes(part), `${part} is missing in ${stack}`);
  }
  if (process.platform === 'linux') assert.match(fields.libc, /^(glibc \d+\.\d+|musl)$/);
});

test('import reports the same as require', (t) => {
  const consumer = withoutPrebuilds(t);
  const { status, stderr } = consumer.try(['smoke.mjs']);
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`rdmavt: no native binary found for this machine \\(${machine}`));
  assert.match(stderr, /code: 'ERR_RDMAVT_NO_BINARY'/);
});

test('the command line reports the same as require', (t) => {
  const consumer = withoutPrebuilds(t);
  const cli = join(consumer.installed, 'dist', 'cli.js');
  const { status, stderr } = consumer.try([cli, 'replay', '-']);
  assert.equal(status, 2);
  assert.match(stderr, /^rdmavt: no native binary found for this machine/);
  assert(stderr.endsWith(`  node "${cli}" build\n`), stderr);
  assert.match(consumer.run([cli, 'build', '--help']).stdout, /^Usage: rdmavt build/);
});

test(
  'a binary for another machine counts as missing',
  { skip: process.platform !== 'linux' && 'Linux only' },
  (t) => {
    const consumer = installedConsumer(t);
    const prebuilds = join(consumer.installed, 'prebuilds', machine);
    for (const file of readdirSync(prebuilds)) {
      if (file.includes('musl')) rmSync(join(prebuilds, file));
    }
    const { stack } = errorOf(consumer, [], { LIBC: 'musl' });
    assert.match(stack, /\(found rdmavt\.glibc\.node\)/);
    assert.match(stack, /because of the environment variable LIBC=musl/);
  },
);

test('a binary that does not load is reported with the cause', (t) => {
  const consumer = installedConsumer(t);
  const prebuilds = join(consumer.installed, 'prebuilds', machine);
  for (const file of readdirSync(prebuilds)) {
    consumer.write(join('node_modules', 'rdmavt', 'prebuilds', machine, file), 'this is no library');
  }
  const { cause, code, stack } = errorOf(consumer);
  assert.equal(code, 'ERR_RDMAVT_NO_BINARY');
  assert.equal(cause, 'ERR_DLOPEN_FAILED');
  assert.match(stack, /rdmavt: the native binary failed to load on this machine/);
  assert(stack.includes(prebuilds));
});

test(
  'musl is distinguished from glibc without starting a process',
  { skip: process.platform !== 'linux' && 'Linux only' },
  (t) => {
    const consumer = withoutPrebuilds(t);
    consumer.write(
      'musl.cjs',
      `// Simulates Node on musl: its report has no glibc version. Starting a process throws.
     const report = process.report.getReport();
     delete report.header.glibcVersionRuntime;
     process.report.getReport = () => report;
     const processes = require('node:child_process');
     for (const name of Object.keys(processes)) processes[name] = () => { throw new Error('a process is started'); };`,
    );
    assert.equal(errorOf(consumer, ['--require', './musl.cjs']).libc, 'musl');
  },
);

test('RDMAVT_PREBUILD and PREBUILDS_ONLY select the binary', (t) => {
  const consumer = installedConsumer(t);
  consumer.copyProgram('smoke.cjs');
  mkdirSync(consumer.path('elsewhere'));
  renameSync(join(consumer.installed, 'prebuilds'), consumer.path('elsewhere', 'prebuilds'));
  for (const folder of [consumer.path('elsewhere'), 'elsewhere']) {
    consumer.good(['smoke.cjs'], { env: { RDMAVT_PREBUILD: folder } });
  }
  const { lookedFor } = errorOf(consumer, [], {
    RDMAVT_PREBUILD: consumer.path('nowhere'),
    PREBUILDS_ONLY: '1',
  });
  assert.equal(lookedFor[0], consumer.path('nowhere', 'prebuilds', machine, '*.node'));
});

test('the build command builds from the installed sources, and the result is loaded', (t) => {
  const consumer = withoutPrebuilds(t);
  const { buildCommand } = errorOf(consumer);
  const args = /^node "(.*)" build$/.exec(buildCommand);
  assert(args);
  // This is the only test that needs a compiler.
  const env = { PATH: process.env.PATH };
  const built = join(consumer.installed, 'build', 'Release', 'rdmavt.node');
  const { stdout } = consumer.run([args[1] ?? '', 'build'], { env });
  assert.equal(stdout, `${built}\n`);
  assert(existsSync(built));
  consumer.good(['smoke.cjs']);
  consumer.good(['smoke.mjs']);
  // The build leaves no other files behind.
  assert.deepEqual(
    readdirSync(consumer.path('node_modules'))
      .filter((name) => !name.startsWith('.'))
      .sort(),
    ['node-gyp-build', 'rdmavt'],
  );
  assert.equal(errorOf(consumer, [], { PREBUILDS_ONLY: '1' }).code, 'ERR_RDMAVT_NO_BINARY');
});

test('a failed build reports the cause and changes nothing', (t) => {
  const consumer = withoutPrebuilds(t);
  const cli = join(consumer.installed, 'dist', 'cli.js');
  const { status, stderr } = consumer.try([cli, 'build']); // There is no Python and no compiler.
  assert.equal(status, 1);
  assert.match(stderr, /rdmavt: compiling failed\n$/);
  assert(!existsSync(join(consumer.installed, 'build')));
});
