import { illegalConstructor, u64 } from '../internal/arguments';
import { optionsOf } from '../internal/options';
import { dispose } from '../internal/disposal';
import { Errno, rdmaError, resultOf, throwOnError } from '../internal/errors';
import { bytesOf, type MemoryLike } from '../internal/memory-argument';
import { type NativeDevice, type NativeDmaMapping } from '../internal/native';
import { construction } from '../internal/construction';
import { instance, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { hex } from '../internal/words';
import { type RegionTable } from './region-registry';

/** Options of {@link DmaSpace.map}. */
export interface DmaMapOptions {
  /** DMA address of the first byte, a multiple of 4096. Default: the device chooses a free range. */
  address?: bigint | number;
}

/** Returned by {@link DmaSpace.toJSON}. */
export interface ShownDmaSpace extends Shown {
  class: 'DmaSpace';
  /** Number of the device in this process. */
  device: number;
  state: 'Open' | 'Closed';
}

let describeDmaSpace: (object: DmaSpace) => ShownDmaSpace;

/**
 * The DMA address space of a device, `device.dma`. Page lists ({@link FastMemoryRegion.mapPhys}), scatter-gather lists
 * ({@link MemoryRegion.mapSg}) and accesses with key 0 use DMA addresses. A DMA address is a number chosen by the device or the
 * program, never an address of the process.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 *
 * const { dma } = new Device();
 * const mapping = dma.map(Buffer.alloc(8192), { address: 0x10000 });
 * console.log(mapping.address, mapping.length); // 65536n 8192
 * ```
 */
export class DmaSpace {
  readonly #native: NativeDevice;
  readonly #table: RegionTable;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, native: NativeDevice, table: RegionTable) {
    if (token !== construction) throw illegalConstructor();
    this.#native = native;
    this.#table = table;
  }

  /** Returns a one-line description of the address space. Never throws. */
  toString(): string {
    return textOf('DmaSpace', this, describeDmaSpace);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownDmaSpace {
    return jsonOf('DmaSpace', this, describeDmaSpace);
  }

  /**
   * Maps memory at a range of DMA addresses: exactly the bytes of the view or buffer. The memory is kept alive until it is
   * unmapped.
   *
   * @param memory - any view, ArrayBuffer or SharedArrayBuffer
   * @returns the new mapping
   * @throws RdmaError `EINVAL`: the memory is empty or detached; `address` is not a multiple of 4096; the range overlaps another
   *   mapping or ends beyond 2^64
   * @throws RdmaError `ENOMEM`; `EBADF`: the device is closed; `EPERM`: the device was attached by the token of one domain
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  map(memory: MemoryLike, options: DmaMapOptions = {}): DmaMapping {
    const self = this.#native;
    const { address: givenAddress } = optionsOf<DmaMapOptions>(options, ['address']);
    const address = givenAddress === undefined ? undefined : u64(givenAddress, 'options.address');
    const bytes = bytesOf('DmaSpace.map', memory, 'memory');
    const made = self.mapDma(bytes, address);
    try {
      const mapping = new DmaMapping(construction, resultOf('DmaSpace.map', made));
      this.#table.created('mapping', () => mapping.id);
      return mapping;
    } catch (error) {
      if (typeof made === 'object') made.unmap(); // a call that throws must leave nothing behind; see ProtectionDomain.regUserMr
      throw error;
    }
  }

  static {
    describeDmaSpace = (space) => ({
      class: 'DmaSpace',
      device: space.#native.number(),
      state: space.#native.live() < 0 ? 'Closed' : 'Open',
    });
    showAs(DmaSpace, 'DmaSpace', (object) => textOf('DmaSpace', object, describeDmaSpace));
  }
}

/** Returned by {@link DmaMapping.toJSON}. */
export interface ShownDmaMapping extends Shown {
  class: 'DmaMapping';
  id: number;
  address: string;
  length: number;
  state: 'Open' | 'Closed';
}

let describeDmaMapping: (object: DmaMapping) => ShownDmaMapping;

/**
 * Memory mapped in the DMA address space. Created by {@link DmaSpace.map}.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 *
 * const device = new Device();
 * const mapping = device.dma.map(new ArrayBuffer(8192));
 * const mr = device.allocPd().allocMr({ maxNumSg: 2 });
 * console.log(mr.mapSg([{ addr: mapping.address, length: mapping.length }])); // 1
 * mr.dereg();
 * mapping.unmap();
 * console.log(mapping.toJSON().state); // Closed
 * ```
 */
export class DmaMapping {
  readonly #native: NativeDmaMapping;
  /** DMA address of the mapping's first byte. */
  readonly address: bigint;
  /** Length of the mapping in bytes. */
  readonly length: number;
  readonly #number: number;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, native: NativeDmaMapping) {
    if (token !== construction) throw illegalConstructor();
    this.#native = native;
    this.address = native.address();
    this.length = Number(native.length());
    this.#number = throwOnError('DmaSpace.map', native.serial());
  }

  /** Unique on the device and never reused; see {@link Device.resources}. */
  get id(): number {
    return this.#number;
  }

  /** Returns a one-line description of the mapping. Never throws. */
  toString(): string {
    return textOf('DmaMapping', this, describeDmaMapping);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownDmaMapping {
    return jsonOf('DmaMapping', this, describeDmaMapping);
  }

  /**
   * Unmaps the memory. A second call after success is a no-op.
   *
   * @throws RdmaError `EBUSY`: the page list of a region uses the mapping, or an element acquired with key 0 is held on it
   */
  unmap(): void {
    const status = this.#native.unmap();
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('DmaMapping.unmap', status);
  }

  /**
   * Unmaps the memory if it is not in use. A mapping in use stays until {@link DmaMapping.unmap} succeeds or the device closes.
   * Never throws.
   */
  [dispose](): void {
    this.#native.unmap();
  }

  static {
    describeDmaMapping = (mapping) => ({
      class: 'DmaMapping',
      id: mapping.#number,
      address: hex(mapping.address),
      length: mapping.length,
      state: mapping.#native.serial() < 0 ? 'Closed' : 'Open',
    });
    showAs(DmaMapping, 'DmaMapping', (object) => textOf('DmaMapping', object, describeDmaMapping));
  }
}
