// Builds the libFuzzer program, and the program that only replays programs.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { coreDirectory, fuzzDirectory, root, work } from './paths.mjs';

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
/* world.c replaces the random numbers by reproducible ones. */
const linkFlags = ['-pthread', '-Wl,--wrap=rvt_random_bytes'];

/** Returns the core's source files, read from core.gypi. */
function coreSources() {
  const gypi = readFileSync(join(coreDirectory, 'core.gypi'), 'utf8');
  return [...gypi.matchAll(/'([\w/]+\.c)',/g)].map(([, name]) => join(coreDirectory, name ?? ''));
}

/** @param {string[]} leftOut */
function fuzzSources(leftOut) {
  return readdirSync(fuzzDirectory)
    .filter((name) => name.endsWith('.c') && !leftOut.includes(name))
    .map((name) => join(fuzzDirectory, name));
}

/**
 * Builds a program, unless an up-to-date build exists: same sources, compiler and flags.
 * @param {string} compiler
 * @param {string} name
 * @param {{ sources: string[], flags: string[] }[]} parts
 * @param {string[]} link
 */
function build(compiler, name, parts, link) {
  const directory = join(work, name);
  const program = join(directory, name);
  const hash = createHash('sha256').update(JSON.stringify([compiler, parts, link]));
  for (const directory of [coreDirectory, fuzzDirectory])
    for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort())
      if (/\.[ch]$/.test(file)) hash.update(file).update(readFileSync(join(directory, file)));
  const stamp = join(directory, 'stamp');
  const digest = hash.digest('hex');
  if (existsSync(program) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return program;

  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  /** @param {string[]} args */
  const run = (args) => {
    const { status, error } = spawnSync(compiler, args, { cwd: directory, stdio: 'inherit' });
    if (error) console.error(`fuzz: ${compiler}: ${error.message}`);
    return status === 0;
  };
  const built = parts.every(({ sources, flags }) => run([...flags, '-c', ...sources]));
  const objects = parts.flatMap(({ sources }) => sources.map((source) => `${basename(source, '.c')}.o`));
  if (!built || !run([...objects, ...link, '-o', program])) return undefined;
  writeFileSync(stamp, digest);
  return program;
}

/**
 * Builds the libFuzzer program. Returns undefined if that fails; the reason is printed to standard error.
 */
export function buildFuzzer() {
  const compiler = [`clang-${CLANG}`, 'clang'].find(
    (command) => spawnSync(command, ['--version']).status === 0,
  );
  if (!compiler) {
    console.error(`fuzz: clang not found. Debian: apt-get install clang-${CLANG} libclang-rt-${CLANG}-dev`);
    console.error('fuzz: without it, `npm run fuzz -- --replay-only` plays the kept corpus');
    return undefined;
  }
  const checks = ['-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const program = build(
    compiler,
    'fuzz_core',
    [
      // Only the core is instrumented for coverage; new paths in the oracle are of no interest.
      { sources: coreSources(), flags: [...flags, ...checks, '-fsanitize=fuzzer-no-link'] },
      { sources: fuzzSources(['replay.c']), flags: [...flags, ...checks] },
    ],
    ['-fsanitize=fuzzer,address,undefined', ...linkFlags],
  );
  if (!program)
    console.error(`fuzz: the build failed. libFuzzer is in libclang-rt-${CLANG}-dev (apt-get install)`);
  return program;
}

/** Builds the program that plays files once, with any compiler. Returns undefined if that fails. */
export function buildReplay() {
  const sources = [...coreSources(), ...fuzzSources(['fuzz_core.c'])];
  return build(process.env.CC ?? 'cc', 'replay', [{ sources, flags: [...flags, '-O2'] }], linkFlags);
}
