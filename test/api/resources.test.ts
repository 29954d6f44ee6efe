// The objects that are open on a device, as `device.resources()` lists them.
import { basename } from 'node:path';
import { type Device, type Resources } from '../../lib';
import { CreationStacks } from '../../lib/verbs/creation-stacks';
import { accepted, rdma } from '../support/answers';
import { runProgram } from '../support/programs';
import { ALL, DMA, dmaPages, open, PAGE, scene } from '../support/scene';
import { Peer } from '../support/workers';

const shared = (length: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(length));

const stacksOf = (resources: Resources): [string, string | undefined][] => {
  const { contexts, toJSON: _, ...kinds } = resources;
  expect(contexts.length).toBeGreaterThan(0);
  return Object.entries(kinds).flatMap(([kind, rows]) =>
    rows.map(({ stack }: { stack?: string }) => [kind, stack] as [string, string | undefined]),
  );
};

describe('resources', () => {
  test('of a new device list only its context', () => {
    const device = open();
    const verbs = { completionQueues: [], sharedReceiveQueues: [], addressHandles: [] };
    const nothing = {
      ...{ pds: [], queuePairs: [], regions: [], windows: [], mappings: [], memories: [], elements: [] },
      ...verbs,
    };
    expect(device.resources()).toEqual({ contexts: [device.context], ...nothing });
    device.allocPd().dealloc();
    device.allocDm(8).free();
    device.dma.map(Buffer.alloc(8)).unmap();
    expect(device.resources()).toEqual({ contexts: [1], ...nothing });
  });

  test('list every kind of object with every field', () => {
    const { device, pd, qp } = scene({ trusted: true });
    const user = device.allocPd();
    const mapping = dmaPages(device, 4);
    const mr = pd.regUserMr(Buffer.alloc(3 * PAGE), { start: 0x1008n, iova: 0x9000n, access: 5 });
    const dma = pd.getDmaMr({ access: 1 });
    const sg = pd.allocMr({ maxNumSg: 8 });
    sg.mapSg([{ addr: DMA, length: 2 * PAGE }]);
    const fmr = user.allocFmr({ maxPages: 5, access: ALL, pageShift: 8 });
    fmr.mapPhys([DMA, DMA + 0x100n, DMA + 0x200n], 0x7000n);
    const memory = device.allocDm(100, { hugePages: true });
    user.regUserMr(memory.buffer);
    device.dma.map(memory.buffer, { address: 2n * DMA });
    const held = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
    const zero = accepted(pd.acquire({ addr: DMA, length: 8, lkey: 0 as any }, 0));
    const own = { context: 1, own: true };
    const resources = device.resources();
    const buffers = resources.regions.map((row) => row.memory?.buffer);
    const over = (buffer: number | undefined, length: number, kind = 'ArrayBuffer') => ({
      memory: { kind, buffer, offset: 0, length, detached: false },
    });
    const { toJSON: _, ...plain } = resources;
    expect(plain).toEqual({
      contexts: [1],
      pds: [
        { id: pd.id, ...own, trusted: true, children: 4 },
        { id: user.id, ...own, trusted: false, children: 2 },
      ],
      queuePairs: [{ id: qp.id, ...own, pd: pd.id }],
      completionQueues: [],
      sharedReceiveQueues: [],
      addressHandles: [],
      regions: [
        {
          id: mr.id,
          ...own,
          pd: pd.id,
          kind: 'USER',
          lkey: mr.lkey,
          rkey: mr.rkey,
          access: 5,
          refs: 3,
          start: 0x1008n,
          iova: 0x9000n,
          length: 3 * PAGE,
          segments: 4,
          maxSegments: 0,
          ...over(buffers[0], 3 * PAGE),
          state: 'Valid',
          region: mr,
        },
        {
          id: dma.id,
          ...own,
          pd: pd.id,
          kind: 'DMA',
          lkey: 0,
          rkey: 0,
          access: 1,
          refs: 4,
          start: 0n,
          iova: 0n,
          length: 0,
          segments: 0,
          maxSegments: 0,
          state: 'Valid',
          region: dma,
        },
        {
          id: sg.id,
          ...own,
          pd: pd.id,
          kind: 'MEM_REG',
          lkey: sg.lkey,
          rkey: sg.rkey,
          access: 0,
          refs: 2,
          start: DMA,
          iova: DMA,
          length: 2 * PAGE,
          segments: 2,
          maxSegments: 8,
          state: 'Valid',
          region: sg,
        },
        {
          id: fmr.id,
          ...own,
          pd: user.id,
          kind: 'FMR',
          lkey: fmr.lkey,
          rkey: fmr.rkey,
          access: ALL,
          refs: 2,
          start: 0x7000n,
          iova: 0x7000n,
          length: 0x300,
          segments: 3,
          maxSegments: 5,
          state: 'Valid',
          region: fmr,
        },
        expect.objectContaining({ id: fmr.id + 1, kind: 'USER', length: 100 }),
      ],
      windows: [],
      mappings: [
        {
          id: mapping.id,
          ...own,
          address: DMA,
          length: 4 * PAGE,
          users: 3,
          ...over(resources.mappings[0]!.memory!.buffer, 4 * PAGE),
        },
        {
          id: mapping.id + 1,
          ...own,
          address: 2n * DMA,
          length: 100,
          users: 0,
          ...over(buffers[4], 100, 'DeviceMemory'),
        },
      ],
      memories: [{ id: memory.id, byteLength: 100, uses: 2, hugePages: true, buffer: buffers[4] }],
      elements: [
        { region: mr.id, count: 1, length: 8, remote: false, address: mr.start, access: 0 },
        { region: dma.id, count: 1, length: 8, remote: false, address: DMA, access: 0 },
      ],
    });
    expect(resources.regions[0]!.region).toBe(mr);
    held.put();
    zero.put();
    expect(device.resources().regions.map(({ refs }) => refs)).toEqual([2, 3, 2, 2, 2]);
  });

  test('list the objects of the verbs with their fill levels', () => {
    const { device, pd, qp } = scene({ engine: 'manual' });
    const [sendCq, recvCq] = [device.createCq(8), device.createCq(4)];
    const srq = pd.createSrq({ maxWr: 5, maxSge: 3, limit: 2 });
    const ah = pd.createAh({ dlid: 7, sl: 3 });
    const rc = pd.createQp({ type: 'RC', sendCq, recvCq });
    const peer = pd.createQp({ type: 'RC', sendCq: recvCq, srq });
    const ud = pd.createQp({ type: 'UD', sendCq });
    rc.connect(peer, { access: 0 });
    srq.postRecv([{}, {}, {}]);
    rc.postSend([{ opcode: 'SEND' }, { opcode: 'SEND' }]);
    rc.postRecv({});
    const own = { context: 1, own: true };
    const { queuePairs, completionQueues, sharedReceiveQueues, addressHandles } = device.resources();
    const connected = { state: 'RTS', sends: 0, receives: 0 };
    expect(queuePairs).toEqual([
      { id: qp.id, ...own, pd: pd.id },
      {
        ...{ id: rc.id, ...own, pd: pd.id, type: 'RC', qpn: rc.qpn, ...connected, sends: 2, receives: 1 },
        ...{ peer: peer.qpn, sendCq: sendCq.id, recvCq: recvCq.id },
      },
      {
        ...{ id: peer.id, ...own, pd: pd.id, type: 'RC', qpn: peer.qpn, ...connected },
        ...{ peer: rc.qpn, sendCq: recvCq.id, recvCq: recvCq.id, srq: srq.id },
      },
      {
        ...{ id: ud.id, ...own, pd: pd.id, type: 'UD', qpn: ud.qpn, ...connected, state: 'RESET' },
        ...{ sendCq: sendCq.id, recvCq: sendCq.id },
      },
    ]);
    expect(completionQueues).toEqual([
      { id: sendCq.id, ...own, cqe: 8, held: 0, users: 2, broken: false },
      { id: recvCq.id, ...own, cqe: 4, held: 0, users: 2, broken: false },
    ]);
    expect(sharedReceiveQueues).toEqual([
      { id: srq.id, ...own, pd: pd.id, maxWr: 5, maxSge: 3, limit: 2, held: 3, users: 1 },
    ]);
    expect(addressHandles).toEqual([{ id: ah.id, ...own, pd: pd.id, dlid: 7, sl: 3 }]);
    expect(device.resources().pds).toMatchObject([{ children: 6 }]);

    device.run();
    rc.modify({ state: 'ERR' });
    for (let i = 0; i < 4; i++) rc.postRecv({}); // flushed: with the one before and the two messages more than the queue holds
    expect(device.resources()).toMatchObject({
      queuePairs: [{}, { state: 'ERR', sends: 0, receives: 0 }, { state: 'RTS' }, {}],
      completionQueues: [{ held: 0 }, { held: 4, broken: true }],
      sharedReceiveQueues: [{ held: 1, limit: 0 }],
    });
    for (const object of [rc, peer, ud, sendCq, recvCq, srq, ah]) object.destroy();
    expect(device.resources()).toMatchObject({
      ...{ queuePairs: [{ id: qp.id }], completionQueues: [], sharedReceiveQueues: [], addressHandles: [] },
      pds: [{ children: 1 }],
    });
  });

  test('report the state of each region', () => {
    const { device, pd, qp } = scene();
    dmaPages(device, 1);
    const [invalid, half] = [pd.allocMr({ maxNumSg: 1 }), pd.regUserMr(Buffer.alloc(8))];
    qp.invalidateRkey(invalid.rkey);
    const sge = accepted(pd.acquire({ addr: half.start, length: 8, lkey: half.lkey }, 0));
    const { lkey } = half;
    expect(() => half.dereg()).toThrow(rdma('EBUSY'));
    expect(device.resources().regions).toMatchObject([
      { state: 'Invalid', refs: 2, region: invalid },
      { state: 'HalfDead', refs: 2, lkey, region: half },
    ]);
    expect(device.keyTable().used).toHaveLength(1);
    expect(device.resources().pds).toMatchObject([{ children: 3 }]);
    sge.put();
    half.dereg();
    expect(device.resources().regions).toHaveLength(1);
  });

  test('are a snapshot: later changes do not affect it', () => {
    const { device, pd } = scene();
    pd.regUserMr(Buffer.alloc(8));
    const before = device.resources();
    const copy = structuredClone({ ...before, regions: before.regions.map(({ region: _, ...row }) => row) });
    pd.dealloc({ cascade: true });
    expect({ ...before, regions: before.regions.map(({ region: _, ...row }) => row) }).toEqual(copy);
    expect(device.resources().regions).toEqual([]);
  });

  test('list all objects, however many', () => {
    const { device, pd } = scene();
    const keys = Array.from({ length: 3000 }, () => pd.regUserMr(Buffer.alloc(1)).lkey);
    const { regions, pds } = device.resources();
    expect(regions.map(({ lkey }) => lkey)).toEqual(keys);
    expect(pds).toMatchObject([{ children: 3001 }]);
  });

  test('are the same in every thread, except for ownership', async () => {
    const { device, pd } = scene();
    const peer = new Peer({ token: device.share() });
    const mr = pd.regUserMr(shared(8));
    const theirs = await peer.run((w, number) => {
      w.pd = w.device.importPd(number);
      w.objects = [
        w.device.allocPd(),
        w.pd.createQp(),
        w.device.dma.map(new Uint8Array(16)),
        w.device.allocDm(24),
      ];
      w.mr = w.pd.regUserMr(new Uint8Array(8), { access: 1 });
      const all = w.device.resources();
      const regions = all.regions.map(({ region, ...row }: any) => ({ ...row, found: region === w.mr }));
      return { ...all, regions };
    }, pd.id);
    const mine = device.resources();
    const regions = mine.regions.map(({ region, ...row }) => ({ ...row, found: region === mr }));
    expect(mine.contexts).toEqual([1, 2]);
    const whose = (rows: { own: boolean; context: number }[]): [number, boolean][] =>
      rows.map(({ context, own }) => [context, own]);
    for (const kind of ['pds', 'queuePairs', 'regions'] as const) {
      expect([kind, whose(mine[kind])]).toEqual([
        kind,
        [
          [1, true],
          [2, false],
        ],
      ]);
      expect([kind, whose(theirs[kind])]).toEqual([
        kind,
        [
          [1, false],
          [2, true],
        ],
      ]);
    }
    expect(whose(mine.mappings)).toEqual([[2, false]]);
    // Only the owning thread can tell whether an ArrayBuffer is detached.
    expect(theirs.mappings[0].memory.detached).toBe(false);
    expect(mine.mappings[0]!.memory!.detached).toBe(undefined);
    const turned = <T extends { own: boolean; memory?: any }>(rows: T[]): T[] =>
      rows.map((row) => {
        const { memory } = row;
        const detached = memory?.kind === 'ArrayBuffer' ? (row.own ? undefined : false) : memory?.detached;
        return { ...row, own: !row.own, ...(memory && { memory: { ...memory, detached } }) };
      });
    expect({
      ...theirs,
      pds: turned(theirs.pds),
      queuePairs: turned(theirs.queuePairs),
      mappings: turned(theirs.mappings),
      regions: turned(theirs.regions).map((row: any) => ({ ...row, found: !row.found })),
    }).toEqual({ ...mine, regions });
    expect(mine.memories).toMatchObject([{ id: 1, byteLength: 24, uses: 0, hugePages: false }]);
  });

  test('throw EBADF after close and detach', () => {
    const device = open();
    device.close();
    expect(() => device.resources()).toThrow(rdma('EBADF', 'resources'));
  });
});

describe('stacks', () => {
  function one(device: Device): void {
    const pd = device.allocPd({ trusted: true });
    pd.createQp();
    device.createCq(1);
    pd.createSrq({ maxWr: 1, maxSge: 1 });
    pd.createAh({ dlid: 1 });
    pd.regUserMr(Buffer.alloc(8));
    pd.allocMr({ maxNumSg: 1 });
    pd.allocFmr({ maxPages: 1 });
    pd.getDmaMr();
    device.dma.map(Buffer.alloc(8));
    device.allocDm(8);
  }

  test('are absent unless requested', () => {
    const device = open();
    one(device);
    const { contexts, toJSON: _, ...kinds } = device.resources();
    expect(contexts).toEqual([1]);
    expect(
      Object.values(kinds)
        .flat()
        .filter((row) => 'stack' in row),
    ).toEqual([]);
  });

  test('show where objects of every kind were created: in this file, without frames of the package', () => {
    const device = open({ captureStacks: true });
    one(device);
    const stacks = stacksOf(device.resources());
    expect(stacks.map(([kind]) => kind)).toEqual([
      'pds',
      'queuePairs',
      'completionQueues',
      'sharedReceiveQueues',
      'addressHandles',
      ...Array<string>(4).fill('regions'),
      'mappings',
      'memories',
    ]);
    for (const [kind, stack] of stacks) {
      const lines = stack!.split('\n');
      expect([kind, lines[0]]).toEqual([kind, expect.stringContaining(`at one (${__filename}`)]);
      expect(
        lines.filter((line) => /[\\/](lib|dist)[\\/]/.test(line) && !line.includes('node_modules')),
      ).toEqual([]);
    }
  });

  test('come from the creating thread, and only if its device captures stacks', async () => {
    const { device, pd } = scene({ captureStacks: true });
    pd.regUserMr(Buffer.alloc(8));
    const peer = new Peer({ token: device.share(), options: { captureStacks: true } });
    const theirs = await peer.run(function inTheWorker(w, number) {
      w.mr = w.device.importPd(number).regUserMr(new Uint8Array(8));
      return w.device.resources().regions.map(({ stack }: { stack?: string }) => stack);
    }, pd.id);
    expect(theirs).toEqual([undefined, expect.stringContaining('inTheWorker')]);
    const mine = device.resources().regions.map(({ stack }) => stack);
    expect(mine).toEqual([expect.stringContaining(basename(__filename)), undefined]);
  });

  test('are captured through one Device object for objects created through others in the thread', () => {
    const device = open();
    const { Device: Class } = { Device: device.constructor as typeof Device };
    device.allocPd();
    const other = Class.attach(device.share(), { captureStacks: true });
    device.allocPd();
    expect(other.resources().pds.map(({ stack }) => typeof stack)).toEqual(['undefined', 'string']);
  });

  test('are plain text, whatever the program sets Error.prepareStackTrace to', () => {
    const before = [Error.prepareStackTrace, Error.stackTraceLimit] as const;
    const device = open({ captureStacks: true });
    try {
      Error.prepareStackTrace = (_, sites) => sites;
      const pd = device.allocPd();
      Error.prepareStackTrace = before[0];
      Error.stackTraceLimit = 0;
      pd.regUserMr(Buffer.alloc(8));
      expect(stacksOf(device.resources())).toEqual([
        ['pds', undefined],
        ['regions', undefined],
      ]);
    } finally {
      [Error.prepareStackTrace, Error.stackTraceLimit] = before;
    }
  });

  test('contain no frames of the package with source maps either', () => {
    const { stdout, stderr } = runProgram(
      `const { Device } = require('rdmavt');
       const device = new Device({ captureStacks: true });
       (function creator() { device.allocPd(); })();
       console.log(device.resources().pds[0].stack.split('\\n')[0]);`,
      ['--enable-source-maps'],
    );
    expect([stdout, stderr]).toEqual([expect.stringMatching(/^ +at creator \(/), '']);
  });

  test('of closed objects are dropped in time', () => {
    const stacks = new CreationStacks();
    let asked = 0;
    const live = (): ((kind: string, number: number) => boolean) => {
      asked++;
      return (_, number) => number % 1000 === 0;
    };
    for (let number = 1; number <= 10_000; number++) stacks.note('region', number, live);
    const kept = Array.from({ length: 10_000 }, (_, i) => stacks.of('region', i + 1)).filter(Boolean);
    expect(kept.length).toBeLessThan(1100);
    expect(asked).toBeLessThan(12);
    for (let number = 1000; number <= 9000; number += 1000)
      expect(stacks.of('region', number)).toContain('resources.test.ts');
  });

  test('do not grow without bound over 10,000 registrations', () => {
    const { status, stdout, stderr } = runProgram(`
      const { Device } = require('rdmavt');
      const device = new Device({ captureStacks: true });
      const pd = device.allocPd();
      const memory = Buffer.alloc(64);
      const cycle = (count) => {
        for (let i = 0; i < count; i++) pd.regUserMr(memory).dereg();
        return new Promise((resolve) => setImmediate(resolve));
      };
      (async () => {
        await cycle(3000);
        gc(); await cycle(1); gc();
        const before = process.memoryUsage().heapUsed;
        await cycle(10000);
        gc(); await cycle(1); gc();
        console.log(process.memoryUsage().heapUsed - before);
        device.close({ cascade: true });
      })();`);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(Number(stdout)).toBeLessThan(3 << 20);
  });
});
