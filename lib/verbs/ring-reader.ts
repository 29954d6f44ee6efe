/**
 * Takes completions from the shared memory of a completion queue (`struct rvt_cq_init.ring`). Only this file reads and writes the
 * words by which the engine and the consumer agree (`RingWord` of `layout.ts`).
 *
 * Neither side trusts the other: the engine checks TAIL, and this class checks HEAD and every index. A program that writes to the
 * memory can only spoil its own completions.
 */
import { atomicLoad, atomicStore } from '../internal/intrinsics';
import { RingWord, WcWord } from '../internal/layout';

const WORD_BYTES = 4;

export class RingReader {
  /** The memory, for the native module. */
  readonly bytes: Uint8Array;
  /** All words of the ring. {@link RingReader.advance} returns indices of this array. */
  readonly words: Uint32Array;
  /** HEAD, ENDED and TAIL. Signed, because these are small integers for the engine, which it stores without an allocation. */
  readonly #marks: Int32Array;
  readonly #cqe: number;
  /** Number of words. */
  readonly #end: number;
  /** Completions that were taken, modulo 2^32. */
  #taken = 0;
  /** The value that TAIL was last set to. */
  #given = 0;
  /** Completions that waited when HEAD was last read, less those taken since. */
  #waiting = 0;
  /** Index of the first word of the next completion. */
  #at: number = RingWord.Entries;

  /**
   * Allocates the memory of a ring.
   *
   * @param cqe - completions that it holds
   * @throws RangeError: no memory
   */
  constructor(cqe: number) {
    this.#end = RingWord.Entries + cqe * WcWord.Count;
    const buffer = new SharedArrayBuffer(this.#end * WORD_BYTES);
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.#marks = new Int32Array(buffer, 0, RingWord.Entries);
    this.#cqe = cqe;
  }

  /** Whether the queue was destroyed. Only a hint, because a program can write to the memory. */
  get isEnded(): boolean {
    return this.#marks[RingWord.Ended] !== 0;
  }

  /** How many completions wait. */
  get length(): number {
    // Loads HEAD with acquire ordering, so the completions that it counts are visible to this thread.
    const waiting = (atomicLoad(this.#marks, RingWord.Head) - this.#taken) >>> 0;
    // The engine never enters more completions than fit. A HEAD that says so was written by a program.
    this.#waiting = waiting <= this.#cqe ? waiting : 0;
    return this.#waiting;
  }

  /** Takes the next completion. Returns the index of its first word in {@link RingReader.words}; -1 if none waits. */
  advance(): number {
    if (this.#waiting === 0 && this.length === 0) return -1;
    const at = this.#at;
    const next = at + WcWord.Count;
    this.#at = next < this.#end ? next : RingWord.Entries;
    this.#taken = (this.#taken + 1) | 0;
    this.#waiting--;
    return at;
  }

  /** Gives the places of all completions that were taken back to the engine, which may then write there. */
  release(): void {
    if (this.#given === this.#taken) return;
    this.#given = this.#taken;
    // Stores TAIL with release ordering: all reads of these completions come before the engine can overwrite them.
    atomicStore(this.#marks, RingWord.Tail, this.#given);
  }
}
