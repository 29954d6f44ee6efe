import { type Access, readRegionAccess } from './access';
import { illegalConstructor, invalidType, propertiesOf, u32, u64 } from '../internal/arguments';
import { Checker } from './checker';
import { acquireAccess, checkAccess, type CheckedPlace, type RemoteCheck } from './check-result';
import { dispose } from '../internal/disposal';
import { Errno, rdmaError, throwOnError } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { isMemoryRegion, type MemoryRegion } from './memory-region';
import { type NativeQueuePair } from '../internal/native';
import { construction } from '../internal/construction';
import { storeAccess } from '../internal/element';
import { storeRegion } from '../internal/region-name';
import { nameOf } from './region';
import { type RegionTable } from './region-registry';
import { CheckBatch, type CheckBatchOptions } from './check-batch';

/** What a peer asks for. */
export interface RemoteRequest {
  /** Remote address of the first byte. */
  vaddr: bigint | number;
  /** Bytes, 0..2^32-1. */
  length: number;
  /** The region's key. */
  rkey: Rkey;
}

/** Options of {@link QueuePair.fastRegMr}. */
export interface FastRegMrOptions {
  /** The new key: any low byte, the upper 24 bits as they are; see {@link fastRegKey}. */
  key: Lkey | Rkey;
  /** The new rights. */
  access: Access;
  /** The new remote address. Default: as {@link MemoryRegion.mapSg} left it. */
  iova?: bigint | number;
}

/**
 * A queue pair, as far as it has to do with memory: the protection domain in whose name a peer's requests are judged
 * (`struct rvt_qp`).
 *
 * Made by {@link ProtectionDomain.createQp}.
 */
export class QueuePair {
  readonly #native: NativeQueuePair;
  readonly #table: RegionTable;
  readonly #id: number;
  /** Identifies the queue pair in the command block. */
  readonly #number: number;

  /** @internal */
  constructor(token: typeof construction, native: NativeQueuePair, table: RegionTable) {
    if (token !== construction) throw illegalConstructor();
    this.#native = native;
    this.#table = table;
    this.#id = throwOnError('ProtectionDomain.createQp', native.serial()); // another thread may have ended it
    this.#number = native.number();
  }

  /** Unique on the device, never given twice; see {@link Device.resources}. */
  get id(): number {
    return this.#id;
  }

  /**
   * Judges a peer's access, by remote address. It passes with any one bit of `access`; with 0 never.
   *
   * Kernel: `rvt_rkey_ok`.
   *
   * @param request - what the peer asks for
   * @param access - bits of {@link Access}
   * @returns the accepted element, to be put; or the refusal and its reason
   * @throws RdmaError `EBADF`: the queue pair is gone; `ENOMEM`: the region is held 2^32-1 times
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  acquire(request: RemoteRequest, access: Access): RemoteCheck {
    storeRequest(this.#number, request, access);
    return acquireAccess('QueuePair.acquire', this.#table, undefined) as RemoteCheck; // nothing to coalesce with
  }

  /**
   * The verdict of {@link QueuePair.acquire} without a reference: nothing to put, and nothing that keeps the region.
   *
   * @returns where the bytes are, or the refusal and its reason
   * @throws as {@link QueuePair.acquire}
   */
  check(request: RemoteRequest, access: Access): CheckedPlace {
    storeRequest(this.#number, request, access);
    return checkAccess('QueuePair.check');
  }

  /**
   * Makes a batch of remote checks: many in one call.
   *
   * @param capacity - elements, 1..2^24
   * @throws RdmaError `EBADF`: the queue pair is gone; TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  rkeyBatch(capacity: number, options: CheckBatchOptions = {}): CheckBatch {
    return new CheckBatch(construction, this.#native, this.#table, capacity, options, 'QueuePair.rkeyBatch');
  }

  /**
   * Makes a checker: one remote check per call, without allocation. See {@link Checker}.
   *
   * @throws RdmaError `EBADF`: the queue pair is gone
   */
  checker(): Checker {
    return new Checker(construction, this.#native, 'QueuePair.checker');
  }

  /**
   * Gives a region of {@link ProtectionDomain.allocMr} a new key, new rights and its remote address, and makes it valid. Its
   * local address stays the one of {@link MemoryRegion.mapSg}.
   *
   * Kernel: `rvt_fast_reg_mr`.
   *
   * @throws RdmaError `EACCES`: the region is in another protection domain (tested first of what the port tests)
   * @throws RdmaError `EINVAL`: another kind of region, or half-dead; the key's upper 24 bits differ; the mapping would pass
   *   2^64; rights that cannot be given; of another device. A given `iova` is stored all the same, unless it is for the rights
   * @throws RdmaError `EBADF`: the queue pair or the region is gone
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  fastRegMr(region: MemoryRegion, options: FastRegMrOptions): void {
    const self = this.#native;
    if (!isMemoryRegion(region)) throw invalidType('region', 'an instance of MemoryRegion', region);
    const {
      key: givenKey,
      access: givenAccess,
      iova: givenIova,
    } = propertiesOf<FastRegMrOptions>(options, 'options');
    const key = u32(givenKey, 'options.key');
    const iova = givenIova === undefined ? undefined : u64(givenIova, 'options.iova');
    const access = readRegionAccess('QueuePair.fastRegMr', givenAccess, 'options.access');
    storeRegion(nameOf(region));
    throwOnError('QueuePair.fastRegMr', self.fastRegMr(key, access, iova));
  }

  /**
   * Invalidates a key: checks refuse it until the region is fast-registered again. Works on every kind of region that has a
   * key, and again and again.
   *
   * Kernel: `rvt_invalidate_rkey`.
   *
   * @throws RdmaError `EINVAL`: key 0; no region answers to exactly this key; it is in another protection domain
   * @throws RdmaError `EBADF`: the queue pair is gone
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  invalidateRkey(rkey: Rkey): void {
    throwOnError('QueuePair.invalidateRkey', this.#native.invalidateRkey(u32(rkey, 'rkey')));
  }

  /**
   * Ends the queue pair. Elements that it has accepted stay good. A second call is a no-op.
   *
   * Kernel: `rvt_destroy_qp`.
   */
  destroy(): void {
    const status = this.#native.destroy();
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('QueuePair.destroy', status);
  }

  /** As {@link QueuePair.destroy}. */
  [dispose](): void {
    this.#native.destroy();
  }
}

function storeRequest(number: number, request: unknown, access: unknown): void {
  // All properties before the first store: a getter may check something itself.
  const { vaddr, length, rkey } = propertiesOf<RemoteRequest>(request, 'request');
  storeAccess(number, vaddr, 'request.vaddr', length, 'request.length', rkey, 'request.rkey', access);
}
