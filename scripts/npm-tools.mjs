// Installs tools for tests from npm on first use, each into its own folder below build/tools. `npm run clean` removes them.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const directory = fileURLToPath(new URL('../build/tools', import.meta.url));

/**
 * Installs an npm package and its dependencies, unless they are installed, and returns its folder. Throws if npm fails.
 * @param {string} name
 * @param {string} range
 */
export function npmPackage(name, range) {
  const folder = join(directory, `${name.replaceAll('/', '+')}@${range}`);
  const installed = join(folder, 'node_modules', name);
  if (existsSync(folder)) return installed;

  // Tests run in parallel: install under a temporary name and rename the folder when it is complete.
  const partial = `${folder}.${process.pid}`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  writeFileSync(join(partial, 'package.json'), JSON.stringify({ private: true }));
  const quiet = '--no-package-lock --no-audit --no-fund --loglevel=error';
  // Use a shell, because npm is a script on Windows.
  const { status, stdout, stderr } = spawnSync(`npm install --ignore-scripts ${quiet} ${name}@${range}`, {
    cwd: partial,
    shell: true,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`npm cannot install ${name}@${range}:\n${stdout}${stderr}`);
  try {
    renameSync(partial, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    rmSync(partial, { recursive: true }); // another process has installed the package in the meantime
  }
  return installed;
}

/**
 * Returns the path of the Node executable of the newest release of a major version.
 * @param {number} major
 */
export function nodeOf(major) {
  const windows = process.platform === 'win32';
  const folder = npmPackage(`node-${windows ? 'win' : process.platform}-${process.arch}`, String(major));
  return join(folder, 'bin', windows ? 'node.exe' : 'node');
}
