// Runs unmodified programs of libibverbs in two processes that reach each other over UDP: node scripts/two-processes.mjs [options of
// Jest]
//
// Builds the libibverbs shim, and runs the tests of test/two-processes. Programs that are not installed are skipped by name.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildIbverbs } from './build-ibverbs.mjs';
import { writeCounts } from './counts.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const TIMEOUT_MS = 10 * 60_000;

/** Returns why the library cannot be built here, or undefined. */
function whyNoLibrary() {
  if (process.platform !== 'linux') return 'the libibverbs shim is for Linux';
  if (!existsSync('/usr/include/infiniband/verbs.h')) return 'the package libibverbs-dev is not installed';
  return undefined;
}

try {
  const why = whyNoLibrary();
  if (!why) buildIbverbs('plain');
  const jest = ['--expose-gc', join(root, 'node_modules', 'jest', 'bin', 'jest.js')];
  const config = ['--config', join(root, 'test', 'two-processes', 'jest.config.js')];
  const { status, error } = spawnSync(process.execPath, [...jest, ...config, ...process.argv.slice(2)], {
    cwd: root,
    env: { ...process.env, RDMAVT_TWO_PROCESSES: JSON.stringify({ why }) },
    stdio: 'inherit',
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  if (error) throw error;
  process.exitCode = status ?? 1;
} catch (error) {
  console.error(`two-processes: ${error instanceof Error ? error.message : error}`);
  writeCounts('two-processes', { passed: 0, failed: 1 });
  process.exitCode = 1;
}
