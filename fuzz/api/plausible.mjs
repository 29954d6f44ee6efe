// Creates values and arguments that are mostly valid, so that programs reach deep states: addresses inside of regions, live keys,
// lists of fitting lengths.
import { label } from './labels.mjs';
import { Verbs } from './verbs.mjs';

/** @typedef {import('./world.mjs').World} World */

/** Address at which scenes map DMA memory. */
export const DMA = 0x100000n;
export const PAGE = 4096;

/**
 * The options of each call, by full name or by method name. The package rejects unknown option names, so a random name would
 * prevent the call from getting any further.
 */
const OPTIONS = new Map(
  Object.entries({
    'new Device':
      'lkeyTableBits keyPolicy remoteKeyZero captureStacks reportLeaks limits engine faults strict',
    attach: 'captureStacks reportLeaks',
    share: 'pd',
    allocPd: 'trusted',
    allocDm: 'hugePages',
    counters: 'own',
    close: 'cascade',
    detach: 'cascade',
    'DmaSpace.map': 'address',
    regUserMr: 'start iova access',
    'new RegistrationCache': 'maxRegions maxBytes',
    'RegistrationCache.close': 'force',
    getDmaMr: 'access',
    allocMr: 'maxNumSg type',
    allocFmr: 'access maxPages maxMaps pageShift',
    lkeyBatch: 'places accessPerElement',
    rkeyBatch: 'places accessPerElement',
    deregMany: 'force',
    'ProtectionDomain.dealloc': 'cascade',
    'ProtectionDomain.acquire': 'last',
    'CheckBatch.acquire': 'coalesce last',
    gather: 'all',
    scatter: 'all',
    'CheckBatch.copyTo': 'all',
    dereg: 'force',
    dealloc: 'force',
    deregAsync: 'timeoutMs signal force',
    deallocAsync: 'timeoutMs signal force',
    advertise: 'offset length expiresInMs access qp',
    rereg: 'translation access pd',
    mapSg: 'offset pageSize',
    'Sge.copyTo': 'offset',
    'Sge.copyFrom': 'offset ordered',
    update: 'put',
    skip: 'put',
    copyIn: 'put ordered',
    copyOut: 'put',
    walk: 'put',
  }),
);

export class Plausible {
  #world;
  #random;

  constructor(/** @type {World} */ world) {
    this.#world = world;
    this.#random = world.random;
    this.verbs = new Verbs(world, this);
  }

  /** Reads a property. Returns `otherwise` if the object is closed or the property has no value. */
  #read(/** @type {() => any} */ read, /** @type {any} */ otherwise) {
    try {
      return read() ?? otherwise;
    } catch {
      return otherwise;
    }
  }

  /** Returns the objects of some classes; mostly only those of the device of `near`, if there are any. @returns {any[]} */
  #near(/** @type {string[]} */ names, /** @type {any} */ near) {
    const { deviceOf, objects } = this.#world;
    const all = names.flatMap((name) => objects.objects(name));
    const device = deviceOf.get(near) ?? near;
    const kin = all.filter((object) => deviceOf.get(object) === device);
    return kin.length && this.#random.chance(0.9) ? kin : all;
  }

  one(/** @type {string} */ name, /** @type {any} */ near = undefined) {
    const found = this.#near([name], near);
    return found.length ? this.#random.pick(found) : undefined;
  }

  region(/** @type {any} */ near = undefined) {
    const found = this.#near(['MemoryRegion', 'FastMemoryRegion'], near);
    const alive = found.filter((region) => this.#read(() => region.state, '') === 'Valid');
    if (alive.length && this.#random.chance(0.9)) return this.#random.pick(alive);
    return found.length ? this.#random.pick(found) : undefined;
  }

  length() {
    return this.#random.pick([
      0,
      1,
      7,
      8,
      8,
      8,
      16,
      64,
      100,
      4096,
      5000,
      this.#random.dice(20_000),
      2 ** 32 - 1,
    ]);
  }

  flag() {
    return this.#random.chance(0.5);
  }

  /** Returns access flags, mostly valid for a remote check. */
  remoteRight() {
    return this.#random.pick([2, 4, 4, 8, this.access()]);
  }

  /** Returns access flags for a batch or checker, or undefined, as needed by batches with access flags per element. */
  mask() {
    return this.#random.pick([0, 1, 2, 4, 4, 4, 8, 31, undefined]);
  }

  access() {
    return this.#random.pick([0, 1, 1, 2, 3, 4, 5, 8, 9, 31, 31, 31]);
  }

  key(/** @type {any} */ near = undefined) {
    const region = this.region(near);
    const lkey = this.#read(() => region.lkey, 0x100);
    return this.#random.weighed([
      [8, lkey],
      [1, 0],
      [1, (lkey ^ this.#random.dice(256)) >>> 0],
      [1, this.#random.bits()],
    ]);
  }

  address(/** @type {any} */ near = undefined) {
    const region = this.region(near);
    const base = this.#random.pick([
      DMA,
      DMA,
      this.#read(() => region.start, DMA),
      this.#read(() => region.iova, DMA),
      2n ** 64n - 4096n,
    ]);
    const address = BigInt.asUintN(
      64,
      base + BigInt(this.#random.pick([0, 0, 0, 1, 8, -1, 100, 4095, 4096, 12288])),
    );
    return this.#random.chance(0.3) && address < 2n ** 53n ? Number(address) : address;
  }

  /** Returns the address of a page, mostly in the DMA memory that scenes map. */
  page() {
    return this.#random.chance(0.15) ? this.address() : DMA + BigInt(this.#random.dice(4) * PAGE);
  }

  /** Returns the request of a local or remote check, mostly inside of a region. */
  element(/** @type {any} */ near = undefined) {
    const random = this.#random;
    const region = this.region(near);
    const total = this.#read(() => region.length, 0) || 2 * PAGE;
    const into = random.dice(total) & (this.flag() ? -8 : -1);
    const rest = total - into;
    const length = random.weighed([
      [4, 8],
      [3, random.dice(rest + 1)],
      [2, rest],
      [1, this.length()],
    ]);
    const lkey = this.#read(() => region.lkey, 0x100);
    const [start, iova] = lkey
      ? [this.#read(() => region.start, DMA), this.#read(() => region.iova, DMA)]
      : [DMA, DMA];
    const at = (/** @type {bigint} */ base) => BigInt.asUintN(64, base + BigInt(into));
    const element = { addr: at(start), vaddr: at(iova), length, lkey, rkey: lkey };
    if (random.chance(0.1))
      Object.assign(element, {
        lkey: this.key(),
        rkey: this.key(),
        addr: this.address(),
        vaddr: this.address(),
      });
    return label(`{${element.addr}, ${element.vaddr}, ${element.length}, ${element.lkey}}`, element);
  }

  memory() {
    const { memories } = this.#world;
    const memory = this.#random.chance(0.5) ? memories.any() : memories.make();
    const bytes = memory.whole ? memory.body() : memories.make().body();
    if (this.#random.chance(0.6)) return label(`${bytes.length} bytes`, bytes);
    const begin = this.#random.dice(bytes.length) & -8;
    const part = bytes.subarray(begin, begin + this.#random.pick([8, 8, 16, 100, 5000]));
    return label(`${part.length} of the bytes`, part);
  }

  /** Returns a list of SGEs for a walk, mostly of one device. */
  sges(/** @type {any} */ near = undefined) {
    const found = this.#near(['Sge'], near ?? this.one('Sge'));
    const count = 1 + this.#random.dice(4);
    const sges = Array.from({ length: Math.min(count, found.length) }, () => this.#random.pick(found));
    return label(`${sges.length} elements`, sges);
  }

  steps() {
    const steps = Array.from({ length: this.#random.dice(4) }, () => this.#random.pick([0, 1, 4, 8, 100]));
    return this.flag() ? label('steps', steps) : label('a Uint32Array of steps', Uint32Array.from(steps));
  }

  pages() {
    const pages = Array.from({ length: this.#random.dice(5) }, () => BigInt(this.page()));
    return this.flag()
      ? label(`pages [${pages}]`, pages)
      : label(`pages ${pages}`, BigUint64Array.from(pages));
  }

  scatterList() {
    const list = Array.from({ length: 1 + this.#random.dice(3) }, () => ({
      addr: this.page(),
      length: this.#random.pick([PAGE, PAGE, PAGE, 2 * PAGE, 100]),
    }));
    const words = list.flatMap(({ addr, length }) => [BigInt(addr), BigInt(length)]);
    return this.flag() ? label(`list [${words}]`, list) : label(`list ${words}`, BigUint64Array.from(words));
  }

  /** Returns options for a call, or for a random one. @param {any} [near] @param {string} [member] */
  options(near = undefined, member = '') {
    const random = this.#random;
    const own = OPTIONS.get(member) ?? OPTIONS.get(member.replace(/^.*\./, ''));
    const names = (own ?? random.pick([...OPTIONS.values()])).split(' ');
    const all = Object.entries(this.#allOptions(near));
    const given = all.filter(([name]) => names.includes(name) || random.chance(0.002));
    return label(`options ${given.map(([name]) => name).join(' ')}`, Object.fromEntries(given));
  }

  /** @returns {Record<string, unknown>} */
  #allOptions(/** @type {any} */ near) {
    const random = this.#random;
    const some = (/** @type {unknown} */ value, probability = 0.5) =>
      random.chance(probability) ? value : undefined;
    const region = this.one('MemoryRegion', near);
    return {
      lkeyTableBits: random.pick([1, 3, 5, 8, 12, 23]),
      keyPolicy: random.pick(['sequential', 'random']),
      limits: some(this.verbs.limits(), 0.3),
      engine: random.pick(['auto', 'auto', 'manual']),
      faults: some(this.verbs.faults(), 0.1),
      strict: some(this.verbs.strict(), 0.2),
      remoteKeyZero: this.flag(),
      trusted: random.chance(0.8),
      cascade: random.chance(0.1),
      address: some(DMA + BigInt(random.dice(64) * PAGE)),
      start: some(this.address()),
      iova: some(this.address()),
      access: this.access(),
      accessPerElement: random.chance(0.2),
      all: this.flag(),
      maxNumSg: random.pick([0, 1, 4, 16]),
      maxPages: random.pick([0, 1, 4, 16]),
      pageShift: random.pick([0, 3, 12, 12, 12, 30]),
      last: some(this.one('Sge', near)),
      key: this.#read(() => region.lkey, 0x100),
      offset: random.pick([0, 0, 0, 8, this.length()]),
      force: random.chance(0.2),
      timeoutMs: random.pick([0, 1, 5]),
      expiresInMs: some(random.pick([0, 1, 5, 60_000, 2 ** 53 - 1, -1, 2 ** 53]), 0.7),
      translation: some(this.#translation(near), 0.6),
      signal: some(
        random.pick([new AbortController().signal, AbortSignal.abort(), AbortSignal.timeout(1)]),
        0.3,
      ),
      length: some(random.pick([1, 8, this.length()]), 0.3),
      places: this.flag(),
      coalesce: this.flag(),
      put: random.chance(0.3),
      ordered: this.flag(),
      hugePages: this.flag(),
      maxRegions: random.pick([1, 2, 4, 100]),
      maxBytes: random.pick([64, 5000, 100_000]),
      captureStacks: random.chance(0.2),
      own: this.flag(),
      reportLeaks: this.flag(),
      maxMaps: random.pick([0, 1, 1, 32]),
      pageSize: random.pick([PAGE, PAGE, PAGE, 8192]),
      type: random.pick(['MEM_REG', 'MEM_REG', 'MEM_REG', 'SG_GAPS']),
      // Passing `pd` with an undefined value would be rejected, so leave out the property instead.
      ...(random.chance(0.3) ? { pd: this.one('ProtectionDomain', near) } : undefined),
      ...(random.chance(0.3) ? { qp: this.one('QueuePair', near) } : undefined),
    };
  }

  /** Returns the new memory and addresses of a region. */
  #translation(/** @type {any} */ near) {
    const random = this.#random;
    return label('a translation', {
      memory: this.memory(),
      ...(random.chance(0.3) ? { start: this.address(near) } : undefined),
      ...(random.chance(0.3) ? { iova: this.address(near) } : undefined),
    });
  }

  /** Returns a value of any type that calls take. */
  value(/** @type {any} */ near = undefined) {
    return this.#random.pick([
      () => this.length(),
      () => this.flag(),
      () => this.access(),
      () => this.key(near),
      () => this.address(near),
      () => this.element(near),
      () => this.memory(),
      () => this.sges(near),
      () => this.steps(),
      () => this.pages(),
      () => this.scatterList(),
      () => this.options(near),
      () => this.verbs.send(near),
      () => [this.verbs.send(near)],
      () => this.verbs.receive(near),
      () => this.verbs.sges(near),
      () => this.#world.objects.anyObject(),
    ])();
  }

  /**
   * Returns arguments for a member of the package, or random values if this function does not know the member.
   *
   * @param {import('./pool.mjs').Member} member
   * @param {any} self
   * @returns {unknown[]}
   */
  arguments({ name, key, kind }, self) {
    const random = this.#random;
    const options = () => (random.chance(0.4) ? [] : [this.options(self, name)]);
    const count = () => random.pick([0, 1, 1, 2, 4]);
    /** @type {Record<string, () => unknown[]>} */
    const shapes = {
      'new Device': options,
      'static Device.attach': () => [this.#token(), ...options()],
      'Device.importPd': () => [1 + random.dice(4)],
      'Device.importDm': () => [1 + random.dice(3)],
      'Device.allocDm': () => [random.pick([1, 8, 4096, 5000, 2 ** 22]), ...options()],
      'new SgeState': () => [this.sges()],
      'new CompletionError': () => ['QueuePair.write', this.one('Completion')],
      'new RdmaError': () => ['fuzz', random.pick(['EINVAL', 'EACCES']), 'AccessDenied'],
      lkey: () => [this.key()],
      rkey: () => [this.key()],
      fastRegKey: () => [this.key(), random.dice(256)],
      'static FastMemoryRegion.unmap': () => [this.#fmrs()],
      'DmaSpace.map': () => [this.#dmaMemory(), ...options()],
      'ProtectionDomain.regUserMr': () => [this.memory(), ...options()],
      'new RegistrationCache': () => [this.one('ProtectionDomain', self), ...options()],
      'RegistrationCache.get': () => [this.memory(), this.access()],
      'ProtectionDomain.allocMr': () => [this.options(self, name)],
      'ProtectionDomain.allocFmr': () => [this.options(self, name)],
      'ProtectionDomain.acquire': () => [this.element(self), this.access(), ...options()],
      'ProtectionDomain.check': () => [this.element(self), this.access()],
      'ProtectionDomain.deregMany': () => [this.#regions(self), ...options()],
      'ProtectionDomain.lkeyBatch': () => [random.pick([1, 4, 4, 16, 257]), ...options()],
      'ProtectionDomain.regionOf': () => [this.memory(), ...(this.flag() ? [] : [this.access()])],
      'Device.regionsOf': () => [this.memory()],
      accessNames: () => [this.access()],
      packAdvertisement: () => [this.element()],
      formatAdvertisement: () => [this.element()],
      parseAdvertisement: () => [
        random.pick([
          () => '0000000000100000:00001000:00000100',
          () => Uint8Array.from({ length: 16 }, () => random.dice(256)),
          () => this.memory(),
        ])(),
      ],
      'QueuePair.rkeyBatch': () => [random.pick([1, 4, 4, 16, 257]), ...options()],
      'QueuePair.acquire': () => [this.element(self), this.remoteRight()],
      'QueuePair.check': () => [this.element(self), this.remoteRight()],
      'QueuePair.fastRegMr': () => this.#fastReg(self),
      'QueuePair.invalidateRkey': () => [this.key(self)],
      'MemoryRegion.mapSg': () => [this.scatterList(), ...options()],
      'FastMemoryRegion.mapPhys': () => [this.pages(), this.address(self)],
      'Sge.copyTo': () => [this.memory(), ...options()],
      'Sge.copyFrom': () => [this.memory(), ...options()],
      'Sge.fetchAdd': () => [this.address()],
      'Sge.compareSwap': () => [this.address(), this.address()],
      'SgeState.nextLength': () => [this.length()],
      'SgeState.update': () => [random.pick([0, 1, 4, 8]), ...options()],
      'SgeState.skip': () => [random.pick([0, 1, 8, 100]), ...options()],
      'SgeState.hasLkey': () => [this.key(self)],
      'SgeState.copyIn': () => [this.memory(), ...options()],
      'SgeState.copyOut': () => [this.memory(), ...options()],
      'SgeState.walk': () => [this.steps(), ...options()],
      'CheckBatch.set': () => this.#set(self),
      'CheckBatch.check': () => [count(), this.mask()],
      'CheckBatch.checkPacked': () => [this.#packed(self), this.access()],
      'CheckBatch.acquire': () => [count(), this.mask(), ...options()],
      'CheckBatch.put': () => (this.flag() ? [] : [count()]),
      'CheckBatch.take': () => [count()],
      'CheckBatch.reason': () => [count()],
      'CheckBatch.explain': () => [count()],
      'CheckBatch.gather': () => [this.memory(), count(), this.mask(), ...options()],
      'CheckBatch.scatter': () => [
        this.memory(),
        count(),
        random.pick([1, 2, 2, 3, undefined]),
        ...options(),
      ],
      'CheckBatch.copyTo': () => [
        this.one('CheckBatch', self),
        count(),
        this.mask(),
        count(),
        random.pick([1, 2, 2, 3, undefined]),
        ...options(),
      ],
      'Checker.refusal': () => {
        const { addr, length, lkey } = this.element(self);
        return [addr, length, lkey, this.mask()];
      },
    };
    const shape = shapes[name];
    if (shape) return shape();
    const ofVerbs = this.verbs.arguments({ name, key, kind }, self);
    if (ofVerbs) return ofVerbs;
    if (kind === 'getter') return [];
    if (typeof key === 'symbol') return [];
    // Most other members take only options, or nothing.
    return random.chance(0.7) ? options() : Array.from({ length: random.dice(4) }, () => this.value(self));
  }

  /** Returns the share token of an open device; a made-up token if there is none. */
  #token() {
    const device = this.one('Device');
    return this.#read(() => device.share(), `rdmavt-device:${'0'.repeat(16)}-${'0'.repeat(32)}`);
  }

  #fmrs() {
    const all = this.#near(['FastMemoryRegion'], this.one('FastMemoryRegion'));
    const fmrs = all.filter(() => this.flag());
    return label(`${fmrs.length} FMRs`, fmrs);
  }

  #regions(/** @type {any} */ self) {
    const all = this.#near(['MemoryRegion', 'FastMemoryRegion'], self);
    const regions = all.filter(() => this.#random.chance(0.3));
    return label(`${regions.length} regions`, regions);
  }

  /** Returns memory that is large enough for all page lists. */
  #dmaMemory() {
    const memory = this.#world.memories.make(4 * PAGE);
    return label(`${4 * PAGE} bytes (${memory.kind})`, memory.body());
  }

  #fastReg(/** @type {any} */ self) {
    const region = this.one('MemoryRegion', self);
    const key = this.#read(() => region.lkey, 0x100);
    const options = {
      key: ((key & -256) | this.#random.dice(256)) >>> 0,
      access: this.access(),
      iova: this.flag() ? this.address() : undefined,
    };
    return [region, label(`{ key: ${options.key}, access: ${options.access} }`, options)];
  }

  #set(/** @type {any} */ self) {
    const { addr, vaddr, length, lkey } = this.element(self);
    const own = this.#read(() => self.access.length, 0) > 0;
    return [
      this.#random.dice(4),
      this.flag() ? addr : vaddr,
      length,
      lkey,
      ...(own ? [this.remoteRight()] : []),
    ];
  }

  #packed(/** @type {any} */ self) {
    const bytes = new Uint8Array(16 * this.#random.dice(6));
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length; at += 16) {
      const { addr, length, lkey } = this.element(self);
      view.setBigUint64(at, BigInt(addr), true);
      view.setUint32(at + 8, length, true);
      view.setUint32(at + 12, lkey, true);
    }
    return label(`${bytes.length / 16} packed elements`, bytes);
  }
}
