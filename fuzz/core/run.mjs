// Runs libFuzzer on the core and prints the findings.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { beginnings, fill, keptCorpus, writeKept } from './corpus.mjs';
import { findings, root, work } from './paths.mjs';
import { sanitizerOptions, tell } from './replay.mjs';

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
 * @param {string} log output of libFuzzer
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

/**
 * Runs one fuzzer and prints the findings. Returns 0 if there are none.
 * @param {import('./targets.mjs').Target} target
 * @param {string} fuzzer
 * @param {{ seconds: number, jobs: number, seed: number, keep: boolean }} options `keep`: replace the kept
 * corpus
 */
export async function fuzz(target, fuzzer, { seconds, jobs, seed, keep }) {
  const corpus = join(work, 'corpus', target.name);
  const given = join(work, 'seeds', target.name);
  mkdirSync(corpus, { recursive: true });
  fill(given, beginnings(target));
  console.log(
    `fuzz: ${target.name}: ${readdirSync(given).length} initial programs, ${seconds} s, ${jobs} job(s), seed ${seed}`,
  );

  const before = new Set(readdirSync(findings));
  const args = [
    `-max_total_time=${seconds}`,
    `-max_len=${target.longest}`,
    '-timeout=20',
    '-rss_limit_mb=3000',
    '-print_final_stats=1',
    '-reload=5',
    `-artifact_prefix=${findings}/${target.name}-`,
    corpus,
    given,
  ];
  const results = await Promise.all(
    Array.from({ length: jobs }, (_, i) => runLogged(fuzzer, [`-seed=${seed + i}`, ...args])),
  );
  let status = 0;
  for (const [i, { status: ended, log }] of results.entries()) {
    writeFileSync(join(work, `fuzz-${target.name}-${i}.log`), log);
    const { runs, rate, edges, allEdges, features, corpus } = figuresOf(log);
    console.log(
      `fuzz: ${target.name}, job ${i}: ${runs} executions (${rate}/s), cov ${edges} of ${allEdges} edges, ft ${features}, corpus ${corpus}`,
    );
    if (ended) {
      status = 1;
      const [what = ''] = /^.*(FINDING|ERROR: |runtime error).*$/m.exec(log) ?? [];
      console.log(`fuzz: ${target.name}, job ${i} ended with status ${ended}: ${what}`);
    }
  }
  for (const name of readdirSync(findings)) {
    if (before.has(name) || name.includes('slow-unit')) continue;
    status = 1;
    tell(fuzzer, join(findings, name));
    console.log(`fuzz: kept as ${relative(root, join(findings, name))}`);
  }
  if (keep && !status) return keepSmallest(target, fuzzer, corpus, given);
  return status;
}

/**
 * Keeps the smallest set of programs with the coverage of all of them, without those that are generated.
 * @param {import('./targets.mjs').Target} target
 * @param {string} fuzzer
 * @param {string} corpus
 * @param {string} given
 */
async function keepSmallest(target, fuzzer, corpus, given) {
  const merged = join(work, 'merged');
  fill(merged, target.seeds());
  const generated = new Set(readdirSync(merged));
  const { status } = await runLogged(fuzzer, [
    '-merge=1',
    '-use_counters=0',
    `-max_len=${target.longest}`,
    resolve(merged),
    corpus,
    given,
  ]);
  if (status) return 1;
  const programs = readdirSync(merged)
    .filter((name) => !generated.has(name))
    .sort()
    .map((name) => readFileSync(join(merged, name)));
  writeKept(target, programs);
  console.log(
    `fuzz: kept ${programs.length} programs, ${readFileSync(keptCorpus(target)).length} bytes, in ${relative(root, keptCorpus(target))}`,
  );
  return 0;
}
