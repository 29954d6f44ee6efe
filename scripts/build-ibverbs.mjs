// Builds the libibverbs shim: node scripts/build-ibverbs.mjs [plain|asan|tsan]
//
// The library is build/ibverbs/<mode>/librdmavt-ibverbs.so. scripts/with-rdmavt runs a program with it.
import { copyFileSync, existsSync, readFileSync, renameSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildOf } from './c-builds.mjs';
import { gypBuild } from './gyp-build.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/** @param {string} mode */
export function libraryOf(mode) {
  return join(root, 'build', 'ibverbs', mode, 'librdmavt-ibverbs.so');
}

/**
 * Builds the library and returns its path. Throws an error with the compiler's output if the build fails.
 * @param {string} mode
 */
export function buildIbverbs(mode) {
  const { sanitize } = buildOf(mode);
  if (!existsSync('/usr/include/infiniband/verbs.h')) {
    throw new Error('the header <infiniband/verbs.h> is missing: install the package libibverbs-dev');
  }
  const directory = join(root, 'build', 'ibverbs', mode);
  /** @type {{ version: string }} */
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const gyp = {
    variables: { sanitize, version },
    includes: ['../../../native/ibverbs/ibverbs.gypi'],
  };
  const includes = [
    'native/ibverbs/ibverbs.gypi',
    'native/core/core.gypi',
    'native/core/settings.gypi',
    'native/wire/wire.gypi',
    'native/flags.gypi',
  ];
  const { ok, output } = gypBuild(directory, gyp, includes, ['rdmavt-ibverbs']);
  if (!ok) throw new Error(`the build failed (${mode}):\n${output}`);
  process.stderr.write(output);
  // Replace the library in one step: a program that runs may have the old one mapped.
  const library = libraryOf(mode);
  copyFileSync(join(directory, 'build', 'Release', 'librdmavt-ibverbs.so'), `${library}.new`);
  renameSync(`${library}.new`, library);
  return library;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    console.log(relative(process.cwd(), buildIbverbs(process.argv[2] ?? 'plain')));
  } catch (error) {
    console.error(`build-ibverbs: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
