// Handles that are forged, copied, of another device, of another realm, or of another copy of this package; and what the native
// objects behind them do when they are called directly.
import { runInNewContext } from 'node:vm';
import * as rdmavt from '../../lib';
import {
  Checker,
  Device,
  DmaMapping,
  DmaSpace,
  FastMemoryRegion,
  MemoryRegion,
  ProtectionDomain,
  QueuePair,
  Sge,
  CheckBatch,
  SgeState,
} from '../../lib';
import { told, toldAll } from '../support/reach';
import { accepted, rdma, wrongType } from '../support/answers';
import { runProgram } from '../support/programs';
import { ALL, DMA, dmaPages, PAGE, scene } from '../support/scene';

/** One of each class. */
function everything() {
  const { device, pd, qp } = scene({ lkeyTableBits: 5 });
  dmaPages(device, 2);
  const mr = pd.regUserMr(Buffer.alloc(64), { access: ALL });
  const sg = pd.allocMr({ maxNumSg: 4 });
  const fmr = pd.allocFmr({ maxPages: 4, access: ALL });
  fmr.mapPhys([DMA], 0);
  const sge = accepted(qp.acquire({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, ALL));
  const mapping = device.dma.map(Buffer.alloc(8));
  const state = new SgeState([accepted(pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0))]);
  const batch = pd.lkeyBatch(4);
  batch.set(0, mr.start, 8, mr.lkey);
  const block = qp.checker();
  return { device, dma: device.dma, pd, qp, mr, sg, fmr, sge, mapping, state, batch, block };
}
type All = ReturnType<typeof everything>;

const classes: [string, any, (all: All) => any][] = [
  ['Device', Device, ({ device }) => device],
  ['DmaSpace', DmaSpace, ({ dma }) => dma],
  ['DmaMapping', DmaMapping, ({ mapping }) => mapping],
  ['ProtectionDomain', ProtectionDomain, ({ pd }) => pd],
  ['QueuePair', QueuePair, ({ qp }) => qp],
  ['MemoryRegion', MemoryRegion, ({ sg }) => sg],
  ['FastMemoryRegion', FastMemoryRegion, ({ fmr }) => fmr],
  ['Sge', Sge, ({ sge }) => sge],
  ['SgeState', SgeState, ({ state }) => state],
  ['CheckBatch', CheckBatch, ({ batch }) => batch],
  ['Checker', Checker, ({ block }) => block],
];

/** The symbols of disposal have other names in early versions of Node. */
const nameOf = (name: string | symbol): string =>
  String(name).replace(/^Symbol\((Symbol|nodejs)\.(\w+)\)$/, '@@$2');

/** Every method and getter of a class, by name, with arguments that mean something. */
function members(prototype: any): [name: string, use: (self: unknown) => unknown][] {
  // A batch wants a count; a domain and a queue pair can read the same request.
  const request = { addr: 0, vaddr: 0, length: 0, lkey: 256, rkey: 256 };
  const judged = prototype === CheckBatch.prototype ? [1, 0] : [request, 4];
  const args: Record<string, unknown[]> = {
    importPd: [1],
    importDm: [1],
    allocDm: [4096],
    map: [Buffer.alloc(8)],
    regUserMr: [Buffer.alloc(8)],
    allocMr: [{ maxNumSg: 1 }],
    allocFmr: [{ maxPages: 1 }],
    acquire: judged,
    check: judged,
    lkeyBatch: [1],
    rkeyBatch: [1],
    mapSg: [[{ addr: DMA, length: 8 }]],
    mapPhys: [[DMA], 0],
    copyTo: [Buffer.alloc(8)],
    copyFrom: [Buffer.alloc(8)],
    copyIn: [Buffer.alloc(8)],
    copyOut: [Buffer.alloc(8)],
    fetchAdd: [1],
    compareSwap: [1, 1],
    walk: [[8]],
    nextLength: [8],
    update: [8],
    skip: [8],
    hasLkey: [256],
    invalidateRkey: [256],
    refusal: [1, 0, 0, 0],
    checkPacked: [Buffer.alloc(16), 0],
    set: [0, 0, 0, 0],
    take: [0],
    gather: [Buffer.alloc(8), 1, 0],
    scatter: [Buffer.alloc(8), 1, 1],
    reason: [0],
  };
  const found: [string, (self: unknown) => unknown][] = [];
  for (let level = prototype; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const name of Reflect.ownKeys(level)) {
      const { value, get } = Object.getOwnPropertyDescriptor(level, name)!;
      if (name === 'constructor') continue;
      const call = get ?? value;
      found.push([nameOf(name), (self) => Reflect.apply(call, self, args[nameOf(name)] ?? [])]);
    }
  }
  return found;
}

/** Without the two that only look at public properties, which everybody may have. */
const members2 = (type: any) =>
  members(type.prototype).filter(
    ([name]) => name !== 'fastRegMr' && !(type === CheckBatch && ['set', 'reason'].includes(name)),
  );

describe.each(classes)('%s', (name, type, find) => {
  const forgeries: [string, (real: any) => unknown][] = [
    ['an object with its prototype', () => Object.create(type.prototype)],
    ['an object that inherits from a real one', (real) => Object.create(real)],
    [
      'an object with its prototype and its properties',
      (real) => Object.create(type.prototype, Object.getOwnPropertyDescriptors(real)),
    ],
    ['a copy by Object.assign', (real) => Object.assign(Object.create(type.prototype), real)],
    ['a copy by spread', (real) => ({ ...real })],
    [
      'a structured clone with its prototype',
      (real) => Object.setPrototypeOf(structuredClone(real), type.prototype),
    ],
    [
      'what JSON made of it',
      (real) =>
        Object.setPrototypeOf(
          JSON.parse(
            JSON.stringify(real, (_, value) =>
              typeof value === 'bigint' || ArrayBuffer.isView(value) ? 'something' : value,
            ),
          ),
          type.prototype,
        ),
    ],
    ['a Proxy of it', (real) => new Proxy(real, {})],
    ['a Proxy of a Proxy of it', (real) => new Proxy(new Proxy(real, {}), {})],
    ['its prototype', () => type.prototype],
    ['its class', () => type],
    [
      'an object of another class that was given its prototype',
      () => {
        const { sge, block } = everything();
        const other = type === Sge ? block : sge;
        return Object.setPrototypeOf(other, type.prototype);
      },
    ],
    ['a Promise of it', (real) => Promise.resolve(real)],
    ['a WeakRef of it', (real) => new WeakRef(real)],
    ['an object of another realm', () => runInNewContext('({})')],
  ];

  test.each(forgeries)('%s is not taken for it', async (_, forge) => {
    const all = everything();
    const forged = forge(find(all));
    for (const [member, use] of members2(type)) {
      const answer = await Promise.resolve()
        .then(() => use(forged))
        .then(
          () => 'ok',
          (error: unknown) => (error as Error).name,
        );
      expect([member, answer]).toEqual([member, 'TypeError']);
    }
    expect(all.mr).toMatchObject({ state: 'Valid', refs: 4 });
  });

  test('methods on nothing, on plain values, and on objects of the other classes are a TypeError', async () => {
    const all = everything();
    const others = classes.filter(([other]) => other !== name).map(([, , findOther]) => findOther(all));
    for (const [member, use] of members2(type)) {
      for (const self of [undefined, null, 0, 1n, 'x', Symbol('x'), true, {}, [], () => {}, ...others]) {
        const kin = name.endsWith('MemoryRegion') && (self === all.sg || self === all.fmr);
        if (kin) continue;
        const answer = await Promise.resolve()
          .then(() => use(self))
          .then(
            () => 'ok',
            (error: unknown) => (error as Error).name,
          );
        expect([member, answer]).toEqual([member, 'TypeError']);
      }
    }
  });

  test('cannot be made with another target, nor taken over by a subclass', () => {
    const all = everything();
    const real = find(all);
    const made: unknown[] = [];
    const attempts: [string, () => unknown][] = [
      ['construct', () => Reflect.construct(type, [real, real, real, real, real])],
      ['another target', () => Reflect.construct(type, [], Object)],
      ['a target with its prototype', () => Reflect.construct(type, [], class extends Array {})],
      ['as the target of a plain class', () => Reflect.construct(Object, [], type)],
      [
        'subclass',
        () =>
          new (class extends (type as new (...args: unknown[]) => object) {})(Symbol('construction'), real),
      ],
      [
        'subclass that looks at itself',
        () =>
          new (class extends type {
            constructor(...args: any[]) {
              try {
                super(...args);
              } finally {
                made.push(told(() => this));
              }
            }
          })(),
      ],
    ];
    for (const [attempt, make] of attempts) {
      let result: any;
      const answer = told(() => {
        result = make();
      });
      if (attempt === 'as the target of a plain class') {
        // An empty object with the prototype, as Object.create gives.
        expect(answer).toBe('ok');
      } else if (name === 'Device' && answer === 'ok') {
        // Devices are for everybody to make; a subclass of one is a device.
        expect(result).toBeInstanceOf(attempt === 'construct' ? Device : Object);
        continue;
      } else {
        expect([attempt, answer]).toEqual([
          attempt,
          name === 'SgeState' || name === 'Device' ? 'ERR_INVALID_ARG_TYPE' : 'ERR_ILLEGAL_CONSTRUCTOR',
        ]);
        continue;
      }
      for (const [member, use] of members2(type)) {
        if (member.includes('Async') || member.includes('async')) continue;
        expect(() => use(result)).toThrow(TypeError);
      }
    }
    expect(made.filter((answer) => answer !== 'ReferenceError')).toHaveLength(name === 'Device' ? 1 : 0);
  });
});

describe('arguments that are objects of this package', () => {
  const takers: [string, (all: All) => object, string, (all: All, value: any) => unknown][] = [
    [
      'fastRegMr',
      ({ sg }) => sg,
      'region',
      ({ qp, device }, v) => qp.fastRegMr(v, { key: device.keyTable().used[1]!.lkey, access: 0 }),
    ],
    ['unmap', ({ fmr }) => fmr, 'list[0]', (_, v) => FastMemoryRegion.unmap([v])],
    ['SgeState', ({ sge }) => sge, 'sges[0]', (_, v) => new SgeState([v])],
    [
      'acquire, last',
      ({ sge }) => sge,
      'options.last',
      ({ pd, mr }, v) => pd.acquire({ addr: mr.start, length: 1, lkey: mr.lkey }, 0, { last: v }),
    ],
    ['acquire, last', ({ sge }) => sge, 'options.last', ({ batch }, v) => batch.acquire(1, 0, { last: v })],
    ['copyTo', ({ batch }) => batch, 'other', ({ pd }, v) => pd.lkeyBatch(1).copyTo(v, 0, 0, 0, 0)],
  ];

  test.each(takers)('%s takes the real one, and nothing that looks like it', (_, find, name, use) => {
    const all = everything();
    const real = find(all);
    const type = real.constructor as any;
    for (const forged of [
      Object.create(type.prototype),
      Object.create(real),
      Object.create(type.prototype, Object.getOwnPropertyDescriptors(real)),
      new Proxy(real, {}),
      { ...real },
      Object.setPrototypeOf({}, real),
      type.prototype,
      classes.map(([, , other]) => other(all)).find((other) => other.constructor !== type),
      runInNewContext('({})'),
    ]) {
      expect(() => use(all, forged)).toThrow(wrongType(`"${name}"`));
    }
    // The prototype is not what makes it what it is.
    Object.setPrototypeOf(real, null);
    expect(told(() => use(all, real))).toBe('ok');
  });

  test('of another device are refused', () => {
    const [here, there] = [everything(), everything()];
    const { mr, pd, qp, sge } = here;
    const element = { addr: mr.start, length: 8, lkey: mr.lkey };
    const before = [here, there].map(({ device }) => device.keyTable());
    expect(() => qp.fastRegMr(there.sg, { key: there.sg.rkey, access: 0, iova: 5n })).toThrow(
      rdma('EINVAL', 'fast_reg_mr'),
    );
    expect(there.sg.iova).toBe(0n);
    expect(() => pd.acquire(element, 0, { last: there.sge })).toThrow(rdma('EINVAL', 'lkey_ok'));
    expect(() => here.batch.acquire(1, 0, { last: there.sge })).toThrow(rdma('EINVAL', 'acquire_batch'));
    for (const list of [
      [sge, there.sge],
      [there.sge, sge],
      [sge, sge, there.sge],
    ]) {
      expect(() => new SgeState(list)).toThrow(rdma('EINVAL', 'sge_state'));
    }
    for (const list of [
      [here.fmr, there.fmr],
      [there.fmr, here.fmr, there.fmr],
    ]) {
      expect(() => FastMemoryRegion.unmap(list)).toThrow(rdma('EINVAL', 'unmap_fmr'));
    }
    expect([here.fmr.length, there.fmr.length]).toEqual([PAGE, PAGE]);
    expect([here, there].map(({ device }) => device.keyTable())).toEqual(before);
    expect([here.mr.refs, there.mr.refs]).toEqual([4, 4]);
    // Even once the devices are closed, which of the two they are of is known.
    there.device.close({ cascade: true });
    expect(() => pd.acquire(element, 0, { last: there.sge })).toThrow(rdma('EINVAL', 'lkey_ok'));
    expect(() => qp.fastRegMr(there.sg, { key: 0 as any, access: 0 })).toThrow(rdma('EINVAL', 'fast_reg_mr'));
  });

  test('of another device: keys of the one mean nothing to the other', () => {
    const [here, there] = [scene(), scene()];
    const [secret, mine] = [Buffer.alloc(64, 0xdd), Buffer.alloc(64, 0x11)];
    const theirs = there.pd.regUserMr(secret, { start: 0n, iova: 0n, access: ALL });
    const mr = here.pd.regUserMr(mine.subarray(0, 32), { start: 0n, iova: 0n, access: ALL });
    expect(mr.lkey).toBe(theirs.lkey); // keys are a device's own
    const sge = accepted(here.pd.acquire({ addr: 0, length: 32, lkey: theirs.lkey }, 1));
    sge.copyFrom(Buffer.alloc(32, 0x22));
    expect(here.pd.check({ addr: 0, length: 33, lkey: theirs.lkey }, 0)).toMatchObject({
      reason: 'OutOfBounds',
    });
    expect(secret.every((byte) => byte === 0xdd)).toBe(true);
    expect([...mine]).toEqual([...Array(32).fill(0x22), ...Array(32).fill(0x11)]);
  });

  test('a copy between batches of two devices reaches what each of them may reach', () => {
    const [here, there] = [scene(), scene()];
    const slabs = [here, there].map(({ pd }, i) => {
      const slab = Buffer.alloc(96, 0xe0 + i);
      const mr = pd.regUserMr(slab.subarray(32, 64), { start: 0n, iova: 0n, access: ALL });
      return { slab, mr };
    });
    const [from, to] = [here, there].map(({ pd }, i) => {
      const batch = pd.lkeyBatch(2);
      batch.set(0, 0n, 32, slabs[i]!.mr.lkey);
      batch.set(1, 0n, 33, slabs[i]!.mr.lkey);
      return batch;
    });
    expect(from!.copyTo(to!, 1, 0, 1, 1)).toBe(32);
    expect([...slabs[1]!.slab]).toEqual([
      ...Array(32).fill(0xe1),
      ...Array(32).fill(0xe0),
      ...Array(32).fill(0xe1),
    ]);
    expect(from!.copyTo(to!, 2, 0, 2, 1)).toBe(32);
    expect([from!.firstReason, from!.firstRefusal]).toEqual(['OutOfBounds', 1]);
    there.device.close({ cascade: true });
    expect(() => from!.copyTo(to!, 1, 0, 1, 1)).toThrow(rdma('EBADF', 'copy_batch'));
    expect(() => to!.copyTo(from!, 1, 0, 1, 1)).toThrow(rdma('EBADF', 'copy_batch'));
    expect([...slabs[0]!.slab]).toEqual(Array(96).fill(0xe0));
  });
});

describe('closed', () => {
  const closings: [string, (all: All) => unknown][] = [
    ['itself', () => undefined],
    ['the queue pair', ({ qp }) => qp.destroy()],
    ['the domain', ({ pd }) => pd.dealloc({ cascade: true })],
    ['the device', ({ device }) => device.close({ cascade: true })],
  ];
  const closers: Record<string, (object: any) => unknown> = {
    Device: (object) => object.close({ cascade: true }),
    DmaMapping: (object) => object.unmap(),
    ProtectionDomain: (object) => object.dealloc({ cascade: true }),
    QueuePair: (object) => object.destroy(),
    MemoryRegion: (object) => object.dereg({ force: true }),
    FastMemoryRegion: (object) => object.dealloc({ force: true }),
    Sge: (object) => object.put(),
    SgeState: (object) => object.put(),
  };
  /** What the members of a closed object answer, where it is not EBADF. */
  const answers: Record<string, Record<string, string>> = {
    Device: { lkeyTableBits: 'ok', dma: 'ok', context: 'ok', close: 'ok', detach: 'ok', '@@dispose': 'ok' },
    DmaSpace: {},
    DmaMapping: { id: 'ok', unmap: 'ok', '@@dispose': 'ok' },
    ProtectionDomain: { id: 'ok', dealloc: 'ok', '@@dispose': 'ok' },
    QueuePair: { id: 'ok', destroy: 'ok', '@@dispose': 'ok' },
    MemoryRegion: { dereg: 'ok', deregAsync: 'ok' },
    FastMemoryRegion: { dealloc: 'ok', deallocAsync: 'ok' },
    Sge: { put: 'ok', '@@dispose': 'ok' },
  };
  const region = { state: 'ok', '@@dispose': 'ok', '@@asyncDispose': 'ok' };

  test.each(['DmaMapping', 'ProtectionDomain', 'QueuePair', 'MemoryRegion', 'FastMemoryRegion'])(
    '%s: every member is EBADF or a no-op, whoever closed it',
    (name) => {
      const [, type, find] = classes.find(([other]) => other === name)!;
      for (const [by, close] of closings) {
        if (by === 'the queue pair' && name !== 'QueuePair') continue;
        if (name === 'DmaMapping' && by !== 'the device' && by !== 'itself') continue;
        const all = everything();
        const object = find(all);
        if (by === 'itself') closers[name]!(object);
        else close(all);
        const expected: Record<string, string> = {
          ...(name.includes('MemoryRegion') ? region : {}),
          ...answers[name],
        };
        for (const [member, use] of members2(type)) {
          expect([by, member, told(() => use(object))]).toEqual([by, member, expected[member] ?? 'EBADF']);
        }
        if (name === 'MemoryRegion') {
          const other = everything();
          const key = other.sg.rkey;
          expect(told(() => other.qp.fastRegMr(object, { key, access: 0 }))).toBe('EINVAL'); // of another device
          expect(told(() => all.qp.fastRegMr(object, { key, access: 0 }))).toBe('EBADF');
        }
        if (name === 'FastMemoryRegion') {
          expect(told(() => FastMemoryRegion.unmap([object]))).toBe('EBADF');
        }
      }
    },
  );

  test('Device and DmaSpace', () => {
    const all = everything();
    const { device, dma } = all;
    device.close({ cascade: true });
    for (const [object, type, expected] of [
      [device, Device, answers.Device!],
      [dma, DmaSpace, answers.DmaSpace!],
    ] as const) {
      for (const [member, use] of members2(type)) {
        expect([member, told(() => use(object))]).toEqual([member, expected[member] ?? 'EBADF']);
      }
    }
  });

  test('elements: EBADF once put; RegionRevoked to the bytes, and still described, when the region is gone', () => {
    const put = everything();
    put.sge.put();
    for (const [member, use] of members2(Sge)) {
      expect([member, told(() => use(put.sge))]).toEqual([member, answers.Sge![member] ?? 'EBADF']);
    }
    for (const [, close] of closings.slice(2)) {
      const all = everything();
      const before = [all.sge.at, all.sge.segmentLength, all.sge.length, all.sge.address];
      close(all);
      expect([all.sge.at, all.sge.segmentLength, all.sge.length, all.sge.address]).toEqual(before);
      expect(all.sge.region).toBe(all.mr);
      expect(
        toldAll([
          ['copyTo', () => all.sge.copyTo(Buffer.alloc(8))],
          ['copyFrom', () => all.sge.copyFrom(Buffer.alloc(8))],
          ['fetchAdd', () => all.sge.fetchAdd(1)],
          ['compareSwap', () => all.sge.compareSwap(1, 1)],
          ['copyOut', () => all.state.copyOut(Buffer.alloc(8))],
          ['walk', () => all.state.walk([8])],
          ['a new walk out', () => new SgeState([all.sge]).copyOut(Buffer.alloc(8))],
          ['a new walk in', () => new SgeState([all.sge]).copyIn(Buffer.alloc(8))],
        ]),
      ).toBe('RegionRevoked');
      all.sge.put();
      expect(told(() => all.sge.at)).toBe('EBADF');
    }
  });

  test('batches and blocks: EBADF when their parent is gone, whatever stands in them', () => {
    for (const [by, close] of closings.slice(1)) {
      const all = everything();
      const remote = all.qp.rkeyBatch(4);
      remote.set(0, all.mr.iova, 8, all.mr.rkey);
      close(all);
      const batches = by === 'the queue pair' ? [remote] : [remote, all.batch];
      for (const batch of batches) {
        expect(
          toldAll(
            [
              ['check', () => batch.check(1, 4)],
              ['check of none', () => batch.check(0, 4)],
              ['checkPacked', () => batch.checkPacked(Buffer.alloc(16), 4)],
              ['acquire', () => batch.acquire(1, 4)],
              ['gather', () => batch.gather(Buffer.alloc(8), 1, 4)],
              ['scatter', () => batch.scatter(Buffer.alloc(8), 1, 2)],
              ['copyTo', () => batch.copyTo(remote, 0, 4, 0, 2)],
              ['block', () => all.block.refusal(0, 0, all.mr.rkey, 4)],
            ].slice(0, batch === remote ? 6 : 7) as any,
          ),
        ).toBe('EBADF');
        expect([batch.take(0), batch.put()]).toEqual([undefined, 0]);
      }
      expect(told(() => all.block.refusal(0, 0, 256 as any, 4))).toBe('EBADF');
    }
  });
});

describe('objects of other realms', () => {
  test('memory, options and lists of another realm are what they are', () => {
    const { device, pd, qp } = scene();
    dmaPages(device, 2);
    const [bytes, options, element, steps, page, list] = runInNewContext(
      `[new Uint8Array(new ArrayBuffer(32), 8, 16), { access: 31, start: 0n, iova: 0n }, { addr: 0n, vaddr: 0n, length: 16 },
        new Uint32Array([8, 8]), new BigUint64Array([${DMA}n]), [{ addr: ${DMA}n, length: 8 }]]`,
    );
    const mr = pd.regUserMr(bytes, options);
    expect(mr.length).toBe(16);
    const sge = accepted(qp.acquire({ ...element, rkey: mr.rkey }, ALL));
    expect(sge.copyFrom(runInNewContext('new Uint8Array(16).fill(3)'))).toBe(16);
    expect([...new Uint8Array(bytes.buffer)]).toEqual([
      ...Array(8).fill(0),
      ...Array(16).fill(3),
      ...Array(8).fill(0),
    ]);
    const target = runInNewContext('new DataView(new ArrayBuffer(16))');
    expect(new SgeState([sge]).copyOut(target)).toBe(16);
    expect(new SgeState(runInNewContext('(list) => Array.from(list)')([sge, sge])).walk(steps)).toHaveLength(
      2,
    );
    const fmr = pd.allocFmr({ maxPages: 1 });
    fmr.mapPhys(page, 0);
    expect(pd.allocMr({ maxNumSg: 1 }).mapSg(list)).toBe(1);
    for (const value of ['/x/', 'new Map()', '[]', 'new Proxy([], {})', 'new Proxy(new Uint8Array(8), {})']) {
      expect(() => pd.regUserMr(runInNewContext(value))).toThrow(wrongType('"memory"'));
    }
  });

  test('functions of another realm call methods as ours do', () => {
    const all = everything();
    const apply = runInNewContext('(f, self, ...args) => Reflect.apply(f, self, args)');
    expect(apply(Sge.prototype.copyTo, all.sge, Buffer.alloc(8))).toBe(8);
    expect(() => apply(Sge.prototype.copyTo, all.mr, Buffer.alloc(8))).toThrow(TypeError);
    expect(() => apply(Sge.prototype.copyTo, undefined, Buffer.alloc(8))).toThrow(TypeError);
  });
});

// Programs of their own from here on: what is wrong in native code may end the process.
describe('the native objects', () => {
  const prelude = `
    const { native } = require('./dist/internal/native.js');
    const GUARD = 0xa5;
    const slab = new Uint8Array(4096 + 128).fill(GUARD);
    const bytes = slab.subarray(64, 64 + 4096);
    function everything() {
      const device = native.openDevice(5, false, true);
      const pd = device.allocPd(false), qp = pd.createQp();
      const user = pd.regUserMr(bytes, 0x1000n, 0x1000n, 31, native.holdBuffer(bytes));
      const mapping = device.mapDma(new Uint8Array(8192), 0x100000n);
      const fields = new BigUint64Array(16);
      user.query(fields);
      const key = Number(fields[1]);
      const sge = pd.acquire(0x1000n, 64, key, 1, null);
      const zero = pd.getDmaMr(0), sg = pd.allocMr(0, 4), fmr = pd.allocFmr(31, 4, 32, 12);
      const block = new Uint8Array(new SharedArrayBuffer(64 + 4 * (16 + 4 + 28)));
      const batch = native.createBatch(pd, block, 4, true);
      const words = new Uint32Array(block.buffer);
      words.set([0x1000, 0, 64, key], 16);
      return { device, pd, qp, user, mapping, sge, zero, sg, fmr, batch, handle: native.holdBuffer(bytes),
        state: native.createSgeState([sge]) };
    }
    const methodsOf = (object) => Object.getOwnPropertyNames(Object.getPrototypeOf(object))
      .filter((name) => name !== 'constructor' && typeof object[name] === 'function' && !(name in Object.prototype));
    const rimIntact = () => slab.subarray(0, 64).every((byte) => byte === GUARD) && slab.subarray(64 + 4096).every((byte) => byte === GUARD);
  `;

  function expectOutput(program: string, stdout: string): void {
    const { status, signal, ...output } = runProgram(prelude + program, ['--no-warnings']);
    expect({ status, signal, ...output }).toEqual({ status: 0, signal: null, stdout, stderr: '' });
  }

  test('their methods on anything else are a TypeError', () => {
    expectOutput(
      `const all = everything();
       const objects = Object.values(all).filter((object) => object !== all.batch);
       let calls = 0;
       for (const object of objects) {
         for (const name of methodsOf(object)) {
           const others = objects.filter((other) => Object.getPrototypeOf(other) !== Object.getPrototypeOf(object));
           const forged = [undefined, null, 1, 'x', {}, [], native, Object.create(object), Object.create(Object.getPrototypeOf(object)),
             new Proxy(object, {}), Object.getPrototypeOf(object), object.constructor, all.batch];
           for (const self of [...others, ...forged, ...others.map((other) => Object.setPrototypeOf({ ...other }, Object.getPrototypeOf(object)))]) {
             calls++;
             try {
               Reflect.apply(object[name], self, [0n, 0, 0, 0, new BigUint64Array(16)]);
               console.log(name, self, 'was called');
             } catch (error) { if (!(error instanceof TypeError)) console.log(name, error); }
           }
         }
       }
       console.log(calls > 500);`,
      'true\n',
    );
  });

  test('cannot be constructed', () => {
    expectOutput(
      `const all = everything();
       for (const object of Object.values(all)) {
         const { constructor } = object;
         if (constructor === Object) continue;
         for (const make of [() => new constructor(), () => constructor(), () => Reflect.construct(constructor, [object]), () => Reflect.construct(constructor, [], Array),
           () => new (class extends constructor {})(), () => Reflect.construct(class {}, [], constructor).put()]) {
           try { make(); console.log(constructor.name, String(make), 'made'); } catch (error) { if (!(error instanceof TypeError)) console.log(error); }
         }
         // What a target with a prototype of its own says while an object is being made does not help either.
         const target = new Proxy(function () {}, { get() { return everything().sge; } });
         try { Reflect.construct(constructor, [], target); console.log('made'); } catch (error) { if (!(error instanceof TypeError)) console.log(error); }
       }
       // Real ones whose class was tampered with stay what they are.
       const { constructor } = all.sge;
       constructor.prototype = new Proxy({}, { get() { throw new Error('not to be asked'); } });
       Object.setPrototypeOf(all.device, null);
       const again = all.pd.acquire(0x1000n, 64, 256, 1, null);
       console.log(native.createSgeState([again]).totalLength(), rimIntact());`,
      '64 true\n',
    );
  });

  test('any arguments, in any order, are answered, and move nothing but registered bytes', () => {
    expectOutput(
      `let seed = 4711;
       const dice = (n) => ((seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff) >>> 8) % n;
       const pick = (list) => list[dice(list.length)];
       const Float = globalThis.Float16Array ?? Float32Array;
       const types = [Uint8Array, Int8Array, Uint8ClampedArray, Uint16Array, Uint32Array, BigUint64Array, BigInt64Array, Float64Array, Float, DataView];
       // Each in the middle of guards of its own.
       const views = [];
       const view = () => {
         const Type = pick(types), size = Type.BYTES_PER_ELEMENT ?? 1, length = pick([0, 1, 2, 5, 10, 12, 16, 64]);
         const buffer = pick([ArrayBuffer, SharedArrayBuffer]) === ArrayBuffer ? new ArrayBuffer(128 + length * size) : new SharedArrayBuffer(128 + length * size);
         new Uint8Array(buffer).fill(GUARD);
         const made = new Type(buffer, 64, length);
         if (views.length > 300) views.shift();
         views.push(made);
         return made;
       };
       const viewsIntact = () => views.every(({ buffer }) => {
         const all = new Uint8Array(buffer);
         return all.subarray(0, 64).every((byte) => byte === GUARD) && all.subarray(-64).every((byte) => byte === GUARD);
       });
       let all = everything();
       const flat = () => Object.values(all);
       const values = [() => undefined, () => null, () => true, () => false, () => 0, () => 1, () => 8, () => 31, () => 64, () => 256, () => 4096, () => 2 ** 32 - 1,
         () => 2 ** 32, () => 2 ** 53, () => -1, () => NaN, () => 1.5, () => 0n, () => 0x1000n, () => 0x100000n, () => 2n ** 64n - 1n, () => 2n ** 64n, () => -1n,
         () => 'x', () => Symbol(), () => ({}), () => [], () => new Proxy([], {}), () => () => 1, view, view, view, () => pick(flat()), () => pick(flat()),
         () => [all.sge, pick(flat())], () => [all.fmr, all.fmr], () => [all.sge], () => bytes, () => { const list = []; list.length = 70000; return list; }];
       let calls = 0, answered = 0;
       for (let round = 0; round < 60; round++) {
         all = everything();
         for (let i = 0; i < 500; i++) {
           const object = pick([native, ...flat(), ...flat()]);
           const names = object === native || object === all.batch ? Object.keys(object).filter((name) => typeof object[name] === 'function' && name !== 'commandBlock') : methodsOf(object);
           if (!names.length) continue;
           const name = pick(names);
           if (/^(close|dealloc|destroy)$/.test(name) && dice(50)) continue;
           calls++;
           try { Reflect.apply(object[name], object, Array.from({ length: dice(7) }, () => pick(values)())); answered++; }
           catch (error) { if (!(error instanceof TypeError)) console.log(name, error); }
         }
         all.batch.put();
         if (!viewsIntact() || !rimIntact()) throw new Error('written outside');
       }
       console.log(calls > 20000, answered > 3000);`,
      'true true\n',
    );
  });

  test('a handle of another buffer is not believed', () => {
    expectOutput(
      `const { device, pd, user, mapping, sge } = everything();
       const handle = native.holdBuffer(new Uint8Array(1 << 20));
       const shared = native.holdBuffer(new Uint8Array(new SharedArrayBuffer(1 << 20)));
       for (const wrong of [handle, shared]) {
         console.log(pd.regUserMr(new Uint8Array(8), 0n, 0n, 1, wrong), device.mapDma(new Uint8Array(8), 0n, wrong));
       }
       // And nothing that is no handle is taken for one.
       for (const other of [user, mapping, sge, {}, null, 7, bytes]) {
         if (typeof pd.regUserMr(bytes, 0n, 0n, 1, other) !== 'object') throw new Error('refused');
       }
       for (const other of [bytes.buffer, new Float32Array(2), [], 'x', undefined]) {
         try { native.holdBuffer(other); console.log('held'); } catch (error) { console.log(error.name); }
       }`,
      `${'-12 -12\n'.repeat(2)}${'TypeError\n'.repeat(5)}`,
    );
  });

  test('a block of another size, kind or place is not taken', () => {
    expectOutput(
      `const { pd, qp, sge } = everything();
       const shared = new SharedArrayBuffer(4096);
       const right = () => new Uint8Array(shared, 0, 64 + 4 * 20);
       const wrong = [new Uint8Array(64 + 4 * 20), new Uint8Array(shared, 0, 64 + 4 * 20 - 1), new Uint8Array(shared, 0, 64 + 4 * 20 + 1), new Uint8Array(shared, 4, 64 + 4 * 20),
         new Uint8Array(shared, 0, 0), new Int8Array(shared, 0, 64 + 4 * 20), shared, new DataView(shared, 0, 144), undefined];
       for (const block of wrong) {
         try { native.createBatch(pd, block, 4, false); console.log('made', block); } catch (error) { if (!(error instanceof TypeError)) console.log(error); }
       }
       for (const args of [[sge, right(), 4, false], [{}, right(), 4, false], [pd, right(), 0, false], [pd, right(), 2 ** 24 + 1, false], [pd, right(), 4.5, false], [pd, right(), 4, 1], [pd, right(), 4, true], [qp, right(), 5, false]]) {
         try { native.createBatch(...args); console.log('made', args); } catch (error) { if (!(error instanceof TypeError)) console.log(error); }
       }
       // Two over one block are both right, each by itself.
       const [one, two] = [native.createBatch(pd, right(), 4, false), native.createBatch(qp, right(), 4, false)];
       new Uint32Array(shared).set([1, 4, 0, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1000, 0, 8, 256]);
       for (const batch of [one, two]) { batch.check(); console.log([...new Uint32Array(shared, 12, 4)].join()); }
       one.copyTo(two);
       console.log(new Int32Array(shared)[6], rimIntact());`,
      '1,1,0,0\n1,1,0,0\n0 true\n',
    );
  });

  test('what a program that gets hold of our token and our natives can forge is still refused', () => {
    expectOutput(
      `const rdmavt = require('rdmavt');
       const { Device, MemoryRegion, Sge, SgeState, ProtectionDomain } = rdmavt;
       // The class that a class extends is looked up at each construction.
       const Region = Object.getPrototypeOf(MemoryRegion);
       let seen;
       Object.setPrototypeOf(MemoryRegion, class Thief { constructor(...args) { seen = args; } });
       const device = new Device(), pd = device.allocPd();
       try { pd.regUserMr(bytes, { start: 0x1000n, iova: 0x1000n, access: 31 }).lkey; } catch (error) { console.log(error.name); }
       Object.setPrototypeOf(MemoryRegion, Region);
       const [token, raw, registry] = seen;
       const real = new MemoryRegion(token, raw, registry);
       const element = { addr: real.start, length: 64, lkey: real.lkey };
       const { sge } = pd.acquire(element, 1);
       const told = (use) => { try { return use(); } catch (error) { return error.code ?? error.name; } };
       // Wrappers around the wrong thing, around nothing, and around what says yes to all.
       const yes = new Proxy(function () {}, { get: () => yes, apply: () => 1 });
       for (const inside of [raw, {}, null, yes, real, sge]) {
         const forged = new Sge(token, inside, registry);
         console.log([() => new SgeState([forged]), () => pd.acquire(element, 1, { last: forged }), () => forged.put(), () => forged.fetchAdd(1n)].map((use) => { const answer = told(use); return typeof answer === 'object' ? 'object' : String(answer); }).join());
       }
       const domain = new ProtectionDomain(token, yes, yes, registry);
       console.log(told(() => domain.lkeyBatch(1)), told(() => domain.checker()), rimIntact(), told(() => sge.copyFrom(Buffer.alloc(64))), real.refs);`,
      [
        'TypeError',
        'TypeError,TypeError,TypeError,TypeError',
        'TypeError,TypeError,TypeError,TypeError',
        'TypeError,object,TypeError,TypeError', // null is no element: as if none had been given
        'TypeError,TypeError,undefined,1', // what says yes to all says so to its maker
        'TypeError,TypeError,TypeError,TypeError',
        'TypeError,TypeError,undefined,EBADF', // a real one, twice wrapped, put through the outer
        'TypeError TypeError true EBADF 3', // the element that was accepted on the way
        '',
      ].join('\n'),
    );
  });
});

describe('two copies of the package in one process', () => {
  const load = (clearNative: boolean): string => `
    const first = require('rdmavt');
    for (const path of Object.keys(require.cache)) {
      if (path.includes('dist') ${clearNative ? '|| true' : ''}) delete require.cache[path];
    }
    const second = require('rdmavt');
    if (first.Sge === second.Sge) throw new Error('one copy');
    const DMA = 0x100000n;
    const make = ({ Device, SgeState }) => {
      const device = new Device({ remoteKeyZero: true }), pd = device.allocPd({ trusted: true }), qp = pd.createQp();
      const memory = Buffer.alloc(64, 1), mapping = device.dma.map(Buffer.alloc(8192), { address: DMA });
      const mr = pd.regUserMr(memory, { start: 0n, iova: 0n, access: 31 });
      const sg = pd.allocMr({ maxNumSg: 1 }), fmr = pd.allocFmr({ maxPages: 1 });
      const sge = pd.acquire({ addr: 0n, length: 64, lkey: mr.lkey }, 1).sge;
      const batch = pd.lkeyBatch(1), block = pd.checker();
      batch.set(0, 0n, 64, mr.lkey);
      return { device, pd, qp, memory, mapping, mr, sg, fmr, sge, batch, block, state: new SgeState([sge]) };
    };
    const [a, b] = [make(first), make(second)];
    const told = (use) => { try { use(); return 'ok'; } catch (error) { return error.code ?? error.name; } };
  `;

  test.each([
    ['with one native module', false],
    ['with a native module each', true],
  ])('%s do not take each other’s objects, and share memory', (_, clearNative) => {
    const { status, signal, stdout, stderr } = runProgram(
      `${load(clearNative)}
       for (const [ours, theirs, lib] of [[a, b, first], [b, a, second]]) {
         console.log([
           () => new lib.SgeState([theirs.sge]), () => new lib.SgeState([ours.sge, theirs.sge]), () => lib.FastMemoryRegion.unmap([theirs.fmr]),
           () => ours.qp.fastRegMr(theirs.sg, { key: theirs.sg.rkey, access: 0 }), () => ours.pd.acquire({ addr: 0n, length: 1, lkey: ours.mr.lkey }, 0, { last: theirs.sge }),
           () => ours.batch.acquire(1, 0, { last: theirs.sge }), () => ours.batch.copyTo(theirs.batch, 1, 0, 1, 1),
           () => lib.Sge.prototype.copyTo.call(theirs.sge, Buffer.alloc(8)), () => lib.Device.prototype.table.call(theirs.device),
         ].map(told).join());
         // One buffer, registered with both.
         const shared = ours.pd.regUserMr(theirs.memory, { start: 0x5000n, access: 1 });
         const { sge } = ours.pd.acquire({ addr: 0x5000n, length: 64, lkey: shared.lkey }, 1);
         sge.copyFrom(Buffer.alloc(64, 9));
         const target = Buffer.alloc(64);
         theirs.sge.copyTo(target);
         console.log(target.every((byte) => byte === 9), ours.block.refusal(0n, 64, ours.mr.lkey, 1), theirs.block.refusal(0n, 65, theirs.mr.lkey, 1) > 0);
       }
       structuredClone(a.memory.buffer, { transfer: [a.memory.buffer] });
       console.log(told(() => a.sge.copyTo(Buffer.alloc(8))), told(() => b.sge.copyTo(Buffer.alloc(8))));
       for (const { device } of [a, b]) device.close({ cascade: true });
       gc();`,
      ['--no-warnings'],
    );
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    const wrong = `${Array(7).fill('ERR_INVALID_ARG_TYPE').join()},TypeError,TypeError\ntrue 0 true\n`;
    // The small Buffers of both lie in one pool, or the memory is each one's own: then the other's goes on.
    expect(stdout.startsWith(wrong.repeat(2))).toBe(true);
  });

  test('with a native module each: what the one has made means what it says to the other', () => {
    const { status, signal, stdout, stderr } = runProgram(
      `const [one, two] = [0, 1].map(() => {
         for (const path of Object.keys(require.cache)) delete require.cache[path];
         const { native } = require('./dist/internal/native.js');
         const device = native.openDevice(8, false, true), pd = device.allocPd(false), qp = pd.createQp();
         const memory = new Uint8Array(4096).fill(3);
         const mr = pd.regUserMr(memory, 0x1000n, 0x1000n, 31);
         const sge = pd.acquire(0x1000n, 64, 256, 1, null);
         return { native, device, pd, qp, memory, mr, sge, handle: native.holdBuffer(memory), fmr: pd.allocFmr(31, 4, 32, 12) };
       });
       if (one.native === two.native) throw new Error('one module');
       const told = (use) => { try { const answer = use(); return typeof answer === 'object' ? 'object' : answer; } catch (error) { return error.name; } };
       for (let round = 0; round < 50; round++) {
         for (const [a, b] of [[one, two], [two, one]]) {
           const block = new Uint8Array(new SharedArrayBuffer(64 + 20));
           const answers = [
             () => a.native.createSgeState([a.sge, b.sge]).totalLength(), () => a.native.unmapFmr([a.fmr, b.fmr]), () => a.native.unmapFmr([b.fmr]),
             () => a.qp.fastRegMr(b.mr, 256, 1, undefined), () => a.pd.acquire(0x1000n, 64, 256, 1, b.sge), () => a.pd.regUserMr(b.memory, 0n, 0n, 1, b.handle),
             () => a.native.createBatch(b.pd, block, 1, false), () => Object.getPrototypeOf(a.device).bits.call(b.device),
             () => a.native.createSgeState([b.sge, a.sge]).copyOut(new Uint8Array(128), false),
           ].map(told);
           if (round === 0) console.log(answers.join());
         }
         gc();
       }`,
      ['--no-warnings'],
    );
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
    // -1015: a plain buffer can only be looked at through the module that took it.
    const answers = '128,-22,0,-22,object,object,object,TypeError,-1015\n';
    expect(stdout).toBe(answers.repeat(2));
  });
});

test('the names of what is exported are the names of the classes', () => {
  for (const [name, type] of classes) expect([name, (rdmavt as any)[name]]).toEqual([type.name, type]);
});
