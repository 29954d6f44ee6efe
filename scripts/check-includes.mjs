// Checks the #include lines of C and C++ files: node scripts/check-includes.mjs [FOLDER]   (default: native)
//
// A file may include only files of its own room (a folder or file of the layering in ARCHITECTURE.md) and of rooms below it, and
// headers must not include each other in a cycle. eslint.rooms.mjs enforces the same rule for TypeScript and JavaScript.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const LAYOUT = ['core/layout.h', 'core/layout_hash.h'];
/** The only core header that code outside of the core may include. */
const CORE = ['core/rvt.h'];

/**
 * Maps each room to the rooms that it may include besides itself. A room is a folder or a single file; a file belongs to the room
 * with the longest matching name. Some rooms have no file yet; they are listed to reserve their place.
 * @type {Record<string, string[]>}
 */
const rooms = {
  'core/layout.h': [],
  'core/layout_hash.h': ['core/layout.h'],
  'core/base': LAYOUT,
  'core/objects': ['core/base', ...LAYOUT],
  'core/access': ['core/objects', 'core/base', ...LAYOUT],
  'core/engine': ['core/access', 'core/objects', 'core/base', ...LAYOUT],
  'core/rvt.h': ['core/engine', 'core/access', 'core/objects', 'core/base', ...LAYOUT],
  wire: ['core/base', ...LAYOUT],
  'wire/cm': ['wire', 'core/base', ...LAYOUT],
  'wire/endpoint': ['wire', 'wire/cm', 'core/base', ...CORE, ...LAYOUT],
  'wire/udp': ['wire/endpoint', 'wire', 'core/base', ...CORE, ...LAYOUT],
  ibverbs: ['wire/udp', 'wire/endpoint', 'wire', ...CORE, ...LAYOUT],
  'binding/environment': [...CORE, ...LAYOUT],
  'binding/values': ['binding/environment', ...CORE, ...LAYOUT],
  'binding/objects': ['binding/values', 'binding/environment', ...CORE, ...LAYOUT],
  'binding/commands': [...['binding/objects', 'binding/values', 'binding/environment'], ...CORE, ...LAYOUT],
  'binding/batch': [...['binding/objects', 'binding/values', 'binding/environment'], ...CORE, ...LAYOUT],
  'binding/wire': [
    ...['binding/objects', 'binding/values', 'binding/environment'],
    ...['wire', 'wire/cm', 'wire/endpoint', 'wire/udp'],
    ...CORE,
    ...LAYOUT,
  ],
  'binding/addon.cc': [
    ...['binding/batch', 'binding/commands', 'binding/wire'],
    ...['binding/objects', 'binding/values', 'binding/environment'],
    ...CORE,
    ...LAYOUT,
  ],
};

/**
 * @typedef {object} Include
 * @property {string} file path of the including file, relative to the folder
 * @property {number} line
 * @property {string} text the path in quotes or angle brackets; otherwise everything after `#include`
 * @property {boolean} [system] whether the path is in angle brackets
 */

const folder = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..', 'native');
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .map((name) => name.replaceAll('\\', '/'))
  .filter((name) => /\.(c|cc|cpp|h|hpp|inc)$/.test(name))
  .sort();
const topFolders = new Set(Object.keys(rooms).map((room) => room.split('/')[0]));

const includes = files.flatMap(includesOf);
const problems = [
  ...files.filter((file) => roomOf(file) === undefined).map((file) => `${file}: belongs to no room`),
  ...includes.flatMap((include) => {
    const problem = problemOf(include);
    return problem === undefined ? [] : [`${include.file}:${include.line}: ${problem}`];
  }),
  ...cyclesOf(includes).map((cycle) => `${cycle[0]}: includes itself: ${cycle.join(' -> ')}`),
];
const shown = process.argv[2] ?? relative(process.cwd(), folder);
for (const problem of problems) console.error(`${shown}/${problem}`);
if (problems.length) {
  console.error('The rooms, and what each may include, are listed in scripts/check-includes.mjs.');
  process.exitCode = 1;
} else {
  console.log(`${includes.length} includes in ${files.length} files, all allowed`);
}

/**
 * Returns the #include lines of a file, without those of system headers.
 * @param {string} file
 * @returns {Include[]}
 */
function includesOf(file) {
  // Blank out comments, which may contain an #include, and join lines that end in a backslash. Line numbers stay the same.
  const text = readFileSync(join(folder, file), 'utf8')
    .replace(/\/\*[^]*?\*\/|(["'])(\\[^]|(?!\1)[^\\\n])*\1|\/\/(?:\\\r?\n|[^\n])*/g, (match) =>
      /^["']/.test(match) ? match : match.replace(/[^\n]/g, ' '),
    )
    .replace(/(?:[^\n]*\\\r?\n)+[^\n]*/g, (lines) => {
      const joined = lines.split(/\\\r?\n/);
      return joined.join(' ') + '\n'.repeat(joined.length - 1);
    });
  const found = [];
  for (const [index, line] of text.split('\n').entries()) {
    const rest = /^\s*(?:#|%:|\?\?=)\s*(?:include|include_next|import)\b\s*(.*?)\s*$/.exec(line)?.[1];
    if (rest === undefined) continue;
    const quoted = /^"([^"]*)"$/.exec(rest)?.[1];
    const system = /^<([^>]*)>$/.exec(rest)?.[1];
    // Includes in angle brackets count too if they name a file in native/, which is on the compiler's search path.
    if (system !== undefined && !topFolders.has(system.split('/')[0])) continue;
    found.push({ file, line: index + 1, text: quoted ?? system ?? rest, system: system !== undefined });
  }
  return found;
}

/**
 * @param {Include} include
 * @returns {string | undefined}
 */
function problemOf({ file, text, system }) {
  if (system) return `includes <${text}>; files of this folder are included in quotes`;
  if (!/\.h$/.test(text)) return `includes ${text}, which is not a header`;
  if (text !== posix.normalize(text) || !topFolders.has(text.split('/')[0])) {
    return `includes "${text}"; files are named from native/, as in "core/rvt.h"`;
  }
  if (!existsSync(join(folder, text))) return `includes "${text}", which does not exist`;
  const room = roomOf(file);
  const target = roomOf(text);
  if (room === undefined || room === target) return undefined;
  if (target !== undefined && rooms[room]?.includes(target)) return undefined;
  return `${room} may not include ${text}`;
}

/** @param {string} file */
function roomOf(file) {
  const names = Object.keys(rooms).filter((room) => file === room || file.startsWith(`${room}/`));
  return names.sort((a, b) => b.length - a.length)[0];
}

/**
 * Returns each cycle of includes once, as the list of files from a file back to itself.
 * @param {Include[]} includes
 */
function cyclesOf(includes) {
  /** @type {string[][]} */
  const cycles = [];
  /** @type {Set<string>} */
  const done = new Set();
  /** @param {string[]} path */
  const visit = (path) => {
    const file = path.at(-1) ?? '';
    const start = path.indexOf(file);
    if (start < path.length - 1) cycles.push(path.slice(start));
    else if (!done.has(file)) {
      for (const include of includes) if (include.file === file) visit([...path, include.text]);
      done.add(file);
    }
  };
  for (const file of files) visit([file]);
  return cycles;
}
