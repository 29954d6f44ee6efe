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
  /** Byte of the element to begin at. Default 0. */
  offset?: number;
}

/** Options of {@link Sge.copyFrom}. */
export interface CopyFromOptions {
  /** Byte of the element to begin at. Default 0. */
  offset?: number;
  /**
   * Write the last min(8, length) bytes after all others, one by one, ascending, each as a release store: who polls the last
   * byte sees the whole. Default false.
   */
  ordered?: boolean;
}

/** What {@link Sge.toJSON} answers. Of an element that is put there is its state alone. */
export interface ShownSge extends Shown {
  class: 'Sge';
  /** `id` of its region. */
  region?: number;
  remote?: boolean;
  address?: string;
  at?: string;
  length?: number;
  /** Names of its rights, as {@link accessNames} gives them. */
  access?: string[];
  state: 'Held' | 'Put';
}

let describeSge: (sge: Sge) => ShownSge;

/** Whether a value is an {@link Sge}; its prototype is not consulted. */
export let isSge: (value: unknown) => value is Sge;
/** Returns the holder of an element; undefined once the element is put. */
export let holderOf: (sge: Sge) => Holder | undefined;
/** Returns the region table of the {@link Device} object that the element was acquired through. */
export let tableOf: (sge: Sge) => RegionTable;

/**
 * A scatter-gather element that a check has accepted (`struct rvt_sge`): bytes of a region, with bounds and rights already
 * proven. It holds a reference on its region until it is put. If the region is disposed of, or ended by force, before that, the element
 * goes dead: it can still be described and put, and using its bytes is refused (`RegionRevoked`).
 *
 * Made by {@link ProtectionDomain.acquire} and {@link QueuePair.acquire}. Everything but `put` throws {@link RdmaError} `EBADF`
 * once it is put.
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

  /** The region it refers to; undefined if another thread has made it. */
  get region(): AnyRegion | undefined {
    this.#describe('Sge.region');
    return this.#table.find(fieldNumber(SgeField.Index), fieldNumber(SgeField.Region));
  }

  /**
   * Where its first byte lies: for user memory the byte of the registered memory, for every other region the DMA address.
   */
  get at(): bigint {
    return this.#long(SgeField.At, 'at');
  }

  /** Bytes left in the segment from {@link Sge.at} on: may be more or less than {@link Sge.length}. */
  get segmentLength(): number {
    return this.#number(SgeField.Length, 'segmentLength');
  }

  /** Bytes of the whole element. */
  get length(): number {
    return this.#number(SgeField.SgeLength, 'length');
  }

  /** Index of the segment among the region's mapped segments (the kernel's `m * 256 + n`). */
  get segment(): number {
    return this.#number(SgeField.Segment, 'segment');
  }

  /** The rights it was proven with, bits of {@link Access}. */
  get access(): Access {
    return this.#number(SgeField.Rights, 'access');
  }

  /** Whether a remote check has accepted it. */
  get remote(): boolean {
    return this.#number(SgeField.Remote, 'remote') !== 0;
  }

  /** The address that was asked for. */
  get address(): bigint {
    return this.#long(SgeField.Request, 'address');
  }

  /** What it is, in one line: `Sge { region 1 ... length 8 RemoteRead Held }`. Never throws. */
  toString(): string {
    return textOf('Sge', this, describeSge);
  }

  /** The same as an object for JSON: addresses are hex strings. Never throws. */
  toJSON(): ShownSge {
    return jsonOf('Sge', this, describeSge);
  }

  /** Gives the reference back. A second put is a no-op. Kernel: `rvt_put_mr`. */
  put(): void {
    this.#put();
  }

  /** As {@link Sge.put}. */
  [dispose](): void {
    this.#put();
  }

  /**
   * Copies bytes of the element into `target`: as many as there are from `offset` on, or as the target holds.
   *
   * Kernel: what a send, an RDMA read or a response does with `rvt_sge`.
   *
   * @returns the number of bytes copied
   * @throws RdmaError `EACCES` with a reason: a remote element that was not proven for remote read, or bytes that cannot be
   *   used now. Nothing has been copied, unless another thread ended the region during a long copy
   * @throws RdmaError `EBADF`: put; `EINVAL`: the target is detached
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`); RangeError (`ERR_OUT_OF_RANGE`): `offset` is behind the element's end
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
   * Copies all of `source` into the element.
   *
   * Kernel: `rvt_copy_sge`.
   *
   * @returns the number of bytes copied
   * @throws RdmaError `EACCES` with a reason: the element was not proven for local or remote write, or its bytes cannot be
   *   used now. Nothing has been copied, unless another thread ended the region during a long copy
   * @throws RdmaError `EBADF`: put; `EINVAL`: the source is detached
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`); RangeError (`ERR_OUT_OF_RANGE`): more bytes than the element has from `offset` on;
   *   the message says by how many
   */
  copyFrom(source: MemoryLike, options?: CopyFromOptions): number {
    // As in copyTo.
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
   * Adds to the 8 bytes of the element, atomically, modulo 2^64; in step with JavaScript's `Atomics` on the same memory.
   *
   * @param add - 0..2^64-1
   * @returns the value before
   * @throws RdmaError `EACCES` with a reason: not proven for remote atomics, or its bytes cannot be used now
   * @throws RdmaError `EINVAL`: the element does not have 8 bytes, or its address or memory is not aligned to 8; `EBADF`: put
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
   * Stores `swap` in the 8 bytes of the element if they are `compare`, atomically.
   *
   * @param compare - 0..2^64-1
   * @param swap - 0..2^64-1
   * @returns the value before; it has been replaced if it is equal to `compare`
   * @throws as {@link Sge.fetchAdd}
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
    // Throws only if the stack is at its end. Then nothing has happened, and put can be called again.
    const status = putElement(holder);
    this.#holder = undefined; // before the holder is given to another element
    try {
      giveHolder(holder);
    } catch {
      // Then the holder is collected.
    }
    // EBADF: a walk has already put the element. That is no error.
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

  /** Stores which element a copy uses, the byte to begin at, and the flags. */
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
      throwUnlessMoved(method, answer); // first: it asks the native module why
    } finally {
      if (this.#holder !== undefined) reportElementRefused(method, answer, this.#holder);
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
