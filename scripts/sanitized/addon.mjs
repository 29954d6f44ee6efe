// The add-on with AddressSanitizer and UndefinedBehaviorSanitizer: how it is built, and how a plain node is made to run it.
//
// It is built from the package's own binding.gyp, in a directory of its own (node-gyp always builds into ./build): the
// sanitizers come with the compiler's flags from the environment, which make puts behind those of the gyp files.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeGyp } from '../node-gyp.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const directory = join(root, 'build', 'asan');
const addon = join(directory, 'build', 'Release', 'rdmavt.node');
const SANITIZE = '-fsanitize=address,undefined';

/** Builds the add-on, as far as something has changed. Throws with the compiler's words if that fails. */
export function buildSanitizedAddon() {
  mkdirSync(directory, { recursive: true });
  copyIfChanged(join(root, 'binding.gyp'), join(directory, 'binding.gyp'));
  const native = join(directory, 'native');
  if (!existsSync(native)) symlinkSync(join('..', '..', 'native'), native);

  // -O1 and frame pointers keep the stacks of the reports readable.
  const flags = `${SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g`;
  const env = { CFLAGS: flags, CXXFLAGS: flags, LDFLAGS: SANITIZE };
  const { status, stdout, stderr } = nodeGyp(directory, ['configure', 'build', '--release'], { env });
  if (status !== 0) throw new Error(`${stdout}${stderr}\nthe sanitized add-on could not be built`);
}

/**
 * What a process needs in its environment to run the sanitized add-on; its children inherit it.
 *
 * @param {{ reports?: string, leaks?: boolean }} [options] `reports`: a directory in which every process leaves its report, also one
 *   whose end nobody looks at; else they go to standard error. `leaks`: tell what was not freed at the end
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
    // What V8 and Node keep until the end are leaks to it.
    `detect_leaks=${leaks ? 1 : 0}`,
    // Asked for far too much memory, malloc answers with none, as without the sanitizer.
    'allocator_may_return_null=1',
    'detect_stack_use_after_return=1',
    // Most allocations are Node's own: their stacks are short enough to be cheap.
    `malloc_context_size=${leaks ? 30 : 12}`,
  ];
  return {
    // Node itself is not sanitized, so the libraries must be there before it.
    LD_PRELOAD: [library('libasan.so'), library('libubsan.so')].join(':'),
    ASAN_OPTIONS: asan.join(':'),
    UBSAN_OPTIONS: ['print_stacktrace=1', ...path('ubsan')].join(':'),
    // Where node-gyp-build looks first.
    RDMAVT_PREBUILD: directory,
  };
}

/**
 * Makes sure that programs under this environment load the sanitized add-on and no other: a process, a thread of it, and a
 * process that it starts. Throws if one does not.
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
 * What the sanitizers have reported.
 *
 * @param {string} reports the directory
 * @returns {string[]} one text a process
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
 * Leaves the time stamp alone when nothing changed, or make would generate its files anew.
 *
 * @param {string} from
 * @param {string} to
 */
function copyIfChanged(from, to) {
  if (!existsSync(to) || !readFileSync(to).equals(readFileSync(from))) copyFileSync(from, to);
}
