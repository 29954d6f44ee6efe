/**
 * The numbers that TypeScript and C agree on. Written by scripts/generate-layout.mjs from native/core/layout.h, which is where
 * to change them.
 */

/** Of all these numbers. A native module with another one was built from other sources. */
export const LAYOUT_HASH = '1f68949215d0ad0c';

// Linux errno values. Calls return them negated, on every platform.
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
 * A data-path call returns this number minus the reason if the access was refused. Other results are byte
 * counts and negative errnos.
 */
export const REFUSED = -1000;

/**
 * Why an access was refused. The first group comes from checks, which judge keys and addresses, in this
 * order: the first test that fails gives the reason. The second group comes from the data path, when an
 * accepted SGE is used. A number never changes its meaning.
 */
export enum Reason {
  /** not refused */
  None = 0,
  /** key 0 from a user domain, or from a peer of a device without remoteKeyZero */
  KeyZeroDenied = 1,
  /** key 0, but no DMA region is published */
  NoDmaRegion = 2,
  /** the key's slot in the key table is empty */
  NoSuchKey = 3,
  /** the key's slot is empty, and this was the last key in it */
  Revoked = 4,
  /** the key's slot holds a region with a different key */
  StaleKey = 5,
  /** the key was invalidated (rvt_invalidate_rkey) */
  Invalidated = 6,
  /** the region is in another protection domain */
  WrongPd = 7,
  /** the range is not inside the region (key 0: inside one DMA mapping) */
  OutOfBounds = 8,
  /** the region does not grant the requested access */
  AccessDenied = 9,
  /** inside the bounds, but no segment or DMA mapping covers the address */
  Unmapped = 10,
  /** the registered buffer was detached: transferred or replaced */
  MemoryDetached = 11,
  /** the registered buffer shrank and no longer holds all registered bytes */
  MemoryShrunk = 12,
  /** the region was mapped or unmapped since the SGE was accepted */
  Remapped = 13,
  /** the region was deregistered by force, or its parent was closed */
  RegionRevoked = 14,
  /** the bytes belong to another environment; only that one can access them */
  OtherEnvironment = 15,
  /**
   * The domain or queue pair on whose behalf the access is judged is closed, or its device is. Takes
   * precedence over all other reasons.
   */
  Closed = 16,
  Count = 17,
}

/**
 * Why a verb failed (struct rvt_failure). The comment after each cause says what its VALUE, LIMIT and INDEX
 * hold; "counts" are numbers of objects by kind. A number never changes its meaning.
 */
export enum Cause {
  None = 0,
  /**
   * Causes of EBADF start here.
   * the device was closed
   */
  DeviceClosed = 1,
  /** the environment's context on the device has ended */
  Detached = 2,
  /** the protection domain was deallocated */
  PdGone = 3,
  /** the queue pair was destroyed */
  QpGone = 4,
  /** the region was deregistered; index: its index in a list of regions */
  RegionGone = 5,
  /** the DMA mapping was unmapped */
  MappingGone = 6,
  /** the device memory was freed */
  MemoryFreed = 7,
  /** the element was already put; index: its index in a list of elements */
  ElementPut = 8,
  /**
   * Causes of ENOMEM start here.
   * out of memory
   */
  NoMemory = 20,
  /** the key table is full; value: slots in use; limit: slots in the table */
  TableFull = 21,
  /** the system has no random numbers to give */
  NoRandomNumbers = 22,
  /** limit: the largest number of references on a region */
  HeldTooOften = 23,
  /** value: pages of the first element; limit: pages of the region */
  NothingFits = 24,
  /** value: bytes requested */
  NoDeviceMemory = 25,
  /**
   * Causes of EBUSY start here.
   * counts: objects in the domain
   */
  PdInUse = 40,
  /** counts: objects on the device */
  DeviceInUse = 41,
  /** counts: objects that the context owns */
  ContextInUse = 42,
  /** value: elements that hold the region, which is now half-dead */
  RegionHeld = 43,
  /** value: elements that hold regions; limit: regions held; index: of the first region held */
  RegionsHeld = 44,
  /** value: elements that hold the FMR, which is unchanged */
  FmrHeld = 45,
  /** value: elements that hold the half-dead region; index: its index in a list. Also for EINVAL */
  HalfDead = 46,
  /** value: key-0 elements that hold the mapping; counts: regions that map it */
  MappingInUse = 47,
  /** value: uses by objects that have just ended; counts: live regions and mappings that use it */
  MemoryInUse = 48,
  /** index: of an element that still holds a reference */
  BatchHeld = 49,
  /**
   * Causes of EPERM, ENODEV, EXDEV and EOPNOTSUPP start here.
   * the operation needs a trusted domain, not a user domain
   */
  UserPd = 60,
  /** no open device in this process has the token */
  UnknownToken = 61,
  /** the token is from another process or another loaded copy of the core */
  ForeignToken = 62,
  /** the JavaScript runtime does not support external buffers */
  NoExternalBuffers = 63,
  /** the context was attached by a domain's token and may use only that domain */
  Restricted = 64,
  /** the context may use only a user domain, whose regions cannot map DMA memory */
  RestrictedDma = 65,
  /**
   * Causes of EACCES start here.
   * the region and the queue pair are in different domains
   */
  RegionInOtherPd = 70,
  /** value: access bits proven; limit: access bits of which one is needed; index: of the element */
  RightNotProven = 71,
  /** value: bytes moved; limit: bytes requested. Also for EINVAL */
  BytesUnusable = 72,
  /**
   * Causes of EINVAL start here.
   * value: requested size of the key table, in bits
   */
  TableBits = 100,
  /** an extension's kind of objects cannot be added; value: its number */
  ObjectKind = 101,
  /** an extension's release hook is invalid; value: the kind of objects that it watches */
  ReleaseHook = 102,
  /** the memory to register or map has no bytes */
  EmptyMemory = 103,
  /** value: requested start; limit: highest start that fits */
  StartTooHigh = 104,
  /** value: requested iova; limit: highest iova that fits */
  IovaTooHigh = 105,
  /** value: pages needed; limit: pages that a region can have */
  TooManyPages = 106,
  /** no free address range for a region; value: its bytes */
  AddressesUsedUp = 107,
  /** value: unsupported enum rvt_mr_type */
  MrType = 108,
  /** value: requested maximum of segments; limit: the highest allowed */
  MaxNumSg = 109,
  /** value: requested maximum of pages, signed; limit: the highest allowed */
  MaxPages = 110,
  /** value: requested page shift; limit: the highest allowed */
  PageShift = 111,
  /** value: unsuitable enum rvt_mr_kind; index: the region's index in a list */
  RegionKind = 112,
  /** index: of the list entry that is not a region */
  ListedNoRegion = 113,
  /** index: of the listed region that is in another domain */
  ListedInOtherPd = 114,
  /** index: of the listed region that is on another device */
  ListedOnOtherDevice = 115,
  /** the region is on another device */
  RegionOnOtherDevice = 116,
  /** value: requested page size; limit: the only supported one */
  PageSize = 117,
  /** the list has no elements */
  EmptyList = 118,
  /** value: elements in the list; limit: the most allowed */
  ListTooLong = 119,
  /** value: the offset; limit: bytes of the first element */
  OffsetOutside = 120,
  /** index: of the empty element; value: its address */
  SgElementEmpty = 121,
  /** index: of the element outside DMA memory; value: its address */
  SgElementUnmapped = 122,
  /** index: of the element; value: its address; limit: bytes up to the mapping's end */
  SgElementAcrossEnd = 123,
  /** value: address of the first byte; limit: highest first address that fits */
  SgEndTooHigh = 124,
  /** value: the requested key; limit: the region's key, of which only the low 8 bits may change */
  KeySlot = 125,
  /** key 0 cannot be invalidated */
  KeyZero = 126,
  /** value: the key, which no live region has */
  UnknownKey = 127,
  /** value: the key, whose region is in another domain */
  KeyInOtherPd = 128,
  /** value: pages in the list; limit: pages that the region can have */
  PageCount = 129,
  /** value: bytes to map; limit: bytes that can be mapped */
  MappedLength = 130,
  /** index: of the page outside DMA memory; value: its address */
  PageUnmapped = 131,
  /** index: of the page; value: its address; limit: bytes up to the mapping's end */
  PageAcrossEnd = 132,
  /** value: the address; limit: the alignment that it needs */
  DmaAddressUnaligned = 133,
  /** value: the address; limit: highest address that fits */
  DmaAddressTooHigh = 134,
  /** value: the address; limit: address of the first mapping that overlaps */
  DmaRangeTaken = 135,
  /** no free range of DMA addresses; value: bytes needed */
  DmaAddressesUsedUp = 136,
  /** device memory of 0 bytes was requested */
  NoBytes = 137,
  /** value: serial number that no domain has */
  UnknownPd = 138,
  /** value: serial number that no device memory has */
  UnknownMemory = 139,
  /** value: bytes requested; limit: bytes left in all elements */
  MoreThanLeft = 140,
  /** value: bytes requested; limit: bytes left in the current element */
  MoreThanElement = 141,
  /** an element is in the list twice; index: of its second occurrence */
  ElementTwice = 142,
  /** value: elements in the list; limit: the most allowed */
  ElementCount = 143,
  /** value: bytes of the element; limit: bytes that an atomic operation needs */
  WordLength = 144,
  /** value: the requested address; limit: the alignment that atomics need */
  WordAddress = 145,
  /** limit: bytes of memory that must be aligned and in one piece for an atomic operation */
  WordMemory = 146,
  /** the element's region is on another device */
  ElementOnOtherDevice = 147,
  /** the domain is on another device */
  PdOnOtherDevice = 149,
  /** the binding rejected an argument, although lib checks arguments first */
  Argument = 148,
}

/** The record of a thread's last failure (struct rvt_failure), by index. */
export enum FailureNumber {
  /** the errno, positive; 0: no failure is recorded */
  Error = 0,
  /** enum rvt_cause; determines the meaning of the following numbers */
  Cause = 1,
  Value = 2,
  Limit = 3,
  Index = 4,
  /** one count per kind of objects, indexed by the kind's number */
  Counts = 5,
  /** size of the record, with room for the maximum number of kinds */
  Numbers = 21,
}

/** Access bits, with the values of the verbs' IB_ACCESS_*. */
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

/** Types that rvt_alloc_mr() can be called with (enum ib_mr_type). Only RVT_MR_TYPE_MEM_REG is supported. */
export enum MrTypeNumber {
  MemReg = 0,
  SgGaps = 1,
  Dm = 2,
  User = 3,
  Dma = 4,
  Integrity = 5,
}

/** How rvt_dereg_mr(), rvt_dealloc_fmr() and rvt_dereg_mrs() end a region. */
export enum ReleaseMode {
  /** the verbs' behavior: -EBUSY while the region is held; may be called again */
  Release = 0,
  /** as RVT_RELEASE; while the region is held, each put wakes its context */
  Await = 1,
  /** end the region now; held SGEs fail with RegionRevoked. Always returns 0 */
  Force = 2,
}

/** The page size of DMA memory and of rvt_map_mr_sg(), in bytes, and its log2. */
export const PAGE_SIZE = 4096;
export const PAGE_SHIFT = 12;
/** The kernel's rdmavt, and so the trace format, addresses a segment by two numbers: m * RVT_SEGSZ + n. */
export const SEGSZ = 256;
/** The bits of a key that the consumer may change in rvt_fast_reg_mr(). */
export const KEY_VARIANT_MASK = 255;
/** The maximum number of elements in a walk. */
export const MAX_SGE = 255;
/** The maximum number of elements in a scatter-gather list. */
export const MAX_SG_ELEMENTS = 2147483647;
/** A device token in bytes: the id of this loaded copy of the core, followed by random bytes. */
export const CORE_ID_BYTES = 8;
export const TOKEN_BYTES = 16;

/** An element of the list passed to rvt_map_mr_sg() (struct rvt_sg_element). */
export enum SgElementField {
  /** DMA address of the element */
  Address = 0,
  Length = 1,
  Count = 2,
}

/** The result of rvt_map_mr_sg() (struct rvt_sg_outcome). */
export enum SgOutcomeField {
  Iova = 0,
  Length = 1,
  Count = 2,
}

/** The attributes of a region (struct rvt_mr_attributes). */
export enum RegionField {
  /** unique on the device, never reused */
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
  /** 0: the key was invalidated */
  Valid = 10,
  /** 1: deregistered, but elements still hold it */
  HalfDead = 11,
  /** 1: the region has counters; 0: the next three fields are 0 */
  Counted = 12,
  Accepted = 13,
  Refused = 14,
  Bytes = 15,
  Count = 16,
}

/** Where a region's bytes are, and how a peer addresses them (struct rvt_mr_place). */
export enum RegionPlaceField {
  /** serial number of the region's domain */
  Pd = 0,
  /** enum rvt_memory_kind */
  MemoryKind = 1,
  /** number of the buffer; 0: none */
  Buffer = 2,
  Offset = 3,
  /** number of bytes mapped */
  Length = 4,
  Access = 5,
  /** address of the first byte in remote checks */
  RemoteAddress = 6,
  Key = 7,
  /** enum rvt_mr_kind */
  Kind = 8,
  /** 1: the region's key can be used */
  Works = 9,
  Count = 10,
}

/** Which bytes of which buffer a view covers. */
export enum ViewField {
  /** number of the buffer; 0: no part of it is registered or mapped */
  Buffer = 0,
  Offset = 1,
  Length = 2,
}

/** The fields of an accepted element (struct rvt_sge). */
export enum SgeField {
  /** id of the element's region */
  Region = 0,
  /** location of the first byte: offset in the user buffer, or DMA address */
  At = 1,
  /** bytes left in the segment */
  Length = 2,
  /** bytes of the element */
  SgeLength = 3,
  /** index of the segment: m * RVT_SEGSZ + n in the kernel's rdmavt */
  Segment = 4,
  /** 1: AT is an offset in the user buffer */
  User = 5,
  /** access bits that the element was accepted with */
  Rights = 6,
  /** 1: accepted by a remote check */
  Remote = 7,
  /** the requested address */
  Request = 8,
  /** index of the region in its pool */
  Index = 9,
  Count = 10,
}

/** The place that a check without a reference reports for an accepted access (struct rvt_place). */
export enum PlaceField {
  At = 0,
  Length = 1,
  Segment = 2,
  Count = 3,
}

/** A fragment of a walk (struct rvt_fragment). */
export enum FragmentField {
  /** index of the walk's step that contains the fragment */
  Step = 0,
  /** id of the fragment's region */
  Region = 1,
  /** offset in the user buffer, or DMA address, depending on the kind of region */
  At = 2,
  Length = 3,
  /** index of the region in its pool */
  Index = 4,
  Count = 5,
}

/** Counters of a context or device (struct rvt_counts). */
export enum CounterField {
  Accepted = 0,
  Bytes = 1,
  /** one number per reason, starting with RVT_REASON_NONE */
  Refused = 2,
}

/** An occupied slot of the key table (struct rvt_table_row), as doubles. */
export enum KeyTableField {
  Index = 0,
  Lkey = 1,
  /** id of the region in the slot */
  Region = 2,
  /** index of that region in its pool */
  RegionIndex = 3,
  Count = 4,
}

/** The kind of memory behind a region or a DMA mapping. */
export enum MemoryKind {
  /** no memory of its own: the region maps nothing, or DMA addresses */
  None = 0,
  /** memory whose owner does not report what it is */
  Other = 1,
  ArrayBuffer = 2,
  /** a SharedArrayBuffer */
  Shared = 3,
  Device = 4,
}

/** Whether the buffer behind a region or DMA mapping has been detached. */
export enum Detached {
  No = 0,
  Yes = 1,
  /** only the thread that owns the buffer can tell */
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
  /** id of the context that owns the object (all rows with a CONTEXT) */
  Context = 1,
  User = 2,
  Children = 3,
  Fields = 4,
}

export enum QpRow {
  Serial = 0,
  Context = 1,
  /** serial number of the queue pair's domain */
  Pd = 2,
  Fields = 3,
}

export enum RegionRow {
  Id = 0,
  Context = 1,
  /** serial number of the region's domain */
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
  /** 0: the key was invalidated */
  Valid = 12,
  /** 1: deregistered, but elements still hold it */
  HalfDead = 13,
  /** index of the region in its pool */
  Index = 14,
  /** enum rvt_memory_kind */
  MemoryKind = 15,
  /** number of the buffer, unique in the process; 0: none */
  Buffer = 16,
  /** offset in bytes of the region's first byte in the buffer */
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
  /** page lists that map it, plus key-0 elements that hold it */
  Users = 4,
  /** this and the next three fields: as in a region's row */
  MemoryKind = 5,
  Buffer = 6,
  Offset = 7,
  Detached = 8,
  Fields = 9,
}

export enum MemoryRow {
  Serial = 0,
  Bytes = 1,
  /** regions and DMA mappings that use the memory */
  Uses = 2,
  Huge = 3,
  /** number of the buffer, as in a region's row */
  Buffer = 4,
  Fields = 5,
}

/**
 * The elements that this thread holds: one row per single element, and one row per region of which a batch
 * holds elements.
 */
export enum HeldRow {
  /** cell of a single element; 0: the row is of a batch */
  Cell = 0,
  Generation = 1,
  /** number of the batch; 0: the row is of a single element */
  Batch = 2,
  /** number of elements */
  Count = 3,
  /** id of the region that the elements hold */
  Region = 4,
  /** the requested address of a single element; ACCESS: its access bits */
  Address = 5,
  /** bytes of all elements together */
  Length = 6,
  Access = 7,
  /** 1: accepted by a remote check */
  Remote = 8,
  Fields = 9,
}

/** A slot of the key table, or a region found by a search. */
export enum SlotRow {
  /** changes whenever the slot's record changes; 0 for key 0 */
  Sequence = 0,
  /** the slot's key; the last key if the slot is empty; 0: never used */
  Key = 1,
  /** 1: the slot holds a region, whose row follows */
  Live = 2,
  /** 1: the caller may not see which region is or was in the slot */
  Hidden = 3,
  /** the region's address in remote checks */
  Iova = 4,
  /** start of the region's row (enum rvt_mr_row) */
  Region = 5,
  Fields = 24,
}

/** Regions found by a search for an address: at most one of each kind. */
export enum FoundRegion {
  /** in the checker's domain, by the kind of address that the check uses */
  Own = 0,
  /** in the checker's domain, by the other kind: start for remote, iova for local checks */
  OwnOtherWay = 1,
  /** in another domain, by the kind of address that the check uses */
  Others = 2,
  /** in another domain, by the other kind of address */
  OthersOtherWay = 3,
  /** a half-dead region that had the key, whatever its addresses */
  HalfDead = 4,
  Kinds = 5,
}

/** The domain on whose behalf the access was judged, and other facts about the access. */
export enum AskedRow {
  /** the verdict if the access were judged now: 0, or the reason */
  Now = 0,
  /** serial number of the checker's domain */
  Pd = 1,
  /** 1: the checker's domain is a user domain */
  User = 2,
  /** 1: the device was opened with remoteKeyZero */
  RemoteKeyZero = 3,
  /** 1: the next two fields describe a DMA mapping; 0: there is none */
  Dma = 4,
  /** address of the mapping that contains the requested address, else of the next one */
  DmaAddress = 5,
  DmaLength = 6,
  /** 1: the search covered every region of the device */
  SearchedAll = 7,
  Fields = 8,
}

/** Where each row starts in the array that explainAccess fills. */
export enum Explained {
  /** a row of enum rvt_asked_row */
  Asked = 0,
  /** the row of the key's slot (enum rvt_slot_row) */
  Slot = 8,
  /** the row of the slot of the key with its bytes reversed */
  Swapped = 32,
  /** RVT_FOUND_KINDS rows of regions found (enum rvt_slot_row) */
  Found = 56,
  Count = 176,
}

/** The size of an element, struct ib_sge { u64 address, u32 length, u32 key } in host byte order. */
export const PACKED_SGE_BYTES = 16;
/** The verdict of a coalesced element: accepted and merged into the last accepted one. */
export const BATCH_COALESCED = 256;
/** The maximum number of elements in a batch. */
export const BATCH_MAX_ELEMENTS = 16777216;
/** The size of a block's header. The elements follow it, then the columns. */
export const BLOCK_HEADER_BYTES = 64;

/** The words of a block's header, by index. A call reads the first three and writes the others. */
export enum HeaderWord {
  /** in: number of elements */
  Count = 0,
  /** in: access bits requested for all elements */
  Access = 1,
  /** in: bits of enum rvt_header_flag */
  Flags = 2,
  /** out: number of accepted elements */
  Passed = 3,
  /** out: index of the first refused element, or the count if none was refused */
  FirstRefused = 4,
  /** out: why the first refused element was refused */
  Reason = 5,
  /** out: 0, or a negative errno */
  Status = 6,
}

/** The doubles in the header, by index. They follow the words above. */
export enum HeaderDouble {
  /** bytes moved by a copy */
  BytesMoved = 4,
  /**
   * For a copy with RVT_HEADER_FLAG_ALL whose list was accepted as a whole: the bytes of the list, and the
   * bytes of the buffer or the other list. Nothing was moved unless they fit.
   */
  ListBytes = 5,
  OtherBytes = 6,
}

export enum HeaderFlag {
  /** merge an element that continues the previous one into it */
  Coalesce = 1,
  /** a copy judges its whole list before moving any byte */
  All = 2,
}

/**
 * Where the elements and the columns start, relative to the end of the header: in bytes per element of the
 * batch's capacity. Without places, the columns from REGIONS to SEGMENTS are left out and VERDICTS starts
 * where REGIONS would. ACCESSES exists only if each element has access bits of its own.
 */
export enum BlockColumn {
  Elements = 0,
  /** double: id of the region */
  Regions = 16,
  /** u64: offset in the user buffer, or DMA address */
  Positions = 24,
  /** u32: bytes left in the segment */
  Lengths = 32,
  /** u32: index of the segment */
  Segments = 36,
  /** u32: 0, RVT_BATCH_COALESCED, or the reason */
  Verdicts = 40,
  /** u32, in: access bits requested for the element */
  Accesses = 44,
  End = 48,
}

/**
 * The size of the command block: shared memory from which calls of an environment read their arguments,
 * and into which they write their results.
 */
export const COMMAND_BYTES = 256;

/**
 * The 32-bit words of the command block, by index. A call reads only the words that its description names.
 * 64-bit numbers take two words, in host byte order, and start at an even index.
 */
export enum CommandWord {
  /** out: 0, a reason, RVT_BATCH_COALESCED, a count (mapSg), or a negative errno */
  Answer = 0,
  /** in: number of the domain or queue pair to check for, or of a region's domain */
  Checker = 1,
  /** in: access bits requested */
  Access = 2,
  /** in: bits of enum rvt_command_flag */
  Flags = 3,
  /** in: the access, as a packed struct ib_sge; an offset in calls that take one */
  Address = 4,
  Length = 6,
  Key = 7,
  /** in: an element, by its cell and the cell's generation */
  Cell = 8,
  CellGeneration = 9,
  /** in: the element that a new one may be merged into; 0: none */
  LastCell = 10,
  LastGeneration = 11,
  /** in: enum rvt_release_mode */
  Mode = 12,
  /** in, out: a region, by its index in its pool and the generation there */
  Region = 13,
  /** in, out: generation of the region's place in its pool, 64 bits */
  RegionGeneration = 14,
  /** in, out: start and iova of a region, 64 bits each */
  Start = 16,
  Iova = 18,
  /** out: bytes moved by a copy */
  BytesMoved = 20,
  /** out: the value before an atomic operation, 64 bits */
  Result = 22,
  /** out: up to 16 numbers of 64 bits: RegionField, SgeField, ... */
  Fields = 24,
  /** in: operands of an atomic operation, 64 bits each */
  Operand = 56,
  Compare = 58,
  /** out, 64 bits: the sequence of the key's record after a refused check (RVT_SLOT_SEQUENCE) */
  RecordSequence = 60,
}

export enum CommandFlag {
  /** the region starts at START; otherwise the device picks a free range */
  StartGiven = 1,
  /** the region's iova is IOVA; otherwise it equals its start, or stays unchanged */
  IovaGiven = 2,
  /** write the last 8 bytes of a copy last, one by one in ascending order */
  Ordered = 4,
}

/** The name of an element in a list of elements, as 32-bit words. */
export enum ElementNameWord {
  Cell = 0,
  Generation = 1,
  Words = 2,
}

/** The name of a region in a list of regions, as 32-bit words. */
export enum RegionNameWord {
  /** number of the region's domain */
  Checker = 0,
  /** index of the region in its pool */
  Index = 1,
  /** generation of that place, 64 bits in host byte order */
  Generation = 2,
  Words = 4,
}
