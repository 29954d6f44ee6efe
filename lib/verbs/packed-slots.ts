/**
 * The block of shared memory of a {@link SendQueue} or {@link RecvQueue}: slots with work requests, which the native module posts in
 * one call. `layout.ts` defines the words.
 */
import { integer, u32, u64 } from '../internal/arguments';
import { UNANSWERED } from '../internal/command';
import { explainedError, keptPostError, RdmaError } from '../internal/errors';
import { type KeptFailure, keepFailure } from '../internal/failure';
import { storeWide } from '../internal/halves';
import { PlainNumbers } from '../internal/intrinsics';
import { MAX_SLOTS, SgeWord, WrHeaderWord } from '../internal/layout';
import { type Method } from '../internal/methods';
import { type Lkey } from './keys';

// Captured at load time: a program may replace these functions.
const PlainShared = SharedArrayBuffer;
const PlainBytes = Uint8Array;
const PlainLongs = BigUint64Array;

const WORD_BYTES = 4;

/** The slots of a packed queue. */
export class Slots {
  /** Number of slots. */
  readonly capacity: number;
  /** The block, for the native module. */
  readonly bytes: Uint8Array;
  /** The slots. Slot `i` begins at `i * stride`. */
  readonly words: Uint32Array;
  /** Words from one slot to the next; even. */
  readonly stride: number;
  /** How many SGEs a slot has room for. */
  readonly maxSge: number;
  readonly #longs: BigUint64Array;
  readonly #header: Uint32Array;
  /** Words of a work request, behind which its SGEs begin. */
  readonly #wrWords: number;
  readonly #method: Method;
  /** The native function that posts; set by the owner. */
  postNative: () => void = nothing;
  #status = 0;
  #bad = 0;
  #failure: KeptFailure | undefined;
  #error: RdmaError | undefined;

  /**
   * @param method - the method that posts, for errors
   * @param givenCapacity - number of slots; validated here
   * @param wrWords - words of a work request without SGEs
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`; or no memory)
   */
  constructor(method: Method, givenCapacity: unknown, wrWords: number, maxSge: number) {
    const capacity = integer(givenCapacity, 'capacity', 1, MAX_SLOTS);
    const stride = wrWords + maxSge * SgeWord.Words;
    const buffer = new PlainShared((WrHeaderWord.Words + capacity * stride) * WORD_BYTES);
    const begin = WrHeaderWord.Words * WORD_BYTES;
    this.capacity = capacity;
    this.stride = stride;
    this.maxSge = maxSge;
    this.bytes = new PlainBytes(buffer);
    this.words = new PlainNumbers(buffer, begin);
    this.#longs = new PlainLongs(buffer, begin);
    this.#header = new PlainNumbers(buffer, 0, WrHeaderWord.Words);
    this.#wrWords = wrWords;
    this.#method = method;
  }

  /**
   * Returns the index of the first word of a slot.
   *
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  at(index: number): number {
    // Checked inline, as the other numbers here: queues are filled slot by slot.
    if (typeof index !== 'number' || index >>> 0 !== index || index >= this.capacity)
      integer(index, 'index', 0, this.capacity - 1);
    return index * this.stride;
  }

  /**
   * Stores a 64-bit number, the low word first, at an even index.
   *
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`); then nothing is stored
   */
  storeLong(at: number, value: bigint | number, name: string): void {
    if (!storeWide(this.words, this.#longs, at, value)) u64(value, name); // throws
  }

  /**
   * Stores the first SGE of the slot that begins at `at`. A work request without SGEs has one then.
   *
   * @throws RdmaError `EINVAL`: the queue takes no SGEs
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`); then nothing is stored
   */
  storeLocal(
    method: Method,
    at: number,
    addr: bigint | number,
    length: number,
    lkey: Lkey,
    numSge: number,
  ): void {
    if (typeof length !== 'number' || length >>> 0 !== length) u32(length, 'length');
    if (typeof lkey !== 'number' || lkey >>> 0 !== lkey) u32(lkey, 'lkey');
    if (this.maxSge === 0) throw tooManySges(method, 1, 0);
    const { words } = this;
    const sge = at + this.#wrWords;
    this.storeLong(sge + SgeWord.Addr, addr, 'addr');
    words[sge + SgeWord.Length] = length;
    words[sge + SgeWord.Lkey] = lkey;
    if (words[at + numSge] === 0) words[at + numSge] = 1;
  }

  /** Copies an encoded work request into the slot that begins at `at`. */
  copy(at: number, from: Uint32Array, used: number): void {
    const { words } = this;
    for (let i = 0; i < used; i++) words[at + i] = from[i] ?? 0;
  }

  /**
   * Posts slots in one native call.
   *
   * @returns how many were posted
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`): nothing was posted
   */
  post(count: number, first: number): number {
    const { capacity } = this;
    if (typeof first !== 'number' || first >>> 0 !== first || first > capacity)
      integer(first, 'first', 0, capacity);
    if (typeof count !== 'number' || count >>> 0 !== count || count > capacity - first)
      integer(count, 'count', 0, capacity - first);
    const header = this.#header;
    header[WrHeaderWord.Count] = count;
    header[WrHeaderWord.First] = first;
    header[WrHeaderWord.Posted] = 0;
    header[WrHeaderWord.Status] = UNANSWERED;
    this.postNative();
    const status = header[WrHeaderWord.Status];
    if (this.#status !== 0) this.#error = undefined;
    this.#status = status | 0;
    if (status === 0) return count;
    this.#failure = keepFailure(this.#failure);
    this.#bad = header[WrHeaderWord.Bad] ?? 0;
    return header[WrHeaderWord.Posted];
  }

  /** Why the last posting failed; undefined if it did not. */
  get error(): RdmaError | undefined {
    if (this.#status === 0 || this.#failure === undefined) return undefined;
    if (this.#error === undefined) {
      const error = keptPostError(this.#method, this.#status, this.#bad, this.#failure);
      if (error instanceof RdmaError) this.#error = error;
    }
    return this.#error;
  }
}

function nothing(): void {
  // Until the native queue exists.
}

/** Creates the error for a work request with more SGEs than a slot has room for. */
export const tooManySges = (method: Method, count: number, most: number): RdmaError =>
  explainedError(method, 'EINVAL', 'WrSges', { value: BigInt(count), limit: BigInt(most) });
