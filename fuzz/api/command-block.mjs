// Accesses the command block of the native module, through which native calls exchange parameters and results, and the names of
// elements and regions in it.
import { layoutNumber } from '../../scripts/layout.mjs';

/** @typedef {{ holder: object, cell: number, generation: number }} NativeElement */
/** @typedef {{ checker: number, index: number, generation: bigint }} NativeRegion */

const WORD = {
  answer: layoutNumber('RVT_COMMAND_ANSWER'),
  checker: layoutNumber('RVT_COMMAND_CHECKER'),
  access: layoutNumber('RVT_COMMAND_ACCESS'),
  flags: layoutNumber('RVT_COMMAND_FLAGS'),
  length: layoutNumber('RVT_COMMAND_LENGTH'),
  key: layoutNumber('RVT_COMMAND_KEY'),
  cell: layoutNumber('RVT_COMMAND_CELL'),
  cellGeneration: layoutNumber('RVT_COMMAND_CELL_GENERATION'),
  lastCell: layoutNumber('RVT_COMMAND_LAST_CELL'),
  lastGeneration: layoutNumber('RVT_COMMAND_LAST_GENERATION'),
  mode: layoutNumber('RVT_COMMAND_MODE'),
  newChecker: layoutNumber('RVT_COMMAND_NEW_CHECKER'),
  region: layoutNumber('RVT_COMMAND_REGION'),
};
/** Indexes of 64-bit values in the block. */
const LONG = {
  address: layoutNumber('RVT_COMMAND_ADDRESS') / 2,
  regionGeneration: layoutNumber('RVT_COMMAND_REGION_GENERATION') / 2,
  start: layoutNumber('RVT_COMMAND_START') / 2,
  iova: layoutNumber('RVT_COMMAND_IOVA') / 2,
  fields: layoutNumber('RVT_COMMAND_FIELDS') / 2,
  operand: layoutNumber('RVT_COMMAND_OPERAND') / 2,
  compare: layoutNumber('RVT_COMMAND_COMPARE') / 2,
};
const FIELD = {
  lkey: layoutNumber('RVT_REGION_FIELD_LKEY'),
  start: layoutNumber('RVT_REGION_FIELD_START'),
  iova: layoutNumber('RVT_REGION_FIELD_IOVA'),
};
const ELEMENT_WORDS = layoutNumber('RVT_ELEMENT_NAME_WORDS');
const REGION_WORDS = layoutNumber('RVT_REGION_NAME_WORDS');
/** Value of the answer word before a call, to detect whether the call has answered. */
const UNANSWERED = 0x5555_5555;

export class CommandBlock {
  #native;
  /** @type {Uint32Array} */
  words;
  /** @type {BigUint64Array} */
  longs;

  /** @param {any} native */
  constructor(native) {
    this.#native = native;
    const { buffer, byteOffset, byteLength } = native.commandBlock(
      new Uint8Array(new SharedArrayBuffer(layoutNumber('RVT_COMMAND_BYTES'))),
    );
    this.words = new Uint32Array(buffer, byteOffset, byteLength / 4);
    this.longs = new BigUint64Array(buffer, byteOffset, byteLength / 8);
  }

  get answer() {
    return /** @type {number} */ (this.words[WORD.answer]) | 0;
  }

  /** Returns whether a call has stored an answer since the last `store`. */
  get isAnswered() {
    return this.words[WORD.answer] !== UNANSWERED;
  }

  /**
   * Stores 32-bit words and 64-bit values by their names, and resets the answer.
   *
   * @param {Partial<Record<keyof typeof WORD, number>>} words
   * @param {Partial<Record<keyof typeof LONG, bigint | number>>} [longs]
   */
  store(words, longs = {}) {
    for (const [name, value] of Object.entries(words)) this.words[WORD[/** @type {'key'} */ (name)]] = value;
    for (const [name, value] of Object.entries(longs))
      this.longs[LONG[/** @type {'iova'} */ (name)]] = BigInt(value);
    this.words[WORD.answer] = UNANSWERED;
  }

  /** @param {NativeElement} element */
  storeElement({ cell, generation }) {
    this.store({ cell, cellGeneration: generation });
  }

  /** @param {NativeRegion} region */
  storeRegion({ checker, index, generation }) {
    this.store({ checker, region: index }, { regionGeneration: generation });
  }

  /** Returns the name of the element that the last call stored in the cell of `holder`. @returns {NativeElement} */
  element(/** @type {object} */ holder) {
    return {
      holder,
      cell: this.words[WORD.cell] ?? 0,
      generation: this.words[WORD.cellGeneration] ?? 0,
    };
  }

  /** Returns the name of the region that the last call created. @returns {NativeRegion} */
  region(/** @type {number} */ checker) {
    return {
      checker,
      index: this.words[WORD.region] ?? 0,
      generation: this.longs[LONG.regionGeneration] ?? 0n,
    };
  }

  /** Returns the key and the address (local or iova) of a region, or zeros if they cannot be queried. */
  targetOf(/** @type {NativeRegion | undefined} */ region, /** @type {boolean} */ local) {
    if (region) {
      this.storeRegion(region);
      this.#native.queryMr();
      if (this.answer === 0) {
        return {
          lkey: Number(this.#field(FIELD.lkey)),
          address: this.#field(local ? FIELD.start : FIELD.iova),
        };
      }
    }
    return { lkey: 0, address: 0n };
  }

  #field(/** @type {number} */ field) {
    return this.longs[LONG.fields + field] ?? 0n;
  }

  /** Packs the names of elements for a native call. @param {NativeElement[]} elements */
  static elementNames(elements) {
    return Uint32Array.from({ length: elements.length * ELEMENT_WORDS }, (_, i) => {
      const { cell = 0, generation = 0 } = elements[Math.floor(i / ELEMENT_WORDS)] ?? {};
      return i % ELEMENT_WORDS ? generation : cell;
    });
  }

  /** Packs the names of regions for a native call. @param {NativeRegion[]} regions */
  static regionNames(regions) {
    return Uint32Array.from({ length: regions.length * REGION_WORDS }, (_, i) => {
      const { checker = 0, index = 0, generation = 0n } = regions[Math.floor(i / REGION_WORDS)] ?? {};
      const low = Number(generation & 0xffff_ffffn);
      return [checker, index, low, Number(generation >> 32n)][i % REGION_WORDS] ?? 0;
    });
  }
}
