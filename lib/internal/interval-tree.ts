/**
 * A treap of intervals, ordered by start. Each node stores the largest end in its subtree, to find intervals that cover a range.
 */

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

// An object and not an array: destructuring an array uses its iterator, which a program can replace.
interface Halves<T> {
  low: Node<T> | undefined;
  high: Node<T> | undefined;
}

/** State of an xorshift generator for node weights. A program could replace `Math.random` and unbalance the tree. */
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

/** Merges two trees. All nodes of `low` must come before all nodes of `high`. */
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

/** A set of intervals, each with a value and an id; intervals with the same start are ordered by id. */
export class IntervalTree<T> {
  #root: Node<T> | undefined;
  #size = 0;
  /** Number of nodes that {@link IntervalTree.findCovering} visited, for tests. */
  looks = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds the interval [start, end) with `value`. No other interval with this start may have the same id. */
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

  /** Removes the interval with this start and id, if there is one. */
  remove(start: number, id: number): void {
    this.#root = this.#without(this.#root, start, id);
  }

  /**
   * Calls `visit` with the value of each interval that covers all of [start, end), in descending order of start, then of id.
   * Stops when `visit` returns true. The time depends on the number of visited intervals and the depth of the tree, not on the
   * number of other intervals. `visit` must not change the tree.
   */
  findCovering(start: number, end: number, visit: (value: T) => boolean): void {
    this.#search(this.#root, start, end, visit);
  }

  /**
   * Calls `visit` with the value of each interval that overlaps [start, end) or touches one of its ends, in ascending order of
   * start, then of id. `visit` must not change the tree.
   */
  findTouching(start: number, end: number, visit: (value: T) => void): void {
    this.#touch(this.#root, start, end, visit);
  }

  #touch(node: Node<T> | undefined, start: number, end: number, visit: (value: T) => void): void {
    if (!node || node.largestEnd < start) return;
    this.#touch(node.left, start, end, visit);
    if (node.start > end) return;
    if (node.end >= start) visit(node.value);
    this.#touch(node.right, start, end, visit);
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

  /** Splits a tree into the nodes before `by` and the nodes after `by`. */
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
