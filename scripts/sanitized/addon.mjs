// Builds the add-on with AddressSanitizer and UndefinedBehaviorSanitizer, and provides the environment in which Node loads this
// build.
//
// The build uses the package's own binding.gyp, in a separate directory because node-gyp always builds into ./build. The
// sanitizer flags come from environment variables, which make appends to the flags of the gyp files.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeGyp } from '../node-gyp.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const directory = join(root, 'build', 'asan');
const addon = join(directory, 'build', 'Release', 'rdmavt.node');
const SANITIZE = '-fsanitize=address,undefined';

/** Builds the add-on, recompiling only changed files. Throws with the compiler's output if the build fails. */
export function buildSanitizedAddon() {
  mkdirSync(directory, { recursive: true });
  copyIfChanged(join(root, 'binding.gyp'), join(directory, 'binding.gyp'));
  const native = join(directory, 'native');
  if (!existsSync(native)) symlinkSync(join('..', '..', 'native'), native);

  // -O1 and frame pointers keep the stacks of the reports readable.
  const flags = `${SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -fasynchronous-unwind-tables -O1 -g`;
  const env = { CFLAGS: flags, CXXFLAGS: flags, LDFLAGS: SANITIZE };
  const { status, stdout, stderr } = nodeGyp(directory, ['configure', 'build', '--release'], { env });
  if (status !== 0) throw new Error(`${stdout}${stderr}\nthe sanitized add-on could not be built`);
}

/**
 * Returns the environment variables that make a process and its children run the sanitized add-on.
 *
 * @param {{ reports?: string, leaks?: boolean }} [options] `reports`: directory into which every process writes its report, even
 *   a process whose exit status is not checked; by default, reports go to standard error. `leaks`: report memory not freed at
 *   exit
 * @returns {Record<string, string>}
 */
export function sanitizedEnvironment({ reports, leaks = false } = {}) {
  if (reports !== undefined) {
    rmSync(reports, { recursive: true, force: true });
    mkdirSync(reports, { recursive: true });
  }
  const path = (/** @type {string} */ name) =>
    reports === undefined ? [] : [`log_path=${join(reports, name)}`];
  const asan = [
    ...path('asan'),
    // Without `leaks`, the memory that V8 and Node keep until the process exits would be reported.
    `detect_leaks=${leaks ? 1 : 0}`,
    // malloc must return NULL for a size that is too large, as it does without the sanitizer.
    'allocator_may_return_null=1',
    'detect_stack_use_after_return=1',
    // Most allocations are made by Node itself. Recording only short stacks for them saves time.
    `malloc_context_size=${leaks ? 30 : 12}`,
  ];
  return {
    // Node itself is not sanitized, so the sanitizer runtimes must be loaded before the add-on.
    LD_PRELOAD: [library('libasan.so'), library('libubsan.so')].join(':'),
    ASAN_OPTIONS: asan.join(':'),
    UBSAN_OPTIONS: ['print_stacktrace=1', ...path('ubsan')].join(':'),
    // The folder that node-gyp-build searches first.
    RDMAVT_PREBUILD: directory,
  };
}

/**
 * Verifies that programs in this environment load the sanitized add-on and no other: a process, a worker thread of it, and a
 * child process of it. Throws if one does not.
 *
 * @param {Record<string, string>} environment
 * @param {string} [node]
 */
export function proveSanitized(environment, node = process.execPath) {
  const program = `
    require('rdmavt');
    const { sharedObjects } = process.report.getReport();
    const loaded = sharedObjects.filter((file) => /rdmavt.*[.]node$/.test(file));
    console.log(loaded.join(), sharedObjects.some((file) => /libasan/.test(file)));
    const { isMainThread, Worker } = require('node:worker_threads');
    const { PROGRAM, ...env } = process.env;
    if (isMainThread && PROGRAM) {
      new Worker(PROGRAM, { eval: true });
      require('node:child_process').spawnSync(process.execPath, ['--eval', PROGRAM], { env, stdio: 'inherit' });
    }`;
  const { stdout, stderr } = spawnSync(node, ['--eval', program], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...environment, PROGRAM: program },
  });
  const expected = `${addon} true\n`.repeat(3);
  if (stdout !== expected) {
    throw new Error(`this is not the sanitized add-on (${addon}):\n${stdout}${stderr}`);
  }
}

/**
 * Returns the reports that the sanitizers wrote.
 *
 * @param {string} reports the directory with the reports
 * @returns {string[]} one text per process
 */
export function sanitizerReports(reports) {
  return readdirSync(reports)
    .map((file) => readFileSync(join(reports, file), 'utf8'))
    .map((text) => text.split('\n').filter((line) => line && !/WARNING: .* failed to allocate/.test(line)))
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'));
}

/** @param {string} name */
function library(name) {
  return execFileSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim();
}

/**
 * Copies the file only if its content changes: make would run again everything that depends on a newer file.
 *
 * @param {string} from
 * @param {string} to
 */
function copyIfChanged(from, to) {
  if (!existsSync(to) || !readFileSync(to).equals(readFileSync(from))) copyFileSync(from, to);
}
