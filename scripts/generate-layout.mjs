// Writes what follows from native/core/layout.h, the numbers that C and TypeScript share. `npm run layout` after a change there.
//
//   node scripts/generate-layout.mjs           writes lib/internal/layout.ts and native/core/layout_hash.h
//   node scripts/generate-layout.mjs --check   fails if one of them is not what it would write
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { hashHeaderOf, readLayout, typescriptOf } from './layout.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({ options: { check: { type: 'boolean' } } });

try {
  const groups = readLayout(textOf('native/core/layout.h') ?? '');
  const files = {
    'lib/internal/layout.ts': typescriptOf(groups),
    'native/core/layout_hash.h': hashHeaderOf(groups),
  };
  for (const [file, text] of Object.entries(files)) {
    if (textOf(file) === text) continue;
    if (values.check) {
      console.error(`${file} does not follow from native/core/layout.h: run npm run layout`);
      process.exitCode = 1;
    } else {
      writeFileSync(join(root, file), text);
      console.log(file);
    }
  }
} catch (error) {
  if (!(error instanceof SyntaxError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

/** Undefined if there is no such file. @param {string} file */
function textOf(file) {
  try {
    return readFileSync(join(root, file), 'utf8').replaceAll('\r\n', '\n');
  } catch {
    return undefined;
  }
}
