// Runs the command `rdmavt` of the built package.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { bin: { rdmavt: string } };

/** The program of the command, for tests that start it themselves. */
export const commandFile = join(root, manifest.bin.rdmavt);

/**
 * Runs the command in the root of the repository until it ends. A command that exceeds its time is killed, and its status is then
 * null.
 *
 * @param input - the bytes of standard input
 * @param nodeOptions - options of Node, before the program
 */
export function rdmavt(
  args: readonly string[],
  input: string | Buffer = '',
  nodeOptions: readonly string[] = [],
) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...nodeOptions, commandFile, ...args], {
    cwd: root,
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    timeout: 300_000,
    killSignal: 'SIGKILL',
  });
  return { status, stdout, stderr };
}
