// Mach-O (macOS), as far as check-prebuild.mjs asks: mach-o/loader.h and the code-signing blobs.
import { createHash } from 'node:crypto';
import { stringAt } from './binary.mjs';

/** @typedef {import('./binary.mjs').Binary} Binary */
/** @typedef {import('./binary.mjs').Import} Import */

const INTEL = 0x01000007;
const cpus = /** @type {Record<number, string>} */ ({ [INTEL]: 'x64', 0x0100000c: 'arm64' });
const MH_DYLIB = 6;
const MH_BUNDLE = 8;
const LC_SYMTAB = 0x2;
const LC_CODE_SIGNATURE = 0x1d;
const LC_BUILD_VERSION = 0x32;
const LC_RPATH = 0x8000001c;
/** LC_LOAD_DYLIB, LC_LOAD_WEAK_DYLIB, LC_REEXPORT_DYLIB */
const loads = [0xc, 0x80000018, 0x8000001f];
const PLATFORM_MACOS = 1;
const N_STAB = 0xe0;
const N_PEXT = 0x10;
const N_TYPE = 0x0e;
const N_EXT = 0x01;
/** The library of a symbol that is looked up in whatever is loaded (-undefined dynamic_lookup). */
const DYNAMIC_LOOKUP = 0xfe;

/**
 * @param {Buffer} file
 * @returns {Binary}
 */
export function readMachO(file) {
  /** @type {string[]} */
  const libraries = [];
  /** @type {Import[]} */
  const imports = [];
  /** @type {string[]} */
  const exports = [];
  const faults = [];
  let minimumOs;
  let stripped = true;
  let symtab = 0;
  let signature = 0;

  let at = 32;
  for (let left = file.readUInt32LE(16); left > 0; left--) {
    const command = file.readUInt32LE(at);
    if (loads.includes(command)) libraries.push(stringAt(file, at + file.readUInt32LE(at + 8)));
    if (command === LC_SYMTAB) symtab = at;
    if (command === LC_CODE_SIGNATURE) signature = file.readUInt32LE(at + 8);
    if (command === LC_RPATH) faults.push('has a path for libraries (LC_RPATH)');
    if (command === LC_BUILD_VERSION && file.readUInt32LE(at + 8) === PLATFORM_MACOS) {
      minimumOs = `${file.readUInt16LE(at + 14)}.${file.readUInt8(at + 13)}`;
    }
    at += file.readUInt32LE(at + 4);
  }

  const symbols = symtab ? file.readUInt32LE(symtab + 8) : 0;
  const strings = symtab ? file.readUInt32LE(symtab + 16) : 0;
  for (let index = 0; symtab && index < file.readUInt32LE(symtab + 12); index++) {
    const symbol = symbols + 16 * index;
    const type = file.readUInt8(symbol + 4);
    const name = stringAt(file, strings + file.readUInt32LE(symbol)).replace(/^_/, '');
    if (type & N_STAB || !(type & N_EXT) || type & N_PEXT) {
      stripped = false; // local: of use to a debugger only
    } else if ((type & N_TYPE) !== 0) {
      exports.push(name);
    } else {
      const ordinal = file.readUInt16LE(symbol + 6) >> 8;
      imports.push({ name, from: ordinal === DYNAMIC_LOOKUP ? undefined : libraries[ordinal - 1] });
    }
  }

  const type = file.readUInt32LE(12);
  const cpu = file.readUInt32LE(4);
  const unsigned = signature ? signatureFault(file, signature) : 'not signed';
  // Intel Macs run code that is not signed.
  if (unsigned && (signature || cpu !== INTEL)) faults.push(unsigned);
  return {
    format: 'Mach-O',
    arch: cpus[cpu] ?? cpu.toString(16),
    loadable: type === MH_BUNDLE || type === MH_DYLIB,
    libraries,
    imports,
    exports,
    stripped,
    minimumOs,
    faults,
  };
}

/**
 * A Mac kills the process that runs a page whose hash is not the one that was signed.
 * @param {Buffer} file
 * @param {number} start of the signature
 */
function signatureFault(file, start) {
  const CODE_DIRECTORY = 0xfade0c02;
  const SHA256 = 2;
  const directory = start + file.readUInt32BE(start + 16); // the first blob
  if (file.readUInt32BE(directory) !== CODE_DIRECTORY) return 'signed without a code directory';
  const hashes = directory + file.readUInt32BE(directory + 16);
  const pages = file.readUInt32BE(directory + 28);
  const end = file.readUInt32BE(directory + 32);
  const hashBytes = file.readUInt8(directory + 36);
  const pageBytes = 1 << file.readUInt8(directory + 39);
  if (file.readUInt8(directory + 37) !== SHA256) return 'signed with another hash than SHA-256';
  if (end !== start || pages !== Math.ceil(end / pageBytes)) return 'signed only in part';
  for (let page = 0; page < pages; page++) {
    const bytes = file.subarray(page * pageBytes, Math.min((page + 1) * pageBytes, end));
    const signed = file.subarray(hashes + page * hashBytes, hashes + (page + 1) * hashBytes);
    if (!createHash('sha256').update(bytes).digest().equals(signed))
      return `changed after signing (page ${page})`;
  }
  return undefined;
}
