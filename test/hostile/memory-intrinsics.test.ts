// Programs that replace built-in functions after this package was loaded, and objects that lie about themselves: copies still
// reach only the bytes that were registered or passed.
import { type MemoryLike, SgeState } from '../../lib';
import { expectOnly, fillRim, told, toldAll } from '../support/reach';
import { accepted } from '../support/answers';
import { runProgram } from '../support/programs';
import { ALL, scene } from '../support/scene';

/**
 * Returns a program that does the same work repeatedly between guard bytes, each time with one member of `holders` replaced by
 * one of the `evils`. It prints the members whose replacement changes the results of the work.
 */
const program = (holders: string, evils: string, keys = 'ownKeys(holder)'): string => `
  const { Device, FastMemoryRegion, SgeState } = require('rdmavt');
  const { getOwnPropertyDescriptor, ownKeys, defineProperty, apply } = Reflect;
  const PlainBytes = Uint8Array, PlainView = DataView, clone = structuredClone, text = String;
  const DMA = 0x100000n, GUARD = 0xa5, FROM = 64, SIZE = 64;
  const slabs = [];
  for (let i = 0; i < 3; i++) slabs.push(new PlainBytes(FROM + SIZE + 64));
  let lost = false;
  const renew = () => {
    for (let i = 0; i < 3; i++) {
      if (!slabs[i].length) slabs[i] = new PlainBytes(FROM + SIZE + 64);
      for (let at = 0; at < slabs[i].length; at++) slabs[i][at] = at < FROM || at >= FROM + SIZE ? GUARD : i + 1;
    }
    lost = false;
  };
  const intact = () => {
    for (let i = 0; i < 3; i++) {
      const slab = slabs[i];
      for (let at = 0; at < slab.length; at++) if ((at < FROM || at >= FROM + SIZE) && slab[at] !== GUARD) return false;
    }
    return true;
  };
  const detach = () => {
    if (lost) return;
    lost = true;
    for (let i = 0; i < 3; i++) { const { buffer } = slabs[i]; clone(buffer, { transfer: [buffer] }); }
  };

  // Create views and devices before any function is replaced; then work.
  const prepare = () => {
    renew();
    const buffers = slabs.map((slab) => slab.buffer);
    const [registered, target, source] = buffers.map((buffer) => new PlainBytes(buffer, FROM, SIZE));
    return { buffers, registered, target, source, devices: [new Device({ lkeyTableBits: 4, remoteKeyZero: true }), new Device({ lkeyTableBits: 4 })] };
  };
  let answers;
  const step = (use) => {
    let answer;
    try {
      const result = use();
      answer = typeof result === 'number' || typeof result === 'bigint' || typeof result === 'boolean' ? result : result === undefined ? 'done' : typeof result;
      answers = answers + ' ' + answer;
      return result;
    } catch (error) {
      try { answer = error.reason ?? error.code ?? error.name; } catch { answer = 'worse'; }
      answers = answers + ' ' + (typeof answer === 'symbol' ? 'symbol' : answer);
      return undefined;
    }
  };
  const work = ({ buffers, registered, target, source, devices }) => {
    const device = devices[0], other = devices[1]; // destructuring would call an iterator, which may be replaced
    answers = '';
    const pd = step(() => device.allocPd({ trusted: true }));
    const qp = step(() => pd.createQp());
    const mapping = step(() => device.dma.map(registered, { address: DMA }));
    const mr = step(() => pd.regUserMr(registered, { start: 0x1000n, iova: 0x1000n, access: 31 }));
    step(() => mr.length);
    step(() => pd.regUserMr(new PlainView(buffers[0], FROM, SIZE), {}).length);
    const fmr = step(() => pd.allocFmr({ maxPages: 8, pageShift: 3, access: 31 }));
    step(() => fmr.mapPhys([DMA, DMA + 8n], 0x7000n));
    const sg = step(() => pd.allocMr({ maxNumSg: 1 }));
    step(() => sg.mapSg([{ addr: DMA, length: SIZE }]));
    step(() => qp.fastRegMr(sg, { key: sg.rkey, access: 31 }));
    const checks = [step(() => pd.acquire({ addr: 0x1000n, length: SIZE, lkey: mr.lkey }, 1)), step(() => qp.acquire({ vaddr: 0x7000n, length: 16, rkey: fmr.rkey }, 4)),
      step(() => qp.acquire({ vaddr: DMA, length: SIZE, rkey: sg.rkey }, 2)), step(() => qp.acquire({ vaddr: 0x1000n, length: 8, rkey: mr.rkey }, 8))];
    step(() => pd.check({ addr: 0x1000n, length: SIZE + 1, lkey: mr.lkey }, 1).reason === 'OutOfBounds');
    step(() => qp.check({ vaddr: 0xfff, length: 2, rkey: mr.rkey }, 8).ok);
    for (let i = 0; i < 4; i++) {
      const check = checks[i];
      const sge = step(() => check.sge);
      step(() => sge.copyTo(target));
      step(() => sge.copyTo(target, { offset: 4 }));
      step(() => sge.copyTo(new PlainBytes(buffers[1], FROM + SIZE - 4, 4), { offset: 4 }));
      step(() => sge.copyTo(new PlainView(buffers[1], FROM, SIZE)));
      step(() => sge.copyFrom(new PlainBytes(buffers[2], FROM, 8)));
      step(() => sge.copyFrom(new PlainBytes(buffers[2], FROM, 7), { offset: 1, ordered: true }));
      step(() => sge.copyFrom(new PlainBytes(buffers[2], FROM, SIZE + 1)));
      step(() => sge.fetchAdd(1n));
      step(() => sge.compareSwap(0n, 5n));
      const state = step(() => new SgeState([sge, sge]));
      step(() => state.copyOut(new PlainBytes(buffers[1], FROM, 12)));
      step(() => state.copyIn(new PlainBytes(buffers[2], FROM, 4)));
      step(() => state.walk([1, 2]).length);
    }
    const batch = step(() => pd.lkeyBatch(2, { places: true })), to = step(() => other.allocPd().lkeyBatch(1)), block = step(() => qp.checker());
    step(() => batch.set(0, 0x1000n, SIZE, mr.lkey));
    step(() => batch.set(1, 0x1001, SIZE, mr.lkey));
    step(() => batch.check(2, 1));
    const elements = step(() => batch.view);
    step(() => batch.checkPacked(elements, 0));
    step(() => batch.acquire(2, 0, { coalesce: true }));
    step(() => batch.take(0).copyTo(target));
    step(() => batch.put());
    step(() => batch.gather(target, 1, 0));
    step(() => batch.scatter(source, 2, 1));
    step(() => batch.copyTo(to, 1, 0, 1, 1));
    step(() => block.refusal(0x1000n, SIZE, mr.rkey, 4));
    step(() => block.refusal(0x1001, SIZE, mr.rkey, 4));
    step(() => FastMemoryRegion.unmap([fmr]));
    step(() => device.keyTable().used.length);
    step(() => device.resources().regions.length);
    // Wrong arguments: the messages describe them.
    step(() => pd.regUserMr({ length: 8 }));
    step(() => pd.regUserMr(function named() {}));
    step(() => device.allocPd(() => 1));
    step(() => new SgeState([device]));
    step(() => device.allocDm(1.5));
    step(() => qp.acquire({ vaddr: 'x', length: 1, rkey: 1 }, 4));
    return answers;
  };
  const finish = (all) => { for (let i = 0; i < 2; i++) all.devices[i].close({ cascade: true }); };
  const honest = (() => { const all = prepare(), answer = work(all); finish(all); return answer; })();
  if (/undefined|Error/.test(honest)) throw new Error(honest);
  if (!intact()) throw new Error('the work itself');

  const yes = new Proxy(function () {}, { get: (target, name) => (name === Symbol.toPrimitive ? () => 8 : yes), apply: () => yes, construct: () => yes });
  const evils = { ${evils} };
  const differ = new Set();
  let calls = 0;
  for (const [holderName, holder] of Object.entries(${holders})) {
    for (const key of ${keys}) {
      const descriptor = getOwnPropertyDescriptor(holder, key);
      if (!descriptor.configurable && !descriptor.writable) continue;
      const original = descriptor.value ?? descriptor.get;
      if (typeof original !== 'function' || key === 'constructor') continue;
      for (const [evilName, make] of Object.entries(evils)) {
        const all = prepare();
        const evil = make(original);
        const changed = descriptor.get ? { ...descriptor, get: evil } : { ...descriptor, value: evil };
        let answer;
        defineProperty(holder, key, changed);
        try { answer = work(all); } catch { answer = 'the work did not end'; }
        defineProperty(holder, key, descriptor);
        calls++;
        finish(all);
        if (!intact()) throw new Error(evilName + ' in ' + holderName + '.' + text(key) + ': a guard was written');
        if (answer !== honest) differ.add(holderName + '.' + text(key));
      }
    }
  }
  console.log(calls > 50, [...differ].join());
`;

const EVILS = `
  nothing: () => function () {},
  big: () => function () { return 1 << 20; },
  self: () => function () { return this; },
  first: () => function (first) { return first; },
  endless: () => function () { return Infinity; },
  yes: () => yes,
  most: (original) => function (...args) { let most = 0; for (let i = 0; i < args.length; i++) if (args[i] > most) most = args[i]; return most; },
  detaches: (original) => function (...args) { detach(); return new.target ? new original(...args) : apply(original, this, args); },
  throws: () => function () { throw new Error('evil'); },
`;

function run(holders: string, keys?: string): string {
  const { status, signal, stdout, stderr } = runProgram(program(holders, EVILS, keys), ['--no-warnings']);
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  return stdout;
}

describe('functions replaced after loading', () => {
  test('of views and buffers change nothing', () => {
    expect(
      run(`{ TypedArray: Object.getPrototypeOf(Uint8Array), typedArray: Object.getPrototypeOf(Uint8Array.prototype), bytes: Uint8Array.prototype,
        longs: BigUint64Array.prototype, DataView: DataView.prototype, ArrayBuffer, buffer: ArrayBuffer.prototype, shared: SharedArrayBuffer.prototype, Buffer,
        pooled: Buffer.prototype, Reflect, Function: Function.prototype, Atomics, Proxy }`),
    ).toBe('true \n');
  });

  // The package uses numbers, lists and maps of the language as they are: results may be wrong then, but no byte outside is
  // touched.
  test('of the language reach no byte outside', () => {
    const answer =
      run(`{ Object, object: Object.prototype, Array, array: Array.prototype, Number, number: Number.prototype, BigInt, bigint: BigInt.prototype, Math,
        String, string: String.prototype, Symbol, symbol: Symbol.prototype, Map: Map.prototype, WeakMap: WeakMap.prototype, Set: Set.prototype,
        WeakRef: WeakRef.prototype, registry: FinalizationRegistry.prototype, Error, error: Error.prototype, iterator: Object.getPrototypeOf([][Symbol.iterator]()),
        JSON}`);
    expect(answer).toMatch(/^true /);
  });

  test('that are globals reach no byte outside', () => {
    const globals = [
      ...[
        'Array',
        'ArrayBuffer',
        'BigInt',
        'BigUint64Array',
        'Buffer',
        'DataView',
        'Error',
        'FinalizationRegistry',
      ],
      ...[
        'Float64Array',
        'Map',
        'Math',
        'Number',
        'Object',
        'Promise',
        'Proxy',
        'RangeError',
        'Reflect',
        'Set',
      ],
      ...[
        'SharedArrayBuffer',
        'String',
        'Symbol',
        'TypeError',
        'Uint32Array',
        'Uint8Array',
        'WeakMap',
        'WeakRef',
      ],
      ...['structuredClone', 'setTimeout', 'queueMicrotask'],
    ];
    expect(globals.length).toBeGreaterThan(20);
    const answer = run('{ globalThis }', JSON.stringify(globals));
    expect(answer).toMatch(/^true /);
  });
});

describe('every call terminates', () => {
  const prelude = `
    const { Device, SgeState } = require('rdmavt');
    const util = require('node:util');
    const device = new Device({ captureStacks: true }), pd = device.allocPd();
    const mr = pd.regUserMr(new Uint8Array(64));
    const { sge } = pd.acquire({ addr: mr.start, length: 64, lkey: mr.lkey }, 0);
    const token = device.share();
    class Thing {}
    const thing = new Thing();
    const calls = [
      () => device.keyTable(), () => device.resources(), () => device.counters(), () => Device.attach(token).detach(),
      () => new SgeState([sge, sge]).walk([1, 2]), () => pd.regUserMr(thing), () => device.allocPd(() => 1),
      // Enough domains that the stacks of closed ones are dropped.
      () => { for (let i = 0; i < 1100; i++) device.allocPd().dealloc(); },
    ];
    const run = () => {
      for (let i = 0; i < calls.length; i++) { try { calls[i](); } catch {} }
    };
    const write = require('node:fs').writeSync;
  `;
  const iteratorOf = (list: string): string => `Object.getPrototypeOf(${list}[Symbol.iterator]())`;
  // Each replacement makes a loop of the language endless if the loop relies on it.
  test.each([
    ['the iterator of arrays', `${iteratorOf('[]')}.next = function () { return this; };`],
    ['the iterator of maps', `${iteratorOf('new Map()')}.next = function () { return this; };`],
    ['the iterator of sets', `${iteratorOf('new Set()')}.next = function () { return this; };`],
    [
      'an iterator of every object',
      'Object.prototype[Symbol.iterator] = () => ({ next: () => ({ done: false }) });',
    ],
    [
      'the length of views',
      `Object.defineProperty(Object.getPrototypeOf(Uint8Array.prototype), 'length', { get: () => Infinity });`,
    ],
    ['Object.getPrototypeOf', 'Object.getPrototypeOf = (object) => object;'],
    [
      'Object.getPrototypeOf and the detection of Proxies',
      'Object.getPrototypeOf = (object) => object; util.types.isProxy = () => false;',
    ],
    [
      'Object.getOwnPropertyDescriptor',
      'Object.getOwnPropertyDescriptor = () => undefined; Object.getPrototypeOf = (object) => object;',
    ],
    ['Reflect.getPrototypeOf', 'Reflect.getPrototypeOf = (object) => object;'],
  ])('with a replacement for %s', (_, replace) => {
    const program = `${prelude} ${replace} run(); write(1, 'ended'); process.reallyExit(0);`;
    const { status, signal, stdout } = runProgram(program, ['--max-old-space-size=200'], 50_000);
    expect({ status, signal, stdout }).toEqual({ status: 0, signal: null, stdout: 'ended' });
  });
});

describe('views that lie', () => {
  const LIES = {
    length: 1 << 20,
    byteLength: 1 << 20,
    byteOffset: -64,
    buffer: new ArrayBuffer(1),
    BYTES_PER_ELEMENT: 1 << 10,
  };
  const liars: [string, (buffer: ArrayBuffer) => MemoryLike][] = [
    [
      'by getters of a subclass',
      (buffer) => {
        class Liar extends Uint8Array {}
        for (const [name, value] of Object.entries(LIES)) {
          Object.defineProperty(Liar.prototype, name, { get: () => value });
        }
        return new Liar(buffer, 64, 64);
      },
    ],
    [
      'by own properties',
      (buffer) => {
        const view = new Float32Array(buffer, 64, 16);
        for (const [name, value] of Object.entries(LIES)) Object.defineProperty(view, name, { value });
        return view;
      },
    ],
    ['by having no prototype', (buffer) => Object.setPrototypeOf(new BigInt64Array(buffer, 64, 8), null)],
    [
      'by the prototype of another kind',
      (buffer) => Object.setPrototypeOf(new DataView(buffer, 64, 64), Float64Array.prototype),
    ],
    [
      'by a prototype that is a Proxy',
      (buffer) =>
        Object.setPrototypeOf(
          new Uint16Array(buffer, 64, 32),
          new Proxy(
            {},
            {
              get: () => {
                throw new Error('must not be read');
              },
            },
          ),
        ),
    ],
    [
      'by their species and iterator',
      (buffer) => {
        class Other extends Uint8Array {
          static get [Symbol.species](): any {
            throw new Error('must not be read');
          }
          override [Symbol.iterator](): any {
            throw new Error('must not be read');
          }
          get [Symbol.toPrimitive](): any {
            throw new Error('must not be read');
          }
        }
        return new Other(buffer, 64, 64);
      },
    ],
    [
      'with a constructor that rejects a second call',
      (buffer) => {
        let made = 0;
        class Once extends Uint8Array {
          constructor(...args: [ArrayBuffer, number, number]) {
            if (made++) throw new Error('must not be constructed');
            super(...args);
          }
        }
        return new Once(buffer, 64, 64);
      },
    ],
  ];

  test.each(liars)('%s are registered, mapped, filled and read with their real bytes', (_, make) => {
    const { device, pd, qp } = scene({ keyPolicy: 'sequential' });
    const buffer = new ArrayBuffer(192);
    const view = make(buffer);
    const mr = pd.regUserMr(view, { start: 0n, iova: 0n, access: ALL });
    expect([mr.length, device.dma.map(view).length]).toEqual([64, 64]);
    const mine = pd.regUserMr(Buffer.alloc(64, 0x21), { access: ALL });
    const sge = accepted(pd.acquire({ addr: mine.start, length: 64, lkey: mine.lkey }, 1));
    const batch = pd.lkeyBatch(1);
    batch.set(0, mine.start, 64, mine.lkey);
    for (const fill of [
      () => sge.copyTo(view),
      () => sge.copyTo(view, { offset: 0 }),
      () => new SgeState([sge]).copyOut(view),
      () => batch.gather(view, 1, 0),
      () =>
        accepted(qp.acquire({ vaddr: 0n, length: 64, rkey: mr.rkey }, 2)).copyFrom(Buffer.alloc(64, 0x21)),
    ]) {
      fillRim(buffer);
      expect(fill()).toBe(64);
      expectOnly(buffer, 64, 64, 0x21);
    }
    new Uint8Array(buffer, 64, 64).fill(0x22);
    for (const read of [
      () => sge.copyFrom(view),
      () => sge.copyFrom(view, { ordered: true }),
      () => new SgeState([sge]).copyIn(view),
      () => batch.scatter(view, 1, 1),
    ]) {
      expect(read()).toBe(64);
      const target = Buffer.alloc(64);
      sge.copyTo(target);
      expect(target.equals(Buffer.alloc(64, 0x22))).toBe(true);
      sge.copyFrom(Buffer.alloc(64));
    }
    // As packed elements: 64 bytes are four elements with key 0x22222222.
    expect(batch.checkPacked(view, 0)).toBe(0);
    expect(batch.firstReason).toBe('NoSuchKey');
  });

  test('values that are not memory are rejected by batches as well', () => {
    const { pd } = scene();
    const batch = pd.lkeyBatch(1);
    const wrong: unknown[] = [
      ...[
        undefined,
        null,
        'bytes',
        [1, 2],
        {},
        { byteLength: 16, buffer: new ArrayBuffer(16) },
        new Blob(['x']),
      ],
      ...[
        new Proxy(new Uint8Array(16), {}),
        Object.create(Uint8Array.prototype),
        Object.create(new Uint8Array(16)),
      ],
    ];
    for (const memory of wrong as any[]) {
      expect(
        toldAll([
          ['gather', () => batch.gather(memory, 1, 0)],
          ['scatter', () => batch.scatter(memory, 1, 1)],
          ['check', () => batch.checkPacked(memory, 0)],
        ]),
      ).toBe('ERR_INVALID_ARG_TYPE');
    }
    // The lengths are not multiples of the element size.
    for (const length of [1, 15, 17, 31]) {
      expect(told(() => batch.checkPacked(new Uint8Array(length), 0))).toBe('ERR_OUT_OF_RANGE');
    }
  });
});
