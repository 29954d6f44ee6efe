// Runs the tests against Linux's soft-RoCE in a virtual machine: node scripts/rxe-tests.mjs [options of Jest]
//
// Debian's kernel, a shell of verbs and an init become a guest (scripts/rxe), which test/rxe boots in QEMU. Nothing needs root once the
// packages are installed. What this machine cannot do is skipped, and the skipped tests say why.
//
//   RDMAVT_RXE_CACHE    folder of the kernel; default rdmavt/rxe below the user's cache folder
//   RDMAVT_RXE_TIMEOUT  time limit of the tests in seconds; default 900
//   RDMAVT_RXE_BOOT     time limit of a boot in seconds; default 240
//   RDMAVT_RXE_VERBOSE  1: print the guest's console
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeCounts } from './counts.mjs';
import { buildInitramfs, compileForHost } from './rxe/guest-image.mjs';
import { provideKernel } from './rxe/kernel.mjs';
import { NotHere, provideNeeds } from './rxe/machine-needs.mjs';
import { namespaceCommand } from './rxe/namespace.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const TIMEOUT_S = 900;
/** A boot takes 5 to 10 s; it took 166 s on a machine with ten times as many runnable processes as processors. */
const BOOT_S = 240;
/** Exit status of a command that was stopped by its time limit, as timeout(1) has it. */
const TIMED_OUT = 124;

try {
  const { command, ...setting } = prepare();
  process.exitCode = await runJest(command, setting);
} catch (error) {
  console.error(`rxe: ${error instanceof Error ? error.message : error}`);
  writeCounts('rxe', { passed: 0, failed: 1 });
  process.exitCode = 1;
}

/** Makes what the tests need. The result is the setting of test/rxe/setting.ts, and the command that the tests run under. */
function prepare() {
  try {
    provideNeeds();
    const kernel = provideKernel();
    const { command: inNamespace, why } = namespaceCommand();
    console.log(`rxe: ${kernel.name}${why ? `; ${why}` : ''}`);
    return {
      // If this process is killed, the kernel kills its child.
      command: ['setpriv', '--pdeathsig', 'KILL', ...inNamespace],
      noSockets: why,
      kernel: kernel.image,
      initramfs: buildInitramfs(kernel.modules),
      frameTap: compileForHost('frame-tap'),
      udpNeighbour: compileForHost('udp-neighbour'),
      bootMs: seconds('RDMAVT_RXE_BOOT', BOOT_S) * 1000,
      verbose: process.env.RDMAVT_RXE_VERBOSE === '1',
    };
  } catch (error) {
    if (!(error instanceof NotHere)) throw error;
    console.log(`rxe: skipped: ${error.message}`);
    return { command: [], noMachine: error.message, noSockets: error.message };
  }
}

/**
 * Runs Jest and returns its exit status. Ends it, and with it everything that it has started, when this process is told to end, or
 * when the time is up.
 * @param {string[]} command
 * @param {object} setting
 * @returns {Promise<number>}
 */
function runJest(command, setting) {
  const limit = seconds('RDMAVT_RXE_TIMEOUT', TIMEOUT_S);
  const jest = [
    ...[process.execPath, '--expose-gc', join(root, 'node_modules', 'jest', 'bin', 'jest.js')],
    ...['--config', join(root, 'test', 'rxe', 'jest.config.js'), '--runInBand', ...process.argv.slice(2)],
  ];
  const [file = '', ...args] = [...command, ...jest];
  const child = spawn(file, args, {
    cwd: root,
    env: { ...process.env, RDMAVT_RXE_SETTING: JSON.stringify(setting) },
    stdio: 'inherit',
  });
  return new Promise((resolve, reject) => {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      console.error(`rxe: the tests took longer than ${limit} s`);
      child.kill('SIGKILL');
    }, limit * 1000);
    for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
      process.once(signal, () => child.kill('SIGKILL'));
    }
    child.on('error', reject);
    child.on('exit', (status) => {
      clearTimeout(timer);
      if (timedOut) writeCounts('rxe', { passed: 0, failed: 1 });
      resolve(timedOut ? TIMED_OUT : (status ?? 1));
    });
  });
}

/**
 * @param {string} name
 * @param {number} otherwise
 */
function seconds(name, otherwise) {
  const value = Number(process.env[name] || otherwise);
  if (!(value > 0 && value < 86_400)) throw new Error(`${name} is not a number of seconds`);
  return value;
}
