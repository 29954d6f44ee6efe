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
import { setDomainLookUp } from './domain-native';
import { fieldNumber, storeLong, words } from '../internal/command';
import { storeAccess } from '../internal/element';
import { Errno, explainedError, rdmaError, resultOf, throwOnError } from '../internal/errors';
import { FastMemoryRegion } from './fast-memory-region';
import { type Lkey } from './keys';
import {
  CommandFlag,
  CommandWord,
  MrTypeNumber,
  PAGE_SHIFT,
  ReleaseMode,
  WindowField,
} from '../internal/layout';
import { bytesOf, registrableBytesOf, throwIfDetached, type MemoryLike } from '../internal/memory-argument';
import { type Method } from '../internal/methods';
import { MemoryRegion } from './memory-region';
import { MemoryWindow } from './memory-window';
import { native, type NativeProtectionDomain, type Status } from '../internal/native';
import { readNewRegion, type RegionName, regionNames, registerMemory } from '../internal/region-name';
import { createWindow, queryWindow, readNewWindow } from '../internal/window-name';
import { QueuePair } from './queue-pair';
import { type CreateQpOptions } from './queue-pair-options';
import { readQpOptions } from './create-qp-options';
import { construction } from '../internal/construction';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { type DeregOptions, isRegion, nameOf } from './region';
import { regionCovering } from './region-of';
import { type AnyRegion, type RegionTable } from './region-registry';
import { isSge, type Sge, tableOf } from './sge';
import { CheckBatch, type CheckBatchOptions } from './check-batch';
import { AddressHandle, type CreateAhOptions, readDestination } from './address-handle';
import { sweep } from './event-dispatch';
import { type CreateSrqOptions, SharedReceiveQueue } from './shared-receive-queue';
import { type VerbsHome } from './verbs-registry';

const { deallocMw, releaseMr } = native;
const { hasOwn } = Object;

/** Options of {@link ProtectionDomain.regUserMr}. */
export interface RegUserMrOptions {
  /**
   * Local address of the first byte. May be any number, and ranges may overlap. As in the kernel, the end of the region, rounded
   * up to a page of 4 KiB, must be below 2^64: the last page of the address space is not available for local addresses, while
   * remote addresses (`iova`) may end at exactly 2^64. Default: a free address, aligned to 4 KiB.
   */
  start?: bigint | number;
  /** Remote address of the first byte. Default: `start`. */
  iova?: bigint | number;
  /** Access rights, bits of {@link Access}. Default 0: only local reads. */
  access?: Access;
}

/** Options of {@link ProtectionDomain.getDmaMr}. */
export interface GetDmaMrOptions {
  /** Access rights, bits of {@link Access}. Checks ignore them. Default 0. */
  access?: Access;
}

/** A type of region for work requests, as in the kernel's `enum ib_mr_type`. Only `'MEM_REG'` is supported. */
export type MrType = 'MEM_REG' | 'SG_GAPS' | 'DM' | 'USER' | 'DMA' | 'INTEGRITY';

const mrTypes: Readonly<Record<MrType, MrTypeNumber>> = {
  MEM_REG: MrTypeNumber.MemReg,
  SG_GAPS: MrTypeNumber.SgGaps,
  DM: MrTypeNumber.Dm,
  USER: MrTypeNumber.User,
  DMA: MrTypeNumber.Dma,
  INTEGRITY: MrTypeNumber.Integrity,
};
const mrTypeNames = Object.keys(mrTypes) as MrType[];

/** Options of {@link ProtectionDomain.allocMr}. */
export interface AllocMrOptions {
  /** Maximum number of pages that the region can map, 0..2^31-1. */
  maxNumSg: number;
  /** Type of the region. Only `'MEM_REG'`, the default, is supported. */
  type?: MrType;
}

/** Options of {@link ProtectionDomain.allocFmr}. */
export interface AllocFmrOptions {
  /** Access rights, bits of {@link Access}. Default 0. */
  access?: Access;
  /** Maximum number of pages that the region can map, 0..2^31-1. */
  maxPages: number;
  /** How often the region may be mapped before it must be unmapped. Accepted but ignored, as in the kernel. Default 32. */
  maxMaps?: number;
  /** Base-2 logarithm of the page size in bytes, 0..30. Default 12. */
  pageShift?: number;
}

/** Options of {@link ProtectionDomain.dealloc}. */
export interface DeallocPdOptions {
  /** Also close the contents of the domain: queue pairs first, then regions by force. Default false. */
  cascade?: boolean;
}

/** The address range and key of a local work request (`struct ib_sge`). */
export interface LocalSge {
  /** Local address of the first byte of the range. */
  addr: bigint | number;
  /** Length of the range in bytes, 0..2^32-1. */
  length: number;
  /** The lkey of the region that contains the range. */
  lkey: Lkey;
}

/** Options of {@link ProtectionDomain.acquire}. */
export interface AcquireOptions {
  /**
   * The previous element of the list. If the new access continues it, the call extends it instead of creating a new element. An
   * element that has been put is ignored.
   *
   * Applies to page lists, scatter-gather lists and key 0 only: the kernel compares DMA addresses, which user memory does not
   * have. Elements of {@link ProtectionDomain.regUserMr} are therefore never coalesced.
   */
  last?: Sge | null;
}

const DEFAULT_MAX_MAPS = 32;
const DEFAULT_PAGE_SHIFT = PAGE_SHIFT;

/**
 * As {@link ProtectionDomain.regUserMr}, but the region does not keep an ArrayBuffer alive: once the buffer was collected, its
 * bytes are refused like those of a detached one. A SharedArrayBuffer is kept alive all the same.
 */
export let registerWeakly: (
  pd: ProtectionDomain,
  method: Method,
  access: Access,
  bytes: Uint8Array,
) => MemoryRegion;

/** Returned by {@link ProtectionDomain.toJSON}. */
export interface ShownProtectionDomain extends Shown {
  class: 'ProtectionDomain';
  id: number;
  state: 'Open' | 'Closed';
}

let describeProtectionDomain: (object: ProtectionDomain) => ShownProtectionDomain;

/**
 * A protection domain (`struct rvt_pd`): its regions can be accessed only through this domain and its queue pairs.
 *
 * Created by {@link Device.allocPd}.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(Buffer.from('hello'));
 * const target = Buffer.alloc(5);
 * const check = pd.acquire({ addr: mr.start, length: 5, lkey: mr.lkey }, 0);
 * if (!check.ok) throw new Error(check.explain());
 * check.sge.copyTo(target);
 * check.sge.put();
 * console.log(target.toString()); // hello
 * ```
 */
export class ProtectionDomain {
  readonly #native: NativeProtectionDomain;
  readonly #table: RegionTable;
  readonly #asker: Asker;
  readonly #home: VerbsHome;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, native: NativeProtectionDomain, home: VerbsHome) {
    if (token !== construction) throw illegalConstructor();
    const { table } = home;
    this.#native = native;
    this.#home = home;
    this.#table = table;
    const id = throwOnError('Device.allocPd', native.serial()); // another thread may have deallocated the domain
    this.#asker = { native, number: native.number(), id, remote: false, table };
    markUncloneable(this);
  }

  /** Unique on the device and never reused. {@link Device.importPd} takes this id. */
  get id(): number {
    return this.#asker.id;
  }

  /**
   * Registers memory: exactly the bytes of the view or buffer. The memory is kept alive until the region is closed.
   *
   * Kernel: `rvt_reg_user_mr`.
   *
   * @param memory - any view, ArrayBuffer or SharedArrayBuffer
   * @returns the new region
   * @throws RdmaError `EINVAL`: the memory is empty or detached; the rights are invalid; `start` or `iova` plus the length
   *   exceeds 64 bits
   * @throws RdmaError `ENOMEM`: no free slot in the key table; `EBADF`: the domain is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  regUserMr(memory: MemoryLike, options: RegUserMrOptions = {}): MemoryRegion {
    const method = 'ProtectionDomain.regUserMr';
    // Read all properties before the first store: a getter may register memory and overwrite the block.
    const given = namedOptionsOf<RegUserMrOptions>(options, ['start', 'iova', 'access']);
    const start = hasOwn(given, 'start') ? given.start : undefined;
    const iova = hasOwn(given, 'iova') ? given.iova : undefined;
    // An explicit undefined is rejected below: rights must not default by mistake.
    const givenAccess = hasOwn(given, 'access') ? given.access : 0;
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
    return this.#register(method, access, flags, registrableBytesOf(method, memory, 'memory'));
  }

  /**
   * Creates a region over all DMA memory of the device; its lkey and rkey are 0. The first such region of the device is
   * published: checks with key 0 use it. Further ones are never used by a check.
   *
   * Kernel: `rvt_get_dma_mr`.
   *
   * @returns the new region
   * @throws RdmaError `EPERM`: the domain is not trusted; `EINVAL`: unknown rights; `ENOMEM`, `EBADF`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  getDmaMr(options: GetDmaMrOptions = {}): MemoryRegion {
    const { access: givenAccess = 0 } = optionsOf<GetDmaMrOptions>(options, ['access']);
    const access = readAccessBits('ProtectionDomain.getDmaMr', givenAccess, 'options.access');
    return this.#make('ProtectionDomain.getDmaMr', MemoryRegion, () => this.#native.getDmaMr(access));
  }

  /**
   * Creates a region for {@link MemoryRegion.mapSg} and {@link QueuePair.fastRegMr}. The new region maps nothing and grants no
   * rights.
   *
   * Kernel: `rvt_alloc_mr`.
   *
   * @returns the new region
   * @throws RdmaError `EINVAL`: another type (tested first), or `maxNumSg` above 2^31-1; `ENOMEM`: no free slot in the key table;
   *   `EBADF`
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
   * Creates a fast memory region. The new region maps nothing.
   *
   * Kernel: `rvt_alloc_fmr`.
   *
   * @returns the new region
   * @throws RdmaError `EINVAL`: the rights are invalid; `pageShift` above 30; `maxPages` negative or above 2^31-1
   * @throws RdmaError `ENOMEM`: no free slot in the key table; `EBADF`
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
   * Creates a memory window of type 2B. It is unbound: peers are refused until a {@link BindMwRequest} binds it.
   *
   * Verbs: `ibv_alloc_mw`.
   *
   * @returns the new window
   * @throws RdmaError `ENOMEM`: no free slot in the key table; `EBADF`: the domain is closed
   */
  allocMw(): MemoryWindow {
    const { number } = this.#asker;
    const status = createWindow(number);
    try {
      throwOnError('ProtectionDomain.allocMw', status);
      const name = readNewWindow(this.#native, number);
      throwOnError('ProtectionDomain.allocMw', queryWindow(name)); // another thread may have closed the domain
      const id = fieldNumber(WindowField.Id);
      const window = new MemoryWindow(construction, name, id);
      if (this.#table.stacks) this.#table.created('window', () => id);
      return window;
    } catch (error) {
      // As in regUserMr: the object could not be created at the end of the stack. The block still names the window.
      if (status === 0) {
        words[CommandWord.Checker] = number;
        deallocMw();
      }
      throw error;
    }
  }

  /**
   * Returns the region of this domain that covers all bytes of a view, buffer or DataView. Considers regions of
   * {@link ProtectionDomain.regUserMr} that this thread created and whose keys are valid. If several match, returns the one that
   * begins closest to the view, and among those with the same start the newest.
   *
   * To advertise a view to a peer, pass its offset in the region to {@link Region.advertise}. The offset is the difference
   * between the view's `byteOffset` and the region's {@link MemoryPlace.offset} in {@link Device.resources}.
   *
   * The first call indexes all regions that this thread created on the device. Later calls index only new regions, and take time
   * logarithmic in the number of regions over the same buffer.
   *
   * @param memory - the bytes that the region must cover
   * @param access - rights that the region must grant, bits of {@link Access}. Default 0: any region matches
   * @returns undefined if no region matches or the view has no bytes
   * @throws RdmaError `EINVAL`: the memory is detached; `EBADF`: the domain is closed
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
   * Creates a queue pair in the domain: without options one that only checks a peer's requests, with a type one that carries out
   * work requests. The new queue pair is in RESET; see {@link QueuePair.connect} and {@link QueuePair.activate}.
   *
   * Kernel: `rvt_create_qp`.
   *
   * @param options - type, completion queues and sizes
   * @returns the new queue pair
   * @throws RdmaError `EINVAL`: a size is above the limit of the device; all sizes are 0; a queue was created by another
   *   {@link Device} object. `ENOMEM`: the device has as many queue pairs as `maxQp` allows, or memory allocation failed. `EBADF`:
   *   the domain or a queue is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  createQp(options?: { type?: 'CHECK' }): QueuePair<'CHECK'>;
  createQp<Type extends 'RC' | 'UC' | 'UD'>(options: CreateQpOptions<Type>): QueuePair<Type>;
  createQp(options?: { type?: 'CHECK' } | CreateQpOptions): QueuePair {
    const self = this.#native;
    const init = options === undefined ? undefined : readQpOptions(options);
    const made =
      init === undefined
        ? self.createCheckQp()
        : self.createQp(init.nativeSendCq, init.nativeRecvCq, init.nativeSrq, init.words);
    try {
      const qp = new QueuePair(
        construction,
        resultOf('ProtectionDomain.createQp', made),
        this.#table,
        // Written out: the objects of all queue pairs then have the same hidden class.
        init && {
          type: init.type,
          home: this.#home,
          local: this.#asker,
          sendCq: init.sendCq,
          recvCq: init.recvCq,
          srq: init.srq,
          maxPending: init.maxPending,
        },
      );
      this.#table.created('queuePair', () => qp.id);
      return qp;
    } catch (error) {
      if (typeof made === 'object') made.destroy(); // a call that throws must leave nothing behind; see regUserMr
      throw error;
    }
  }

  /**
   * Creates a shared receive queue in the domain.
   *
   * Kernel: `rvt_create_srq`.
   *
   * @returns the new queue
   * @throws RdmaError `EINVAL`: `maxWr` or `maxSge` is 0 or above the device's limit; `ENOMEM`: the device has as many shared
   *   receive queues as `maxSrq` allows, or memory allocation failed; `EBADF`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  createSrq(options: CreateSrqOptions): SharedReceiveQueue {
    const self = this.#native;
    const {
      maxWr: givenWr,
      maxSge: givenSge = 1,
      limit: givenLimit = 0,
    } = requiredOptionsOf<CreateSrqOptions>(options, ['maxWr', 'maxSge', 'limit']);
    const maxWr = u32(givenWr, 'options.maxWr');
    const maxSge = u32(givenSge, 'options.maxSge');
    const made = self.createSrq(maxWr, maxSge, u32(givenLimit, 'options.limit'), true);
    try {
      const srq = new SharedReceiveQueue(
        construction,
        resultOf('ProtectionDomain.createSrq', made),
        this.#home,
      );
      this.#table.created('sharedReceiveQueue', () => srq.id);
      return srq;
    } catch (error) {
      if (typeof made === 'object') made.destroy(); // a call that throws must leave nothing behind; see regUserMr
      throw error;
    }
  }

  /**
   * Creates an address handle in the domain, for datagrams of UD queue pairs in the same domain.
   *
   * Kernel: `rvt_create_ah`.
   *
   * @returns the new handle
   * @throws RdmaError `EINVAL`: `port` is not 1; `staticRate` is neither 0 nor 2..22; or `address` is not that of one host. `ENOMEM`:
   *   the device has as many address handles as `maxAh` allows, or memory allocation failed. `EOPNOTSUPP`: `address` on an operating
   *   system without endpoints. `EBADF`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  createAh(options: CreateAhOptions = {}): AddressHandle {
    const self = this.#native;
    const {
      dlid: givenDlid = 1,
      sl: givenSl = 0,
      staticRate: givenRate = 0,
      port: givenPort = 1,
      address,
      udpPort,
    } = optionsOf<CreateAhOptions>(options, ['dlid', 'sl', 'staticRate', 'port', 'address', 'udpPort']);
    const dlid = u32(givenDlid, 'options.dlid');
    const sl = u8(givenSl, 'options.sl');
    const staticRate = u8(givenRate, 'options.staticRate');
    const port = u8(givenPort, 'options.port');
    const to = readDestination(address, udpPort);
    const made =
      to === undefined
        ? self.createAh(dlid, sl, staticRate, port)
        : self.createAh(dlid, sl, staticRate, port, to.bytes, to.port);
    try {
      const ah = new AddressHandle(construction, resultOf('ProtectionDomain.createAh', made));
      this.#table.created('addressHandle', () => ah.id);
      return ah;
    } catch (error) {
      if (typeof made === 'object') made.destroy(); // as in createSrq
      throw error;
    }
  }

  /**
   * Checks a local access, by local address, and takes a reference on the region. The region must grant all bits of `access`; 0
   * means a read, which every region allows. After the domain or its device is closed, every access is refused with `'Closed'`.
   *
   * An empty element (length 0) is checked like any other: it needs a valid key and an address inside the region or at its end.
   * The kernel's callers skip empty elements before the check; skip them too if your list may contain them.
   *
   * Kernel: `rvt_lkey_ok`.
   *
   * @param sge - the local address range, and the key of its region
   * @param access - bits of {@link Access}
   * @returns the new element, which the caller must put; or `last`, extended; or the refusal with its reason
   * @throws RdmaError `EINVAL`: `last` is an element of another device; `ENOMEM`: the region is held 2^32-1 times
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  acquire(sge: LocalSge, access: Access, options?: AcquireOptions): LocalCheck {
    // Read all properties before the first store: a getter may run a check and overwrite the block.
    const { addr, length, lkey } = propertiesOf<LocalSge>(sge, 'sge');
    const last = options === undefined ? undefined : this.#last(options);
    const asker = this.#asker;
    storeAccess(asker.number, addr, 'sge.addr', length, 'sge.length', lkey, 'sge.lkey', access);
    // storeAccess has validated the types, so the casts are safe.
    return acquireAccess(asker, addr as bigint, length as number, lkey as number, access, last);
  }

  /**
   * Checks a local access like {@link ProtectionDomain.acquire}, but takes no reference: there is nothing to put, and the region
   * can be deregistered at any time.
   *
   * @param sge - the local address range, and the key of its region
   * @param access - bits of {@link Access}
   * @returns where the bytes lie, or the refusal with its reason
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  check(sge: LocalSge, access: Access): CheckedPlace {
    const { addr, length, lkey } = propertiesOf<LocalSge>(sge, 'sge');
    const asker = this.#asker;
    storeAccess(asker.number, addr, 'sge.addr', length, 'sge.length', lkey, 'sge.lkey', access);
    return checkAccess(asker, addr as bigint, length as number, lkey as number, access);
  }

  /**
   * Creates a batch, which performs many local checks in one call.
   *
   * @param capacity - number of elements, 1..2^24
   * @returns the new batch
   * @throws RdmaError `EBADF`: the domain is closed; TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  lkeyBatch(capacity: number, options: CheckBatchOptions = {}): CheckBatch {
    return new CheckBatch(construction, this.#asker, capacity, options);
  }

  /**
   * Creates a checker, which performs one local check per call without allocating. See {@link Checker}.
   *
   * @returns the new checker
   * @throws RdmaError `EBADF`: the domain is closed
   */
  checker(): Checker {
    return new Checker(construction, this.#asker);
  }

  /**
   * Deregisters many regions of this domain, with the effect of {@link MemoryRegion.dereg} or {@link FastMemoryRegion.dealloc} on
   * each. All keys are revoked together, and the call waits only once for the copies of other threads. Regions that are already
   * closed are skipped. The list may contain a region twice.
   *
   * @throws RdmaError `EBUSY`: elements are held on at least one region. Those regions are half-dead; the others are closed
   * @throws RdmaError `EINVAL`: a region is not in this domain; `EBADF`: the domain is closed. Nothing has changed
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
    // After a forced release elements may still be held, and `sge.region` must still find these objects.
    if (force) return;
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      if (name !== undefined) this.#table.remove(name.index, name.id);
    }
  }

  /** Returns a one-line description of the domain. Never throws. */
  toString(): string {
    return textOf('ProtectionDomain', this, describeProtectionDomain);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownProtectionDomain {
    return jsonOf('ProtectionDomain', this, describeProtectionDomain);
  }

  /**
   * Deallocates the domain. A second call after success is a no-op.
   *
   * Kernel: `rvt_dealloc_pd`.
   *
   * @throws RdmaError `EBUSY`: the domain has queue pairs or regions (including half-dead ones), and `cascade` is not set;
   *   `EPERM`: the device was attached by the token of this domain ({@link ShareOptions.pd})
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  dealloc(options: DeallocPdOptions = {}): void {
    const self = this.#native;
    const { cascade: givenCascade = false } = optionsOf<DeallocPdOptions>(options, ['cascade']);
    const status = self.dealloc(boolean(givenCascade, 'options.cascade'));
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('ProtectionDomain.dealloc', status);
    sweep();
  }

  /** Deallocates the domain and closes its contents. Never throws. */
  [dispose](): void {
    this.#native.dealloc(true);
    sweep();
  }

  /** Registers bytes, and creates the region's object. START and IOVA must be in the command block if `flags` says so. */
  #register(method: Method, access: Access, flags: number, bytes: Uint8Array): MemoryRegion {
    const status = registerMemory(this.#asker.number, access, flags, bytes);
    try {
      if (status === -Errno.EINVAL) throwIfDetached(method, bytes, 'memory'); // the native module sees detached memory as empty
      throwOnError(method, status);
      const name = readNewRegion(this.#native, this.#asker.number, access);
      const region = new MemoryRegion(construction, name, this.#table);
      this.#table.add(region);
      return region;
    } catch (error) {
      // Creating the object throws when the call stack is exhausted, and a call that throws must leave nothing registered.
      // JavaScript functions cannot be called in that state, but native ones can: releaseMr takes the region from the command
      // block.
      if (status === 0) {
        words[CommandWord.Checker] = this.#asker.number;
        words[CommandWord.Mode] = ReleaseMode.Force;
        releaseMr();
      }
      throw error;
    }
  }

  /**
   * Creates a region that is not over user memory, and its object.
   *
   * @param register - calls the native module to create the region
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
        words[CommandWord.Checker] = this.#asker.number; // release the region just created, as in regUserMr
        words[CommandWord.Mode] = ReleaseMode.Force;
        releaseMr();
      }
      throw error;
    }
  }

  static {
    setDomainLookUp((value) =>
      typeof value === 'object' && value !== null && #native in value ? value.#native : undefined,
    );
    registerWeakly = (pd, method, access, bytes) => pd.#register(method, access, CommandFlag.Weak, bytes);
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
