import { type CachedBuffer, CachedRegion, ListPlace, moveToEnd, Phase, takeOut } from './cached-region';
import { type Access } from './access';
import { Errno, explainedError } from '../internal/errors';
import { fieldNumber } from '../internal/command';
import { derefOf, keepAliveWith, ownList, PlainWeakRef, weakValueOf } from '../internal/intrinsics';
import { IntervalTree } from '../internal/interval-tree';
import { RegionField, ReleaseMode } from '../internal/layout';
import {
  bytesAt,
  canShrink,
  lengthOfBufferNow,
  type MemoryLike,
  typedBufferOf,
} from '../internal/memory-argument';
import { type ProtectionDomain, registerWeakly } from './protection-domain';
import { endRegion, nameOf } from './region';
import { queryRegion, stampOfKey } from '../internal/region-name';
import { placeOfRegion } from '../internal/region-place';

/** References of a region that nobody holds; 1 once it is half-dead. */
const OWN_REFS = 2;
/** How many idle regions a miss inspects, so that memory that is gone leaves the cache. */
const INSPECTED_BY_MISS = 2;
/** One in so many typed arrays over cached regions, which the cache does not know, is remembered. */
const VIEWS_PER_REMEMBERED = 8;
/** One in so many hits inspects an idle region too. */
const HITS_PER_INSPECTION = 256;

const METHOD = 'RegistrationCache.get';

/**
 * The regions of a {@link RegistrationCache}, and the decisions about them: which region serves a get, what is registered for one
 * that none serves, what goes to make room, and when regions end.
 *
 * Every region is in one of two lists. `#open` has those that gets may use, the one that was put or looked at first comes first. A get
 * does not move its region, because that would make hits slower; what evicts skips the regions in use. `#retired` has the others:
 * those in use, and those that elements or work requests still hold, so that they cannot end yet.
 */
export class CachedRegions {
  readonly #pd: ProtectionDomain;
  readonly #maxRegions: number;
  readonly #maxBytes: number;
  readonly #buffers = new WeakMap<ArrayBufferLike, CachedBuffer>();
  /** Typed arrays over these buffers, except over those that shrink. Reading `buffer` of one takes longer than to find it here. */
  readonly #views = new WeakMap<object, CachedBuffer>();
  #unknownViews = 0;
  readonly #open = new ListPlace();
  readonly #retired = new ListPlace();
  /** The open region that is inspected next. */
  #inspected: ListPlace = this.#open;
  #busyBytes = 0;
  hits = 0;
  misses = 0;
  evictions = 0;
  /** Number of regions that exist, and the sum of their lengths. */
  regions = 0;
  bytes = 0;
  /** Number of regions with uses. */
  inUse = 0;
  closed = false;

  constructor(pd: ProtectionDomain, maxRegions: number, maxBytes: number) {
    this.#pd = pd;
    this.#maxRegions = maxRegions;
    this.#maxBytes = maxBytes;
  }

  /** Returns what the cache knows of the buffer of a typed array that it remembers; such a buffer does not shrink. Takes any value. */
  ofView(view: unknown): CachedBuffer | undefined {
    return weakValueOf(this.#views, view as object);
  }

  /**
   * Returns the region over a buffer that was used last, if it serves the get.
   *
   * @param buffer - may be left out if it does not shrink
   */
  latest(
    known: CachedBuffer,
    start: number,
    end: number,
    access: Access,
    buffer?: ArrayBufferLike,
  ): CachedRegion | undefined {
    const { latest } = known;
    if (
      latest === undefined ||
      latest.start > start ||
      latest.end < end ||
      (latest.access & access) !== access ||
      !(buffer === undefined ? keyWorks(latest) : this.#works(latest, buffer))
    ) {
      return undefined;
    }
    if ((++this.hits & (HITS_PER_INSPECTION - 1)) === 0) this.#inspect(1);
    return latest;
  }

  /** As {@link CachedRegions.find}, for [start, end) of the buffer of a typed array. Remembers the array if it may come again. */
  findForView(view: MemoryLike, start: number, end: number, access: Access): CachedRegion {
    const { misses } = this;
    const found = this.find(typedBufferOf(view), start, end, access);
    // To remember a view costs more than a hit. A program that makes a new view for each get must not pay that each time.
    const remember = misses !== this.misses || (++this.#unknownViews & (VIEWS_PER_REMEMBERED - 1)) === 0;
    if (remember && !found.of.shrinks) keepAliveWith(this.#views, view, found.of);
    return found;
  }

  /**
   * Returns a region that covers [start, end) of the buffer with these rights, and registers one if there is none. The caller must
   * then call {@link CachedRegions.begin}; nothing may run in between.
   */
  find(buffer: ArrayBufferLike, start: number, end: number, access: Access): CachedRegion {
    const known = weakValueOf(this.#buffers, buffer);
    const latest = known && this.latest(known, start, end, access, buffer);
    if (latest !== undefined) return latest;
    const found = known && this.#search(known, buffer, start, end, access);
    if (known !== undefined && found !== undefined) {
      this.hits++;
      known.latest = found;
      return found;
    }
    return this.#miss(buffer, start, end, access);
  }

  /** Counts a use. Calls nothing, so it cannot end halfway. */
  begin(entry: CachedRegion, memory: MemoryLike): void {
    if (entry.uses++ > 0) return;
    entry.kept = memory;
    this.inUse++;
    this.#busyBytes += entry.end - entry.start;
  }

  /** Takes a use back. A retired region ends with its last use. */
  finish(entry: CachedRegion): void {
    if (entry.phase === Phase.Ended) return;
    if (entry.uses > 1) {
      entry.uses--;
      return;
    }
    if (entry.phase === Phase.Open && entry !== this.#open.previous) this.#makeLast(entry);
    entry.uses = 0;
    entry.kept = undefined;
    this.inUse--;
    this.#busyBytes -= entry.end - entry.start;
    if (entry.phase === Phase.Open) return;
    try {
      this.#end(entry, false);
    } catch {
      // The stack limit was reached. The region stays among the retired ones, which the next miss tries to end.
    }
  }

  /** Retires the regions that do not work any more, and ends those of them that are unused or do not exist any more. */
  inspectAll(): void {
    for (let entry = this.#retired.next.self; entry !== undefined;) {
      const next = entry.next.self;
      if (entry.uses === 0 || isGone(entry)) this.#end(entry, false);
      entry = next;
    }
    for (let entry = this.#open.next.self; entry !== undefined;) {
      const next = entry.next.self;
      if (!this.#isSound(entry)) this.#drop(entry);
      entry = next;
    }
  }

  /**
   * Ends all regions.
   *
   * @param force - also those in use or held
   * @returns the number of regions that are left: in use, or held
   */
  endAll(force: boolean): number {
    this.inspectAll(); // regions that ended with their domain or device are no longer in use
    if (!force && this.inUse > 0) return this.inUse;
    return this.#endList(this.#open, force) + this.#endList(this.#retired, force);
  }

  #endList(list: ListPlace, force: boolean): number {
    let left = 0;
    for (let entry = list.next.self; entry !== undefined;) {
      const next = entry.next.self;
      if ((entry.uses > 0 && !force) || !this.#end(entry, force)) left++;
      entry = next;
    }
    return left;
  }

  #makeLast(entry: CachedRegion): void {
    if (this.#inspected === entry) this.#inspected = entry.next;
    moveToEnd(entry, this.#open);
  }

  /** Returns whether checks find the region by its key, and all its bytes still exist. */
  #works(entry: CachedRegion, buffer: ArrayBufferLike): boolean {
    return (!entry.of.shrinks || lengthOfBufferNow(buffer) >= entry.end) && keyWorks(entry);
  }

  /** As {@link CachedRegions.#works}, for a region whose buffer may have been collected or detached. */
  #isSound(entry: CachedRegion): boolean {
    const buffer = derefOf(entry.of.reference);
    return buffer !== undefined && lengthOfBufferNow(buffer) >= entry.end && keyWorks(entry);
  }

  /** Finds a region among those over a buffer. Drops those that it finds not to work. */
  #search(
    known: CachedBuffer,
    buffer: ArrayBufferLike,
    start: number,
    end: number,
    access: number,
  ): CachedRegion | undefined {
    for (;;) {
      let found: CachedRegion | undefined;
      known.regions.findCovering(start, end, (entry) => {
        if ((entry.access & access) !== access) return false;
        found = entry;
        return true;
      });
      if (found === undefined || this.#works(found, buffer)) return found;
      this.#drop(found);
    }
  }

  #miss(buffer: ArrayBufferLike, start: number, end: number, access: Access): CachedRegion {
    if (this.closed) throw explainedError(METHOD, 'EBADF', 'CacheClosed');
    this.misses++;
    this.#inspect(INSPECTED_BY_MISS);
    this.#endRetired();
    return this.#register(buffer, start, end, access);
  }

  #register(buffer: ArrayBufferLike, start: number, end: number, access: Access): CachedRegion {
    const known = this.#known(buffer);
    const pieces = this.#touching(known, buffer, start, end);
    let from = start;
    let to = end;
    let rights: number = access;
    for (let i = 0; i < pieces.length; i++) {
      const piece = pieces[i];
      if (piece === undefined) continue;
      if (piece.start < from) from = piece.start;
      if (piece.end > to) to = piece.end;
      rights |= piece.access;
    }
    // Growing must not evict other regions for nothing, so look first whether the union fits beside what is in use.
    if (pieces.length > 0 && this.#fits(to - from)) {
      for (let i = 0; i < pieces.length; i++) {
        const piece = pieces[i];
        if (piece?.uses === 0) this.#drop(piece);
      }
      if (this.#makeRoom(to - from)) {
        const grown = this.#create(known, buffer, from, to, rights);
        for (let i = 0; i < pieces.length; i++) {
          const piece = pieces[i];
          if (piece?.phase === Phase.Open) this.#retire(piece);
        }
        return grown;
      }
    }
    const length = end - start;
    if (length > this.#maxBytes) {
      throw explainedError(METHOD, 'EINVAL', 'AboveMaxBytes', {
        argument: 'memory',
        value: BigInt(length),
        limit: BigInt(this.#maxBytes),
      });
    }
    if (!this.#fits(length)) throw this.#full(this.inUse, this.#busyBytes);
    if (!this.#makeRoom(length)) throw this.#full(this.regions, this.bytes);
    return this.#create(known, buffer, start, end, access);
  }

  /** Creates the error for a get that finds no room beside what is in use. */
  #full(regions: number, bytes: number): Error {
    return regions >= this.#maxRegions
      ? explainedError(METHOD, 'ENOMEM', 'CacheRegionsInUse', {
          value: BigInt(regions),
          limit: BigInt(this.#maxRegions),
        })
      : explainedError(METHOD, 'ENOMEM', 'CacheBytesInUse', {
          value: BigInt(bytes),
          limit: BigInt(this.#maxBytes),
        });
  }

  #known(buffer: ArrayBufferLike): CachedBuffer {
    const known = weakValueOf(this.#buffers, buffer);
    if (known !== undefined) return known;
    const made = {
      reference: new PlainWeakRef(buffer),
      shrinks: canShrink(buffer),
      regions: new IntervalTree<CachedRegion>(),
      latest: undefined,
    };
    keepAliveWith(this.#buffers, buffer, made);
    return made;
  }

  /** Returns the regions that overlap or touch [start, end) and work. */
  #touching(known: CachedBuffer, buffer: ArrayBufferLike, start: number, end: number): CachedRegion[] {
    const all = ownList<CachedRegion>();
    known.regions.findTouching(start, end, (entry) => (all[all.length] = entry));
    const working = ownList<CachedRegion>();
    for (let i = 0; i < all.length; i++) {
      const entry = all[i];
      if (entry === undefined) continue;
      if (this.#works(entry, buffer)) working[working.length] = entry;
      else this.#drop(entry);
    }
    return working;
  }

  /** Registers a range. While the device has no room for another region, evicts one of the cache's own and tries again. */
  #create(
    known: CachedBuffer,
    buffer: ArrayBufferLike,
    start: number,
    end: number,
    access: Access,
  ): CachedRegion {
    const bytes = bytesAt(METHOD, buffer, start, end - start, 'memory');
    for (;;) {
      try {
        return this.#add(registerWeakly(this.#pd, METHOD, access, bytes), known, start, end, access);
      } catch (error) {
        if ((error as { errno?: unknown }).errno !== -Errno.ENOMEM || !this.#evict()) throw error;
      }
    }
  }

  #add(
    region: CachedRegion['region'],
    known: CachedBuffer,
    start: number,
    end: number,
    access: Access,
  ): CachedRegion {
    try {
      const name = nameOf(region);
      const place = placeOfRegion(name);
      const found = typeof place === 'object' ? place : undefined; // undefined: another thread has closed the device
      const entry = new CachedRegion(this, region, name, known, start, end, access, found);
      known.regions.add(start, end, entry.name.id, entry);
      known.latest = entry;
      moveToEnd(entry, this.#open);
      this.regions++;
      this.bytes += end - start;
      return entry;
    } catch (error) {
      endRegion(region, ReleaseMode.Force); // the stack limit was reached; a call that throws must leave nothing registered
      throw error;
    }
  }

  /** Returns whether a region of this length fits beside those that cannot go now. */
  #fits(length: number): boolean {
    return this.inUse < this.#maxRegions && this.#busyBytes + length <= this.#maxBytes;
  }

  /** Evicts regions until one more of this length fits. Returns false if that many cannot go. */
  #makeRoom(length: number): boolean {
    while (this.regions >= this.#maxRegions || this.bytes + length > this.#maxBytes) {
      if (!this.#evict()) return false;
    }
    return true;
  }

  /** Evicts the region that was used least recently, except those in use or held. Returns false if there is none. */
  #evict(): boolean {
    for (let left = this.regions; left > 0; left--) {
      const entry = this.#open.next.self;
      if (entry === undefined) return false;
      if (entry.uses === 0 && this.#end(entry, false)) {
        this.evictions++;
        return true;
      }
      // In use; or elements, work requests, windows or leases hold it, though its user has put it back. Look at the others first next
      // time.
      if (entry.phase === Phase.Open) this.#makeLast(entry);
    }
    return false;
  }

  /** Inspects open regions, and drops those that do not work any more. */
  #inspect(count: number): void {
    for (let left = count; left > 0; left--) {
      const entry = this.#inspected.self ?? this.#open.next.self;
      if (entry === undefined) return;
      this.#inspected = entry.next;
      if (!this.#isSound(entry)) this.#drop(entry);
    }
  }

  /** Ends a region that gets must not use any more: at once, or when it is unused. */
  #drop(entry: CachedRegion): void {
    this.#retire(entry);
    if (entry.uses === 0 || isGone(entry)) this.#end(entry, false);
  }

  /** Lets no get use the region any more. */
  #retire(entry: CachedRegion): void {
    if (entry.phase !== Phase.Open) return;
    entry.of.regions.remove(entry.start, entry.name.id);
    if (entry.of.latest === entry) entry.of.latest = undefined;
    if (this.#inspected === entry) this.#inspected = entry.next;
    moveToEnd(entry, this.#retired);
    entry.phase = Phase.Retired;
  }

  #endRetired(): void {
    this.#endList(this.#retired, false);
  }

  /**
   * Deregisters a region, if no elements, windows or leases of it are left or `force` is set. When the call returns true, no byte of the region moves
   * any more.
   */
  #end(entry: CachedRegion, force: boolean): boolean {
    if (!force && isHeld(entry)) return false;
    // Without force first: a region that is released by force stays in the table of regions until its index is used again.
    const status = endRegion(entry.region, ReleaseMode.Release);
    if (status < 0 && force) endRegion(entry.region, ReleaseMode.Force);
    else if (status === -Errno.EBUSY) {
      // Windows or leases are bound to it, and nothing has changed; or another thread has just taken an element. Then its key does
      // not work any more, and it ends when that element was put.
      if (!keyWorksNow(entry)) this.#retire(entry);
      return false;
    }
    this.#retire(entry);
    entry.phase = Phase.Ended;
    takeOut(entry);
    this.regions--;
    this.bytes -= entry.end - entry.start;
    if (entry.uses > 0) {
      this.inUse--;
      this.#busyBytes -= entry.end - entry.start;
      entry.kept = undefined;
    }
    return true;
  }
}

/**
 * Returns whether checks find the region by its key, as it was registered. Asks first whether the record of the key has changed at
 * all, which is much cheaper.
 */
function keyWorks(entry: CachedRegion): boolean {
  return (entry.stamp !== 0 && stampOfKey(entry.checker, entry.key) === entry.stamp) || keyWorksNow(entry);
}

function keyWorksNow(entry: CachedRegion): boolean {
  // The stamp first: if the region is found unchanged afterwards, the stamp is one of the unchanged region.
  const stamp = stampOfKey(entry.checker, entry.key);
  const { place: before } = entry;
  const place = placeOfRegion(entry.name);
  const works =
    typeof place === 'object' &&
    before !== undefined &&
    place.works &&
    place.key === before.key &&
    place.pd === before.pd &&
    place.buffer === before.buffer &&
    place.offset === before.offset &&
    place.length === before.length &&
    place.access === before.access;
  entry.stamp = works ? stamp : 0;
  return works;
}

/** Returns whether the region does not exist any more. */
function isGone(entry: CachedRegion): boolean {
  return queryRegion(entry.name) < 0;
}

/** Returns whether elements or work requests hold the region. */
function isHeld(entry: CachedRegion): boolean {
  if (isGone(entry)) return false;
  const own = fieldNumber(RegionField.HalfDead) === 0 ? OWN_REFS : OWN_REFS - 1;
  return fieldNumber(RegionField.Refs) > own;
}
