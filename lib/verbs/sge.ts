import { type Access } from './access';
import {
  boolean,
  illegalConstructor,
  integer,
  optionsOf,
  outOfRange,
  size,
  u64,
} from '../internal/arguments';
import { dispose } from '../internal/disposal';
import { bytesMovedOf, Errno, rdmaError, throwOnError } from '../internal/errors';
import { byteLengthOf, firstBytes, type MemoryLike, transientBytesOf } from '../internal/memory-argument';
import { REFUSED, SgeField } from '../internal/layout';
import { type NativeSge } from '../internal/native';
import { construction } from '../internal/construction';
import { type AnyRegion, type RegionRegistry } from './region-registry';

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

/** What {@link NativeSge.describe} fills; read at once, before anything else runs. */
const fields = new BigUint64Array(SgeField.Count);

/** Bytes moved, or a refusal, which must not be asked for again: it has been counted. */
const isAnswer = (moved: number): boolean => moved > 0 || moved < REFUSED;

/** Whether a value is an element, whatever its prototype says. */
export let isSge: (value: unknown) => value is Sge;
/** The native object of an element. */
export let nativeSge: (sge: Sge) => NativeSge;
/** Tells the device of an element. */
export let registryOfSge: (sge: Sge) => RegionRegistry;

/**
 * A scatter-gather element that a check has accepted (`struct rvt_sge`): bytes of a region, with bounds and rights already
 * proven. It holds a reference on its region until it is put.
 *
 * Made by {@link ProtectionDomain.acquire} and {@link QueuePair.acquire}. Everything but `put` throws {@link RdmaError} `EBADF`
 * once it is put.
 */
export class Sge {
  readonly #native: NativeSge;
  readonly #registry: RegionRegistry;

  /** @internal */
  constructor(token: typeof construction, native: NativeSge, registry: RegionRegistry) {
    if (token !== construction) throw illegalConstructor();
    this.#native = native;
    this.#registry = registry;
  }

  /** The region it refers to; undefined if that object was garbage-collected (the region itself lives on). */
  get region(): AnyRegion | undefined {
    return this.#registry.find(Number(this.#field(SgeField.Region)));
  }

  /**
   * Where its first byte lies: for user memory the byte of the registered memory, for every other region the DMA address.
   */
  get at(): bigint {
    return this.#field(SgeField.At);
  }

  /** Bytes left in the segment from {@link Sge.at} on: may be more or less than {@link Sge.length}. */
  get segmentLength(): number {
    return Number(this.#field(SgeField.Length));
  }

  /** Bytes of the whole element. */
  get length(): number {
    return Number(this.#field(SgeField.SgeLength));
  }

  /** Index of the segment among the region's mapped segments (the kernel's `m * 256 + n`). */
  get segment(): number {
    return Number(this.#field(SgeField.Segment));
  }

  /** The rights it was proven with, bits of {@link Access}. */
  get access(): Access {
    return Number(this.#field(SgeField.Rights));
  }

  /** Whether a remote check has accepted it. */
  get remote(): boolean {
    return this.#field(SgeField.Remote) !== 0n;
  }

  /** The address that was asked for. */
  get address(): bigint {
    return this.#field(SgeField.Request);
  }

  /** Gives the reference back. A second put is a no-op. Kernel: `rvt_put_mr`. */
  put(): void {
    const status = this.#native.put();
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('put_sge', status);
  }

  /** As {@link Sge.put}. */
  [dispose](): void {
    this.#native.put();
  }

  /**
   * Copies bytes of the element into `target`: as many as there are from `offset` on, or as the target holds.
   *
   * Kernel: what a send, an RDMA read or a response does with `rvt_sge`.
   *
   * @returns the number of bytes copied
   * @throws RdmaError `EACCES` with a reason: a remote element that was not proven for remote read, or bytes that cannot be
   *   used now; nothing has been copied
   * @throws RdmaError `EBADF`: put; `EINVAL`: the target is detached
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`); RangeError (`ERR_OUT_OF_RANGE`): `offset` is behind the element's end
   */
  copyTo(target: MemoryLike, options?: CopyToOptions): number {
    // The common case in one crossing. What it cannot do, and every other failure, is for the long way round to tell.
    if (options === undefined) {
      const moved = this.#native.copyTo(target);
      if (moved !== undefined && isAnswer(moved)) return bytesMovedOf('copy_sge_out', moved);
    }
    const { offset: givenOffset = 0 } = optionsOf<CopyToOptions>(options);
    const wanted = size(givenOffset, 'options.offset');
    const bytes = transientBytesOf('copy_sge_out', target, 'target');
    const total = this.#total('copy_sge_out');
    const offset = integer(wanted, 'options.offset', 0, total);
    const rest = total - offset;
    // Compared, and not by Math.min: this is what keeps the copy inside the target.
    const inside = rest < byteLengthOf(bytes) ? firstBytes(bytes, rest) : bytes;
    return bytesMovedOf('copy_sge_out', this.#native.copyTo(inside, offset) ?? -Errno.EINVAL);
  }

  /**
   * Copies all of `source` into the element.
   *
   * Kernel: `rvt_copy_sge`.
   *
   * @returns the number of bytes copied
   * @throws RdmaError `EACCES` with a reason: the element was not proven for local or remote write, or its bytes cannot be
   *   used now; nothing has been copied
   * @throws RdmaError `EBADF`: put; `EINVAL`: the source is detached
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`); RangeError (`ERR_OUT_OF_RANGE`): more bytes than the element has from `offset` on
   */
  copyFrom(source: MemoryLike, options?: CopyFromOptions): number {
    // As in copyTo.
    if (options === undefined) {
      const moved = this.#native.copyFrom(source);
      if (moved !== undefined && isAnswer(moved)) return bytesMovedOf('copy_sge', moved);
    }
    const { offset: givenOffset = 0, ordered: givenOrdered = false } = optionsOf<CopyFromOptions>(options);
    const wanted = size(givenOffset, 'options.offset');
    const ordered = boolean(givenOrdered, 'options.ordered');
    const bytes = transientBytesOf('copy_sge', source, 'source');
    const total = this.#total('copy_sge');
    const offset = integer(wanted, 'options.offset', 0, total);
    const length = byteLengthOf(bytes);
    if (length > total - offset) throw outOfRange('source.byteLength', `<= ${total - offset}`, length);
    return bytesMovedOf('copy_sge', this.#native.copyFrom(bytes, offset, ordered) ?? -Errno.EINVAL);
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
    const result = this.#native.fetchAdd(u64(add, 'add'));
    return typeof result === 'bigint' ? result : BigInt(bytesMovedOf('fetch_add', result));
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
    const result = this.#native.compareSwap(u64(compare, 'compare'), u64(swap, 'swap'));
    return typeof result === 'bigint' ? result : BigInt(bytesMovedOf('compare_swap', result));
  }

  #field(field: SgeField): bigint {
    throwOnError('query_sge', this.#native.describe(fields));
    return fields[field] ?? 0n;
  }

  #total(operation: string): number {
    throwOnError(operation, this.#native.describe(fields));
    return Number(fields[SgeField.SgeLength]);
  }

  static {
    isSge = (value): value is Sge => typeof value === 'object' && value !== null && #native in value;
    nativeSge = (sge) => sge.#native;
    registryOfSge = (sge) => sge.#registry;
  }
}
