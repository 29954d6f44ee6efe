// Tools that tests get from npm on first use, each into a folder of its own in build/tools. `npm run clean` removes them.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const directory = fileURLToPath(new URL('../build/tools', import.meta.url));

/**
 * The folder of an npm package and its dependencies. Throws if it cannot be had.
 * @param {string} name
 * @param {string} range
 */
export function npmPackage(name, range) {
  const folder = join(directory, `${name.replaceAll('/', '+')}@${range}`);
  const installed = join(folder, 'node_modules', name);
  if (existsSync(folder)) return installed;

  // Tests run beside each other: what is not complete yet has another name.
  const partial = `${folder}.${process.pid}`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  writeFileSync(join(partial, 'package.json'), JSON.stringify({ private: true }));
  const quiet = '--no-package-lock --no-audit --no-fund --loglevel=error';
  // A shell, because npm is a script on Windows.
  const { status, stdout, stderr } = spawnSync(`npm install --ignore-scripts ${quiet} ${name}@${range}`, {
    cwd: partial,
    shell: true,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${name}@${range} cannot be got from npm:\n${stdout}${stderr}`);
  try {
    renameSync(partial, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    rmSync(partial, { recursive: true }); // another process was quicker
  }
  return installed;
}

/**
 * The program of the newest Node of a release line.
 * @param {number} major
 */
export function nodeOf(major) {
  const windows = process.platform === 'win32';
  const folder = npmPackage(`node-${windows ? 'win' : process.platform}-${process.arch}`, String(major));
  return join(folder, 'bin', windows ? 'node.exe' : 'node');
}
