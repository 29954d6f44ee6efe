// What is asked of a binary, whatever its format: LLVM reads it.
import { readFileSync } from 'node:fs';
import { signatureFault } from './code_signature.mjs';
import { Part, runLlvm } from './llvm.mjs';
import { namesSection } from './windows.mjs';

/**
 * @typedef {object} Binary
 * @property {'ELF' | 'PE' | 'Mach-O'} format
 * @property {string} arch as process.arch has it, or LLVM's name
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

const architectures = /** @type {Record<string, string>} */ ({ x86_64: 'x64', aarch64: 'arm64' });

/**
 * Throws if the file is none of the three formats, or is damaged.
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
  throw new Error(`a file of the format ${format}`);
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
    // As in `memcpy@GLIBC_2.14 (123)`; a symbol that is defined here has two @.
    const [, name = '', from] = /^(.*?)(?:@@?([^@]*))? \(\d+\)$/.exec(symbol.text('Name')) ?? [];
    if (!name) continue;
    if (symbol.number('Section') === 0) imports.push({ name, from });
    else if (!symbol.text('Binding').startsWith('Local')) exports.push(name);
  }

  const segments = dump.one('ProgramHeaders').all('ProgramHeader');
  /** @param {string} type */
  const segment = (type) => segments.find((each) => each.text('Type').startsWith(`${type} `));
  // As in `0x000000000000001E FLAGS        BIND_NOW`.
  const entries = dump.all('DynamicSection').flatMap(({ items }) => items.map((item) => item.split(/\s+/)));
  /** @param {string} tag */
  const entry = (tag) => entries.find((each) => each[1] === tag);
  const stack = segment('PT_GNU_STACK');
  const faults = [];
  if (!stack || has(stack.one('Flags'), 'PF_X')) faults.push('its stack may be executed');
  if (!segment('PT_GNU_RELRO')) faults.push('no RELRO');
  if (!entry('FLAGS')?.includes('BIND_NOW')) faults.push('symbols are looked up late (no BIND_NOW)');
  if (entry('TEXTREL') || entry('FLAGS')?.includes('TEXTREL')) faults.push('its code is relocated (TEXTREL)');
  if (entry('RPATH') || entry('RUNPATH')) faults.push('has a path for libraries (RPATH)');
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
      // As in `Symbol: Sleep (0)`; a function that is imported by number has no name.
      const [, name, number] = /^Symbol: (.*?) ?\((\d+)\)$/.exec(item) ?? [];
      return name === undefined ? [] : [{ name: name || `#${number}`, from: library.text('Name') }];
    }),
  );
  // What is looked up in the program itself: see runtime/node_host.c.
  const sections = header.one('Sections').all('Section');
  if (sections.some((section) => section.text('Name').startsWith(`${namesSection} `))) {
    // As in `[    13] napi_create_object`.
    const strings = runLlvm('readobj', [`--string-dump=${namesSection}`], file);
    for (const [, name = ''] of strings.matchAll(/^\[ *[0-9a-f]+\] (.+)$/gm)) imports.push({ name });
  }

  const image = header.one('ImageFileHeader');
  const optional = header.one('ImageOptionalHeader');
  if (optional.number('Magic') !== 0x20b) throw new Error('a PE file of 32 bits');
  const characteristics = optional.one('Characteristics');
  const faults = [];
  if (!has(characteristics, 'IMAGE_DLL_CHARACTERISTICS_DYNAMIC_BASE')) {
    faults.push('cannot be loaded at any address (no DYNAMIC_BASE)');
  }
  if (!has(characteristics, 'IMAGE_DLL_CHARACTERISTICS_NX_COMPAT')) {
    faults.push('its data may be executed (no NX_COMPAT)');
  }
  return {
    format: 'PE',
    loadable: has(image.one('Characteristics'), 'IMAGE_FILE_DLL'),
    libraries: dump.all('Import').map((library) => library.text('Name')),
    imports,
    exports: dump.all('Export').map((each) => each.text('Name')),
    // Neither a symbol table nor the name of a file with one.
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
      stripped = false; // local: of use to a debugger only
    } else if (symbol.text('Type').startsWith('Undef ')) {
      imports.push({ name, from: libraries[libraryNumber(symbol) - 1] });
    } else {
      exports.push(name);
    }
  }

  const faults = [];
  if (commands.some(({ cmd }) => cmd === 'LC_RPATH')) faults.push('has a path for libraries (LC_RPATH)');
  const signature = commands.find(({ cmd }) => cmd === 'LC_CODE_SIGNATURE')?.dataoff;
  const fault =
    signature === undefined ? 'not signed' : signatureFault(readFileSync(file), Number(signature));
  // Intel Macs run code that is not signed.
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
 * The load commands of a Mach-O file: their fields, with `cmd` for their names.
 * @param {string} file
 * @returns {Record<string, string>[]}
 */
function loadCommands(file) {
  const [, ...commands] = runLlvm('objdump', ['--macho', '--private-headers'], file).split(
    /^Load command \d+$/m,
  );
  return commands.map((command) => {
    // As in `     cmd LC_SYMTAB`. The first counts: segments go on with their sections.
    const fields = [...command.matchAll(/^ *(\w+) +(.*?) *$/gm)].reverse();
    return Object.fromEntries(fields.map(([, name, value]) => [name, value]));
  });
}

/**
 * Which of the libraries a symbol is imported from, counted from 1. What is looked up in whatever is loaded
 * (-undefined dynamic_lookup) has 254, which is no library.
 * @param {Part} symbol
 */
function libraryNumber(symbol) {
  // The upper byte of a field that llvm-readobj prints as flags.
  const flags = symbol.number('Flags');
  return flags >> 8;
}

/**
 * Whether a list has an item, as in `PF_X (0x1)`.
 * @param {Part} list
 * @param {string} name
 */
function has(list, name) {
  return list.items.some((item) => item.split(' ')[0] === name);
}
