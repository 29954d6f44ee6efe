// Records each call before it runs, so that after a crash the last line is the call that crashed.
//
// The journal is a ring of lines in a file, because a file survives the process that writes it.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

const LINE_BYTES = 320;
const LINES = 64;

export class Journal {
  #file;
  #line = Buffer.alloc(LINE_BYTES);
  #written = 0;

  constructor(/** @type {string} */ file) {
    this.#file = openSync(file, 'w');
  }

  /**
   * @param {number} index of the call
   * @param {string} text
   */
  note(index, text) {
    // The number at the start of each line gives the order of the lines in the ring.
    const entry = `${this.#written} ${index} ${text.replace(/[^ -~]/g, '?')}`;
    this.#line.fill(0x20);
    this.#line.write(entry, 0, LINE_BYTES - 1, 'latin1');
    this.#line[LINE_BYTES - 1] = 0x0a;
    writeSync(this.#file, this.#line, 0, LINE_BYTES, (this.#written % LINES) * LINE_BYTES);
    this.#written++;
  }

  close() {
    closeSync(this.#file);
  }
}

/**
 * Returns the lines of a journal, oldest first.
 *
 * @param {string} file
 * @returns {{ index: number, text: string }[]}
 */
export function readJournal(file) {
  const entries = readFileSync(file, 'latin1')
    .split('\n')
    .map((line) => /^(\d+) (\d+) (.*?) *$/.exec(line))
    .filter((match) => match !== null)
    .map(([, order, index, text = '']) => ({ order: Number(order), index: Number(index), text }));
  return entries.sort((a, b) => a.order - b.order).map(({ index, text }) => ({ index, text }));
}
