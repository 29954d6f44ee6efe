// Endpoints without a socket: tests decide which packets arrive, and when.
import { type Device, type Endpoint, type QueuePair } from '../../lib';
import { describeIf } from '../support/conditions';
import { MemoryEndpoint, type WirePacket } from '../support/memory-endpoint';
import { memory, REMOTE } from '../support/queue-pairs';
import { open } from '../support/scene';
import { until } from '../support/wire-ends';

const isLinux = process.platform === 'linux';
const PORT = 4791;
/** Addresses for documentation, which no machine has (RFC 5737, RFC 3849). */
const families = [
  ['IPv4', '192.0.2.1', '192.0.2.2'],
  ['IPv6', '2001:db8::1', '2001:db8::2'],
] as const;
const EBADF = -9;
const EINVAL = -22;

interface End {
  memory: MemoryEndpoint;
  endpoint: Endpoint;
  device: Device;
  pd: ReturnType<Device['allocPd']>;
  qp: QueuePair<'RC'>;
}

function end(address: string): End {
  const device = open();
  const made = new MemoryEndpoint({ device, address, port: PORT });
  const pd = device.allocPd();
  const qp = pd.createQp({ type: 'RC', sendCq: device.createCq(256), maxSendWr: 128 });
  return { memory: made, endpoint: made.endpoint, device, pd, qp };
}

interface PairOptions {
  addresses?: readonly [string, string];
  pathMtu?: 256 | 1024 | 4096;
  timeout?: number;
}

/** Two connected ends. */
function pair({ addresses = ['192.0.2.1', '192.0.2.2'], ...options }: PairOptions = {}): [End, End] {
  const [a, b] = [end(addresses[0]), end(addresses[1])];
  const [here, there] = [a.endpoint.describe(a.qp), b.endpoint.describe(b.qp)];
  a.qp.connect({ endpoint: a.endpoint, ...there, access: REMOTE, ...options });
  b.qp.connect({ endpoint: b.endpoint, ...here, access: REMOTE, ...options });
  return [a, b];
}

/** Takes the packets of one end, as they arrive at the other one. */
const taken = (from: End): WirePacket[] =>
  from.memory.take().map(({ bytes }) => ({ bytes, address: from.endpoint.address, port: PORT }));

const opcodeOf = ({ bytes }: WirePacket): number => bytes[0]!;

/** Carries packets in both directions until none is left. Returns how many it has carried. */
function carry(a: End, b: End, ipId = -1): number {
  let count = 0;
  for (;;) {
    const [there, back] = [taken(a), taken(b)];
    if (!there.length && !back.length) return count;
    for (const packet of there) expect(b.memory.feed(packet, ipId)).toBe(0);
    for (const packet of back) expect(a.memory.feed(packet, ipId)).toBe(0);
    count += there.length + back.length;
  }
}

/** Carries packets until a promise is settled. */
async function carried<T>(promise: Promise<T>, a: End, b: End): Promise<T> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  promise.then(over, over);
  await until(() => {
    carry(a, b);
    return isOver;
  });
  return promise;
}

describeIf(isLinux, 'endpoints need Linux')('an endpoint without a socket', () => {
  test('needs no address and no free port of this machine', () => {
    const ends = [end('192.0.2.1'), end('192.0.2.1'), end('2001:db8::1')];
    expect(ends.map(({ endpoint }) => [endpoint.address, endpoint.port])).toEqual([
      ['192.0.2.1', PORT],
      ['192.0.2.1', PORT],
      ['2001:db8::1', PORT],
    ]);
    expect(() => end('0.0.0.0')).toThrow('EINVAL');
  });

  describe.each(families)('over %s', (_, one, other) => {
    test.each([256, 1024, 4096] as const)(
      'carries every operation, with a path MTU of %i',
      async (pathMtu) => {
        const [a, b] = pair({ addresses: [one, other], pathMtu });
        const [from, to, back] = [memory(a.pd, 20_000), memory(b.pd, 20_000), memory(a.pd, 20_000)];
        from.bytes.forEach((_byte, i) => (from.bytes[i] = (i * 7) ^ (i >> 8)));
        const received = b.qp.recv(to.sge(0, 8));
        await carried(
          Promise.all([
            a.qp.write(from.sge(), to.at()),
            a.qp.read(back.sge(), to.at()),
            a.qp.send(from.sge(0, 8), { imm: 5 }),
          ]),
          a,
          b,
        );
        expect(back.bytes.equals(from.bytes)).toBe(true);
        expect(await received).toMatchObject({ byteLength: 8, imm: 5 });
        to.bytes.writeBigUInt64LE(40n);
        expect(await carried(a.qp.fetchAdd(back.sge(0, 8), to.at(), 2n), a, b)).toBe(40n);
        expect(to.bytes.readBigUInt64LE()).toBe(42n);
        for (const { endpoint } of [a, b]) {
          const { badIcrc, malformed, unknownQp, wrongSource, retransmitted } = endpoint.counters();
          expect([badIcrc, malformed, unknownQp, wrongSource, retransmitted]).toEqual([0, 0, 0, 0, 0]);
        }
      },
    );

    test('addresses packets to the peer, and drops those from another address', () => {
      const [a, b] = pair({ addresses: [one, other] });
      const [from, to] = [memory(a.pd, 'hello'), memory(b.pd, 5)];
      void a.qp.write(from.sge(), to.at()).catch(() => {});
      const [packet] = a.memory.take();
      expect(packet).toEqual({ bytes: expect.any(Uint8Array), address: other, port: PORT });
      const stranger = one.endsWith('1') ? `${one}1` : one;
      expect(b.memory.feed({ ...packet!, address: stranger })).toBe(0);
      expect(b.endpoint.counters()).toMatchObject({ received: 1, wrongSource: 1 });
      expect(b.memory.take()).toEqual([]);
      expect(b.memory.feed({ ...packet!, address: one })).toBe(0);
      expect(to.bytes.toString()).toBe('hello');
      expect(b.memory.take()).toHaveLength(1);
    });
  });

  test('checks the ICRC with the IP identification that is told, and finds it if none is', () => {
    const [a, b] = pair();
    const [from, to] = [memory(a.pd, 'hello'), memory(b.pd, 5)];
    void a.qp.write(from.sge(), to.at()).catch(() => {});
    const [packet] = taken(a);
    expect(b.memory.feed(packet!, 7)).toBe(0); // it was sent with 0
    expect(b.endpoint.counters()).toMatchObject({ received: 1, badIcrc: 1 });
    expect(to.bytes.toString()).toBe('\0\0\0\0\0');
    b.memory.feed(packet!, 0);
    expect(to.bytes.toString()).toBe('hello');
    b.memory.feed(packet!, -1);
    expect(b.endpoint.counters()).toMatchObject({ received: 3, badIcrc: 1, duplicates: 1 });
    const damaged = Uint8Array.from(packet!.bytes);
    damaged[damaged.length - 8]! ^= 1;
    b.memory.feed({ ...packet!, bytes: damaged }, 0);
    expect(b.endpoint.counters()).toMatchObject({ received: 4, badIcrc: 2 });
  });

  test('sends again when its timer says so, though nothing arrives', async () => {
    const [a, b] = pair({ timeout: 8 }); // 1 ms
    const [from, to] = [memory(a.pd, 'hello'), memory(b.pd, 5)];
    const write = a.qp.write(from.sge(), to.at());
    expect(a.memory.take()).toHaveLength(1); // lost
    await carried(write, a, b);
    expect(to.bytes.toString()).toBe('hello');
    expect(a.endpoint.counters().timeouts).toBeGreaterThan(0);
  });

  test('answers a long READ in turns; a key that is revoked between two of them ends it there', async () => {
    const LENGTH = 1 << 20;
    const [a, b] = pair({ pathMtu: 256, timeout: 0 });
    const [back, target] = [memory(a.pd, LENGTH), memory(b.pd, LENGTH)];
    target.bytes.fill('x');
    const refusals: string[] = [];
    b.endpoint.on('refused', ({ reason }) => refusals.push(reason));
    const read = a.qp.read(back.sge(), target.at());
    for (const packet of taken(a)) b.memory.feed(packet);
    const responses = taken(b);
    expect(responses.length).toBeGreaterThan(0);
    expect(responses.length).toBeLessThan(LENGTH / 256);
    target.mr.dereg();
    target.bytes.fill('y');
    for (const packet of responses) a.memory.feed(packet);
    await expect(carried(read, a, b)).rejects.toThrow('REM_ACCESS_ERR');
    const got = responses.length * 256;
    expect(back.bytes.subarray(0, got).every((byte) => byte === 0x78)).toBe(true);
    expect(back.bytes.subarray(got).every((byte) => byte === 0)).toBe(true);
    expect(responses.map(opcodeOf).filter((opcode) => opcode === 14)).toHaveLength(responses.length - 1);
    expect([a.qp.state, b.qp.state]).toEqual(['ERR', 'ERR']);
    await until(() => refusals.length > 0);
    expect(refusals).toEqual(['Revoked']);
  });

  test('loses packets that nobody takes, and counts them', async () => {
    const LENGTH = 17 << 20;
    const [RESPONSES, MOST] = [LENGTH / 256, 65_536];
    const [a, b] = pair({ pathMtu: 256, timeout: 0 });
    const [back, target] = [memory(a.pd, LENGTH), memory(b.pd, LENGTH)];
    target.bytes.fill('x');
    void a.qp.read(back.sge(), target.at()).catch(() => {});
    for (const packet of taken(a)) b.memory.feed(packet);
    await until(() => b.endpoint.counters().sent === RESPONSES);
    expect(b.endpoint.counters().unsent).toBe(RESPONSES - MOST);
    const responses = taken(b);
    expect(responses).toHaveLength(MOST);
    for (const packet of responses) a.memory.feed(packet);
    expect(back.bytes.indexOf(0)).toBe(MOST * 256);
  });

  test('refuses what is not a packet', () => {
    const [a, b] = pair();
    const at = { address: '192.0.2.1', port: PORT };
    for (const address of ['', 'localhost', '0.0.0.0', '192.0.2.1\0', '1'.repeat(1000)])
      expect(b.memory.feed({ bytes: new Uint8Array(20), address, port: PORT })).toBe(EINVAL);
    for (const length of [0, 1, 15, 16, 4160, 4161, 70_000])
      expect(b.memory.feed({ bytes: new Uint8Array(length), ...at })).toBe(0);
    expect(b.endpoint.counters()).toMatchObject({ received: 7, malformed: 7, unknownQp: 0 });
    const wrong = (call: () => unknown): void => {
      expect(call).toThrow(/^argument \d /); // of the realm of the native module
    };
    wrong(() => b.memory.feed({ bytes: 'text' as never, ...at }));
    wrong(() => b.memory.feed({ bytes: new Uint8Array(8), address: 5 as never, port: PORT }));
    wrong(() => b.memory.feed({ bytes: new Uint8Array(8), ...at, port: 65_536 }));
    wrong(() => b.memory.feed({ bytes: new Uint8Array(8), ...at }, 65_536));
    wrong(() => b.memory.feed({ bytes: new Uint8Array(8), ...at }, -2));
    expect(taken(a)).toEqual([]);
  });

  test('takes and gives nothing when it is closed, or when it has a socket', () => {
    const [a, b] = pair();
    const to = memory(b.pd, 5);
    void a.qp.write(memory(a.pd, 'hello').sge(), to.at()).catch(() => {});
    const [packet] = taken(a);
    void a.qp.write(memory(a.pd, 'again').sge(), to.at()).catch(() => {});
    a.endpoint.close();
    expect(taken(a)).toEqual([]);
    b.device.close({ cascade: true });
    expect(b.memory.feed(packet!)).toBe(EBADF);
    expect(b.memory.take()).toEqual([]);
    expect(to.bytes.toString()).toBe('\0\0\0\0\0');
    const socket = new MemoryEndpoint({ device: open(), address: '127.0.0.1', port: 0 }, 0);
    expect(socket.feed({ bytes: new Uint8Array(20), address: '127.0.0.1', port: PORT })).toBe(EBADF);
    expect(socket.take()).toEqual([]);
  });
});
