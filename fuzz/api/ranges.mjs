// Converts sets of call indexes to text and back: `3,7-9`.

/**
 * Converts indexes to text.
 * @param {readonly number[]} indices in ascending order
 */
export function formatRanges(indices) {
  /** @type {[number, number][]} */
  const ranges = [];
  for (const index of indices) {
    const last = ranges.at(-1);
    if (last && last[1] + 1 === index) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges.map(([first, end]) => (first === end ? `${first}` : `${first}-${end}`)).join(',');
}

/**
 * Parses a text and returns a function that tells whether an index is in the set.
 *
 * @param {string} text
 * @returns {(index: number) => boolean}
 */
export function parseRanges(text) {
  /** @type {Set<number>} */
  const indices = new Set();
  for (const range of text.split(',').filter((part) => part !== '')) {
    const [first = 0, last = first] = range.split('-').map(Number);
    for (let index = first; index <= last; index++) indices.add(index);
  }
  return (index) => indices.has(index);
}
