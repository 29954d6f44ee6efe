/**
 * Defines the JSON form of {@link Device.resources}, which other programs read (docs/resources.schema.json). Increase its version
 * for any change that a reader of the schema cannot handle.
 */
import { namesOfRights } from '../internal/right-names';
import { hex } from '../internal/words';
import {
  type AhResource,
  type CqResource,
  type DmaMappingResource,
  type DmResource,
  type ElementResource,
  type MemoryPlace,
  type PdResource,
  type QpResource,
  type RegionResource,
  type Resources,
  type SrqResource,
  type WindowResource,
} from './resources';

/** JSON form of {@link MemoryPlace}. */
export interface MemoryPlaceJson extends Omit<MemoryPlace, 'detached'> {
  /** Null if the thread that created the snapshot does not know. */
  detached: boolean | null;
}

/** JSON form of {@link RegionResource}. */
export interface RegionJson extends Omit<
  RegionResource,
  'lkey' | 'rkey' | 'access' | 'start' | 'iova' | 'memory' | 'region'
> {
  lkey: string;
  rkey: string;
  /** Names of the region's rights, as returned by {@link accessNames}. */
  access: string[];
  start: string;
  iova: string;
  memory: MemoryPlaceJson | null;
}

/** JSON form of {@link DmaMappingResource}. */
export interface DmaMappingJson extends Omit<DmaMappingResource, 'address' | 'memory'> {
  address: string;
  memory: MemoryPlaceJson | null;
}

/** JSON form of {@link WindowResource}. */
export interface WindowJson extends Omit<WindowResource, 'rkey' | 'vaddr' | 'access'> {
  rkey: string;
  vaddr?: string;
  access?: string[];
}

/** JSON form of {@link ElementResource}. */
export interface ElementJson extends Omit<ElementResource, 'address' | 'access'> {
  address?: string;
  access?: string[];
}

/** JSON form of {@link Resources}: addresses and keys are hex strings (`"0x1000"`), rights are lists of names. */
export interface ResourcesJson {
  format: 'rdmavt-resources';
  version: 1;
  contexts: number[];
  pds: PdResource[];
  queuePairs: QpResource[];
  completionQueues: CqResource[];
  sharedReceiveQueues: SrqResource[];
  addressHandles: AhResource[];
  regions: RegionJson[];
  windows: WindowJson[];
  mappings: DmaMappingJson[];
  memories: DmResource[];
  elements: ElementJson[];
}

function placeOf(memory: MemoryPlace | undefined): MemoryPlaceJson | null {
  return memory === undefined ? null : { ...memory, detached: memory.detached ?? null };
}

function regionOf(row: RegionResource): RegionJson {
  const { lkey, rkey, access, start, iova, memory } = row;
  const json: RegionJson & { region?: unknown } = {
    ...row,
    lkey: hex(lkey),
    rkey: hex(rkey),
    access: namesOfRights(access),
    start: hex(start),
    iova: hex(iova),
    memory: placeOf(memory),
  };
  delete json.region;
  return json;
}

function windowOf({ rkey, vaddr, access, ...rest }: WindowResource): WindowJson {
  return {
    ...rest,
    rkey: hex(rkey),
    ...(vaddr !== undefined && { vaddr: hex(vaddr) }),
    ...(access !== undefined && { access: namesOfRights(access) }),
  };
}

function elementOf({ address, access, ...rest }: ElementResource): ElementJson {
  return {
    ...rest,
    ...(address !== undefined && { address: hex(address) }),
    ...(access !== undefined && { access: namesOfRights(access) }),
  };
}

/** Implements {@link Resources.toJSON}. */
export function jsonOfResources(resources: Omit<Resources, 'toJSON'>): ResourcesJson {
  const { contexts, pds, queuePairs, completionQueues, sharedReceiveQueues, addressHandles } = resources;
  const { regions, windows, mappings, memories, elements } = resources;
  return {
    format: 'rdmavt-resources',
    version: 1,
    contexts: contexts.slice(),
    pds: pds.map((pd) => ({ ...pd })),
    queuePairs: queuePairs.map((qp) => ({ ...qp })),
    completionQueues: completionQueues.map((cq) => ({ ...cq })),
    sharedReceiveQueues: sharedReceiveQueues.map((srq) => ({ ...srq })),
    addressHandles: addressHandles.map((ah) => ({ ...ah })),
    regions: regions.map(regionOf),
    windows: windows.map(windowOf),
    mappings: mappings.map((row) => ({ ...row, address: hex(row.address), memory: placeOf(row.memory) })),
    memories: memories.map((memory) => ({ ...memory })),
    elements: elements.map(elementOf),
  };
}
