import { boolean, oneOf, optionsOf, u32 } from './arguments';
import { dispose } from './disposal';
import { DmaSpace } from './dma';
import { Errno, made, rdmaError, RdmaError } from './errors';
import { type Lkey } from './keys';
import { native, type NativeDevice } from './native';
import { ProtectionDomain } from './protection-domain';
import { construction } from './region';
import { type AnyRegion, RegionRegistry } from './region-registry';

/**
 * How keys are chosen.
 *
 * - `'sequential'`: the kernel's sequence of slots and generations; every key can be foretold
 * - `'random'`: slot and generation from the system's CSPRNG, for keys that go to peers one does not trust
 */
export type KeyPolicy = 'sequential' | 'random';

const keyPolicies = ['sequential', 'random'] as const satisfies readonly KeyPolicy[];

/** Options of {@link Device}. */
export interface DeviceOptions {
  /** The key table has 2^lkeyTableBits slots, one for each region. 1..23; more is 23, with a warning. Default 16. */
  lkeyTableBits?: number;
  /** Default `'sequential'`. */
  keyPolicy?: KeyPolicy;
  /**
   * Let {@link QueuePair.rkeyOk} accept key 0, as the kernel does: a peer of a trusted domain's queue pair can name any DMA
   * address with it. Default false.
   */
  remoteKeyZero?: boolean;
}

/** Options of {@link Device.allocPd}. */
export interface AllocPdOptions {
  /** A kernel's protection domain: may have DMA regions and use key 0. Default false: a user process's. */
  trusted?: boolean;
}

/** Options of {@link Device.close}. */
export interface CloseOptions {
  /** Take queue pairs, regions, protection domains and DMA mappings along, in that order. Default false. */
  cascade?: boolean;
}

/** What {@link Device.table} answers. */
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
  /** The region; undefined if its object was garbage-collected. */
  region: AnyRegion | undefined;
}

const DEFAULT_LKEY_TABLE_BITS = 16;

/** Numbers that the native table tells of a slot. */
const ROW = 3;

/**
 * A software RDMA device: a key table, a DMA address space, and the protection domains in it (`struct rvt_dev_info`).
 */
export class Device {
  readonly #native: NativeDevice;
  readonly #registry = new RegionRegistry();
  readonly #lkeyTableBits: number;
  readonly #dma: DmaSpace;
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
    const {
      lkeyTableBits: givenBits = DEFAULT_LKEY_TABLE_BITS,
      keyPolicy: givenPolicy = 'sequential',
      remoteKeyZero: givenRemoteKeyZero = false,
    } = optionsOf<DeviceOptions>(options);
    const bits = u32(givenBits, 'options.lkeyTableBits');
    const random = oneOf(givenPolicy, 'options.keyPolicy', keyPolicies) === 'random';
    const remoteKeyZero = boolean(givenRemoteKeyZero, 'options.remoteKeyZero');
    this.#native = made('driver_mr_init', native.openDevice(bits, random, remoteKeyZero));
    this.#lkeyTableBits = this.#native.bits();
    this.#dma = new DmaSpace(construction, this.#native);
    if (this.#lkeyTableBits !== bits) {
      process.emitWarning(
        `lkeyTableBits ${bits} is too much; the key table has ${this.#lkeyTableBits} bits`,
        {
          code: 'RDMAVT_LKEY_TABLE_BITS',
        },
      );
    }
  }

  /** Bits of the key table in use. */
  get lkeyTableBits(): number {
    return this.#lkeyTableBits;
  }

  /** The device's DMA address space. */
  get dma(): DmaSpace {
    return this.#dma;
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
    const pd = made('alloc_pd', self.allocPd(!trusted));
    return new ProtectionDomain(construction, pd, self, this.#registry);
  }

  /**
   * What the key table holds now. Half-dead regions are not in it.
   *
   * @throws RdmaError `EBADF`: the device is closed
   */
  table(): KeyTable {
    if (this.#closed) throw new RdmaError('table', 'EBADF');
    const { max, next, generation, used } = made('table', this.#native.table());
    const rows: KeyTableRow[] = [];
    for (let i = 0; i < used.length; i += ROW) {
      rows.push({
        index: Number(used[i]),
        lkey: Number(used[i + 1]) as Lkey,
        region: this.#registry.find(Number(used[i + 2])),
      });
    }
    return { max, next, generation, used: rows };
  }

  /**
   * Closes the device. A second call after success is a no-op. If a DMA region was still published, the process is warned
   * (`RDMAVT_DMA_MR_LEAKED`).
   *
   * Kernel: `rvt_mr_exit`.
   *
   * @throws RdmaError `EBUSY`: protection domains or DMA mappings are alive, and `cascade` was not asked for
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  close(options: CloseOptions = {}): void {
    const { cascade: givenCascade = false } = optionsOf<CloseOptions>(options);
    const status = this.#close(boolean(givenCascade, 'options.cascade'));
    if (status < 0) throw rdmaError('mr_exit', status);
  }

  /** Closes the device with everything in it: every handle is closed, held elements are dead. Never throws. */
  [dispose](): void {
    this.#close(true);
  }

  /** 0 also if it is closed already. */
  #close(cascade: boolean): number {
    if (this.#closed) return 0;
    const status = this.#native.close(cascade);
    this.#closed = status >= 0 || status === -Errno.EBADF;
    if (!this.#closed) return status;
    if (status > 0) {
      process.emitWarning('A device was closed while a DMA region was published', {
        code: 'RDMAVT_DMA_MR_LEAKED',
      });
    }
    return 0;
  }
}
