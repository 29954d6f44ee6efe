// Endpoints of the wire: opening, connecting, traffic over sockets, refusals, closing.
import { createSocket } from 'node:dgram';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { networkInterfaces } from 'node:os';
import { Access, Device, Endpoint, type RdmaError, type RefusedMessage, type WireRefusal } from '../../lib';
import { outOfRange, rdma, wrongType } from '../support/answers';
import { describeIf, testIf } from '../support/conditions';
import { memory, REMOTE } from '../support/queue-pairs';
import { open } from '../support/scene';
import { connectEnds, pause, until, wireEnd, wireEnds } from '../support/wire-ends';

const isLinux = process.platform === 'linux';
const hasIpv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === '::1'),
);
const addresses = hasIpv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1'];

const causeOf = (call: () => unknown): [string, string | undefined] => {
  try {
    call();
  } catch (error) {
    const { code, detail } = error as RdmaError;
    return [code, detail?.cause];
  }
  throw new Error('the call did not throw');
};

if (!isLinux) {
  test('an endpoint is not supported on this operating system', () => {
    const device = open();
    expect(causeOf(() => new Endpoint({ device, address: '127.0.0.1' }))).toEqual([
      'EOPNOTSUPP',
      'NoSockets',
    ]);
  });
}

describeIf(isLinux, 'endpoints need Linux')('opening an endpoint', () => {
  test('binds to the given address, at a free port for port 0', () => {
    const device = open();
    const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
    expect(endpoint.address).toBe('127.0.0.1');
    expect(endpoint.port).toBeGreaterThan(0);
    expect(endpoint.toJSON()).toEqual({
      class: 'Endpoint',
      id: endpoint.id,
      address: '127.0.0.1',
      port: endpoint.port,
      state: 'Open',
    });
    expect(String(endpoint)).toBe(
      `Endpoint { #${endpoint.id} address 127.0.0.1 port ${endpoint.port} Open }`,
    );
  });

  test.each([
    '0.0.0.0',
    '0.1.2.3',
    '::',
    '::ffff:0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    'ff02::1',
    'localhost',
    '',
    '127.0.0.1 ',
    '127.0.0.1\0',
    '127.1',
    '::1%lo',
    'fe80::1%no-such-zone',
    '1'.repeat(1000),
  ])('refuses the address %j, which is not that of one host, with EINVAL', (address) => {
    const device = open();
    expect(causeOf(() => new Endpoint({ device, address, port: 0 }))).toEqual(['EINVAL', 'HostAddress']);
  });

  test('refuses an address of another machine with EADDRNOTAVAIL', () => {
    const device = open();
    // 192.0.2.0/24 is for documentation.
    expect(causeOf(() => new Endpoint({ device, address: '192.0.2.1', port: 0 }))).toEqual([
      'EADDRNOTAVAIL',
      'Socket',
    ]);
  });

  test('refuses a port in use with EADDRINUSE, and frees it when it closes', () => {
    const device = open();
    const first = new Endpoint({ device, address: '127.0.0.1', port: 0 });
    const { port } = first;
    const again = (): Endpoint => new Endpoint({ device, address: '127.0.0.1', port });
    expect(causeOf(again)).toEqual(['EADDRINUSE', 'Socket']);
    first.close();
    expect(again().port).toBe(port);
  });

  test('refuses a device whose keys can be foretold, unless it is allowed', () => {
    const device = open({ keyPolicy: 'sequential' });
    const options = { device, address: '127.0.0.1', port: 0 };
    expect(causeOf(() => new Endpoint(options))).toEqual(['EINVAL', 'KeysForeseen']);
    const endpoint = new Endpoint({ ...options, allowForeseeableKeys: true });
    // Its queue pairs have random numbers nevertheless.
    const qp = device.allocPd().createQp({ type: 'RC', sendCq: device.createCq(1) });
    const other = device.allocPd().createQp({ type: 'RC', sendCq: device.createCq(1) });
    expect(other.qpn).not.toBe(qp.qpn + 1);
    qp.connect({ endpoint, ...endpoint.describe(other), access: REMOTE });
  });

  test('validates its options', () => {
    const device = open();
    const create = (options: object) => () =>
      new Endpoint({ device, address: '127.0.0.1', port: 0, ...options });
    expect(() => new Endpoint(undefined as never)).toThrow(wrongType());
    expect(create({ device: {} })).toThrow(wrongType('options.device'));
    expect(create({ device: undefined })).toThrow(wrongType('options.device'));
    expect(create({ address: 1 })).toThrow(wrongType('options.address'));
    expect(create({ address: undefined })).toThrow(wrongType('options.address'));
    expect(create({ port: -1 })).toThrow(outOfRange('options.port'));
    expect(create({ port: 65536 })).toThrow(outOfRange('options.port'));
    expect(create({ port: '4791' })).toThrow(wrongType('options.port'));
    expect(create({ refusalsPerMinute: -1 })).toThrow(outOfRange('options.refusalsPerMinute'));
    expect(create({ refusalsPerMinute: 2 ** 32 })).toThrow(outOfRange('options.refusalsPerMinute'));
    expect(create({ allowForeseeableKeys: 1 })).toThrow(wrongType('options.allowForeseeableKeys'));
    expect(create({ adress: '' })).toThrow('not a known option');
  });

  test('refuses a closed device with EBADF, and a restricted one with EPERM', () => {
    const device = open();
    const pd = device.allocPd();
    const restricted = Device.attach(device.share({ pd }));
    const at = { address: '127.0.0.1', port: 0 };
    expect(() => new Endpoint({ device: restricted, ...at })).toThrow(rdma('EPERM', 'open_endpoint'));
    restricted.detach({ cascade: true });
    expect(() => new Endpoint({ device: restricted, ...at })).toThrow(rdma('EBADF', 'open_endpoint'));
    device.close({ cascade: true });
    expect(() => new Endpoint({ device, ...at })).toThrow(rdma('EBADF', 'open_endpoint'));
  });
});

describeIf(isLinux, 'endpoints need Linux')('polling an endpoint', () => {
  test('carries a READ out without a turn of the event loop', () => {
    const { a, b } = wireEnds();
    const to = memory(a.pd, 8);
    const from = memory(b.pd, 'abcdefgh');
    a.qp.postSend({ opcode: 'RDMA_READ', signaled: true, sges: [to.sge()], ...from.at() });
    expect(a.cq.length).toBe(0);
    expect(b.endpoint.poll(1_000_000)).toBe(true); // the request
    expect(a.endpoint.poll(1_000_000)).toBe(true); // the response
    expect(a.cq.poll()).toMatchObject([{ status: 'SUCCESS' }]);
    expect(String(to.bytes)).toBe('abcdefgh');
  });

  test('waits as long as it is told if nothing comes, and not at all by default', () => {
    const { a } = wireEnds();
    const begin = performance.now();
    expect(a.endpoint.poll(20_000)).toBe(false);
    expect(performance.now() - begin).toBeGreaterThanOrEqual(19);
    expect(a.endpoint.poll()).toBe(false);
  });

  test('validates its argument, and returns false once the endpoint is closed', () => {
    const { endpoint } = wireEnd();
    expect(() => endpoint.poll(-1)).toThrow(outOfRange('microseconds'));
    expect(() => endpoint.poll(1_000_001)).toThrow(outOfRange('microseconds'));
    expect(() => endpoint.poll('1' as never)).toThrow(wrongType('microseconds'));
    endpoint.close();
    expect(endpoint.poll(1_000_000)).toBe(false);
  });
});

describeIf(isLinux, 'endpoints need Linux')('describing a queue pair', () => {
  test('tells address, port, number and first PSN, the same until the queue pair is reset', () => {
    const { a, b } = wireEnds();
    const { endpoint, qp, here } = a;
    expect(here).toEqual({
      address: '127.0.0.1',
      port: endpoint.port,
      qpn: qp.qpn,
      psn: expect.any(Number),
    });
    expect(JSON.parse(JSON.stringify(here))).toEqual(here);
    expect(endpoint.describe(qp)).toEqual(here);
    qp.modify({ state: 'ERR' });
    expect(endpoint.describe(qp)).toEqual(here);
    qp.modify({ state: 'RESET' });
    const next = endpoint.describe(qp);
    expect(next.psn).not.toBe(here.psn); // by chance the same once in 2^24 runs
    expect(endpoint.describe(qp)).toEqual(next);
    expect(b.endpoint.describe(b.qp).psn).toBe(b.here.psn);
  });

  test('tells the PSN that the program has chosen', () => {
    const [a, b] = [wireEnd(), wireEnd()];
    a.qp.connect({ endpoint: a.endpoint, ...b.here, access: REMOTE, localPsn: 77 });
    expect(a.endpoint.describe(a.qp).psn).toBe(77);
  });

  test('draws first PSNs over the whole range', () => {
    const { endpoint, pd, cq } = wireEnd();
    const psns = Array.from(
      { length: 64 },
      () => endpoint.describe(pd.createQp({ type: 'RC', sendCq: cq })).psn,
    );
    expect(new Set(psns).size).toBeGreaterThan(60);
    expect(Math.max(...psns)).toBeGreaterThan(2 ** 23);
    expect(Math.max(...psns)).toBeLessThan(2 ** 24);
  });

  test('refuses what cannot be connected', () => {
    const { endpoint, pd, cq, device } = wireEnd();
    const other = open();
    const elsewhere = other.allocPd().createQp({ type: 'RC', sendCq: other.createCq(1) });
    expect(() => endpoint.describe({} as never)).toThrow(wrongType('qp'));
    expect(causeOf(() => endpoint.describe(pd.createQp() as never))).toEqual(['EINVAL', 'QpHasNoQueues']);
    expect(causeOf(() => endpoint.describe(elsewhere))).toEqual(['EINVAL', 'QpOnOtherDevice']);
    const gone = pd.createQp({ type: 'RC', sendCq: cq });
    gone.destroy();
    expect(causeOf(() => endpoint.describe(gone))).toEqual(['EBADF', 'QpGone']);
    const kept = pd.createQp({ type: 'RC', sendCq: cq });
    endpoint.close();
    expect(causeOf(() => endpoint.describe(kept))).toEqual(['EBADF', 'EndpointClosed']);
    device.close({ cascade: true });
  });
});

describeIf(isLinux, 'endpoints need Linux')('connecting through an endpoint', () => {
  test('brings the queue pair to RTS with the given attributes', () => {
    const [a, b] = [wireEnd(), wireEnd()];
    a.qp.connect({
      endpoint: a.endpoint,
      ...b.here,
      access: Access.RemoteRead,
      pathMtu: 2048,
      minRnrTimer: 3,
      rnrRetry: 2,
      retryCnt: 1,
      timeout: 9,
      maxRdAtomic: 5,
      maxDestRdAtomic: 6,
      localPsn: 0xabcdef,
    });
    expect(a.qp.query()).toMatchObject({
      state: 'RTS',
      access: Access.RemoteRead,
      pathMtu: 2048,
      minRnrTimer: 3,
      rnrRetry: 2,
      retryCnt: 1,
      timeout: 9,
      maxRdAtomic: 5,
      maxDestRdAtomic: 6,
      destQpn: b.qp.qpn,
      rqPsn: b.here.psn,
      sqPsn: 0xabcdef,
    });
  });

  test('uses the defaults that the documentation states', () => {
    const { a } = wireEnds();
    expect(a.qp.query()).toMatchObject({
      pathMtu: 1024,
      minRnrTimer: 12,
      rnrRetry: 7,
      retryCnt: 7,
      timeout: 14,
      maxRdAtomic: 16,
      maxDestRdAtomic: 16,
      sqPsn: a.here.psn,
    });
  });

  test('asks a peer for no more reads at once than its endpoint can keep, whatever the device allows', async () => {
    const { a, b } = wireEnds({ device: { limits: { maxRdmaAtomic: 1000 } } });
    expect(a.qp.query()).toMatchObject({ maxRdAtomic: 16, maxDestRdAtomic: 16 });
    const { mr } = memory(a.pd, 8);
    const { mr: there } = memory(b.pd, 8);
    const read = (): Promise<unknown> =>
      a.qp.read({ addr: mr.start, length: 8, lkey: mr.lkey }, { remoteAddr: there.iova, rkey: there.rkey });
    await Promise.all(Array.from({ length: 40 }, read));
    b.qp.modify({ state: 'RESET' });
    expect(
      causeOf(() => {
        b.qp.connect({ endpoint: b.endpoint, ...a.here, access: REMOTE, maxDestRdAtomic: 17 });
      }),
    ).toEqual(['EINVAL', 'QpAttribute']);
  });

  test('leaves a queue pair as it was when it fails', () => {
    const [a, b] = [wireEnd(), wireEnd()];
    const good = { endpoint: a.endpoint, ...b.here, access: REMOTE };
    expect(() => a.qp.connect({ ...good, maxDestRdAtomic: 255 })).toThrow(rdma('EINVAL', 'modify_qp'));
    expect(() => a.qp.connect({ ...good, retryCnt: 8 })).toThrow(rdma('EINVAL', 'modify_qp'));
    expect(a.qp.state).toBe('RESET');
    // It is a queue pair of the loopback still.
    const loop = a.pd.createQp({ type: 'RC', sendCq: a.cq });
    a.qp.connect(loop, { access: REMOTE });
    expect([a.qp.state, loop.state]).toEqual(['RTS', 'RTS']);
    expect(a.endpoint.counters().sent).toBe(0);
  });

  test('may follow a connection on the loopback, and the other way round', async () => {
    const [a, b] = [wireEnd(), wireEnd()];
    const loop = a.pd.createQp({ type: 'RC', sendCq: a.cq });
    const m = memory(a.pd, 'abcdefgh');
    const to = memory(b.pd, 8);
    a.qp.connect(loop, { access: REMOTE });
    const here = memory(a.pd, 8);
    await a.qp.write(m.sge(), here.at());
    expect(here.bytes.toString()).toBe('abcdefgh');
    a.qp.modify({ state: 'RESET' });
    a.here = a.endpoint.describe(a.qp);
    connectEnds(a, b);
    await a.qp.write(m.sge(), to.at());
    expect(to.bytes.toString()).toBe('abcdefgh');
    a.qp.modify({ state: 'RESET' });
    loop.modify({ state: 'RESET' });
    a.qp.connect(loop, { access: REMOTE });
    here.bytes.fill(0);
    await a.qp.write(m.sge(), here.at());
    expect(here.bytes.toString()).toBe('abcdefgh');
  });

  test('refuses what cannot be connected', () => {
    const [a, b] = [wireEnd(), wireEnd()];
    const good = { endpoint: a.endpoint, ...b.here, access: REMOTE };
    const connect = (options: object) => () => a.qp.connect({ ...good, ...options });
    expect(causeOf(connect({ address: '0.0.0.0' }))).toEqual(['EINVAL', 'HostAddress']);
    expect(causeOf(connect({ address: 'localhost' }))).toEqual(['EINVAL', 'HostAddress']);
    expect(causeOf(connect({ address: '::1' }))).toEqual(['EINVAL', 'AddressFamily']);
    expect(causeOf(connect({ endpoint: b.endpoint }))).toEqual(['EINVAL', 'QpOnOtherDevice']);
    expect(connect({ endpoint: {} })).toThrow(wrongType('options.endpoint'));
    expect(connect({ endpoint: undefined })).toThrow(wrongType('options.endpoint'));
    expect(connect({ address: 7 })).toThrow(wrongType('options.address'));
    expect(connect({ port: 0 })).toThrow(outOfRange('options.port'));
    expect(connect({ port: 65536 })).toThrow(outOfRange('options.port'));
    expect(connect({ qpn: -1 })).toThrow(outOfRange('options.qpn'));
    expect(connect({ qpn: 2 ** 24 })).toThrow(outOfRange('options.qpn'));
    expect(connect({ qpn: undefined })).toThrow(wrongType('options.qpn'));
    expect(connect({ psn: 2 ** 24 })).toThrow(outOfRange('options.psn'));
    expect(connect({ psn: undefined })).toThrow(wrongType('options.psn'));
    expect(connect({ localPsn: 2 ** 24 })).toThrow(outOfRange('options.localPsn'));
    expect(connect({ access: undefined })).toThrow(wrongType('options.access'));
    expect(connect({ pathMtu: 1500 })).toThrow('pathMtu');
    expect(connect({ mtu: 1024 })).toThrow('not a known option');
    const ud = a.pd.createQp({ type: 'UD', sendCq: a.cq });
    expect(causeOf(() => (ud as never as typeof a.qp).connect(good))).toEqual(['EOPNOTSUPP', 'QpType']);
    expect(causeOf(() => (a.pd.createQp() as never as typeof a.qp).connect(good))).toEqual([
      'EINVAL',
      'QpHasNoQueues',
    ]);
    a.qp.connect(good);
    expect(causeOf(() => a.qp.connect(good))).toEqual(['EINVAL', 'QpMove']);
    const late = a.pd.createQp({ type: 'RC', sendCq: a.cq });
    a.endpoint.close();
    expect(causeOf(() => late.connect(good))).toEqual(['EBADF', 'EndpointClosed']);
    late.destroy();
    expect(causeOf(() => late.connect(good))).toEqual(['EBADF', 'QpGone']);
  });

  test('refuses a queue pair that was created before the first endpoint of a device with sequential numbers', () => {
    const device = open({ keyPolicy: 'sequential' });
    const qp = device.allocPd().createQp({ type: 'RC', sendCq: device.createCq(1) });
    const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0, allowForeseeableKeys: true });
    expect(
      causeOf(() => qp.connect({ endpoint, address: '127.0.0.1', qpn: 5, psn: 5, access: REMOTE })),
    ).toEqual(['EINVAL', 'QpNumberForeseen']);
    expect(qp.state).toBe('RESET');
  });
});

const sizes = [0, 1, 3, 64, 255, 256, 257, 1023, 1024, 1025, 4096, 65536, 65537, 1 << 20];

describeIf(isLinux, 'endpoints need Linux')('traffic over sockets', () => {
  describe.each(addresses)('at %s', (address) => {
    test.each([256, 1024, 4096] as const)('writes and reads every size with path MTU %i', async (pathMtu) => {
      const { a, b } = wireEnds({ address, connect: { pathMtu } });
      const [from, to] = [memory(a.pd, 1 << 20), memory(b.pd, 1 << 20)];
      for (let i = 0; i < from.bytes.length; i++) from.bytes[i] = (i * 31 + (i >> 8)) & 0xff;
      const pattern = Buffer.from(from.bytes);
      for (const size of sizes) {
        to.bytes.fill(0xee);
        await a.qp.write(from.sge(0, size), to.at());
        expect(to.bytes.subarray(0, size).equals(pattern.subarray(0, size))).toBe(true);
        expect(to.bytes.subarray(size).every((byte) => byte === 0xee)).toBe(true);
        from.bytes.fill(0x11);
        await a.qp.read(from.sge(0, size), to.at());
        expect(from.bytes.subarray(0, size).equals(pattern.subarray(0, size))).toBe(true);
        expect(from.bytes.subarray(size).every((byte) => byte === 0x11)).toBe(true);
        pattern.copy(from.bytes);
      }
      expect(a.endpoint.counters()).toMatchObject({
        malformed: 0,
        badIcrc: 0,
        unsent: 0,
        tooLong: 0,
        fatalNaks: 0,
      });
      expect(b.endpoint.counters()).toMatchObject({
        malformed: 0,
        badIcrc: 0,
        unsent: 0,
        tooLong: 0,
        fatalNaks: 0,
      });
    });

    test('carries out atomic operations', async () => {
      const { a, b } = wireEnds({ address });
      const [old, word] = [memory(a.pd, 8), memory(b.pd, 16)];
      word.bytes.writeBigUInt64LE(2n ** 64n - 1n, 8);
      expect(await a.qp.fetchAdd(old.sge(), word.at(8), 3n)).toBe(2n ** 64n - 1n);
      expect(word.bytes.readBigUInt64LE(8)).toBe(2n);
      expect(await a.qp.compareSwap(old.sge(), word.at(8), 2n, 99n)).toBe(2n);
      expect(await a.qp.compareSwap(old.sge(), word.at(8), 2n, 1n)).toBe(99n);
      expect(word.bytes.readBigUInt64LE(8)).toBe(99n);
      expect(word.bytes.readBigUInt64LE(0)).toBe(0n);
    });

    test('sends messages with immediate data and invalidation', async () => {
      const { a, b } = wireEnds({ address });
      const from = memory(a.pd, 5000);
      const to = memory(b.pd, 5000);
      from.bytes.fill('q');
      let received = b.qp.recv(to.sge());
      await a.qp.send(from.sge(0, 5));
      expect(await received).toMatchObject({ opcode: 'RECV', byteLength: 5, imm: undefined });
      received = b.qp.recv(to.sge());
      await a.qp.send(from.sge(), { imm: 0xfeedface });
      expect(await received).toMatchObject({ opcode: 'RECV', byteLength: 5000, imm: 0xfeedface });
      expect(to.bytes.equals(from.bytes)).toBe(true);
      received = b.qp.recv(to.sge(0, 0));
      await a.qp.write(from.sge(0, 9), to.at(), { imm: 3 });
      expect(await received).toMatchObject({ opcode: 'RECV_RDMA_WITH_IMM', byteLength: 9, imm: 3 });
      const fast = b.pd.allocMr({ maxNumSg: 1 });
      received = b.qp.recv(to.sge());
      await a.qp.send(from.sge(0, 5), { invalidateRkey: fast.rkey });
      expect(await received).toMatchObject({ opcode: 'RECV', byteLength: 5 });
    });

    test('goes on when the receiver has posted no receive yet', async () => {
      const { a, b } = wireEnds({ address, connect: { minRnrTimer: 1 } });
      const [from, to] = [memory(a.pd, 'hello'), memory(b.pd, 5)];
      const sent = a.qp.send(from.sge());
      await pause();
      const received = b.qp.recv(to.sge());
      await sent;
      expect((await received).byteLength).toBe(5);
      expect(to.bytes.toString()).toBe('hello');
      expect(b.endpoint.counters().rnrNaks).toBeGreaterThan(0);
    });
  });

  // The wait after an RNR NAK can end while the endpoint is about to leave the loop. No other timer and no packet of the peer
  // would wake it then.
  test('goes on after the shortest wait for a receive', async () => {
    const { a, b } = wireEnds({ connect: { minRnrTimer: 1, timeout: 0 } });
    const { mr } = memory(a.pd, 8);
    const { mr: there } = memory(b.pd, 8);
    for (let i = 0; i < 2000; i++) {
      const sent = a.qp.send({ addr: mr.start, length: 8, lkey: mr.lkey });
      await new Promise((resolve) => (i % 2 ? setImmediate(resolve) : setTimeout(resolve, 0)));
      await Promise.all([sent, b.qp.recv({ addr: there.start, length: 8, lkey: there.lkey })]);
    }
    expect(b.endpoint.counters().rnrNaks).toBeGreaterThanOrEqual(100);
  }, 20_000);

  test('carries many outstanding work requests, of both directions at once', async () => {
    const { a, b } = wireEnds({ qp: { maxSendWr: 256 } });
    const [here, there] = [memory(a.pd, 256 * 64), memory(b.pd, 256 * 64)];
    const [from, back] = [memory(a.pd, 256 * 64), memory(b.pd, 256 * 64)];
    for (let i = 0; i < from.bytes.length; i++) from.bytes[i] = back.bytes[i] = (i >> 6) & 0xff;
    const all: Promise<unknown>[] = [];
    for (let i = 0; i < 256; i++) {
      all.push(a.qp.write(from.sge(i * 64, 64), there.at(i * 64)));
      all.push(b.qp.write(back.sge(i * 64, 64), here.at(i * 64)));
    }
    await Promise.all(all);
    expect(there.bytes.equals(from.bytes)).toBe(true);
    expect(here.bytes.equals(back.bytes)).toBe(true);
  });

  test('posts work requests in one call', async () => {
    const { a, b } = wireEnds({ qp: { maxSendWr: 64 } });
    const [from, to] = [memory(a.pd, 64 * 1000), memory(b.pd, 64 * 1000)];
    for (let i = 0; i < from.bytes.length; i++) from.bytes[i] = i % 251;
    a.qp.postSend(
      Array.from({ length: 64 }, (_, i) => ({
        opcode: 'RDMA_WRITE' as const,
        wrId: i,
        sges: [from.sge(i * 1000, 1000)],
        ...to.at(i * 1000),
        signaled: true,
      })),
    );
    const done: number[] = [];
    await until(() => {
      for (const { wrId, status } of a.cq.poll(64)) {
        expect(status).toBe('SUCCESS');
        done.push(Number(wrId));
      }
      return done.length === 64;
    });
    expect(done).toEqual(Array.from({ length: 64 }, (_, i) => i));
    expect(to.bytes.equals(from.bytes)).toBe(true);
  });

  test('ends requests to a peer that does not answer with RETRY_EXC_ERR', async () => {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    let packets = 0;
    socket.on('message', () => packets++);
    const a = wireEnd();
    a.qp.connect({
      endpoint: a.endpoint,
      address: '127.0.0.1',
      port: socket.address().port,
      qpn: 17,
      psn: 1,
      access: REMOTE,
      timeout: 8,
      retryCnt: 2,
    });
    const m = memory(a.pd, 8);
    await expect(a.qp.write(m.sge(), { vaddr: 0n, rkey: 1 as never })).rejects.toMatchObject({
      status: 'RETRY_EXC_ERR',
      reason: 'NoAnswer',
    });
    await pause();
    expect(packets).toBe(3); // sent, and sent again twice
    expect(a.endpoint.counters()).toMatchObject({ timeouts: 3, retransmitted: 2 });
    socket.close();
  });

  test('drops packets that are no RoCEv2, and answers nothing', async () => {
    const { endpoint } = wireEnd();
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    let answers = 0;
    socket.on('message', () => answers++);
    const send = (bytes: Buffer): Promise<void> =>
      new Promise((resolve) => socket.send(bytes, endpoint.port, '127.0.0.1', () => resolve()));
    await send(Buffer.alloc(0));
    await send(Buffer.alloc(1));
    await send(Buffer.alloc(15, 0xff));
    await send(Buffer.alloc(64));
    await send(Buffer.alloc(9000, 7));
    await send(Buffer.from('0a40ffff00000123800000010000000000000001000000ff00000000', 'hex'));
    await until(() => endpoint.counters().received === 6);
    await pause();
    const { malformed, unknownQp, badIcrc } = endpoint.counters();
    expect(malformed + unknownQp + badIcrc).toBe(6);
    expect(answers).toBe(0);
    socket.close();
  });
});

describeIf(isLinux, 'endpoints need Linux')('refusals', () => {
  test('tell the peer the class only, and the program everything', async () => {
    const { a, b } = wireEnds();
    const [from, to] = [memory(a.pd, 64), memory(b.pd, 64, Access.RemoteRead)];
    const refusals: WireRefusal[] = [];
    b.endpoint.on('refused', (refusal) => refusals.push(refusal));
    await expect(a.qp.write(from.sge(), to.at())).rejects.toMatchObject({
      status: 'REM_ACCESS_ERR',
      reason: 'Nak',
    });
    await until(() => refusals.length === 1);
    expect(refusals[0]).toMatchObject({
      address: '127.0.0.1',
      port: a.endpoint.port,
      qp: b.qp,
      qpId: b.qp.id,
      qpn: b.qp.qpn,
      operation: 'RDMA_WRITE',
      psn: a.here.psn,
      nak: 'REMOTE_ACCESS',
      reason: 'AccessDenied',
      request: { vaddr: to.mr.iova, length: 64, rkey: to.mr.rkey, access: Access.RemoteWrite },
    });
    expect(refusals[0]?.explain()).toContain('RemoteWrite');
    expect([a.qp.state, b.qp.state]).toEqual(['ERR', 'ERR']);
    expect(to.bytes.every((byte) => byte === 0)).toBe(true);
    expect(b.endpoint.counters().fatalNaks).toBe(1);
  });

  test('are told with the cause if no access was refused', async () => {
    const { a, b } = wireEnds({ connect: { access: Access.RemoteRead } });
    const [from, to] = [memory(a.pd, 64), memory(b.pd, 64)];
    const refused = new Promise<WireRefusal>((resolve) => b.endpoint.once('refused', resolve));
    await expect(a.qp.write(from.sge(), to.at())).rejects.toMatchObject({ status: 'REM_INV_REQ_ERR' });
    const refusal = await refused;
    expect(refusal).toMatchObject({ nak: 'INVALID_REQUEST', reason: 'QpAccess', request: undefined });
    expect(refusal.explain()).toContain('access flags');
  });

  test('are published on the channel rdmavt:refused before the event', async () => {
    const messages: (RefusedMessage | 'event')[] = [];
    const listen = (message: unknown): void => {
      messages.push(message as RefusedMessage);
    };
    subscribe('rdmavt:refused', listen);
    try {
      const { a, b } = wireEnds();
      const [from, to] = [memory(a.pd, 64), memory(b.pd, 64, Access.RemoteRead)];
      b.endpoint.on('refused', () => messages.push('event'));
      await expect(a.qp.write(from.sge(), to.at())).rejects.toMatchObject({ status: 'REM_ACCESS_ERR' });
      await until(() => messages.length === 2);
      expect(messages).toEqual([
        {
          reason: 'AccessDenied',
          method: 'Endpoint',
          operation: 'RDMA_WRITE',
          device: b.device.toJSON().id,
          count: 1,
          address: to.mr.iova,
          length: 64,
          key: to.mr.rkey,
          access: Access.RemoteWrite,
          remote: true,
          qp: b.qp.id,
          peer: { address: '127.0.0.1', port: a.endpoint.port },
          explain: expect.any(Function),
        },
        'event',
      ]);
      expect((messages[0] as RefusedMessage).explain()).toContain('RemoteWrite');
    } finally {
      unsubscribe('rdmavt:refused', listen);
    }
  });

  test('without an access to memory are published without one', async () => {
    const messages: RefusedMessage[] = [];
    const listen = (message: unknown): void => {
      messages.push(message as RefusedMessage);
    };
    subscribe('rdmavt:refused', listen);
    try {
      const { a, b } = wireEnds({ connect: { access: Access.RemoteRead } });
      const [from, to] = [memory(a.pd, 64), memory(b.pd, 64)];
      await expect(a.qp.write(from.sge(), to.at())).rejects.toMatchObject({ status: 'REM_INV_REQ_ERR' });
      await until(() => messages.length === 1);
      expect(messages[0]).toEqual({
        reason: 'QpAccess',
        method: 'Endpoint',
        operation: 'RDMA_WRITE',
        device: b.device.toJSON().id,
        count: 1,
        remote: true,
        qp: b.qp.id,
        peer: { address: '127.0.0.1', port: a.endpoint.port },
        explain: expect.any(Function),
      });
    } finally {
      unsubscribe('rdmavt:refused', listen);
    }
  });

  test('deny a source address new connections once it had too many', async () => {
    const a = wireEnd();
    const b = wireEnd({ refusalsPerMinute: 2 });
    const [from, to] = [memory(a.pd, 8), memory(b.pd, 8, Access.RemoteRead)];
    for (let i = 0; i < 2; i++) {
      connectEnds(a, b);
      await expect(a.qp.write(from.sge(), to.at())).rejects.toMatchObject({ status: 'REM_ACCESS_ERR' });
      for (const end of [a, b]) {
        end.qp.modify({ state: 'RESET' });
        end.here = end.endpoint.describe(end.qp);
      }
    }
    expect(causeOf(() => b.qp.connect({ endpoint: b.endpoint, ...a.here, access: REMOTE }))).toEqual([
      'EACCES',
      'TooManyRefusals',
    ]);
    expect(b.endpoint.counters().limited).toBe(1);
    expect(b.qp.state).toBe('RESET');
  });

  test('no packet moves a byte after dereg has returned', async () => {
    const { a, b } = wireEnds({ connect: { pathMtu: 256 } });
    const from = memory(a.pd, 1 << 20);
    const to = memory(b.pd, 1 << 20);
    from.bytes.fill(1);
    const written = a.qp.write(from.sge(), to.at());
    const outcome = written.then(
      () => 'SUCCESS',
      (error: unknown) => (error as { status: string }).status,
    );
    await until(() => to.bytes[0] === 1); // the message has begun
    to.mr.dereg();
    to.bytes.fill(0xd7);
    expect(await outcome).toBe('REM_ACCESS_ERR');
    await pause();
    expect(to.bytes.every((byte) => byte === 0xd7)).toBe(true);
  });
});

describeIf(isLinux, 'endpoints need Linux')('closing an endpoint', () => {
  test('puts its queue pairs into error and completes their work requests', async () => {
    const { a, b } = wireEnds({ connect: { rnrRetry: 7 } });
    const from = memory(a.pd, 8);
    const sent = a.qp.send(from.sge());
    const received = a.qp.recv(from.sge());
    const closed = new Promise<void>((resolve) => a.endpoint.once('close', resolve));
    a.endpoint.close();
    expect(a.qp.state).toBe('ERR');
    await Promise.all([
      expect(sent).rejects.toMatchObject({ status: 'WR_FLUSH_ERR', reason: 'EndpointClosed' }),
      expect(received).rejects.toMatchObject({ status: 'WR_FLUSH_ERR', reason: 'Flushed' }),
    ]);
    await closed;
    a.endpoint.close(); // a second call is a no-op
    expect(a.endpoint.toJSON().state).toBe('Closed');
    expect(a.endpoint.counters().sent).toBeGreaterThan(0);
    expect(b.qp.state).toBe('RTS'); // the peer learns nothing
    a.endpoint.ref().unref();
  });

  test('happens with the device, in whatever state its queue pairs are', async () => {
    for (const state of ['RESET', 'INIT', 'RTS', 'SQD', 'ERR'] as const) {
      const { a } = wireEnds();
      if (state === 'RESET' || state === 'INIT') a.qp.modify({ state: 'RESET' });
      if (state === 'INIT') a.qp.modify({ state, pkeyIndex: 0, port: 1, access: REMOTE });
      if (state === 'SQD' || state === 'ERR') a.qp.modify({ state });
      const closed = new Promise<void>((resolve) => a.endpoint.once('close', resolve));
      const { port } = a.endpoint;
      a.device.close({ cascade: true });
      expect(a.endpoint.toJSON().state).toBe('Closed');
      await closed;
      const again = open();
      expect(new Endpoint({ device: again, address: '127.0.0.1', port }).port).toBe(port);
    }
  });

  test('does not happen when the device refuses to close', () => {
    const { a } = wireEnds();
    expect(() => a.device.close()).toThrow(rdma('EBUSY'));
    expect(a.endpoint.toJSON().state).toBe('Open');
  });

  test('happens with detach', async () => {
    const device = open();
    const attached = Device.attach(device.share());
    const endpoint = new Endpoint({ device: attached, address: '127.0.0.1', port: 0 });
    const stays = new Endpoint({ device, address: '127.0.0.1', port: 0 });
    const closed = new Promise<void>((resolve) => endpoint.once('close', resolve));
    attached.detach();
    await closed;
    expect(endpoint.toJSON().state).toBe('Closed');
    expect(stays.toJSON().state).toBe('Open');
  });

  test('is what disposing does', () => {
    const { a } = wireEnds();
    a.endpoint[Symbol.dispose]();
    a.endpoint[Symbol.dispose]();
    expect(a.endpoint.toJSON().state).toBe('Closed');
  });

  test('in a listener of its own event is allowed', async () => {
    const { a, b } = wireEnds();
    const [from, to] = [memory(a.pd, 8), memory(b.pd, 8, Access.RemoteRead)];
    b.endpoint.on('refused', () => b.endpoint.close());
    const closed = new Promise<void>((resolve) => b.endpoint.once('close', resolve));
    await expect(a.qp.write(from.sge(), to.at())).rejects.toMatchObject({ status: 'REM_ACCESS_ERR' });
    await closed;
    expect(b.endpoint.toJSON().state).toBe('Closed');
  });
});

testIf(isLinux, 'endpoints need Linux')('many endpoints can be opened and closed', () => {
  const device = open();
  for (let i = 0; i < 200; i++) new Endpoint({ device, address: '127.0.0.1', port: 0 }).close();
});
