import { type Access } from './access';
import { type Asker } from './asker';
import { readAnswer } from '../internal/command';
import { storeAccess } from '../internal/element';
import { AskedRow, Explained, FoundRegion, RegionRow, SlotRow } from '../internal/layout';
import { native } from '../internal/native';
import { memoryKindName, type MemoryKindName, regionKindName } from '../internal/region-kind';
import { type RegionResource } from './resources';

const { explainAccess } = native;

/** An access that a check has judged, in plain numbers. */
export interface AskedAccess {
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
  readonly key: number;
  readonly access: Access;
}

/** A region as it is now. */
export interface RegionFacts {
  readonly id: number;
  readonly kind: RegionResource['kind'];
  readonly key: number;
  /** `id` of its domain. */
  readonly pd: number;
  readonly access: Access;
  /** Address of its first byte in local checks. */
  readonly start: bigint;
  /** The same in remote checks. */
  readonly iova: bigint;
  /** Bytes mapped. */
  readonly length: bigint;
  /** The memory of a region of user memory, and its first byte there. */
  readonly memory: { readonly kind: MemoryKindName; readonly offset: number } | undefined;
  readonly valid: boolean;
  /** References of holders, once it is half-dead. */
  readonly held: number;
  /** Whether this thread has made it. */
  readonly own: boolean;
}

/** What a slot of the key table holds now. */
export interface SlotFacts {
  /** Low half of the record's sequence; see `RVT_SLOT_SEQUENCE`. */
  readonly sequence: number;
  /** The key that answers, or of an empty slot the last one; 0: none ever. */
  readonly key: number;
  readonly region: RegionFacts | undefined;
  /** It holds a region of which the asker may not be told; or it is empty, and what it last held may not be told. */
  readonly hidden: boolean;
}

/** What is known now about an access. */
export interface Facts {
  /** The verdict now: 0, or the number of the reason. */
  readonly now: number;
  /** `id` of the asking domain. */
  readonly pd: number;
  readonly user: boolean;
  readonly remoteKeyZero: boolean;
  /** The DMA mapping that holds the address, or else the next one behind it. */
  readonly dma: { readonly address: bigint; readonly length: bigint } | undefined;
  readonly searchedAll: boolean;
  readonly slot: SlotFacts;
  /** Of the key with its bytes in the opposite order. */
  readonly swapped: SlotFacts;
  /** Regions that have the address; undefined for what was not found. */
  readonly own: RegionFacts | undefined;
  readonly ownOtherWay: RegionFacts | undefined;
  readonly others: RegionFacts | undefined;
  readonly othersOtherWay: RegionFacts | undefined;
  /** Half-dead, and it had the key. */
  readonly halfDead: RegionFacts | undefined;
}

/** Rows of one answer. Indexed by numbers only, and its memory is its own. */
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

function slotAt(rows: Rows, at: number, asker: Asker): SlotFacts {
  return {
    sequence: Number(long(rows, at + SlotRow.Sequence) & 0xffff_ffffn),
    key: number(rows, at + SlotRow.Key),
    region: regionAt(rows, at, asker),
    hidden: number(rows, at + SlotRow.Hidden) !== 0,
  };
}

/**
 * Asks the device what it knows now. Takes the device's lock, and some milliseconds where there are 100,000 regions.
 *
 * @returns undefined if the domain or queue pair is gone
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
