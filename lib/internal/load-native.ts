/** Finds and loads the native add-on. node-gyp-build selects the binary. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { addonsDisabledError } from './addons-disabled';
import { missingBinary, staleBinary } from './binary-errors';
import { LAYOUT_HASH } from './layout';
import { findPackageRoot } from './package-root';

/** The export of node-gyp-build that is used here: `resolve` finds the binary without loading it. */
interface NodeGypBuild {
  readonly resolve: (folder: string) => string;
}

/**
 * Loads the native add-on.
 *
 * @param folder - folder of the compiled calling module: `dist`, or the folder of a bundle
 * @throws MissingBinaryError, StaleBinaryError, or AddonsDisabledError
 */
export function loadNative(folder: string): unknown {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- CommonJS, without types
  const { resolve } = require('node-gyp-build') as NodeGypBuild;
  const installed = findPackageRoot(folder);
  // A bundle has its binaries in its own folder; the folder above may belong to another program.
  const named = process.env.RDMAVT_PREBUILD ?? '';
  const home = named !== '' ? named : (installed ?? folder);
  let file: string | undefined;
  let loaded: { readonly layoutHash?: unknown };
  try {
    file = resolve(home);
    // Not `require(file)`: webpack and Rollup replace `require` with a function that finds only modules in the bundle.
    loaded = createRequire(file)(file) as typeof loaded;
  } catch (error) {
    throw (
      addonsDisabledError(home, error) ??
      missingBinary(home, installed && join(installed, 'dist'), file, error)
    );
  }
  // Check before any call: with another layout, numbers would be misread without an error.
  if (loaded.layoutHash !== LAYOUT_HASH) throw staleBinary(file, home, installed);
  return loaded;
}
