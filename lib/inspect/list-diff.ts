/** Finds which objects of a list have changed since the look before. */
import { type ListChange, type ObjectView } from './protocol';
import { type ListKind, numberAt, type Rows, WORDS_PER_FIELD } from './report';

/** Rows that are compared at once: most are equal, and comparing memory is much faster than comparing numbers one by one. */
const BLOCK = 64;
const WORD_BYTES = 4;

/** How two rows of one object differ. */
enum Difference {
  None,
  /** In the frequent field of the list only. */
  Frequent,
  Other,
}

function bytesOf({ words }: Rows): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
}

function difference(one: Rows, row: number, other: Rows, otherRow: number, frequent: number): Difference {
  const { width } = one;
  const [a, b] = [one.words, other.words];
  const [from, to] = [row * width, otherRow * width];
  let found = Difference.None;
  for (let i = 0; i < width; i++) {
    if (a[from + i] === b[to + i]) continue;
    if (i < frequent || i >= frequent + WORDS_PER_FIELD) return Difference.Other;
    found = Difference.Frequent;
  }
  return found;
}

/** What has changed in a list. */
export interface FoundChange<T extends ObjectView> {
  readonly change: ListChange<T>;
  /** Whether keys may have changed: more than frequent fields. */
  readonly ofKeys: boolean;
}

/**
 * Compares two lists.
 *
 * @param most - rows after this number are ignored, in both lists
 * @returns undefined if nothing has changed
 */
export function changeOf<T extends ObjectView>(
  kind: ListKind<T>,
  before: Rows,
  now: Rows,
  most: number,
): FoundChange<T> | undefined {
  const [oldCount, count] = [Math.min(before.count, most), Math.min(now.count, most)];
  const idOf = (rows: Rows, row: number): number => numberAt(rows, row, kind.id);
  const frequent = (kind.frequent?.field ?? -1) * WORDS_PER_FIELD;
  const set: (T | (Partial<T> & ObjectView))[] = [];
  let ofKeys = false;
  const compare = (row: number, oldRow: number): void => {
    const how = difference(now, row, before, oldRow, frequent);
    if (how === Difference.None) return;
    if (how === Difference.Frequent && kind.frequent !== undefined) {
      set.push(kind.frequent.view(now, row));
      return;
    }
    ofKeys = true;
    set.push(kind.view(now, row));
  };

  // Objects keep their places while none is created or destroyed before them, so most lists need nothing else.
  let same = 0;
  const both = Math.min(count, oldCount);
  const [bytes, oldBytes] = [bytesOf(now), bytesOf(before)];
  const rowBytes = now.width * WORD_BYTES;
  while (same < both) {
    const end = Math.min(same + BLOCK, both);
    const [from, to] = [same * rowBytes, end * rowBytes];
    if (bytes.compare(oldBytes, from, to, from, to) === 0) {
      same = end;
      continue;
    }
    while (same < end && idOf(now, same) === idOf(before, same)) {
      compare(same, same);
      same++;
    }
    if (same < end) break;
  }

  const gone: number[] = [];
  if (same < count || same < oldCount) {
    const old = new Map<number, number>();
    for (let row = same; row < oldCount; row++) old.set(idOf(before, row), row);
    for (let row = same; row < count; row++) {
      const id = idOf(now, row);
      const oldRow = old.get(id);
      if (oldRow === undefined) {
        ofKeys = true;
        set.push(kind.view(now, row));
      } else {
        old.delete(id);
        compare(row, oldRow);
      }
    }
    gone.push(...old.keys());
  }
  if (set.length === 0 && gone.length === 0) return undefined;
  return {
    change: { ...(set.length > 0 && { set }), ...(gone.length > 0 && { gone }) },
    ofKeys: ofKeys || gone.length > 0,
  };
}
