// When an inspector begins, ends, and costs something.
import { channel } from 'node:diagnostics_channel';
import { createServer } from 'node:net';
import { type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { Access, Device } from '../../lib';
import { inspect } from '../../lib/inspect/inspect';
import { startServer } from '../../lib/inspect/inspector';
import { deviceSource } from '../../lib/inspect/report';
import { homeOfDevice } from '../../lib/verbs/device';
import { runProgram } from '../support/programs';
import { Peer } from '../support/workers';
import { open, scene } from '../support/scene';
import { ask, inspected, until, view } from './inspecting';

describe('arguments', () => {
  test.each<[unknown, unknown, string]>([
    [undefined, {}, 'ERR_INVALID_ARG_TYPE'],
    [null, {}, 'ERR_INVALID_ARG_TYPE'],
    [{}, {}, 'ERR_INVALID_ARG_TYPE'],
    [Device, {}, 'ERR_INVALID_ARG_TYPE'],
    [Object.create(Device.prototype), {}, 'ERR_INVALID_ARG_TYPE'],
    ['device', null, 'ERR_INVALID_ARG_TYPE'],
    ['device', 5, 'ERR_INVALID_ARG_TYPE'],
    ['device', [], 'ERR_INVALID_ARG_TYPE'],
    ['device', { port: '80' }, 'ERR_INVALID_ARG_TYPE'],
    ['device', { port: -1 }, 'ERR_OUT_OF_RANGE'],
    ['device', { port: 65_536 }, 'ERR_OUT_OF_RANGE'],
    ['device', { port: 1.5 }, 'ERR_OUT_OF_RANGE'],
    ['device', { intervalMs: 19 }, 'ERR_OUT_OF_RANGE'],
    ['device', { intervalMs: 60_001 }, 'ERR_OUT_OF_RANGE'],
    ['device', { intervalMs: NaN }, 'ERR_OUT_OF_RANGE'],
    ['device', { ref: 1 }, 'ERR_INVALID_ARG_TYPE'],
    ['device', { host: '0.0.0.0' }, 'ERR_INVALID_ARG_VALUE'],
    ['proxy', {}, 'ERR_INVALID_ARG_TYPE'],
  ])('inspect(%p, %p) rejects with %s', async (given, options, code) => {
    const real = open();
    const device = given === 'device' ? real : given === 'proxy' ? new Proxy(real, {}) : given;
    await expect(inspect(device as Device, options as object)).rejects.toMatchObject({ code });
  });

  test('a closed device is refused with EBADF, and a port in use with EADDRINUSE', async () => {
    const device = open();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await expect(inspect(device, { port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    const first = await inspected(device);
    await expect(inspect(device, { port: first.port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    server.close();
    device.close();
    await expect(inspect(device)).rejects.toMatchObject({ name: 'RdmaError', code: 'EBADF' });
    await first.closed;
  });

  test('a device of another copy of the package is refused', () => {
    const program = `
      const { inspect } = require('rdmavt/inspect');
      for (const path of Object.keys(require.cache)) delete require.cache[path];
      const { Device } = require('rdmavt');
      inspect(new Device()).catch(({ code }) => console.log(code));`;
    expect(runProgram(program)).toMatchObject({ status: 0, stdout: 'ERR_INVALID_ARG_TYPE\n', stderr: '' });
  });

  test('a given port is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const inspector = await inspected(open(), { port });
    expect([inspector.port, new URL(inspector.url).port]).toEqual([port, String(port)]);
  });
});

describe('while nobody looks', () => {
  test('there is no subscriber, before, between and after', async () => {
    const { device, pd } = scene();
    const inspector = await inspected(device, { intervalMs: 20 });
    const idle = (): void => {
      expect([inspector.viewers, channel('rdmavt:refused').hasSubscribers]).toEqual([0, false]);
    };
    idle();
    await ask(inspector.url); // the page alone does not look
    idle();
    for (let i = 0; i < 2; i++) {
      const viewer = await view(inspector);
      expect([inspector.viewers, channel('rdmavt:refused').hasSubscribers]).toEqual([1, true]);
      pd.check({ addr: 0, length: 1, lkey: 0xff_ffffff as never }, 0);
      await until(() => viewer.ticks.some(({ refusals }) => refusals?.length === 1));
      viewer.leave();
      await until(() => inspector.viewers === 0);
      idle();
    }
  });

  test('there is no timer, before, between and after', () => {
    // In a process of its own, because Jest has timers. With ref, a timer of the inspector would be listed.
    const program = `
      const { Device } = require('rdmavt');
      const { inspect } = require('rdmavt/inspect');
      const { get } = require('node:http');
      const timers = async () => {
        await new Promise(setImmediate);
        return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
      };
      const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      (async () => {
        const inspector = await inspect(new Device(), { ref: true, intervalMs: 60000 });
        const counts = [await timers()];
        await new Promise((resolve) => get(inspector.url, { agent: false }, (response) => response.on('end', resolve).resume()));
        await wait(1500); // Node keeps the date of a response for a second
        counts.push(await timers());
        const looking = get(inspector.url + 'events', { agent: false }).on('error', () => {});
        await new Promise((resolve) => looking.on('response', (response) => response.on('error', () => {}).once('data', resolve)));
        await wait(1500);
        counts.push(await timers());
        looking.destroy();
        while (inspector.viewers > 0) await wait(10);
        counts.push(await timers());
        console.log(counts.join());
        await inspector.close();
      })();`;
    expect(runProgram(program, [], 30_000)).toEqual({
      status: 0,
      signal: null,
      stdout: '0,0,1,0\n',
      stderr: '',
    });
  });

  test('the device is not looked at', async () => {
    const source = deviceSource(homeOfDevice(open())!.native, 0);
    let looks = 0;
    const counted = {
      ...source,
      read: () => (looks++, source.read()),
      isOpen: () => (looks++, source.isOpen()),
    };
    const inspector = await startServer(counted, { port: 0, intervalMs: 20, ref: false });
    await ask(inspector.url);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(looks).toBe(0);
    const viewer = await view(inspector);
    await until(() => looks > 3);
    viewer.leave();
    await until(() => inspector.viewers === 0);
    const before = looks;
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(looks).toBe(before);
    await inspector.close();
  });
});

describe('the end', () => {
  test('close tells those who look, and frees the port', async () => {
    const device = open();
    const inspector = await inspected(device);
    const viewer = await view(inspector);
    const [one, two] = [inspector.close(), inspector.close()];
    await Promise.all([one, two, inspector.closed]);
    await until(() => viewer.isClosed);
    expect(viewer.ended).toEqual({ why: 'closed' });
    expect(inspector.viewers).toBe(0);
    await expect(ask(inspector.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await inspected(device, { port: inspector.port });
    device.close(); // works as before
  });

  test('close does not wait for those who do not read', async () => {
    const { device, pd } = scene();
    for (let i = 0; i < 5000; i++) pd.regUserMr(new Uint8Array(64), { access: 1 });
    const inspector = await inspected(device);
    const viewer = await view(inspector);
    viewer.response.pause();
    const begin = Date.now();
    await inspector.close();
    expect(Date.now() - begin).toBeLessThan(10_000);
  });

  test('await using ends it', async () => {
    const url = await (async () => {
      await using inspector = await inspect(open());
      expect((await ask(inspector.url)).status).toBe(200);
      return inspector.url;
    })();
    await expect(ask(url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test.each([
    ['close', (device: Device) => device.close({ cascade: true })],
    ['using', (device: Device) => device[Symbol.dispose]()],
    ['await using', (device: Device) => void device[Symbol.asyncDispose]()],
  ])('the device ends it at once by %s, whether somebody looks or not', async (_, end) => {
    for (const isSeen of [false, true]) {
      const { device } = scene();
      const inspector = await inspected(device, { intervalMs: 60_000 });
      const viewer = isSeen ? await view(inspector) : undefined;
      end(device);
      await inspector.closed;
      if (viewer) {
        await until(() => viewer.isClosed);
        expect(viewer.ended).toEqual({ why: 'device-closed' });
      }
      await expect(ask(inspector.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    }
  });

  test('another object that closes the device ends it; one that detaches does not', async () => {
    const device = open();
    const token = device.share();
    const [second, third] = [Device.attach(token), Device.attach(token)];
    const inspectors = [await inspected(device), await inspected(second)];
    third.detach();
    second.detach();
    await inspectors[1]!.closed;
    expect((await ask(inspectors[0]!.url)).status).toBe(200);
    Device.attach(token).close({ cascade: true });
    await inspectors[0]!.closed;
  });

  test('another thread that closes the device ends it: at the next look, or when somebody comes', async () => {
    for (const isSeen of [false, true]) {
      const device = open();
      const worker = new Peer({ token: device.share() });
      const inspector = await inspected(device, { intervalMs: 20 });
      const viewer = isSeen ? await view(inspector) : undefined;
      await worker.run((w) => void w.device.close({ cascade: true }));
      const last = viewer ?? (await view(inspector));
      await inspector.closed;
      await until(() => last.isClosed);
      expect(last.ended).toEqual({ why: 'device-closed' });
      await worker.close();
    }
  });
});

describe('several', () => {
  test('devices are shown each by its own inspector, with its own refusals', async () => {
    const [one, two] = [scene(), scene()];
    const viewers = await Promise.all(
      [one, two].map(async ({ device }) => view(await inspected(device, { intervalMs: 20 }))),
    );
    one.pd.check({ addr: 0, length: 1, lkey: 0xff_ffffff as never }, 0);
    two.qp.check({ vaddr: 0, length: 2, rkey: 0xff_ffffff as never }, Access.RemoteRead);
    for (const { ticks } of viewers) await until(() => ticks.some(({ refusals }) => refusals));
    const lengths = viewers.map(({ ticks }) =>
      ticks.flatMap(({ refusals = [] }) => refusals.map(({ length }) => length)),
    );
    expect(lengths).toEqual([[1], [2]]);
    expect(viewers.map(({ states }) => states[0]!.device.id)).toEqual(
      [one, two].map(({ device }) => device.toJSON().id),
    );
  });

  test('inspectors of one device are independent', async () => {
    const device = open();
    const [a, b] = [await inspected(device), await inspected(device)];
    await a.close();
    const viewer = await view(b);
    expect(viewer.states).toHaveLength(1);
    const wrong = new URL(new URL(a.url).pathname, b.url).href;
    expect((await ask(wrong)).status).toBe(404); // the token is its own
  });
});

describe('processes', () => {
  const begin = `
    const { Device } = require('rdmavt');
    const { inspect } = require('rdmavt/inspect');
    const { get } = require('node:http');
    const device = new Device();
    const look = ({ url }) => new Promise((resolve) => {
      get(url + 'events', { agent: false }, (response) => { response.socket.unref(); response.once('data', () => resolve()); response.resume(); });
    });`;

  test('an inspector does not keep the process alive, looked at or not', () => {
    const idle = `${begin} inspect(device).then(() => console.log('open'));`;
    expect(runProgram(idle, [], 20_000)).toEqual({ status: 0, signal: null, stdout: 'open\n', stderr: '' });
    const seen = `${begin} inspect(device).then(look).then(() => console.log('seen'));`;
    expect(runProgram(seen, [], 20_000)).toEqual({ status: 0, signal: null, stdout: 'seen\n', stderr: '' });
  });

  test('with ref it does, until it or the device is closed', () => {
    const program = (end: string): string => `${begin}
      inspect(device, { ref: true }).then((inspector) => {
        setTimeout(() => { console.log('alive'); ${end} }, 300).unref();
      });`;
    for (const end of ['inspector.close();', 'device.close();'])
      expect(runProgram(program(end), [], 20_000)).toEqual({
        status: 0,
        signal: null,
        stdout: 'alive\n',
        stderr: '',
      });
  });

  test('a worker has its own inspector, which ends with it', () => {
    const program = `${begin}
      const { Worker } = require('node:worker_threads');
      const worker = new Worker(\`
        const { parentPort, workerData, threadId } = require('node:worker_threads');
        const { Device } = require('rdmavt');
        const { inspect } = require('rdmavt/inspect');
        const device = Device.attach(workerData);
        inspect(device, { ref: true }).then(({ url }) => parentPort.postMessage({ url, threadId }));
      \`, { eval: true, workerData: device.share() });
      worker.once('message', ({ url, threadId }) => {
        get(url + 'events', { agent: false }, (response) => {
          let text = '';
          response.on('data', async (part) => {
            text += part;
            if (!text.includes('"thread":' + threadId + ',')) return;
            text = '';
            await worker.terminate();
            get(url, { agent: false }).on('error', ({ code }) => { console.log(code, device.toJSON().state); device.close(); });
          });
          response.on('error', () => {});
        });
      });`;
    expect(runProgram(program, [], 30_000)).toEqual({
      status: 0,
      signal: null,
      stdout: 'ECONNREFUSED Open\n',
      stderr: '',
    });
  });

  test('a program that replaces methods of built-in objects breaks nothing but its own page', () => {
    const program = `${begin}
      inspect(device).then(async (inspector) => {
        Array.prototype.push = () => { throw new Error('push'); };
        Object.prototype.access = 31;
        await inspector.close();
        console.log('closed');
      });`;
    expect(runProgram(program, [], 20_000)).toMatchObject({ status: 0, stdout: 'closed\n' });
  });
});
