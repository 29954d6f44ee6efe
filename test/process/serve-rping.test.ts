// `rdmavt serve rping`: with a client that speaks the messages of `rping -c`, and clients that speak wrongly.
import { Access, Device, Endpoint, type MemoryRegion, type QueuePair } from '../../lib';
import { rdmavt } from '../support/command-line';
import { describeIf } from '../support/conditions';
import { CLIENT, killServed, serve, type Served, SERVER } from '../support/served';
import { until } from '../support/wire-ends';

const PORT = 7174;
const MESSAGE = 16;
const SEND_AT = 16;
const TEXT_AT = 4096;
const SINK_AT = 128 * 1024;

/** A client that sends what it wants. */
class Client {
  readonly device = new Device();
  readonly endpoint = new Endpoint({ device: this.device, address: CLIENT, port: 0 });
  readonly pd = this.device.allocPd();
  readonly bytes = Buffer.alloc(256 * 1024);
  readonly region: MemoryRegion = this.pd.regUserMr(this.bytes, {
    access: Access.LocalWrite | Access.RemoteRead | Access.RemoteWrite,
  });
  readonly qp: QueuePair<'RC'> = this.pd.createQp({ type: 'RC', sendCq: this.device.createCq(64) });

  async connect(served: Served, pathMtu: 256 | 1024 = 1024) {
    return this.endpoint.connect(SERVER, PORT, {
      ...{ qp: this.qp, port: udpPortOf(served), pathMtu, maxRdAtomic: 3 },
      access: Access.RemoteRead | Access.RemoteWrite,
    });
  }

  sge(offset: number, length: number) {
    return { addr: this.region.start + BigInt(offset), length, lkey: this.region.lkey };
  }

  /** Tells the server a place, and waits until it says that the client may go on. */
  async tell(offset: number, length: number, key: number = this.region.rkey): Promise<void> {
    const goOn = this.qp.recv(this.sge(0, MESSAGE));
    goOn.catch(() => undefined);
    this.bytes.writeBigUInt64BE(this.region.iova + BigInt(offset), SEND_AT);
    this.bytes.writeUInt32BE(key, SEND_AT + 8);
    this.bytes.writeUInt32BE(length, SEND_AT + 12);
    await this.qp.send(this.sge(SEND_AT, MESSAGE));
    await goOn;
  }
}

const udpPortOf = (served: Served): number => Number(/UDP port (\d+)/.exec(served.output())?.[1]);

const clients: Client[] = [];
afterEach(() => {
  killServed();
  for (const { device } of clients.splice(0)) device.close({ cascade: true });
});

function newClient(): Client {
  const client = new Client();
  clients.push(client);
  return client;
}

const RPING = ['rping', '--address', SERVER, '--udp-port', '0'];

describeIf(process.platform === 'linux', 'endpoints need Linux')('rdmavt serve rping', () => {
  test('reads the texts of a client, writes them back, and shows them', async () => {
    const served = await serve([...RPING, '--once']);
    expect(served.port).toBe(PORT);
    const client = newClient();
    const connection = await client.connect(served, 256);
    let bytes = 0;
    for (let i = 0; i < 20; i++) {
      const text = `rdma-ping-${i}: ${'abc'.repeat(i * 1000)}\0`;
      client.bytes.write(text, TEXT_AT, 'latin1');
      await client.tell(TEXT_AT, text.length);
      client.bytes.fill(0xee, SINK_AT);
      await client.tell(SINK_AT, text.length);
      expect(client.bytes.toString('latin1', SINK_AT, SINK_AT + text.length)).toBe(text);
      expect(client.bytes[SINK_AT + text.length]).toBe(0xee);
      bytes += text.length;
    }
    expect(await connection.disconnect()).toBe('program');
    expect(await served.ended).toBe(0);
    const output = served.output();
    const qpn = client.qp.qpn.toString(16).padStart(6, '0');
    expect(output).toContain(
      `127.0.0.2: asks for a connection with its queue pair 0x${qpn}: path MTU 256, 3 reads`,
    );
    expect(output).toContain(
      `round 1: 14 bytes read at 0x${(client.region.iova + 4096n).toString(16).padStart(16, '0')}`,
    );
    expect(output).toContain(JSON.stringify('rdma-ping-0: \0'));
    expect(output.match(/: round \d/g)).toHaveLength(3);
    expect(output).toContain(`20 rounds, ${bytes} bytes read and written back`);
  });

  test('serves one client after the other, and several at once', async () => {
    const served = await serve(RPING);
    for (let i = 0; i < 2; i++) {
      const several = Array.from({ length: 4 }, newClient);
      await Promise.all(
        several.map(async (client) => {
          const connection = await client.connect(served);
          await client.tell(TEXT_AT, 64);
          await client.tell(SINK_AT, 64);
          await connection.disconnect();
        }),
      );
    }
    await until(() => served.output().match(/1 round, 64 bytes/g)?.length === 8);
    served.child.kill('SIGTERM');
    expect(await served.ended).toBe(0);
  });

  test.each([
    ['a text that is too long', (client: Client) => client.tell(TEXT_AT, 65_537), 'a text of 65537 bytes'],
    ['the longest text there is', (client: Client) => client.tell(TEXT_AT, 0xffff_ffff), '4294967295 bytes'],
    ['an empty text', (client: Client) => client.tell(TEXT_AT, 0), 'a text of 0 bytes'],
    ['a wrong key', (client: Client) => client.tell(TEXT_AT, 64, 77), 'REM_ACCESS_ERR'],
    [
      'a message that is too short',
      async (client: Client) => client.qp.send(client.sge(0, 15)),
      'a message of 15 bytes is none of rping',
    ],
    [
      'a message that is too long',
      async (client: Client) => client.qp.send(client.sge(0, 17)),
      'LOC_QP_OP_ERR',
    ],
    ['nothing', async () => undefined, '0 rounds, 0 bytes'],
  ])('%s ends a client, and no other', async (_what, misbehave, reason) => {
    const served = await serve(RPING);
    const [bad, good] = [newClient(), newClient()];
    const connections = [await bad.connect(served), await good.connect(served)] as const;
    await Promise.race([misbehave(bad).catch(() => undefined), connections[0].closed]);
    if (reason.startsWith('0 rounds')) await connections[0].disconnect();
    expect(['peer', 'program']).toContain(await connections[0].closed);
    await until(() => new RegExp(reason).test(served.output()));
    await good.tell(TEXT_AT, 64);
    await good.tell(SINK_AT, 64);
    await connections[1].disconnect();
    await until(() => served.output().includes('1 round, 64 bytes'));
  });

  test('a client that never speaks is disconnected after 10 s', async () => {
    const served = await serve([...RPING, '--once']);
    const start = performance.now();
    const connection = await newClient().connect(served);
    expect(await connection.closed).toBe('peer');
    expect(performance.now() - start).toBeGreaterThan(9000);
    expect(await served.ended).toBe(0);
    expect(served.output()).toContain('silent for 10 s');
  });

  test('it can be ended while clients are served', async () => {
    const served = await serve(RPING);
    const connection = await newClient().connect(served);
    served.child.kill('SIGTERM');
    expect(await served.ended).toBe(0);
    expect(await connection.closed).toBe('peer');
    expect(served.output()).not.toMatch(/Error| {4}at /);
  });

  test('the 17th client is rejected', async () => {
    const served = await serve(RPING);
    const connections = await Promise.all(
      Array.from({ length: 16 }, async () => newClient().connect(served)),
    );
    await expect(newClient().connect(served)).rejects.toThrow('ECONNREFUSED');
    expect(served.output()).toContain('rejected, because 16 clients are served');
    await connections[0]?.disconnect();
    await until(() => served.output().includes('0 rounds'));
    expect((await newClient().connect(served)).isConnected).toBe(true);
  });
});

test.each([
  [['--port', '0'], '--port takes a number from 1 for rping'],
  [['--port', '65536'], '--port takes'],
  [['--mtu', '1024'], '--mtu is an option of pingpong and perftest, not of rping'],
  [['--program', 'write_bw'], '--program is an option of perftest, not of rping'],
])('rdmavt serve rping %j is a usage error', (args, message) => {
  const { status, stderr } = rdmavt(['serve', ...RPING, ...args]);
  expect(status).toBe(2);
  expect(stderr).toContain(message);
});
