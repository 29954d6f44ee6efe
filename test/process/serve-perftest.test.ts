// `rdmavt serve perftest`: with a client that speaks the exchange of perftest's programs, and clients that speak wrongly or not at all.
import { setTimeout as sleep } from 'node:timers/promises';
import { Access, Device, Endpoint, rkey } from '../../lib';
import { formatPerftestLine, parsePerftestLine, type PerftestLine } from '../../lib/serve/perftest-line';
import { rdmavt } from '../support/command-line';
import { describeIf } from '../support/conditions';
import {
  CACHE_LINE,
  CYCLE,
  gid,
  GREETING,
  MTU,
  PERFTEST,
  someLine,
  VERSION,
} from '../support/perftest-client';
import { memory } from '../support/queue-pairs';
import { CLIENT, killServed, serve, SERVER, TcpClient, within } from '../support/served';
import { until } from '../support/wire-ends';

const ROUNDS = 300;
const REMOTE = Access.RemoteRead | Access.RemoteWrite | Access.RemoteAtomic;

/** A client with an endpoint and a queue pair. */
class Client {
  readonly device = new Device();
  readonly endpoint = new Endpoint({ device: this.device, address: CLIENT, port: 0 });
  readonly pd = this.device.allocPd();
  readonly cq = this.device.createCq(256);
  readonly qp = this.pd.createQp({ type: 'RC', sendCq: this.cq });
  readonly here = this.endpoint.describe(this.qp);
  /** What it sends and takes; the first half for its peer. */
  readonly memory = memory(this.pd, 1 << 20);
  /** Bits that are wrong in the key that it tells. */
  wrongKey = 0;
  tcp!: TcpClient;
  there!: PerftestLine;

  get line(): Buffer {
    const { qpn, psn } = this.here;
    const { rkey: key, iova } = this.memory.mr;
    return formatPerftestLine(
      { reads: 16, qpn, psn, rkey: (key ^ this.wrongKey) >>> 0, remoteAddress: iova },
      gid,
    );
  }

  /** Greets, tells the queue pair, and connects it. Returns the server's code of the path MTU. */
  async begin(port: number, mtu: '1' | '2' | '3' | '4' | '5' = '5'): Promise<string> {
    this.tcp = new TcpClient(port).listen();
    expect((await this.tcp.ask(VERSION)).toString('latin1')).toBe(VERSION);
    for (const word of [CYCLE, CACHE_LINE]) expect((await this.tcp.ask(word)).toString('latin1')).toBe(word);
    const code = (await this.tcp.ask(`${mtu}\0`)).toString('latin1');
    const there = parsePerftestLine(await this.tcp.ask(this.line));
    expect(there?.address).toBe(SERVER);
    this.there = there!;
    const { qpn, psn } = this.there;
    this.qp.connect({
      ...{ endpoint: this.endpoint, address: SERVER, port: this.endpoint.port, qpn, psn },
      ...({ access: REMOTE, pathMtu: 256 << (Math.min(Number(mtu), Number(code[0])) - 1) } as any),
    });
    // The programs say their lines again to wait for each other.
    for (let i = 0; i < 2; i++) expect(parsePerftestLine(await this.tcp.ask(this.line))).toEqual(this.there);
    return code;
  }

  get remote() {
    return { vaddr: this.there.remoteAddress, rkey: rkey(this.there.rkey) };
  }

  async end(): Promise<void> {
    expect((await this.tcp.ask('done\0')).toString('latin1')).toBe('done\0');
    await until(() => this.tcp.isClosed);
  }
}

const clients: Client[] = [];
afterEach(() => {
  killServed();
  for (const { device, tcp } of clients.splice(0)) {
    (tcp as TcpClient | undefined)?.close();
    device.close({ cascade: true });
  }
});

function newClient(): Client {
  const client = new Client();
  clients.push(client);
  return client;
}

/** Serves a program to one client, and returns it with the served process. */
async function begin(program: string, args: readonly string[] = [], wrongKey = 0) {
  const client = newClient();
  client.wrongKey = wrongKey;
  const served = await serve([
    ...['perftest', '--address', SERVER, '--port', '0', '--program', program, '--once'],
    ...['--udp-port', `${client.endpoint.port}`, ...args],
  ]);
  const code = await client.begin(served.port);
  return { client, served, code };
}

const noMachine = 'endpoints need Linux';
describeIf(process.platform === 'linux', noMachine)('rdmavt serve perftest, and a client', () => {
  test('write_bw: takes what is written, and shows the results', async () => {
    const { client, served, code } = await begin('write_bw', ['--mtu', '512']);
    expect(code).toBe('2\0');
    const { memory: own, qp } = client;
    for (let i = 0; i < ROUNDS; i++) await qp.write(own.sge(0, 4096), client.remote);
    const results = Buffer.alloc(40);
    results.writeBigUInt64BE(4096n, 0);
    results.writeBigUInt64BE(BigInt(ROUNDS), 8);
    [12.5, 11.25, 0.5].forEach((value, i) => results.writeDoubleBE(value, 16 + 8 * i));
    for (let i = 0; i < 5; i++) {
      const answer = await client.tcp.ask(results.subarray(8 * i, 8 * i + 8));
      expect(answer.equals(Buffer.alloc(8))).toBe(true);
    }
    await client.end();
    expect(await served.ended).toBe(0);
    const { qpn, psn } = client.here;
    const output = served.output();
    expect(output).toContain('path MTU 512 (it asks for 4096)');
    expect(output).toContain(
      `queue pair 0x${qpn.toString(16).padStart(6, '0')}, first packet 0x${psn.toString(16).padStart(6, '0')}`,
    );
    expect(output).toContain(
      'it reports 300 iterations of 4096 bytes: 11.25 MB/s (peak 12.50), 0.5000 million',
    );
    expect(output).toContain(`${ROUNDS * 4096} bytes came in, 0 went out`);
  });

  test('a client may do what its program does, and nothing else', async () => {
    const { client, served } = await begin('write_bw');
    await expect(client.qp.read(client.memory.sge(0, 8), client.remote)).rejects.toThrow('REM_INV_REQ_ERR');
    client.tcp.close();
    expect(await served.ended).toBe(0);
    expect(served.output()).toMatch(/refused/i);
  });

  test('memory ends where perftest says that it does', async () => {
    const { client } = await begin('write_bw');
    const end = client.there.remoteAddress + BigInt(1 << 23);
    const { rkey: key } = client.remote;
    await client.qp.write(client.memory.sge(0, 64), { vaddr: end - 64n, rkey: key });
    const beyond = client.qp.write(client.memory.sge(0, 65), { vaddr: end - 64n, rkey: key });
    await expect(beyond).rejects.toThrow('REM_ACCESS_ERR');
  });

  test('read_lat: memory that is read', async () => {
    const { client, served } = await begin('read_lat');
    client.memory.bytes.fill(0xff, 0, 64);
    for (let i = 0; i < ROUNDS; i++) await client.qp.read(client.memory.sge(0, 64), client.remote);
    expect(client.memory.bytes.subarray(0, 64).every((byte) => byte === 0)).toBe(true);
    await client.end();
    expect(await served.ended).toBe(0);
    expect(served.output()).toContain(`0 bytes came in, ${ROUNDS * 64} went out`);
  });

  test('atomic_bw: a number that is changed', async () => {
    const { client, served } = await begin('atomic_bw');
    for (let i = 0; i < ROUNDS; i++) {
      const { remote, memory: own } = client;
      expect(await client.qp.fetchAdd(own.sge(0, 8), remote, 3n)).toBe(BigInt(3 * i));
    }
    await client.end();
    expect(await served.ended).toBe(0);
    expect(served.output()).toContain(`the number in memory is ${3 * ROUNDS}`);
  });

  test('send_bw: receives for what is sent', async () => {
    const { client, served } = await begin('send_bw');
    const sent = Array.from({ length: ROUNDS }, (_, i) => client.qp.send(client.memory.sge(0, i)));
    await Promise.all(sent);
    await client.end();
    expect(await served.ended).toBe(0);
    expect(served.output()).toContain(`${ROUNDS} messages, ${(ROUNDS * (ROUNDS - 1)) / 2} bytes, received`);
  });

  test('send_lat: messages back', async () => {
    const { client, served } = await begin('send_lat');
    const { memory: own, qp } = client;
    for (let i = 0; i < ROUNDS; i++) {
      own.bytes.fill(i, 0, i);
      own.bytes.fill(0xee, 4096, 4096 + i);
      const back = qp.recv(own.sge(4096, 4096));
      await qp.send(own.sge(0, i));
      expect((await back).byteLength).toBe(i);
      expect(own.bytes.subarray(4096, 4096 + i).equals(own.bytes.subarray(0, i))).toBe(true);
    }
    await client.end();
    expect(await served.ended).toBe(0);
    expect(served.output()).toContain(`${ROUNDS} messages, ${(ROUNDS * (ROUNDS - 1)) / 2} bytes, sent back`);
  });

  test('write_lat: begins, and writes back, until the client goes without a word', async () => {
    const size = 1000;
    const { client, served } = await begin('write_lat', ['--size', `${size}`]);
    const { memory: own, qp } = client;
    for (let turn = 1; turn <= ROUNDS; turn++) {
      await until(() => own.bytes[size - 1] === (turn & 0xff));
      own.bytes[8192 + size - 1] = turn;
      await qp.write(own.sge(8192, size), client.remote);
    }
    client.tcp.close();
    expect(await served.ended).toBe(0);
    expect(served.output()).toContain(`${ROUNDS} messages, ${ROUNDS * size} bytes, written back`);
  });

  test('write_lat: the key of the client is wrong', async () => {
    const { served } = await begin('write_lat', [], 1);
    expect(await served.ended).toBe(0);
    expect(served.output()).toContain('REM_ACCESS_ERR');
    expect(served.output()).toContain('0 messages, 0 bytes, written back');
  });

  test.each(['send_bw', 'write_lat'])('%s can be ended while a client is served', async (program) => {
    const { client, served } = await begin(program);
    served.child.kill('SIGTERM');
    expect(await served.ended).toBe(0);
    await until(() => client.tcp.isClosed);
    expect(served.output()).not.toMatch(/Error| {4}at /);
  });

  test('several queue pairs, up to 64', async () => {
    const { client, served } = await begin('send_bw');
    const line = (qpn: number): Buffer => formatPerftestLine({ ...client.there, qpn }, gid);
    const numbers = new Set([client.there.qpn]);
    for (let i = 0; i < 63; i++) numbers.add(parsePerftestLine(await client.tcp.ask(line(100 + i)))!.qpn);
    expect(numbers.size).toBe(64);
    expect(await client.tcp.ask(line(99))).toHaveLength(0);
    expect(await served.ended).toBe(0);
    expect(served.output()).toContain('more than 64 queue pairs');
  });
});

const line = someLine().toString('latin1');
const HOSTILE: readonly [what: string, said: string, answer: string][] = [
  ['a word that is no version', 'x'.repeat(16), 'not the version of a perftest'],
  ['a version with text behind it', '6.06'.padEnd(16, 'x'), 'not the version of a perftest'],
  ['another version', '5.33'.padEnd(16, '\0'), 'speaks version 5.33'],
  ['a path MTU of code 6', `${GREETING}6\0`, 'not the code of a path MTU'],
  ['a path MTU of code 0', `${GREETING}0\0`, 'not the code of a path MTU'],
  ['a path MTU of two digits', `${GREETING}12`, 'not the code of a path MTU'],
  ['a line that is too long', `${GREETING}${MTU}${line.slice(0, -1)}0`, 'not the line of a perftest'],
  ['a line without a GID', `${GREETING}${MTU}${'0000:'.repeat(22)}`, 'not the line of a perftest'],
  ['digits that are none', `${GREETING}${MTU}${line.replace(':00004d:', ':0000zz:')}`, 'not the line'],
  [
    'the GID of another host',
    `${GREETING}${MTU}${someLine(Buffer.alloc(16))}`,
    'not the address that it comes',
  ],
  ['a wrong goodbye', `${GREETING}${MTU}doom\0`, "not 'done'"],
];
const CUT: readonly [what: string, said: string, answer: string][] = [
  ['in the version', VERSION.slice(0, 5), 'in the middle of a word'],
  ['after the version', VERSION, 'in the middle of the exchange'],
  ['in a line', `${GREETING}${MTU}${line.slice(0, 50)}`, 'in the middle of a word'],
  ['in the results', `${GREETING}${MTU}${'\0'.repeat(16)}`, 'in the middle of the exchange'],
];

describeIf(process.platform === 'linux', noMachine)('rdmavt serve perftest, and hostile clients', () => {
  test('what a client says wrongly ends it, with the reason', async () => {
    const served = await serve([...PERFTEST, '--program', 'write_bw']);
    for (const [, said, answer] of HOSTILE) {
      const before = served.output().length;
      const client = new TcpClient(served.port).listen();
      client.say(said);
      await until(() => client.isClosed);
      await until(() => served.output().slice(before).includes(answer));
    }
    for (const [, said, answer] of CUT) {
      const before = served.output().length;
      const client = new TcpClient(served.port).listen();
      client.socket.end(said, 'latin1');
      await until(() => served.output().slice(before).includes(answer));
      await until(() => client.isClosed);
    }
    served.child.kill('SIGTERM');
    expect(await served.ended).toBe(0);
  });

  test('a client that never speaks, or a byte from time to time, is ended after 10 s; the 17th is refused', async () => {
    const served = await serve([...PERFTEST, '--program', 'read_bw']);
    const start = performance.now();
    const silent = Array.from({ length: 15 }, () => new TcpClient(served.port).listen());
    const slow = new TcpClient(served.port).listen();
    const trickle = setInterval(() => {
      slow.say('6');
    }, 2000);
    await sleep(500);
    const surplus = new TcpClient(served.port).listen();
    await until(() => surplus.isClosed);
    expect(served.output()).toContain('refused, because 16 clients are served');
    await within(20_000, () => [...silent, slow].every((client) => client.isClosed));
    clearInterval(trickle);
    expect(performance.now() - start).toBeGreaterThan(9000);
    expect(served.output().match(/has not told a queue pair for 10 s/g)).toHaveLength(16);
  });
});

test.each([
  [[], '--program is required'],
  [['--program', 'ib_write_bw'], '--program takes write_bw, write_lat, read_bw, read_lat, send_bw'],
  [['--program', 'write_bw', '--size', '4'], '--size is an option of --program write_lat'],
  [['--program', 'write_lat', '--size', '0'], '--size takes a number from 1 to 8388608'],
  [['--program', 'write_lat', '--size', '8388609'], '--size takes'],
  [['--program', 'write_lat', '--size', '2x'], '--size takes'],
  [['--program', 'write_bw', '--type', 'rc'], '--type is an option of pingpong, not of perftest'],
  [['--program', 'write_bw', '--mtu', '1500'], '--mtu takes'],
])('rdmavt serve perftest %j is a usage error', (args, message) => {
  const { status, stderr } = rdmavt(['serve', 'perftest', '--address', SERVER, ...args]);
  expect(status).toBe(2);
  expect(stderr).toContain(message);
});

describeIf(process.platform === 'linux', noMachine)('rdmavt serve perftest, and an address', () => {
  test('it must be one of this machine', () => {
    const { status, stderr } = rdmavt([
      'serve',
      'perftest',
      '--address',
      '192.0.2.1',
      '--program',
      'send_bw',
    ]);
    expect(status).toBe(2);
    expect(stderr).toContain('EADDRNOTAVAIL');
  });
});
