// Bundles the programs in dist/: index.js, index.mjs (its entry for `import`), and cli.js, the command line.
import { build } from 'esbuild';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const LICENSE = `/*!
 * rdmavt. Copyright (c) the rdmavt authors. License: BSD-3-Clause; see the file LICENSE of the package.
 */`;

/** Modules that are not bundled: the only dependency. esbuild never bundles Node's own modules. */
const external = ['node-gyp-build'];

/**
 * Writes the bundles.
 * @param {string} root the checkout
 * @param {string} folder output folder
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
    // Programs can read the `name` of a class, but esbuild renames a class that refers to itself.
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
    // cli.js has its own copy of lib/internal. It uses the native module directly and not the public classes, so no public class
    // exists twice in a program. Each command loads its code only when it is called: help and `build` work without a native
    // module.
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
 * Returns the names of the values that the package exports. Types are not among them.
 * @param {import('esbuild').BuildOptions} options
 */
async function exportedNames(options) {
  const { metafile } = await build({ ...options, format: 'esm', write: false, metafile: true });
  const [output] = Object.values(metafile?.outputs ?? {});
  if (!output?.exports.length) throw new Error('the package exports nothing');
  return [...output.exports].sort();
}

/**
 * Returns the text of index.mjs, the entry for `import { Device } from 'rdmavt'`. Node detects the named exports of a CommonJS
 * module by scanning its text; index.mjs does not rely on this and names each export. Both entries use the same module instance,
 * so no class exists twice.
 * @param {string[]} names
 */
function importEntry(names) {
  const list = names.map((name) => `  ${name},\n`).join('');
  return `// Written by scripts/build-dist/bundle.mjs.\nimport rdmavt from './index.js';\n\nexport const {\n${list}} = rdmavt;\n`;
}
