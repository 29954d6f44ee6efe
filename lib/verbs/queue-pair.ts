import { type Access, readRegionAccess } from './access';
import { illegalConstructor, invalidType, propertiesOf, u32, u64 } from '../internal/arguments';
import { requiredOptionsOf } from '../internal/options';
import { type Asker } from './asker';
import { Checker } from './checker';
import { acquireAccess, checkAccess, type CheckedPlace, type RemoteCheck } from './check-result';
import { dispose } from '../internal/disposal';
import { Errno, rdmaError, throwOnError } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { isMemoryRegion, type MemoryRegion } from './memory-region';
import { type NativeQueuePair } from '../internal/native';
import { construction } from '../internal/construction';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { storeAccess } from '../internal/element';
import { storeRegion } from '../internal/region-name';
import { nameOf } from './region';
import { isRemoteRight, remoteRightError } from './remote-right';
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

/** What {@link QueuePair.toJSON} answers. */
export interface ShownQueuePair extends Shown {
  class: 'QueuePair';
  id: number;
  state: 'Open' | 'Closed';
}

let describeQueuePair: (object: QueuePair) => ShownQueuePair;

/**
 * A queue pair, as far as it has to do with memory: the protection domain in whose name a peer's requests are judged
 * (`struct rvt_qp`).
 *
 * Made by {@link ProtectionDomain.createQp}.
 */
export class QueuePair {
  readonly #native: NativeQueuePair;
  readonly #asker: Asker;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, native: NativeQueuePair, table: RegionTable) {
    if (token !== construction) throw illegalConstructor();
    this.#native = native;
    const id = throwOnError('ProtectionDomain.createQp', native.serial()); // another thread may have ended it
    this.#asker = { native, number: native.number(), id, remote: true, table };
    markUncloneable(this);
  }

  /** Unique on the device, never given twice; see {@link Device.resources}. */
  get id(): number {
    return this.#asker.id;
  }

  /**
   * Judges a peer's access, by remote address. Once the queue pair is closed (or its domain or device), everything is refused with
   * `'Closed'`.
   *
   * Kernel: `rvt_rkey_ok`, which passes if any bit of its mask is granted. Here the mask is one bit: with several, among them
   * LocalWrite, a peer would be let into memory that only this program may write.
   *
   * An empty request is judged like any other one, and needs a live key and an address inside the region or at its end. The kernel's
   * callers do not ask for length 0 at all, and a program that answers peers should skip it, too.
   *
   * @param request - what the peer asks for
   * @param access - what the peer's operation wants: exactly one of RemoteRead, RemoteWrite and RemoteAtomic
   * @returns the accepted element, to be put; or the refusal and its reason
   * @throws RdmaError `ENOMEM`: the region is held 2^32-1 times
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  acquire(request: RemoteRequest, access: Access): RemoteCheck {
    // All properties before the first store: a getter may check something itself.
    const { vaddr, length, rkey } = propertiesOf<RemoteRequest>(request, 'request');
    const asker = this.#asker;
    storeRequest(asker, vaddr, length, rkey, access);
    // Stored: so they are what their types say. There is nothing to coalesce with.
    return acquireAccess(
      asker,
      vaddr as bigint,
      length as number,
      rkey as number,
      access,
      undefined,
    ) as RemoteCheck;
  }

  /**
   * The verdict of {@link QueuePair.acquire} without a reference: nothing to put, and nothing that keeps the region.
   *
   * @returns where the bytes are, or the refusal and its reason
   * @throws as {@link QueuePair.acquire}
   */
  check(request: RemoteRequest, access: Access): CheckedPlace {
    const { vaddr, length, rkey } = propertiesOf<RemoteRequest>(request, 'request');
    const asker = this.#asker;
    storeRequest(asker, vaddr, length, rkey, access);
    return checkAccess(asker, vaddr as bigint, length as number, rkey as number, access);
  }

  /**
   * Makes a batch of remote checks: many in one call.
   *
   * @param capacity - elements, 1..2^24
   * @throws RdmaError `EBADF`: the queue pair is gone; TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  rkeyBatch(capacity: number, options: CheckBatchOptions = {}): CheckBatch {
    return new CheckBatch(construction, this.#asker, capacity, options);
  }

  /**
   * Makes a checker: one remote check per call, without allocation. See {@link Checker}.
   *
   * @throws RdmaError `EBADF`: the queue pair is gone
   */
  checker(): Checker {
    return new Checker(construction, this.#asker);
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
    } = requiredOptionsOf<FastRegMrOptions>(options, ['key', 'access', 'iova']);
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

  /** What it is, in one line. Never throws. */
  toString(): string {
    return textOf('QueuePair', this, describeQueuePair);
  }

  /** The same as an object for JSON. Never throws. */
  toJSON(): ShownQueuePair {
    return jsonOf('QueuePair', this, describeQueuePair);
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

  static {
    describeQueuePair = (qp) => ({
      class: 'QueuePair',
      id: qp.#asker.id,
      state: qp.#native.serial() < 0 ? 'Closed' : 'Open',
    });
    showAs(QueuePair, 'QueuePair', (object) => textOf('QueuePair', object, describeQueuePair));
  }
}

function storeRequest(asker: Asker, vaddr: unknown, length: unknown, rkey: unknown, access: unknown): void {
  if (!isRemoteRight(access)) throw remoteRightError(access);
  storeAccess(asker.number, vaddr, 'request.vaddr', length, 'request.length', rkey, 'request.rkey', access);
}
