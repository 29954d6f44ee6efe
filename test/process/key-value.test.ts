// examples/key-value: clients read the right bytes of live values only, each deleted value is refused, and the checksum depends
// only on the arguments.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');
const folder = join(root, 'examples', 'key-value');

function run(args: string[], from = folder) {
  return spawnSync(process.execPath, [join(from, 'main.mjs'), ...args], { encoding: 'utf8' });
}

/** Returns the rows of the table of refusals. */
function refusalsIn(stdout: string) {
  return [...stdout.matchAll(/^ {2}(\w+(?: \S+)*?) {2,}([A-Z_]+_ERR) +(\w+) +([\d,]+)$/gm)].map(
    ([, access, status, reason, count = '']) => ({ access, status, reason, count: Number(count) }),
  );
}

/** Returns a number of the result. */
function resultOf(stdout: string, name: string): number {
  const [, count = ''] = new RegExp(`^ {2}${name} +([\\d,]+)( |$)`, 'm').exec(stdout) ?? [];
  return Number(count.replaceAll(',', ''));
}

const checksumIn = (stdout: string): string | undefined => /\b[0-9a-f]{64}\b/.exec(stdout)?.[0];

describe('examples/key-value', () => {
  it('refuses every read of a deleted value and returns the right bytes of the others', () => {
    const { status, stdout, stderr } = run(['--keys', '64', '--reads', '500', '--seed', '7']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const refusals = refusalsIn(stdout);
    const dead = refusals.filter(({ access }) => access === 'read a deleted value');
    expect(dead.reduce((sum, { count }) => sum + count, 0)).toBe(4 * 32);
    for (const { status: failed } of dead) expect(failed).toBe('REM_ACCESS_ERR');
    const others = refusals.filter(({ access }) => access !== 'read a deleted value');
    expect(others.map(({ access, status: failed, count }) => [access, failed, count])).toEqual([
      ['read past the end of a value', 'REM_ACCESS_ERR', 4],
      ['read with a guessed key', 'REM_ACCESS_ERR', 4],
      ['read from another domain', 'REM_ACCESS_ERR', 4],
      ['write to a value', 'REM_INV_REQ_ERR', 4],
    ]);
    expect(others.map(({ reason }) => reason).filter((_, i) => i !== 1)).toEqual([
      'OutOfBounds',
      'WrongPd',
      'QpAccess',
    ]);
    expect(stdout.match(/^ {6}client: \S/gm)).toHaveLength(refusals.length);
    expect(stdout.match(/^ {6}store: {2}\S/gm)).toHaveLength(refusals.length - 1);
    expect(stdout).toContain('It ends 1 byte past the last byte');
    expect(resultOf(stdout, 'values stored')).toBe(96);
    expect(resultOf(stdout, 'values deleted')).toBe(32);
    expect(resultOf(stdout, 'wrong answers')).toBe(0);
    // Each client reads the 64 values that are stored at the end, and 500 at random. Of the 32 deleted ones it may come upon all
    // before, and then reads none of them after that.
    const right = resultOf(stdout, 'reads with the right bytes');
    expect(right).toBeGreaterThanOrEqual(4 * (64 + 500 + 32 - 32));
    expect(right).toBeLessThanOrEqual(4 * (64 + 500 + 32));
    expect(stdout).toMatch(/^ {2}clients that read the same +4 of 4$/m);
  });

  it('prints a checksum that depends only on the arguments', () => {
    const [first, again, other] = ['5', '5', '6'].map((seed) =>
      checksumIn(run(['--keys', '32', '--reads', '50', '--seed', seed]).stdout),
    );
    expect(first).toBe('0294592b58df03d4f0f7f59986b23312f4f81cae41d221af5b267fc45f6591f3');
    expect(again).toBe(first);
    expect(other).toBeDefined();
    expect(other).not.toBe(first);
  });

  it('works without reads before the deletions', () => {
    const { status, stdout } = run(['--keys', '2', '--reads', '0']);
    expect(status).toBe(0);
    expect(resultOf(stdout, 'values deleted')).toBe(1);
  });

  describe('with a store that does not do what it promises', () => {
    let copy: string;
    beforeEach(() => {
      mkdirSync(join(root, 'build'), { recursive: true });
      copy = mkdtempSync(join(root, 'build', 'key-value-'));
      cpSync(folder, copy, { recursive: true });
    });
    afterEach(() => {
      rmSync(copy, { recursive: true });
    });

    it.each([
      ['keeps the keys of deleted values', 'entry.mr.dereg();', '', /was read after it was deleted/],
      [
        'stores wrong bytes',
        'bytes.set(value);',
        'bytes.set(value.map((byte) => ~byte));',
        /with wrong bytes/,
      ],
      [
        'refuses live values',
        'connect(qp, peer, Access.RemoteRead);',
        'connect(qp, peer, 0);',
        /is live, but/,
      ],
    ])('ends with status 1 if it %s', (_, right, wrong, text) => {
      const file = join(copy, 'store.mjs');
      const source = readFileSync(file, 'utf8');
      expect(source).toContain(right);
      writeFileSync(file, source.replace(right, wrong));
      const { status, stderr } = run(['--keys', '8', '--reads', '20'], copy);
      expect(status).toBe(1);
      expect(stderr).toMatch(text);
    });
  });

  it('explains its arguments with --help', () => {
    const { status, stdout, stderr } = run(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const option of ['--keys N', '--reads N', '--seed N']) expect(stdout).toContain(`\n  ${option} `);
  });

  it.each([
    [['--keys', '1'], '--keys must be a whole number from 2 to 10,000'],
    [['--reads', '-1'], 'reads'],
    [['--seed', 'x'], '--seed must be a whole number from 0 to 2,147,483,648'],
    [['--places', '1'], "Unknown option '--places'"],
  ])('ends with status 1 and one line for the arguments %j', (args, text) => {
    const { status, stdout, stderr } = run(args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^key-value: .+\n$/);
    expect(stderr).toContain(text);
  });
});
