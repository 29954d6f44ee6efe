// Fuzzes the core: node fuzz/core/fuzz.mjs [options] [program ...]
//
//   --target core|verbs|wire|endpoint
//                              only one of the fuzzers: that of the memory layer, of the verbs, of the wire, or of endpoints
//   --minutes N, --seconds N   how long altogether (default: 1 minute); the fuzzers share the time
//   --jobs N                   number of parallel fuzzers on one corpus (default: 1)
//   --seed N                   seed of the random numbers (default: from the clock)
//   --keep                     replace the kept corpora by the old corpus and what was found, minimized
//   --replay-only              no fuzzing: play the kept corpus and the traces once, with any compiler ($CC or cc)
//   program ...                play these files and print their operations
//
// Everything is built under build/fuzz. A finding is stored in build/fuzz/findings, and the exit status is 1.
import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { writeCounts } from '../../scripts/counts.mjs';
import { buildFuzzers } from './build.mjs';
import { findings } from './paths.mjs';
import { replay, replayAll } from './replay.mjs';
import { fuzz } from './run.mjs';
import { targets } from './targets.mjs';

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: 'string' },
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
  const chosen = targets.filter(({ name }) => name === (options.target ?? name));
  if (!chosen.length) {
    console.error(`fuzz: --target must be one of ${targets.map(({ name }) => name).join(', ')}`);
    return finish('run', 1);
  }
  if (files.length) return replay(files, options.target);
  if (options['replay-only']) return finish('replay', replayAll(chosen));
  const seconds = Number(options.seconds ?? Number(options.minutes ?? 1) * 60);
  const jobs = Number(options.jobs);
  const seed = Number(options.seed ?? (Date.now() % 0x7fffffff) + 1);
  if (!(seconds > 0 && jobs > 0 && seed > 0)) {
    console.error('fuzz: --minutes, --seconds, --jobs and --seed must be greater than 0');
    return finish('run', 1);
  }
  const programs = buildFuzzers();
  if (!programs) return finish('run', 1);
  let status = 0;
  for (const target of chosen) {
    const share = {
      seconds: Math.max(1, Math.round(seconds / chosen.length)),
      jobs,
      seed,
      keep: options.keep,
    };
    status = (await fuzz(target, programs[target.name] ?? '', share)) || status;
  }
  return finish('run', status);
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
