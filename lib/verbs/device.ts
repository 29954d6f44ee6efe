import { boolean, integer, oneOf, optionsOf, size, u32 } from '../internal/arguments';
import { type Counters, type CountersOptions, countersOf } from './counters';
import { type AllocDmOptions, DeviceMemory } from './device-memory';
import { bytesOfToken, type DeviceToken, tokenOf } from './device-token';
import { dispose } from '../internal/disposal';
import { DmaSpace } from './dma';
import { Errno, rdmaError, resultOf, throwOnError } from '../internal/errors';
import { type Lkey } from './keys';
import { stopWatching, watchForLeaks } from './leaks';
import { KeyTableField } from '../internal/layout';
import { elementCountOf } from '../internal/memory-argument';
import { native, type NativeDevice } from '../internal/native';
import { ProtectionDomain } from './protection-domain';
import { construction } from '../internal/construction';
import { type AnyRegion, registryOfDevice, RegionTable } from './region-registry';
import { livingOf, type Resources, resourcesOf } from './resources';

/**
 * How keys are chosen.
 *
 * - `'sequential'`: the kernel's sequence of slots and generations; every key can be foretold
 * - `'random'`: slot and generation from the system's CSPRNG, for keys that go to peers one does not trust
 */
export type KeyPolicy = 'sequential' | 'random';

const keyPolicies = ['sequential', 'random'] as const satisfies readonly KeyPolicy[];

/** Options of {@link Device.attach}. */
export interface AttachOptions {
  /**
   * Remember where each object is created in this thread, for {@link Device.resources} and for reports of leaks. Costs a stack trace
   * an object. Default false.
   */
  captureStacks?: boolean;
  /**
   * Emit a process warning (`RDMAVT_LEAK`) with the regions that are alive when nothing of the device is reachable any more, or when
   * the process (or worker) ends without having closed it. Default false.
   */
  reportLeaks?: boolean;
}

/** Options of {@link Device}. */
export interface DeviceOptions extends AttachOptions {
  /** The key table has 2^lkeyTableBits slots, one for each region. 1..23; more is 23, with a warning. Default 16. */
  lkeyTableBits?: number;
  /** Default `'sequential'`. */
  keyPolicy?: KeyPolicy;
  /**
   * Let {@link QueuePair.acquire} accept key 0, as the kernel does: a peer of a trusted domain's queue pair can name any DMA
   * address with it. Default false.
   */
  remoteKeyZero?: boolean;
}

/** Options of {@link Device.allocPd}. */
export interface AllocPdOptions {
  /** A kernel's protection domain: may have DMA regions and use key 0. Default false: a user process's. */
  trusted?: boolean;
}

/** Options of {@link Device.detach}. */
export interface DetachOptions {
  /** Take what this object has made along: queue pairs, regions by force, protection domains, DMA mappings. Default false. */
  cascade?: boolean;
}

/** Options of {@link Device.close}. */
export interface CloseOptions {
  /** Take queue pairs, regions, protection domains and DMA mappings along, in that order. Default false. */
  cascade?: boolean;
}

/** What {@link Device.keyTable} answers. */
export interface KeyTable {
  /** Slots. */
  max: number;
  /** The slot where the next search begins. */
  next: number;
  /** The raw generation counter, 32 bits. */
  generation: number;
  /** The occupied slots, ascending. */
  used: KeyTableRow[];
}

/** An occupied slot of the key table. */
export interface KeyTableRow {
  /** The slot. */
  index: number;
  /** The key that its region answers to. */
  lkey: Lkey;
  /** The region; undefined if another thread has made it. */
  region: AnyRegion | undefined;
}

const DEFAULT_LKEY_TABLE_BITS = 16;

/** An open device of another thread, for the constructor. Nobody outside can make one. */
class Attachment {
  readonly #native: NativeDevice;
  readonly options: unknown;
  constructor(device: NativeDevice, options: unknown) {
    this.#native = device;
    this.options = options;
  }
  /** The device, if `value` is one of these. Not by `instanceof`: that would ask a Proxy. */
  static device(value: object): NativeDevice | undefined {
    return #native in value ? value.#native : undefined;
  }
}

/**
 * A software RDMA device: a key table, a DMA address space, and the protection domains in it (`struct rvt_dev_info`).
 *
 * Several threads can use one device: {@link Device.share} in one, {@link Device.attach} in the others. Each has objects of its own;
 * keys are numbers and mean the same everywhere. What an object of a thread has made ends with that thread, or with
 * {@link Device.detach}; the device itself closes with {@link Device.close}, or with the last thread that uses it. Regions that other
 * threads shall read or write want memory that cannot be detached: a SharedArrayBuffer, or {@link Device.allocDm}.
 */
export class Device {
  readonly #native: NativeDevice;
  readonly #table: RegionTable;
  readonly #lkeyTableBits: number;
  readonly #dma: DmaSpace;
  readonly #attached: boolean;
  #closed = false;

  /**
   * Opens a device.
   *
   * Kernel: `rvt_driver_mr_init`.
   *
   * @throws RdmaError `EINVAL`: `lkeyTableBits` is 0; `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  constructor(options: DeviceOptions = {}) {
    const given: unknown = options;
    const attached = typeof given === 'object' && given !== null ? Attachment.device(given) : undefined;
    this.#attached = attached !== undefined;
    const { captureStacks: givenCapture = false, reportLeaks: givenReport = false } =
      optionsOf<AttachOptions>(attached ? (given as Attachment).options : given);
    const capture = boolean(givenCapture, 'options.captureStacks');
    const report = boolean(givenReport, 'options.reportLeaks');
    this.#native = attached ?? openDevice(options);
    this.#lkeyTableBits = this.#native.bits();
    this.#table = new RegionTable(registryOfDevice(this.#native.number()));
    this.#dma = new DmaSpace(construction, this.#native, this.#table);
    const self = this.#native;
    if (capture) this.#table.registry.captureStacks(() => livingOf(self));
    if (report) watchForLeaks(self, this.#table.stacks);
  }

  /**
   * Opens, in this thread, a device that another thread of the process (or this one) has shared: the same key table, DMA address space
   * and protection domains ({@link Device.importPd}), with objects of this thread's own.
   *
   * Kernel: `rvt_alloc_ucontext`.
   *
   * @param token - what {@link Device.share} gave
   * @throws RdmaError `ENODEV`: no open device has that token; `EXDEV`: it was made by another process, or by a copy of this package
   *   that was loaded from another place; `EBADF`: the device is closing; `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`)
   */
  static attach(token: DeviceToken | string, options: AttachOptions = {}): Device {
    const bytes = bytesOfToken(token, 'token');
    const attached = resultOf('Device.attach', native.attachDevice(bytes));
    return new Device(new Attachment(attached, options) as object);
  }

  /**
   * Lets other threads use the device.
   *
   * @returns the token for {@link Device.attach}, the same each time
   * @throws RdmaError `EBADF`: the device is closed; `ENOMEM`: the system has no random numbers to give
   */
  share(): DeviceToken {
    return tokenOf(resultOf('Device.share', this.#native.share()));
  }

  /** Bits of the key table in use. */
  get lkeyTableBits(): number {
    return this.#lkeyTableBits;
  }

  /** The device's DMA address space. */
  get dma(): DmaSpace {
    return this.#dma;
  }

  /** Number of this object's context, as {@link Device.resources} tells whose things are. */
  get context(): number {
    return this.#native.context();
  }

  /**
   * Makes a protection domain.
   *
   * Kernel: `rvt_alloc_pd`.
   *
   * @throws RdmaError `EBADF`: the device is closed; `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  allocPd(options: AllocPdOptions = {}): ProtectionDomain {
    const self = this.#native;
    const { trusted: givenTrusted = false } = optionsOf<AllocPdOptions>(options);
    const trusted = boolean(givenTrusted, 'options.trusted');
    const pd = resultOf('Device.allocPd', self.allocPd(!trusted));
    this.#table.created('pd', () => pd.serial());
    return new ProtectionDomain(construction, pd, this.#table);
  }

  /**
   * The protection domain with this id ({@link ProtectionDomain.id}), which another thread, or another object of the device, has
   * made. What is made in it here ends with this thread; the domain ends with its maker, and takes everything in it along.
   *
   * @throws RdmaError `EINVAL`: there is none; `EBADF`: the device is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  importPd(id: number): ProtectionDomain {
    const pd = resultOf('Device.importPd', this.#native.importPd(size(id, 'id')));
    return new ProtectionDomain(construction, pd, this.#table);
  }

  /**
   * Allocates memory that belongs to the device: zeroed, page-aligned, to be used from every thread.
   *
   * Kernel: `ib_alloc_dm`, which rdmavt has not.
   *
   * @param bytes - 1..2^53-1
   * @throws RdmaError `ENOMEM`; `EBADF`: the device is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  allocDm(bytes: number, options: AllocDmOptions = {}): DeviceMemory {
    const self = this.#native;
    const { hugePages: givenHuge = false } = optionsOf<AllocDmOptions>(options);
    const huge = boolean(givenHuge, 'options.hugePages');
    const length = integer(bytes, 'bytes', 1, Number.MAX_SAFE_INTEGER);
    const memory = resultOf('Device.allocDm', self.allocDm(length, huge));
    this.#table.created('memory', () => memory.serial());
    return new DeviceMemory(construction, memory);
  }

  /**
   * The device memory with this id ({@link DeviceMemory.id}), which another thread has allocated.
   *
   * @throws RdmaError `EINVAL`: there is none; `EBADF`: the device is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  importDm(id: number): DeviceMemory {
    const memory = resultOf('Device.importDm', this.#native.importDm(size(id, 'id')));
    return new DeviceMemory(construction, memory);
  }

  /**
   * What the key table holds now. Half-dead regions are not in it.
   *
   * @throws RdmaError `EBADF`: the device is closed
   */
  keyTable(): KeyTable {
    throwOnError('Device.keyTable', this.#native.live());
    const { max, next, generation, used } = resultOf('Device.keyTable', this.#native.keyTable());
    const rows: KeyTableRow[] = [];
    const wordCount = elementCountOf(used);
    for (let i = 0; i < wordCount; i += KeyTableField.Count) {
      rows.push({
        index: Number(used[i + KeyTableField.Index]),
        lkey: Number(used[i + KeyTableField.Lkey]) as Lkey,
        region: this.#table.find(
          Number(used[i + KeyTableField.RegionIndex]),
          Number(used[i + KeyTableField.Region]),
        ),
      });
    }
    return { max, next, generation, used: rows };
  }

  /**
   * What lives on the device now, of all threads: protection domains, queue pairs, regions, DMA mappings, device memory, with what
   * `rdma resource show` tells of a kernel's and more. One moment's picture.
   *
   * @throws RdmaError `EBADF`: the device is closed; `ENOMEM`
   */
  resources(): Resources {
    throwOnError('Device.resources', this.#native.live());
    return resourcesOf(this.#native, this.#table, this.#table.stacks);
  }

  /**
   * How many checks were accepted, how many refused and why, and how many bytes copied, since the device was opened. Each thread counts
   * for itself, without a locked instruction; asking adds them up.
   *
   * @throws RdmaError `EBADF`: the device is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  counters(options: CountersOptions = {}): Counters {
    const { own: givenOwn = false } = optionsOf<CountersOptions>(options);
    const own = boolean(givenOwn, 'options.own');
    throwOnError('Device.counters', this.#native.live());
    return countersOf(this.#native, own);
  }

  /**
   * Closes the device, for all threads. A second call after success is a no-op. If a DMA region was still published, the process is
   * warned (`RDMAVT_DMA_MR_LEAKED`).
   *
   * Kernel: `rvt_mr_exit`.
   *
   * @throws RdmaError `EBUSY`: protection domains or DMA mappings are alive, and `cascade` was not asked for
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  close(options: CloseOptions = {}): void {
    const { cascade: givenCascade = false } = optionsOf<CloseOptions>(options);
    const status = this.#close(boolean(givenCascade, 'options.cascade'));
    if (status < 0) throw rdmaError('Device.close', status);
  }

  /**
   * Leaves the device: what this object has made ends, and its methods throw `EBADF`. Others go on; the last one that leaves closes the
   * device. A second call after success is a no-op.
   *
   * Kernel: `rvt_dealloc_ucontext`.
   *
   * @throws RdmaError `EBUSY`: something that this object has made is alive, and `cascade` was not asked for
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  detach(options: DetachOptions = {}): void {
    const { cascade: givenCascade = false } = optionsOf<DetachOptions>(options);
    const status = this.#detach(boolean(givenCascade, 'options.cascade'));
    if (status < 0) throw rdmaError('Device.detach', status);
  }

  /**
   * Closes the device with everything in it if this object has opened it; leaves it with everything of its own if it was attached.
   * Handles are closed, held elements are dead. Never throws.
   */
  [dispose](): void {
    if (this.#attached) this.#detach(true);
    else this.#close(true);
  }

  /** 0 also if it is closed already. */
  #close(cascade: boolean): number {
    if (this.#closed) return 0;
    const status = this.#native.close(cascade);
    this.#closed = status >= 0 || status === -Errno.EBADF;
    if (!this.#closed) return status;
    stopWatching(this.#native);
    if (status > 0) {
      process.emitWarning('A device was closed while a DMA region was published', {
        code: 'RDMAVT_DMA_MR_LEAKED',
      });
    }
    return 0;
  }

  #detach(cascade: boolean): number {
    if (this.#closed) return 0;
    const status = this.#native.detach(cascade);
    this.#closed = status === 0 || status === -Errno.EBADF;
    if (!this.#closed) return status;
    stopWatching(this.#native);
    return 0;
  }
}

/** A new device. */
function openDevice(options: unknown): NativeDevice {
  const {
    lkeyTableBits: givenBits = DEFAULT_LKEY_TABLE_BITS,
    keyPolicy: givenPolicy = 'sequential',
    remoteKeyZero: givenRemoteKeyZero = false,
  } = optionsOf<DeviceOptions>(options);
  const bits = u32(givenBits, 'options.lkeyTableBits');
  const random = oneOf(givenPolicy, 'options.keyPolicy', keyPolicies) === 'random';
  const remoteKeyZero = boolean(givenRemoteKeyZero, 'options.remoteKeyZero');
  const device = resultOf('new Device', native.openDevice(bits, random, remoteKeyZero));
  if (device.bits() !== bits) {
    process.emitWarning(`lkeyTableBits ${bits} is too much; the key table has ${device.bits()} bits`, {
      code: 'RDMAVT_LKEY_TABLE_BITS',
    });
  }
  return device;
}
