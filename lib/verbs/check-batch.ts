import { type Access } from './access';
import {
  boolean,
  illegalConstructor,
  integer,
  invalidType,
  optionsOf,
  outOfRange,
  u32,
  u64,
} from '../internal/arguments';
import { type BatchBlock, newBatchBlock, SGE_WORDS } from './batch-block';
import { readAnswer, UNANSWERED, words as command } from '../internal/command';
import { giveUnused, takeHolder } from '../internal/element';
import { HIGH_HALF, LITTLE_ENDIAN } from '../internal/halves';
import { dispose } from '../internal/disposal';
import { explainedError, rdmaError, resultOf } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import {
  BATCH_COALESCED,
  BATCH_MAX_ELEMENTS,
  CommandWord,
  EBADF,
  HeaderDouble,
  HeaderFlag,
  HeaderWord,
  PACKED_SGE_BYTES,
} from '../internal/layout';
import { byteLengthOf, type MemoryLike, transientBytesOf } from '../internal/memory-argument';
import { type Method } from '../internal/methods';
import {
  native,
  type NativeBatch,
  type NativeProtectionDomain,
  type NativeQueuePair,
} from '../internal/native';
import { type RefusalReason, reasonOf } from '../internal/reasons';
import { construction } from '../internal/construction';
import { type RegionTable } from './region-registry';
import { holderOf, isSge, Sge, tableOf } from './sge';

/** Options of {@link ProtectionDomain.lkeyBatch} and {@link QueuePair.rkeyBatch}. */
export interface CheckBatchOptions {
  /**
   * Tell where accepted elements lie ({@link CheckBatch.regions} and the columns after it). Costs a look at each region.
   * Default false: verdicts only.
   */
  places?: boolean;
}

/** Options of {@link CheckBatch.acquire}. */
export interface BatchAcquireOptions {
  /**
   * Let an element that continues the last accepted one grow it instead, as {@link ProtectionDomain.acquire} does with `last`.
   * Default false.
   */
  coalesce?: boolean;
  /** With `coalesce`: what the first element may continue. */
  last?: Sge | null;
}

/** The native functions of a batch. */
let nativeBatch: (batch: CheckBatch) => NativeBatch;

/**
 * Many checks in one call, without an object, a bigint or a copy on the way.
 *
 * The elements are an array of packed 16-byte `struct ib_sge` { u64 address, u32 length, u32 key } in host order, in a block of
 * shared memory that is seen as {@link CheckBatch.words}, {@link CheckBatch.longs} and {@link CheckBatch.view}. A call judges the first
 * `count` of them against one access mask. Anybody may write into the block at any time: that can change which elements are
 * refused, never what may be touched.
 *
 * Made by {@link ProtectionDomain.lkeyBatch} (local checks) and {@link QueuePair.rkeyBatch} (remote ones). Methods throw
 * {@link RdmaError} `EBADF` once that parent is gone.
 */
export class CheckBatch {
  /** How many elements fit. */
  readonly capacity: number;
  /** Four words an element: address (low half, high half on little-endian machines), length, key. */
  readonly words: Uint32Array;
  /** The same bytes: two numbers an element, the address and (key << 32 | length on little-endian machines). */
  readonly longs: BigUint64Array;
  /** The same bytes. Values are in the machine's order. */
  readonly view: DataView;
  /**
   * What each element of the last `check` or `acquire` was answered: 0 accepted, {@link CheckBatch.COALESCED}, or the reason's number
   * ({@link CheckBatch.reason} names it).
   */
  readonly verdicts: Uint32Array;
  /** Number of the accepted element's region, unique on its device. Empty without `places`, like the columns below. */
  readonly regions: Float64Array;
  /** Where it lies: byte of the registered memory, or DMA address. As {@link Sge.at}. */
  readonly positions: BigUint64Array;
  /** Bytes left in its segment, as {@link Sge.segmentLength}. */
  readonly segmentLengths: Uint32Array;
  /** Index of the segment it begins in, as {@link Sge.segment}. */
  readonly segments: Uint32Array;

  /** The verdict of an element that {@link CheckBatch.acquire} has added to the last accepted one. */
  static readonly COALESCED: number = BATCH_COALESCED;

  readonly #header: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #native: NativeBatch;
  readonly #table: RegionTable;
  #count = 0;

  /** @internal */
  constructor(
    token: typeof construction,
    checker: NativeProtectionDomain | NativeQueuePair,
    table: RegionTable,
    givenCapacity: unknown,
    options: unknown,
    method: Method,
  ) {
    if (token !== construction) throw illegalConstructor();
    const capacity = integer(givenCapacity, 'capacity', 1, BATCH_MAX_ELEMENTS);
    const { places: givenPlaces = false } = optionsOf<CheckBatchOptions>(options);
    const places = boolean(givenPlaces, 'options.places');
    const block: BatchBlock = newBatchBlock(capacity, places);
    this.#native = resultOf(method, native.createBatch(checker, block.bytes, capacity, places));
    this.#table = table;
    this.#header = block.header;
    this.#doubles = block.doubles;
    this.capacity = capacity;
    this.words = block.words;
    this.longs = block.longs;
    this.view = block.view;
    this.verdicts = block.verdicts;
    this.regions = block.regions;
    this.positions = block.positions;
    this.segmentLengths = block.lengths;
    this.segments = block.segments;
  }

  /**
   * Writes element `index`.
   *
   * @param address - u64; a number where that is enough
   * @param length - bytes
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  set(index: number, address: bigint | number, length: number, key: Lkey | Rkey): void {
    // Tested here and not by arguments.ts, which is called only for what fails: a batch is filled element by element.
    if (typeof index !== 'number' || index >>> 0 !== index || index >= this.capacity) {
      integer(index, 'index', 0, this.capacity - 1);
    }
    if (typeof length !== 'number' || length >>> 0 !== length) u32(length, 'length');
    if (typeof key !== 'number' || key >>> 0 !== key) u32(key, 'key');
    const words = this.words;
    const first = index * SGE_WORDS;
    if (LITTLE_ENDIAN && typeof address === 'number' && address >= 0 && address <= Number.MAX_SAFE_INTEGER) {
      if (Math.floor(address) !== address) u64(address, 'address');
      words[first] = address;
      words[first + 1] = address * HIGH_HALF;
    } else {
      this.longs[index * 2] = u64(address, 'address');
    }
    words[first + 2] = length;
    words[first + 3] = key;
  }

  /**
   * Judges the first `count` elements of the block and keeps no reference.
   *
   * Kernel: `rvt_lkey_ok` or `rvt_rkey_ok`, without the reference.
   *
   * @param count - elements, 0..capacity
   * @param access - bits of {@link Access}: local checks want all of them, remote ones any
   * @returns how many passed; {@link CheckBatch.firstRefusal} tells where the first one did not
   * @throws RdmaError `EBADF`; TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  check(count: number, access: Access): number {
    this.#begin(count, access);
    this.#native.check();
    return this.#answer('CheckBatch.check');
  }

  /**
   * Judges the elements that lie packed in `sges`, each 16 bytes (`struct ib_sge` in host order), and keeps no reference. The
   * block's own elements stay as they are; {@link CheckBatch.verdicts} is written if there are at most `capacity` elements.
   *
   * @param sges - its length is a multiple of 16 bytes
   * @param access - bits of {@link Access}: local checks want all of them, remote ones any
   * @returns how many passed; {@link CheckBatch.firstRefusal} tells where the first one did not
   * @throws RdmaError `EBADF`; TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  checkPacked(sges: MemoryLike, access: Access): number {
    const bytes = transientBytesOf('CheckBatch.checkPacked', sges, 'sges');
    const length = byteLengthOf(bytes);
    if (length % PACKED_SGE_BYTES)
      throw outOfRange('sges.byteLength', `a multiple of ${PACKED_SGE_BYTES}`, length);
    this.#header[HeaderWord.Access] = u32(access, 'access');
    this.#count = length / PACKED_SGE_BYTES;
    this.#native.checkPacked(bytes);
    return this.#answer('CheckBatch.checkPacked');
  }

  /**
   * Judges the first `count` elements and keeps a reference for each accepted one, until {@link CheckBatch.put} puts it.
   *
   * Kernel: `rvt_lkey_ok` or `rvt_rkey_ok`.
   *
   * @returns how many passed, coalesced ones included
   * @throws RdmaError `EBUSY`: references of an earlier call are held among them; `EBADF`; `ENOMEM`; `EINVAL`: `last` is of
   *   another device
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  acquire(count: number, access: Access, options: BatchAcquireOptions = {}): number {
    const { coalesce: givenCoalesce = false, last: givenLast = null } =
      optionsOf<BatchAcquireOptions>(options);
    const coalesce = boolean(givenCoalesce, 'options.coalesce');
    if (givenLast !== null && !isSge(givenLast))
      throw invalidType('options.last', 'an instance of Sge', givenLast);
    if (givenLast && tableOf(givenLast).registry !== this.#table.registry)
      throw explainedError('CheckBatch.acquire', 'EINVAL', 'ElementOnOtherDevice');
    this.#begin(count, access);
    this.#header[HeaderWord.Flags] = coalesce ? HeaderFlag.Coalesce : 0;
    const last = givenLast ? holderOf(givenLast) : undefined; // one that was put counts as none
    if (last) {
      command[CommandWord.LastCell] = last.cell;
      command[CommandWord.LastGeneration] = last.generation;
    }
    this.#native.acquire(last !== undefined);
    return this.#answer('CheckBatch.acquire');
  }

  /**
   * Puts the references held among the first `count` elements.
   *
   * @returns how many there were
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  put(count: number = this.capacity): number {
    return this.#putHeld(count);
  }

  /**
   * The element that {@link CheckBatch.acquire} holds at `index`, as an object that has its reference from now on.
   *
   * @returns undefined if none is held there
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  take(index: number): Sge | undefined {
    const at = integer(index, 'index', 0, this.capacity - 1);
    const holder = takeHolder();
    command[CommandWord.Cell] = holder.cell;
    command[CommandWord.Answer] = UNANSWERED;
    this.#native.take(at);
    const answer = readAnswer();
    if (answer === 0) {
      holder.generation = command[CommandWord.CellGeneration] ?? 0;
      return new Sge(construction, holder, this.#table);
    }
    giveUnused(holder, answer);
    if (answer !== -EBADF) throw rdmaError('CheckBatch.take', answer);
    return undefined;
  }

  /**
   * Judges the first `count` elements and copies their bytes, in order, into `target`. Stops at the first one that is refused
   * ({@link CheckBatch.firstRefusal}, {@link CheckBatch.firstReason}) or that does not fit any more (`firstReason` is undefined then).
   *
   * @param access - for local elements 0 is enough; remote ones want `RemoteRead`, and must have it
   * @returns bytes moved
   * @throws RdmaError `EBADF`, `EINVAL` (target detached); TypeError, RangeError
   */
  gather(target: MemoryLike, count: number, access: Access): number {
    const bytes = transientBytesOf('CheckBatch.gather', target, 'target');
    this.#begin(count, access);
    this.#native.gather(bytes);
    return this.#moved('CheckBatch.gather');
  }

  /**
   * Judges the first `count` elements and copies bytes of `source` into them, in order. Stops at the first one that is refused, or
   * that the rest of `source` does not fill.
   *
   * @param access - must contain `LocalWrite` or `RemoteWrite`
   * @returns bytes moved
   * @throws as {@link CheckBatch.gather}
   */
  scatter(source: MemoryLike, count: number, access: Access): number {
    const bytes = transientBytesOf('CheckBatch.scatter', source, 'source');
    this.#begin(count, access);
    this.#native.scatter(bytes);
    return this.#moved('CheckBatch.scatter');
  }

  /**
   * Copies from the first `count` elements into the first `otherCount` of another batch, byte by byte in order, whatever their
   * boundaries; until one of the lists is at its end or has an element refused. Each batch tells its own first refusal.
   *
   * @param access - as for {@link CheckBatch.gather}
   * @param otherAccess - as for {@link CheckBatch.scatter}
   * @returns bytes moved
   * @throws RdmaError `EBADF`; `EINVAL`: `other` is this batch; TypeError, RangeError
   */
  copyTo(other: CheckBatch, count: number, access: Access, otherCount: number, otherAccess: Access): number {
    if (typeof other !== 'object' || (other as CheckBatch | null) === null || !(#native in other)) {
      throw invalidType('other', 'an instance of CheckBatch', other);
    }
    this.#begin(count, access);
    other.#begin(otherCount, otherAccess);
    // One header cannot hold both sides.
    if (other === this) throw explainedError('CheckBatch.copyTo', 'EINVAL', 'SameBatch');
    this.#native.copyTo(nativeBatch(other));
    return this.#moved('CheckBatch.copyTo');
  }

  /** Index of the first element that the last call refused, or that did not fit; -1 if there was none. */
  get firstRefusal(): number {
    const index = this.#header[HeaderWord.FirstRefused] ?? 0;
    return index < this.#count ? index : -1;
  }

  /** Why {@link CheckBatch.firstRefusal} was refused; undefined if nothing was, or if it did not fit. */
  get firstReason(): RefusalReason | undefined {
    return reasonOf(this.#header[HeaderWord.Reason] ?? 0);
  }

  /**
   * Why element `index` was refused; undefined if it was accepted.
   *
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  reason(index: number): RefusalReason | undefined {
    return reasonOf(this.verdicts[integer(index, 'index', 0, this.capacity - 1)] ?? 0);
  }

  /** Puts everything that is held. */
  [dispose](): void {
    this.#putHeld(this.capacity);
  }

  #putHeld(count: number): number {
    this.#header[HeaderWord.Count] = integer(count, 'count', 0, this.capacity);
    this.#native.put();
    return this.#header[HeaderWord.Passed] ?? 0;
  }

  #begin(count: number, access: Access): void {
    // Tested here and not by arguments.ts: this is a good part of what a check costs.
    if (typeof count !== 'number' || count >>> 0 !== count || count > this.capacity) {
      integer(count, 'count', 0, this.capacity);
    }
    if (typeof access !== 'number' || access >>> 0 !== access) u32(access, 'access');
    this.#count = count;
    this.#header[HeaderWord.Count] = count;
    this.#header[HeaderWord.Access] = access;
  }

  #answer(method: Method): number {
    const status = this.#header[HeaderWord.Status] ?? 0;
    if (status) throw rdmaError(method, status | 0);
    return this.#header[HeaderWord.Passed] ?? 0;
  }

  #moved(method: Method): number {
    this.#answer(method);
    return this.#doubles[HeaderDouble.BytesMoved] ?? 0;
  }

  static {
    nativeBatch = (batch) => batch.#native;
  }
}
