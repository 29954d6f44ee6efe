// The rules that a prebuilt binary must satisfy, by target.
import { readFileSync } from 'node:fs';
import { readBinary } from './binary.mjs';
import { MissingLlvmError } from './llvm.mjs';
import { NODE_API_VERSION, nodeApiFunctions } from './node_api.mjs';
import { root } from './run.mjs';
import { floors } from './targets.mjs';
import { entryPoints } from './toolchains.mjs';

/** @typedef {import('./binary.mjs').Binary} Binary */
/** @typedef {import('./targets.mjs').Target} Target */

const MOST_BYTES = 480 * 1024;

const formats = { linux: 'ELF', win32: 'PE', darwin: 'Mach-O' };

/** Libraries that a binary may need: those that every system of this kind has. */
const libraries = {
  glibc: /^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|ld-linux-(x86-64|aarch64)\.so\.[12])$/,
  musl: /^libc\.so$/, // musl's loader uses musl itself for any name that begins with "libc."
  win32: /^(kernel32|bcrypt|msvcrt|ucrtbase|ntdll|api-ms-win-crt-[\w-]+)\.dll$/i,
  darwin: /^\/usr\/lib\/libSystem\.B\.dylib$/,
};

/** Names of the functions that Node exports to add-ons. */
const nodeApi = /^(napi|node_api)_/;

/**
 * Names of the C++ runtime, which must be linked statically. The two exceptions are functions of glibc that run destructors at
 * exit.
 */
const cxxRuntime = /^_Z|^__cxa_(?!finalize$|atexit$)|^__gxx|^_Unwind_|^__dynamic_cast/;

/**
 * Returns a description of each rule that the binary breaks.
 * @param {string} path
 * @param {Target} target
 * @returns {string[]}
 */
export function problemsOf(path, target) {
  const file = readFileSync(path);
  let binary;
  try {
    binary = readBinary(path);
  } catch (error) {
    if (error instanceof MissingLlvmError) throw error;
    return [`unreadable: ${/** @type {Error} */ (error).message}`];
  }
  return [
    ...kindProblems(binary, target),
    ...symbolProblems(binary),
    ...libraryProblems(binary, target),
    ...floorProblems(binary, target),
    ...binary.faults,
    ...(binary.stripped ? [] : ['not stripped']),
    ...(file.length > MOST_BYTES ? [`${file.length} bytes, more than ${MOST_BYTES}`] : []),
    ...(file.includes(root) ? ['contains the path of its build folder'] : []),
  ];
}

/**
 * @param {Binary} binary
 * @param {Target} target
 */
function* kindProblems(binary, target) {
  const format = formats[target.platform];
  if (binary.format !== format) yield `${binary.format}, not ${format}`;
  if (binary.arch !== target.arch) yield `for ${binary.arch}, not ${target.arch}`;
  if (!binary.loadable) yield 'not a library';
}

/** @param {Binary} binary */
function* symbolProblems({ imports, exports }) {
  for (const name of entryPoints) if (!exports.includes(name)) yield `does not export ${name}`;
  for (const name of exports) if (!entryPoints.includes(name)) yield `exports ${name}`;

  const functions = imports.filter(({ name }) => nodeApi.test(name));
  if (!functions.length) yield 'imports no Node-API function';
  for (const { name, from } of functions) {
    if (!nodeApiFunctions.has(name)) yield `imports ${name}, which is not in Node-API ${NODE_API_VERSION}`;
    if (from) yield `imports ${name} from a specific library or version: ${from}`;
  }
  for (const { name } of imports) if (cxxRuntime.test(name)) yield `imports ${name} from the C++ runtime`;
}

/**
 * @param {Binary} binary
 * @param {Target} target
 */
function* libraryProblems(binary, { platform, libc }) {
  const allowed = libraries[platform === 'linux' ? (libc ?? 'glibc') : platform];
  for (const library of binary.libraries) if (!allowed.test(library)) yield `needs ${library}`;
  if (!binary.libraries.length) yield 'needs no C library';
  // A symbol that names no library must be a Node-API function. (On Linux, symbols do not name their library.)
  if (platform === 'linux') return;
  for (const { name, from } of binary.imports) {
    if (!from && !nodeApi.test(name)) yield `imports ${name} from no library`;
  }
}

/**
 * @param {Binary} binary
 * @param {Target} target
 */
function* floorProblems(binary, { platform, libc }) {
  if (platform === 'darwin' && binary.minimumOs !== floors.macos) {
    yield `requires macOS ${binary.minimumOs}, not ${floors.macos}`;
  }
  if (platform !== 'linux') return;
  for (const { name, from } of binary.imports) {
    const version = /^GLIBC_([\d.]+)$/.exec(from ?? '')?.[1];
    if (libc === 'musl' ? from : from && !version) yield `imports ${name}@${from}`;
    else if (version && isNewer(version, floors.glibc))
      yield `imports ${name}@${from}, newer than ${floors.glibc}`;
  }
}

/**
 * @param {string} version
 * @param {string} other
 */
function isNewer(version, other) {
  return version.localeCompare(other, 'en', { numeric: true }) > 0;
}
