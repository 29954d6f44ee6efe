// Checks that every negative errno has a cause: node scripts/check-causes.mjs [FOLDER]   (default: native)
//
// What answers an errno answers what rvt_fail() and its like return (native/core/base/failure.h). A bare `-RVT_EINVAL` elsewhere
// would be told without a cause, or worse, with that of an earlier failure.
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Lines that name a negative errno and answer none with it: they compare, or the answer is a refusal, whose reason is told.
 * @type {RegExp[]}
 */
const harmless = [/[=!]= -RVT_E\w+/, /\/\* refused: the reason is told \*\//];

/**
 * Files whose checks answer a refusal (its reason is told), or that their domain or queue pair is gone, which is told as the refusal
 * `Closed`: nothing is looked up there.
 * @type {Record<string, RegExp>}
 */
const byOperation = {
  'core/access/check.c': /-RVT_E(BADF|INVAL)/,
  'core/access/batch.c': /-RVT_EBADF/,
  'core/access/batch_acquire.c': /-RVT_EBADF/,
  'core/access/batch_copy.c': /-RVT_EBADF/,
  'core/access/batch_copy_lists.c': /-RVT_EBADF/,
  'binding/commands/check_commands.cc': /-RVT_E(BADF|INVAL)/,
  'binding/batch/batch.cc': /-RVT_E(BADF|INVAL)/,
};

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
      if (!/-RVT_E[A-Z]+\b/.test(line) || /^\s*(\*|\/\*|\/\/)/.test(line)) return;
      if (harmless.some((pattern) => pattern.test(line)) || byOperation[name]?.test(line)) return;
      found++;
      console.error(`${posix.join('native', name)}:${at + 1}: an errno without a cause: ${line.trim()}`);
    });
}
if (found) process.exit(1);
