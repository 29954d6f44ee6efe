// A reporter for Jest that says so when the tests run on a debug build of the add-on (`npm run build:debug`): it is slow, and not
// what is published.
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
      // There is no add-on: the tests will say so.
    }
    if (basename(dirname(file)) === 'Debug') {
      console.warn(`These tests run on a debug build: ${file}. \`npm run build\` makes a release build.`);
    }
  }
}
