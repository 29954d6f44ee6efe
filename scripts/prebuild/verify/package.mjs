// Installs the package as it would be published into a separate folder, together with the smoke program.
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root, run, workDirectory } from '../run.mjs';

const smoke = fileURLToPath(new URL('smoke.cjs', import.meta.url));

/**
 * Packs the current dist/ and prebuilds/ and installs the package.
 * @returns {Promise<string>} path of the smoke program
 */
export async function installPackage() {
  const directory = join(workDirectory, 'package');
  const modules = join(directory, 'node_modules');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(modules, { recursive: true });
  // Without a package.json of its own, the folder would belong to the checkout, where 'rdmavt' resolves to the checkout itself.
  writeFileSync(join(directory, 'package.json'), '{ "name": "smoke", "private": true }\n');

  const { stdout } = await run([
    'npm',
    'pack',
    '--json',
    '--ignore-scripts',
    '--pack-destination',
    directory,
  ]);
  /** @type {[{ filename: string, size: number }]} */
  const [{ filename, size }] = JSON.parse(stdout);
  await run(['tar', '-xzf', join(directory, filename), '-C', directory]);
  renameSync(join(directory, 'package'), join(modules, 'rdmavt'));
  console.log(`package: ${filename}, ${(size / 1024).toFixed(0)} KiB`);

  const require = createRequire(import.meta.url);
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const name of Object.keys(manifest.dependencies)) {
    cpSync(dirname(require.resolve(`${name}/package.json`)), join(modules, name), { recursive: true });
  }
  cpSync(smoke, join(directory, 'smoke.cjs'));
  return join(directory, 'smoke.cjs');
}
