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

/** The address range and key of a peer's request. */
export interface RemoteRequest {
  /** Remote address of the first byte of the range. */
  vaddr: bigint | number;
  /** Length of the range in bytes, 0..2^32-1. */
  length: number;
  /** The rkey of the region that contains the range. */
  rkey: Rkey;
}

/** Options of {@link QueuePair.fastRegMr}. */
export interface FastRegMrOptions {
  /** The new key: the low byte may change, the upper 24 bits must not. See {@link fastRegKey}. */
  key: Lkey | Rkey;
  /** The new access rights of the region, bits of {@link Access}. */
  access: Access;
  /** The new remote address of the first byte. Default: the address that {@link MemoryRegion.mapSg} set. */
  iova?: bigint | number;
}

/** Returned by {@link QueuePair.toJSON}. */
export interface ShownQueuePair extends Shown {
  class: 'QueuePair';
  id: number;
  state: 'Open' | 'Closed';
}

let describeQueuePair: (object: QueuePair) => ShownQueuePair;

/**
 * A queue pair (`struct rvt_qp`), reduced to memory protection: checks a peer's requests against the queue pair's protection
 * domain.
 *
 * Created by {@link ProtectionDomain.createQp}.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(Buffer.alloc(4096), { access: Access.RemoteRead });
 * const qp = pd.createQp();
 * const request = { vaddr: mr.iova, length: 64, rkey: mr.rkey };
 * console.log(qp.check(request, Access.RemoteRead).ok); // true
 * const check = qp.check(request, Access.RemoteWrite);
 * console.log(check.ok || check.reason); // AccessDenied
 * ```
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
    const id = throwOnError('ProtectionDomain.createQp', native.serial()); // another thread may have closed the domain
    this.#asker = { native, number: native.number(), id, remote: true, table };
    markUncloneable(this);
  }

  /** Unique on the device and never reused; see {@link Device.resources}. */
  get id(): number {
    return this.#asker.id;
  }

  /**
   * Checks a peer's access, by remote address, and takes a reference on the region. After the queue pair, its domain or its
   * device is closed, every access is refused with `'Closed'`.
   *
   * Kernel: `rvt_rkey_ok`, which accepts a request if the region grants any bit of the mask. This method requires a mask of
   * exactly one remote right: a mask that includes LocalWrite would give the peer access to memory that only this program may
   * write.
   *
   * An empty request (length 0) is checked like any other: it needs a valid key and an address inside the region or at its end.
   * The kernel's callers skip empty requests before the check; a program that serves peers should skip them too.
   *
   * @param request - the address range and key from the peer's request
   * @param access - the right that the peer's operation needs: exactly one of RemoteRead, RemoteWrite and RemoteAtomic
   * @returns the new element, which the caller must put; or the refusal with its reason
   * @throws RdmaError `ENOMEM`: the region is held 2^32-1 times
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  acquire(request: RemoteRequest, access: Access): RemoteCheck {
    // Read all properties before the first store: a getter may run a check and overwrite the block.
    const { vaddr, length, rkey } = propertiesOf<RemoteRequest>(request, 'request');
    const asker = this.#asker;
    storeRequest(asker, vaddr, length, rkey, access);
    // storeRequest has validated the types, so the casts are safe. A remote check is never coalesced.
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
   * Checks a peer's access like {@link QueuePair.acquire}, but takes no reference: there is nothing to put, and the region can be
   * deregistered at any time.
   *
   * @param request - the address range and key from the peer's request
   * @param access - the right that the peer's operation needs: exactly one of RemoteRead, RemoteWrite and RemoteAtomic
   * @returns where the bytes lie, or the refusal with its reason
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  check(request: RemoteRequest, access: Access): CheckedPlace {
    const { vaddr, length, rkey } = propertiesOf<RemoteRequest>(request, 'request');
    const asker = this.#asker;
    storeRequest(asker, vaddr, length, rkey, access);
    return checkAccess(asker, vaddr as bigint, length as number, rkey as number, access);
  }

  /**
   * Creates a batch, which performs many remote checks in one call.
   *
   * @param capacity - number of elements, 1..2^24
   * @returns the new batch
   * @throws RdmaError `EBADF`: the queue pair is closed; TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  rkeyBatch(capacity: number, options: CheckBatchOptions = {}): CheckBatch {
    return new CheckBatch(construction, this.#asker, capacity, options);
  }

  /**
   * Creates a checker, which performs one remote check per call without allocating. See {@link Checker}.
   *
   * @returns the new checker
   * @throws RdmaError `EBADF`: the queue pair is closed
   */
  checker(): Checker {
    return new Checker(construction, this.#asker);
  }

  /**
   * Gives a region of {@link ProtectionDomain.allocMr} a new key, new rights and optionally a new remote address, and makes it
   * valid. The local address set by {@link MemoryRegion.mapSg} does not change.
   *
   * Even if the call fails with `EACCES` or `EINVAL`, a given `iova` is stored, unless the rights are invalid or the region is on
   * another device.
   *
   * Kernel: `rvt_fast_reg_mr`.
   *
   * @throws RdmaError `EACCES`: the region is in another protection domain
   * @throws RdmaError `EINVAL`: the rights are invalid; the region is on another device, is not from `allocMr`, or is half-dead;
   *   the upper 24 bits of the key differ; the mapping would end beyond 2^64
   * @throws RdmaError `EBADF`: the queue pair or the region is closed
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
   * Invalidates a key: checks refuse the key until {@link QueuePair.fastRegMr} makes the region valid again. Works on every kind
   * of region that has a key. Invalidating a key twice is not an error.
   *
   * Kernel: `rvt_invalidate_rkey`.
   *
   * @param rkey - the current key of a region in this queue pair's domain
   * @throws RdmaError `EINVAL`: key 0; no region has exactly this key; the region is in another protection domain
   * @throws RdmaError `EBADF`: the queue pair is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  invalidateRkey(rkey: Rkey): void {
    throwOnError('QueuePair.invalidateRkey', this.#native.invalidateRkey(u32(rkey, 'rkey')));
  }

  /** Returns a one-line description of the queue pair. Never throws. */
  toString(): string {
    return textOf('QueuePair', this, describeQueuePair);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownQueuePair {
    return jsonOf('QueuePair', this, describeQueuePair);
  }

  /**
   * Destroys the queue pair. Elements that it accepted stay usable. A second call is a no-op.
   *
   * Kernel: `rvt_destroy_qp`.
   */
  destroy(): void {
    const status = this.#native.destroy();
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('QueuePair.destroy', status);
  }

  /** Destroys the queue pair. Same as {@link QueuePair.destroy}. */
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
