// The cardinal promise: no program that uses the public API can make the process touch memory outside the registered bytes, or
// crash it. Here programs are nonsense: any method of any object, with any arguments, in any order, while memory is taken away and
// garbage is collected. Each runs in a process of its own, which must end well, with the bytes around the registered ones
// as they were.
import { runProgram } from '../support/programs';

const program = (seed: number, calls: number): string => `
  const { Device, DeviceMemory, FastMemoryRegion, fastRegKey, MemoryRegion, Sge, SgeState } = require('rdmavt');

  // Numbers that repeat from run to run.
  let state = ${seed};
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const dice = (n) => Math.floor(random() * n);
  const pick = (list) => list[dice(list.length)];

  // Memory with a rim that nobody has registered.
  const RIM = 4096, BODY = 16384;
  const guarded = [];
  const memory = () => {
    // Now and then what a device has of its own, of which the rim was made with it.
    const block = random() < 0.15 && objects.find((object) => object instanceof DeviceMemory);
    const own = block && safely(() => block.buffer);
    const from = dice(2) * dice(BODY);
    if (own?.byteLength === BODY + 2 * RIM) return new Uint8Array(own, RIM + from, BODY - from);
    const buffer = random() < 0.5 ? new ArrayBuffer(BODY + 2 * RIM, random() < 0.5 ? { maxByteLength: 2 * BODY } : undefined)
      : new SharedArrayBuffer(BODY + 2 * RIM);
    new Uint8Array(buffer).fill(0xa5);
    const body = new Uint8Array(buffer, RIM, BODY);
    body.fill(1);
    guarded.push(new WeakRef(buffer));
    return random() < 0.7 ? body : body.subarray(dice(BODY), dice(BODY));
  };
  const intact = () => {
    for (const ref of guarded) {
      const buffer = ref.deref();
      if (!buffer || buffer.byteLength !== BODY + 2 * RIM) continue; // taken away
      const bytes = new Uint8Array(buffer);
      for (const from of [0, RIM + BODY]) {
        for (let i = from; i < from + RIM; i++) if (bytes[i] !== 0xa5) throw new Error('byte ' + i + ' was written');
      }
    }
  };

  const DMA = 0x100000n;
  let objects = [];
  const keep = (value) => {
    if (Array.isArray(value)) return value.forEach(keep);
    if (value && typeof value === 'object') {
      if (typeof value.catch === 'function') value.catch(() => {});
      else if (value.sge) objects.push(value.sge);
      else if (value.constructor !== Object && !ArrayBuffer.isView(value)) objects.push(value);
    }
    if (objects.length > 400) objects = objects.filter((object) => object instanceof Device || random() < 0.7);
  };
  // Few devices, so that things of one and the same meet.
  const begin = () => {
    if (objects.filter((object) => object instanceof Device).length > 2) objects = [];
    const device = new Device({ lkeyTableBits: pick([1, 5, 7, 9]), keyPolicy: pick(['sequential', 'random']), remoteKeyZero: true });
    const pd = device.allocPd({ trusted: random() < 0.8 });
    keep([device, device.dma, pd, pd.createQp()]);
    try { keep(device.dma.map(memory(), { address: DMA })); } catch {}
    try { keep([pd.regUserMr(memory(), { access: 31 }), pd.getDmaMr()]); } catch {}
    try { keep([pd.allocMr({ maxNumSg: 8 }), pd.allocFmr({ maxPages: 8, pageShift: pick([0, 3, 12]), access: 31 })]); } catch {}
    if (random() < 0.6) return;
    const other = Device.attach(device.share(), { captureStacks: random() < 0.1, reportLeaks: true });
    keep([other, other.importPd(pd.id)]);
    const block = device.allocDm(BODY + 2 * RIM, { hugePages: random() < 0.1 });
    const { buffer } = block;
    new Uint8Array(buffer).fill(0xa5).fill(1, RIM, RIM + BODY);
    guarded.push(new WeakRef(buffer));
    keep(block);
    keep(pd.regUserMr(new Uint8Array(buffer, RIM, BODY), { access: 31 }));
  };

  const safely = (read, otherwise) => { try { return read(); } catch { return otherwise; } };
  const numbers = [0, 1, 2, 4, 7, 8, 16, 31, 255, 256, 4095, 4096, 4097, 8192, BODY, 65536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, -1, 1.5, NaN];
  const address = () => {
    const region = pick(objects);
    const base = pick([0n, DMA, DMA + 4096n, 2n ** 64n - 4096n, 2n ** 64n - 1n,
      safely(() => region.start, DMA), safely(() => region.iova, DMA), safely(() => region.address, DMA)]);
    return typeof base === 'bigint' ? BigInt.asUintN(64, base + BigInt(pick([0, 0, 0, 1, 8, -1, 100, 4095, 4096, 12288]))) : DMA;
  };
  const key = () => pick([0, 0x100, safely(() => pick(objects).lkey, 1), safely(() => fastRegKey(pick(objects).lkey, dice(3)), 1)]);
  const length = () => pick([0, 1, 8, 8, 8, 100, 4096, 5000, BODY, dice(BODY), 2 ** 32 - 1]);
  const flag = () => random() < 0.5;
  // Most of the elements lie inside a region that lives.
  const regions = () => objects.filter((object) => object instanceof MemoryRegion || object instanceof FastMemoryRegion);
  const element = () => {
    const wild = { addr: address(), vaddr: address(), length: length(), lkey: key(), rkey: key() };
    return random() < 0.3 ? wild : safely(() => {
      const region = pick(regions());
      const into = dice(region.length || 8192) & (flag() ? -8 : -1);
      const rest = region.length ? region.length - into : 4096;
      const [start, iova] = region.lkey ? [region.start, region.iova] : [DMA, DMA];
      return { addr: start + BigInt(into), vaddr: iova + BigInt(into), length: flag() ? 8 : dice(rest), lkey: region.lkey, rkey: region.rkey };
    }, wild);
  };
  // And most of the pages in DMA memory.
  const page = () => random() < 0.2 ? address() : DMA + BigInt(dice(4) * pick([4096, 8]));
  const options = () => ({
    address: address(), start: pick([undefined, address()]), iova: pick([undefined, address()]), access: pick([0, 1, 5, 31, 31, 31, 2]), maxNumSg: pick([0, 1, 4, 16]),
    maxPages: pick([0, 1, 4, 16]), pageShift: pick([0, 3, 12, 12, 30]), offset: pick([0, 0, 0, 8, length()]), key: key(), force: random() < 0.2,
    timeoutMs: 0, put: flag(), ordered: flag(), trusted: flag(), last: pick(objects), cascade: random() < 0.05, hugePages: flag(), own: flag(),
  });
  const list = (make) => Array.from({ length: dice(6) }, make);
  const values = [
    () => pick(numbers), address, key, length, flag, element, element, options, options, options, memory, memory,
    () => list(address), () => list(element), () => list(() => pick(objects)), () => list(length), () => new BigUint64Array(list(address)),
    () => new Uint32Array(list(length)), () => pick(objects), () => pick([0, 1, 4, 5, 8, 31]), () => undefined, () => null, () => 'x',
  ];
  // Arguments that mean something half of the time.
  const shapes = {
    regUserMr: [memory, options], map: [memory, options], acquire: [element, () => pick([0, 1, 4, 31]), options],
    check: [element, () => pick([0, 31])], fastRegMr: [() => pick(objects), options], mapSg: [() => list(() => flag() ? element() : { addr: DMA + BigInt(dice(3) * 4096), length: 4096 }), () => ({})],
    mapPhys: [() => list(page), address], copyTo: [memory, options], copyFrom: [memory, options], copyIn: [memory, options], copyOut: [memory, options],
    walk: [() => list(length), options], update: [length, options], skip: [length, options], fetchAdd: [address], compareSwap: [address, address],
    allocDm: [length, options], importPd: [() => dice(5)], importDm: [() => dice(5)], counters: [options], detach: [options], invalidateRkey: [key], hasLkey: [key], deregAsync: [() => ({ timeoutMs: dice(3) })], deallocAsync: [() => ({ timeoutMs: dice(3) })],
  };
  const methods = (object) => {
    const found = [];
    for (let level = object; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
      for (const name of Reflect.ownKeys(level)) if (name !== 'constructor') found.push(name);
    }
    return found;
  };
  const known = new Map();
  const codes = new Set();
  let subject;
  const call = () => {
    const wanted = pick(objects).constructor;
    const object = pick(objects.filter((other) => other.constructor === wanted));
    subject = object;
    const type = object.constructor;
    if (object.state === 'Closed' && random() < 0.9) return void objects.splice(objects.indexOf(object), 1);
    if (!known.has(type)) known.set(type, methods(object));
    let name = pick(known.get(type));
    // Parents live longer than children, and checks come more often than all else.
    const rare = { close: 0.02, detach: 0.02, free: 0.1, allocDm: 0.1, share: 0.1,
      importPd: 0.2, importDm: 0.2, resources: 0.1, keyTable: 0.1, counters: 0.2, countAccesses: 0.2, dealloc: 0.1, dereg: 0.2, destroy: 0.05, unmap: 0.3, put: 0.3, allocPd: 0.1, createQp: 0.1,
      deregAsync: 0.1, deallocAsync: 0.1, allocMr: 0.5, allocFmr: 0.5, getDmaMr: 0.3, invalidateRkey: 0.1 };
    if (random() > (typeof name === 'symbol' ? 0.03 : rare[name] ?? 1)) name = type.prototype.invalidateRkey || type.prototype.lkeyBatch ? 'acquire' : name === 'put' ? 'copyTo' : undefined;
    if (!name) return;
    const shape = shapes[name];
    const args = (shape && (random() < 0.8 || /Async/.test(String(name))) ? shape : list(() => pick(values))).map((make) => make());
    const value = object[name];
    const result = typeof value === 'function' ? value.apply(object, args) : undefined;
    if (result && /^(copy|fetch|compare)/.test(String(name))) codes.add(name);
    keep(result);
  };
  const others = [
    () => { if (random() < 0.2) begin(); },
    // Under held elements, as it happens.
    () => pick(regions().filter((region) => region instanceof MemoryRegion)).mapSg([{ addr: DMA, length: 4096 }]),
    () => keep(new SgeState(objects.filter((object) => object instanceof Sge && flag()).slice(-dice(6)))),
    () => FastMemoryRegion.unmap(objects.filter((object) => object instanceof FastMemoryRegion && flag())),
    () => { const buffer = pick(guarded).deref(); structuredClone(buffer, { transfer: [buffer] }); },
    () => { const buffer = pick(guarded).deref(); buffer.resize(dice(2 * BODY)); },
    () => { objects = objects.filter(() => random() < 0.9); if (random() < 0.1) gc(); },
    () => {
      const buffer = pick(guarded).deref();
      buffer.resize(BODY + 2 * RIM);
      for (const from of [0, RIM + BODY]) new Uint8Array(buffer, from, RIM).fill(0xa5);
    },
  ];
  (async () => {
    for (let i = 0; i < ${calls}; i++) {
      try {
        if (objects.length < 10) begin();
        else if (random() < 0.1) pick(others)();
        else call();
        codes.add('none');
      } catch (error) {
        // What is closed is used now and then, but not for ever.
        if (error.code === 'EBADF' && subject && random() < 0.7) objects = objects.filter((object) => object !== subject);
        codes.add(error.reason ?? error.code ?? error.name);
      }
      if (i % 1000 === 0) { intact(); await new Promise((resolve) => setImmediate(resolve)); }
    }
    intact();
    console.log([...codes].sort().join(' '));
  })();
`;

test('nonsense harms nobody', () => {
  const happened = new Set<string>();
  // Four programs that are always the same, and one that nobody has seen before.
  for (const seed of [1, 2, 3, 5, Math.floor(Math.random() * 2 ** 31)]) {
    const { status, signal, stdout, stderr } = runProgram(program(seed, 40_000), ['--no-warnings']);
    expect({ seed, status, signal, stderr }).toEqual({ seed, status: 0, signal: null, stderr: '' });
    for (const thing of stdout.trim().split(' ')) happened.add(thing);
  }
  // And was not all nonsense.
  const uses = ['copyTo', 'copyFrom', 'copyIn', 'copyOut', 'fetchAdd', 'compareSwap'];
  const refusals = ['EBADF', 'EBUSY', 'EINVAL', 'AccessDenied', 'RegionRevoked', 'Remapped'];
  expect([...uses, ...refusals].filter((thing) => !happened.has(thing))).toEqual([]);
});
