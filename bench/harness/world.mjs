// Creates the regions and the accesses that benchmarks use. A small generator with a fixed seed makes them the same in every run.
import { Access, Device } from 'rdmavt';

/** @typedef {import('./peers.mjs').Entry} Entry */

/**
 * Key table size in bits, with room for more than 65,536 regions. All benchmarks use the same size, so only the number of regions
 * differs.
 */
export const BITS = 17;

/** First address of the regions: beyond 32 bits, like real addresses, and below 2^53, so that it fits in a number. */
const FIRST_ADDRESS = 0x7f00_0000_0000;

/** Numbers of the protection domains in the JavaScript tables. */
export const PD = 1;
const OTHER_PD = 2;

/**
 * Returns a generator of numbers from 0 to 2^32-1 (mulberry32). The same seed gives the same numbers.
 *
 * @param {number} seed
 */
export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/**
 * Returns the numbers below `count` in random order. The order is the same in every run.
 *
 * @param {number} count
 */
export function shuffled(count) {
  const next = random(3);
  return Array.from({ length: count }, (_, i) => ({ i, rank: next() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ i }) => i);
}

/**
 * Accesses to regions, in all forms that contenders need.
 *
 * @typedef {object} Work
 * @property {number} count
 * @property {Uint32Array} packed four words per element: address low, high, length, key
 * @property {Float64Array} addresses
 * @property {Uint32Array} lengths
 * @property {Uint32Array} keys
 */

/**
 * Opens a device for a benchmark. Sets the key policy explicitly: random keys, unless the benchmark measures sequential keys.
 *
 * @param {import('rdmavt').DeviceOptions} [options]
 */
export function openDevice(options = {}) {
  return new Device({ keyPolicy: 'random', ...options });
}

/** A device with regions of equal size, which share one buffer or have one buffer each. */
export class World {
  /** @type {Entry[]} */
  entries = [];
  /** @type {import('rdmavt').MemoryRegion[]} */
  regions = [];
  /**
   * The shared buffer, or one buffer for each region. Pages that are never touched take no memory.
   *
   * @type {Buffer[]}
   */
  memories = [];
  regionBytes;

  /**
   * @param {number} regions
   * @param {object} [options]
   * @param {number} [options.regionBytes]
   * @param {boolean} [options.separate] whether each region has its own buffer
   * @param {boolean} [options.mixed] whether a few regions belong to another domain, lack rights, or are invalid
   * @param {import('rdmavt').KeyPolicy} [options.keyPolicy]
   */
  constructor(regions, { regionBytes = 4096, separate = false, mixed = false, keyPolicy = 'random' } = {}) {
    this.device = openDevice({ lkeyTableBits: BITS, keyPolicy });
    this.pd = this.device.allocPd();
    this.qp = this.pd.createQp();
    this.regionBytes = regionBytes;
    const otherPd = this.device.allocPd();
    if (!separate) this.memories.push(Buffer.from(new ArrayBuffer(regions * regionBytes)));
    for (let i = 0; i < regions; i++) {
      if (separate) this.memories.push(Buffer.from(new ArrayBuffer(regionBytes)));
      const memory = separate
        ? this.memories[i]
        : this.memory.subarray(i * regionBytes, (i + 1) * regionBytes);
      const base = FIRST_ADDRESS + i * regionBytes;
      const kind = mixed ? i % 64 : 0;
      const access =
        kind === 11 ? Access.RemoteRead : Access.LocalWrite | Access.RemoteWrite | Access.RemoteRead;
      const pd = kind === 22 ? OTHER_PD : PD;
      const valid = kind !== 33;
      const region = (pd === PD ? this.pd : otherPd).regUserMr(memory ?? this.memory, {
        start: base,
        access,
      });
      this.regions.push(region);
      if (!valid) this.qp.invalidateRkey(region.rkey);
      const position = separate ? i : i * regionBytes;
      this.entries.push({ key: region.lkey, pd, valid, access, base, length: regionBytes, position });
    }
  }

  /** The buffer that all regions share, unless each has its own. */
  get memory() {
    return /** @type {Buffer} */ (this.memories[0]);
  }

  /** Fills the memory with bytes that depend on their position. */
  fill() {
    for (const [i, memory] of this.memories.entries()) {
      for (let k = 0; k < memory.length; k++) memory[k] = (k * 31 + (k >> 8) * 7 + i) & 0xff;
    }
  }

  /**
   * Draws accesses to random regions at random offsets.
   *
   * @param {number} count
   * @param {object} [options]
   * @param {number} [options.bytes] length of each access. Default: random, 8 to 519
   * @param {boolean} [options.mixed] whether some accesses must be refused
   * @param {number} [options.seed]
   * @param {readonly Entry[]} [options.among] regions to draw from
   * @returns {Work}
   */
  work(count, { bytes, mixed = false, seed = 1, among = this.entries } = {}) {
    const next = random(seed);
    /** @type {Work} */
    const work = {
      count,
      packed: new Uint32Array(4 * count),
      addresses: new Float64Array(count),
      lengths: new Uint32Array(count),
      keys: new Uint32Array(count),
    };
    for (let i = 0; i < count; i++) {
      const entry = /** @type {Entry} */ (among[next() % among.length]);
      const length = bytes ?? 8 + (next() % 512);
      let { key } = entry;
      let address = entry.base + (next() % (entry.length - length + 1));
      const fault = mixed ? next() % 64 : 0;
      if (fault === 1) address = entry.base + entry.length - length + 1;
      if (fault === 2) address = entry.base - 1;
      if (fault === 3) key = (key ^ 0x200) >>> 0;
      if (fault === 4) key = 0xffff_ff00;
      work.addresses[i] = address;
      work.lengths[i] = length;
      work.keys[i] = key;
      work.packed.set([address % 2 ** 32, Math.floor(address / 2 ** 32), length, key], 4 * i);
    }
    return work;
  }

  close() {
    this.device.close({ cascade: true });
  }
}

/**
 * Returns views of `size` packed elements each, one after the other.
 *
 * @param {Work} work
 * @param {number} size
 */
export function viewsOf(work, size) {
  return Array.from(
    { length: work.count / size },
    (_, i) => new Uint8Array(work.packed.buffer, 16 * size * i, 16 * size),
  );
}

/**
 * Returns batches that contain the elements, `size` elements each.
 *
 * @template {{ words: Uint32Array }} T
 * @param {Work} work
 * @param {number} size
 * @param {(capacity: number) => T} make
 */
export function batchesOf(work, size, make) {
  return Array.from({ length: work.count / size }, (_, i) => {
    const batch = make(size);
    batch.words.set(work.packed.subarray(4 * size * i, 4 * size * (i + 1)));
    return batch;
  });
}
