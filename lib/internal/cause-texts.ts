/** What each cause of a failure is in words, and which argument it blames. */
import {
  byOwn,
  count,
  countsAre,
  type Facts,
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
import { type Method } from './methods';
import { regionKindName } from './region-kind';
import { bytes, hex } from './words';

/** How a number is told in {@link ErrorDetail}. */
export type NumberKind = 'address' | 'number' | 'signed' | 'regionKind' | 'mrType';

export interface CauseText {
  /** The argument: `#` stands for the index. A function where it goes by the method. */
  readonly argument?: string | ((method: Method) => string | undefined);
  readonly value?: NumberKind;
  readonly limit?: NumberKind;
  /** {@link ErrorDetail.counts} is told; the value is that of elements. */
  readonly counts?: true;
  readonly text: (facts: Facts) => string;
}

export const causeTexts: Record<ErrorCause, CauseText> = {
  // EBADF
  DeviceClosed: { text: byOwn('the device is closed') },
  Detached: {
    text: byOwn('the Device object that it was made through has left the device (detach, or close)'),
  },
  PdGone: { text: byOwn('the protection domain is gone') },
  QpGone: { text: byOwn('the queue pair is gone') },
  RegionGone: { argument: listedIfMany, text: (f) => `the memory region is gone${whichListed(f)}` },
  MappingGone: { text: byOwn('the DMA mapping is gone') },
  MemoryFreed: { text: byOwn('the device memory is freed') },
  ElementPut: { argument: listedIfMany, text: (f) => `the element was put${whichListed(f)}` },

  // ENOMEM
  NoMemory: { text: byOwn('the system has no memory to give') },
  TableFull: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `${value} of ${limit} slots of the key table are in use`,
  },
  NoRandomNumbers: { text: byOwn('the system has no random numbers to give') },
  HeldTooOften: { limit: 'number', text: ({ limit }) => `the region is held ${limit} times already` },
  NothingFits: {
    argument: 'list[0]',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `list[0] has ${pages(value)}, and the region has room for ${limit} (maxNumSg); the old mapping is gone`,
  },
  NoDeviceMemory: {
    argument: 'bytes',
    value: 'number',
    text: ({ value }) => `the system does not give ${bytes(value)}`,
  },

  // EBUSY
  PdInUse: { counts: true, text: (f) => `${countsAre(f)} in this domain` },
  DeviceInUse: { counts: true, text: (f) => `${countsAre(f)} on this device` },
  ContextInUse: {
    counts: true,
    text: (f) => `${countsAre(f)} alive that this Device object has made`,
  },
  RegionHeld: {
    counts: true,
    text: (f) => `${countsAre(f)} held on the region, which is half-dead now: its key is dead for good`,
  },
  RegionsHeld: {
    argument: listed,
    counts: true,
    limit: 'number',
    text: (f) =>
      `${count(f.limit, 'regions')} ${f.limit === 1n ? 'is' : 'are'} held by ${count(f.value, 'elements')}, ` +
      `and half-dead now, regions[${f.index}] the first; all others have ended`,
  },
  FmrHeld: { counts: true, text: (f) => `${countsAre(f)} held on the region; nothing has changed` },
  HalfDead: {
    argument: listedIfMany,
    counts: true,
    text: (f) =>
      `the region${whichListed(f)} is half-dead: it was released, and ${countsAre(f)} held on it still`,
  },
  MappingInUse: {
    counts: true,
    text: (f) =>
      `${countsAre(f, ['uses', 'use'])} the mapping: regions by their page lists, elements by key 0`,
  },
  MemoryInUse: { counts: true, text: (f) => `${countsAre(f, ['has', 'have'])} bytes of the memory` },
  BatchHeld: {
    argument: 'count',
    text: ({ index }) => `the element that an earlier acquire has accepted at index ${index} is held`,
  },

  // EPERM, ENODEV, EXDEV, EOPNOTSUPP
  Restricted: {
    text: byOwn(
      'this Device object was attached by the token of one domain (share with pd), and may not do that',
    ),
  },
  RestrictedDma: {
    text: byOwn(
      'the region was made through a Device object that is restricted to an untrusted domain, and may not name DMA memory',
    ),
  },
  UserPd: { text: byOwn('the domain is not trusted: made without { trusted: true }') },
  UnknownToken: { argument: 'token', text: byOwn('no open device of this process has the token') },
  ForeignToken: {
    argument: 'token',
    text: byOwn('the token was made by another process, or by a copy of this package loaded from elsewhere'),
  },
  NoExternalBuffers: {
    text: byOwn('this runtime allows no buffers over memory that is not its own, or none so long'),
  },
  BufferTooLong: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the memory has ${bytes(value)}, and a buffer of this version of Node has at most ${limit}`,
  },

  // EACCES
  RegionInOtherPd: {
    argument: 'region',
    text: byOwn('the region is in another protection domain than the queue pair'),
  },
  RightNotProven: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit, reason }) =>
      `${reason ?? 'AccessDenied'}: the element was proven for ${rights(value, 'and')}, ` +
      `and this takes ${rights(limit, 'or')}`,
  },
  BytesUnusable: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit, reason }) =>
      `${reason ? `${reason}: ${unusable[reason]}` : 'the bytes cannot be used now'}; ${value} of ${bytes(limit)} were moved`,
  },

  // EINVAL: devices and domains
  TableBits: {
    argument: 'options.lkeyTableBits',
    value: 'number',
    text: ({ value }) => `options.lkeyTableBits ${value} is below 1`,
  },
  ObjectKind: { value: 'number', text: ({ value }) => `object kind ${value} cannot be entered` },
  ReleaseHook: {
    value: 'number',
    text: ({ value }) => `a release hook on object kind ${value} cannot be entered`,
  },
  UnknownPd: {
    argument: 'id',
    value: 'number',
    text: ({ value }) => `no protection domain of the device has the id ${value}`,
  },
  UnknownMemory: {
    argument: 'id',
    value: 'number',
    text: ({ value }) => `no device memory of the device has the id ${value}`,
  },
  NoBytes: { argument: 'bytes', text: byOwn('there are no bytes to allocate') },

  // EINVAL: memory
  EmptyMemory: { argument: 'memory', text: byOwn('the memory is empty') },
  MemoryDetached: {
    text: (f) => `the ${f.argument ?? 'memory'} is detached: it was transferred, or taken away`,
  },
  ViewOutOfBounds: {
    text: (f) => `the ${f.argument ?? 'memory'} lies outside of its buffer, which was shrunk`,
  },
  ViewTooLong: {
    value: 'number',
    limit: 'number',
    text: (f) =>
      `the ${f.argument ?? 'memory'} has ${bytes(f.value)}, and a view of this version of Node has at most ${f.limit}: ` +
      'pass a view of a part',
  },
  StartTooHigh: {
    argument: 'options.start',
    value: 'address',
    limit: 'address',
    text: ({ value, limit }) =>
      `options.start ${hex(value)} is ${bytes(value - limit)} too high: the last page would end above 2^64`,
  },
  IovaTooHigh: {
    value: 'address',
    limit: 'address',
    argument: (method) => (method === 'FastMemoryRegion.mapPhys' ? 'iova' : 'options.iova'),
    text: ({ value, limit }) =>
      `iova ${hex(value)} is ${bytes(value - limit)} too high: the region would end above 2^64`,
  },
  TooManyPages: {
    argument: 'memory',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `the memory has ${pages(value)}, and a region at most ${limit}`,
  },
  AddressesUsedUp: {
    argument: 'options.start',
    value: 'number',
    text: ({ value }) => `no local address with room for ${bytes(value)} is left; give options.start`,
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
      `options.address ${hex(value)} is too high: the mapping would end above 2^64; ${hex(limit)} is the highest`,
  },
  DmaRangeTaken: {
    argument: 'options.address',
    value: 'address',
    limit: 'address',
    text: ({ value, limit }) => `at options.address ${hex(value)} the mapping at ${hex(limit)} is in the way`,
  },
  DmaAddressesUsedUp: {
    argument: 'options.address',
    value: 'number',
    text: ({ value }) => `no DMA address with room for ${bytes(value)} is left; give options.address`,
  },

  // EINVAL: rights
  UnknownRights: {
    argument: 'options.access',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `options.access ${hex(value)} has bits that are no right: ${hex(value & ~limit)}`,
  },
  RightsNeedLocalWrite: {
    argument: 'options.access',
    value: 'number',
    text: ({ value }) => `${rights(value, 'and')} cannot be given without LocalWrite`,
  },

  // EINVAL: regions
  MrType: {
    argument: 'options.type',
    value: 'mrType',
    limit: 'mrType',
    text: ({ value, limit }) =>
      `options.type '${mrTypeName(value)}' is not supported, only '${mrTypeName(limit)}'`,
  },
  MaxNumSg: {
    argument: 'options.maxNumSg',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `options.maxNumSg ${value} is above ${limit}`,
  },
  MaxPages: {
    argument: 'options.maxPages',
    value: 'signed',
    limit: 'number',
    text: ({ value, limit }) => `options.maxPages ${BigInt.asIntN(64, value)} is not in 0..${limit}`,
  },
  PageShift: {
    argument: 'options.pageShift',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `options.pageShift ${value} is above ${limit}`,
  },
  RegionKind: {
    argument: listedIfMany,
    value: 'regionKind',
    text: (f) => `the region${whichListed(f)} is of another kind (${regionKindName(Number(f.value))})`,
  },
  ListedNoRegion: { argument: listed, text: ({ index }) => `regions[${index}] is no region of this device` },
  ListedInOtherPd: {
    argument: listed,
    text: ({ index }) => `regions[${index}] is in another protection domain`,
  },
  ListedOnOtherDevice: {
    argument: listed,
    text: (f) => `${listOf(f.method)}[${f.index}] is of another device than the rest`,
  },
  RegionOnOtherDevice: {
    argument: 'region',
    text: byOwn('the region is of another device than the queue pair'),
  },
  KeySlot: {
    argument: 'options.key',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `options.key ${hex(value)} differs from the region's key ${hex(limit)} in the upper 24 bits`,
  },
  KeyZero: { argument: 'rkey', text: byOwn('key 0 names no region of its own') },
  UnknownKey: {
    argument: 'rkey',
    value: 'number',
    text: ({ value }) => `no region answers to key ${hex(value)}`,
  },
  KeyInOtherPd: {
    argument: 'rkey',
    value: 'number',
    text: ({ value }) =>
      `the region of key ${hex(value)} is in another protection domain than the queue pair`,
  },

  // EINVAL: lists to map
  PageSize: {
    argument: 'options.pageSize',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `options.pageSize ${value} is not ${limit}, the only one`,
  },
  EmptyList: { argument: 'list', text: byOwn('the list is empty') },
  ListTooLong: {
    argument: 'list',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `the list has ${value} elements, and may have ${limit}`,
  },
  OffsetOutside: {
    argument: 'options.offset',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `options.offset ${value} is not inside list[0], which has ${bytes(limit)}`,
  },
  SgElementEmpty: {
    argument: listed,
    value: 'address',
    text: ({ index, value }) => `list[${index}], at ${hex(value)}, has no bytes`,
  },
  SgElementUnmapped: {
    argument: listed,
    value: 'address',
    text: ({ index, value }) => `list[${index}] begins at ${hex(value)}, where no DMA mapping is`,
  },
  SgElementAcrossEnd: {
    argument: listed,
    value: 'address',
    limit: 'number',
    text: ({ index, value, limit }) =>
      `list[${index}], at ${hex(value)}, goes on behind its DMA mapping, which ends after ${bytes(limit)}`,
  },
  SgEndTooHigh: {
    argument: 'list',
    value: 'address',
    limit: 'address',
    text: ({ value, limit }) =>
      `the region would begin at ${hex(value)} and end above 2^64; ${hex(limit)} is the highest`,
  },
  PageCount: {
    argument: 'pageList',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) =>
      `the list has ${pages(value)}, and the region has room for ${limit} (maxPages)`,
  },
  MappedLength: {
    argument: 'pageList',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `the pages have ${bytes(value)}, and a region at most ${limit}`,
  },
  PageUnmapped: {
    argument: listed,
    value: 'address',
    text: ({ index, value }) => `pageList[${index}] is ${hex(value)}, where no DMA mapping is`,
  },
  PageAcrossEnd: {
    argument: listed,
    value: 'address',
    limit: 'number',
    text: ({ index, value, limit }) =>
      `pageList[${index}], at ${hex(value)}, goes on behind its DMA mapping, which ends after ${bytes(limit)}`,
  },

  // EINVAL: elements and walks
  ElementOnOtherDevice: {
    argument: (method) => (method === 'new SgeState' ? 'sges[#]' : 'options.last'),
    text: ({ method, index }) =>
      method === 'new SgeState'
        ? `sges[${index}] is of another device than sges[0]`
        : 'options.last is an element of another device',
  },
  ElementCount: {
    argument: 'sges',
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `a walk has 1 to ${limit} elements, not ${value}`,
  },
  ElementTwice: {
    argument: 'options.put',
    text: ({ index }) =>
      `the element at index ${index} of those that are left stands in the list twice, and has one reference to put`,
  },
  MoreThanLeft: {
    argument: lengthArgument,
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `${bytes(value)} were asked for, and ${limit} are left in all elements`,
  },
  MoreThanElement: {
    argument: lengthArgument,
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `${bytes(value)} were asked for, and the element has ${limit} left`,
  },
  WordLength: {
    value: 'number',
    limit: 'number',
    text: ({ value, limit }) => `the element has ${bytes(value)}, and an atomic operation takes ${limit}`,
  },
  WordAddress: {
    value: 'address',
    limit: 'number',
    text: ({ value, limit }) => `the element's address ${hex(value)} is not a multiple of ${limit}`,
  },
  WordMemory: {
    text: byOwn('the memory behind the element is not aligned to 8 bytes, or not in one piece'),
  },
  PdOnOtherDevice: { argument: 'options.pd', text: byOwn('the domain is of another device') },
  DmaRegion: { text: byOwn('a region over all DMA memory has no address and no key of its own') },
  DeadKey: {
    value: 'number',
    text: ({ value }) =>
      `the region's key ${hex(value)} is dead: it was invalidated, or the region was released`,
  },
  NothingMapped: { text: byOwn('the region has no bytes: nothing is mapped') },
  NoRemoteRight: {
    value: 'number',
    text: ({ value }) => `the region grants ${rights(value, 'and')}, and no right to a peer`,
  },
  SameBatch: { argument: 'other', text: byOwn('a batch cannot be copied to itself') },
  Argument: { text: byOwn('an argument cannot be used') },
};
