// Builds the libFuzzer program, and the program that only replays programs.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { coreDirectory, fuzzDirectory, root, wireDirectory, work } from './paths.mjs';
import { targets } from './targets.mjs';

const CLANG = 14;

const flags = [
  '-std=c11',
  '-g',
  '-pthread',
  '-fno-omit-frame-pointer',
  '-Wall',
  '-Wextra',
  '-Wshadow',
  '-Wformat=2',
  '-Wstrict-prototypes',
  '-Wmissing-prototypes',
  ...(process.env.CI === 'true' ? ['-Werror'] : []),
  '-D_DEFAULT_SOURCE',
  '-DRVT_TEST_ALLOC=1',
  `-I${join(root, 'native')}`,
];
const linkFlags = ['-pthread'];
/* The fuzzers replace the random numbers by reproducible ones, but for that of the wire, which draws none. */
const reproducible = '-Wl,--wrap=rvt_random_bytes';
/* The fuzzer of the verbs does the work of other threads where the engine lets them in, lets time pass, and sees each
 * bind and invalidation as it happens. */
const ofVerbs = ['rvt_yield', 'rvt_coarse_ms', 'rvt_bind_mw', 'rvt_invalidate_rkey'].map(
  (name) => `-Wl,--wrap=${name}`,
);

/** The source files of what a fuzzer tests. */
const testedSources = {
  core: sourcesOf(coreDirectory, 'core.gypi'),
  wire: sourcesOf(wireDirectory, 'wire.gypi'),
};

/** Returns the source files that a gypi file lists. @param {string} directory @param {string} name of the gypi file */
function sourcesOf(directory, name) {
  const gypi = readFileSync(join(directory, name), 'utf8');
  return [...gypi.matchAll(/'([\w/]+\.c)',/g)].map(([, source]) => join(directory, source ?? ''));
}

/** The sources that all fuzzers have, without the entry points. */
const common = [join(fuzzDirectory, 'mutate.c')];
const entry = join(fuzzDirectory, 'fuzz_entry.c');
const replayEntry = join(fuzzDirectory, 'replay.c');

/**
 * Returns the sources of one fuzzer: all in its folder but the common ones.
 * @param {import('./targets.mjs').Target} target
 */
function targetSources({ directory }) {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(directory, name))
    .filter((path) => ![...common, entry, replayEntry].includes(path));
}

/**
 * Builds one program for each fuzzer, unless up-to-date builds exist: same sources, compiler and flags. The common
 * sources are compiled once.
 * @param {string} compiler
 * @param {string} name of the folder, and the beginning of the programs' names
 * @param {string[]} testedFlags flags of the tested sources
 * @param {string} entryPoint source of the entry point
 * @param {string[]} flags of the fuzzers' own sources
 * @param {string[]} link
 * @returns {Record<string, string> | undefined} the paths of the programs, by name of the target
 */
function build(compiler, name, testedFlags, entryPoint, flags, link) {
  const directory = join(work, name);
  const programs = Object.fromEntries(
    targets.map((target) => [target.name, join(directory, `${name}_${target.name}`)]),
  );
  const hash = createHash('sha256').update(JSON.stringify([compiler, testedFlags, flags, link]));
  for (const directory of [coreDirectory, wireDirectory, fuzzDirectory])
    for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort())
      if (/\.[ch]$/.test(file)) hash.update(file).update(readFileSync(join(directory, file)));
  const stamp = join(directory, 'stamp');
  const digest = hash.digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return programs;

  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  /** @param {string[]} args @param {string} [folder] in which the compiler runs, and leaves the objects */
  const run = (args, folder = '.') => {
    mkdirSync(join(directory, folder), { recursive: true });
    const { status, error } = spawnSync(compiler, args, { cwd: join(directory, folder), stdio: 'inherit' });
    if (error) console.error(`fuzz: ${compiler}: ${error.message}`);
    return status === 0;
  };
  /** @param {string[]} sources */
  const objectsOf = (sources) => sources.map((source) => `${basename(source, '.c')}.o`);
  /** The core and the wire have files of the same name: each has a folder for its objects. */
  const testedObjects = (/** @type {('core' | 'wire')[]} */ tested) =>
    tested.flatMap((name) => objectsOf(testedSources[name]).map((object) => join(name, object)));
  const shared = [...common, entryPoint];
  const built =
    Object.entries(testedSources).every(([name, sources]) => run([...testedFlags, '-c', ...sources], name)) &&
    run([...flags, '-c', ...shared]);
  const linked = targets.every((target) => {
    const sources = targetSources(target);
    const program = programs[target.name] ?? '';
    return (
      built &&
      run([...flags, '-c', ...sources]) &&
      run([
        ...testedObjects(target.tested),
        ...objectsOf([...shared, ...sources]),
        ...link,
        ...(target.name === 'wire' ? [] : [reproducible]),
        ...(target.name === 'verbs' ? ofVerbs : []),
        '-o',
        program,
      ])
    );
  });
  if (!linked) return undefined;
  writeFileSync(stamp, digest);
  return programs;
}

/**
 * Builds the libFuzzer programs. Returns their paths by name of the target, or undefined if that fails; the reason is
 * printed to standard error.
 */
export function buildFuzzers() {
  const compiler = [`clang-${CLANG}`, 'clang'].find(
    (command) => spawnSync(command, ['--version']).status === 0,
  );
  if (!compiler) {
    console.error(`fuzz: clang not found. Debian: apt-get install clang-${CLANG} libclang-rt-${CLANG}-dev`);
    console.error('fuzz: without it, `npm run fuzz -- --replay-only` plays the kept corpus');
    return undefined;
  }
  const checks = ['-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const programs = build(
    compiler,
    'fuzz',
    // Only what is tested is instrumented for coverage; new paths in the oracle are of no interest.
    [...flags, ...checks, '-fsanitize=fuzzer-no-link'],
    entry,
    [...flags, ...checks],
    ['-fsanitize=fuzzer,address,undefined', ...linkFlags],
  );
  if (!programs)
    console.error(`fuzz: the build failed. libFuzzer is in libclang-rt-${CLANG}-dev (apt-get install)`);
  return programs;
}

/** Builds the programs that play files once, with any compiler. Returns undefined if that fails. */
export function buildReplays() {
  const plain = [...flags, '-O2'];
  return build(process.env.CC ?? 'cc', 'replay', plain, replayEntry, plain, linkFlags);
}
