// Formats the report: aligned tables, with color only on a terminal that supports it and if NO_COLOR is not set.
const colour = process.stdout.isTTY === true && process.stdout.hasColors() && !process.env.NO_COLOR;
/**
 * @param {number} code
 * @param {string} text
 */
const paint = (code, text) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
// eslint-disable-next-line no-control-regex -- removes color sequences to measure the visible text
const width = (/** @type {string} */ text) => text.replace(/\u001b\[\d+m/g, '').length;

/** @param {string} text */
export function heading(text) {
  console.log(`\n${paint(1, text)}`);
}

/** @param {boolean} good */
export function verdict(good) {
  return good ? paint(32, 'as expected') : paint(31, 'WRONG');
}

/** @param {number} count */
export function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit++;
  }
  return `${Number(count.toFixed(1)).toLocaleString('en')} ${units[unit]}`;
}

/** @param {number} number */
export function whole(number) {
  return Math.round(number).toLocaleString('en');
}

/**
 * Prints rows of aligned cells with the first column dimmed.
 *
 * @param {readonly string[][]} rows
 * @param {string[]} [head] column titles
 */
export function table(rows, head) {
  const all = head ? [head, ...rows] : rows;
  const columns = Math.max(...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...all.map((row) => width(row[column] ?? ''))),
  );
  for (const row of all) {
    const title = row === head;
    const cells = row.map((cell, column) => {
      const padded = cell + ' '.repeat((widths[column] ?? 0) - width(cell));
      return column === 0 && !title ? paint(2, padded) : padded;
    });
    const line = `  ${cells.join('  ')}`.trimEnd();
    console.log(title ? paint(4, line) : line);
  }
}
