// Endpoints that wait for packets in a thread of their own, as they do where the host has no libuv.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Access, Endpoint } from '../../lib';
import { EndpointFlag } from '../../lib/internal/layout';
import { native } from '../../lib/internal/native';
import { describeIf } from '../support/conditions';
import { memory, REMOTE } from '../support/queue-pairs';
import { open } from '../support/scene';
import { pause, until, wireEnd, wireEnds } from '../support/wire-ends';

const isLinux = process.platform === 'linux';
const root = join(__dirname, '..', '..');
const byLoop = native.createEndpoint;

/** Number of the threads of this process. */
const threads = (): number => readdirSync('/proc/self/task').length;

/** A program with an endpoint that waits in a thread. */
const opened = `
  require(${JSON.stringify(join(root, 'test', 'support', 'wait-by-thread.cjs'))});
  const { Device, Endpoint } = require(${JSON.stringify(root)});
  const endpoint = new Endpoint({ device: new Device(), address: '127.0.0.1', port: 0 });
`;

describeIf(isLinux, 'endpoints need Linux')('an endpoint that waits in a thread', () => {
  beforeEach(() => {
    native.createEndpoint = (device, address, port, refusals, flags) =>
      byLoop(device, address, port, refusals, flags | EndpointFlag.ByThread);
  });
  afterEach(() => {
    native.createEndpoint = byLoop;
  });

  test('has one thread, which ends when it is closed', async () => {
    const device = open();
    const before = threads();
    const all = Array.from({ length: 8 }, () => new Endpoint({ device, address: '127.0.0.1', port: 0 }));
    expect(threads()).toBe(before + 8);
    for (const endpoint of all) endpoint.close();
    expect(threads()).toBe(before);
    for (let i = 0; i < 200; i++) new Endpoint({ device, address: '127.0.0.1', port: 0 }).close();
    expect(threads()).toBe(before);
    await pause(); // calls that the threads have queued find no object
  });

  test('writes, reads, sends and carries out atomic operations, of both directions at once', async () => {
    const { a, b } = wireEnds({ qp: { maxSendWr: 128, maxRecvWr: 128 } });
    const [here, there] = [memory(a.pd, 1 << 18), memory(b.pd, 1 << 18)];
    const [from, back] = [memory(a.pd, 1 << 18), memory(b.pd, 1 << 18)];
    for (let i = 0; i < from.bytes.length; i++) from.bytes[i] = back.bytes[i] = i % 251;
    const all: Promise<unknown>[] = [];
    for (let at = 0; at < 1 << 18; at += 1 << 12) {
      all.push(a.qp.write(from.sge(at, 1 << 12), there.at(at)));
      all.push(b.qp.write(back.sge(at, 1 << 12), here.at(at)));
    }
    await Promise.all(all);
    expect(there.bytes.equals(from.bytes)).toBe(true);
    expect(here.bytes.equals(back.bytes)).toBe(true);
    from.bytes.fill(0);
    await a.qp.read(from.sge(), there.at());
    expect(from.bytes.equals(there.bytes)).toBe(true);
    const received = b.qp.recv(back.sge(0, 64));
    await a.qp.send(from.sge(0, 64));
    expect((await received).byteLength).toBe(64);
    expect(back.bytes.subarray(0, 64).equals(from.bytes.subarray(0, 64))).toBe(true);
    there.bytes.writeBigUInt64LE(40n);
    await a.qp.fetchAdd(from.sge(0, 8), there.at(), 2n);
    expect([from.bytes.readBigUInt64LE(), there.bytes.readBigUInt64LE()]).toEqual([40n, 42n]);
  });

  test('acts on its timers: sends again after RNR, and gives up a peer that does not answer', async () => {
    const { a, b } = wireEnds({ connect: { minRnrTimer: 1, timeout: 8, retryCnt: 2 } });
    const [from, to] = [memory(a.pd, 'hello'), memory(b.pd, 5)];
    const sent = a.qp.send(from.sge());
    await until(() => b.endpoint.counters().rnrNaks > 3);
    const received = b.qp.recv(to.sge());
    await Promise.all([sent, received]);
    expect(to.bytes.toString()).toBe('hello');
    b.endpoint.close();
    await expect(a.qp.write(from.sge(), to.at())).rejects.toMatchObject({
      status: 'RETRY_EXC_ERR',
      reason: 'NoAnswer',
    });
  });

  test('closes in a listener of its own event, and tells what it refused', async () => {
    const { a, b } = wireEnds();
    const [from, to] = [memory(a.pd, 8), memory(b.pd, 8, Access.RemoteRead)];
    const reasons: string[] = [];
    b.endpoint.on('refused', ({ reason }) => {
      reasons.push(reason);
      b.endpoint.close();
    });
    const closed = new Promise<void>((resolve) => b.endpoint.once('close', resolve));
    await expect(a.qp.write(from.sge(), to.at())).rejects.toMatchObject({ status: 'REM_ACCESS_ERR' });
    await closed;
    expect(reasons).toEqual(['AccessDenied']);
  });

  test('closes with its device, in the middle of traffic', async () => {
    const before = threads();
    for (let i = 0; i < 20; i++) {
      const { a, b } = wireEnds({ connect: { timeout: 8, retryCnt: 1 } });
      const [from, to] = [memory(a.pd, 1 << 16), memory(b.pd, 1 << 16)];
      const outcome = a.qp.write(from.sge(), to.at()).catch((error: unknown) => error);
      if (i % 2) await until(() => b.endpoint.counters().received > 0);
      b.device.close({ cascade: true });
      if (i % 3 === 0) a.device.close({ cascade: true });
      await outcome;
      a.device.close({ cascade: true });
    }
    expect(threads()).toBe(before);
  });

  test('serves a peer that waits in the event loop', async () => {
    const a = wireEnd();
    native.createEndpoint = byLoop;
    const b = wireEnd();
    a.qp.connect({ endpoint: a.endpoint, ...b.here, access: REMOTE });
    b.qp.connect({ endpoint: b.endpoint, ...a.here, access: REMOTE });
    const [from, to] = [memory(a.pd, 'abcdefgh'), memory(b.pd, 8)];
    await a.qp.write(from.sge(), to.at());
    from.bytes.fill(0);
    await b.qp.write(to.sge(), from.at());
    expect(from.bytes.toString()).toBe('abcdefgh');
  });

  test('keeps its process alive unless it is unreferenced', async () => {
    const run = (more: string, stdio: 'inherit' | 'ignore' = 'inherit'): Promise<number | null> => {
      const child = spawn(process.execPath, ['--eval', opened + more], {
        stdio,
        timeout: 60_000,
        killSignal: 'SIGKILL',
      });
      return new Promise((resolve) => child.once('exit', resolve));
    };
    expect(await run('endpoint.unref(); setTimeout(() => process.exit(7), 30_000).unref();')).toBe(0);
    expect(await run('setTimeout(() => process.exit(7), 200).unref();')).toBe(7);
    expect(await run('endpoint.unref().ref(); setTimeout(() => process.exit(7), 200).unref();')).toBe(7);
    expect(await run('setTimeout(() => endpoint.close(), 50);')).toBe(0);
    expect(await run('process.exit(3)')).toBe(3);
    expect(await run('setTimeout(() => { throw new Error("on purpose"); }, 50);', 'ignore')).toBe(1);
  });

  test('ends with its worker, in the middle of traffic', async () => {
    const before = threads();
    const program = `${opened}
      const { parentPort } = require('node:worker_threads');
      const { Device: D } = require(${JSON.stringify(root)});
      const pd = (() => { const device = new D(); const pd = device.allocPd(); return { device, pd }; })();
      const serve = new Endpoint({ device: pd.device, address: '127.0.0.1', port: 0 });
      const qp = pd.pd.createQp({ type: 'RC', sendCq: pd.device.createCq(64) });
      const mr = pd.pd.regUserMr(Buffer.alloc(1 << 20), { access: 31 });
      parentPort.once('message', (there) => {
        qp.connect({ endpoint: serve, ...there, access: 14 });
        parentPort.postMessage({ ...serve.describe(qp), vaddr: mr.iova, rkey: mr.rkey });
      });`;
    for (let i = 0; i < 5; i++) {
      const a = wireEnd();
      const worker = new Worker(program, { eval: true });
      worker.postMessage(a.here);
      const there = await new Promise<any>((resolve, reject) => {
        worker.once('message', resolve).once('error', reject);
      });
      const { vaddr, rkey, ...place } = there;
      a.qp.connect({ endpoint: a.endpoint, ...place, access: REMOTE, timeout: 10, retryCnt: 2 });
      const m = memory(a.pd, 1 << 20);
      const ended = (async () => {
        for (;;) await a.qp.write(m.sge(), { vaddr, rkey });
      })().catch((error: unknown) => (error as { status: string }).status);
      await until(() => a.endpoint.counters().sent > 1000);
      expect(await worker.terminate()).toBe(1);
      expect(await ended).toBe('RETRY_EXC_ERR');
      a.device.close({ cascade: true });
    }
    expect(threads()).toBe(before);
  });
});
