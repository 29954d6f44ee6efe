// The edit loop of native code: which add-on is loaded after each kind of build, and which C tests a named build compiles. Runs
// in a copy of the package, with a `make` that compiles nothing.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { describeIf } from '../support/conditions';

const root = join(__dirname, '..', '..');

/** A build needs the headers of the running Node; without them node-gyp would download them. */
const hasHeaders =
  process.env.npm_config_nodedir !== undefined ||
  existsSync(join(dirname(process.execPath), '..', 'include', 'node', 'common.gypi'));

describeIf(
  process.platform !== 'win32' && hasHeaders,
  'needs make, and the headers of the Node that runs it',
)('builds', () => {
  let copy: string;
  beforeAll(() => {
    copy = mkdtempSync(join(tmpdir(), 'rdmavt-build-'));
    for (const folder of ['scripts', 'native', 'test/c']) {
      cpSync(join(root, folder), join(copy, folder), { recursive: true });
    }
    for (const file of ['package.json', 'binding.gyp']) copyFileSync(join(root, file), join(copy, file));
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    // This `make` records its arguments and creates an empty add-on of the requested build type.
    const make = join(copy, 'make');
    writeFileSync(
      make,
      `#!/bin/sh
      echo "$*" >>"${copy}/made"
      for argument; do case $argument in BUILDTYPE=*) kind=\${argument#BUILDTYPE=} ;; esac; done
      mkdir -p "build/$kind" && echo >"build/$kind/rdmavt.node"
      `,
    );
    chmodSync(make, 0o755);
  });
  afterAll(() => {
    rmSync(copy, { recursive: true });
  });
  beforeEach(() => {
    rmSync(join(copy, 'made'), { force: true });
  });

  function script(...args: string[]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: copy,
      encoding: 'utf8',
      // The counts of the nested run must not mix with those of this run (scripts/counts.mjs).
      env: { ...process.env, MAKE: join(copy, 'make'), RDMAVT_TEST_COUNTS: undefined },
    });
    const made = join(copy, 'made');
    const calls = existsSync(made) ? readFileSync(made, 'utf8').trimEnd().split('\n') : [];
    return { status, output: stdout + stderr, calls };
  }
  const build = (...options: string[]) => script(join('scripts', 'build-native.mjs'), ...options);
  /**
   * Returns the add-on that node-gyp-build finds. The environment is reset, because runs under sanitizers and on prebuilt
   * binaries redirect node-gyp-build.
   */
  function loaded(): string {
    const env = { ...process.env, RDMAVT_PREBUILD: '', PREBUILDS_ONLY: '' };
    const find = `require('node-gyp-build').resolve(${JSON.stringify(copy)})`;
    const { stdout } = spawnSync(process.execPath, ['-p', find], { cwd: root, encoding: 'utf8', env });
    return relative(copy, stdout.trim());
  }
  const makefile = () => readFileSync(join(copy, 'build', 'config.gypi'), 'utf8');

  it('a rebuild without a previous build does a full build', () => {
    const { status, calls, output } = build('--make');
    expect({ status, calls: calls.length }).toEqual({ status: 0, calls: 1 });
    expect(output).toContain('nothing has been built yet');
    expect(existsSync(join(copy, 'build', 'Makefile'))).toBe(true);
    expect(loaded()).toBe('build/Release/rdmavt.node');
  });

  it('a debug build is loaded, and a rebuild keeps its type', () => {
    expect(build('--debug')).toMatchObject({
      status: 0,
      calls: [expect.stringContaining('BUILDTYPE=Debug')],
    });
    expect(loaded()).toBe('build/Debug/rdmavt.node');
    expect(build('--make').calls).toEqual([
      expect.stringContaining('BUILDTYPE=Debug'),
      expect.stringContaining('BUILDTYPE=Debug'),
    ]);
    expect(loaded()).toBe('build/Debug/rdmavt.node');
  });

  it('a release build replaces a debug build, and a rebuild keeps its type', () => {
    build('--debug');
    expect(build().status).toBe(0);
    expect(loaded()).toBe('build/Release/rdmavt.node');
    expect(existsSync(join(copy, 'build', 'Debug', 'rdmavt.node'))).toBe(false);
    expect(build('--make').calls.at(-1)).toContain('BUILDTYPE=Release');
    expect(loaded()).toBe('build/Release/rdmavt.node');
  });

  it('a rebuild does not read the gyp files again', () => {
    build();
    const configuration = join(copy, 'build', 'config.gypi');
    writeFileSync(configuration, `${makefile()}\n`);
    const before = makefile();
    expect(build('--make').status).toBe(0);
    expect(makefile()).toBe(before);
  });

  it('a failed build leaves the add-on of the other type in place', () => {
    build();
    const make = readFileSync(join(copy, 'make'), 'utf8');
    writeFileSync(join(copy, 'make'), '#!/bin/sh\nexit 1\n');
    try {
      expect(build('--debug').status).toBe(1);
    } finally {
      writeFileSync(join(copy, 'make'), make);
    }
    expect(loaded()).toBe('build/Release/rdmavt.node');
  });

  describe('of C tests', () => {
    const run = (...names: string[]) => script(join('scripts', 'c-tests.mjs'), 'plain', ...names);
    const directory = () => join(copy, 'build', 'c-tests', 'plain');

    it('compile the named test only', () => {
      const { calls } = run('pool');
      expect(calls).toHaveLength(1);
      expect(calls[0]).toMatch(/\btest_pool\b/);
      expect(calls[0]!.match(/\btest_\w+/g)).toEqual(['test_pool']);
    });

    it('compile all tests from the existing makefiles', () => {
      run('pool');
      const makefiles = join(directory(), 'build', 'Makefile');
      const before = readFileSync(makefiles, 'utf8');
      writeFileSync(makefiles, `${before}# the same\n`);
      expect(
        run('pool', 'test_pd.c')
          .calls.at(-1)!
          .match(/\btest_\w+/g),
      ).toEqual(['test_pd', 'test_pool']);
      const all = run()
        .calls.at(-1)!
        .match(/\btest_\w+/g);
      expect(all).toEqual(expect.arrayContaining(['test_pool', 'test_pd', 'test_stress']));
      expect(readFileSync(makefiles, 'utf8')).toBe(`${before}# the same\n`);
    });

    it('regenerate the makefiles when a gyp file changes', () => {
      run('pool');
      const makefiles = join(directory(), 'build', 'Makefile');
      writeFileSync(makefiles, 'stale');
      const gypi = join(copy, 'native', 'flags.gypi');
      writeFileSync(gypi, `${readFileSync(gypi, 'utf8')}# changed\n`);
      run('pool');
      expect(readFileSync(makefiles, 'utf8')).not.toBe('stale');
    });

    it('reject an unknown test name', () => {
      mkdirSync(directory(), { recursive: true });
      expect(run('nothing')).toMatchObject({ status: 2, calls: [] });
    });
  });
});
