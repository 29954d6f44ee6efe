// examples/s3-over-rdma: objects arrive by RDMA and by HTTP alone, and bad tokens are refused. Rates are not tested.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

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
      { ...nak, title: 'GET, expired', operation: 'RDMA_WRITE', reason: 'LeaseExpired' },
      { ...nak, title: 'PUT, expired', operation: 'RDMA_READ', reason: 'LeaseExpired' },
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

  it('answers what is no request for it with the status that says so', () => {
    const urlOf = (name: string) => JSON.stringify(pathToFileURL(join(folder, name)).href);
    const program = `
      import { fork } from 'node:child_process';
      import { once } from 'node:events';
      import { fileURLToPath } from 'node:url';
      import { Device, Endpoint } from 'rdmavt';
      import { StoreClient } from ${urlOf('client.mjs')};
      const store = fork(fileURLToPath(${urlOf('store.mjs')}), { execArgv: [] });
      const [ports] = await once(store, 'message');
      const client = new StoreClient(ports);
      await client.connect();
      const small = client.offer(Buffer.alloc(10, 's'));
      const device = new Device();
      const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
      const qp = device.allocPd().createQp({ type: 'RC', sendCq: device.createCq(4) });
      const connection = await endpoint.connect('127.0.0.1', 7174, { qp, port: ports.rdma, access: 0 });
      const authorization = 'Bearer ' + Buffer.from(connection.privateData).toString('hex', 0, 16);
      const own = qp.qpn.toString(16).padStart(6, '0');
      const say = async (method, token, headers = { authorization }, body) => {
        const address = 'http://127.0.0.1:' + ports.http + '/bucket/object';
        const tokens = token === undefined ? {} : { 'x-rdma-token': token };
        const response = await fetch(address, { method, headers: { ...tokens, ...headers }, body });
        console.log(method, response.status, (await response.text()).replace(/\\(.*/, ''));
      };
      const place = '0000000000001000:0000000a:00000001:';
      await say('DELETE');
      await say('GET');
      await say('PUT', undefined, {}, 'twelve bytes');
      await say('GET', undefined, {});
      await say('GET', place + own, {});
      await say('GET', place + own, { authorization: 'Bearer 00' });
      await say('GET', '');
      await say('GET', place);
      await say('GET', place + own + '0');
      await say('GET', '0000000000001000:00000000:00000001:' + own);
      await say('GET', 'fffffffffffffff0:000000ff:00000001:' + own);
      await say('GET', place + '000001');
      await say('GET', place + own);
      await say('PUT', '0000000000001000:ffffffff:00000001:' + own);
      await say('PUT', undefined, {}, '');
      await say('PUT', place + own); // the rights of the queue pair do not allow it
      console.log((await client.ask('PUT', '/bucket/object', { memory: small })).status);
      await say('GET', undefined, {});
      process.exit();`;
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '--eval', program],
      {
        cwd: root,
        encoding: 'utf8',
        timeout: 50_000,
        killSignal: 'SIGKILL',
      },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const form = 'a token has the form address:length:rkey:qpn ';
    expect(stdout.trimEnd().split('\n')).toEqual([
      'DELETE 405 GET or PUT',
      'GET 404 no such object',
      'PUT 200 ',
      'GET 200 twelve bytes',
      'GET 401 no connection has this secret',
      'GET 401 no connection has this secret',
      ...[1, 2, 3, 4, 5].map(() => `GET 400 ${form}`),
      "GET 403 queue pair 0x1 is not this client's",
      'GET 400 the object has 12 bytes',
      'PUT 413 not 1 to 268435456 bytes',
      'PUT 413 not 1 to 268435456 bytes',
      expect.stringMatching(/^PUT 502 RDMA_READ of queue pair /),
      '200',
      'GET 200 ssssssssss',
    ]);
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
      [
        'keeps expired memory',
        'client.mjs',
        'advertise({ expiresInMs })',
        'advertise()',
        /GET, expired: not refused/,
      ],
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
