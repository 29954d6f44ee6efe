/** Which region a refused access has missed: the one that the page shows beside the refusal. */
import { type RefusalView, type RegionView } from './protocol';

/** How the region was found. */
export type MissedBy = 'key' | 'old-key' | 'address' | 'nearest';

export interface Missed {
  readonly id: number;
  readonly by: MissedBy;
}

/** The low byte of a key tells its versions apart. */
const VERSION_BITS = 8;

/**
 * Finds the region that an access was probably meant for: the one with its key; else the one whose key differs in the low byte only;
 * else the one at its address; else the nearest one.
 *
 * @returns undefined if the refusal names no access, or there is no region
 */
export function missedRegion(refusal: RefusalView, regions: Iterable<RegionView>): Missed | undefined {
  const { address, length = 0 } = refusal;
  if (address === undefined && refusal.key === undefined) return undefined;
  const list = [...regions];
  const key = refusal.key === undefined ? undefined : Number(refusal.key);
  if (key !== undefined && key !== 0) {
    const exact = list.find((region) => Number(region.key) === key);
    if (exact !== undefined) return { id: exact.id, by: 'key' };
    const version = list.find((region) => Number(region.key) >>> VERSION_BITS === key >>> VERSION_BITS);
    if (version !== undefined) return { id: version.id, by: 'old-key' };
  }
  if (address === undefined) return undefined;
  const from = BigInt(address);
  const until = from + BigInt(length);
  let nearest: { id: number; distance: bigint } | undefined;
  for (const region of list) {
    if (region.length === 0) continue;
    const start = BigInt(refusal.remote === true ? region.iova : region.start);
    const end = start + BigInt(region.length);
    const distance = until <= start ? start - until : from >= end ? from - end : -1n;
    if (nearest === undefined || distance < nearest.distance) nearest = { id: region.id, distance };
  }
  return nearest && { id: nearest.id, by: nearest.distance < 0n ? 'address' : 'nearest' };
}
