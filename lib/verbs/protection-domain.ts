import { type Access, readAccessBits, readRegionAccess } from './access';
import {
  boolean,
  elements,
  illegalConstructor,
  invalidType,
  oneOf,
  propertiesOf,
  safeInteger,
  u8,
  u32,
} from '../internal/arguments';
import { namedOptionsOf, optionsOf, requiredOptionsOf } from '../internal/options';
import { type Asker } from './asker';
import { Checker } from './checker';
import { acquireAccess, checkAccess, type CheckedPlace, type LocalCheck } from './check-result';
import { dispose } from '../internal/disposal';
import { storeLong, words } from '../internal/command';
import { storeAccess } from '../internal/element';
import { Errno, explainedError, rdmaError, resultOf, throwOnError } from '../internal/errors';
import { FastMemoryRegion } from './fast-memory-region';
import { type Lkey } from './keys';
import { CommandFlag, CommandWord, MrTypeNumber, PAGE_SHIFT, ReleaseMode } from '../internal/layout';
import { bytesOf, registrableBytesOf, throwIfDetached, type MemoryLike } from '../internal/memory-argument';
import { type Method } from '../internal/methods';
import { MemoryRegion } from './memory-region';
import { native, type NativeProtectionDomain, type Status } from '../internal/native';
import { readNewRegion, type RegionName, regionNames, registerMemory } from '../internal/region-name';
import { QueuePair } from './queue-pair';
import { construction } from '../internal/construction';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { type DeregOptions, isRegion, nameOf } from './region';
import { regionCovering } from './region-of';
import { type AnyRegion, type RegionTable } from './region-registry';
import { isSge, type Sge, tableOf } from './sge';
import { CheckBatch, type CheckBatchOptions } from './check-batch';

const { releaseMr } = native;
const { hasOwn } = Object;

/** Options of {@link ProtectionDomain.regUserMr}. */
export interface RegUserMrOptions {
  /**
   * The local address of the first byte: any number; ranges may overlap. As in the kernel the end, rounded up to a page of 4 KiB, must be
   * a 64-bit number: so local addresses do not reach into the last page below 2^64, while remote ones (`iova`) may end at 2^64
   * exactly. Default: a free one, 4 KiB aligned.
   */
  start?: bigint | number;
  /** The remote address of the first byte. Default: `start`. */
  iova?: bigint | number;
  /** Rights, bits of {@link Access}. Default 0: local reading only. */
  access?: Access;
}

/** Options of {@link ProtectionDomain.getDmaMr}. */
export interface GetDmaMrOptions {
  /** Rights; never looked at by a check. Default 0. */
  access?: Access;
}

/** The kernel's kinds of regions for work requests (`enum ib_mr_type`); only `'MEM_REG'` is supported. */
const mrTypes = {
  MEM_REG: MrTypeNumber.MemReg,
  SG_GAPS: MrTypeNumber.SgGaps,
  DM: MrTypeNumber.Dm,
  USER: MrTypeNumber.User,
  DMA: MrTypeNumber.Dma,
  INTEGRITY: MrTypeNumber.Integrity,
} as const;
const mrTypeNames = Object.keys(mrTypes) as MrType[];

/** One of the kernel's kinds of regions for work requests. */
export type MrType = keyof typeof mrTypes;

/** Options of {@link ProtectionDomain.allocMr}. */
export interface AllocMrOptions {
  /** The most pages it can map, 0..2^31-1. */
  maxNumSg: number;
  /** Default `'MEM_REG'`, the only one that is supported. */
  type?: MrType;
}

/** Options of {@link ProtectionDomain.allocFmr}. */
export interface AllocFmrOptions {
  /** Rights, bits of {@link Access}. Default 0. */
  access?: Access;
  /** The most pages it can map, 0..2^31-1. */
  maxPages: number;
  /** How often it may be mapped before it is unmapped. Taken and not looked at, as in the kernel. Default 32. */
  maxMaps?: number;
  /** log2 of the page size in bytes, 0..30. Default 12. */
  pageShift?: number;
}

/** Options of {@link ProtectionDomain.dealloc}. */
export interface DeallocPdOptions {
  /** Take what is in it along: queue pairs first, then regions by force. Default false. */
  cascade?: boolean;
}

/** What a local work request names (`struct ib_sge`). */
export interface LocalSge {
  /** Local address of the first byte. */
  addr: bigint | number;
  /** Bytes, 0..2^32-1. */
  length: number;
  /** The region's key. */
  lkey: Lkey;
}

/** Options of {@link ProtectionDomain.acquire}. */
export interface AcquireOptions {
  /**
   * The element before this one: if the new one continues it, it grows instead. A put element counts as none.
   *
   * It is for page lists, scatter-gather lists and key 0. The kernel compares DMA addresses, and user memory has none: elements of
   * {@link ProtectionDomain.regUserMr} are never coalesced, and each is one of its own.
   */
  last?: Sge | null;
}

const DEFAULT_MAX_MAPS = 32;
const DEFAULT_PAGE_SHIFT = PAGE_SHIFT;

/** The native object of a domain; undefined for anything else. */
export let nativeDomainOf: (value: unknown) => NativeProtectionDomain | undefined;

/** What {@link ProtectionDomain.toJSON} answers. */
export interface ShownProtectionDomain extends Shown {
  class: 'ProtectionDomain';
  id: number;
  state: 'Open' | 'Closed';
}

let describeProtectionDomain: (object: ProtectionDomain) => ShownProtectionDomain;

/**
 * A protection domain: regions can be used through it only if they belong to it (`struct rvt_pd`).
 *
 * Made by {@link Device.allocPd}.
 */
export class ProtectionDomain {
  readonly #native: NativeProtectionDomain;
  readonly #table: RegionTable;
  readonly #asker: Asker;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, native: NativeProtectionDomain, table: RegionTable) {
    if (token !== construction) throw illegalConstructor();
    this.#native = native;
    this.#table = table;
    const id = throwOnError('Device.allocPd', native.serial()); // another thread may have ended it
    this.#asker = { native, number: native.number(), id, remote: false, table };
    markUncloneable(this);
  }

  /** Unique on the device, never given twice: what {@link Device.importPd} takes. */
  get id(): number {
    return this.#asker.id;
  }

  /**
   * Registers memory: exactly the bytes of the view or buffer, which is kept alive until the region is gone.
   *
   * Kernel: `rvt_reg_user_mr`.
   *
   * @param memory - any view, ArrayBuffer or SharedArrayBuffer
   * @throws RdmaError `EINVAL`: the memory is empty or detached; rights that cannot be given; `start` or `iova` and the length
   *   do not fit 64 bits
   * @throws RdmaError `ENOMEM`: no free slot in the key table; `EBADF`: the domain is gone
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  regUserMr(memory: MemoryLike, options: RegUserMrOptions = {}): MemoryRegion {
    const method = 'ProtectionDomain.regUserMr';
    // Read all properties before the first store: a getter may register memory and overwrite the block.
    const given = namedOptionsOf<RegUserMrOptions>(options, ['start', 'iova', 'access']);
    const start = hasOwn(given, 'start') ? given.start : undefined;
    const iova = hasOwn(given, 'iova') ? given.iova : undefined;
    const givenAccess = hasOwn(given, 'access') ? given.access : 0; // undefined is refused: rights are never a default by mistake
    let flags = 0;
    if (start !== undefined) {
      storeLong(CommandWord.Start, start, 'options.start');
      flags |= CommandFlag.StartGiven;
    }
    if (iova !== undefined) {
      storeLong(CommandWord.Iova, iova, 'options.iova');
      flags |= CommandFlag.IovaGiven;
    }
    const access = readRegionAccess(method, givenAccess, 'options.access');
    const bytes = registrableBytesOf(method, memory, 'memory');
    const status = registerMemory(this.#asker.number, access, flags, bytes);
    try {
      if (status === -Errno.EINVAL) throwIfDetached(method, bytes, 'memory'); // to native code, memory without bytes
      throwOnError(method, status);
      const name = readNewRegion(this.#native, this.#asker.number, access);
      const region = new MemoryRegion(construction, name, this.#table);
      this.#table.add(region);
      return region;
    } catch (error) {
      // At the end of the stack no object can be made of what was registered. What throws must have done nothing. Functions of
      // JavaScript cannot be called here either; native ones can, and this one finds the region in the command block.
      if (status === 0) {
        words[CommandWord.Checker] = this.#asker.number;
        words[CommandWord.Mode] = ReleaseMode.Force;
        releaseMr();
      }
      throw error;
    }
  }

  /**
   * Makes a region over all DMA memory of the device, with both keys 0. The first one is what key 0 names in checks; others are
   * inert, and stay so.
   *
   * Kernel: `rvt_get_dma_mr`.
   *
   * @throws RdmaError `EPERM`: the domain is not trusted; `EINVAL`: unknown rights; `ENOMEM`, `EBADF`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  getDmaMr(options: GetDmaMrOptions = {}): MemoryRegion {
    const { access: givenAccess = 0 } = optionsOf<GetDmaMrOptions>(options, ['access']);
    const access = readAccessBits('ProtectionDomain.getDmaMr', givenAccess, 'options.access');
    return this.#make('ProtectionDomain.getDmaMr', MemoryRegion, () => this.#native.getDmaMr(access));
  }

  /**
   * Makes a region for {@link MemoryRegion.mapSg} and {@link QueuePair.fastRegMr}, with nothing mapped and no rights.
   *
   * Kernel: `rvt_alloc_mr`.
   *
   * @throws RdmaError `EINVAL`: another type (tested first), or `maxNumSg` above 2^31-1; `ENOMEM`: no free slot; `EBADF`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  allocMr(options: AllocMrOptions): MemoryRegion {
    const { maxNumSg: givenMax, type: givenType = 'MEM_REG' } = requiredOptionsOf<AllocMrOptions>(options, [
      'maxNumSg',
      'type',
    ]);
    const maxNumSg = u32(givenMax, 'options.maxNumSg');
    const type = mrTypes[oneOf(givenType, 'options.type', mrTypeNames)];
    return this.#make('ProtectionDomain.allocMr', MemoryRegion, () => this.#native.allocMr(type, maxNumSg));
  }

  /**
   * Makes a fast memory region, with nothing mapped.
   *
   * Kernel: `rvt_alloc_fmr`.
   *
   * @throws RdmaError `EINVAL`: rights that cannot be given; `pageShift` above 30; `maxPages` negative or above 2^31-1
   * @throws RdmaError `ENOMEM`: no free slot; `EBADF`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  allocFmr(options: AllocFmrOptions): FastMemoryRegion {
    const method = 'ProtectionDomain.allocFmr';
    const {
      access: givenAccess = 0,
      maxPages: givenMaxPages,
      maxMaps: givenMaxMaps = DEFAULT_MAX_MAPS,
      pageShift: givenPageShift = DEFAULT_PAGE_SHIFT,
    } = requiredOptionsOf<AllocFmrOptions>(options, ['access', 'maxPages', 'maxMaps', 'pageShift']);
    const maxPages = safeInteger(givenMaxPages, 'options.maxPages');
    const maxMaps = u32(givenMaxMaps, 'options.maxMaps');
    const pageShift = u8(givenPageShift, 'options.pageShift');
    const access = readRegionAccess(method, givenAccess, 'options.access');
    return this.#make(method, FastMemoryRegion, () =>
      this.#native.allocFmr(access, maxPages, maxMaps, pageShift),
    );
  }

  /**
   * The region of this domain that holds all bytes of a view, buffer or DataView: one of {@link ProtectionDomain.regUserMr}, made in
   * this thread, whose key works. Of several it is the one that begins nearest before the view, and of those that begin together the
   * newest. With the region's {@link Region.advertise} and the view's distance from the region's first byte, which the rows of
   * {@link Device.resources} tell, a peer gets the right address.
   *
   * The first call takes time for all regions of the device in this thread. After that it takes steps for the logarithm of the regions
   * over this buffer, and for those over the view that lack the rights asked for.
   *
   * @param access - rights that it must grant, bits of {@link Access}. Default 0: any
   * @returns undefined if there is none, or if the view has no bytes
   * @throws RdmaError `EINVAL`: the memory is detached; `EBADF`: the domain is gone
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  regionOf(memory: MemoryLike, access: Access = 0): MemoryRegion | undefined {
    const self = this.#native;
    const rights = u32(access, 'access');
    const bytes = bytesOf('ProtectionDomain.regionOf', memory, 'memory');
    throwOnError('ProtectionDomain.regionOf', self.serial());
    return regionCovering(this.#table.registry, bytes, this.#asker.id, rights);
  }

  /**
   * Makes a queue pair in the domain.
   *
   * @throws RdmaError `ENOMEM`, `EBADF`
   */
  createQp(): QueuePair {
    const made = this.#native.createQp();
    try {
      const qp = new QueuePair(construction, resultOf('ProtectionDomain.createQp', made), this.#table);
      this.#table.created('queuePair', () => qp.id);
      return qp;
    } catch (error) {
      if (typeof made === 'object') made.destroy(); // see regUserMr
      throw error;
    }
  }

  /**
   * Judges a local access, by local address. It wants all bits of `access`; 0 (reading) always passes. Once the domain is closed (or
   * its device), everything is refused with `'Closed'`.
   *
   * An empty element (length 0) is judged like any other one: it needs a live key and an address inside the region or at its end.
   * The kernel's callers skip empty elements before they ask, so skip them, too, if a list may have them.
   *
   * Kernel: `rvt_lkey_ok`.
   *
   * @param sge - the local address range, and the key that names its region
   * @param access - bits of {@link Access}
   * @returns the accepted element, to be put; or `last`, grown; or the refusal and its reason
   * @throws RdmaError `EINVAL`: `last` is of another device; `ENOMEM`: the region is held 2^32-1 times
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  acquire(sge: LocalSge, access: Access, options?: AcquireOptions): LocalCheck {
    // Read all properties before the first store: a getter may run a check and overwrite the block.
    const { addr, length, lkey } = propertiesOf<LocalSge>(sge, 'sge');
    const last = options === undefined ? undefined : this.#last(options);
    const asker = this.#asker;
    storeAccess(asker.number, addr, 'sge.addr', length, 'sge.length', lkey, 'sge.lkey', access);
    // Stored: so they are what their types say.
    return acquireAccess(asker, addr as bigint, length as number, lkey as number, access, last);
  }

  /**
   * The verdict of {@link ProtectionDomain.acquire} without a reference: nothing to put, and nothing that keeps the region.
   *
   * @returns where the bytes are, or the refusal and its reason
   * @throws as {@link ProtectionDomain.acquire}
   */
  check(sge: LocalSge, access: Access): CheckedPlace {
    const { addr, length, lkey } = propertiesOf<LocalSge>(sge, 'sge');
    const asker = this.#asker;
    storeAccess(asker.number, addr, 'sge.addr', length, 'sge.length', lkey, 'sge.lkey', access);
    return checkAccess(asker, addr as bigint, length as number, lkey as number, access);
  }

  /**
   * Makes a batch of local checks: many in one call.
   *
   * @param capacity - elements, 1..2^24
   * @throws RdmaError `EBADF`: the domain is gone; TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  lkeyBatch(capacity: number, options: CheckBatchOptions = {}): CheckBatch {
    return new CheckBatch(construction, this.#asker, capacity, options);
  }

  /**
   * Makes a checker: one local check per call, without allocation. See {@link Checker}.
   *
   * @throws RdmaError `EBADF`: the domain is gone
   */
  checker(): Checker {
    return new Checker(construction, this.#asker);
  }

  /**
   * Ends many regions of this domain, as {@link MemoryRegion.dereg} and {@link FastMemoryRegion.dealloc} do one, but waits only once
   * until no other thread moves a byte of any of them. All keys are dead at once. Regions that are gone already are passed over; the
   * list may name one twice.
   *
   * @throws RdmaError `EBUSY`: elements of at least one are held. Those regions are half-dead, the others have ended
   * @throws RdmaError `EINVAL`: a region is not in this domain; `EBADF`: the domain is gone. Nothing has changed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  deregMany(regions: readonly (MemoryRegion | FastMemoryRegion)[], options: DeregOptions = {}): void {
    const self = this.#native;
    const { force: givenForce = false } = optionsOf<DeregOptions>(options, ['force']);
    const force = boolean(givenForce, 'options.force');
    const names = elements(regions, 'regions', (region, name) => {
      if (!isRegion(region)) {
        throw invalidType(name, 'an instance of MemoryRegion or FastMemoryRegion', region);
      }
      return nameOf(region);
    });
    throwOnError('ProtectionDomain.deregMany', self.deregMany(regionNames(names), force));
    // By force elements may be held still, and their region is known.
    if (force) return;
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      if (name !== undefined) this.#table.remove(name.index, name.id);
    }
  }

  /** What it is, in one line. Never throws. */
  toString(): string {
    return textOf('ProtectionDomain', this, describeProtectionDomain);
  }

  /** The same as an object for JSON. Never throws. */
  toJSON(): ShownProtectionDomain {
    return jsonOf('ProtectionDomain', this, describeProtectionDomain);
  }

  /**
   * Ends the domain. A second call after success is a no-op.
   *
   * Kernel: `rvt_dealloc_pd`.
   *
   * @throws RdmaError `EBUSY`: it has queue pairs or regions (half-dead ones too), and `cascade` was not asked for; `EPERM`: the
   *   device was attached by the token of this domain ({@link ShareOptions.pd})
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  dealloc(options: DeallocPdOptions = {}): void {
    const self = this.#native;
    const { cascade: givenCascade = false } = optionsOf<DeallocPdOptions>(options, ['cascade']);
    const status = self.dealloc(boolean(givenCascade, 'options.cascade'));
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('ProtectionDomain.dealloc', status);
  }

  /** Ends the domain with everything in it. Never throws. */
  [dispose](): void {
    this.#native.dealloc(true);
  }

  /**
   * Makes a region of a kind that is not user memory, and its object.
   *
   * @param register - calls the native module
   */
  #make<R extends AnyRegion>(
    method: Method,
    kind: new (token: typeof construction, name: RegionName, table: RegionTable) => R,
    register: () => Status,
  ): R {
    const status = register();
    try {
      throwOnError(method, status);
      const region = new kind(
        construction,
        readNewRegion(this.#native, this.#asker.number, undefined),
        this.#table,
      );
      this.#table.add(region);
      return region;
    } catch (error) {
      if (status === 0) {
        words[CommandWord.Checker] = this.#asker.number; // as in regUserMr
        words[CommandWord.Mode] = ReleaseMode.Force;
        releaseMr();
      }
      throw error;
    }
  }

  static {
    nativeDomainOf = (value) =>
      typeof value === 'object' && value !== null && #native in value ? value.#native : undefined;
  }

  #last(options: unknown): Sge | undefined {
    const { last } = optionsOf<AcquireOptions>(options, ['last']);
    if (last === undefined || last === null) return undefined;
    if (!isSge(last)) throw invalidType('options.last', 'an instance of Sge', last);
    if (tableOf(last).registry !== this.#table.registry) {
      throw explainedError('ProtectionDomain.acquire', 'EINVAL', 'ElementOnOtherDevice');
    }
    return last;
  }

  static {
    describeProtectionDomain = (pd) => ({
      class: 'ProtectionDomain',
      id: pd.#asker.id,
      state: pd.#native.serial() < 0 ? 'Closed' : 'Open',
    });
    showAs(ProtectionDomain, 'ProtectionDomain', (object) =>
      textOf('ProtectionDomain', object, describeProtectionDomain),
    );
  }
}
