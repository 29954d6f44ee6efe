// Formats the C and C++ files (--write), or says which are not formatted (--check).
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const MAJOR = 14;

const write = process.argv.includes('--write');
const folders = ['native', join('test', 'c'), join('fuzz', 'core'), join('scripts', 'prebuild', 'runtime')];
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
  // Other versions format otherwise. CI has the right one, so a machine without it can still lint the rest.
  console.warn(`clang-format ${MAJOR} is not installed: C and C++ files were not looked at`);
  process.exitCode = process.env.CI === 'true' ? 1 : 0;
} else {
  const mode = write ? ['-i'] : ['--dry-run', '--Werror'];
  const { status } = spawnSync(formatter, [...mode, ...files], { cwd: root, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}
