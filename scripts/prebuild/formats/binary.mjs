// What is asked of a binary, whatever its format.
import { readElf } from './elf.mjs';
import { readMachO } from './macho.mjs';
import { readPe } from './pe.mjs';

/**
 * @typedef {object} Binary
 * @property {'ELF' | 'PE' | 'Mach-O'} format
 * @property {string} arch as process.arch has it, or the format's number
 * @property {boolean} loadable a library, not a program or an object
 * @property {string[]} libraries that it needs
 * @property {Import[]} imports
 * @property {string[]} exports
 * @property {boolean} stripped
 * @property {string[]} faults of the format: what makes it unsafe, or refused by its system
 * @property {string | undefined} [minimumOs] Mach-O
 */

/**
 * @typedef {object} Import
 * @property {string} name
 * @property {string | undefined} [from] library (PE, Mach-O) or version (ELF: GLIBC_2.17); none: from the program that loads the binary
 */

/**
 * @param {Buffer} file
 * @returns {Binary}
 */
export function readBinary(file) {
  const magic = file.length >= 64 ? file.readUInt32BE(0) : 0;
  if (magic === 0x7f454c46) return readElf(file);
  if (magic === 0xcffaedfe) return readMachO(file);
  if (magic >>> 16 === 0x4d5a) return readPe(file);
  throw new Error('neither ELF nor PE nor Mach-O (64 bits, little-endian)');
}

/**
 * The string that ends with the next NUL.
 * @param {Buffer} file
 * @param {number} offset
 */
export function stringAt(file, offset) {
  const end = file.indexOf(0, offset);
  if (end < 0) throw new RangeError('a string does not end');
  return file.toString('latin1', offset, end);
}
