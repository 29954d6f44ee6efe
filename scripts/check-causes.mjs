// Checks that every negative errno has a cause: node scripts/check-causes.mjs [FOLDER]   (default: native)
//
// What answers an errno answers what rvt_fail() and its like return (native/core/base/failure.h). A bare `-RVT_EINVAL` elsewhere
// would be told without a cause, or worse, with that of an earlier failure.
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What names a negative errno and answers none with it: comparisons, and the answer of a refusal, whose reason is told. */
const harmless = /[=!]= -RVT_E[A-Z]+\b|^enum \{ RVT_NOT_ACCEPTED = -RVT_EINVAL \};$/g;

const folder = process.argv[2] ?? fileURLToPath(new URL('../native', import.meta.url));
const files = readdirSync(folder, { recursive: true })
  .map((name) => String(name).replaceAll('\\', '/'))
  .filter((name) => /\.(c|cc|h)$/.test(name))
  .sort();

let found = 0;
for (const name of files) {
  // Comments speak of errnos without the prefix; what is behind a line's code belongs to the line.
  readFileSync(join(folder, name), 'utf8')
    .split('\n')
    .forEach((line, at) => {
      if (/^\s*(\*|\/\*|\/\/)/.test(line) || !/-RVT_E[A-Z]+\b/.test(line.replace(harmless, ''))) return;
      found++;
      console.error(`${posix.join('native', name)}:${at + 1}: an errno without a cause: ${line.trim()}`);
    });
}
if (found) process.exit(1);
