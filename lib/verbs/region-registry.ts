import { CreationStacks, type CreatedKind } from './creation-stacks';
import { ElementStacks, startCapturing } from './element-stacks';
import { type Holder } from '../internal/element';
import { Errno } from '../internal/errors';
import { derefOf, mapOf, ownList, PlainWeakRef } from '../internal/intrinsics';
import { type FastMemoryRegion } from './fast-memory-region';
import { ReleaseMode } from '../internal/layout';
import { type Rkey } from './keys';
import { type MemoryRegion } from './memory-region';
import { type Status } from '../internal/native';
import { nameOf } from './region';
import { RegionIndex, type Sought } from './region-index';
import { type RegionName, releaseRegion } from '../internal/region-name';

/** A region of either class, {@link MemoryRegion} or {@link FastMemoryRegion}. */
export type AnyRegion = MemoryRegion | FastMemoryRegion;

// Do not use a FinalizationRegistry here. Up to Node 24, if one is collected while its callback is pending, the callbacks of all
// others in the process stop too, including the one that puts collected elements. Cleared references are removed when lists grow.

/** When a list of weak references grows past this length, cleared references are removed. */
const FIRST_LIMIT = 16;

/**
 * The registry of a device in this thread, shared by all {@link Device} objects of that device. Finds regions in the tables of
 * all these objects. Two objects belong to the same device if and only if their registries are identical.
 */
export class RegionRegistry {
  /**
   * Weak references, so that the table of a Device object can be collected with it while another object of the same device lives
   * on.
   */
  #tables = ownList<WeakRef<RegionTable>>();
  #count = 0;
  #limit = FIRST_LIMIT;
  #stacks: CreationStacks | undefined;
  #living: (() => (kind: CreatedKind, number: number) => boolean) | undefined;

  /** @param device - number of the device in this process */
  constructor(readonly device: number) {}

  /** Where objects were created; undefined unless stacks are captured. */
  get stacks(): CreationStacks | undefined {
    return this.#stacks;
  }

  /** The recorded stacks of acquired elements. */
  readonly elementStacks: ElementStacks = new ElementStacks();

  /** Records where an element was acquired, if stacks are captured. */
  acquired(holder: Holder): void {
    if (this.#stacks) this.elementStacks.note(holder, this.#stacks.capture());
  }

  /** Records where a batch acquired elements, if stacks are captured. */
  batchAcquired(batch: number): void {
    if (this.#stacks) this.elementStacks.noteBatch(batch, this.#stacks.capture());
  }

  /** Starts recording where objects are created and elements are acquired. */
  captureStacks(living: () => (kind: CreatedKind, number: number) => boolean): void {
    startCapturing();
    this.#stacks ??= new CreationStacks();
    this.#living = living;
  }

  /** Records the creation of an object. Calls `number` only while stacks are captured. */
  created(kind: CreatedKind, number: () => number): void {
    if (this.#stacks && this.#living) this.#stacks.note(kind, number(), this.#living);
  }

  addTable(table: RegionTable): void {
    if (this.#count >= this.#limit) {
      let kept = 0;
      for (let i = 0; i < this.#count; i++) {
        const other = this.#tables[i];
        if (other !== undefined && derefOf(other) !== undefined) this.#tables[kept++] = other;
      }
      this.#tables.length = this.#count = kept;
      this.#limit = kept * 2 > FIRST_LIMIT ? kept * 2 : FIRST_LIMIT;
    }
    this.#tables[this.#count++] = new PlainWeakRef(table);
  }

  /**
   * Finds the regions of user memory that cover a view, in the tables of all Device objects. Calls `visit` as
   * {@link RegionIndex.find} does.
   */
  findCovering(sought: Sought, visit: (region: AnyRegion, start: number, id: number) => boolean): void {
    for (let i = 0; i < this.#count; i++) {
      const table = this.#tables[i];
      if (table !== undefined) derefOf(table)?.index.find(sought, visit);
    }
  }

  /** Finds a region in the tables of all Device objects; undefined if another thread created it. */
  find(index: number, id: number): AnyRegion | undefined {
    for (let i = 0; i < this.#count; i++) {
      const table = this.#tables[i];
      const found = table === undefined ? undefined : derefOf(table)?.findOwn(index, id);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/**
 * Maximum number of empty entries to fill in at once. An index can be far beyond the end of the table, because other threads'
 * regions use indexes of the same pool.
 */
const MOST_FILLED = 2 ** 16;

/**
 * The regions created through one {@link Device} object, by their index in the device's pool. Holds strong references: a region
 * stays registered even if the program drops its object, and `Sge.region` must still find that object. The objects of the device
 * hold the table in turn, so all of them are garbage-collected together.
 */
export class RegionTable {
  readonly registry: RegionRegistry;
  readonly #regions = ownList<AnyRegion | undefined>();
  /** The index of regions by their memory. Created by the first search. */
  #index: RegionIndex<AnyRegion> | undefined;

  /** The bits in which the lkey and the rkey of a region differ; 0 unless the device is strict. */
  readonly #rkeyMask: number;

  constructor(registry: RegionRegistry, rkeyMask: number) {
    this.registry = registry;
    this.#rkeyMask = rkeyMask;
    registry.addTable(this);
  }

  get stacks(): CreationStacks | undefined {
    return this.registry.stacks;
  }

  /** Returns the rkey of a region with this lkey. */
  rkeyOf(lkey: number): Rkey {
    return (lkey === 0 ? 0 : (lkey ^ this.#rkeyMask) >>> 0) as Rkey;
  }

  created(kind: CreatedKind, number: () => number): void {
    this.registry.created(kind, number);
  }

  /** Adds a region. Replaces the previous region at its index, which is closed even if this table was not notified. */
  add(region: AnyRegion): void {
    const { index, id } = nameOf(region);
    const regions = this.#regions;
    // Fill gaps with undefined: holes would switch the array to the slow dictionary mode, which only pays off for a nearly empty
    // array.
    const missing = index - regions.length;
    if (missing < MOST_FILLED) for (let i = regions.length; i < index; i++) regions[i] = undefined;
    regions[index] = region;
    if (this.#index) this.#index.note(region);
    if (this.registry.stacks) this.created('region', () => id);
  }

  /** Indexes a region again that was re-registered: its memory, rights or domain have changed. */
  change({ index, id }: RegionName): void {
    const region = this.findOwn(index, id);
    if (region && this.#index) this.#index.note(region);
  }

  /**
   * Removes a region that is closed and has no held elements. Regions closed in other ways (by force, or with their domain) stay
   * in the table until their index is reused.
   */
  remove(index: number, id: number): void {
    if (this.findOwn(index, id)) this.#regions[index] = undefined;
    if (this.#index) this.#index.drop(index, id);
  }

  /** The index of regions by their memory. The first access takes time proportional to the number of regions. */
  get index(): RegionIndex<AnyRegion> {
    if (this.#index) return this.#index;
    const index = new RegionIndex<AnyRegion>(nameOf);

    for (let i = 0; i < this.#regions.length; i++) {
      const region = this.#regions[i];
      if (region) index.note(region);
    }
    return (this.#index = index);
  }

  /**
   * Prepares the release of all regions.
   *
   * @returns a function that revokes and releases the regions. Returns 0, or -EBUSY while elements of any region are held; call
   *   it again after a put
   */
  revokeAll(): () => Status {
    let left = this.#regions;
    return () => {
      const held = ownList<AnyRegion | undefined>();
      for (let i = 0; i < left.length; i++) {
        const region = left[i];
        if (!region) continue;
        const name = nameOf(region);
        const status = releaseRegion(name, ReleaseMode.Await);
        if (status === -Errno.EBUSY) held[held.length] = region;
        else if (status === 0) this.remove(name.index, name.id);
      }
      left = held;
      return held.length === 0 ? 0 : -Errno.EBUSY;
    };
  }

  findOwn(index: number, id: number): AnyRegion | undefined {
    const region = this.#regions[index];
    return region !== undefined && nameOf(region).id === id ? region : undefined;
  }

  /** Finds a region by the index and id that a native answer contains; undefined if another thread created it. */
  find(index: number, id: number): AnyRegion | undefined {
    return this.findOwn(index, id) ?? this.registry.find(index, id);
  }
}

/** This thread's registries, by the number of the device. */
const registries = new Map<number, WeakRef<RegionRegistry>>();
let limit = FIRST_LIMIT;

/** Returns this thread's registry of a device. */
export function registryOfDevice(device: number): RegionRegistry {
  const reference = mapOf.get(registries, device);
  const known = reference && derefOf(reference);
  if (known) return known;
  if (registries.size >= limit) {
    mapOf.forEach(registries, (registry, number) => {
      if (derefOf(registry) === undefined) mapOf.delete(registries, number);
    });
    limit = Math.max(FIRST_LIMIT, registries.size * 2);
  }
  const registry = new RegionRegistry(device);
  mapOf.set(registries, device, new PlainWeakRef(registry));
  return registry;
}
