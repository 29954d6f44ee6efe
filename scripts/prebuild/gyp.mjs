// Reads sources, definitions and flags from binding.gyp with node-gyp's own copy of gyp, so that they are defined in one place
// only.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './run.mjs';

/** @typedef {import('./targets.mjs').Platform} Platform */

/**
 * @typedef {object} GypTarget the properties of a gyp target that prebuild uses
 * @property {string[]} sources
 * @property {string[]} [include_dirs]
 * @property {string[]} [defines]
 * @property {string[]} [cflags] for C and C++
 * @property {string[]} [cflags_c]
 * @property {string[]} [cflags_cc]
 * @property {string[]} [libraries]
 */

const script = fileURLToPath(new URL('read_gyp.py', import.meta.url));
const nodeGyp = dirname(createRequire(import.meta.url).resolve('node-gyp/package.json'));

/** Keys that would change the build but that prebuild does not support. */
const unknown = ['actions', 'copies', 'rules', 'asmflags', 'link_settings'];

/**
 * Returns the targets of binding.gyp. Throws if one uses a key that prebuild does not support.
 * @param {Platform} platform
 * @returns {Promise<GypTarget[]>}
 */
export async function gypTargets(platform) {
  const os = { linux: 'linux', win32: 'win', darwin: 'mac' }[platform];
  const { stdout } = await run(['python3', '-B', script, join(nodeGyp, 'gyp', 'pylib'), os]);
  /** @type {(GypTarget & Record<string, unknown>)[]} */
  const described = JSON.parse(stdout);
  for (const target of described) {
    const keys = unknown.filter((key) => key in target);
    if (keys.length) throw new Error(`binding.gyp: prebuild does not support ${keys.join(', ')}`);
  }
  return described;
}
