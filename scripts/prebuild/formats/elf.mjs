// ELF, as far as check-prebuild.mjs asks: /usr/include/elf.h has the numbers.
import { stringAt } from './binary.mjs';

/** @typedef {import('./binary.mjs').Binary} Binary */
/** @typedef {import('./binary.mjs').Import} Import */

const ET_DYN = 3;
const machines = /** @type {Record<number, string>} */ ({ 62: 'x64', 183: 'arm64' });
const PT_GNU_STACK = 0x6474e551;
const PT_GNU_RELRO = 0x6474e552;
const PF_X = 1;
const SHT_SYMTAB = 2;
const SHT_DYNAMIC = 6;
const SHT_DYNSYM = 11;
const SHT_GNU_VERNEED = 0x6ffffffe;
const SHT_GNU_VERSYM = 0x6fffffff;
const DT_NEEDED = 1;
const DT_RPATH = 15;
const DT_TEXTREL = 22;
const DT_RUNPATH = 29;
const DT_FLAGS = 30;
const DF_BIND_NOW = 8;
const LOCAL = 0;

/**
 * @param {Buffer} file
 * @returns {Binary}
 */
export function readElf(file) {
  const sections = table(file, number(file, 40), file.readUInt16LE(58), file.readUInt16LE(60)).map((at) => ({
    type: file.readUInt32LE(at + 4),
    offset: number(file, at + 24),
    size: number(file, at + 32),
    link: file.readUInt32LE(at + 40),
  }));
  const segments = table(file, number(file, 32), file.readUInt16LE(54), file.readUInt16LE(56)).map((at) => ({
    type: file.readUInt32LE(at),
    flags: file.readUInt32LE(at + 4),
  }));
  /** @param {number} type */
  const section = (type) => sections.find((candidate) => candidate.type === type);
  /** @param {{ link: number }} section */
  const stringsOf = ({ link }) => sections[link]?.offset ?? 0;

  const dynamic = section(SHT_DYNAMIC);
  const entries = dynamic
    ? table(file, dynamic.offset, 16, dynamic.size / 16).map((at) => ({
        tag: number(file, at),
        value: number(file, at + 8),
      }))
    : [];
  const dynamicStrings = dynamic ? stringsOf(dynamic) : 0;
  const versions = versionNames(file, section(SHT_GNU_VERNEED), stringsOf);
  const versym = section(SHT_GNU_VERSYM);

  /** @type {Import[]} */
  const imports = [];
  /** @type {string[]} */
  const exports = [];
  const symbols = section(SHT_DYNSYM);
  const SYMBOL_BYTES = 24;
  for (let index = 1; symbols && index < symbols.size / SYMBOL_BYTES; index++) {
    const at = symbols.offset + index * SYMBOL_BYTES;
    const name = stringAt(file, stringsOf(symbols) + file.readUInt32LE(at));
    if (file.readUInt16LE(at + 6) === 0) {
      const version = versym ? file.readUInt16LE(versym.offset + 2 * index) & 0x7fff : 0;
      imports.push({ name, from: versions.get(version) });
    } else if (file.readUInt8(at + 4) >> 4 !== LOCAL) {
      exports.push(name);
    }
  }

  /** @param {number} wanted */
  const has = (wanted) => entries.some(({ tag }) => tag === wanted);
  const flags = entries.find(({ tag }) => tag === DT_FLAGS)?.value ?? 0;
  const stack = segments.find(({ type }) => type === PT_GNU_STACK);
  const faults = [];
  if (!stack || stack.flags & PF_X) faults.push('its stack may be executed');
  if (!segments.some(({ type }) => type === PT_GNU_RELRO)) faults.push('no RELRO');
  if (!(flags & DF_BIND_NOW)) faults.push('symbols are looked up late (no BIND_NOW)');
  if (has(DT_TEXTREL)) faults.push('its code is relocated (TEXTREL)');
  if (has(DT_RPATH) || has(DT_RUNPATH)) faults.push('has a path for libraries (RPATH)');

  const machine = file.readUInt16LE(18);
  return {
    format: 'ELF',
    arch: machines[machine] ?? String(machine),
    loadable: file.readUInt16LE(16) === ET_DYN && !segments.some(({ type }) => type === 3 /* PT_INTERP */),
    libraries: entries
      .filter(({ tag }) => tag === DT_NEEDED)
      .map(({ value }) => stringAt(file, dynamicStrings + value)),
    imports,
    exports,
    stripped: !section(SHT_SYMTAB),
    faults,
  };
}

/**
 * The names of the versions that symbols are wanted in, by number.
 * @param {Buffer} file
 * @param {{ offset: number, link: number } | undefined} section
 * @param {(section: { link: number }) => number} stringsOf
 */
function versionNames(file, section, stringsOf) {
  /** @type {Map<number, string>} */
  const names = new Map();
  if (!section) return names;
  const strings = stringsOf(section);
  for (let need = section.offset, next = -1; next !== 0; need += next) {
    next = file.readUInt32LE(need + 12);
    let aux = need + file.readUInt32LE(need + 8);
    for (let left = file.readUInt16LE(need + 2); left > 0; left--) {
      names.set(file.readUInt16LE(aux + 6), stringAt(file, strings + file.readUInt32LE(aux + 8)));
      aux += file.readUInt32LE(aux + 12);
    }
  }
  return names;
}

/**
 * The offsets of a table's entries.
 * @param {Buffer} file
 * @param {number} start
 * @param {number} bytes of an entry
 * @param {number} count
 */
function table(file, start, bytes, count) {
  if (start + bytes * count > file.length) throw new RangeError('the file ends in the middle of a table');
  return Array.from({ length: count }, (_, index) => start + index * bytes);
}

/**
 * @param {Buffer} file
 * @param {number} offset
 */
function number(file, offset) {
  return Number(file.readBigUInt64LE(offset));
}
