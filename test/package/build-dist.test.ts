// scripts/build-dist.mjs rebuilds dist/ only when necessary; scripts/api-report.mjs detects a change of the API.
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = join(__dirname, '..', '..');
const copied = [
  'lib',
  'native',
  'scripts',
  'dist',
  'build/dist',
  'docs',
  'tsconfig.json',
  'binding.gyp',
  'package.json',
];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rdmavt-dist-'));
  for (const name of copied) cpSync(join(root, name), join(folder, name), { recursive: true });
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function run(script: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, 'scripts', script), ...args], {
    encoding: 'utf8',
  });
  return { status, output: stdout + stderr };
}

/** Calls the freshness check of the script alone: a build takes seconds and needs the tools. */
function isFresh(): boolean {
  const { href } = pathToFileURL(join(folder, 'scripts', 'build-dist', 'freshness.mjs'));
  const stamp = JSON.parse(readFileSync(join(folder, 'dist', '.built-from.json'), 'utf8')) as {
    results: Record<string, string>;
  };
  const results = JSON.stringify(Object.keys(stamp.results));
  const { stdout } = spawnSync(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      `import { isFresh } from '${href}'; console.log(isFresh(${JSON.stringify(folder)}, ${results}))`,
    ],
    { encoding: 'utf8' },
  );
  expect(stdout).toMatch(/^(true|false)\n$/);
  return stdout === 'true\n';
}

const inFolder = (name: string) => join(folder, name);

test('does nothing and loads no tool when nothing has changed', () => {
  // The folder has no node_modules.
  expect(run('build-dist.mjs')).toEqual({ status: 0, output: '' });
  expect(run('build-dist.mjs', '--force').status).not.toBe(0);
});

test('a changed file time alone is not a change', () => {
  for (const name of ['lib/index.ts', 'package.json', 'dist/index.js']) {
    utimesSync(inFolder(name), new Date(), new Date(Date.now() + 10_000));
  }
  expect(isFresh()).toBe(true);
});

test.each<[string, () => void]>([
  ['a source is changed', () => appendFileSync(inFolder('lib/index.ts'), '\n')],
  ['a source is added', () => writeFileSync(inFolder('lib/verbs/new.ts'), '')],
  ['a source is renamed', () => renameSync(inFolder('lib/index.ts'), inFolder('lib/other.ts'))],
  ['a source is removed', () => rmSync(inFolder('lib/cli/main.ts'))],
  ['the compiler options are changed', () => appendFileSync(inFolder('tsconfig.json'), '\n')],
  [
    'a script that builds dist is changed',
    () => appendFileSync(inFolder('scripts/build-dist/bundle.mjs'), '\n'),
  ],
  ['a result is missing', () => rmSync(inFolder('dist/cli.js'))],
  ['a result is changed', () => appendFileSync(inFolder('dist/index.d.ts'), '\n')],
  [
    'the version is changed',
    () => {
      const manifest = JSON.parse(readFileSync(inFolder('package.json'), 'utf8')) as object;
      writeFileSync(inFolder('package.json'), JSON.stringify({ ...manifest, version: '99.0.0' }));
    },
  ],
])('dist is stale when %s', (_, change) => {
  expect(isFresh()).toBe(true);
  change();
  expect(isFresh()).toBe(false);
});

test('dist is stale when the record of its sources is missing', () => {
  rmSync(inFolder('dist/.built-from.json'));
  // The script tries to build, for which the tools are missing here.
  expect(run('build-dist.mjs').status).not.toBe(0);
});

test('the API report is compared, and updated on request', () => {
  const report = inFolder('docs/rdmavt.api.md');
  const content = readFileSync(report, 'utf8');
  expect(run('api-report.mjs')).toEqual({ status: 0, output: '' });
  writeFileSync(report, content.replace('remoteKeyZero?: boolean', 'remoteKeyZero?: number'));
  const { status, output } = run('api-report.mjs');
  expect(status).toBe(1);
  expect(output).toContain('\n-    remoteKeyZero?: number;\n+    remoteKeyZero?: boolean;\n');
  expect(output).toMatch(/The public API has changed\. .*npm run api/);
  expect(run('api-report.mjs', '--write').status).toBe(0);
  expect(readFileSync(report, 'utf8')).toBe(content);
});
