// What an inspector sees of a device: the first state, and that each tick brings a state up to date.
import { channel } from 'node:diagnostics_channel';
import { Access, Device, type MemoryRegion, type QueuePair, type Sge } from '../../lib';
import { applyTick, liveStateOf, type LiveState, MOST_REFUSALS } from '../../lib/inspect/apply-tick';
import { changedCells, keyFill, MOST_CELLS, slotsPerCell } from '../../lib/inspect/key-fill';
import { type InspectState, type InspectTick } from '../../lib/inspect/protocol';
import { MOST_EXPLAINED } from '../../lib/inspect/refusal-log';
import { deviceSource, type Report, type ReportSource } from '../../lib/inspect/report';
import { MOST_LISTED, Watcher } from '../../lib/inspect/watcher';
import { homeOfDevice } from '../../lib/verbs/device';
import { accepted } from '../support/answers';
import { open, scene } from '../support/scene';

const sourceOf = (device: Device): ReportSource => deviceSource(homeOfDevice(device)!.native, 0);
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 45));

/** A watcher of a device, and the state that its ticks lead to. */
function watch(device: Device, source = sourceOf(device)) {
  const ticks: InspectTick[] = [];
  let ends = 0;
  const watcher = new Watcher(
    source,
    // The processor counts as free: the tests wait for two intervals, whatever else this machine does.
    { intervalMs: 20, ref: false, used: () => 0 },
    { tick: (tick) => ticks.push(JSON.parse(JSON.stringify(tick)) as InspectTick), end: () => ends++ },
  );
  const first = watcher.start();
  const live = first && liveStateOf(JSON.parse(JSON.stringify(first)) as InspectState);
  const catchUp = (): LiveState => {
    for (const tick of ticks.splice(0)) applyTick(live!, tick);
    return live!;
  };
  watchers.push(watcher);
  return { watcher, first, ticks, catchUp, ends: () => ends };
}
const watchers: Watcher[] = [];
afterEach(() => {
  for (const watcher of watchers.splice(0)) watcher.stop();
  expect(channel('rdmavt:refused').hasSubscribers).toBe(false);
});

/** Waits until the ticks have told what a fresh look sees. */
async function expectUpToDate(device: Device, catchUp: () => LiveState): Promise<void> {
  const fresh = watch(device);
  const wanted = JSON.parse(JSON.stringify(fresh.first)) as InspectState;
  fresh.watcher.stop();
  const plain = (state: LiveState): unknown => {
    const byId = (map: ReadonlyMap<number, { id: number }>): unknown =>
      [...map.values()].sort((a, b) => a.id - b.id);
    const { regions, windows, queuePairs, completionQueues, sharedReceiveQueues, counters, totals, keys } =
      state;
    return {
      regions: byId(regions),
      windows: byId(windows),
      queuePairs: byId(queuePairs),
      completionQueues: byId(completionQueues),
      sharedReceiveQueues: byId(sharedReceiveQueues),
      counters,
      totals,
      keys,
    };
  };
  const expected = plain(liveStateOf(wanted));
  for (let i = 0; i < 100 && JSON.stringify(plain(catchUp())) !== JSON.stringify(expected); i++)
    await settle();
  expect(plain(catchUp())).toEqual(expected);
}

test('the first state has what resources() and counters() have', () => {
  const { device, pd, qp } = scene();
  const mr = pd.regUserMr(new Uint8Array(new SharedArrayBuffer(4096), 100, 200), {
    access: 7,
    iova: 0xffff_ffff_0000_0000n,
  });
  pd.allocMr({ maxNumSg: 3 });
  const cq = device.createCq(16);
  const srq = pd.createSrq({ maxWr: 4 });
  const rc = pd.createQp({ type: 'RC', sendCq: cq, srq });
  pd.check({ addr: mr.start, length: 1000, lkey: mr.lkey }, 0);
  const { first } = watch(device);
  const json = device.resources().toJSON();
  expect(first).toMatchObject({
    format: 'rdmavt-inspect-1',
    device: {
      id: device.toJSON().id,
      context: device.context,
      pid: process.pid,
      thread: 0,
      keyTableBits: 16,
      onlyPd: 0,
    },
    totals: {
      regions: 2,
      pds: 1,
      queuePairs: 2,
      completionQueues: 1,
      sharedReceiveQueues: 1,
      windows: 0,
      contexts: 1,
    },
    refusals: [],
    unexplained: 0,
  });
  expect(first!.counters).toEqual(device.counters());
  expect(first!.counters.refused).toBe(1);
  expect(
    first!.regions.map(({ id, key, start, iova, length, refs, state, memory }) => ({
      id,
      lkey: key,
      start,
      iova,
      length,
      refs,
      state,
      memory: memory ?? null,
    })),
  ).toEqual(
    json.regions.map(({ id, lkey, start, iova, length, refs, state, memory }) => ({
      id,
      lkey,
      start,
      iova,
      length,
      refs,
      state,
      memory: memory && {
        kind: memory.kind,
        buffer: memory.buffer,
        offset: memory.offset,
        detached: memory.detached,
      },
    })),
  );
  expect(first!.queuePairs).toEqual(json.queuePairs.map(({ own: _, ...qp }) => qp));
  expect(first!.queuePairs.map(({ id, srq }) => [id, srq])).toEqual([
    [qp.id, undefined],
    [rc.id, srq.id],
  ]);
  expect(first!.completionQueues).toEqual([{ id: cq.id, cqe: 16, held: 0, users: 1, broken: false }]);
  expect(first!.sharedReceiveQueues).toEqual([
    { id: srq.id, pd: pd.id, maxWr: srq.query().maxWr, held: 0, limit: 0, users: 1 },
  ]);
});

test('ticks tell every change of random programs, and nothing when nothing changes', async () => {
  const device = open({ lkeyTableBits: 9 });
  const pd = device.allocPd();
  const cq = device.createCq(1024);
  const { catchUp, ticks } = watch(device);
  let seed = 20;
  const random = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % below;
  const regions: MemoryRegion[] = [];
  const pairs: QueuePair[] = [];
  const held: Sge[] = [];
  for (let round = 0; round < 40; round++) {
    for (let step = 0; step < 25; step++) {
      const mr = regions[random(regions.length + 1)];
      switch (random(8)) {
        case 0:
        case 1:
          if (regions.length < 200) regions.push(pd.regUserMr(new Uint8Array(64), { access: 1 }));
          break;
        case 2:
          if (mr) {
            mr.dereg({ force: true });
            regions.splice(regions.indexOf(mr), 1);
          }
          break;
        case 3:
          if (mr) held.push(accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0)));
          break;
        case 4:
          held.shift()?.put();
          break;
        case 5:
          if (pairs.length < 50) pairs.push(pd.createQp({ type: 'RC', sendCq: cq }));
          break;
        case 6:
          pairs.splice(random(pairs.length + 1), 1)[0]?.destroy();
          break;
        default:
          if (mr) pd.check({ addr: mr.start, length: random(100), lkey: mr.lkey }, 0);
      }
    }
    await settle();
  }
  await expectUpToDate(device, catchUp);
  for (const sge of held) sge.put();
  await expectUpToDate(device, catchUp);
  await settle();
  ticks.splice(0);
  // Only the message that comes each second, not those that changes cause ten times a second.
  await new Promise((resolve) => setTimeout(resolve, 1800));
  expect(ticks.length).toBeGreaterThan(0);
  expect(ticks.length).toBeLessThan(4);
  for (const tick of ticks) expect(Object.keys(tick)).toEqual(['time']);
});

test('a changed count of references is told without the rest of the region', async () => {
  const { device, pd } = scene();
  const mr = pd.regUserMr(new Uint8Array(64), { access: 1 });
  const { ticks } = watch(device);
  const sge = accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0));
  while (!ticks.some(({ lists }) => lists?.regions)) await settle();
  expect(ticks.find(({ lists }) => lists?.regions)?.lists).toEqual({
    regions: { set: [{ id: 1, refs: 3 }] },
  });
  sge.put();
});

test('refusals come with their explanations, in order, and the rest of too many only as a number', async () => {
  const { device, pd, qp } = scene();
  const other = open();
  const mr = pd.regUserMr(new Uint8Array(64), { access: Access.RemoteRead });
  const { ticks, catchUp } = watch(device);
  pd.check({ addr: mr.start, length: 65, lkey: mr.lkey }, 0);
  qp.check({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, Access.RemoteWrite);
  other.allocPd().check({ addr: 0, length: 1, lkey: mr.lkey }, 0); // of another device
  while (!ticks.some(({ refusals }) => refusals)) await settle();
  expect(catchUp().refusals).toMatchObject([
    {
      n: 1,
      reason: 'OutOfBounds',
      method: 'ProtectionDomain.check',
      operation: 'lkey_ok',
      count: 1,
      address: `0x${mr.start.toString(16)}`,
      length: 65,
      key: `0x${mr.lkey.toString(16)}`,
      access: 0,
      remote: false,
      pd: pd.id,
      text: expect.stringMatching(/^OutOfBounds: .*1 byte past the last byte: region 1/),
    },
    { n: 2, reason: 'AccessDenied', qp: qp.id, remote: true, text: expect.stringContaining('RemoteWrite') },
  ]);
  for (let i = 0; i < 1000; i++) pd.check({ addr: mr.start, length: 65, lkey: mr.lkey }, 0);
  while (!ticks.some(({ unexplained }) => unexplained)) await settle();
  const state = catchUp();
  expect(state.unexplained).toBe(1000 - MOST_EXPLAINED);
  expect(state.refusals).toHaveLength(2 + MOST_EXPLAINED);
  expect(state.counters.reasons).toEqual({ OutOfBounds: 1001, AccessDenied: 1 });
});

test('the newest refusals are kept for those who come later, until nobody looks', async () => {
  const { device, pd } = scene();
  const { watcher, catchUp } = watch(device);
  for (let i = 0; i < 30; i++) {
    for (let k = 0; k < MOST_EXPLAINED; k++) pd.check({ addr: 0, length: 1, lkey: 0xff_ffffff as never }, 0);
    const last = (i + 1) * MOST_EXPLAINED;
    while (catchUp().refusals.at(-1)?.n !== last) await settle();
  }
  const again = watcher.start()!;
  expect(again.refusals).toHaveLength(MOST_REFUSALS);
  expect(again.refusals.at(-1)?.n).toBe(30 * MOST_EXPLAINED);
  expect(catchUp().refusals).toEqual(again.refusals);
  watcher.stop();
  expect(watcher.state()).toBeUndefined();
  expect(watcher.start()!.refusals).toEqual([]);
});

test('an explanation that throws is counted, and does not reach the program', async () => {
  const { device } = scene();
  const { ticks } = watch(device);
  const message = {
    device: device.toJSON().id,
    explain: () => {
      throw new Error('no');
    },
  };
  channel('rdmavt:refused').publish(message);
  channel('rdmavt:refused').publish({});
  while (!ticks.some(({ unexplained }) => unexplained)) await settle();
  expect(ticks.find(({ unexplained }) => unexplained)?.unexplained).toBe(1);
});

test('a closed device ends the watch', async () => {
  const { device } = scene();
  const { watcher, ends } = watch(device);
  device.close({ cascade: true });
  while (ends() === 0) await settle();
  await settle();
  expect([ends(), watcher.isWatching, watcher.start()]).toEqual([1, false, undefined]);
});

test('without memory for a report, the next one is tried', async () => {
  const { device } = scene();
  const source = sourceOf(device);
  let failures = 0;
  const { ticks } = watch(device, {
    ...source,
    read: () => {
      if (failures-- > 0) throw new Error('ENOMEM');
      return source.read();
    },
  });
  failures = 3;
  device.allocPd();
  while (!ticks.some(({ totals }) => totals?.pds === 2)) await settle();
  expect(failures).toBeLessThan(0);
});

test('a look that takes long is followed by a pause that keeps it below 5 %', async () => {
  const { device } = scene();
  let used = 0;
  let looks = 0;
  const source = sourceOf(device);
  const watcher = new Watcher(
    { ...source, read: () => ((used += 1000), looks++, source.read()) },
    { intervalMs: 20, ref: false, used: () => used, now: () => used },
    { tick: () => undefined, end: () => undefined },
  );
  watchers.push(watcher);
  watcher.start(); // the first look is for the state
  await new Promise((resolve) => setTimeout(resolve, 400));
  expect(looks).toBe(2); // the next one is due in 20 seconds
});

describe('reports that use memory again', () => {
  const wordsOf = (report: Report): unknown => ({
    ...Object.fromEntries(Object.entries(report.lists).map(([name, { words }]) => [name, [...words]])),
    totals: report.totals,
  });

  test('say the same as fresh ones, in the memory of the old one while there is room', () => {
    const { device, pd } = scene();
    const source = sourceOf(device);
    const held: MemoryRegion[] = [];
    let old: Report | undefined;
    let reused = 0;
    for (const count of [5, 6, 6, 40, 44, 3, 50, 2000, 2001, 0, 1]) {
      while (held.length < count) held.push(pd.regUserMr(Buffer.alloc(16), { access: Access.LocalWrite }));
      while (held.length > count) held.pop()!.dereg();
      const before = old?.lists.regions.words.buffer;
      const report: Report = source.read(old)!;
      expect(wordsOf(report)).toEqual(wordsOf(source.read()!));
      if (before === report.lists.regions.words.buffer) reused++;
      old = report;
    }
    expect(reused).toBeGreaterThanOrEqual(6);
  });

  test('write into nothing but plain memory of the right type', () => {
    const { device } = scene();
    const { native } = homeOfDevice(device)!;
    const rowsOf = (...reused: unknown[]): readonly BigUint64Array[] => {
      const rows = native.resources(...(reused as BigUint64Array[]));
      if (typeof rows === 'number') throw new Error('no rows');
      return rows;
    };
    const plain = rowsOf();
    const detached = new BigUint64Array(1000);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const shared = new BigUint64Array(new SharedArrayBuffer(8000));
    const others = [new BigInt64Array(1000), new Float64Array(1000), new DataView(new ArrayBuffer(8000))];
    for (const wrong of [detached, shared, ...others, [], {}, null, 7, 'rows', new BigUint64Array()]) {
      const rows = rowsOf(...plain.map(() => wrong));
      expect(rows.map((array) => [...array])).toEqual(plain.map((array) => [...array]));
      const buffers = rows.map(({ buffer }) => buffer);
      expect(new Set(buffers).size).toBe(rows.length);
    }
    expect(shared.every((word) => word === 0n)).toBe(true);
    // An array in the middle of a buffer: nothing before or behind it is written, also if the rows do not fit.
    const arena = new BigUint64Array(1000);
    const middle = arena.subarray(100, 100 + plain[0]!.length);
    for (const view of [middle, middle.subarray(1)]) {
      arena.fill(7n);
      const [first] = rowsOf(view);
      expect([first!.buffer === arena.buffer, [...first!]]).toEqual([view === middle, [...plain[0]!]]);
      expect([...arena].filter((word, i) => word !== 7n && (i < 100 || i >= 100 + middle.length))).toEqual(
        [],
      );
    }
    // The same array for every kind: the kinds overwrite each other's rows, but nothing outside of the array.
    arena.fill(7n);
    const one = arena.subarray(100, 200);
    expect(rowsOf(...plain.map(() => one)).map(({ length }) => length)).toEqual(
      plain.map(({ length }) => length),
    );
    expect([...arena].filter((word, i) => word !== 7n && (i < 100 || i >= 200))).toEqual([]);
  });
});

test('objects beyond the limit are only counted', () => {
  const { device } = scene();
  const source = sourceOf(device);
  const width = 4;
  const rows = (count: number) => ({ words: new Uint32Array(count * width), width, count });
  const watcher = new Watcher(
    {
      ...source,
      kinds: {
        ...source.kinds,
        completionQueues: {
          id: 0,
          view: (_, row) => ({ id: row, cqe: 1, held: 0, users: 0, broken: false }),
        },
      },
      read: () => {
        const report = source.read()!;
        return {
          ...report,
          lists: { ...report.lists, completionQueues: rows(MOST_LISTED + 5) },
          totals: { ...report.totals, completionQueues: MOST_LISTED + 5 },
        };
      },
    },
    { intervalMs: 20, ref: false },
    { tick: () => undefined, end: () => undefined },
  );
  watchers.push(watcher);
  const state = watcher.start()!;
  expect([state.completionQueues.length, state.totals.completionQueues]).toEqual([
    MOST_LISTED,
    MOST_LISTED + 5,
  ]);
});

test('an object restricted to a domain sees that domain only', () => {
  const { device, pd } = scene();
  const other = device.allocPd();
  other.regUserMr(new Uint8Array(8), { access: 1 });
  const mine = pd.regUserMr(new Uint8Array(8), { access: 1 });
  const restricted = Device.attach(device.share({ pd }));
  const { first } = watch(restricted);
  expect(first!.device.onlyPd).toBe(pd.id);
  expect(first!.regions.map(({ id }) => id)).toEqual([Number(/#(\d+)/.exec(String(mine))![1])]);
  expect(first!.counters.completions).toBeNull();
  restricted.detach();
});

test('memory windows and leases are shown with their regions, and have slots of the key table', async () => {
  const { device, pd } = scene();
  const cq = device.createCq(16);
  const [a, b] = [pd.createQp({ type: 'RC', sendCq: cq }), pd.createQp({ type: 'RC', sendCq: cq })];
  a.connect(b, { access: Access.RemoteRead });
  const access = Access.MwBind | Access.RemoteRead;
  const mr = pd.regUserMr(new Uint8Array(4096), { access, iova: 0x1000n });
  const mw = pd.allocMw();
  const { catchUp } = watch(device);
  expect([...catchUp().windows.values()]).toMatchObject([{ kind: 'WINDOW', region: 0, pd: pd.id }]);
  const lease = mr.advertise({ offset: 16, length: 64, expiresInMs: 60_000 });
  a.postSend({
    opcode: 'BIND_MW',
    mw,
    mr,
    addr: 0x1100n,
    length: 256,
    access: Access.RemoteRead,
    key: mw.nextRkey,
  });
  const of = (kind: string) => [...catchUp().windows.values()].find((window) => window.kind === kind);
  for (let i = 0; i < 200 && (of('WINDOW')?.region === 0 || of('LEASE') === undefined); i++) await settle();
  const region = [...catchUp().regions.keys()][0];
  const common = { region, pd: pd.id, access: Access.RemoteRead };
  expect(of('WINDOW')).toMatchObject({
    ...common,
    iova: '0x1100',
    length: 256,
    qp: a.id,
    key: `0x${mw.rkey.toString(16)}`,
  });
  expect(of('WINDOW')).not.toHaveProperty('msLeft');
  expect(of('LEASE')).toMatchObject({
    ...common,
    iova: '0x1010',
    length: 64,
    key: `0x${lease.rkey.toString(16)}`,
  });
  const { msLeft = 0 } = of('LEASE')!;
  expect(msLeft).toBeLessThanOrEqual(60_000);
  for (let i = 0; i < 200 && of('LEASE')!.msLeft === msLeft; i++) await settle();
  expect(of('LEASE')!.msLeft).toBeLessThan(msLeft);
  const { keys, totals } = catchUp();
  expect([keys.used, keys.cells.reduce((sum, count) => sum + count), totals.windows]).toEqual([3, 3, 2]);
  lease.revoke();
  for (let i = 0; i < 200 && of('LEASE') !== undefined; i++) await settle();
  expect([of('LEASE'), catchUp().keys.used]).toEqual([undefined, 2]);
});

describe('the grid of the key table', () => {
  test.each([1, 4, 11, 12, 16, 23])('counts the slots of a table of 2^%i', (bits) => {
    const device = open({ lkeyTableBits: bits });
    const pd = device.allocPd();
    const mrs = Array.from({ length: Math.min(2 ** bits - 1, 300) }, () =>
      pd.regUserMr(new Uint8Array(8), { access: 1 }),
    );
    const sge = accepted(pd.acquire({ addr: mrs[0]!.start, length: 8, lkey: mrs[0]!.lkey }, 0));
    expect(() => mrs[0]!.dereg()).toThrow(); // half-dead: its key is not in the table
    const { first } = watch(device);
    const { cells, perCell, used, max } = first!.keys;
    expect([used, max, cells.length * perCell]).toEqual([mrs.length - 1, 2 ** bits, 2 ** bits]);
    expect(cells.length).toBeLessThanOrEqual(MOST_CELLS);
    expect(perCell).toBe(slotsPerCell(bits));
    const wanted = new Array<number>(cells.length).fill(0);
    for (const { index } of device.keyTable().used) wanted[Math.floor(index / perCell)]!++;
    expect(cells).toEqual(wanted);
    sge.put();
  });

  test('leaves out key 0 and objects without keys', () => {
    const rows = { words: Uint32Array.of(0, 0, 1, 0, 0x8000_0000, 0, 2, 0), width: 4, count: 2 };
    expect(keyFill(1, [[{ key: 0 }, rows]])).toEqual([0, 1]);
    expect(keyFill(1, [[{}, rows]])).toEqual([0, 0]);
    expect(keyFill(1, [[{ key: 0, withoutKey: 1 }, rows]])).toEqual([0, 0]);
    expect(changedCells([1, 2, 3], [1, 5, 0])).toEqual([1, 5, 2, 0]);
  });
});
