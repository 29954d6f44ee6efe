// Installs missing tools: Debian packages with apt-get, npm packages into build/prebuild/tools.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run, timed, workDirectory } from './run.mjs';

/**
 * Installs the Debian packages of missing commands (or files, if given by absolute path). Throws if apt-get is missing or not run
 * as root.
 * @param {Record<string, string>} packages the Debian package of each command
 */
export async function installSystemPackages(packages) {
  const missing = [
    ...new Set(Object.entries(packages).flatMap(([command, name]) => (isThere(command) ? [] : [name]))),
  ];
  if (!missing.length) return;

  const install = ['install', '-y', '-qq', '--no-install-recommends', ...missing];
  if (!isThere('apt-get') || process.getuid?.() !== 0) {
    throw new Error(
      `not installed: ${missing.join(', ')}. On Debian 12, as root: apt-get ${install.join(' ')}\n` +
        '(prebuilt binaries are built on Debian 12; npm run build does not need these packages)',
    );
  }
  await timed(`installing ${missing.join(', ')}`, async () => {
    await run(['apt-get', 'update', '-qq']);
    await run(['apt-get', ...install], { env: { DEBIAN_FRONTEND: 'noninteractive' } });
  });
}

/**
 * Returns the directory of an npm package, which is installed on first use.
 * @param {string} name
 * @param {string} version a version; a range is allowed only without `integrity`
 * @param {string} [integrity] the hash that the package must have
 */
export async function npmPackage(name, version, integrity) {
  const directory = join(workDirectory, 'tools', `${name.replaceAll('/', '+')}@${version}`);
  const installed = join(directory, 'node_modules', name);
  if (existsSync(join(directory, 'complete'))) return installed;

  await timed(`installing ${name}@${version}`, async () => {
    const manifest = { private: true, dependencies: { [name]: version } };
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'package.json'), JSON.stringify(manifest));
    const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
    // --force: install packages for other systems too, such as a node.exe that runs under Wine.
    const command = ['npm', integrity ? 'ci' : 'install', '--force', ...quiet];
    if (integrity) {
      const packages = { '': manifest, [`node_modules/${name}`]: { version, integrity } };
      const lock = { name: 'tools', lockfileVersion: 3, requires: true, packages };
      writeFileSync(join(directory, 'package-lock.json'), JSON.stringify(lock));
    }
    await run(command, { cwd: directory });
    writeFileSync(join(directory, 'complete'), '');
  });
  return installed;
}

/** @param {string} command */
function isThere(command) {
  const directories = command.startsWith('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  return directories.some((directory) => existsSync(join(directory, command)));
}
