// Runs C test programs (test/c/check.h describes their form) and adds up the tests that passed and failed. Used by the scripts
// that build such programs: c-tests.mjs and ibverbs-tests.mjs.
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { writeCounts } from './counts.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const TIMEOUT_MS = 10 * 60_000;
/** The time of a program that takes this long is printed. */
const LONG_S = 5;

/**
 * @typedef {object} Program
 * @property {string} name
 * @property {string[]} command the program's file and its arguments, after the command that runs it, if there is one
 * @property {boolean} alone whether no other program may run at the same time
 */

/**
 * @typedef {object} Run
 * @property {string} title what the tests are called in the output
 * @property {string} kind name of the tests for scripts/counts.mjs
 * @property {string} mode
 * @property {Record<string, string>} env default environment variables; variables that the caller has set take precedence
 * @property {number} [timeoutMs] time limit of one program
 */

/**
 * Runs the programs, prints which passed, writes the counts, and sets the exit status of this process. Programs that need not be
 * alone run one per processor.
 * @param {Program[]} programs
 * @param {Run} run
 */
export async function runPrograms(programs, run) {
  const sum = { passed: 0, failed: 0 };
  /** @param {Program[]} waiting */
  const runWaiting = async (waiting) => {
    for (let program = waiting.shift(); program !== undefined; program = waiting.shift()) {
      const counts = await runProgram(program, run);
      sum.passed += counts.passed;
      sum.failed += counts.failed;
    }
  };
  await runWaiting(programs.filter(({ alone }) => alone));
  const others = programs.filter(({ alone }) => !alone);
  await Promise.all(Array.from({ length: availableParallelism() }, () => runWaiting(others)));
  report(sum, run);
}

/**
 * Writes and prints the counts, and sets the exit status of this process. A build that failed is reported as one failed test.
 * @param {import('./counts.mjs').Counts} counts
 * @param {Pick<Run, 'title' | 'kind' | 'mode'>} run
 */
export function report(counts, { title, kind, mode }) {
  writeCounts(`${kind}-${mode}`, counts);
  console.log(`${title} (${mode}): ${counts.passed} passed, ${counts.failed} failed`);
  process.exitCode = counts.failed ? 1 : 0;
}

/**
 * Runs one test program, prints its output and returns the counts of its summary line. A program that ends without this line, or
 * fails without reporting a failed test (for example because a sanitizer reports at exit), counts as one more failed test.
 * @param {Program} program
 * @param {Run} run
 */
async function runProgram({ name, command }, run) {
  const begin = performance.now();
  let result = await execute(command, run);
  // ThreadSanitizer of gcc 12 and clang 14 cannot place its shadow memory when the kernel randomizes addresses by more than
  // 28 bits. It then prints this message and exits before main(). Run the program again without randomization.
  if (/unexpected memory mapping/.test(result.output)) {
    result = await execute(['setarch', '-R', ...command], run);
  }

  const summary = /(\d+) passed, (\d+) failed\s*$/.exec(result.stdout);
  const counts = { passed: Number(summary?.[1] ?? 0), failed: Number(summary?.[2] ?? 0) };
  const endedBadly = result.why !== undefined && counts.failed === 0;
  if (endedBadly || !summary) counts.failed++;

  if (counts.failed) {
    process.stdout.write(`# ${name} (${run.mode})\n${result.output}\n`);
    console.log(`not ok ${name}: ${result.why ?? 'ended without a summary'}`);
  } else {
    const seconds = Math.round((performance.now() - begin) / 1000);
    console.log(`ok ${name}: ${counts.passed} passed${seconds >= LONG_S ? ` (${seconds} s)` : ''}`);
  }
  return counts;
}

/**
 * @param {string[]} command
 * @param {Run} run
 * @returns {Promise<{ stdout: string, output: string, why: string | undefined }>}
 */
function execute([file = '', ...args], run) {
  const options = {
    cwd: root,
    encoding: /** @type {const} */ ('utf8'),
    env: { ...run.env, ...process.env },
    maxBuffer: 1 << 26,
    timeout: run.timeoutMs ?? TIMEOUT_MS,
    killSignal: /** @type {const} */ ('SIGKILL'),
  };
  return new Promise((resolve) => {
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      const { exitCode, signalCode } = child;
      const why = signalCode
        ? `ended by ${signalCode}`
        : exitCode
          ? `exit status ${exitCode}`
          : error?.message;
      resolve({ stdout, output: `${stdout}${stderr}`, why });
    });
  });
}
