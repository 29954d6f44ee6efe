// examples/sandbox: a good plugin does its work, and each bad one is refused, explained and cut off.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');
const folder = join(root, 'examples', 'sandbox');

function run(from = folder) {
  const options = { encoding: 'utf8', timeout: 100_000, killSignal: 'SIGKILL' } as const;
  return spawnSync(process.execPath, [join(from, 'main.mjs')], options);
}

describe('examples/sandbox', () => {
  it('lets a plugin do its work, and cuts off those that overreach', () => {
    const { status, stdout, stderr } = run();
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const lines = stdout.split('\n');
    const found = (first: string) => lines.slice(lines.indexOf(first), lines.indexOf(first) + 2).slice(-1)[0];
    expect(lines[0]).toBe('upper   finished');
    expect(found('greedy  cut off: OutOfBounds')).toMatch(
      /^ {8}OutOfBounds: A peer's read .* of 64 bytes .* It ends 1 byte past the last byte: region \d+ .* has 64 bytes/,
    );
    expect(found('vandal  cut off: AccessDenied')).toMatch(
      /^ {8}AccessDenied: A peer's write .* grants RemoteRead; RemoteWrite is missing\.$/,
    );
    expect(found('spy     cut off: OutOfBounds')).toMatch(
      /^ {8}The device has counted it; the plugin has told nothing/,
    );
    expect(found('loop    cut off: Time')).toBe('        It has taken more than 500 ms.');
    expect(lines.at(-2)).toBe('Each plugin ended as it must, and changed nothing but its own output.');
  });

  describe('with a part that does not do what it promises', () => {
    let copy: string;
    beforeEach(() => {
      mkdirSync(join(root, 'build'), { recursive: true });
      copy = mkdtempSync(join(root, 'build', 'sandbox-'));
      cpSync(folder, copy, { recursive: true });
    });
    afterEach(() => {
      rmSync(copy, { recursive: true });
    });

    it.each([
      [
        'keeps the keys',
        'sandbox.mjs',
        'device.close({ cascade: true });',
        '',
        'spy went on writing after it was cut off',
      ],
      [
        'lets inputs be written',
        'sandbox.mjs',
        '{ access: RemoteRead }',
        '{ access: LocalWrite | RemoteWrite | RemoteRead }',
        'the input of vandal was changed',
      ],
      [
        'gives more to read than it says',
        'sandbox.mjs',
        'pd.regUserMr(input, { access: RemoteRead }).advertise()',
        'pd.regUserMr(new Uint8Array(input.buffer, input.byteOffset, 128), { access: RemoteRead }).advertise({ length: 64 })',
        'greedy was not cut off: OutOfBounds',
      ],
      [
        'counts no refusals',
        'sandbox.mjs',
        'Object.keys(device.counters().reasons)',
        '[]',
        'vandal was not cut off: AccessDenied',
      ],
      ['does other work', 'plugin-upper.mjs', '.toUpperCase()', '', 'the output of upper is wrong'],
      ['fails', 'plugin-upper.mjs', 'output.write(', 'throw new Error(', 'upper was not finished'],
    ])('ends with status 1 if it %s', (_, name, right, wrong, text) => {
      const file = join(copy, name);
      const source = readFileSync(file, 'utf8');
      expect(source).toContain(right);
      writeFileSync(
        file,
        source.replace(right, () => wrong),
      );
      const { status, stderr } = run(copy);
      expect(stderr.split('\n')).toContain(`sandbox: ${text}`);
      expect(status).toBe(1);
    });
  });
});
