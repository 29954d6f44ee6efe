/**
 * Native calls on regions. A region is identified by its name: the number of its domain, its index in the device's pool of
 * regions, and its generation. A domain's number is valid while its native object lives; no two regions at one index have the
 * same generation.
 */
import { fieldNumber, longs, readAnswer, readEither, readNumber, UNANSWERED, words } from './command';
import { HIGH, HIGH_HALF, LOW } from './halves';
import { PlainNumbers } from './intrinsics';
import { CommandFlag, CommandWord, RegionField, RegionNameWord, type ReleaseMode } from './layout';
import { type NativeProtectionDomain, native, type Status } from './native';

const { countMr, mapPhys, mapSg, queryMr, regUserMr, releaseMr, reregMr, stampOfKey: readStamp } = native;

/** Identifies a region, and caches the attributes that only a re-registration changes. */
export interface RegionName {
  /** The native domain object, which keeps `checker` valid and the device open. */
  readonly domain: NativeProtectionDomain;
  /** Number of the domain. */
  readonly checker: number;
  readonly index: number;
  readonly generation: number;
  readonly id: number;
  /** Defined only for regions of user memory. The key and addresses of other regions change and are queried each time. */
  constants: RegionConstants | undefined;
}

/** The attributes of a region of user memory. {@link reregister} replaces all of them. */
export interface RegionConstants {
  readonly key: number;
  start: number | bigint;
  iova: number | bigint;
  readonly length: number;
  readonly access: number;
}

/**
 * Reads, from the command block, the name of the region that the last call created.
 *
 * @param access - the rights of a region of user memory; undefined for other kinds
 */
export function readNewRegion(
  domain: NativeProtectionDomain,
  checker: number,
  access: number | undefined,
): RegionName {
  return {
    domain,
    checker,
    index: words[CommandWord.Region] ?? 0,
    generation: readNumber(CommandWord.RegionGeneration),
    id: fieldNumber(RegionField.Id),
    constants:
      access === undefined
        ? undefined
        : {
            key: fieldNumber(RegionField.Lkey),
            start: readEither(CommandWord.Start),
            iova: readEither(CommandWord.Iova),
            length: fieldNumber(RegionField.Length),
            access,
          },
  };
}

/**
 * Calls `rvt_reg_user_mr`. If `flags` says so, the call reads START and IOVA of the command block, which the caller must have
 * stored.
 *
 * @param checker - number of the domain
 * @param flags - bits of {@link CommandFlag}
 * @returns 0, with the region in the command block for {@link readNewRegion}; or a negative errno
 */
export function registerMemory(checker: number, access: number, flags: number, memory: Uint8Array): Status {
  words[CommandWord.Checker] = checker;
  words[CommandWord.Access] = access;
  words[CommandWord.Flags] = flags;
  words[CommandWord.Answer] = UNANSWERED;
  regUserMr(memory);
  return words[CommandWord.Answer] | 0; // no function call, see acquireElement
}

/** What {@link reregister} changes, if START and IOVA do not count; the fields that are undefined stay as they are. */
export interface Reregistration {
  /** {@link CommandFlag} bits of START and IOVA. */
  readonly flags: number;
  readonly memory: Uint8Array | undefined;
  readonly access: number | undefined;
  /** Number of the new domain. */
  readonly domain: number | undefined;
}

const NO_BYTES = new Uint8Array(0);

/**
 * Calls `rvt_rereg_mr`, at START and IOVA of the command block if `flags` say so, and updates the cached attributes.
 *
 * @returns 0 or a negative errno
 */
export function reregister(name: RegionName, { flags, memory, access, domain }: Reregistration): Status {
  storeRegion(name);
  words[CommandWord.Access] = access ?? 0;
  words[CommandWord.NewChecker] = domain ?? 0;
  words[CommandWord.Flags] =
    flags |
    (memory === undefined ? 0 : CommandFlag.ReregTranslation) |
    (access === undefined ? 0 : CommandFlag.ReregAccess) |
    (domain === undefined ? 0 : CommandFlag.ReregPd);
  const { constants } = name;
  reregMr(memory ?? NO_BYTES);
  const status = (words[CommandWord.Answer] ?? UNANSWERED) | 0; // no function call, see acquireElement
  if (status !== 0 || constants === undefined) return status;
  name.constants = undefined;
  try {
    name.constants = {
      key: fieldNumber(RegionField.Lkey),
      start: readEither(CommandWord.Start),
      iova: readEither(CommandWord.Iova),
      length: memory === undefined ? constants.length : fieldNumber(RegionField.Length),
      access: access ?? constants.access,
    };
  } catch {
    // The stack limit was reached. The region is re-registered, so the call must not throw; its attributes are queried from now on.
  }
  return 0;
}

/** Calls `rvt_map_mr_sg`. Returns the number of elements used, or a negative errno; see {@link NativeModule.mapSg}. */
export function mapSgList(name: RegionName, offset: bigint, pageSize: number, list: BigUint64Array): Status {
  storeRegion(name);
  longs[CommandWord.Address / 2] = offset;
  words[CommandWord.Length] = pageSize;
  mapSg(list);
  return (words[CommandWord.Answer] ?? UNANSWERED) | 0;
}

/** Calls `rvt_map_phys_fmr` at IOVA of the command block, which the caller must have stored. Returns 0 or a negative errno. */
export function mapPageList(name: RegionName, pages: BigUint64Array): Status {
  storeRegion(name);
  mapPhys(pages);
  return (words[CommandWord.Answer] ?? UNANSWERED) | 0;
}

/** Stores the name of the region in the command block, for the next call. */
export function storeRegion(name: RegionName): void {
  words[CommandWord.Checker] = name.checker;
  words[CommandWord.Region] = name.index;
  words[CommandWord.RegionGeneration + LOW] = name.generation;
  words[CommandWord.RegionGeneration + HIGH] = name.generation * HIGH_HALF;
  words[CommandWord.Answer] = UNANSWERED;
}

/** Reads a region's {@link RegionField}s, for `fieldNumber` and `fieldLong`. Returns 0, or -EBADF if the region was released. */
export function queryRegion(name: RegionName): Status {
  storeRegion(name);
  queryMr();
  return readAnswer();
}

/** Returns the stamp of a key in a domain; see {@link NativeModule.stampOfKey}. */
export function stampOfKey(checker: number, key: number): number {
  words[CommandWord.Checker] = checker;
  words[CommandWord.Key] = key;
  words[CommandWord.Answer] = 0;
  readStamp();
  return words[CommandWord.Answer];
}

/** Calls `rvt_dereg_mr`, or `rvt_dealloc_fmr` for an FMR. Returns 0 or a negative errno. */
export function releaseRegion(name: RegionName, mode: ReleaseMode): Status {
  storeRegion(name);
  words[CommandWord.Mode] = mode;
  releaseMr();
  return (words[CommandWord.Answer] ?? UNANSWERED) | 0;
}

/** Starts counting the accesses of a region. Returns 0, -EBADF or -ENOMEM. */
export function countRegion(name: RegionName): Status {
  storeRegion(name);
  countMr();
  return (words[CommandWord.Answer] ?? UNANSWERED) | 0;
}

/** Stands in for a missing list entry; matches no region. */
const NO_REGION = { checker: 0, index: 0, generation: 0 };

/**
 * Reused for lists of one region. V8 allocates off-heap memory for each array whose data native code reads, and frees it at
 * garbage collection. Such small blocks, allocated between the page lists of map and unmap calls, would fragment the C heap.
 */
const listOfOne = new PlainNumbers(RegionNameWord.Words);

/** Encodes a list of regions for native calls. The array may be reused by the next call of this function. */
export function regionNames(names: readonly RegionName[]): Uint32Array {
  const count = names.length;
  const list = count === 1 ? listOfOne : new PlainNumbers(count * RegionNameWord.Words);
  for (let i = 0; i < count; i++) {
    const { checker, index, generation } = names[i] ?? NO_REGION;
    const at = i * RegionNameWord.Words;
    list[at + RegionNameWord.Checker] = checker;
    list[at + RegionNameWord.Index] = index;
    list[at + RegionNameWord.Generation + LOW] = generation;
    list[at + RegionNameWord.Generation + HIGH] = generation * HIGH_HALF;
  }
  return list;
}
