// Rules for the tests of this suite: no test makes the process warn (support/environment.ts), and a skipped test states its
// reason (scripts/jest-counts.mjs). A separate Jest runs tests that break these rules.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');
const directory = realpathSync(mkdtempSync(join(tmpdir(), 'rdmavt-guards-')));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

/** Runs a file of tests with the configuration of the suite. */
function runSuite(tests: string, ...flags: string[]): { status: number | null; output: string } {
  const config = {
    rootDir: directory,
    testEnvironment: join(root, 'test', 'support', 'environment.ts'),
    transform: { '\\.ts$': [require.resolve('ts-jest'), { transpilation: true, diagnostics: false }] },
    reporters: ['default', join(root, 'scripts', 'jest-counts.mjs')],
  };
  writeFileSync(join(directory, 'package.json'), '{}');
  writeFileSync(join(directory, 'some.test.js'), tests);
  const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
  const { RDMAVT_TEST_COUNTS: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [jest, '--config', JSON.stringify(config), ...flags],
    { cwd: directory, encoding: 'utf8', env: { ...env, FORCE_COLOR: '0' }, timeout: 120_000 },
  );
  return { status, output: stdout + stderr };
}

test('a run without warnings, in which skipped tests state a reason, passes', () => {
  const { status, output } = runSuite(`
    test('passes', () => {});
    test.skip('is skipped (skipped: there is no such thing here)', () => {});
    describe.skip('a group (skipped: for a reason)', () => { test('of tests', () => {}); });
  `);
  expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining('2 skipped, 1 passed') });
});

const breaker = `
  test('passes', () => {});
  test('warns', () => { process.emitWarning('in a test'); });
  describe('a group', () => {
    afterEach(() => { process.emitWarning('after a test'); });
    test('whose hook warns', () => {});
  });
  afterAll(() => { process.emitWarning('after all tests'); });
  test.skip('is skipped', () => {});
`;

test('a warning of the process fails the test or file that causes it, and a skip without a reason fails the run', () => {
  const { status, output } = runSuite(breaker);
  expect(status).toBe(1);
  for (const what of ['in a test', 'after a test', 'after all tests']) {
    expect(output).toContain(`The process warned: ${what}`);
  }
  for (const where of ['● warns', '● a group › whose hook warns', '1 passed'])
    expect(output).toContain(where);
  expect(output).toMatch(/Skipped tests whose title has no "\(skipped: because\)":\n {2}is skipped\n/);
});

test('a test excluded by a name pattern needs no reason', () => {
  const tests = `test('passes', () => {}); test.skip('is skipped', () => {});`;
  expect(runSuite(tests, '-t', 'passes').status).toBe(0);
  const { status, output } = runSuite(tests);
  expect({ status, output }).toEqual({ status: 1, output: expect.stringContaining('  is skipped\n') });
});
