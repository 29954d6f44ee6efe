// Generates the part of the Windows binary that runtime/node_host.c uses to find the Node-API functions.

/** The section that contains the names of the functions, so that check-prebuild.mjs can read them from the binary. */
export const namesSection = '.nodeapi';

/** Prefix of the pointer that compiled code uses to call an imported function. */
const IMPORT = '__imp_';

/**
 * Returns those of the given functions that an object file (COFF) imports.
 * @param {Buffer} object
 * @param {Set<string>} functions
 */
export function importedFunctions(object, functions) {
  const symbols = object.readUInt32LE(8);
  const count = object.readUInt32LE(12);
  const SYMBOL_BYTES = 18;
  // The string table follows the symbols and begins with its own length. It holds all names longer than eight characters.
  const names = object.subarray(symbols + count * SYMBOL_BYTES + 4).toString('latin1');
  return names
    .split('\0')
    .filter((name) => name.startsWith(IMPORT))
    .map((name) => name.slice(IMPORT.length))
    .filter((name) => functions.has(name));
}

/**
 * Returns the C source of the tables that node_host.c uses.
 * @param {string[]} names
 */
export function nodeApiTables(names) {
  return [
    '#include <windows.h>',
    `__attribute__((section("${namesSection}"))) const char rvt_node_api_names[] =`,
    ...names.map((name) => `    "${name}\\0"`),
    '    "";',
    ...names.map((name) => `FARPROC ${IMPORT}${name};`),
    'FARPROC *const rvt_node_api_pointers[] = {',
    ...names.map((name) => `    &${IMPORT}${name},`),
    '};',
    '',
  ].join('\n');
}

/**
 * Clears the link time in a PE file, so that two builds of the same sources are identical.
 * @param {Buffer} file
 */
export function withoutTime(file) {
  file.writeUInt32LE(0, file.readUInt32LE(60) + 8);
  return file;
}
