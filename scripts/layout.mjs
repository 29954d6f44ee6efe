// Parses native/core/layout.h and generates lib/internal/layout.ts and native/core/layout_hash.h from it. The head of layout.h
// describes the permitted syntax. Anything else is an error: a constant that the parser skipped could differ between C and
// TypeScript.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/**
 * @typedef {{ name: string, value: number, doc: string[], ts: string }} Member
 * @typedef {{ ts: string | undefined, doc: string[], members: Member[] }} Group `ts`: name of the enum; undefined: constants
 */

const GUARD = 'RVT_LAYOUT_H';
const PREPROCESSOR = new Set([`#ifndef ${GUARD}`, `#define ${GUARD}`, '#endif']);
const TOKEN =
  /(?<space>\s+)|(?<comment>\/\*[^]*?\*\/)|(?<directive>#[^\n]*)|(?<word>[A-Za-z_]\w*)|(?<number>(?:0x[\da-f]+|-?(?:0|[1-9]\d*))(?!\w))|(?<mark>[{},;=])/y;

/** @typedef {{ kind: string, text: string, line: number }} Token */

/** @param {Token | undefined} token @param {string} expected @returns {never} */
function fail(token, expected) {
  const found = token ? `'${token.text.split('\n')[0]}'` : 'the end';
  throw new SyntaxError(`native/core/layout.h:${token?.line ?? 'end'}: expected ${expected}, found ${found}`);
}

/** @param {string} text */
function tokensOf(text) {
  /** @type {Token[]} */
  const tokens = [];
  let line = 1;
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const groups = TOKEN.exec(text)?.groups;
    const [kind, found] = Object.entries(groups ?? {}).find(([, value]) => value !== undefined) ?? [];
    if (kind === undefined || found === undefined) {
      return fail({ kind: '', text: text.slice(at, at + 20), line }, 'a comment or an enum of numbers');
    }
    if (kind !== 'space') tokens.push({ kind, text: found, line });
    line += found.split('\n').length - 1;
    at += found.length;
  }
  return tokens;
}

/** Returns the lines of a comment without the comment markers. @param {string} comment */
function linesOf(comment) {
  return comment
    .slice(2, -2)
    .split('\n')
    .map((line) => line.trim().replace(/^\* ?/, ''));
}

/**
 * Parses the text of layout.h.
 * @param {string} text
 * @returns {Group[]}
 * @throws SyntaxError with file and line
 */
export function readLayout(text) {
  const tokens = tokensOf(text);
  let next = 0;
  const peek = () => tokens[next];
  /** @param {string} kind @param {string} [wanted] */
  const take = (kind, wanted) => {
    const token = tokens[next];
    if (token?.kind !== kind || (wanted !== undefined && token.text !== wanted)) {
      return fail(token, wanted === undefined ? `a ${kind}` : `'${wanted}'`);
    }
    next++;
    return token;
  };

  /** @type {Group[]} */
  const groups = [];
  /** @type {Set<string>} */
  const names = new Set();
  /** @param {Token} token @param {string} name */
  const own = (token, name) => {
    if (names.has(name)) fail(token, `a unique name, not ${name} again`);
    names.add(name);
  };

  /** @returns {Token[]} */
  const comments = () => {
    const found = [];
    while (peek()?.kind === 'comment') found.push(take('comment'));
    return found;
  };

  /** @param {string[]} prefixes one of which the C name must begin with */
  const member = (prefixes, /** @type {boolean} */ constants) => {
    const before = comments();
    const name = take('word');
    const prefix = prefixes.find((candidate) => name.text.startsWith(candidate));
    if (prefix === undefined) return fail(name, `a name that begins with ${prefixes.join(' or ')}`);
    own(name, name.text);
    take('mark', '=');
    const number = take('number');
    const value = Number(number.text);
    if (value !== (value | 0)) fail(number, 'a 32-bit number');
    take('mark', ',');
    // A comment on the member's own line belongs to the member. A comment on a separate line belongs to the next member.
    const after = peek()?.kind === 'comment' && peek()?.line === number.line ? [take('comment')] : [];
    const rest = name.text.slice(prefix.length);
    return {
      name: name.text,
      value,
      doc: [...before, ...after].flatMap(({ text: comment }) => linesOf(comment)),
      ts: constants ? rest : pascal(rest),
    };
  };

  comments();
  take('directive', `#ifndef ${GUARD}`);
  take('directive', `#define ${GUARD}`);
  for (;;) {
    const before = comments().filter(({ text: comment }) => !/^\/\* ---.*--- \*\/$/.test(comment));
    if (peek()?.kind === 'directive') break;
    const [head, ...docs] = before;
    const how = head && /^\/\* ts: (?:(constants)|(\w+), (\w+(?: \w+)*)) \*\/$/.exec(head.text);
    if (!how) return fail(head ?? peek(), 'a comment "ts: Name, PREFIX_" or "ts: constants"');
    take('word', 'enum');
    if (peek()?.kind === 'word') take('word');
    take('mark', '{');
    /** @type {Member[]} */
    const members = [];
    while (peek()?.kind !== 'mark')
      members.push(member(how[3]?.split(' ') ?? ['RVT_'], how[1] !== undefined));
    take('mark', '}');
    take('mark', ';');
    const scope = how[2];
    if (scope !== undefined) own(/** @type {Token} */ (head), scope);
    for (const { ts } of members) {
      own(/** @type {Token} */ (head), scope === undefined ? ts : `${scope}.${ts}`);
    }
    groups.push({ ts: scope, doc: docs.flatMap(({ text: comment }) => linesOf(comment)), members });
  }
  take('directive', '#endif');
  if (peek()) fail(peek(), 'the end');
  for (const { kind, text: found, line } of tokens) {
    if (kind === 'directive' && !PREPROCESSOR.has(found)) fail({ kind, text: found, line }, 'the guard');
  }
  return groups;
}

/** Returns all values by their C names. @param {Group[]} groups @returns {Record<string, number>} */
export function numbersOf(groups) {
  return Object.fromEntries(groups.flatMap(({ members }) => members.map(({ name, value }) => [name, value])));
}

/** @type {Record<string, number> | undefined} */
let ours;

/** Returns a constant of this checkout's layout.h by its C name. Throws if there is no such name. @param {string} name */
export function layoutNumber(name) {
  ours ??= numbersOf(readLayout(readFileSync(new URL('../native/core/layout.h', import.meta.url), 'utf8')));
  const number = ours[name];
  if (number === undefined) throw new Error(`native/core/layout.h has no ${name}`);
  return number;
}

/** Returns the hash of all names and values, independent of their order. @param {Group[]} groups */
export function hashOf(groups) {
  const lines = Object.entries(numbersOf(groups)).map(([name, value]) => `${name}=${value}\n`);
  return createHash('sha256').update(lines.sort().join('')).digest('hex').slice(0, 16);
}

/** Converts a C name to PascalCase: MAX_SEGMENTS to MaxSegments. @param {string} name */
function pascal(name) {
  return name.toLowerCase().replace(/(?:^|_)(\w)/g, (_, letter) => letter.toUpperCase());
}

/** @param {string[]} lines @param {string} indent */
function docComment(lines, indent) {
  if (!lines.length) return '';
  if (lines.length === 1) return `${indent}/** ${lines[0]?.trim()} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}`.trimEnd() + '\n').join('')}${indent} */\n`;
}

/** Returns the text of lib/internal/layout.ts. @param {Group[]} groups */
export function typescriptOf(groups) {
  const parts = groups.map(({ ts, doc, members }) => {
    if (ts === undefined) {
      const constants = members.map(
        (member) => `${docComment(member.doc, '')}export const ${member.ts} = ${member.value};\n`,
      );
      return `${doc.map((line) => `// ${line.trim()}\n`).join('')}${constants.join('')}`;
    }
    const list = members.map(
      (member) => `${docComment(member.doc, '  ')}  ${member.ts} = ${member.value},\n`,
    );
    return `${docComment(doc, '')}export enum ${ts} {\n${list.join('')}}\n`;
  });
  return `/**
 * The constants that TypeScript and C share. Generated by scripts/generate-layout.mjs from native/core/layout.h: make changes
 * there.
 */

/** Hash of all these constants. A native module with another hash was built from other sources. */
export const LAYOUT_HASH = '${hashOf(groups)}';

${parts.join('\n')}`;
}

/** Returns the text of native/core/layout_hash.h. @param {Group[]} groups */
export function hashHeaderOf(groups) {
  const checks = Object.entries(numbersOf(groups)).map(
    ([name, value]) => `static_assert(${name} == ${value}, RVT_LAYOUT_CHANGED);\n`,
  );
  return `/* SPDX-License-Identifier: BSD-3-Clause */
/* The hash of the constants in layout.h, and their values. Generated by scripts/generate-layout.mjs. */
#ifndef RVT_LAYOUT_HASH_H
#define RVT_LAYOUT_HASH_H

#include <assert.h>

#include "core/layout.h"

#define RVT_LAYOUT_HASH "${hashOf(groups)}"

#define RVT_LAYOUT_CHANGED "layout.h has changed: run npm run layout"
${checks.join('')}
#endif
`;
}
