// The programs in dist/: index.js, its entry for `import`, and the command line.
import { build } from 'esbuild';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const LICENSE = `/*!
 * rdmavt. Copyright (c) the rdmavt authors. License: BSD-3-Clause; see the file LICENSE of the package.
 */`;

/** What stays a module of its own: the one dependency. Modules of Node always do. */
const external = ['node-gyp-build'];

/**
 * @param {string} root the checkout
 * @param {string} folder where to write
 * @returns {Promise<string[]>} the names of the values that the package exports
 */
export async function bundlePrograms(root, folder) {
  /** @type {import('esbuild').BuildOptions} */
  const common = {
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'node20',
    external,
    charset: 'utf8',
    // esbuild renames a class that names itself: its `name` is what programs see.
    keepNames: true,
    logLevel: 'warning',
    tsconfig: 'tsconfig.json',
  };
  const entry = 'lib/index.ts';
  const [names] = await Promise.all([
    exportedNames({ ...common, entryPoints: [entry] }),
    build({
      ...common,
      entryPoints: [entry],
      format: 'cjs',
      outfile: join(folder, 'index.js'),
      banner: { js: LICENSE },
    }),
    // A file of its own, with its own copy of lib/internal. It uses the native module and not the public classes, so
    // no class exists twice for a program. What a command needs runs when the command is called: help and `build` work
    // where there is no native module.
    build({
      ...common,
      entryPoints: ['lib/cli/main.ts'],
      format: 'cjs',
      outfile: join(folder, 'cli.js'),
      banner: { js: LICENSE },
    }),
  ]);
  writeFileSync(join(folder, 'index.mjs'), importEntry(names));
  return names;
}

/**
 * The names of the values that the package exports; types are none.
 * @param {import('esbuild').BuildOptions} options
 */
async function exportedNames(options) {
  const { metafile } = await build({ ...options, format: 'esm', write: false, metafile: true });
  const [output] = Object.values(metafile?.outputs ?? {});
  if (!output?.exports.length) throw new Error('the package exports nothing');
  return [...output.exports].sort();
}

/**
 * The entry of `import { Device } from 'rdmavt'`. Node finds the named exports of a CommonJS module by scanning its text;
 * this names each and does not depend on that. Both entries share one module: no class exists twice.
 * @param {string[]} names
 */
function importEntry(names) {
  const list = names.map((name) => `  ${name},\n`).join('');
  return `// Written by scripts/build-dist/bundle.mjs.\nimport rdmavt from './index.js';\n\nexport const {\n${list}} = rdmavt;\n`;
}
