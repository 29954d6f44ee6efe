// Builds dist/ from lib/, unless dist/ is up to date: node scripts/build-dist.mjs [--force]
//
// npm also runs this script as `prepare`: for `npm install`, `npm pack` and an install from git.
import { copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isFresh, writeStamp } from './build-dist/freshness.mjs';
import { writeNativeSources } from './build-dist/native-sources.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const work = join(root, 'build', 'dist');
const results = [
  ...['library.js', 'index.js', 'index.mjs', 'index.d.ts', 'index.d.mts', 'cli.js', 'binding.gyp'].map(
    (name) => `dist/${name}`,
  ),
  ...['index.js', 'index.mjs', 'index.d.ts', 'index.d.mts'].map((name) => `dist/testing/${name}`),
  'build/dist/rdmavt.api.md',
];

if (process.argv.includes('--force') || !isFresh(root, results)) await build();
// Always, because this takes a moment: so a change in native/ does not make the rest stale.
if (!process.exitCode) writeNativeSources(root);

async function build() {
  const start = performance.now();
  // Import the tools only here: the check that dist/ is up to date must work without them.
  const [{ bundlePrograms }, { rollUpDeclarations }] = await Promise.all([
    import('./build-dist/bundle.mjs'),
    import('./build-dist/declarations.mjs'),
  ]);
  const made = join(work, 'made');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(made, { recursive: true });
  try {
    const values = bundlePrograms(root, made);
    await Promise.all([values, rollUpDeclarations(root, work, made, values)]);
  } catch (error) {
    console.error(`dist: ${/** @type {Error} */ (error).message}`);
    process.exitCode = 1;
    return;
  }
  // `rdmavt build` reads binding.gyp from dist/. A binding.gyp at the top of the package would make yarn 1 run node-gyp on every
  // install; npm, pnpm and newer yarns, depending on their version, run it too or print a warning. `"gypfile": false` in
  // package.json stops only npm.
  copyFileSync(join(root, 'binding.gyp'), join(made, 'binding.gyp'));

  const dist = join(root, 'dist');
  rmSync(dist, { recursive: true, force: true });
  renameSync(made, dist);
  writeStamp(root, results);
  console.error(`dist: built in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}
