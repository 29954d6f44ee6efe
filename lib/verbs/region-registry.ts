import { CreationStacks, type CreatedKind } from './creation-stacks';
import { type FastMemoryRegion } from './fast-memory-region';
import { type MemoryRegion } from './memory-region';

/** Any object that stands for a region. */
export type AnyRegion = MemoryRegion | FastMemoryRegion;

/**
 * Finds the object of a region by the id that native answers name it by. One per device and thread; it is also what tells the
 * objects of two devices apart. It keeps no region alive: a region whose object was collected is found as `undefined`, and so is
 * one that another thread made.
 */
export class RegionRegistry {
  readonly #regions = new Map<number, WeakRef<AnyRegion>>();
  readonly #collected = new FinalizationRegistry<number>((id) => {
    this.#regions.delete(id);
  });
  #stacks: CreationStacks | undefined;
  #living: (() => (kind: CreatedKind, number: number) => boolean) | undefined;

  /** Where objects were created; undefined unless somebody asked. */
  get stacks(): CreationStacks | undefined {
    return this.#stacks;
  }

  /** From now on remember where objects are created. */
  captureStacks(living: () => (kind: CreatedKind, number: number) => boolean): void {
    this.#stacks ??= new CreationStacks();
    this.#living = living;
  }

  /** An object was created just now. `number` is asked for only if somebody wants to know. */
  created(kind: CreatedKind, number: () => number): void {
    if (this.#stacks && this.#living) this.#stacks.note(kind, number(), this.#living);
  }

  /** Ids are never given twice on a device. */
  add(id: number, region: AnyRegion): void {
    this.#regions.set(id, new WeakRef(region));
    this.#collected.register(region, id);
    this.created('region', () => id);
  }

  find(id: number): AnyRegion | undefined {
    return this.#regions.get(id)?.deref();
  }
}

/** By the device's number. Objects of one device that are made in one thread by several {@link Device} objects know each other. */
const registries = new Map<number, WeakRef<RegionRegistry>>();
const forgotten = new FinalizationRegistry<number>((device) => {
  if (!registries.get(device)?.deref()) registries.delete(device);
});

/** The registry of a device in this thread. */
export function registryOfDevice(device: number): RegionRegistry {
  const known = registries.get(device)?.deref();
  if (known) return known;
  const registry = new RegionRegistry();
  registries.set(device, new WeakRef(registry));
  forgotten.register(registry, device);
  return registry;
}
