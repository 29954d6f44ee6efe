// If Node.js was started with add-ons disabled, the error names the responsible option instead of advising a build.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');
const permission = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission';

/** Prints the fields of the error and its message. */
const REQUIRE = `
  try { require('rdmavt'); console.log('{}'); }
  catch ({ message, ...error }) { console.log(JSON.stringify({ ...error, message })); }`;

function run(flags: string[], program: string, options?: string) {
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  const env = options === undefined ? inherited : { ...inherited, NODE_OPTIONS: options };
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--no-warnings', ...flags, '--input-type=commonjs', '--eval', program],
    { cwd: root, encoding: 'utf8', env },
  );
  expect(stderr).toBe('');
  return JSON.parse(stdout) as { message?: string; code?: string; disabledBy?: string[] };
}

function expectDisabled(error: ReturnType<typeof run>, disabledBy: string[], advice: string) {
  const { message, ...fields } = error;
  expect(fields).toEqual({ code: 'ERR_RDMAVT_ADDONS_DISABLED', node: process.version, disabledBy });
  expect(message!.split('\n')).toEqual([
    `rdmavt: cannot load the native add-on: add-ons are disabled in this process (Node.js ${process.version}).`,
    `Disabled by ${disabledBy.join(', ')}.`,
    advice,
  ]);
}

const WITHOUT = 'Start Node.js without --no-addons.';
const ALLOW = 'Add --allow-addons if this program may run native code.';
const permissions = [permission, '--allow-fs-read=*'];

test('the error names --no-addons on the command line', () => {
  expectDisabled(run(['--no-addons'], REQUIRE), ['--no-addons on the command line'], WITHOUT);
});

test.each(['--no-addons', '--no_addons', '"--no-addons"', '--no-deprecation  --no-addons'])(
  'the error names NODE_OPTIONS=%s',
  (options) => {
    expectDisabled(run([], REQUIRE, options), ['--no-addons in NODE_OPTIONS'], WITHOUT);
  },
);

test('the error names the permission model', () => {
  expectDisabled(run(permissions, REQUIRE), [`${permission} on the command line`], ALLOW);
});

test('the error names --no-addons, and not the permission model that allows add-ons', () => {
  const error = run([...permissions, '--allow-addons', '--no-addons'], REQUIRE);
  expectDisabled(error, ['--no-addons on the command line'], WITHOUT);
});

test('the add-on loads under the permission model with --allow-addons', () => {
  expect(run([...permissions, '--allow-addons'], REQUIRE)).toEqual({});
});

test('import reports the same as require', () => {
  // In Node.js 20 a program cannot catch what a CommonJS module throws inside `import()`, so the test reads standard error.
  const args = ['--no-addons', '--input-type=module', '--eval', `import 'rdmavt';`];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stderr).toContain(`Disabled by --no-addons on the command line.\n${WITHOUT}\n`);
  expect(stderr).toContain(`code: 'ERR_RDMAVT_ADDONS_DISABLED'`);
});

test('the error names the option even if the binary is missing, because a build would not help', () => {
  const program = `process.env.RDMAVT_PREBUILD = ${JSON.stringify(__dirname)}; ${REQUIRE}`;
  expect(run([], program).code).toBe('ERR_RDMAVT_NO_BINARY');
  expectDisabled(run(['--no-addons'], program), ['--no-addons on the command line'], WITHOUT);
});

describe('a worker thread', () => {
  /** Runs `require` in a worker with these options. */
  const inWorker = (options: object) => `
    const { Worker } = require('node:worker_threads');
    new Worker(${JSON.stringify(REQUIRE)}, { eval: true, ...${JSON.stringify(options)} });`;

  test.each([{}, { execArgv: [] }, { env: {} }])(
    'of a process that disables add-ons, created with %j, reports the option of the process',
    (options) => {
      expectDisabled(run(['--no-addons'], inWorker(options)), ['--no-addons on the command line'], WITHOUT);
    },
  );

  test('of a process with the permission model reports the permission model', () => {
    const error = run([...permissions, '--allow-worker'], inWorker({}));
    expectDisabled(error, [`${permission} on the command line`], ALLOW);
  });

  test('of a process that allows add-ons, created with --no-addons, reports its execArgv', () => {
    const error = run([], inWorker({ execArgv: ['--no-addons'] }));
    expectDisabled(error, ['--no-addons in execArgv of this worker thread'], WITHOUT);
  });

  test('that cannot see the option of the process says so', () => {
    const { code, disabledBy, message } = run([], inWorker({ env: {} }), '--no-addons');
    expect({ code, disabledBy }).toEqual({ code: 'ERR_RDMAVT_ADDONS_DISABLED', disabledBy: [] });
    expect(message).toContain(
      'Disabled by an option that is not visible here: --no-addons, or --permission without --allow-addons.',
    );
  });
});

test('the command line prints the complete message', () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--no-addons', join(root, 'dist', 'cli.js'), 'replay', '-'],
    { encoding: 'utf8', input: '' },
  );
  expect({ status, lines: stderr.split('\n').slice(1) }).toEqual({
    status: 2,
    lines: ['Disabled by --no-addons on the command line.', WITHOUT, ''],
  });
});
