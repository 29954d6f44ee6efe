// Connections by messages of the connection manager: listen, connect, accept, reject, and their end.
import { Access, type Connection, type ConnectionRequest, RdmaError } from '../../lib';
import { describeIf } from '../support/conditions';
import { Cm, cmFields, type CmMessage, cmPacket, CmStranger } from '../support/cm-messages';
import { MemoryEndpoint } from '../support/memory-endpoint';
import { open } from '../support/scene';
import { hasEndpoints } from '../support/members';
import { until, wireEnd, type WireEnd } from '../support/wire-ends';

const SERVICE = 7174;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1').replace(/\0+$/, '');

/** The next request for a service of an end. */
function nextRequest(end: WireEnd, service: number | bigint = SERVICE): Promise<ConnectionRequest> {
  return new Promise((resolve) => {
    end.endpoint.listen(service, resolve);
  });
}

const causeOf = async (promise: Promise<unknown>) => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof RdmaError ? [error.code, error.detail?.cause] : error;
};

/** Two ends with a connection between them, and what each says of it. */
async function connected(options: object = {}) {
  const [server, client] = [wireEnd(), wireEnd()];
  const asked = nextRequest(server);
  const connecting = client.endpoint.connect(server.endpoint.address, SERVICE, {
    port: server.endpoint.port,
    qp: client.qp,
    access: Access.RemoteRead | Access.RemoteWrite,
    privateData: Buffer.from('hello'),
    ...options,
  });
  const request = await asked;
  const accepting = request.accept({
    qp: server.qp,
    access: Access.RemoteRead | Access.RemoteWrite,
    privateData: Buffer.from('welcome'),
  });
  const [there, here] = await Promise.all([accepting, connecting]);
  return { server, client, request, there, here };
}

/** Writes through a queue pair into a region at the other end, and returns what is there then. */
async function written(from: WireEnd, to: WireEnd): Promise<string> {
  const source = from.pd.regUserMr(Buffer.from('bytes'));
  const target = Buffer.alloc(5);
  const mr = to.pd.regUserMr(target, { access: Access.LocalWrite | Access.RemoteWrite });
  await from.qp.write({ addr: source.start, length: 5, lkey: source.lkey }, mr.advertise());
  return target.toString();
}

describeIf(hasEndpoints, 'endpoints need Linux')('connections', () => {
  test('connect and accept bring both queue pairs to RTS, with private data both ways', async () => {
    const { server, client, request, there, here } = await connected();
    expect([server.qp.state, client.qp.state]).toEqual(['RTS', 'RTS']);
    expect(text(request.privateData)).toBe('hello');
    expect(request.privateData).toHaveLength(56);
    expect(text(there.privateData)).toBe('hello');
    expect(text(here.privateData)).toBe('welcome');
    expect(here.privateData).toHaveLength(196);
    expect(request.service).toBe(0x0106_0000n + BigInt(SERVICE));
    expect(request.peer).toEqual({
      address: client.endpoint.address,
      port: client.endpoint.port,
      qpn: client.qp.qpn,
      sourcePort: expect.any(Number),
    });
    expect(here.peer).toMatchObject({ address: server.endpoint.address, qpn: server.qp.qpn });
    expect([here.qp, there.qp]).toEqual([client.qp, server.qp]);
    expect([here.isConnected, there.isConnected]).toEqual([true, true]);
    expect(await written(client, server)).toBe('bytes');
    expect(await written(server, client)).toBe('bytes');
    expect(server.endpoint.counters().connections).toMatchObject({ requests: 1, halfOpen: 0, open: 1 });
  });

  test('the queue pairs get what was negotiated', async () => {
    const [server, client] = [wireEnd(), wireEnd()];
    const asked = nextRequest(server);
    const connecting = client.endpoint.connect('127.0.0.1', SERVICE, {
      port: server.endpoint.port,
      qp: client.qp,
      access: 0,
      pathMtu: 512,
      retryCnt: 3,
      rnrRetry: 2,
      timeout: 15,
      maxRdAtomic: 5,
      maxDestRdAtomic: 9,
    });
    const request = await asked;
    expect([request.pathMtu, request.initiatorDepth, request.responderResources]).toEqual([512, 5, 9]);
    await Promise.all([
      connecting,
      request.accept({
        qp: server.qp,
        access: 0,
        rnrRetry: 4,
        timeout: 16,
        maxRdAtomic: 11,
        maxDestRdAtomic: 3,
      }),
    ]);
    const [a, b] = [client.qp.query(), server.qp.query()];
    expect([a.pathMtu, b.pathMtu]).toEqual([512, 512]);
    expect([a.retryCnt, b.retryCnt]).toEqual([3, 3]);
    expect([a.rnrRetry, b.rnrRetry]).toEqual([4, 2]); // each as the other end says
    expect([a.timeout, b.timeout]).toEqual([15, 16]);
    expect([a.maxRdAtomic, b.maxDestRdAtomic]).toEqual([3, 3]);
    expect([b.maxRdAtomic, a.maxDestRdAtomic]).toEqual([9, 9]);
    expect([a.destQpn, b.destQpn]).toEqual([server.qp.qpn, client.qp.qpn]);
    expect([a.sqPsn, b.sqPsn]).toEqual([b.rqPsn, a.rqPsn]);
  });

  test('a queue pair in INIT keeps the receives that it has', async () => {
    const [server, client] = [wireEnd(), wireEnd()];
    const bytes = Buffer.alloc(4);
    const mr = server.pd.regUserMr(bytes, { access: Access.LocalWrite });
    server.qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: 0 });
    server.qp.postRecv({ wrId: 5, sges: [{ addr: mr.start, length: 4, lkey: mr.lkey }] });
    const asked = nextRequest(server);
    const connecting = client.endpoint.connect('127.0.0.1', SERVICE, {
      port: server.endpoint.port,
      qp: client.qp,
      access: 0,
      rnrRetry: 0,
    });
    await (await asked).accept({ qp: server.qp, access: 0, rnrRetry: 0 });
    await connecting;
    const source = client.pd.regUserMr(Buffer.from('1234'));
    await client.qp.send({ addr: source.start, length: 4, lkey: source.lkey });
    expect(bytes.toString()).toBe('1234');
  });

  test('a service id has all of the private data', async () => {
    const [server, client] = [wireEnd(), wireEnd()];
    const asked = nextRequest(server, 0x1122_3344_5566_7788n);
    const connecting = client.endpoint.connect('127.0.0.1', 0x1122_3344_5566_7788n, {
      port: server.endpoint.port,
      qp: client.qp,
      access: 0,
      privateData: Buffer.alloc(92, 7),
    });
    const request = await asked;
    expect([...request.privateData]).toEqual(Array(92).fill(7));
    expect(request.peer.sourcePort).toBe(0);
    request.reject();
    expect(await causeOf(connecting)).toEqual(['ECONNREFUSED', 'ConnectionRejected']);
  });

  test('reject tells the reason and private data, and the queue pair can be used again', async () => {
    const [server, client] = [wireEnd(), wireEnd()];
    const asked = nextRequest(server);
    const options = { port: server.endpoint.port, qp: client.qp, access: 0 };
    const connecting = client.endpoint.connect('127.0.0.1', SERVICE, options);
    (await asked).reject(Buffer.from('not today'));
    const error = await connecting.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RdmaError);
    expect(error).toMatchObject({
      code: 'ECONNREFUSED',
      operation: 'connect',
      detail: { cause: 'ConnectionRejected', value: 28 },
    });
    expect(String(error)).toContain('rejected by the program');
    expect(text((error as RdmaError).privateData ?? Buffer.alloc(0))).toBe('not today');
    expect(client.qp.state).toBe('RESET');
    const nobody = client.endpoint.connect('127.0.0.1', SERVICE + 1, options);
    await expect(nobody).rejects.toMatchObject({ detail: { cause: 'ConnectionRejected', value: 8 } });
  });

  test('a request is answered once', async () => {
    const [server, client] = [wireEnd(), wireEnd()];
    const asked = nextRequest(server);
    const options = { port: server.endpoint.port, qp: client.qp, access: 0 };
    const connecting = client.endpoint.connect('127.0.0.1', SERVICE, options);
    const request = await asked;
    const accepting = request.accept({ qp: server.qp, access: 0 });
    const again = { qp: server.pd.createQp({ type: 'RC', sendCq: server.cq }), access: 0 };
    expect(await causeOf(request.accept(again))).toEqual(['EINVAL', 'ConnectionState']);
    expect(() => {
      request.reject();
    }).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    await Promise.all([accepting, connecting]);
    expect(again.qp.state).toBe('RESET');
  });

  test('wrong arguments of accept leave the request open', async () => {
    const [server, client] = [wireEnd(), wireEnd()];
    const asked = nextRequest(server);
    const options = { port: server.endpoint.port, qp: client.qp, access: 0 };
    const connecting = client.endpoint.connect('127.0.0.1', SERVICE, options);
    const request = await asked;
    const tooMuch = Buffer.alloc(197);
    expect(await causeOf(request.accept({ qp: server.qp, access: 0, privateData: tooMuch }))).toEqual([
      'EINVAL',
      'PrivateData',
    ]);
    expect(server.qp.state).toBe('RESET');
    expect(() => request.accept({ qp: server.qp } as never)).toThrow(TypeError);
    expect(() => request.accept({ qp: server.qp, access: 0, timeout: 32 })).toThrow(RangeError);
    await Promise.all([request.accept({ qp: server.qp, access: 0 }), connecting]);
  });

  test.each(['client', 'server'] as const)('the %s disconnects', async (who) => {
    const { server, client, here, there } = await connected();
    const told: string[] = [];
    client.endpoint.on('disconnect', (connection, by) => {
      told.push(`client ${connection === here} ${by} ${client.qp.state}`);
    });
    server.endpoint.on('disconnect', (connection, by) => {
      told.push(`server ${connection === there} ${by} ${server.qp.state}`);
    });
    const leaving = who === 'client' ? here.disconnect() : there.disconnect();
    expect(who === 'client' ? client.qp.state : server.qp.state).toBe('ERR');
    const by = await leaving;
    expect(by).toBe('program');
    expect(await (who === 'client' ? there.closed : here.closed)).toBe('peer');
    expect([here.isConnected, there.isConnected]).toEqual([false, false]);
    expect([client.qp.state, server.qp.state]).toEqual(['ERR', 'ERR']);
    await until(() => told.length === 2);
    const roles = who === 'client' ? ['program', 'peer'] : ['peer', 'program'];
    expect(told.sort()).toEqual([`client true ${roles[0]} ERR`, `server true ${roles[1]} ERR`]);
    expect(await here.disconnect()).toBe(who === 'client' ? 'program' : 'peer'); // no effect
  });

  test('destroying or resetting the queue pair disconnects', async () => {
    for (const end of ['destroy', 'reset'] as const) {
      const { client, there } = await connected();
      if (end === 'destroy') client.qp.destroy();
      else client.qp.modify({ state: 'RESET' });
      expect(await there.closed).toBe('peer');
    }
  });

  test('a queue pair that was reset and connected again is not stopped by its old connection', async () => {
    const { server, client, here } = await connected();
    client.qp.modify({ state: 'RESET' });
    const other = wireEnd();
    other.qp.connect({ endpoint: other.endpoint, ...client.endpoint.describe(client.qp), access: 0 });
    client.qp.connect({ endpoint: client.endpoint, ...other.here, access: 0 });
    expect(await here.closed).toBe('program');
    expect(client.qp.state).toBe('RTS');
    server.endpoint.close();
  });

  test('a queue pair with a connection gets no other one, until late packets are gone', async () => {
    const { server, client, here } = await connected();
    const options = { port: server.endpoint.port, qp: client.qp, access: 0 };
    expect(await causeOf(client.endpoint.connect('127.0.0.1', SERVICE, options))).toEqual([
      'EINVAL',
      'QpMove',
    ]);
    await here.disconnect();
    client.qp.modify({ state: 'RESET' });
    expect(await causeOf(client.endpoint.connect('127.0.0.1', SERVICE, options))).toEqual([
      'EBUSY',
      'QpConnected',
    ]);
    await until(() => client.endpoint.counters().connections.open === 0);
    const again = client.endpoint.connect('127.0.0.1', SERVICE + 1, options);
    expect(await causeOf(again)).toEqual(['ECONNREFUSED', 'ConnectionRejected']);
  });

  test('nobody there: ETIMEDOUT after the attempts', async () => {
    const client = wireEnd();
    const gone = wireEnd();
    const { port } = gone.endpoint;
    gone.endpoint.close();
    const connecting = client.endpoint.connect('127.0.0.1', SERVICE, {
      port,
      qp: client.qp,
      access: 0,
      attempts: 3,
      attemptMs: 20,
    });
    expect(await causeOf(connecting)).toEqual(['ETIMEDOUT', 'ConnectionTimeout']);
    expect(client.endpoint.counters().connections).toMatchObject({ repeated: 2, timeouts: 1, open: 0 });
    expect(client.qp.state).toBe('RESET');
  });

  test('a signal takes the request back, and the listener learns it', async () => {
    const [server, client] = [wireEnd(), wireEnd()];
    const asked = nextRequest(server);
    const abort = new AbortController();
    const options = { port: server.endpoint.port, qp: client.qp, access: 0, signal: abort.signal };
    const connecting = client.endpoint.connect('127.0.0.1', SERVICE, options);
    const request = await asked;
    abort.abort(new Error('enough'));
    await expect(connecting).rejects.toThrow('enough');
    await until(() => server.endpoint.counters().connections.halfOpen === 0);
    await new Promise((resolve) => setTimeout(resolve, 20)); // the event comes from the event loop
    expect(await causeOf(request.accept({ qp: server.qp, access: 0 }))).toEqual(['EBADF', 'ConnectionGone']);
    await expect(client.endpoint.connect('127.0.0.1', SERVICE, options)).rejects.toThrow('enough');
  });

  test('closing an endpoint ends what is under way', async () => {
    const [server, client] = [wireEnd(), wireEnd()];
    const asked = nextRequest(server);
    const options = { port: server.endpoint.port, qp: client.qp, access: 0 };
    const connecting = client.endpoint.connect('127.0.0.1', SERVICE, options);
    const request = await asked;
    client.endpoint.close();
    expect(await causeOf(connecting)).toEqual(['EBADF', 'EndpointClosed']);
    expect(await causeOf(client.endpoint.connect('127.0.0.1', SERVICE, options))).toEqual([
      'EBADF',
      'EndpointClosed',
    ]);
    // The other end was told.
    await until(() => server.endpoint.counters().connections.halfOpen === 0);
    server.endpoint.close();
    await until(() => server.endpoint.toJSON().state === 'Closed');
    expect(await causeOf(request.accept({ qp: server.qp, access: 0 }))).toMatchObject([
      'EBADF',
      expect.anything(),
    ]);
    expect(server.endpoint.counters().connections).toMatchObject({ requests: 1 });
  });

  test('closing an endpoint disconnects its connections', async () => {
    const { server, here, there } = await connected();
    const events: string[] = [];
    server.endpoint.on('disconnect', (_, by) => events.push(by)).on('close', () => events.push('close'));
    server.endpoint.close();
    expect(await here.closed).toBe('peer');
    expect(await there.closed).toBe('endpoint');
    await until(() => events.length === 2);
    expect(events).toEqual(['endpoint', 'close']);
  });

  test('listeners: one for a service, until it is closed', async () => {
    const [server, client] = [wireEnd(), wireEnd()];
    const listener = server.endpoint.listen(SERVICE, () => {
      throw new Error('not called');
    });
    expect(listener.service).toBe(0x0106_0000n + 7174n);
    expect(() => server.endpoint.listen(SERVICE, () => {})).toThrow(
      expect.objectContaining({ code: 'EADDRINUSE', detail: { cause: 'ServiceInUse', argument: 'service' } }),
    );
    listener.close();
    listener.close();
    const asked = nextRequest(server);
    const connecting = client.endpoint.connect('127.0.0.1', SERVICE, {
      port: server.endpoint.port,
      qp: client.qp,
      access: 0,
    });
    (await asked).reject();
    await connecting.catch(() => {});
  });

  test('many connections at once, and they all end', async () => {
    const [server, client] = [wireEnd(), wireEnd()];
    const connections: Promise<Connection>[] = [];
    server.endpoint.listen(SERVICE, (request) => {
      const qp = server.pd.createQp({ type: 'RC', sendCq: server.cq });
      connections.push(request.accept({ qp, access: 0, privateData: request.privateData }));
    });
    const mine = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        client.endpoint.connect('127.0.0.1', SERVICE, {
          port: server.endpoint.port,
          qp: client.pd.createQp({ type: 'RC', sendCq: client.cq }),
          access: 0,
          privateData: Buffer.from([i]),
        }),
      ),
    );
    expect(mine.map(({ privateData }) => privateData[0])).toEqual(Array.from({ length: 50 }, (_, i) => i));
    await Promise.all(connections);
    await Promise.all(mine.map((connection) => connection.disconnect()));
    await until(() => client.endpoint.counters().connections.open === 0);
    await until(() => server.endpoint.counters().connections.open === 0);
  });

  test('the address that was refused too often gets no connection', async () => {
    const { server, client, here } = await connected();
    expect(server.endpoint.counters().connections.refused).toBe(0);
    // 16 refusals are the default; each ends a connection.
    for (let i = 0; i < 16; i++) {
      const [a, b] = [
        client.pd.createQp({ type: 'RC', sendCq: client.cq }),
        server.pd.createQp({ type: 'RC', sendCq: server.cq }),
      ];
      a.connect({ endpoint: client.endpoint, ...server.endpoint.describe(b), access: 0 });
      b.connect({ endpoint: server.endpoint, ...client.endpoint.describe(a), access: Access.RemoteWrite });
      const mr = client.pd.regUserMr(Buffer.alloc(8));
      await a
        .write({ addr: mr.start, length: 8, lkey: mr.lkey }, { vaddr: 0, rkey: mr.rkey })
        .catch(() => {});
    }
    const connecting = client.endpoint.connect('127.0.0.1', SERVICE, {
      port: server.endpoint.port,
      qp: client.pd.createQp({ type: 'RC', sendCq: client.cq }),
      access: 0,
    });
    await expect(connecting).rejects.toMatchObject({ detail: { value: 3 } });
    expect(server.endpoint.counters().connections.refused).toBe(1);
    await here.disconnect();
  });
});

// --- packets one by one: an endpoint without a socket, and strangers ---

const PEER = '10.0.0.2';
const SERVER = '10.0.0.1';
const QP1 = 1;

/** Hands packets from one endpoint to the other, each so often, and returns what they were. */
function carry(from: MemoryEndpoint, to: MemoryEndpoint, times = 1) {
  const packets = from.take();
  for (const { bytes } of packets)
    for (let i = 0; i < times; i++)
      to.feed({ bytes, address: from.endpoint.address, port: from.endpoint.port });
  return packets.map(({ bytes }) => cmFields(bytes));
}

describeIf(hasEndpoints, 'endpoints need Linux')('messages one by one', () => {
  function end(address: string) {
    const device = open();
    const memory = new MemoryEndpoint({ device, address });
    const cq = device.createCq(64);
    return { memory, endpoint: memory.endpoint, qp: device.allocPd().createQp({ type: 'RC', sendCq: cq }) };
  }

  test('repeated messages have one effect, and one answer each', async () => {
    const [server, client] = [end('10.0.0.1'), end(PEER)];
    const requests: ConnectionRequest[] = [];
    server.endpoint.listen(SERVICE, (request) => requests.push(request));
    const connecting = client.endpoint.connect('10.0.0.1', SERVICE, { qp: client.qp, access: 0 });
    expect(carry(client.memory, server.memory, 3)).toMatchObject([{ destQp: QP1, attribute: Cm.Req }]);
    const mra = { attribute: Cm.Mra }; // please wait
    expect(carry(server.memory, client.memory)).toMatchObject([mra, mra]);
    await until(() => requests.length > 0);
    const accepting = requests[0]!.accept({ qp: server.qp, access: 0 });
    expect(carry(server.memory, client.memory, 3)).toMatchObject([{ attribute: Cm.Rep }]);
    const connection = await connecting;
    expect(carry(client.memory, server.memory, 3)).toMatchObject([{ attribute: Cm.Rtu }]);
    const there = await accepting;
    expect(requests).toHaveLength(1);
    void connection.disconnect();
    expect(carry(client.memory, server.memory, 3)).toMatchObject([{ attribute: Cm.Dreq }]);
    expect(await there.closed).toBe('peer');
    expect(carry(server.memory, client.memory, 3)).toMatchObject([{ attribute: Cm.Drep }]);
    expect(await connection.closed).toBe('program');
    expect([server.memory.take(), client.memory.take()]).toEqual([[], []]);
  });

  /** A message of a peer at an address, given to an endpoint. */
  function give(memory: MemoryEndpoint, message: CmMessage, source = PEER): void {
    const path = { source, sourcePort: 0xc012, destination: SERVER, destinationPort: 4791 };
    memory.feed({ bytes: cmPacket(message, path), address: source, port: 0xc012 });
  }

  test('a request for a queue pair that has a connection is stale, and ends that connection', async () => {
    const server = end(SERVER);
    let accepting: Promise<Connection> | undefined;
    let asked = 0;
    server.endpoint.listen(SERVICE, (request) => {
      asked++;
      accepting ??= request.accept({ qp: server.qp, access: 0 });
    });
    give(server.memory, { attribute: Cm.Req, local: 77, qpn: 0x1b, port: SERVICE });
    await until(() => accepting !== undefined);
    const [rep] = server.memory.take().map(({ bytes, port }) => ({ ...cmFields(bytes), port }));
    expect(rep).toMatchObject({ attribute: Cm.Rep, remote: 77, qpn: server.qp.qpn, port: 4791 });
    give(server.memory, { attribute: Cm.Rtu, local: 77, remote: rep!.local });
    const connection = await accepting!;
    // The peer has restarted: another id, the same number of a queue pair.
    give(server.memory, { attribute: Cm.Req, local: 78, qpn: 0x1b, port: SERVICE });
    expect(server.memory.take().map(({ bytes }) => cmFields(bytes))).toMatchObject([
      { attribute: Cm.Rej, remote: 78, reason: 10 },
      { attribute: Cm.Dreq, remote: 77 },
    ]);
    expect(await connection.closed).toBe('peer');
    expect(server.qp.state).toBe('ERR');
    expect(asked).toBe(1);
    expect(server.endpoint.counters().connections).toMatchObject({ stale: 1, refused: 1 });
  });

  test('a stranger who does not know both ids changes nothing', async () => {
    const server = end(SERVER);
    let accepting: Promise<Connection> | undefined;
    server.endpoint.listen(SERVICE, (request) => {
      accepting = request.accept({ qp: server.qp, access: 0 });
    });
    give(server.memory, { attribute: Cm.Req, local: 77, qpn: 0x1b, port: SERVICE });
    await until(() => accepting !== undefined);
    const [rep] = server.memory.take().map(({ bytes }) => cmFields(bytes));
    give(server.memory, { attribute: Cm.Rtu, local: 77, remote: rep!.local });
    const connection = await accepting!;
    const { qpn } = server.qp;
    give(server.memory, { attribute: Cm.Dreq, local: 78, remote: rep!.local, qpn });
    give(server.memory, { attribute: Cm.Dreq, local: 77, remote: rep!.local ^ 0x100000, qpn });
    give(server.memory, { attribute: Cm.Dreq, local: 77, remote: rep!.local, qpn }, '10.0.0.3');
    give(server.memory, { attribute: Cm.Dreq, local: 77, remote: rep!.local, qpn: qpn ^ 1 });
    give(server.memory, { attribute: Cm.Rej, local: 78, remote: rep!.local });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(connection.isConnected).toBe(true);
    expect(server.qp.state).toBe('RTS');
    give(server.memory, { attribute: Cm.Dreq, local: 77, remote: rep!.local, qpn });
    expect(await connection.closed).toBe('peer');
  });

  test('half-open requests are limited, and counted', async () => {
    const server = end(SERVER);
    const requests: ConnectionRequest[] = [];
    server.endpoint.listen(SERVICE, (request) => requests.push(request), { backlog: 3 });
    for (let i = 0; i < 10; i++)
      give(server.memory, { attribute: Cm.Req, local: 100 + i, qpn: 200 + i, port: SERVICE });
    await until(() => requests.length === 3);
    expect(server.memory.take()).toEqual([]);
    expect(server.endpoint.counters().connections).toMatchObject({ halfOpen: 3, overflows: 7, open: 3 });
    requests[0]!.reject();
    give(server.memory, { attribute: Cm.Req, local: 109, qpn: 209, port: SERVICE });
    await until(() => requests.length === 4);
  });

  test('packets of a socket, repeated: one request, one answer each', async () => {
    const server = wireEnd();
    const stranger = await CmStranger.open(server.endpoint);
    const requests: ConnectionRequest[] = [];
    server.endpoint.listen(SERVICE, (request) => requests.push(request));
    const req = { attribute: Cm.Req, local: 5, qpn: 0x1b, port: SERVICE };
    stranger.send(req);
    await until(() => requests.length === 1);
    for (let i = 1; i <= 3; i++) {
      stranger.send(req); // one at a time: several in one batch get one answer
      await until(() => stranger.answers.length === i);
    }
    expect(new Set(stranger.answers.map(({ attribute }) => attribute))).toEqual(new Set([Cm.Mra]));
    const accepting = requests[0]!.accept({ qp: server.qp, access: 0 });
    await until(() => stranger.answers.length === 4);
    stranger.send(req);
    await until(() => stranger.answers.length === 5);
    const [, , , rep, again] = stranger.answers;
    expect(again).toEqual(rep);
    expect(rep).toMatchObject({ attribute: Cm.Rep, remote: 5, qpn: server.qp.qpn });
    for (let i = 0; i < 3; i++) stranger.send({ attribute: Cm.Rtu, local: 5, remote: rep!.local });
    const connection = await accepting;
    for (let i = 0; i < 3; i++)
      stranger.send({ attribute: Cm.Dreq, local: 5, remote: rep!.local, qpn: server.qp.qpn });
    expect(await connection.closed).toBe('peer');
    const counts = () => server.endpoint.counters().connections;
    await until(() => stranger.answers.length >= 6 && counts().received === 11);
    expect(stranger.answers.slice(5).every(({ attribute }) => attribute === Cm.Drep)).toBe(true);
    expect(requests).toHaveLength(1);
    expect(counts().sent).toBeLessThanOrEqual(11);
    stranger.close();
  });

  test('what is not a message for queue pair 1 gets no answer', () => {
    const server = end('10.0.0.1');
    server.endpoint.listen(SERVICE, () => {});
    for (let length = 0; length < 300; length += 4)
      server.memory.feed({ bytes: Buffer.alloc(length, 0x64), address: PEER, port: 4791 });
    expect(server.memory.take()).toEqual([]);
    expect(server.endpoint.counters().connections.received).toBe(0);
  });
});
