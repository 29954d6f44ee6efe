/** Finds and loads the add-on. node-gyp-build decides which binary fits. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { addonsDisabledError } from './addons-disabled';
import { missingBinary, staleBinary } from './binary-errors';
import { LAYOUT_HASH } from './layout';
import { findPackageRoot } from './package-root';

/** What node-gyp-build exports: `resolve` only finds the file. */
interface NodeGypBuild {
  readonly resolve: (folder: string) => string;
}

/**
 * Loads the add-on.
 *
 * @param folder - of the compiled module that asks: `dist`, or a bundle's
 * @throws MissingBinaryError, StaleBinaryError, or AddonsDisabledError
 */
export function loadNative(folder: string): unknown {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- CommonJS, without types
  const { resolve } = require('node-gyp-build') as NodeGypBuild;
  const installed = findPackageRoot(folder);
  // A bundle brings its binaries beside itself: what lies in the folder above it is somebody else's.
  const named = process.env.RDMAVT_PREBUILD ?? '';
  const home = named !== '' ? named : (installed ?? folder);
  let file: string | undefined;
  let loaded: { readonly layoutHash?: unknown };
  try {
    file = resolve(home);
    // Not `require(file)`: webpack and Rollup put a function of their own in its place, which knows only what is in the bundle.
    loaded = createRequire(file)(file) as typeof loaded;
  } catch (error) {
    throw (
      addonsDisabledError(home, error) ??
      missingBinary(home, installed && join(installed, 'dist'), file, error)
    );
  }
  // Before anything of it is called: a number that has moved would be read as another one, without an error.
  if (loaded.layoutHash !== LAYOUT_HASH) throw staleBinary(file, home, installed);
  return loaded;
}
