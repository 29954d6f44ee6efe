// examples/remote-memory: both processes end well, all bytes arrive by key and by TCP, and the read after the revocation is refused.
// Rates are not tested.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeIf } from '../support/conditions';

const root = join(__dirname, '..', '..');
const folder = join(root, 'examples', 'remote-memory');

function run(args: string[], from = folder) {
  return spawnSync(process.execPath, [join(from, 'main.mjs'), ...args], {
    cwd: root,
    encoding: 'utf8',
    timeout: 50_000,
    killSignal: 'SIGKILL',
  });
}

/** Lines that the reader must print, in this order. */
const reader = [
  /^ {2}RDMA_READ over UDP +[\d.]+ MiB\/s {3}hash ([0-9a-f]{16})\.\.\. is right$/,
  /^ {2}plain TCP copy +[\d.]+ MiB\/s {3}hash ([0-9a-f]{16})\.\.\. is right$/,
  /^ {2}The reads by key took [\d.]+ times as long as the copy\.$/,
  /^ {2}After the server has taken the memory back, a read ends with REM_ACCESS_ERR\.$/,
];
/** Those of the server. */
const server = [
  /^ {2}server: [\d,]+ bytes at 127\.0\.0\.1, UDP port \d+, TCP port \d+$/,
  /^ {2}server: refused a RDMA_READ of 127\.0\.0\.\d: Revoked$/,
  /^ {2}server: RDMA_READ of .* was refused\. Revoked: .* no longer exists/,
];

function expectLines(stdout: string, wanted: RegExp[]): void {
  const lines = stdout.split('\n');
  for (const line of wanted) {
    const at = lines.findIndex((text) => line.test(text));
    expect([String(line), at >= 0]).toEqual([String(line), true]);
    lines.splice(0, at + 1);
  }
}

describeIf(process.platform === 'linux', 'endpoints need Linux')('examples/remote-memory', () => {
  it.each([
    [['--bytes', '3000001']],
    [['--bytes', '1']],
    [['--bytes', '500000', '--mtu', '256']],
    [['--file', 'README.md']],
  ])('reads all bytes with %j, until the memory is taken back', (args) => {
    const { status, stdout, stderr } = run(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expectLines(stdout, reader);
    expectLines(stdout, server);
  });

  it('does the same with two programs that know only the other address', async () => {
    const child = spawn(
      process.execPath,
      [join(folder, 'main.mjs'), '--serve', '127.0.0.1', '--control', '47920', '--bytes', '200000'],
      { stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000, killSignal: 'SIGKILL' },
    );
    let stdout = '';
    await new Promise<void>((resolve) => {
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
        resolve();
      });
    });
    const exit = new Promise((resolve) => child.once('close', resolve));
    const args = ['--connect', '127.0.0.1', '--address', '127.0.0.2', '--control', '47920'];
    const read = spawn(process.execPath, [join(folder, 'main.mjs'), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: 60_000,
      killSignal: 'SIGKILL',
    });
    let readOut = '';
    read.stdout.setEncoding('utf8').on('data', (text: string) => (readOut += text));
    expect(await new Promise((resolve) => read.once('close', resolve))).toBe(0);
    expect(await exit).toBe(0);
    expectLines(readOut, reader);
    expectLines(stdout, server);
  });

  describe('with a server that does not do what it promises', () => {
    let copy: string;
    beforeEach(() => {
      mkdirSync(join(root, 'build'), { recursive: true });
      copy = mkdtempSync(join(root, 'build', 'remote-memory-'));
      cpSync(folder, copy, { recursive: true });
    });
    afterEach(() => {
      rmSync(copy, { recursive: true });
    });

    it.each([
      ['keeps the memory readable', 'mr.dereg();', '', /was not refused/],
      ['changes the bytes', 'qp.connect(', 'bytes[0] ^= 1; qp.connect(', /other bytes have arrived/],
    ])('ends with status 1 if it %s', (_, right, wrong, text) => {
      const file = join(copy, 'server.mjs');
      const source = readFileSync(file, 'utf8');
      expect(source).toContain(right);
      writeFileSync(file, source.replace(right, wrong));
      const { status, stderr } = run(['--bytes', '100000'], copy);
      expect(status).toBe(1);
      expect(stderr).toMatch(text);
    });
  });

  it('explains its arguments with --help', () => {
    const { status, stdout, stderr } = run(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const option of ['serve ADDRESS', 'connect ADDRESS', 'address OWN', 'file PATH', 'bytes N', 'mtu N'])
      expect(stdout).toContain(`\n  --${option} `);
  });

  it.each([
    [['--bytes', '0'], '--bytes must be a whole number from 1 to 1,073,741,824'],
    [['--mtu', '1500'], '--mtu must be one of 256, 512, 1024, 2048, 4096'],
    [['--serve', 'here'], "--serve must be an IP address, not 'here'"],
    [['--connect', '127.0.0.1'], "--address must be an IP address, not ''"],
    [['--serve', '127.0.0.1', '--connect', '127.0.0.1'], 'exclude each other'],
    [['--serve', '0.0.0.0'], 'HostAddress|address'],
    [['--file', '/no/such/file'], 'ENOENT'],
    [['--speed', '1'], "Unknown option '--speed'"],
  ])('ends with status 1 and one line for the arguments %j', (args, text) => {
    const { status, stdout, stderr } = run(args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^remote-memory: .+\n$/);
    expect(stderr).toMatch(new RegExp(text));
  });
});
