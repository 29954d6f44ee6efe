// Runs LLVM's tools, which read binaries of every system, and parses their output.
import { spawnSync } from 'node:child_process';

/** Debian installs LLVM's programs with a version suffix, and those of the default version also without one. */
const SUFFIXES = ['', ...Array.from({ length: 12 }, (_, index) => `-${14 + index}`)];

export class MissingLlvmError extends Error {
  constructor() {
    super('llvm-readobj is not installed. Debian: apt-get install llvm-14; other systems: LLVM 14 or newer');
  }
}

/** @type {string | undefined} */
let foundSuffix;

/**
 * Returns the suffix of the installed programs. Throws MissingLlvmError if none is installed.
 * @returns {string}
 */
export function llvmSuffix() {
  foundSuffix ??= SUFFIXES.find((suffix) => spawnSync(`llvm-readobj${suffix}`, ['--version']).status === 0);
  if (foundSuffix === undefined) throw new MissingLlvmError();
  return foundSuffix;
}

/**
 * Runs one of LLVM's programs on a file and returns its output. Throws if it reports any error: it prints what it could read even
 * of a damaged file.
 * @param {'readobj' | 'objdump'} tool
 * @param {string[]} options
 * @param {string} file
 */
export function runLlvm(tool, options, file) {
  const program = `llvm-${tool}${llvmSuffix()}`;
  const { status, error, stdout, stderr } = spawnSync(program, [...options, file], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (error) throw error;
  const [fault = ''] = stderr.trim().split('\n');
  if (status !== 0 || fault) throw new Error(fault || `${program} ended with status ${status}`);
  return stdout;
}

/**
 * A part of llvm-readobj's output. `Key { ... }` and `Key [ ... ]` are nested parts. `Key: value` is a text, and so is the number
 * in `Flags [ (0x6)`. Other lines are items.
 */
export class Part {
  /** @type {{ key: string, part: Part }[]} */
  #parts = [];
  /** @type {Map<string, string>} */
  #texts = new Map();
  /** @type {string[]} */
  items = [];

  /**
   * Returns the text of a key. Throws if there is none, because then this version of LLVM prints another format.
   * @param {string} key
   */
  text(key) {
    const text = this.#texts.get(key);
    if (text === undefined) throw new Error(`llvm-readobj did not print ${key}`);
    return text;
  }

  /** Returns the hexadecimal number at the end of a text, as in `Machine: EM_X86_64 (0x3E)`. @param {string} key */
  number(key) {
    const digits = /0x([0-9A-F]+)\)?$/i.exec(this.text(key))?.[1];
    if (digits === undefined) throw new Error(`llvm-readobj did not print a number for ${key}`);
    return Number.parseInt(digits, 16);
  }

  /** Returns all nested parts with this key. @param {string} key */
  all(key) {
    return this.#parts.filter((each) => each.key === key).map(({ part }) => part);
  }

  /** Returns the first nested part with this key. Throws if there is none. @param {string} key */
  one(key) {
    const [part] = this.all(key);
    if (!part) throw new Error(`llvm-readobj did not print ${key}`);
    return part;
  }

  /** @param {string} printed @returns {Part} */
  static parse(printed) {
    const whole = new Part();
    const open = [whole];
    for (const line of printed.split('\n').map((each) => each.trim())) {
      const part = open[0] ?? whole;
      const [, key, value] = /^([\w/ ]+):(?: (.*))?$/.exec(line) ?? [];
      const [, opened, number] = /^([\w ]*?) ?[{[](?: (\(.*\)))?$/.exec(line) ?? [];
      if (key !== undefined) {
        part.#texts.set(key, value ?? '');
        // Add the line to the items too, because a list may repeat a key.
        part.items.push(line);
      } else if (opened !== undefined) {
        const inner = new Part();
        part.#parts.push({ key: opened, part: inner });
        if (number !== undefined) part.#texts.set(opened, number);
        open.unshift(inner);
      } else if (line === '}' || line === ']') open.shift();
      else if (line) part.items.push(line);
    }
    if (open.length !== 1) throw new Error('llvm-readobj printed unbalanced brackets');
    return whole;
  }
}
