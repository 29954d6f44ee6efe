import { type Access } from './access';
import { type Asker } from './asker';
import { readAnswer } from '../internal/command';
import { storeAccess } from '../internal/element';
import { AskedRow, Explained, FoundRegion, RegionRow, SlotRow } from '../internal/layout';
import { native } from '../internal/native';
import { memoryKindName, type MemoryKindName, regionKindName } from '../internal/region-kind';
import { type RegionResource } from './resources';

const { explainAccess } = native;

/** The arguments of an access that was checked. */
export interface AskedAccess {
  readonly address: bigint;
  /** Length of the access in bytes. */
  readonly length: number;
  readonly key: number;
  readonly access: Access;
}

/** The current properties of a region, for explanations. */
export interface RegionFacts {
  readonly id: number;
  readonly kind: RegionResource['kind'];
  readonly key: number;
  /** `id` of the region's protection domain. */
  readonly pd: number;
  readonly access: Access;
  /** Address of the region's first byte in local checks. */
  readonly start: bigint;
  /** Address of the region's first byte in remote checks. */
  readonly iova: bigint;
  /** Mapped length of the region in bytes. */
  readonly length: bigint;
  /** For a region of user memory: the kind of buffer, and the offset in bytes of the region's first byte in that buffer. */
  readonly memory: { readonly kind: MemoryKindName; readonly offset: number } | undefined;
  readonly valid: boolean;
  /** Number of references that elements hold on the region once it is half-dead. */
  readonly held: number;
  /** Whether this thread created the region. */
  readonly own: boolean;
}

/** The current properties of a memory window or a lease; an unbound window has 0 for all but `pd`. */
export interface WindowFacts {
  readonly lease: boolean;
  readonly pd: number;
  /** Remote address of its first byte. */
  readonly address: bigint;
  readonly length: bigint;
  readonly access: Access;
  /** Id of the only queue pair whose peer may use it; 0: any. */
  readonly qp: number;
}

/** The current contents of a slot of the key table. */
export interface SlotFacts {
  /** Low half of the slot record's sequence number; see `RVT_SLOT_SEQUENCE`. */
  readonly sequence: number;
  /** The slot's current key. For an empty slot: its last key, or 0 if it never held one. */
  readonly key: number;
  /** The region that has the slot, or the one that the window is bound to. */
  readonly region: RegionFacts | undefined;
  /** The memory window or lease that has the slot. */
  readonly window: WindowFacts | undefined;
  /** True if the asker is not allowed to see the slot's region or, for an empty slot, its previous key. */
  readonly hidden: boolean;
}

/** What the device currently knows about an access. */
export interface Facts {
  /** The current verdict: 0 (accepted), or the number of the reason. */
  readonly now: number;
  /** `id` of the domain for which the access is checked. */
  readonly pd: number;
  readonly user: boolean;
  readonly remoteKeyZero: boolean;
  /** The bits in which the lkey and the rkey of a region differ; 0: the device is not strict. */
  readonly rkeyMask: number;
  /** Whether the device refuses accesses on purpose. */
  readonly faults: boolean;
  /** The DMA mapping that contains the address, or else the next mapping above it. */
  readonly dma: { readonly address: bigint; readonly length: bigint } | undefined;
  readonly searchedAll: boolean;
  readonly slot: SlotFacts;
  /** The slot of the key with its bytes in reverse order. */
  readonly swapped: SlotFacts;
  /**
   * Regions that contain the address: in this domain (`own`) or another (`others`), by the kind of address that the check uses,
   * or by the opposite kind (`OtherWay`: local address for remote checks and vice versa). Undefined if no such region was found.
   */
  readonly own: RegionFacts | undefined;
  readonly ownOtherWay: RegionFacts | undefined;
  readonly others: RegionFacts | undefined;
  readonly othersOtherWay: RegionFacts | undefined;
  /** The half-dead region that had the key. */
  readonly halfDead: RegionFacts | undefined;
}

/** The rows of one native answer. Use indexing by number only, which a program cannot intercept. The memory is not shared. */
type Rows = BigUint64Array<ArrayBuffer>;

function long(rows: Rows, at: number): bigint {
  return rows[at] ?? 0n;
}

function number(rows: Rows, at: number): number {
  return Number(long(rows, at));
}

function regionAt(rows: Rows, at: number, asker: Asker): RegionFacts | undefined {
  if (number(rows, at + SlotRow.Live) === 0) return undefined;
  const row = at + SlotRow.Region;
  const id = number(rows, row + RegionRow.Id);
  const memoryKind = memoryKindName(number(rows, row + RegionRow.MemoryKind));
  return {
    id,
    kind: regionKindName(number(rows, row + RegionRow.Kind)),
    key: number(rows, row + RegionRow.Key),
    pd: number(rows, row + RegionRow.Pd),
    access: number(rows, row + RegionRow.Access),
    start: long(rows, row + RegionRow.Start),
    iova: long(rows, at + SlotRow.Iova),
    length: long(rows, row + RegionRow.Length),
    memory: memoryKind && { kind: memoryKind, offset: number(rows, row + RegionRow.Offset) },
    valid: number(rows, row + RegionRow.Valid) !== 0,
    held: number(rows, row + RegionRow.Refs) - 1,
    own: asker.table.find(number(rows, row + RegionRow.Index), id) !== undefined,
  };
}

function windowAt(rows: Rows, at: number): WindowFacts | undefined {
  const kind = number(rows, at + SlotRow.Window);
  if (kind === 0) return undefined;
  return {
    lease: kind === 2,
    pd: number(rows, at + SlotRow.WindowPd),
    address: long(rows, at + SlotRow.WindowAddress),
    length: long(rows, at + SlotRow.WindowLength),
    access: number(rows, at + SlotRow.WindowAccess),
    qp: number(rows, at + SlotRow.WindowQp),
  };
}

function slotAt(rows: Rows, at: number, asker: Asker): SlotFacts {
  return {
    sequence: Number(long(rows, at + SlotRow.Sequence) & 0xffff_ffffn),
    key: number(rows, at + SlotRow.Key),
    region: regionAt(rows, at, asker),
    window: windowAt(rows, at),
    hidden: number(rows, at + SlotRow.Hidden) !== 0,
  };
}

/**
 * Queries the device about an access. Takes the device lock; with 100,000 regions the search takes some milliseconds.
 *
 * @returns undefined if the domain or queue pair is closed
 */
export function lookUp(asker: Asker, asked: AskedAccess): Facts | undefined {
  const rows: Rows = new BigUint64Array(Explained.Count);
  storeAccess(asker.number, asked.address, 'address', asked.length, 'length', asked.key, 'key', asked.access);
  explainAccess(rows);
  if (readAnswer() !== 0) return undefined;
  const found = (kind: FoundRegion): RegionFacts | undefined =>
    regionAt(rows, Explained.Found + kind * SlotRow.Fields, asker);
  const at = Explained.Asked;
  return {
    now: number(rows, at + AskedRow.Now),
    pd: number(rows, at + AskedRow.Pd),
    user: number(rows, at + AskedRow.User) !== 0,
    remoteKeyZero: number(rows, at + AskedRow.RemoteKeyZero) !== 0,
    rkeyMask: number(rows, at + AskedRow.RkeyMask),
    faults: number(rows, at + AskedRow.Faults) !== 0,
    dma:
      number(rows, at + AskedRow.Dma) === 0
        ? undefined
        : { address: long(rows, at + AskedRow.DmaAddress), length: long(rows, at + AskedRow.DmaLength) },
    searchedAll: number(rows, at + AskedRow.SearchedAll) !== 0,
    slot: slotAt(rows, Explained.Slot, asker),
    swapped: slotAt(rows, Explained.Swapped, asker),
    own: found(FoundRegion.Own),
    ownOtherWay: found(FoundRegion.OwnOtherWay),
    others: found(FoundRegion.Others),
    othersOtherWay: found(FoundRegion.OthersOtherWay),
    halfDead: found(FoundRegion.HalfDead),
  };
}
