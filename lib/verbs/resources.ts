import { type Access } from './access';
import { type CreatedKind, type CreationStacks } from './creation-stacks';
import { resultOf } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { elementCountOf } from '../internal/memory-argument';
import {
  ContextRow,
  Detached,
  DmaRow,
  HeldRow,
  MemoryRow,
  PdRow,
  QpRow,
  RegionRow,
  ResourceKind,
} from '../internal/layout';
import { native, type NativeDevice } from '../internal/native';
import { type RegionState } from './region';
import { liveState, memoryKindName, regionKindName } from '../internal/region-kind';
import { type AnyRegion, type RegionTable } from './region-registry';
import { jsonOfResources, type ResourcesJson } from './resources-json';

/** What every object of a device has. */
export interface Resource {
  /** Its `id`: unique among the device's objects of its kind, never given twice. */
  id: number;
  /** Number of the context it belongs to: of one thread's {@link Device} object. */
  context: number;
  /** Whether that is the object that was asked. */
  own: boolean;
  /** Where it was created, if that was in this thread and with `captureStacks`. */
  stack?: string;
}

/** The memory that a region or a DMA mapping has bytes of. */
export interface MemoryPlace {
  /** What the program registered or mapped, or a view of it. `'DeviceMemory'`: {@link DeviceMemory.buffer}. */
  kind: 'ArrayBuffer' | 'SharedArrayBuffer' | 'DeviceMemory';
  /**
   * Number of the buffer in this process: rows with the same number are over the same buffer. Each thread has its own number for a
   * SharedArrayBuffer; device memory has one, which is in {@link DmResource.buffer}. A buffer that had nothing registered for a while
   * may get another one.
   */
  buffer: number;
  /** Byte of the buffer where it begins. */
  offset: number;
  /** Bytes. */
  length: number;
  /**
   * Whether the buffer has been detached since (transferred, or replaced as that of a WebAssembly memory that grew); its bytes are
   * refused then. Undefined for an ArrayBuffer of another thread, which alone can tell.
   */
  detached: boolean | undefined;
}

/** A protection domain (`rdma resource show pd`). */
export interface PdResource extends Resource {
  /** As asked with {@link AllocPdOptions.trusted}. */
  trusted: boolean;
  /** Regions (half-dead ones too) and queue pairs in it, of all threads. */
  children: number;
}

/** A queue pair (`rdma resource show qp`). */
export interface QpResource extends Resource {
  /** `id` of its protection domain. */
  pd: number;
}

/** A region (`rdma resource show mr`: mrn, rkey, lkey, iova, mrlen, pdn, and more). */
export interface RegionResource extends Resource {
  /** `id` of its protection domain. */
  pd: number;
  /** How it was made: `regUserMr`, `getDmaMr`, `allocMr`, `allocFmr`. */
  kind: 'USER' | 'DMA' | 'MEM_REG' | 'FMR';
  /** As {@link Region.lkey}. */
  lkey: Lkey;
  /** As {@link Region.rkey}. */
  rkey: Rkey;
  /** As {@link Region.access}. */
  access: Access;
  /** As {@link Region.refs}: 2 (or 3) of its own, 1 once it is half-dead, and one for each held element. */
  refs: number;
  /** As {@link Region.start}. */
  start: bigint;
  /** As {@link Region.iova}. */
  iova: bigint;
  /** Bytes mapped. */
  length: number;
  /** Segments mapped. */
  segments: number;
  /** Segments that it can map at most. */
  maxSegments: number;
  /**
   * The memory that was registered. Undefined for regions that map DMA addresses, or nothing: whose bytes those are is told by
   * {@link Resources.mappings}.
   */
  memory: MemoryPlace | undefined;
  /** As {@link Region.state}. */
  state: Exclude<RegionState, 'Closed'>;
  /** Its object, if it was made in this thread and was not collected. */
  region: AnyRegion | undefined;
}

/** A DMA mapping. */
export interface DmaMappingResource extends Resource {
  /** As {@link DmaMapping.address}. */
  address: bigint;
  /** Bytes. */
  length: number;
  /** Page lists that name it and key-0 elements held on it. */
  users: number;
  /** The memory that was mapped. */
  memory: MemoryPlace | undefined;
}

/** Device memory. It belongs to the device and to no context. */
export interface DmResource {
  /** As {@link DeviceMemory.id}. */
  id: number;
  /** Bytes. */
  byteLength: number;
  /** Regions and DMA mappings that have bytes of it. */
  uses: number;
  /** As asked with {@link AllocDmOptions.hugePages}. */
  hugePages: boolean;
  /** As {@link MemoryPlace.buffer}. */
  buffer: number;
  /** As {@link Resource.stack}. */
  stack?: string;
}

/**
 * Elements that are held: an {@link Sge} that was not put, or what a {@link CheckBatch} has acquired of one region.
 *
 * Not among them are elements of an {@link SgeState} whose {@link Sge} was collected; {@link RegionResource.refs} counts those too.
 */
export interface ElementResource {
  /** `id` of the region. */
  region: number;
  /** 1; or how many the batch holds. */
  count: number;
  /** Bytes of all of them. */
  length: number;
  /** Whether a remote check has accepted it. */
  remote: boolean;
  /** As {@link Sge.address}; not of a batch. */
  address?: bigint;
  /** As {@link Sge.access}; not of a batch. */
  access?: Access;
  /** Number of the batch in this thread; not of a single element. */
  batch?: number;
  /** Where it was acquired (by a batch: last), if that was with `captureStacks`. */
  stack?: string;
}

/** What {@link Device.resources} answers. */
export interface Resources {
  /** Numbers of the contexts that use the device: one for each thread's object of it. */
  contexts: number[];
  /** Protection domains. */
  pds: PdResource[];
  /** Queue pairs. */
  queuePairs: QpResource[];
  /** Regions of every kind, half-dead ones too. */
  regions: RegionResource[];
  /** DMA mappings. */
  mappings: DmaMappingResource[];
  /** Device memory. */
  memories: DmResource[];
  /**
   * Elements that this thread holds, through any of its objects of the device; one that is restricted to a domain is told of its own.
   * Other threads' are not known here.
   */
  elements: ElementResource[];
  /**
   * The same for JSON, and for messages to other threads: addresses and keys are hex strings, and there are no objects of classes. Its
   * form is described by `docs/resources.schema.json`. Not enumerable.
   */
  toJSON(): ResourcesJson;
}

/** The memory of a row, whose fields about it begin at `at`. */
function memoryOf(row: Row, at: number, length: number): MemoryPlace | undefined {
  const kind = memoryKindName(row.number(at));
  if (kind === undefined) return undefined;
  const detached = row.number(at + RegionRow.Detached - RegionRow.MemoryKind);
  return {
    kind,
    buffer: row.number(at + RegionRow.Buffer - RegionRow.MemoryKind),
    offset: row.number(at + RegionRow.Offset - RegionRow.MemoryKind),
    length,
    detached: detached === (Detached.Unknown as number) ? undefined : detached === (Detached.Yes as number),
  };
}

function elementsOf(device: NativeDevice, table: RegionTable): ElementResource[] {
  const { elementStacks } = table.registry;
  return rows(native.heldElements(device), HeldRow.Fields).map((row) => {
    const batch = row.number(HeldRow.Batch);
    const stack = batch
      ? elementStacks.ofBatch(batch)
      : elementStacks.of(row.number(HeldRow.Cell), row.number(HeldRow.Generation));
    return {
      region: row.number(HeldRow.Region),
      count: row.number(HeldRow.Count),
      length: row.number(HeldRow.Length),
      remote: row.flag(HeldRow.Remote),
      ...(batch ? { batch } : { address: row.long(HeldRow.Address), access: row.number(HeldRow.Access) }),
      ...(stack !== undefined && { stack }),
    };
  });
}

/** One row of flat numbers. */
class Row {
  readonly #numbers: BigUint64Array;
  readonly #at: number;
  constructor(numbers: BigUint64Array, at: number) {
    this.#numbers = numbers;
    this.#at = at;
  }
  long(field: number): bigint {
    return this.#numbers[this.#at + field] ?? 0n;
  }
  number(field: number): number {
    return Number(this.long(field));
  }
  flag(field: number): boolean {
    return this.long(field) !== 0n;
  }
}

function rows(numbers: BigUint64Array, fields: number): Row[] {
  const wordCount = elementCountOf(numbers);
  const list: Row[] = [];
  for (let at = 0; at < wordCount; at += fields) list[list.length] = new Row(numbers, at);
  return list;
}

function regionOf(row: Row): Omit<RegionResource, 'own' | 'region'> {
  const key = row.number(RegionRow.Key);
  return {
    id: row.number(RegionRow.Id),
    context: row.number(RegionRow.Context),
    pd: row.number(RegionRow.Pd),
    kind: regionKindName(row.number(RegionRow.Kind)),
    lkey: key as Lkey,
    rkey: key as Rkey,
    access: row.number(RegionRow.Access),
    refs: row.number(RegionRow.Refs),
    start: row.long(RegionRow.Start),
    iova: row.long(RegionRow.Iova),
    length: row.number(RegionRow.Length),
    segments: row.number(RegionRow.Segments),
    maxSegments: row.number(RegionRow.MaxSegments),
    memory: memoryOf(row, RegionRow.MemoryKind, row.number(RegionRow.Length)),
    state: liveState(row.flag(RegionRow.HalfDead), row.flag(RegionRow.Valid)),
  };
}

/** Regions of flat rows that no device is behind any more. */
export function regionsOfRows(numbers: BigUint64Array): Omit<RegionResource, 'own' | 'region'>[] {
  return rows(numbers, RegionRow.Fields).map(regionOf);
}

/** What lives on a device, as one of its objects sees it. */
export function resourcesOf(
  device: NativeDevice,
  table: RegionTable,
  stacks: CreationStacks | undefined,
): Resources {
  const context = device.context();
  const all = resultOf('Device.resources', device.resources() as BigUint64Array[] | number);
  const of = (kind: ResourceKind, fields: number): Row[] => rows(all[kind] ?? new BigUint64Array(), fields);
  const stack = (kind: CreatedKind, number: number): { stack?: string } => {
    const text = stacks?.of(kind, number);
    return text === undefined ? {} : { stack: text };
  };
  const common = (row: Row, kind: CreatedKind): Resource => {
    // Number and context are the first two fields of every kind that belongs to somebody.
    const number = row.number(PdRow.Serial);
    const owner = row.number(PdRow.Context);
    return { id: number, context: owner, own: owner === context, ...stack(kind, number) };
  };
  const resources: Omit<Resources, 'toJSON'> = {
    contexts: of(ResourceKind.Context, ContextRow.Fields)
      .map((row) => row.number(ContextRow.Id))
      .sort((a, b) => a - b),
    pds: of(ResourceKind.Pd, PdRow.Fields).map((row) => ({
      ...common(row, 'pd'),
      trusted: !row.flag(PdRow.User),
      children: row.number(PdRow.Children),
    })),
    queuePairs: of(ResourceKind.Qp, QpRow.Fields).map((row) => ({
      ...common(row, 'queuePair'),
      pd: row.number(QpRow.Pd),
    })),
    regions: of(ResourceKind.Mr, RegionRow.Fields).map((row) => ({
      ...regionOf(row),
      ...common(row, 'region'),
      region: table.find(row.number(RegionRow.Index), row.number(RegionRow.Id)),
    })),
    mappings: of(ResourceKind.Dma, DmaRow.Fields).map((row) => ({
      ...common(row, 'mapping'),
      address: row.long(DmaRow.Address),
      length: row.number(DmaRow.Length),
      users: row.number(DmaRow.Users),
      memory: memoryOf(row, DmaRow.MemoryKind, row.number(DmaRow.Length)),
    })),
    memories: of(ResourceKind.Memory, MemoryRow.Fields).map((row) => ({
      id: row.number(MemoryRow.Serial),
      byteLength: row.number(MemoryRow.Bytes),
      uses: row.number(MemoryRow.Uses),
      hugePages: row.flag(MemoryRow.Huge),
      buffer: row.number(MemoryRow.Buffer),
      ...stack('memory', row.number(MemoryRow.Serial)),
    })),
    elements: elementsOf(device, table),
  };
  return Object.defineProperty(resources, 'toJSON', {
    value: () => jsonOfResources(resources),
    configurable: true,
    writable: true,
  }) as Resources;
}

/** The first field of each row. `new Set(list)` would ask the iterator of arrays, which a program may have replaced. */
function idsOf(list: readonly Row[]): Set<number> {
  const ids = new Set<number>();
  for (let i = 0; i < list.length; i++) ids.add(list[i]?.number(PdRow.Serial) ?? 0);
  return ids;
}

/** Asks once what lives, and answers for any number of objects. */
export function livingOf(device: NativeDevice): (kind: CreatedKind, number: number) => boolean {
  const all = device.resources();
  const numbers = (kind: ResourceKind, fields: number): Set<number> =>
    typeof all === 'number' ? new Set() : idsOf(rows(all[kind] ?? new BigUint64Array(), fields));
  const living: Record<CreatedKind, Set<number>> = {
    pd: numbers(ResourceKind.Pd, PdRow.Fields),
    queuePair: numbers(ResourceKind.Qp, QpRow.Fields),
    region: numbers(ResourceKind.Mr, RegionRow.Fields),
    mapping: numbers(ResourceKind.Dma, DmaRow.Fields),
    memory: numbers(ResourceKind.Memory, MemoryRow.Fields),
  };
  return (kind, number) => living[kind].has(number);
}
