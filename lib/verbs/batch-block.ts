/**
 * The shared block of a batch as views over its header, elements and answers. Where they lie is in `layout.ts`.
 */
import { BLOCK_HEADER_BYTES, BlockColumn, PACKED_SGE_BYTES } from '../internal/layout';

/** 32-bit words of an element. */
export const SGE_WORDS = PACKED_SGE_BYTES / 4;

/** Views over a new block. The columns after `verdicts` are empty without places. */
export interface BatchBlock {
  bytes: Uint8Array;
  header: Uint32Array;
  doubles: Float64Array;
  words: Uint32Array;
  longs: BigUint64Array;
  view: DataView;
  verdicts: Uint32Array;
  /** Empty unless each element has an access of its own. */
  accesses: Uint32Array;
  regions: Float64Array;
  positions: BigUint64Array;
  lengths: Uint32Array;
  segments: Uint32Array;
}

/** The block is shared memory so that it cannot be detached: the native module keeps a pointer to it. */
export function newBatchBlock(capacity: number, places: boolean, own: boolean): BatchBlock {
  const placed = places ? capacity : 0;
  const leftOut = places ? 0 : BlockColumn.Verdicts - BlockColumn.Regions;
  const buffer = new SharedArrayBuffer(
    BLOCK_HEADER_BYTES + capacity * ((own ? BlockColumn.End : BlockColumn.Accesses) - leftOut),
  );
  // Without places all columns but the verdicts are empty, and it does not matter where.
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
