// Runs node-gyp: for the add-on, for the special builds that tests use, and for the C tests.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nodeHeaders } from './node-headers.mjs';

const program = fileURLToPath(new URL('../node_modules/node-gyp/bin/node-gyp.js', import.meta.url));

/**
 * Runs node-gyp in a directory with a binding.gyp and waits until it ends. node-gyp writes into the folder `build` of this
 * directory.
 *
 * @param {string} directory
 * @param {string[]} args commands, targets and options
 * @param {{ env?: Record<string, string>, show?: boolean }} [options] `show`: print node-gyp's output instead of returning it
 * @returns {{ status: number | null, stdout: string, stderr: string }}
 */
export function nodeGyp(directory, args, { env = {}, show = false } = {}) {
  // Run node-gyp's script directly: npx would look for node-gyp from `directory`.
  const command = [program, '-C', directory, ...args, '--jobs', 'max', '--loglevel', 'warn'];
  const { status, error, stdout, stderr } = spawnSync(process.execPath, command, {
    encoding: 'utf8',
    stdio: show ? 'inherit' : 'pipe',
    env: { ...nodeHeaders(), ...process.env, ...env },
    maxBuffer: 1 << 26,
  });
  if (error) throw error;
  return { status, stdout: stdout ?? '', stderr: stderr ?? '' };
}
