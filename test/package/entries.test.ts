// The entry points of the built package: what a program gets, and what it costs to load.
import { execFileSync } from 'node:child_process';
import { join, relative } from 'node:path';

const root = join(__dirname, '..', '..');

/** Returns what a program that uses the built package prints as JSON. */
function answerOf(program: string, inputType: 'commonjs' | 'module' = 'commonjs'): unknown {
  const output = execFileSync(process.execPath, [`--input-type=${inputType}`, '--eval', program], {
    cwd: root,
    encoding: 'utf8',
  });
  return JSON.parse(output);
}

test('import and require export the same names', () => {
  const required = answerOf("console.log(JSON.stringify(Object.keys(require('rdmavt')).sort()))");
  const imported = answerOf(
    "import * as rdmavt from 'rdmavt'; console.log(JSON.stringify(Object.keys(rdmavt).sort()))",
    'module',
  );
  expect(imported).toEqual(required);
});

test('import and require of rdmavt/testing export the same names, and use the classes of rdmavt', () => {
  const required = answerOf("console.log(JSON.stringify(Object.keys(require('rdmavt/testing')).sort()))");
  const imported = answerOf(
    "import * as testing from 'rdmavt/testing'; console.log(JSON.stringify(Object.keys(testing).sort()))",
    'module',
  );
  expect(imported).toEqual(required);
  expect(required).toEqual([
    'LeftOverError',
    'connectedPair',
    'leftOver',
    'matchers',
    'openTestDevice',
    'takeCompletions',
  ]);
  const same = answerOf(
    `import { Device } from 'rdmavt'; import { openTestDevice } from 'rdmavt/testing'; import { createRequire } from 'node:module';
     const other = createRequire(import.meta.url)('rdmavt/testing');
     console.log(JSON.stringify([openTestDevice().device instanceof Device, other.openTestDevice === openTestDevice]));`,
    'module',
  );
  expect(same).toEqual([true, true]);
});

test('rdmavt does not load rdmavt/testing', () => {
  const files = answerOf(
    `require('rdmavt'); console.log(JSON.stringify(Object.keys(require.cache)));`,
  ) as string[];
  expect(files.filter((file) => file.includes('testing'))).toEqual([]);
});

test('classes and functions have the names under which they are exported', () => {
  const names = answerOf(`
    const functions = Object.entries(require('rdmavt')).filter(([, value]) => typeof value === 'function');
    console.log(JSON.stringify(functions.map(([key, { name }]) => [key, name])));`) as [string, string][];
  expect(names.length).toBeGreaterThan(10);
  expect(names.filter(([key, name]) => key !== name)).toEqual([]);
});

test('require loads the entry and the code of the package, the dependency and the add-on', () => {
  const files = answerOf(
    `require('rdmavt'); console.log(JSON.stringify(Object.keys(require.cache)));`,
  ) as string[];
  // node_modules may be a link to another folder.
  const loaded = files.map((file) =>
    relative(root, file)
      .replaceAll('\\', '/')
      .replace(/^.*\/(?=node_modules\/)/, ''),
  );
  expect(loaded.filter((file) => file.endsWith('.js')).sort()).toEqual([
    'dist/index.js',
    'dist/library.js',
    'node_modules/node-gyp-build/index.js',
    'node_modules/node-gyp-build/node-gyp-build.js',
  ]);
  expect(loaded.filter((file) => file.endsWith('.node'))).toHaveLength(1);
});
