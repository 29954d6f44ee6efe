/** How full the parts of the key table are. */
import { type ListKind, numberAt, type Rows } from './report';

/** The most cells that the grid has. */
export const MOST_CELLS = 2048;
const KEY_BITS = 32;

/** Returns how many slots a cell of the grid has, for a table of 2^bits slots. */
export function slotsPerCell(bits: number): number {
  return Math.max(1, 2 ** bits / MOST_CELLS);
}

/**
 * Counts the occupied slots of each cell. The upper bits of a key are the number of its slot.
 *
 * @param lists - the objects with keys: of each list its kind and its rows
 */
export function keyFill(
  bits: number,
  lists: readonly (readonly [Pick<ListKind<unknown>, 'key' | 'withoutKey'>, Rows])[],
): number[] {
  const perCell = slotsPerCell(bits);
  const cells = new Array<number>(2 ** bits / perCell).fill(0);
  for (const [{ key, withoutKey }, rows] of lists) {
    if (key === undefined) continue;
    for (let row = 0; row < rows.count; row++) {
      const value = numberAt(rows, row, key);
      // Key 0 names DMA memory and has no slot.
      if (value === 0 || (withoutKey !== undefined && numberAt(rows, row, withoutKey) !== 0)) continue;
      const cell = Math.floor((value >>> (KEY_BITS - bits)) / perCell);
      cells[cell] = (cells[cell] ?? 0) + 1;
    }
  }
  return cells;
}

/** Returns the cells that differ, as pairs of an index and the new number. */
export function changedCells(before: readonly number[], now: readonly number[]): number[] {
  const pairs: number[] = [];
  now.forEach((count, cell) => {
    if (count !== before[cell]) pairs.push(cell, count);
  });
  return pairs;
}
