// Formats the report as aligned, plain text.

/**
 * A refusal with the explanation of the store.
 *
 * @typedef {import('./client.mjs').Refusal & { store: string | undefined }} ExplainedRefusal
 */

/** Longest line of an explanation in characters. */
const WIDTH = 110;

/** @param {string} text */
export function heading(text) {
  console.log(`\n${text}\n`);
}

/**
 * Prints rows of aligned cells.
 *
 * @param {readonly (readonly string[])[]} rows
 */
export function table(rows) {
  for (const line of aligned(rows)) console.log(`  ${line}`);
}

/**
 * Prints one row per kind of refusal, and below it the explanations of the first refusal of that kind: what the client is told,
 * and what the store knows.
 *
 * @param {readonly ExplainedRefusal[]} refusals
 */
export function refusalTable(refusals) {
  /** @type {Map<string, { row: string[], count: number, first: ExplainedRefusal }>} */
  const kinds = new Map();
  for (const refusal of refusals) {
    const row = [refusal.access, refusal.status, refusal.reason];
    const kind = kinds.get(row.join());
    if (kind) kind.count++;
    else kinds.set(row.join(), { row, count: 1, first: refusal });
  }
  const all = [...kinds.values()];
  const [head, ...rows] = aligned([
    ['access', 'status', 'reason', 'count'],
    ...all.map(({ row, count }) => [...row, count.toLocaleString('en')]),
  ]);
  console.log(`  ${head}`);
  for (const [i, { first }] of all.entries()) {
    console.log(`  ${rows[i]}`);
    const texts = [['client', first.explanation]];
    if (first.store !== undefined) texts.push(['store', first.store]);
    for (const [who = '', text = ''] of texts) {
      for (const [k, line] of wrapped(text, WIDTH).entries()) {
        console.log(`      ${(k === 0 ? `${who}:` : '').padEnd(8)}${line}`);
      }
    }
  }
}

/** @param {readonly (readonly string[])[]} rows */
function aligned(rows) {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...rows.map((row) => (row[i] ?? '').length)),
  );
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/**
 * Breaks a text into lines.
 *
 * @param {string} text
 * @param {number} width in characters
 */
function wrapped(text, width) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines[lines.length - 1] ?? '';
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}
