import { CreationStacks, type CreatedKind } from './creation-stacks';
import { type FastMemoryRegion } from './fast-memory-region';
import { type MemoryRegion } from './memory-region';
import { nameOf } from './region';

/** Any object that stands for a region. */
export type AnyRegion = MemoryRegion | FastMemoryRegion;

// No FinalizationRegistry here: one that dies while a call of it is due ends, up to Node 24, the calls of all others in the
// process, also of the one that puts forgotten elements. References to what was collected are dropped when lists grow.

/** More entries than this, and those that were collected are dropped. */
const FIRST_LIMIT = 16;

/**
 * What this thread knows of one device, whichever {@link Device} object was used: it tells the objects of two devices apart, and
 * finds regions in the tables of all that thread's Device objects.
 */
export class RegionRegistry {
  /** Weak: what a Device object has made ends with it, also if another one of the same device lives on. */
  #tables: WeakRef<RegionTable>[] = [];
  #limit = FIRST_LIMIT;
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

  addTable(table: RegionTable): void {
    if (this.#tables.length >= this.#limit) {
      this.#tables = this.#tables.filter((other) => other.deref() !== undefined);
      this.#limit = Math.max(FIRST_LIMIT, this.#tables.length * 2);
    }
    this.#tables.push(new WeakRef(table));
  }

  /** In the tables of all Device objects; `undefined` for a region that another thread has made. */
  find(index: number, id: number): AnyRegion | undefined {
    let found: AnyRegion | undefined;
    // Not by an iterator, which a program may have replaced by one that never ends.
    this.#tables.forEach((table) => {
      found ??= table.deref()?.findOwn(index, id);
    });
    return found;
  }
}

/**
 * The regions that were made through one {@link Device} object, by their place in the device's pool. It holds their objects: a
 * region stays registered whether or not the program keeps its object, so the object can be found as long as anything of the
 * Device object is reachable. All of these hold the table, and go together.
 */
export class RegionTable {
  readonly registry: RegionRegistry;
  // Without a prototype: a place that is empty must not be looked for in a prototype that a program can change.
  readonly #regions = Object.setPrototypeOf([], null) as (AnyRegion | undefined)[];

  constructor(registry: RegionRegistry) {
    this.registry = registry;
    registry.addTable(this);
  }

  get stacks(): CreationStacks | undefined {
    return this.registry.stacks;
  }

  created(kind: CreatedKind, number: () => number): void {
    this.registry.created(kind, number);
  }

  /** Whatever was in that place before has ended: it was not told, if somebody else has ended it. */
  add(region: AnyRegion): void {
    const { index, id } = nameOf(region);
    const regions = this.#regions;
    for (let i = regions.length; i < index; i++) regions[i] = undefined; // no holes: the engine would make it a dictionary
    regions[index] = region;
    if (this.registry.stacks) this.created('region', () => id);
  }

  /** The region has ended, and nobody holds an element of it. Those that end in other ways stay until their place is used again. */
  remove(index: number, id: number): void {
    if (this.findOwn(index, id)) this.#regions[index] = undefined;
  }

  findOwn(index: number, id: number): AnyRegion | undefined {
    const region = this.#regions[index];
    return region !== undefined && nameOf(region).id === id ? region : undefined;
  }

  /** The object of a region, by what native answers name it by; undefined for one that another thread has made. */
  find(index: number, id: number): AnyRegion | undefined {
    return this.findOwn(index, id) ?? this.registry.find(index, id);
  }
}

/** By the device's number. Objects of one device that are made in one thread by several {@link Device} objects know each other. */
const registries = new Map<number, WeakRef<RegionRegistry>>();
let limit = FIRST_LIMIT;

/** The registry of a device in this thread. */
export function registryOfDevice(device: number): RegionRegistry {
  const known = registries.get(device)?.deref();
  if (known) return known;
  if (registries.size >= limit) {
    registries.forEach((registry, number) => {
      if (registry.deref() === undefined) registries.delete(number);
    });
    limit = Math.max(FIRST_LIMIT, registries.size * 2);
  }
  const registry = new RegionRegistry();
  registries.set(device, new WeakRef(registry));
  return registry;
}
