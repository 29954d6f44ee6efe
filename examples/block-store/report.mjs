// Tables for people: aligned, in colour only where a terminal wants it (NO_COLOR, pipes and dumb terminals do not).
const colour = process.stdout.isTTY === true && process.stdout.hasColors() && !process.env.NO_COLOR;
const paint = (code, text) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
// eslint-disable-next-line no-control-regex -- measuring what is seen
const width = (text) => text.replace(/\u001b\[\d+m/g, '').length;

export function heading(text) {
  console.log(`\n${paint(1, text)}`);
}

export function verdict(good) {
  return good ? paint(32, 'as it must be') : paint(31, 'WRONG');
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

export function rate(count, seconds, unit) {
  const round = (number) => Math.round(number).toLocaleString('en');
  return `${round(count)} ${unit} in ${seconds.toFixed(2)} s = ${round(count / seconds)} ${unit}/s`;
}

/** Rows of cells, the first column dimmed; with `head`, a line of titles above. */
export function table(rows, head) {
  const all = head ? [head, ...rows] : rows;
  const widths = all[0].map((_, column) => Math.max(...all.map((row) => width(row[column]))));
  all.forEach((row, i) => {
    const cells = row.map((cell, column) => cell + ' '.repeat(widths[column] - width(cell)));
    const title = head && i === 0;
    cells[0] = title ? cells[0] : paint(2, cells[0]);
    const line = `  ${cells.join('  ')}`.trimEnd();
    console.log(title ? paint(4, line) : line);
  });
}
