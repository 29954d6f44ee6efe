/**
 * Allocates the block of shared memory that a batch and the native module share, and the typed-array views over its header,
 * elements and results. `layout.ts` defines the offsets.
 */
import { BLOCK_HEADER_BYTES, BlockColumn, PACKED_SGE_BYTES } from '../internal/layout';

/** Number of 32-bit words in an element. */
export const SGE_WORDS = PACKED_SGE_BYTES / 4;

/** Views over a new block. `regions`, `positions`, `lengths` and `segments` are empty unless the batch reports places. */
export interface BatchBlock {
  bytes: Uint8Array;
  header: Uint32Array;
  doubles: Float64Array;
  words: Uint32Array;
  longs: BigUint64Array;
  view: DataView;
  verdicts: Uint32Array;
  /** One access mask per element; empty unless the batch was created with `accessPerElement`. */
  accesses: Uint32Array;
  regions: Float64Array;
  positions: BigUint64Array;
  lengths: Uint32Array;
  segments: Uint32Array;
}

/**
 * Allocates the block of a batch. The block is shared memory because the native module keeps a pointer to it, and shared memory
 * cannot be detached.
 *
 * @param capacity - number of elements
 * @param places - whether to include the columns that report where accepted elements lie
 * @param own - whether to include the column of access masks, one per element
 */
export function newBatchBlock(capacity: number, places: boolean, own: boolean): BatchBlock {
  const placed = places ? capacity : 0;
  const leftOut = places ? 0 : BlockColumn.Verdicts - BlockColumn.Regions;
  const buffer = new SharedArrayBuffer(
    BLOCK_HEADER_BYTES + capacity * ((own ? BlockColumn.End : BlockColumn.Accesses) - leftOut),
  );
  // Without places these columns have length 0, so their offset does not matter.
  const at = (column: BlockColumn): number =>
    places ? BLOCK_HEADER_BYTES + capacity * column : BLOCK_HEADER_BYTES;
  return {
    bytes: new Uint8Array(buffer),
    header: new Uint32Array(buffer, 0, BLOCK_HEADER_BYTES / 4),
    doubles: new Float64Array(buffer, 0, BLOCK_HEADER_BYTES / 8),
    words: new Uint32Array(buffer, BLOCK_HEADER_BYTES, capacity * SGE_WORDS),
    longs: new BigUint64Array(buffer, BLOCK_HEADER_BYTES, (capacity * PACKED_SGE_BYTES) / 8),
    view: new DataView(buffer, BLOCK_HEADER_BYTES, capacity * PACKED_SGE_BYTES),
    regions: new Float64Array(buffer, at(BlockColumn.Regions), placed),
    positions: new BigUint64Array(buffer, at(BlockColumn.Positions), placed),
    lengths: new Uint32Array(buffer, at(BlockColumn.Lengths), placed),
    segments: new Uint32Array(buffer, at(BlockColumn.Segments), placed),
    verdicts: new Uint32Array(
      buffer,
      BLOCK_HEADER_BYTES + capacity * (BlockColumn.Verdicts - leftOut),
      capacity,
    ),
    accesses: own
      ? new Uint32Array(buffer, BLOCK_HEADER_BYTES + capacity * (BlockColumn.Accesses - leftOut), capacity)
      : new Uint32Array(buffer, BLOCK_HEADER_BYTES, 0),
  };
}
