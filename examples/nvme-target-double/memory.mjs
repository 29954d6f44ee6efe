// The memory of a host, in regions of all kinds, with a model of it and of the namespace: what both must contain.
import { Access } from 'rdmavt';

/** @typedef {import('./capsules.mjs').Place} Place */

const BLOCK = 512;
const BYTES = 24576;
const { LocalWrite, RemoteRead, RemoteWrite } = Access;
const ALL = LocalWrite | RemoteRead | RemoteWrite;

export class Memory {
  #host;
  #blocks;
  #model;
  /** @type {Record<Place, Buffer>} */
  #bytes = {
    plain: Buffer.alloc(BYTES),
    readable: Buffer.alloc(BYTES),
    writable: Buffer.alloc(BYTES),
    foreign: Buffer.alloc(BYTES),
    gone: Buffer.alloc(BYTES),
    fast: Buffer.alloc(BYTES),
  };
  #regions;

  /**
   * Fills the memory and the namespace with random bytes.
   *
   * @param {import('./host.mjs').Host} host
   * @param {Buffer} blocks the namespace
   * @param {(limit: number) => number} random
   */
  constructor(host, blocks, random) {
    this.#host = host;
    this.#blocks = blocks;
    const { plain, readable, writable, foreign, gone } = this.#bytes;
    for (const bytes of [...Object.values(this.#bytes), blocks])
      for (let i = 0; i < bytes.length; i++) bytes[i] = random(256);
    this.#model = { blocks: Buffer.from(blocks), memory: structuredClone(this.#bytes) };
    const other = host.device.allocPd();
    const taken = host.pd.regUserMr(gone, { access: ALL });
    const regions = {
      plain: host.pd.regUserMr(plain, { access: ALL }),
      readable: host.pd.regUserMr(readable, { access: RemoteRead }),
      writable: host.pd.regUserMr(writable, { access: LocalWrite | RemoteWrite }),
      foreign: other.regUserMr(foreign, { access: ALL }),
    };
    this.#regions = {
      plain: placeOf(regions.plain),
      readable: placeOf(regions.readable),
      writable: placeOf(regions.writable),
      foreign: placeOf(regions.foreign),
      gone: placeOf(taken),
    };
    taken.dereg();
  }

  /** Registers the memory whose key a target may invalidate, and returns it with all regions. */
  register() {
    const fast = this.#host.fastRegister(this.#bytes.fast);
    return { fast, regions: { ...this.#regions, fast: placeOf(fast.mr) } };
  }

  /**
   * Does in the model what a good command does.
   *
   * @param {import('./capsules.mjs').Draft} command
   */
  apply({ kind, layout, first, pieces, data }) {
    const { blocks, memory } = this.#model;
    let at = Number(first) * BLOCK;
    if (layout === 'inline') blocks.set(data, at);
    for (const { place, offset, length } of pieces) {
      const piece = memory[place].subarray(offset, offset + length);
      if (kind === 'write') blocks.set(piece, at);
      else piece.set(blocks.subarray(at, at + length));
      at += length;
    }
  }

  /** Returns where the bytes are not those of the model. */
  differences() {
    const { blocks, memory } = this.#model;
    const places = /** @type {Place[]} */ (Object.keys(memory));
    const wrong = places.filter((place) => !this.#bytes[place].equals(memory[place]));
    return this.#blocks.equals(blocks) ? wrong : [...wrong, 'the namespace'];
  }
}

/** @param {import('rdmavt').MemoryRegion} region */
function placeOf({ iova, rkey, length }) {
  return { iova, rkey, length };
}
