// Dependencies go downward only: `npm run lint` must reject a wrong import or include of every kind. The tests plant each kind.
import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

const root = join(__dirname, '..', '..');

type Planted = readonly [file: string, text: string];

describe('imports', () => {
  const internal = 'lib/internal/planted.ts';
  const verbs = 'lib/verbs/planted.ts';
  const replay = 'lib/replay/planted.ts';
  const replayVerbs = 'lib/replay/verbs/planted.ts';
  const wire = 'lib/wire/planted.ts';
  const explain = 'lib/explain/planted.ts';
  const terminal = 'lib/terminal/planted.ts';
  const cli = 'lib/cli/planted.ts';
  const testing = 'lib/testing/planted.ts';
  const index = 'lib/planted.ts';
  const question = 'bench/planted.mjs';
  const harness = 'bench/harness/planted.mjs';
  const harnessNative = 'bench/harness/native.mjs';
  const example = 'examples/planted.mjs';

  const named = (file: string, source: string): Planted => [
    file,
    `import { a } from '${source}';\nvoid a;\n`,
  ];
  const UPWARD: Planted[] = [
    // Imports from each folder of each folder above or beside it.
    ...['../verbs/device', '../replay/replay', '../cli/main', '../index', '..', '.', 'rdmavt'].map((source) =>
      named(internal, source),
    ),
    ...['../replay/replay', '../cli/main', '../index', '..', 'rdmavt'].map((source) => named(verbs, source)),
    ...['../verbs/device', '../cli/main', '../index', '..', 'rdmavt'].map((source) => named(replay, source)),
    ...['../verbs/device', '../replay/replay', '../cli/main', '../index'].map((source) =>
      named(wire, source),
    ),
    ...['../verbs/device', '../replay/replay', '../cli/main', '../index'].map((source) =>
      named(explain, source),
    ),
    ...['../internal/native', '../replay/replay', '../explain/explain', '../index'].map((source) =>
      named(terminal, source),
    ),
    ...['../../verbs/device', '../../cli/main', '../../index', 'rdmavt'].map((source) =>
      named(replayVerbs, source),
    ),
    ...['../verbs/device', '../internal/native', '../cli/main', 'rdmavt', 'jest'].map((source) =>
      named(testing, source),
    ),
    ...['./cli/main', './replay/replay', './testing/index'].map((source) => named(index, source)),
    // Imports of unpublished files, or of a package other than node-gyp-build, by published files.
    ...[internal, verbs, replay, wire, explain, terminal, cli, index].flatMap((file) =>
      [
        '../../scripts/counts.mjs',
        '../../fuzz/api/random.mjs',
        '../../test/support/scene',
        '../../bench/bench.mjs',
      ]
        .map((source) => (file === index ? source.slice('../'.length) : source))
        .concat('eslint')
        .map((source) => named(file, source)),
    ),
    ...[verbs, replay, cli].map((file) => named(file, 'node-gyp-build')),
    // Imports whose path makes a detour.
    named(internal, './../verbs/device'),
    named(verbs, '../internal/../cli/main'),
    // Imports by benchmarks of anything but the public API and the harness.
    ...[question, harness, harnessNative].flatMap((file) => {
      const up = file === question ? '..' : '../..';
      return [
        `${up}/lib/index.ts`,
        `${up}/dist/index.js`,
        `${up}/scripts/counts.mjs`,
        `${up}/fuzz/api/random.mjs`,
        `${up}/test/support/scene.ts`,
        'echarts',
      ].map((source) => named(file, source));
    }),
    named(question, 'node-gyp-build'),
    named(harness, 'node-gyp-build'),
    named(harness, '../bench.mjs'),
    ...['../lib/index.ts', '../dist/index.js', '../bench/bench.mjs', '../test/support/scene.ts'].map(
      (source) => named(example, source),
    ),
    // Every syntactic form of an import.
    [internal, "import '../verbs/device';\n"],
    [internal, "import type { Device } from '../verbs/device';\nexport type A = Device;\n"],
    [internal, "import { type Device } from '../verbs/device';\nexport type A = Device;\n"],
    [internal, "import device = require('../verbs/device');\nvoid device;\n"],
    [internal, "export { Device } from '../verbs/device';\n"],
    [internal, "export * from '../verbs/device';\n"],
    [internal, "export * as device from '../verbs/device';\n"],
    [internal, "void import('../verbs/device');\n"],
    [internal, "const name = '../verbs/device';\nvoid import(name);\n"],
    [internal, "export type A = import('../verbs/device').Device;\n"],
    [internal, "export type A = typeof import('../verbs/device');\n"],
    [
      internal,
      "import { createRequire } from 'node:module';\ncreateRequire(__filename)('../verbs/device');\n",
    ],
    [replay, "void import('../cli/main.js');\n"],
    [question, "void import('../lib/index.ts');\n"],
    // Paths of files that are computed at run time.
    [cli, "import { join } from 'node:path';\njoin(__dirname, '..', '..', 'scripts', 'counts.mjs');\n"],
    [cli, "import { join } from 'node:path';\njoin(__dirname, '../../test/support');\n"],
    [cli, 'export const path = `${__dirname}/../../fuzz/api`;\n'],
    [
      question,
      "import { fileURLToPath } from 'node:url';\nfileURLToPath(new URL('../dist/index.js', import.meta.url));\n",
    ],
  ];
  const DOWNWARD: Planted[] = [
    named(internal, './errors'),
    named(internal, 'node:fs'),
    named(internal, 'node-gyp-build'),
    named(verbs, './device'),
    named(verbs, '../internal/errors'),
    named(replay, './session'),
    named(replay, '../internal/errors'),
    named(wire, './packet-reader'),
    named(wire, '../internal/layout'),
    named(cli, '../wire/packet-reader'),
    named(cli, './command'),
    named(cli, '../internal/errors'),
    named(cli, '../replay/replay'),
    named(cli, '../verbs/device'),
    [cli, "void import('../replay/replay.js');\n"],
    named(index, './verbs/device'),
    named(index, './internal/errors'),
    named(question, 'rdmavt'),
    named(question, './harness/world.mjs'),
    named(harness, './world.mjs'),
    named(harness, 'rdmavt'),
    named(harnessNative, 'node-gyp-build'),
    named(example, 'rdmavt'),
  ];

  const all = [...UPWARD, ...DOWNWARD];
  let rules: string[][];
  beforeAll(() => {
    const program = join(__dirname, 'lint-planted.mjs');
    const { status, stdout, stderr } = spawnSync(process.execPath, [program], {
      cwd: root,
      encoding: 'utf8',
      input: JSON.stringify(all.map(([file, text]) => ({ file, text }))),
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    rules = JSON.parse(stdout) as string[][];
  });
  const broken = ([file, text]: Planted) =>
    rules[all.findIndex((planted) => planted[0] === file && planted[1] === text)]!.filter((rule) =>
      /^no-restricted-(imports|syntax)$/.test(rule),
    );

  it.each(UPWARD)('rejects in %s: %j', (...planted) => {
    expect(broken(planted)).not.toEqual([]);
  });
  it.each(DOWNWARD)('allows in %s: %j', (...planted) => {
    expect(broken(planted)).toEqual([]);
  });
});

describe('errno causes', () => {
  /** Returns the result of scripts/check-causes.mjs for a folder with one file. */
  function check(text: string) {
    const folder = mkdtempSync(join(tmpdir(), 'rdmavt-causes-'));
    try {
      writeFileSync(join(folder, 'planted.c'), text);
      const script = join(root, 'scripts', 'check-causes.mjs');
      return spawnSync(process.execPath, [script, folder], { encoding: 'utf8' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  it.each([
    'int f(void) {\n    return -RVT_EINVAL;\n}\n',
    'int f(void) {\n    int error = g() ? 0 : -RVT_ENOMEM;\n    return error;\n}\n',
    'int f(int error) {\n    return error == -RVT_EBUSY ? -RVT_EINVAL : 0;\n}\n',
  ])('rejects an errno without a cause: %j', (text) => {
    const { status, stderr } = check(text);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/^native\/planted\.c:2: an errno without a cause: .*\n$/),
    });
  });

  it.each([
    'int f(void) {\n    return rvt_fail(RVT_EINVAL, RVT_CAUSE_EMPTY_LIST);\n}\n',
    'bool f(int error) {\n    return error == -RVT_EBUSY;\n}\n',
    '/* Answers -EINVAL. */\n// -RVT_EINVAL\n',
  ])('accepts code that returns no errno without a cause: %j', (text) => {
    expect(check(text)).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('includes', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rdmavt-includes-'));
    cpSync(join(root, 'native'), folder, { recursive: true });
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  /** Returns the result of scripts/check-includes.mjs for native/ with these lines added. */
  function check(...planted: Planted[]) {
    const before = new Map(planted.map(([file]) => [file, read(join(folder, file))]));
    for (const [file, text] of planted) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      appendFileSync(join(folder, file), text);
    }
    try {
      const script = join(root, 'scripts', 'check-includes.mjs');
      const { status, stderr } = spawnSync(process.execPath, [script, folder], { encoding: 'utf8' });
      const name = basename(folder); // The path before the name of the folder depends on where the test runs.
      const problems = stderr.trimEnd().split('\n').slice(0, -1);
      return { status, problems: problems.map((line) => line.slice(line.indexOf(name) + name.length)) };
    } finally {
      for (const [file, text] of before) {
        if (text === undefined) rmSync(join(folder, file));
        else writeFileSync(join(folder, file), text);
      }
    }
  }
  function read(file: string) {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      return undefined;
    }
  }

  it('accepts native/ as it is', () => {
    expect(check()).toEqual({ status: 0, problems: [] });
  });

  const UPWARD: [file: string, included: string][] = [
    ['core/base/pool.c', 'core/objects/region.h'],
    ['core/base/pool.h', 'core/access/check.h'],
    ['core/base/pool.c', 'core/rvt.h'],
    ['core/base/pool.c', 'binding/values/arguments.h'],
    ['core/objects/mr.c', 'core/access/sge.h'],
    ['core/objects/mr.c', 'core/rvt.h'],
    ['core/objects/mr.c', 'binding/values/arguments.h'],
    ['core/access/check.c', 'core/rvt.h'],
    ['core/access/check.c', 'binding/objects/pd.h'],
    ['core/rvt.h', 'binding/objects/pd.h'],
    ['core/layout.h', 'core/base/pool.h'],
    ['core/engine/cq.c', 'core/rvt.h'],
    ['wire/frame.c', 'core/access/check.h'],
    ['wire/frame.c', 'core/rvt.h'],
    ['wire/frame.c', 'binding/objects/pd.h'],
    ['binding/wire/packet_reader.cc', 'binding/batch/batch.h'],
    ['binding/objects/qp.cc', 'binding/wire/wire_endpoint.h'],
    ['core/base/pool.c', 'wire/wire.h'],
    ['ibverbs/verbs.c', 'core/objects/mr.h'],
    ['ibverbs/verbs.c', 'binding/objects/pd.h'],
    ['binding/environment/environment.cc', 'binding/values/wrapper.h'],
    ['binding/environment/environment.cc', 'binding/objects/device.h'],
    ['binding/environment/environment.cc', 'core/base/epoch.h'],
    ['binding/values/js_memory.cc', 'binding/objects/device.h'],
    ['binding/values/js_memory.cc', 'binding/batch/batch.h'],
    ['binding/values/js_memory.cc', 'core/base/memory.h'],
    ['binding/objects/pd.cc', 'binding/batch/batch.h'],
    ['binding/objects/pd.cc', 'core/objects/pd.h'],
    ['binding/batch/batch.cc', 'core/access/batch.h'],
    ['binding/addon.cc', 'core/objects/device.h'],
  ];
  describe('upward', () => {
    let problems: string[];
    beforeAll(() => {
      const files = new Set(UPWARD.map(([file]) => file));
      const planted = [...files].map((file): Planted => {
        const included = UPWARD.filter(([other]) => other === file).map(([, name]) => `#include "${name}"\n`);
        return [file, `\n${included.join('')}`];
      });
      const found = check(...planted);
      expect(found.status).toBe(1);
      problems = found.problems;
    });
    it.each(UPWARD)('rejects in %s: %s', (file, included) => {
      expect(problems).toContainEqual(expect.stringMatching(`/${file}:\\d+: .* may not include ${included}`));
    });
  });

  it('allows downward includes', () => {
    const planted = [
      ['core/engine/cq.c', 'core/access/check.h'],
      ['wire/frame.c', 'core/base/pool.h'],
      ['ibverbs/verbs.c', 'core/rvt.h'],
      ['binding/batch/batch.cc', 'binding/values/js_memory.h'],
      ['binding/addon.cc', 'core/rvt.h'],
    ].map(([file = '', included]): Planted => [file, `\n#include "${included}"\n`]);
    expect(check(...planted)).toEqual({ status: 0, problems: [] });
  });

  it('allows an include of the layout everywhere', () => {
    const layout: Planted = ['core/layout.h', '\n'];
    const including = [
      'core/base/pool.c',
      'core/objects/mr.c',
      'wire/frame.c',
      'binding/values/js_memory.cc',
    ];
    const planted = including.map((file): Planted => [file, '\n#include "core/layout.h"\n']);
    expect(check(layout, ...planted)).toEqual({ status: 0, problems: [] });
  });

  it.each([
    ['scripts', '"../../../scripts/x.h"'],
    ['fuzz', '"../../../fuzz/core/world.h"'],
    ['test', '"../../../test/c/check.h"'],
    ['a path relative to the file itself', '"region.h"'],
    ['a detour in the path', '"core/base/../objects/region.h"'],
    ['angle brackets', '<core/objects/region.h>'],
    ['a source file', '"core/base/alloc.c"'],
    ['a missing file', '"core/base/nothing.h"'],
    ['a macro', 'HEADER'],
  ])('rejects %s', (_, included) => {
    const forms = ['#include', '# include', '\t#\tinclude', '#include_next', '#import', '#include \\\n '];
    const text = forms.map((form) => `${form} ${included}\n`).join('');
    const { status, problems } = check(['core/base/pool.c', `\n${text}`]);
    expect(status).toBe(1);
    const found = problems.filter((problem) => /\/core\/base\/pool\.c:\d+: includes /.test(problem));
    expect(found).toHaveLength(forms.length);
  });

  it('ignores includes in comments', () => {
    const text = '\n/*\n#include "core/rvt.h"\n*/\n// \\\n#include "core/rvt.h"\n';
    expect(check(['core/base/pool.c', text]).problems).toEqual([]);
  });
  it('is not confused by strings that look like comments', () => {
    for (const [begin, end] of [
      ['const char *a = "/*";', 'const char *b = "*/";'],
      ['const char *a = "\\\\"; const char *b = "/*";', '/* */'],
      ['char a = \'"\'; const char *b = "/*";', '/* */'],
    ]) {
      const text = `\n${begin}\n#include "core/rvt.h"\n${end}\n`;
      expect(check(['core/base/pool.c', text]).status).toBe(1);
    }
  });
  it('reports the line of the include, also after continued lines', () => {
    const file = 'core/base/planted.c';
    const { problems } = check([file, '#define A \\\n  1\n/*\n*/\n#include "core/rvt.h"\n']);
    expect(problems).toEqual([expect.stringContaining(`${file}:5: `)]);
  });

  it('rejects a file outside all known folders', () => {
    expect(check(['core/other/x.c', '\n']).problems).toEqual([
      expect.stringContaining('core/other/x.c: belongs to no room'),
    ]);
  });

  it('rejects headers that include each other', () => {
    const { status, problems } = check(
      ['core/base/one.h', '#include "core/base/two.h"\n'],
      ['core/base/two.h', '#include "core/base/three.h"\n'],
      ['core/base/three.h', '#include "core/base/one.h"\n'],
    );
    expect(status).toBe(1);
    expect(problems).toHaveLength(1);
    for (const name of ['one.h', 'two.h', 'three.h']) expect(problems[0]).toContain(`core/base/${name}`);
  });
});
