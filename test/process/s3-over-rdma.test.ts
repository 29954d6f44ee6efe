// examples/s3-over-rdma: objects arrive by RDMA and by HTTP alone, and bad tokens are refused. Rates are not tested.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describeIf } from '../support/conditions';

const root = join(__dirname, '..', '..');
const folder = join(root, 'examples', 's3-over-rdma');

function run(args: string[], from = folder) {
  return spawnSync(process.execPath, [join(from, 'main.mjs'), ...args], {
    encoding: 'utf8',
    timeout: 50_000,
    killSignal: 'SIGKILL',
  });
}

/** Returns what the output says of each token: the status, and the texts of the store and of the client. */
function refusalsIn(stdout: string) {
  const one = /^ {2}(.+): (\d+)\n {4}store: {2}(.+)\n(?: {4}client: (.+)\n)?/gm;
  return [...stdout.matchAll(one)].map(([, title, status, store = '', client = '']) => ({
    title,
    status,
    store: /^\w+ of queue pair .*: (REM_ACCESS_ERR)\./.exec(store)?.[1] ?? store.replace(/0x[0-9a-f]+/, 'N'),
    operation: /^(\w+) of 127\.0\.0\.1 port \d+ to queue pair/.exec(client)?.[1],
    reason: /was refused\. (\w+): /.exec(client)?.[1],
  }));
}

describeIf(process.platform === 'linux', 'endpoints need Linux')('examples/s3-over-rdma', () => {
  it.each(['2', '4097', '300001'])('moves objects of %s bytes, and refuses bad tokens', (bytes) => {
    const { status, stdout, stderr } = run(['--bytes', bytes, '--rounds', '3']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const way of ['PUT by RDMA', 'GET by RDMA', 'PUT by HTTP alone', 'GET by HTTP alone'])
      expect(stdout).toMatch(new RegExp(`^ {2}${way} +\\d+ MiB/s$`, 'm'));
    expect(stdout).toMatch(/^ {2}HTTP alone takes [\d.]+ \(PUT\) and [\d.]+ \(GET\) times as long\.$/m);
    const nak = { status: '403', store: 'REM_ACCESS_ERR' };
    const refusals = refusalsIn(stdout);
    expect(refusals).toEqual([
      { ...nak, title: 'GET, expired', operation: 'RDMA_WRITE', reason: 'Revoked' },
      { ...nak, title: 'PUT, expired', operation: 'RDMA_READ', reason: 'Revoked' },
      // A guess may hit the slot of another region, but not its key.
      {
        ...nak,
        title: 'GET, forged key',
        operation: 'RDMA_WRITE',
        reason: expect.stringMatching(/^(NoSuchKey|StaleKey|Revoked)$/) as string,
      },
      { ...nak, title: 'GET, forged length', operation: 'RDMA_WRITE', reason: 'OutOfBounds' },
      {
        status: '403',
        store: "queue pair N is not this client's",
        title: "GET, another client's queue pair",
        operation: undefined,
        reason: undefined,
      },
    ]);
    expect(stdout).toMatch(/^A good token still works\.$/m);
  });

  it('has fewer than 300 lines', () => {
    const files = readdirSync(folder).filter((file) => file.endsWith('.mjs'));
    const lines = files.map((file) => readFileSync(join(folder, file), 'utf8').split('\n').length - 1);
    expect(lines.reduce((sum, count) => sum + count, 0)).toBeLessThan(300);
  });

  describe('with a part that does not do what it promises', () => {
    let copy: string;
    beforeEach(() => {
      mkdirSync(join(root, 'build'), { recursive: true });
      copy = mkdtempSync(join(root, 'build', 's3-over-rdma-'));
      cpSync(folder, copy, { recursive: true });
    });
    afterEach(() => {
      rmSync(copy, { recursive: true });
    });

    it.each([
      ['keeps expired memory', 'client.mjs', 'mr.dereg()', 'undefined', /GET, expired: not refused/],
      [
        "uses another client's queue pair",
        'store.mjs',
        'qpn !== client.peerQpn',
        'false',
        /another client's queue pair: not refused/,
      ],
      ['changes bytes', 'store.mjs', 'bytes, mr, sent', 'bytes: bytes.fill(1), mr, sent', /other bytes/],
      ['forgets objects', 'store.mjs', 'objects.set(', 'void (', /GET by RDMA: 404 no such object/],
      [
        'spoils the token',
        'client.mjs',
        'formatToken(memory, qpn)',
        "'0123'",
        /PUT by RDMA: 400 a token has the form/,
      ],
      ['loses the secret', 'client.mjs', '`Bearer ${this.#secret}`', "''", /PUT by RDMA: 401 no connection/],
    ])('ends with status 1 if it %s', (_, name, right, wrong, text) => {
      const file = join(copy, name);
      const source = readFileSync(file, 'utf8');
      expect(source).toContain(right);
      writeFileSync(
        file,
        source.replace(right, () => wrong),
      );
      const { status, stderr } = run(['--bytes', '1000', '--rounds', '1'], copy);
      expect(stderr).toMatch(text);
      expect(status).toBe(1);
    });
  });

  it.each([
    [['--bytes', '1'], '--bytes must be a whole number of at least 2'],
    [['--rounds', '0.5'], '--rounds one of at least 1'],
    [['--speed', '1'], "Unknown option '--speed'"],
  ])('ends with status 1 and one line for the arguments %j', (args, text) => {
    const { status, stdout, stderr } = run(args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^s3-over-rdma: .+\n$/);
    expect(stderr).toContain(text);
  });
});
