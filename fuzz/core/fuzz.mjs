// Fuzzes the core: node fuzz/core/fuzz.mjs [options] [program ...]
//
//   --minutes N, --seconds N   how long (default: 1 minute)
//   --jobs N                   number of parallel fuzzers on one corpus (default: 1)
//   --seed N                   seed of the random numbers (default: from the clock)
//   --keep                     replace fuzz/core/corpus.gz by the old corpus and what was found, minimized
//   --replay-only              no fuzzing: play the kept corpus and the traces once, with any compiler ($CC or cc)
//   program ...                play these files and print their operations
//
// Everything is built under build/fuzz. A finding is stored in build/fuzz/findings, and the exit status is 1.
import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { writeCounts } from '../../scripts/counts.mjs';
import { buildFuzzer } from './build.mjs';
import { findings } from './paths.mjs';
import { replay, replayAll } from './replay.mjs';
import { fuzz } from './run.mjs';

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
  const seconds = Number(options.seconds ?? Number(options.minutes ?? 1) * 60);
  const jobs = Number(options.jobs);
  const seed = Number(options.seed ?? (Date.now() % 0x7fffffff) + 1);
  if (!(seconds > 0 && jobs > 0 && seed > 0)) {
    console.error('fuzz: --minutes, --seconds, --jobs and --seed must be greater than 0');
    return finish('run', 1);
  }
  const fuzzer = buildFuzzer();
  return finish('run', fuzzer ? await fuzz(fuzzer, { seconds, jobs, seed, keep: options.keep }) : 1);
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

process.exitCode = await main();
