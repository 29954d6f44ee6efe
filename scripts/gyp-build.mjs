// Builds targets that belong to no add-on: C tests, and the libibverbs shim. node-gyp always builds into ./build of its working
// directory, so each kind of build has a directory of its own, with a generated binding.gyp: builds do not overwrite each other,
// and a second run compiles only changed files.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeGyp } from './node-gyp.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Configures, if anything has changed that makefiles depend on, and builds.
 *
 * @param {string} directory where binding.gyp and the build go
 * @param {object} gyp the content of binding.gyp
 * @param {string[]} includes the files that it includes, relative to the root of the checkout
 * @param {string[]} targets
 * @returns {{ ok: boolean, output: string }} everything that was printed if the build failed; otherwise compiler warnings
 */
export function gypBuild(directory, gyp, includes, targets) {
  mkdirSync(directory, { recursive: true });
  writeIfChanged(join(directory, 'binding.gyp'), `${JSON.stringify(gyp, null, 2)}\n`);
  const configuration = configurationOf(JSON.stringify(gyp), includes);
  const stamp = join(directory, 'configuration');
  const isConfigured =
    existsSync(join(directory, 'build', 'config.gypi')) &&
    existsSync(stamp) &&
    readFileSync(stamp, 'utf8') === configuration;
  if (!isConfigured) rmSync(stamp, { force: true });
  const args = [...(isConfigured ? [] : ['configure']), 'build', ...targets, '--release'];
  const { status, stdout, stderr } = nodeGyp(directory, args);
  if (status !== 0) return { ok: false, output: `${stdout}${stderr}` };
  writeIfChanged(stamp, configuration);
  // A successful build prints nothing but compiler warnings.
  const warnings = stderr.split('\n').filter((line) => !/^make: warning:/.test(line));
  return { ok: true, output: warnings.join('\n') };
}

/**
 * Returns a text of everything that the generated makefiles depend on. While this text is unchanged, node-gyp need not configure
 * again.
 * @param {string} gyp
 * @param {string[]} includes
 */
function configurationOf(gyp, includes) {
  const variables = ['CC', 'CXX', 'CFLAGS', 'CXXFLAGS', 'LDFLAGS', 'CI', 'npm_config_nodedir'];
  return JSON.stringify([
    gyp,
    process.execPath,
    process.version,
    includes.map((file) => readFileSync(join(root, file), 'utf8')),
    variables.map((name) => process.env[name] ?? null),
  ]);
}

/**
 * Writes the file only if its content changes: make would rebuild everything that depends on a newer file.
 * @param {string} file
 * @param {string} text
 */
function writeIfChanged(file, text) {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
}
