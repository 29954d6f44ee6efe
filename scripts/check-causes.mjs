// Checks that every negative errno in the native code carries a cause: node scripts/check-causes.mjs [FOLDER]   (default: native)
//
// A function that fails must return the result of rvt_fail() or a similar helper (native/core/base/failure.h), which records the
// cause of the failure. A bare `-RVT_EINVAL` would reach JavaScript without a cause, or with the cause of an earlier failure.
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Uses of a negative errno that need no cause: comparisons, and RVT_NOT_ACCEPTED, whose callers report a reason instead. */
const harmless = /[=!]= -RVT_E[A-Z]+\b|^enum \{ RVT_NOT_ACCEPTED = -RVT_EINVAL \};$/g;

const folder = process.argv[2] ?? fileURLToPath(new URL('../native', import.meta.url));
const files = readdirSync(folder, { recursive: true })
  .map((name) => String(name).replaceAll('\\', '/'))
  .filter((name) => /\.(c|cc|h)$/.test(name))
  .sort();

let found = 0;
for (const name of files) {
  // Skip comment lines: they name errnos without the prefix. A comment after code counts as part of its line.
  readFileSync(join(folder, name), 'utf8')
    .split('\n')
    .forEach((line, at) => {
      if (/^\s*(\*|\/\*|\/\/)/.test(line) || !/-RVT_E[A-Z]+\b/.test(line.replace(harmless, ''))) return;
      found++;
      console.error(`${posix.join('native', name)}:${at + 1}: an errno without a cause: ${line.trim()}`);
    });
}
if (found) process.exit(1);
