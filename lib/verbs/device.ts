import { boolean, integer, invalidType, oneOf, size, u32, type Unchecked } from '../internal/arguments';
import { optionsOf } from '../internal/options';
import { type Counters, type CountersOptions, countersOf } from './counters';
import { type AllocDmOptions, DeviceMemory } from './device-memory';
import { bytesOfToken, type DeviceToken, tokenOf } from './device-token';
import { asyncDispose, dispose } from '../internal/disposal';
import { DmaSpace } from './dma';
import { Errno, rdmaError, resultOf, throwOnError } from '../internal/errors';
import { type Lkey } from './keys';
import { stopWatching, watchForLeaks } from './leaks';
import { KeyTableField } from '../internal/layout';
import { bytesOf, elementCountOf, type MemoryLike } from '../internal/memory-argument';
import { type MemoryRegion } from './memory-region';
import { native, type NativeDevice, type Status } from '../internal/native';
import { nativeDomainOf, ProtectionDomain } from './protection-domain';
import { construction } from '../internal/construction';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { regionsCovering } from './region-of';
import { type AnyRegion, registryOfDevice, RegionTable } from './region-registry';
import { DEFAULT_TIMEOUT_MS, untilReleased } from './release-wait';
import { livingOf, type Resources, resourcesOf } from './resources';

/**
 * How keys are chosen.
 *
 * - `'random'`: all 32 bits from the system's CSPRNG. Every free slot has the same chance. The upper 24 bits are never 0, and never
 *   those that the slot had last, so a key of a region that is gone does not open the next one in its slot
 * - `'sequential'`: the kernel's sequence of slots and generations, for traces, teaching, and tests that foretell keys. Who knows one
 *   key can foretell the others, and the same key comes back: with nothing else in the table after
 *   max(2^lkeyTableBits, 2^(24-lkeyTableBits)) registrations (65,536 with 16 bits), in one that is full but for a slot after
 *   2^(24-lkeyTableBits) (256). Not for keys that go to peers one does not trust
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
  /** Default `'random'`. */
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

/** Options of {@link Device.share}. */
export interface ShareOptions {
  /** Share this protection domain alone. Default: the whole device, which is full trust. */
  pd?: ProtectionDomain;
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

/** What {@link Device.keySlots} answers. */
export interface KeySlots {
  /** Slots that have a region. */
  used: number;
  /** All slots. */
  max: number;
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

/** What a thread wants to know of its objects. */
interface Watching {
  readonly capture: boolean;
  readonly report: boolean;
}

function watchingOf(options: Unchecked<AttachOptions>): Watching {
  const { captureStacks = false, reportLeaks = false } = options;
  return {
    capture: boolean(captureStacks, 'options.captureStacks'),
    report: boolean(reportLeaks, 'options.reportLeaks'),
  };
}

/** How a device is come by, for the constructor: what {@link Device.attach} hands it. Nobody outside can make one. */
class Attachment {
  readonly #token: Uint8Array;
  readonly watching: Watching;
  constructor(token: Uint8Array, watching: Watching) {
    this.#token = token;
    this.watching = watching;
  }
  attach(): NativeDevice | Status {
    return native.attachDevice(this.#token);
  }
  /** Not by `instanceof`: that would ask a Proxy. */
  static is(value: unknown): value is Attachment {
    return typeof value === 'object' && value !== null && #token in value;
  }
}

/** What {@link Device.toJSON} answers. */
export interface ShownDevice extends Shown {
  class: 'Device';
  /** Number of the device in this process. */
  id: number;
  /** As {@link Device.context}. */
  context: number;
  /** As {@link Device.keySlots}; missing if it is closed. */
  keysUsed?: number;
  keysMax?: number;
  state: 'Open' | 'Closed';
}

let describeDevice: (object: Device) => ShownDevice;

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
  /** @internal */
  readonly [instance]: number = nextInstance();
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
    const by = Attachment.is(options) ? options : readDeviceOptions(options);
    this.#attached = Attachment.is(by);
    const made = Attachment.is(by)
      ? by.attach()
      : native.openDevice(by.lkeyTableBits, by.randomKeys, by.remoteKeyZero);
    try {
      const self = resultOf(this.#attached ? 'Device.attach' : 'new Device', made);
      this.#native = self;
      this.#lkeyTableBits = self.bits();
      this.#table = new RegionTable(registryOfDevice(self.number()));
      this.#dma = new DmaSpace(construction, self, this.#table);
      markUncloneable(this);
      if (by.watching.capture) this.#table.registry.captureStacks(() => livingOf(self));
      if (by.watching.report) watchForLeaks(self, this.#table.stacks);
      if (!Attachment.is(by) && by.lkeyTableBits > this.#lkeyTableBits)
        warnOfBits(by.lkeyTableBits, this.#lkeyTableBits);
    } catch (error) {
      // See ProtectionDomain.regUserMr. A device that nobody else uses closes then.
      if (typeof made === 'object') made.detach(true);
      throw error;
    }
  }

  /**
   * Opens, in this thread, a device that another thread of the process (or this one) has shared: the same key table, DMA address space
   * and protection domains ({@link Device.importPd}), with objects of this thread's own. By the token of one domain
   * ({@link ShareOptions.pd}) it is restricted to that domain.
   *
   * Kernel: `rvt_alloc_ucontext`.
   *
   * @param token - what {@link Device.share} gave
   * @throws RdmaError `ENODEV`: no open device, and no domain of one, has that token; `EXDEV`: it was made by another process, or by a copy of this package
   *   that was loaded from another place; `EBADF`: the device is closing; `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`)
   */
  static attach(token: DeviceToken | string, options: AttachOptions = {}): Device {
    const bytes = bytesOfToken(token, 'token');
    const watching = watchingOf(optionsOf<AttachOptions>(options, ['captureStacks', 'reportLeaks']));
    return new Device(new Attachment(bytes, watching) as object);
  }

  /**
   * Lets other threads use the device, or one protection domain of it.
   *
   * The token of the whole device is full trust: who has it can do what this object can, read and write every region by its key, and
   * close the device. (Any thread of the process can attach; a token is no more than a number that cannot be guessed.)
   *
   * With `pd`, who attaches may {@link Device.importPd} that domain, make queue pairs and regions in it, and `detach`. It is told of
   * that domain and of what is in it, and of nothing else: {@link Device.resources} has only these rows, and {@link Device.counters}
   * only its own. Everything else is `EPERM`: `allocPd`, `dma.map`, `keyTable`, `share`, `close`, `allocDm`, `importDm`, `importPd` of
   * another domain (whether there is one or not), ending the domain; and naming DMA memory in `mapPhys` and `mapSg`, unless the domain
   * is trusted, which reaches all DMA memory by key 0. A check still tells a key of another domain (`'WrongPd'`) from one that nobody has
   * (`'NoSuchKey'`), as the kernel's order of tests has it. Regions that it makes take slots of the key table, and how many are in use
   * ({@link Device.keySlots}) it is told as well.
   *
   * @param options - without `pd`: the whole device
   * @returns the token for {@link Device.attach}, the same each time for the device and for each domain. A domain's ends with the domain
   * @throws RdmaError `EBADF`: the device or the domain is closed; `EINVAL`: the domain is of another device; `EPERM`: this object is
   *   restricted to a domain itself; `ENOMEM`: the system has no random numbers to give
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  share(options: ShareOptions = {}): DeviceToken {
    const { pd } = optionsOf<ShareOptions>(options, ['pd']);
    const domain = pd === undefined ? undefined : nativeDomainOf(pd);
    if (pd !== undefined && domain === undefined)
      throw invalidType('options.pd', 'an instance of ProtectionDomain', pd);
    return tokenOf(resultOf('Device.share', this.#native.share(domain)));
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
   * @throws RdmaError `EBADF`: the device is closed; `EPERM`: this object is restricted to a domain ({@link ShareOptions.pd}); `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  allocPd(options: AllocPdOptions = {}): ProtectionDomain {
    const self = this.#native;
    const { trusted: givenTrusted = false } = optionsOf<AllocPdOptions>(options, ['trusted']);
    const trusted = boolean(givenTrusted, 'options.trusted');
    const made = self.allocPd(!trusted);
    try {
      const pd = resultOf('Device.allocPd', made);
      const domain = new ProtectionDomain(construction, pd, this.#table);
      this.#table.created('pd', () => domain.id);
      return domain;
    } catch (error) {
      // See ProtectionDomain.regUserMr.
      if (typeof made === 'object') made.dealloc(true);
      throw error;
    }
  }

  /**
   * The protection domain with this id ({@link ProtectionDomain.id}), which another thread, or another object of the device, has
   * made. What is made in it here ends with this thread; the domain ends with its maker, and takes everything in it along.
   *
   * @throws RdmaError `EINVAL`: there is none; `EPERM`: this object is restricted to another domain; `EBADF`: the device is closed
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
   * @throws RdmaError `ENOMEM`; `EBADF`: the device is closed; `EPERM`: this object is restricted to a domain
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  allocDm(bytes: number, options: AllocDmOptions = {}): DeviceMemory {
    const self = this.#native;
    const { hugePages: givenHuge = false } = optionsOf<AllocDmOptions>(options, ['hugePages']);
    const huge = boolean(givenHuge, 'options.hugePages');
    const length = integer(bytes, 'bytes', 1, Number.MAX_SAFE_INTEGER);
    const made = self.allocDm(length, huge);
    try {
      const memory = new DeviceMemory(construction, resultOf('Device.allocDm', made));
      this.#table.created('memory', () => memory.id);
      return memory;
    } catch (error) {
      if (typeof made === 'object') made.free();
      throw error;
    }
  }

  /**
   * The device memory with this id ({@link DeviceMemory.id}), which another thread has allocated.
   *
   * @throws RdmaError `EINVAL`: there is none; `EPERM`: this object is restricted to a domain; `EBADF`: the device is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  importDm(id: number): DeviceMemory {
    const memory = resultOf('Device.importDm', this.#native.importDm(size(id, 'id')));
    return new DeviceMemory(construction, memory);
  }

  /**
   * What the key table holds now. Half-dead regions are not in it.
   *
   * @throws RdmaError `EBADF`: the device is closed; `EPERM`: this object is restricted to a domain
   */
  keyTable(): KeyTable {
    throwOnError('Device.keyTable', this.#native.live());
    const { max, next, generation, used } = resultOf('Device.keyTable', this.#native.keyTable());
    const rows: KeyTableRow[] = [];
    const wordCount = elementCountOf(used);
    for (let i = 0; i < wordCount; i += KeyTableField.Count) {
      rows[rows.length] = {
        index: Number(used[i + KeyTableField.Index]),
        lkey: Number(used[i + KeyTableField.Lkey]) as Lkey,
        region: this.#table.find(
          Number(used[i + KeyTableField.RegionIndex]),
          Number(used[i + KeyTableField.Region]),
        ),
      };
    }
    return { max, next, generation, used: rows };
  }

  /**
   * How full the key table is: {@link KeyTable} without its rows, and without a look at them.
   *
   * @throws RdmaError `EBADF`: the device is closed
   */
  get keySlots(): KeySlots {
    throwOnError('Device.keySlots', this.#native.live());
    const { used, max } = this.#native.keySlots();
    return { used, max };
  }

  /**
   * The regions that hold all bytes of a view, buffer or DataView, in any domain: those of {@link ProtectionDomain.regUserMr} that were
   * made in this thread and whose keys work, in the order of their ids. Fast however many regions there are; see
   * {@link ProtectionDomain.regionOf}. An object that is restricted to a domain is told of that domain's.
   *
   * @returns empty if there are none, or if the view has no bytes
   * @throws RdmaError `EINVAL`: the memory is detached; `EBADF`: the device is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  regionsOf(memory: MemoryLike): MemoryRegion[] {
    const self = this.#native;
    const bytes = bytesOf('Device.regionsOf', memory, 'memory');
    throwOnError('Device.regionsOf', self.live());
    const only = self.onlyPd();
    return regionsCovering(this.#table.registry, bytes, only === 0 ? undefined : only);
  }

  /**
   * What lives on the device now, of all threads: protection domains, queue pairs, regions, DMA mappings, device memory, with what
   * `rdma resource show` tells of a kernel's and more. One moment's picture. An object that is restricted to a domain is told of that
   * domain, of what is in it and of itself.
   *
   * @throws RdmaError `EBADF`: the device is closed; `ENOMEM`
   */
  resources(): Resources {
    throwOnError('Device.resources', this.#native.live());
    return resourcesOf(this.#native, this.#table, this.#table.stacks);
  }

  /**
   * How many checks were accepted, how many refused and why, and how many bytes copied, since the device was opened. Each thread counts
   * for itself, without a locked instruction; asking adds them up. An object that is restricted to a domain is told its own.
   *
   * @throws RdmaError `EBADF`: the device is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  counters(options: CountersOptions = {}): Counters {
    const { own: givenOwn = false } = optionsOf<CountersOptions>(options, ['own']);
    const own = boolean(givenOwn, 'options.own');
    throwOnError('Device.counters', this.#native.live());
    return countersOf(this.#native, own);
  }

  /** What it is, in one line. Never throws. */
  toString(): string {
    return textOf('Device', this, describeDevice);
  }

  /** The same as an object for JSON. Never throws. */
  toJSON(): ShownDevice {
    return jsonOf('Device', this, describeDevice);
  }

  /**
   * Closes the device, for all threads. A second call after success is a no-op. If a DMA region was still published, the process is
   * warned (`RDMAVT_DMA_MR_LEAKED`).
   *
   * Kernel: `rvt_mr_exit`.
   *
   * @throws RdmaError `EBUSY`: protection domains or DMA mappings are alive, and `cascade` was not asked for; `EPERM`: this object is
   *   restricted to a domain
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  close(options: CloseOptions = {}): void {
    const { cascade: givenCascade = false } = optionsOf<CloseOptions>(options, ['cascade']);
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
    const { cascade: givenCascade = false } = optionsOf<DetachOptions>(options, ['cascade']);
    const status = this.#detach(boolean(givenCascade, 'options.cascade'));
    if (status < 0) throw rdmaError('Device.detach', status);
  }

  /**
   * Closes the device with everything in it if this object has opened it; leaves it with everything of its own if it was attached.
   * Handles are closed, held elements are dead. Never throws.
   */
  [dispose](): void {
    this.#end();
  }

  /**
   * As `await using` does: revokes the keys of all regions that were made through this object, waits up to 5 seconds for the elements
   * of them that are held, and then does what `using` does, by force. Never rejects.
   */
  async [asyncDispose](): Promise<void> {
    try {
      if (!this.#closed) await untilReleased(this.#table.revokeAll(), DEFAULT_TIMEOUT_MS);
    } catch {
      // No memory to be woken with. What is held ends by force.
    }
    this.#end();
  }

  #end(): void {
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
      process.emitWarning('A device was closed while a DMA region was still published', {
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

  static {
    describeDevice = (device) => {
      const self = device.#native;
      const isOpen = self.live() === 0;
      const slots = isOpen ? self.keySlots() : undefined;
      return {
        class: 'Device',
        id: self.number(),
        context: self.context(),
        ...(slots && { keysUsed: slots.used, keysMax: slots.max }),
        state: isOpen ? 'Open' : 'Closed',
      };
    };
    showAs(Device, 'Device', (object) => textOf('Device', object, describeDevice));
  }
}

interface OpenOptions {
  readonly lkeyTableBits: number;
  readonly randomKeys: boolean;
  readonly remoteKeyZero: boolean;
  readonly watching: Watching;
}

function readDeviceOptions(given: unknown): OpenOptions {
  const options = optionsOf<DeviceOptions>(given, [
    'lkeyTableBits',
    'keyPolicy',
    'remoteKeyZero',
    'captureStacks',
    'reportLeaks',
  ]);
  const { lkeyTableBits = DEFAULT_LKEY_TABLE_BITS, keyPolicy = 'random', remoteKeyZero = false } = options;
  return {
    lkeyTableBits: u32(lkeyTableBits, 'options.lkeyTableBits'),
    randomKeys: oneOf(keyPolicy, 'options.keyPolicy', keyPolicies) === 'random',
    remoteKeyZero: boolean(remoteKeyZero, 'options.remoteKeyZero'),
    watching: watchingOf(options),
  };
}

function warnOfBits(asked: number, bits: number): void {
  process.emitWarning(`lkeyTableBits ${asked} is too large; the key table has ${bits} bits`, {
    code: 'RDMAVT_LKEY_TABLE_BITS',
  });
}
