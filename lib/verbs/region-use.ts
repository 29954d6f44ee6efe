import { type Access, Access as Right } from './access';
import { advertise, type AdvertiseOptions, type Advertisement } from './advertisement';
import { illegalConstructor, integer, size } from '../internal/arguments';
import { type CachedRegion } from './cached-region';
import { construction } from '../internal/construction';
import { dispose } from '../internal/disposal';
import { explainedError } from '../internal/errors';
import { instance, nextInstance } from '../internal/instance';
import { type Lkey, type Rkey } from './keys';
import { type MemoryRegion } from './memory-region';
import { type Method } from '../internal/methods';
import { namesOfRights } from '../internal/right-names';
import { optionsOf } from '../internal/options';
import { tableOf } from './region';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { hex } from '../internal/words';

/** Returned by {@link RegionUse.toJSON}. For a use that was put it contains only the state. */
export interface ShownRegionUse extends Shown {
  class: 'RegionUse';
  /** `id` of the region. */
  region?: number;
  lkey?: string;
  rkey?: string;
  start?: string;
  iova?: string;
  length?: number;
  /** Names of the rights that the use was asked for, as returned by {@link accessNames}. */
  access?: string[];
  state: 'Held' | 'Put';
}

let describeUse: (use: RegionUse) => ShownRegionUse;

const REMOTE = Right.RemoteRead | Right.RemoteWrite | Right.RemoteAtomic;

/**
 * A counted use of a cached region, for the memory that {@link RegistrationCache.get} was given. `start`, `iova`, `length` and
 * `advertise` are those of the memory, not of the region, which may begin before it and end after it.
 *
 * The region is not evicted, and an ArrayBuffer is kept alive, until the use is put back: by {@link RegionUse.put}, or by `using`.
 * Put it back when no work request and no peer needs the key any more. A use that is dropped without `put` stays counted.
 *
 * Afterwards every property throws {@link RdmaError} `EBADF`, because the region may be gone, and its key may be that of another one;
 * `put`, `toString` and `toJSON` still work.
 *
 * @example
 * ```ts
 * import { Access, Device, RegistrationCache } from 'rdmavt';
 *
 * const cache = new RegistrationCache(new Device().allocPd());
 * const arena = new ArrayBuffer(4096);
 * cache.get(arena, Access.RemoteRead).put();
 * const use = cache.get(new Uint8Array(arena, 848, 64), Access.RemoteRead);
 * console.log(use.iova - use.region.iova, use.advertise().length); // 848n 64
 * use.put();
 * ```
 */
export class RegionUse {
  readonly #start: number;
  readonly #length: number;
  readonly #access: Access;
  #entry: CachedRegion | undefined;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(
    token: typeof construction,
    entry: CachedRegion,
    start: number,
    length: number,
    access: Access,
  ) {
    if (token !== construction) throw illegalConstructor();
    this.#entry = entry;
    this.#start = start;
    this.#length = length;
    this.#access = access;
  }

  /** The region. Covers the memory, and may cover more with more rights. */
  get region(): MemoryRegion {
    return this.#held('RegionUse.region').region;
  }

  /** Address of the memory's first byte in local checks. */
  get start(): bigint {
    const { region, start } = this.#held('RegionUse.start');
    return region.start + BigInt(this.#start - start);
  }

  /** Address of the memory's first byte in remote checks. */
  get iova(): bigint {
    const { region, start } = this.#held('RegionUse.iova');
    return region.iova + BigInt(this.#start - start);
  }

  /** Length of the memory in bytes. */
  get length(): number {
    this.#held('RegionUse.length');
    return this.#length;
  }

  /** The rights that the use was asked for, bits of {@link Access}. */
  get access(): Access {
    this.#held('RegionUse.access');
    return this.#access;
  }

  /** The key for local checks. */
  get lkey(): Lkey {
    return this.#held('RegionUse.lkey').region.lkey;
  }

  /** The key for remote checks. */
  get rkey(): Rkey {
    return this.#held('RegionUse.rkey').region.rkey;
  }

  /**
   * Returns what a peer needs to access a range of the memory, as {@link Region.advertise} does for a region.
   *
   * @param options - the range, in bytes from the start of the memory. Default: all of it
   * @throws RdmaError `EACCES`: the use was not asked for a remote right, whatever the region grants
   * @throws RdmaError `EINVAL`: the region's key is not valid any more; `EBADF`: the use was put, or the region is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`); RangeError (`ERR_OUT_OF_RANGE`): the range is empty or not inside the memory
   */
  advertise(options: AdvertiseOptions = {}): Advertisement {
    const { offset: givenOffset = 0, length: givenLength } = optionsOf<AdvertiseOptions>(options, [
      'offset',
      'length',
    ]);
    const wanted = size(givenOffset, 'options.offset');
    const wantedLength =
      givenLength === undefined
        ? undefined
        : integer(givenLength, 'options.length', 1, Number.MAX_SAFE_INTEGER);
    const entry = this.#held('RegionUse.advertise');
    if (!(this.#access & REMOTE)) {
      throw explainedError('RegionUse.advertise', 'EACCES', 'NoRemoteRight', {
        value: BigInt(this.#access),
      });
    }
    const offset = integer(wanted, 'options.offset', 0, this.#length - 1);
    const rest = this.#length - offset;
    const length = wantedLength === undefined ? rest : integer(wantedLength, 'options.length', 1, rest);
    return advertise(entry.name, tableOf(entry.region), 'RegionUse.advertise', {
      offset: this.#start - entry.start + offset,
      length,
    });
  }

  /** Gives the use back. A region whose last use is put stays cached until it is evicted. A second call is a no-op. */
  put(): void {
    this.#put();
  }

  /** Gives the use back, as {@link RegionUse.put}. */
  [dispose](): void {
    this.#put(); // not `put`, which a program can replace
  }

  /** Returns a one-line description of the use. Never throws. */
  toString(): string {
    return textOf('RegionUse', this, describeUse);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownRegionUse {
    return jsonOf('RegionUse', this, describeUse);
  }

  #put(): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    entry.owner.finish(entry);
    this.#entry = undefined;
  }

  #held(method: Method): CachedRegion {
    if (this.#entry === undefined) throw explainedError(method, 'EBADF', 'UsePut');
    return this.#entry;
  }

  static {
    describeUse = (use) => {
      const entry = use.#entry;
      if (entry === undefined) return { class: 'RegionUse', state: 'Put' };
      return {
        class: 'RegionUse',
        region: entry.name.id,
        lkey: hex(entry.region.lkey),
        rkey: hex(entry.region.rkey),
        start: hex(use.start),
        iova: hex(use.iova),
        length: use.#length,
        access: namesOfRights(use.#access),
        state: 'Held',
      };
    };
    showAs(RegionUse, 'RegionUse', (use) => textOf('RegionUse', use, describeUse));
  }
}
