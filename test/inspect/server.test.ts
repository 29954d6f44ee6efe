// What the server of an inspector answers, and what it refuses.
import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type Inspector } from '../../lib/inspect/inspect';
import { MOST_STREAMS } from '../../lib/inspect/page-server';
import { policyOf } from '../../lib/inspect/page-file';
import { open, scene } from '../support/scene';
import { ask, inspected, raw, until, view } from './inspecting';

const SAFE = {
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};
const partsOf = ({ url }: Inspector) => {
  const { port, pathname } = new URL(url);
  return { port: Number(port), token: pathname.slice(1, -1) };
};

describe('the address', () => {
  test('is on 127.0.0.1 and has a token that differs each time', async () => {
    const device = open();
    const urls = await Promise.all(Array.from({ length: 5 }, async () => (await inspected(device)).url));
    for (const url of urls) expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[\w-]{32}\/$/);
    expect(new Set(urls.map((url) => new URL(url).pathname)).size).toBe(5);
  });

  test('is reached by no other address of this machine', async () => {
    const { port } = await inspected(open());
    const others = Object.values(networkInterfaces())
      .flatMap((list = []) => list)
      .filter(({ address, family }) => family === 'IPv4' && !address.startsWith('127.'))
      .map(({ address }) => address);
    for (const host of [...others, '127.0.0.2', '::1']) {
      const outcome = await new Promise<string>((resolve) => {
        const socket = connect({ port, host });
        socket.on('connect', () => {
          socket.destroy();
          resolve('connected');
        });
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      });
      expect([host, outcome]).not.toEqual([host, 'connected']);
    }
  });
});

describe('the page', () => {
  test('comes with a policy that lets only its own script and styles run', async () => {
    const inspector = await inspected(open());
    const { status, headers, body } = await ask(inspector.url);
    expect(status).toBe(200);
    expect(headers).toMatchObject({ ...SAFE, 'content-type': 'text/html; charset=utf-8' });
    const policy = String(headers['content-security-policy']);
    const script = /<script>([\s\S]*?)<\/script>/.exec(body)![1]!;
    const style = /<style>([\s\S]*?)<\/style>/.exec(body)![1]!;
    const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
    expect(policy.split('; ')).toEqual([
      "default-src 'none'",
      `script-src ${hash(script)}`,
      `style-src ${hash(style)}`,
      "connect-src 'self'",
      'img-src data:',
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ]);
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    expect(policy).toBe(policyOf(body));
  });

  test('names nothing that is elsewhere, and has no script or style outside of its two elements', async () => {
    const { body } = await ask((await inspected(open())).url);
    expect(body.match(/<(script|style)[ >]/g)).toHaveLength(2);
    expect(body).not.toMatch(/<[^>]+ (src|action|style|on\w+)=/);
    expect(body.match(/<link[^>]*href="[^"]*/g)).toEqual([
      expect.stringContaining('href="data:image/svg+xml,'),
    ]);
    // Names of namespaces are not loaded.
    expect(
      body.match(/https?:\/\/[^\s'"]+/g)?.filter((url) => !url.startsWith('http://www.w3.org/')),
    ).toEqual([]);
    expect(body).toContain('Copyright (c) 2022 Leon Sorokin'); // of the library in it
  });

  test('answers HEAD without a body, and its address without the slash by a redirection', async () => {
    const { url } = await inspected(open());
    const head = await ask(url, { method: 'HEAD' });
    expect([head.status, head.body]).toEqual([200, '']);
    expect(Number(head.headers['content-length'])).toBeGreaterThan(10_000);
    const events = await ask(`${url}events`, { method: 'HEAD' });
    expect([events.status, events.headers['content-type'], events.body]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
      '',
    ]);
    const moved = await ask(url.slice(0, -1));
    expect([moved.status, moved.headers.location]).toEqual([301, new URL(url).pathname]);
  });
});

describe('refuses', () => {
  let inspector: Inspector;
  let port: number;
  let token: string;
  beforeEach(async () => {
    inspector = await inspected(open());
    ({ port, token } = partsOf(inspector));
  });
  afterEach(() => {
    expect(inspector.viewers).toBe(0);
  });

  test('every wrong token, with one answer for all', async () => {
    const wrong = [
      '',
      '/',
      '/favicon.ico',
      '/events',
      `/${token.slice(0, -1)}/`,
      `/${token}x/`,
      `/${token.toUpperCase()}/`,
      `/${'A'.repeat(32)}/events`,
      `//${token}/`,
      `/x/${token}/`,
      `/%2e/${token}/`,
      `/${encodeURIComponent(token).replace(/^./, (c) => `%${c.charCodeAt(0).toString(16)}`)}/`,
    ];
    const answers = await Promise.all(
      wrong.map((path) => raw(port, `GET ${path || '/'} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)),
    );
    const texts = new Set(answers.map((answer) => answer.replace(/Date: .*\r\n/, '')));
    expect(texts.size).toBe(1);
    expect([...texts][0]).toMatch(/^HTTP\/1\.1 404 [\s\S]*\r\n\r\n[\s\S]*Not found\./);
    // No method is named to those without the token.
    for (const method of ['POST', 'OPTIONS', 'DELETE']) {
      const { status } = await ask(`http://127.0.0.1:${port}/nothing/`, { method });
      expect([method, status]).toEqual([method, 404]);
    }
  });

  test.each([
    'evil.example',
    'evil.example:PORT',
    '127.0.0.1',
    '127.0.0.1:1',
    'localhost',
    '[::1]:PORT',
    '127.0.0.1.evil.example:PORT',
    '2130706433:PORT',
    '127.0.0.1:PORT.evil',
    '',
  ])('the host %s', async (host) => {
    const name = host.replace('PORT', String(port));
    const answer = await raw(port, `GET /${token}/ HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(answer).not.toContain('<html');
  });

  test('requests with two hosts, or none', async () => {
    const two = `GET /${token}/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nHost: evil.example\r\n\r\n`;
    expect(await raw(port, two)).toMatch(/^HTTP\/1\.1 40[03] /);
    expect(await raw(port, `GET /${token}/ HTTP/1.1\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
    expect(await raw(port, `GET /${token}/ HTTP/1.0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 403 /);
  });

  test('accepts localhost, and its own origin', async () => {
    expect((await ask(inspector.url, { headers: { Host: `localhost:${port}` } })).status).toBe(200);
    expect((await ask(inspector.url, { headers: { Origin: `http://127.0.0.1:${port}` } })).status).toBe(200);
    expect(
      (
        await ask(inspector.url, {
          headers: { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' },
        })
      ).status,
    ).toBe(200);
  });

  test.each([
    { Origin: 'http://evil.example' },
    { Origin: 'null' },
    { Origin: 'https://127.0.0.1:PORT' },
    { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'cors' },
    { 'Sec-Fetch-Site': 'same-site', 'Sec-Fetch-Mode': 'no-cors' },
    { 'Sec-Fetch-Site': 'cross-site' },
  ])('requests of other pages: %j', async (given) => {
    const headers = Object.fromEntries(
      Object.entries(given).map(([name, value]) => [name, value.replace('PORT', String(port))]),
    );
    for (const path of ['', 'events'])
      expect((await ask(inspector.url + path, { headers })).status).toBe(403);
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'])(
    'the method %s',
    async (method) => {
      for (const path of ['', 'events']) {
        const { status, headers } = await ask(inspector.url + path, {
          method,
          ...(method === 'TRACE' ? {} : { body: 'a=b' }),
        });
        expect([path, status, headers.allow]).toEqual([path, 405, 'GET, HEAD']);
        expect(headers).toMatchObject(SAFE);
      }
    },
  );

  test('CONNECT and upgrades open nothing', async () => {
    expect(
      await raw(port, `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`),
    ).not.toMatch(/ 200 /);
    const upgrade = `GET /${token}/events HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
    expect(await raw(port, upgrade, 500)).not.toMatch(/^HTTP\/1\.1 101/);
    await until(() => inspector.viewers === 0);
  });

  test.each([
    '../',
    '..%2f',
    '%2e%2e/',
    './',
    'events/',
    'events?x',
    '?x',
    '#x',
    'EVENTS',
    'package.json',
    '..\\..\\package.json',
    '%00',
    'constructor',
    '__proto__',
    '//events',
    'events/../',
  ])('the path %s', async (path) => {
    const answer = await raw(port, `GET /${token}/${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 404 /);
  });

  test('an absolute address of another host', async () => {
    const text = `GET http://evil.example/${token}/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
    expect(await raw(port, text)).toMatch(/^HTTP\/1\.1 404 /);
  });

  test('headers that are too long or too many', async () => {
    const begin = `GET /${token}/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n`;
    expect(await raw(port, `${begin}X: ${'y'.repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
    expect(await raw(port, `${begin}${'a: b\r\n'.repeat(5000)}\r\n`)).toMatch(/^HTTP\/1\.1 4/);
    expect(await raw(port, `GET /${token}/${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`)).not.toMatch(/ 200 /);
    expect((await ask(inspector.url)).status).toBe(200);
  });

  test('what is not HTTP', async () => {
    for (const text of [
      '\0\0\0\0',
      'hello\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01\x00',
      `GET /${token}/ HTTP/9.9\r\n\r\n`,
    ])
      expect(await raw(port, text)).not.toMatch(/ 200 /);
    expect((await ask(inspector.url)).status).toBe(200);
  });

  test('a second request behind one that was refused', async () => {
    const good = `GET /${token}/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
    const answer = await raw(port, `GET /x/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n${good}`);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 404']);
  });
});

describe('those who look', () => {
  test('are limited in number; a place that is free again is given', async () => {
    const inspector = await inspected(open());
    const viewers = await Promise.all(Array.from({ length: MOST_STREAMS }, () => view(inspector)));
    expect(inspector.viewers).toBe(MOST_STREAMS);
    const { status, headers } = await ask(`${inspector.url}events`);
    expect([status, headers['retry-after']]).toEqual([503, '5']);
    viewers[0]!.leave();
    await until(() => inspector.viewers < MOST_STREAMS);
    await view(inspector);
    expect(inspector.viewers).toBe(MOST_STREAMS);
    expect((await ask(inspector.url)).status).toBe(200); // the page itself
  });

  test('connections are limited too, and the program goes on', async () => {
    const inspector = await inspected(open());
    const sockets: Socket[] = [];
    for (let i = 0; i < 200; i++) {
      const socket = connect(inspector.port, '127.0.0.1');
      socket.on('error', () => undefined);
      sockets.push(socket);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(sockets.filter(({ readyState }) => readyState === 'open').length).toBeLessThanOrEqual(64);
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await ask(inspector.url)).status).toBe(200);
  });

  test('all see the same', async () => {
    const { device, pd } = scene();
    const inspector = await inspected(device, { intervalMs: 20 });
    const viewers = await Promise.all([view(inspector), view(inspector), view(inspector)]);
    pd.regUserMr(new Uint8Array(8), { access: 1 });
    for (const { ticks } of viewers) await until(() => ticks.some(({ lists }) => lists?.regions));
    const of = (n: number): unknown => viewers[n]!.ticks.find(({ lists }) => lists?.regions);
    expect([of(1), of(2)]).toEqual([of(0), of(0)]);
  });

  test('one who does not read costs bounded memory, holds up nobody, and later gets everything anew', async () => {
    const { device, pd } = scene();
    const mrs = Array.from({ length: 3000 }, () => pd.regUserMr(new Uint8Array(64), { access: 1 }));
    const inspector = await inspected(device, { intervalMs: 20 });
    const [slow, quick] = [await view(inspector), await view(inspector)];
    slow.response.pause();
    const before = process.memoryUsage().rss;
    // Each round changes all regions: about 1 MB for each who reads.
    for (let i = 0; i < 40; i++) {
      mrs.splice(0).forEach((mr) => mr.dereg());
      mrs.push(...Array.from({ length: 3000 }, () => pd.regUserMr(new Uint8Array(64), { access: 1 })));
      const { length } = quick.ticks;
      await until(() => quick.ticks.length > length);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(250e6);
    expect(slow.states).toHaveLength(1);
    slow.response.resume();
    await until(() => slow.states.length > 1);
    const last = slow.states.at(-1)!;
    expect(new Set(last.regions.map(({ id }) => id)).size).toBe(3000);
    expect(last.totals.regions).toBe(3000);
  }, 120_000);

  test('one who leaves in the middle of a message is forgotten', async () => {
    const { device, pd } = scene();
    for (let i = 0; i < 2000; i++) pd.regUserMr(new Uint8Array(64), { access: 1 });
    const inspector = await inspected(device, { intervalMs: 20 });
    for (let i = 0; i < 10; i++) {
      const outgoing = httpRequest(`${inspector.url}events`, { agent: false }, (response) => {
        response.once('data', () => outgoing.destroy());
      });
      outgoing.on('error', () => undefined).end();
    }
    await until(() => inspector.viewers === 0);
    expect((await view(inspector)).states[0]!.regions).toHaveLength(2000);
  });
});
