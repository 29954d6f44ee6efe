import { join, sep } from 'node:path';
import { findPackageRoot } from '../internal/package-root';

/** What a stack is kept of. Numbers are unique for each kind on a device. */
export type CreatedKind = 'pd' | 'queuePair' | 'region' | 'mapping' | 'memory';

/**
 * Finds the path prefixes of this package's own stack frames. None in a bundle: its one file holds the program's frames as well,
 * and those must not be dropped.
 */
function findOwnFolders(): string[] {
  const root = findPackageRoot(__dirname);
  return root === undefined ? [] : ['dist', 'lib'].map((folder) => join(root, folder) + sep);
}

/** More entries than this, and those of objects that are gone are dropped. */
const FIRST_LIMIT = 1024;

/**
 * Where the objects of a device were created, for those who asked (`captureStacks`). Knows only what was created in this thread.
 */
export class CreationStacks {
  readonly #stacks = new Map<string, string>();
  // Looked up here, and not when the module is loaded: few programs capture stacks.
  readonly #ownFolders = findOwnFolders();
  #limit = FIRST_LIMIT;

  /** @param live - tells whether the object is still there; asked now and then, so that this does not grow for ever */
  note(kind: CreatedKind, number: number, live: () => (kind: CreatedKind, number: number) => boolean): void {
    const text = this.capture();
    if (text === undefined) return;
    this.#stacks.set(`${kind} ${number}`, text);
    if (this.#stacks.size > this.#limit) {
      this.#drop(live());
      this.#limit = Math.max(FIRST_LIMIT, this.#stacks.size * 2);
    }
  }

  /** Where the program has called this package from; undefined if the engine does not tell. Never throws. */
  capture(): string | undefined {
    try {
      const holder: { stack?: unknown } = {};
      Error.captureStackTrace(holder);
      // A program may format stacks as it likes (Error.prepareStackTrace), even as no text at all.
      const text = typeof holder.stack === 'string' ? holder.stack : '';
      // The first line is the name of the error that it is not; the next ones are of this package.
      const lines = text.split('\n').slice(1);
      if (!lines.length) return undefined;
      const first = lines.findIndex((line) => !this.#ownFolders.some((folder) => line.includes(folder)));
      return lines.slice(Math.max(first, 0)).join('\n');
    } catch {
      return undefined; // prepareStackTrace has thrown, or the stack is at its end
    }
  }

  of(kind: CreatedKind, number: number): string | undefined {
    return this.#stacks.get(`${kind} ${number}`);
  }

  #drop(live: (kind: CreatedKind, number: number) => boolean): void {
    // Not by an iterator, which a program may have replaced by one that never ends.
    this.#stacks.forEach((_, key) => {
      const parts = key.split(' ');
      if (!live(parts[0] as CreatedKind, Number(parts[1]))) this.#stacks.delete(key);
    });
  }
}
