// What must hold of a prebuilt binary, by target.
import { readFileSync } from 'node:fs';
import { readBinary } from './binary.mjs';
import { MissingLlvmError } from './llvm.mjs';
import { NODE_API_VERSION, nodeApiFunctions } from './node_api.mjs';
import { root } from './run.mjs';
import { floors } from './targets.mjs';
import { entryPoints } from './toolchains.mjs';

/** @typedef {import('./binary.mjs').Binary} Binary */
/** @typedef {import('./targets.mjs').Target} Target */

const MOST_BYTES = 400 * 1024;

const formats = { linux: 'ELF', win32: 'PE', darwin: 'Mach-O' };

/** What may be needed: of the system itself, on every machine of the kind. */
const libraries = {
  glibc: /^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|ld-linux-(x86-64|aarch64)\.so\.[12])$/,
  musl: /^libc\.so$/, // musl takes any name that begins so for itself
  win32: /^(kernel32|bcrypt|msvcrt|ucrtbase|ntdll|api-ms-win-crt-[\w-]+)\.dll$/i,
  darwin: /^\/usr\/lib\/libSystem\.B\.dylib$/,
};

/** What Node exports to add-ons. */
const nodeApi = /^(napi|node_api)_/;

/**
 * Of the C++ runtime, mangled names first. The two exceptions are glibc's: they run destructors at the end.
 */
const cxxRuntime = /^_Z|^__cxa_(?!finalize$|atexit$)|^__gxx|^_Unwind_|^__dynamic_cast/;

/**
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
    return [`cannot be read: ${/** @type {Error} */ (error).message}`];
  }
  return [
    ...kindProblems(binary, target),
    ...symbolProblems(binary),
    ...libraryProblems(binary, target),
    ...floorProblems(binary, target),
    ...binary.faults,
    ...(binary.stripped ? [] : ['not stripped']),
    ...(file.length > MOST_BYTES ? [`${file.length} bytes, more than ${MOST_BYTES}`] : []),
    ...(file.includes(root) ? ['names the folder it was built in'] : []),
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
  if (!binary.loadable) yield 'no library';
}

/** @param {Binary} binary */
function* symbolProblems({ imports, exports }) {
  for (const name of entryPoints) if (!exports.includes(name)) yield `does not export ${name}`;
  for (const name of exports) if (!entryPoints.includes(name)) yield `exports ${name}`;

  const functions = imports.filter(({ name }) => nodeApi.test(name));
  if (!functions.length) yield 'imports nothing of Node-API';
  for (const { name, from } of functions) {
    if (!nodeApiFunctions.has(name)) yield `imports ${name}, which is not in Node-API ${NODE_API_VERSION}`;
    if (from) yield `imports ${name} from ${from} only`;
  }
  for (const { name } of imports) if (cxxRuntime.test(name)) yield `imports ${name} of the C++ runtime`;
}

/**
 * @param {Binary} binary
 * @param {Target} target
 */
function* libraryProblems(binary, { platform, libc }) {
  const allowed = libraries[platform === 'linux' ? (libc ?? 'glibc') : platform];
  for (const library of binary.libraries) if (!allowed.test(library)) yield `needs ${library}`;
  if (!binary.libraries.length) yield 'needs no C library';
  // A symbol of no library is found only if Node has it. (On Linux symbols do not say where they are from.)
  if (platform === 'linux') return;
  for (const { name, from } of binary.imports) {
    if (!from && !nodeApi.test(name)) yield `imports ${name} from nowhere`;
  }
}

/**
 * @param {Binary} binary
 * @param {Target} target
 */
function* floorProblems(binary, { platform, libc }) {
  if (platform === 'darwin' && binary.minimumOs !== floors.macos) {
    yield `asks for macOS ${binary.minimumOs}, not ${floors.macos}`;
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
