/** Intervals, to be found by what they cover: a treap by their beginning, in which each node knows the largest end below it. */

interface Node<T> {
  readonly start: number;
  readonly end: number;
  readonly id: number;
  readonly value: T;
  readonly weight: number;
  largestEnd: number;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
}

// No destructuring of arrays here: that asks their iterator, which a program can replace.
interface Halves<T> {
  low: Node<T> | undefined;
  high: Node<T> | undefined;
}

/** Weights of nodes. Not `Math.random`, which a program can replace by one that makes the tree a list. */
let dice = 0x9e3779b9;
function nextWeight(): number {
  dice ^= dice << 13;
  dice ^= dice >>> 17;
  dice ^= dice << 5;
  return dice >>> 0;
}

function update<T>(node: Node<T>): Node<T> {
  let largest = node.end;
  if (node.left && node.left.largestEnd > largest) largest = node.left.largestEnd;
  if (node.right && node.right.largestEnd > largest) largest = node.right.largestEnd;
  node.largestEnd = largest;
  return node;
}

/** Everything in `low` comes before everything in `high`. */
function join<T>(low: Node<T> | undefined, high: Node<T> | undefined): Node<T> | undefined {
  if (!low) return high;
  if (!high) return low;
  if (low.weight > high.weight) {
    low.right = join(low.right, high);
    return update(low);
  }
  high.left = join(low, high.left);
  return update(high);
}

/** Intervals of values, each with a number; those that begin together are in the order of their numbers. */
export class IntervalTree<T> {
  #root: Node<T> | undefined;
  #size = 0;
  /** Nodes that were looked at by {@link IntervalTree.findCovering}, for tests. */
  looks = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds [start, end) of `value`. No other interval that begins there has this number. */
  add(start: number, end: number, id: number, value: T): void {
    const node = {
      start,
      end,
      id,
      value,
      weight: nextWeight(),
      largestEnd: end,
      left: undefined,
      right: undefined,
    };
    this.#root = this.#insert(this.#root, node);
    this.#size++;
  }

  /** Removes the interval that begins there and has that number, if there is one. */
  remove(start: number, id: number): void {
    this.#root = this.#without(this.#root, start, id);
  }

  /**
   * Calls `visit` with the value of each interval that covers all of [start, end): the one that begins last first, and of those that
   * begin together the one with the highest number. Stops when `visit` returns true. Takes steps for what it visits, and for the
   * depth of the tree, but not for what does not cover the range. `visit` must not change the tree.
   */
  findCovering(start: number, end: number, visit: (value: T) => boolean): void {
    this.#search(this.#root, start, end, visit);
  }

  #search(node: Node<T> | undefined, start: number, end: number, visit: (value: T) => boolean): boolean {
    if (!node || node.largestEnd < end) return false;
    this.looks++;
    if (node.start <= start) {
      if (this.#search(node.right, start, end, visit)) return true;
      if (node.end >= end && visit(node.value)) return true;
    }
    return this.#search(node.left, start, end, visit);
  }

  #insert(root: Node<T> | undefined, node: Node<T>): Node<T> {
    if (!root) return node;
    if (node.weight > root.weight) {
      const halves = this.#split(root, node);
      node.left = halves.low;
      node.right = halves.high;
      return update(node);
    }
    if (isBefore(node, root)) root.left = this.#insert(root.left, node);
    else root.right = this.#insert(root.right, node);
    return update(root);
  }

  /** What comes before `by`, and what comes after it. */
  #split(root: Node<T> | undefined, by: Node<T>): Halves<T> {
    if (!root) return { low: undefined, high: undefined };
    if (isBefore(root, by)) {
      const halves = this.#split(root.right, by);
      root.right = halves.low;
      return { low: update(root), high: halves.high };
    }
    const halves = this.#split(root.left, by);
    root.left = halves.high;
    return { low: halves.low, high: update(root) };
  }

  #without(root: Node<T> | undefined, start: number, id: number): Node<T> | undefined {
    if (!root) return undefined;
    if (root.start === start && root.id === id) {
      this.#size--;
      return join(root.left, root.right);
    }
    if (start < root.start || (start === root.start && id < root.id))
      root.left = this.#without(root.left, start, id);
    else root.right = this.#without(root.right, start, id);
    return update(root);
  }
}

function isBefore<T>(a: Node<T>, b: Node<T>): boolean {
  return a.start < b.start || (a.start === b.start && a.id < b.id);
}
