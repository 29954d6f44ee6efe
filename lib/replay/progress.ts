import { statSync } from 'node:fs';
import type { Writable } from 'node:stream';

/** Short runs show nothing; long ones are told of so often. */
const FIRST_AFTER_MS = 1000;
const AGAIN_AFTER_MS = 200;

/** What {@link Progress} needs of the terminal. */
export type Terminal = Writable & { readonly isTTY?: boolean };

/**
 * One line on a terminal that says how far a long run has come; nothing where there is no terminal. Without escape sequences
 * if the environment has NO_COLOR, or a terminal that knows none.
 */
export class Progress {
  readonly #terminal: Terminal | undefined;
  readonly #size: number | undefined;
  readonly #plain: boolean;
  #next = Date.now() + FIRST_AFTER_MS;
  #shown = 0;

  /** `path`: the file that is read; `-` has no known size. */
  constructor(terminal: Terminal, path: string, environment: NodeJS.ProcessEnv = process.env) {
    this.#terminal = terminal.isTTY === true ? terminal : undefined;
    this.#size = this.#terminal === undefined || path === '-' ? undefined : sizeOf(path);
    this.#plain = (environment.NO_COLOR ?? '') !== '' || environment.TERM === 'dumb';
  }

  /** Called now and then; writes only if it is time to. */
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

  /** Takes the line away, before anything else is written. */
  clear(): void {
    if (this.#shown === 0) return;
    this.#terminal?.write(this.#plain ? `\r${' '.repeat(this.#shown)}\r` : '\r\u001b[K');
    this.#shown = 0;
  }
}

/** Of a regular file that has something in it. */
function sizeOf(path: string): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size > 0 ? stat.size : undefined;
}
