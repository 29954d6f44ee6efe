// Formats the C and C++ files (--write), or lists the files that are not formatted (--check).
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const MAJOR = 14;

const write = process.argv.includes('--write');
const folders = [
  'native',
  join('test', 'c'),
  join('test', 'ibverbs'),
  join('test', 'rxe'),
  join('test', 'support'),
  join('fuzz', 'core'),
  join('scripts', 'prebuild', 'runtime'),
];
const files = folders.flatMap((directory) =>
  readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(c|cc|h)$/.test(file))
    .map((file) => join(directory, file)),
);

const formatter = [`clang-format-${MAJOR}`, 'clang-format'].find((command) => {
  const { stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
  return stdout?.includes(`version ${MAJOR}.`);
});

if (!formatter) {
  // Other versions format differently. CI has the right version, so on a machine without it the rest of lint can still run.
  console.warn(`clang-format ${MAJOR} is not installed: C and C++ files were not checked`);
  process.exitCode = process.env.CI === 'true' ? 1 : 0;
} else {
  const mode = write ? ['-i'] : ['--dry-run', '--Werror'];
  const { status } = spawnSync(formatter, [...mode, ...files], { cwd: root, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
