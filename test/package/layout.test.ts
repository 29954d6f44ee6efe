// scripts/generate-layout.mjs: what C and TypeScript agree on stands once, and CI sees when a copy differs.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as layout from '../../lib/internal/layout';
import { native } from '../../lib/internal/native';

const root = join(__dirname, '..', '..');
const HEADER = 'native/core/layout.h';
const HASH = 'native/core/layout_hash.h';
const TYPESCRIPT = 'lib/internal/layout.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rdmavt-layout-'));
  for (const file of [HEADER, HASH, TYPESCRIPT, 'scripts/generate-layout.mjs', 'scripts/layout.mjs']) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(root, file), join(folder, file));
  }
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const textOf = (file: string): string => readFileSync(join(folder, file), 'utf8');

function replace(file: string, old: string, now: string): void {
  const text = textOf(file);
  expect(text).toContain(old);
  writeFileSync(join(folder, file), text.replace(old, now));
}

function generate(...args: string[]) {
  const script = join(folder, 'scripts', 'generate-layout.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

const differs = (file: string): string => `${file} does not follow from ${HEADER}: run npm run layout\n`;

test('the checkout is as the generator writes it', () => {
  expect(generate('--check')).toEqual({ status: 0, stdout: '', stderr: '' });
});

test('a number that is changed in C is seen', () => {
  replace(HEADER, 'RVT_SGE_FIELD_REMOTE = 7', 'RVT_SGE_FIELD_REMOTE = 18');
  expect(generate('--check')).toEqual({ status: 1, stdout: '', stderr: differs(TYPESCRIPT) + differs(HASH) });
});

test('a number that is changed in TypeScript is seen', () => {
  replace(TYPESCRIPT, '  Remote = 7,', '  Remote = 18,');
  expect(generate('--check')).toEqual({ status: 1, stdout: '', stderr: differs(TYPESCRIPT) });
});

test('a hash that is changed is seen', () => {
  replace(HASH, `"${layout.LAYOUT_HASH}"`, '"0123456789abcdef"');
  expect(generate('--check')).toEqual({ status: 1, stdout: '', stderr: differs(HASH) });
});

test('a file that is missing is seen', () => {
  rmSync(join(folder, HASH));
  expect(generate('--check')).toEqual({ status: 1, stdout: '', stderr: differs(HASH) });
});

test('after the generator has run, a change is in all files, with another hash', () => {
  replace(HEADER, 'RVT_SGE_FIELD_REMOTE = 7', 'RVT_SGE_FIELD_REMOTE = 18');
  expect(generate()).toEqual({ status: 0, stdout: `${TYPESCRIPT}\n${HASH}\n`, stderr: '' });
  expect(generate('--check').status).toBe(0);
  expect(textOf(TYPESCRIPT)).toContain('  Remote = 18,');
  expect(textOf(HASH)).toContain('static_assert(RVT_SGE_FIELD_REMOTE == 18,');
  const [, hash] = /RVT_LAYOUT_HASH "([0-9a-f]{16})"/.exec(textOf(HASH)) ?? [];
  expect(textOf(TYPESCRIPT)).toContain(`LAYOUT_HASH = '${hash}'`);
  expect(hash).not.toBe(layout.LAYOUT_HASH);
});

test('words and order do not change the hash', () => {
  replace(
    HEADER,
    '/* An element in a list of elements, as 32-bit words. */',
    '/* The words of an element’s name. */',
  );
  replace(HEADER, '    RVT_EPERM = 1,\n    RVT_EBADF = 9,\n', '    RVT_EBADF = 9,\n    RVT_EPERM = 1,\n');
  expect(generate().stdout).toBe(`${TYPESCRIPT}\n${HASH}\n`);
  expect(textOf(HASH)).toContain(`"${layout.LAYOUT_HASH}"`);
});

test.each([
  ['a macro', 'RVT_EPERM = 1,', 'RVT_EPERM = ONE,'],
  ['an expression', 'RVT_EPERM = 1,', 'RVT_EPERM = 1 + 1,'],
  ['an octal number', 'RVT_EPERM = 1,', 'RVT_EPERM = 01,'],
  ['a suffix', 'RVT_EPERM = 1,', 'RVT_EPERM = 1u,'],
  ['a member without a number', 'RVT_EPERM = 1,', 'RVT_EPERM,'],
  ['more than 32 bits', 'RVT_EPERM = 1,', 'RVT_EPERM = 0x100000001,'],
  ['a name that stands twice', 'RVT_EPERM = 1,', 'RVT_EBADF = 1,'],
  ['a name without the prefix', 'RVT_SGE_FIELD_AT = 1,', 'RVT_FIELD_AT = 1,'],
  ['an enum that TypeScript has no name for', '/* ts: SgeField, RVT_SGE_FIELD_ */\n', ''],
  ['two enums of one name', 'ts: SgeField,', 'ts: RegionField,'],
  ['a macro of its own', '/* ts: SgeField,', '#define RVT_MORE 1\n/* ts: SgeField,'],
  ['another declaration', '/* ts: SgeField,', 'struct rvt_more;\n/* ts: SgeField,'],
  ['a condition', '#endif\n', '#else\n#endif\n'],
  ['a comment of another kind', 'RVT_EPERM = 1,', 'RVT_EPERM = 1, // one'],
])('what it does not understand is an error: %s', (_, old, now) => {
  replace(HEADER, old, now);
  expect(generate('--check')).toEqual({
    status: 1,
    stdout: '',
    stderr: expect.stringMatching(/^native\/core\/layout\.h:(\d+|end): expected .+, found .+\n$/),
  });
});

test('the add-on and its JavaScript have the same layout', () => {
  expect(native.layoutHash).toBe(layout.LAYOUT_HASH);
});

test('every reason has a name', () => {
  const { None, Count } = layout.Reason;
  expect(native.reasonNames).toHaveLength(Count);
  expect(native.reasonNames).toEqual(
    Array.from({ length: Count }, (_, number) => layout.Reason[None + number]),
  );
});
