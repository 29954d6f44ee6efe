import { elements, invalidType } from '../internal/arguments';
import { storeLong } from '../internal/command';
import { throwOnError } from '../internal/errors';
import { CommandWord } from '../internal/layout';
import { u64List } from '../internal/memory-argument';
import { native } from '../internal/native';
import { mapPageList, regionNames, type RegionName } from '../internal/region-name';
import { construction } from '../internal/construction';
import {
  describeRegion,
  nameOf,
  Region,
  release,
  releaseAsync,
  type DeregAsyncOptions,
  type DeregOptions,
} from './region';
import { type RegionTable } from './region-registry';
import { showAs, textOf } from '../internal/show';

const { unmapFmr } = native;

/** Returns the names of the FMRs in a list. Reads each element once. */
let namesOf: (list: unknown) => RegionName[];

/**
 * A fast memory region: a region whose pages can be remapped repeatedly under the same key (`struct rvt_fmr`).
 *
 * Created by {@link ProtectionDomain.allocFmr}.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const device = new Device();
 * const { address } = device.dma.map(new ArrayBuffer(8192));
 * const fmr = device.allocPd().allocFmr({ maxPages: 2, access: Access.RemoteRead });
 * fmr.mapPhys([address + 4096n, address], 0x1000n);
 * console.log(fmr.length, fmr.iova); // 8192 4096n
 * fmr.unmap();
 * console.log(fmr.length); // 0
 * ```
 */
export class FastMemoryRegion extends Region {
  readonly #isFastMemoryRegion = true;

  /** @internal */
  constructor(token: typeof construction, name: RegionName, table: RegionTable) {
    super(token, name, table, 'FastMemoryRegion');
  }

  /**
   * Maps a list of DMA pages in place of the previous mapping. Pages may repeat and may have any alignment.
   *
   * Kernel: `rvt_map_phys_fmr`.
   *
   * @param pageList - DMA address of each page of 2^pageShift bytes
   * @param iova - address of the first page's first byte, in local and remote checks
   * @throws RdmaError `EBUSY`: an element is held, or the region is half-dead (tested first)
   * @throws RdmaError `EINVAL`: more than `maxPages` pages; a page is not inside one DMA mapping; the pages have 2^32 bytes or
   *   more in total; `iova` plus the length exceeds 2^64
   * @throws RdmaError `ENOMEM`, `EBADF`; `EPERM`: the device was attached by the token of one domain, and the domain is not
   *   trusted
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  mapPhys(pageList: BigUint64Array | readonly (bigint | number)[], iova: bigint | number): void {
    const name = nameOf(this);
    storeLong(CommandWord.Iova, iova, 'iova'); // validate iova before the list, so that its error comes first
    const pages = u64List('FastMemoryRegion.mapPhys', pageList, 'pageList');
    storeLong(CommandWord.Iova, iova, 'iova'); // store again: reading the list may have run code that overwrote the command block
    throwOnError('FastMemoryRegion.mapPhys', mapPageList(name, pages));
  }

  /**
   * Unmaps all FMRs of a list, or none of them if the call throws. The list may contain an FMR twice. Held elements stay held,
   * but using their bytes is refused afterwards (`Remapped`).
   *
   * Kernel: `rvt_unmap_fmr`.
   *
   * @throws RdmaError `EBUSY`: an FMR is half-dead; `EINVAL`: the FMRs belong to different devices; `EBADF`: an FMR is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  static unmap(list: readonly FastMemoryRegion[]): void {
    throwOnError('FastMemoryRegion.unmap', unmapFmr(regionNames(namesOf(list))));
  }

  /**
   * Unmaps this FMR; see the static method `FastMemoryRegion.unmap`.
   *
   * @throws RdmaError `EBUSY`: the FMR is half-dead; `EBADF`: it is closed
   */
  unmap(): void {
    throwOnError('FastMemoryRegion.unmap', unmapFmr(regionNames([nameOf(this)])));
  }

  /**
   * Revokes the region's key permanently, and frees the region if no element is held. A second call after success is a no-op.
   *
   * Kernel: `rvt_dealloc_fmr`.
   *
   * @throws RdmaError `EBUSY`: elements are held, and the region is half-dead. Call again after the elements are put, or use
   *   `force`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  dealloc(options: DeregOptions = {}): void {
    release(this, 'FastMemoryRegion.dealloc', options);
  }

  /**
   * Revokes the region's key permanently, and waits until all held elements are put.
   *
   * @returns a promise. Rejects with RdmaError `EBUSY` on timeout, or with the reason of `signal` when it aborts; the region is
   *   half-dead in both cases. If the signal was already aborted, the call changes nothing
   * @throws TypeError, RangeError: an option is invalid. Thrown by the call itself, not by the promise
   */
  deallocAsync(options: DeregAsyncOptions = {}): Promise<void> {
    return releaseAsync(this, 'FastMemoryRegion.deallocAsync', options);
  }

  static {
    showAs(FastMemoryRegion, 'FastMemoryRegion', (region) =>
      textOf('FastMemoryRegion', region, describeRegion),
    );
    namesOf = (list) =>
      elements(list, 'list', (fmr, name) => {
        if (typeof fmr !== 'object' || fmr === null || !(#isFastMemoryRegion in fmr)) {
          throw invalidType(name, 'an instance of FastMemoryRegion', fmr);
        }
        return nameOf(fmr);
      });
  }
}
