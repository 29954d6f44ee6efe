/** A region of a {@link RegistrationCache}, and the lists that such regions are in. */
import { type IntervalTree } from '../internal/interval-tree';
import { type MemoryLike } from '../internal/memory-argument';
import { type RegionName } from '../internal/region-name';
import { type RegionPlace } from '../internal/region-place';
import { type CachedRegions } from './cached-regions';
import { type MemoryRegion } from './memory-region';

/** A place in a circular list: of a region, or the fixed end of the list. A place that is in no list is alone in its own. */
export class ListPlace {
  previous: ListPlace = this;
  next: ListPlace = this;
  /** The region at this place; undefined: the end of the list. */
  self: CachedRegion | undefined = undefined;
}

/** Moves a place to the end of a list. Calls nothing, so it cannot end halfway at the end of the call stack. */
export function moveToEnd(place: ListPlace, list: ListPlace): void {
  place.previous.next = place.next;
  place.next.previous = place.previous;
  place.previous = list.previous;
  place.next = list;
  list.previous.next = place;
  list.previous = place;
}

/** Takes a place out of its list. */
export function takeOut(place: ListPlace): void {
  place.previous.next = place.next;
  place.next.previous = place.previous;
  place.previous = place.next = place;
}

/** The cached regions over one buffer. Lives as long as the buffer, and does not keep it alive. */
export interface CachedBuffer {
  readonly reference: WeakRef<ArrayBufferLike>;
  /** Whether the buffer can become shorter without being detached. */
  readonly shrinks: boolean;
  /** The regions that gets may use. */
  readonly regions: IntervalTree<CachedRegion>;
  /** The region that was used last; most gets want it again. */
  latest: CachedRegion | undefined;
}

/** How far a region's life in the cache is. */
export const enum Phase {
  /** Gets may use it. */
  Open,
  /** A larger or stronger region has replaced it, or it works no longer. It ends when it is unused. */
  Retired,
  /** It is deregistered. */
  Ended,
}

export class CachedRegion extends ListPlace {
  readonly owner: CachedRegions;
  readonly region: MemoryRegion;
  readonly name: RegionName;
  /** Number of the domain, and the region's key. */
  readonly checker: number;
  readonly key: number;
  /** Where the region was when it was registered; a program can re-register it elsewhere. */
  readonly place: RegionPlace | undefined;
  /** The key's stamp when the region last worked; see `stampOfKey`. 0: unknown. */
  stamp = 0;
  readonly of: CachedBuffer;
  /** The range of bytes in the buffer. */
  readonly start: number;
  readonly end: number;
  /** The rights that the region grants. */
  readonly access: number;
  uses = 0;
  /** The memory of a use, which keeps its buffer alive, while there are uses. */
  kept: MemoryLike | undefined = undefined;
  phase: Phase = Phase.Open;

  constructor(
    owner: CachedRegions,
    region: MemoryRegion,
    name: RegionName,
    of: CachedBuffer,
    start: number,
    end: number,
    access: number,
    place: RegionPlace | undefined,
  ) {
    super();
    this.self = this;
    this.owner = owner;
    this.region = region;
    this.name = name;
    this.checker = name.checker;
    this.key = name.constants?.key ?? 0;
    this.of = of;
    this.start = start;
    this.end = end;
    this.access = access;
    this.place = place;
  }

  get length(): number {
    return this.end - this.start;
  }
}
