// scripts/generate-layout.mjs: values shared by C and TypeScript are defined once, and CI detects a copy that differs.
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

test('accepts the checkout', () => {
  expect(generate('--check')).toEqual({ status: 0, stdout: '', stderr: '' });
});

test('detects a number that was changed in C', () => {
  replace(HEADER, 'RVT_SGE_FIELD_REMOTE = 7', 'RVT_SGE_FIELD_REMOTE = 18');
  expect(generate('--check')).toEqual({ status: 1, stdout: '', stderr: differs(TYPESCRIPT) + differs(HASH) });
});

test('detects a number that was changed in TypeScript', () => {
  replace(TYPESCRIPT, '  Remote = 7,', '  Remote = 18,');
  expect(generate('--check')).toEqual({ status: 1, stdout: '', stderr: differs(TYPESCRIPT) });
});

test('detects a changed hash', () => {
  replace(HASH, `"${layout.LAYOUT_HASH}"`, '"0123456789abcdef"');
  expect(generate('--check')).toEqual({ status: 1, stdout: '', stderr: differs(HASH) });
});

test('detects a missing file', () => {
  rmSync(join(folder, HASH));
  expect(generate('--check')).toEqual({ status: 1, stdout: '', stderr: differs(HASH) });
});

test('propagates a change to all files, with a new hash', () => {
  replace(HEADER, 'RVT_SGE_FIELD_REMOTE = 7', 'RVT_SGE_FIELD_REMOTE = 18');
  expect(generate()).toEqual({ status: 0, stdout: `${TYPESCRIPT}\n${HASH}\n`, stderr: '' });
  expect(generate('--check').status).toBe(0);
  expect(textOf(TYPESCRIPT)).toContain('  Remote = 18,');
  expect(textOf(HASH)).toContain('static_assert(RVT_SGE_FIELD_REMOTE == 18,');
  const [, hash] = /RVT_LAYOUT_HASH "([0-9a-f]{16})"/.exec(textOf(HASH)) ?? [];
  expect(textOf(TYPESCRIPT)).toContain(`LAYOUT_HASH = '${hash}'`);
  expect(hash).not.toBe(layout.LAYOUT_HASH);
});

test('keeps the hash when only comments and order change', () => {
  replace(HEADER, '/* SPDX-License-Identifier: BSD-3-Clause */', '/* Another comment. */');
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
  ['a duplicate name', 'RVT_EPERM = 1,', 'RVT_EBADF = 1,'],
  ['a name without the prefix', 'RVT_SGE_FIELD_AT = 1,', 'RVT_FIELD_AT = 1,'],
  ['an enum without a TypeScript name', '/* ts: SgeField, RVT_SGE_FIELD_ */\n', ''],
  ['two enums with one name', 'ts: SgeField,', 'ts: RegionField,'],
  ['an additional macro', '/* ts: SgeField,', '#define RVT_MORE 1\n/* ts: SgeField,'],
  ['an additional declaration', '/* ts: SgeField,', 'struct rvt_more;\n/* ts: SgeField,'],
  ['a condition', '#endif\n', '#else\n#endif\n'],
  ['a comment of another kind', 'RVT_EPERM = 1,', 'RVT_EPERM = 1, // one'],
])('rejects input that it does not understand: %s', (_, old, now) => {
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
