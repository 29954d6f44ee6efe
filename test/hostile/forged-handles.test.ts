// Objects that are not what they seem: forged, copied, of another class, of another device, or of another realm.
import { EventEmitter } from 'node:events';
import { runInNewContext } from 'node:vm';
import * as rdmavt from '../../lib';
import { Device, FastMemoryRegion, RegistrationCache, Sge, SgeState } from '../../lib';
import { accepted, argumentError, rdma, wrongType } from '../support/answers';
import { type All, classes, everything, methodsOf } from '../support/members';
import { told } from '../support/reach';
import { ALL, DMA, dmaPages, PAGE, scene } from '../support/scene';

/** Returns a structured clone; undefined where Node refuses to clone the value, as it does for objects of add-ons since 22.10. */
function cloneIfAllowed<T>(value: T): T | undefined {
  try {
    return structuredClone(value);
  } catch (error) {
    expect(error).toMatchObject({ name: 'DataCloneError' });
    return undefined;
  }
}

/** A structured clone; where Node refuses to clone the object, clones of those of its own properties that it clones. */
function cloneOf(real: object): object {
  return (
    cloneIfAllowed(real) ??
    Object.fromEntries(Object.entries(real).map(([key, value]) => [key, cloneIfAllowed<unknown>(value)]))
  );
}

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
    ['a structured clone with its prototype', (real) => Object.setPrototypeOf(cloneOf(real), type.prototype)],
    [
      'its JSON form, parsed',
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
      'an object of another class with its prototype',
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

  test.each(forgeries)('rejects %s with a TypeError', async (_, forge) => {
    const all = everything();
    const forged = forge(find(all));
    for (const [member, use] of methodsOf(type)) {
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

  test('rejects methods called on undefined, on plain values and on objects of other classes with a TypeError', async () => {
    const all = everything();
    const others = classes.filter(([other]) => other !== name).map(([, , findOther]) => findOther(all));
    for (const [member, use] of methodsOf(type)) {
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

  test('cannot be constructed with another target or through a subclass', () => {
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
        'subclass that inspects itself',
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
    const refusalOf = (attempt: string): string => {
      // An object with events is no object of options: its methods are enumerable.
      if (name === 'Endpoint' && attempt === 'construct') return 'ERR_INVALID_ARG_VALUE';
      const isPublic = ['SgeState', 'Device', 'Endpoint', 'RegistrationCache'].includes(name);
      return isPublic ? 'ERR_INVALID_ARG_TYPE' : 'ERR_ILLEGAL_CONSTRUCTOR';
    };
    for (const [attempt, make] of attempts) {
      let result: any;
      const answer = told(() => {
        result = make();
      });
      if (attempt === 'as the target of a plain class') {
        // The result is an empty object with the prototype, as from Object.create.
        expect(answer).toBe('ok');
      } else if (name === 'Device' && answer === 'ok') {
        // Every program may construct devices, and an object of a subclass is a device.
        expect(result).toBeInstanceOf(attempt === 'construct' ? Device : Object);
        continue;
      } else {
        expect([attempt, answer]).toEqual([attempt, refusalOf(attempt)]);
        continue;
      }
      for (const [member, use] of methodsOf(type)) {
        if (member.includes('Async') || member.includes('async')) continue;
        expect(() => use(result)).toThrow(TypeError);
      }
    }
    expect(made.filter((answer) => answer !== 'ReferenceError')).toHaveLength(name === 'Device' ? 1 : 0);
  });
});

describe('arguments that must be objects of this package', () => {
  const takers: [string, (all: All) => object, string, (all: All, value: any) => unknown][] = [
    [
      'fastRegMr',
      ({ sg }) => sg,
      'region',
      ({ qp, device }, v) =>
        qp.fastRegMr(v, {
          key: device.resources().regions.find((row) => row.kind === 'MEM_REG')!.lkey,
          access: 0,
        }),
    ],
    ['unmap', ({ fmr }) => fmr, 'list[0]', (_, v) => FastMemoryRegion.unmap([v])],
    ['SgeState', ({ sge }) => sge, 'sges[0]', (_, v) => new SgeState([v])],
    ['RegistrationCache', ({ pd }) => pd, 'pd', (_, v) => new RegistrationCache(v)],
    [
      'acquire, last',
      ({ sge }) => sge,
      'options.last',
      ({ pd, mr }, v) => pd.acquire({ addr: mr.start, length: 1, lkey: mr.lkey }, 0, { last: v }),
    ],
    ['acquire, last', ({ sge }) => sge, 'options.last', ({ batch }, v) => batch.acquire(1, 0, { last: v })],
    ['copyTo', ({ batch }) => batch, 'other', ({ pd }, v) => pd.lkeyBatch(1).copyTo(v, 0, 0, 0, 0)],
  ];

  test.each(takers)('%s accepts the real object and rejects every imitation', (_, find, name, use) => {
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
    // The prototype does not decide whether an object is accepted.
    Object.setPrototypeOf(real, null);
    expect(told(() => use(all, real))).toBe('ok');
  });

  test('objects of another device are rejected', () => {
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
    // The package still knows which device the objects belong to after that device is closed.
    there.device.close({ cascade: true });
    expect(() => pd.acquire(element, 0, { last: there.sge })).toThrow(rdma('EINVAL', 'lkey_ok'));
    expect(() => qp.fastRegMr(there.sg, { key: 0 as any, access: 0 })).toThrow(rdma('EINVAL', 'fast_reg_mr'));
  });

  test('keys of another device have no meaning', () => {
    const [here, there] = [scene({ keyPolicy: 'sequential' }), scene({ keyPolicy: 'sequential' })];
    const [secret, mine] = [Buffer.alloc(64, 0xdd), Buffer.alloc(64, 0x11)];
    const theirs = there.pd.regUserMr(secret, { start: 0n, iova: 0n, access: ALL });
    const mr = here.pd.regUserMr(mine.subarray(0, 32), { start: 0n, iova: 0n, access: ALL });
    expect(mr.lkey).toBe(theirs.lkey); // each device has its own key table, so equal keys are possible
    const sge = accepted(here.pd.acquire({ addr: 0, length: 32, lkey: theirs.lkey }, 1));
    sge.copyFrom(Buffer.alloc(32, 0x22));
    expect(here.pd.check({ addr: 0, length: 33, lkey: theirs.lkey }, 0)).toMatchObject({
      reason: 'OutOfBounds',
    });
    expect(secret.every((byte) => byte === 0xdd)).toBe(true);
    expect([...mine]).toEqual([...Array(32).fill(0x22), ...Array(32).fill(0x11)]);
  });

  test('a copy between batches of two devices reaches only what each batch may reach', () => {
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
    expect(from!.copyTo(to!, 1, 0, 1, 1)).toBe(0);
    expect([from!.firstReason, to!.firstReason, to!.firstRefusal]).toEqual([undefined, 'Closed', 0]);
    expect(to!.copyTo(from!, 1, 0, 1, 1)).toBe(0);
    expect([from!.firstReason, to!.firstReason, to!.firstRefusal]).toEqual([undefined, 'Closed', 0]);
    expect([...slabs[0]!.slab]).toEqual(Array(96).fill(0xe0));
  });
});

describe('objects of other realms', () => {
  test('memory, options and lists of another realm are accepted', () => {
    const { device, pd } = scene();
    dmaPages(device, 2);
    const [bytes, options, element, steps, page, list] = runInNewContext(
      `[new Uint8Array(new ArrayBuffer(32), 8, 16), { access: 31, start: 0n, iova: 0n }, { addr: 0n, vaddr: 0n, length: 16 },
        new Uint32Array([8, 8]), new BigUint64Array([${DMA}n]), [{ addr: ${DMA}n, length: 8 }]]`,
    );
    const mr = pd.regUserMr(bytes, options);
    expect(mr.length).toBe(16);
    const sge = accepted(pd.acquire({ ...element, lkey: mr.lkey }, ALL));
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

  test('methods may be called by functions of another realm', () => {
    const all = everything();
    const apply = runInNewContext('(f, self, ...args) => Reflect.apply(f, self, args)');
    expect(apply(Sge.prototype.copyTo, all.sge, Buffer.alloc(8))).toBe(8);
    expect(() => apply(Sge.prototype.copyTo, all.mr, Buffer.alloc(8))).toThrow(TypeError);
    expect(() => apply(Sge.prototype.copyTo, undefined, Buffer.alloc(8))).toThrow(TypeError);
  });
});

describe('the classes', () => {
  test.each(classes)('%s cannot be called without new', (_, type) => {
    expect(() => type()).toThrow(TypeError);
  });

  test.each(
    classes.filter(([name]) => !['Device', 'SgeState', 'Endpoint', 'RegistrationCache'].includes(name)),
  )(
    '%s cannot be constructed by a program, not even through the constructor of an object',
    (_, type, find) => {
      const made = find(everything());
      for (const args of [[], [Symbol('construction'), {}], [made, made, made]]) {
        expect(() => new type(...args)).toThrow(argumentError('ERR_ILLEGAL_CONSTRUCTOR'));
        expect(() => Reflect.construct(made.constructor, args)).toThrow(
          argumentError('ERR_ILLEGAL_CONSTRUCTOR'),
        );
      }
    },
  );

  test.each([rdmavt.CaptureError, rdmavt.CaptureExplanation])(
    '%p cannot be constructed by a program',
    (type: any) => {
      const poison = {
        toString: () => {
          throw new Error('called');
        },
      };
      for (const args of [[], [Symbol('construction'), 1, 2], [poison, poison, poison]]) {
        expect(() => new type(...args)).toThrow(argumentError('ERR_ILLEGAL_CONSTRUCTOR'));
      }
    },
  );

  test('objects expose no internal state', () => {
    const all = everything();
    const shown: Record<string, string[]> = {
      DmaMapping: ['address', 'length'],
      SendQueue: ['capacity', 'qp'],
      RecvQueue: ['capacity', 'owner'],
      // Elements and results are exposed for reading and writing.
      CheckBatch: [
        'access',
        'capacity',
        'longs',
        'positions',
        'regions',
        'segmentLengths',
        'segments',
        'verdicts',
        'view',
        'words',
      ],
    };
    for (const [name, , find] of classes) {
      const object = find(all);
      // What EventEmitter itself keeps in every object, but not enumerable.
      const ofEmitter =
        object instanceof EventEmitter
          ? Reflect.ownKeys(new EventEmitter()).filter(
              (key) => !Object.prototype.propertyIsEnumerable.call(object, key),
            )
          : [];
      const keys = Reflect.ownKeys(object).filter((key) => !ofEmitter.includes(key));
      // One symbol keeps objects from comparing as deep-equal; its value reveals nothing.
      expect([name, keys.filter((key) => typeof key === 'symbol').map(String)]).toEqual([
        name,
        ['Symbol(rdmavt.instance)'],
      ]);
      expect([name, keys.filter((key) => typeof key === 'string').sort()]).toEqual([name, shown[name] ?? []]);
    }
  });

  test('are exported under their names, and only documented names are exported', () => {
    for (const [name, type] of classes) expect([name, (rdmavt as any)[name]]).toEqual([type.name, type]);
    expect(Object.keys(rdmavt).sort()).toEqual([
      'Access',
      'AddressHandle',
      'CaptureError',
      'CaptureExplanation',
      'CheckBatch',
      'Checker',
      'Completion',
      'CompletionError',
      'CompletionQueue',
      'CompletionRing',
      'Device',
      'DeviceMemory',
      'DmaMapping',
      'DmaSpace',
      'Endpoint',
      'FastMemoryRegion',
      'Lease',
      'MemoryRegion',
      'MemoryWindow',
      'ProtectionDomain',
      'QueuePair',
      'RdmaError',
      'RecvQueue',
      'RegionUse',
      'RegistrationCache',
      'SendQueue',
      'Sge',
      'SgeState',
      'SharedReceiveQueue',
      'accessNames',
      'checkReasons',
      'completionReasons',
      'dataPathReasons',
      'explainCapture',
      'fastRegKey',
      'findingKinds',
      'formatAdvertisement',
      'grhSource',
      'lkey',
      'packAdvertisement',
      'parseAdvertisement',
      'rkey',
      'wcStatusNames',
    ]);
  });
});
