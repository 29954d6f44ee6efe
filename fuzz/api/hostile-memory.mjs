// Creates memory to use as arguments: all kinds of views, detached ones, ones whose buffer was resized, and ones with false
// properties.
import { inspect } from 'node:util';
import { label } from './labels.mjs';

/** @typedef {import('./world.mjs').World} World */

/** The typed array classes that this version of Node has. */
const TYPED_ARRAYS =
  `Uint8Array Int8Array Uint8ClampedArray Uint16Array Int16Array Uint32Array Int32Array Float16Array Float32Array
  Float64Array BigUint64Array BigInt64Array`
    .split(/\s+/)
    .map((name) => /** @type {any} */ (globalThis)[name])
    .filter((type) => type !== undefined);

export class HostileMemory {
  #world;
  #random;
  #trap;

  /**
   * @param {World} world
   * @param {() => void} trap called by getters while the package reads a value
   */
  constructor(world, trap) {
    this.#world = world;
    this.#random = world.random;
    this.#trap = trap;
  }

  /** Returns memory of a random kind, in a random state. */
  any() {
    const random = this.#random;
    const { memories } = this.#world;
    const kept = memories.any();
    /** @type {() => any} */
    const body = () => (kept.whole ? kept.body() : memories.make().body());
    const part = () => {
      const bytes = body();
      return bytes.subarray(random.dice(bytes.length + 1), random.dice(bytes.length + 1));
    };
    return random.weighed([
      [5, () => label(`bytes (${kept.kind})`, body())],
      [4, () => label('some of the bytes', part())],
      [3, () => this.#typedArray(part())],
      [1, () => label('a DataView', dataViewOver(body(), random.dice(9)))],
      [2, () => label('a Buffer', Buffer.from(part()))],
      [1, () => label('a Buffer over the bytes', bufferOver(body()))],
      [1, () => label('a large buffer', new ArrayBuffer(random.pick([0, 1, 8, 4096, 100_000])))],
      [1, () => label('a shared buffer', new SharedArrayBuffer(random.pick([0, 8, 4096])))],
      [2, () => this.#detached()],
      [2, () => this.#outOfBounds()],
      [3, () => this.#liar(body())],
    ])();
  }

  #typedArray(/** @type {Uint8Array} */ bytes) {
    const type = this.#random.pick(TYPED_ARRAYS);
    const size = type.BYTES_PER_ELEMENT;
    const begin = Math.ceil(bytes.byteOffset / size) * size;
    const count = Math.max(0, Math.floor((bytes.byteOffset + bytes.byteLength - begin) / size));
    if (begin > bytes.buffer.byteLength) return label(`an empty ${type.name}`, new type(0));
    return label(`a ${type.name}(${count})`, new type(bytes.buffer, begin, count));
  }

  #detached() {
    const buffer = new ArrayBuffer(64);
    const type = this.#random.pick(TYPED_ARRAYS);
    const value = this.#random.pick([buffer, new type(buffer), new DataView(buffer), new type(buffer, 0, 0)]);
    structuredClone(buffer, { transfer: [buffer] });
    return label('something detached', value);
  }

  #outOfBounds() {
    /** @type {any} */
    const buffer = new /** @type {any} */ (ArrayBuffer)(64, { maxByteLength: 128 });
    if (!buffer.resizable) return this.#detached();
    const type = this.#random.pick(TYPED_ARRAYS);
    const value = this.#random.pick([
      () => new type(buffer, 16, 16 / type.BYTES_PER_ELEMENT),
      () => new type(buffer, 16), // its length tracks the length of the buffer
      () => new DataView(buffer, 16, 16),
    ])();
    buffer.resize(this.#random.pick([0, 8, 16, 24, 32, 128]));
    return label('a view of a resized buffer', value);
  }

  /** Returns a view whose properties contradict its real buffer, offset and length. */
  #liar(/** @type {Uint8Array} */ bytes) {
    const random = this.#random;
    const trap = this.#trap;
    const other = new ArrayBuffer(8);
    const number = random.pick([0, 1, 8, 2 ** 20, 2 ** 32, -1, 2 ** 53]);
    const type = random.pick([Uint8Array, Uint8Array, BigUint64Array, Uint32Array]);
    class Liar extends /** @type {any} */ (type) {
      get length() {
        trap();
        return number;
      }
      get byteLength() {
        trap();
        return number;
      }
      get byteOffset() {
        trap();
        return number;
      }
      get buffer() {
        trap();
        return other;
      }
      get [Symbol.toStringTag]() {
        return 'Float64Array';
      }
      /** @returns {any} */
      static get [Symbol.species]() {
        trap();
        return random.pick([Array, Liar, undefined, ArrayBuffer]);
      }
      [Symbol.iterator]() {
        trap();
        return [].values();
      }
      [inspect.custom]() {
        trap();
        return 'x';
      }
    }
    if (random.chance(0.5)) {
      const own = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (const name of ['length', 'byteLength', 'byteOffset', 'buffer', 'constructor']) {
        if (random.chance(0.7))
          Object.defineProperty(own, name, { get: () => (trap(), name === 'buffer' ? other : number) });
      }
      return label('bytes with own getters', own);
    }
    const size = type.BYTES_PER_ELEMENT;
    const begin = Math.ceil(bytes.byteOffset / size) * size;
    const count = Math.floor(Math.max(0, bytes.byteOffset + bytes.byteLength - begin) / size);
    return label(`a lying ${type.name}`, new /** @type {any} */ (Liar)(bytes.buffer, begin, count));
  }
}

function bufferOver(/** @type {Uint8Array} */ bytes) {
  // Some versions of Buffer.from reject growable or foreign buffers, so change the prototype instead.
  return Object.setPrototypeOf(
    new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    Buffer.prototype,
  );
}

/**
 * @param {Uint8Array} bytes
 * @param {number} most
 */
function dataViewOver({ buffer, byteOffset, byteLength }, most) {
  return new DataView(buffer, byteOffset, Math.min(most, byteLength));
}
