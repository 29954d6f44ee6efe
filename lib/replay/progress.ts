/** Shows on a terminal how far a long replay has come. */
import { statSync } from 'node:fs';
import type { Writable } from 'node:stream';

/** When the line is first shown, and how often it changes. Short runs show nothing. */
const FIRST_AFTER_MS = 1000;
const AGAIN_AFTER_MS = 200;

/** What {@link Progress} needs of the terminal. */
export type Terminal = Writable & { readonly isTTY?: boolean };

/**
 * One line on a terminal; nothing if the stream is no terminal. It has no escape sequences if the environment sets NO_COLOR or
 * names a terminal without them.
 */
export class Progress {
  readonly #terminal: Terminal | undefined;
  readonly #size: number | undefined;
  readonly #plain: boolean;
  #next = Date.now() + FIRST_AFTER_MS;
  #shown = 0;

  /**
   * @param terminal - standard error
   * @param path - the file that is read; `-`, standard input, has no known size
   * @param environment - has `NO_COLOR` and `TERM`
   */
  constructor(terminal: Terminal, path: string, environment: NodeJS.ProcessEnv = process.env) {
    this.#terminal = terminal.isTTY === true ? terminal : undefined;
    this.#size = this.#terminal === undefined || path === '-' ? undefined : sizeOf(path);
    this.#plain = (environment.NO_COLOR ?? '') !== '' || environment.TERM === 'dumb';
  }

  /**
   * Updates the line if it is time to.
   *
   * @param operations - how many were played
   * @param bytes - how many of the file's were read
   */
  update(operations: number, bytes: number): void {
    if (this.#terminal === undefined || Date.now() < this.#next) return;
    this.#next = Date.now() + AGAIN_AFTER_MS;
    const share = this.#size === undefined ? '' : `, ${Math.floor((100 * bytes) / this.#size)} %`;
    const text = `${operations} operations${share}`;
    this.#terminal.write(
      this.#plain ? `\r${text.padEnd(this.#shown)}` : `\r\u001b[2m${text}\u001b[0m\u001b[K`,
    );
    this.#shown = text.length;
  }

  /** Removes the line. Call it before anything else is written. */
  clear(): void {
    if (this.#shown === 0) return;
    this.#terminal?.write(this.#plain ? `\r${' '.repeat(this.#shown)}\r` : '\r\u001b[K');
    this.#shown = 0;
  }
}

/** Returns the size of a regular file that is not empty. */
function sizeOf(path: string): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size > 0 ? stat.size : undefined;
}
