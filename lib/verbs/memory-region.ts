import { integer, invalidType, propertiesOf, u32, u64 } from '../internal/arguments';
import { optionsOf } from '../internal/options';
import { throwOnError } from '../internal/errors';
import { isBigUint64Array, u64Pairs, u64Words } from '../internal/memory-argument';
import { MAX_SG_ELEMENTS, PAGE_SIZE, SgElementField } from '../internal/layout';
import { mapSgList, type RegionName } from '../internal/region-name';
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

/** One element of a scatter-gather list. */
export interface SgEntry {
  /** DMA address of its first byte. */
  addr: bigint | number;
  /** Bytes. */
  length: bigint | number;
}

/** Options of {@link MemoryRegion.mapSg}. */
export interface MapSgOptions {
  /** Bytes of the first element to leave out. Default 0. */
  offset?: bigint | number;
  /** Bytes of a page. Only 4096, the default, can be had. */
  pageSize?: number;
}

/** Numbers of an element. */
const WORDS: number = SgElementField.Count;

/** Whether a value is a memory region, whatever its prototype says. */
export let isMemoryRegion: (value: unknown) => value is MemoryRegion;

/** The words of a list of elements; each property of each element is read once. */
function pairsOf(list: unknown): BigUint64Array {
  if (!Array.isArray(list)) throw invalidType('list', 'an instance of Array or BigUint64Array', list);
  return u64Words(integer(list.length, 'list.length', 0, MAX_SG_ELEMENTS), WORDS, (pairs, i) => {
    const name = `list[${i}]`;
    const { addr, length } = propertiesOf<SgEntry>(list[i], name);
    pairs[WORDS * i + SgElementField.Address] = u64(addr, `${name}.addr`);
    pairs[WORDS * i + SgElementField.Length] = u64(length, `${name}.length`);
  });
}

/**
 * A memory region: a range of addresses with rights, that a key names (`struct rvt_mr`).
 *
 * Made by {@link ProtectionDomain.regUserMr}, {@link ProtectionDomain.getDmaMr} and {@link ProtectionDomain.allocMr}.
 */
export class MemoryRegion extends Region {
  readonly #isMemoryRegion = true;

  /** @internal */
  constructor(token: typeof construction, name: RegionName, table: RegionTable) {
    super(token, name, table, 'MemoryRegion');
  }

  /**
   * Maps a list of DMA ranges, one after the other, from `offset` on. For regions of {@link ProtectionDomain.allocMr}.
   *
   * An element must begin where a page begins and its predecessor end where one ends, or the two must touch; a list with a
   * hole is mapped up to it. Access, key and validity stay as they are. Held elements do not prevent it: they are refused
   * afterwards (`Remapped`).
   *
   * Kernel: `rvt_map_mr_sg`.
   *
   * @param list - the elements, or a BigUint64Array of address, length, address, length...
   * @returns how many elements are mapped: fewer than were given at a hole, or when the region is full
   * @throws RdmaError `EINVAL`: not a region of `allocMr`, or half-dead; empty list; an empty element, or one that is not
   *   inside one DMA mapping; `offset` is not inside the first element; `pageSize` is not 4096 (nothing has changed)
   * @throws RdmaError `ENOMEM`: not one element fits. The old mapping is dropped, and `iova` and `length` show it
   * @throws RdmaError `EBADF`: the region is gone; `EPERM`: its device was attached by the token of one domain, which is not trusted
   * @throws TypeError, RangeError: see {@link SgEntry}, {@link MapSgOptions}
   */
  mapSg(list: readonly SgEntry[] | BigUint64Array, options: MapSgOptions = {}): number {
    const name = nameOf(this);
    const { offset: givenOffset = 0n, pageSize: givenPageSize = PAGE_SIZE } = optionsOf<MapSgOptions>(
      options,
      ['offset', 'pageSize'],
    );
    const offset = u64(givenOffset, 'options.offset');
    const pageSize = u32(givenPageSize, 'options.pageSize');
    const pairs = isBigUint64Array(list) ? u64Pairs('MemoryRegion.mapSg', list, 'list') : pairsOf(list);
    return throwOnError('MemoryRegion.mapSg', mapSgList(name, offset, pageSize, pairs));
  }

  /**
   * Revokes the region's key, at once and for good, and frees the region if no element is held. A second call after success
   * is a no-op.
   *
   * Kernel: `rvt_dereg_mr`.
   *
   * @throws RdmaError `EBUSY`: elements are held. The region is half-dead; call again when they are put, or with `force`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  dereg(options: DeregOptions = {}): void {
    release(this, 'MemoryRegion.dereg', options);
  }

  /**
   * Revokes the region's key at once, and waits for held elements to be put.
   *
   * @returns a promise, rejected with RdmaError `EBUSY` when the time is over, or with the reason of `signal` when that aborts; the
   *   region is half-dead then. With a signal that was aborted before, nothing is done at all
   * @throws TypeError, RangeError (from the call itself, for wrong options)
   */
  deregAsync(options: DeregAsyncOptions = {}): Promise<void> {
    return releaseAsync(this, 'MemoryRegion.deregAsync', options);
  }

  static {
    showAs(MemoryRegion, 'MemoryRegion', (region) => textOf('MemoryRegion', region, describeRegion));
    isMemoryRegion = (value): value is MemoryRegion =>
      typeof value === 'object' && value !== null && #isMemoryRegion in value;
  }
}
