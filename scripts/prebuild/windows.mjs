// Node-API on Windows: see runtime/node_host.c.

/** The section that lists the names, so that they can be checked in the binary. */
export const namesSection = '.nodeapi';

/** How the compiler calls the pointer that an imported function is called through. */
const IMPORT = '__imp_';

/**
 * Those of the functions that an object file (COFF) imports.
 * @param {Buffer} object
 * @param {Set<string>} functions
 */
export function importedFunctions(object, functions) {
  const symbols = object.readUInt32LE(8);
  const count = object.readUInt32LE(12);
  const SYMBOL_BYTES = 18;
  // Names longer than eight characters follow the symbols and their own length.
  const names = object.subarray(symbols + count * SYMBOL_BYTES + 4).toString('latin1');
  return names
    .split('\0')
    .filter((name) => name.startsWith(IMPORT))
    .map((name) => name.slice(IMPORT.length))
    .filter((name) => functions.has(name));
}

/**
 * The C source of the tables that node_host.c fills.
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
 * A PE file without the time it was linked at: what is built twice is the same.
 * @param {Buffer} file
 */
export function withoutTime(file) {
  file.writeUInt32LE(0, file.readUInt32LE(60) + 8);
  return file;
}
