// Creates memory of every kind that JavaScript has. Each piece lies between two rims that are never registered and that no call
// may change. Also changes memory as programs can: transfers, shrinks and grows buffers.
import { label } from './labels.mjs';

/** @typedef {import('./random.mjs').Random} Random */

const RIM = 256;
const LENGTHS = [8, 64, 100, 4096, 4096, 3 * 4096, 4 * 4096];
/** Limit that keeps the memory use small. When it is exceeded, the oldest pieces are checked a last time and dropped. */
const MOST = 150;
const WASM_PAGE = 65536;

/** Returns the expected rim byte at a position. It depends on the position, so that bytes copied from elsewhere are detected. */
function rimByte(/** @type {number} */ position) {
  return (position * 151 + (position >>> 8) * 7 + 0x5a) & 0xff;
}

/** ArrayBuffer with members of newer versions of Node, which the type declarations do not have. */
/** @typedef {ArrayBuffer & { resizable?: boolean, resize?: (length: number) => void, transfer?: (length?: number) => ArrayBuffer, maxByteLength?: number }} AnyBuffer */

/** A piece of memory: the body, between two rims of guard bytes. */
export class Memory {
  /** Whether the buffer was transferred away. */
  gone = false;

  /**
   * @param {string} kind
   * @param {AnyBuffer | SharedArrayBuffer} buffer
   * @param {number} from offset of the first rim in the buffer
   * @param {number} length length of the body
   * @param {any} owner the object that keeps the buffer alive: a WebAssembly.Memory, or the buffer itself
   */
  constructor(kind, buffer, from, length, owner) {
    this.kind = kind;
    this.buffer = buffer;
    this.from = from;
    this.length = length;
    this.owner = owner;
    this.fillRims();
  }

  get bodyAt() {
    return this.from + RIM;
  }

  /** Returns a view of the body. Throws if the buffer was detached or is too short. */
  body() {
    return new Uint8Array(this.buffer, this.bodyAt, this.length);
  }

  /** Whether the buffer still contains the whole body. */
  get whole() {
    return !this.gone && this.buffer.byteLength >= this.bodyAt + this.length;
  }

  /** Returns the start and end offsets of the two rims, cut at the end of the buffer. */
  #rims() {
    return [this.from, this.bodyAt + this.length].map((begin) => [
      begin,
      Math.min(begin + RIM, this.buffer.byteLength),
    ]);
  }

  fillRims() {
    const bytes = new Uint8Array(this.buffer);
    for (const [begin = 0, end = 0] of this.#rims()) {
      for (let at = begin; at < end; at++) bytes[at] = rimByte(at);
    }
  }

  /** Returns a description of the first changed rim byte; undefined if the rims are intact. */
  damage() {
    if (this.gone) return undefined;
    const bytes = new Uint8Array(this.buffer);
    for (const [begin = 0, end = 0] of this.#rims()) {
      for (let at = begin; at < end; at++) {
        if (bytes[at] !== rimByte(at)) {
          return `byte ${at - this.bodyAt} beside ${this.length} registered bytes (${this.kind}) was overwritten with ${bytes[at]}`;
        }
      }
    }
    return undefined;
  }
}

/** All pieces of memory of a program. */
export class Memories {
  #random;
  /** @type {Memory[]} */
  #all = [];
  /** Transferred buffers with a copy of their contents. @type {{ bytes: Uint8Array, image: Uint8Array, what: string }[]} */
  #left = [];
  /** @type {string[]} */
  #damages = [];

  constructor(/** @type {Random} */ random) {
    this.#random = random;
  }

  /** Creates memory, by default of a random kind. */
  make(length = this.#random.pick(LENGTHS), kind = this.#anyKind()) {
    // Bodies may have any alignment.
    const shift = this.#random.pick([0, 0, 0, 8, 1, 4, 100]);
    const memory = newMemory(kind, shift, length);
    const body = memory.body();
    let byte = this.#random.dice(256);
    for (let i = 0; i < body.length; i++) body[i] = byte = (byte * 5 + 17 + (i >>> 8)) & 0xff;
    this.#all.push(memory);
    if (this.#all.length > MOST) this.#look(this.#all.shift());
    return memory;
  }

  #anyKind() {
    return this.#random.weighed([
      [6, 'plain'],
      [3, 'resizable'],
      [3, 'shared'],
      [1, 'growable'],
      [1, 'pool'],
      [1, 'wasm'],
      [1, 'wasm shared'],
    ]);
  }

  /** Returns a random piece of memory, sometimes a new one. */
  any() {
    if (this.#all.length === 0 || this.#random.chance(0.2)) return this.make();
    return this.#random.pick(this.#all);
  }

  /** Detaches a buffer. Its bytes move to another buffer that no call knows. */
  transfer(memory = this.any()) {
    // Node's pool buffer cannot be transferred.
    if (memory.gone || memory.kind === 'pool') return;
    this.#look(memory);
    const { buffer } = memory;
    /** @type {ArrayBufferLike} */
    let heir;
    if (memory.kind === 'wasm') {
      if (memory.owner.buffer.byteLength > 3 * WASM_PAGE) return;
      memory.owner.grow(1);
      heir = memory.owner.buffer;
    } else if (buffer instanceof SharedArrayBuffer) {
      return;
    } else if (buffer.transfer && this.#random.chance(0.5)) {
      heir = buffer.transfer(this.#random.chance(0.5) ? undefined : this.#random.dice(2 * buffer.byteLength));
    } else {
      heir = structuredClone(buffer, { transfer: [buffer] });
    }
    memory.gone = true;
    const bytes = new Uint8Array(heir);
    this.#left.push({ bytes, image: bytes.slice(), what: `transferred (${memory.kind})` });
    if (this.#left.length > MOST) this.#left.splice(0, MOST / 2).forEach((left) => this.#lookAtLeft(left));
  }

  /** Shrinks or grows a buffer, if this version of Node can. */
  resize(memory = this.any()) {
    if (memory.gone) return;
    const most = memory.bodyAt + memory.length + RIM;
    if (memory.kind === 'resizable') {
      this.#look(memory);
      const buffer = /** @type {Required<AnyBuffer>} */ (memory.buffer);
      buffer.resize(this.#random.pick([0, this.#random.dice(most), most, most + 1000]));
      // The buffer was cut off and grown again, which fills it with zeros, so write the rims again.
      memory.fillRims();
    } else if (memory.kind === 'growable') {
      const buffer = /** @type {any} */ (memory.buffer);
      buffer.grow(Math.min(buffer.maxByteLength, buffer.byteLength + this.#random.dice(1000)));
    }
  }

  /** Checks all memory and returns a description of each damage found. */
  damages() {
    for (const memory of this.#all) this.#look(memory);
    for (const left of this.#left) this.#lookAtLeft(left);
    return this.#damages;
  }

  #look(/** @type {Memory | undefined} */ memory) {
    const damage = memory?.damage();
    if (damage) this.#damages.push(damage);
  }

  #lookAtLeft(/** @type {{ bytes: Uint8Array, image: Uint8Array, what: string }} */ { bytes, image, what }) {
    const at = bytes.findIndex((byte, i) => byte !== image[i]);
    if (at >= 0)
      this.#damages.push(`byte ${at} of ${bytes.length} was overwritten after the buffer was ${what}`);
  }
}

/**
 * @param {string} kind
 * @param {number} shift
 * @param {number} length
 */
function newMemory(kind, shift, length) {
  const bytes = shift + 2 * RIM + length;
  const Buffers = /** @type {any} */ ({ ArrayBuffer, SharedArrayBuffer });
  switch (kind) {
    case 'resizable': {
      const buffer = new Buffers.ArrayBuffer(bytes, { maxByteLength: 2 * bytes + 1000 });
      return new Memory(
        buffer.resizable ? kind : 'plain',
        label('a resizable ArrayBuffer', buffer),
        shift,
        length,
        buffer,
      );
    }
    case 'shared': {
      const buffer = label('a SharedArrayBuffer', new SharedArrayBuffer(bytes));
      return new Memory(kind, buffer, shift, length, buffer);
    }
    case 'growable': {
      const buffer = new Buffers.SharedArrayBuffer(bytes, { maxByteLength: 2 * bytes + 1000 });
      return new Memory(
        buffer.growable ? kind : 'shared',
        label('a growable buffer', buffer),
        shift,
        length,
        buffer,
      );
    }
    case 'pool': {
      // If small enough, this is a slice of Node's pool, so other Buffers lie next to it.
      const slice = Buffer.allocUnsafe(bytes);
      return new Memory(kind, slice.buffer, slice.byteOffset + shift, length, slice);
    }
    case 'wasm':
    case 'wasm shared': {
      const shared = kind === 'wasm shared';
      const memory = new /** @type {any} */ (globalThis).WebAssembly.Memory({
        initial: 1,
        maximum: 4,
        shared,
      });
      return new Memory(
        kind,
        label(`the buffer of a WebAssembly.Memory`, memory.buffer),
        shift,
        length,
        memory,
      );
    }
    default: {
      const buffer = label('an ArrayBuffer', new ArrayBuffer(bytes));
      return new Memory('plain', buffer, shift, length, buffer);
    }
  }
}
