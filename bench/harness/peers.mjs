// What the native checks are compared with: key tables in plain JavaScript, as good as we can write them. One that is easy to beat
// would prove nothing.
//
// They do what the core does: key, validity, protection domain, bounds, rights, in this order, the reason worked out on the refusing
// path only, the first refusal remembered. They may assume what a program of its own table can: addresses below 2^53, one thread.
import { reasonNumber } from './native.mjs';

/**
 * Numbers by index. `any`, because every index below is in range, and a test for undefined has no place in these loops.
 *
 * @typedef {{ [index: number]: any }} Numbers
 */

/**
 * A region as a table holds it.
 *
 * @typedef {object} Entry
 * @property {number} key
 * @property {number} pd
 * @property {boolean} valid
 * @property {number} access
 * @property {number} base
 * @property {number} length
 * @property {number} position where its first byte is: a byte of the common memory, or the number of the region's own memory
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
 * The strongest: records of 32 bytes in one buffer, reached by the key's index, seen as 32-bit integers (key; domain, validity and
 * rights in one word, so that one comparison judges all three) and as doubles (base, length, position). Half a cache line an
 * element; no object, no call, no allocation.
 *
 * Measured against it and slower or equal: one Float64Array of 64-byte records, 32-bit addresses in pairs, Uint32Array keys.
 */
export class FlatTable {
  /** @type {Numbers} */
  #words;
  /** @type {Numbers} */
  #doubles;
  #shift;
  /** Position in the last batch, -1: none. */
  firstRefusal = -1;

  /**
   * @param {number} bits of the key that are the index
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
   * Judges packed SGEs.
   *
   * @param {Numbers} sges four words each
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @returns how many passed
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
   * Judges what lies in three arrays of numbers.
   *
   * @param {Numbers} addresses
   * @param {Numbers} lengths
   * @param {Numbers} keys
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @returns how many passed
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
   * Judges packed SGEs and says of each: 0 or the reason, and its place.
   *
   * @param {Numbers} sges four words each
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @param {Numbers} verdicts
   * @param {Numbers} positions
   * @returns how many passed
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
   * Judges one.
   *
   * @param {number} address
   * @param {number} length
   * @param {number} key
   * @param {number} pd
   * @param {number} access
   * @returns 0 or the number of the reason
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
   * @param {number} key of a region in the table
   */
  positionOf(key) {
    return this.#doubles[4 * (key >>> this.#shift) + 3];
  }

  /**
   * Judges packed SGEs and copies the bytes of each into a buffer, one after the other; stops at the first refusal.
   *
   * `Buffer.copy` takes offsets, so that no view has to be made.
   *
   * @param {Numbers} sges
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @param {Buffer} memory all regions lie in it
   * @param {Buffer} target
   * @returns bytes
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
   * The same where every region has a buffer of its own.
   *
   * @param {Numbers} sges
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @param {readonly Buffer[]} memories by the position of their region
   * @param {Buffer} target
   * @returns bytes
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
   * {@link FlatTable.gather} with a loop over the bytes instead of a call: quicker for few bytes, hopeless for many.
   *
   * @param {Numbers} sges
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @param {Numbers} memory bytes
   * @param {Numbers} target bytes
   * @returns bytes
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
          // A 32-bit index: the memory of these questions is below 2 GiB, and doubles cost in the inner loop.
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
   * The way back: judges packed SGEs and fills each from a buffer.
   *
   * @param {Numbers} sges
   * @param {number} first
   * @param {number} count
   * @param {number} pd
   * @param {number} access
   * @param {Buffer} source
   * @param {Buffer} memory all regions lie in it
   * @returns bytes
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

/** An object a region in an array by index: what one writes first. */
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
    // Dense, and no longer than needed: what is beyond it is undefined all the same.
    this.#entries = [];
    const highest = entries.reduce((most, { key }) => Math.max(most, key >>> this.#shift), -1);
    for (let i = 0; i <= highest; i++) this.#entries.push(undefined);
    // Each its own object of the one shape.
    for (const entry of entries) this.#entries[entry.key >>> this.#shift] = { ...entry };
  }

  /**
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

/** Addresses of all 64 bits as JavaScript has them, and a Map: what the numbers above leave out costs this. */
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
   * Lengths are bigints already: turning each into one would cost as much again.
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
