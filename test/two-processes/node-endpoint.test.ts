// `rdmavt serve perftest` as the server of perftest's programs: the clients are Debian's, each in a process of its own with the shim.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { testIf } from '../support/conditions';
import { killServed, serve } from '../support/served';
import { networkAddress, Program, whyNot } from './pair';
import { rowsOf } from './results';

const MTU = 1024;
const SERVER = networkAddress(3);
const CLIENT = networkAddress(4);
/** A bandwidth test: 65,536 bytes, a latency test: 2 bytes, unless they are told another size; an atomic operation: 8. */
const BANDWIDTH = 65_536;
/** Sizes of the option -a. */
const ALL_SIZES = Array.from({ length: 23 }, (_, i) => 2 ** (i + 1));

afterEach(killServed);

/** The programs' TCP connections come from 127.0.0.1, whatever address their device has: this forwards them from the client's address. */
async function forward(port: number): Promise<Server> {
  const relay = createServer((client) => {
    const server = connect({ host: SERVER, port, localAddress: CLIENT });
    for (const socket of [client, server]) socket.on('error', () => undefined);
    client.pipe(server).pipe(client);
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  return relay;
}

/** Runs a program as client of `rdmavt serve perftest`, and returns its rows and what the server has said. */
async function run(name: string, options: readonly string[], serverOptions: readonly string[]) {
  const served = await serve([
    ...['perftest', '--program', name, '--address', SERVER, '--port', '0', '--mtu', `${MTU}`, '--once'],
    ...serverOptions,
  ]);
  const relay = await forward(served.port);
  try {
    const { port } = relay.address() as AddressInfo;
    const client = await new Program(`ib_${name}`, [...options, '-p', String(port), '127.0.0.1'], CLIENT)
      .ended;
    expect({ ...client, said: served.output() }).toMatchObject({ status: 0, signal: null });
    expect(await served.ended).toBe(0);
    return { rows: rowsOf(client.stdout), said: served.output() };
  } finally {
    relay.close();
  }
}

interface Run {
  readonly name: string;
  readonly options: string;
  readonly server?: string;
  readonly sizes: readonly number[];
  readonly iterations: number;
  /** What the output says at the end. */
  readonly done: string;
}

const received = (messages: number, bytes: number, how: string): string =>
  `${messages} messages, ${bytes} bytes, ${how}`;

const runs: readonly Run[] = [
  ...[
    {
      name: 'write_bw',
      options: '-n 200',
      sizes: [BANDWIDTH],
      iterations: 200,
      done: '13107200 bytes came in',
    },
    {
      name: 'write_bw',
      options: '-n 20 -q 4',
      sizes: [BANDWIDTH],
      iterations: 80,
      done: '5242880 bytes came in',
    },
    {
      ...{ name: 'write_bw', options: '-n 5 -a', sizes: ALL_SIZES, iterations: 5 },
      done: 'bytes came in',
    },
    { name: 'read_bw', options: '-n 100', sizes: [BANDWIDTH], iterations: 100, done: '6553600 went out' },
    { name: 'read_lat', options: '-n 300 -s 64', sizes: [64], iterations: 300, done: '19200 went out' },
    { name: 'atomic_bw', options: '-n 200', sizes: [8], iterations: 200, done: 'the number in memory is' },
    { name: 'atomic_lat', options: '-n 200', sizes: [8], iterations: 200, done: 'the number in memory is' },
  ],
  ...[
    {
      ...{ name: 'send_bw', options: '-n 200 -q 2', sizes: [BANDWIDTH], iterations: 400 },
      done: received(400, 400 * BANDWIDTH, 'received'),
    },
    {
      ...{ name: 'send_lat', options: '-n 300', sizes: [2], iterations: 300 },
      done: received(300, 600, 'sent back'),
    },
    {
      ...{ name: 'send_lat', options: '-n 20 -s 100000', sizes: [100_000], iterations: 20 },
      done: received(20, 2_000_000, 'sent back'),
    },
    {
      ...{ name: 'write_lat', options: '-n 300', sizes: [2], iterations: 300 },
      done: received(300, 600, 'written back'),
    },
    {
      ...{ name: 'write_lat', options: '-n 20 -s 100000', server: '--size 100000', sizes: [100_000] },
      ...{ iterations: 20, done: received(20, 2_000_000, 'written back') },
    },
  ],
];

describe.each(runs)('ib_$name $options', ({ name, options, server, sizes, iterations, done }) => {
  const why = whyNot(`ib_${name}`);
  testIf(why === undefined, why ?? '')('and rdmavt serve perftest', async () => {
    const { rows, said } = await run(name, options.split(' '), server?.split(' ') ?? []);
    expect(rows.map((row) => [row.bytes, row.iterations])).toEqual(sizes.map((size) => [size, iterations]));
    // The bandwidth of few short messages is rounded to 0.
    for (const { bytes, numbers } of rows)
      if (name.endsWith('_lat') || bytes >= 4096) expect(numbers[0]).toBeGreaterThan(0);
    expect(said).toContain(`${CLIENT}: version 6.06 of perftest's exchange, path MTU ${MTU}`);
    expect(said).toContain(done);
    expect(said).not.toContain('refused');
  });
});
