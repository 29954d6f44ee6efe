// PE (Windows), as far as check-prebuild.mjs asks.
import { namesSection } from '../windows.mjs';
import { stringAt } from './binary.mjs';

/** @typedef {import('./binary.mjs').Binary} Binary */
/** @typedef {import('./binary.mjs').Import} Import */

const machines = /** @type {Record<number, string>} */ ({ 0x8664: 'x64', 0xaa64: 'arm64' });
const IMAGE_FILE_DLL = 0x2000;
const PE32_PLUS = 0x20b;
const DYNAMIC_BASE = 0x40;
const NX_COMPAT = 0x100;
/** Indices of the data directories. */
const EXPORTS = 0;
const IMPORTS = 1;
const DEBUG = 6;

/**
 * @param {Buffer} file
 * @returns {Binary}
 */
export function readPe(file) {
  const header = file.readUInt32LE(60);
  if (stringAt(file, header) !== 'PE') throw new Error('a program for DOS');
  const optional = header + 24;
  if (file.readUInt16LE(optional) !== PE32_PLUS) throw new Error('a PE file of 32 bits');
  const sections = Array.from({ length: file.readUInt16LE(header + 6) }, (_, index) => {
    const at = optional + file.readUInt16LE(header + 20) + 40 * index;
    return {
      name: file.toString('latin1', at, at + 8).replace(/\0+$/, ''),
      size: file.readUInt32LE(at + 8),
      address: file.readUInt32LE(at + 12),
      offset: file.readUInt32LE(at + 20),
    };
  });
  /** @param {number} address */
  const offsetOf = (address) => {
    const section = sections.find((each) => address >= each.address && address < each.address + each.size);
    if (!section) throw new RangeError('an address outside of all sections');
    return address - section.address + section.offset;
  };
  /** @param {number} index */
  const directory = (index) => ({
    address: file.readUInt32LE(optional + 112 + 8 * index),
    size: file.readUInt32LE(optional + 116 + 8 * index),
  });

  /** @type {Import[]} */
  const imports = [];
  /** @type {string[]} */
  const libraries = [];
  if (directory(IMPORTS).size) {
    for (let at = offsetOf(directory(IMPORTS).address); file.readUInt32LE(at + 12); at += 20) {
      const library = stringAt(file, offsetOf(file.readUInt32LE(at + 12)));
      libraries.push(library);
      const names = file.readUInt32LE(at) || file.readUInt32LE(at + 16);
      for (let entry = offsetOf(names); file.readBigUInt64LE(entry); entry += 8) {
        const value = file.readBigUInt64LE(entry);
        const name = value >> 63n ? `#${value & 0xffffn}` : stringAt(file, offsetOf(Number(value)) + 2);
        imports.push({ name, from: library });
      }
    }
  }
  // What is looked up in the program itself: see runtime/node_host.c.
  const names = sections.find(({ name }) => name === namesSection);
  for (let at = names?.offset ?? 0; names;) {
    const name = stringAt(file, at);
    if (!name) break;
    imports.push({ name });
    at += name.length + 1;
  }

  /** @type {string[]} */
  const exports = [];
  if (directory(EXPORTS).size) {
    const table = offsetOf(directory(EXPORTS).address);
    for (let index = 0; index < file.readUInt32LE(table + 24); index++) {
      const name = file.readUInt32LE(offsetOf(file.readUInt32LE(table + 32)) + 4 * index);
      exports.push(stringAt(file, offsetOf(name)));
    }
  }

  const machine = file.readUInt16LE(header + 4);
  const characteristics = file.readUInt16LE(optional + 70);
  const faults = [];
  if (!(characteristics & DYNAMIC_BASE)) faults.push('cannot be loaded at any address (no DYNAMIC_BASE)');
  if (!(characteristics & NX_COMPAT)) faults.push('its data may be executed (no NX_COMPAT)');
  return {
    format: 'PE',
    arch: machines[machine] ?? machine.toString(16),
    loadable: Boolean(file.readUInt16LE(header + 22) & IMAGE_FILE_DLL),
    libraries,
    imports,
    exports,
    // Neither a symbol table nor the name of a file with one.
    stripped: file.readUInt32LE(header + 12) === 0 && directory(DEBUG).size === 0,
    faults,
  };
}
