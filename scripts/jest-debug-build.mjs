// A Jest reporter that warns when the tests run on a debug build of the add-on (`npm run build:debug`), which is slow and differs
// from the published binary.
import { createRequire } from 'node:module';
import { dirname, basename } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

export default class DebugBuild {
  onRunStart() {
    let file = '';
    try {
      file = createRequire(import.meta.url)('node-gyp-build').resolve(root);
    } catch {
      // The add-on is missing: the tests report it.
    }
    if (basename(dirname(file)) === 'Debug') {
      console.warn(`These tests run on a debug build: ${file}. \`npm run build\` creates a release build.`);
    }
  }
}
