/** The type of {@link RdmaError.detail}. */
/** Name of a failure's cause. The meaning of a name never changes; docs/errors.md lists all of them. */
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

/** The kinds of objects that {@link ErrorDetail.counts} counts. */
export type CountName = 'contexts' | 'domains' | 'queuePairs' | 'regions' | 'mappings' | 'elements';

/** Why a method failed, for programs; the error's message has the same information as text. */
export interface ErrorDetail {
  /** The cause. */
  readonly cause: ErrorCause;
  /** Name of the argument at fault: `'options.iova'` or `'pageList[3]'`; absent if there is none. */
  readonly argument?: string;
  /** Index of the element at fault in its list. */
  readonly index?: number;
  /**
   * The value at fault. Addresses are bigints; lengths, counts, keys and rights are numbers; kinds and types are strings.
   */
  readonly value?: number | bigint | string;
  /** The limit of the value, or the value that is required. */
  readonly limit?: number | bigint | string;
  /** How many objects prevent the operation, by kind. Kinds with a count of 0 are left out. */
  readonly counts?: Readonly<Partial<Record<CountName, number>>>;
}
