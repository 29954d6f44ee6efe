import { type Access, readAccessBits, readRegionAccess } from './access';
import {
  boolean,
  elements,
  illegalConstructor,
  invalidType,
  oneOf,
  optionsOf,
  propertiesOf,
  safeInteger,
  u8,
  u32,
} from '../internal/arguments';
import { Checker } from './checker';
import { acquireAccess, checkAccess, type CheckedPlace, type LocalCheck } from './check-result';
import { dispose } from '../internal/disposal';
import { storeLong } from '../internal/command';
import { storeAccess } from '../internal/element';
import { Errno, explainedError, rdmaError, resultOf, throwOnError } from '../internal/errors';
import { FastMemoryRegion } from './fast-memory-region';
import { type Lkey } from './keys';
import { CommandFlag, CommandWord, MrTypeNumber, PAGE_SHIFT } from '../internal/layout';
import { registrableBytesOf, type MemoryLike, throwIfDetached } from '../internal/memory-argument';
import { MemoryRegion } from './memory-region';
import { type Method } from '../internal/methods';
import { type NativeProtectionDomain, type Status } from '../internal/native';
import { readNewRegion, regionNames, registerMemory } from '../internal/region-name';
import { QueuePair } from './queue-pair';
import { construction } from '../internal/construction';
import { type DeregOptions, isRegion, nameOf } from './region';
import { type RegionTable } from './region-registry';
import { isSge, type Sge, tableOf } from './sge';
import { CheckBatch, type CheckBatchOptions } from './check-batch';

/** Options of {@link ProtectionDomain.regUserMr}. */
export interface RegUserMrOptions {
  /** The local address of the first byte: any number; ranges may overlap. Default: a free one, 4 KiB aligned. */
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
  /** The element before this one: if the new one continues it, it grows instead. A put element counts as none. */
  last?: Sge | null;
}

const DEFAULT_MAX_MAPS = 32;
const DEFAULT_PAGE_SHIFT = PAGE_SHIFT;

/**
 * A protection domain: regions can be used through it only if they belong to it (`struct rvt_pd`).
 *
 * Made by {@link Device.allocPd}.
 */
export class ProtectionDomain {
  readonly #native: NativeProtectionDomain;
  readonly #table: RegionTable;
  readonly #id: number;
  /** Identifies the domain in the command block. */
  readonly #number: number;

  /** @internal */
  constructor(token: typeof construction, native: NativeProtectionDomain, table: RegionTable) {
    if (token !== construction) throw illegalConstructor();
    this.#native = native;
    this.#table = table;
    this.#id = throwOnError('Device.allocPd', native.serial()); // another thread may have ended it
    this.#number = native.number();
  }

  /** Unique on the device, never given twice: what {@link Device.importPd} takes. */
  get id(): number {
    return this.#id;
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
    const { start, iova, access: givenAccess = 0 } = optionsOf<RegUserMrOptions>(options);
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
    const status = registerMemory(this.#number, access, flags, bytes);
    if (status === -Errno.EINVAL) throwIfDetached(method, bytes, 'memory'); // to native code, memory without bytes
    return this.#memoryRegion(method, status, access);
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
    const { access: givenAccess = 0 } = optionsOf<GetDmaMrOptions>(options);
    const access = readAccessBits('ProtectionDomain.getDmaMr', givenAccess, 'options.access');
    return this.#memoryRegion('ProtectionDomain.getDmaMr', this.#native.getDmaMr(access), undefined);
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
    const { maxNumSg: givenMax, type: givenType = 'MEM_REG' } = propertiesOf<AllocMrOptions>(
      options,
      'options',
    );
    const maxNumSg = u32(givenMax, 'options.maxNumSg');
    const type = mrTypes[oneOf(givenType, 'options.type', mrTypeNames)];
    return this.#memoryRegion('ProtectionDomain.allocMr', this.#native.allocMr(type, maxNumSg), undefined);
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
    } = propertiesOf<AllocFmrOptions>(options, 'options');
    const maxPages = safeInteger(givenMaxPages, 'options.maxPages');
    const maxMaps = u32(givenMaxMaps, 'options.maxMaps');
    const pageShift = u8(givenPageShift, 'options.pageShift');
    const access = readRegionAccess(method, givenAccess, 'options.access');
    throwOnError(method, this.#native.allocFmr(access, maxPages, maxMaps, pageShift));
    const name = readNewRegion(this.#native, this.#number, undefined);
    const region = new FastMemoryRegion(construction, name, this.#table);
    this.#table.add(region);
    return region;
  }

  /**
   * Makes a queue pair in the domain.
   *
   * @throws RdmaError `ENOMEM`, `EBADF`
   */
  createQp(): QueuePair {
    const qp = resultOf('ProtectionDomain.createQp', this.#native.createQp());
    this.#table.created('queuePair', () => qp.serial());
    return new QueuePair(construction, qp, this.#table);
  }

  /**
   * Judges a local access, by local address. It wants all bits of `access`; 0 (reading) always passes.
   *
   * Kernel: `rvt_lkey_ok`.
   *
   * @param sge - the local address range, and the key that names its region
   * @param access - bits of {@link Access}
   * @returns the accepted element, to be put; or `last`, grown; or the refusal and its reason
   * @throws RdmaError `EBADF`: the domain is gone; `EINVAL`: `last` is of another device; `ENOMEM`: the
   *   region is held 2^32-1 times
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  acquire(sge: LocalSge, access: Access, options?: AcquireOptions): LocalCheck {
    // Read all properties before the first store: a getter may run a check and overwrite the block.
    const { addr, length, lkey } = propertiesOf<LocalSge>(sge, 'sge');
    const last = options === undefined ? undefined : this.#last(options);
    storeAccess(this.#number, addr, 'sge.addr', length, 'sge.length', lkey, 'sge.lkey', access);
    return acquireAccess('ProtectionDomain.acquire', this.#table, last);
  }

  /**
   * The verdict of {@link ProtectionDomain.acquire} without a reference: nothing to put, and nothing that keeps the region.
   *
   * @returns where the bytes are, or the refusal and its reason
   * @throws as {@link ProtectionDomain.acquire}
   */
  check(sge: LocalSge, access: Access): CheckedPlace {
    const { addr, length, lkey } = propertiesOf<LocalSge>(sge, 'sge');
    storeAccess(this.#number, addr, 'sge.addr', length, 'sge.length', lkey, 'sge.lkey', access);
    return checkAccess('ProtectionDomain.check');
  }

  /**
   * Makes a batch of local checks: many in one call.
   *
   * @param capacity - elements, 1..2^24
   * @throws RdmaError `EBADF`: the domain is gone; TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  lkeyBatch(capacity: number, options: CheckBatchOptions = {}): CheckBatch {
    return new CheckBatch(
      construction,
      this.#native,
      this.#table,
      capacity,
      options,
      'ProtectionDomain.lkeyBatch',
    );
  }

  /**
   * Makes a checker: one local check per call, without allocation. See {@link Checker}.
   *
   * @throws RdmaError `EBADF`: the domain is gone
   */
  checker(): Checker {
    return new Checker(construction, this.#native, 'ProtectionDomain.checker');
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
    const { force: givenForce = false } = optionsOf<DeregOptions>(options);
    const force = boolean(givenForce, 'options.force');
    const names = elements(regions, 'regions', (region, name) => {
      if (!isRegion(region)) {
        throw invalidType(name, 'an instance of MemoryRegion or FastMemoryRegion', region);
      }
      return nameOf(region);
    });
    throwOnError('ProtectionDomain.deregMany', self.deregMany(regionNames(names), force));
    // By force elements may be held still, and their region is known.
    if (!force) for (const { index, id } of names) this.#table.remove(index, id);
  }

  /**
   * Ends the domain. A second call after success is a no-op.
   *
   * Kernel: `rvt_dealloc_pd`.
   *
   * @throws RdmaError `EBUSY`: it has queue pairs or regions (half-dead ones too), and `cascade` was not asked for
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  dealloc(options: DeallocPdOptions = {}): void {
    const self = this.#native;
    const { cascade: givenCascade = false } = optionsOf<DeallocPdOptions>(options);
    const status = self.dealloc(boolean(givenCascade, 'options.cascade'));
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('ProtectionDomain.dealloc', status);
  }

  /** Ends the domain with everything in it. Never throws. */
  [dispose](): void {
    this.#native.dealloc(true);
  }

  /** Makes the object of the region that the last call has made. `access`: as for `readNewRegion`. */
  #memoryRegion(method: Method, status: Status, access: Access | undefined): MemoryRegion {
    throwOnError(method, status);
    const name = readNewRegion(this.#native, this.#number, access);
    const region = new MemoryRegion(construction, name, this.#table);
    this.#table.add(region);
    return region;
  }

  #last(options: unknown): Sge | undefined {
    const { last } = optionsOf<AcquireOptions>(options);
    if (last === undefined || last === null) return undefined;
    if (!isSge(last)) throw invalidType('options.last', 'an instance of Sge', last);
    if (tableOf(last).registry !== this.#table.registry) {
      throw explainedError('ProtectionDomain.acquire', 'EINVAL', 'ElementOnOtherDevice');
    }
    return last;
  }
}
