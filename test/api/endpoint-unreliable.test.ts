// UC and UD queue pairs of endpoints: traffic over sockets, and what is refused or dropped.
import { networkInterfaces } from 'node:os';
import {
  Access,
  type AddressHandle,
  type Completion,
  Device,
  Endpoint,
  grhSource,
  type ProtectionDomain,
  type QueuePair,
  type RdmaError,
  type WireRefusal,
} from '../../lib';
import { outOfRange, wrongType } from '../support/answers';
import { describeIf } from '../support/conditions';
import { memory, REMOTE } from '../support/queue-pairs';
import { open } from '../support/scene';
import { pause, until } from '../support/wire-ends';

const isLinux = process.platform === 'linux';
const hasIpv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === '::1'),
);
const addresses = hasIpv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
const QKEY = 0x1234567;
const GRH = 40;

const causeOf = (call: () => unknown): [string, string | undefined] => {
  try {
    call();
  } catch (error) {
    const { code, detail } = error as RdmaError;
    return [code, detail?.cause];
  }
  throw new Error('the call did not throw');
};

interface End<Type extends 'UC' | 'UD'> {
  device: Device;
  endpoint: Endpoint;
  pd: ProtectionDomain;
  qp: QueuePair<Type>;
  sent: () => Completion[];
  received: () => Completion[];
}

function end<Type extends 'UC' | 'UD'>(
  type: Type,
  address = '127.0.0.1',
  refusalsPerMinute?: number,
): End<Type> {
  const device = open();
  const endpoint = new Endpoint({
    device,
    address,
    port: 0,
    ...(refusalsPerMinute !== undefined && { refusalsPerMinute }),
  });
  const pd = device.allocPd();
  const [sendCq, recvCq] = [device.createCq(256), device.createCq(256)];
  const qp = pd.createQp({ type, sendCq, recvCq });
  return { device, endpoint, pd, qp, sent: () => sendCq.poll(256), received: () => recvCq.poll(256) };
}

/** An address handle of one end that leads to the other. */
const handleTo = (from: End<'UD'>, to: End<'UD'>): AddressHandle =>
  from.pd.createAh({ address: to.endpoint.address, udpPort: to.endpoint.port });

function ucEnds(address?: string, pathMtu: 256 | 1024 = 1024): { a: End<'UC'>; b: End<'UC'> } {
  const [a, b] = [end('UC', address), end('UC', address)];
  const [here, there] = [a.endpoint.describe(a.qp), b.endpoint.describe(b.qp)];
  a.qp.connect({ endpoint: a.endpoint, ...there, access: REMOTE, pathMtu });
  b.qp.connect({ endpoint: b.endpoint, ...here, access: REMOTE, pathMtu });
  return { a, b };
}

describeIf(isLinux, 'endpoints need Linux')('UC over sockets', () => {
  describe.each(addresses)('at %s', (address) => {
    test('sends and writes messages of many packets, with immediate data', async () => {
      const { a, b } = ucEnds(address, 256);
      const [from, to] = [memory(a.pd, 8192), memory(b.pd, 8192)];
      for (let i = 0; i < 8192; i++) from.bytes[i] = (i * 7 + (i >> 8)) & 0xff;
      const receive = b.qp.recv(to.sge(0, 5000));
      expect(await a.qp.send(from.sge(0, 5000), { imm: 0xabcd })).toMatchObject({
        status: 'SUCCESS',
        byteLength: 5000,
      });
      expect(await receive).toMatchObject({
        opcode: 'RECV',
        byteLength: 5000,
        imm: 0xabcd,
        grh: false,
        srcQp: a.qp.qpn,
      });
      expect(to.bytes.subarray(0, 5000).equals(from.bytes.subarray(0, 5000))).toBe(true);
      to.bytes.fill(0);
      const told = b.qp.recv([]);
      await a.qp.write(from.sge(1, 3000), to.at(), { imm: 5 });
      expect(await told).toMatchObject({ opcode: 'RECV_RDMA_WITH_IMM', byteLength: 3000, imm: 5 });
      expect(to.bytes.subarray(0, 3000).equals(from.bytes.subarray(1, 3001))).toBe(true);
      // Nothing answers.
      expect(b.endpoint.counters()).toMatchObject({ sent: 0, malformed: 0, outOfOrder: 0 });
    });
  });

  test('a refused write is dropped, told to this program only, and the queue pair goes on', async () => {
    const { a, b } = ucEnds();
    const refusals: WireRefusal[] = [];
    b.endpoint.on('refused', (refusal) => refusals.push(refusal));
    const from = memory(a.pd, 'abcdefgh');
    const secret = b.pd.regUserMr(Buffer.alloc(64), { access: Access.LocalWrite });
    const to = memory(b.pd, 8);
    expect((await a.qp.write(from.sge(), { vaddr: secret.iova, rkey: secret.rkey })).status).toBe('SUCCESS');
    await until(() => refusals.length > 0);
    expect(refusals[0]).toMatchObject({
      operation: 'RDMA_WRITE',
      nak: undefined,
      reason: 'AccessDenied',
      qpn: b.qp.qpn,
    });
    expect(refusals[0]?.explain()).toContain('RDMA_WRITE');
    expect(b.qp.state).toBe('RTS');
    expect(b.endpoint.counters()).toMatchObject({ refusedWrites: 1, fatalNaks: 0, sent: 0 });
    await a.qp.write(from.sge(), to.at());
    await until(() => to.bytes.toString() === 'abcdefgh');
  });

  test('too many refused writes end the connection', async () => {
    const [a, b] = [end('UC'), end('UC', undefined, 2)];
    const [here, there] = [a.endpoint.describe(a.qp), b.endpoint.describe(b.qp)];
    a.qp.connect({ endpoint: a.endpoint, ...there, access: REMOTE });
    b.qp.connect({ endpoint: b.endpoint, ...here, access: REMOTE });
    const from = memory(a.pd, 8);
    const mr = memory(b.pd, 8);
    const wrong = { vaddr: mr.mr.iova, rkey: ((mr.mr.rkey ^ 1) >>> 0) as never };
    await a.qp.write(from.sge(), wrong);
    await until(() => b.endpoint.counters().refusedWrites === 1);
    expect(b.qp.state).toBe('RTS');
    await a.qp.write(from.sge(), wrong);
    await until(() => b.qp.state === 'ERR');
  });

  test('without a receive a message is dropped and counted; a short one stays', async () => {
    const { a, b } = ucEnds();
    const [from, to] = [memory(a.pd, 256), memory(b.pd, 256)];
    await a.qp.send(from.sge(0, 10));
    await until(() => b.endpoint.counters().noReceive === 1);
    b.qp.postRecv({ wrId: 4, sges: [to.sge(0, 8)] });
    await a.qp.send(from.sge(0, 9));
    await until(() => b.endpoint.counters().shortReceives === 1);
    await a.qp.send(from.sge(0, 8));
    let list: Completion[] = [];
    await until(() => (list = b.received()).length > 0);
    expect(list).toMatchObject([{ wrId: 4, status: 'SUCCESS', byteLength: 8 }]);
  });

  test('refuses what UC cannot do, and endpoints that do not fit', () => {
    const { a } = ucEnds();
    const from = memory(a.pd, 8);
    expect(
      causeOf(() =>
        a.qp.postSend({ opcode: 'RDMA_READ', sges: [from.sge()], remoteAddr: 0, rkey: 1 } as never),
      ),
    ).toEqual(['EINVAL', 'WrOpcode']);
    const ud = a.pd.createQp({ type: 'UD', sendCq: a.device.createCq(1) });
    expect(
      causeOf(() =>
        (ud as never as QueuePair<'RC'>).connect({
          endpoint: a.endpoint,
          address: '127.0.0.1',
          qpn: 1,
          psn: 1,
          access: REMOTE,
        }),
      ),
    ).toEqual(['EOPNOTSUPP', 'QpType']);
  });
});

describeIf(isLinux, 'endpoints need Linux')('UD over sockets', () => {
  describe.each(addresses)('at %s', (address) => {
    test('one queue pair talks to two others, who answer to the address in front of the datagram', async () => {
      const ends = [end('UD', address), end('UD', address), end('UD', address)] as const;
      const [hub, ...others] = ends;
      const rooms = ends.map(({ pd }) => memory(pd, 1024));
      for (const { qp, endpoint } of ends) qp.activate({ endpoint, qkey: QKEY });
      for (const [i, other] of others.entries()) {
        const room = rooms[i + 1];
        if (room === undefined) throw new Error('no memory');
        const got = other.qp.recv(room.sge(0, 512));
        rooms[0]?.bytes.write(`to ${i}`, 512);
        await hub.qp.send(rooms[0]?.sge(512, 4) ?? [], {
          ah: handleTo(hub, other),
          remoteQpn: other.qp.qpn,
          remoteQkey: QKEY,
          imm: i,
        });
        const received = await got;
        expect(received).toMatchObject({
          opcode: 'RECV',
          byteLength: GRH + 4,
          srcQp: hub.qp.qpn,
          imm: i,
          grh: true,
        });
        expect(room.bytes.toString('latin1', GRH, GRH + 4)).toBe(`to ${i}`);
        expect(grhSource(room.bytes)).toBe(address);
        const back = hub.qp.recv(rooms[0]?.sge(0, 512) ?? []);
        await other.qp.send(room.sge(GRH, 4), {
          ah: other.pd.createAh({ address: grhSource(room.bytes), udpPort: hub.endpoint.port }),
          remoteQpn: received.srcQp,
          remoteQkey: QKEY,
        });
        expect(await back).toMatchObject({ byteLength: GRH + 4, srcQp: other.qp.qpn, imm: undefined });
        expect(rooms[0]?.bytes.toString('latin1', GRH, GRH + 4)).toBe(`to ${i}`);
      }
    });
  });

  test('a wrong Q_Key is dropped and counted, and nobody is told', async () => {
    const [a, b] = [end('UD'), end('UD')];
    a.qp.activate({ endpoint: a.endpoint, qkey: QKEY });
    b.qp.activate({ endpoint: b.endpoint, qkey: QKEY + 1 });
    const [from, to] = [memory(a.pd, 64), memory(b.pd, 256)];
    b.qp.postRecv({ sges: [to.sge()] });
    const target = { ah: handleTo(a, b), remoteQpn: b.qp.qpn };
    expect((await a.qp.send(from.sge(), { ...target, remoteQkey: QKEY })).status).toBe('SUCCESS');
    await until(() => b.endpoint.counters().wrongQkey === 1);
    expect(b.received()).toEqual([]);
    expect(b.endpoint.counters().sent).toBe(0);
    await a.qp.send(from.sge(), { ...target, remoteQkey: QKEY + 1 });
    await until(() => b.received().length === 1);
  });

  test('the path MTU limits what is posted, and an address handle must fit', () => {
    const [a, b] = [end('UD'), end('UD')];
    a.qp.activate({ endpoint: a.endpoint, qkey: QKEY, pathMtu: 256 });
    const from = memory(a.pd, 512);
    const send = (ah: AddressHandle, length: number) => () => {
      a.qp.postSend({
        opcode: 'SEND',
        sges: [from.sge(0, length)],
        ah,
        remoteQpn: b.qp.qpn,
        remoteQkey: QKEY,
      });
    };
    expect(causeOf(send(handleTo(a, b), 257))).toEqual(['EINVAL', 'WrLength']);
    expect(causeOf(send(a.pd.createAh(), 8))).toEqual(['EINVAL', 'WrAhUnreachable']);
    expect(causeOf(send(a.pd.createAh({ address: '::1' }), 8))).toEqual(['EINVAL', 'WrAhUnreachable']);
    // On the loopback it is the other way round.
    const local = a.pd.createQp({ type: 'UD', sendCq: a.device.createCq(8) });
    local.activate({ qkey: QKEY });
    const post = (ah: AddressHandle) => () => {
      local.postSend({ opcode: 'SEND', ah, remoteQpn: local.qpn, remoteQkey: QKEY });
    };
    expect(causeOf(post(handleTo(a, b)))).toEqual(['EINVAL', 'WrAhUnreachable']);
    post(a.pd.createAh())();
  });

  test('address handles are validated', () => {
    const { pd } = end('UD');
    const create = (options: object) => () => pd.createAh(options);
    for (const address of ['', 'localhost', '0.0.0.0', '::', '224.0.0.1', 'ff02::1', '1.2.3', '127.0.0.1\0'])
      expect(causeOf(create({ address }))).toEqual(['EINVAL', 'HostAddress']);
    expect(create({ address: 1 })).toThrow(wrongType('options.address'));
    expect(create({ address: '127.0.0.1', udpPort: 0 })).toThrow(outOfRange('options.udpPort'));
    expect(create({ address: '127.0.0.1', udpPort: 65536 })).toThrow(outOfRange('options.udpPort'));
    expect(create({ address: '127.0.0.1', udpPort: '1' })).toThrow(wrongType('options.udpPort'));
    expect(create({ udpPort: 4791 })).toThrow('options.address');
    expect(create({ address: '127.0.0.1', port: 2 })).toThrow('port');
    expect(pd.createAh({ address: '10.0.2.16' }).toJSON().state).toBe('Open');
  });

  test('activating is validated, and leaves the queue pair as it was if it fails', () => {
    const [a, b] = [end('UD'), end('UD')];
    const good = { endpoint: a.endpoint, qkey: QKEY };
    const activate = (options: object) => () => {
      a.qp.activate({ ...good, ...options });
    };
    expect(activate({ endpoint: {} })).toThrow(wrongType('options.endpoint'));
    expect(activate({ pathMtu: '1024' })).toThrow(wrongType('options.pathMtu'));
    expect(activate({ pathMtu: 8192 })).toThrow(outOfRange('options.pathMtu'));
    expect(causeOf(activate({ pathMtu: 1500 }))).toEqual(['EINVAL', 'QpAttribute']);
    expect(activate({ localPsn: 2 ** 24 })).toThrow(outOfRange('options.localPsn'));
    expect(activate({ endpoint: undefined, pathMtu: 1024 })).toThrow('options.endpoint');
    expect(activate({ endpoint: undefined, localPsn: 1 })).toThrow('options.endpoint');
    expect(causeOf(activate({ endpoint: b.endpoint }))).toEqual(['EINVAL', 'QpOnOtherDevice']);
    expect(a.qp.state).toBe('RESET');
    const rc = a.pd.createQp({ type: 'RC', sendCq: a.device.createCq(1) });
    expect(
      causeOf(() => {
        (rc as never as QueuePair<'UD'>).activate(good);
      }),
    ).toEqual(['EOPNOTSUPP', 'QpType']);
    a.qp.activate(good);
    expect(causeOf(activate({}))).toEqual(['EINVAL', 'QpMove']);
    a.endpoint.close();
    expect(a.qp.state).toBe('ERR');
    a.qp.modify({ state: 'RESET' });
    expect(causeOf(activate({}))).toEqual(['EBADF', 'EndpointClosed']);
    a.qp.activate({ qkey: QKEY }); // on the loopback again
    expect(a.qp.state).toBe('RTS');
  });

  test('describe tells the number of the first datagram', () => {
    const a = end('UD');
    const { psn, qpn } = a.endpoint.describe(a.qp);
    a.qp.activate({ endpoint: a.endpoint, qkey: QKEY });
    expect(qpn).toBe(a.qp.qpn);
    expect(a.qp.query().sqPsn).toBe(psn);
    const b = end('UD');
    b.qp.activate({ endpoint: b.endpoint, qkey: QKEY, localPsn: 77 });
    expect(b.qp.query().sqPsn).toBe(77);
  });

  test('sends through a packed queue', async () => {
    const [a, b] = [end('UD'), end('UD')];
    for (const { qp, endpoint } of [a, b]) qp.activate({ endpoint, qkey: QKEY });
    const [from, to] = [memory(a.pd, 64), memory(b.pd, 256)];
    b.qp.postRecv({ sges: [to.sge()] });
    const queue = a.qp.sendQueue(4);
    queue.fill(0, {
      opcode: 'SEND',
      sges: [from.sge()],
      ah: handleTo(a, b),
      remoteQpn: b.qp.qpn,
      remoteQkey: QKEY,
      signaled: true,
    });
    queue.post(1);
    await until(() => b.received().length === 1);
    expect(a.sent()).toMatchObject([{ status: 'SUCCESS' }]);
  });

  test('a ring tells datagrams of the network from those of the device', async () => {
    const [a, b] = [end('UD'), end('UD')];
    a.qp.activate({ endpoint: a.endpoint, qkey: QKEY });
    const cq = b.device.createCq(8, { ring: true });
    const qp = b.pd.createQp({ type: 'UD', sendCq: b.device.createCq(8), recvCq: cq });
    qp.activate({ endpoint: b.endpoint, qkey: QKEY });
    expect(cq.ring.next()).toBe(false);
    const [from, to] = [memory(a.pd, 8), memory(b.pd, 64)];
    qp.postRecv({ sges: [to.sge()] });
    await a.qp.send(from.sge(), { ah: handleTo(a, b), remoteQpn: qp.qpn, remoteQkey: QKEY });
    await until(() => cq.ring.next());
    expect([cq.ring.grh, cq.ring.srcQp]).toEqual([true, a.qp.qpn]);
    expect(cq.ring.completion().grh).toBe(true);
    const local = b.pd.createQp({ type: 'UD', sendCq: b.device.createCq(8), recvCq: cq });
    local.activate({ qkey: QKEY });
    local.postRecv({ sges: [to.sge()] });
    local.postSend({ opcode: 'SEND', ah: b.pd.createAh(), remoteQpn: local.qpn, remoteQkey: QKEY });
    expect(cq.ring.next()).toBe(true);
    expect(cq.ring.grh).toBe(false);
  });

  test('a peer that floods it harms nothing', async () => {
    const [a, b] = [end('UD'), end('UD')];
    for (const { qp, endpoint } of [a, b]) qp.activate({ endpoint, qkey: QKEY });
    const from = memory(a.pd, 64);
    const target = { ah: handleTo(a, b), remoteQpn: b.qp.qpn, remoteQkey: QKEY };
    for (let i = 0; i < 500; i++) await a.qp.send(from.sge(), target);
    await pause();
    expect(b.qp.state).toBe('RTS');
    expect(b.endpoint.counters()).toMatchObject({ sent: 0, fatalNaks: 0 });
    expect(b.endpoint.counters().noReceive).toBeGreaterThan(0);
  });
});

describe('grhSource', () => {
  test('reads the sender of both families', () => {
    const ipv6 = Buffer.alloc(64);
    ipv6[0] = 0x60;
    ipv6.set([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10], 8);
    expect(grhSource(ipv6)).toBe('fd00::10');
    const ipv4 = Buffer.alloc(40);
    ipv4[20] = 0x45;
    ipv4.set([10, 0, 2, 15], 32);
    expect(grhSource(ipv4)).toBe('10.0.2.15');
  });

  test('refuses what is no such header', () => {
    expect(() => grhSource('x' as never)).toThrow(wrongType('grh'));
    expect(() => grhSource(Buffer.alloc(39))).toThrow('40 bytes');
    const lies = Object.defineProperty(new Uint8Array(8), 'byteLength', { value: 40 });
    expect(() => grhSource(lies)).toThrow('40 bytes');
    expect(() => grhSource(new Proxy(new Uint8Array(40), {}))).toThrow(wrongType('grh'));
    expect(() => grhSource(Buffer.alloc(40))).toThrow('header of a datagram');
  });
});
