/** A first-in, first-out list whose operations take amortized constant time. */
import { ownList } from './intrinsics';

/** A list is compacted when more of its places than this, and more than half of them, are used up. */
const MOST_PASSED = 1024;

export class Fifo<T extends object> {
  #items = ownList<T | undefined>();
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  append(item: T): void {
    this.#items[this.#items.length] = item;
  }

  /** Returns the oldest item, which stays; undefined if the list is empty. */
  peek(): T | undefined {
    return this.#items[this.#first];
  }

  /** Removes and returns the oldest item; undefined if the list is empty. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#first];
    this.#items[this.#first++] = undefined; // the list must not keep the item from being garbage-collected
    if (this.length === 0) this.clear();
    else if (this.#first > MOST_PASSED && this.#first > this.length) this.#compact();
    return item;
  }

  clear(): void {
    this.#items.length = 0;
    this.#first = 0;
  }

  /** Removes the items for which `test` returns true, and returns them in order. */
  remove(test: (item: T) => boolean): Fifo<T> {
    const removed = new Fifo<T>();
    const left = ownList<T | undefined>();
    for (let i = this.#first; i < this.#items.length; i++) {
      const item = this.#items[i];
      if (item === undefined) continue;
      if (test(item)) removed.append(item);
      else left[left.length] = item;
    }
    this.#items = left;
    this.#first = 0;
    return removed;
  }

  #compact(): void {
    const left = ownList<T | undefined>();
    for (let i = this.#first; i < this.#items.length; i++) left[left.length] = this.#items[i];
    this.#items = left;
    this.#first = 0;
  }
}
