// Writes dist/native, the sources that `rdmavt build` compiles. They have no comments, which are nearly half of what an install would
// download of them; the repository has the commented sources.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What an installed package can compile. native/ibverbs is for tests. */
const PARTS = /^(core|wire|binding)\/.*\.(c|cc|h|gypi)$|^flags\.gypi$/;

/**
 * Returns the paths in native/ of the sources.
 * @param {string} root the checkout
 */
export function nativeSources(root) {
  return readdirSync(join(root, 'native'), { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => PARTS.test(name))
    .sort();
}

/**
 * Writes the sources without comments.
 * @param {string} root the checkout
 */
export function writeNativeSources(root) {
  const folder = join(root, 'dist', 'native');
  rmSync(folder, { recursive: true, force: true });
  for (const name of nativeSources(root)) {
    const text = readFileSync(join(root, 'native', name), 'utf8');
    const file = join(folder, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, name.endsWith('.gypi') ? text : withoutComments(text));
  }
}

/**
 * Removes the comments of C or C++, except for the license line, and the lines that were comments only.
 * @param {string} text without raw strings
 */
export function withoutComments(text) {
  if (/\bR"/.test(text)) throw new Error('raw strings are not supported');
  // Strings and characters are matched too, because they may contain the beginning of a comment; an apostrophe between digits is
  // none of a character.
  const parts =
    /(?<license>^\/[/*] SPDX-License-Identifier:[^\n]*\n)|(?<comment>\/\/(?:\\\n|[^\n])*|\/\*[^]*?\*\/)|"(?:\\[^]|[^"\\\n])*"|(?<![0-9A-Fa-f])'(?:\\[^]|[^'\\\n])*'/g;
  const code = text.replace(parts, (part, license, comment) => (comment === undefined ? part : ' '));
  return code.replace(/[ \t]+$/gm, '').replace(/\n{2,}/g, '\n');
}
