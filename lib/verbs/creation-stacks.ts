import { join, sep } from 'node:path';
import { findPackageRoot } from '../internal/package-root';

/** Kinds of objects whose creation stack is recorded. Ids are unique per kind and device. */
export type CreatedKind =
  | 'pd'
  | 'queuePair'
  | 'completionQueue'
  | 'sharedReceiveQueue'
  | 'addressHandle'
  | 'region'
  | 'window'
  | 'mapping'
  | 'memory';

/**
 * Finds the path prefixes of this package's own stack frames. Returns none if the package is bundled: the bundle's single file
 * also contains frames of the program, which must not be dropped.
 */
function findOwnFolders(): string[] {
  const root = findPackageRoot(__dirname);
  return root === undefined ? [] : ['dist', 'lib'].map((folder) => join(root, folder) + sep);
}

/** When more entries than this are recorded, the entries of closed objects are removed. */
const FIRST_LIMIT = 1024;

/**
 * Records where the objects of a device were created, for devices opened with `captureStacks`. Covers only objects created in
 * this thread.
 */
export class CreationStacks {
  readonly #stacks = new Map<string, string>();
  // Look up the folders here and not at module load: few programs capture stacks.
  readonly #ownFolders = findOwnFolders();
  #limit = FIRST_LIMIT;

  /**
   * Records the current stack for a new object.
   *
   * @param live - returns a predicate that tells whether an object still exists. Called occasionally, to remove entries of closed
   *   objects and so bound the memory used
   */
  note(kind: CreatedKind, number: number, live: () => (kind: CreatedKind, number: number) => boolean): void {
    const text = this.capture();
    if (text === undefined) return;
    this.#stacks.set(`${kind} ${number}`, text);
    if (this.#stacks.size > this.#limit) {
      this.#drop(live());
      this.#limit = Math.max(FIRST_LIMIT, this.#stacks.size * 2);
    }
  }

  /** Returns the stack of the program's call into this package; undefined if the engine provides no stack. Never throws. */
  capture(): string | undefined {
    try {
      const holder: { stack?: unknown } = {};
      Error.captureStackTrace(holder);
      // A program's Error.prepareStackTrace may return any value, even one that is not a string.
      const text = typeof holder.stack === 'string' ? holder.stack : '';
      // The first line is the error's name. The next lines are this package's own frames.
      const lines = text.split('\n').slice(1);
      if (!lines.length) return undefined;
      const first = lines.findIndex((line) => !this.#ownFolders.some((folder) => line.includes(folder)));
      return lines.slice(Math.max(first, 0)).join('\n');
    } catch {
      return undefined; // prepareStackTrace threw, or the stack limit was reached
    }
  }

  of(kind: CreatedKind, number: number): string | undefined {
    return this.#stacks.get(`${kind} ${number}`);
  }

  #drop(live: (kind: CreatedKind, number: number) => boolean): void {
    // Use forEach: a program may have replaced the Map iterator with one that never ends.
    this.#stacks.forEach((_, key) => {
      const parts = key.split(' ');
      if (!live(parts[0] as CreatedKind, Number(parts[1]))) this.#stacks.delete(key);
    });
  }
}
