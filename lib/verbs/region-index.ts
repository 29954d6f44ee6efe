import { IntervalTree } from '../internal/interval-tree';
import { placeOfRegion, type RegionPlace, type ViewPlace } from '../internal/region-place';
import { type RegionName } from '../internal/region-name';

/** What is looked for. */
export interface Sought {
  readonly view: ViewPlace;
  /** Only regions of the domain with this id; undefined: of any. */
  readonly pd?: number;
  /** Only regions that grant all of these rights. */
  readonly access?: number;
}

/** The regions of one domain with the same rights over one buffer. */
type Group<Region> = IntervalTree<Entry<Region>>;

interface Entry<Region> {
  readonly region: Region;
  readonly id: number;
  /** Byte of the buffer that it begins at. */
  readonly start: number;
  readonly buffer: number;
  /** In the groups of the buffer. */
  readonly groupKey: number;
}

/** Rights of regions are below this. */
const RIGHTS = 32;

/**
 * Regions of user memory by the bytes that they have, for {@link ProtectionDomain.regionOf} and {@link Device.regionsOf}. Made when
 * the first of them is called, and told of each region from then on; until somebody asks again it only remembers that it was told.
 *
 * A region that ends in a way that nobody tells (by force, with its domain) is noticed when it is found, or when its place in the
 * device's pool is used again: so this never holds more than the most regions that there were at a time.
 */
export class RegionIndex<Region> {
  readonly #nameOf: (region: Region) => RegionName;
  /** By number of the buffer, and then by domain and rights. */
  readonly #buffers = new Map<number, Map<number, Group<Region>>>();
  /** By index in the pool: what is in the trees, and what has yet to go there. */
  readonly #entries = new Map<number, Entry<Region>>();
  readonly #waiting = new Map<number, Region>();

  constructor(nameOf: (region: Region) => RegionName) {
    this.#nameOf = nameOf;
  }

  /** A region was made. The one that was at its index has ended. */
  note(region: Region): void {
    this.#waiting.set(this.#nameOf(region).index, region);
  }

  /** The region with that id has ended. */
  drop(index: number, id: number): void {
    const waiting = this.#waiting.get(index);
    if (waiting !== undefined && this.#nameOf(waiting).id === id) this.#waiting.delete(index);
    if (this.#entries.get(index)?.id === id) this.#remove(index);
  }

  /**
   * Calls `visit` with each region that covers the whole view and whose key works. It goes through one group of regions after the
   * other; a group has the regions of one domain with the same rights. In a group the region that begins last comes first, and of
   * several that begin at the same byte the newest. When `visit` returns true, the rest of the group is left out.
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

  /** How many regions it has, and nodes of trees that searches have looked at: for tests. */
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
      // A key of such a region that does not work never will again.
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
