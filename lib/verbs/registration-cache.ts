import { type Access, readRegionAccess } from './access';
import { boolean, integer, invalidType } from '../internal/arguments';
import { type CachedRegion } from './cached-region';
import { CachedRegions } from './cached-regions';
import { construction } from '../internal/construction';
import { dispose } from '../internal/disposal';
import { explainedError } from '../internal/errors';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import {
  byteLengthOfTyped,
  type MemoryLike,
  placeOfMemory,
  typedByteLengthOf,
  typedByteOffsetOf,
} from '../internal/memory-argument';
import { optionsOf } from '../internal/options';
import { nativeDomainOf } from './domain-native';
import { type ProtectionDomain } from './protection-domain';
import { RegionUse } from './region-use';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';

/** Options of {@link RegistrationCache}. */
export interface RegistrationCacheOptions {
  /** Maximum number of regions at the same time, 1..2^23. Default 1024. */
  maxRegions?: number;
  /** Maximum of the sum of the regions' lengths in bytes, 1..2^53-1. Default 2^30. */
  maxBytes?: number;
}

/** Options of {@link RegistrationCache.close}. */
export interface CloseCacheOptions {
  /** Also deregister regions that are in use, by force. Default false. */
  force?: boolean;
}

/** Returned by {@link RegistrationCache.counters}. */
export interface RegistrationCacheCounters {
  /** Gets that a cached region served. */
  hits: number;
  /** Gets that no cached region served: they registered one, or failed. */
  misses: number;
  /** Regions that were deregistered to make room for others. */
  evictions: number;
  /** Regions that exist now, also those that are replaced and still in use. */
  regions: number;
  /** Sum of the lengths of these regions in bytes. Bytes that two regions cover count twice. */
  bytes: number;
  /** How many of these regions are in use. */
  inUse: number;
}

/** Returned by {@link RegistrationCache.toJSON}. */
export interface ShownRegistrationCache extends Shown {
  class: 'RegistrationCache';
  regions: number;
  bytes: number;
  inUse: number;
  state: 'Open' | 'Closed';
}

const MOST_REGIONS = 2 ** 23;
const DEFAULT_REGIONS = 1024;
const DEFAULT_BYTES = 2 ** 30;

let describeCache: (cache: RegistrationCache) => ShownRegistrationCache;

/**
 * Keeps regions registered between uses, for programs that send from or receive into the same buffers again and again.
 *
 * {@link RegistrationCache.get} returns a counted use of a region that covers the memory with at least the given rights. If the cache
 * has none, it registers one: over the memory and all cached regions that touch or overlap it in the same buffer, with the union of
 * all their rights. Such a region replaces the others, which end as soon as they are unused. **So whoever has the key of a cached
 * region can reach neighbours of the memory, and with rights, that other gets have asked for.** A region that must reach exactly
 * one view, with exactly these rights, is one for {@link ProtectionDomain.regUserMr}. If the union does not fit into `maxBytes` beside
 * what is in use, the view alone is registered, with the rights of this get.
 *
 * When a limit is reached, or the device's key table is full, regions are evicted: deregistered, the least recently used first. A region
 * is not evicted while it has a use, or while elements, queued work requests, windows or leases hold it. If none can go, the get fails
 * with `ENOMEM`.
 *
 * Regions whose memory was detached, shrunk or collected, and regions that were closed otherwise, are never given out, and
 * leave the cache with later gets. A cached region that is not in use does not keep its ArrayBuffer alive. It does keep a
 * SharedArrayBuffer alive (other threads may access its bytes at any time) and {@link DeviceMemory} in use, until it is evicted.
 *
 * A cached region belongs to its protection domain like any other: close the cache before `pd.dealloc()` or `device.close()`, or
 * use their option `cascade`. Each thread needs a cache of its own.
 *
 * @example
 * ```ts
 * import { Access, Device, RegistrationCache } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const cache = new RegistrationCache(pd, { maxRegions: 256, maxBytes: 64 * 2 ** 20 });
 * const buffer = Buffer.alloc(4096);
 * for (let i = 0; i < 3; i++) {
 *   const use = cache.get(buffer, Access.LocalWrite);
 *   pd.check({ addr: use.start, length: use.length, lkey: use.lkey }, Access.LocalWrite);
 *   use.put(); // or: using use = ...
 * }
 * const { hits, misses } = cache.counters();
 * console.log(hits, misses); // 2 1
 * cache.close();
 * ```
 */
export class RegistrationCache {
  readonly #regions: CachedRegions;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /**
   * @param pd - the domain of all regions of the cache
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  constructor(pd: ProtectionDomain, options: RegistrationCacheOptions = {}) {
    const { maxRegions = DEFAULT_REGIONS, maxBytes = DEFAULT_BYTES } = optionsOf<RegistrationCacheOptions>(
      options,
      ['maxRegions', 'maxBytes'],
    );
    if (nativeDomainOf(pd) === undefined) throw invalidType('pd', 'an instance of ProtectionDomain', pd);
    this.#regions = new CachedRegions(
      pd,
      integer(maxRegions, 'options.maxRegions', 1, MOST_REGIONS),
      integer(maxBytes, 'options.maxBytes', 1, Number.MAX_SAFE_INTEGER),
    );
    markUncloneable(this);
  }

  /**
   * Returns a counted use of a region that covers the memory with at least these rights: a cached one, or a new one.
   *
   * @param memory - any view, ArrayBuffer or SharedArrayBuffer
   * @param access - bits of {@link Access}; 0: only local reads
   * @returns the use, which the caller must put back
   * @throws RdmaError `ENOMEM`: no room, because what is cached is in use: `CacheRegionsInUse`, `CacheBytesInUse`, or those of
   *   {@link ProtectionDomain.regUserMr}
   * @throws RdmaError `EINVAL`: the memory is empty or detached, or longer than `maxBytes`; the rights are invalid. `EBADF`: the cache
   *   or the domain is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  get(memory: MemoryLike, access: Access): RegionUse {
    const regions = this.#regions;
    const rights = readRegionAccess('RegistrationCache.get', access, 'access');
    const known = regions.ofView(memory);
    let length = known === undefined ? typedByteLengthOf(memory) : byteLengthOfTyped(memory);
    let start: number;
    let entry: CachedRegion | undefined;
    if (length > 0) {
      start = typedByteOffsetOf(memory);
      entry = known && regions.latest(known, start, start + length, rights);
      entry ??= regions.findForView(memory, start, start + length, rights);
    } else {
      const place = placeOfMemory('RegistrationCache.get', memory, 'memory');
      length = place.byteLength;
      start = place.byteOffset;
      entry = regions.find(place.buffer, start, start + length, rights);
    }
    const use = new RegionUse(construction, entry, start, length, rights);
    regions.begin(entry, memory);
    return use;
  }

  /**
   * Returns the counters. Takes time proportional to the number of regions, because it first lets go of those whose memory is gone.
   */
  counters(): RegistrationCacheCounters {
    const regions = this.#regions;
    regions.inspectAll();
    return {
      hits: regions.hits,
      misses: regions.misses,
      evictions: regions.evictions,
      regions: regions.regions,
      bytes: regions.bytes,
      inUse: regions.inUse,
    };
  }

  /**
   * Deregisters all regions. Later gets fail. A second call after success is a no-op.
   *
   * @throws RdmaError `EBUSY`: regions are in use, or elements, work requests, windows or leases hold them, and `force` is not set. The cache stays open
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`)
   */
  close(options: CloseCacheOptions = {}): void {
    const { force: givenForce = false } = optionsOf<CloseCacheOptions>(options, ['force']);
    const force = boolean(givenForce, 'options.force');
    const left = this.#regions.endAll(force);
    if (left > 0) {
      throw explainedError('RegistrationCache.close', 'EBUSY', 'CacheInUse', { value: BigInt(left) });
    }
    this.#regions.closed = true;
  }

  /**
   * Closes the cache by force: regions in use are deregistered, and held elements are refused afterwards (`RegionRevoked`). When the
   * call returns, no byte of a cached region moves any more. Never throws.
   */
  [dispose](): void {
    this.#regions.closed = true;
    this.#regions.endAll(true);
  }

  /** Returns a one-line description of the cache. Never throws. */
  toString(): string {
    return textOf('RegistrationCache', this, describeCache);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownRegistrationCache {
    return jsonOf('RegistrationCache', this, describeCache);
  }

  static {
    describeCache = (cache) => {
      const { regions, bytes, inUse, closed } = cache.#regions;
      return { class: 'RegistrationCache', regions, bytes, inUse, state: closed ? 'Closed' : 'Open' };
    };
    showAs(RegistrationCache, 'RegistrationCache', (cache) =>
      textOf('RegistrationCache', cache, describeCache),
    );
  }
}
