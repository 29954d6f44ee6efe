/** Where regions and views have their bytes. */
import { fieldLong, fieldNumber, readAnswer, UNANSWERED, words } from './command';
import { CommandWord, MemoryKind, RegionKind, RegionPlaceField, ViewField } from './layout';
import { native, type Status } from './native';
import { type RegionName, storeRegion } from './region-name';

const { placeOfMr, placeOfView } = native;

/** One moment's truth about a region. */
export interface RegionPlace {
  /** Id of its domain. */
  readonly pd: number;
  /** Whether it is a region of memory that has a number. */
  readonly isUser: boolean;
  /** Number of the buffer. */
  readonly buffer: number;
  /** Byte of the buffer that the region begins at. */
  readonly offset: number;
  /** Bytes mapped. */
  readonly length: number;
  readonly access: number;
  readonly key: number;
  /** The address of its first byte that remote checks compare with. */
  readonly remoteAddress: bigint;
  readonly isDma: boolean;
  /** Whether its key works. */
  readonly works: boolean;
}

/** The place of a region; -EBADF if it is gone. */
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

/** Where the bytes of a view are. */
export interface ViewPlace {
  /** Number of its buffer; 0: nothing is registered or mapped of that. */
  readonly buffer: number;
  readonly offset: number;
  readonly length: number;
}

/** The place of a view's bytes; undefined: nothing is known of its buffer, or it has no bytes. */
export function placeOfBytes(bytes: Uint8Array): ViewPlace | undefined {
  words[CommandWord.Answer] = UNANSWERED;
  placeOfView(bytes);
  if (readAnswer() < 0) return undefined;
  const buffer = fieldNumber(ViewField.Buffer);
  const length = fieldNumber(ViewField.Length);
  if (buffer === 0 || length === 0) return undefined;
  return { buffer, offset: fieldNumber(ViewField.Offset), length };
}
