// Compares the names that the libibverbs shim defines with the public names of the installed library:
// node scripts/ibverbs-names.mjs [plain|asan|tsan]
//
// A public name that the shim does not define would be the system's library's: it would get a context that it does not know, and
// crash. A name too many would stand in front of another library's function.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { libraryOf } from './build-ibverbs.mjs';

/** Names without a public version that programs use nevertheless: ibv_devinfo and pyverbs call this one. */
const ALSO = ['ibv_query_gid_type'];

const library = libraryOf(process.argv[2] ?? 'plain');
const system = systemLibrary();
const wanted = new Set([...ALSO, ...definedNames(system).filter(isPublic).map(nameOf)]);
const defined = new Set(definedNames(library).map(nameOf));

const problems = [
  ...[...wanted].filter((name) => !defined.has(name)).map((name) => `not defined: ${name}`),
  ...[...defined].filter((name) => !wanted.has(name)).map((name) => `not a name of libibverbs: ${name}`),
];
for (const problem of problems) console.error(`ibverbs-names: ${problem}`);
console.log(`ibverbs-names: ${wanted.size} names of ${system}, ${problems.length} problems`);
if (problems.length || wanted.size <= ALSO.length) process.exitCode = 1;

/** Returns the path of the system's libibverbs.so.1, as the dynamic linker finds it. */
function systemLibrary() {
  const found = /libibverbs\.so\.1 .*=> (\S+)/.exec(run('/sbin/ldconfig', ['-p']))?.[1];
  if (found !== undefined) return found;
  console.error('ibverbs-names: libibverbs.so.1 is not installed (package libibverbs1)');
  process.exit(1);
}

/**
 * Returns the dynamic symbols that a library defines, with their versions: name@VERSION or name@@VERSION.
 * @param {string} file
 */
function definedNames(file) {
  if (!existsSync(file)) {
    console.error(`ibverbs-names: ${file} does not exist`);
    process.exit(1);
  }
  return run('nm', ['--dynamic', '--defined-only', '--with-symbol-versions', file])
    .split('\n')
    .map((line) => /^[0-9a-f]+ [TWDBRVi] (\S+)$/.exec(line)?.[1])
    .filter((name) => name !== undefined);
}

/** @param {string} symbol */
function isPublic(symbol) {
  return /@IBVERBS_1\.\d+$/.test(symbol);
}

/** @param {string} symbol */
function nameOf(symbol) {
  return symbol.replace(/@.*/, '');
}

/**
 * @param {string} command
 * @param {string[]} args
 */
function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (error || status !== 0) {
    console.error(`ibverbs-names: ${command} failed: ${error?.message ?? stderr}`);
    process.exit(1);
  }
  return stdout;
}
