import { integer, invalidType, propertiesOf, u32, u64 } from '../internal/arguments';
import { optionsOf } from '../internal/options';
import { throwOnError } from '../internal/errors';
import { isBigUint64Array, u64Pairs, u64Words } from '../internal/memory-argument';
import { MAX_SG_ELEMENTS, PAGE_SIZE, SgElementField } from '../internal/layout';
import { mapSgList, type RegionName } from '../internal/region-name';
import { construction } from '../internal/construction';
import {
  changed,
  describeRegion,
  nameOf,
  Region,
  release,
  releaseAsync,
  type DeregAsyncOptions,
  type DeregOptions,
} from './region';
import { type RegionTable } from './region-registry';
import { type ReregOptions, reregisterWith } from './rereg';
import { showAs, textOf } from '../internal/show';

/** One element of a scatter-gather list. */
export interface SgEntry {
  /** DMA address of the element's first byte. */
  addr: bigint | number;
  /** Length of the element in bytes. */
  length: bigint | number;
}

/** Options of {@link MemoryRegion.mapSg}. */
export interface MapSgOptions {
  /** Number of bytes to skip at the start of the first element. Default 0. */
  offset?: bigint | number;
  /** Page size in bytes. Only 4096, the default, is supported. */
  pageSize?: number;
}

/** Number of 64-bit words per element. */
const WORDS: number = SgElementField.Count;

/** Returns whether a value is a memory region. Does not consult the prototype, which a program can change. */
export let isMemoryRegion: (value: unknown) => value is MemoryRegion;

/** Converts a list of elements to packed words. Reads each property of each element once. */
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
 * A memory region: a range of addresses with access rights, identified by a key (`struct rvt_mr`).
 *
 * Created by {@link ProtectionDomain.regUserMr}, {@link ProtectionDomain.getDmaMr} and {@link ProtectionDomain.allocMr}.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(Buffer.alloc(4096), { access: Access.LocalWrite, iova: 0x1000n });
 * console.log(mr.length, mr.iova, mr.state); // 4096 4096n Valid
 * mr.dereg();
 * console.log(mr.state); // Closed
 * ```
 */
export class MemoryRegion extends Region {
  readonly #isMemoryRegion = true;

  /** @internal */
  constructor(token: typeof construction, name: RegionName, table: RegionTable) {
    super(token, name, table, 'MemoryRegion');
  }

  /**
   * Maps a list of DMA ranges to consecutive addresses of the region. For regions of {@link ProtectionDomain.allocMr}.
   *
   * Each element after the first must directly follow its predecessor, or must begin at a page boundary while the predecessor
   * ends at one. The list is mapped up to the first element that violates this. The access rights, key and validity of the region
   * do not change. Held elements do not prevent the call, but using their bytes is refused afterwards (`Remapped`).
   *
   * Kernel: `rvt_map_mr_sg`.
   *
   * @param list - the elements, or a BigUint64Array of address, length, address, length...
   * @returns the number of mapped elements: less than the length of the list if the list has a gap or the region is full
   * @throws RdmaError `EINVAL`: the region is not from `allocMr` or is half-dead; the list is empty; an element is empty or is
   *   not inside one DMA mapping; `offset` is not inside the first element; `pageSize` is not 4096. Nothing has changed
   * @throws RdmaError `ENOMEM`: not a single element fits. The old mapping is lost, which `iova` and `length` reflect
   * @throws RdmaError `EBADF`: the region is closed; `EPERM`: the device was attached by the token of one domain, and the domain
   *   is not trusted
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
   * Re-registers the region: changes its memory and addresses, its rights, or its domain, as `ibv_rereg_mr` does. For regions of
   * {@link ProtectionDomain.regUserMr}. The object stays the same, and so does `id`.
   *
   * With `access` alone the key stays. With `translation` or `pd` the region gets a new key ({@link Region.lkey}), and the old one
   * is revoked for good: a peer that has the key of the old memory must not get into the new memory.
   *
   * When the call returns, no thread moves a byte any more by what the old registration allowed. While it waits for them, checks
   * of other threads are refused (`Invalidated`).
   *
   * Every error below leaves the old registration valid, except those that say otherwise. After these the region's state is
   * `'Invalid'`, and only {@link MemoryRegion.dereg} is left.
   *
   * @throws RdmaError `EINVAL`: no option is given; the region is not from `regUserMr`, is half-dead or its key is invalid; the
   *   rights are invalid; the memory is detached; the domain is on another device
   * @throws RdmaError `EBUSY`: elements are held, also by queued work requests; another thread is re-registering the region
   * @throws RdmaError `EBADF`: the region or the domain is closed
   * @throws RdmaError `EINVAL`, and the old registration is lost: the memory is empty; `start` or `iova` plus the length exceeds
   *   64 bits
   * @throws RdmaError `ENOMEM`, and the old registration is lost: no free slot in the key table
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   *
   * @example
   * ```ts
   * import { Access, Device } from 'rdmavt';
   *
   * const pd = new Device().allocPd();
   * const mr = pd.regUserMr(Buffer.alloc(4096), { access: Access.LocalWrite | Access.RemoteWrite });
   * const { rkey } = mr;
   * mr.rereg({ access: Access.LocalWrite }); // peers may not write any more
   * console.log(mr.rkey === rkey); // true
   * mr.rereg({ translation: { memory: Buffer.alloc(8192) } });
   * console.log(mr.rkey === rkey, mr.length); // false 8192
   * ```
   */
  rereg(options: ReregOptions): void {
    reregisterWith(nameOf(this), options);
    changed(this);
  }

  /**
   * Revokes the region's key permanently, and frees the region if no element is held. A second call after success is a no-op.
   *
   * Kernel: `rvt_dereg_mr`.
   *
   * @throws RdmaError `EBUSY`: elements are held, and the region is half-dead. Call again after the elements are put, or use
   *   `force`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  dereg(options: DeregOptions = {}): void {
    release(this, 'MemoryRegion.dereg', options);
  }

  /**
   * Revokes the region's key permanently, and waits until all held elements are put.
   *
   * @returns a promise. Rejects with RdmaError `EBUSY` on timeout, or with the reason of `signal` when it aborts; the region is
   *   half-dead in both cases. If the signal was already aborted, the call changes nothing
   * @throws TypeError, RangeError: an option is invalid. Thrown by the call itself, not by the promise
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
