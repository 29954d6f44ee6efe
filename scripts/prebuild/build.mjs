// Builds the binary of one target: object files in build/prebuild/<target>, the binary in prebuilds/.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gypTargets } from './gyp.mjs';
import { nodeApiFunctions, nodeApiHeaders } from './node_api.mjs';
import { inParallel, root, run, workDirectory } from './run.mjs';
import { pathOf } from './targets.mjs';
import { toolchainFor } from './toolchains.mjs';
import { importedFunctions, nodeApiTables, withoutTime } from './windows.mjs';

/** @typedef {import('./gyp.mjs').GypTarget} GypTarget */
/** @typedef {import('./targets.mjs').Target} Target */
/** @typedef {{ file: string, flags: string[], object: string }} Unit a file to compile */

const nodeHost = fileURLToPath(new URL('runtime/node_host.c', import.meta.url));

/**
 * Compiles and links the binary of one target.
 * @param {Target} target
 * @param {number} jobs number of compilers that run at the same time
 */
export async function build(target, jobs) {
  const toolchain = await toolchainFor(target);
  const directory = join(workDirectory, target.name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });

  /** @type {Unit[]} */
  const units = [];
  /**
   * @param {string} file
   * @param {string[]} flags
   */
  const add = (file, flags) => {
    const object = join(directory, `${units.length}-${basename(file)}.o`);
    units.push({ file, flags, object });
  };
  /** @param {Unit} unit */
  const compile = async ({ file, flags, object }) => {
    const compiler = isC(file) ? toolchain.c : toolchain.cxx;
    const { stderr } = await run([...compiler, ...flags, '-c', file, '-o', object], { env: toolchain.env });
    process.stderr.write(stderr); // warnings
  };

  /**
   * @param {string} name
   * @param {string} text
   */
  const written = (name, text) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };

  // Of functions that are defined in several files, such as templates, the linker keeps the first. The last target is compiled for
  // size.
  const gyp = (await gypTargets(target.platform)).reverse();
  for (const settings of gyp) {
    for (const file of settings.sources) add(file, flagsFor(file, settings, target));
  }
  for (const { file, flags } of toolchain.runtime) add(file, flags);
  await inParallel(units, jobs, compile);

  const more = units.length;
  if (target.platform === 'win32') {
    add(written('node_api.c', nodeApiTables(nodeApiFunctionsOf(units))), []);
    add(nodeHost, ['-O2', '-Wall', '-Wextra']);
    await inParallel(units.slice(more), jobs, compile);
  }

  const output = join(directory, 'rdmavt.node');
  const objects = units.map((unit) => unit.object);
  const libraries = [...new Set(gyp.flatMap((settings) => settings.libraries ?? []))];
  /**
   * @param {string[]} objects
   * @param {string[]} libraries
   * @param {string} output
   */
  const link = async (objects, libraries, output) => {
    for (const command of toolchain.link(objects, libraries, output))
      await run(command, { env: toolchain.env });
  };
  await link(objects, libraries, output);
  if (target.platform === 'win32') writeFileSync(output, withoutTime(readFileSync(output)));
  if (target.platform === 'linux') {
    // Linkers for Linux leave undefined symbols to the loader. Link once more with stubs of all Node-API functions: any symbol
    // that is still undefined is an error.
    const functions = [...nodeApiFunctions].map((name) => `void ${name}(void) {}\n`);
    add(written('node_api.c', functions.join('')), ['-w']);
    await inParallel(units.slice(more), jobs, compile);
    const all = units.map((unit) => unit.object);
    await link(all, [...libraries, '-Wl,-z,defs'], join(directory, 'complete.so'));
  }

  const file = join(root, pathOf(target));
  mkdirSync(dirname(file), { recursive: true });
  renameSync(output, file);
  return { file, compiler: toolchain.version };
}

/**
 * Returns the compiler flags for a source file.
 * @param {string} file
 * @param {GypTarget} settings
 * @param {Target} target
 */
function flagsFor(file, settings, target) {
  const { platform } = target;
  const flags = [...(settings.cflags ?? []), ...((isC(file) ? settings.cflags_c : settings.cflags_cc) ?? [])];
  // -isystem suppresses warnings in headers that are not ours.
  const directories = [nodeApiHeaders, ...(settings.include_dirs ?? [])];
  const includes = directories.map((path) => (path.startsWith('native') ? `-I${path}` : `-isystem${path}`));
  // The first two definitions are those of node-gyp.
  const defines = ['NODE_GYP_MODULE_NAME=rdmavt', 'BUILDING_NODE_EXTENSION', ...(settings.defines ?? [])];
  if (platform === 'win32') defines.push('NAPI_EXTERN=__declspec(dllimport)');
  return [
    ...flags.filter((flag) => isFor(target, flag)),
    ...includes,
    ...defines.map((definition) => `-D${definition}`),
  ];
}

/**
 * Returns whether a flag of the gyp files is for the target.
 * @param {Target} target
 * @param {string} flag
 */
function isFor({ platform, arch }, flag) {
  // On arm64 the flag would also make calls within the binary go through a pointer, which is longer and slower.
  if (flag === '-fno-plt') return platform === 'linux' && arch === 'x64';
  // On Windows, every function that has a frame must have an entry in the tables, by the ABI.
  if (flag.endsWith('unwind-tables')) return platform !== 'win32';
  return true;
}

/** @param {string} file */
function isC(file) {
  return extname(file) === '.c';
}

/** Returns the Node-API functions that the compiled objects import. @param {Unit[]} units */
function nodeApiFunctionsOf(units) {
  const names = units.flatMap(({ object }) => importedFunctions(readFileSync(object), nodeApiFunctions));
  return [...new Set(names)].sort();
}
