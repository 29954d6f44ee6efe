/**
 * What a region is to the native module: numbers. It is in a domain, which has a number as long as its native object lives; it
 * has a place in the device's pool of regions, and a generation there, which no other region ever has in that place.
 */
import { fieldNumber, longs, readAnswer, readEither, readNumber, UNANSWERED, words } from './command';
import { HIGH, HIGH_HALF, LOW } from './halves';
import { CommandWord, RegionField, RegionNameWord, type ReleaseMode } from './layout';
import { type NativeProtectionDomain, native, type Status } from './native';

const { countMr, mapSg, queryMr, regUserMr, releaseMr } = native;

/** The name of a region, and the numbers that it keeps for life. */
export interface RegionName {
  /** Keeps the number of the domain, and the device open. */
  readonly domain: NativeProtectionDomain;
  readonly checker: number;
  readonly index: number;
  readonly generation: number;
  readonly id: number;
  /** Of a region whose key and addresses never change (user memory); of others they are asked for each time. */
  readonly constants: RegionConstants | undefined;
}

/** What never changes in the life of a region of user memory. */
export interface RegionConstants {
  readonly key: number;
  start: number | bigint;
  iova: number | bigint;
  readonly length: number;
  readonly access: number;
}

/** The name of the region that the last call has made. `access`: it is of user memory, and has these rights. */
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
 * `rvt_reg_user_mr`. START and IOVA of the command block are read if `flags` says so; the caller has stored them.
 *
 * @param checker - number of the domain
 * @param flags - bits of {@link CommandFlag}
 * @returns 0, and the region is in the command block for {@link readNewRegion}; or a negative errno
 */
export function registerMemory(checker: number, access: number, flags: number, memory: Uint8Array): Status {
  words[CommandWord.Checker] = checker;
  words[CommandWord.Access] = access;
  words[CommandWord.Flags] = flags;
  words[CommandWord.Answer] = UNANSWERED;
  regUserMr(memory);
  return readAnswer();
}

/** `rvt_map_mr_sg`: the number of elements used, or a negative errno; see {@link NativeModule.mapSg}. */
export function mapSgList(name: RegionName, offset: bigint, pageSize: number, list: BigUint64Array): Status {
  storeRegion(name);
  longs[CommandWord.Address / 2] = offset;
  words[CommandWord.Length] = pageSize;
  mapSg(list);
  return readAnswer();
}

/** Names a region for the next call. */
export function storeRegion(name: RegionName): void {
  words[CommandWord.Checker] = name.checker;
  words[CommandWord.Region] = name.index;
  words[CommandWord.RegionGeneration + LOW] = name.generation;
  words[CommandWord.RegionGeneration + HIGH] = name.generation * HIGH_HALF;
  words[CommandWord.Answer] = UNANSWERED;
}

/** Tells the fields of a region ({@link RegionField}, by `fieldNumber` and `fieldLong`): 0, or -EBADF if it is gone. */
export function queryRegion(name: RegionName): Status {
  storeRegion(name);
  queryMr();
  return readAnswer();
}

/** `rvt_dereg_mr`, or `rvt_dealloc_fmr` for an FMR: 0 or a negative errno. */
export function releaseRegion(name: RegionName, mode: ReleaseMode): Status {
  storeRegion(name);
  words[CommandWord.Mode] = mode;
  releaseMr();
  return readAnswer();
}

/** Counts its checks from now on: 0, -EBADF, -ENOMEM. */
export function countRegion(name: RegionName): Status {
  storeRegion(name);
  countMr();
  return readAnswer();
}

/** Names nothing. */
const NO_REGION = { checker: 0, index: 0, generation: 0 };

/**
 * The list of one region, used again and again. For each array that native code looks into the engine makes memory outside its
 * heap, which waits for the garbage collector. Small pieces of it between the page lists that mapping and unmapping allocate and
 * free keep that memory from being used again.
 */
const listOfOne = new Uint32Array(RegionNameWord.Words);

/** A list of regions as native calls want it. Good until the next call. */
export function regionNames(names: readonly RegionName[]): Uint32Array {
  const count = names.length;
  const list = count === 1 ? listOfOne : new Uint32Array(count * RegionNameWord.Words);
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
