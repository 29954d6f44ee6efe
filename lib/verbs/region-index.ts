import { IntervalTree } from '../internal/interval-tree';
import { placeOfRegion, type RegionPlace, type ViewPlace } from '../internal/region-place';
import { type RegionName } from '../internal/region-name';

/** The criteria of a search for regions. */
export interface Sought {
  readonly view: ViewPlace;
  /** `id` of the domain whose regions are searched; undefined: search all domains. */
  readonly pd?: number;
  /** Rights that a region must grant, bits of {@link Access}. */
  readonly access?: number;
}

/** The regions of one domain over one buffer that grant the same rights. */
type Group<Region> = IntervalTree<Entry<Region>>;

interface Entry<Region> {
  readonly region: Region;
  readonly id: number;
  /** Offset in the buffer, in bytes, at which the region begins. */
  readonly start: number;
  readonly buffer: number;
  /** Key of the region's group in the map of the buffer's groups. */
  readonly groupKey: number;
}

/** Exclusive upper bound of a region's access mask. */
const RIGHTS = 32;

/**
 * Finds regions of user memory by the bytes that they cover, for {@link ProtectionDomain.regionOf} and {@link Device.regionsOf}.
 * Created by the first such call, and notified of every region created after that; the next search adds these regions to the
 * index.
 *
 * A region can also close without notification (by force, or with its domain). The index removes such a region when a search
 * finds it, or when the device's pool reuses its slot. The index therefore never holds more entries than regions existed at the
 * same time.
 */
export class RegionIndex<Region> {
  readonly #nameOf: (region: Region) => RegionName;
  /** Groups by the number of the buffer, then by domain and rights. */
  readonly #buffers = new Map<number, Map<number, Group<Region>>>();
  /** Indexed regions by their index in the device's pool; `#waiting` holds the regions that the next search will index. */
  readonly #entries = new Map<number, Entry<Region>>();
  readonly #waiting = new Map<number, Region>();

  constructor(nameOf: (region: Region) => RegionName) {
    this.#nameOf = nameOf;
  }

  /** Records a new region. The previous region at the same index of the pool is closed. */
  note(region: Region): void {
    this.#waiting.set(this.#nameOf(region).index, region);
  }

  /** Removes the region with this index and id, which is closed. */
  drop(index: number, id: number): void {
    const waiting = this.#waiting.get(index);
    if (waiting !== undefined && this.#nameOf(waiting).id === id) this.#waiting.delete(index);
    if (this.#entries.get(index)?.id === id) this.#remove(index);
  }

  /**
   * Calls `visit` with each region that covers the whole view and whose key is valid. Searches group by group; a group contains
   * the regions of one domain with the same rights. Within a group, visits the region with the highest start first, and among
   * equal starts the newest first. If `visit` returns true, skips the rest of the group.
   */
  find(sought: Sought, visit: (region: Region, start: number, id: number) => boolean): void {
    this.#catchUp();
    const { view, pd, access = 0 } = sought;
    const groups = this.#buffers.get(view.buffer);
    if (groups === undefined) return;
    const dead: number[] = [];
    const search = (group: Group<Region>): void => {
      group.findCovering(view.offset, view.offset + view.length, ({ region, start, id }) => {
        const name = this.#nameOf(region);
        const place = placeOfRegion(name);
        if (typeof place === 'object' && place.works) return visit(region, start, id);
        dead[dead.length] = name.index;
        return false;
      });
    };
    if (pd === undefined) {
      groups.forEach(search);
    } else {
      for (let rights = 0; rights < RIGHTS; rights++) {
        const group = (rights & access) >>> 0 === access ? groups.get(pd * RIGHTS + rights) : undefined;
        if (group !== undefined) search(group);
      }
    }

    for (let i = 0; i < dead.length; i++) this.#remove(dead[i] ?? 0);
  }

  /** Number of regions in the index; `looks` is the number of tree nodes that searches have visited. For tests. */
  get size(): number {
    return this.#entries.size + this.#waiting.size;
  }
  get looks(): number {
    let looks = 0;
    this.#buffers.forEach((groups) => {
      groups.forEach((group) => (looks += group.looks));
    });
    return looks;
  }

  #catchUp(): void {
    this.#waiting.forEach((region, index) => {
      this.#remove(index);
      const name = this.#nameOf(region);
      const place = placeOfRegion(name);
      // A region of user memory whose key is not valid never becomes valid again, so do not index it.
      if (typeof place === 'object' && place.isUser && place.works) this.#add(region, name, place);
    });
    this.#waiting.clear();
  }

  #add(region: Region, { index, id }: RegionName, { buffer, pd, access, offset, length }: RegionPlace): void {
    const groupKey = pd * RIGHTS + access;
    let groups = this.#buffers.get(buffer);
    if (groups === undefined) this.#buffers.set(buffer, (groups = new Map<number, Group<Region>>()));
    let group = groups.get(groupKey);
    if (group === undefined) groups.set(groupKey, (group = new IntervalTree<Entry<Region>>()));
    const entry = { region, id, start: offset, buffer, groupKey };
    group.add(offset, offset + length, id, entry);
    this.#entries.set(index, entry);
  }

  #remove(index: number): void {
    const entry = this.#entries.get(index);
    if (entry === undefined) return;
    this.#entries.delete(index);
    const groups = this.#buffers.get(entry.buffer);
    const group = groups?.get(entry.groupKey);
    if (groups === undefined || group === undefined) return;
    group.remove(entry.start, entry.id);
    if (group.size === 0) groups.delete(entry.groupKey);
    if (groups.size === 0) this.#buffers.delete(entry.buffer);
  }
}
