// A binary built from other sources than the JavaScript that loads it must be rejected, because the two may disagree about the
// numbers that they share.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { LAYOUT_HASH } from '../../lib/internal/layout';
import { type StaleBinaryError } from '../../lib/internal/binary-errors';
import { loadNative } from '../../lib/internal/load-native';
import { testIf } from '../support/conditions';
import { runProgram } from '../support/programs';

const root = join(__dirname, '..', '..');
const OTHER_HASH = '0123456789abcdef';

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'rdmavt-stale-')));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** The add-on under test: the one of this checkout, or the one selected by RDMAVT_PREBUILD. */
const addon = ((): string => {
  const home = process.env.RDMAVT_PREBUILD ?? root;
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- CommonJS, without types
  return (require('node-gyp-build') as { resolve: (home: string) => string }).resolve(home);
})();

/**
 * Puts a copy of the add-on where the loader finds it in `home`, with every `old` replaced by `now`, which has the same length.
 */
function plant(home: string, old: string, now: string): string {
  const bytes = readFileSync(addon);
  let count = 0;
  for (let at = bytes.indexOf(old); at >= 0; at = bytes.indexOf(old, at + 1)) {
    bytes.write(now, at);
    count++;
  }
  expect(count).toBeGreaterThan(0);
  const file = join(home, 'build', 'Release', 'rdmavt.node');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, bytes);
  return file;
}

/** Prints the fields of the error and its message, or 'loaded'. */
const REQUIRE = `
  try { require('rdmavt').Device; console.log('"loaded"'); }
  catch (error) { console.log(JSON.stringify({ message: error.message, ...error })); }`;

// RDMAVT_TEST_ADDONS is removed because scripts/test-prebuilt.mjs treats any other binary than the one under test as a failure.
// These tests load others on purpose.
function required(cwd: string, env: NodeJS.ProcessEnv): unknown {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--eval', REQUIRE], {
    cwd,
    env: { ...process.env, PREBUILDS_ONLY: '', RDMAVT_TEST_ADDONS: undefined, ...env },
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

const machine = {
  code: 'ERR_RDMAVT_STALE_BINARY',
  platform: process.platform,
  arch: process.arch,
  node: process.version,
  ...(process.platform === 'linux' && { libc: expect.stringMatching(/^(glibc \d+\.\d+|musl)$/) as unknown }),
};

test('a binary with another layout is rejected, and in a checkout the error names the build command', () => {
  const file = plant(folder, LAYOUT_HASH, OTHER_HASH);
  expect(required(root, { RDMAVT_PREBUILD: folder })).toEqual({
    ...machine,
    file,
    buildCommand: 'npm run build',
    message: [
      "rdmavt: the native binary was built from other sources than this package's JavaScript.",
      `  ${file}`,
      `  because of the environment variable RDMAVT_PREBUILD=${folder}`,
      'To build a new one from source (requires Python 3, make, and a C and a C++ compiler):',
      '  npm run build',
    ].join('\n'),
  });
});

test('a binary without a layout hash is rejected', () => {
  const file = plant(folder, 'layoutHash', 'layoutHush');
  expect(required(root, { RDMAVT_PREBUILD: folder })).toMatchObject({ ...machine, file });
});

test('the same binary with the right layout loads', () => {
  plant(folder, LAYOUT_HASH, LAYOUT_HASH);
  expect(required(root, { RDMAVT_PREBUILD: folder })).toBe('loaded');
});

test('in an installed package the error names the build command of the package', () => {
  const modules = join(folder, 'node_modules');
  const installed = join(modules, 'rdmavt');
  for (const part of ['dist', 'package.json'])
    cpSync(join(root, part), join(installed, part), { recursive: true });
  const nodeGypBuild = join('node_modules', 'node-gyp-build');
  cpSync(join(root, nodeGypBuild), join(folder, nodeGypBuild), { recursive: true });

  const file = plant(installed, LAYOUT_HASH, OTHER_HASH);
  const buildCommand = `node "${join(installed, 'dist', 'cli.js')}" build`;
  const error = required(folder, { RDMAVT_PREBUILD: '' });
  expect(error).toMatchObject({ ...machine, file, buildCommand });
  expect((error as Error).message).not.toContain('RDMAVT_PREBUILD');

  plant(installed, LAYOUT_HASH, LAYOUT_HASH);
  expect(required(folder, { RDMAVT_PREBUILD: '' })).toBe('loaded');
});

// Jest has already loaded node-gyp-build, which read its settings at that time.
testIf(!process.env.PREBUILDS_ONLY, 'only prebuilt binaries are looked for')(
  'in a bundle the error names the binaries of the version',
  () => {
    const file = plant(folder, LAYOUT_HASH, OTHER_HASH);
    const named = process.env.RDMAVT_PREBUILD;
    const prebuildsOnly = process.env.PREBUILDS_ONLY;
    delete process.env.RDMAVT_PREBUILD;
    delete process.env.PREBUILDS_ONLY;
    try {
      loadNative(folder);
      throw new Error('it was loaded');
    } catch (error) {
      const { message, ...fields } = error as StaleBinaryError;
      expect({ ...fields, message }).toMatchObject({ ...machine, file, buildCommand: undefined });
      expect(message).toMatch(/bundle: copy the prebuilds folder of the rdmavt version/);
      expect(message.endsWith(`\n  ${folder}`)).toBe(true);
    } finally {
      if (named !== undefined) process.env.RDMAVT_PREBUILD = named;
      if (prebuildsOnly !== undefined) process.env.PREBUILDS_ONLY = prebuildsOnly;
    }
  },
);

test('a worker rejects the binary as well', () => {
  plant(folder, LAYOUT_HASH, OTHER_HASH);
  const program = `
    const { Worker } = require('node:worker_threads');
    process.env.RDMAVT_PREBUILD = ${JSON.stringify(folder)};
    process.env.PREBUILDS_ONLY = '';
    delete process.env.RDMAVT_TEST_ADDONS;
    new Worker("require('rdmavt')", { eval: true }).on('error', ({ code }) => console.log(code));`;
  expect(runProgram(program)).toEqual({
    status: 0,
    signal: null,
    stdout: 'ERR_RDMAVT_STALE_BINARY\n',
    stderr: '',
  });
});
