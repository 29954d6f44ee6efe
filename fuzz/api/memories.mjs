// Memory of every kind that JavaScript has, each between rims that nobody registers and no call may touch; and what happens to
// such memory: it is transferred, shrunk, grown.
import { label } from './labels.mjs';

/** @typedef {import('./random.mjs').Random} Random */

const RIM = 256;
const LENGTHS = [8, 64, 100, 4096, 4096, 3 * 4096, 4 * 4096];
/** More would be a matter of memory. The oldest ones are looked at for the last time, and forgotten. */
const MOST = 150;
const WASM_PAGE = 65536;

/** The byte that stands in the rim at a position: another one at each, so that bytes from elsewhere are seen. */
function rimByte(/** @type {number} */ position) {
  return (position * 151 + (position >>> 8) * 7 + 0x5a) & 0xff;
}

/** Newer engines have these; they are not in the types of the oldest one. */
/** @typedef {ArrayBuffer & { resizable?: boolean, resize?: (length: number) => void, transfer?: (length?: number) => ArrayBuffer, maxByteLength?: number }} AnyBuffer */

/** Some memory: a rim, a body, a rim. */
export class Memory {
  /** Whether JavaScript has taken the buffer away. */
  gone = false;

  /**
   * @param {string} kind
   * @param {AnyBuffer | SharedArrayBuffer} buffer
   * @param {number} from where the first rim begins in the buffer
   * @param {number} length of the body
   * @param {any} owner what keeps the buffer: a WebAssembly.Memory, or the buffer itself
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

  /** The body. An error if the buffer is not what it was. */
  body() {
    return new Uint8Array(this.buffer, this.bodyAt, this.length);
  }

  /** Whether the whole body is there. */
  get whole() {
    return !this.gone && this.buffer.byteLength >= this.bodyAt + this.length;
  }

  /** The parts of the two rims that are there: begin and end. */
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

  /** What is wrong with the rims; undefined if nothing is. */
  damage() {
    if (this.gone) return undefined;
    const bytes = new Uint8Array(this.buffer);
    for (const [begin = 0, end = 0] of this.#rims()) {
      for (let at = begin; at < end; at++) {
        if (bytes[at] !== rimByte(at)) {
          return `byte ${at - this.bodyAt} beside ${this.length} registered bytes (${this.kind}) was written: ${bytes[at]}`;
        }
      }
    }
    return undefined;
  }
}

/** All memory of a program. */
export class Memories {
  #random;
  /** @type {Memory[]} */
  #all = [];
  /** Bytes that belong to nobody any more, and how they were left: @type {{ bytes: Uint8Array, image: Uint8Array, what: string }[]} */
  #left = [];
  /** @type {string[]} */
  #damages = [];

  constructor(/** @type {Random} */ random) {
    this.#random = random;
  }

  /** New memory of any kind, or of one. */
  make(length = this.#random.pick(LENGTHS), kind = this.#anyKind()) {
    // Bodies need not be aligned to anything.
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

  /** One of those that are there. */
  any() {
    if (this.#all.length === 0 || this.#random.chance(0.2)) return this.make();
    return this.#random.pick(this.#all);
  }

  /** Takes a buffer away from everybody: it is detached, and its bytes go on in another one that no call knows. */
  transfer(memory = this.any()) {
    // The pool's buffer is Node's own, and cannot be transferred for that reason.
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

  /** Shrinks or grows a buffer, where the engine can. */
  resize(memory = this.any()) {
    if (memory.gone) return;
    const most = memory.bodyAt + memory.length + RIM;
    if (memory.kind === 'resizable') {
      this.#look(memory);
      const buffer = /** @type {Required<AnyBuffer>} */ (memory.buffer);
      buffer.resize(this.#random.pick([0, this.#random.dice(most), most, most + 1000]));
      // What has come back is empty; JavaScript itself did that.
      memory.fillRims();
    } else if (memory.kind === 'growable') {
      const buffer = /** @type {any} */ (memory.buffer);
      buffer.grow(Math.min(buffer.maxByteLength, buffer.byteLength + this.#random.dice(1000)));
    }
  }

  /** What is wrong, after a last look at everything. */
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
    if (at >= 0) this.#damages.push(`byte ${at} of ${bytes.length} was written after they were ${what}`);
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
      // A slice of Node's own pool, if it is small enough: the neighbours are other Buffers.
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
