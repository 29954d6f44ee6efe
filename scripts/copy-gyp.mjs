// Copies binding.gyp to dist/, where `rdmavt build` takes it from.
//
// It cannot lie at the top of the package itself: yarn 1 would run node-gyp on every install because of it, and npm, pnpm and
// newer yarns do so or warn, as the versions go, whatever package.json says (`"gypfile": false` is npm's alone).
import { copyFileSync } from 'node:fs';

copyFileSync(new URL('../binding.gyp', import.meta.url), new URL('../dist/binding.gyp', import.meta.url));
