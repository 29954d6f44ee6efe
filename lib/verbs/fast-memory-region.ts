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

/** The names of a list of FMRs; each element is read once. */
let namesOf: (list: unknown) => RegionName[];

/**
 * A fast memory region: a region whose pages can be changed again and again under one key (`struct rvt_fmr`).
 *
 * Made by {@link ProtectionDomain.allocFmr}.
 */
export class FastMemoryRegion extends Region {
  readonly #isFastMemoryRegion = true;

  /** @internal */
  constructor(token: typeof construction, name: RegionName, table: RegionTable) {
    super(token, name, table, 'FastMemoryRegion');
  }

  /**
   * Maps a list of DMA pages. What was mapped before is unmapped. Repeats, and any alignment, are allowed.
   *
   * Kernel: `rvt_map_phys_fmr`.
   *
   * @param pageList - DMA address of each page of 2^pageShift bytes
   * @param iova - the address that the first page's first byte answers to, in local and remote checks
   * @throws RdmaError `EBUSY`: an element is held, or the region is half-dead (tested first)
   * @throws RdmaError `EINVAL`: more than `maxPages`; a page not inside one DMA mapping; all pages together have 2^32 bytes or
   *   more; `iova` and the length pass 2^64
   * @throws RdmaError `ENOMEM`, `EBADF`; `EPERM`: its device was attached by the token of one domain, which is not trusted
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  mapPhys(pageList: BigUint64Array | readonly (bigint | number)[], iova: bigint | number): void {
    const name = nameOf(this);
    storeLong(CommandWord.Iova, iova, 'iova'); // what is wrong with it is told before what is wrong with the list
    const pages = u64List('FastMemoryRegion.mapPhys', pageList, 'pageList');
    storeLong(CommandWord.Iova, iova, 'iova'); // again: reading an array may have run other code
    throwOnError('FastMemoryRegion.mapPhys', mapPageList(name, pages));
  }

  /**
   * Unmaps every FMR of a list, all or none; the list may name one twice. Held elements stay held and are refused from then
   * on (`Remapped`).
   *
   * Kernel: `rvt_unmap_fmr`.
   *
   * @throws RdmaError `EBUSY`: one is half-dead; `EINVAL`: they are of different devices; `EBADF`: one is gone
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  static unmap(list: readonly FastMemoryRegion[]): void {
    throwOnError('FastMemoryRegion.unmap', unmapFmr(regionNames(namesOf(list))));
  }

  /** Unmaps this one; see {@link FastMemoryRegion.unmap}. */
  unmap(): void {
    throwOnError('FastMemoryRegion.unmap', unmapFmr(regionNames([nameOf(this)])));
  }

  /**
   * Revokes the region's key, at once and for good, and frees the region if no element is held. A second call after success
   * is a no-op.
   *
   * Kernel: `rvt_dealloc_fmr`.
   *
   * @throws RdmaError `EBUSY`: elements are held. The region is half-dead; call again when they are put, or with `force`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  dealloc(options: DeregOptions = {}): void {
    release(this, 'FastMemoryRegion.dealloc', options);
  }

  /**
   * Revokes the region's key at once, and waits for held elements to be put.
   *
   * @returns a promise, rejected with RdmaError `EBUSY` when the time is over, or with the reason of `signal` when that aborts; the
   *   region is half-dead then. With a signal that was aborted before, nothing is done at all
   * @throws TypeError, RangeError (from the call itself, for wrong options)
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
