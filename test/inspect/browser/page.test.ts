// The page of an inspector, as a person sees and uses it, in a headless Chromium (npm run test:inspect).
import { channel } from 'node:diagnostics_channel';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  Access,
  type CompletionQueue,
  Device,
  type MemoryRegion,
  type ProtectionDomain,
  type QueuePair,
} from '../../../lib';
import { startServer } from '../../../lib/inspect/inspector';
import { inspect, type Inspector } from '../../../lib/inspect/inspect';
import { deviceSource, type ReportSource } from '../../../lib/inspect/report';
import { homeOfDevice } from '../../../lib/verbs/device';
import { describeIf } from '../../support/conditions';
import { Chromium, type Page } from './chromium';
import { readPng, writePng } from './png';

const command = process.env.RDMAVT_CHROMIUM ?? '';
const inBrowser = describeIf(command !== '', 'no Chromium is installed');

const ALL = Access.LocalWrite | Access.RemoteRead | Access.RemoteWrite | Access.RemoteAtomic;
const MOST_PICTURE_BYTES = 100_000;

inBrowser('the page', () => {
  let browser: Chromium;
  let page: Page;
  let inspector: Inspector;
  let device: Device;
  let pd: ProtectionDomain;
  let mrs: MemoryRegion[];
  let cq: CompletionQueue;
  let a: QueuePair<'RC'>;
  let b: QueuePair<'RC'>;

  beforeAll(async () => {
    browser = await Chromium.start(command);
  });
  afterAll(() => browser.close());

  beforeEach(async () => {
    device = new Device();
    pd = device.allocPd();
    const memory = new SharedArrayBuffer(1 << 20);
    const rights = [0, Access.LocalWrite, Access.RemoteRead, Access.LocalWrite | Access.RemoteWrite, ALL];
    mrs = Array.from({ length: 12 }, (_, i) =>
      pd.regUserMr(new Uint8Array(memory, i * 65_536, 32_768 + (i % 3) * 8192), {
        access: rights[i % rights.length] ?? 0,
        iova: 0x1000_0000n + BigInt(i * 65_536) + (i > 7 ? 0x4000_0000n : 0n),
      }),
    );
    cq = device.createCq(64);
    a = pd.createQp({ type: 'RC', sendCq: cq });
    b = pd.createQp({ type: 'RC', sendCq: cq });
    a.connect(b, { access: ALL });
    b.postRecv([{ wrId: 1 }, { wrId: 2 }, { wrId: 3 }]);
    inspector = await inspect(device, { intervalMs: 50 });
  });
  afterEach(async () => {
    await inspector.close();
    device.close({ cascade: true });
  });

  /** Opens the page, and waits until it shows the device. */
  async function look(width = 1280, height = 1000): Promise<void> {
    page = await browser.open(inspector.url, width, height);
    await page.until("document.querySelector('#status').dataset.status === 'live'");
    await page.until("document.querySelector('#map-note').innerText.startsWith('12 of 12 regions')");
  }

  /** Nothing may have gone wrong, and nothing may have been loaded but from the inspector. */
  async function expectClean(): Promise<void> {
    expect(page.problems).toEqual([]);
    expect(await page.ask('violations')).toEqual([]);
    for (const url of page.requests)
      expect(url.startsWith(inspector.url) || url.startsWith('data:image/svg+xml')).toBe(true);
    const loaded = await page.ask<string[]>(
      "performance.getEntriesByType('resource').map(({ name }) => name)",
    );
    for (const url of loaded) expect(url.startsWith(inspector.url) || url.startsWith('data:')).toBe(true);
    await page.close();
  }

  const selected = (): Promise<string> => page.ask("document.querySelector('#map').dataset.selected");
  const details = (): Promise<string> => page.ask("document.querySelector('#details').dataset.region");
  const focused = (): Promise<string> => page.ask('document.activeElement.id');
  /** Whether the canvas has a pixel that is not blank, inside of a part of it. */
  const colorsOf = (selector: string): Promise<number> =>
    page.ask(`(() => {
      const canvas = document.querySelector(${JSON.stringify(selector)});
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    })()`);

  test('shows regions, queue pairs with their states and levels, queues and the key table', async () => {
    await look();
    expect(await page.text('#device')).toBe(`device ${device.toJSON().id} of process ${process.pid}`);
    await page.until("document.querySelectorAll('#queue-pairs tbody tr').length === 2");
    expect((await page.text('#queue-pairs tbody')).replace(/\s+/g, ' ').trim()).toMatch(
      new RegExp(`^1 RC ${a.qpn} RTS ${b.qpn} 0 0 1 1 2 RC ${b.qpn} RTS ${a.qpn} 0 3 of 3 1 1$`),
    );
    expect((await page.text('#completion-queues tbody')).replace(/\s+/g, ' ').trim()).toBe(
      '1 0 of 64 2 works',
    );
    expect(await page.text('#keys-note')).toMatch(
      /^12 of 65,536 slots are used \(0\.02 %\)\. Each of the 2,048 cells stands for 32 slots;/,
    );
    expect(await colorsOf('#map-canvas')).toBeGreaterThan(8);
    expect(await colorsOf('#keys-canvas')).toBeGreaterThan(2);
    expect(await page.text('#legend')).toMatch(
      /local read only \(r\)\s+local write \(w\)\s+remote read \(R\)\s+remote write \(W\)\s+remote atomic \(A\)/,
    );

    // What changes is shown.
    pd.regUserMr(new Uint8Array(100), { access: 1 });
    b.modify({ state: 'ERR' });
    await page.until("document.querySelector('#map-note').innerText.startsWith('13 of 13 regions')");
    await page.until("document.querySelector('#queue-pairs tbody').innerText.includes('ERR')");
    await page.until("document.querySelector('#statuses').innerText.includes('WR_FLUSH_ERR')");
    await expectClean();
  });

  test('shows a refusal as it comes, with its explanation, and a click leads to the region that it missed', async () => {
    await look();
    expect(await page.text('#refusals-note')).toBe('None since this page was opened.');
    const mr = mrs[3]!;
    pd.check({ addr: mr.start + 30_000n, length: 40_000, lkey: mr.lkey }, 1);
    await page.until("document.querySelectorAll('#refusals [role=option]').length === 1");
    const text = await page.text('#refusals');
    expect(text).toMatch(/^OutOfBounds ProtectionDomain\.check \(lkey_ok\)/);
    expect(text).toContain('37232 bytes past the last byte: region 4');
    expect(await page.text('#reasons')).toMatch(/OutOfBounds\s+1/);
    expect(await selected()).toBe('');

    await page.click('#refusals [role=option]');
    await page.until("document.querySelector('#map').dataset.selected === '4'");
    expect(await details()).toBe('4');
    expect(await page.text('#details')).toMatch(
      /^Refusal 1: OutOfBounds: [\s\S]*It named this region by its key\.[\s\S]*USER region 4[\s\S]*local write, remote write/,
    );
    expect(await page.ask("document.querySelector('#map-kind').value")).toBe('start'); // a local access

    // A peer's, that failed a work request: by its remote address.
    const target = mrs[6]!;
    a.postSend({
      opcode: 'RDMA_WRITE',
      sges: [{ addr: mrs[1]!.start, length: 16, lkey: mrs[1]!.lkey }],
      remoteAddr: target.iova,
      rkey: target.rkey,
    });
    cq.poll();
    await page.until("document.querySelectorAll('#refusals [role=option]').length === 2");
    expect(await page.text('#refusals [role=option]')).toMatch(
      /^AccessDenied Completion \(RDMA_WRITE\)[\s\S]*REM_ACCESS_ERR/,
    );
    await page.click('#refusals [role=option]');
    await page.until("document.querySelector('#map').dataset.selected === '7'");
    expect(await page.ask("document.querySelector('#map-kind').value")).toBe('iova');
    expect(await page.ask("document.querySelectorAll('#refusals [aria-selected=true]').length")).toBe(1);
    await expectClean();
  });

  test('explanations are shown as text, whatever they contain', async () => {
    await look();
    channel('rdmavt:refused').publish({
      device: device.toJSON().id,
      reason: '<img src=x onerror=alert(1)>',
      method: '<b>m</b>',
      operation: 'o',
      count: 2,
      explain: () => '</script><script>alert(1)</script>\n\nevent: end\ndata: {}',
    });
    await page.until("document.querySelectorAll('#refusals [role=option]').length === 1");
    expect(await page.text('#refusals')).toContain('<img src=x onerror=alert(1)> ×2 <b>m</b>');
    expect(await page.text('#refusals')).toContain('</script><script>alert(1)</script>');
    expect(
      await page.ask("document.querySelectorAll('#refusals img, #refusals b, #refusals script').length"),
    ).toBe(0);
    expect(await page.ask("document.querySelector('#status').dataset.status")).toBe('live');
    await expectClean();
  });

  test('is used by keyboard alone', async () => {
    await look();
    for (let i = 0; i < 2; i++) pd.check({ addr: mrs[8]!.start, length: 1 << 20, lkey: mrs[8]!.lkey }, 0);
    await page.until("document.querySelectorAll('#refusals [role=option]').length === 2");

    const order: string[] = [];
    for (let i = 0; i < 8 && order.at(-1) !== 'refusal'; i++) {
      await page.press('Tab');
      order.push(
        await page.ask(
          "document.activeElement.id || (document.activeElement.closest('#refusals') ? 'refusal' : '?')",
        ),
      );
      // What has the focus can be seen to have it.
      expect(await page.ask("document.activeElement.matches(':focus-visible')")).toBe(true);
      expect(
        await page.ask('parseFloat(getComputedStyle(document.activeElement).outlineWidth)'),
      ).toBeGreaterThanOrEqual(2);
    }
    expect(order).toEqual(['theme', 'map-kind', 'map-domain', 'zoom-out', 'zoom-in', 'map', 'refusal']);

    // Regions: arrows, Home, End, Enter, Escape.
    await page.ask("document.querySelector('#map').focus()");
    const keys: [string, string][] = [
      ['ArrowRight', '1'],
      ['ArrowRight', '2'],
      ['ArrowLeft', '1'],
      ['ArrowLeft', '1'],
      ['End', '12'],
      ['ArrowRight', '12'],
      ['Home', '1'],
    ];
    for (const [key, id] of keys) {
      await page.press(key);
      expect([key, await selected()]).toEqual([key, id]);
    }
    await page.press('ArrowDown');
    const below = Number(await selected());
    expect(below).toBeGreaterThan(1);
    await page.press('ArrowUp');
    expect(Number(await selected())).toBeLessThan(below);
    await page.press('End');
    await page.press('Enter');
    expect([await focused(), await details()]).toEqual(['details', '12']);
    await page.press('Escape');
    expect(await focused()).toBe('map');
    const scale = await page.text('#map-note');
    await page.press('+');
    await page.until(`document.querySelector('#map-note').innerText !== ${JSON.stringify(scale)}`);
    await page.press('-');
    await page.until(`document.querySelector('#map-note').innerText === ${JSON.stringify(scale)}`);

    // Refusals: the newest has the place in the order of Tab; new ones do not take the focus.
    await page.press('Tab');
    await page.press('ArrowDown');
    await page.press('ArrowUp');
    const n = (): Promise<string> => page.ask('document.activeElement.dataset.n');
    await page.press('End');
    expect(await n()).toBe('1');
    pd.check({ addr: 0, length: 1, lkey: mrs[0]!.lkey }, 0);
    await page.until("document.querySelectorAll('#refusals [role=option]').length === 3");
    expect(await n()).toBe('1');
    await page.press('Home');
    expect(await n()).toBe('3');
    await page.press('End');
    await page.press('Enter');
    await page.until("document.querySelector('#map').dataset.selected === '9'");
    expect(await page.text('#details')).toContain('Refusal 1');
    await expectClean();
  });

  test('tells screen readers what it draws', async () => {
    await look();
    await page.ask("document.querySelector('#map').focus()");
    await page.press('ArrowRight');
    expect(await page.ask("document.querySelector('#map').getAttribute('role')")).toBe('listbox');
    const option =
      "document.getElementById(document.querySelector('#map').getAttribute('aria-activedescendant'))";
    expect(await page.ask(`${option}.textContent`)).toBe(
      'USER region 1: 32 KiB at 0x10000000, local read only',
    );
    expect(
      await page.ask(
        `['aria-selected', 'aria-posinset', 'aria-setsize'].map((name) => ${option}.getAttribute(name))`,
      ),
    ).toEqual(['true', '1', '12']);
    expect(await page.ask("document.querySelector('#keys-canvas').getAttribute('aria-label')")).toMatch(
      /^Key table: 12 of/,
    );
    // Every control has a name, every table its heads, every section its title.
    expect(
      await page.ask(
        "[...document.querySelectorAll('button, select')].filter((e) => !(e.getAttribute('aria-label') ?? e.labels?.[0]?.innerText ?? e.innerText).trim()).length",
      ),
    ).toBe(0);
    expect(
      await page.ask(
        "[...document.querySelectorAll('section')].filter((e) => !e.getAttribute('aria-label') && !document.getElementById(e.getAttribute('aria-labelledby'))).length",
      ),
    ).toBe(0);
    expect(await page.ask("document.querySelector('#status').getAttribute('role')")).toBe('status');
    await page.until("document.querySelector('#rates-events-now').textContent.startsWith('accepted ')");
    await expectClean();
  });

  test('a click on the map selects the region there, and shows its details', async () => {
    await look();
    const [x, y] = await page.ask<[number, number]>(`(() => {
      document.querySelector('#map').scrollIntoView({ block: 'center' });
      const { left, top } = document.querySelector('#map').getBoundingClientRect();
      return [left, top];
    })()`);
    await page.clickAt(x + 20, y + 25);
    await page.until("document.querySelector('#details').dataset.region === '1'");
    expect(await page.text('#details')).toMatch(/USER region 1[\s\S]*0x10000000[\s\S]*32,768 bytes/);
    await expectClean();
  });

  test('patterns differ without colors', async () => {
    await look();
    const shapes = await page.ask<
      string[]
    >(`[...document.querySelectorAll('#legend canvas')].map((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const gray = [];
      for (let i = 0; i < data.length; i += 4) gray.push(data[i] + data[i + 1] + data[i + 2]);
      const mean = gray.reduce((sum, value) => sum + value, 0) / gray.length;
      return gray.map((value) => (value > mean + 20 ? '#' : '.')).join('');
    })`);
    expect(shapes).toHaveLength(5);
    expect(new Set(shapes).size).toBe(5);
    await expectClean();
  });

  test('is dark or light as the system is, or as the button says', async () => {
    await look();
    const background = (): Promise<string> => page.ask('getComputedStyle(document.body).backgroundColor');
    const brightness = async (): Promise<number> => Number(/\d+/.exec(await background())![0]);
    await page.colorScheme('light');
    expect(await brightness()).toBeGreaterThan(200);
    await page.colorScheme('dark');
    expect(await brightness()).toBeLessThan(60);
    const button = "document.querySelector('#theme')";
    expect(await page.ask(`${button}.innerText`)).toBe('Theme: system');
    await page.click('#theme');
    expect([await page.ask(`${button}.innerText`), (await brightness()) > 200]).toEqual([
      'Theme: light',
      true,
    ]);
    await page.click('#theme');
    await page.colorScheme('light');
    expect([await page.ask(`${button}.innerText`), (await brightness()) < 60]).toEqual(['Theme: dark', true]);
    // It is remembered.
    await page.go(inspector.url);
    await page.until("document.querySelector('#theme')?.innerText === 'Theme: dark'");
    expect(await brightness()).toBeLessThan(60);
    await page.click('#theme');
    expect(await brightness()).toBeGreaterThan(200);
    // Text can be read in both: at least the contrast that WCAG asks for (4.5).
    for (const scheme of ['light', 'dark'] as const) {
      await page.colorScheme(scheme);
      const contrasts = await page.ask<
        number[]
      >(`['--text', '--muted', '--bad', '--accent'].flatMap((name) => ['--surface', '--page'].map((under) => {
        const light = (property) => {
          const hex = getComputedStyle(document.documentElement).getPropertyValue(property).trim();
          const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const [one, other] = [light(name), light(under)].sort((a, b) => b - a);
        return (one + 0.05) / (other + 0.05);
      }))`);
      for (const contrast of contrasts) expect(contrast).toBeGreaterThan(4.5);
    }
    await expectClean();
  });

  test('draws memory windows inside of their region, and lists them', async () => {
    await inspector.close();
    const real = deviceSource(homeOfDevice(device)!.native, 0);
    // A source with two windows, in rows of its own: id, region, offset, length.
    const windows = Uint32Array.of(7, 0, 8192, 8192, 9, 0, 20_480, 4096);
    const source: ReportSource = {
      ...real,
      kinds: {
        ...real.kinds,
        windows: {
          id: 0,
          view: ({ words }, row) => ({
            id: words[row * 4]!,
            kind: row === 0 ? 'WINDOW' : 'LEASE',
            region: 1,
            pd: 1,
            key: '0x77',
            access: row === 0 ? 4 : 2,
            iova: `0x${(0x1000_0000 + words[row * 4 + 2]!).toString(16)}`,
            length: words[row * 4 + 3]!,
            ...(row === 0 ? { qp: 1 } : { msLeft: 4500 }),
          }),
        },
      },
      read: () => {
        const report = real.read();
        return (
          report && {
            ...report,
            lists: { ...report.lists, windows: { words: windows, width: 4, count: 2 } },
            totals: { ...report.totals, windows: 2 },
          }
        );
      },
    };
    // The first region alone, without windows and with them.
    const shot = async (withWindows: boolean): Promise<Buffer> => {
      inspector = withWindows
        ? await startServer(source, { port: 0, intervalMs: 50, ref: false })
        : await inspect(device, { intervalMs: 50 });
      await look();
      const [x, y] = await page.ask<[number, number]>(`(() => {
        const { left, top } = document.querySelector('#map').getBoundingClientRect();
        return [left, top];
      })()`);
      const { width, pixels } = readPng(await page.screenshot());
      const row = (Math.round(y) + 13 + 15) * width + Math.round(x); // in the lower part of the first lane
      if (!withWindows) await page.close();
      return Buffer.from(pixels.subarray(row * 3, (row + 300) * 3));
    };
    const without = await shot(false);
    await inspector.close();
    expect((await shot(true)).equals(without)).toBe(false);
    await page.ask("document.querySelector('#map').focus()");
    await page.press('ArrowRight');
    await page.press('Enter');
    expect(await page.text('#details')).toMatch(
      /Memory windows and leases\s+window 7: 8 KiB at 0x10002000, remote read, for the peer of queue pair 1, key 0x77\s+lease 9: 4 KiB at 0x10005000, remote write, 5 s left, key 0x77/,
    );
    await expectClean();
  });

  test('says when the program is silent, when the device is closed, and connects again after a loss', async () => {
    await look();
    const { port } = inspector;
    device.close({ cascade: true });
    await page.until(
      "document.querySelector('#status').innerText === 'the device is closed: what you see is the last state'",
    );
    await new Promise((resolve) => setTimeout(resolve, 1500));
    // It has not tried again.
    expect(page.requests.filter((url) => url.endsWith('/events'))).toHaveLength(1);
    expect(await page.text('#map-note')).toMatch(/^12 of 12 regions/);
    expect(port).toBe(Number(new URL(inspector.url).port));
    await expectClean();
  });

  test('a page of another site learns nothing', async () => {
    const server = createServer((_, response) => {
      response.setHeader('Content-Type', 'text/html');
      response.end('<!doctype html><title>other</title>');
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    try {
      page = await browser.open(`http://localhost:${(server.address() as AddressInfo).port}/`);
      await page.until("document.title === 'other'");
      const outcomes = await page.ask<string[]>(`Promise.all([
        fetch(${JSON.stringify(inspector.url)}).then(() => 'read', () => 'refused'),
        fetch(${JSON.stringify(`${inspector.url}events`)}).then(() => 'read', () => 'refused'),
        fetch(${JSON.stringify(inspector.url)}, { mode: 'no-cors' }).then(({ type }) => type, () => 'refused'),
        new Promise((resolve) => {
          const source = new EventSource(${JSON.stringify(`${inspector.url}events`)});
          source.onmessage = source.onopen = () => resolve('read');
          source.onerror = () => { source.close(); resolve('refused'); };
        }),
        new Promise((resolve) => {
          const frame = document.createElement('iframe');
          frame.src = ${JSON.stringify(inspector.url)};
          frame.onload = () => { try { resolve(frame.contentDocument?.title ? 'read' : 'refused'); } catch { resolve('refused'); } };
          document.body.append(frame);
        }),
      ])`);
      expect(outcomes).toEqual(['refused', 'refused', 'refused', 'refused', 'refused']);
      expect(inspector.viewers).toBe(0);
      await page.close();
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  test('ten thousand regions that change do not stop it', async () => {
    const memory = new SharedArrayBuffer(10_000 * 4096);
    const many = Array.from({ length: 10_000 }, (_, i) =>
      pd.regUserMr(new Uint8Array(memory, i * 4096, 4096), {
        access: i % 2 === 0 ? Access.RemoteRead : Access.LocalWrite,
      }),
    );
    page = await browser.open(inspector.url);
    await page.until("document.querySelector('#map-note').innerText.startsWith('10012 of 10012 regions')");
    for (const mr of many.splice(0, 5000)) mr.dereg();
    await page.until("document.querySelector('#map-note').innerText.startsWith('5012 of 5012 regions')");
    await page.ask("document.querySelector('#map').focus()");
    await page.press('End');
    await page.until("document.querySelector('#map').dataset.selected !== ''");
    expect(await page.text('#keys-note')).toMatch(/^5,012 of 65,536/);
    await expectClean();
  });

  test('pictures of it for the guide are small', async () => {
    await look(1180, 1000);
    const stop = setInterval(() => {
      const most = 2000 + Math.round(1500 * Math.sin(Date.now() / 900));
      for (let i = 0; i < most; i++) pd.check({ addr: mrs[0]!.start, length: 8, lkey: mrs[0]!.lkey }, 0);
      for (let i = 0; i < most / 100; i++) {
        a.postSend({
          opcode: 'RDMA_WRITE',
          signaled: true,
          sges: [{ addr: mrs[1]!.start, length: 16_384, lkey: mrs[1]!.lkey }],
          remoteAddr: mrs[3]!.iova,
          rkey: mrs[3]!.rkey,
        });
        cq.poll();
      }
    }, 100);
    try {
      for (let i = 0; i < 16; i++) {
        const mr = mrs[i % mrs.length]!;
        if (i === 3) pd.check({ addr: mr.start + 30_000n, length: 40_000, lkey: mr.lkey }, 1);
        if (i === 7) pd.createQp().check({ vaddr: mr.iova, length: 64, rkey: mr.rkey }, Access.RemoteAtomic);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      a.postSend({
        opcode: 'RDMA_READ',
        sges: [{ addr: mrs[1]!.start, length: 4096, lkey: mrs[1]!.lkey }],
        remoteAddr: mrs[4]!.iova + 40_000n,
        rkey: mrs[4]!.rkey,
      });
      cq.poll();
      await page.until("document.querySelector('#refusals').innerText.includes('RDMA_READ')");
      await page.click('#refusals [role=option]');
      await page.ask('scrollTo(0, 0)');
    } finally {
      clearInterval(stop);
    }
    const named = process.env.RDMAVT_PICTURES ?? '';
    const folder = named !== '' ? named : join(__dirname, '../../../build/inspect');
    mkdirSync(folder, { recursive: true });
    for (const scheme of ['light', 'dark'] as const) {
      await page.colorScheme(scheme);
      await new Promise((resolve) => setTimeout(resolve, 700));
      const picture = readPng(await page.screenshot());
      const png = writePng(picture);
      expect(readPngSize(png)).toEqual([1180, 1000]);
      expect(png.length).toBeLessThan(MOST_PICTURE_BYTES);
      writeFileSync(join(folder, `inspect-${scheme}.png`), png);
    }
    await expectClean();
  });
});

function readPngSize(png: Buffer): [number, number] {
  return [png.readUInt32BE(16), png.readUInt32BE(20)];
}
