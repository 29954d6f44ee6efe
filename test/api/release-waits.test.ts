// Releases that wait for held SGEs: timeouts, abort signals, and the state of the region afterwards.
import { getEventListeners } from 'node:events';
import { type Device, type FastMemoryRegion, type MemoryRegion, type Sge } from '../../lib';
import { accepted, outOfRange, rdma, wrongType } from '../support/answers';
import { ALL, DMA, dmaPages, open, scene } from '../support/scene';
import { Peer } from '../support/workers';

interface Kind {
  name: string;
  make: () => {
    device: Device;
    region: MemoryRegion | FastMemoryRegion;
    sge: Sge;
    release: (options?: any) => Promise<void>;
  };
}
const kinds: Kind[] = [
  {
    name: 'deregAsync',
    make: () => {
      const { device, pd } = scene();
      const region = pd.regUserMr(Buffer.alloc(8));
      const sge = accepted(pd.acquire({ addr: region.start, length: 8, lkey: region.lkey }, 0));
      return { device, region, sge, release: (options) => region.deregAsync(options) };
    },
  },
  {
    name: 'deallocAsync',
    make: () => {
      const { device, pd } = scene();
      dmaPages(device, 1);
      const region = pd.allocFmr({ maxPages: 1, access: ALL });
      region.mapPhys([DMA], 0);
      const sge = accepted(pd.acquire({ addr: 0, length: 8, lkey: region.lkey }, 0));
      return { device, region, sge, release: (options) => region.deallocAsync(options) };
    },
  },
];

describe.each(kinds)('$name', ({ make }) => {
  test('with a signal rejects with the abort reason; the region is half-dead and can be released again', async () => {
    const { region, sge, release } = make();
    const abort = new AbortController();
    const reason = new Error('enough');
    const released = release({ signal: abort.signal });
    expect(region.state).toBe('HalfDead');
    expect(getEventListeners(abort.signal, 'abort')).toHaveLength(1);
    abort.abort(reason);
    await expect(released).rejects.toBe(reason);
    expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0);
    expect(region.state).toBe('HalfDead');
    const again = release();
    sge.put();
    await again;
    expect(region.state).toBe('Closed');
  });

  test('rejects with an AbortError by default, and otherwise with the abort reason, of any type', async () => {
    const { sge, release } = make();
    const [plain, odd] = [new AbortController(), new AbortController()];
    const waits = [release({ signal: plain.signal }), release({ signal: odd.signal })];
    plain.abort();
    odd.abort(7);
    expect(await Promise.allSettled(waits)).toEqual([
      { status: 'rejected', reason: expect.objectContaining({ name: 'AbortError' }) },
      { status: 'rejected', reason: 7 },
    ]);
    sge.put();
  });

  test('with a signal that is already aborted changes nothing', async () => {
    const { region, sge, release } = make();
    const reason = new Error('before');
    await expect(release({ signal: AbortSignal.abort(reason), force: true })).rejects.toBe(reason);
    expect(region.state).toBe('Valid');
    sge.put();
    await expect(release({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(region.state).toBe('Valid');
  });

  test('removes its listener from the signal however the wait ends', async () => {
    const { signal } = new AbortController();
    const listeners = (): number => getEventListeners(signal, 'abort').length;
    const put = make();
    const done = put.release({ signal });
    put.sge.put();
    await done;
    expect([put.region.state, listeners()]).toEqual(['Closed', 0]);
    const late = make();
    await expect(late.release({ signal, timeoutMs: 5 })).rejects.toEqual(rdma('EBUSY'));
    expect([late.region.state, listeners()]).toEqual(['HalfDead', 0]);
    late.sge.put();
    await late.release({ signal });
    expect([late.region.state, listeners()]).toEqual(['Closed', 0]);
  });

  test('with force ends the region on timeout', async () => {
    const { region, sge, release } = make();
    await release({ timeoutMs: 5, force: true });
    expect(region.state).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', undefined, 'RegionRevoked'));
    sge.put();
    const other = make();
    await other.release({ timeoutMs: 0, force: true });
    expect(other.region.state).toBe('Closed');
    other.sge.put();
  });

  test('rejects invalid options before it changes anything', () => {
    const { region, sge, release } = make();
    const fakes = [
      null,
      1,
      {},
      { aborted: true, reason: 1 },
      new EventTarget(),
      Object.create(AbortSignal.prototype),
      new Proxy(new AbortController().signal, {}),
      {
        get aborted(): boolean {
          throw new Error('must not be read');
        },
      },
    ];
    for (const signal of fakes) expect(() => void release({ signal })).toThrow(wrongType('options.signal'));
    for (const force of [1, 'yes', null])
      expect(() => void release({ force })).toThrow(wrongType('options.force'));
    expect(() => void release({ timeoutMs: -1 })).toThrow(outOfRange('options.timeoutMs'));
    expect(region.state).toBe('Valid');
    sge.put();
  });
});

describe('await using device', () => {
  test('waits for the SGEs of its regions, and then closes', async () => {
    const device = open();
    const pd = device.allocPd();
    const [mr, free] = [pd.regUserMr(Buffer.from('12345678')), pd.regUserMr(Buffer.alloc(8))];
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const disposed = device[Symbol.asyncDispose]();
    // Keys are revoked at once; held SGEs stay usable.
    expect([mr.state, free.state]).toEqual(['HalfDead', 'Closed']);
    const target = Buffer.alloc(8);
    sge.copyTo(target);
    expect(target.toString()).toBe('12345678');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(device.toJSON().state).toBe('Open');
    sge.put();
    await disposed;
    expect([device.toJSON().state, mr.state]).toEqual(['Closed', 'Closed']);
  });

  test('waits for many regions whose SGEs are put one after the other', async () => {
    const device = open();
    const pd = device.allocPd();
    const sges = Array.from({ length: 50 }, () => {
      const mr = pd.regUserMr(Buffer.alloc(8));
      return accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    });
    const disposed = device[Symbol.asyncDispose]();
    for (const sge of sges) {
      expect(device.toJSON().state).toBe('Open');
      sge.put();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await disposed;
    expect(device.toJSON().state).toBe('Closed');
  });

  test('closes by force after 5 seconds', async () => {
    jest.useFakeTimers();
    try {
      const device = open();
      const pd = device.allocPd();
      const mr = pd.regUserMr(Buffer.alloc(8));
      const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
      const disposed = device[Symbol.asyncDispose]();
      await jest.advanceTimersByTimeAsync(4900);
      expect(device.toJSON().state).toBe('Open');
      await jest.advanceTimersByTimeAsync(200);
      await disposed;
      expect(device.toJSON().state).toBe('Closed');
      expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', undefined, 'RegionRevoked'));
      sge.put();
    } finally {
      jest.useRealTimers();
    }
  });

  test('never rejects: already closed, closed meanwhile, or disposed twice', async () => {
    const device = open();
    const pd = device.allocPd();
    const mr = pd.regUserMr(Buffer.alloc(8));
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const [first, second] = [device[Symbol.asyncDispose](), device[Symbol.asyncDispose]()];
    device.close({ cascade: true });
    await Promise.all([first, second]);
    await device[Symbol.asyncDispose]();
    sge.put();
  });

  test('of an attached device waits for its own regions only', async () => {
    const { device, pd } = scene();
    const mine = pd.regUserMr(new Uint8Array(new SharedArrayBuffer(8)));
    const held = accepted(pd.acquire({ addr: mine.start, length: 8, lkey: mine.lkey }, 0));
    const peer = new Peer({ token: device.share() });
    const states = await peer.run(async (w, number) => {
      const other = w.device.importPd(number);
      const mr = other.regUserMr(new Uint8Array(8));
      const sge = w.accepted(other.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
      const disposed = w.device[Symbol.asyncDispose]();
      const before = [mr.state, w.device.toJSON().state];
      sge.put();
      await disposed;
      return [...before, mr.state, w.device.toJSON().state];
    }, pd.id);
    expect(states).toEqual(['HalfDead', 'Open', 'Closed', 'Closed']);
    expect([mine.state, device.toJSON().state]).toEqual(['Valid', 'Open']);
    held.put();
  });
});
