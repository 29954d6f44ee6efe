// An endpoint of Node as the server of perftest's one-sided programs: the client is Debian's, in a process of its own with the shim;
// this process speaks its lines over TCP, and then only serves memory.
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { Access, Device, Endpoint, type PathMtu } from '../../lib';
import { formatPerftestLine, parsePerftestLine, PERFTEST_LINE_BYTES } from '../../lib/serve/perftest-line';
import { testIf } from '../support/conditions';
import { networkAddress, Program, whyNot } from './pair';
import { rowsOf } from './results';

const UDP_PORT = 4791;
const MTU: PathMtu = 1024;
const SERVER = networkAddress(3);
const CLIENT = networkAddress(4);
const MEMORY_BYTES = 1 << 20;
const ACCESS = Access.LocalWrite | Access.RemoteWrite | Access.RemoteRead | Access.RemoteAtomic;
const DONE = 'done\0';

/** The GID of an IPv4 address. */
function gidOf(address: string): Uint8Array {
  return Uint8Array.from([...Array<number>(10).fill(0), 0xff, 0xff, ...address.split('.').map(Number)]);
}

/** A queue pair of a device of its own, and memory that its peer may use. */
class Server {
  readonly device = new Device();
  readonly endpoint = new Endpoint({ device: this.device, address: SERVER, port: UDP_PORT });
  readonly memory = new Uint8Array(new SharedArrayBuffer(MEMORY_BYTES)).fill(0xee);
  readonly #pd = this.device.allocPd();
  readonly #mr = this.#pd.regUserMr(this.memory, { access: ACCESS });
  readonly #qp = this.#pd.createQp({ type: 'RC', sendCq: this.device.createCq(16) });
  readonly #here = this.endpoint.describe(this.#qp);
  #isConnected = false;
  isDone = false;

  /** Returns what to say to something that the client has said. */
  answer(said: Buffer): Buffer {
    const line = parsePerftestLine(said);
    if (!line) return said;
    expect(line.address).toBe(CLIENT);
    if (!this.#isConnected) {
      const { address, qpn, psn, reads } = line;
      this.#qp.connect({
        ...{ endpoint: this.endpoint, address, port: UDP_PORT, qpn, psn },
        ...{ access: ACCESS, pathMtu: MTU, maxDestRdAtomic: Math.max(reads, 1) },
      });
      this.#isConnected = true;
    }
    const { qpn, psn } = this.#here;
    const own = { reads: line.reads, qpn, psn, rkey: this.#mr.rkey, remoteAddress: this.#mr.iova };
    return formatPerftestLine(own, gidOf(SERVER));
  }

  /** Speaks with the client until it says that it is done. A line may come in pieces. */
  talk(socket: Socket): void {
    let said = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      said = Buffer.concat([said, chunk]);
      const isBegun = /^[0-9a-f]{4}:/.test(said.subarray(0, 5).toString('latin1'));
      if (isBegun && said.length < PERFTEST_LINE_BYTES) return;
      const whole = said;
      said = Buffer.alloc(0);
      if (whole.toString('latin1') === DONE) {
        this.isDone = true;
        socket.end();
      } else socket.write(this.answer(whole));
    });
  }

  close(): void {
    this.device.close({ cascade: true });
  }
}

/** Runs a program of perftest as client of a server in this process. */
async function run(program: string, options: string[]) {
  const server = new Server();
  const tcp = createServer((socket) => {
    server.talk(socket);
  });
  try {
    tcp.listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    const { port } = tcp.address() as AddressInfo;
    const args = [...options, '-m', String(MTU), '-p', String(port), '127.0.0.1'];
    const client = await new Program(program, args, CLIENT).ended;
    expect(client).toMatchObject({ status: 0, signal: null });
    expect(server.isDone).toBe(true);
    const counters = server.endpoint.counters();
    return { rows: rowsOf(client.stdout), counters, memory: server.memory };
  } finally {
    tcp.close();
    server.close();
  }
}

const with_ = (program: string) => testIf(whyNot(program) === undefined, whyNot(program) ?? '');

with_('ib_write_bw')('ib_write_bw writes to the memory of a Node endpoint', async () => {
  const { rows, counters, memory } = await run('ib_write_bw', ['-n', '200', '-s', '65536']);
  expect(rows.map((row) => [row.bytes, row.iterations])).toEqual([[65_536, 200]]);
  expect(rows[0]?.numbers[1]).toBeGreaterThan(0);
  expect(counters.bytesReceived).toBeGreaterThanOrEqual(200 * 65_536);
  expect(counters.fatalNaks).toBe(0);
  expect(memory.subarray(0, 65_536).some((byte) => byte !== 0xee)).toBe(true);
  expect(memory.subarray(MEMORY_BYTES / 2).every((byte) => byte === 0xee)).toBe(true);
});

with_('ib_read_lat')('ib_read_lat reads the memory of a Node endpoint', async () => {
  const { rows, counters } = await run('ib_read_lat', ['-n', '300', '-s', '64']);
  expect(rows.map((row) => [row.bytes, row.iterations])).toEqual([[64, 300]]);
  expect(rows[0]?.numbers[0]).toBeGreaterThan(0);
  expect(counters.bytesSent).toBeGreaterThanOrEqual(300 * 64);
  expect(counters.fatalNaks).toBe(0);
});
