/**
 * Suggests a known word that is similar to an unknown one, as the end of an error message.
 *
 * @param typed - the unknown word
 * @param known - the known words
 * @returns `", did you mean 'replay'?"`, or an empty string if no known word is similar
 */
export function suggestNearest(typed: string, known: readonly string[]): string {
  // With more edits than this, or as many as the word has letters, unrelated words would match.
  const most = Math.min(2, typed.length - 1);
  let nearest: string | undefined;
  let fewest = most + 1;
  for (const word of known) {
    const edits = typed.length > 1 && word.startsWith(typed) ? 1 : countEdits(typed, word);
    if (edits >= fewest) continue;
    fewest = edits;
    nearest = word;
  }
  return nearest === undefined ? '' : `, did you mean '${nearest}'?`;
}

/** Counts the insertions, deletions, replacements and swaps of adjacent letters that turn `from` into `to`. */
function countEdits(from: string, to: string): number {
  if (Math.abs(from.length - to.length) > 2) return Infinity;
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      let edits = Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        edits = Math.min(edits, (beforePrevious[j - 2] ?? 0) + 1);
      }
      row.push(edits);
    }
    beforePrevious = previous;
    previous = row;
  }
  return previous[to.length] ?? Infinity;
}
