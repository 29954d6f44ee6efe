// Memory that JavaScript owns: what can be registered, and which bytes the region covers.
import { Access, type MemoryRegion, SgeState } from '../../lib';
import { accepted, rdma, refusal, wrongType } from '../support/answers';
import { runProgram } from '../support/programs';
import { type Scene, scene } from '../support/scene';

const typedArrays: (new (
  buffer: ArrayBufferLike,
  offset?: number,
  length?: number,
) => NodeJS.ArrayBufferView)[] = [
  Uint8Array,
  Uint8ClampedArray,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigUint64Array,
  BigInt64Array,
];
const { Float16Array } = globalThis as any;
if (Float16Array) typedArrays.push(Float16Array);

/** Creates a resizable buffer. */
const resizable = (length: number, maxByteLength: number): any =>
  new (ArrayBuffer as any)(length, { maxByteLength });

/** Detaches a buffer. */
const detach = (buffer: ArrayBuffer): unknown => structuredClone(buffer, { transfer: [buffer] });

const bytesOf = (memory: ArrayBufferLike): number[] => [...new Uint8Array(memory)];

/** Writes `value` into each registered byte. */
function fill(mr: MemoryRegion, { pd }: Scene, value: number): void {
  using sge = accepted(pd.acquire({ addr: mr.start, length: mr.length, lkey: mr.lkey }, Access.LocalWrite));
  sge.copyFrom(Buffer.alloc(mr.length, value));
}

const element = (
  mr: MemoryRegion,
  length = mr.length,
): { addr: bigint; length: number; lkey: typeof mr.lkey } => ({
  addr: mr.start,
  length,
  lkey: mr.lkey,
});

describe('a region covers exactly the bytes of', () => {
  test.each(typedArrays.map((type) => [type.name, type] as const))('a view of type %s', (_, type) => {
    const all = scene();
    const buffer = new ArrayBuffer(32);
    const mr = all.pd.regUserMr(new type(buffer, 8, 1), { access: Access.LocalWrite });
    const { BYTES_PER_ELEMENT: size } = type as unknown as { BYTES_PER_ELEMENT: number };
    expect(mr.length).toBe(size);
    fill(mr, all, 0xff);
    expect(bytesOf(buffer)).toEqual(
      Array.from({ length: 32 }, (__, i) => (i >= 8 && i < 8 + size ? 0xff : 0)),
    );
    expect(all.device.dma.map(new type(buffer, 8, 1)).length).toBe(size);
  });

  test.each([
    ['a DataView', (buffer: ArrayBuffer) => new DataView(buffer, 8, 4), 8, 4],
    ['a Buffer', (buffer: ArrayBuffer) => Buffer.from(buffer, 3, 5), 3, 5],
    ['an ArrayBuffer', (buffer: ArrayBuffer) => buffer, 0, 32],
    ['a view to the end', (buffer: ArrayBuffer) => new Uint8Array(buffer, 30), 30, 2],
  ])('%s', (_, view, from, length) => {
    const all = scene();
    const buffer = new ArrayBuffer(32);
    const mr = all.pd.regUserMr(view(buffer), { access: Access.LocalWrite });
    expect(mr.length).toBe(length);
    fill(mr, all, 1);
    expect(bytesOf(buffer)).toEqual(
      Array.from({ length: 32 }, (__, i) => (i >= from && i < from + length ? 1 : 0)),
    );
  });

  test('shared memory and views of it', () => {
    const all = scene();
    const shared = new SharedArrayBuffer(16);
    const whole = all.pd.regUserMr(shared, { access: Access.LocalWrite });
    expect(whole.length).toBe(16);
    fill(whole, all, 1);
    for (const view of [new Float32Array(shared, 4, 1), new DataView(shared, 4, 4)]) {
      fill(all.pd.regUserMr(view, { access: Access.LocalWrite }), all, 2);
    }
    expect(bytesOf(shared)).toEqual([1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
  });

  test('small Buffers, without their neighbors in the pool', () => {
    const all = scene();
    const [before, mine, after] = ['before!!', 'mine!!!!', 'after!!!'].map((text) => Buffer.from(text));
    expect(mine!.buffer).toBe(before!.buffer); // all three Buffers share Node's pool
    const mr = all.pd.regUserMr(mine!, { access: Access.LocalWrite });
    fill(mr, all, 0);
    expect([before!.toString(), after!.toString()]).toEqual(['before!!', 'after!!!']);
    for (const [addr, length] of [
      [mr.start - 1n, 1],
      [mr.start, 9],
      [mr.start + 8n, 1],
    ] as const) {
      expect(refusal(all.pd.acquire({ addr, length, lkey: mr.lkey }, 0))).toBe('OutOfBounds');
    }
  });

  test('a length-tracking view, with the length at registration', () => {
    const all = scene();
    const buffer = resizable(8, 16);
    const mr = all.pd.regUserMr(new Uint8Array(buffer), { access: Access.LocalWrite });
    buffer.resize(16);
    expect(mr.length).toBe(8);
    fill(mr, all, 1);
    expect(bytesOf(buffer)).toEqual([...Array(8).fill(1), ...Array(8).fill(0)]);
  });
});

describe('memory without bytes', () => {
  test.each<[string, () => any]>([
    ['an empty Buffer', () => Buffer.alloc(0)],
    ['an empty ArrayBuffer', () => new ArrayBuffer(0)],
    ['an empty SharedArrayBuffer', () => new SharedArrayBuffer(0)],
    ['an empty DataView', () => new DataView(new ArrayBuffer(8), 8)],
    ['an empty view', () => new Float64Array(new ArrayBuffer(8), 8)],
  ])('rejects %s with EINVAL', (_, memory) => {
    const { pd, device } = scene();
    expect(() => pd.regUserMr(memory())).toThrow(rdma('EINVAL', 'reg_user_mr'));
    expect(() => device.dma.map(memory())).toThrow(rdma('EINVAL', 'dma_map'));
  });

  const gone: [string, () => any][] = [
    ...typedArrays.map((type): [string, () => any] => [
      `a detached ${type.name}`,
      () => {
        const buffer = new ArrayBuffer(16);
        const view = new type(buffer);
        detach(buffer);
        return view;
      },
    ]),
    [
      'a detached ArrayBuffer',
      () => {
        const buffer = new ArrayBuffer(16);
        detach(buffer);
        return buffer;
      },
    ],
    [
      'a detached DataView',
      () => {
        const buffer = new ArrayBuffer(16);
        const view = new DataView(buffer);
        detach(buffer);
        return view;
      },
    ],
    [
      'a view out of the bounds of its shrunk buffer',
      () => {
        const buffer = resizable(16, 16);
        const view = new Uint8Array(buffer, 8, 8);
        buffer.resize(12);
        return view;
      },
    ],
    [
      'a DataView out of the bounds of its shrunk buffer',
      () => {
        const buffer = resizable(16, 16);
        const view = new DataView(buffer, 8, 8);
        buffer.resize(4);
        return view;
      },
    ],
  ];

  test.each(gone)('rejects %s with EINVAL wherever memory is taken', (_, memory) => {
    const { pd, device } = scene();
    expect(() => pd.regUserMr(memory())).toThrow(rdma('EINVAL', 'reg_user_mr'));
    expect(() => device.dma.map(memory())).toThrow(rdma('EINVAL', 'dma_map'));
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.LocalWrite });
    const sge = accepted(pd.acquire(element(mr), Access.LocalWrite));
    expect(() => sge.copyTo(memory())).toThrow(rdma('EINVAL', 'copy_sge_out'));
    expect(() => sge.copyFrom(memory())).toThrow(rdma('EINVAL', 'copy_sge'));
    expect(() => new SgeState([sge]).copyIn(memory())).toThrow(rdma('EINVAL', 'copy_sge'));
    expect(() => new SgeState([sge]).copyOut(memory())).toThrow(rdma('EINVAL', 'copy_sge_out'));
  });
});

describe('views that lie about their properties', () => {
  class Liar extends Uint8Array {
    override get length(): any {
      return 1 << 30;
    }
    override get byteLength(): any {
      return 1 << 30;
    }
    override get byteOffset(): any {
      return -8;
    }
    override get buffer(): any {
      return new ArrayBuffer(1);
    }
    override [Symbol.iterator](): any {
      throw new Error('must not be read');
    }
    override subarray(): any {
      return Buffer.alloc(1 << 10);
    }
    static get [Symbol.species](): any {
      return Array;
    }
  }

  test('are registered with their real bytes', () => {
    const all = scene();
    const buffer = new ArrayBuffer(16);
    const mr = all.pd.regUserMr(new Liar(buffer, 4, 4), { access: Access.LocalWrite });
    expect(mr.length).toBe(4);
    fill(mr, all, 1);
    expect(bytesOf(buffer)).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  test('are read and written at their real bytes', () => {
    const { pd } = scene();
    const mr = pd.regUserMr(Buffer.alloc(8, 7), { access: Access.LocalWrite });
    const sge = accepted(pd.acquire(element(mr), Access.LocalWrite));
    const buffer = new ArrayBuffer(16);
    expect(sge.copyTo(new Liar(buffer, 4, 4))).toBe(4);
    expect(sge.copyTo(new Liar(buffer, 0, 16))).toBe(8);
    expect(sge.copyFrom(new Liar(buffer, 8, 8))).toBe(8);
    expect(new SgeState([sge]).copyOut(new Liar(buffer, 0, 3))).toBe(3);
  });

  test('with own properties or a changed prototype are used with their real bytes', () => {
    const { pd } = scene();
    const view = new Uint8Array(8);
    Object.defineProperties(view, {
      length: { value: 99 },
      byteLength: { value: 99 },
      buffer: { value: null },
    });
    expect(pd.regUserMr(view).length).toBe(8);
    expect(pd.regUserMr(Object.setPrototypeOf(new Uint16Array(4), null)).length).toBe(8);
    expect(
      pd.regUserMr(Object.setPrototypeOf(new DataView(new ArrayBuffer(8)), Uint8Array.prototype)).length,
    ).toBe(8);
    expect(pd.regUserMr(Object.setPrototypeOf(new ArrayBuffer(8), DataView.prototype)).length).toBe(8);
  });

  test.each<[string, unknown]>([
    ['a Proxy of a view', new Proxy(new Uint8Array(8), {})],
    ['a Proxy of a buffer', new Proxy(new ArrayBuffer(8), {})],
    ['an object with the prototype of a view', Object.create(Uint8Array.prototype)],
    [
      'an object with the properties of a view',
      { buffer: new ArrayBuffer(8), byteOffset: 0, byteLength: 8, length: 8 },
    ],
    ['an array', [1, 2, 3]],
    ['a string', 'memory'],
    ['a Blob', new Blob(['memory'])],
    ['a WebAssembly.Memory', new (globalThis as any).WebAssembly.Memory({ initial: 1 })],
    ['undefined', undefined],
    ['null', null],
  ])('%s is rejected with a TypeError', (_, memory: any) => {
    const { pd, device } = scene();
    expect(() => pd.regUserMr(memory)).toThrow(wrongType('"memory" argument must be an instance of Buffer'));
    expect(() => device.dma.map(memory)).toThrow(wrongType('"memory" argument'));
    const mr = pd.regUserMr(Buffer.alloc(8), { access: Access.LocalWrite });
    const sge = accepted(pd.acquire(element(mr), Access.LocalWrite));
    expect(() => sge.copyTo(memory)).toThrow(wrongType('"target" argument'));
    expect(() => sge.copyFrom(memory)).toThrow(wrongType('"source" argument'));
    expect(() => new SgeState([sge]).copyIn(memory)).toThrow(wrongType('"source" argument'));
    expect(() => new SgeState([sge]).copyOut(memory)).toThrow(wrongType('"target" argument'));
  });

  test('a program that changes the intrinsics later has no effect', () => {
    const { status, stderr } = runProgram(`
      const { Device } = require('rdmavt');
      const prototype = Object.getPrototypeOf(Uint8Array.prototype);
      for (const name of ['buffer', 'byteOffset', 'byteLength', 'length']) {
        Object.defineProperty(prototype, name, { get: () => 1 << 20 });
      }
      prototype.keys = () => {};
      Function.prototype.call = Function.prototype.apply = Reflect.apply = () => 1 << 20;
      globalThis.Uint8Array = class {};
      const mr = new Device().allocPd().regUserMr(new Uint16Array(4));
      process.exitCode = mr.length;
    `);
    expect({ status, stderr }).toEqual({ status: 8, stderr: '' });
  });
});
