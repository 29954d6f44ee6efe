// Calls of the native module itself. Nothing of lib stands before it here; its own fence must do.
import { layoutNumber } from '../../scripts/layout.mjs';
import { label } from './labels.mjs';
import { DMA, PAGE } from './plausible.mjs';

/** @typedef {import('./world.mjs').World} World */

const HEADER_BYTES = layoutNumber('RVT_BLOCK_HEADER_BYTES');
const SGE_WORDS = layoutNumber('RVT_PACKED_SGE_BYTES') / 4;
/** How long the arrays are that calls fill. */
const FIELDS = {
  region: layoutNumber('RVT_REGION_FIELD_COUNT'),
  sge: layoutNumber('RVT_SGE_FIELD_COUNT'),
  place: layoutNumber('RVT_PLACE_COUNT'),
  outcome: layoutNumber('RVT_SG_OUTCOME_COUNT'),
};
const LKEY = layoutNumber('RVT_REGION_FIELD_LKEY');
const START = layoutNumber('RVT_REGION_FIELD_START');
const IOVA = layoutNumber('RVT_REGION_FIELD_IOVA');

/** @param {number} capacity @param {boolean} places */
export function blockBytes(capacity, places) {
  const leftOut = places ? 0 : layoutNumber('RVT_BLOCK_VERDICTS') - layoutNumber('RVT_BLOCK_REGIONS');
  return HEADER_BYTES + capacity * (layoutNumber('RVT_BLOCK_END') - leftOut);
}

export class Natives {
  #world;
  #random;
  #hostile;
  #plausible;
  /** The blocks of batches, which belong to everybody. @type {Uint8Array[]} */
  #blocks = [];

  /**
   * @param {World} world
   * @param {import('./hostile.mjs').Hostile} hostile
   * @param {import('./plausible.mjs').Plausible} plausible
   */
  constructor(world, hostile, plausible) {
    this.#world = world;
    this.#random = world.random;
    this.#hostile = hostile;
    this.#plausible = plausible;
  }

  /** Any call, with arguments that are mostly right or not at all. */
  call() {
    const { natives } = this.#world;
    const kind = this.#random.chance(0.25) ? undefined : natives.anyKind();
    const how = { raw: true };
    if (!kind) {
      const member = this.#random.pick(natives.free);
      this.#world.call(member, this.#world.native, this.#arguments(member.key), how);
      return;
    }
    // `NativeDevice.close` and the like seldom: everything would be over soon.
    const member = this.#random.pick(kind.members);
    if (/close|dealloc|destroy|release|unmap/.test(String(member.key)) && this.#random.chance(0.7)) return;
    const self = this.#random.chance(0.9) ? this.#random.pick(kind.objects) : this.#hostile.impostor();
    if (member.invoke === undefined && typeof (/** @type {any} */ (self)?.[member.key]) !== 'function')
      return;
    if (kind.name.includes('{check') && this.#random.chance(0.7)) this.#fillBlocks();
    this.#world.call(member, self, this.#arguments(member.key), how);
  }

  /** Writes headers and elements that a batch of the package would never be given. */
  #fillBlocks() {
    for (const block of this.#blocks) {
      const words = new Uint32Array(block.buffer, block.byteOffset & -4);
      const random = this.#random;
      const { lkey, address } = this.#target();
      words.set([
        random.pick([0, 1, 4, 5, 17, 1000, 2 ** 32 - 1, random.bits()]),
        this.#plausible.access(),
        random.dice(2),
      ]);
      const first = HEADER_BYTES / 4;
      for (let at = first; at + SGE_WORDS <= words.length && at < first + 4 * SGE_WORDS; at += SGE_WORDS) {
        words.set([Number(address & 0xffffffffn), Number(address >> 32n), random.pick([0, 8, 64]), lkey], at);
      }
    }
  }

  #arguments(/** @type {string | symbol} */ key) {
    const random = this.#random;
    const right = this.#shape(String(key));
    if (!right || random.chance(0.25))
      return Array.from({ length: random.dice(5) }, () => this.#hostile.value());
    // One of them wrong, or one missing, or one too many.
    if (random.chance(0.2) && right.length) right[random.dice(right.length)] = this.#hostile.value();
    if (random.chance(0.05)) right.pop();
    if (random.chance(0.05)) right.push(this.#hostile.value());
    return right;
  }

  /** @returns {any} */
  #one(/** @type {string} */ name) {
    const objects = this.#world.natives.objects(`native ${name}`);
    return objects.length ? this.#random.pick(objects) : undefined;
  }

  /** A list of native objects, which may be hostile as a list. */
  #list(/** @type {string} */ name) {
    const list = Array.from({ length: this.#random.dice(4) }, () => this.#one(name));
    if (this.#random.chance(0.1)) return this.#hostile.proxy(list);
    if (this.#random.chance(0.1)) {
      Object.defineProperty(list, 0, { get: () => (this.#hostile.mischief(), this.#one(name)) });
      return label('native objects with a getter', list);
    }
    return label(`${list.length} native objects`, list);
  }

  #u64() {
    const address = this.#plausible.address();
    return this.#random.chance(0.9) ? BigInt(address) : address;
  }

  #bytes() {
    const { memories } = this.#world;
    const memory = memories.any();
    return label('bytes', memory.whole ? memory.body() : memories.make().body());
  }

  #words(/** @type {number} */ least) {
    return label('words', new BigUint64Array(this.#random.pick([least, least, 64, 0, 1])));
  }

  #block() {
    const capacity = this.#random.pick([1, 4, 16]);
    const places = this.#plausible.flag();
    const bytes = blockBytes(capacity, places);
    const shift = this.#random.pick([0, 0, 0, 0, 8, 4]);
    const buffer = new (this.#random.chance(0.9) ? SharedArrayBuffer : ArrayBuffer)(bytes + shift);
    const block = label(`a block of ${capacity}`, new Uint8Array(buffer, shift, bytes));
    this.#blocks.push(block);
    if (this.#blocks.length > 8) this.#blocks.shift();
    return [
      this.#one(this.#plausible.flag() ? 'NativeProtectionDomain' : 'NativeQueuePair'),
      block,
      // Another capacity than the block is made for.
      this.#random.chance(0.8) ? capacity : this.#random.pick([0, 5, 17, 2 ** 16, 2 ** 20]),
      places,
    ];
  }

  /** @returns {unknown[] | undefined} */
  #shape(/** @type {string} */ key) {
    const p = this.#plausible;
    const random = this.#random;
    const { lkey, address } = this.#target();
    const length = () => random.pick([0, 8, 8, 64, p.length()]);
    /** @type {Record<string, () => unknown[]>} */
    const shapes = {
      openDevice: () => [random.pick([1, 4, 8, 23, 24]), p.flag(), p.flag()],
      unmapFmr: () => [this.#list('NativeMemoryRegion')],
      deregMany: () => [this.#list('NativeMemoryRegion'), p.flag()],
      createSgeState: () => [this.#list('NativeSge')],
      holdBuffer: () => [this.#bytes()],
      createBatch: () => this.#block(),
      commandBlock: () => [
        label('a command block', new Uint8Array(new SharedArrayBuffer(layoutNumber('RVT_COMMAND_BYTES')))),
      ],
      checkOne: () => [],
      empty: () => [],
      close: () => [p.flag()],
      allocPd: () => [p.flag()],
      pickUserStart: () => [this.#u64()],
      mapDma: () => [
        this.#bytes(),
        random.pick([undefined, DMA, DMA + BigInt(random.dice(9) * PAGE)]),
        random.pick([undefined, this.#one('NativeBuffer')]),
      ],
      dealloc: () => [p.flag()],
      regUserMrTest: () => [this.#u64(), this.#u64(), this.#u64()],
      regUserMr: () => [
        this.#bytes(),
        this.#u64(),
        this.#u64(),
        p.access(),
        random.pick([undefined, this.#one('NativeBuffer')]),
      ],
      getDmaMr: () => [p.access()],
      allocMr: () => [random.pick([0, 0, 0, 1, 5]), random.pick([0, 4, 2 ** 32 - 1])],
      allocFmr: () => [p.access(), random.pick([4, 0, -1, 2 ** 53 - 1]), 1, random.pick([12, 0, 31])],
      acquire: () => [address, length(), lkey, p.access(), random.pick([null, this.#one('NativeSge')])],
      check: () => [address, length(), lkey, p.access(), this.#words(FIELDS.place)],
      fastRegMr: () => [
        this.#one('NativeMemoryRegion'),
        this.#key(),
        p.access(),
        random.pick([undefined, this.#u64()]),
      ],
      invalidateRkey: () => [this.#key()],
      query: () => [this.#words(FIELDS.region)],
      mapSg: () => [
        label('pairs', BigUint64Array.from([DMA, 4096n, DMA + 8192n, 4096n])),
        0n,
        4096,
        this.#words(FIELDS.outcome),
      ],
      mapPhys: () => [label('pages', BigUint64Array.from([DMA, DMA + 4096n])), this.#u64()],
      describe: () => [this.#words(FIELDS.sge)],
      copyTo: () => [
        random.chance(0.3) ? this.#one('{check,checkPacked...}') : this.#bytes(),
        random.pick([0, 4, 2 ** 32 - 1]),
      ],
      copyFrom: () => [this.#bytes(), random.pick([0, 4, 2 ** 32 - 1]), p.flag()],
      fetchAdd: () => [this.#u64()],
      compareSwap: () => [this.#u64(), this.#u64()],
      nextLength: () => [p.length()],
      update: () => [p.length(), p.flag()],
      skip: () => [p.length(), p.flag()],
      hasLkey: () => [this.#key()],
      copyIn: () => [this.#bytes(), p.flag(), p.flag()],
      copyOut: () => [this.#bytes(), p.flag()],
      walk: () => [label('steps', Uint32Array.from([0, 8, 4])), p.flag()],
      checkPacked: () => [this.#bytes()],
      take: () => [random.dice(5)],
      gather: () => [this.#bytes()],
      scatter: () => [this.#bytes()],
      put: () => (p.flag() ? [random.dice(3)] : []),
    };
    return shapes[key]?.();
  }

  /** Where a region is and what its key is: what a local check wants. */
  #target() {
    const region = this.#one('NativeMemoryRegion');
    const fields = new BigUint64Array(FIELDS.region);
    try {
      region?.query(fields);
    } catch {
      // Not an object of this class any more: its prototype is another one.
    }
    const address = fields[this.#plausible.flag() ? START : IOVA] ?? 0n;
    return { lkey: Number(fields[LKEY]), address };
  }

  #key() {
    return this.#random.chance(0.8) ? this.#target().lkey : this.#plausible.key();
  }
}
