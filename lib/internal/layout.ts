/**
 * The numbers that TypeScript and C agree on. Written by scripts/generate-layout.mjs from native/core/layout.h, which is where
 * to change them.
 */

/** Of all these numbers. A native module with another one was built from other sources. */
export const LAYOUT_HASH = '1f68949215d0ad0c';

// Linux errno values. Calls answer them negated, on every platform.
export const EPERM = 1;
export const EBADF = 9;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EXDEV = 18;
export const ENODEV = 19;
export const EINVAL = 22;
export const EOPNOTSUPP = 95;

/**
 * A call of the data path that answers neither a count of bytes nor an errno answers this number minus
 * the reason of the refusal.
 */
export const REFUSED = -1000;

/**
 * Why an access was refused. The first group judges names (a check), in this order: the first test that fails
 * gives the reason. The second group judges bytes (the data path), when an SGE that was accepted is used. A
 * number never changes its meaning.
 */
export enum Reason {
  /** not refused */
  None = 0,
  /** key 0 from a user domain, or from a peer while the device forbids it */
  KeyZeroDenied = 1,
  /** key 0, but no DMA region is published */
  NoDmaRegion = 2,
  /** the slot is empty */
  NoSuchKey = 3,
  /** the slot is empty and last held exactly this key */
  Revoked = 4,
  /** the slot lives under another key */
  StaleKey = 5,
  /** rvt_invalidate_rkey came first */
  Invalidated = 6,
  WrongPd = 7,
  OutOfBounds = 8,
  AccessDenied = 9,
  /** inside the bounds, but no segment or DMA mapping lies there */
  Unmapped = 10,
  /** the owner's buffer was transferred or replaced */
  MemoryDetached = 11,
  /** the owner's buffer no longer holds all registered bytes */
  MemoryShrunk = 12,
  /** the SGE was proven under an older mapping */
  Remapped = 13,
  /** the region was ended by force, or its parent closed */
  RegionRevoked = 14,
  /** the bytes can only be used where they were registered */
  OtherEnvironment = 15,
  /**
   * The domain or queue pair that asks is closed, or its device is. Told before all others: without an asker
   * nothing is judged.
   */
  Closed = 16,
  Count = 17,
}

/**
 * Why a verb failed: struct rvt_failure. What the numbers VALUE, LIMIT and INDEX of each mean stands behind it;
 * "counts": of objects by kind. A number never changes its meaning.
 */
export enum Cause {
  None = 0,
  /** EBADF */
  DeviceClosed = 1,
  /** the context has ended */
  Detached = 2,
  PdGone = 3,
  QpGone = 4,
  /** index: in the list, where there is one */
  RegionGone = 5,
  MappingGone = 6,
  /** device memory */
  MemoryFreed = 7,
  /** index: in the list, where there is one */
  ElementPut = 8,
  /** ENOMEM */
  NoMemory = 20,
  /** value: slots in use; limit: slots */
  TableFull = 21,
  NoRandomNumbers = 22,
  /** limit: references that can be counted */
  HeldTooOften = 23,
  /** value: pages of the first element; limit: of the region */
  NothingFits = 24,
  /** value: bytes asked for */
  NoDeviceMemory = 25,
  /**
   * EBUSY
   * counts: in the domain
   */
  PdInUse = 40,
  /** counts: on the device */
  DeviceInUse = 41,
  /** counts: of the context */
  ContextInUse = 42,
  /** value: elements. It is half-dead now */
  RegionHeld = 43,
  /** value: elements; limit: regions that they hold; index: of the first */
  RegionsHeld = 44,
  /** value: elements. Nothing has changed */
  FmrHeld = 45,
  /** value: elements; index: in the list, where there is one. Also EINVAL */
  HalfDead = 46,
  /** value: elements of key 0; counts: regions */
  MappingInUse = 47,
  /** value: uses that have just ended; counts: regions, mappings */
  MemoryInUse = 48,
  /** index */
  BatchHeld = 49,
  /** EPERM, ENODEV, EXDEV, EOPNOTSUPP */
  UserPd = 60,
  UnknownToken = 61,
  ForeignToken = 62,
  /** the runtime allows none */
  NoExternalBuffers = 63,
  /** the context was given one domain only */
  Restricted = 64,
  /** it names DMA memory, and that domain is not trusted */
  RestrictedDma = 65,
  /** EACCES */
  RegionInOtherPd = 70,
  /** value: rights proven; limit: needed, any; index: among those left */
  RightNotProven = 71,
  /** value: bytes moved; limit: asked for */
  BytesUnusable = 72,
  /**
   * EINVAL
   * value
   */
  TableBits = 100,
  /** of an extension; value: its number */
  ObjectKind = 101,
  /** of an extension; value: number of the kind that it watches */
  ReleaseHook = 102,
  EmptyMemory = 103,
  /** value; limit: the highest that fits */
  StartTooHigh = 104,
  /** value; limit: likewise */
  IovaTooHigh = 105,
  /** value; limit */
  TooManyPages = 106,
  /** value: bytes to find room for */
  AddressesUsedUp = 107,
  /** value: enum rvt_mr_type */
  MrType = 108,
  /** value; limit */
  MaxNumSg = 109,
  /** value, signed; limit */
  MaxPages = 110,
  /** value; limit */
  PageShift = 111,
  /** value: enum rvt_mr_kind; index: in the list, where there is one */
  RegionKind = 112,
  /** index */
  ListedNoRegion = 113,
  /** index */
  ListedInOtherPd = 114,
  /** index */
  ListedOnOtherDevice = 115,
  RegionOnOtherDevice = 116,
  /** value; limit: the one there is */
  PageSize = 117,
  EmptyList = 118,
  /** value; limit */
  ListTooLong = 119,
  /** value; limit: bytes of the first element */
  OffsetOutside = 120,
  /** index; value: address */
  SgElementEmpty = 121,
  /** index; value: address */
  SgElementUnmapped = 122,
  /** index; value: address; limit: bytes up to the end */
  SgElementAcrossEnd = 123,
  /** value: address of the first byte; limit: the highest */
  SgEndTooHigh = 124,
  /** value: key; limit: the region's key */
  KeySlot = 125,
  KeyZero = 126,
  /** value */
  UnknownKey = 127,
  /** value */
  KeyInOtherPd = 128,
  /** value; limit */
  PageCount = 129,
  /** value: bytes; limit */
  MappedLength = 130,
  /** index; value: address */
  PageUnmapped = 131,
  /** index; value: address; limit: bytes up to the end */
  PageAcrossEnd = 132,
  /** value; limit: what it must be a multiple of */
  DmaAddressUnaligned = 133,
  /** value; limit: the highest that fits */
  DmaAddressTooHigh = 134,
  /** value; limit: address of the first mapping in the way */
  DmaRangeTaken = 135,
  /** value: bytes to find room for */
  DmaAddressesUsedUp = 136,
  NoBytes = 137,
  /** value: serial number */
  UnknownPd = 138,
  /** value: serial number */
  UnknownMemory = 139,
  /** value: bytes; limit: left in all elements */
  MoreThanLeft = 140,
  /** value: bytes; limit: left in the current element */
  MoreThanElement = 141,
  /** index: of the second */
  ElementTwice = 142,
  /** value; limit */
  ElementCount = 143,
  /** value; limit */
  WordLength = 144,
  /** value; limit: what it must be a multiple of */
  WordAddress = 145,
  /** limit: as above, of the memory itself, or bytes in one piece */
  WordMemory = 146,
  ElementOnOtherDevice = 147,
  PdOnOtherDevice = 149,
  /** the binding cannot use it; lib has judged it before */
  Argument = 148,
}

/** What is kept of the last failure of a thread (struct rvt_failure), by index. */
export enum FailureNumber {
  /** the errno, positive; 0: nothing is kept */
  Error = 0,
  /** enum rvt_cause; the others' meaning goes by it */
  Cause = 1,
  Value = 2,
  Limit = 3,
  Index = 4,
  /** one for each kind of objects, by its number */
  Counts = 5,
  /** with as many kinds as there can be */
  Numbers = 21,
}

/** Access bits, the field's own (IB_ACCESS_*). */
export enum AccessBit {
  LocalWrite = 1,
  RemoteWrite = 2,
  RemoteRead = 4,
  RemoteAtomic = 8,
  MwBind = 16,
}

export enum RegionKind {
  User = 0,
  Dma = 1,
  MemReg = 2,
  Fmr = 3,
}

/** The types that rvt_alloc_mr is asked for (enum ib_mr_type). There is only RVT_MR_TYPE_MEM_REG. */
export enum MrTypeNumber {
  MemReg = 0,
  SgGaps = 1,
  Dm = 2,
  User = 3,
  Dma = 4,
  Integrity = 5,
}

/** How rvt_dereg_mr, rvt_dealloc_fmr and rvt_dereg_mrs end a region. */
export enum ReleaseMode {
  /** what dereg_mr and dealloc_fmr do: -EBUSY while held, may be called again */
  Release = 0,
  /** the same; while it is held, each put wakes the context that made it */
  Await = 1,
  /** revoke and end it now; held SGEs are dead (RegionRevoked). Always 0 */
  Force = 2,
}

/** The page of DMA memory and of rvt_map_mr_sg, in bytes, and its log2. */
export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;
/** The reference, and so the trace format, names a segment by two numbers: m * RVT_SEGSZ + n. */
export const SEGSZ = 256;
/** The bits of a key that the consumer may change in rvt_fast_reg_mr. */
export const KEY_VARIANT_MASK = 255;
/** The most elements of a walk. */
export const MAX_SGE = 255;
/** The most elements of a scatter-gather list. */
export const MAX_SG_ELEMENTS = 2147483647;
/** A device's token: which copy of the core, then the random bytes. */
export const CORE_ID_BYTES = 8;
export const TOKEN_BYTES = 16;

/** An element of the list that rvt_map_mr_sg is given (struct rvt_sg_element). */
export enum SgElementField {
  /** DMA address */
  Address = 0,
  Length = 1,
  Count = 2,
}

/** What rvt_map_mr_sg tells (struct rvt_sg_outcome). */
export enum SgOutcomeField {
  Iova = 0,
  Length = 1,
  Count = 2,
}

/** What a region says of itself (struct rvt_mr_attributes). */
export enum RegionField {
  /** never given twice on a device */
  Id = 0,
  Lkey = 1,
  /** enum rvt_mr_kind */
  Kind = 2,
  Access = 3,
  Refs = 4,
  Start = 5,
  Iova = 6,
  Length = 7,
  Segments = 8,
  MaxSegments = 9,
  Valid = 10,
  HalfDead = 11,
  /** 1: the next three are counted; else they are 0 */
  Counted = 12,
  Accepted = 13,
  Refused = 14,
  Bytes = 15,
  Count = 16,
}

/** Where a region's bytes are, and what a peer would ask for them by (struct rvt_mr_place). */
export enum RegionPlaceField {
  /** serial of its domain */
  Pd = 0,
  /** enum rvt_memory_kind */
  MemoryKind = 1,
  /** which buffer, and the first byte there */
  Buffer = 2,
  Offset = 3,
  /** bytes mapped */
  Length = 4,
  Access = 5,
  /** of its first byte, as remote checks compare it */
  RemoteAddress = 6,
  Key = 7,
  /** enum rvt_mr_kind */
  Kind = 8,
  /** 1: its key works */
  Works = 9,
  Count = 10,
}

/** Where a view's bytes are. */
export enum ViewField {
  /** which buffer; 0: nothing is registered or mapped of it */
  Buffer = 0,
  Offset = 1,
  Length = 2,
}

/** What an accepted element says of itself (struct rvt_sge). */
export enum SgeField {
  /** the region's id */
  Region = 0,
  /** byte of the user's buffer, or DMA address */
  At = 1,
  /** bytes left in the segment */
  Length = 2,
  /** bytes of the element */
  SgeLength = 3,
  /** index of the segment: the reference's m * RVT_SEGSZ + n */
  Segment = 4,
  /** 1: AT is a byte of the user's buffer */
  User = 5,
  /** access bits that were proven */
  Rights = 6,
  /** 1: proven by a remote check */
  Remote = 7,
  /** the address that was asked for */
  Request = 8,
  /** the region's place in its pool */
  Index = 9,
  Count = 10,
}

/** What a check without a reference tells of an accepted access (struct rvt_place). */
export enum PlaceField {
  At = 0,
  Length = 1,
  Segment = 2,
  Count = 3,
}

/** A fragment of a walk (struct rvt_fragment). */
export enum FragmentField {
  /** index of the step that it belongs to */
  Step = 0,
  /** the region's id */
  Region = 1,
  /** byte of the user's buffer, or DMA address: by the kind of the region */
  At = 2,
  Length = 3,
  /** the region's place in its pool */
  Index = 4,
  Count = 5,
}

/** What is counted (struct rvt_counts). */
export enum CounterField {
  Accepted = 0,
  Bytes = 1,
  /** one number for each reason, from RVT_REASON_NONE on */
  Refused = 2,
}

/** An occupied slot of the key table (struct rvt_table_row), as doubles. */
export enum KeyTableField {
  Index = 0,
  Lkey = 1,
  /** the region's id */
  Region = 2,
  /** and its place in its pool */
  RegionIndex = 3,
  Count = 4,
}

/** Whose bytes a region or a DMA mapping has. */
export enum MemoryKind {
  /** nobody's: a region that maps DMA addresses, or all of them, or nothing */
  None = 0,
  /** of an owner that does not tell */
  Other = 1,
  ArrayBuffer = 2,
  /** a SharedArrayBuffer */
  Shared = 3,
  Device = 4,
}

/** Whether a buffer was taken away from what was registered of it. */
export enum Detached {
  No = 0,
  Yes = 1,
  /** only the thread that it belongs to can tell */
  Unknown = 2,
}

export enum ResourceKind {
  Context = 0,
  Pd = 1,
  Qp = 2,
  Mr = 3,
  Dma = 4,
  Memory = 5,
  Kinds = 6,
}

export enum ContextRow {
  Id = 0,
  Fields = 1,
}

export enum PdRow {
  Serial = 0,
  /** id of the context that it belongs to; so in every row that has one */
  Context = 1,
  User = 2,
  Children = 3,
  Fields = 4,
}

export enum QpRow {
  Serial = 0,
  Context = 1,
  /** serial of its domain */
  Pd = 2,
  Fields = 3,
}

export enum RegionRow {
  Id = 0,
  Context = 1,
  /** serial of its domain */
  Pd = 2,
  Key = 3,
  /** enum rvt_mr_kind */
  Kind = 4,
  Access = 5,
  Refs = 6,
  Start = 7,
  Iova = 8,
  Length = 9,
  Segments = 10,
  MaxSegments = 11,
  Valid = 12,
  HalfDead = 13,
  /** its place in its pool */
  Index = 14,
  /** enum rvt_memory_kind */
  MemoryKind = 15,
  /** which buffer, unique in the process; 0 without one */
  Buffer = 16,
  /** of its first byte in the buffer */
  Offset = 17,
  /** enum rvt_detached */
  Detached = 18,
  Fields = 19,
}

export enum DmaRow {
  Serial = 0,
  Context = 1,
  Address = 2,
  Length = 3,
  /** page lists that name it, and key-0 elements held on it */
  Users = 4,
  /** as in the row of a region */
  MemoryKind = 5,
  Buffer = 6,
  Offset = 7,
  Detached = 8,
  Fields = 9,
}

export enum MemoryRow {
  Serial = 0,
  Bytes = 1,
  /** regions and DMA mappings that have bytes of it */
  Uses = 2,
  Huge = 3,
  /** as in the row of a region */
  Buffer = 4,
  Fields = 5,
}

/**
 * What this thread holds elements of: a row for each element in a cell, and one for each region that a batch
 * holds elements of.
 */
export enum HeldRow {
  /** of a single element, with its generation; 0: it is the row of a batch */
  Cell = 0,
  Generation = 1,
  /** number of the batch; 0 for a single element */
  Batch = 2,
  /** of elements */
  Count = 3,
  /** the region's id */
  Region = 4,
  /** a single element's: the address that was asked for, and the rights */
  Address = 5,
  /** bytes of all */
  Length = 6,
  Access = 7,
  /** 1: accepted by a remote check */
  Remote = 8,
  Fields = 9,
}

/** What a slot of the key table holds now, or one region that a search has found. */
export enum SlotRow {
  /** moves with every change of what the slot's record says; 0 for key 0 */
  Sequence = 0,
  /** that answers; of an empty slot the last one; 0: there never was one */
  Key = 1,
  /** 1: a region is in it, and the row of the region follows */
  Live = 2,
  /** 1: the asker may not be told of what is in it, or was last */
  Hidden = 3,
  /** what remote checks of the region compare with */
  Iova = 4,
  /** the region's row: enum rvt_mr_row */
  Region = 5,
  Fields = 24,
}

/** What a search for regions that have an address finds, one of each kind. */
export enum FoundRegion {
  /** in the asking domain, by the addresses that the check compares with */
  Own = 0,
  /** the same by the others: local ones for a peer, remote ones for a domain */
  OwnOtherWay = 1,
  /** in another domain */
  Others = 2,
  OthersOtherWay = 3,
  /** a half-dead region that had the key; whatever its addresses */
  HalfDead = 4,
  Kinds = 5,
}

/** Who asks, and what else is known about the access. */
export enum AskedRow {
  /** the verdict if it was judged now: 0, or the reason */
  Now = 0,
  /** serial of the asking domain */
  Pd = 1,
  /** 1: that is a user's */
  User = 2,
  /** 1: the device was opened so */
  RemoteKeyZero = 3,
  /** how many DMA mappings of these two are told: */
  Dma = 4,
  /** the one that holds the address, or else the next one behind it */
  DmaAddress = 5,
  DmaLength = 6,
  /** 1: the search has looked at every region */
  SearchedAll = 7,
  Fields = 8,
}

/** Where these rows begin in the array that explainAccess fills. */
export enum Explained {
  Asked = 0,
  /** of the key */
  Slot = 8,
  /** of the key with its bytes in the opposite order */
  Swapped = 32,
  /** RVT_FOUND_KINDS rows */
  Found = 56,
  Count = 176,
}

/** An element: struct ib_sge { u64 address, u32 length, u32 key }, in host order. */
export const PACKED_SGE_BYTES = 16;
/** The verdict of a coalesced element: accepted, as a part of the last accepted one. */
export const BATCH_COALESCED = 256;
/** The most elements of a batch. */
export const BATCH_MAX_ELEMENTS = 16777216;
/** A block begins with a header of so many bytes. The elements follow, then the columns. */
export const BLOCK_HEADER_BYTES = 64;

/** The words of a block's header, by index. A call reads the first three and writes the others. */
export enum HeaderWord {
  /** in: how many elements */
  Count = 0,
  /** in: access bits */
  Access = 1,
  /** in: HeaderFlag */
  Flags = 2,
  Passed = 3,
  /** index of the first refused element; the count if there is none */
  FirstRefused = 4,
  /** of the first refused element */
  Reason = 5,
  /** 0, or a negative errno */
  Status = 6,
}

/** What the header holds as doubles, by index. Behind the words above. */
export enum HeaderDouble {
  /** by a copy */
  BytesMoved = 4,
  /**
   * Of a copy with RVT_HEADER_FLAG_ALL whose list was accepted as a whole: its bytes, and the bytes of the
   * buffer or the other list. Nothing has moved unless they fit.
   */
  ListBytes = 5,
  OtherBytes = 6,
}

export enum HeaderFlag {
  Coalesce = 1,
  /** a copy judges the whole list before a byte moves */
  All = 2,
}

/**
 * Where the elements and the columns begin behind the header: in bytes for each element that the batch has
 * room for. Without places the columns from REGIONS to SEGMENTS are left out, and VERDICTS begins where
 * REGIONS would. ACCESSES is there only if each element has an access of its own.
 */
export enum BlockColumn {
  Elements = 0,
  /** double: the region's id */
  Regions = 16,
  /** u64: byte of the user's buffer, or DMA address */
  Positions = 24,
  /** u32: bytes left in the segment */
  Lengths = 32,
  /** u32: index of the segment */
  Segments = 36,
  /** u32: 0, RVT_BATCH_COALESCED, or the reason */
  Verdicts = 40,
  /** u32, in: access bits of the element */
  Accesses = 44,
  End = 48,
}

/** The block of shared memory that calls of an environment read their numbers from, and answer in. */
export const COMMAND_BYTES = 256;

/**
 * Its 32-bit words, by index. A call reads only the words that its description names. 64-bit numbers take two
 * words, in host order, and begin at an even one.
 */
export enum CommandWord {
  /** out: 0, a reason, RVT_BATCH_COALESCED, a count (mapSg), or a negative errno */
  Answer = 0,
  /** in: number of the domain or queue pair that asks, or that a region is in */
  Checker = 1,
  /** in: access bits */
  Access = 2,
  /** in: CommandFlag */
  Flags = 3,
  /** in: the access asked for, a packed struct ib_sge; for an offset, its low word */
  Address = 4,
  Length = 6,
  Key = 7,
  /** in: an element, by its cell and the cell's generation */
  Cell = 8,
  CellGeneration = 9,
  /** in: the element that a new one may continue; 0: none */
  LastCell = 10,
  LastGeneration = 11,
  /** in: enum rvt_release_mode */
  Mode = 12,
  /** in, out: a region, by its place in its pool and the generation there */
  Region = 13,
  /** 64 bits */
  RegionGeneration = 14,
  /** in, out: a region's addresses, 64 bits each */
  Start = 16,
  Iova = 18,
  /** out: by a copy */
  BytesMoved = 20,
  /** out: what an atomic operation found, 64 bits */
  Result = 22,
  /** out: up to 16 numbers of 64 bits: RegionField, SgeField, ... */
  Fields = 24,
  /** in: of an atomic operation, 64 bits each */
  Operand = 56,
  Compare = 58,
  /** out, 64 bits: of a refused check, the sequence of the key's record (RVT_SLOT_SEQUENCE) */
  RecordSequence = 60,
}

export enum CommandFlag {
  /** the region begins at START; else where there is room */
  StartGiven = 1,
  /** its remote address is IOVA; else that of its start, or as it was */
  IovaGiven = 2,
  /** the last 8 bytes of a copy singly, ascending, after the others */
  Ordered = 4,
}

/** An element in a list of elements, as 32-bit words. */
export enum ElementNameWord {
  Cell = 0,
  Generation = 1,
  Words = 2,
}

/** A region in a list of regions, as 32-bit words. */
export enum RegionNameWord {
  /** number of the domain that it is in */
  Checker = 0,
  Index = 1,
  /** 64 bits, in host order */
  Generation = 2,
  Words = 4,
}
