// The JavaScript implementations that the native checks are compared with: key tables written for speed, because a comparison
// with slow code would prove nothing.
//
// They check what the core checks, in the same order: key, validity, protection domain, bounds, rights. They determine the reason
// only when they refuse, and remember the first refusal. They may rely on simplifications that a program can make for its own
// table: addresses below 2^53 and a single thread.
import { reasonNumber } from './native.mjs';

/**
 * An indexable list of numbers. The values are `any` because all indexes below are in range: a test for undefined would slow down
 * the loops.
 *
 * @typedef {{ [index: number]: any }} Numbers
 */

/**
 * A region, as given to a table.
 *
 * @typedef {object} Entry
 * @property {number} key
 * @property {number} pd
 * @property {boolean} valid
 * @property {number} access
 * @property {number} base
 * @property {number} length
 * @property {number} position position of the region: its offset in the shared memory, or the index of its own buffer
 */

const REASON = {
  none: reasonNumber('NoSuchKey'),
  stale: reasonNumber('StaleKey'),
  invalid: reasonNumber('Invalidated'),
  pd: reasonNumber('WrongPd'),
  bounds: reasonNumber('OutOfBounds'),
  access: reasonNumber('AccessDenied'),
};

const HIGH = 2 ** 32;
const VALID = 0x80;
const RIGHTS = 0x7f;

/**
 * The fastest peer. It stores 32-byte records in one buffer, indexed by the upper bits of the key. The buffer is accessed as
 * 32-bit integers (the key; protection domain, validity and rights in one word, so that one comparison checks all three) and as
 * doubles (base, length, position). Each check reads half a cache line and needs no object, no call and no allocation.
 *
 * Variants that were measured and were not faster: one Float64Array of 64-byte records, pairs of 32-bit words for addresses, keys
 * in a Uint32Array.
 */
export class FlatTable {
  /** @type {Numbers} */
  #words;
  /** @type {Numbers} */
  #doubles;
  #shift;
  /** Index of the first refused element in the last batch; -1: none. */
  firstRefusal = -1;

  /**
   * @param {number} bits number of upper key bits that form the index
   * @param {readonly Entry[]} entries
   */
  constructor(bits, entries) {
    const buffer = new ArrayBuffer(32 * 2 ** bits);
    this.#words = new Int32Array(buffer);
    this.#doubles = new Float64Array(buffer);
    this.#shift = 32 - bits;
    for (const { key, pd, valid, access, base, length, position } of entries) {
      const index = key >>> this.#shift;
      this.#words[8 * index] = key;
      this.#words[8 * index + 1] = (pd << 8) | (valid ? VALID : 0) | access;
      this.#doubles[4 * index + 1] = base;
      this.#doubles[4 * index + 2] = length;
      this.#doubles[4 * index + 3] = position;
    }
  }

  /**
   * Checks packed SGEs.
   *
   * @param {Numbers} sges four words each
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @returns {number} how many SGEs passed
   */
  checkPacked(sges, first, count, pd, access) {
    const words = this.#words;
    const doubles = this.#doubles;
    const shift = this.#shift;
    const mask = ~(RIGHTS & ~access);
    const wanted = (pd << 8) | VALID | access;
    let passed = 0;
    let refusal = -1;
    for (let i = 0, j = 4 * first; i < count; i++, j += 4) {
      const key = sges[j + 3] | 0;
      const index = key >>> shift;
      const record = index << 3;
      if (words[record] === key && (words[record + 1] & mask) === wanted) {
        const offset = sges[j + 1] * HIGH + sges[j] - doubles[(index << 2) + 1];
        if (offset >= 0 && sges[j + 2] <= doubles[(index << 2) + 2] - offset) {
          passed++;
          continue;
        }
      }
      if (refusal < 0) refusal = i;
    }
    this.firstRefusal = refusal;
    return passed;
  }

  /**
   * Checks elements given as three arrays of numbers.
   *
   * @param {Numbers} addresses
   * @param {Numbers} lengths
   * @param {Numbers} keys
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @returns {number} how many elements passed
   */
  checkNumbers(addresses, lengths, keys, first, count, pd, access) {
    const words = this.#words;
    const doubles = this.#doubles;
    const shift = this.#shift;
    const mask = ~(RIGHTS & ~access);
    const wanted = (pd << 8) | VALID | access;
    let passed = 0;
    let refusal = -1;
    for (let i = first, end = first + count; i < end; i++) {
      const key = keys[i] | 0;
      const index = key >>> shift;
      const record = index << 3;
      if (words[record] === key && (words[record + 1] & mask) === wanted) {
        const offset = addresses[i] - doubles[(index << 2) + 1];
        if (offset >= 0 && lengths[i] <= doubles[(index << 2) + 2] - offset) {
          passed++;
          continue;
        }
      }
      if (refusal < 0) refusal = i - first;
    }
    this.firstRefusal = refusal;
    return passed;
  }

  /**
   * Checks packed SGEs and stores for each SGE a verdict (0, or the number of the refusal reason) and its offset in the region.
   *
   * @param {Numbers} sges four words each
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @param {Numbers} verdicts
   * @param {Numbers} positions
   * @returns {number} how many SGEs passed
   */
  placePacked(sges, first, count, pd, access, verdicts, positions) {
    const words = this.#words;
    const doubles = this.#doubles;
    const shift = this.#shift;
    const mask = ~(RIGHTS & ~access);
    const wanted = (pd << 8) | VALID | access;
    let passed = 0;
    let refusal = -1;
    for (let i = 0, j = 4 * first; i < count; i++, j += 4) {
      const key = sges[j + 3] | 0;
      const index = key >>> shift;
      const record = index << 3;
      const address = sges[j + 1] * HIGH + sges[j];
      if (words[record] === key && (words[record + 1] & mask) === wanted) {
        const offset = address - doubles[(index << 2) + 1];
        if (offset >= 0 && sges[j + 2] <= doubles[(index << 2) + 2] - offset) {
          verdicts[i] = 0;
          positions[i] = offset;
          passed++;
          continue;
        }
      }
      verdicts[i] = this.judge(address, sges[j + 2], key, pd, access);
      if (refusal < 0) refusal = i;
    }
    this.firstRefusal = refusal;
    return passed;
  }

  /**
   * Checks one access.
   *
   * @param {number} address
   * @param {number} length
   * @param {number} key
   * @param {number} pd
   * @param {number} access
   * @returns {number} 0, or the number of the refusal reason
   */
  judge(address, length, key, pd, access) {
    const words = this.#words;
    const index = key >>> this.#shift;
    const entry = words[8 * index + 1];
    if (words[8 * index] !== (key | 0)) return words[8 * index] === 0 ? REASON.none : REASON.stale;
    if ((entry & VALID) === 0) return REASON.invalid;
    if (entry >>> 8 !== pd) return REASON.pd;
    const offset = address - this.#doubles[4 * index + 1];
    if (!(offset >= 0 && length <= this.#doubles[4 * index + 2] - offset)) return REASON.bounds;
    return (entry & access) === access ? 0 : REASON.access;
  }

  /**
   * Returns the position of the region that has this key.
   *
   * @param {number} key key of a region in the table
   */
  positionOf(key) {
    return this.#doubles[4 * (key >>> this.#shift) + 3];
  }

  /**
   * Checks packed SGEs and copies the bytes of each into a buffer, one after the other. Stops at the first refusal.
   *
   * `Buffer.copy` accepts offsets, so no view needs to be created.
   *
   * @param {Numbers} sges
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @param {Buffer} memory the buffer that contains all regions
   * @param {Buffer} target
   * @returns {number} the number of copied bytes
   */
  gather(sges, first, count, pd, access, memory, target) {
    const words = this.#words;
    const doubles = this.#doubles;
    const shift = this.#shift;
    const mask = ~(RIGHTS & ~access);
    const wanted = (pd << 8) | VALID | access;
    let moved = 0;
    this.firstRefusal = -1;
    for (let i = 0, j = 4 * first; i < count; i++, j += 4) {
      const key = sges[j + 3] | 0;
      const index = key >>> shift;
      const record = index << 3;
      if (words[record] === key && (words[record + 1] & mask) === wanted) {
        const offset = sges[j + 1] * HIGH + sges[j] - doubles[(index << 2) + 1];
        const length = sges[j + 2];
        if (offset >= 0 && length <= doubles[(index << 2) + 2] - offset) {
          const at = doubles[(index << 2) + 3] + offset;
          memory.copy(target, moved, at, at + length);
          moved += length;
          continue;
        }
      }
      this.firstRefusal = i;
      break;
    }
    return moved;
  }

  /**
   * The same as {@link FlatTable.gather} if every region has its own buffer.
   *
   * @param {Numbers} sges
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @param {readonly Buffer[]} memories the buffers of the regions, indexed by `position`
   * @param {Buffer} target
   * @returns {number} the number of copied bytes
   */
  gatherSeparate(sges, first, count, pd, access, memories, target) {
    const words = this.#words;
    const doubles = this.#doubles;
    const shift = this.#shift;
    const mask = ~(RIGHTS & ~access);
    const wanted = (pd << 8) | VALID | access;
    let moved = 0;
    this.firstRefusal = -1;
    for (let i = 0, j = 4 * first; i < count; i++, j += 4) {
      const key = sges[j + 3] | 0;
      const index = key >>> shift;
      const record = index << 3;
      if (words[record] === key && (words[record + 1] & mask) === wanted) {
        const offset = sges[j + 1] * HIGH + sges[j] - doubles[(index << 2) + 1];
        const length = sges[j + 2];
        if (offset >= 0 && length <= doubles[(index << 2) + 2] - offset) {
          const memory = /** @type {Buffer} */ (memories[doubles[(index << 2) + 3]]);
          memory.copy(target, moved, offset, offset + length);
          moved += length;
          continue;
        }
      }
      this.firstRefusal = i;
      break;
    }
    return moved;
  }

  /**
   * The same as {@link FlatTable.gather} with a loop over the bytes instead of `Buffer.copy`: faster for a few bytes, much slower
   * for many.
   *
   * @param {Numbers} sges
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @param {Numbers} memory bytes
   * @param {Numbers} target bytes
   * @returns {number} the number of copied bytes
   */
  gatherByLoop(sges, first, count, pd, access, memory, target) {
    const words = this.#words;
    const doubles = this.#doubles;
    const shift = this.#shift;
    const mask = ~(RIGHTS & ~access);
    const wanted = (pd << 8) | VALID | access;
    let moved = 0;
    this.firstRefusal = -1;
    for (let i = 0, j = 4 * first; i < count; i++, j += 4) {
      const key = sges[j + 3] | 0;
      const index = key >>> shift;
      const record = index << 3;
      if (words[record] === key && (words[record + 1] & mask) === wanted) {
        const offset = sges[j + 1] * HIGH + sges[j] - doubles[(index << 2) + 1];
        const length = sges[j + 2] | 0;
        if (offset >= 0 && length <= doubles[(index << 2) + 2] - offset) {
          // Use a 32-bit index: the memory of the benchmarks is below 2 GiB, and doubles would slow down the inner loop.
          const at = (doubles[(index << 2) + 3] + offset) | 0;
          for (let k = 0; k < length; k++) target[moved + k] = memory[at + k];
          moved = (moved + length) | 0;
          continue;
        }
      }
      this.firstRefusal = i;
      break;
    }
    return moved;
  }

  /**
   * Checks packed SGEs and fills the memory of each from a buffer. Stops at the first refusal.
   *
   * @param {Numbers} sges
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @param {Buffer} source
   * @param {Buffer} memory the buffer that contains all regions
   * @returns {number} the number of copied bytes
   */
  scatter(sges, first, count, pd, access, source, memory) {
    const words = this.#words;
    const doubles = this.#doubles;
    const shift = this.#shift;
    const mask = ~(RIGHTS & ~access);
    const wanted = (pd << 8) | VALID | access;
    let moved = 0;
    this.firstRefusal = -1;
    for (let i = 0, j = 4 * first; i < count; i++, j += 4) {
      const key = sges[j + 3] | 0;
      const index = key >>> shift;
      const record = index << 3;
      if (words[record] === key && (words[record + 1] & mask) === wanted) {
        const offset = sges[j + 1] * HIGH + sges[j] - doubles[(index << 2) + 1];
        const length = sges[j + 2];
        if (offset >= 0 && length <= doubles[(index << 2) + 2] - offset) {
          source.copy(memory, doubles[(index << 2) + 3] + offset, moved, moved + length);
          moved += length;
          continue;
        }
      }
      this.firstRefusal = i;
      break;
    }
    return moved;
  }
}

/** A simpler peer: an array with one object per region, indexed by the upper bits of the key. */
export class ObjectTable {
  /** @type {(Entry | undefined)[]} */
  #entries;
  #shift;
  firstRefusal = -1;

  /**
   * @param {number} bits
   * @param {readonly Entry[]} entries
   */
  constructor(bits, entries) {
    this.#shift = 32 - bits;
    // Use a dense array that is no longer than needed; `#allows` treats indexes beyond its end as missing keys.
    this.#entries = [];
    const highest = entries.reduce((most, { key }) => Math.max(most, key >>> this.#shift), -1);
    for (let i = 0; i <= highest; i++) this.#entries.push(undefined);
    // Copy each entry into a new object, so that all objects have the same hidden class.
    for (const entry of entries) this.#entries[entry.key >>> this.#shift] = { ...entry };
  }

  /**
   * Checks packed SGEs and returns how many passed.
   *
   * @param {Numbers} sges
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   */
  checkPacked(sges, first, count, pd, access) {
    let passed = 0;
    let refusal = -1;
    for (let i = 0, j = 4 * first; i < count; i++, j += 4) {
      if (this.#allows(sges[j + 1] * HIGH + sges[j], sges[j + 2], sges[j + 3], pd, access)) passed++;
      else if (refusal < 0) refusal = i;
    }
    this.firstRefusal = refusal;
    return passed;
  }

  /**
   * Checks elements given as three arrays of numbers, and returns how many passed.
   *
   * @param {Numbers} addresses
   * @param {Numbers} lengths
   * @param {Numbers} keys
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   */
  checkNumbers(addresses, lengths, keys, first, count, pd, access) {
    let passed = 0;
    let refusal = -1;
    for (let i = first, end = first + count; i < end; i++) {
      if (this.#allows(addresses[i], lengths[i], keys[i], pd, access)) passed++;
      else if (refusal < 0) refusal = i - first;
    }
    this.firstRefusal = refusal;
    return passed;
  }

  /**
   * Returns whether one access is permitted.
   *
   * @param {number} address
   * @param {number} length
   * @param {number} key
   * @param {number} pd
   * @param {number} access
   */
  #allows(address, length, key, pd, access) {
    const index = key >>> this.#shift;
    if (index >= this.#entries.length) return false;
    const entry = this.#entries[index];
    if (entry === undefined || entry.key !== key || !entry.valid || entry.pd !== pd) return false;
    const offset = address - entry.base;
    return offset >= 0 && length <= entry.length - offset && (entry.access & access) === access;
  }
}

/**
 * A peer with a Map and with BigInt addresses, which cover all 64 bits. It shows what the restriction to 2^53 saves the other
 * peers.
 */
export class BigIntTable {
  /** @type {Map<number, Omit<Entry, 'base' | 'length'> & { base: bigint, length: bigint }>} */
  #entries = new Map();
  firstRefusal = -1;

  /**
   * @param {number} _bits
   * @param {readonly Entry[]} entries
   */
  constructor(_bits, entries) {
    for (const entry of entries) {
      this.#entries.set(entry.key, { ...entry, base: BigInt(entry.base), length: BigInt(entry.length) });
    }
  }

  /**
   * Checks elements and returns how many passed. The lengths must be bigints: converting each length would double the time.
   *
   * @param {Numbers} addresses bigints
   * @param {Numbers} lengths bigints
   * @param {Numbers} keys numbers
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   */
  check(addresses, lengths, keys, first, count, pd, access) {
    let passed = 0;
    let refusal = -1;
    for (let i = first, end = first + count; i < end; i++) {
      const entry = this.#entries.get(keys[i]);
      if (entry !== undefined && entry.valid && entry.pd === pd && (entry.access & access) === access) {
        const offset = addresses[i] - entry.base;
        if (offset >= 0n && lengths[i] <= entry.length - offset) {
          passed++;
          continue;
        }
      }
      if (refusal < 0) refusal = i - first;
    }
    this.firstRefusal = refusal;
    return passed;
  }
}
