// Generates files from native/core/layout.h, the constants that C and TypeScript share. Run `npm run layout` after changing the
// header.
//
//   node scripts/generate-layout.mjs           writes lib/internal/layout.ts and native/core/layout_hash.h
//   node scripts/generate-layout.mjs --check   fails if one of these files is out of date
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

/** Returns the text of a file, or undefined if the file does not exist. @param {string} file */
function textOf(file) {
  try {
    return readFileSync(join(root, file), 'utf8').replaceAll('\r\n', '\n');
  } catch {
    return undefined;
  }
}
