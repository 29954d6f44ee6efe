// Runs commands, and defines the folders that all prebuild scripts use.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
/** Folder for everything but the binaries themselves: tools, caches, object files. */
export const workDirectory = fileURLToPath(new URL('../../build/prebuild', import.meta.url));

/**
 * Runs a command and returns its output. Rejects with the complete output if the command fails.
 * @param {string[]} command
 * @param {{ env?: Record<string, string | undefined>, cwd?: string, output?: number, timeoutMs?: number }} [options]
 *   `output`: descriptor of a file that receives the output instead; `timeoutMs`: time in ms after which the command is killed
 * @returns {Promise<{ stdout: string, stderr: string }>}
 */
export function run([file = '', ...args], { env = {}, cwd = root, output, timeoutMs } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', output ?? 'pipe', output ?? 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const printed = { stdout: '', stderr: '' };
    child.stdout?.setEncoding('utf8').on('data', (text) => (printed.stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text) => (printed.stderr += text));
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) return resolve(printed);
      const said = `${printed.stdout}${printed.stderr}`;
      reject(new Error(`${[file, ...args].join(' ')}\nfailed with ${signal ?? `status ${status}`}\n${said}`));
    });
  });
}

/**
 * Calls `work` for every item, at most `limit` at a time.
 * @template T
 * @param {T[]} items
 * @param {number} limit
 * @param {(item: T) => Promise<void>} work
 */
export async function inParallel(items, limit, work) {
  const waiting = [...items];
  await Promise.all(
    Array.from({ length: limit }, async () => {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
    }),
  );
}

/**
 * Runs a step and prints its duration.
 * @template T
 * @param {string} title
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function timed(title, work) {
  const start = performance.now();
  const result = await work();
  console.log(`${title}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return result;
}
