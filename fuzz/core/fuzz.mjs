// Fuzzes the core: node fuzz/core/fuzz.mjs [options] [program ...]
//
//   --minutes N, --seconds N   how long (default: 1 minute)
//   --jobs N                   that many fuzzers side by side on one corpus (default: 1)
//   --seed N                   where the dice begin (default: by the clock)
//   --keep                     write fuzz/core/corpus.gz anew, from what it was and what was found since
//   --replay-only              no fuzzing: play the kept corpus and the traces once, with any compiler ($CC, cc)
//   program ...                play these files and tell their operations
//
// Everything is built and kept under build/fuzz. A finding ends in build/fuzz/findings, and with exit status 1.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { writeCounts } from '../../scripts/counts.mjs';
import { scenes } from './scenes.mjs';
import { fromTraces } from './traces.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fuzzDirectory = join(root, 'fuzz', 'core');
const coreDirectory = join(root, 'native', 'core');
const keptCorpus = join(fuzzDirectory, 'corpus.gz');
const work = join(root, 'build', 'fuzz');
const findings = join(work, 'findings');
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
/* world.c has random numbers that come again. */
const linkFlags = ['-pthread', '-Wl,--wrap=rvt_random_bytes'];

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string' },
    seconds: { type: 'string' },
    jobs: { type: 'string', default: '1' },
    seed: { type: 'string' },
    keep: { type: 'boolean', default: false },
    'replay-only': { type: 'boolean', default: false },
  },
});

async function main() {
  mkdirSync(findings, { recursive: true });
  if (files.length) return replay(files);
  if (options['replay-only']) return finish('replay', replayAll());
  const fuzzer = buildFuzzer();
  if (!fuzzer) return finish('run', 1);
  return finish('run', await fuzz(fuzzer));
}

/**
 * @param {string} what
 * @param {number} status
 */
function finish(what, status) {
  const counts = { passed: Number(!status), failed: Number(status !== 0) };
  writeCounts(`fuzz-${what}`, counts);
  console.log(`fuzz: ${counts.passed} passed, ${counts.failed} failed`);
  return status ? 1 : 0;
}

// --- building ---

/** The core's files, from the one list that there is. */
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
 * Builds a program unless it is there, built of the same files in the same way.
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

function buildFuzzer() {
  const compiler = [`clang-${CLANG}`, 'clang'].find(
    (command) => spawnSync(command, ['--version']).status === 0,
  );
  if (!compiler) {
    console.error(
      `fuzz: clang is not there. Debian: apt-get install clang-${CLANG} libclang-rt-${CLANG}-dev`,
    );
    console.error('fuzz: without it, `npm run fuzz -- --replay-only` plays what is kept');
    return undefined;
  }
  const checks = ['-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const program = build(
    compiler,
    'fuzz_core',
    [
      // Coverage is counted in the core alone: what the oracle does is no news.
      { sources: coreSources(), flags: [...flags, ...checks, '-fsanitize=fuzzer-no-link'] },
      { sources: fuzzSources(['replay.c']), flags: [...flags, ...checks] },
    ],
    ['-fsanitize=fuzzer,address,undefined', ...linkFlags],
  );
  if (!program)
    console.error(`fuzz: the build failed. libFuzzer is in libclang-rt-${CLANG}-dev (apt-get install)`);
  return program;
}

function buildReplay() {
  const sources = [...coreSources(), ...fuzzSources(['fuzz_core.c'])];
  return build(process.env.CC ?? 'cc', 'replay', [{ sources, flags: [...flags, '-O2'] }], linkFlags);
}

// --- the corpus ---

/** Many programs in one file: the length (16 bits, little end first) before each. */
function* unpack(/** @type {Buffer} */ packed) {
  for (let at = 0; at < packed.length;) {
    const end = at + 2 + packed.readUInt16LE(at);
    yield packed.subarray(at + 2, end);
    at = end;
  }
}

/** @param {Iterable<Buffer>} programs */
function pack(programs) {
  const parts = [];
  for (const program of programs) {
    const length = Buffer.alloc(2);
    length.writeUInt16LE(program.length);
    parts.push(length, program);
  }
  return Buffer.concat(parts);
}

function* kept() {
  if (existsSync(keptCorpus)) yield* unpack(gunzipSync(readFileSync(keptCorpus)));
}

/** What every corpus begins with, made anew each time. */
function* seeds() {
  yield* scenes();
  yield* fromTraces();
}

function* beginnings() {
  yield* kept();
  yield* seeds();
}

/** @param {Buffer} bytes */
const nameOf = (bytes) => createHash('sha1').update(bytes).digest('hex');

/**
 * @param {string} directory
 * @param {Iterable<Buffer>} programs
 */
function fill(directory, programs) {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const program of programs) writeFileSync(join(directory, nameOf(program)), program);
}

// --- playing ---

const sanitizerOptions = {
  ASAN_OPTIONS: 'detect_stack_use_after_return=1:strict_string_checks=1:handle_abort=1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
};

/** @param {string[]} programs */
function replay(programs) {
  const fuzzer = buildFuzzer() ?? buildReplay();
  if (!fuzzer) return 1;
  return programs.map((file) => tell(fuzzer, file)).some(Boolean) ? 1 : 0;
}

/**
 * Plays one program and shows its operations. 0 if nothing is wrong.
 * @param {string} player
 * @param {string} file
 */
function tell(player, file) {
  console.log(`--- ${relative(process.cwd(), file)}`);
  const args = basename(player) === 'fuzz_core' ? ['-runs=0', file] : [file];
  const { status, stdout, stderr } = spawnSync(player, args, {
    encoding: 'utf8',
    env: { ...sanitizerOptions, ...process.env, FUZZ_PRINT: '1' },
    maxBuffer: 1 << 28,
  });
  // libFuzzer plays a file once before and once for good.
  process.stdout.write(`${stdout.split(/^end$/m)[0] ?? ''}\n`);
  if (status === 0) console.log('nothing is wrong');
  else process.stdout.write(`${stderr}\n`);
  return status === 0 ? 0 : 1;
}

/** Every program that is kept or comes from a trace, once. */
function replayAll() {
  const player = buildReplay();
  if (!player) return 1;
  const packed = join(work, 'replay', 'programs');
  writeFileSync(packed, pack(beginnings()));
  const { status, stdout, stderr } = spawnSync(player, ['--packed', packed], { encoding: 'utf8' });
  process.stdout.write(`${stdout}${stderr}`);
  if (status === 0) return 0;
  // Which one it was.
  for (const program of beginnings()) {
    const file = join(findings, `replay-${nameOf(program)}`);
    writeFileSync(file, program);
    if (spawnSync(player, [file]).status !== 0) {
      tell(player, file);
      console.log(`fuzz: kept as ${relative(root, file)}`);
      break;
    }
    rmSync(file);
  }
  return 1;
}

// --- fuzzing ---

/**
 * @typedef {object} Figures
 * @property {number} runs
 * @property {number} rate executions a second
 * @property {number} edges covered
 * @property {number} allEdges
 * @property {number} features
 * @property {number} corpus programs
 */

/**
 * @param {string} log what libFuzzer said
 * @returns {Figures}
 */
function figuresOf(log) {
  const lines = [...log.matchAll(/^#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)\/.*$/gm)];
  const [, runs, edges, features, corpus] = (lines.at(-1) ?? []).map(Number);
  return {
    runs: Number(/stat::number_of_executed_units: (\d+)/.exec(log)?.[1] ?? runs ?? 0),
    rate: Number(/stat::average_exec_per_sec:\s+(\d+)/.exec(log)?.[1] ?? 0),
    edges: edges ?? 0,
    allEdges: Number(/\((\d+) inline 8-bit counters\)/.exec(log)?.[1] ?? 0),
    features: features ?? 0,
    corpus: corpus ?? 0,
  };
}

/**
 * @param {string} program
 * @param {string[]} args
 * @returns {Promise<{ status: number | null, log: string }>}
 */
function runLogged(program, args) {
  return new Promise((done) => {
    let log = '';
    const child = spawn(program, args, {
      cwd: work,
      env: { ...sanitizerOptions, ...process.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.setEncoding('utf8').on('data', (/** @type {string} */ text) => (log += text));
    child.on('close', (status) => done({ status, log }));
  });
}

/** @param {string} fuzzer */
async function fuzz(fuzzer) {
  const seconds = Number(options.seconds ?? Number(options.minutes ?? 1) * 60);
  const jobs = Number(options.jobs);
  const seed = Number(options.seed ?? (Date.now() % 0x7fffffff) + 1);
  if (!(seconds > 0 && jobs > 0 && seed > 0)) {
    console.error('fuzz: --minutes, --seconds, --jobs and --seed want numbers above 0');
    return 1;
  }
  const corpus = join(work, 'corpus');
  const given = join(work, 'seeds');
  mkdirSync(corpus, { recursive: true });
  fill(given, beginnings());
  console.log(
    `fuzz: ${readdirSync(given).length} programs to begin with, ${seconds} s, ${jobs} job(s), seed ${seed}`,
  );

  const before = new Set(readdirSync(findings));
  const args = [
    `-max_total_time=${seconds}`,
    '-max_len=4096',
    '-timeout=20',
    '-rss_limit_mb=3000',
    '-print_final_stats=1',
    '-reload=5',
    `-artifact_prefix=${findings}/`,
    corpus,
    given,
  ];
  const results = await Promise.all(
    Array.from({ length: jobs }, (_, i) => runLogged(fuzzer, [`-seed=${seed + i}`, ...args])),
  );
  let status = 0;
  for (const [i, { status: ended, log }] of results.entries()) {
    writeFileSync(join(work, `fuzz-${i}.log`), log);
    const { runs, rate, edges, allEdges, features, corpus } = figuresOf(log);
    console.log(
      `fuzz: job ${i}: ${runs} executions (${rate}/s), cov ${edges} of ${allEdges} edges, ft ${features}, corpus ${corpus}`,
    );
    if (ended) {
      status = 1;
      const [what = ''] = /^.*(FINDING|ERROR: |runtime error).*$/m.exec(log) ?? [];
      console.log(`fuzz: job ${i} ended with status ${ended}: ${what}`);
    }
  }
  for (const name of readdirSync(findings)) {
    if (before.has(name) || name.startsWith('slow-unit')) continue;
    status = 1;
    tell(fuzzer, join(findings, name));
    console.log(`fuzz: kept as ${relative(root, join(findings, name))}`);
  }
  if (options.keep && !status) return keep(fuzzer, corpus, given);
  return status;
}

/**
 * The smallest of the programs that reach together what all of them reach, less what the traces reach.
 * @param {string} fuzzer
 * @param {string} corpus
 * @param {string} given
 */
async function keep(fuzzer, corpus, given) {
  const merged = join(work, 'merged');
  fill(merged, seeds());
  const fromTraces = new Set(readdirSync(merged));
  const { status } = await runLogged(fuzzer, [
    '-merge=1',
    '-use_counters=0',
    '-max_len=4096',
    resolve(merged),
    corpus,
    given,
  ]);
  if (status) return 1;
  const programs = readdirSync(merged)
    .filter((name) => !fromTraces.has(name))
    .sort()
    .map((name) => readFileSync(join(merged, name)));
  writeFileSync(keptCorpus, gzipSync(pack(programs), { level: 9 }));
  console.log(
    `fuzz: kept ${programs.length} programs, ${readFileSync(keptCorpus).length} bytes, in ${relative(root, keptCorpus)}`,
  );
  return 0;
}

process.exitCode = await main();
