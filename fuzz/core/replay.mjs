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
 * Plays files and shows their operations. 0 if nothing is wrong.
 * @param {string[]} programs
 */
export function replay(programs) {
  const fuzzer = buildFuzzer() ?? buildReplay();
  if (!fuzzer) return 1;
  return programs.map((file) => tell(fuzzer, file)).some(Boolean) ? 1 : 0;
}

/**
 * Plays one program and shows its operations. 0 if nothing is wrong.
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
  // libFuzzer plays a file once before and once for good.
  process.stdout.write(`${stdout.split(/^end$/m)[0] ?? ''}\n`);
  if (status === 0) console.log('nothing is wrong');
  else process.stdout.write(`${stderr}\n`);
  return status === 0 ? 0 : 1;
}

/** Every program that is kept or comes from a trace, once. */
export function replayAll() {
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
