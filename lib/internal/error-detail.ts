/** What an error tells besides its errno: the shape of {@link RdmaError.detail}. */
/** Which cause it was. A name never changes its meaning; docs/errors.md has them all. */
export type ErrorCause =
  | 'DeviceClosed'
  | 'Detached'
  | 'PdGone'
  | 'QpGone'
  | 'RegionGone'
  | 'MappingGone'
  | 'MemoryFreed'
  | 'ElementPut'
  | 'NoMemory'
  | 'TableFull'
  | 'NoRandomNumbers'
  | 'HeldTooOften'
  | 'NothingFits'
  | 'NoDeviceMemory'
  | 'PdInUse'
  | 'DeviceInUse'
  | 'ContextInUse'
  | 'RegionHeld'
  | 'RegionsHeld'
  | 'FmrHeld'
  | 'HalfDead'
  | 'MappingInUse'
  | 'MemoryInUse'
  | 'BatchHeld'
  | 'UserPd'
  | 'Restricted'
  | 'RestrictedDma'
  | 'UnknownToken'
  | 'ForeignToken'
  | 'NoExternalBuffers'
  | 'RegionInOtherPd'
  | 'RightNotProven'
  | 'BytesUnusable'
  | 'TableBits'
  | 'ObjectKind'
  | 'ReleaseHook'
  | 'EmptyMemory'
  | 'StartTooHigh'
  | 'IovaTooHigh'
  | 'TooManyPages'
  | 'AddressesUsedUp'
  | 'MrType'
  | 'MaxNumSg'
  | 'MaxPages'
  | 'PageShift'
  | 'RegionKind'
  | 'ListedNoRegion'
  | 'ListedInOtherPd'
  | 'ListedOnOtherDevice'
  | 'RegionOnOtherDevice'
  | 'PageSize'
  | 'EmptyList'
  | 'ListTooLong'
  | 'OffsetOutside'
  | 'SgElementEmpty'
  | 'SgElementUnmapped'
  | 'SgElementAcrossEnd'
  | 'SgEndTooHigh'
  | 'KeySlot'
  | 'KeyZero'
  | 'UnknownKey'
  | 'KeyInOtherPd'
  | 'PageCount'
  | 'MappedLength'
  | 'PageUnmapped'
  | 'PageAcrossEnd'
  | 'DmaAddressUnaligned'
  | 'DmaAddressTooHigh'
  | 'DmaRangeTaken'
  | 'DmaAddressesUsedUp'
  | 'NoBytes'
  | 'UnknownPd'
  | 'UnknownMemory'
  | 'MoreThanLeft'
  | 'MoreThanElement'
  | 'ElementTwice'
  | 'ElementCount'
  | 'WordLength'
  | 'WordAddress'
  | 'WordMemory'
  | 'ElementOnOtherDevice'
  | 'PdOnOtherDevice'
  | 'Argument'
  | 'BufferTooLong'
  | 'DeadKey'
  | 'DmaRegion'
  | 'MemoryDetached'
  | 'NoRemoteRight'
  | 'NothingMapped'
  | 'RightsNeedLocalWrite'
  | 'SameBatch'
  | 'UnknownRights'
  | 'ViewOutOfBounds'
  | 'ViewTooLong';

/** What {@link ErrorDetail.counts} counts. */
export type CountName = 'contexts' | 'domains' | 'queuePairs' | 'regions' | 'mappings' | 'elements';

/** Why a method failed, for programs; the error's message says the same in words. */
export interface ErrorDetail {
  /** Which cause it was. */
  readonly cause: ErrorCause;
  /** The argument that is to blame, `'options.iova'` or `'pageList[3]'`; not there if none is. */
  readonly argument?: string;
  /** Its index in a list. */
  readonly index?: number;
  /**
   * What it was, or what there was of it. Addresses are bigints; lengths, counts, keys and rights numbers; kinds and types strings.
   */
  readonly value?: number | bigint | string;
  /** What it must not exceed, or must be. */
  readonly limit?: number | bigint | string;
  /** How many things are in the way. Those of which there is none are left out. */
  readonly counts?: Readonly<Partial<Record<CountName, number>>>;
}
