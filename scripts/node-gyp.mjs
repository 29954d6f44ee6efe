// Running node-gyp: for the add-on, its builds for tests, and the C tests.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nodeHeaders } from './node-headers.mjs';

const program = fileURLToPath(new URL('../node_modules/node-gyp/bin/node-gyp.js', import.meta.url));

/**
 * Runs node-gyp to its end, in a directory with a binding.gyp. It writes into the folder `build` there.
 *
 * @param {string} directory
 * @param {string[]} args commands, targets and options
 * @param {{ env?: Record<string, string>, show?: boolean }} [options] `show`: prints what it prints, instead of returning it
 * @returns {{ status: number | null, stdout: string, stderr: string }}
 */
export function nodeGyp(directory, args, { env = {}, show = false } = {}) {
  // The script itself and not `npx`: that would be looked up from the directory.
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
