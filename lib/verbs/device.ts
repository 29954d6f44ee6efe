import { type DeviceLimits, limitsOf, limitWords, readLimits } from '../internal/device-limits';
import {
  boolean,
  elements,
  integer,
  invalidType,
  oneOf,
  size,
  u32,
  type Unchecked,
} from '../internal/arguments';
import { optionsOf } from '../internal/options';
import { CompletionQueue, type CreateCqOptions, type RingCompletionQueue } from './completion-queue';
import { type Counters, type CountersOptions, countersOf } from './counters';
import { type AllocDmOptions, DeviceMemory } from './device-memory';
import { bytesOfToken, type DeviceToken, tokenOf } from './device-token';
import { asyncDispose, dispose } from '../internal/disposal';
import { DmaSpace } from './dma';
import { type DeviceFaults, type FaultCounters, faultsOf, type FaultWords, readFaults } from './faults';
import { Errno, explainedError, rdmaError, resultOf, throwOnError } from '../internal/errors';
import { type Lkey } from './keys';
import { stopWatching, watchForLeaks } from './leaks';
import { PlainNumbers } from '../internal/intrinsics';
import { KeyTableField, Limit } from '../internal/layout';
import { bytesOf, elementCountOf, type MemoryLike } from '../internal/memory-argument';
import { type MemoryRegion } from './memory-region';
import { native, type NativeDevice, type Status } from '../internal/native';
import { nativeDomainOf } from './domain-native';
import { ProtectionDomain } from './protection-domain';
import { construction } from '../internal/construction';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { regionsCovering } from './region-of';
import { type AnyRegion, registryOfDevice, RegionTable } from './region-registry';
import { DEFAULT_TIMEOUT_MS, untilReleased } from './release-wait';
import { livingOf, type Resources, resourcesOf } from './resources';
import { RingReader } from './ring-reader';
import { readStrict, type StrictOptions, type Strictness } from './strict';
import { sweep } from './event-dispatch';
import { nativeQpOf, type QueuePair } from './queue-pair';
import { VerbsHome } from './verbs-registry';

/**
 * How the device chooses keys.
 *
 * - `'random'`: all 32 bits come from the system's CSPRNG, and every free slot is equally likely. The upper 24 bits are never 0
 *   and never repeat the slot's previous key, so the key of a deregistered region never matches the next region in its slot
 * - `'sequential'`: the kernel's sequence of slots and generations, for traces, teaching, and tests that predict keys. Anyone who
 *   knows one key can predict the others. Keys also repeat: after max(2^lkeyTableBits, 2^(24-lkeyTableBits)) registrations in an
 *   otherwise empty table (65,536 with 16 bits), and after 2^(24-lkeyTableBits) registrations (256) in a table with a single free
 *   slot. Do not use it for keys that are sent to untrusted peers
 */
export type KeyPolicy = 'sequential' | 'random';

const keyPolicies = ['sequential', 'random'] as const satisfies readonly KeyPolicy[];

/** Options of {@link Device.attach}. */
export interface AttachOptions {
  /**
   * Record the stack where each object is created in this thread, for {@link Device.resources} and leak reports. Costs one stack
   * trace per object. Default false.
   */
  captureStacks?: boolean;
  /**
   * Emit a process warning (code `RDMAVT_LEAK`) that lists the live regions when the device becomes unreachable, or when the
   * process or worker exits, without the device having been closed. Default false.
   */
  reportLeaks?: boolean;
}

/** Options of the {@link Device} constructor. */
export interface DeviceOptions extends AttachOptions {
  /**
   * The key table has 2^lkeyTableBits slots, one per region. 1..23; a larger value is reduced to 23 with a warning. Default 16.
   */
  lkeyTableBits?: number;
  /** How keys are chosen. Default `'random'`. */
  keyPolicy?: KeyPolicy;
  /**
   * Let {@link QueuePair.acquire} accept key 0, as the kernel does. With key 0, a peer of a queue pair in a trusted domain can
   * access any DMA address. Default false.
   */
  remoteKeyZero?: boolean;
  /** Limits of the device that differ from the defaults; see {@link DeviceLimits}. */
  limits?: Partial<DeviceLimits>;
  /**
   * When work requests are carried out: `'auto'`, the default, at the end of the call that makes them ready; `'manual'`, only in
   * {@link Device.run}, for traces, teaching and tests. In the manual mode RNR timers fire only in {@link Device.fireTimers}.
   */
  engine?: EngineMode;
  /**
   * Faults that the device makes on purpose, for tests of programs: refusals, missing receives, errors of queue pairs, lost and slow
   * completions, and packets that are lost, late, doubled or out of order. The same seed and the same calls give the same faults;
   * {@link Device.faults} counts them. Belongs to the device: threads that attach share the faults and their counts. Default: none.
   */
  faults?: DeviceFaults;
  /**
   * Refuse what works by the rules of this package and fails on a NIC, with a cause: a start and an iova with unequal offsets in their
   * pages; RemoteWrite or RemoteAtomic of a DMA region without LocalWrite; an rkey that is really an lkey (the two differ, and
   * {@link Region.rkey} is the one for peers); more than `maxInlineData` inline data, or inline data of a READ or an atomic. A receive
   * that is too short completes with `LOC_LEN_ERR`. Checks take a slower path. The key table has at most 2^22 slots. Default false.
   */
  strict?: boolean | StrictOptions;
}

/** When a device carries out work requests; see {@link DeviceOptions.engine}. */
export type EngineMode = 'auto' | 'manual';

const engineModes = ['auto', 'manual'] as const satisfies readonly EngineMode[];

/** Options of {@link Device.run}. */
export interface RunOptions {
  /** Queue pairs to make ready first, in this order, even if nothing has happened to them. Default: none. */
  kick?: readonly QueuePair[];
}

/** Returned by {@link Device.fireTimers}. */
export interface FiredTimer {
  /** The queue pair; undefined if another thread created it or it was garbage-collected. */
  qp: QueuePair | undefined;
  /** {@link QueuePair.id} of the queue pair. */
  qpId: number;
  /** The time that the timer was set to, in microseconds. */
  usec: number;
}

/** Returned by {@link Device.queryPort}: attributes of a port (`struct ib_port_attr`). */
export interface PortAttributes {
  /** Number of the port. */
  port: 1;
  state: 'ACTIVE';
  /** The local identifier. */
  lid: number;
  /** The largest path MTU, in bytes. */
  maxMtu: number;
  /** The path MTU in use, in bytes. */
  activeMtu: number;
  /** Entries of the table of GIDs. */
  gidTableLength: number;
  /** Entries of the table of partition keys: the device's `npkeys`. */
  pkeyTableLength: number;
}

/** Options of {@link Device.allocPd}. */
export interface AllocPdOptions {
  /** Create a kernel protection domain, which can have DMA regions and use key 0. Default false: the domain of a user process. */
  trusted?: boolean;
}

/** Options of {@link Device.share}. */
export interface ShareOptions {
  /** Share only this protection domain. Default: share the whole device, which grants full trust. */
  pd?: ProtectionDomain;
}

/** Options of {@link Device.detach}. */
export interface DetachOptions {
  /**
   * Also close everything that this object created: queue pairs, regions (by force), protection domains, DMA mappings. Default
   * false.
   */
  cascade?: boolean;
}

/** Options of {@link Device.close}. */
export interface CloseOptions {
  /** Also close all queue pairs, regions, protection domains and DMA mappings, in that order. Default false. */
  cascade?: boolean;
}

/** Returned by {@link Device.keyTable}. */
export interface KeyTable {
  /** Number of slots of the key table. */
  max: number;
  /** The slot where the next search for a free slot begins. */
  next: number;
  /** The raw 32-bit generation counter, whose low bits are part of each sequential key. */
  generation: number;
  /** The occupied slots, in ascending order. */
  used: KeyTableRow[];
}

/** Returned by {@link Device.keySlots}. */
export interface KeySlots {
  /** Number of occupied slots. */
  used: number;
  /** Total number of slots. */
  max: number;
}

/** An occupied slot of the key table and its region. */
export interface KeyTableRow {
  /** Index of the slot in the key table. */
  index: number;
  /** The key of the slot's region, or of its memory window, which is no lkey. */
  lkey: Lkey;
  /** The region, or the one that the memory window is bound to; undefined if there is none or another thread created it. */
  region: AnyRegion | undefined;
  /** Id of the memory window or lease that has the slot. Absent if a region has it. */
  window?: number;
}

const DEFAULT_LKEY_TABLE_BITS = 16;

/** What a thread records and reports about the objects of a device. */
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

/**
 * Passed by {@link Device.attach} to the constructor, in place of options, to attach to an open device. Not exported, so a
 * program cannot create one.
 */
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
  /** Returns whether a value is an Attachment. Does not use `instanceof`, which would run the traps of a Proxy. */
  static is(value: unknown): value is Attachment {
    return typeof value === 'object' && value !== null && #token in value;
  }
}

/** Returned by {@link Device.toJSON}. */
export interface ShownDevice extends Shown {
  class: 'Device';
  /** Number of the device in this process. */
  id: number;
  /** Number of the `Device` object's context, as {@link Device.context}. */
  context: number;
  /** Number of occupied slots, as {@link Device.keySlots}; absent if the device is closed. */
  keysUsed?: number;
  keysMax?: number;
  state: 'Open' | 'Closed';
}

/** Returns what the objects of a device share; undefined for a value that is no Device. */
export let homeOfDevice: (value: unknown) => VerbsHome | undefined;

let describeDevice: (object: Device) => ShownDevice;

/**
 * A software RDMA device: a key table, a DMA address space, and protection domains (`struct rvt_dev_info`).
 *
 * Several threads can use one device: one thread calls {@link Device.share}, the others call {@link Device.attach}. Each thread
 * has its own objects; keys are numbers and mean the same in every thread. What a thread creates through its `Device` object is
 * closed when the thread exits or calls {@link Device.detach}. The device itself closes with {@link Device.close}, or when the
 * last thread leaves it. Use memory that cannot be detached for regions that other threads access: a SharedArrayBuffer or
 * {@link Device.allocDm}.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const device = new Device();
 * const pd = device.allocPd();
 * const mr = pd.regUserMr(Buffer.from('hello'), { access: Access.RemoteRead });
 * console.log(device.keySlots.used, mr.state); // 1 Valid
 * device.close({ cascade: true });
 * console.log(mr.state); // Closed
 * ```
 */
export class Device {
  readonly #native: NativeDevice;
  readonly #table: RegionTable;
  readonly #home: VerbsHome;
  readonly #lkeyTableBits: number;
  readonly #dma: DmaSpace;
  readonly #attached: boolean;
  /** @internal */
  readonly [instance]: number = nextInstance();
  #closed = false;

  /**
   * Opens a new device.
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
      : native.openDevice(
          by.lkeyTableBits,
          by.randomKeys,
          by.remoteKeyZero,
          by.manual,
          limitWords(by.limits),
          by.faults?.seed,
          by.faults?.rules,
          by.strict?.maxInlineData,
        );
    try {
      const self = resultOf(this.#attached ? 'Device.attach' : 'new Device', made);
      this.#native = self;
      this.#lkeyTableBits = self.bits();
      this.#table = new RegionTable(registryOfDevice(self.number()), self.rkeyMask());
      this.#home = new VerbsHome(self, this.#table);
      if (!Attachment.is(by)) this.#home.randomKeys = by.randomKeys;
      this.#dma = new DmaSpace(construction, self, this.#table);
      markUncloneable(this);
      if (by.watching.capture) this.#table.registry.captureStacks(() => livingOf(self));
      if (by.watching.report) watchForLeaks(self, this.#table.stacks);
      if (!Attachment.is(by) && by.lkeyTableBits > this.#lkeyTableBits)
        warnOfBits(by.lkeyTableBits, this.#lkeyTableBits);
    } catch (error) {
      // Detach again: a constructor that throws must leave nothing open (see ProtectionDomain.regUserMr). This closes a device
      // that nobody else uses.
      if (typeof made === 'object') made.detach(true);
      throw error;
    }
  }

  /**
   * Attaches this thread to a device that another thread of the process (or this thread) has shared. The new object uses the same
   * key table, DMA address space and protection domains ({@link Device.importPd}); the objects created through it belong to this
   * thread. The token of one domain ({@link ShareOptions.pd}) restricts the new object to that domain.
   *
   * Kernel: `rvt_alloc_ucontext`.
   *
   * @param token - returned by {@link Device.share}
   * @returns a new `Device` object
   * @throws RdmaError `ENODEV`: no open device or domain has this token; `EXDEV`: the token was created by another process, or by
   *   another copy of this package; `EBADF`: the device is closing; `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`)
   */
  static attach(token: DeviceToken | string, options: AttachOptions = {}): Device {
    const bytes = bytesOfToken(token, 'token');
    const watching = watchingOf(optionsOf<AttachOptions>(options, ['captureStacks', 'reportLeaks']));
    return new Device(new Attachment(bytes, watching) as object);
  }

  /**
   * Returns a token with which other threads can use the device, or one of its protection domains.
   *
   * The token of the whole device is full trust: its holder can do everything that this object can, including reading and writing
   * every region by key and closing the device. Any thread of the process can attach; the token protects the device only because
   * it cannot be guessed.
   *
   * With `pd`, the holder can import that domain ({@link Device.importPd}), create queue pairs and regions in it, and `detach`.
   * The holder sees only that domain and its contents: {@link Device.resources} contains only these rows, and
   * {@link Device.counters} only the holder's own counts. The following fail with `EPERM`: `allocPd`, `createCq`, `dma.map`,
   * `keyTable`, `share`, `close`, `allocDm`, `importDm`, `importPd` of any other id (whether such a domain exists or not), and deallocating
   * the domain. `mapPhys` and `mapSg` also fail with `EPERM`, because they name DMA memory, unless the domain is trusted (a
   * trusted domain can access all DMA memory by key 0 anyway).
   *
   * The holder can still learn two things about other domains. A check distinguishes a key of another domain (`'WrongPd'`) from
   * an unused key (`'NoSuchKey'`), because it follows the kernel's order of tests. The holder's regions use slots of the common
   * key table, and {@link Device.keySlots} shows how many slots are in use.
   *
   * @param options - the domain to share; without `pd`, the whole device
   * @returns the token for {@link Device.attach}; always the same for a device or a domain. The token of a domain becomes invalid
   *   when the domain is closed
   * @throws RdmaError `EBADF`: the device or the domain is closed; `EINVAL`: the domain is on another device; `EPERM`: this
   *   object is itself restricted to a domain; `ENOMEM`: the system provides no random numbers
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  share(options: ShareOptions = {}): DeviceToken {
    const { pd } = optionsOf<ShareOptions>(options, ['pd']);
    const domain = pd === undefined ? undefined : nativeDomainOf(pd);
    if (pd !== undefined && domain === undefined)
      throw invalidType('options.pd', 'an instance of ProtectionDomain', pd);
    return tokenOf(resultOf('Device.share', this.#native.share(domain)));
  }

  /** Base-2 logarithm of the number of slots of the key table. */
  get lkeyTableBits(): number {
    return this.#lkeyTableBits;
  }

  /** The DMA address space of the device. */
  get dma(): DmaSpace {
    return this.#dma;
  }

  /** Number of this object's context, which identifies the owner of each object in {@link Device.resources}. */
  get context(): number {
    return this.#native.context();
  }

  /**
   * Creates a protection domain.
   *
   * Kernel: `rvt_alloc_pd`.
   *
   * @returns the new domain
   * @throws RdmaError `EBADF`: the device is closed; `EPERM`: this object is restricted to a domain ({@link ShareOptions.pd});
   *   `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  allocPd(options: AllocPdOptions = {}): ProtectionDomain {
    const self = this.#native;
    const { trusted: givenTrusted = false } = optionsOf<AllocPdOptions>(options, ['trusted']);
    const trusted = boolean(givenTrusted, 'options.trusted');
    const made = self.allocPd(!trusted);
    try {
      const pd = resultOf('Device.allocPd', made);
      const domain = new ProtectionDomain(construction, pd, this.#home);
      this.#table.created('pd', () => domain.id);
      return domain;
    } catch (error) {
      // Deallocate the domain: a call that throws must leave nothing behind. See ProtectionDomain.regUserMr.
      if (typeof made === 'object') made.dealloc(true);
      throw error;
    }
  }

  /**
   * Opens a protection domain that another thread, or another object of the device, created. Regions and queue pairs created here
   * belong to this thread and close when it exits. The domain belongs to its creator; when it closes, everything in it closes.
   *
   * @param id - the domain's {@link ProtectionDomain.id}
   * @returns a new object for the domain
   * @throws RdmaError `EINVAL`: no domain has this id; `EPERM`: this object is restricted to another domain; `EBADF`: the device
   *   is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  importPd(id: number): ProtectionDomain {
    const pd = resultOf('Device.importPd', this.#native.importPd(size(id, 'id')));
    return new ProtectionDomain(construction, pd, this.#home);
  }

  /**
   * Allocates memory that the device owns: zeroed, page-aligned, and accessible from every thread that uses the device.
   *
   * Follows `ib_alloc_dm` of the verbs; the kernel's rdmavt driver has no such function.
   *
   * @param bytes - size in bytes, 1..2^53-1
   * @returns the new device memory
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
   * Opens device memory that another thread allocated.
   *
   * @param id - the memory's {@link DeviceMemory.id}
   * @returns a new object for the memory
   * @throws RdmaError `EINVAL`: no device memory has this id; `EPERM`: this object is restricted to a domain; `EBADF`: the device
   *   is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  importDm(id: number): DeviceMemory {
    const memory = resultOf('Device.importDm', this.#native.importDm(size(id, 'id')));
    return new DeviceMemory(construction, memory);
  }

  /**
   * Returns the limits of the device.
   *
   * Kernel: `rvt_query_device`.
   *
   * @throws RdmaError `EBADF`: the device is closed
   */
  query(): DeviceLimits {
    throwOnError('Device.query', this.#native.live());
    const words = new PlainNumbers(Limit.Count);
    throwOnError('Device.query', this.#native.limits(words));
    return limitsOf(words);
  }

  /**
   * Returns the attributes of the port. The device has one port, which is always active: it leads back to the device.
   *
   * Kernel: `rvt_query_port`.
   *
   * @throws RdmaError `EBADF`: the device is closed
   */
  queryPort(): Readonly<PortAttributes> {
    throwOnError('Device.queryPort', this.#native.live());
    const words = new PlainNumbers(Limit.Count);
    throwOnError('Device.queryPort', this.#native.limits(words));
    return Object.freeze({
      port: 1,
      state: 'ACTIVE',
      lid: 1,
      maxMtu: 4096,
      activeMtu: 4096,
      gidTableLength: 1,
      pkeyTableLength: words[Limit.Npkeys] ?? 0,
    });
  }

  /**
   * Creates a completion queue.
   *
   * Kernel: `rvt_create_cq`.
   *
   * @param cqe - how many completions the queue holds, 1 to the device's `maxCqe`
   * @param options - with `ring: true`, the completions are in shared memory ({@link CompletionRing})
   * @returns the new queue; with `ring: true`, a {@link RingCompletionQueue}
   * @throws RdmaError `EINVAL`: `cqe`; `ENOMEM`: the device has as many completion queues as `maxCq` allows, or memory allocation
   *   failed; `EBADF`: the device is closed; `EPERM`: this object is restricted to a domain ({@link ShareOptions.pd})
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  createCq(cqe: number, options?: CreateCqOptions & { ring?: false }): CompletionQueue;
  /**
   * Creates a completion queue whose completions are in shared memory ({@link CompletionRing}), 88 bytes for each.
   *
   * Kernel: `rvt_create_cq`.
   *
   * @param cqe - how many completions the queue holds, 1 to the device's `maxCqe`
   * @param options - with `ring: true`
   * @returns the new queue, whose {@link CompletionQueue.ring} reads the completions
   * @throws RdmaError, TypeError, RangeError as without a ring
   */
  createCq(cqe: number, options: CreateCqOptions & { ring: true }): RingCompletionQueue;
  /**
   * Creates a completion queue with or without a ring: for options whose `ring` is not known when the program is compiled.
   *
   * Kernel: `rvt_create_cq`.
   *
   * @param cqe - how many completions the queue holds, 1 to the device's `maxCqe`
   * @param options - see {@link CreateCqOptions}
   * @returns the new queue
   * @throws RdmaError, TypeError, RangeError as without a ring
   */
  createCq(cqe: number, options: CreateCqOptions): CompletionQueue;
  createCq(cqe: number, options: CreateCqOptions = {}): CompletionQueue {
    const self = this.#native;
    const { compVector: givenVector = 0, ring = false } = optionsOf<CreateCqOptions>(options, [
      'compVector',
      'ring',
    ]);
    const compVector = u32(givenVector, 'options.compVector');
    const hasRing = boolean(ring, 'options.ring');
    const size = u32(cqe, 'cqe');
    const reader = hasRing ? this.#newRing(size) : undefined;
    const made = self.createCq(size, compVector, 0, reader?.bytes);
    try {
      const native = resultOf('Device.createCq', made);
      const cq = new CompletionQueue(construction, native, this.#home, size, reader);
      this.#table.created('completionQueue', () => cq.id);
      return cq;
    } catch (error) {
      if (typeof made === 'object') made.destroy(); // a call that throws must leave nothing behind
      throw error;
    }
  }

  /** Allocates the memory of a ring; none for a size that the native module will refuse. */
  #newRing(cqe: number): RingReader | undefined {
    const words = new PlainNumbers(Limit.Count);
    this.#native.limits(words);
    if (cqe === 0 || cqe > (words[Limit.MaxCqe] ?? 0)) return undefined;
    try {
      return new RingReader(cqe);
    } catch {
      throw explainedError('Device.createCq', 'ENOMEM', 'NoMemory');
    }
  }

  /**
   * Carries out all work requests that can be carried out. Needed only with {@link DeviceOptions.engine} `'manual'`: otherwise the
   * call that makes a queue pair ready does it.
   *
   * @throws RdmaError `EBADF`: the device or a queue pair is closed; `EINVAL`: a queue pair of the list has no queues
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  run(options: RunOptions = {}): void {
    const self = this.#native;
    const { kick = [] } = optionsOf<RunOptions>(options, ['kick']);
    const natives = elements(kick, 'options.kick', (qp, name) => {
      const native = nativeQpOf(qp);
      if (native === undefined) throw invalidType(name, 'an instance of QueuePair', qp);
      return native;
    });
    throwOnError('Device.run', self.run(natives));
  }

  /**
   * Fires the RNR timers of all queue pairs, in the order in which they were started, whatever time is left. For
   * {@link DeviceOptions.engine} `'manual'`: otherwise timers fire by themselves. In the manual mode the queue pairs only become
   * ready; {@link Device.run} lets them try again.
   *
   * @returns the queue pairs, and the time in microseconds that each timer was set to
   * @throws RdmaError `EBADF`: the device is closed
   */
  fireTimers(): FiredTimer[] {
    throwOnError('Device.fireTimers', this.#native.live());
    const pairs = this.#native.fireTimers();
    const { registry } = this.#home;
    const fired: FiredTimer[] = [];
    for (let i = 0; i < pairs.length; i += 2) {
      const qpId = pairs[i] ?? 0;
      fired[fired.length] = { qp: registry.find('qp', qpId)?.object, qpId, usec: pairs[i + 1] ?? 0 };
    }
    return fired;
  }

  /**
   * Returns the current contents of the key table. Half-dead regions are not in the table: their keys are already revoked.
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
        ...(used[i + KeyTableField.Window] ? { window: Number(used[i + KeyTableField.Window]) } : {}),
      };
    }
    return { max, next, generation, used: rows };
  }

  /**
   * The number of used and total slots of the key table. Unlike {@link Device.keyTable}, it does not scan the table.
   *
   * @throws RdmaError `EBADF`: the device is closed
   */
  get keySlots(): KeySlots {
    throwOnError('Device.keySlots', this.#native.live());
    const { used, max } = this.#native.keySlots();
    return { used, max };
  }

  /**
   * Returns the regions, in any domain, that cover all bytes of a view, buffer or DataView. Considers regions of
   * {@link ProtectionDomain.regUserMr} that this thread created and whose keys are valid. See {@link ProtectionDomain.regionOf}
   * for the cost. An object restricted to a domain finds only regions of that domain.
   *
   * @param memory - the bytes that the regions must cover
   * @returns the regions in the order of their ids; empty if no region matches or the view has no bytes
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
   * Returns a snapshot of all objects of the device, of all threads: protection domains, queue pairs, regions, DMA mappings and
   * device memory. It contains the fields that `rdma resource show` reports for a kernel device, and more. An object restricted
   * to a domain sees only that domain, its contents, and its own context.
   *
   * @throws RdmaError `EBADF`: the device is closed; `ENOMEM`
   */
  resources(): Resources {
    throwOnError('Device.resources', this.#native.live());
    return resourcesOf(this.#native, this.#table, this.#table.stacks);
  }

  /**
   * Returns the number of accepted checks, the number of refused checks by reason, the number of bytes copied, and the number of
   * completions by status, since the device was opened. Each thread has its own counters, updated without locked instructions; this call adds them up. An object
   * restricted to a domain sees only its own counts.
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

  /**
   * Returns how often each kind of fault had an occasion, and how often it was made ({@link DeviceOptions.faults}), since the device
   * was opened and by all threads.
   *
   * @returns undefined if the device was opened without `faults`
   * @throws RdmaError `EBADF`: the device is closed; `EPERM`: this object is restricted to a domain
   */
  faults(): FaultCounters | undefined {
    return faultsOf(this.#native);
  }

  /** Returns a one-line description of the device. Never throws. */
  toString(): string {
    return textOf('Device', this, describeDevice);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownDevice {
    return jsonOf('Device', this, describeDevice);
  }

  /**
   * Closes the device for all threads. A second call after success is a no-op. Emits the process warning `RDMAVT_DMA_MR_LEAKED`
   * if a DMA region was still published.
   *
   * Kernel: `rvt_mr_exit`.
   *
   * @throws RdmaError `EBUSY`: protection domains or DMA mappings exist, and `cascade` is not set; `EPERM`: this object is
   *   restricted to a domain
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  close(options: CloseOptions = {}): void {
    const { cascade: givenCascade = false } = optionsOf<CloseOptions>(options, ['cascade']);
    const status = this.#close(boolean(givenCascade, 'options.cascade'));
    if (status < 0) throw rdmaError('Device.close', status);
  }

  /**
   * Leaves the device: closes what this object created; the methods of this object then throw `EBADF`. Other threads continue to
   * use the device, which closes when the last one leaves it. A second call after success is a no-op.
   *
   * Kernel: `rvt_dealloc_ucontext`.
   *
   * @throws RdmaError `EBUSY`: something that this object created is still open, and `cascade` is not set
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  detach(options: DetachOptions = {}): void {
    const { cascade: givenCascade = false } = optionsOf<DetachOptions>(options, ['cascade']);
    const status = this.#detach(boolean(givenCascade, 'options.cascade'));
    if (status < 0) throw rdmaError('Device.detach', status);
  }

  /**
   * Closes the device and everything on it if this object opened the device. Leaves the device and closes everything that this
   * object created if this object is attached. The bytes of held elements can no longer be used. Never throws.
   */
  [dispose](): void {
    this.#end();
  }

  /**
   * Revokes the keys of all regions created through this object, waits up to 5 seconds until the elements held on them are put,
   * and then closes or leaves the device by force, as `using` does. For `await using`. Never rejects.
   */
  async [asyncDispose](): Promise<void> {
    try {
      if (!this.#closed) await untilReleased(this.#table.revokeAll(), DEFAULT_TIMEOUT_MS);
    } catch {
      // Waiting failed for lack of memory. Continue and close by force.
    }
    this.#end();
  }

  #end(): void {
    if (this.#attached) this.#detach(true);
    else this.#close(true);
  }

  /** Closes the device. Returns 0 on success or if the device is already closed, or a negative errno. */
  #close(cascade: boolean): number {
    if (this.#closed) return 0;
    const status = this.#native.close(cascade);
    this.#closed = status >= 0 || status === -Errno.EBADF;
    if (!this.#closed) return status;
    stopWatching(this.#native);
    sweep();
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
    sweep();
    return 0;
  }

  static {
    homeOfDevice = (value) =>
      typeof value === 'object' && value !== null && #home in value ? value.#home : undefined;
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
  readonly manual: boolean;
  readonly limits: DeviceLimits;
  readonly faults: FaultWords | undefined;
  readonly strict: Strictness | undefined;
  readonly watching: Watching;
}

function readDeviceOptions(given: unknown): OpenOptions {
  const options = optionsOf<DeviceOptions>(given, [
    'lkeyTableBits',
    'keyPolicy',
    'remoteKeyZero',
    'limits',
    'engine',
    'faults',
    'strict',
    'captureStacks',
    'reportLeaks',
  ]);
  const {
    lkeyTableBits = DEFAULT_LKEY_TABLE_BITS,
    keyPolicy = 'random',
    remoteKeyZero = false,
    limits,
    engine = 'auto',
    faults,
    strict: givenStrict = false,
  } = options;
  const strict = readStrict(givenStrict);
  return {
    lkeyTableBits: u32(lkeyTableBits, 'options.lkeyTableBits'),
    randomKeys: oneOf(keyPolicy, 'options.keyPolicy', keyPolicies) === 'random',
    remoteKeyZero: boolean(remoteKeyZero, 'options.remoteKeyZero'),
    manual: oneOf(engine, 'options.engine', engineModes) === 'manual',
    limits: readLimits(limits === undefined ? {} : limits, 'options.limits', strict?.limits),
    strict,
    faults: faults === undefined ? undefined : readFaults(faults),
    watching: watchingOf(options),
  };
}

function warnOfBits(asked: number, bits: number): void {
  process.emitWarning(`lkeyTableBits ${asked} is too large; the key table has ${bits} bits`, {
    code: 'RDMAVT_LKEY_TABLE_BITS',
  });
}
