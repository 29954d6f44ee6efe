import { type Access } from './access';
import { type CreatedKind, type CreationStacks } from './creation-stacks';
import { resultOf } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { elementCountOf } from '../internal/memory-argument';
import {
  AhRow,
  ContextRow,
  CqRow,
  Detached,
  DmaRow,
  HeldRow,
  MemoryRow,
  PdRow,
  QpRow,
  RegionRow,
  ResourceKind,
  SrqRow,
  WindowRow,
} from '../internal/layout';
import { native, type NativeDevice } from '../internal/native';
import { type RegionState } from './region';
import { liveState, memoryKindName, regionKindName } from '../internal/region-kind';
import { type AnyRegion, type RegionTable } from './region-registry';
import { jsonOfResources, type ResourcesJson } from './resources-json';
import { qpStateName, type QpStateName, qpTypeName } from '../internal/verbs-names';

/** Properties that every row of {@link Resources} has, except device memory and elements. */
export interface Resource {
  /** The object's `id`: unique among objects of its kind on the device, and never reused. */
  id: number;
  /** Number of the context that owns the object. Each thread's {@link Device} object is one context. */
  context: number;
  /** Whether the {@link Device} object that took this snapshot owns the object. */
  own: boolean;
  /** Where the object was created; present if it was created in this thread with `captureStacks`. */
  stack?: string;
}

/** The memory behind a region or a DMA mapping. */
export interface MemoryPlace {
  /**
   * Kind of the buffer that was registered or mapped, directly or through a view. `'DeviceMemory'`: {@link DeviceMemory.buffer}.
   */
  kind: 'ArrayBuffer' | 'SharedArrayBuffer' | 'DeviceMemory';
  /**
   * Number of the buffer in this process. Rows with the same number use the same buffer. The reverse does not hold for a
   * SharedArrayBuffer: each thread has its own number for it. Device memory has one number, {@link DmResource.buffer}. A buffer
   * can get a new number after nothing was registered over it for a while.
   */
  buffer: number;
  /** Offset of the first byte in the buffer, in bytes. */
  offset: number;
  /** Length of the region or mapping in bytes. */
  length: number;
  /**
   * Whether the buffer was detached after the registration (transferred, or replaced when its WebAssembly memory grew). The bytes
   * of a detached buffer are refused. Undefined for an ArrayBuffer of another thread: only that thread can tell.
   */
  detached: boolean | undefined;
}

/** A protection domain (`rdma resource show pd`). */
export interface PdResource extends Resource {
  /** Whether the domain was created as trusted, see {@link AllocPdOptions.trusted}. */
  trusted: boolean;
  /**
   * Number of queue pairs, shared receive queues, address handles and regions in the domain, of all threads, including half-dead
   * regions.
   */
  children: number;
}

/**
 * A queue pair (`rdma resource show qp`: lqpn, rqpn, type, state, pdn, and more). A queue pair that was created for checks only
 * has no properties but those of {@link Resource} and `pd`.
 */
export interface QpResource extends Resource {
  /** `id` of the queue pair's protection domain. */
  pd: number;
  /** Type of the queue pair. */
  type?: 'RC' | 'UC' | 'UD';
  /** Number of the queue pair, which peers send to. */
  qpn?: number;
  /** State of the queue pair. */
  state?: QpStateName;
  /** Number of work requests in the send queue. */
  sends?: number;
  /** Number of receives in the queue pair's own receive queue; 0 if it uses a shared receive queue. */
  receives?: number;
  /** Number of the queue pair that it is connected to (its `destQpn`). Absent if it is not connected. */
  peer?: number;
  /** `id` of the completion queue for sends. */
  sendCq?: number;
  /** `id` of the completion queue for receives. */
  recvCq?: number;
  /** `id` of the shared receive queue. Absent if the queue pair uses none. */
  srq?: number;
}

/** A completion queue (`rdma resource show cq`: cqn, cqe, users, and more). */
export interface CqResource extends Resource {
  /** Number of completions that the queue can hold. */
  cqe: number;
  /** Number of completions that the queue holds. */
  held: number;
  /** Number of queue pairs that use the queue, on either side. */
  users: number;
  /** Whether a completion found the queue full. That completion and all later ones are lost. */
  broken: boolean;
}

/** A shared receive queue (`rdma resource show srq`: srqn, pdn, and more). */
export interface SrqResource extends Resource {
  /** `id` of the queue's protection domain. */
  pd: number;
  /** Number of receives that the queue can hold. */
  maxWr: number;
  /** Number of SGEs that a receive can have. */
  maxSge: number;
  /** The queue reports an event when it holds fewer receives; 0 if it reports none. */
  limit: number;
  /** Number of receives that the queue holds. */
  held: number;
  /** Number of queue pairs that take receives from the queue. */
  users: number;
}

/** An address handle: the destination of datagrams. */
export interface AhResource extends Resource {
  /** `id` of the handle's protection domain. */
  pd: number;
  /** Local identifier (LID) of the destination. */
  dlid: number;
  /** Service level. */
  sl: number;
}

/** A region (`rdma resource show mr`: mrn, rkey, lkey, iova, mrlen, pdn, and more). */
export interface RegionResource extends Resource {
  /** `id` of the region's protection domain. */
  pd: number;
  /** The method that created the region: `regUserMr`, `getDmaMr`, `allocMr` or `allocFmr`, in this order. */
  kind: 'USER' | 'DMA' | 'MEM_REG' | 'FMR';
  /** The key for local checks, as {@link Region.lkey}. */
  lkey: Lkey;
  /** The key for remote checks, as {@link Region.rkey}. */
  rkey: Rkey;
  /** The rights that the region grants, as {@link Region.access}. */
  access: Access;
  /**
   * As {@link Region.refs}: the region's own 2 references (3 for the published DMA region, 1 when half-dead) plus one per held
   * element.
   */
  refs: number;
  /** Local address of the first byte, as {@link Region.start}. */
  start: bigint;
  /** Remote address of the first byte, as {@link Region.iova}. */
  iova: bigint;
  /** Mapped length in bytes. */
  length: number;
  /** Number of mapped segments. */
  segments: number;
  /** Maximum number of segments that the region can map. */
  maxSegments: number;
  /**
   * The registered memory. Undefined for regions that map DMA addresses or nothing; {@link Resources.mappings} lists the memory
   * at DMA addresses.
   */
  memory: MemoryPlace | undefined;
  /** Whether the key is valid, as {@link Region.state}. */
  state: Exclude<RegionState, 'Closed'>;
  /** The region's object; undefined if another thread created it or it was garbage-collected. */
  region: AnyRegion | undefined;
}

/** A memory window of type 2B ({@link MemoryWindow}), or a lease ({@link Lease}). */
export interface WindowResource extends Resource {
  /** `id` of the protection domain. */
  pd: number;
  kind: 'WINDOW' | 'LEASE';
  /** The key for remote checks. */
  rkey: Rkey;
  /** `id` of the region that it is bound to. Absent for an unbound window, as are the properties below. */
  region?: number;
  /** Remote address of the first byte. */
  vaddr?: bigint;
  /** Length in bytes. */
  length?: number;
  /** The rights that it grants. */
  access?: Access;
  /** `id` of the only queue pair whose peer may use it. Absent if it may be used over every queue pair of the domain. */
  qp?: number;
  /** For a lease: milliseconds until it expires; 0 if it has expired. */
  msLeft?: number;
}

/** A mapping of memory in the DMA address space. */
export interface DmaMappingResource extends Resource {
  /** DMA address of the first byte, as {@link DmaMapping.address}. */
  address: bigint;
  /** Length of the mapping in bytes. */
  length: number;
  /** Number of page lists that use the mapping, plus the number of elements of key 0 that are held on it. */
  users: number;
  /** The memory that was mapped. */
  memory: MemoryPlace | undefined;
}

/** Device memory. It belongs to the device and not to a context. */
export interface DmResource {
  /** The `id` of the memory, as {@link DeviceMemory.id}. */
  id: number;
  /** Size of the memory in bytes. */
  byteLength: number;
  /** Number of regions and DMA mappings that use the memory. */
  uses: number;
  /** Whether large pages were requested, see {@link AllocDmOptions.hugePages}. */
  hugePages: boolean;
  /** Number of the memory's buffer in this process, as {@link MemoryPlace.buffer}. */
  buffer: number;
  /** Where the memory was allocated; present if this thread allocated it with `captureStacks`. */
  stack?: string;
}

/**
 * Held elements: an {@link Sge} that was not put, or the elements of one region that a {@link CheckBatch} acquired.
 *
 * Elements of an {@link SgeState} whose {@link Sge} was garbage-collected are not listed; {@link RegionResource.refs} still
 * counts them.
 */
export interface ElementResource {
  /** `id` of the region on which the elements are held. */
  region: number;
  /** 1 for a single element; for a batch, the number of elements held. */
  count: number;
  /** Total length of the elements in bytes. */
  length: number;
  /** Whether a remote check accepted the elements. */
  remote: boolean;
  /** The requested address, as {@link Sge.address}; absent for a batch. */
  address?: bigint;
  /** The rights that the check established, as {@link Sge.access}; absent for a batch. */
  access?: Access;
  /** Number of the batch in this thread; absent for a single element. */
  batch?: number;
  /** Where the element was acquired (for a batch: the last acquire); present with `captureStacks`. */
  stack?: string;
}

/** Returned by {@link Device.resources}. */
export interface Resources {
  /** Numbers of the contexts that use the device, one per thread's {@link Device} object. */
  contexts: number[];
  /** Protection domains of all threads. */
  pds: PdResource[];
  /** Queue pairs of all threads. */
  queuePairs: QpResource[];
  /** Completion queues of all threads. */
  completionQueues: CqResource[];
  /** Shared receive queues of all threads. */
  sharedReceiveQueues: SrqResource[];
  /** Address handles of all threads. */
  addressHandles: AhResource[];
  /** Regions of every kind and all threads, including half-dead ones. */
  regions: RegionResource[];
  /** Memory windows and leases of all threads, in the order of their regions; unbound ones first. */
  windows: WindowResource[];
  /** DMA mappings of all threads. */
  mappings: DmaMappingResource[];
  /** The device's own memory ({@link Device.allocDm}). */
  memories: DmResource[];
  /**
   * Elements that this thread holds through any of its objects of the device. An object restricted to a domain lists only its own
   * elements. Elements of other threads are never listed.
   */
  elements: ElementResource[];
  /**
   * Returns the same data for JSON and for messages to other threads: addresses and keys are hex strings, and no value is an
   * instance of a class. `docs/resources.schema.json` describes the format. Not enumerable.
   */
  toJSON(): ResourcesJson;
}

/**
 * Returns the memory of a row.
 *
 * @param at - index of the row's first field about memory
 * @param length - bytes of the region or mapping
 */
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

/** One row of an array of 64-bit fields. */
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

/** Returns the properties that only a queue pair with queues has. */
function queuesOf(row: Row): Omit<QpResource, keyof Resource | 'pd'> {
  const type = qpTypeName(row.number(QpRow.Type));
  if (type !== 'RC' && type !== 'UC' && type !== 'UD') return {};
  const state = qpStateName(row.number(QpRow.State));
  const peer = row.number(QpRow.Peer);
  const srq = row.number(QpRow.Srq);
  return {
    type,
    qpn: row.number(QpRow.Number),
    ...(state !== undefined && { state }),
    sends: row.number(QpRow.Sends),
    receives: row.number(QpRow.Receives),
    ...(peer !== 0 && { peer }),
    sendCq: row.number(QpRow.SendCq),
    recvCq: row.number(QpRow.RecvCq),
    ...(srq !== 0 && { srq }),
  };
}

function regionOf(row: Row, table: Pick<RegionTable, 'rkeyOf'>): Omit<RegionResource, 'own' | 'region'> {
  const key = row.number(RegionRow.Key);
  return {
    id: row.number(RegionRow.Id),
    context: row.number(RegionRow.Context),
    pd: row.number(RegionRow.Pd),
    kind: regionKindName(row.number(RegionRow.Kind)),
    lkey: key as Lkey,
    rkey: table.rkeyOf(key),
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

function windowOf(row: Row): Omit<WindowResource, keyof Resource> {
  const lease = row.flag(WindowRow.Lease);
  const region = row.number(WindowRow.Region);
  const qp = row.number(WindowRow.Qp);
  return {
    pd: row.number(WindowRow.Pd),
    kind: lease ? 'LEASE' : 'WINDOW',
    rkey: row.number(WindowRow.Key) as Rkey,
    ...(region === 0
      ? {}
      : {
          region,
          vaddr: row.long(WindowRow.Address),
          length: row.number(WindowRow.Length),
          access: row.number(WindowRow.Access),
        }),
    ...(qp === 0 ? {} : { qp }),
    ...(lease ? { msLeft: row.number(WindowRow.MsLeft) } : {}),
  };
}

/** Converts rows of regions whose device may no longer exist, so that nobody knows their rkeys. */
export function regionsOfRows(numbers: BigUint64Array): Omit<RegionResource, 'own' | 'region' | 'rkey'>[] {
  const nothing = { rkeyOf: () => 0 as Rkey };
  return rows(numbers, RegionRow.Fields).map((row) => regionOf(row, nothing));
}

/** Returns the objects of a device, as seen by one of its Device objects. */
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
    // Number and context are the first two fields of every kind of row that has an owner.
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
      ...queuesOf(row),
    })),
    completionQueues: of(ResourceKind.Cq, CqRow.Fields).map((row) => ({
      ...common(row, 'completionQueue'),
      cqe: row.number(CqRow.Cqe),
      held: row.number(CqRow.Held),
      users: row.number(CqRow.Users),
      broken: row.flag(CqRow.Broken),
    })),
    sharedReceiveQueues: of(ResourceKind.Srq, SrqRow.Fields).map((row) => ({
      ...common(row, 'sharedReceiveQueue'),
      pd: row.number(SrqRow.Pd),
      maxWr: row.number(SrqRow.MaxWr),
      maxSge: row.number(SrqRow.MaxSge),
      limit: row.number(SrqRow.Limit),
      held: row.number(SrqRow.Held),
      users: row.number(SrqRow.Users),
    })),
    addressHandles: of(ResourceKind.Ah, AhRow.Fields).map((row) => ({
      ...common(row, 'addressHandle'),
      pd: row.number(AhRow.Pd),
      dlid: row.number(AhRow.Dlid),
      sl: row.number(AhRow.Sl),
    })),
    regions: of(ResourceKind.Mr, RegionRow.Fields).map((row) => ({
      ...regionOf(row, table),
      ...common(row, 'region'),
      region: table.find(row.number(RegionRow.Index), row.number(RegionRow.Id)),
    })),
    windows: of(ResourceKind.Mw, WindowRow.Fields)
      .map((row) => ({
        ...common(row, 'window'),
        ...windowOf(row),
      }))
      .sort((a, b) => (a.region ?? 0) - (b.region ?? 0) || a.id - b.id),
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

/** Returns the first field of each row. `new Set(list)` would use the array iterator, which a program may have replaced. */
function idsOf(list: readonly Row[]): Set<number> {
  const ids = new Set<number>();
  for (let i = 0; i < list.length; i++) ids.add(list[i]?.number(PdRow.Serial) ?? 0);
  return ids;
}

/**
 * Takes one snapshot of a device's objects.
 *
 * @returns a predicate that tells whether an object existed at that time
 */
export function livingOf(device: NativeDevice): (kind: CreatedKind, number: number) => boolean {
  const all = device.resources();
  const numbers = (kind: ResourceKind, fields: number): Set<number> =>
    typeof all === 'number' ? new Set() : idsOf(rows(all[kind] ?? new BigUint64Array(), fields));
  const living: Record<CreatedKind, Set<number>> = {
    pd: numbers(ResourceKind.Pd, PdRow.Fields),
    queuePair: numbers(ResourceKind.Qp, QpRow.Fields),
    completionQueue: numbers(ResourceKind.Cq, CqRow.Fields),
    sharedReceiveQueue: numbers(ResourceKind.Srq, SrqRow.Fields),
    addressHandle: numbers(ResourceKind.Ah, AhRow.Fields),
    region: numbers(ResourceKind.Mr, RegionRow.Fields),
    window: numbers(ResourceKind.Mw, WindowRow.Fields),
    mapping: numbers(ResourceKind.Dma, DmaRow.Fields),
    memory: numbers(ResourceKind.Memory, MemoryRow.Fields),
  };
  return (kind, number) => living[kind].has(number);
}
