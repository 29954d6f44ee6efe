// Plays programs once each, without fuzzing.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { buildFuzzer, buildReplay } from './build.mjs';
import { beginnings, nameOf, pack } from './corpus.mjs';
import { findings, root, work } from './paths.mjs';

export const sanitizerOptions = {
  ASAN_OPTIONS: 'detect_stack_use_after_return=1:strict_string_checks=1:handle_abort=1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
};

/**
 * Plays files and prints their operations. Returns 0 if there is no finding.
 * @param {string[]} programs
 */
export function replay(programs) {
  const fuzzer = buildFuzzer() ?? buildReplay();
  if (!fuzzer) return 1;
  return programs.map((file) => tell(fuzzer, file)).some(Boolean) ? 1 : 0;
}

/**
 * Plays one program and prints its operations. Returns 0 if there is no finding.
 * @param {string} player
 * @param {string} file
 */
export function tell(player, file) {
  console.log(`--- ${relative(process.cwd(), file)}`);
  const args = basename(player) === 'fuzz_core' ? ['-runs=0', file] : [file];
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

/** Plays all kept programs and all programs from scenes and traces once. */
export function replayAll() {
  const player = buildReplay();
  if (!player) return 1;
  const packed = join(work, 'replay', 'programs');
  writeFileSync(packed, pack(beginnings()));
  const { status, stdout, stderr } = spawnSync(player, ['--packed', packed], { encoding: 'utf8' });
  process.stdout.write(`${stdout}${stderr}`);
  if (status === 0) return 0;
  // Find the program that failed.
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
