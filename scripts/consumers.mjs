// Packs the package and uses it as different users would, each test in an empty folder. test/consumers holds one test per kind of
// user.
//
//   node scripts/consumers.mjs [NAME ...]   runs only test/consumers/NAME.test.mjs
//
// Needs the prebuilt binary of this machine in prebuilds/. Downloads other package managers, bundlers and Node versions from npm.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { writeCounts } from './counts.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const SUFFIX = '.test.mjs';
const TIMEOUT_MS = 10 * 60_000;

const directory = join(root, 'test', 'consumers');
const names = readdirSync(directory)
  .filter((file) => file.endsWith(SUFFIX))
  .map((file) => file.slice(0, -SUFFIX.length));
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length) {
  console.error(`consumers: no such test: ${unknown.join(', ')}; the tests are ${names.join(', ')}`);
  process.exit(2);
}

const machine = join('prebuilds', `${process.platform}-${process.arch}`);
if (!existsSync(join(root, machine)))
  giveUp(`${machine} does not exist: build the prebuilt binary of this machine first`);

const folder = mkdtempSync(join(tmpdir(), 'rdmavt-packed-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
process.env.RDMAVT_TARBALL = pack();
process.env.RDMAVT_REGISTRY = npm('config get registry').trim();

const counts = { passed: 0, failed: 0, skipped: 0 };
const files = names
  .filter((name) => !wanted.length || wanted.includes(name))
  .map((name) => join(directory, `${name}${SUFFIX}`));
const start = performance.now();
const tests = run({ files, concurrency: 2, timeout: TIMEOUT_MS });
tests.on('test:pass', ({ skip, details }) => {
  if (details.type === 'suite') return;
  if (skip === undefined) counts.passed++;
  else counts.skipped++;
});
tests.on('test:fail', ({ details }) => {
  if (details.type !== 'suite') counts.failed++;
});
tests.pipe(new spec()).pipe(process.stdout);
tests.on('end', () => {
  const { passed, failed, skipped } = counts;
  writeCounts('consumers', { passed, failed });
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  process.stdout.write(`consumers: ${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds} s\n`);
  // A run without any passed test is a failure.
  process.exitCode = failed || !passed ? 1 : 0;
});

/** Packs the package. @returns {string} the path of the tarball */
function pack() {
  /** @type {[{ filename: string, size: number }]} */
  const [{ filename, size }] = JSON.parse(npm(`pack --json --loglevel=error --pack-destination "${folder}"`));
  console.log(`packed ${filename}: ${(size / 1000).toFixed(1)} kB`);
  return join(folder, filename);
}

/** @param {string} command */
function npm(command) {
  // Use a shell, because npm is a script on Windows.
  const { status, stdout, stderr } = spawnSync(`npm ${command}`, {
    cwd: root,
    shell: true,
    encoding: 'utf8',
  });
  if (status !== 0) giveUp(`npm ${command} failed: ${stderr}`);
  return stdout;
}

/**
 * @param {string} why
 * @returns {never}
 */
function giveUp(why) {
  console.error(`consumers: ${why}`);
  writeCounts('consumers', { passed: 0, failed: 1 });
  process.exit(1);
}
