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
    console.error('fuzz: --minutes, --seconds, --jobs and --seed want numbers above 0');
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
