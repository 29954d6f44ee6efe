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
  /** DMA address of the first byte, a multiple of 4096. Default: where there is room. */
  address?: bigint | number;
}

/** What {@link DmaSpace.toJSON} answers. */
export interface ShownDmaSpace extends Shown {
  class: 'DmaSpace';
  /** Number of the device in this process. */
  device: number;
  state: 'Open' | 'Closed';
}

let describeDmaSpace: (object: DmaSpace) => ShownDmaSpace;

/**
 * The device's DMA address space, `device.dma`: what page lists ({@link FastMemoryRegion.mapPhys}), scatter-gather lists
 * ({@link MemoryRegion.mapSg}) and key 0 name. Its addresses are names; no process address is ever one.
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

  /** What it is, in one line. Never throws. */
  toString(): string {
    return textOf('DmaSpace', this, describeDmaSpace);
  }

  /** The same as an object for JSON. Never throws. */
  toJSON(): ShownDmaSpace {
    return jsonOf('DmaSpace', this, describeDmaSpace);
  }

  /**
   * Gives memory a range of DMA addresses: exactly the bytes of the view or buffer, which is kept alive until it is unmapped.
   *
   * @throws RdmaError `EINVAL`: the memory is empty or detached; `address` is not a multiple of 4096; the range overlaps another
   *   one or passes 2^64
   * @throws RdmaError `ENOMEM`; `EBADF`: the device is closed
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
      if (typeof made === 'object') made.unmap(); // see ProtectionDomain.regUserMr
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

/** What {@link DmaMapping.toJSON} answers. */
export interface ShownDmaMapping extends Shown {
  class: 'DmaMapping';
  id: number;
  address: string;
  length: number;
  state: 'Open' | 'Closed';
}

let describeDmaMapping: (object: DmaMapping) => ShownDmaMapping;

/** Memory in the DMA address space. Made by {@link DmaSpace.map}. */
export class DmaMapping {
  readonly #native: NativeDmaMapping;
  /** DMA address of the first byte. */
  readonly address: bigint;
  /** Bytes. */
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

  /** Unique on the device, never given twice; see {@link Device.resources}. */
  get id(): number {
    return this.#number;
  }

  /** What it is, in one line. Never throws. */
  toString(): string {
    return textOf('DmaMapping', this, describeDmaMapping);
  }

  /** The same as an object for JSON. Never throws. */
  toJSON(): ShownDmaMapping {
    return jsonOf('DmaMapping', this, describeDmaMapping);
  }

  /**
   * Ends the mapping. A second call after success is a no-op.
   *
   * @throws RdmaError `EBUSY`: a region's page list names it, or an element of key 0 on it is held
   */
  unmap(): void {
    const status = this.#native.unmap();
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('DmaMapping.unmap', status);
  }

  /**
   * Ends the mapping if it is not in use, as `using` does; otherwise it stays until {@link DmaMapping.unmap} succeeds or the
   * device closes. Never throws.
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
