// Programs in separate processes.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');

/**
 * Runs a program with the built package in a separate process. A program that exceeds the timeout is killed, and its signal is
 * then SIGKILL.
 *
 * @param timeout - ms
 */
export function runProgram(
  program: string,
  nodeOptions: readonly string[] = [],
  timeout = 600_000,
): { status: number | null; signal: string | null; stdout: string; stderr: string } {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', ...nodeOptions, '--input-type=commonjs', '--eval', program],
    { cwd: root, encoding: 'utf8', timeout, killSignal: 'SIGKILL' },
  );
  return { status, signal, stdout, stderr };
}
