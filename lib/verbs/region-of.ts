/** Finds the regions that cover given bytes of memory. */
import { placeOfBytes } from '../internal/region-place';
import { isMemoryRegion, type MemoryRegion } from './memory-region';
import { type AnyRegion, type RegionRegistry } from './region-registry';

/** Implements {@link ProtectionDomain.regionOf}. */
export function regionCovering(
  registry: RegionRegistry,
  bytes: Uint8Array,
  pd: number,
  access: number,
): MemoryRegion | undefined {
  const view = placeOfBytes(bytes);
  if (view === undefined) return undefined;
  let best: { region: MemoryRegion; start: number; id: number } | undefined;
  registry.findCovering({ view, pd, access }, (region: AnyRegion, start, id) => {
    if (!isMemoryRegion(region)) return false;
    if (best === undefined || start > best.start || (start === best.start && id > best.id)) {
      best = { region, start, id };
    }
    return true; // skip the rest of the group: no region in it begins closer to the view
  });
  return best?.region;
}

/** Implements {@link Device.regionsOf}. */
export function regionsCovering(
  registry: RegionRegistry,
  bytes: Uint8Array,
  pd: number | undefined,
): MemoryRegion[] {
  const view = placeOfBytes(bytes);
  const found: MemoryRegion[] = [];
  if (view === undefined) return found;
  registry.findCovering(pd === undefined ? { view } : { view, pd }, (region: AnyRegion) => {
    if (isMemoryRegion(region)) found[found.length] = region;
    return false;
  });
  return found.sort((a, b) => a.id - b.id);
}
