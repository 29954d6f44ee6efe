import { type Access } from './access';
import {
  boolean,
  illegalConstructor,
  integer,
  invalidType,
  invalidValue,
  outOfRange,
  u32,
  u64,
} from '../internal/arguments';
import { optionsOf } from '../internal/options';
import { type Asker } from './asker';
import { type BatchBlock, newBatchBlock, SGE_WORDS } from './batch-block';
import { type BatchUse, elementAt, explainElement, packedElementAt, reportElement } from './batch-refusals';
import { UNANSWERED, words as command } from '../internal/command';
import { giveUnused, takeHolder } from '../internal/element';
import { HIGH_HALF, LITTLE_ENDIAN } from '../internal/halves';
import { dispose } from '../internal/disposal';
import { explainedError, rdmaError, resultOf } from '../internal/errors';
import { type Method } from '../internal/methods';
import { type AskedAccess } from './explanation-facts';
import { type Lkey, type Rkey } from './keys';
import {
  AccessBit,
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
import { native, type NativeBatch } from '../internal/native';
import { type RefusalReason, reasonOf } from '../internal/reasons';
import { isWatched } from '../internal/refused-channel';
import { construction } from '../internal/construction';
import { instance, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { isCapturing } from './element-stacks';
import { isRemoteRight, remoteRightError } from './remote-right';
import { holderOf, isSge, Sge, tableOf } from './sge';

/** Options of {@link ProtectionDomain.lkeyBatch} and {@link QueuePair.rkeyBatch}. */
export interface CheckBatchOptions {
  /**
   * Report where each accepted element lies, in {@link CheckBatch.regions} and the three columns after it. Costs a lookup of each
   * region. Default false: report verdicts only.
   */
  places?: boolean;
  /**
   * Give each element its own access mask ({@link CheckBatch.access}), for lists in which some elements are read and others
   * written. Pass `undefined` as the access argument of each call. Default false.
   */
  accessPerElement?: boolean;
}

/** Options of {@link CheckBatch.acquire}. */
export interface BatchAcquireOptions {
  /**
   * Extend the last accepted element with a new element that continues it, as {@link ProtectionDomain.acquire} does with `last`.
   * Default false.
   */
  coalesce?: boolean;
  /** With `coalesce`: the element that the first element of the batch may extend. */
  last?: Sge | null;
}

/** Options of {@link CheckBatch.gather}, {@link CheckBatch.scatter} and {@link CheckBatch.copyTo}. */
export interface BatchCopyOptions {
  /**
   * Check the whole list (both lists of `copyTo`), including the memory that its elements refer to, before a byte moves. If an
   * element is refused, no byte moves, the call returns 0, and {@link CheckBatch.firstRefusal} and {@link CheckBatch.firstReason}
   * say why. The call throws a RangeError and moves nothing if the target or the other list is too small, or if the source does
   * not fill the list exactly.
   *
   * The copy checks each step again. If another thread deregisters a region during the copy or writes to the list (which is
   * shared memory), the copy stops at the refused element and returns the bytes moved so far. To prevent such a partial copy,
   * acquire the elements first. Default false.
   */
  all?: boolean;
}

/** Returns the native object of a batch. */
let nativeBatch: (batch: CheckBatch) => NativeBatch;

/** Returned by {@link CheckBatch.toJSON}. */
export interface ShownCheckBatch extends Shown {
  class: 'CheckBatch';
  /** Number of the batch in this thread, as in {@link ElementResource.batch}. */
  id: number;
  capacity: number;
  /** Number of elements in the last call. */
  count: number;
  /** Index of the first refused element, as {@link CheckBatch.firstRefusal}; `reason` says why it was refused. */
  firstRefusal: number;
  reason: RefusalReason | null;
}

let describeCheckBatch: (object: CheckBatch) => ShownCheckBatch;

/**
 * Checks many accesses in one call, without allocating an object or a bigint per element.
 *
 * The elements are packed 16-byte `struct ib_sge` { u64 address, u32 length, u32 key } in host byte order, in a block of shared
 * memory that {@link CheckBatch.words}, {@link CheckBatch.longs} and {@link CheckBatch.view} expose. A call checks the first
 * `count` elements against one access mask, or each element against its own mask ({@link CheckBatchOptions.accessPerElement}).
 * Any thread may write to the block at any time: such a write can change which elements are refused, but it never gives access to
 * memory that the checks forbid.
 *
 * A local batch requires all bits of the mask. A remote batch accepts exactly one of RemoteRead, RemoteWrite and RemoteAtomic.
 *
 * Empty elements (length 0) are checked like all others. The kernel's callers skip empty elements before the check, so leave them
 * out of the list to match the kernel.
 *
 * Created by {@link ProtectionDomain.lkeyBatch} (local checks) and {@link QueuePair.rkeyBatch} (remote checks). After that parent
 * or its device is closed, every element is refused with `'Closed'`: 0 elements pass, {@link CheckBatch.firstRefusal} is 0 (-1 if
 * `count` is 0), {@link CheckBatch.firstReason} is `'Closed'`, no byte moves and no reference is held. The same happens if
 * another thread closes the parent during `check` or `acquire`. A copy stops when the parent closes; the bytes that it returns
 * have moved.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(Buffer.alloc(4096), { access: Access.RemoteRead });
 * const batch = pd.createQp().rkeyBatch(2);
 * batch.set(0, mr.iova, 64, mr.rkey);
 * batch.set(1, mr.iova + 4090n, 64, mr.rkey);
 * console.log(batch.check(2, Access.RemoteRead)); // 1
 * console.log(batch.firstRefusal, batch.firstReason); // 1 OutOfBounds
 * ```
 */
export class CheckBatch {
  /** Number of elements that the batch can hold. */
  readonly capacity: number;
  /** The elements as 32-bit words, four per element: address (low half first on little-endian machines), length, key. */
  readonly words: Uint32Array;
  /**
   * The same bytes as 64-bit words, two per element: the address, then length and key (`key << 32 | length` on little-endian
   * machines).
   */
  readonly longs: BigUint64Array;
  /** The same bytes as a DataView. Values are in the machine's byte order. */
  readonly view: DataView;
  /**
   * The verdict on each element of the last `check` or `acquire`: 0 (accepted), {@link CheckBatch.COALESCED}, or the number of
   * the reason ({@link CheckBatch.reason} returns its name).
   */
  readonly verdicts: Uint32Array;
  /** The `id` of each accepted element's region. Empty without `places`, like the three columns below. */
  readonly regions: Float64Array;
  /** Where each accepted element begins, as {@link Sge.at}: the offset in the registered memory in bytes, or the DMA address. */
  readonly positions: BigUint64Array;
  /** Bytes left in each accepted element's segment, as {@link Sge.segmentLength}. */
  readonly segmentLengths: Uint32Array;
  /** Index of the segment in which each accepted element begins, as {@link Sge.segment}. */
  readonly segments: Uint32Array;
  /**
   * The access mask of each element, bits of {@link Access}; empty without `accessPerElement`. Each call reads a mask once. A
   * remote batch refuses an element whose mask is not exactly one remote right (`AccessDenied`).
   */
  readonly access: Uint32Array;

  /** The verdict on an element that {@link CheckBatch.acquire} merged into the last accepted element. */
  static readonly COALESCED: number = BATCH_COALESCED;

  readonly #header: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #native: NativeBatch;
  readonly #asker: Asker;
  readonly #remote: boolean;
  /** Whether each element has its own access mask. */
  readonly #own: boolean;
  #count = 0;
  #use: BatchUse = 'check';
  /** The first refused element of the last `checkPacked`, whose elements are not in the block. */
  #packed: AskedAccess | undefined;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, asker: Asker, givenCapacity: unknown, options: unknown) {
    if (token !== construction) throw illegalConstructor();
    const capacity = integer(givenCapacity, 'capacity', 1, BATCH_MAX_ELEMENTS);
    const { places: givenPlaces = false, accessPerElement: givenOwn = false } = optionsOf<CheckBatchOptions>(
      options,
      ['places', 'accessPerElement'],
    );
    const places = boolean(givenPlaces, 'options.places');
    const own = boolean(givenOwn, 'options.accessPerElement');
    const block: BatchBlock = newBatchBlock(capacity, places, own);
    this.#native = resultOf(
      asker.remote ? 'QueuePair.rkeyBatch' : 'ProtectionDomain.lkeyBatch',
      native.createBatch(asker.native, block.bytes, capacity, places, own),
    );
    this.#asker = asker;
    this.#remote = asker.remote;
    this.#own = own;
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
    this.access = block.accesses;
  }

  /**
   * Writes element `index` of the block.
   *
   * @param index - 0..capacity-1
   * @param address - u64; a number is enough for addresses up to 2^53
   * @param length - bytes, 0..2^32-1
   * @param key - the lkey (local batch) or rkey (remote batch) of the region
   * @param access - the element's access mask, as for {@link CheckBatch.check}. Required with `accessPerElement`, not allowed
   *   without
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`; `ERR_INVALID_ARG_VALUE`: `access` without `accessPerElement`), RangeError
   *   (`ERR_OUT_OF_RANGE`)
   */
  set(index: number, address: bigint | number, length: number, key: Lkey | Rkey, access?: Access): void {
    // Check the arguments inline: a batch is filled element by element, and a call into arguments.ts is only worth its cost on
    // failure.
    if (typeof index !== 'number' || index >>> 0 !== index || index >= this.capacity) {
      integer(index, 'index', 0, this.capacity - 1);
    }
    if (typeof length !== 'number' || length >>> 0 !== length) u32(length, 'length');
    if (typeof key !== 'number' || key >>> 0 !== key) u32(key, 'key');
    // Check the access before the first word is stored, so that a call that throws changes nothing.
    const own = this.#own || access !== undefined ? this.#ownAccess(access) : 0;
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
    if (this.#own) this.access[index] = own;
  }

  /**
   * Checks the first `count` elements of the block. Takes no reference.
   *
   * Kernel: `rvt_lkey_ok` or `rvt_rkey_ok`, without the reference.
   *
   * @param count - number of elements, 0..capacity
   * @param access - bits of {@link Access}: a local batch requires all of them; a remote batch accepts exactly one of RemoteRead,
   *   RemoteWrite and RemoteAtomic. `undefined` with `accessPerElement`
   * @returns the number of elements that passed; {@link CheckBatch.firstRefusal} is the index of the first refused one
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  check(count: number, access: Access | undefined): number {
    this.#begin(count, access, 'check');
    this.#native.check();
    return this.#judged('CheckBatch.check');
  }

  /**
   * Checks the elements packed in `sges`, 16 bytes each (`struct ib_sge` in host byte order). Takes no reference. Does not change
   * the elements of the block; writes {@link CheckBatch.verdicts} only if there are at most `capacity` elements.
   *
   * @param sges - a whole number of elements: the length must be a multiple of 16 bytes
   * @param access - as for {@link CheckBatch.check}; required with `accessPerElement` too, because packed elements have no access
   *   column
   * @returns the number of elements that passed; {@link CheckBatch.firstRefusal} is the index of the first refused one
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  checkPacked(sges: MemoryLike, access: Access): number {
    const bytes = transientBytesOf('CheckBatch.checkPacked', sges, 'sges');
    const length = byteLengthOf(bytes);
    if (length % PACKED_SGE_BYTES)
      throw outOfRange('sges.byteLength', `a multiple of ${PACKED_SGE_BYTES}`, length);
    if (this.#remote && !isRemoteRight(access)) throw remoteRightError(access);
    this.#header[HeaderWord.Access] = u32(access, 'access');
    this.#count = length / PACKED_SGE_BYTES;
    this.#use = 'check';
    this.#native.checkPacked(bytes);
    const passed = this.#answer('CheckBatch.checkPacked');
    this.#packed = undefined;
    if (passed === this.#count) return passed;
    const first = this.firstRefusal;
    if (first >= 0) this.#packed = packedElementAt(bytes, first, access);
    if (isWatched()) this.#report('CheckBatch.checkPacked', this.#count - passed);
    return passed;
  }

  /**
   * Checks the first `count` elements and takes a reference for each accepted one. {@link CheckBatch.put} puts the references.
   *
   * Kernel: `rvt_lkey_ok` or `rvt_rkey_ok`.
   *
   * @param count - number of elements, 0..capacity
   * @param access - as for {@link CheckBatch.check}
   * @returns the number of elements that passed, including coalesced ones
   * @throws RdmaError `EBUSY`: one of these elements still holds the reference of an earlier call; `ENOMEM`: no memory, or the
   *   region is held 2^32-1 times; `EINVAL`: `last` is an element of another device
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  acquire(count: number, access: Access | undefined, options: BatchAcquireOptions = {}): number {
    const { coalesce: givenCoalesce = false, last: givenLast = null } = optionsOf<BatchAcquireOptions>(
      options,
      ['coalesce', 'last'],
    );
    const coalesce = boolean(givenCoalesce, 'options.coalesce');
    if (givenLast !== null && !isSge(givenLast))
      throw invalidType('options.last', 'an instance of Sge', givenLast);
    if (givenLast && tableOf(givenLast).registry !== this.#asker.table.registry)
      throw explainedError('CheckBatch.acquire', 'EINVAL', 'ElementOnOtherDevice');
    this.#begin(count, access, 'check');
    this.#header[HeaderWord.Flags] = coalesce ? HeaderFlag.Coalesce : 0;
    const last = givenLast ? holderOf(givenLast) : undefined; // an element that has been put is ignored
    if (last) {
      command[CommandWord.LastCell] = last.cell;
      command[CommandWord.LastGeneration] = last.generation;
    }
    this.#native.acquire(last !== undefined);
    if (isCapturing) {
      try {
        this.#asker.table.registry.batchAcquired(this.#native.number);
      } catch {
        // The stack limit was reached: the elements are held, but without a recorded stack. See acquireAccess.
      }
    }
    return this.#judged('CheckBatch.acquire');
  }

  /**
   * Puts the references that the first `count` elements hold.
   *
   * @param count - number of elements, 0..capacity. Default: all
   * @returns the number of references put
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  put(count: number = this.capacity): number {
    return this.#putHeld(count);
  }

  /**
   * Moves the reference that the batch holds at `index` (see {@link CheckBatch.acquire}) to a new {@link Sge}.
   *
   * @param index - 0..capacity-1
   * @returns the element, which the caller must put; undefined if the batch holds no reference at `index`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  take(index: number): Sge | undefined {
    const at = integer(index, 'index', 0, this.capacity - 1);
    const holder = takeHolder();
    // Create the object before moving the reference: if creation fails at the stack limit, the batch must still own the
    // reference.
    const sge = new Sge(construction, holder, this.#asker.table);
    command[CommandWord.Cell] = holder.cell;
    command[CommandWord.Answer] = UNANSWERED;
    this.#native.take(at);
    const answer = command[CommandWord.Answer] | 0;
    if (answer === 0) {
      holder.generation = command[CommandWord.CellGeneration] ?? 0;
      if (isCapturing) {
        try {
          this.#asker.table.registry.acquired(holder);
        } catch {
          // The stack limit was reached: the element is held, but without a recorded stack. See acquireAccess.
        }
      }
      return sge;
    }
    giveUnused(holder, answer);
    if (answer !== -EBADF) throw rdmaError('CheckBatch.take', answer);
    return undefined;
  }

  /**
   * Checks the first `count` elements and copies their bytes, in order, to `target`. Stops at the first element that is refused
   * (see {@link CheckBatch.firstRefusal} and {@link CheckBatch.firstReason}) or that no longer fits (`firstReason` is undefined
   * then).
   *
   * @param target - receives the bytes
   * @param count - number of elements, 0..capacity
   * @param access - a local batch needs no right for reading: 0 is enough. A remote batch accepts only `RemoteRead`. `undefined`
   *   with `accessPerElement`
   * @returns the number of bytes moved
   * @throws RdmaError `EINVAL`: the target is detached
   * @throws TypeError; RangeError, with `all` also if the target is too small: the message says by how many bytes
   */
  gather(target: MemoryLike, count: number, access: Access | undefined, options?: BatchCopyOptions): number {
    const all = readAll(options);
    const bytes = transientBytesOf('CheckBatch.gather', target, 'target');
    this.#begin(count, access, 'read');
    this.#header[HeaderWord.Flags] = all;
    this.#native.gather(bytes);
    const moved = this.#moved('CheckBatch.gather');
    if (all !== 0) this.#fit('target.byteLength', false);
    return moved;
  }

  /**
   * Checks the first `count` elements and copies the bytes of `source` to them, in order. Stops at the first element that is
   * refused or that the rest of `source` cannot fill.
   *
   * @param source - provides the bytes
   * @param count - number of elements, 0..capacity
   * @param access - a local batch requires `LocalWrite` or `RemoteWrite` in the mask. A remote batch accepts only `RemoteWrite`.
   *   `undefined` with `accessPerElement`
   * @returns the number of bytes moved
   * @throws RdmaError `EINVAL`: the source is detached
   * @throws TypeError; RangeError, with `all` also if the source is longer or shorter than the list: the message says by how many
   *   bytes
   */
  scatter(source: MemoryLike, count: number, access: Access | undefined, options?: BatchCopyOptions): number {
    const all = readAll(options);
    const bytes = transientBytesOf('CheckBatch.scatter', source, 'source');
    this.#begin(count, access, 'write');
    this.#header[HeaderWord.Flags] = all;
    this.#native.scatter(bytes);
    const moved = this.#moved('CheckBatch.scatter');
    if (all !== 0) this.#fit('source.byteLength', true);
    return moved;
  }

  /**
   * Copies bytes from the first `count` elements of this batch to the first `otherCount` elements of another batch, in order;
   * element boundaries need not match. Stops at the end of either list or at the first refused element. Each batch reports its
   * own first refusal.
   *
   * @param other - the batch that receives the bytes
   * @param count - number of elements of this batch, 0..capacity
   * @param access - as for {@link CheckBatch.gather}
   * @param otherCount - number of elements of the other batch, 0..capacity
   * @param otherAccess - as for {@link CheckBatch.scatter}
   * @returns the number of bytes moved
   * @throws RdmaError `EINVAL`: `other` is this batch
   * @throws TypeError; RangeError, with `all` also if the other list has fewer bytes: the message says by how many
   */
  copyTo(
    other: CheckBatch,
    count: number,
    access: Access | undefined,
    otherCount: number,
    otherAccess: Access | undefined,
    options?: BatchCopyOptions,
  ): number {
    const all = readAll(options);
    if (typeof other !== 'object' || (other as CheckBatch | null) === null || !(#native in other)) {
      throw invalidType('other', 'an instance of CheckBatch', other);
    }
    this.#begin(count, access, 'read');
    other.#begin(otherCount, otherAccess, 'write');
    this.#header[HeaderWord.Flags] = all;
    other.#header[HeaderWord.Flags] = 0;
    // Refuse a copy to itself: one header cannot describe both lists.
    if (other === this) throw explainedError('CheckBatch.copyTo', 'EINVAL', 'SameBatch');
    this.#native.copyTo(nativeBatch(other));
    const moved = this.#moved('CheckBatch.copyTo');
    if (isWatched() && other.firstReason !== undefined) other.#report('CheckBatch.copyTo', 1);
    if (all !== 0) this.#fit('bytes of the other list', false);
    return moved;
  }

  /** Index of the first element that the last call refused or that did not fit; -1 if there was none. */
  get firstRefusal(): number {
    const index = this.#header[HeaderWord.FirstRefused] ?? 0;
    return index < this.#count ? index : -1;
  }

  /**
   * Why the element at {@link CheckBatch.firstRefusal} was refused; undefined if no element was refused, or if the element did
   * not fit. After the parent is closed it is `'Closed'`, even for a call with `count` 0.
   */
  get firstReason(): RefusalReason | undefined {
    return reasonOf(this.#header[HeaderWord.Reason] ?? 0);
  }

  /** Returns a one-line description of the batch. Never throws. */
  toString(): string {
    return textOf('CheckBatch', this, describeCheckBatch);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownCheckBatch {
    return jsonOf('CheckBatch', this, describeCheckBatch);
  }

  /**
   * Returns why element `index` was refused by the last `check` or `acquire`; undefined if it was accepted.
   *
   * @param index - 0..capacity-1
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  reason(index: number): RefusalReason | undefined {
    return reasonOf(this.verdicts[integer(index, 'index', 0, this.capacity - 1)] ?? 0);
  }

  /**
   * Checks element `index` with the current contents of the block, and explains the verdict in sentences, as
   * {@link Refused.explain}. After {@link CheckBatch.checkPacked} only the first refused element is remembered; to explain
   * another packed element, write it to the block and check it there.
   *
   * @param index - 0..capacity-1, or the first refused element of the last `checkPacked`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  explain(index: number): string {
    const packed = this.#packed;
    const most = packed === undefined || this.#count < this.capacity ? this.capacity : this.#count;
    const at = integer(index, 'index', 0, most - 1);
    const first = this.firstRefusal;
    if (packed !== undefined && at === first) {
      return explainElement(this.#asker, at, packed, 'check', this.firstReason);
    }
    const inBlock = integer(at, 'index', 0, this.capacity - 1);
    const told = this.#use === 'check' ? reasonOf(this.verdicts[inBlock] ?? 0) : undefined;
    const reason = at === first ? this.firstReason : packed === undefined ? told : undefined;
    return explainElement(this.#asker, inBlock, this.#element(inBlock), this.#use, reason);
  }

  /** Puts all references that the batch holds. */
  [dispose](): void {
    this.#putHeld(this.capacity);
  }

  #putHeld(count: number): number {
    this.#header[HeaderWord.Count] = integer(count, 'count', 0, this.capacity);
    this.#native.put();
    return this.#header[HeaderWord.Passed] ?? 0;
  }

  #begin(count: number, access: Access | undefined, use: BatchUse): void {
    // Check the count inline: a call into arguments.ts would be a large part of the cost of a check.
    if (typeof count !== 'number' || count >>> 0 !== count || count > this.capacity) {
      integer(count, 'count', 0, this.capacity);
    }
    if (this.#own) {
      if (access !== undefined) throw invalidValue('access', OWN_ACCESS, access);
    } else {
      const mask = typeof access === 'number' && access >>> 0 === access ? access : u32(access, 'access');
      if (this.#remote) judgeRemoteUse(mask, use);
      this.#header[HeaderWord.Access] = mask;
    }
    this.#count = count;
    this.#use = use;
    this.#packed = undefined;
    this.#header[HeaderWord.Count] = count;
  }

  /**
   * Throws unless `access` is a valid access mask for one element of this batch.
   *
   * @returns the mask
   */
  #ownAccess(access: unknown): number {
    if (!this.#own)
      throw invalidValue('access', 'requires a batch that was created with accessPerElement', access);
    if (this.#remote && !isRemoteRight(access)) throw remoteRightError(access);
    return u32(access, 'access');
  }

  #answer(method: Method): number {
    const status = this.#header[HeaderWord.Status] ?? 0;
    if (status) throw rdmaError(method, status | 0);
    return this.#header[HeaderWord.Passed] ?? 0;
  }

  /** Returns the result of a call that checks all elements, and reports its refusals. */
  #judged(method: Method): number {
    const passed = this.#answer(method);
    const count = this.#count;
    if (passed !== count && isWatched()) this.#report(method, count - passed);
    return passed;
  }

  #moved(method: Method): number {
    this.#answer(method);
    const moved = this.#doubles[HeaderDouble.BytesMoved] ?? 0;
    if (this.#header[HeaderWord.Reason] !== 0 && isWatched()) this.#report(method, 1);
    return moved;
  }

  /**
   * Throws if the copy moved nothing because the list, although accepted as a whole, did not fit the other side.
   *
   * @param exactly - whether the other side must have exactly the bytes of the list
   */
  #fit(name: string, exactly: boolean): void {
    const list = this.#doubles[HeaderDouble.ListBytes] ?? 0;
    const other = this.#doubles[HeaderDouble.OtherBytes] ?? 0;
    if (other < list) {
      throw outOfRange(name, `${exactly ? '' : '>= '}${list}; the value is ${list - other} too small`, other);
    }
    if (exactly && other > list)
      throw outOfRange(name, `${list}; the value is ${other - list} too large`, other);
  }

  #element(index: number): AskedAccess {
    const access = this.#own ? this.access[index] : this.#header[HeaderWord.Access];
    return elementAt(this.words, index, access ?? 0);
  }

  /** Publishes the first refusal of the last call to the subscribers of the channel `rdmavt:refused`. */
  #report(method: Method, count: number): void {
    const index = this.firstRefusal;
    const reason = this.firstReason;
    if (index < 0 || reason === undefined) return;
    const asked = this.#packed ?? this.#element(index);
    reportElement(this.#asker, method, index, count, asked, this.#use, reason);
  }

  static {
    describeCheckBatch = (batch) => ({
      class: 'CheckBatch',
      id: batch.#native.number,
      capacity: batch.capacity,
      count: batch.#count,
      firstRefusal: batch.firstRefusal,
      reason: batch.firstReason ?? null,
    });
    showAs(CheckBatch, 'CheckBatch', (object) => textOf('CheckBatch', object, describeCheckBatch));
    nativeBatch = (batch) => batch.#native;
  }
}

const OWN_ACCESS = 'must be undefined: each element of this batch has its own access';

/** Throws unless the access mask is one remote right and, for a copy, the right that the copy requires. */
function judgeRemoteUse(access: number, use: BatchUse): void {
  if (!isRemoteRight(access)) throw remoteRightError(access);
  if (use === 'read' && access !== AccessBit.RemoteRead) {
    throw remoteRightError(access, 'access', 'Access.RemoteRead (4), because bytes are read for a peer');
  }
  if (use === 'write' && access !== AccessBit.RemoteWrite) {
    throw remoteRightError(access, 'access', 'Access.RemoteWrite (2), because bytes are written for a peer');
  }
}

/** Reads the option `all` and returns the header flags for it. */
function readAll(options: unknown): number {
  if (options === undefined) return 0;
  const { all = false } = optionsOf<BatchCopyOptions>(options, ['all']);
  return boolean(all, 'options.all') ? HeaderFlag.All : 0;
}
