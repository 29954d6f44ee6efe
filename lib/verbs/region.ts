import { type Access } from './access';
import { abortSignal } from '../internal/abort-signal';
import { namesOfRights } from '../internal/right-names';
import { advertise, type AdvertiseOptions, type Advertisement, type LeaseOptions } from './advertisement';
import { type Lease } from './lease';
import { boolean, illegalConstructor, u32 } from '../internal/arguments';
import { optionsOf } from '../internal/options';
import { construction } from '../internal/construction';
import { type RegionCounters } from './counters';
import { asyncDispose, dispose } from '../internal/disposal';
import { fieldLong, fieldNumber } from '../internal/command';
import { Errno, rdmaError } from '../internal/errors';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { type Lkey, type Rkey } from './keys';
import { RegionField, ReleaseMode } from '../internal/layout';
import { type Method, type RegionClass, type RegionProperty } from '../internal/methods';
import { countRegion, queryRegion, type RegionName, releaseRegion } from '../internal/region-name';
import { liveState, regionKindName, type RegionKindName } from '../internal/region-kind';
import { type RegionTable } from './region-registry';
import { DEFAULT_TIMEOUT_MS, untilReleased } from './release-wait';
import { jsonOf, type Shown, textOf } from '../internal/show';
import { hex } from '../internal/words';

/** Options of {@link MemoryRegion.dereg} and {@link FastMemoryRegion.dealloc}. */
export interface DeregOptions {
  /**
   * Close the region even if elements are held. Using the bytes of those elements is refused afterwards (`RegionRevoked`).
   * Default false.
   */
  force?: boolean;
}

/**
 * The properties of an AbortSignal that a release uses. Declared here so that the declarations of this package need neither the
 * types of Node nor those of browsers.
 */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason: unknown;
}

/** Options of {@link MemoryRegion.deregAsync} and {@link FastMemoryRegion.deallocAsync}. */
export interface DeregAsyncOptions {
  /** How long to wait until the last element is put, in milliseconds. Default 5000. */
  timeoutMs?: number;
  /** Aborts the wait: the promise rejects with the signal's reason, and the region stays half-dead. */
  signal?: AbortSignalLike;
  /** On timeout, close the region anyway, as {@link DeregOptions.force} does. Default false: the promise rejects. */
  force?: boolean;
}

/**
 * The state of a region.
 *
 * - `'Valid'`: the key is valid
 * - `'Invalid'`: {@link QueuePair.invalidateRkey} invalidated the key; {@link QueuePair.fastRegMr} can make it valid again
 * - `'HalfDead'`: the region was released and its key is revoked, but elements are still held
 * - `'Closed'`: the region does not exist any more
 */
export type RegionState = 'Valid' | 'Invalid' | 'HalfDead' | 'Closed';

/** Returned by {@link Region.toJSON}. For a closed region it contains only the properties that are known without the region. */
export interface ShownRegion extends Shown {
  class: 'MemoryRegion' | 'FastMemoryRegion';
  /** How the region was created; absent for a closed region if that is no longer known. */
  kind?: RegionKindName;
  id: number;
  lkey?: string;
  rkey?: string;
  start?: string;
  iova?: string;
  length?: number;
  /** Names of the region's rights, as returned by {@link accessNames}. */
  access?: string[];
  refs?: number;
  state: RegionState;
}

/** Returns the state of the region that was queried last. */
function stateOfFields(): RegionState {
  return liveState(fieldNumber(RegionField.HalfDead) !== 0, fieldNumber(RegionField.Valid) !== 0);
}

let classOf: (region: object) => ShownRegion['class'];

/** Returns whether a value is a region of any kind. Does not consult the prototype, which a program can change. */
export let isRegion: (value: unknown) => value is Region;
/** Returns the table of a region, which knows the rkeys of its device. */
export let tableOf: (region: Region) => RegionTable;
/** Returns the numbers that identify a region to the native module. */
export let nameOf: (region: Region) => RegionName;
/** Notes that a region covers other memory, has other rights or is in another domain than before. */
export let changed: (region: Region) => void;
/** Implements {@link MemoryRegion.dereg} and {@link FastMemoryRegion.dealloc}. */
export let release: (region: Region, method: Method, options: unknown) => void;
/** Releases a region. Returns 0, also if it is closed already, or a negative errno. */
export let endRegion: (region: Region, mode: ReleaseMode) => number;
/** Returns the description of a region for `toString` and `toJSON`. */
export let describeRegion: (region: Region) => ShownRegion;
/** Implements {@link MemoryRegion.deregAsync} and {@link FastMemoryRegion.deallocAsync}. */
export let releaseAsync: (region: Region, method: Method, options: unknown) => Promise<void>;

/**
 * The common base of all kinds of regions. Created by the methods of {@link ProtectionDomain}.
 *
 * The object of a closed region still has `id` and {@link Region.state}. For user memory it also keeps keys, addresses, length
 * and access rights, which only {@link MemoryRegion.rereg} changes. Every other property is read from the region on each access, so it reflects mapping and
 * fast registration; after the region is closed it throws {@link RdmaError} `EBADF`.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(Buffer.alloc(64), { iova: 0x1000n, access: Access.RemoteRead });
 * const { vaddr, length } = mr.advertise({ offset: 16 });
 * console.log(vaddr, length); // 4112n 48
 * console.log(mr.refs, mr.state); // 2 Valid
 * ```
 */
export abstract class Region {
  readonly #name: RegionName;
  readonly #table: RegionTable;
  readonly #class: RegionClass;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, name: RegionName, table: RegionTable, regionClass: RegionClass) {
    if (token !== construction) throw illegalConstructor();
    this.#name = name;
    this.#table = table;
    this.#class = regionClass;
    markUncloneable(this);
  }

  /** Unique on the device and never reused. {@link CheckBatch.regions} and {@link Device.resources} contain this id. */
  get id(): number {
    return this.#name.id;
  }

  /** The key for local checks. Equal to {@link Region.rkey}, unless the device is strict ({@link DeviceOptions.strict}). */
  get lkey(): Lkey {
    return (this.#name.constants?.key ?? this.#number(RegionField.Lkey, 'lkey')) as Lkey;
  }

  /** The key for remote checks. Equal to {@link Region.lkey}, unless the device is strict ({@link DeviceOptions.strict}). */
  get rkey(): Rkey {
    return this.#table.rkeyOf(this.#name.constants?.key ?? this.#number(RegionField.Lkey, 'rkey'));
  }

  /** Address of the region's first byte in local checks. */
  get start(): bigint {
    const { constants } = this.#name;
    if (constants === undefined) return this.#long(RegionField.Start, 'start');
    const { start } = constants;
    return typeof start === 'bigint' ? start : (constants.start = BigInt(start));
  }

  /** Address of the region's first byte in remote checks. */
  get iova(): bigint {
    const { constants } = this.#name;
    if (constants === undefined) return this.#long(RegionField.Iova, 'iova');
    const { iova } = constants;
    return typeof iova === 'bigint' ? iova : (constants.iova = BigInt(iova));
  }

  /** Mapped length in bytes. 0 for a DMA region, which has no bounds of its own. */
  get length(): number {
    return this.#name.constants?.length ?? this.#number(RegionField.Length, 'length');
  }

  /** The rights that the region grants, bits of {@link Access}. */
  get access(): Access {
    return this.#name.constants?.access ?? this.#number(RegionField.Access, 'access');
  }

  /**
   * The reference count as in the kernel: the region's own 2 references (3 for the published DMA region; 1 when the region is
   * half-dead) plus one per held element.
   */
  get refs(): number {
    return this.#number(RegionField.Refs, 'refs');
  }

  /** Whether the key is valid, or why it is not. Never throws. */
  get state(): RegionState {
    return queryRegion(this.#name) < 0 ? 'Closed' : stateOfFields();
  }

  /**
   * Starts counting the checks of this region and the bytes copied, for all threads. A second call is a no-op. Afterwards each
   * check of this region updates a shared counter and cannot use the fast path; checks of other regions are not affected.
   *
   * @throws RdmaError `EBADF`: the region is closed; `ENOMEM`
   */
  countAccesses(): void {
    const status = countRegion(this.#name);
    if (status < 0) throw rdmaError(`${this.#class}.countAccesses`, status);
  }

  /**
   * The counts since {@link Region.countAccesses}; undefined if it was not called.
   *
   * @throws RdmaError `EBADF`: the region is closed
   */
  get counters(): RegionCounters | undefined {
    this.#query('counters');
    if (!fieldNumber(RegionField.Counted)) return undefined;
    return {
      accepted: fieldNumber(RegionField.Accepted),
      refused: fieldNumber(RegionField.Refused),
      bytesCopied: fieldNumber(RegionField.Bytes),
    };
  }

  /**
   * Returns what a peer needs to access a range of the region: the remote address, the length and the rkey. Send it as bytes
   * ({@link packAdvertisement}), as text ({@link formatAdvertisement}), or in a message format of your own.
   *
   * With `expiresInMs` it makes a {@link Lease}: an advertisement with a key of its own that expires. Only for regions of
   * {@link ProtectionDomain.regUserMr}. The region is not deregistered while it has leases (`EBUSY`), unless by force; expired ones
   * do not count.
   *
   * @throws RdmaError `EACCES`: the region grants no remote right, or not those of `access`; `qp` is in another domain
   * @throws RdmaError `ENOMEM`: no free slot in the key table for a lease
   * @throws RdmaError `EINVAL`: the key is not valid, nothing is mapped, or it is a DMA region; `EBADF`: the region is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`); RangeError (`ERR_OUT_OF_RANGE`): the range is empty or not inside the region
   */
  advertise(options: LeaseOptions): Lease;
  advertise(options?: AdvertiseOptions): Advertisement;
  advertise(options: AdvertiseOptions | LeaseOptions = {}): Advertisement {
    const table = this.#table;
    return advertise(this.#name, table, `${this.#class}.advertise`, options, (id) => {
      if (table.stacks) table.created('window', () => id);
    });
  }

  /** Returns a one-line description: `MemoryRegion { user #1 key 0x1000 ... refs 2 Valid }`. Never throws. */
  toString(): string {
    return textOf(classOf(this), this, describeRegion);
  }

  /** Returns the same description as an object for JSON; addresses and keys are hex strings. Never throws. */
  toJSON(): ShownRegion {
    return jsonOf(classOf(this), this, describeRegion);
  }

  /**
   * Closes the region by force, as `using` does. Using the bytes of held elements is refused afterwards (`RegionRevoked`). When
   * the call returns, no thread is still copying bytes of the region. Never throws.
   */
  [dispose](): void {
    this.#release(ReleaseMode.Force);
  }

  /**
   * Revokes the region's key, waits up to 5 seconds until the held elements are put, and then closes the region by force. For
   * `await using`. Never rejects.
   */
  async [asyncDispose](): Promise<void> {
    try {
      await this.#releaseLater(DEFAULT_TIMEOUT_MS, undefined, true, 'MemoryRegion.deregAsync');
    } catch {
      this.#release(ReleaseMode.Force);
    }
  }

  #query(property: RegionProperty): void {
    const status = queryRegion(this.#name);
    if (status < 0) throw rdmaError(`${this.#class}.${property}`, status);
  }

  #number(field: RegionField, property: RegionProperty): number {
    this.#query(property);
    return fieldNumber(field);
  }

  #long(field: RegionField, property: RegionProperty): bigint {
    this.#query(property);
    return fieldLong(field);
  }

  /**
   * Returns 0 also if the region is already closed: a second release is a no-op, whether the region was released itself or closed
   * with its parent.
   */
  #release(mode: ReleaseMode): number {
    const name = this.#name;
    const status = releaseRegion(name, mode);
    // After a forced release elements may still be held, and `sge.region` must still find this object.
    if (status === 0 && mode !== ReleaseMode.Force) {
      try {
        this.#table.remove(name.index, name.id);
      } catch {
        // The stack limit was reached. The region stays in the table until its index is reused.
      }
    }
    return status === -Errno.EBADF ? 0 : status;
  }

  #releaseNow(mode: ReleaseMode, method: Method): void {
    const status = this.#release(mode);
    if (status < 0) throw rdmaError(method, status);
  }

  async #releaseLater(
    timeoutMs: number,
    signal: AbortSignal | undefined,
    force: boolean,
    method: Method,
  ): Promise<void> {
    let failure: Error | undefined;
    const status = await untilReleased(
      () => this.#release(ReleaseMode.Await),
      timeoutMs,
      signal,
      (last) => {
        if (last < 0) failure = rdmaError(method, last);
      },
    );
    if (status === -Errno.EBUSY && force) this.#releaseNow(ReleaseMode.Force, method);
    else if (failure !== undefined) throw failure;
  }

  // Gives other files of this folder access to private members. Not part of the public API.
  static {
    classOf = (region: unknown) =>
      typeof region === 'object' && region !== null && #class in region ? region.#class : 'MemoryRegion';
    isRegion = (value): value is Region => typeof value === 'object' && value !== null && #name in value;
    nameOf = (region) => region.#name;
    endRegion = (region, mode) => region.#release(mode);
    changed = (region) => {
      try {
        region.#table.change(region.#name);
      } catch {
        // The stack limit was reached. A search for the old memory then finds the region until its index is reused.
      }
    };
    release = (region, method, options) => {
      const { force: givenForce = false } = optionsOf<DeregOptions>(options, ['force']);
      const force = boolean(givenForce, 'options.force');
      region.#releaseNow(force ? ReleaseMode.Force : ReleaseMode.Release, method);
    };
    releaseAsync = (region, method, options) => {
      const {
        timeoutMs: givenTimeout = DEFAULT_TIMEOUT_MS,
        signal: givenSignal,
        force: givenForce = false,
      } = optionsOf<DeregAsyncOptions>(options, ['timeoutMs', 'signal', 'force']);
      const timeoutMs = u32(givenTimeout, 'options.timeoutMs');
      const signal = abortSignal(givenSignal, 'options.signal');
      return region.#releaseLater(timeoutMs, signal, boolean(givenForce, 'options.force'), method);
    };
    tableOf = (region) => region.#table;
    describeRegion = (region) => {
      const name = region.#name;
      const { constants } = name;
      const type = classOf(region);
      if (queryRegion(name) < 0) {
        const kind = type === 'FastMemoryRegion' ? 'FMR' : constants ? 'USER' : undefined;
        return {
          class: type,
          ...(kind && { kind }),
          id: name.id,
          ...(constants && { lkey: hex(constants.key), rkey: hex(region.#table.rkeyOf(constants.key)) }),
          state: 'Closed',
        };
      }
      const key = fieldNumber(RegionField.Lkey);
      return {
        class: type,
        kind: regionKindName(fieldNumber(RegionField.Kind)),
        id: name.id,
        lkey: hex(key),
        rkey: hex(region.#table.rkeyOf(key)),
        start: hex(fieldLong(RegionField.Start)),
        iova: hex(fieldLong(RegionField.Iova)),
        length: fieldNumber(RegionField.Length),
        access: namesOfRights(fieldNumber(RegionField.Access)),
        refs: fieldNumber(RegionField.Refs),
        state: stateOfFields(),
      };
    };
  }
}
