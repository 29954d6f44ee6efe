// Checks what `npm pack` would publish: no unexpected file, no missing file, no script on install, a limited size. (publint and
// attw check that every kind of import resolves.)
//
//   node scripts/check-package.mjs             checks the checkout as it is; prebuilt binaries may be missing
//   node scripts/check-package.mjs --release   also requires the prebuilt binaries of all targets
//   node scripts/check-package.mjs --list      also prints the packed files
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nativeSources } from './build-dist/native-sources.mjs';
import { pathOf, targets } from './prebuild/targets.mjs';

/** Limit of the packed size, which every user downloads, including the binaries of all targets. */
const MOST_PACKED_BYTES = 1_200_000;
/**
 * Scripts that npm runs when the package is installed from the registry. `prepare` is not among them: npm runs it in a checkout
 * and for an install from git, which has no dist/ yet, but never for a packed package.
 */
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall'];

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({ options: { release: { type: 'boolean' }, list: { type: 'boolean' } } });
/** @type {{ scripts: Record<string, string>, gypfile?: boolean, dependencies: Record<string, string> }} */
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const required = new Set([
  ...['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE'],
  // Written by scripts/build-dist.mjs. There are no source maps because the bundles are readable: esbuild keeps all names.
  ...[
    'dist/index.js',
    'dist/index.mjs',
    'dist/library.js',
    'dist/index.d.ts',
    'dist/index.d.mts',
    'dist/cli.js',
    'dist/testing/index.js',
    'dist/testing/index.mjs',
    'dist/testing/index.d.mts',
  ],
  // The declarations of the helpers for tests, one file for each module.
  ...readdirSync(join(root, 'lib', 'testing')).map((name) => `dist/testing/${name.replace(/\.ts$/, '.d.ts')}`),
  // needed by `rdmavt bench`
  ...sources('bench', /\.mjs$/),
  // needed by `rdmavt build`
  'dist/binding.gyp',
  ...nativeSources(root).map((name) => `dist/native/${name}`),
]);
const binaries = targets.map(pathOf);

const { files, size, unpackedSize } = pack();
const packed = files.map(({ path }) => path);
/** @type {string[]} */
const problems = [];
for (const file of packed) {
  if (!required.has(file) && !binaries.includes(file)) problems.push(`would be published: ${file}`);
}
for (const file of [...required, ...(values.release ? binaries : [])]) {
  if (!packed.includes(file)) problems.push(`would be missing: ${file}`);
}
for (const script of INSTALL_SCRIPTS) {
  if (manifest.scripts[script] !== undefined) problems.push(`runs a script on install: ${script}`);
}
if (manifest.gypfile !== false) problems.push('gypfile is not false: npm would publish an install script');
if (Object.keys(manifest.dependencies).join() !== 'node-gyp-build') {
  problems.push('depends on more than node-gyp-build');
}
if (size > MOST_PACKED_BYTES) problems.push(`${size} bytes packed, more than ${MOST_PACKED_BYTES}`);

if (values.list) for (const file of files) console.log(`${String(file.size).padStart(8)}  ${file.path}`);
for (const problem of problems) console.error(`package: ${problem}`);
const there = binaries.filter((file) => packed.includes(file)).length;
console.log(
  `package: ${files.length} files, ${there} of ${binaries.length} binaries, ` +
    `${(size / 1000).toFixed(1)} kB packed, ${(unpackedSize / 1e6).toFixed(2)} MB unpacked, ${problems.length} problems`,
);
process.exitCode = problems.length ? 1 : 0;

/**
 * Returns the files in a folder and its subfolders whose names match the pattern.
 * @param {string} folder
 * @param {RegExp} pattern
 */
function sources(folder, pattern) {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => pattern.test(file))
    .map((file) => `${folder}/${file.replaceAll('\\', '/')}`);
}

/** @returns {{ files: { path: string, size: number }[], size: number, unpackedSize: number }} */
function pack() {
  // Use a shell, because npm is a script on Windows.
  const { status, stdout, stderr } = spawnSync('npm pack --dry-run --json --ignore-scripts', {
    cwd: root,
    shell: true,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`npm pack failed: ${stderr}`);
  return JSON.parse(stdout)[0];
}
