/** The message text of each failure cause, and the argument that the failure is about. */
import {
  byOwn,
  count,
  countsAre,
  type Facts,
  inWr,
  lengthArgument,
  listed,
  listedIfMany,
  listOf,
  mrTypeName,
  pages,
  rights,
  unusable,
  whichListed,
} from './cause-words';
import { type ErrorCause } from './error-detail';
import { regionKindName } from './region-kind';
import { verbsCauseTexts } from './verbs-cause-texts';
import { bytes, hex } from './words';

/** How {@link ErrorDetail} represents a number of the native module. */
export type NumberKind =
  | 'address'
  | 'number'
  | 'signed'
  | 'regionKind'
  | 'mrType'
  | 'objectKind'
  | 'qpType'
  | 'qpState'
  | 'qpAttributes'
  | 'migrationState'
  | 'wrOpcode';

export interface CauseText {
  /** Name of the argument; `#` stands for the index. A function if the name depends on the method or on the numbers. */
  readonly argument?: string | ((facts: Facts) => string | undefined);
  readonly value?: NumberKind;
  readonly limit?: NumberKind;
  /** Tells for which facts the value and the limit mean nothing to a program. Default: for none. */
  readonly hidesNumbers?: (facts: Facts) => boolean;
  /** Fills {@link ErrorDetail.counts}; says what the failure's value counts. */
  readonly counts?: 'elements' | 'queuePairs' | 'windows';
  readonly text: (facts: Facts) => string;
}

/** Names the key to invalidate. */
const keyArgument = (facts: Facts): string => inWr(facts, 'invalidateRkey') ?? 'rkey';

/** Names an argument of registration, which re-registration has one level deeper. */
const registered =
  (argument: 'memory' | 'start' | 'iova') =>
  ({ method }: Facts): string => {
    if (method === 'MemoryRegion.rereg') return `options.translation.${argument}`;
    return argument === 'memory' ? argument : `options.${argument}`;
  };

const EXIST = ['still exists', 'still exist'] as const;
const CASCADE = 'close these objects first, or pass { cascade: true }';

export const causeTexts: Record<ErrorCause, CauseText> = {
  ...verbsCauseTexts,

  // EBADF
  DeviceClosed: { text: byOwn('the device is closed') },
  Detached: {
    text: byOwn('the Device object was detached from the device or closed'),
  },
  PdGone: { text: byOwn('the protection domain has been deallocated') },
  QpGone: { text: byOwn('the queue pair has been destroyed') },
  RegionGone: { argument: listedIfMany, text: (f) => `the memory region${whichListed(f)} has been released` },
  MappingGone: { text: byOwn('the DMA mapping has been unmapped') },
  MemoryFreed: { text: byOwn('the device memory has been freed') },
  WindowGone: { argument: (f) => inWr(f, 'mw'), text: byOwn('the memory window has been deallocated') },
  ElementPut: { argument: listedIfMany, text: (f) => `the element${whichListed(f)} has been put` },
  CacheClosed: { text: byOwn('the registration cache is closed') },
  UsePut: { text: byOwn('the use has been put back') },

  // ENOMEM
  NoMemory: { text: byOwn('memory allocation failed') },
  TableFull: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the key table is full: ${value} of ${limit} slots are in use; deregister regions or raise lkeyTableBits`,
  },
  NoRandomNumbers: { text: byOwn('the random number generator of the system failed') },
  HeldTooOften: {
    argument: (f) => inWr(f),
    limit: 'number',
    text: ({ limit }) => `the region already has ${limit} references, the maximum`,
  },
  NothingFits: {
    argument: 'list[0]',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `list[0] needs ${pages(value)}, but the region has room for ${limit} (maxNumSg); the old mapping was dropped`,
  },
  NoDeviceMemory: {
    argument: 'bytes',
    value: 'number',
    text: ({ value }) => `the system could not allocate ${bytes(value)}`,
  },
  CacheRegionsInUse: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the cache has no room: ${count(value, 'regions')} of at most ${limit} (maxRegions) ${value === 1n ? 'is' : 'are'} in use; put uses back first`,
  },
  CacheBytesInUse: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the cache has no room: ${value} of at most ${limit} bytes (maxBytes) are in use; put uses back first`,
  },

  // EBUSY
  CacheInUse: {
    value: 'number',
    text: ({ value }) =>
      `${count(value, 'regions')} of the cache ${value === 1n ? 'is' : 'are'} in use; put the uses back first, or pass { force: true }`,
  },
  PdInUse: {
    counts: 'elements',
    text: (f) => `${countsAre(f, EXIST)} in this protection domain; ${CASCADE}`,
  },
  DeviceInUse: { counts: 'elements', text: (f) => `${countsAre(f, EXIST)} on this device; ${CASCADE}` },
  ContextInUse: {
    counts: 'elements',
    text: (f) =>
      `${countsAre(f, ['that this Device object created still exists', 'that this Device object created still exist'])}; ${CASCADE}`,
  },
  RegionHeld: {
    counts: 'elements',
    text: (f) =>
      `${countsAre(f)} still held, so the region is now half-dead: its key no longer works; put the elements (other threads may hold some), then call again`,
  },
  RegionsHeld: {
    argument: listed,
    counts: 'elements',
    limit: 'number',
    text: (f) => {
      const verb = f.limit === 1n ? 'is' : 'are';
      return (
        `${count(f.limit, 'regions')} ${verb} still held by ${count(f.value, 'elements')} and ${verb} now half-dead ` +
        `(the first is regions[${f.index}]); all other regions were released`
      );
    },
  },
  FmrHeld: {
    counts: 'elements',
    text: (f) => `${countsAre(f)} still held on the region; nothing was changed`,
  },
  WindowsBound: {
    argument: listedIfMany,
    counts: 'windows',
    text: (f) =>
      `${countsAre(f, ['is', 'are'])} bound to the region${whichListed(f)} (leases count); nothing was changed: end or invalidate ${f.value === 1n ? 'it' : 'them'} first, or use force`,
  },
  ReregHeld: {
    counts: 'elements',
    text: (f) =>
      `${countsAre(f)} still held on the region, also by queued work requests; it is not re-registered, and its old registration stays valid`,
  },
  ReregRunning: { text: byOwn('another thread is re-registering the region now') },
  HalfDead: {
    argument: listedIfMany,
    counts: 'elements',
    text: (f) =>
      `the region${whichListed(f)} is half-dead: it was released while held, and ` +
      (f.counts.elements === undefined
        ? 'nothing holds it any more: release it again'
        : `${countsAre(f)} still held`),
  },
  MappingInUse: {
    counts: 'elements',
    text: (f) =>
      `${countsAre(f, ['still uses', 'still use'])} the mapping (regions by their page lists, elements by key 0)`,
  },
  MemoryInUse: {
    counts: 'elements',
    text: (f) => `${countsAre(f, ['still uses', 'still use'])} the device memory`,
  },
  BatchHeld: {
    argument: 'count',
    text: ({ index }) => `the element at index ${index}, accepted by an earlier acquire, is still held`,
  },

  // EPERM, ENODEV, EXDEV, EOPNOTSUPP
  Restricted: {
    text: byOwn(
      'the Device object was attached with the token of one protection domain, which does not permit this call',
    ),
  },
  RestrictedDma: {
    text: byOwn(
      'the region was created through a Device object that is restricted to an untrusted domain, and cannot map DMA memory',
    ),
  },
  UserPd: { text: byOwn('the protection domain is not trusted; create it with allocPd({ trusted: true })') },
  UnknownToken: { argument: 'token', text: byOwn('no open device of this process has this token') },
  ForeignToken: {
    argument: 'token',
    text: byOwn('the token comes from another process or from another copy of this package'),
  },
  NoExternalBuffers: {
    text: byOwn('this runtime does not allow buffers over external memory, or not of this length'),
  },
  BufferTooLong: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the memory has ${bytes(value)}, but a buffer in this version of Node.js has at most ${limit}`,
  },

  // EACCES
  RegionInOtherPd: {
    argument: (f) => inWr(f, 'mr') ?? 'region',
    text: byOwn('the region and the queue pair are in different protection domains'),
  },
  RightNotProven: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit, reason }) =>
      `${reason ?? 'AccessDenied'}: the element was checked for ${rights(value, 'and')}, ` +
      `but this call requires ${rights(limit, 'or')}`,
  },
  BytesUnusable: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit, reason }) =>
      `${reason ? `${reason}: ${unusable[reason]}` : 'the bytes cannot be accessed now'}; ${value} of ${bytes(limit)} were moved`,
  },

  WindowInOtherPd: {
    argument: (f) => inWr(f, 'mw'),
    text: byOwn('the memory window and the queue pair are in different protection domains'),
  },
  BindNotAllowed: {
    argument: (f) => inWr(f, 'mr'),
    value: 'number',
    limit: 'number',
    text: ({ value }) =>
      `the region grants ${rights(value, 'and')}, but a memory window can be bound only to a region with MwBind`,
  },
  BindNeedsLocalWrite: {
    argument: (f) => inWr(f, 'access') ?? 'options.access',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `${rights(value, 'and')} needs a region with LocalWrite, but the region grants ${rights(limit, 'and')}`,
  },
  LeaseRights: {
    argument: 'options.access',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the region does not grant ${rights(value, 'or')} (it grants ${rights(limit, 'and')}), so a lease cannot`,
  },

  // EINVAL: devices and domains
  TableBits: {
    argument: 'options.lkeyTableBits',
    value: 'number',
    text: ({ value }) => `options.lkeyTableBits must be at least 1, but is ${value}`,
  },
  ObjectKind: { value: 'number', text: ({ value }) => `object kind ${value} cannot be registered` },
  ReleaseHook: {
    value: 'number',
    text: ({ value }) => `a release hook for object kind ${value} cannot be registered`,
  },
  UnknownPd: {
    argument: 'id',
    value: 'number',
    text: ({ value }) => `the device has no protection domain with id ${value}`,
  },
  UnknownMemory: {
    argument: 'id',
    value: 'number',
    text: ({ value }) => `the device has no device memory with id ${value}`,
  },
  NoBytes: { argument: 'bytes', text: byOwn('the number of bytes must not be 0') },

  // EINVAL: memory
  AboveMaxBytes: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the memory has ${bytes(value)}, but the cache holds at most ${limit} (maxBytes)`,
  },
  EmptyMemory: { argument: registered('memory'), text: byOwn('the memory is empty') },
  MemoryDetached: {
    text: (f) =>
      `the "${f.argument ?? 'memory'}" argument is detached: its buffer was transferred or replaced`,
  },
  ViewOutOfBounds: {
    text: (f) => `the "${f.argument ?? 'memory'}" argument lies outside its buffer, which was shrunk`,
  },
  ViewTooLong: {
    value: 'number',
    limit: 'number',
    text: (f) =>
      `the "${f.argument ?? 'memory'}" argument has ${bytes(f.value)}, but a view in this version of Node.js has at most ${f.limit}; ` +
      'pass a view of a part of it',
  },
  StartTooHigh: {
    argument: registered('start'),
    value: 'address',
    limit: 'address',
    text: ({ argument, value, limit }) =>
      `${argument ?? 'start'} ${hex(value)} is ${bytes(value - limit)} too high: the last page would end above 2^64`,
  },
  IovaTooHigh: {
    value: 'address',
    limit: 'address',
    argument: (f) =>
      f.method === 'FastMemoryRegion.mapPhys' ? 'iova' : (inWr(f, 'mr') ?? registered('iova')(f)),
    text: ({ value, limit }) =>
      `iova ${hex(value)} is ${bytes(value - limit)} too high: the region would end above 2^64`,
  },
  PageOffsets: {
    value: 'number',
    limit: 'number',
    argument: (f) =>
      f.method === 'FastMemoryRegion.mapPhys' ? 'iova' : (inWr(f, 'mr') ?? registered('iova')(f)),
    text: ({ value, limit }) =>
      `the device is strict: the iova is ${value} bytes behind the beginning of its page, but the start ${limit}; a NIC needs equal offsets`,
  },
  TooManyPages: {
    argument: registered('memory'),
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `the memory has ${pages(value)}, but a region has at most ${limit}`,
  },
  AddressesUsedUp: {
    argument: registered('start'),
    value: 'number',
    text: ({ argument, value }) =>
      `no free range of ${bytes(value)} is left in the local address space; pass ${argument ?? 'start'}`,
  },
  DmaAddressUnaligned: {
    argument: 'options.address',
    value: 'address',
    limit: 'number',
    text: ({ value, limit }) => `options.address ${hex(value)} is not a multiple of ${limit}`,
  },
  DmaAddressTooHigh: {
    argument: 'options.address',
    value: 'address',
    limit: 'address',
    text: ({ value, limit }) =>
      `options.address ${hex(value)} is too high: the mapping would end above 2^64; the highest address is ${hex(limit)}`,
  },
  DmaRangeTaken: {
    argument: 'options.address',
    value: 'address',
    limit: 'address',
    text: ({ value, limit }) =>
      `a mapping at options.address ${hex(value)} would overlap the mapping at ${hex(limit)}`,
  },
  DmaAddressesUsedUp: {
    argument: 'options.address',
    value: 'number',
    text: ({ value }) =>
      `no free range of ${bytes(value)} is left in the DMA address space; pass options.address`,
  },

  // EINVAL: rights
  UnknownRights: {
    argument: 'options.access',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `options.access ${hex(value)} has unknown bits: ${hex(value & ~limit)}`,
  },
  RightsNeedLocalWrite: {
    argument: 'options.access',
    value: 'number',
    text: ({ value }) => `${rights(value, 'and')} cannot be granted without LocalWrite`,
  },

  // EINVAL: regions
  MrType: {
    argument: 'options.type',
    value: 'mrType',
    limit: 'mrType',
    text: ({ value, limit }) =>
      `options.type '${mrTypeName(value)}' is not supported; use '${mrTypeName(limit)}'`,
  },
  MaxNumSg: {
    argument: 'options.maxNumSg',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `options.maxNumSg must be at most ${limit}, but is ${value}`,
  },
  MaxPages: {
    argument: 'options.maxPages',
    value: 'signed',
    limit: 'number',
    text: ({ value, limit }) =>
      `options.maxPages must be from 0 to ${limit}, but is ${BigInt.asIntN(64, value)}`,
  },
  PageShift: {
    argument: 'options.pageShift',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `options.pageShift must be at most ${limit}, but is ${value}`,
  },
  RegionKind: {
    argument: listedIfMany,
    value: 'regionKind',
    text: (f) =>
      `the region${whichListed(f)} is of kind ${regionKindName(Number(f.value))}, which this method does not accept`,
  },
  WindowBound: {
    argument: (f) => inWr(f, 'mw'),
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the memory window with key ${hex(value)} is bound already, to region ${limit}; LOCAL_INV or the peer's SEND_WITH_INV unbinds it`,
  },
  WindowUnbound: {
    argument: keyArgument,
    value: 'number',
    text: ({ value }) =>
      `the memory window with key ${hex(value)} is not bound, so there is nothing to invalidate`,
  },
  WindowIsLease: { argument: (f) => inWr(f, 'mw'), text: byOwn('a lease cannot be bound') },
  WindowKeySlot: {
    argument: (f) => inWr(f, 'key'),
    value: 'number',
    limit: 'number',
    text: ({ argument, value, limit }) =>
      `${argument ?? 'key'} ${hex(value)} differs from the window's key ${hex(limit)} in the upper 24 bits; only the low 8 bits may change`,
  },
  WindowOnOtherDevice: {
    argument: (f) => inWr(f, 'mw'),
    text: byOwn('the memory window and the queue pair belong to different devices'),
  },
  WindowOfOtherQp: {
    argument: keyArgument,
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the memory window with key ${hex(value)} is bound to queue pair ${limit}, and only that one can invalidate it`,
  },
  BindInvalid: {
    argument: (f) => inWr(f, 'mr'),
    value: 'number',
    text: ({ value }) => `the region's key ${hex(value)} is invalid, so no memory window can be bound to it`,
  },
  BindRights: {
    argument: (f) => inWr(f, 'access') ?? 'options.access',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the rights are ${rights(value, 'and')}, but a memory window grants one or more of ${rights(limit, 'and')} and nothing else`,
  },
  WindowType: {
    value: 'number',
    text: ({ value }) => `memory windows of type ${value} cannot be created, or not be invalidated`,
  },
  BindEmpty: {
    argument: (f) => inWr(f, 'length'),
    text: byOwn('a memory window has at least 1 byte; LOCAL_INV unbinds one'),
  },
  BindOutside: {
    argument: (f) => inWr(f, 'addr'),
    value: 'address',
    limit: 'number',
    text: ({ value, limit }) =>
      `the ${bytes(limit)} at ${hex(value)} are not inside the remote addresses (iova) of the region`,
  },
  ReregNothing: {
    argument: 'options',
    text: byOwn('one of translation, access and pd must be given'),
  },
  ReregInvalid: {
    value: 'number',
    text: ({ value }) =>
      `the region's key ${hex(value)} was invalidated; the region cannot be re-registered, only released`,
  },
  ListedNoRegion: {
    argument: listed,
    text: ({ index }) => `regions[${index}] is not a region of this device`,
  },
  ListedInOtherPd: {
    argument: listed,
    text: ({ index }) => `regions[${index}] belongs to another protection domain`,
  },
  ListedOnOtherDevice: {
    argument: listed,
    text: (f) => `${listOf(f.method)}[${f.index}] belongs to a different device than the rest of the list`,
  },
  RegionOnOtherDevice: {
    argument: (f) => inWr(f, 'mr') ?? 'region',
    text: byOwn('the region and the queue pair belong to different devices'),
  },
  KeySlot: {
    argument: (f) => inWr(f, 'key') ?? 'options.key',
    value: 'number',
    limit: 'number',
    text: ({ argument, value, limit }) =>
      `${argument} ${hex(value)} differs from the region's key ${hex(limit)} in the upper 24 bits; only the low 8 bits may change`,
  },
  KeyZero: {
    argument: keyArgument,
    text: byOwn('key 0 belongs to no single region and cannot be invalidated'),
  },
  UnknownKey: {
    argument: keyArgument,
    value: 'number',
    text: ({ value }) => `no region has key ${hex(value)}`,
  },
  KeyInOtherPd: {
    argument: keyArgument,
    value: 'number',
    text: ({ value }) =>
      `the region with key ${hex(value)} and the queue pair are in different protection domains`,
  },

  // EINVAL: lists to map
  PageSize: {
    argument: 'options.pageSize',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `options.pageSize must be ${limit}, but is ${value}`,
  },
  EmptyList: { argument: 'list', text: byOwn('the list is empty') },
  ListTooLong: {
    argument: 'list',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `the list has ${value} elements, but at most ${limit} are allowed`,
  },
  OffsetOutside: {
    argument: 'options.offset',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `options.offset ${value} is outside list[0], which has ${bytes(limit)}`,
  },
  SgElementEmpty: {
    argument: listed,
    value: 'address',
    text: ({ index, value }) => `list[${index}] (at ${hex(value)}) has length 0`,
  },
  SgElementUnmapped: {
    argument: listed,
    value: 'address',
    text: ({ index, value }) => `list[${index}] begins at ${hex(value)}, which is not in any DMA mapping`,
  },
  SgElementAcrossEnd: {
    argument: listed,
    value: 'address',
    limit: 'number',
    text: ({ index, value, limit }) =>
      `list[${index}] (at ${hex(value)}) extends past its DMA mapping, which ends ${bytes(limit)} after that address`,
  },
  SgEndTooHigh: {
    argument: 'list',
    value: 'address',
    limit: 'address',
    text: ({ value, limit }) =>
      `the region would begin at ${hex(value)} and end above 2^64; the highest start is ${hex(limit)}`,
  },
  PageCount: {
    argument: 'pageList',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the list has ${pages(value)}, but the region has room for ${limit} (maxPages)`,
  },
  MappedLength: {
    argument: 'pageList',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `the pages have ${bytes(value)} in total, but a region has at most ${limit}`,
  },
  PageUnmapped: {
    argument: listed,
    value: 'address',
    text: ({ index, value }) => `pageList[${index}] is ${hex(value)}, which is not in any DMA mapping`,
  },
  PageAcrossEnd: {
    argument: listed,
    value: 'address',
    limit: 'number',
    text: ({ index, value, limit }) =>
      `pageList[${index}] (at ${hex(value)}) extends past its DMA mapping, which ends ${bytes(limit)} after that address`,
  },

  // EINVAL: elements and walks
  ElementOnOtherDevice: {
    argument: ({ method }) => (method === 'new SgeState' ? 'sges[#]' : 'options.last'),
    text: ({ method, index }) =>
      method === 'new SgeState'
        ? `sges[${index}] belongs to a different device than sges[0]`
        : 'options.last belongs to another device',
  },
  ElementCount: {
    argument: 'sges',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `a walk takes 1 to ${limit} elements, not ${value}`,
  },
  ElementTwice: {
    argument: 'options.put',
    text: ({ index }) =>
      `the element at index ${index} of the remaining list appears twice, but has only one reference to put`,
  },
  MoreThanLeft: {
    argument: lengthArgument,
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `requested ${bytes(value)}, but only ${limit} are left in all elements`,
  },
  MoreThanElement: {
    argument: lengthArgument,
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `requested ${bytes(value)}, but only ${limit} are left in the current element`,
  },
  WordLength: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the element has ${bytes(value)}, but an atomic operation requires exactly ${limit}`,
  },
  WordAddress: {
    value: 'address',
    limit: 'number',
    text: ({ value, limit }) => `the element's address ${hex(value)} is not a multiple of ${limit}`,
  },
  WordMemory: {
    text: byOwn('the memory of the element is not aligned to 8 bytes or not contiguous'),
  },
  PdOnOtherDevice: { argument: 'options.pd', text: byOwn('the protection domain belongs to another device') },
  DmaRegion: { text: byOwn('a region over all DMA memory has no address or key of its own to advertise') },
  DeadKey: {
    value: 'number',
    text: ({ value }) =>
      `the region's key ${hex(value)} no longer works: it was invalidated, or the region was released`,
  },
  NothingMapped: { text: byOwn('nothing is mapped in the region') },
  NoRemoteRight: {
    value: 'number',
    text: ({ value }) => `the region grants ${rights(value, 'and')}, but no remote right`,
  },
  SameBatch: { argument: 'other', text: byOwn('a batch cannot be copied to itself') },
  Argument: { text: byOwn('an argument is invalid') },
};
