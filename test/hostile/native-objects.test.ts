// The native objects behind the handles, called directly by a program.
import { runProgram } from '../support/programs';

// Each test runs in a process of its own: an error in native code may end the process.
describe('the native objects', () => {
  const prelude = `
    const { native, Block, Region, Element, Word, COMMAND_BYTES, UNANSWERED } = require('./test/support/native.cjs');
    const block = new Block();
    const GUARD = 0xa5;
    const slab = new Uint8Array(4096 + 128).fill(GUARD);
    const bytes = slab.subarray(64, 64 + 4096);
    const EBADF = -9, EINVAL = -22;
    function everything() {
      const device = native.openDevice(5, false, true, false, new Uint32Array(13).fill(250));
      const pd = device.allocPd(false), qp = pd.createCheckQp();
      const user = block.register(pd, bytes, 0x1000n, 0x1000n, 31);
      const mapping = device.mapDma(new Uint8Array(8192), 0x100000n);
      const sge = block.acquire(pd, 0x1000n, 64, user.key, 1);
      const [zero, sg, fmr] = [['getDmaMr', 0], ['allocMr', 0, 4], ['allocFmr', 31, 4, 32, 12]].map((how) => block.make(pd, ...how));
      const memory = new Uint8Array(new SharedArrayBuffer(64 + 4 * (16 + 4 + 24)));
      const batch = native.createBatch(pd, memory, 4, true, false);
      new Uint32Array(memory.buffer).set([0x1000, 0, 64, user.key], 16);
      return { device, pd, qp, mapping, batch, state: native.createSgeState(block.elements(sge)), regions: { user, zero, sg, fmr }, sge };
    }
    /** Returns the native objects of everything(). */
    const nativeOnes = ({ regions, sge, ...objects }) => Object.values(objects);
    const methodsOf = (object) => Object.getOwnPropertyNames(Object.getPrototypeOf(object))
      .filter((name) => name !== 'constructor' && typeof object[name] === 'function' && !(name in Object.prototype));
    const rimIntact = () => slab.subarray(0, 64).every((byte) => byte === GUARD) && slab.subarray(64 + 4096).every((byte) => byte === GUARD);
    let seed = 4711;
    const dice = (n) => ((seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff) >>> 8) % n;
    const pick = (list) => list[dice(list.length)];
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    const nameOf = (use) => { try { const answer = use(); return typeof answer === 'object' ? 'object' : String(answer); } catch (error) { return error.code ?? error.name; } };
    /** The functions of the module that read the command block. */
    const commands = ['checkOne', 'placeOne', 'acquireOne', 'describeSge', 'putOne', 'copyOut', 'copyIn', 'fetchAdd', 'compareSwap', 'regUserMr', 'reregMr', 'queryMr', 'releaseMr', 'stampOfKey',
      'countMr', 'mapPhys', 'mapSg', 'allocMw', 'queryMw', 'deallocMw', 'leaseMr', 'empty'];
  `;

  function expectOutput(program: string, stdout: string): void {
    const { status, signal, ...output } = runProgram(prelude + program, ['--no-warnings']);
    expect({ status, signal, ...output }).toEqual({ status: 0, signal: null, stdout, stderr: '' });
  }

  test('their methods on any other value throw a TypeError', () => {
    expectOutput(
      `const all = everything();
       const objects = nativeOnes(all).filter((object) => object !== all.batch);
       let calls = 0;
       for (const object of objects) {
         for (const name of methodsOf(object)) {
           const others = objects.filter((other) => Object.getPrototypeOf(other) !== Object.getPrototypeOf(object));
           const forged = [undefined, null, 1, 'x', {}, [], native, Object.create(object), Object.create(Object.getPrototypeOf(object)),
             new Proxy(object, {}), Object.getPrototypeOf(object), object.constructor, all.batch, all.sge.holder, all.regions.user];
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
       for (const object of nativeOnes(all)) {
         const { constructor } = object;
         if (constructor === Object) continue;
         for (const make of [() => new constructor(), () => constructor(), () => Reflect.construct(constructor, [object]), () => Reflect.construct(constructor, [], Array),
           () => new (class extends constructor {})(), () => Reflect.construct(class {}, [], constructor).put()]) {
           try { make(); console.log(constructor.name, String(make), 'made'); } catch (error) { if (!(error instanceof TypeError)) console.log(error); }
         }
         // A Proxy as the new target, whose traps return real objects during the construction, does not help either.
         const target = new Proxy(function () {}, { get() { return everything().pd; } });
         try { Reflect.construct(constructor, [], target); console.log('made'); } catch (error) { if (!(error instanceof TypeError)) console.log(error); }
       }
       // Real objects keep working after their class was tampered with.
       const { constructor } = all.state;
       constructor.prototype = new Proxy({}, { get() { throw new Error('not to be asked'); } });
       Object.setPrototypeOf(all.device, null);
       console.log(native.createSgeState(block.elements(block.acquire(all.pd, 0x1000n, 64, 256, 1))).totalLength(), rimIntact());`,
      '64 true\n',
    );
  });

  test('any arguments, in any order, with any words in the command block, yield a result, and only registered bytes move', () => {
    expectOutput(
      `const Float = globalThis.Float16Array ?? Float32Array;
       const types = [Uint8Array, Int8Array, Uint8ClampedArray, Uint16Array, Uint32Array, BigUint64Array, BigInt64Array, Float64Array, Float, DataView];
       // Each view lies between its own guards.
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
       const flat = () => nativeOnes(all);
       // Names of existing objects, of closed ones, and of ones that never existed.
       const elements = [], regions = [];
       const list = (most, names) => new Uint32Array(names.buffer.slice(0, 4 * dice(most)));
       const values = [() => undefined, () => null, () => true, () => false, () => 0, () => 1, () => 8, () => 31, () => 64, () => 256, () => 4096, () => 2 ** 32 - 1,
         () => 2 ** 32, () => 2 ** 53, () => -1, () => NaN, () => 1.5, () => 0n, () => 0x1000n, () => 0x100000n, () => 2n ** 64n - 1n, () => 2n ** 64n, () => -1n,
         () => 'x', () => Symbol(), () => ({}), () => [], () => new Proxy([], {}), () => () => 1, view, view, view, () => pick(flat()), () => pick(flat()),
         () => block.elements(pick(elements), pick(elements)), () => block.elements(all.sge), () => list(9, block.elements(all.sge, pick(elements), pick(elements), pick(elements))),
         () => block.regions(pick(regions)), () => block.regions(all.regions.fmr, all.regions.fmr), () => list(13, block.regions(pick(regions), pick(regions), pick(regions))),
         () => new Uint32Array(pick([2, 4, 512, 70000])).fill(1), () => bytes, () => { const list = []; list.length = 70000; return list; }];
       const words = [() => 0, () => 1, () => 2, () => 31, () => 8, () => 64, () => 256, () => 0x1000, () => 0x100000, () => 0xffffffff, () => 0x80000000, () => dice(2 ** 23)];
       const longs = [() => 0n, () => 1n, () => 0x1000n, () => 0x100000n, () => 2n ** 64n - 1n, () => 2n ** 63n, () => BigInt(dice(2 ** 20)), () => 3n];
       const hostileWords = () => {
         for (let i = dice(6); i > 0; i--) block.words[dice(block.words.length)] = pick(words)();
         for (let i = dice(3); i > 0; i--) block.longs[dice(block.longs.length)] = pick(longs)();
       };
       const fill = (name) => {
         block.storeAccess(pick([all.pd, all.qp, dice(8), 0xffffffff]), pick([0x1000n, 0x1000n, 0x100000n, 0n]), pick([8, 8, 64, 0, 4097]), pick([all.regions.user.key, 0, dice(1024)]), dice(32));
         if (/^(copy|map)/.test(name)) block.storeLong(Word.Address, pick([0, 0, 8, 0x1000]));
         if (name === 'mapSg') block.words[Word.Length] = pick([4096, 4096, 0]);
         const known = name === 'mapSg' && dice(2);
         if (/^map|Mr/.test(name) && dice(4)) block.storeRegion(dice(2) ? pick(Object.values(all.regions)) : pick(regions));
         if (known) block.storeRegion(all.regions.sg);
         if (name === 'mapPhys' && dice(2)) { block.storeRegion(all.regions.fmr); block.storeLong(Word.Iova, 0x7000n); }
         if (dice(2)) block.storeElement(pick(elements)); else block.words[Word.Cell] = native.bindCell({});
         Object.assign(block.words, { [Word.LastCell]: pick(elements).cell, [Word.LastGeneration]: pick(elements).generation, [Word.Flags]: name === 'reregMr' ? pick([8, 16, 32, 40, 56]) : dice(8) | pick([0, 0, 64]) });
         if (name === 'leaseMr' && dice(2)) { block.storeRegion(all.regions.user); block.storeLong(Word.Address, 0x1000n); block.storeLong(Word.Operand, 8n); Object.assign(block.words, { [Word.Access]: 4, [Word.NewChecker]: 0 }); }
         block.words[Word.Mode] = dice(20) ? 0 : dice(4);
         if (dice(3) === 0) hostileWords();
       };
       const few = BigUint64Array.from([0x100000n, 4096n]), pages = BigUint64Array.from([0x100000n]);
       let calls = 0, answered = 0;
       const succeeded = new Set();
       for (let round = 0; round < 60; round++) {
         all = everything();
         const { sge } = all;
         elements.splice(0, elements.length - 20, sge, sge, sge, new Element({}, sge.cell, sge.generation + 1), new Element({}, sge.cell, sge.generation - 1), new Element({}, sge.cell + 1, 1), new Element({}, 0, 0),
           new Element({}, 0xffffffff, 0xffffffff));
         const { user } = all.regions;
         regions.splice(0, regions.length - 20, ...Object.values(all.regions), ...Object.values(all.regions), new Region(user.checker, user.index, 3n), new Region(user.checker, 4, 1n), new Region(user.checker, 5, 1n),
           new Region(user.checker, 2 ** 32 - 1, 1n), new Region(all.qp.number(), user.index, user.generation), new Region(0, 0, 1n), new Region(0xffffffff, 0, 1n));
         for (let i = 0; i < 800; i++) {
           const object = dice(2) ? native : pick(flat());
           const names = object === native ? (dice(4) ? commands : Object.keys(native).filter((name) => typeof native[name] === 'function' && !/onLeak|awaitPut/.test(name)))
             : object === all.batch ? Object.keys(object) : methodsOf(object);
           if (!names.length) continue;
           const name = pick(names);
           if (/^(close|dealloc|destroy|detach)$/.test(name) && dice(50)) continue;
           calls++;
           fill(name);
           block.words[Word.Answer] = UNANSWERED;
           const args = Array.from({ length: dice(7) }, () => pick(values)());
           if (object === native && dice(2)) args[0] = /^map/.test(name) ? pick([few, few, pages]) : bytes.subarray(0, pick([0, 8, 64, 4096]));
           try { Reflect.apply(object[name], object, args); answered++; }
           catch (error) { if (!(error instanceof TypeError)) console.log(name, error); }
           if (commands.includes(name) && object === native) {
             if (block.answer === UNANSWERED && name !== 'empty') console.log(name, 'did not answer');
             if (block.answer === 0 || (name === 'mapSg' && block.answer > 0)) succeeded.add(name);
             if (name === 'acquireOne' && block.answer === 0) elements.push(new Element({}, block.words[Word.Cell], block.words[Word.CellGeneration]));
             if (name === 'regUserMr' && block.answer === 0) regions.push(block.newRegion(block.words[Word.Checker]));
           }
         }
         if (!viewsIntact() || !rimIntact()) throw new Error('written outside');
       }
       console.log(calls > 20000, answered > 10000, commands.filter((name) => name !== 'empty' && !succeeded.has(name)).join());`,
      'true true \n',
    );
  });

  test('the name of one SGE never reaches another SGE', () => {
    expectOutput(
      `const { pd, qp, regions: { user, sg }, sge } = everything();
       const told = (element) => [block.describe(element), block.put(element), block.copyOut(element, new Uint8Array(8)), block.copyIn(element, new Uint8Array(8)),
         block.fetchAdd(element, 1n), block.compareSwap(element, 0n, 1n), native.createSgeState(block.elements(element))];
       const dead = (element) => { const answers = told(element); if (answers.join() !== Array(7).fill(EBADF).join()) throw new Error(JSON.stringify(element) + answers); };
       const refs = block.refs(user);
       let second = block.acquire(pd, 0x1100n, 32, user.key, 1);
       // Names that were never assigned are invalid.
       const { cell, generation } = second;
       for (const made of [[0, 0], [0, 1], [cell, 0], [cell, generation + 1], [cell, generation - 1], [cell, 0xffffffff], [cell + 1, generation], [256, 1], [257, 1], [0xffffffff, 1], [0x80000000, 1], [2 ** 24, generation]])
         dead(new Element({}, ...made));
       // Acquire one SGE after another in the same cell: old names stay invalid.
       const old = [];
       for (let i = 0; i < 100; i++) {
         old.push(second);
         if (block.put(second) !== 0) throw new Error('put');
         dead(second);
         if (second.cell !== cell) throw new Error('another cell');
         second = block.acquire(pd, 0x1100n + 32n * BigInt(i % 8), 32, user.key, 1, { cell });
         for (const name of old) if (name.generation === second.generation) throw new Error('the same generation');
         old.slice(-3).forEach(dead);
       }
       // A full cell takes no other SGE and keeps its own.
       console.log(block.acquire(pd, 0x1000n, 8, user.key, 1, { cell }), Number(block.describe(second).SgeLength), block.acquire(pd, 0x1000n, 8, user.key, 1, { cell: 0 }), block.acquire(pd, 0x1000n, 8, user.key, 1, { cell: cell + 7 }));
       // An SGE coalesces only under its exact name.
       if (block.mapSg(sg, BigUint64Array.from([0x100000n, 8192n])) !== 1) throw new Error('not mapped');
       const { Lkey } = block.query(sg);
       const first = block.acquire(pd, 0x100000n + 96n, 4000, Number(Lkey), 0);
       const next = (last) => block.acquire(pd, 0x101000n, 100, Number(Lkey), 0, { last });
       for (const last of [undefined, old[7], { cell, generation: 0 }, { cell: first.cell, generation: first.generation + 1 }, { cell: 0, generation: first.generation }]) if (!(next(last) instanceof Element)) throw new Error('continued');
       console.log(next(first), Number(block.describe(first).SgeLength), next(first) instanceof Element);
       // The old name of a put SGE does not reach the new SGE in the same cell.
       block.put(first);
       const reborn = block.acquire(pd, 0x100000n + 96n, 4000, Number(Lkey), 0, { cell: first.cell });
       console.log(next(first) instanceof Element, Number(block.describe(reborn).SgeLength), next(reborn));
       // An SGE of one device cannot be the last of an SGE of another device.
       const other = everything();
       console.log(block.acquire(other.pd, 0x1000n, 8, other.regions.user.key, 1, { last: second }), block.acquire(other.qp, 0x1000n, 8, other.regions.user.key, 1, { last: second }) instanceof Element);
       console.log(rimIntact());`,
      ['-22 32 -22 -22', '256 4100 true', 'true 4000 256', '-22 true', 'true', ''].join('\n'),
    );
  });

  test('the name of one region never reaches another region', () => {
    expectOutput(
      `const { device, pd, qp, regions: { user, fmr, sg, zero } } = everything();
       const pages = BigUint64Array.from([0x100000n]);
       const told = (region) => [block.query(region), block.release(region), block.release(region, 1), block.release(region, 2), block.count(region), block.mapPhys(region, pages, 0n), block.mapSg(region, pages),
         block.fastReg(qp, region, 256, 1, undefined), native.unmapFmr(block.regions(region))];
       const dead = (region) => { const answers = told(region); if (!answers.every((answer) => answer === EBADF)) throw new Error(JSON.stringify(region, (_, value) => typeof value === 'bigint' ? String(value) : value) + answers); };
       const checker = pd.number(), { index, generation } = user;
       // Names with unused slots inside and outside the pool, generations that never existed, or numbers of no domain are invalid.
       for (let i = 0; i < 300; i++) {
         if (![user, fmr, sg, zero].some((region) => region.index === i)) for (const made of [1n, 3n, 2n, 0n, 2n ** 64n - 1n]) dead(new Region(checker, i, made));
       }
       for (const made of [[checker, index, generation + 1n], [checker, index, generation + 2n], [checker, index, generation + (1n << 32n)], [checker, index, 0n], [checker, 2 ** 32 - 1, 1n], [checker, 2 ** 31, 1n],
         [0, index, generation], [checker + 50, index, generation], [0xffffffff, index, generation], [0x80000000, index, generation]]) dead(new Region(...made));
       // A name with the same index and generation, but a domain of another device, is invalid too.
       const other = native.openDevice(5, false, true, false, new Uint32Array(13).fill(250)).allocPd(false);
       dead(new Region(other.number(), index, generation));
       // A list is released completely or not at all.
       console.log(pd.deregMany(block.regions(user, new Region(checker, 17, 1n)), true), pd.deregMany(block.regions(user, new Region(other.number(), index, generation)), true), block.refs(user),
         native.unmapFmr(block.regions(fmr, new Region(checker, 17, 1n))), native.unmapFmr(block.regions(new Region(checker, 17, 1n), fmr)));
       // Register one region after another in the same slot: old names stay invalid.
       let last = block.register(pd, bytes, 0n, 0n, 1);
       for (let i = 0; i < 100; i++) {
         const before = last;
         if (block.release(last) !== 0) throw new Error('held');
         dead(before);
         last = block.register(pd, bytes, 0n, 0n, 1);
         if (last.index !== before.index || last.generation === before.generation || last.id === before.id) throw new Error('not a new region in the same slot');
         dead(before);
       }
       // The number of a queue pair names no domain to register in, nor does any number after the domain is closed.
       console.log(block.register(qp, bytes, 0n, 0n, 1), block.register(0, bytes, 0n, 0n, 1), block.register(0xffffffff, bytes, 0n, 0n, 1), block.register(pd, bytes.buffer, 0n, 0n, 1));
       const numbers = [pd.number(), qp.number()];
       pd.dealloc(true);
       [user, fmr, sg, last].forEach(dead);
       console.log(numbers.map((number) => [block.register(number, bytes, 0n, 0n, 1), block.check(number, 0x1000n, 8, 256, 0), block.place(number, 0x1000n, 8, 256, 0), block.acquire(number, 0x1000n, 8, 256, 0)].join()).join(' '), rimIntact());`,
      ['-22 -22 3 -9 -9', '-9 -9 -9 -22', '-9,16,16,16 -9,16,16,16 true', ''].join('\n'),
    );
  });

  test('any object can be bound as a holder, and each has a cell of its own', () => {
    expectOutput(
      `for (const no of [undefined, null, 0, 1, 'x', true, 1n, Symbol.for('x')]) {
         const before = native.bindCell({});
         if (nameOf(() => native.bindCell(no)) !== 'TypeError' || nameOf(() => native.bindCell()) !== 'TypeError') throw new Error('bound');
         // The failed calls used no cell.
         if (native.bindCell({}) !== before + 1) throw new Error('a cell was lost');
       }
       const { pd, regions: { user } } = (globalThis.kept = everything());
       const rest = block.refs(user);
       const twice = {}, revoked = Proxy.revocable({}, {});
       revoked.revoke();
       const hostile = new Proxy({}, new Proxy({}, { get() { throw new Error('asked'); } }));
       const holders = [twice, twice, twice, Object.freeze({}), [], () => 1, hostile, revoked.proxy, Symbol('not registered'), native, globalThis, new Uint8Array(8), block, /x/, Promise.resolve(), new WeakRef({})];
       const elements = holders.map((holder) => { const cell = native.bindCell(holder); return [cell, block.acquire(pd, 0x1000n, 8, user.key, 1, { cell })]; });
       console.log(new Set(elements.map(([cell]) => cell)).size === holders.length, block.refs(user) - rest === holders.length);
       for (const [, element] of elements) if (block.put(element) !== 0) throw new Error('not put');
       // When an object with many cells is collected, all its SGEs are put.
       (() => { const one = {}; for (let i = 0; i < 1000; i++) block.acquire(pd, 0x1000n, 8, user.key, 1, { cell: native.bindCell(one) }); })();
       const many = block.refs(user) - rest;
       (async () => {
         for (let i = 0; i < 30 && block.refs(user) > rest; i++) { gc(); await turn(); await turn(); }
         console.log(many, block.refs(user) - rest, rimIntact());
       })();`,
      'true true\n1000 0 true\n',
    );
  });

  test('a cell whose holder was collected takes no SGE, and names of its SGEs are never reused', () => {
    expectOutput(
      `const { pd, regions: { user } } = (globalThis.kept = everything());
       const rest = block.refs(user);
       const dropped = [];
       // Use whole chunks of cells, whose memory is released and reallocated.
       const round = async () => {
         (() => { for (let i = 0; i < 2000; i++) {
           const element = block.acquire(pd, 0x1000n, 8, user.key, 1);
           if (i % 3 === 0) block.put(element);
           dropped.push([element.cell, element.generation]);
         } })();
         for (let i = 0; i < 30 && block.refs(user) > rest; i++) { gc(); await turn(); await turn(); }
         if (block.refs(user) !== rest) throw new Error('not put');
         for (let i = 0; i < 3; i++) { gc(); await turn(); }
         let full = 0;
         for (const [cell, generation] of dropped) {
           if (block.describe({ cell, generation }) !== EBADF || block.put({ cell, generation }) !== EBADF) throw new Error('an old name');
           const answer = block.acquire(pd, 0x1000n, 8, user.key, 1, { cell });
           if (answer !== EINVAL) full++;
         }
         if (full) throw new Error(full + ' cells without a holder took an element');
       };
       (async () => {
         for (let i = 0; i < 4; i++) await round();
         console.log(new Set(dropped.map(String)).size === dropped.length, rimIntact());
       })();`,
      'true true\n',
    );
  });

  test('a program that obtains the callback of the registry can only end SGEs by guessing their numbers', () => {
    expectOutput(
      // Load the native module again after replacing FinalizationRegistry, so that the program gets the callback.
      `const held = [], registered = [];
       let during = () => {};
       globalThis.FinalizationRegistry = class { constructor(callback) { held.push(callback); } register(...args) { registered.push(args); during(...args); } };
       const path = Object.keys(require.cache).find((path) => path.endsWith('.node'));
       delete require.cache[path];
       const module = require(path), own = new Block(module);
       const [collected] = held;
       const device = module.openDevice(5, false, true, false, new Uint32Array(13).fill(250)), pd = device.allocPd(false), user = own.register(pd, bytes, 0x1000n, 0x1000n, 31);
       const acquire = (how) => own.acquire(pd, 0x1000n, 64, user.key, 1, how);
       const sge = acquire(), state = module.createSgeState(own.elements(sge));
       for (const number of [0, -1, 2 ** 32 - 1, 2 ** 32, 2 ** 31, 1e9, 256, 257, sge.cell + 1, NaN, 1.5e300, Infinity, 'x', undefined, null, {}, 1n, Symbol(), [sge.cell + 1], new Proxy({}, {})]) collected(number);
       collected();
       console.log(held.length, own.refs(user), Number(own.describe(sge).SgeLength), registered[0].length, registered[0][1] === sge.cell);
       // Pass the number of a live holder: the SGE's name becomes invalid, and the SGE is put when the walk over it ends.
       collected(sge.cell); collected(sge.cell); Reflect.apply(collected, null, [sge.cell, 1, 2]);
       console.log(own.refs(user), own.describe(sge), own.put(sge), acquire({ cell: sge.cell }), state.copyOut(new Uint8Array(8), false), state.put(), own.refs(user));
       // Now two holders have one cell: the name of the first SGE does not reach the second SGE.
       const second = acquire();
       console.log(second.cell === sge.cell, own.describe(sge), Number(own.describe(second).SgeLength), own.put(sge), own.put(second), own.refs(user));
       // Call back while a holder is being bound: with its own number, with other numbers, and then throw.
       const outcomes = [];
       for (const act of [([, number]) => collected(number), ([, number]) => { collected(number); module.bindCell({}); }, ([, number]) => { collected(number); throw new RangeError('no'); },
         ([, number]) => { collected(number); during = () => {}; module.bindCell({}); throw new RangeError('no'); }, () => { during = () => {}; for (let i = 0; i < 600; i++) module.bindCell({}); },
         () => { for (let i = 0; i < 2000; i++) collected(i); }, () => gc()]) {
         let depth = 0;
         during = (...args) => { if (depth++ < 3) act(args); };
         outcomes.push(nameOf(() => { const answer = acquire(); return typeof answer === 'object' ? own.put(answer) : answer; }));
       }
       during = () => {};
       console.log(outcomes.join());
       for (let i = 0; i < 2000; i++) collected(i);
       let random = 0;
       for (let i = 0; i < 20000; i++) {
         const element = acquire();
         if (!(element instanceof Element)) throw new Error('refused ' + element);
         if (dice(3) === 0) own.put(element);
         collected(dice(700));
         if (dice(10) === 0) random += Number(own.put({ cell: dice(700), generation: dice(40) }) === 0);
       }
       for (let i = 0; i < 70000; i++) collected(i);
       console.log(own.refs(user), random > 0, rimIntact(), own.release(user), device.close(false));`,
      [
        '1 3 64 2 true',
        '3 -9 -9 -22 8 0 2',
        'true -9 64 -9 0 2',
        '-22,0,RangeError,RangeError,0,-22,0',
        '2 true true 0 -16',
        '',
      ].join('\n'),
    );
  });

  test('without a valid command block every call fails and does nothing', () => {
    expectOutput(
      // Load a separate instance of the native module, which has no command block yet.
      `const path = Object.keys(require.cache).find((path) => path.endsWith('.node'));
       delete require.cache[path];
       const module = require(path);
       const device = module.openDevice(5, false, true, false, new Uint32Array(13).fill(250)), pd = device.allocPd(false), qp = pd.createCheckQp();
       const memory = new Uint8Array(new SharedArrayBuffer(64 + 4 * 20));
       const batch = module.createBatch(pd, memory, 4, false, false);
       console.log(commands.map((name) => nameOf(() => module[name](bytes))).every((answer) => answer === 'undefined'),
         ['acquire', 'put', 'take', 'check'].map((name) => nameOf(() => batch[name](true))).every((answer) => answer === 'undefined'),
         pd.allocMr(0, 4), pd.getDmaMr(0), pd.allocFmr(1, 1, 1, 12), qp.fastRegMr(256, 1, undefined), module.bindCell({}), module.unmapFmr(new Uint32Array(4)), pd.deregMany(new Uint32Array(4), true));
       const shared = new SharedArrayBuffer(4096);
       for (const wrong of [undefined, null, 0, {}, shared, new ArrayBuffer(4096), new Uint8Array(4096), new Uint8Array(shared, 4), new Uint8Array(shared, 1), new Uint8Array(shared, 4096 - 248), new Uint8Array(0),
         new Uint8Array(new SharedArrayBuffer(COMMAND_BYTES - 1)), new Int8Array(shared), new Uint32Array(shared), new BigUint64Array(shared), new DataView(shared), new Proxy(new Uint8Array(shared), {})]) {
         if (nameOf(() => module.commandBlock(wrong)) !== 'TypeError') throw new Error('taken');
       }
       // The first valid block is accepted, even at the very end of its memory; later calls return the same block.
       const right = new Uint8Array(shared, 4096 - COMMAND_BYTES);
       new Uint8Array(shared).fill(GUARD);
       if (module.commandBlock(right) !== right) throw new Error('not taken');
       for (const later of [new Uint8Array(shared), undefined, {}, new Uint8Array(8), new Uint8Array(new SharedArrayBuffer(256))]) if (module.commandBlock(later) !== right) throw new Error('another');
       const own = new Block(module), user = own.register(pd, bytes, 0x1000n, 0x1000n, 31);
       const sge = own.acquire(pd, 0x1000n, 64, user.key, 31);
       own.query(user);
       // Use the memory of the block itself as registered memory, and as source and target.
       const self = own.register(pd, right, 0x9000n, 0x9000n, 31), over = own.acquire(pd, 0x9000n, COMMAND_BYTES, self.key, 31);
       console.log(own.copyOut(over, right), own.copyIn(over, right), own.copyOut(sge, right), own.copyIn(over, new Uint8Array(COMMAND_BYTES).fill(255)));
       console.log(own.put(over), own.put(sge), own.release(user), own.release(self), new Uint8Array(shared, 0, 4096 - COMMAND_BYTES).every((byte) => byte === GUARD), rimIntact());`,
      // The result is written after the bytes, so that a copy over the command block does not destroy the result.
      ['true true 0 0 0 -9 1 -9 -22', '256 256 64 256', '0 0 0 0 true true', ''].join('\n'),
    );
  });

  test('a region is bound to its buffer, not to the address of the bytes', () => {
    expectOutput(
      `const { pd } = everything();
       const told = (region, where) => { const element = block.acquire(pd, where, 8, region.key, 31); const target = new Uint8Array(8); const answer = typeof element === 'number' ? element : block.copyOut(element, target);
         if (typeof element === 'object') block.put(element); return [answer, target[0]].join(); };
       // Transfer the bytes from buffer to buffer, which keeps their address: the old regions lose the bytes and never get them back.
       let buffer = new ArrayBuffer(4096);
       const chain = [];
       for (let i = 0; i < 20; i++) {
         new Uint8Array(buffer).fill(i);
         chain.push({ buffer, region: block.register(pd, new Uint8Array(buffer, 8, 64), BigInt(0x100000 * i), BigInt(0x100000 * i), 31), at: BigInt(0x100000 * i) });
         const before = new Uint8Array(buffer), next = structuredClone(buffer, { transfer: [buffer] });
         // A detached buffer has no bytes to register.
         const empty = block.register(pd, before, 0n, 0n, 1);
         if (typeof empty !== 'number') throw new Error('registered');
         buffer = next;
       }
       const gone = native.reasonNames.indexOf('MemoryDetached');
       console.log(chain.every(({ region, at }) => told(region, at) === gone + ',0'));
       // Register a buffer twice through two views, release in either order, and register again in between and afterwards.
       const again = [0, 8].map((offset) => block.register(pd, new Uint8Array(buffer, offset, 64), 0x10n, 0x10n, 31));
       const answers = [told(again[0], 0x10n), block.release(again[0]), told(again[1], 0x10n)];
       const third = block.register(pd, new Uint8Array(buffer, 0, 4096), 0x10n, 0x10n, 31);
       answers.push(block.release(again[1]), told(third, 0x10n), block.release(third), told(block.register(pd, new Uint8Array(buffer), 0x10n, 0x10n, 31), 0x10n));
       console.log(answers.join(' '));
       // Several unrelated objects for the same shared memory.
       const shared = new SharedArrayBuffer(4096);
       const channel = new MessageChannel();
       channel.port1.postMessage([shared, shared]);
       channel.port2.once('message', ([copy]) => {
         new Uint8Array(copy).fill(7);
         const regions = [shared, copy, shared, copy, copy].map((memory) => block.register(pd, new Uint8Array(memory, 64), 0x10n, 0x10n, 31));
         console.log(copy !== shared, regions.map((region) => told(region, 0x10n)).join(' '));
         console.log([2, 0, 4, 1, 3].map((i) => block.release(regions[i])).join(), rimIntact());
         channel.port1.close();
       });
       // Only a Uint8Array is accepted.
       for (const other of [new Float32Array(2), new Uint8ClampedArray(8), new Int8Array(8), new DataView(shared), [], 'x', undefined, null, {}, new Proxy(bytes, {}), Object.create(bytes)]) {
         if (block.register(pd, other, 0n, 0n, 1) !== EINVAL) throw new Error('registered');
       }`,
      ['true', '8,19 0 8,19 0 8,19 0 8,19', 'true 8,7 8,7 8,7 8,7 8,7', '0,0,0,0,0 true', ''].join('\n'),
    );
  });

  test('another thread writes the command block during calls, and only registered bytes move', () => {
    expectOutput(
      `const { Worker } = require('node:worker_threads');
       const all = everything(), { pd, qp, regions } = all;
       // Memory of another domain: none of its bytes may become visible.
       const secret = new Uint8Array(4096).fill(0xdd), foreign = block.register(all.device.allocPd(true), secret, 0x1000n, 0x1000n, 31);
       const hints = [0, 1, 2, 3, 8, 31, 64, 0x1000, 0x1fff, regions.user.key, pd.number(), qp.number(), 0x80000000, 0xffffffff];
       const worker = new Worker(
         \`const { workerData: { buffer, offset, length, hints, state } } = require('node:worker_threads');
           const words = new Uint32Array(buffer, offset, length);
           let x = 1;
           Atomics.store(state, 0, 1);
           while (!Atomics.load(state, 1)) { x = (Math.imul(x, 1103515245) + 12345) >>> 0; words[(x >>> 8) % length] = (x >>> 3) % 5 ? hints[(x >>> 16) % hints.length] : x; }
           Atomics.store(state, 2, 1);\`,
         { eval: true, workerData: { buffer: block.words.buffer, offset: block.words.byteOffset, length: block.words.length, hints, state: new Int32Array(new SharedArrayBuffer(12)) } });
       const { state } = { state: null };
       worker.on('error', (error) => { throw error; });
       let calls = 0;
       const target = new Uint8Array(64 + 512 + 64).fill(GUARD), inside = target.subarray(64, 64 + 512);
       worker.once('online', () => {
         const end = performance.now() + 1500;
         while (performance.now() < end) {
           const elements = Array.from({ length: 4 }, () => block.acquire(pd, 0x1000n, 64, regions.user.key, 31));
           for (const element of elements) {
             if (typeof element === 'number') continue;
             block.describe(element); block.copyOut(element, inside); block.copyIn(element, inside); block.fetchAdd(element, 1n); block.compareSwap(element, 0n, 1n);
             native.createSgeState(block.elements(element)); block.put(element);
           }
           for (const region of Object.values(regions)) { block.query(region); block.count(region); block.mapPhys(region, BigUint64Array.from([0x100000n]), 0n); block.mapSg(region, BigUint64Array.from([0x100000n, 4096n])); block.fastReg(qp, region, 256, 1, undefined); }
           const fresh = block.register(pd, bytes, 0x1000n, 0x1000n, 31);
           if (typeof fresh === 'object') block.release(fresh);
           block.check(pd, 0x1000n, 8, regions.user.key, 0); block.place(qp, 0x1000n, 8, regions.user.key, 0);
           calls++;
         }
         worker.terminate().then(() => {
           const rims = [...target.subarray(0, 64), ...target.subarray(-64)].every((byte) => byte === GUARD);
           console.log(calls > 100, rims, rimIntact(), target.includes(0xdd), bytes.includes(0xdd), secret.every((byte) => byte === 0xdd));
         });
       });`,
      'true true true false false true\n',
    );
  });

  test('numbers from another environment are rejected', () => {
    expectOutput(
      `const { Worker } = require('node:worker_threads');
       const all = everything(), token = all.device.share(), { sge, regions: { user } } = all;
       const worker = new Worker(
         \`const { parentPort, workerData: { token, sge, user, number } } = require('node:worker_threads');
           const { native, Block, Region } = require(process.cwd() + '/test/support/native.cjs');
           const block = new Block();
           const answers = [block.describe(sge), block.put(sge), block.copyOut(sge, new Uint8Array(8)), native.createSgeState(block.elements(sge)), block.query(user), block.release(user, 2), block.check(number, 0x1000n, 8, user.key, 0)];
           const device = native.attachDevice(token), pd = device.allocPd(false), own = block.register(pd, new Uint8Array(64), 0n, 0n, 1);
           const element = block.acquire(pd, 0n, 8, own.key, 0);
           // Objects of this environment get the same numbers as those of the main thread.
           answers.push(element.cell === sge.cell && element.generation === sge.generation, block.put(sge), block.put(sge), block.refs(own), block.register(number + 40, new Uint8Array(8), 0n, 0n, 1));
           parentPort.postMessage(answers.join());\`,
         { eval: true, workerData: { token, sge: { cell: sge.cell, generation: sge.generation }, user: { ...user }, number: all.pd.number() } });
       worker.on('error', (error) => { throw error; });
       worker.once('message', (answers) => console.log(answers));
       worker.once('exit', () => console.log(block.refs(user), Number(block.describe(sge).SgeLength), block.put(sge), rimIntact()));`,
      ['-9,-9,-9,-9,-9,-9,-9,true,0,-9,2,-9', '3 64 0 true', ''].join('\n'),
    );
  });

  test('a batch block of wrong size, kind or offset is rejected', () => {
    expectOutput(
      `const { pd, qp, sge } = everything();
       const shared = new SharedArrayBuffer(4096);
       const right = () => new Uint8Array(shared, 0, 64 + 4 * 20);
       const wrong = [new Uint8Array(64 + 4 * 20), new Uint8Array(shared, 0, 64 + 4 * 20 - 1), new Uint8Array(shared, 0, 64 + 4 * 20 + 1), new Uint8Array(shared, 4, 64 + 4 * 20),
         new Uint8Array(shared, 0, 0), new Int8Array(shared, 0, 64 + 4 * 20), shared, new DataView(shared, 0, 144), undefined];
       for (const block of wrong) {
         try { native.createBatch(pd, block, 4, false, false); console.log('made', block); } catch (error) { if (!(error instanceof TypeError)) console.log(error); }
       }
       for (const args of [[sge, right(), 4, false, false], [pd.number(), right(), 4, false, false], [{}, right(), 4, false, false], [pd, right(), 0, false, false], [pd, right(), 2 ** 24 + 1, false, false], [pd, right(), 4.5, false, false], [pd, right(), 4, 1, false], [pd, right(), 4, false, 1], [pd, right(), 4, false], [pd, right(), 4, true, false], [pd, right(), 4, false, true], [qp, right(), 5, false, false]]) {
         try { native.createBatch(...args); console.log('made', args); } catch (error) { if (!(error instanceof TypeError)) console.log(error); }
       }
       // Two batches over one block both work.
       const [one, two] = [native.createBatch(pd, right(), 4, false, false), native.createBatch(qp, right(), 4, false, false)];
       new Uint32Array(shared).set([1, 4, 0, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1000, 0, 8, 256]);
       for (const batch of [one, two]) { batch.check(); console.log([...new Uint32Array(shared, 12, 4)].join()); }
       one.copyTo(two);
       console.log(new Int32Array(shared)[6], rimIntact());`,
      '1,1,0,0\n1,1,0,0\n0 true\n',
    );
  });

  test('forgeries by a program that obtained the construction token and the native objects are rejected', () => {
    expectOutput(
      `const rdmavt = require('rdmavt');
       const { Device, MemoryRegion, FastMemoryRegion, Sge, SgeState, ProtectionDomain } = rdmavt;
       // The super class is looked up at each construction, so replacing it yields the constructor's arguments.
       const Base = Object.getPrototypeOf(MemoryRegion);
       let seen;
       const device = new Device(), pd = device.allocPd(), qp = pd.createQp();
       const register = () => pd.regUserMr(bytes, { start: 0x1000n, iova: 0x1000n, access: 31 });
       Object.setPrototypeOf(MemoryRegion, class Thief { constructor(...args) { seen = args; } });
       console.log(nameOf(() => register().lkey), device.resources().regions.length);
       Object.setPrototypeOf(MemoryRegion, class Thief extends Base { constructor(...args) { super(...args); seen = args; } });
       console.log(register().length);
       Object.setPrototypeOf(MemoryRegion, Base);
       const [token, name, table] = seen;
       const real = new MemoryRegion(token, name, table);
       // Bytes of another domain, which must not be reached.
       const secret = new Uint8Array(4096).fill(0xdd), other = device.allocPd().regUserMr(secret, { start: 0x1000n, iova: 0x1000n, access: 31 });
       const element = { addr: real.start, length: 64, lkey: real.lkey };
       const acquire = () => pd.acquire(element, 1).sge;
       const sge = acquire(), rest = () => [real.refs, other.refs].join('/');
       // After each call on an SGE, its name is in the command block.
       const nameIn = (of) => { of.length; return { cell: block.words[Word.Cell], generation: block.words[Word.CellGeneration] }; };
       const put = acquire(), putName = nameIn(put);
       put.put();
       const yes = new Proxy(function () {}, { get: () => yes, apply: () => 1 });
       const throwing = new Proxy({}, { get() { throw new SyntaxError('asked'); } });
       const revoked = Proxy.revocable({}, {});
       revoked.revoke();
       const uses = (forged) => [() => new SgeState([forged]), () => new SgeState([sge, forged]), () => forged.length, () => forged.region, () => forged.copyTo(new Uint8Array(64)),
         () => forged.copyFrom(new Uint8Array(64).fill(GUARD)), () => forged.fetchAdd(1n), () => forged.compareSwap(1n, 2n), () => pd.lkeyBatch(1).acquire(1, 0, { last: forged })];
       const told = (uses) => { const answers = uses.map(nameOf); return new Set(answers).size === 1 ? answers[0] : answers.join(); };
       const current = nameIn(sge), forgedHolders = { nothing: undefined, empty: {}, zero: { cell: 0, generation: 0 }, madeUp: { cell: 1e6, generation: 1 }, text: { cell: 'x', generation: {} }, stale: putName,
         next: { ...putName, generation: putName.generation + 1 }, late: { ...current, generation: current.generation + 1 }, early: { ...current, generation: current.generation - 1 }, huge: { cell: 2 ** 32 - 1, generation: 2 ** 32 - 1 },
         negative: { cell: -1, generation: -1 }, fraction: { cell: 1.5, generation: NaN }, frozen: Object.freeze({ cell: 9999, generation: 1 }), number: 7, word: 'holder', region: real, name, sge,
         throwing, revoked: revoked.proxy, bigint: { cell: 1n, generation: 1n }, symbol: { cell: Symbol(), generation: 1 } };
       for (const [what, holder] of Object.entries(forgedHolders)) {
         const forged = new Sge(token, holder, table), before = rest();
         const answers = told(uses(forged).slice(0, 8));
         // A forged SGE given as the last one is ignored, like an SGE that was put.
         const check = nameOf(() => { const { ok, coalesced, sge } = pd.acquire(element, 1, { last: forged }); sge.put(); return ok && !coalesced; });
         const word = { throwing: 'SyntaxError', revoked: 'TypeError', bigint: 'TypeError', symbol: 'TypeError' }[what];
         if (answers !== (word ?? 'EBADF') || check !== (word ?? 'true') || rest() !== before) console.log(what, answers, check, before, rest());
       }
       // Two objects with the same name stand for one SGE, which is put once. Afterwards both holders are kept for reuse with the same
       // cell, so the second acquire into that cell fails with EINVAL.
       const again = new Sge(token, Object.freeze(nameIn(sge)), table), last = { ...nameIn(sge) };
       console.log('again', again.length, told([() => again.put()]), rest(), told([() => sge.length, () => again.length, () => new SgeState([sge])]), told([() => sge.put(), () => again.put()]), rest());
       // Put SGEs through forged holders of their cells: the forged holders are kept for reuse, but later SGEs still get one holder each.
       const acquired = () => { for (;;) { try { return acquire(); } catch (error) { if (error.code !== 'EINVAL') throw error; } } };
       const many = Array.from({ length: 50 }, acquired);
       many.slice(0, 10).forEach((of) => { const { cell, generation } = nameIn(of); new Sge(token, { cell, generation, next: undefined }, table).put(); });
       const after = [];
       for (let i = 0; i < 100; i++) { const answer = nameOf(() => after.push(acquire())); if (answer !== String(after.length) && answer !== 'EINVAL') throw new Error(answer); }
       if (after.some((of) => nameOf(() => of.length) !== '64')) console.log('mixed up');
       for (const of of [...many, ...after]) of.put();
       console.log('given', rest(), pd.acquire(element, 1).ok);
       // Forge the names of regions.
       const { domain, checker, index, generation } = name;
       const looks = (region) => [() => region.refs, () => region.start, () => region.rkey, () => region.counters, () => region.countAccesses(), () => region.mapSg([{ addr: 0n, length: 1 }]), () => qp.fastRegMr(region, { key: 256, access: 1 })];
       for (const [what, forged] of Object.entries({ empty: {}, none: { checker: 0, index, generation }, place: { checker, index: index + 3, generation: 1 }, never: { checker, index: index + 9, generation: 1 }, far: { checker, index: 2 ** 32 - 1, generation: 1 },
         future: { checker, index, generation: generation + 2 }, even: { checker, index, generation: generation + 1 }, half: { checker, index, generation: generation + 2 ** 32 }, text: { checker: 'x', index: {}, generation: [] }, frozen: Object.freeze({ domain, checker, index, generation: 99 }),
         throwing, revoked: revoked.proxy })) {
         const [region, fmr] = [MemoryRegion, FastMemoryRegion].map((Type) => new Type(token, forged, table)), before = rest();
         const answers = [told(looks(region)), nameOf(() => FastMemoryRegion.unmap([fmr])), nameOf(() => region.state), nameOf(() => region.dereg({ force: true })), nameOf(() => pd.deregMany([region], { force: true }))].join();
         const word = { throwing: 'SyntaxError', revoked: 'TypeError' }[what];
         // A list may contain regions that were deregistered, but no region that never existed.
         if (!(word ? answers === Array(5).fill(word).join() : /^EBADF,EBADF,Closed,undefined,(EINVAL|undefined)$/.test(answers)) || rest() !== before) console.log(what, answers, before, rest());
       }
       const domainOf = (inside) => nameOf(() => new ProtectionDomain(token, inside, yes, table).lkeyBatch(1));
       console.log([yes, {}, null, real, sge].map(domainOf).join(), nameOf(() => new ProtectionDomain(token, yes, yes, table).checker().refusal(0x1000n, 8, real.lkey, 0)));
       console.log(rimIntact(), secret.every((byte) => byte === 0xdd), bytes.includes(0xdd));`,
      [
        'TypeError 0',
        '4096',
        'again 64 undefined 2/2 EBADF undefined 2/2',
        'given 2/2 true',
        'TypeError,TypeError,TypeError,TypeError,TypeError 0', // A Proxy that answers every property read gives the number of an existing domain.
        'true true false',
        '',
      ].join('\n'),
    );
  });
});
