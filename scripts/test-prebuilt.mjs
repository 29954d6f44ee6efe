// Runs the Jest suite on the prebuilt binary only, under several Node versions: in a copy of the checkout with prebuilds/ and
// without build/.
//
//   node scripts/test-prebuilt.mjs [MAJOR ...]   installs these Node versions from npm; default: 20 and 26
//   node scripts/test-prebuilt.mjs this          uses the Node that runs this script: for musl, for which npm has no Node
//   --all                                        runs the long and random tests, too
//
// Every process and thread of a run records which add-on it loads. Loading any file whose bytes differ from the prebuilt binary
// is a failure.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { copyCheckout } from './checkout.mjs';
import { sumCounts, writeCounts } from './counts.mjs';
import { longTests } from './long-tests.mjs';
import { testsWithoutAddon } from './tests-without-addon.mjs';
import { nodeOf } from './npm-tools.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const recorder = fileURLToPath(new URL('test-prebuilt/record-addons.cjs', import.meta.url));
const machine = `${process.platform}-${process.arch}`;
const wanted = process.argv.slice(2).filter((argument) => argument !== '--all');
const names = wanted.length ? wanted : ['20', '26'];

// Besides the long tests.
const longHere = [
  'explain/resident-memory',
  'hostile/stack-end',
  'process/(memory-pressure|registration-cache|resident-memory)',
  'process/serve-',
  'threads/worker-endings',
].map((name) => `test/${name}`);
const leftOut = [
  ...testsWithoutAddon,
  ...(process.argv.includes('--all') ? [] : [...longTests, ...longHere]),
];

const copy = realpathSync(mkdtempSync(join(tmpdir(), 'rdmavt-prebuilt-')));
process.on('exit', () => rmSync(copy, { recursive: true, force: true }));

for (const name of names) {
  let counts = { passed: 0, failed: 1 };
  try {
    if (name === names[0]) prepareCopy();
    counts = test(name === 'this' ? process.execPath : nodeOf(Number(name)));
  } catch (error) {
    console.error(`test-prebuilt: Node ${name}: ${/** @type {Error} */ (error).message}`);
  }
  writeCounts(`prebuilt-node-${name}`, counts);
  if (counts.failed || !counts.passed) process.exitCode = 1;
}

function prepareCopy() {
  const prebuilds = join('prebuilds', machine);
  if (!existsSync(join(root, prebuilds))) {
    throw new Error(`${prebuilds} does not exist: build the prebuilt binary of this machine first`);
  }
  copyCheckout(copy);
  cpSync(join(root, prebuilds), join(copy, prebuilds), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction');
  execFileSync('npm run build:ts', { cwd: copy, shell: true, stdio: ['ignore', 'ignore', 'inherit'] });
}

/**
 * @param {string} node path of the Node executable
 * @returns {import('./counts.mjs').Counts}
 */
function test(node) {
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
  console.log(`\n# Jest suite on the prebuilt binary, Node ${version}`);
  const countsFolder = join(copy, `counts-${version}`);
  const record = join(copy, `addons-${version}`);
  const inherited = Object.entries(process.env).filter(([name]) => !/^(npm_|RDMAVT_)/i.test(name));
  const without = leftOut.flatMap((file) => ['--testPathIgnorePatterns', file]);
  const { status } = spawnSync(
    node,
    ['--expose-gc', join('node_modules', 'jest', 'bin', 'jest.js'), ...without],
    {
      cwd: copy,
      env: {
        ...Object.fromEntries(inherited),
        PATH: [dirname(node), process.env.PATH].join(delimiter),
        PREBUILDS_ONLY: '1',
        NODE_OPTIONS: `--require "${recorder.replaceAll('\\', '/')}"`,
        RDMAVT_TEST_ADDONS: record,
        RDMAVT_TEST_COUNTS: countsFolder,
      },
      stdio: 'inherit',
    },
  );

  const counts = existsSync(countsFolder) ? sumCounts(countsFolder) : { passed: 0, failed: 0 };
  if (status !== 0 && !counts.failed) counts.failed = 1; // Jest ended without a result

  const loaded = existsSync(record) ? readFileSync(record, 'utf8').trimEnd().split('\n') : [];
  const prebuilt = hashesIn(join(copy, 'prebuilds', machine));
  const wrong = new Set(loaded.filter((line) => !prebuilt.has(line.slice(0, line.indexOf(' ')))));
  for (const line of wrong)
    console.error(`test-prebuilt: loaded another file than the prebuilt binary: ${line}`);
  if (wrong.size || !loaded.length) counts.failed++;
  else counts.passed++;
  console.log(
    `# Node ${version}: ${counts.passed} passed, ${counts.failed} failed; ` +
      `${loaded.length} add-on loads from ${new Set(loaded).size} files`,
  );
  return counts;
}

/**
 * @param {string} folder of binaries
 * @returns {Set<string>} the SHA-256 of each
 */
function hashesIn(folder) {
  return new Set(
    readdirSync(folder).map((name) =>
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex'),
    ),
  );
}
