// The example that `npm run quickstart` runs: every way of reading returns every byte, and forbidden accesses are refused with
// their reasons.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const main = join(__dirname, '..', '..', 'examples', 'block-store', 'main.mjs');

function run(...args: string[]) {
  return spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    env: { ...process.env, FORCE_COLOR: '1' },
  });
}

describe('examples/block-store', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'block-store-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  it.each([1, 4095, 4096, 4097, 1_000_003])('reads a whole file of %i bytes', (size) => {
    const file = join(folder, `file-${String(size)}`);
    const content = Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 255);
    writeFileSync(file, content);
    const { status, stdout, stderr } = run(file);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.match(/\b[0-9a-f]{64}\b/g)).toEqual([createHash('sha256').update(content).digest('hex')]);
    for (const way of ['plain copy, Uint8Array.set', 'single verbs', 'batches of 16']) {
      expect(stdout).toMatch(new RegExp(`^ {2}${way} +[\\d,]+ +[\\d,]+ +[\\d.]+x +as expected$`, 'm'));
    }
    for (const reason of ['OutOfBounds', 'AccessDenied', 'WrongPd', 'Revoked', 'StaleKey']) {
      expect(stdout).toMatch(new RegExp(`^ {2}\\S.*\\b${reason}\\b.*as expected$`, 'm'));
    }
    expect(stdout).not.toContain('WRONG');
  });

  it('writes no colors into a pipe', () => {
    expect(run(main).stdout).not.toContain('\u001b');
  });

  it.each([
    ['that is empty', () => writeFileSync(join(folder, 'empty'), ''), 'empty'],
    ['that does not exist', () => undefined, 'nowhere'],
  ])('ends with status 1 and one line for a file %s', (_, prepare, name) => {
    prepare();
    const { status, stderr } = run(join(folder, name));
    expect(status).toBe(1);
    expect(stderr).toMatch(/^block-store: .+\n$/);
  });
});
