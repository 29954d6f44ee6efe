// `rdmavt inspect`: the addresses that it takes, the streams that it reads, and what it prints.
import { spawn } from 'node:child_process';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { EventReader, inspectorAddress, watchInspector, type WatchOptions } from '../../lib/inspect/terminal';
import { commandFile, rdmavt } from '../support/command-line';
import { accepted } from '../support/answers';
import { ends, memory } from '../support/queue-pairs';
import { open, scene } from '../support/scene';
import { inspected, until } from './inspecting';

const TOKEN = 'abcdefghijklmnopqrstuvwxyz_-0123';
const QUIET: WatchOptions = { once: false, json: false, everyMs: 100, isTerminal: false };

describe('addresses', () => {
  test.each([
    [`http://127.0.0.1:81/${TOKEN}/`, `http://127.0.0.1:81/${TOKEN}/events`],
    [`http://127.0.0.1:81/${TOKEN}`, `http://127.0.0.1:81/${TOKEN}/events`],
    [`http://localhost:81/${TOKEN}/#x`, `http://localhost:81/${TOKEN}/events`],
  ])('%s is one', (text, events) => {
    expect(inspectorAddress(text).href).toBe(events);
  });

  test.each([
    ['', /is not an address/],
    ['127.0.0.1:81', /is not an address|begins with/],
    ['\x1b[2J', /'\\u001b\[2J' is not an address/],
    [`https://127.0.0.1:81/${TOKEN}/`, /begins with http:\/\/127/],
    [`http://evil.example/${TOKEN}/`, /begins with http:\/\/127/],
    ['http://127.0.0.1:81/', /no token/],
    [`http://127.0.0.1:81/${TOKEN}/events`, /no token/],
    [`http://127.0.0.1:81/${TOKEN}/?a`, /no token/],
    [`http://me:you@127.0.0.1:81/${TOKEN}/`, /no token/],
    ['file:///etc/passwd', /begins with/],
  ])('%j is none', (text, message) => {
    expect(() => inspectorAddress(text)).toThrow(message);
  });
});

test('events are read however the stream is cut', () => {
  const stream =
    'retry: 1\n\nevent: state\ndata: {"a":1}\n\nevent: tick\ndata: {}\n\n: comment\n\ndata: x\n\nevent: end\nda';
  for (let size = 1; size <= stream.length; size++) {
    const seen: [string, string][] = [];
    const reader = new EventReader((name, data) => seen.push([name, data]));
    for (let at = 0; at < stream.length; at += size) reader.add(stream.slice(at, at + size));
    expect(seen).toEqual([
      ['state', '{"a":1}'],
      ['tick', '{}'],
      ['message', 'x'],
    ]);
  }
});

describe('watching', () => {
  const never = new AbortController().signal;

  test('prints the device at once, what has changed since, and refusals once', async () => {
    const { device, pd, a, aCq } = ends({ device: { engine: 'auto' } });
    const { mr, sge, at } = memory(pd, 64);
    const sgeHeld = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const inspector = await inspected(device, { intervalMs: 20 });
    let text = '';
    const watched = watchInspector(inspectorAddress(inspector.url), QUIET, (part) => (text += part), never);
    await until(() => text.includes('regions:'));
    expect(text).toMatch(
      /^device \d+ of process \d+\nchecks: 1 accepted, 0 refused; 0 B copied\ncompletions: none\nrefusals: none\nkeys: 1 of 65,536 slots used\n/,
    );
    expect(text).toMatch(/queue pairs:\n +1 RC \d+ RTS sends 0 receives 0 peer \d+\n/);
    a.postSend({ opcode: 'RDMA_WRITE', sges: [sge(0, 8)], ...at(60) });
    aCq.poll();
    await until(() => text.includes('refusal 1:'));
    await until(() => text.split('\ndevice ').length > 6);
    expect(text.match(/refusal \d+:.*/g)).toEqual([
      expect.stringMatching(/^refusal 1: RDMA_WRITE .*REM_ACCESS_ERR.*OutOfBounds/),
    ]);
    expect(text).toContain('completions: REM_ACCESS_ERR 1');
    expect(text).toMatch(/\d RC \d+ ERR sends/);
    sgeHeld.put();
    await inspector.close();
    expect(await watched).toBe('closed');
  });

  test('with once, prints once; as JSON, the whole state', async () => {
    const { device, pd } = scene();
    pd.regUserMr(new Uint8Array(10), { access: 7 });
    const inspector = await inspected(device);
    let text = '';
    const why = await watchInspector(
      inspectorAddress(inspector.url),
      { ...QUIET, once: true, json: true },
      (part) => (text += part),
      never,
    );
    expect(why).toBe('stopped');
    expect(text.split('\n')).toHaveLength(2);
    expect(JSON.parse(text)).toMatchObject({
      format: 'rdmavt-inspect-1',
      regions: [{ id: 1, access: 7, length: 10 }],
    });
    await until(() => inspector.viewers === 0);
  });

  test('in a terminal, each print replaces the one before', async () => {
    const inspector = await inspected(open(), { intervalMs: 20 });
    let text = '';
    const ending = new AbortController();
    const watched = watchInspector(
      inspectorAddress(inspector.url),
      { ...QUIET, isTerminal: true },
      (part) => (text += part),
      ending.signal,
    );
    await until(() => text.split('\x1b[H\x1b[2Jdevice').length > 3);
    ending.abort();
    expect(await watched).toBe('stopped');
  });

  test('ends with the device', async () => {
    const device = open();
    const inspector = await inspected(device);
    const watched = watchInspector(inspectorAddress(inspector.url), QUIET, () => undefined, never);
    await until(() => inspector.viewers === 1);
    device.close();
    expect(await watched).toBe('device-closed');
  });

  describe('of a server that is no inspector', () => {
    let server: Server;
    afterEach(() => {
      server.closeAllConnections();
      server.close();
    });
    const outcome = async (answer: RequestListener): Promise<string> => {
      server = createServer(answer).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      let printed = '';
      try {
        const why = await watchInspector(
          inspectorAddress(`http://127.0.0.1:${port}/${TOKEN}/`),
          QUIET,
          (text) => (printed += text),
          never,
        );
        return `${why}: ${printed}`;
      } catch (error) {
        return (error as Error).message;
      }
    };
    const stream = { 'Content-Type': 'text/event-stream' };

    test.each<[string, RequestListener, RegExp]>([
      ['another status', (_, response) => void response.writeHead(500).end(), /not an inspector/],
      ['the status 404', (_, response) => void response.writeHead(404).end(), /does not know this token/],
      ['the status 403', (_, response) => void response.writeHead(403).end(), /refuses/],
      ['the status 503', (_, response) => void response.writeHead(503).end(), /too many/],
      [
        'a redirection',
        (_, response) => void response.writeHead(302, { Location: 'http://evil.example/' }).end(),
        /not an inspector/,
      ],
      [
        'another type',
        (_, response) => void response.writeHead(200, { 'Content-Type': 'text/html' }).end('hi'),
        /not an inspector/,
      ],
      [
        'no JSON',
        (_, response) => void response.writeHead(200, stream).write('event: state\ndata: {\n\n'),
        /not JSON/,
      ],
      [
        'another format',
        (_, response) => void response.writeHead(200, stream).write('event: state\ndata: {"format":"x"}\n\n'),
        /another version/,
      ],
      [
        'an end of the connection',
        (_, response) => void response.writeHead(200, stream).end(),
        /connection was lost/,
      ],
      [
        'a broken connection',
        (_, response) => (response.writeHead(200, stream).write('x'), void response.socket?.destroy()),
        /lost|hang up/,
      ],
    ])('%s is an error', async (_, answer, message) => {
      expect(await outcome(answer)).toMatch(message);
    });
  });
});

describe('the command', () => {
  test.each<[string[], RegExp]>([
    [[], /the url of an inspector is required \(see rdmavt inspect --help\)/],
    [['a', 'b'], /unexpected argument 'b'/],
    [['nonsense'], /'nonsense' is not an address/],
    [['--every', '0', `http://127.0.0.1:1/${TOKEN}/`], /--every takes seconds from 0.1 to 3600/],
    [['--every', 'x', `http://127.0.0.1:1/${TOKEN}/`], /--every/],
    [['--nothing'], /unknown option '--nothing'/i],
  ])('%j is a usage error', (args, message) => {
    const { status, stderr, stdout } = rdmavt(['inspect', ...args]);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });

  test('help', () => {
    expect(rdmavt(['inspect', '--help'])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('--once'),
    });
    expect(rdmavt(['help'])).toMatchObject({ stdout: expect.stringContaining('inspect ') });
  });

  test('says that nothing listens', () => {
    expect(rdmavt(['inspect', `http://127.0.0.1:1/${TOKEN}/`])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^rdmavt: cannot connect to 127\.0\.0\.1:1: nothing listens there/),
    });
  });

  test('prints what the page shows, until the inspector ends, without the native module', async () => {
    const { device } = scene();
    const inspector = await inspected(device, { intervalMs: 20 });
    const child = spawn(
      process.execPath,
      ['--no-addons', commandFile, 'inspect', '--every', '0.1', inspector.url],
      { stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 },
    );
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => (output += part));
    child.stderr.setEncoding('utf8').on('data', (part: string) => (output += part));
    await until(() => output.split('keys: 0 of').length > 3);
    await inspector.close();
    const [status] = (await once(child, 'exit')) as [number];
    expect([status, output.split('\n').at(-2)]).toEqual([0, 'The inspector was closed.']);
  });

  test('a signal ends it', async () => {
    const inspector = await inspected(open());
    const child = spawn(process.execPath, [commandFile, 'inspect', inspector.url], {
      stdio: 'ignore',
      timeout: 30_000,
    });
    await until(() => inspector.viewers === 1);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
    await until(() => inspector.viewers === 0);
  });
});
