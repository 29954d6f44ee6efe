// Objects and lists whose getters have side effects: at each property read of each call, the getter closes, puts, detaches or
// uses something that the call needs.
import { Device, FastMemoryRegion, type Sge, SgeState } from '../../lib';
import { detach, expectOnly, fillRim, told } from '../support/reach';
import { accepted } from '../support/answers';
import { ALL, DMA, PAGE, scene } from '../support/scene';

const FROM = 64;
const SIZE = 64;

/** Creates one object of every class, over memory with guard bytes, and memory to pass as arguments. */
function world() {
  const all = scene({ trusted: true, remoteKeyZero: true, lkeyTableBits: 5 });
  const { device, pd } = all;
  const buffer = new ArrayBuffer(FROM + SIZE + 64);
  const passed = new ArrayBuffer(FROM + SIZE + 64);
  for (const memory of [buffer, passed]) fillRim(memory);
  const bytes = new Uint8Array(passed, FROM, SIZE);
  const mapping = device.dma.map(Buffer.alloc(2 * PAGE), { address: DMA });
  const mr = pd.regUserMr(new Uint8Array(buffer, FROM, SIZE), { start: 0n, iova: 0n, access: ALL });
  const sg = pd.allocMr({ maxNumSg: 4 });
  const fmr = pd.allocFmr({ maxPages: 4, access: ALL });
  const fmr2 = pd.allocFmr({ maxPages: 4, access: ALL });
  fmr.mapPhys([DMA], 0);
  const hold = (): Sge => accepted(pd.acquire({ addr: mr.start, length: SIZE, lkey: mr.lkey }, ALL));
  const sge = hold();
  const second = hold();
  const state = new SgeState([sge, second]);
  const batch = pd.lkeyBatch(4);
  batch.set(0, 0n, SIZE, mr.lkey);
  return { ...all, buffer, passed, bytes, mapping, mr, sg, fmr, fmr2, sge, second, state, batch };
}
type World = ReturnType<typeof world>;

/** What happens at a property read. */
const actions: Record<string, (all: World, again: () => unknown) => unknown> = {
  'closes the device': ({ device }) => device.close({ cascade: true }),
  'deallocates the domain': ({ pd }) => pd.dealloc({ cascade: true }),
  'destroys the queue pair': ({ qp }) => qp.destroy(),
  'deregisters the regions': ({ mr, sg, fmr, fmr2 }) => {
    for (const region of [mr, sg]) region.dereg({ force: true });
    for (const region of [fmr, fmr2]) region.dealloc({ force: true });
  },
  'disposes of the regions': ({ mr, sg, fmr, fmr2 }) => {
    for (const region of [mr, sg, fmr, fmr2]) region[Symbol.dispose]();
  },
  'puts the elements': ({ sge, second }) => {
    sge.put();
    second.put();
  },
  'advances the walk': ({ state }) => state.skip(state.totalLength),
  'detaches the registered memory': ({ buffer }) => detach(buffer),
  'detaches the passed memory': ({ passed }) => detach(passed),
  'unmaps the pages': ({ fmr, mapping }) => {
    fmr.unmap();
    if (mapping.length) told(() => mapping.unmap());
  },
  'makes the same call': (_, again) => told(again),
  'collects garbage': () => {
    (globalThis as { gc?: () => void }).gc?.();
  },
};

interface Method {
  name: string;
  /** The result of the call for each action, at whichever read it happens; `'ok'` where none is given. */
  answers?: Partial<Record<keyof typeof actions, string>>;
  args: (all: World) => unknown[];
  call: (all: World, args: any[]) => unknown;
}

const gone = { 'closes the device': 'EBADF' };
const goneWithDomain = { ...gone, 'deallocates the domain': 'EBADF' };
const goneWithPair = { ...goneWithDomain, 'destroys the queue pair': 'EBADF' };
const revoked = { 'deregisters the regions': 'Revoked', 'disposes of the regions': 'Revoked' };
/** The refusal of checks through a closed domain or queue pair. */
const closed = {
  'closes the device': 'Closed',
  'deallocates the domain': 'Closed',
};
const closedWithPair = { ...closed, 'destroys the queue pair': 'Closed' };
const ended = { 'deregisters the regions': 'EBADF', 'disposes of the regions': 'EBADF' };
const taken = { 'detaches the passed memory': 'EINVAL' };
const dead = {
  'closes the device': 'RegionRevoked',
  'deallocates the domain': 'RegionRevoked',
  'deregisters the regions': 'RegionRevoked',
  'disposes of the regions': 'RegionRevoked',
};
const lost = { 'detaches the registered memory': 'MemoryDetached' };
const put = { 'puts the elements': 'EBADF' };
const moved = { 'puts the elements': 'RegionRevoked', 'advances the walk': 'ERR_OUT_OF_RANGE' };
const unmapped = { 'unmaps the pages': 'EINVAL' };

const methods: Method[] = [
  {
    name: 'new Device',
    args: () => [{ lkeyTableBits: 4, keyPolicy: 'random', remoteKeyZero: true }],
    call: (_, [options]) => new Device(options).close(),
  },
  {
    name: 'Device.attach',
    answers: { 'closes the device': 'ENODEV' },
    args: () => [{ captureStacks: true, reportLeaks: false }],
    call: ({ device }, [options]) => {
      const attached = Device.attach(device.share(), options);
      attached.keyTable();
      attached.detach();
    },
  },
  {
    name: 'device.detach',
    args: () => [{ cascade: true }],
    call: ({ device }, [options]) => device.detach(options),
  },
  {
    name: 'allocDm',
    answers: gone,
    args: () => [8, { hugePages: false }],
    call: ({ device }, [length, options]) => device.allocDm(length, options),
  },
  {
    name: 'counters',
    answers: gone,
    args: () => [{ own: true }],
    call: ({ device }, [options]) => device.counters(options),
  },
  {
    name: 'allocPd',
    answers: gone,
    args: () => [{ trusted: true }],
    call: ({ device }, [options]) => device.allocPd(options),
  },
  {
    name: 'device.close',
    args: () => [{ cascade: true }],
    call: ({ device }, [options]) => device.close(options),
  },
  {
    name: 'dma.map',
    answers: { ...gone, ...taken },
    args: ({ bytes }) => [bytes, { address: undefined }],
    call: ({ device }, [memory, options]) => device.dma.map(memory, options),
  },
  {
    name: 'regUserMr',
    answers: { ...goneWithDomain, ...taken },
    args: ({ bytes }) => [bytes, { start: undefined, iova: 0n, access: 1 }],
    call: ({ pd }, [memory, options]) => pd.regUserMr(memory, options),
  },
  {
    name: 'getDmaMr',
    answers: goneWithDomain,
    args: () => [{ access: 0 }],
    call: ({ pd }, [options]) => pd.getDmaMr(options).dereg(),
  },
  {
    name: 'allocMr',
    answers: goneWithDomain,
    args: () => [{ maxNumSg: 1, type: 'MEM_REG' }],
    call: ({ pd }, [options]) => pd.allocMr(options),
  },
  {
    name: 'allocFmr',
    answers: goneWithDomain,
    args: () => [{ access: 1, maxPages: 1, maxMaps: 1, pageShift: 12 }],
    call: ({ pd }, [options]) => pd.allocFmr(options),
  },
  {
    name: 'acquire',
    answers: { ...closed, ...revoked },
    args: ({ mr, sge }) => [{ addr: 0n, length: 8, lkey: mr.lkey }, 1, { last: sge }],
    call: ({ pd }, [element, access, options]) => need(pd.acquire(element, access, options)),
  },
  {
    name: 'check',
    answers: { ...closed, ...revoked },
    args: ({ mr }) => [{ addr: 0n, length: 8, lkey: mr.lkey }, 1],
    call: ({ pd }, [element, access]) => need(pd.check(element, access)),
  },
  {
    name: 'lkeyBatch',
    answers: goneWithDomain,
    args: () => [4, { places: true }],
    call: ({ pd }, args) => pd.lkeyBatch(args[0], args[1]),
  },
  { name: 'dealloc', args: () => [{ cascade: true }], call: ({ pd }, [options]) => pd.dealloc(options) },
  {
    name: 'acquire',
    answers: { ...closedWithPair, ...revoked },
    args: ({ mr }) => [{ vaddr: 0n, length: 8, rkey: mr.rkey }, 4],
    call: ({ qp }, [request, access]) => need(qp.acquire(request, access)),
  },
  {
    name: 'check',
    answers: { ...closedWithPair, ...revoked },
    args: ({ mr }) => [{ vaddr: 0n, length: 8, rkey: mr.rkey }, 4],
    call: ({ qp }, [request, access]) => need(qp.check(request, access)),
  },
  {
    name: 'rkeyBatch',
    answers: goneWithPair,
    args: () => [4, { places: true }],
    call: ({ qp }, args) => qp.rkeyBatch(args[0], args[1]),
  },
  {
    name: 'fastRegMr',
    answers: { ...goneWithPair, ...ended },
    args: ({ sg }) => [{ key: sg.rkey, access: 1, iova: 0n }],
    call: ({ qp, sg }, [options]) => qp.fastRegMr(sg, options),
  },
  {
    name: 'mapSg',
    answers: { ...goneWithDomain, ...ended, ...unmapped },
    args: () => [
      [
        { addr: DMA, length: PAGE },
        { addr: DMA + BigInt(PAGE), length: 8 },
      ],
      { offset: 0, pageSize: 4096 },
    ],
    call: ({ sg }, [list, options]) => sg.mapSg(list, options),
  },
  { name: 'dereg', args: () => [{ force: true }], call: ({ mr }, [options]) => mr.dereg(options) },
  {
    name: 'deregAsync',
    args: () => [{ timeoutMs: 0 }],
    call: ({ sg }, [options]) => void sg.deregAsync(options).catch(() => {}),
  },
  {
    name: 'mapPhys',
    answers: { ...goneWithDomain, ...ended, ...unmapped },
    args: () => [[DMA, DMA + 8n, DMA], 0n],
    call: ({ fmr2 }, [list, iova]) => fmr2.mapPhys(list, iova),
  },
  {
    name: 'FastMemoryRegion.unmap',
    answers: { ...goneWithDomain, ...ended },
    args: ({ fmr, fmr2 }) => [[fmr, fmr2, fmr]],
    call: (_, [list]) => FastMemoryRegion.unmap(list),
  },
  { name: 'fmr.dealloc', args: () => [{ force: true }], call: ({ fmr }, [options]) => fmr.dealloc(options) },
  {
    name: 'deallocAsync',
    args: () => [{ timeoutMs: 0 }],
    call: ({ fmr }, [options]) => void fmr.deallocAsync(options).catch(() => {}),
  },
  {
    name: 'copyTo',
    answers: { ...dead, ...lost, ...taken, ...put },
    args: ({ bytes }) => [bytes, { offset: 8 }],
    call: ({ sge }, [memory, options]) => sge.copyTo(memory, options),
  },
  {
    name: 'copyFrom',
    answers: { ...dead, ...lost, ...taken, ...put },
    args: ({ bytes }) => [bytes, { offset: 0, ordered: true }],
    call: ({ sge }, [memory, options]) => sge.copyFrom(memory, options),
  },
  {
    name: 'new SgeState',
    answers: put,
    args: ({ sge, second }) => [[sge, second, sge]],
    call: (_, [list]) => new SgeState(list),
  },
  {
    name: 'update',
    answers: { 'advances the walk': 'EINVAL' },
    args: () => [8, { put: true }],
    call: ({ state }, [length, options]) => state.update(length, options),
  },
  {
    name: 'skip',
    answers: { 'advances the walk': 'EINVAL', 'makes the same call': 'EINVAL' },
    args: () => [80, { put: true }],
    call: ({ state }, [length, options]) => state.skip(length, options),
  },
  {
    name: 'copyIn',
    answers: { ...dead, ...lost, ...taken, ...moved },
    args: ({ bytes }) => [bytes, { put: true, ordered: true }],
    call: ({ state }, [memory, options]) => state.copyIn(memory, options),
  },
  {
    name: 'copyOut',
    answers: { ...dead, ...lost, ...taken, ...moved },
    args: ({ bytes }) => [bytes, { put: true }],
    call: ({ state }, [memory, options]) => state.copyOut(memory, options),
  },
  {
    name: 'walk',
    answers: {
      ...dead,
      ...moved,
      'advances the walk': 'EINVAL',
      'makes the same call': 'EINVAL',
    },
    args: () => [[8, 60, 4], { put: true }],
    call: ({ state }, [steps, options]) => state.walk(steps, options),
  },
  {
    name: 'acquire',
    answers: { ...closed, ...revoked, 'makes the same call': 'EBUSY' },
    args: ({ sge }) => [1, 1, { coalesce: true, last: sge }],
    call: ({ batch }, [count, access, options]) =>
      need({ ok: batch.acquire(count, access, options) > 0, reason: batch.firstReason }),
  },
];

/** Throws the refusal of a check. */
function need(check: { ok: boolean; reason?: unknown; sge?: Sge }): void {
  if (!check.ok) throw Object.assign(new Error('refused'), check);
  check.sge?.put();
}

/** Proxy traps besides `get` that a call may trigger on an options object: to list the names and to find the owner of each name. */
const askedOfOptions = ['ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor'];

/**
 * Wraps plain objects and arrays in the arguments in Proxies. Each property read, and each listing of the names of an options
 * object, calls `onRead`. Any other operation is recorded in `asked`.
 */
function watched(args: unknown[], onRead: (what: string) => void): { args: unknown[]; asked: string[] } {
  const asked: string[] = [];
  const wrap = (value: unknown, path: string): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return value;
    // Requests, elements and lists are on the hot path: their properties are read, but their names are never listed.
    const isOptions = !Array.isArray(value) && !('addr' in value) && !('vaddr' in value);
    const handler = Object.fromEntries(
      Object.getOwnPropertyNames(Reflect).map((trap) => [
        trap,
        (...rest: any[]) => {
          if (!isOptions || !askedOfOptions.includes(trap)) asked.push(`${trap} ${path}`);
          else if (trap === 'ownKeys') onRead(`the names of ${path}`);
          return (Reflect as any)[trap](...rest);
        },
      ]),
    );
    handler.get = (target: object, property: string) => {
      const name = `${path}.${property}`;
      onRead(name);
      return wrap(Reflect.get(target, property), name);
    };
    return new Proxy(value, handler);
  };
  return { args: args.map((value, i) => wrap(value, String(i))), asked };
}

const RIM = 0xa5;

/** Expects the bytes around the registered and the passed memory to be unchanged. */
function expectRims({ buffer, passed }: World): void {
  for (const memory of [buffer, passed]) {
    if (!memory.byteLength) continue; // The memory was detached.
    new Uint8Array(memory, FROM, SIZE).fill(RIM);
    expectOnly(memory, 0, 0, RIM);
  }
}

/** Closes what a call and its reads left behind, and expects correct reference counts if the region is open. */
function expectEnd({ device, mr, sge, second, batch }: World): void {
  sge.put();
  second.put();
  batch.put();
  if (mr.state === 'Valid') expect(mr.refs).toBe(2);
  device.close({ cascade: true });
  expect(mr.state).toBe('Closed');
}

describe.each(methods)('$name, when reading an argument', ({ args, call, answers = {} }) => {
  const all = world();
  const reads: string[] = [];
  const { args: plain, asked } = watched(args(all), (what) => reads.push(what));
  const first = told(() => call(all, plain));

  test('reads each property once, and lists the names of options once', () => {
    expect(first).toBe('ok');
    expect(asked).toEqual([]);
    expect(reads.length).toBeGreaterThan(0);
    expect(reads).toEqual([...new Set(reads)]);
  });

  test.each(Object.keys(actions))('%s: the call still gives the expected result or error', (action) => {
    for (const [at, what] of reads.entries()) {
      const one = world();
      let count = 0;
      const evil = watched(args(one), () => {
        if (count++ === at) actions[action]!(one, () => call(one, args(one)));
      });
      expect([what, told(() => call(one, evil.args))]).toEqual([what, answers[action] ?? 'ok']);
      expect([count, evil.asked]).toEqual([reads.length, []]);
      expectRims(one);
      expectEnd(one);
    }
  });

  test('throws: the call throws the same error and changes nothing', () => {
    for (const at of reads.keys()) {
      const one = world();
      const boom = new Error('boom');
      let count = 0;
      const evil = watched(args(one), () => {
        if (count++ === at) throw boom;
      });
      const before = [
        one.device.keyTable(),
        one.mr.refs,
        one.state.totalLength,
        one.fmr.length,
        one.sg.length,
      ];
      expect(() => call(one, evil.args)).toThrow(boom);
      expect([
        one.device.keyTable(),
        one.mr.refs,
        one.state.totalLength,
        one.fmr.length,
        one.sg.length,
      ]).toEqual(before);
      expectRims(one);
      expectEnd(one);
    }
  });
});

describe('lists with false lengths', () => {
  /** Returns an array that claims to have another length. */
  const long = (length: unknown, element: unknown): any =>
    new Proxy([], { get: (_, property) => (property === 'length' ? length : element) });

  const takers: [string, unknown, (all: World, list: any) => unknown][] = [
    ['list', { addr: DMA, length: 8 }, ({ sg }, list) => sg.mapSg(list)],
    ['pageList', DMA, ({ fmr2 }, list) => fmr2.mapPhys(list, 0)],
    ['list', 'an FMR', (_, list) => FastMemoryRegion.unmap(list)],
    ['sges', 'an element', (_, list) => new SgeState(list)],
    ['steps', 1, ({ state }, list) => state.walk(list)],
  ];

  test.each(takers)('%s: invalid lengths are rejected with ERR_OUT_OF_RANGE', (name, element, take) => {
    const all = world();
    for (const length of [-1, 1.5, NaN, Infinity, 2 ** 53, 2 ** 32]) {
      const use = (): unknown => take(all, long(length, element));
      expect([length, told(use)]).toEqual([length, 'ERR_OUT_OF_RANGE']);
      expect(use).toThrow(`"${name}.length"`);
    }
    const wrong: unknown[] = [undefined, null, '2', 2n, {}, new SharedArrayBuffer(64), { valueOf: () => 2 }];
    for (const length of wrong) {
      expect(told(() => take(all, long(length, element)))).toBe('ERR_INVALID_ARG_TYPE');
    }
    expectEnd(all);
  });

  test.each(takers)('%s: a sparse list is rejected at its first hole', (name, _, take) => {
    const all = world();
    const sparse: unknown[] = [];
    for (sparse.length of [1, 3, 100_000]) {
      expect(told(() => take(all, sparse))).toBe('ERR_INVALID_ARG_TYPE');
      expect(() => take(all, sparse)).toThrow(`${name}[0]`);
    }
    expectEnd(all);
  });

  test('a sparse list of maximum length is not copied before it is checked', () => {
    const all = world();
    const sparse: unknown[] = [];
    sparse.length = 2 ** 32 - 1;
    for (const use of [
      () => FastMemoryRegion.unmap(sparse as any),
      () => new SgeState(sparse as any),
      () => all.fmr2.mapPhys(sparse as any, 0),
    ]) {
      expect(told(use)).toBe('ERR_INVALID_ARG_TYPE');
    }
    expect(told(() => all.sg.mapSg(sparse as any))).toBe('ERR_OUT_OF_RANGE');
    sparse.length = 2 ** 31 - 1;
    expect(told(() => all.sg.mapSg(sparse as any))).toBe('ERR_INVALID_ARG_TYPE');
    for (const steps of [sparse as any, new Uint32Array(2 ** 20 + 1)]) {
      expect(told(() => all.state.walk(steps))).toBe('ERR_OUT_OF_RANGE');
    }
    expectEnd(all);
  });

  test('typed lists with false properties are used with their real contents', () => {
    const all = world();
    const lying = (Type: any): any =>
      class extends Type {
        get length() {
          return 1 << 20;
        }
        get byteLength() {
          return 1 << 23;
        }
        get buffer() {
          throw new Error('must not be read');
        }
        [Symbol.iterator]() {
          throw new Error('must not be read');
        }
        static get [Symbol.species]() {
          throw new Error('must not be read');
        }
      };
    const [Longs, Words] = [lying(BigUint64Array), lying(Uint32Array)];
    expect(all.sg.mapSg(Longs.of(DMA, 8n))).toBe(1);
    expect(all.sg.length).toBe(8);
    all.fmr2.mapPhys(Longs.of(DMA, DMA), 0);
    expect(all.fmr2.length).toBe(2 * PAGE);
    expect(all.state.walk(Words.of(8, 8)).map((fragments) => fragments.length)).toEqual([1, 1]);
    expectEnd(all);
  });

  test('revoked Proxies are rejected with a TypeError at every read', () => {
    for (const { args, call } of methods) {
      const one = world();
      const plain = args(one);
      for (const [i, value] of plain.entries()) {
        if (typeof value !== 'object' || ArrayBuffer.isView(value)) continue;
        const { proxy, revoke } = Proxy.revocable(value!, {});
        revoke();
        expect(() => call(one, Object.assign([...plain], { [i]: proxy }))).toThrow(TypeError);
      }
      expectEnd(one);
    }
  });
});
