// Several Device objects for one device, in one thread and in several threads.
import { Access, Device, type DeviceToken, FastMemoryRegion, SgeState } from '../../lib';
import { accepted, argumentError, outOfRange, rdma, refusal, wrongType } from '../support/answers';
import { runProgram } from '../support/programs';
import { ALL, DMA, dmaPages, open, otherVariant, PAGE, scene } from '../support/scene';
import { Peer, type Scope } from '../support/workers';

/** Attaches a second object to the device in this thread. It is closed with the device. */
const second = (device: Device): Device => Device.attach(device.share());

const shared = (length: number, fill = 0): Uint8Array =>
  new Uint8Array(new SharedArrayBuffer(length)).fill(fill);

/** Returns the token with one digit of one part changed. */
function forged(token: DeviceToken, part: 'core' | 'device', digit: number): string {
  const [prefix, core, device] = /^(.*:)([0-9a-f]{16})-([0-9a-f]{32})$/.exec(token)!.slice(1) as [
    string,
    string,
    string,
  ];
  const change = (hex: string): string =>
    hex.slice(0, digit) + ((parseInt(hex[digit]!, 16) + 1) % 16).toString(16) + hex.slice(digit + 1);
  return part === 'core' ? `${prefix}${change(core)}-${device}` : `${prefix}${core}-${change(device)}`;
}

describe('a token', () => {
  test('is the same string each time, for every object of the device', () => {
    const device = open();
    const token = device.share();
    expect(token).toMatch(/^rdmavt-device:[0-9a-f]{16}-[0-9a-f]{32}$/);
    expect(device.share()).toBe(token);
    expect(second(device).share()).toBe(token);
  });

  test('survives everything that carries strings', () => {
    const device = open();
    const token = device.share();
    for (const copy of [
      structuredClone(token),
      (JSON.parse(JSON.stringify({ token })) as { token: string }).token,
      Buffer.from(token).toString('latin1'),
    ]) {
      expect(Device.attach(copy).share()).toBe(token);
    }
    expect(device.resources().contexts).toHaveLength(4);
  });

  test('survives workerData, postMessage and environment variables', async () => {
    const token = open().share();
    const peer = new Peer({ token });
    expect(await peer.run((w) => w.device.share())).toBe(token);
    expect(await peer.run((w, posted) => w.Device.attach(posted).share(), token)).toBe(token);
    expect(
      await peer.run((w, posted) => {
        process.env.TOKEN = posted;
        return w.Device.attach(process.env.TOKEN).share();
      }, token),
    ).toBe(token);
  });

  test('differs between devices in its second part only', () => {
    const [one, two] = [open(), open()].map((device) => device.share().split('-').slice(1));
    expect(one![0]).toBe(two![0]);
    expect(one![1]).not.toBe(two![1]);
  });

  test('with any wrong digit in the second part is rejected with ENODEV', () => {
    const token = open().share();
    for (let digit = 0; digit < 32; digit++) {
      expect(() => Device.attach(forged(token, 'device', digit))).toThrow(rdma('ENODEV', 'alloc_ucontext'));
    }
  });

  test('of another copy of the core is rejected with EXDEV, whatever its second part', () => {
    const device = open();
    const token = device.share();
    for (let digit = 0; digit < 16; digit++) {
      expect(() => Device.attach(forged(token, 'core', digit))).toThrow(rdma('EXDEV', 'alloc_ucontext'));
    }
    expect(device.resources().contexts).toHaveLength(1);
  });

  test('of another process is rejected with EXDEV', () => {
    const { stdout } = runProgram(
      `const { Device } = require('rdmavt'); process.stdout.write(new Device().share());`,
    );
    expect(() => Device.attach(stdout)).toThrow(rdma('EXDEV', 'alloc_ucontext'));
    open().share();
    expect(() => Device.attach(stdout)).toThrow(rdma('EXDEV', 'alloc_ucontext'));
  });

  test('of a closed device is rejected with ENODEV', () => {
    const device = open();
    const token = device.share();
    device.close();
    expect(() => Device.attach(token)).toThrow(rdma('ENODEV', 'alloc_ucontext'));
    expect(() => device.share()).toThrow(rdma('EBADF', 'share'));
  });

  test.each([
    '',
    'rdmavt-device',
    'rdmavt-device:',
    `rdmavt-device:${'0'.repeat(16)}-${'0'.repeat(31)}`,
    `rdmavt-device:${'0'.repeat(16)}-${'0'.repeat(33)}`,
    `rdmavt-device:${'0'.repeat(15)}-${'0'.repeat(33)}`,
    `rdmavt-device:${'0'.repeat(16)}-${'G'.repeat(32)}`,
    `rdmavt-device:${'0'.repeat(16)}-${'A'.repeat(32)}`,
    ` rdmavt-device:${'0'.repeat(16)}-${'0'.repeat(32)}`,
    `rdmavt-device:${'0'.repeat(16)}-${'0'.repeat(32)}\n`,
    `rdmavt-device:${'0'.repeat(16)}-${'0'.repeat(32)}\u0000`,
  ])('with a wrong format is rejected: %j', (token) => {
    expect(() => Device.attach(token)).toThrow(argumentError('ERR_INVALID_ARG_VALUE', 'token'));
  });

  test('must be a string', () => {
    const token = open().share();
    for (const value of [undefined, null, 0, 1n, {}, [token], Buffer.from(token), new String(token)]) {
      expect(() => Device.attach(value as any)).toThrow(wrongType('"token"'));
    }
  });
});

describe('two Device objects in one thread', () => {
  test('show the same key table, with the objects of both', () => {
    const { device, pd } = scene({ lkeyTableBits: 5 });
    const other = second(device);
    const mine = pd.regUserMr(Buffer.alloc(8));
    const theirs = other.allocPd().regUserMr(Buffer.alloc(8));
    expect(other.lkeyTableBits).toBe(5);
    expect(other.keyTable()).toEqual(device.keyTable());
    expect(new Set(other.keyTable().used.map(({ region }) => region))).toEqual(new Set([mine, theirs]));
    expect([device.context, other.context]).toEqual([1, 2]);
    expect(theirs.id).toBe(mine.id + 1);
  });

  test('use the key policy of the object that opened the device', () => {
    const device = open({ keyPolicy: 'random' });
    const pd = second(device).allocPd();
    const keys = Array.from({ length: 8 }, () => pd.regUserMr(Buffer.alloc(8)).lkey);
    expect([...keys].sort((a, b) => a - b)).not.toEqual(keys.map((_, i) => (i << 16) | ((i + 1) << 8)));
  });

  test('share domains by ID', () => {
    const { device, pd } = scene();
    const other = second(device);
    const same = other.importPd(pd.id);
    expect(same.id).toBe(pd.id);
    const mr = pd.regUserMr(Buffer.from('12345678'));
    const sge = accepted(same.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    expect(sge.region).toBe(mr);
    expect(mr.refs).toBe(3);
    const own = other.allocPd();
    expect(own.id).toBe(pd.id + 1);
    expect(refusal(own.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0))).toBe('WrongPd');
  });

  test('coalesce elements of both objects', () => {
    const { device, pd } = scene({ trusted: true });
    const other = second(device);
    dmaPages(device, 2);
    const fmr = pd.allocFmr({ maxPages: 2 });
    fmr.mapPhys([DMA, DMA + 4096n], DMA);
    const last = accepted(pd.acquire({ addr: DMA, length: PAGE, lkey: fmr.lkey }, 0));
    const there = other.importPd(pd.id);
    const answer = there.acquire({ addr: DMA + 4096n, length: PAGE, lkey: fmr.lkey }, 0, { last });
    expect(answer).toEqual({ ok: true, coalesced: true, sge: last });
    expect(last.length).toBe(2 * PAGE);
    expect(fmr.refs).toBe(3);

    const batch = there.lkeyBatch(1);
    const seed = accepted(pd.acquire({ addr: DMA, length: PAGE, lkey: fmr.lkey }, 0));
    batch.set(0, DMA + 4096n, PAGE, fmr.lkey);
    expect(batch.acquire(1, 0, { coalesce: true, last: seed })).toBe(1);
    expect([seed.length, batch.put()]).toEqual([2 * PAGE, 0]);
  });

  test('can be used together in one walk', () => {
    const { device, pd } = scene();
    const other = second(device);
    const regions = [pd, other.allocPd()].map((domain, i) => {
      const mr = domain.regUserMr(Buffer.alloc(4, i + 1), { access: Access.LocalWrite });
      return { mr, sge: accepted(domain.acquire({ addr: mr.start, length: 4, lkey: mr.lkey }, 1)) };
    });
    const sges = regions.map(({ sge }) => sge);
    const target = Buffer.alloc(8);
    expect(new SgeState(sges).copyOut(target)).toBe(8);
    expect([...target]).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
    expect(new SgeState(sges).walk([8])).toEqual([
      regions.map(({ mr }) => ({ region: mr, at: 0n, length: 4 })),
    ]);
    expect(new SgeState(sges).copyIn(target.fill(7), { put: true })).toBe(8);
    expect(regions.map(({ mr }) => mr.refs)).toEqual([2, 2]);
  });

  test("accept each other's regions as arguments", () => {
    const { device, pd } = scene({ keyPolicy: 'sequential' });
    const other = second(device);
    dmaPages(device, 1);
    const there = other.importPd(pd.id);
    const mr = pd.allocMr({ maxNumSg: 1 });
    mr.mapSg([{ addr: DMA, length: PAGE }]);
    there.createQp().fastRegMr(mr, { key: (mr.rkey + 1) as any, access: Access.RemoteRead });
    expect(mr).toMatchObject({ rkey: 0x101, access: Access.RemoteRead });
    const fmrs = [pd, there].map((domain) => domain.allocFmr({ maxPages: 1 }));
    for (const fmr of fmrs) fmr.mapPhys([DMA], 0);
    FastMemoryRegion.unmap(fmrs);
    expect(fmrs.map(({ length }) => length)).toEqual([0, 0]);
  });

  test('reject objects of another device', () => {
    const { device, pd, qp } = scene();
    second(device);
    const foreign = scene();
    const also = second(foreign.device).importPd(foreign.pd.id);
    const mr = also.regUserMr(Buffer.alloc(8));
    const sge = accepted(also.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const element = { addr: 0n, length: 0, lkey: mr.lkey };
    expect(() => pd.acquire(element, 0, { last: sge })).toThrow(rdma('EINVAL', 'lkey_ok'));
    expect(() => pd.lkeyBatch(1).acquire(1, 0, { last: sge })).toThrow(rdma('EINVAL', 'acquire_batch'));
    const foreignMr = also.allocMr({ maxNumSg: 1 });
    expect(() => qp.fastRegMr(foreignMr, { key: foreignMr.rkey, access: 0 })).toThrow(
      rdma('EINVAL', 'fast_reg_mr'),
    );
    const fmrs = [pd, also].map((domain) => domain.allocFmr({ maxPages: 1 }));
    expect(() => FastMemoryRegion.unmap(fmrs)).toThrow(rdma('EINVAL', 'unmap_fmr'));
    const mine = pd.regUserMr(Buffer.alloc(8));
    const held = accepted(pd.acquire({ addr: mine.start, length: 8, lkey: mine.lkey }, 0));
    expect(() => new SgeState([held, sge])).toThrow(rdma('EINVAL', 'sge_state'));
  });
});

describe('a domain imported by ID', () => {
  test('must exist on this device and be open', () => {
    const { device, pd } = scene();
    const gone = device.allocPd();
    gone.dealloc();
    for (const number of [0, gone.id, gone.id + 1, Number.MAX_SAFE_INTEGER]) {
      expect(() => device.importPd(number)).toThrow(rdma('EINVAL', 'import_pd'));
    }
    device.close({ cascade: true });
    expect(() => device.importPd(pd.id)).toThrow(rdma('EBADF', 'import_pd'));
  });

  test('takes a number as its ID', () => {
    const { device } = scene();
    for (const value of [undefined, null, '1', 1n, {}]) {
      expect(() => device.importPd(value as any)).toThrow(wrongType('"id"'));
    }
    for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
      expect(() => device.importPd(value)).toThrow(outOfRange('"id"'));
    }
  });

  test('is trusted if it was created trusted', () => {
    const { device, pd } = scene({ trusted: true });
    const user = device.allocPd();
    const other = second(device);
    const dma = other.importPd(pd.id).getDmaMr();
    expect(dma.refs).toBe(3);
    expect(() => other.importPd(user.id).getDmaMr()).toThrow(rdma('EPERM', 'get_dma_mr'));
  });

  test('is closed with everything in it, whoever created its objects and whoever closes it', () => {
    const { device, pd, qp } = scene();
    const other = second(device);
    const there = other.importPd(pd.id);
    const [mine, theirs] = [pd, there].map((domain) => domain.regUserMr(Buffer.alloc(8)));
    const pair = there.createQp();
    expect(() => pd.dealloc()).toThrow(rdma('EBUSY', 'dealloc_pd'));
    there.dealloc({ cascade: true });
    expect([mine!.state, theirs!.state]).toEqual(['Closed', 'Closed']);
    for (const dead of [pair, qp]) {
      expect(refusal(dead.check({ vaddr: 0, length: 0, rkey: 1 as any }, 4))).toBe('Closed');
    }
    expect(() => pd.createQp()).toThrow(rdma('EBADF', 'create_qp'));
    expect(other.resources()).toMatchObject({ pds: [], queuePairs: [], regions: [] });
  });
});

describe('in two threads', () => {
  /** Creates a device with a domain, and a worker that has attached to both. */
  async function pair(options: Parameters<typeof scene>[0] = {}) {
    const all = scene(options);
    const peer = new Peer({ token: all.device.share() });
    await peer.run((w: Scope, number) => {
      w.pd = w.device.importPd(number);
      w.qp = w.pd.createQp();
    }, all.pd.id);
    return { ...all, peer };
  }

  test('a key has the same meaning in every form of check', async () => {
    const { pd, peer } = await pair();
    const mr = pd.regUserMr(Buffer.alloc(PAGE + 8), { start: 0x1000n, iova: 0x9000n, access: ALL });
    mr.countAccesses();
    const answers = await peer.run((w, lkey) => {
      const local = { addr: 0x1010n, length: 16, lkey };
      const remote = { vaddr: 0x9010n, length: 16, rkey: lkey };
      const sges = [w.pd.acquire(local, 1).sge, w.qp.acquire(remote, 4).sge];
      const shown = sges.map(({ at, length, segmentLength, segment, access, address, region }: any) => ({
        at,
        length,
        segmentLength,
        segment,
        access,
        address,
        region,
      }));
      for (const sge of sges) sge.put();
      const batch = w.pd.lkeyBatch(2, { places: true });
      batch.set(0, 0x1010n, 16, lkey);
      batch.set(1, 0x2000n, 8, lkey);
      const counts = [batch.check(2, 1), batch.acquire(2, 1), batch.put()];
      const block = w.qp.checker();
      return {
        shown,
        places: [w.pd.check(local, 1), w.qp.check(remote, 4)],
        counts,
        regions: [...batch.regions],
        positions: [...batch.positions],
        one: block.refusal(0x9010n, 16, lkey, 4),
      };
    }, mr.lkey);
    const place = { at: 16n, segmentLength: PAGE - 16, segment: 0 };
    const common = { ...place, length: 16, region: undefined };
    expect(answers).toEqual({
      shown: [
        { ...common, access: 1, address: 0x1010n },
        { ...common, access: 4, address: 0x9010n },
      ],
      places: [
        { ok: true, ...place },
        { ok: true, ...place },
      ],
      counts: [2, 2, 2],
      regions: [mr.id, mr.id],
      positions: [16n, BigInt(PAGE)],
      one: 0,
    });
    expect(mr.refs).toBe(2);
    expect(mr.counters).toEqual({ accepted: 9, refused: 0, bytesCopied: 0 });
  });

  test('refusals have the same reasons', async () => {
    const { device, pd, qp, peer } = await pair();
    const mr = pd.regUserMr(Buffer.alloc(64), { start: 0x1000n, iova: 0x1000n });
    const gone = pd.regUserMr(Buffer.alloc(8));
    const foreign = device.allocPd().regUserMr(Buffer.alloc(8), { start: 0x1000n });
    const sg = pd.allocMr({ maxNumSg: 1 });
    qp.invalidateRkey(sg.rkey);
    const goneKey = gone.lkey;
    gone.dereg();
    const reasons = await peer.run(
      (w, keys) =>
        keys.map(([lkey, length, access]) => {
          const check = w.pd.acquire({ addr: 0x1000n, length, lkey }, access);
          const batch = w.pd.lkeyBatch(1);
          batch.set(0, 0x1000n, length, lkey);
          batch.check(1, access);
          return [check.reason, batch.reason(0)];
        }),
      [
        [mr.lkey, 65, 0],
        [mr.lkey, 8, 1],
        [otherVariant(mr.lkey), 8, 0],
        [goneKey, 8, 0],
        [(goneKey ^ 0x100) >>> 0, 8, 0],
        [foreign.lkey, 8, 0],
        [sg.lkey, 8, 0],
        [0, 8, 0],
      ] as [number, number, number][],
    );
    expect(reasons).toEqual(
      [
        'OutOfBounds',
        'AccessDenied',
        'StaleKey',
        'Revoked',
        'NoSuchKey',
        'WrongPd',
        'Invalidated',
        'KeyZeroDenied',
      ].map((reason) => [reason, reason]),
    );
  });

  test('each thread can use what the other registered, and IDs and keys are unique across both', async () => {
    const { device, pd, peer } = await pair({ keyPolicy: 'sequential' });
    const mine = pd.regUserMr(Buffer.alloc(8));
    const bytes = shared(16, 9);
    const theirs = await peer.run((w, memory) => {
      w.mr = w.pd.regUserMr(memory, { access: 31 });
      return { lkey: w.mr.lkey, start: w.mr.start, id: w.mr.id };
    }, bytes);
    expect(theirs).toMatchObject({ id: mine.id + 1, lkey: 0x10200 });
    expect(device.keyTable().used).toEqual([
      { index: 0, lkey: mine.lkey, region: mine },
      { index: 1, lkey: theirs.lkey, region: undefined },
    ]);
    const { lkey } = device.keyTable().used[1]!;
    const sge = accepted(pd.acquire({ addr: theirs.start, length: 16, lkey }, 1));
    expect(sge.region).toBeUndefined();
    expect(new SgeState([sge]).walk([16])).toEqual([[{ region: undefined, at: 0n, length: 16 }]]);
    const target = new Uint8Array(16);
    expect(sge.copyTo(target)).toBe(16);
    expect(target).toEqual(new Uint8Array(16).fill(9));
    expect(await peer.run((w) => [w.mr.refs, w.codeOf(() => w.mr.dereg())])).toEqual([3, 'EBUSY']);
    sge.put();
    expect(await peer.run((w) => [w.mr.state, w.codeOf(() => w.mr.dereg()), w.mr.state])).toEqual([
      'HalfDead',
      'none',
      'Closed',
    ]);
  });

  test('invalidation and fast registration take effect everywhere at once', async () => {
    const { device, pd, qp, peer } = await pair();
    dmaPages(device, 1);
    const mr = pd.allocMr({ maxNumSg: 1 });
    mr.mapSg([{ addr: DMA, length: PAGE }]);
    qp.fastRegMr(mr, { key: mr.rkey, access: Access.RemoteRead });
    const request = { vaddr: DMA, length: 8, rkey: mr.rkey };
    const ask = (): Promise<string> => peer.run((w, asked) => w.qp.check(asked, 4).reason ?? 'ok', request);
    expect(await ask()).toBe('ok');
    await peer.run((w, rkey) => w.qp.invalidateRkey(rkey), mr.rkey);
    expect([mr.state, await ask(), refusal(qp.acquire(request, 4))]).toEqual([
      'Invalid',
      'Invalidated',
      'Invalidated',
    ]);
    qp.fastRegMr(mr, { key: otherVariant(mr.rkey), access: Access.RemoteRead });
    expect(await ask()).toBe('StaleKey');
    request.rkey = mr.rkey;
    expect(await ask()).toBe('ok');
    await peer.run(async (w, rkey) => {
      const stranger = w.device.allocPd().createQp();
      if (w.codeOf(() => stranger.invalidateRkey(rkey)) !== 'EINVAL') throw new Error('not refused');
    }, mr.rkey);
  });

  test('lists may be mapped over DMA mappings of the other thread', async () => {
    const { device, pd, peer } = await pair({ trusted: true });
    const bytes = shared(2 * PAGE);
    bytes.fill(1, 0, PAGE).fill(2, PAGE);
    const mapping = device.dma.map(bytes, { address: DMA });
    const found = await peer.run((w, dma) => {
      w.fmr = w.pd.allocFmr({ maxPages: 2, access: 31 });
      w.fmr.mapPhys([dma + 4096n, dma], 0n);
      w.sg = w.pd.allocMr({ maxNumSg: 2 });
      w.sg.mapSg([{ addr: dma, length: 8192 }]);
      w.dma = w.pd.getDmaMr();
      const read = (addr: bigint, lkey: number): number[] => {
        const target = new Uint8Array(8192);
        const sge = w.accepted(w.pd.acquire({ addr, length: 8192, lkey }, 0));
        sge.copyTo(target);
        sge.put();
        return [target[0]!, target[4095]!, target[4096]!, target[8191]!];
      };
      return [read(0n, w.fmr.lkey), read(dma, w.sg.lkey), read(dma, 0)];
    }, DMA);
    expect(found).toEqual([
      [2, 2, 1, 1],
      [1, 1, 2, 2],
      [1, 1, 2, 2],
    ]);
    expect(() => mapping.unmap()).toThrow(rdma('EBUSY', 'dma_unmap'));
    await peer.run((w) => w.fmr.unmap());
    expect(() => mapping.unmap()).toThrow(rdma('EBUSY', 'dma_unmap'));
    await peer.run((w) => w.sg.dereg());
    // Key 0 names the DMA region that the worker published.
    const sge = accepted(pd.acquire({ addr: DMA, length: 8, lkey: 0 as any }, 0));
    expect(() => mapping.unmap()).toThrow(rdma('EBUSY', 'dma_unmap'));
    sge.put();
    mapping.unmap();
    expect(await peer.run((w, dma) => w.codeOf(() => w.fmr.mapPhys([dma], 0n)), DMA)).toBe('EINVAL');
    await peer.run((w) => w.dma.dereg());
  });

  test('checks accept an ArrayBuffer of another thread, but every use of its bytes is refused', async () => {
    const { device, pd, peer } = await pair({ trusted: true });
    const memory = new ArrayBuffer(PAGE);
    const mr = pd.regUserMr(memory, { access: ALL, start: 0x1000n, iova: 0x1000n });
    device.dma.map(memory, { address: DMA });
    const fmr = pd.allocFmr({ maxPages: 1, access: ALL });
    fmr.mapPhys([DMA], 0x2000n);
    const refused = await peer.run(
      (w, keys) => {
        const own = w.pd.regUserMr(new SharedArrayBuffer(8), { access: 31 });
        return keys.map(([address, rkey]) => {
          const ask = (access: number): any =>
            w.accepted(w.qp.acquire({ vaddr: address, length: 8, rkey }, access));
          const [read, written, word] = [4, 2, 8].map(ask);
          const walk = (sge: any): any => new w.SgeState([sge]);
          const batch = w.qp.rkeyBatch(1);
          const [from, to] = [w.qp.rkeyBatch(1), w.qp.rkeyBatch(1)];
          for (const list of [batch, from]) list.set(0, address, 8, rkey);
          to.set(0, own.iova, 8, own.rkey);
          const moved = (use: () => number): unknown => {
            const count = use();
            return [count, batch.firstRefusal, batch.firstReason];
          };
          return [
            ...[
              () => read.copyTo(new Uint8Array(8)),
              () => written.copyFrom(new Uint8Array(8)),
              () => written.copyFrom(new Uint8Array(8), { ordered: true }),
              () => word.fetchAdd(1n),
              () => word.compareSwap(0n, 1n),
              () => walk(read).copyOut(new Uint8Array(8)),
              () => walk(written).copyIn(new Uint8Array(8)),
            ].map((use) => w.codeOf(use)),
            moved(() => batch.gather(new Uint8Array(8), 1, 4)),
            moved(() => batch.scatter(new Uint8Array(8), 1, 2)),
            [from.copyTo(to, 1, 4, 1, 2), from.firstReason],
            [to.copyTo(from, 1, 4, 1, 2), from.firstReason],
            walk(read).walk([8])[0].length,
          ];
        });
      },
      [
        [0x1000n, mr.rkey],
        [0x2000n, fmr.rkey],
      ] as [bigint, number][],
    );
    const reason = 'OtherEnvironment';
    const one = [
      ...Array<string>(7).fill(reason),
      [0, 0, reason],
      [0, 0, reason],
      [0, reason],
      [0, reason],
      1,
    ];
    expect(refused).toEqual([one, one]);
    expect(new Uint8Array(memory).every((byte) => byte === 0)).toBe(true);
    const sge = accepted(pd.acquire({ addr: 0x1000n, length: 8, lkey: mr.lkey }, 1));
    expect(sge.copyFrom(Buffer.alloc(8, 1))).toBe(8);
  });

  test('every use of a SharedArrayBuffer works, on exactly its registered bytes', async () => {
    const { pd, peer } = await pair();
    const rim = shared(64, 0xa5);
    const mr = pd.regUserMr(rim.subarray(8, 56), { access: ALL, start: 0x1000n, iova: 0x1000n });
    const values = await peer.run((w, rkey) => {
      const ask = (vaddr: bigint, length: number, access = 2): any =>
        w.accepted(w.qp.acquire({ vaddr, length, rkey }, access));
      const list = (address: bigint, length: number): any => {
        const batch = w.qp.rkeyBatch(1);
        batch.set(0, address, length, rkey);
        return batch;
      };
      const target = new Uint8Array(48);
      const done = [
        ask(0x1000n, 48).copyFrom(new Uint8Array(48).fill(1)),
        ask(0x1000n, 8).copyFrom(new Uint8Array(8).fill(2), { ordered: true }),
        ask(0x1008n, 8, 8).fetchAdd(1n),
        ask(0x1008n, 8, 8).compareSwap(0x0101010101010102n, 0x0303030303030303n),
        new w.SgeState([ask(0x1010n, 8)]).copyIn(new Uint8Array(8).fill(4)),
        list(0x1018n, 8).scatter(new Uint8Array(8).fill(5), 1, 2),
        list(0x1000n, 8).copyTo(list(0x1028n, 8), 1, 4, 1, 2),
        list(0x1000n, 48).gather(target, 1, 4),
      ];
      const copies = [new Uint8Array(48), new Uint8Array(48)];
      ask(0x1000n, 48, 4).copyTo(copies[0]);
      new w.SgeState([ask(0x1000n, 48, 4)]).copyOut(copies[1]);
      return { done, same: copies.every((copy) => copy.every((byte, i) => byte === target[i])) };
    }, mr.rkey);
    const old = 0x0101010101010101n;
    expect(values).toEqual({ done: [48, 8, old, old + 1n, 8, 8, 8, 48], same: true });
    const eight = (byte: number): number[] => Array<number>(8).fill(byte);
    expect([...rim]).toEqual([0xa5, 2, 3, 4, 5, 1, 2, 0xa5].flatMap(eight));
  });

  test('atomics of all threads and of JavaScript add up', async () => {
    const { pd, peer } = await pair();
    const words = new BigUint64Array(new SharedArrayBuffer(16));
    const mr = pd.regUserMr(words, { access: ALL });
    const COUNT = 20_000;
    const other = new Peer({ token: scene().device.share() });
    await other.run(
      (w, token, number) => {
        w.device = w.Device.attach(token);
        w.qp = w.device.importPd(number).createQp();
      },
      await peer.run((w) => w.device.share()),
      pd.id,
    );
    const add = (w: Scope, request: { vaddr: bigint; rkey: number }, count: number): void => {
      const [sum, swapped] = [0n, 8n].map((offset) =>
        w.accepted(
          w.qp.acquire(
            { vaddr: request.vaddr + offset, length: 8, rkey: request.rkey },
            w.Access.RemoteAtomic,
          ),
        ),
      );
      for (let i = 0; i < count; i++) {
        sum.fetchAdd(3n);
        for (let old = 0n; ;) {
          const found = swapped.compareSwap(old, old + 5n);
          if (found === old) break;
          old = found;
        }
      }
    };
    const request = { vaddr: mr.iova, rkey: mr.rkey };
    const both = [peer, other].map((worker) => worker.run(add, request, COUNT));
    for (let i = 0; i < COUNT; i++) {
      Atomics.add(words, 0, 3n);
      Atomics.add(words, 1, 5n);
    }
    await Promise.all(both);
    expect([...words]).toEqual([BigInt(9 * COUNT), BigInt(15 * COUNT)]);
  });

  test('a thread that polls the last byte of an ordered copy sees all bytes', async () => {
    const { pd, peer } = await pair();
    const ROUNDS = 300;
    const SIZE = 200;
    const bytes = shared(SIZE);
    const acknowledged = new Int32Array(new SharedArrayBuffer(4));
    const mr = pd.regUserMr(bytes, { access: ALL });
    const sge = accepted(pd.acquire({ addr: mr.start, length: SIZE, lkey: mr.lkey }, 1));
    const polled = peer.run(
      (w, memory, seen, rounds) => {
        for (let round = 1; round <= rounds; round++) {
          while (Atomics.load(memory, memory.length - 1) !== round % 256) Atomics.wait(seen, 0, -1, 0);
          for (const [i, byte] of memory.entries()) {
            if (byte !== round % 256) throw new Error(`round ${round}: byte ${i} is ${byte}`);
          }
          Atomics.store(seen, 0, round);
          Atomics.notify(seen, 0);
        }
        return w.device.context;
      },
      bytes,
      acknowledged,
      ROUNDS,
    );
    for (let round = 1; round <= ROUNDS; round++) {
      sge.copyFrom(Buffer.alloc(SIZE, round % 256), { ordered: true });
      while (Atomics.load(acknowledged, 0) !== round) {
        if (Atomics.wait(acknowledged, 0, round - 1, 10_000) === 'timed-out') throw new Error('not seen');
      }
    }
    expect(await polled).toBe(2);
  });
});

describe('closing', () => {
  test('closes the device for every thread', async () => {
    const { device, pd } = scene();
    const mr = pd.regUserMr(shared(8), { access: ALL });
    const constants = [mr.id, mr.lkey, mr.rkey, mr.start, mr.iova];
    const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const batch = pd.lkeyBatch(1);
    const block = pd.checker();
    const token = device.share();
    const peer = new Peer({ token });
    expect(
      await peer.run((w) => {
        w.pd = w.device.allocPd();
        const busy = w.codeOf(() => w.device.close());
        w.device.close({ cascade: true });
        w.device.close();
        return [busy, w.codeOf(() => w.pd.createQp())];
      }),
    ).toEqual(['EBUSY', 'EBADF']);
    for (const use of [
      () => device.allocPd(),
      () => device.importPd(1),
      () => device.allocDm(8),
      () => device.importDm(1),
      () => device.keyTable(),
      () => device.resources(),
      () => device.counters(),
      () => device.share(),
      () => device.dma.map(Buffer.alloc(8)),
      () => pd.regUserMr(Buffer.alloc(8)),
      () => mr.refs,
      () => mr.counters,
    ]) {
      expect(use).toThrow(rdma('EBADF'));
    }
    expect(refusal(pd.acquire({ addr: 0, length: 0, lkey: mr.lkey }, 0))).toBe('Closed');
    expect([batch.check(1, 0), batch.firstReason]).toEqual([0, 'Closed']);
    block.refusal(0, 8, 1 as any, 0);
    expect(block.reason).toBe('Closed');
    // Properties that never change stay readable.
    expect([mr.id, mr.lkey, mr.rkey, mr.start, mr.iova, mr.length, mr.access]).toEqual([
      ...constants,
      8,
      ALL,
    ]);
    expect(mr.state).toBe('Closed');
    expect(() => sge.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
    sge.put();
    expect(() => Device.attach(token)).toThrow(rdma('ENODEV'));
    device.close();
    device.detach();
    device[Symbol.dispose]();
  });
});

describe('detaching', () => {
  const owned: [string, (device: Device, number: number) => unknown][] = [
    ['a domain', (device) => device.allocPd()],
    ['a queue pair in a domain of another object', (device, number) => device.importPd(number).createQp()],
    [
      'a region in a domain of another object',
      (device, number) => device.importPd(number).regUserMr(Buffer.alloc(8)),
    ],
    ['a DMA mapping', (device) => device.dma.map(Buffer.alloc(8))],
  ];

  test.each(owned)('fails with EBUSY while the object has %s, unless cascade is set', (_, make) => {
    const { device, pd } = scene();
    const other = second(device);
    make(other, pd.id);
    expect(() => other.detach()).toThrow(rdma('EBUSY', 'dealloc_ucontext'));
    expect(other.resources().contexts).toEqual([1, 2]);
    other.detach({ cascade: true });
    expect(device.resources()).toMatchObject({
      contexts: [1],
      pds: [{ id: pd.id, children: 1 }],
      queuePairs: [{ context: 1 }],
      regions: [],
      mappings: [],
    });
  });

  test('succeeds while other objects have created anything, in whatever domain', () => {
    const { device, pd } = scene();
    const other = second(device);
    pd.regUserMr(Buffer.alloc(8));
    device.dma.map(Buffer.alloc(8));
    other.allocDm(8);
    other.detach();
    expect(device.resources()).toMatchObject({
      contexts: [1],
      regions: [{ own: true }],
      mappings: [{ own: true }],
      memories: [{ byteLength: 8 }],
    });
  });

  test('closes what this object created, with what others have in its domains, and nothing else', () => {
    const { device, pd } = scene({ trusted: true, keyPolicy: 'sequential' });
    const other = second(device);
    const theirPd = other.allocPd();
    const [memory, theirs] = [shared(8, 1), shared(8, 2)];
    const mr = pd.regUserMr(memory);
    const guest = device.importPd(theirPd.id).regUserMr(memory);
    const region = other.importPd(pd.id).regUserMr(theirs);
    const held = accepted(pd.acquire({ addr: region.start, length: 8, lkey: region.lkey }, 0));
    const { lkey, start } = region;
    other.detach({ cascade: true });
    expect(mr.state).toBe('Valid');
    expect(guest.state).toBe('Closed');
    expect(region.state).toBe('Closed');
    expect(refusal(pd.acquire({ addr: start, length: 8, lkey }, 0))).toBe('Revoked');
    expect(() => held.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
    held.put();
    expect(device.keyTable().used).toEqual([{ index: 0, lkey: mr.lkey, region: mr }]);
    accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0)).copyTo(Buffer.alloc(8));
  });

  test('unmaps lists of others over its mappings, and revokes SGEs of key 0 on them', () => {
    const { device, pd } = scene({ trusted: true });
    const other = second(device);
    const page = shared(PAGE, 7);
    other.dma.map(page, { address: DMA });
    device.dma.map(page, { address: 2n * DMA });
    const fmr = pd.allocFmr({ maxPages: 2 });
    fmr.mapPhys([DMA, 2n * DMA], 0x5000n);
    const kept = pd.allocFmr({ maxPages: 1 });
    kept.mapPhys([2n * DMA], 0x5000n);
    const sg = pd.allocMr({ maxNumSg: 1 });
    sg.mapSg([{ addr: DMA, length: PAGE }]);
    pd.getDmaMr();
    const zero = accepted(pd.acquire({ addr: DMA, length: 8, lkey: 0 as any }, 0));
    const listed = accepted(pd.acquire({ addr: 0x5000n, length: 8, lkey: fmr.lkey }, 0));
    other.detach({ cascade: true });
    expect([fmr, sg, kept].map(({ length, state }) => [length, state])).toEqual([
      [0, 'Valid'],
      [0, 'Valid'],
      [PAGE, 'Valid'],
    ]);
    expect(() => zero.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'RegionRevoked'));
    expect(() => listed.copyTo(Buffer.alloc(8))).toThrow(rdma('EACCES', 'copy_sge_out', 'Remapped'));
    const address = { addr: DMA, length: 8, lkey: 0 as any };
    expect(refusal(pd.acquire(address, 0))).toBe('Unmapped');
    zero.put();
    listed.put();
    fmr.mapPhys([2n * DMA], 0x5000n);
    expect(fmr.length).toBe(PAGE);
    // The DMA addresses are free again.
    expect(device.dma.map(page, { address: DMA }).address).toBe(DMA);
  });

  test('makes every method of this object and its children throw EBADF, also in domains that stay open', () => {
    const { device, pd } = scene();
    const other = second(device);
    const attached = other.importPd(pd.id);
    const qp = attached.createQp();
    const batch = attached.lkeyBatch(1);
    const block = attached.checker();
    const memory = other.allocDm(PAGE);
    const { buffer } = memory;
    other.detach({ cascade: true });
    other.detach();
    other.close();
    other[Symbol.dispose]();
    for (const use of [
      () => other.allocPd(),
      () => other.importPd(pd.id),
      () => other.allocDm(8),
      () => other.importDm(memory.id),
      () => other.keyTable(),
      () => other.resources(),
      () => other.counters(),
      () => other.share(),
      () => other.dma.map(Buffer.alloc(8)),
      () => attached.createQp(),
      () => attached.regUserMr(Buffer.alloc(8)),
      () => attached.allocFmr({ maxPages: 1 }),
      () => memory.buffer,
    ]) {
      expect(use).toThrow(rdma('EBADF'));
    }
    expect(attached.check({ addr: 0, length: 0, lkey: 1 as any }, 0)).toMatchObject({ reason: 'Closed' });
    expect(qp.check({ vaddr: 0, length: 0, rkey: 1 as any }, Access.RemoteRead)).toMatchObject({
      reason: 'Closed',
    });
    for (const use of [
      () => batch.check(1, 0),
      () => batch.acquire(1, 0),
      () => batch.gather(Buffer.alloc(8), 1, 0),
    ]) {
      expect([use(), batch.firstRefusal, batch.firstReason]).toEqual([0, 0, 'Closed']);
    }
    block.refusal(0, 8, 1 as any, 0);
    expect(block.reason).toBe('Closed');
    attached.dealloc({ cascade: true });
    memory.free();
    expect(buffer.byteLength).toBe(4096);
    expect(device.resources()).toMatchObject({ pds: [{ own: true }], memories: [{ id: memory.id }] });
    expect(pd.check({ addr: 0, length: 8, lkey: 0x100 as any }, 0).ok).toBe(false);
  });

  test('leaves held SGEs of open regions, which can still be put', () => {
    const { device, pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8));
    const other = second(device);
    const attached = other.importPd(pd.id);
    const batch = attached.lkeyBatch(1);
    batch.set(0, mr.start, 8, mr.lkey);
    batch.acquire(1, 0);
    const sge = accepted(attached.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    other.detach();
    expect(mr.refs).toBe(4);
    sge.put();
    expect(batch.put()).toBe(1);
    expect(mr.refs).toBe(2);
  });

  test('closes the device when the last object detaches, even if that object did not open it', () => {
    const device = open();
    const token = device.share();
    const [one, two] = [Device.attach(token), Device.attach(token)];
    const memory = two.allocDm(8);
    device.detach();
    one.detach();
    expect(two.resources().contexts).toEqual([two.context]);
    two.allocPd().regUserMr(Buffer.alloc(8));
    two.detach({ cascade: true });
    expect(() => Device.attach(token)).toThrow(rdma('ENODEV'));
    expect(() => memory.buffer).toThrow(rdma('EBADF'));
  });

  test('by the opener leaves the device open for the others', async () => {
    const { device, pd } = scene();
    const peer = new Peer({ token: device.share() });
    await peer.run((w) => {
      w.pd = w.device.allocPd();
      w.mr = w.pd.regUserMr(new Uint8Array(8).fill(3));
    });
    device.detach({ cascade: true });
    expect(() => pd.createQp()).toThrow(rdma('EBADF'));
    expect(
      await peer.run((w) => {
        const target = new Uint8Array(8);
        w.accepted(w.pd.acquire({ addr: w.mr.start, length: 8, lkey: w.mr.lkey }, 0)).copyTo(target);
        return [target[7], w.device.resources().contexts, w.device.resources().pds.length];
      }),
    ).toEqual([3, [2], 1]);
  });
});

describe('disposing', () => {
  test('detaches an attached object, and closes the device for the object that opened it', () => {
    const device = open();
    let attached: Device;
    {
      using other = second(device);
      attached = other;
      other.allocPd();
    }
    expect(() => attached.allocPd()).toThrow(rdma('EBADF'));
    expect(device.resources()).toMatchObject({ contexts: [1], pds: [] });
    const another = second(device);
    another.allocPd();
    {
      using _device = device;
    }
    expect(() => another.keyTable()).toThrow(rdma('EBADF'));
  });
});
