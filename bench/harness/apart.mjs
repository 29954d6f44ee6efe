// Runs one benchmark in a separate process: `node apart.mjs NAME [smoke]` prints its rows as JSON. In a shared process, earlier
// benchmarks would leave compiled code, type feedback and garbage behind, so the ratios would depend on which benchmarks ran
// before. The subject and its peers still share one process and alternate, round by round.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { answer } from './question.mjs';
import { Disagreement } from './rounds.mjs';

const here = fileURLToPath(import.meta.url);

/** Exit status if the peers gave different results. Standard error contains the reason. */
const DISAGREED = 3;

/**
 * Runs one benchmark in a new process.
 *
 * @param {string} name of the benchmark
 * @param {boolean} smoke
 * @returns {import('./question.mjs').Row[] | undefined} undefined: the peers gave different results, reported on standard error
 */
export function answerApart(name, smoke) {
  const args = [...process.execArgv, here, name, ...(smoke ? ['smoke'] : [])];
  const { status, stdout, error } = spawnSync(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (error) throw error;
  if (status === DISAGREED) return undefined;
  if (status !== 0) throw new Error(`the process of benchmark ${name} failed with status ${String(status)}`);
  return JSON.parse(stdout);
}

/** @param {string} name @param {boolean} smoke */
async function main(name, smoke) {
  const { default: question } = await import(new URL(`../${name}.mjs`, import.meta.url).href);
  try {
    process.stdout.write(JSON.stringify(await answer(question, smoke)));
  } catch (error) {
    const disagreed =
      error instanceof Disagreement ||
      (error instanceof Error && 'code' in error && error.code === 'ERR_ASSERTION');
    if (!disagreed) throw error;
    process.stderr.write(`rdmavt: bench: ${name}: ${error.message}\n`);
    process.exitCode = DISAGREED;
  }
}

if (process.argv[1] === here) {
  const [name = '', smoke] = process.argv.slice(2);
  await main(name, smoke === 'smoke');
}
