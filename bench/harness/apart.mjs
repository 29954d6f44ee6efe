// One question in a process of its own: `node apart.mjs NAME [smoke]` prints its rows as JSON. Asked one after the other in one
// process, a question would meet the compiled code, the type feedback and the heap that those before it have left, and its
// ratio would depend on what else was asked. Subject and peers still run in one process, round by round.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { answer } from './question.mjs';
import { Disagreement } from './rounds.mjs';

const here = fileURLToPath(import.meta.url);

/** Exit status of a process whose peers did not agree; the reason stands on standard error. */
const DISAGREED = 3;

/**
 * @param {string} name of the question
 * @param {boolean} smoke
 * @returns {import('./question.mjs').Row[] | undefined} undefined: the peers do not agree, as standard error has told
 */
export function answerApart(name, smoke) {
  const args = [...process.execArgv, here, name, ...(smoke ? ['smoke'] : [])];
  const { status, stdout, error } = spawnSync(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (error) throw error;
  if (status === DISAGREED) return undefined;
  if (status !== 0) throw new Error(`the process of question ${name} ended with status ${String(status)}`);
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
