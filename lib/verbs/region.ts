import { type Access } from './access';
import { boolean, illegalConstructor, optionsOf, u32 } from '../internal/arguments';
import { construction } from '../internal/construction';
import { type RegionCounters } from './counters';
import { asyncDispose, dispose } from '../internal/disposal';
import { awaitPut, stopAwaiting } from './await-put';
import { fieldLong, fieldNumber } from '../internal/command';
import { Errno, rdmaError } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { RegionField, ReleaseMode } from '../internal/layout';
import { type Method, type RegionClass, type RegionProperty } from '../internal/methods';
import { countRegion, queryRegion, type RegionName, releaseRegion } from '../internal/region-name';
import { type RegionTable } from './region-registry';

/** Options of {@link MemoryRegion.dereg} and {@link FastMemoryRegion.dealloc}. */
export interface DeregOptions {
  /** End the region also if elements are held: those are dead from then on (`RegionRevoked`). Default false. */
  force?: boolean;
}

/** Options of {@link MemoryRegion.deregAsync} and {@link FastMemoryRegion.deallocAsync}. */
export interface DeregAsyncOptions {
  /** How long to wait for the last element to be put, in milliseconds. Default 5000. */
  timeoutMs?: number;
}

/**
 * - `'Valid'`: its key works
 * - `'Invalid'`: {@link QueuePair.invalidateRkey} came; {@link QueuePair.fastRegMr} makes it valid again
 * - `'HalfDead'`: released, its key is dead, but elements are held
 * - `'Closed'`: gone
 */
export type RegionState = 'Valid' | 'Invalid' | 'HalfDead' | 'Closed';

const DEFAULT_TIMEOUT_MS = 5000;
/** A longer timer would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Returns whether a value is a region of any kind; its prototype is not consulted. */
export let isRegion: (value: unknown) => value is Region;
/** Returns what identifies a region to the native module. */
export let nameOf: (region: Region) => RegionName;
/** Implements `dereg` and `dealloc`. */
export let release: (region: Region, method: Method, options: unknown) => void;
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
  /** For errors. */
  readonly #class: RegionClass;

  /** @internal */
  constructor(token: typeof construction, name: RegionName, table: RegionTable, regionClass: RegionClass) {
    if (token !== construction) throw illegalConstructor();
    this.#name = name;
    this.#table = table;
    this.#class = regionClass;
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
    if (queryRegion(this.#name) < 0) return 'Closed';
    if (fieldNumber(RegionField.HalfDead)) return 'HalfDead';
    return fieldNumber(RegionField.Valid) ? 'Valid' : 'Invalid';
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
      await this.#releaseLater(DEFAULT_TIMEOUT_MS, 'MemoryRegion.deregAsync'); // the error is told to nobody
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
    if (status === 0 && mode !== ReleaseMode.Force) this.#table.remove(name.index, name.id);
    return status === -Errno.EBADF ? 0 : status;
  }

  #releaseNow(mode: ReleaseMode, method: Method): void {
    const status = this.#release(mode);
    if (status < 0) throw rdmaError(method, status);
  }

  #releaseLater(timeoutMs: number, method: Method): Promise<void> {
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + timeoutMs;
      let timer: NodeJS.Timeout | undefined;
      const attempt = (): void => {
        const left = deadline - performance.now();
        clearTimeout(timer);
        const status = this.#release(ReleaseMode.Await); // last, so that its failure can be asked about
        if (status === 0) {
          resolve();
        } else if (status !== -Errno.EBUSY || left <= 0) {
          reject(rdmaError(method, status));
        } else {
          awaitPut(attempt);
          // The timer keeps the process alive, and ends the wait.
          timer = setTimeout(onTimer, Math.min(left, LONGEST_TIMER_MS));
        }
      };
      const onTimer = (): void => {
        stopAwaiting(attempt);
        attempt();
      };
      attempt();
    });
  }

  // For other files of this folder; not part of the public API.
  static {
    isRegion = (value): value is Region => typeof value === 'object' && value !== null && #name in value;
    nameOf = (region) => region.#name;
    release = (region, method, options) => {
      const { force: givenForce = false } = optionsOf<DeregOptions>(options);
      const force = boolean(givenForce, 'options.force');
      region.#releaseNow(force ? ReleaseMode.Force : ReleaseMode.Release, method);
    };
    releaseAsync = (region, method, options) => {
      const { timeoutMs: givenTimeout = DEFAULT_TIMEOUT_MS } = optionsOf<DeregAsyncOptions>(options);
      return region.#releaseLater(u32(givenTimeout, 'options.timeoutMs'), method);
    };
  }
}
