// A scene for every call that ends a region, mapping or key, or an object that holds them: the objects of the call, and the call
// itself.
import { type Worker } from 'node:worker_threads';
import {
  Device,
  type DeviceMemory,
  type DmaMapping,
  type FastMemoryRegion,
  fastRegKey,
  type MemoryRegion,
  ProtectionDomain,
  type QueuePair,
  type RegionUse,
  RegistrationCache,
} from '../../../lib';
import { dispose } from '../../../lib/internal/disposal';
import { ALL, closeQuietly, otherVariant, PAGE } from '../scene';
import { BYTES } from './copier.cjs';
import { type Scene, startOwner, type Target } from './rounds';

/** The iova of the page lists. */
const IOVA = 0x4000_0000n;
const PAGES = BYTES / PAGE;

/** Opens a device with a small key table, because some scenes open a device in each round. */
const open = (): Device => new Device({ lkeyTableBits: 4 });

/** The memory of every scene. One is enough, because rounds never overlap. */
const shared = new Uint8Array(new SharedArrayBuffer(BYTES));
const other = new Uint8Array(new SharedArrayBuffer(BYTES));

/** `pd.deregMany(regions, { force? })`, declared separately because a build may lack it. */
type DeregMany = (regions: readonly MemoryRegion[], options?: { force?: boolean }) => void;
const deregManyOf = (pd: ProtectionDomain): DeregMany =>
  (pd as ProtectionDomain & { deregMany: DeregMany }).deregMany.bind(pd);
export const hasDeregMany = 'deregMany' in ProtectionDomain.prototype;

/** A device with a domain that serves all rounds. */
class Place {
  readonly device = open();
  readonly token = this.device.share();
  readonly pd: ProtectionDomain;

  constructor(trusted = false) {
    this.pd = this.device.allocPd({ trusted });
  }

  /** Returns the region as the target of a round. */
  target(region: { start: bigint; iova: bigint; lkey: number }, memory: Uint8Array): Target {
    const { start, iova, lkey } = region;
    return { token: this.token, pd: this.pd.id, address: start, iova, key: lkey, memory };
  }

  close(): void {
    closeQuietly(this.device);
  }
}

/** Registers a region of user memory in each round, over a SharedArrayBuffer or (`device`) over device memory. */
export function userRegion(
  end: (mr: MemoryRegion, place: Place) => unknown,
  kind: 'shared' | 'device' = 'shared',
): Scene {
  const place = new Place();
  const memory = kind === 'shared' ? shared : new Uint8Array(place.device.allocDm(BYTES).buffer);
  let mr: MemoryRegion;
  return {
    begin() {
      mr = place.pd.regUserMr(memory, { access: ALL });
      return place.target(mr, memory);
    },
    end: () => end(mr, place),
    tidy: () => mr.dereg({ force: true }),
    close: () => place.close(),
  };
}

/**
 * Uses a cached region in each round.
 *
 * @param end - ends it; `use` is the only use of the region
 */
export function cachedRegion(end: (cache: RegistrationCache, use: RegionUse) => void): Scene {
  const place = new Place();
  let cache: RegistrationCache;
  let held: RegionUse | undefined;
  return {
    begin() {
      cache = new RegistrationCache(place.pd, { maxRegions: 2 });
      const use = cache.get(shared, ALL);
      held = use;
      return place.target(use, shared);
    },
    end: () => {
      if (held) end(cache, held);
    },
    tidy: () => cache[dispose](),
    close: () => place.close(),
  };
}

/** Evicts the region of a use: the cache has room for two. */
export function evict(cache: RegistrationCache, use: RegionUse): void {
  use.put();
  cache.get(other.subarray(0, 8), 0);
  cache.get(other.subarray(16, 24), 0);
}

/** Registers two regions in each round; the bytes of the second one are moved. */
export function twoRegions(options?: { force?: boolean }): Scene {
  const place = new Place();
  let regions: MemoryRegion[] = [];
  return {
    begin() {
      regions = [other, shared].map((memory) => place.pd.regUserMr(memory, { access: ALL }));
      return place.target(regions[1]!, shared);
    },
    end: () => deregManyOf(place.pd)(regions, options),
    tidy: () => regions.forEach((mr) => mr.dereg({ force: true })),
    close: () => place.close(),
  };
}

/** Ends the region with `dereg`, and frees its device memory at once. */
export function freedMemory(): Scene {
  const place = new Place();
  let memory: DeviceMemory;
  let mr: MemoryRegion;
  return {
    begin() {
      memory = place.device.allocDm(BYTES);
      const bytes = new Uint8Array(memory.buffer);
      mr = place.pd.regUserMr(bytes, { access: ALL });
      return place.target(mr, bytes);
    },
    end() {
      mr.dereg();
      memory.free();
    },
    tidy() {
      mr.dereg({ force: true });
      memory[dispose]();
    },
    close: () => place.close(),
  };
}

/** Returns the DMA address of every page of a mapping. */
const pagesOf = ({ address }: DmaMapping): BigUint64Array =>
  BigUint64Array.from({ length: PAGES }, (_, i) => address + BigInt(i * PAGE));

/** Creates an FMR in each round that maps the pages of shared memory. */
export function fmr(end: (fmr: FastMemoryRegion) => unknown): Scene {
  const place = new Place();
  const pages = pagesOf(place.device.dma.map(shared));
  let region: FastMemoryRegion;
  return {
    begin() {
      region = place.pd.allocFmr({ maxPages: PAGES, pageShift: 12, access: ALL });
      region.mapPhys(pages, IOVA);
      return place.target(region, shared);
    },
    end: () => end(region),
    tidy: () => region.dealloc({ force: true }),
    close: () => place.close(),
  };
}

/** Uses two FMRs for all rounds, remapped in each round; the bytes of the second one are moved. */
export function mappedFmr(
  end: (fmrs: readonly [FastMemoryRegion, FastMemoryRegion], otherPages: BigUint64Array) => void,
  goesOn = false,
): Scene {
  const place = new Place();
  const [pages, otherPages] = [shared, other].map((memory) => pagesOf(place.device.dma.map(memory))) as [
    BigUint64Array,
    BigUint64Array,
  ];
  const options = { maxPages: PAGES, pageShift: 12, access: ALL };
  const fmrs = [place.pd.allocFmr(options), place.pd.allocFmr(options)] as const;
  return {
    goesOn,
    begin() {
      fmrs[0].mapPhys(otherPages, IOVA);
      fmrs[1].mapPhys(pages, IOVA);
      return place.target(fmrs[1], shared);
    },
    end: () => end(fmrs, otherPages),
    close: () => place.close(),
  };
}

/** Creates a DMA mapping in each round whose bytes are named by key 0. */
export function keyZero(): Scene {
  const place = new Place(true);
  place.pd.getDmaMr({ access: ALL });
  let mapping: DmaMapping;
  return {
    begin() {
      mapping = place.device.dma.map(shared);
      const { address } = mapping;
      return place.target({ start: address, iova: address, lkey: 0 }, shared);
    },
    end: () => mapping.unmap(),
    tidy: () => mapping.unmap(),
    close: () => place.close(),
  };
}

/** Uses a region of `allocMr`, remapped and fast-registered again in each round. */
export function listRegion(
  end: (mr: MemoryRegion, qp: QueuePair, otherList: { addr: bigint; length: number }[]) => void,
): Scene {
  const place = new Place();
  const qp = place.pd.createQp();
  const lists = [shared, other].map((memory) => [
    { addr: place.device.dma.map(memory).address, length: BYTES },
  ]);
  const mr = place.pd.allocMr({ maxNumSg: PAGES });
  let variant = 0;
  return {
    begin() {
      mr.mapSg(lists[0]!);
      variant = (variant + 2) % 256;
      qp.fastRegMr(mr, { key: fastRegKey(mr.rkey, variant), access: ALL });
      return place.target(mr, shared);
    },
    end: () => end(mr, qp, lists[1]!),
    close: () => place.close(),
  };
}

/** Returns a variant of the key that `listRegion` does not use itself. */
export const nextKey = (mr: MemoryRegion): MemoryRegion['rkey'] => otherVariant(mr.rkey);

/** Creates a domain in each round, with a region over device memory. */
export function domain(): Scene {
  const place = new Place();
  const memory = new Uint8Array(place.device.allocDm(BYTES).buffer);
  let pd: ProtectionDomain;
  return {
    begin() {
      pd = place.device.allocPd();
      const { start, iova, lkey } = pd.regUserMr(memory, { access: ALL });
      return { token: place.token, pd: pd.id, address: start, iova, key: lkey, memory };
    },
    end: () => pd.dealloc({ cascade: true }),
    close: () => place.close(),
  };
}

/** Opens a device in each round, with a region over a SharedArrayBuffer or (`list`) over a list of its pages. */
export function device(end: (device: Device) => unknown, kind: 'shared' | 'list'): Scene {
  let place: Place | undefined;
  return {
    begin() {
      place = new Place();
      if (kind === 'shared') return place.target(place.pd.regUserMr(shared, { access: ALL }), shared);
      const region = place.pd.allocFmr({ maxPages: PAGES, pageShift: 12, access: ALL });
      region.mapPhys(pagesOf(place.device.dma.map(shared)), IOVA);
      return place.target(region, shared);
    },
    end: () => end(place!.device),
    tidy: () => place!.close(),
    close: () => {},
  };
}

/** Starts a worker in each round that registers the memory; when the worker ends, the region ends. */
export function worker(): Scene {
  const place = new Place();
  let owner: Worker;
  return {
    async begin() {
      const data = { role: 'own', token: place.token, pd: place.pd.id, memory: shared.buffer };
      const started = await startOwner(data);
      owner = started.worker;
      return { token: place.token, pd: place.pd.id, memory: shared, ...started.message } as Target;
    },
    end: () => owner.terminate(),
    close: () => place.close(),
  };
}
