// Endpoints of several threads and processes.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Access, type Device, Endpoint, type WireAddress } from '../../lib';
import { describeIf } from '../support/conditions';
import { memory, REMOTE } from '../support/queue-pairs';
import { Peer } from '../support/workers';
import { until, wireEnd } from '../support/wire-ends';

const isLinux = process.platform === 'linux';

describeIf(isLinux, 'endpoints need Linux')('an endpoint of a worker', () => {
  let peer: Peer;
  afterEach(async () => {
    await peer.worker.terminate();
  });

  /** Opens an endpoint in the worker, on the device if it was shared with the worker, and describes a queue pair. */
  const openThere = (): Promise<any> =>
    peer.run((w) => {
      w.device ??= new w.Device();
      w.endpoint = new w.Endpoint({ device: w.device, address: '127.0.0.1', port: 0 });
      w.pd = w.device.allocPd();
      w.cq = w.device.createCq(64);
      w.qp = w.pd.createQp({ type: 'RC', sendCq: w.cq });
      return w.endpoint.describe(w.qp);
    });
  const connectThere = (here: WireAddress): Promise<any> =>
    peer.run((w, to) => w.qp.connect({ endpoint: w.endpoint, ...to, access: 0xe }), here);

  test('serves the memory of its own thread', async () => {
    peer = new Peer();
    const a = wireEnd();
    const there = await openThere();
    await connectThere(a.here);
    const remote = await peer.run((w) => {
      w.bytes = Buffer.from('from the worker');
      const mr = w.pd.regUserMr(w.bytes, { access: 31 });
      return { vaddr: mr.iova, rkey: mr.rkey };
    });
    a.qp.connect({ endpoint: a.endpoint, ...there, access: REMOTE });
    const m = memory(a.pd, 15);
    await a.qp.read(m.sge(), remote);
    expect(m.bytes.toString()).toBe('from the worker');
    m.bytes.write('TO');
    await a.qp.write(m.sge(0, 2), remote);
    expect(await peer.run((w) => w.bytes.toString())).toBe('TOom the worker');
  });

  test('listens, accepts and disconnects in its own thread', async () => {
    peer = new Peer();
    const a = wireEnd();
    await openThere();
    const port = await peer.run((w) => {
      w.endpoint.listen(7174, (request: any) => {
        w.connection = request.accept({ qp: w.qp, access: 0xe, privateData: Buffer.from('a worker') });
      });
      return w.endpoint.port;
    });
    const connection = await a.endpoint.connect('127.0.0.1', 7174, { port, qp: a.qp, access: REMOTE });
    expect(Buffer.from(connection.privateData).toString('latin1', 0, 8)).toBe('a worker');
    const remote = await peer.run((w) => {
      w.bytes = Buffer.from('from the worker');
      const mr = w.pd.regUserMr(w.bytes, { access: 31 });
      return { vaddr: mr.iova, rkey: mr.rkey };
    });
    const m = memory(a.pd, 15);
    await a.qp.read(m.sge(), remote);
    expect(m.bytes.toString()).toBe('from the worker');
    await peer.run(async (w) => (await w.connection).disconnect());
    expect(await connection.closed).toBe('peer');
  });

  test('disconnects when its thread ends', async () => {
    peer = new Peer();
    const a = wireEnd();
    await openThere();
    const port = await peer.run((w) => {
      w.endpoint.listen(7174, (request: any) => void request.accept({ qp: w.qp, access: 0 }));
      return w.endpoint.port;
    });
    const connection = await a.endpoint.connect('127.0.0.1', 7174, { port, qp: a.qp, access: 0 });
    await peer.worker.terminate();
    expect(await connection.closed).toBe('peer');
  });

  test('serves shared and device memory of other threads, and refuses their other buffers', async () => {
    const b = wireEnd();
    peer = new Peer({ token: b.device.share() });
    const there = await openThere();
    const a = wireEnd();
    await connectThere(a.here);
    const domain = await peer.run((w) => w.pd.id);
    const pd = b.device.importPd(domain);
    const shared = Buffer.from(new SharedArrayBuffer(8));
    const dm = b.device.allocDm(4096);
    const regions = [shared, Buffer.from(dm.buffer), Buffer.alloc(8)].map((bytes) =>
      pd.regUserMr(bytes, { access: 31 }),
    );
    a.qp.connect({ endpoint: a.endpoint, ...there, access: REMOTE });
    const m = memory(a.pd, 'abcdefgh');
    for (const { iova, rkey } of regions.slice(0, 2)) await a.qp.write(m.sge(), { vaddr: iova, rkey });
    expect(shared.toString()).toBe('abcdefgh');
    expect(Buffer.from(dm.buffer, 0, 8).toString()).toBe('abcdefgh');
    await peer.run((w) => {
      w.endpoint.on('refused', ({ reason }: { reason: string }) => (w.refused = reason));
    });
    const { iova, rkey } = regions[2]!;
    await expect(a.qp.write(m.sge(), { vaddr: iova, rkey })).rejects.toMatchObject({
      status: 'REM_ACCESS_ERR',
    });
    expect(
      await peer.run(async (w) => {
        while (w.refused === undefined) await w.turn();
        return w.refused;
      }),
    ).toBe('OtherEnvironment');
  });

  test('closes when another thread closes the device', async () => {
    const { device } = wireEnd();
    peer = new Peer({ token: device.share() });
    await openThere();
    await peer.run((w) => {
      w.closed = new Promise((resolve) => w.endpoint.once('close', resolve));
    });
    device.close({ cascade: true });
    await peer.run((w) => w.closed);
    expect(await peer.run((w) => w.endpoint.toJSON().state)).toBe('Closed');
  });

  test('ends with its thread, in the middle of traffic', async () => {
    peer = new Peer();
    const a = wireEnd();
    const there = await openThere();
    await connectThere(a.here);
    const remote = await peer.run((w) => {
      const mr = w.pd.regUserMr(Buffer.alloc(1 << 20), { access: 31 });
      return { vaddr: mr.iova, rkey: mr.rkey };
    });
    a.qp.connect({ endpoint: a.endpoint, ...there, access: REMOTE, timeout: 10, retryCnt: 2 });
    const m = memory(a.pd, 1 << 20);
    const ended = (async () => {
      for (;;) await a.qp.write(m.sge(), remote);
    })().catch((error: unknown) => (error as { status: string }).status);
    await until(() => a.endpoint.counters().sent > 2000);
    await peer.worker.terminate();
    expect(await ended).toBe('RETRY_EXC_ERR');
    // The port is free again.
    const again: Device = a.device;
    expect(new Endpoint({ device: again, address: '127.0.0.1', port: there.port }).port).toBe(there.port);
  });
});

describeIf(isLinux, 'endpoints need Linux')('an endpoint of another process', () => {
  const program = `
    const { Access, Device, Endpoint } = require(${JSON.stringify(join(__dirname, '..', '..'))});
    const device = new Device();
    const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
    const pd = device.allocPd(), cq = device.createCq(64);
    const qp = pd.createQp({ type: 'RC', sendCq: cq });
    const mr = pd.regUserMr(Buffer.from('bytes of another process'), { access: Access.RemoteRead });
    const done = { vaddr: String(mr.iova), rkey: mr.rkey };
    endpoint.on('refused', ({ reason }) => process.send({ refused: reason }));
    process.send({ ...endpoint.describe(qp), ...done });
    process.on('message', (message) => {
      if (message === 'revoke') { mr.dereg(); process.send('revoked'); }
      else if (message === 'close') { device.close({ cascade: true }); process.disconnect(); }
      else { qp.connect({ endpoint, ...message, access: Access.RemoteRead }); process.send('connected'); }
    });
  `;

  test('reads by key, until the key is revoked; the process ends when its endpoint is closed', async () => {
    const child = spawn(process.execPath, ['--eval', program], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      timeout: 60_000,
      killSignal: 'SIGKILL',
    });
    const next = (): Promise<any> => new Promise((resolve) => child.once('message', resolve));
    const exit = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const { vaddr, rkey, ...there } = await next();
    const a = wireEnd();
    child.send(a.here);
    expect(await next()).toBe('connected');
    a.qp.connect({ endpoint: a.endpoint, ...there, access: Access.RemoteRead });
    const m = memory(a.pd, 24);
    const remote = { vaddr: BigInt(vaddr), rkey };
    await a.qp.read(m.sge(), remote);
    expect(m.bytes.toString()).toBe('bytes of another process');
    child.send('revoke');
    expect(await next()).toBe('revoked');
    m.bytes.fill(0);
    const told = next();
    await expect(a.qp.read(m.sge(), remote)).rejects.toMatchObject({ status: 'REM_ACCESS_ERR' });
    expect(await told).toEqual({ refused: 'Revoked' });
    expect(m.bytes.every((byte) => byte === 0)).toBe(true);
    child.send('close');
    expect(await exit).toBe(0);
  });

  test('keeps the process alive unless it is unreferenced', async () => {
    const run = (more: string): Promise<number | null> => {
      const child = spawn(
        process.execPath,
        [
          '--eval',
          `const { Device, Endpoint } = require(${JSON.stringify(join(__dirname, '..', '..'))});
           const endpoint = new Endpoint({ device: new Device(), address: '127.0.0.1', port: 0 });
           ${more}`,
        ],
        { stdio: 'inherit', timeout: 60_000, killSignal: 'SIGKILL' },
      );
      return new Promise((resolve) => child.once('exit', resolve));
    };
    expect(await run('endpoint.unref(); setTimeout(() => process.exit(7), 30_000).unref();')).toBe(0);
    expect(await run('setTimeout(() => process.exit(7), 200).unref();')).toBe(7);
    expect(await run('endpoint.unref().ref(); setTimeout(() => process.exit(7), 200).unref();')).toBe(7);
    expect(await run('setTimeout(() => endpoint.close(), 50);')).toBe(0);
    expect(await run('process.exit(3)')).toBe(3);
  });
});
