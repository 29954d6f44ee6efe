// Objects that are not what they seem: forged, foreign, or called on something else.
import * as rdmavt from '../../lib';
import {
  type AnyRegion,
  Device,
  DeviceMemory,
  DmaMapping,
  DmaSpace,
  FastMemoryRegion,
  MemoryRegion,
  ProtectionDomain,
  QueuePair,
  Sge,
  SgeState,
} from '../../lib';
import { everything, type Everything, region } from '../support/everything';
import { argumentError, rdma } from '../support/answers';
import { open } from '../support/scene';

describe('objects that are not what they seem', () => {
  const classes: [string, any, (objects: Everything) => object][] = [
    ['Device', Device, ({ device }) => device],
    ['DmaSpace', DmaSpace, ({ device }) => device.dma],
    ['DeviceMemory', DeviceMemory, ({ block }) => block],
    ['DmaMapping', DmaMapping, ({ mapping }) => mapping],
    ['ProtectionDomain', ProtectionDomain, ({ pd }) => pd],
    ['QueuePair', QueuePair, ({ qp }) => qp],
    ['MemoryRegion', MemoryRegion, ({ mr }) => mr],
    ['FastMemoryRegion', FastMemoryRegion, ({ fmr }) => fmr],
    ['Sge', Sge, ({ sge }) => sge],
    ['SgeState', SgeState, ({ state }) => state],
  ];

  /** Every method and getter of a class and what it inherits. */
  function* members(prototype: any): Generator<(self: unknown) => unknown> {
    for (let level = prototype; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
      for (const name of Reflect.ownKeys(level)) {
        const { value, get } = Object.getOwnPropertyDescriptor(level, name)!;
        if (name !== 'constructor') yield (self) => Reflect.apply(get ?? value, self, [Buffer.alloc(8), 0]);
      }
    }
  }

  test.each(classes)('methods and getters of %s on another object are a TypeError', async (name, type) => {
    const objects = everything();
    const others = classes.filter(([other]) => other !== name).map(([, , find]) => find(objects));
    const impostors = [
      undefined,
      null,
      1,
      {},
      Object.create(type.prototype),
      ...others,
      new Proxy(others[0]!, {}),
    ];
    let count = 0;
    for (const member of members(type.prototype)) {
      for (const self of impostors) {
        // Regions have most of their members in common.
        const kin = name.endsWith('MemoryRegion') && self && (self === objects.mr || self === objects.fmr);
        if (kin) continue;
        count++;
        await expect(async () => member(self)).rejects.toThrow(TypeError);
      }
    }
    expect(count).toBeGreaterThan(0);
  });

  test.each(classes.filter(([name]) => name !== 'Device' && name !== 'SgeState'))(
    '%s cannot be made by hand',
    (_, type, find) => {
      const made = find(everything());
      for (const args of [[], [Symbol('construction'), {}], [made, made, made]]) {
        expect(() => new type(...args)).toThrow(argumentError('ERR_ILLEGAL_CONSTRUCTOR'));
        const { constructor } = made;
        expect(() => Reflect.construct(constructor, args)).toThrow(argumentError('ERR_ILLEGAL_CONSTRUCTOR'));
      }
    },
  );

  test('classes must be called with new', () => {
    for (const [, type] of classes) expect(() => type()).toThrow(TypeError);
  });

  test('an object shows nothing of its inside', () => {
    const objects = everything();
    for (const [name, , find] of classes) {
      const own = Reflect.ownKeys(find(objects));
      expect([name, own]).toEqual([name, name === 'DmaMapping' ? ['address', 'length'] : []]);
    }
  });

  test('a region of another device is refused where it is taken', () => {
    const { qp } = everything();
    const foreign: AnyRegion = open().allocPd().allocMr({ maxNumSg: 1 });
    expect(() => qp.fastRegMr(foreign, region({ key: foreign.rkey }))).toThrow(rdma('EINVAL', 'fast_reg_mr'));
  });

  test('nothing else is exported', () => {
    expect(Object.keys(rdmavt).sort()).toEqual([
      'Access',
      'CheckBatch',
      'Checker',
      'Device',
      'DeviceMemory',
      'DmaMapping',
      'DmaSpace',
      'FastMemoryRegion',
      'MemoryRegion',
      'ProtectionDomain',
      'QueuePair',
      'RdmaError',
      'Sge',
      'SgeState',
      'checkReasons',
      'dataPathReasons',
      'fastRegKey',
      'lkey',
      'rkey',
    ]);
  });
});
