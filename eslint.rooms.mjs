// Which room may import from which: arrows go downward only (ARCHITECTURE.md). scripts/check-includes.mjs does the same for C and C++.
//
// Each room lists what it may import, as patterns of the text between the quotes. Everything else is an error. Three rules are
// needed, because `no-restricted-imports` sees `import ... from` and `export ... from` only.

const NODE = 'node:[\\w/]+';
const HERE = '\\./[\\w-]+';
/** What compiled modules of lib/ and types in them are named by. */
const JS = '(\\.js)?';

/**
 * @typedef {object} Room
 * @property {string} name
 * @property {string[]} files
 * @property {string[]} [ignores]
 * @property {string[]} may import, as regular expressions
 * @property {boolean} [computed] whether `import(expression)` is allowed: nobody can tell what it imports
 * @property {boolean} [byIndex] whether arrays are read and written by index only (`lib/internal/intrinsics.ts` says why)
 * @property {string[]} [paths] folders that no string may name, however the path is put together
 */

/** lib/ and bench/ are published; these folders are not. */
const UNPUBLISHED = ['scripts', 'fuzz', 'test'];

/** They hold no native objects, and say why the native module cannot be loaded. */
const MAKERS_OF_TEXT = ['lib/internal/addons-disabled.ts', 'lib/internal/binary-errors.ts'];

/** @type {Room[]} */
const rooms = [
  {
    name: 'lib/internal',
    files: ['lib/internal/**'],
    ignores: MAKERS_OF_TEXT,
    may: [NODE, 'node-gyp-build', HERE],
    byIndex: true,
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/internal, text',
    files: MAKERS_OF_TEXT,
    may: [NODE, 'node-gyp-build', HERE],
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/verbs',
    files: ['lib/verbs/**'],
    may: [NODE, HERE, '\\.\\./internal/[\\w-]+'],
    byIndex: true,
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/replay',
    files: ['lib/replay/**'],
    may: [NODE, HERE, '\\.\\./internal/[\\w-]+'],
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/cli',
    files: ['lib/cli/**'],
    may: [NODE, HERE + JS, `\\.\\./(internal|verbs|replay)/[\\w-]+${JS}`, '\\.\\./index'],
    computed: true, // the benchmarks in bench/
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/index.ts',
    files: ['lib/*'],
    may: ['\\./(internal|verbs)/[\\w-]+'],
    paths: UNPUBLISHED,
  },
  {
    name: 'bench',
    files: ['bench/*'],
    may: [NODE, 'rdmavt', './[\\w-]+\\.mjs', './harness/[\\w-]+\\.mjs'],
    paths: [...UNPUBLISHED, 'lib', 'dist'],
  },
  {
    name: 'bench/harness',
    files: ['bench/harness/**'],
    // It may load the native module: the cost of an empty call has no public name.
    ignores: ['bench/harness/native.mjs'],
    may: [NODE, 'rdmavt', './[\\w-]+\\.mjs'],
    computed: true, // apart.mjs loads the question that it is told to ask
    paths: [...UNPUBLISHED, 'lib', 'dist'],
  },
  {
    name: 'bench/harness/native.mjs',
    files: ['bench/harness/native.mjs'],
    may: [NODE, 'rdmavt', 'node-gyp-build'],
    paths: [...UNPUBLISHED, 'lib', 'dist'],
  },
  {
    name: 'examples',
    files: ['examples/**'],
    may: [NODE, 'rdmavt', './[\\w-]+\\.mjs'],
    paths: [...UNPUBLISHED, 'bench', 'lib', 'dist'],
  },
];

/** @param {Room} room */
function rulesOf({ name, may, computed = false, byIndex = false, paths = [] }) {
  const refused = `^(?!(${may.join('|')})$)`;
  const message = `${name} may not import this: arrows go downward only (eslint.rooms.mjs).`;
  // A slash in a regular expression would end it in a selector.
  const sources = `[value=/${refused.replaceAll('/', '\\u002F')}/]`;
  const folders = `/(^|\\u002F)(${paths.join('|')})(\\u002F|$)/`;
  const syntax = [
    { selector: `ImportExpression > Literal.source${sources}`, message },
    { selector: `TSImportType > TSLiteralType > Literal${sources}`, message },
    { selector: `TSImportType > Literal${sources}`, message },
    { selector: `TSExternalModuleReference > Literal${sources}`, message },
    { selector: `CallExpression[callee.name="require"] > Literal.arguments${sources}`, message },
    // createRequire(...)('name')
    { selector: `CallExpression[callee.callee.name="createRequire"] > Literal.arguments${sources}`, message },
    ...[`Literal[value=${folders}]`, `TemplateElement[value.cooked=${folders}]`].map((selector) => ({
      selector: `:not(ImportDeclaration, ExportNamedDeclaration, ExportAllDeclaration) > ${selector}`,
      message: `${name} may not name the folders ${paths.join(', ')} (eslint.rooms.mjs).`,
    })),
  ];
  if (byIndex) {
    syntax.push(
      {
        selector: 'ForOfStatement',
        message: 'Loop by index: a program may replace the iterator (intrinsics.ts).',
      },
      {
        selector: 'ArrayPattern',
        message: 'Read by index: a program may replace the iterator (intrinsics.ts).',
      },
      {
        selector: 'CallExpression[callee.property.name="push"]',
        message: 'Store by index into an ownList: a program may replace `push` (intrinsics.ts).',
      },
    );
  }
  if (!computed) {
    syntax.push({
      selector: 'ImportExpression:not([source.type="Literal"])',
      message: `${name} may only import what it names in the import itself (eslint.rooms.mjs).`,
    });
  }
  return /** @type {const} */ ({
    'no-restricted-imports': ['error', { patterns: [{ regex: refused, message }] }],
    'no-restricted-syntax': ['error', ...syntax],
  });
}

/** For eslint.config.mjs. */
export const roomRules = rooms.map((room) => ({
  name: `rooms/${room.name}`,
  files: room.files,
  ...(room.ignores && { ignores: room.ignores }),
  rules: rulesOf(room),
}));
