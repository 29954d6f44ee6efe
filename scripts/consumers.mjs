// Packs the package and tries it as its users would, each in an empty folder of its own: test/consumers says who they are.
//
//   node scripts/consumers.mjs [NAME ...]   only test/consumers/NAME.test.mjs
//
// Needs the prebuilt binary of this machine in prebuilds/. Other package managers, bundlers and Nodes are got from npm.
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
  console.error(`consumers: no such test: ${unknown.join(', ')}; there are ${names.join(', ')}`);
  process.exit(2);
}

const machine = join('prebuilds', `${process.platform}-${process.arch}`);
if (!existsSync(join(root, machine)))
  giveUp(`there is no ${machine}: build the prebuilt binary of this machine first`);

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
  // A run without a single test is no success.
  process.exitCode = failed || !passed ? 1 : 0;
});

/** @returns {string} the tarball */
function pack() {
  /** @type {[{ filename: string, size: number }]} */
  const [{ filename, size }] = JSON.parse(npm(`pack --json --loglevel=error --pack-destination "${folder}"`));
  console.log(`packed ${filename}: ${(size / 1000).toFixed(1)} kB`);
  return join(folder, filename);
}

/** @param {string} command */
function npm(command) {
  // A shell, because npm is a script on Windows.
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
