/** Queries where the bytes of regions and views are located. */
import { fieldLong, fieldNumber, readAnswer, UNANSWERED, words } from './command';
import { CommandWord, MemoryKind, RegionKind, RegionPlaceField, ViewField } from './layout';
import { native, type Status } from './native';
import { type RegionName, storeRegion } from './region-name';

const { placeOfMr, placeOfView } = native;

/** The state of a region at the time of the query. */
export interface RegionPlace {
  /** Id of the region's domain. */
  readonly pd: number;
  /** Whether the region covers user memory, whose buffer has a number. */
  readonly isUser: boolean;
  /** Number of the buffer. */
  readonly buffer: number;
  /** Offset of the region's first byte in the buffer. */
  readonly offset: number;
  /** Number of mapped bytes. */
  readonly length: number;
  readonly access: number;
  readonly key: number;
  /** The address of the region's first byte in remote checks. */
  readonly remoteAddress: bigint;
  readonly isDma: boolean;
  /** Whether checks currently accept the region's key. */
  readonly works: boolean;
}

/** Returns the place of a region; -EBADF if the region was released. */
export function placeOfRegion(name: RegionName): RegionPlace | Status {
  storeRegion(name);
  placeOfMr();
  const status = readAnswer();
  if (status < 0) return status;
  return {
    pd: fieldNumber(RegionPlaceField.Pd),
    isUser: fieldNumber(RegionPlaceField.MemoryKind) !== MemoryKind.None,
    buffer: fieldNumber(RegionPlaceField.Buffer),
    offset: fieldNumber(RegionPlaceField.Offset),
    length: fieldNumber(RegionPlaceField.Length),
    access: fieldNumber(RegionPlaceField.Access),
    key: fieldNumber(RegionPlaceField.Key),
    remoteAddress: fieldLong(RegionPlaceField.RemoteAddress),
    isDma: fieldNumber(RegionPlaceField.Kind) === RegionKind.Dma,
    works: fieldNumber(RegionPlaceField.Works) !== 0,
  };
}

/** Buffer and offset of the bytes of a view. */
export interface ViewPlace {
  /** Number of the buffer; 0 if no part of the buffer is registered or mapped. */
  readonly buffer: number;
  readonly offset: number;
  readonly length: number;
}

/** Returns the place of a view's bytes; undefined if no part of its buffer is registered or mapped, or if the view is empty. */
export function placeOfBytes(bytes: Uint8Array): ViewPlace | undefined {
  words[CommandWord.Answer] = UNANSWERED;
  placeOfView(bytes);
  if (readAnswer() < 0) return undefined;
  const buffer = fieldNumber(ViewField.Buffer);
  const length = fieldNumber(ViewField.Length);
  if (buffer === 0 || length === 0) return undefined;
  return { buffer, offset: fieldNumber(ViewField.Offset), length };
}
