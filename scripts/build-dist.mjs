// Makes dist/ from lib/, if it is not what lib/ gives already: node scripts/build-dist.mjs [--force]
//
// `npm install`, `npm pack` and an install from git run it too, as `prepare`.
import { copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isFresh, writeStamp } from './build-dist/freshness.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const work = join(root, 'build', 'dist');
const results = [
  ...['index.js', 'index.mjs', 'index.d.ts', 'index.d.mts', 'cli.js', 'binding.gyp'].map(
    (name) => `dist/${name}`,
  ),
  'build/dist/rdmavt.api.md',
];

if (process.argv.includes('--force') || !isFresh(root, results)) await build();

async function build() {
  const start = performance.now();
  // Loaded only here: to find that there is nothing to do takes no tools.
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
  // `rdmavt build` takes it from there. At the top of the package, yarn 1 would run node-gyp on every install because of it,
  // and npm, pnpm and newer yarns do so or warn, as the versions go, whatever package.json says (`"gypfile": false` is npm's).
  copyFileSync(join(root, 'binding.gyp'), join(made, 'binding.gyp'));

  const dist = join(root, 'dist');
  rmSync(dist, { recursive: true, force: true });
  renameSync(made, dist);
  writeStamp(root, results);
  console.error(`dist: made in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}
