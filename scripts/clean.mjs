// Removes what builds and tests write: all of these directories, or only those named as arguments.
import { rmSync } from 'node:fs';

const written = ['build', 'dist', 'prebuilds', 'coverage'];
const named = process.argv.slice(2);

for (const directory of written.filter((name) => !named.length || named.includes(name))) {
  rmSync(new URL(`../${directory}`, import.meta.url), { recursive: true, force: true });
}
