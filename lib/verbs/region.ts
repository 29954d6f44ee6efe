import { type Access } from './access';
import { abortSignal } from '../internal/abort-signal';
import { namesOfRights } from '../internal/right-names';
import { advertise, type AdvertiseOptions, type Advertisement } from './advertisement';
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
  /** End the region also if elements are held: those are dead from then on (`RegionRevoked`). Default false. */
  force?: boolean;
}

/** An AbortSignal: written out, so that these declarations need neither the types of Node nor those of browsers. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason: unknown;
}

/** Options of {@link MemoryRegion.deregAsync} and {@link FastMemoryRegion.deallocAsync}. */
export interface DeregAsyncOptions {
  /** How long to wait for the last element to be put, in milliseconds. Default 5000. */
  timeoutMs?: number;
  /** Ends the wait when it aborts: the promise is rejected with its reason, and the region stays half-dead. */
  signal?: AbortSignalLike;
  /** When the time is over, end the region all the same, as {@link DeregOptions.force} does. Default false: the promise is rejected. */
  force?: boolean;
}

/**
 * - `'Valid'`: its key works
 * - `'Invalid'`: {@link QueuePair.invalidateRkey} came; {@link QueuePair.fastRegMr} makes it valid again
 * - `'HalfDead'`: released, its key is dead, but elements are held
 * - `'Closed'`: gone
 */
export type RegionState = 'Valid' | 'Invalid' | 'HalfDead' | 'Closed';

/** What {@link Region.toJSON} answers. Of a region that is gone there is only what is known without it. */
export interface ShownRegion extends Shown {
  class: 'MemoryRegion' | 'FastMemoryRegion';
  /** How it was made; missing if it is gone and that is not known any more. */
  kind?: RegionKindName;
  id: number;
  lkey?: string;
  rkey?: string;
  start?: string;
  iova?: string;
  length?: number;
  /** Names of its rights, as {@link accessNames} gives them. */
  access?: string[];
  refs?: number;
  state: RegionState;
}

/** Of the region that was queried last. */
function stateOfFields(): RegionState {
  return liveState(fieldNumber(RegionField.HalfDead) !== 0, fieldNumber(RegionField.Valid) !== 0);
}

let classOf: (region: object) => ShownRegion['class'];

/** Returns whether a value is a region of any kind; its prototype is not consulted. */
export let isRegion: (value: unknown) => value is Region;
/** Returns what identifies a region to the native module. */
export let nameOf: (region: Region) => RegionName;
/** Implements `dereg` and `dealloc`. */
export let release: (region: Region, method: Method, options: unknown) => void;
/** What a region shows of itself. */
export let describeRegion: (region: Region) => ShownRegion;
/** Implements `deregAsync` and `deallocAsync`. */
export let releaseAsync: (region: Region, method: Method, options: unknown) => Promise<void>;

/**
 * What all kinds of regions have in common. Made by a {@link ProtectionDomain}.
 *
 * After a region is gone, its object still has `id` and {@link Region.state}, and for user memory also keys, addresses, length and
 * access rights, none of which ever changes. Every other property is read from the region each time, so it shows what mapping and
 * fast registration have changed; once the region is gone it throws {@link RdmaError} `EBADF`.
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

  /** Unique on the device, never given twice: what {@link CheckBatch.regions} and {@link Device.resources} name it by. */
  get id(): number {
    return this.#name.id;
  }

  /** The key for local checks. Equal to {@link Region.rkey}. */
  get lkey(): Lkey {
    return (this.#name.constants?.key ?? this.#number(RegionField.Lkey, 'lkey')) as Lkey;
  }

  /** The key for remote checks. */
  get rkey(): Rkey {
    return (this.#name.constants?.key ?? this.#number(RegionField.Lkey, 'rkey')) as Rkey;
  }

  /** The address that the region's first byte answers to in local checks. */
  get start(): bigint {
    const { constants } = this.#name;
    if (constants === undefined) return this.#long(RegionField.Start, 'start');
    const { start } = constants;
    return typeof start === 'bigint' ? start : (constants.start = BigInt(start));
  }

  /** The address that the region's first byte answers to in remote checks. */
  get iova(): bigint {
    const { constants } = this.#name;
    if (constants === undefined) return this.#long(RegionField.Iova, 'iova');
    const { iova } = constants;
    return typeof iova === 'bigint' ? iova : (constants.iova = BigInt(iova));
  }

  /** Bytes that are mapped. 0 for a DMA region, which has no bounds of its own. */
  get length(): number {
    return this.#name.constants?.length ?? this.#number(RegionField.Length, 'length');
  }

  /** The rights it grants, bits of {@link Access}. */
  get access(): Access {
    return this.#name.constants?.access ?? this.#number(RegionField.Access, 'access');
  }

  /**
   * The reference count as the kernel shows it: 2 of the region's own (3 for the published DMA region; 1 once it is half-dead)
   * and one for each held element.
   */
  get refs(): number {
    return this.#number(RegionField.Refs, 'refs');
  }

  /** Whether its key works, and if not why. Never throws. */
  get state(): RegionState {
    return queryRegion(this.#name) < 0 ? 'Closed' : stateOfFields();
  }

  /**
   * Counts, from now on, what checks of this region answer and how many of its bytes are copied, by all threads. A second call is a
   * no-op. Costs each check of this region a shared counter and the fastest way through; other regions' checks it costs nothing.
   *
   * @throws RdmaError `EBADF`: the region is gone; `ENOMEM`
   */
  countAccesses(): void {
    const status = countRegion(this.#name);
    if (status < 0) throw rdmaError(`${this.#class}.countAccesses`, status);
  }

  /**
   * What {@link Region.countAccesses} has counted; undefined if it was not asked to.
   *
   * @throws RdmaError `EBADF`
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
   * What a peer needs to use a range of the region: its remote address and length, and the region's key. Send it as bytes
   * ({@link packAdvertisement}), as text ({@link formatAdvertisement}), or in a message of your own.
   *
   * @throws RdmaError `EACCES`: the region grants no remote right, so no peer may use it
   * @throws RdmaError `EINVAL`: its key does not work now, nothing is mapped, or it is a DMA region; `EBADF`: it is gone
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`); RangeError (`ERR_OUT_OF_RANGE`): the range is not inside of the region, or empty
   */
  advertise(options: AdvertiseOptions = {}): Advertisement {
    return advertise(this.#name, `${this.#class}.advertise`, options);
  }

  /** What it is and does, in one line: `MemoryRegion { user #1 key 0x1000 ... refs 2 Valid }`. Never throws. */
  toString(): string {
    return textOf(classOf(this), this, describeRegion);
  }

  /** The same as an object for JSON: addresses and keys are hex strings. Never throws. */
  toJSON(): ShownRegion {
    return jsonOf(classOf(this), this, describeRegion);
  }

  /**
   * Ends the region, as `using` does: by force, so held elements are dead from then on (`RegionRevoked`). When it returns, no
   * byte of the region moves any more. Never throws.
   */
  [dispose](): void {
    this.#release(ReleaseMode.Force);
  }

  /**
   * Revokes the region's key and waits up to 5 seconds for held elements to be put, as `await using` does; then it ends the region by
   * force. Never rejects.
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

  /** Returns 0 also if the region is gone: a second release is a no-op, whether the first was its own or its parent's. */
  #release(mode: ReleaseMode): number {
    const name = this.#name;
    const status = releaseRegion(name, mode);
    // After a forced release elements may still be held, and `sge.region` must still find this object.
    if (status === 0 && mode !== ReleaseMode.Force) {
      try {
        this.#table.remove(name.index, name.id);
      } catch {
        // At the end of the stack. It stays in the table until its place is used again.
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

  // For other files of this folder; not part of the public API.
  static {
    classOf = (region: unknown) =>
      typeof region === 'object' && region !== null && #class in region ? region.#class : 'MemoryRegion';
    isRegion = (value): value is Region => typeof value === 'object' && value !== null && #name in value;
    nameOf = (region) => region.#name;
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
          ...(constants && { lkey: hex(constants.key), rkey: hex(constants.key) }),
          state: 'Closed',
        };
      }
      const key = hex(fieldNumber(RegionField.Lkey));
      return {
        class: type,
        kind: regionKindName(fieldNumber(RegionField.Kind)),
        id: name.id,
        lkey: key,
        rkey: key,
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
