// Builds the native add-on: node scripts/build-native.mjs [--debug | --make]
//
//            build/Release/rdmavt.node, optimized
//   --debug  build/Debug/rdmavt.node for a debugger: line numbers, assertions, no optimization
//   --make   recompiles only changed files, in the configuration built last, without reading the gyp files again
//
// node-gyp-build prefers a release build over a debug build. So each build removes the add-on of the other configuration: Node
// loads the add-on that was built last. The object files stay, so switching back compiles nothing again.
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nodeGyp } from './node-gyp.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const build = join(root, 'build');
const configuration = join(build, 'config.gypi');

const { values } = parseArgs({ options: { debug: { type: 'boolean' }, make: { type: 'boolean' } } });
process.exitCode = main(values.debug ?? false, values.make ?? false);

/**
 * @param {boolean} debug
 * @param {boolean} make
 * @returns {number} the exit status
 */
function main(debug, make) {
  if (make && !existsSync(configuration)) {
    console.log('build-native: nothing has been built yet, running a full build');
    make = false;
  }
  const isDebug = make ? wasDebug() : debug;
  const commands = make ? ['build'] : ['configure', 'build'];
  const { status } = nodeGyp(root, [...commands, isDebug ? '--debug' : '--release'], { show: true });
  if (status !== 0) return 1;
  removeAddons(isDebug ? 'Release' : 'Debug');
  if (isDebug) console.log('build-native: Node loads build/Debug/rdmavt.node until you run `npm run build`');
  return 0;
}

/** Returns whether the last build was a debug build. */
function wasDebug() {
  return /"default_configuration":\s*"Debug"/.test(readFileSync(configuration, 'utf8'));
}

/** @param {'Release' | 'Debug'} kind */
function removeAddons(kind) {
  const folder = join(build, kind);
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) if (name.endsWith('.node')) rmSync(join(folder, name));
}
