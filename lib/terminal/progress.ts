/** Shows the progress of a long command on a terminal. */
import { statSync } from 'node:fs';
import type { Writable } from 'node:stream';

/** Delay before the line first appears, and the interval between updates. Short runs show nothing. */
const FIRST_AFTER_MS = 1000;
const AGAIN_AFTER_MS = 200;

/** The output stream of {@link Progress}. */
export type Terminal = Writable & { readonly isTTY?: boolean };

/**
 * A progress line on a terminal. Writes nothing if the stream is not a terminal. Uses no escape sequences if NO_COLOR is set or
 * TERM is `dumb`.
 */
export class Progress {
  readonly #terminal: Terminal | undefined;
  readonly #size: number | undefined;
  readonly #plain: boolean;
  readonly #noun: string;
  #next = Date.now() + FIRST_AFTER_MS;
  #shown = 0;

  /**
   * @param terminal - standard error
   * @param path - path of the file that is read; `-` is standard input, whose size is unknown
   * @param environment - environment variables, of which `NO_COLOR` and `TERM` are read
   * @param noun - what is counted, in the plural
   */
  constructor(
    terminal: Terminal,
    path: string,
    environment: NodeJS.ProcessEnv = process.env,
    noun = 'operations',
  ) {
    this.#noun = noun;
    this.#terminal = terminal.isTTY === true ? terminal : undefined;
    this.#size = this.#terminal === undefined || path === '-' ? undefined : sizeOf(path);
    this.#plain = (environment.NO_COLOR ?? '') !== '' || environment.TERM === 'dumb';
  }

  /**
   * Updates the line if the update interval has passed.
   *
   * @param done - what has been done so far, such as operations
   * @param bytes - number of bytes read from the file so far
   */
  update(done: number, bytes: number): void {
    if (this.#terminal === undefined || Date.now() < this.#next) return;
    this.#next = Date.now() + AGAIN_AFTER_MS;
    const share = this.#size === undefined ? '' : `, ${Math.floor((100 * bytes) / this.#size)} %`;
    const text = `${done} ${this.#noun}${share}`;
    this.#terminal.write(
      this.#plain ? `\r${text.padEnd(this.#shown)}` : `\r\u001b[2m${text}\u001b[0m\u001b[K`,
    );
    this.#shown = text.length;
  }

  /** Erases the line. Must be called before other output is written. */
  clear(): void {
    if (this.#shown === 0) return;
    this.#terminal?.write(this.#plain ? `\r${' '.repeat(this.#shown)}\r` : '\r\u001b[K');
    this.#shown = 0;
  }
}

/** Returns the size of a regular file in bytes; undefined for an empty file or anything else. */
function sizeOf(path: string): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size > 0 ? stat.size : undefined;
}
