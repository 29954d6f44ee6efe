// scripts/check-prebuild.mjs must find every defect of a binary: a correct binary is damaged in every way that the script checks.
// The tests compile a library for Linux, and check those for other systems where they were built (npm run prebuild). Everything
// needs LLVM's llvm-readobj, which `npm test` does not require: .ci/run installs it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeIf } from '../support/conditions';

const root = join(__dirname, '..', '..');
const directory = mkdtempSync(join(tmpdir(), 'rdmavt-check-'));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

const script = join(root, 'scripts', 'check-prebuild.mjs');
const hasLlvm = spawnSync(process.execPath, [script, '--as', 'linux-x64-glibc']).status === 0;

test('without llvm-readobj, the script explains how to install it', () => {
  const args = [script, '--as', 'linux-x64-glibc', script];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...process.env, PATH: directory },
  });
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toMatch(
    /^check-prebuild: llvm-readobj is not installed\. Debian: apt-get install llvm-14[^\n]*\n$/,
  );
});

/** Returns `describe` if llvm-readobj exists and the condition holds, else a `describe.skip` that states the reason. */
function describeBinary(condition: boolean, because: string): ReturnType<typeof describeIf> {
  return hasLlvm
    ? describeIf(condition, because)
    : describeIf(false, 'needs llvm-readobj: apt-get install llvm-14');
}

type Change = (binary: Buffer) => Buffer;

/** Returns the problems that the check reports for a file; none if the file is correct. */
function problems(target: string, file: Buffer): string[] {
  const path = join(directory, 'binary.node');
  writeFileSync(path, file);
  const args = [script, '--as', target, path];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  const [verdict = '', ...found] = stdout.trimEnd().split('\n');
  expect({ stderr, status, verdict }).toEqual({
    stderr: '',
    status: found.length ? 1 : 0,
    verdict: `${found.length ? 'not ok' : 'ok'} ${path}`,
  });
  return found.map((line) => line.trim());
}

/** Returns a change that replaces every occurrence of a text by another text of the same length. */
function replaced(from: string, to: string): Change {
  expect(to).toHaveLength(from.length);
  return (binary) => {
    expect(binary.includes(from)).toBe(true);
    return Buffer.from(binary.toString('latin1').replaceAll(from, to), 'latin1');
  };
}

/** Returns a change that sets one number at the offset that `find` returns. */
function patched(find: (binary: Buffer) => number, value: number): Change {
  return (binary) => {
    const copy = Buffer.from(binary);
    copy.writeUInt16LE(value, find(copy));
    return copy;
  };
}

const followedBy =
  (what: Buffer): Change =>
  (binary) =>
    Buffer.concat([binary, what]);

/** Defects that every format can have. */
const anywhere: [string, Change, string][] = [
  [
    'an entry point is missing',
    replaced('napi_register_module_v1', 'napi_register_module_v2'),
    'does not export napi_register_module_v1',
  ],
  [
    'another function is exported',
    replaced('node_api_module_get_api_version_v1', '_ZSt14set_unexpectedPFvvE_________'),
    'exports _ZSt14set_unexpectedPFvvE_________',
  ],
  [
    'a function is not in Node-API 9',
    replaced('napi_create_object', 'napi_create_obzect'),
    'imports napi_create_obzect, which is not in Node-API 9',
  ],
  ['it is too large', followedBy(Buffer.alloc(480 * 1024)), '491520'],
  [
    'it contains the path of its build folder',
    followedBy(Buffer.from(`${root}/`)),
    'contains the path of its build folder',
  ],
  ['it is truncated', (binary) => binary.subarray(0, 300), 'unreadable'],
  ['it is no binary at all', () => Buffer.alloc(4096, 'text'), 'unreadable'],
];

/** Returns the offset of the flags of the segment PT_GNU_STACK. */
function stackFlags(elf: Buffer): number {
  const PT_GNU_STACK = 0x6474e551;
  let header = Number(elf.readBigUInt64LE(32));
  while (elf.readUInt32LE(header) !== PT_GNU_STACK) header += 56;
  return header + 4;
}

/** Returns the offset of the Mach-O load command, or -1. */
function loadCommand(macho: Buffer, wanted: number): number {
  let at = 32;
  for (let left = macho.readUInt32LE(16); left > 0; left--) {
    if (macho.readUInt32LE(at) === wanted) return at;
    at += macho.readUInt32LE(at + 4);
  }
  return -1;
}

function check(target: string, binary: () => Buffer, others: string[], changes: typeof anywhere): void {
  test('passes unchanged', () => {
    expect(problems(target, binary())).toEqual([]);
  });
  test.each(others)('fails as a binary for %s', (other) => {
    expect(problems(other, binary())).not.toEqual([]);
  });
  test.each([...anywhere, ...changes])('fails if %s', (_, change, problem) => {
    expect(problems(target, change(binary()))).toContainEqual(expect.stringContaining(problem));
  });
}

const here = `linux-${process.arch}-glibc`;
const isGlibc =
  process.platform === 'linux' && /^(x64|arm64)$/.test(process.arch) && !existsSync('/etc/alpine-release');

describeBinary(isGlibc, 'compiles for glibc on x64 or arm64 only')('a library for Linux', () => {
  const compiled = (...flags: string[]): Buffer => {
    const source = join(directory, 'addon.c');
    const output = join(directory, 'addon.node');
    writeFileSync(
      source,
      `int napi_create_object(void *env, void **result);
      int getentropy(void *bytes, unsigned long length);
      void *napi_register_module_v1(void *env, void *exports) {
        napi_create_object(env, &exports);
        getentropy(exports, 1);
        return exports;
      }
      int node_api_module_get_api_version_v1(void) { return 9; }`,
    );
    const always = ['-shared', '-fPIC', '-Wl,-z,relro,-z,now,-z,noexecstack', '-o', output];
    const { status, stderr } = spawnSync('cc', [source, ...always, ...flags], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return readFileSync(output);
  };
  let good: Buffer;
  beforeAll(() => {
    good = compiled('-s');
  });

  const other = process.arch === 'x64' ? 'linux-arm64-glibc' : 'linux-x64-glibc';
  check(
    here,
    () => good,
    [other, `linux-${process.arch}-musl`, 'win32-x64', 'darwin-arm64'],
    [
      [
        'it requires a newer C library',
        replaced('GLIBC_2.25', 'GLIBC_2.35'),
        'imports getentropy@GLIBC_2.35, newer than 2.28',
      ],
      ['it requires the C++ library', replaced('GLIBC_2.25', 'CXXABI_1.3'), 'imports getentropy@CXXABI_1.3'],
      ['it needs another library', replaced('libc.so.6', 'libz.so.6'), 'needs libz.so.6'],
      [
        'it needs an exception runtime',
        replaced('getentropy', '_Unwind_Go'),
        'imports _Unwind_Go from the C++ runtime',
      ],
      ['its stack is executable', patched(stackFlags, 7), 'the stack is executable'],
    ],
  );

  test('fails with its symbol table', () => {
    expect(problems(here, compiled())).toEqual(['not stripped']);
  });
  test('fails with a library path and lazy binding', () => {
    expect(problems(here, compiled('-s', '-Wl,-rpath,/lib', '-Wl,-z,lazy'))).toEqual([
      'symbols are bound lazily (no BIND_NOW)',
      'has a library search path (RPATH)',
    ]);
  });
  test('fails if it is a program', () => {
    expect(problems(here, readFileSync('/bin/sh'))).toContain('not a library');
  });
});

const prebuilt =
  (path: string): (() => Buffer) =>
  () =>
    readFileSync(join(root, 'prebuilds', path, 'rdmavt.node'));
const isBuilt = (path: string) => existsSync(join(root, 'prebuilds', path, 'rdmavt.node'));

for (const arch of ['x64', 'arm64']) {
  describeBinary(isBuilt(`win32-${arch}`), 'prebuilds/ has no such binary; npm run prebuild makes it')(
    `the library for Windows, ${arch}`,
    () => {
      const other = arch === 'x64' ? 'arm64' : 'x64';
      check(
        `win32-${arch}`,
        prebuilt(`win32-${arch}`),
        [`win32-${other}`, 'linux-x64-glibc', 'darwin-x64'],
        [
          ['it needs another library', replaced('bcrypt.dll', 'dcrypt.dll'), 'needs dcrypt.dll'],
          ['it needs node.exe by name', replaced('bcrypt.dll', 'node.exe\0\0'), 'needs node.exe'],
          ['it cannot be relocated', patched((pe) => pe.readUInt32LE(60) + 24 + 70, 0), 'no DYNAMIC_BASE'],
          ['it is a program', patched((pe) => pe.readUInt32LE(60) + 22, 0x22), 'not a library'],
        ],
      );
    },
  );

  describeBinary(isBuilt(`darwin-${arch}`), 'prebuilds/ has no such binary; npm run prebuild makes it')(
    `the library for macOS, ${arch}`,
    () => {
      const other = arch === 'x64' ? 'arm64' : 'x64';
      const LC_BUILD_VERSION = 0x32;
      const minimum = (macho: Buffer) => loadCommand(macho, LC_BUILD_VERSION) + 14;
      check(
        `darwin-${arch}`,
        prebuilt(`darwin-${arch}`),
        [`darwin-${other}`, 'linux-x64-musl', 'win32-x64'],
        [
          ['it requires a newer system', patched(minimum, 14), 'requires macOS 14.0, not 11.0'],
          [
            'it needs another library',
            replaced('libSystem.B', 'libSystem.C'),
            'needs /usr/lib/libSystem.C.dylib',
          ],
          ...(arch === 'arm64'
            ? ([
                ['it was changed after signing', patched(() => 0x8000, 0), 'changed after signing'],
              ] satisfies typeof anywhere)
            : []),
        ],
      );
    },
  );
}
