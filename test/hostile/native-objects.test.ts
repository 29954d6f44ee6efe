// What the native objects behind the handles do when a program calls them directly.
import { runProgram } from '../support/programs';

// Programs of their own: what is wrong in native code may end the process.
describe('the native objects', () => {
  const prelude = `
    const { native } = require('./test/support/native.cjs');
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
      const block = new Uint8Array(new SharedArrayBuffer(64 + 4 * (16 + 4 + 24)));
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
