// Bundles the programs in dist/: library.js, the code; index.js and index.mjs, its public part for `require` and `import`;
// testing/index.js and index.mjs, the helpers for tests, which use index.js; and cli.js, the command line.
import { build } from 'esbuild';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { withoutDocComments } from './program-text.mjs';

const LICENSE = `/*!
 * rdmavt. Copyright (c) the rdmavt authors. License: BSD-3-Clause; see the file LICENSE of the package.
 */`;

/** Modules that are not bundled: the only dependency. esbuild never bundles Node's own modules. */
const external = ['node-gyp-build'];

const ENTRY = 'lib/index.ts';
const TESTING = 'lib/testing/index.ts';
const COMMAND_LINE = 'lib/cli/main.ts';
/** The modules of the command line itself. They share no code with the library, so help and `build` work without a native module. */
const COMMANDS = 'lib/cli/';
/** The bundle of all code that the package and its command line use. */
const LIBRARY = './library.js';
/** Constants without state, of which each bundle contains the few that it uses. */
const CONSTANTS = 'lib/internal/layout.ts';
/** The name of the package's entry in library.js; the other names are those of modules. */
const PUBLIC = 'index';

/** @typedef {import('esbuild').BuildOptions} BuildOptions */
/** @typedef {import('esbuild').Plugin} Plugin */

/**
 * Writes the bundles.
 * @param {string} root the checkout
 * @param {string} folder output folder
 * @returns {Promise<string[]>} the names of the values that the package exports
 */
export async function bundlePrograms(root, folder) {
  /** @type {BuildOptions} */
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
    banner: { js: LICENSE },
  };
  const helpers = { ...common, entryPoints: [TESTING], plugins: [fromEntry()] };
  const [{ names, modules }, { names: helperNames }, used] = await Promise.all([
    contentOf({ ...common, entryPoints: [ENTRY] }),
    contentOf(helpers),
    contentOf({ ...common, entryPoints: [COMMAND_LINE] }),
  ]);
  if (!names.length) throw new Error('the package exports nothing');
  const shared = modules.filter(
    (module) => used.modules.includes(module) && module !== ENTRY && module !== CONSTANTS,
  );
  await Promise.all([
    build({
      ...common,
      stdin: { contents: libraryEntry(shared), resolveDir: root, sourcefile: 'library', loader: 'ts' },
      format: 'cjs',
      outfile: join(folder, 'library.js'),
    }),
    build({
      ...common,
      entryPoints: [COMMAND_LINE],
      plugins: [fromLibrary(root, new Set(shared))],
      format: 'cjs',
      outfile: join(folder, 'cli.js'),
    }),
    build({ ...helpers, format: 'cjs', outfile: join(folder, 'testing', 'index.js') }),
  ]);
  for (const name of ['library.js', 'cli.js', join('testing', 'index.js')]) {
    const file = join(folder, name);
    writeFileSync(file, withoutDocComments(readFileSync(file, 'utf8')));
  }
  writeFileSync(join(folder, 'index.js'), requireEntry(names));
  writeFileSync(join(folder, 'index.mjs'), importEntry(names));
  writeFileSync(join(folder, 'testing', 'index.mjs'), importEntry(helperNames));
  return names;
}

/**
 * Returns the names of the values that a program exports (types are not among them), and the paths of its modules.
 * @param {BuildOptions} options
 */
async function contentOf(options) {
  const { metafile } = await build({ ...options, format: 'esm', write: false, metafile: true });
  const [output] = Object.values(metafile?.outputs ?? {});
  if (!output) throw new Error('esbuild returned no bundle');
  return { names: [...output.exports].sort(), modules: Object.keys(output.inputs) };
}

/**
 * Returns the source of library.js: the public part, and each module that the command line uses too. All of them are in one scope,
 * so calls between them are as fast as in one module.
 * @param {string[]} shared
 */
function libraryEntry(shared) {
  const parts = [[PUBLIC, ENTRY], ...shared.map((module) => [module, module])];
  return parts.map(([name, path]) => `export * as '${name}' from './${path}';\n`).join('');
}

/**
 * Takes the shared modules of the command line from library.js, which is loaded when the first of them is needed. So they are in
 * the package once, and a class or a state of theirs exists once in a process.
 * @param {string} root
 * @param {ReadonlySet<string>} shared
 * @returns {Plugin}
 */
function fromLibrary(root, shared) {
  const resolving = Symbol('resolving'); // set while the plugin asks esbuild itself
  return {
    name: 'from-library',
    setup(program) {
      program.onResolve({ filter: /^\./ }, async ({ path, importer, pluginData, ...rest }) => {
        if (path === LIBRARY && rest.namespace === 'library') return { path, external: true };
        if (pluginData === resolving || !importer || moduleOf(root, importer).startsWith(COMMANDS)) return;
        const { kind, resolveDir } = rest;
        const found = await program.resolve(path, { importer, kind, resolveDir, pluginData: resolving });
        const module = moduleOf(root, found.path);
        return shared.has(module) ? { path: module, namespace: 'library' } : undefined;
      });
      program.onLoad({ filter: /./, namespace: 'library' }, ({ path }) => ({
        contents: `module.exports = require('${LIBRARY}')['${path}'];\n`,
      }));
    },
  };
}

/**
 * Takes the public part of the package from index.js, so that the helpers for tests use the classes of the program.
 * @returns {Plugin}
 */
function fromEntry() {
  return {
    name: 'from-entry',
    setup(program) {
      program.onResolve({ filter: /^\.\.\/index$/ }, ({ path }) => ({ path: `${path}.js`, external: true }));
    },
  };
}

/**
 * Returns the path of a module as esbuild's lists have it.
 * @param {string} root
 * @param {string} file
 */
function moduleOf(root, file) {
  return relative(root, file).replaceAll('\\', '/');
}

/**
 * Returns the text of index.js, the entry for `require('rdmavt')`.
 * @param {string[]} names
 */
function requireEntry(names) {
  const list = names.map((name) => `  ${name},\n`).join('');
  return (
    `// Written by scripts/build-dist/bundle.mjs.\n'use strict';\n` +
    `module.exports = Object.defineProperty(require('${LIBRARY}').${PUBLIC}, '__esModule', { value: true });\n\n` +
    `// For tools that look for the names of exports in the text.\n0 && (module.exports = {\n${list}});\n`
  );
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
