import { type FastMemoryRegion } from './fast-memory-region';
import { type MemoryRegion } from './memory-region';

/** Any object that stands for a region. */
export type AnyRegion = MemoryRegion | FastMemoryRegion;

/**
 * Finds the object of a region by the id that native answers name it by. One per device; it is also what tells the objects
 * of two devices apart. It keeps no region alive: a region whose object was collected is found as `undefined`.
 */
export class RegionRegistry {
  readonly #regions = new Map<number, WeakRef<AnyRegion>>();
  readonly #collected = new FinalizationRegistry<number>((id) => {
    this.#regions.delete(id);
  });

  /** Ids are never given twice on a device. */
  add(id: number, region: AnyRegion): void {
    this.#regions.set(id, new WeakRef(region));
    this.#collected.register(region, id);
  }

  find(id: number): AnyRegion | undefined {
    return this.#regions.get(id)?.deref();
  }
}
