// ESLint rules that restrict imports by room (a folder or file of the layering in ARCHITECTURE.md): a room may import only from
// rooms below it. scripts/check-includes.mjs enforces the same rule for C and C++.
//
// Each room lists the module specifiers that it may import, as regular expressions. Everything else is an error. Other kinds of
// imports need `no-restricted-syntax`, because `no-restricted-imports` sees only `import ... from` and `export ... from`.

const NODE = 'node:[\\w/]+';
const HERE = '\\./[\\w-]+';
/** Optional suffix of specifiers in lib/: compiled modules and type imports use `.js`. */
const JS = '(\\.js)?';

/**
 * @typedef {object} Room
 * @property {string} name
 * @property {string[]} files
 * @property {string[]} [ignores]
 * @property {string[]} may module specifiers that it may import, as regular expressions
 * @property {boolean} [computed] whether `import(expression)` is allowed, whose module ESLint cannot determine
 * @property {boolean} [byIndex] whether arrays must be read and written by index only (lib/internal/intrinsics.ts explains why)
 * @property {string[]} [paths] folders that no string literal may name, in any part of a path
 */

/** lib/ and bench/ are published; these folders are not, so published code must not name them. */
const UNPUBLISHED = ['scripts', 'fuzz', 'test'];

/** These files only compose error messages for a native module that cannot be loaded. They hold no native objects. */
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
    // What commands that read files print beside their results.
    name: 'lib/terminal',
    files: ['lib/terminal/**'],
    may: [NODE, HERE],
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/replay',
    files: ['lib/replay/*'],
    may: [NODE, HERE, '\\./verbs/[\\w-]+', '\\.\\./(internal|terminal)/[\\w-]+'],
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/replay/verbs',
    files: ['lib/replay/verbs/**'],
    may: [NODE, HERE, '\\.\\./[\\w-]+', '\\.\\./\\.\\./internal/[\\w-]+'],
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/wire',
    files: ['lib/wire/**'],
    may: [NODE, HERE, '\\.\\./internal/[\\w-]+'],
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/explain',
    files: ['lib/explain/**'],
    may: [NODE, HERE, '\\.\\./(internal|wire|terminal)/[\\w-]+'],
    paths: UNPUBLISHED,
  },
  {
    // What `rdmavt serve` does.
    name: 'lib/serve',
    files: ['lib/serve/**'],
    may: [NODE, HERE, '\\.\\./(internal|verbs)/[\\w-]+'],
    paths: UNPUBLISHED,
  },
  {
    // Helpers for tests of other programs: a subpath of the package, which uses its public part.
    name: 'lib/testing',
    files: ['lib/testing/**'],
    may: [NODE, HERE, '\\.\\./index', '\\.\\./internal/disposal'],
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/cli',
    files: ['lib/cli/**'],
    may: [NODE, HERE + JS, `\\.\\./(internal|verbs|wire|explain|replay|serve)/[\\w-]+${JS}`, '\\.\\./index'],
    computed: true, // loads the benchmarks in bench/
    paths: UNPUBLISHED,
  },
  {
    name: 'lib/index.ts',
    files: ['lib/*'],
    may: ['\\./(internal|verbs|explain)/[\\w-]+'],
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
    // native.mjs may load the native module: no public function measures the cost of an empty native call.
    ignores: ['bench/harness/native.mjs'],
    may: [NODE, 'rdmavt', './[\\w-]+\\.mjs'],
    computed: true, // apart.mjs loads the benchmark that it is told to run
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
  const message = `${name} may not import this: only the rooms below it are allowed (eslint.rooms.mjs).`;
  // A slash inside a regular expression would end the expression in an ESLint selector.
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
      message: `${name} may only import modules by a literal name (eslint.rooms.mjs).`,
    });
  }
  return /** @type {const} */ ({
    'no-restricted-imports': ['error', { patterns: [{ regex: refused, message }] }],
    'no-restricted-syntax': ['error', ...syntax],
  });
}

/** The rules for eslint.config.mjs, one configuration object per room. */
export const roomRules = rooms.map((room) => ({
  name: `rooms/${room.name}`,
  files: room.files,
  ...(room.ignores && { ignores: room.ignores }),
  rules: rulesOf(room),
}));
