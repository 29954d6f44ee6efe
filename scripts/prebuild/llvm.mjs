// LLVM's programs that read binaries of every system, and what they print.
import { spawnSync } from 'node:child_process';

/** Debian has LLVM under the names of its versions, and the one of the default version without a number. */
const SUFFIXES = ['', ...Array.from({ length: 12 }, (_, index) => `-${14 + index}`)];

export class MissingLlvmError extends Error {
  constructor() {
    super('llvm-readobj is not installed. Debian: apt-get install llvm-14; other systems: LLVM 14 or newer');
  }
}

/** @type {string | undefined} */
let foundSuffix;

/**
 * How the installed version is called. Throws MissingLlvmError if none is installed.
 * @returns {string}
 */
export function llvmSuffix() {
  foundSuffix ??= SUFFIXES.find((suffix) => spawnSync(`llvm-readobj${suffix}`, ['--version']).status === 0);
  if (foundSuffix === undefined) throw new MissingLlvmError();
  return foundSuffix;
}

/**
 * Runs one of LLVM's programs on a file and returns what it prints. Throws if it finds any fault with the file: it also prints what
 * it could read of a damaged one.
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
 * A part of what llvm-readobj prints: `Key { ... }` and `Key [ ... ]` are parts of their own, `Key: value` is a text, and so is the
 * number in `Flags [ (0x6)`. Lines that open and close no part are items.
 */
export class Part {
  /** @type {{ key: string, part: Part }[]} */
  #parts = [];
  /** @type {Map<string, string>} */
  #texts = new Map();
  /** @type {string[]} */
  items = [];

  /**
   * The text of a key. Throws if there is none: then this version of LLVM prints something else.
   * @param {string} key
   */
  text(key) {
    const text = this.#texts.get(key);
    if (text === undefined) throw new Error(`llvm-readobj prints no ${key}`);
    return text;
  }

  /** The hexadecimal number at the end of a text, as in `Machine: EM_X86_64 (0x3E)`. @param {string} key */
  number(key) {
    const digits = /0x([0-9A-F]+)\)?$/i.exec(this.text(key))?.[1];
    if (digits === undefined) throw new Error(`llvm-readobj prints no number for ${key}`);
    return Number.parseInt(digits, 16);
  }

  /** All parts of a name. @param {string} key */
  all(key) {
    return this.#parts.filter((each) => each.key === key).map(({ part }) => part);
  }

  /** The only part of a name. Throws if there is none. @param {string} key */
  one(key) {
    const [part] = this.all(key);
    if (!part) throw new Error(`llvm-readobj prints no ${key}`);
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
        // A list may have many texts of one key.
        part.items.push(line);
      } else if (opened !== undefined) {
        const inner = new Part();
        part.#parts.push({ key: opened, part: inner });
        if (number !== undefined) part.#texts.set(opened, number);
        open.unshift(inner);
      } else if (line === '}' || line === ']') open.shift();
      else if (line) part.items.push(line);
    }
    if (open.length !== 1) throw new Error('llvm-readobj prints brackets that do not match');
    return whole;
  }
}
