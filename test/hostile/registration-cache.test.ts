// A registration cache in hostile programs: the end of the call stack, replaced built-ins, and the end of its thread.
import { runProgram } from '../support/programs';
import { open } from '../support/scene';
import { Peer } from '../support/workers';

/** What is done near the end of the stack, on a cache in which the first `held` uses are held. */
const verbs: Record<string, string> = {
  'a get that hits': 'w.more.push(w.cache.get(w.arena.subarray(0, 8), 1))',
  'a get that misses': 'w.more.push(w.cache.get(w.fresh, 1))',
  'a get that grows': 'w.more.push(w.cache.get(w.arena.subarray(8, 16), 1))',
  'a get that grows over a region in use': 'w.more.push(w.cache.get(w.used.subarray(8, 16), 1))',
  'a get that evicts': 'w.more.push(w.cache.get(w.large, 1))',
  'a get that finds a dead region': 'w.dead.dereg(); w.more.push(w.cache.get(w.gone, 1))',
  'a put': 'w.held[0].put()',
  'a put of a replaced region': 'w.held[1].put()',
  counters: 'w.cache.counters()',
  close: 'w.cache.close({ force: true })',
};

describe('the end of the call stack in', () => {
  test.each(Object.entries(verbs))('%s leaves a cache that works and counts right', (_, verb) => {
    const { status, stdout, stderr } = runProgram(
      `
      const { Device, RegistrationCache } = require('rdmavt');
      const ask = (question) => { try { return question(); } catch (error) { return error.code ?? error.message; } };
      function world() {
        const device = new Device({ lkeyTableBits: 6 }), pd = device.allocPd();
        const cache = new RegistrationCache(pd, { maxRegions: 16, maxBytes: 4096 });
        const [arena, used, replaced, gone, fresh] = Array.from({ length: 5 }, () => new Uint8Array(64));
        const held = [cache.get(used.subarray(0, 8), 1), cache.get(replaced, 1)];
        cache.get(replaced, 4).put();
        cache.get(arena.subarray(0, 8), 1).put();
        const use = cache.get(gone, 1), dead = use.region;
        use.put();
        return { device, pd, cache, arena, used, gone, fresh, large: new Uint8Array(3900), held, dead, more: [] };
      }
      const verb = (w) => { ${verb}; };
      const frames = (pad) => new Function('use', 'left', 'return (function again(' + Array.from({ length: pad }, (_, i) => 'v' + i + ' = ' + i) + ') { try { return again(); } catch (error) { if (left-- === 0) return use(); throw error; } })()');
      for (let i = 0; i < 3; i++) { const w = world(); verb(w); w.cache.counters(); w.device.close({ cascade: true }); }
      let refused = 0, done = 0;
      const wrong = [];
      for (const pad of [8, 11]) {
        const near = frames(pad);
        for (let left = 0; left < 1000; left++) {
          const w = world();
          let threw;
          try { near(() => verb(w), left); } catch (error) { threw = error; }
          if (threw === undefined) { done++; left = 1000; }
          else if (!/call stack/.test(threw.message)) wrong.push('threw ' + threw.message);
          else refused++;
          const say = (what) => wrong.push('pad ' + pad + ', frame ' + left + ': ' + what);
          const { regions, inUse } = w.cache.counters();
          const there = w.device.resources().regions.length;
          if (regions !== there) say(regions + ' regions counted, ' + there + ' registered');
          const uses = [...w.held, ...w.more].filter((use) => ask(() => use.region.state) === 'Valid');
          const distinct = new Set(uses.map((use) => use.region)).size;
          if (inUse !== distinct) say(inUse + ' regions in use, ' + distinct + ' used');
          // Everything can still be put and closed.
          for (const use of [...w.held, ...w.more]) use.put();
          if (w.cache.counters().inUse !== 0) say('in use after the puts');
          const left0 = ask(() => w.cache.close());
          if (left0 !== undefined) say('close: ' + left0);
          if (w.device.resources().regions.length !== 0) say('regions left after close');
          w.device.close({ cascade: true });
        }
      }
      console.log(JSON.stringify({ refused: refused > 0, done, wrong: wrong.slice(0, 3) }));
      process.exit(0);`,
      ['--stack-size=100', '--no-warnings'],
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ refused: true, done: 2, wrong: [] });
  });
});

test('replaced built-ins neither see native objects nor change what a get returns', () => {
  const { status, stdout, stderr } = runProgram(`
    const { Device, RegistrationCache, RegionUse, MemoryRegion, ProtectionDomain } = require('rdmavt');
    const device = new Device(), pd = device.allocPd(), cache = new RegistrationCache(pd, { maxRegions: 2 });
    const seen = [];
    const arena = new Uint8Array(64);
    const saved = [];
    const dispose = Symbol.dispose ?? Symbol.for('nodejs.dispose');
    const methods = [[WeakMap, 'get'], [WeakMap, 'set'], [WeakMap, 'has'], [WeakMap, 'delete'], [WeakRef, 'deref'], [Map, 'get'], [Map, 'set'],
      [Map, 'forEach'], [Array, 'push'], [Array, 'pop'], [Array, Symbol.iterator], [ProtectionDomain, 'regUserMr'], [ProtectionDomain, 'regionOf'],
      [MemoryRegion, 'dereg'], [MemoryRegion, dispose], [RegionUse, 'put']];
    for (let i = 0; i < methods.length; i++) {
      const prototype = methods[i][0].prototype, name = methods[i][1];
      saved[i] = prototype[name] ?? Object.getPrototypeOf(prototype)[name];
      prototype[name] = function () { seen[seen.length] = i; throw new Error('replaced ' + i); };
    }
    const results = [];
    let failed;
    try {
      for (let i = 0; i < 40; i++) {
        const use = cache.get(arena.subarray(0, 8 + i), 1);
        results[results.length] = Number(use.start - use.region.start) + use.length;
        use[dispose]();
        const other = cache.get(new Uint8Array(8), 4);
        other[dispose]();
      }
      cache.counters();
      cache.close();
    } catch (error) { failed = error; }
    for (let i = 0; i < saved.length; i++) methods[i][0].prototype[methods[i][1]] = saved[i];
    console.log(JSON.stringify([failed?.message, seen, results.every((value, i) => value === 8 + i), device.resources().regions.length]));`);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual([null, [], true, 0]);
});

test('the regions of a cache end with its thread, whatever memory they are over', async () => {
  const device = open();
  const peer = new Peer({ token: device.share() });
  const shared = new SharedArrayBuffer(64);
  const places = await peer.run((w, buffer) => {
    const pd = (w.pd = w.device.allocPd());
    const cache = (w.cache = new w.RegistrationCache(pd));
    w.kept = [new Uint8Array(64), buffer];
    w.used = cache.get(w.kept[0], 4); // in use when the thread ends
    cache.get(buffer, 4).put();
    (() => cache.get(new ArrayBuffer(64), 4).put())();
    return { regions: w.device.resources().regions.length, counters: cache.counters() };
  }, shared);
  expect(places).toMatchObject({ regions: 3, counters: { regions: 3, inUse: 1 } });
  expect(device.resources().regions).toHaveLength(3);
  await peer.worker.terminate();
  await peer.ended;
  expect(device.resources().regions).toEqual([]);
});

test("the other threads of a device are refused the bytes of another thread's cached ArrayBuffer", async () => {
  const device = open();
  const peer = new Peer({ token: device.share() });
  const place = await peer.run((w) => {
    const pd = (w.pd = w.device.allocPd());
    w.cache = new w.RegistrationCache(pd);
    w.memory = new Uint8Array(64);
    w.use = w.cache.get(w.memory, 1);
    return { pd: pd.id, start: w.use.start, lkey: w.use.lkey };
  });
  const pd = device.importPd(place.pd);
  const check = pd.acquire({ addr: place.start, length: 8, lkey: place.lkey }, 0);
  if (!check.ok) throw new Error(check.reason);
  expect(() => check.sge.copyTo(Buffer.alloc(8))).toThrow(
    expect.objectContaining({ code: 'EACCES', reason: 'OtherEnvironment' }),
  );
  check.sge.put();
});
