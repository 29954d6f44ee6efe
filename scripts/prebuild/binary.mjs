// Reads the properties of a prebuilt binary that rules.mjs checks, for all formats, with LLVM's tools.
import { readFileSync } from 'node:fs';
import { signatureFault } from './code_signature.mjs';
import { Part, runLlvm } from './llvm.mjs';
import { namesSection } from './windows.mjs';

/**
 * @typedef {object} Binary
 * @property {'ELF' | 'PE' | 'Mach-O'} format
 * @property {string} arch as in process.arch, or LLVM's name
 * @property {boolean} loadable whether the file is a shared library, not a program or an object file
 * @property {string[]} libraries the libraries that the binary needs
 * @property {Import[]} imports
 * @property {string[]} exports
 * @property {boolean} stripped
 * @property {string[]} faults properties that make the binary unsafe, or make its operating system refuse it
 * @property {string | undefined} [minimumOs] Mach-O
 */

/**
 * @typedef {object} Import
 * @property {string} name
 * @property {string | undefined} [from] library (PE, Mach-O) or version (ELF: GLIBC_2.17); undefined: the program that loads the
 *   binary
 */

const architectures = /** @type {Record<string, string>} */ ({ x86_64: 'x64', aarch64: 'arm64' });

/**
 * Reads a binary. Throws if the file has another format than these three, or is damaged.
 * @param {string} file
 * @returns {Binary}
 */
export function readBinary(file) {
  const header = readobj(file, '--file-headers', '--sections');
  const arch = header.text('Arch');
  const common = { arch: architectures[arch] ?? arch };
  const format = header.text('Format');
  if (/^elf64/i.test(format)) return { ...common, ...readElf(file, header) };
  if (/^COFF-/i.test(format)) return { ...common, ...readPe(file, header) };
  if (/^Mach-O /i.test(format)) return { ...common, ...readMachO(file, header) };
  throw new Error(`unsupported file format: ${format}`);
}

/**
 * @param {string} file
 * @param {string[]} options
 */
function readobj(file, ...options) {
  return Part.parse(runLlvm('readobj', options, file));
}

/**
 * @param {string} file
 * @param {Part} header
 * @returns {Omit<Binary, 'arch'>}
 */
function readElf(file, header) {
  const dump = readobj(file, '--program-headers', '--dynamic-table', '--needed-libs', '--dyn-symbols');
  /** @type {Import[]} */
  const imports = [];
  /** @type {string[]} */
  const exports = [];
  for (const symbol of dump.one('DynamicSymbols').all('Symbol')) {
    // Example: `memcpy@GLIBC_2.14 (123)`. A symbol that the file itself defines has two @.
    const [, name = '', from] = /^(.*?)(?:@@?([^@]*))? \(\d+\)$/.exec(symbol.text('Name')) ?? [];
    if (!name) continue;
    if (symbol.number('Section') === 0) imports.push({ name, from });
    else if (!symbol.text('Binding').startsWith('Local')) exports.push(name);
  }

  const segments = dump.one('ProgramHeaders').all('ProgramHeader');
  /** @param {string} type */
  const segment = (type) => segments.find((each) => each.text('Type').startsWith(`${type} `));
  // Example: `0x000000000000001E FLAGS        BIND_NOW`.
  const entries = dump.all('DynamicSection').flatMap(({ items }) => items.map((item) => item.split(/\s+/)));
  /** @param {string} tag */
  const entry = (tag) => entries.find((each) => each[1] === tag);
  const stack = segment('PT_GNU_STACK');
  const faults = [];
  if (!stack || has(stack.one('Flags'), 'PF_X')) faults.push('the stack is executable');
  if (!segment('PT_GNU_RELRO')) faults.push('no RELRO');
  if (!entry('FLAGS')?.includes('BIND_NOW')) faults.push('symbols are bound lazily (no BIND_NOW)');
  if (entry('TEXTREL') || entry('FLAGS')?.includes('TEXTREL'))
    faults.push('the code needs relocations (TEXTREL)');
  if (entry('RPATH') || entry('RUNPATH')) faults.push('has a library search path (RPATH)');
  const sections = header.one('Sections').all('Section');
  return {
    format: 'ELF',
    loadable: header.one('ElfHeader').text('Type').startsWith('SharedObject ') && !segment('PT_INTERP'),
    libraries: dump.one('NeededLibraries').items,
    imports,
    exports,
    stripped: !sections.some((section) => section.text('Type').startsWith('SHT_SYMTAB ')),
    faults,
  };
}

/**
 * @param {string} file
 * @param {Part} header
 * @returns {Omit<Binary, 'arch'>}
 */
function readPe(file, header) {
  const dump = readobj(file, '--coff-imports', '--coff-exports');
  /** @type {Import[]} */
  const imports = dump.all('Import').flatMap((library) =>
    library.items.flatMap((item) => {
      // Example: `Symbol: Sleep (0)`. A function that is imported by number has no name.
      const [, name, number] = /^Symbol: (.*?) ?\((\d+)\)$/.exec(item) ?? [];
      return name === undefined ? [] : [{ name: name || `#${number}`, from: library.text('Name') }];
    }),
  );
  // Add the functions that the binary looks up in the host program: see runtime/node_host.c.
  const sections = header.one('Sections').all('Section');
  if (sections.some((section) => section.text('Name').startsWith(`${namesSection} `))) {
    // Example: `[    13] napi_create_object`.
    const strings = runLlvm('readobj', [`--string-dump=${namesSection}`], file);
    for (const [, name = ''] of strings.matchAll(/^\[ *[0-9a-f]+\] (.+)$/gm)) imports.push({ name });
  }

  const image = header.one('ImageFileHeader');
  const optional = header.one('ImageOptionalHeader');
  if (optional.number('Magic') !== 0x20b) throw new Error('32-bit PE files are not supported');
  const characteristics = optional.one('Characteristics');
  const faults = [];
  if (!has(characteristics, 'IMAGE_DLL_CHARACTERISTICS_DYNAMIC_BASE')) {
    faults.push('cannot be loaded at a random address (no DYNAMIC_BASE)');
  }
  if (!has(characteristics, 'IMAGE_DLL_CHARACTERISTICS_NX_COMPAT')) {
    faults.push('data is executable (no NX_COMPAT)');
  }
  return {
    format: 'PE',
    loadable: has(image.one('Characteristics'), 'IMAGE_FILE_DLL'),
    libraries: dump.all('Import').map((library) => library.text('Name')),
    imports,
    exports: dump.all('Export').map((each) => each.text('Name')),
    // A stripped file has no symbol table, and does not name a file that contains one.
    stripped:
      image.number('PointerToSymbolTable') === 0 && optional.one('DataDirectory').number('DebugSize') === 0,
    faults,
  };
}

/**
 * @param {string} file
 * @param {Part} header
 * @returns {Omit<Binary, 'arch'>}
 */
function readMachO(file, header) {
  const commands = loadCommands(file);
  const libraries = commands.flatMap(({ cmd = '', name = '' }) =>
    /_DYLIB$/.test(cmd) && cmd !== 'LC_ID_DYLIB' ? [name.replace(/ \(offset \d+\)$/, '')] : [],
  );
  /** @type {Import[]} */
  const imports = [];
  /** @type {string[]} */
  const exports = [];
  let stripped = true;
  for (const symbol of readobj(file, '--symbols').one('Symbols').all('Symbol')) {
    const name = symbol
      .text('Name')
      .replace(/ \(\d+\)$/, '')
      .replace(/^_/, '');
    if (!has(symbol, 'Extern') || has(symbol, 'PrivateExtern')) {
      stripped = false; // a local symbol, which only debuggers use
    } else if (symbol.text('Type').startsWith('Undef ')) {
      imports.push({ name, from: libraries[libraryNumber(symbol) - 1] });
    } else {
      exports.push(name);
    }
  }

  const faults = [];
  if (commands.some(({ cmd }) => cmd === 'LC_RPATH')) faults.push('has a library search path (LC_RPATH)');
  const signature = commands.find(({ cmd }) => cmd === 'LC_CODE_SIGNATURE')?.dataoff;
  const fault =
    signature === undefined ? 'not signed' : signatureFault(readFileSync(file), Number(signature));
  // Intel Macs run unsigned code.
  if (fault && (signature !== undefined || header.text('Arch') !== 'x86_64')) faults.push(fault);
  const version = commands.find(
    ({ cmd, platform }) => cmd === 'LC_BUILD_VERSION' && /^macos$/i.test(platform ?? ''),
  );
  return {
    format: 'Mach-O',
    loadable: /^(Bundle|DynamicLibrary) /.test(header.one('MachHeader').text('FileType')),
    libraries,
    imports,
    exports,
    stripped,
    minimumOs: version?.minos,
    faults,
  };
}

/**
 * Returns the load commands of a Mach-O file as objects. The property `cmd` holds the name of the command.
 * @param {string} file
 * @returns {Record<string, string>[]}
 */
function loadCommands(file) {
  const [, ...commands] = runLlvm('objdump', ['--macho', '--private-headers'], file).split(
    /^Load command \d+$/m,
  );
  return commands.map((command) => {
    // Example: `     cmd LC_SYMTAB`. The first of several equal fields counts: after its own fields, a segment lists those of its
    // sections.
    const fields = [...command.matchAll(/^ *(\w+) +(.*?) *$/gm)].reverse();
    return Object.fromEntries(fields.map(([, name, value]) => [name, value]));
  });
}

/**
 * Returns the number of the library that a symbol is imported from, counted from 1. Symbols that the loader searches in all
 * loaded libraries (-undefined dynamic_lookup) have the number 254, which matches no library.
 * @param {Part} symbol
 */
function libraryNumber(symbol) {
  // The number is the upper byte of a field that llvm-readobj prints as flags.
  const flags = symbol.number('Flags');
  return flags >> 8;
}

/**
 * Returns whether a list contains an item; example of an item: `PF_X (0x1)`.
 * @param {Part} list
 * @param {string} name
 */
function has(list, name) {
  return list.items.some((item) => item.split(' ')[0] === name);
}
