/**
 * The shared block of a batch: where its header, elements and answers lie. The native module has the same numbers.
 */

/** Words of the header, as indices into a Uint32Array over the block. */
export const enum HeaderWord {
  /** In: how many elements. */
  Count,
  /** In: access bits. */
  Access,
  /** In: bit 0, coalesce. */
  Flags,
  /** Out. */
  Passed,
  /** Out: index of the first refused element; the count if there was none. */
  FirstRefused,
  /** Out: its reason. */
  Reason,
  /** Out: 0 or a negative errno. */
  Status,
}

/** Bytes moved by a copy, as index into a Float64Array over the block. */
export const BYTES_MOVED = 4;

export const COALESCE = 1;

const HEADER_BYTES = 64;
const SGE_BYTES = 16;

/** The most elements of a batch. */
export const MOST_ELEMENTS = 2 ** 24;

/** Whether the low half of a 64-bit number lies first. */
export const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** What a number is multiplied with for its high half; exact, and cheaper than a division. */
export const HIGH_HALF = 2 ** -32;

/** Views over a new block. The columns after `verdicts` are empty without places. */
export interface BatchBlock {
  bytes: Uint8Array;
  header: Uint32Array;
  doubles: Float64Array;
  words: Uint32Array;
  longs: BigUint64Array;
  view: DataView;
  verdicts: Uint32Array;
  regions: Float64Array;
  positions: BigUint64Array;
  lengths: Uint32Array;
  ms: Uint32Array;
  ns: Uint32Array;
}

/** The block is shared memory so that it cannot be detached: the native module keeps a pointer to it. */
export function newBatchBlock(capacity: number, places: boolean): BatchBlock {
  const placed = places ? capacity : 0;
  const buffer = new SharedArrayBuffer(
    HEADER_BYTES + capacity * (SGE_BYTES + 4) + placed * (8 + 8 + 4 + 4 + 4),
  );
  let at = HEADER_BYTES + capacity * SGE_BYTES;
  const next = (bytes: number): number => {
    const begin = at;
    at += bytes;
    return begin;
  };
  return {
    bytes: new Uint8Array(buffer),
    header: new Uint32Array(buffer, 0, HEADER_BYTES / 4),
    doubles: new Float64Array(buffer, 0, HEADER_BYTES / 8),
    words: new Uint32Array(buffer, HEADER_BYTES, capacity * 4),
    longs: new BigUint64Array(buffer, HEADER_BYTES, capacity * 2),
    view: new DataView(buffer, HEADER_BYTES, capacity * SGE_BYTES),
    regions: new Float64Array(buffer, next(8 * placed), placed),
    positions: new BigUint64Array(buffer, next(8 * placed), placed),
    lengths: new Uint32Array(buffer, next(4 * placed), placed),
    ms: new Uint32Array(buffer, next(4 * placed), placed),
    ns: new Uint32Array(buffer, next(4 * placed), placed),
    verdicts: new Uint32Array(buffer, next(4 * capacity), capacity),
  };
}
