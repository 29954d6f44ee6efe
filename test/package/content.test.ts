// scripts/check-package.mjs checks what `npm pack` would publish. The tests verify that the script finds defects.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const root = join(__dirname, '..', '..');
const published = [
  'bench',
  'dist',
  'lib',
  'native',
  'scripts',
  'package.json',
  'README.md',
  'CHANGELOG.md',
  'LICENSE',
];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rdmavt-content-'));
  for (const name of published) cpSync(join(root, name), join(folder, name), { recursive: true });
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function check(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(folder, 'scripts', 'check-package.mjs'), ...args],
    { encoding: 'utf8' },
  );
  const problems = stderr.split('\n').filter((line) => line.startsWith('package: '));
  return { status, problems: problems.map((line) => line.slice('package: '.length)), stdout, stderr };
}

function write(file: string, content: string | Buffer = '') {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), content);
}

test('accepts the package as it is', () => {
  expect(check()).toMatchObject({ status: 0, problems: [] });
});

test('reports every defect', () => {
  // One package has every defect, because packing takes seconds.
  const unforeseen = [
    'dist/internal/left-over.js',
    'dist/native/core/notes.txt',
    'prebuilds/linux-s390x/rdmavt.glibc.node',
    'prebuilds/linux-x64/other.node',
    'bench/harness/notes.md',
  ];
  for (const file of unforeseen) write(file);
  const missing = ['LICENSE', 'dist/binding.gyp', 'dist/cli.js', 'dist/index.d.ts', 'dist/index.mjs'];
  for (const file of missing) rmSync(join(folder, file));
  write('prebuilds/linux-x64/rdmavt.glibc.node', randomBytes(1_000_000)); // This is the only binary; all others are missing.

  const file = join(folder, 'package.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as {
    scripts: Record<string, string>;
    dependencies: Record<string, string>;
    gypfile?: boolean;
  };
  manifest.scripts.install = 'node-gyp-build';
  manifest.dependencies['node-addon-api'] = '*';
  delete manifest.gypfile;
  writeFileSync(file, JSON.stringify(manifest));

  const { status, problems } = check('--release');
  expect(status).toBe(1);
  expect(problems.sort()).toEqual([
    expect.stringMatching(/^\d{7} bytes packed, more than 1200000$/),
    'depends on more than node-gyp-build',
    'gypfile is not false: npm would publish an install script',
    'runs a script on install: install',
    ...missing.map((name) => `would be missing: ${name}`),
    'would be missing: prebuilds/darwin-arm64/rdmavt.node',
    'would be missing: prebuilds/darwin-x64/rdmavt.node',
    'would be missing: prebuilds/linux-arm64/rdmavt.glibc.node',
    'would be missing: prebuilds/linux-arm64/rdmavt.musl.node',
    'would be missing: prebuilds/linux-x64/rdmavt.musl.node',
    'would be missing: prebuilds/win32-arm64/rdmavt.node',
    'would be missing: prebuilds/win32-x64/rdmavt.node',
    ...unforeseen.sort().map((name) => `would be published: ${name}`),
  ]);
});
