// `rdmavt serve`: the pingpongs of libibverbs, with a client that speaks their lines, and clients that do not.
import { connect, type Socket } from 'node:net';
import { Device, Endpoint, type QueuePair } from '../../lib';
import { rdmavt } from '../support/command-line';
import { describeIf } from '../support/conditions';
import { memory } from '../support/queue-pairs';
import { CLIENT, CLIENT_GID, killServed, serve, SERVER } from '../support/served';
import { until } from '../support/wire-ends';

const isLinux = process.platform === 'linux';
const QKEY = 0x11111111;
const LINE_BYTES = 52;
const TURNS = 200;

afterEach(killServed);

const PINGPONG = ['pingpong', '--address', SERVER, '--port', '0'];

/** Connects as a client, says a line, and returns the server's. */
async function exchange(port: number, line: string): Promise<{ socket: Socket; answer: string }> {
  const socket = connect({ port, host: SERVER, localAddress: CLIENT });
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  socket.write(line);
  await until(() => text.length >= LINE_BYTES || socket.closed);
  return { socket, answer: text };
}

const digits = (value: number): string => value.toString(16).padStart(6, '0');
const lineOf = (qpn: number, psn: number, gid = CLIENT_GID): string =>
  `0000:${digits(qpn)}:${digits(psn)}:${gid}\0`;

describeIf(isLinux, 'endpoints need Linux')('rdmavt serve pingpong', () => {
  test.each(['rc', 'uc', 'ud'] as const)('sends the messages of a client of type %s back', async (type) => {
    const device = new Device();
    const endpoint = new Endpoint({ device, address: CLIENT, port: 0 });
    const pd = device.allocPd();
    const cq = device.createCq(64);
    const skip = type === 'ud' ? 40 : 0;
    const qp = pd.createQp({ type: type.toUpperCase() as 'RC', sendCq: cq });
    const { qpn, psn } = endpoint.describe(qp);
    const [from, to] = [memory(pd, 4096), memory(pd, 4096)];
    const served = await serve([
      ...[...PINGPONG, '--type', type],
      ...['--udp-port', `${endpoint.port}`, '--once'],
    ]);
    const { socket, answer } = await exchange(served.port, lineOf(qpn, psn));
    const [, theirQpn = '', theirPsn = '', gid] = /^0000:(\w{6}):(\w{6}):(\w{32})\0$/.exec(answer) ?? [];
    expect(gid).toBe('00000000000000000000ffff7f000001');
    const there = { qpn: parseInt(theirQpn, 16), psn: parseInt(theirPsn, 16) };
    const ud = qp as unknown as QueuePair<'UD'>;
    if (type === 'ud') ud.activate({ endpoint, qkey: QKEY });
    else qp.connect({ endpoint, address: SERVER, port: endpoint.port, ...there, access: 0 });
    const ah = pd.createAh({ address: SERVER, udpPort: endpoint.port });
    for (let i = 0; i < TURNS; i++) {
      const length = (i * 13) % 1000;
      from.bytes.fill(i, 0, length);
      const back = qp.recv(to.sge());
      if (type === 'ud') await ud.send(from.sge(0, length), { ah, remoteQpn: there.qpn, remoteQkey: QKEY });
      else await qp.send(from.sge(0, length));
      expect((await back).byteLength).toBe(length + skip);
      expect(to.bytes.subarray(skip, skip + length).equals(from.bytes.subarray(0, length))).toBe(true);
    }
    socket.end('done\0');
    expect(await served.ended).toBe(0);
    expect(served.output()).toContain(`127.0.0.2: queue pair 0x${digits(qpn)}`);
    expect(served.output()).toContain(`${TURNS} messages`);
    device.close({ cascade: true });
  });

  test('refuses lines that are none, GIDs of others, and clients without a word', async () => {
    const served = await serve(PINGPONG);
    for (const line of [
      'x'.repeat(LINE_BYTES),
      `${lineOf(1, 2).slice(0, -1)}x`,
      lineOf(1, 2, '00000000000000000000ffff7f000003'),
      lineOf(1, 2, '0'.repeat(32)),
      lineOf(1, 2, 'fe800000000000000000000000000001'),
    ]) {
      const { socket, answer } = await exchange(served.port, line);
      expect(answer).toBe('');
      socket.destroy();
    }
    const gone = connect({ port: served.port, host: SERVER });
    gone.end('00');
    await until(() => served.output().includes('gone without a word'));
    expect(served.output().match(/not the line of a pingpong/g)).toHaveLength(2);
    expect(served.output().match(/not the address that it comes from/g)).toHaveLength(3);
    served.child.kill('SIGTERM');
    expect(await served.ended).toBe(0);
  });

  test('says which address or port cannot be used', () => {
    const { status, stderr } = rdmavt(['serve', 'pingpong', '--address', '0.0.0.0']);
    expect(status).toBe(2);
    expect(stderr).toContain('address');
  });

  test.each([
    [['serve'], 'a program is required: pingpong, perftest, rping'],
    [['serve', 'pong'], "unknown program 'pong'"],
    [['serve', 'pingpong'], '--address is required'],
    [['serve', 'pingpong', '--address', SERVER, '--type', 'xrc'], '--type takes'],
    [
      ['serve', 'pingpong', '--address', SERVER, '--size', '2'],
      '--size is an option of perftest, not of pingpong',
    ],
    [['serve', 'pingpong', '--address', SERVER, '--mtu', '1500'], '--mtu takes'],
    [['serve', 'pingpong', '--address', SERVER, '--port', '65536'], '--port takes'],
    [['serve', 'pingpong', '--address', SERVER, '--udp-port', '-1'], 'udp-port'],
    [['serve', 'pingpong', 'more', '--address', SERVER], "unexpected argument 'more'"],
  ])('%j is a usage error', (args, message) => {
    const { status, stderr } = rdmavt(args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).toContain('rdmavt serve --help');
  });
});
