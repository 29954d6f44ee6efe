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
   * Tell where accepted elements lie ({@link CheckBatch.regions} and the columns after it). Costs a look at each region.
   * Default false: verdicts only.
   */
  places?: boolean;
  /**
   * Give each element an access of its own ({@link CheckBatch.access}), for lists in which some elements are read and others are
   * written. The calls then take no common mask: `undefined` stands in its place. Default false.
   */
  accessPerElement?: boolean;
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

/** Options of {@link CheckBatch.gather}, {@link CheckBatch.scatter} and {@link CheckBatch.copyTo}. */
export interface BatchCopyOptions {
  /**
   * Judge the whole list (of `copyTo`, both) before a byte moves, with the memory that its elements reach. If an element is refused,
   * nothing is moved: 0 is returned, and {@link CheckBatch.firstRefusal} and {@link CheckBatch.firstReason} tell. A target or a list
   * that is too small, or a source that does not fill the list exactly, is a RangeError, and nothing is moved either.
   *
   * The copy itself judges again, step by step: if another thread ends a region in the middle, or writes into the list (which is shared
   * memory), it stops at what is refused then, and the bytes moved are returned. To have all or nothing against that, acquire the elements first. Default false.
   */
  all?: boolean;
}

/** The native functions of a batch. */
let nativeBatch: (batch: CheckBatch) => NativeBatch;

/** What {@link CheckBatch.toJSON} answers. */
export interface ShownCheckBatch extends Shown {
  class: 'CheckBatch';
  /** Of the thread's batches: as {@link ElementResource.batch}. */
  id: number;
  capacity: number;
  /** Elements of the last call. */
  count: number;
  /** As {@link CheckBatch.firstRefusal}; and why. */
  firstRefusal: number;
  reason: RefusalReason | null;
}

let describeCheckBatch: (object: CheckBatch) => ShownCheckBatch;

/**
 * Many checks in one call, without an object, a bigint or a copy on the way.
 *
 * The elements are an array of packed 16-byte `struct ib_sge` { u64 address, u32 length, u32 key } in host order, in a block of
 * shared memory that is seen as {@link CheckBatch.words}, {@link CheckBatch.longs} and {@link CheckBatch.view}. A call judges the first
 * `count` of them against one access mask, or each against its own ({@link CheckBatchOptions.accessPerElement}). Anybody may write into
 * the block at any time: that can change which elements are refused, never what may be touched.
 *
 * A local batch wants all bits of the mask. A remote one takes exactly one of RemoteRead, RemoteWrite and RemoteAtomic.
 *
 * Empty elements (length 0) are judged like all others; the kernel's callers skip them before they ask, so leave them out of a list
 * that may have them.
 *
 * Made by {@link ProtectionDomain.lkeyBatch} (local checks) and {@link QueuePair.rkeyBatch} (remote ones). Once that parent is closed,
 * or its device is, every element is refused with `'Closed'`: 0 pass, {@link CheckBatch.firstRefusal} is 0 (-1 if `count` is 0),
 * {@link CheckBatch.firstReason} is `'Closed'`, no byte moves, nothing is held. So it is if another thread closes it in the middle of
 * `check` or `acquire`; a copy stops there, and the bytes that it returns have moved.
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
  /**
   * The access of each element, bits of {@link Access}, with `accessPerElement`; empty without. Read once by each call. In a remote
   * batch an element whose access is not exactly one remote right is refused (`AccessDenied`).
   */
  readonly access: Uint32Array;

  /** The verdict of an element that {@link CheckBatch.acquire} has added to the last accepted one. */
  static readonly COALESCED: number = BATCH_COALESCED;

  readonly #header: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #native: NativeBatch;
  readonly #asker: Asker;
  readonly #remote: boolean;
  /** Whether each element has an access of its own. */
  readonly #own: boolean;
  #count = 0;
  #use: BatchUse = 'check';
  /** The first refused element of `checkPacked`, which does not stand in the block. */
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
   * Writes element `index`.
   *
   * @param address - u64; a number where that is enough
   * @param length - bytes
   * @param access - only with `accessPerElement`, and needed then: as for {@link CheckBatch.check}
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`: an access that has no place), RangeError
   *   (`ERR_OUT_OF_RANGE`)
   */
  set(index: number, address: bigint | number, length: number, key: Lkey | Rkey, access?: Access): void {
    // Tested here and not by arguments.ts, which is called only for what fails: a batch is filled element by element.
    if (typeof index !== 'number' || index >>> 0 !== index || index >= this.capacity) {
      integer(index, 'index', 0, this.capacity - 1);
    }
    if (typeof length !== 'number' || length >>> 0 !== length) u32(length, 'length');
    if (typeof key !== 'number' || key >>> 0 !== key) u32(key, 'key');
    // What is wrong about an access is told before a word is stored.
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
   * Judges the first `count` elements of the block and keeps no reference.
   *
   * Kernel: `rvt_lkey_ok` or `rvt_rkey_ok`, without the reference.
   *
   * @param count - elements, 0..capacity
   * @param access - bits of {@link Access}: a local batch wants all of them; a remote one takes exactly one of RemoteRead,
   *   RemoteWrite and RemoteAtomic. `undefined` if each element has its own
   * @returns how many passed; {@link CheckBatch.firstRefusal} tells where the first one did not
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  check(count: number, access: Access | undefined): number {
    this.#begin(count, access, 'check');
    this.#native.check();
    return this.#judged('CheckBatch.check');
  }

  /**
   * Judges the elements that lie packed in `sges`, each 16 bytes (`struct ib_sge` in host order), and keeps no reference. The
   * block's own elements stay as they are; {@link CheckBatch.verdicts} is written if there are at most `capacity` elements.
   *
   * @param sges - its length is a multiple of 16 bytes
   * @param access - as for {@link CheckBatch.check}; it is needed also with `accessPerElement`, as these elements have no column
   * @returns how many passed; {@link CheckBatch.firstRefusal} tells where the first one did not
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
   * Judges the first `count` elements and keeps a reference for each accepted one, until {@link CheckBatch.put} puts it.
   *
   * Kernel: `rvt_lkey_ok` or `rvt_rkey_ok`.
   *
   * @returns how many passed, coalesced ones included
   * @throws RdmaError `EBUSY`: references of an earlier call are held among them; `ENOMEM`; `EINVAL`: `last` is of another device
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
    const last = givenLast ? holderOf(givenLast) : undefined; // one that was put counts as none
    if (last) {
      command[CommandWord.LastCell] = last.cell;
      command[CommandWord.LastGeneration] = last.generation;
    }
    this.#native.acquire(last !== undefined);
    if (isCapturing) {
      try {
        this.#asker.table.registry.batchAcquired(this.#native.number);
      } catch {
        // As in acquireAccess.
      }
    }
    return this.#judged('CheckBatch.acquire');
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
    // Before the element is moved: it could not be given back to the batch if no object can be made, at the end of the stack.
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
          // As in acquireAccess.
        }
      }
      return sge;
    }
    giveUnused(holder, answer);
    if (answer !== -EBADF) throw rdmaError('CheckBatch.take', answer);
    return undefined;
  }

  /**
   * Judges the first `count` elements and copies their bytes, in order, into `target`. Stops at the first one that is refused
   * ({@link CheckBatch.firstRefusal}, {@link CheckBatch.firstReason}) or that does not fit any more (`firstReason` is undefined then).
   *
   * @param access - for local elements 0 is enough; a remote batch takes `RemoteRead` and nothing else. `undefined` if each element
   *   has its own
   * @returns bytes moved
   * @throws RdmaError `EINVAL` (target detached); TypeError, RangeError (with `all` also: the target is too small, and by how much)
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
   * Judges the first `count` elements and copies bytes of `source` into them, in order. Stops at the first one that is refused, or
   * that the rest of `source` does not fill.
   *
   * @param access - of a local batch it must contain `LocalWrite` or `RemoteWrite`; a remote one takes `RemoteWrite` and nothing else.
   *   `undefined` if each element has its own
   * @returns bytes moved
   * @throws as {@link CheckBatch.gather}; RangeError with `all`: the source is longer or shorter than the list, and by how much
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
   * Copies from the first `count` elements into the first `otherCount` of another batch, byte by byte in order, whatever their
   * boundaries; until one of the lists is at its end or has an element refused. Each batch tells its own first refusal.
   *
   * @param access - as for {@link CheckBatch.gather}
   * @param otherAccess - as for {@link CheckBatch.scatter}
   * @returns bytes moved
   * @throws RdmaError `EINVAL`: `other` is this batch; TypeError, RangeError (with `all` also: the other list has fewer bytes, and by
   *   how much)
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
    // One header cannot hold both sides.
    if (other === this) throw explainedError('CheckBatch.copyTo', 'EINVAL', 'SameBatch');
    this.#native.copyTo(nativeBatch(other));
    const moved = this.#moved('CheckBatch.copyTo');
    if (isWatched() && other.firstReason !== undefined) other.#report('CheckBatch.copyTo', 1);
    if (all !== 0) this.#fit('bytes of the other list', false);
    return moved;
  }

  /** Index of the first element that the last call refused, or that did not fit; -1 if there was none. */
  get firstRefusal(): number {
    const index = this.#header[HeaderWord.FirstRefused] ?? 0;
    return index < this.#count ? index : -1;
  }

  /**
   * Why {@link CheckBatch.firstRefusal} was refused; undefined if nothing was, or if it did not fit. `'Closed'` also of a call with
   * `count` 0.
   */
  get firstReason(): RefusalReason | undefined {
    return reasonOf(this.#header[HeaderWord.Reason] ?? 0);
  }

  /** What it is, in one line. Never throws. */
  toString(): string {
    return textOf('CheckBatch', this, describeCheckBatch);
  }

  /** The same as an object for JSON. Never throws. */
  toJSON(): ShownCheckBatch {
    return jsonOf('CheckBatch', this, describeCheckBatch);
  }

  /**
   * Why element `index` was refused; undefined if it was accepted.
   *
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  reason(index: number): RefusalReason | undefined {
    return reasonOf(this.verdicts[integer(index, 'index', 0, this.capacity - 1)] ?? 0);
  }

  /**
   * Judges element `index` by what stands in the block now, and explains the verdict in sentences, as {@link Refused.explain}. Of the last
   * {@link CheckBatch.checkPacked} the first refused element is remembered; the others must be explained by a check of their own.
   *
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

  /** Puts everything that is held. */
  [dispose](): void {
    this.#putHeld(this.capacity);
  }

  #putHeld(count: number): number {
    this.#header[HeaderWord.Count] = integer(count, 'count', 0, this.capacity);
    this.#native.put();
    return this.#header[HeaderWord.Passed] ?? 0;
  }

  #begin(count: number, access: Access | undefined, use: BatchUse): void {
    // Tested here and not by arguments.ts: this is a good part of what a check costs.
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

  /** Judges the access of one element. */
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

  /** The answer of a call that judges all elements. */
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

  /** Throws if the list, which was accepted as a whole, did not fit, so that nothing was moved. */
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

  /** Tells the subscribers of the last call's first refusal. */
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

/** A peer's list names one remote right; a copy the one that it is made with. */
function judgeRemoteUse(access: number, use: BatchUse): void {
  if (!isRemoteRight(access)) throw remoteRightError(access);
  if (use === 'read' && access !== AccessBit.RemoteRead) {
    throw remoteRightError(access, 'access', 'Access.RemoteRead (4), because bytes are read for a peer');
  }
  if (use === 'write' && access !== AccessBit.RemoteWrite) {
    throw remoteRightError(access, 'access', 'Access.RemoteWrite (2), because bytes are written for a peer');
  }
}

/** The header's flag for a copy of all or nothing. */
function readAll(options: unknown): number {
  if (options === undefined) return 0;
  const { all = false } = optionsOf<BatchCopyOptions>(options, ['all']);
  return boolean(all, 'options.all') ? HeaderFlag.All : 0;
}
