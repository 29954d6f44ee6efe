// Tests the page of an inspector in a headless Chromium: node scripts/inspect-tests.mjs [--pictures] [options of Jest]
//
// With --pictures, also writes the pictures of the guide, docs/images/inspect-*.png. Without a Chromium the tests are skipped, and say
// so. $RDMAVT_CHROMIUM names another one.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeCounts } from './counts.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const TIMEOUT_MS = 9 * 60_000;
const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];

/** Returns the command of a Chromium, or undefined. */
function findChromium() {
  const named = process.env.RDMAVT_CHROMIUM;
  if (named) return named;
  return NAMES.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
}

const args = process.argv.slice(2);
const pictures = args.includes('--pictures');
const { status, error } = spawnSync(
  process.execPath,
  [
    '--expose-gc',
    join(root, 'node_modules', 'jest', 'bin', 'jest.js'),
    ...['--config', join(root, 'test', 'inspect', 'browser', 'jest.config.js')],
    ...args.filter((arg) => arg !== '--pictures'),
  ],
  {
    cwd: root,
    env: {
      ...process.env,
      RDMAVT_CHROMIUM: findChromium() ?? '',
      RDMAVT_PICTURES: pictures ? join(root, 'docs', 'images') : '',
    },
    stdio: 'inherit',
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  },
);
if (error) {
  console.error(`inspect: ${error.message}`);
  writeCounts('inspect', { passed: 0, failed: 1 });
}
process.exitCode = status ?? 1;
