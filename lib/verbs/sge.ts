import { type Access } from './access';
import { namesOfRights } from '../internal/right-names';
import { boolean, illegalConstructor, integer, outOfRange, size, u64 } from '../internal/arguments';
import { optionsOf } from '../internal/options';
import { reportElementRefused } from '../internal/bytes-refused';
import { dispose } from '../internal/disposal';
import {
  fieldLong,
  fieldNumber,
  longs,
  readAnswer,
  readLong,
  throwUnlessMoved,
  words,
} from '../internal/command';
import { describeElement, giveHolder, type Holder, putElement, storeElement } from '../internal/element';
import { Errno, explainedError, rdmaError } from '../internal/errors';
import { instance, nextInstance } from '../internal/instance';
import { byteLengthOf, firstBytes, type MemoryLike, transientBytesOf } from '../internal/memory-argument';
import { CommandFlag, CommandWord, SgeField } from '../internal/layout';
import { type Method, type SgeProperty } from '../internal/methods';
import { native } from '../internal/native';
import { construction } from '../internal/construction';
import { type AnyRegion, type RegionTable } from './region-registry';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { hex } from '../internal/words';

const { compareSwap, copyIn, copyOut, fetchAdd } = native;

/** Options of {@link Sge.copyTo}. */
export interface CopyToOptions {
  /** Offset in the element, in bytes, of the first byte to copy. Default 0. */
  offset?: number;
}

/** Options of {@link Sge.copyFrom}. */
export interface CopyFromOptions {
  /** Offset in the element, in bytes, of the first byte to write. Default 0. */
  offset?: number;
  /**
   * Write the last min(8, length) bytes after all others, in ascending order, each with a release store: a reader that polls the
   * last byte then sees all bytes. Default false.
   */
  ordered?: boolean;
}

/** Returned by {@link Sge.toJSON}. For a put element it contains only the state. */
export interface ShownSge extends Shown {
  class: 'Sge';
  /** `id` of the element's region. */
  region?: number;
  remote?: boolean;
  address?: string;
  at?: string;
  length?: number;
  /** Names of the element's rights, as returned by {@link accessNames}. */
  access?: string[];
  state: 'Held' | 'Put';
}

let describeSge: (sge: Sge) => ShownSge;

/** Returns whether a value is an {@link Sge}. Does not consult the prototype, which a program can change. */
export let isSge: (value: unknown) => value is Sge;
/** Returns the holder of an element; undefined once the element is put. */
export let holderOf: (sge: Sge) => Holder | undefined;
/** Returns the region table of the {@link Device} object that the element was acquired through. */
export let tableOf: (sge: Sge) => RegionTable;

/**
 * A scatter-gather element (`struct rvt_sge`): bytes of a region, accepted by a check of bounds and rights. Holds a reference on
 * its region until it is put. If the region is closed by force or disposed of before that, the element can still be described and
 * put, but using its bytes is refused (`RegionRevoked`).
 *
 * Created by {@link ProtectionDomain.acquire} and {@link QueuePair.acquire}. After the element is put, its properties and copies
 * throw {@link RdmaError} `EBADF`; `put`, `toString` and `toJSON` still work.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const bytes = Buffer.alloc(8);
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(bytes, { access: Access.LocalWrite });
 * const check = pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, Access.LocalWrite);
 * if (!check.ok) throw new Error(check.explain());
 * check.sge.copyFrom(Buffer.from('abc'), { offset: 4 });
 * check.sge.put();
 * console.log(bytes.toString('hex')); // 0000000061626300
 * ```
 */
export class Sge {
  #holder: Holder | undefined;
  readonly #table: RegionTable;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, holder: Holder, table: RegionTable) {
    if (token !== construction) throw illegalConstructor();
    this.#holder = holder;
    this.#table = table;
  }

  /** The element's region; undefined if another thread created it. */
  get region(): AnyRegion | undefined {
    this.#describe('Sge.region');
    return this.#table.find(fieldNumber(SgeField.Index), fieldNumber(SgeField.Region));
  }

  /**
   * Where the first byte lies: for user memory the offset in the registered memory, in bytes; for any other region the DMA
   * address.
   */
  get at(): bigint {
    return this.#long(SgeField.At, 'at');
  }

  /** Number of bytes in the segment from {@link Sge.at} on. May be more or less than {@link Sge.length}. */
  get segmentLength(): number {
    return this.#number(SgeField.Length, 'segmentLength');
  }

  /** Length of the element in bytes. */
  get length(): number {
    return this.#number(SgeField.SgeLength, 'length');
  }

  /** Index of the first byte's segment among the region's mapped segments (the kernel's `m * 256 + n`). */
  get segment(): number {
    return this.#number(SgeField.Segment, 'segment');
  }

  /** The rights that the check established, bits of {@link Access}. */
  get access(): Access {
    return this.#number(SgeField.Rights, 'access');
  }

  /** Whether a remote check accepted the element. */
  get remote(): boolean {
    return this.#number(SgeField.Remote, 'remote') !== 0;
  }

  /** Address of the first byte, as requested in the check. */
  get address(): bigint {
    return this.#long(SgeField.Request, 'address');
  }

  /** Returns a one-line description: `Sge { region 1 ... length 8 RemoteRead Held }`. Never throws. */
  toString(): string {
    return textOf('Sge', this, describeSge);
  }

  /** Returns the same description as an object for JSON; addresses are hex strings. Never throws. */
  toJSON(): ShownSge {
    return jsonOf('Sge', this, describeSge);
  }

  /**
   * Releases the reference on the region. A second put is a no-op.
   *
   * Kernel: `rvt_put_mr`.
   */
  put(): void {
    this.#put();
  }

  /** Releases the reference on the region. Same as {@link Sge.put}. */
  [dispose](): void {
    this.#put();
  }

  /**
   * Copies bytes of the element to `target`, from `offset` to the end of the element or until the target is full.
   *
   * Kernel: the copy that a send, an RDMA read or a response makes from an `rvt_sge`.
   *
   * @returns the number of bytes copied
   * @throws RdmaError `EACCES` with a reason: a remote element was not accepted for remote read, or its bytes cannot be used now.
   *   Nothing has been copied, unless another thread closed the region during a long copy
   * @throws RdmaError `EBADF`: the element has been put; `EINVAL`: the target is detached
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`); RangeError (`ERR_OUT_OF_RANGE`): `offset` is beyond the end of the element
   */
  copyTo(target: MemoryLike, options?: CopyToOptions): number {
    // Fast path: one native call. The slow path below handles everything else and reports other failures. Do not retry a
    // refusal: it is already counted.
    if (options === undefined && this.#holder !== undefined) {
      this.#store(this.#holder, 0, 0);
      copyOut(target);
      const answer = readAnswer();
      if (answer > 0) this.#refused('Sge.copyTo', answer);
      const moved = words[CommandWord.BytesMoved] ?? 0;
      if (answer === 0 && moved > 0) return moved;
    }
    const { offset: givenOffset = 0 } = optionsOf<CopyToOptions>(options, ['offset']);
    const wanted = size(givenOffset, 'options.offset');
    const bytes = transientBytesOf('Sge.copyTo', target, 'target');
    const total = this.#total('Sge.copyTo');
    const offset = integer(wanted, 'options.offset', 0, total);
    const rest = total - offset;
    // This comparison keeps the copy inside the element. Do not use Math.min, which a program can replace.
    const inside = rest < byteLengthOf(bytes) ? firstBytes(bytes, rest) : bytes;
    this.#store(this.#live('Sge.copyTo'), offset, 0);
    copyOut(inside);
    return this.#moved('Sge.copyTo');
  }

  /**
   * Copies all of `source` to the element.
   *
   * Kernel: `rvt_copy_sge`.
   *
   * @returns the number of bytes copied
   * @throws RdmaError `EACCES` with a reason: the element was not accepted for local or remote write, or its bytes cannot be used
   *   now. Nothing has been copied, unless another thread closed the region during a long copy
   * @throws RdmaError `EBADF`: the element has been put; `EINVAL`: the source is detached
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`); RangeError (`ERR_OUT_OF_RANGE`): the source is longer than the element from
   *   `offset` on; the message says by how many bytes
   */
  copyFrom(source: MemoryLike, options?: CopyFromOptions): number {
    // Fast path and slow path: see copyTo.
    if (options === undefined && this.#holder !== undefined) {
      this.#store(this.#holder, 0, 0);
      copyIn(source);
      const answer = readAnswer();
      if (answer > 0) this.#refused('Sge.copyFrom', answer);
      const moved = words[CommandWord.BytesMoved] ?? 0;
      if (answer === 0 && moved > 0) return moved;
    }
    const { offset: givenOffset = 0, ordered: givenOrdered = false } = optionsOf<CopyFromOptions>(options, [
      'offset',
      'ordered',
    ]);
    const wanted = size(givenOffset, 'options.offset');
    const ordered = boolean(givenOrdered, 'options.ordered');
    const bytes = transientBytesOf('Sge.copyFrom', source, 'source');
    const total = this.#total('Sge.copyFrom');
    const offset = integer(wanted, 'options.offset', 0, total);
    const rest = total - offset;
    const length = byteLengthOf(bytes);
    if (length > rest)
      throw outOfRange('source.byteLength', `<= ${rest}; the value is ${length - rest} too large`, length);
    this.#store(this.#live('Sge.copyFrom'), offset, ordered ? CommandFlag.Ordered : 0);
    copyIn(bytes);
    return this.#moved('Sge.copyFrom');
  }

  /**
   * Adds to the 8 bytes of the element atomically, modulo 2^64. The operation is also atomic with respect to JavaScript's
   * `Atomics` on the same memory.
   *
   * @param add - 0..2^64-1
   * @returns the previous value
   * @throws RdmaError `EACCES` with a reason: the element was not accepted for remote atomics, or its bytes cannot be used now
   * @throws RdmaError `EINVAL`: the element does not have 8 bytes, or its address or memory is not aligned to 8 bytes; `EBADF`:
   *   the element has been put
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  fetchAdd(add: bigint | number): bigint {
    const operand = u64(add, 'add');
    storeElement(this.#live('Sge.fetchAdd'));
    longs[CommandWord.Operand / 2] = operand;
    fetchAdd();
    this.#done('Sge.fetchAdd');
    return readLong(CommandWord.Result);
  }

  /**
   * Compares the 8 bytes of the element with `compare` and, if equal, replaces them with `swap`, atomically.
   *
   * @param compare - 0..2^64-1
   * @param swap - 0..2^64-1
   * @returns the previous value, which was replaced if it equals `compare`
   * @throws TypeError, RangeError, RdmaError: see {@link Sge.fetchAdd}
   */
  compareSwap(compare: bigint | number, swap: bigint | number): bigint {
    const expected = u64(compare, 'compare');
    const operand = u64(swap, 'swap');
    storeElement(this.#live('Sge.compareSwap'));
    longs[CommandWord.Compare / 2] = expected;
    longs[CommandWord.Operand / 2] = operand;
    compareSwap();
    this.#done('Sge.compareSwap');
    return readLong(CommandWord.Result);
  }

  #put(): void {
    const holder = this.#holder;
    if (holder === undefined) return;
    // Throws only at the stack limit. In that case nothing has happened, and put can be called again.
    const status = putElement(holder);
    this.#holder = undefined; // clear it before the holder is reused for another element
    try {
      giveHolder(holder);
    } catch {
      // The stack limit was reached. The holder is left to the garbage collector.
    }
    // EBADF means that a walk has already put the element, which is not an error.
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('Sge.put', status);
  }

  #live(method: Method): Holder {
    if (this.#holder === undefined) throw explainedError(method, 'EBADF', 'ElementPut');
    return this.#holder;
  }

  #describe(method: Method): void {
    const status = describeElement(this.#live(method));
    if (status < 0) throw rdmaError(method, status);
  }

  #number(field: SgeField, property: SgeProperty): number {
    this.#describe(`Sge.${property}`);
    return fieldNumber(field);
  }

  #long(field: SgeField, property: SgeProperty): bigint {
    this.#describe(`Sge.${property}`);
    return fieldLong(field);
  }

  #total(method: Method): number {
    this.#describe(method);
    return fieldNumber(SgeField.SgeLength);
  }

  /** Stores the element, the offset of the first byte, and the flags of a copy in the command block. */
  #store(holder: Holder, offset: number, flags: number): void {
    storeElement(holder);
    words[CommandWord.Address] = offset;
    words[CommandWord.Flags] = flags;
  }

  #moved(method: Method): number {
    this.#done(method);
    return words[CommandWord.BytesMoved] ?? 0;
  }

  #done(method: Method): void {
    const answer = readAnswer();
    if (answer !== 0) this.#refused(method, answer);
  }

  #refused(method: Method, answer: number): void {
    try {
      // Call this before the report: it asks the native module for the cause of the last failure.
      throwUnlessMoved(method, answer);
    } finally {
      if (this.#holder !== undefined)
        reportElementRefused(method, answer, this.#holder, this.#table.registry.device);
    }
  }

  static {
    isSge = (value): value is Sge => typeof value === 'object' && value !== null && #holder in value;
    holderOf = (sge) => sge.#holder;
    tableOf = (sge) => sge.#table;
    describeSge = (sge) => {
      if (sge.#holder === undefined || describeElement(sge.#holder) < 0)
        return { class: 'Sge', state: 'Put' };
      return {
        class: 'Sge',
        region: fieldNumber(SgeField.Region),
        remote: fieldNumber(SgeField.Remote) !== 0,
        address: hex(fieldLong(SgeField.Request)),
        at: hex(fieldLong(SgeField.At)),
        length: fieldNumber(SgeField.SgeLength),
        access: namesOfRights(fieldNumber(SgeField.Rights)),
        state: 'Held',
      };
    };
    showAs(Sge, 'Sge', (sge) => textOf('Sge', sge, describeSge));
  }
}
