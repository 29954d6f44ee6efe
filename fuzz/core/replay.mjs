// Plays programs once each, without fuzzing.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { buildFuzzers, buildReplays } from './build.mjs';
import { beginnings, nameOf, pack } from './corpus.mjs';
import { findings, root, work } from './paths.mjs';
import { targetOf } from './targets.mjs';

export const sanitizerOptions = {
  ASAN_OPTIONS: 'detect_stack_use_after_return=1:strict_string_checks=1:handle_abort=1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
};

/**
 * Plays files and prints their operations. Returns 0 if there is no finding.
 * @param {string[]} files
 * @param {string | undefined} target name of the fuzzer; undefined: the names of the files tell
 */
export function replay(files, target) {
  const programs = buildFuzzers() ?? buildReplays();
  if (!programs) return 1;
  return files.map((file) => tell(programs[target ?? targetOf(file)] ?? '', file)).some(Boolean) ? 1 : 0;
}

/**
 * Plays one program and prints its operations. Returns 0 if there is no finding.
 * @param {string} player
 * @param {string} file
 */
export function tell(player, file) {
  console.log(`--- ${relative(process.cwd(), file)}`);
  const args = basename(player).startsWith('fuzz_') ? ['-runs=0', file] : [file];
  const { status, stdout, stderr } = spawnSync(player, args, {
    encoding: 'utf8',
    env: { ...sanitizerOptions, ...process.env, FUZZ_PRINT: '1' },
    maxBuffer: 1 << 28,
  });
  // libFuzzer plays a file twice; show only the first run.
  process.stdout.write(`${stdout.split(/^end$/m)[0] ?? ''}\n`);
  if (status === 0) console.log('no finding');
  else process.stdout.write(`${stderr}\n`);
  return status === 0 ? 0 : 1;
}

/**
 * Plays all kept programs and all generated ones once.
 * @param {import('./targets.mjs').Target[]} targets
 */
export function replayAll(targets) {
  const players = buildReplays();
  if (!players) return 1;
  return targets.map((target) => replayTarget(target, players[target.name] ?? '')).some(Boolean) ? 1 : 0;
}

/**
 * @param {import('./targets.mjs').Target} target
 * @param {string} player
 */
function replayTarget(target, player) {
  const packed = join(work, 'replay', `programs-${target.name}`);
  writeFileSync(packed, pack(beginnings(target)));
  const { status, stdout, stderr } = spawnSync(player, ['--packed', packed], { encoding: 'utf8' });
  process.stdout.write(`${target.name}: ${stdout}${stderr}`);
  if (status === 0) return 0;
  // Find the program that failed.
  for (const program of beginnings(target)) {
    const file = join(findings, `${target.name}-replay-${nameOf(program)}`);
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
