/** Work requests: their types, and their encoding into the words that the native module reads. */
import { type Access, readRegionAccess } from './access';
import { type AddressHandle, nativeAhOf } from './address-handle';
import {
  boolean,
  integer,
  invalidType,
  lengthOf,
  oneOf,
  outOfRange,
  type Unchecked,
  u32,
  u64,
} from '../internal/arguments';
import { HIGH_HALF, storeWide } from '../internal/halves';
import { UNANSWERED } from '../internal/command';
import { ownList, PlainNumbers } from '../internal/intrinsics';
import { type Lkey, type Rkey } from './keys';
import {
  BindWrWord,
  RecvWrWord,
  RegionNameWord,
  SendFlag,
  SendWrWord,
  SgeWord,
  WrHeaderWord,
  WrOpcode,
} from '../internal/layout';
import { isMemoryRegion, type MemoryRegion } from './memory-region';
import { type MemoryWindow, windowNameOf } from './memory-window';
import { type Method } from '../internal/methods';
import {
  native,
  type NativeAddressHandle,
  type NativePostBlock,
  type NativeQueuePair,
  type NativeSharedReceiveQueue,
  type Status,
} from '../internal/native';
import { type LocalSge } from './protection-domain';
import { nameOf } from './region';
import { type QpType } from './qp-types';

/** Properties of every send work request. */
export interface SendWorkRequestBase {
  /** Returned in the completion as {@link Completion.wrId}. 0..2^64-1. Default 0. */
  wrId?: number | bigint;
  /**
   * The local memory: read by sends and writes, written by reads and atomics. In order; elements of length 0 are skipped. Default:
   * none.
   */
  sges?: readonly LocalSge[];
  /** Add a completion to the send completion queue even if the operation succeeds (`IB_SEND_SIGNALED`). Default false. */
  signaled?: boolean;
  /** Mark the receive's completion at the peer as solicited (`IB_SEND_SOLICITED`). Default false. */
  solicited?: boolean;
  /** Delay a LOCAL_INV until the earlier work requests are complete (`IB_SEND_FENCE`). No effect on others. Default false. */
  fence?: boolean;
  /** Accepted but ignored, as in the kernel (`IB_SEND_INLINE`): the memory is read when the engine sends it. Default false. */
  inline?: boolean;
}

/** The destination of a datagram. */
export interface DatagramDestination {
  /** The path to the peer. It may be destroyed once the work request is posted. */
  ah: AddressHandle;
  /** {@link QueuePair.qpn} of the peer, 0..2^24-1. */
  remoteQpn: number;
  /** The peer's Q_Key; if its highest bit is set, the Q_Key of the sending queue pair is used instead. */
  remoteQkey: number;
}

/** The memory of the peer that an RDMA operation accesses. */
export interface RemoteTarget {
  /** Remote address of the first byte. */
  remoteAddr: bigint | number;
  /** The rkey of the region. */
  rkey: Rkey;
}

/** Sends a message, which takes a receive of the peer. */
export interface SendRequest extends SendWorkRequestBase {
  opcode: 'SEND';
}

/** Sends a message with 32 bits of immediate data. */
export interface SendWithImmRequest extends SendWorkRequestBase {
  opcode: 'SEND_WITH_IMM';
  /** Immediate data, 0..2^32-1: {@link Completion.imm} at the peer. */
  imm: number;
}

/** Sends a message and invalidates a key of the peer. */
export interface SendWithInvRequest extends SendWorkRequestBase {
  opcode: 'SEND_WITH_INV';
  /** The key to invalidate. A key that cannot be invalidated is ignored. */
  invalidateRkey: Rkey;
}

/** Writes to the peer's memory. */
export interface RdmaWriteRequest extends SendWorkRequestBase, RemoteTarget {
  opcode: 'RDMA_WRITE';
}

/** Writes to the peer's memory, then takes a receive of the peer to deliver 32 bits of immediate data. */
export interface RdmaWriteWithImmRequest extends SendWorkRequestBase, RemoteTarget {
  opcode: 'RDMA_WRITE_WITH_IMM';
  /** Immediate data, 0..2^32-1: {@link Completion.imm} at the peer. */
  imm: number;
}

/** Reads the peer's memory into the elements. */
export interface RdmaReadRequest extends SendWorkRequestBase, RemoteTarget {
  opcode: 'RDMA_READ';
}

/** Replaces 8 bytes of the peer with `swap` if they equal `compareAdd`. The old value goes to the first element. */
export interface CompareSwapRequest extends SendWorkRequestBase, RemoteTarget {
  opcode: 'ATOMIC_CMP_AND_SWP';
  /** The value to compare with, 0..2^64-1. */
  compareAdd: bigint | number;
  /** The new value, 0..2^64-1. */
  swap: bigint | number;
}

/** Adds to 8 bytes of the peer, modulo 2^64. The old value goes to the first element. */
export interface FetchAddRequest extends SendWorkRequestBase, RemoteTarget {
  opcode: 'ATOMIC_FETCH_AND_ADD';
  /** The number to add, 0..2^64-1. */
  compareAdd: bigint | number;
}

/**
 * Gives a region of {@link ProtectionDomain.allocMr} a new key and new rights, as {@link QueuePair.fastRegMr} does. Carried out by
 * the call that posts it.
 */
export interface RegMrRequest extends SendWorkRequestBase {
  opcode: 'REG_MR';
  /** The region. */
  mr: MemoryRegion;
  /** The new key: the low byte may change, the upper 24 bits must not. */
  key: Lkey | Rkey;
  /** The new rights, bits of {@link Access}. */
  access: Access;
}

/**
 * Invalidates a key of this queue pair's domain, as {@link QueuePair.invalidateRkey} does. Carried out by the call that posts it,
 * unless `fence` is set or an earlier LOCAL_INV waits.
 */
export interface LocalInvRequest extends SendWorkRequestBase {
  opcode: 'LOCAL_INV';
  /** The key to invalidate. */
  invalidateRkey: Rkey;
}

/**
 * Binds a window of {@link ProtectionDomain.allocMw} to a part of a region, for the peer of this queue pair. Window, region and
 * queue pair must be in one domain, and the region must grant {@link Access}`.MwBind`. Carried out by the call that posts it, unless
 * `fence` is set or an earlier LOCAL_INV waits; then a failure is a completion with the status `MW_BIND_ERR`.
 */
export interface BindMwRequest extends SendWorkRequestBase {
  opcode: 'BIND_MW';
  /** The window, which must be unbound: a LOCAL_INV or a SEND_WITH_INV unbinds it. */
  mw: MemoryWindow;
  /** The region, of {@link ProtectionDomain.regUserMr}. */
  mr: MemoryRegion;
  /** Remote address of the window's first byte: `mr.iova` plus an offset. 0..2^64-1. */
  addr: bigint | number;
  /** Length of the window in bytes, at least 1. */
  length: bigint | number;
  /**
   * The rights of the window: RemoteRead, RemoteWrite, RemoteAtomic. The region need not grant them, but RemoteWrite and
   * RemoteAtomic require that it grants LocalWrite.
   */
  access: Access;
  /** The new key of the window: the low byte may change, the upper 24 bits must not. See {@link MemoryWindow.nextRkey}. */
  key: Rkey;
}

/** The send work requests of UC queue pairs. */
export type UcRequest =
  | SendRequest
  | SendWithImmRequest
  | RdmaWriteRequest
  | RdmaWriteWithImmRequest
  | RegMrRequest
  | BindMwRequest
  | LocalInvRequest;
/** The send work requests of RC queue pairs. */
export type RcRequest =
  UcRequest | SendWithInvRequest | RdmaReadRequest | CompareSwapRequest | FetchAddRequest;
/** The send work requests of UD queue pairs. */
export type UdRequest = (SendRequest | SendWithImmRequest) & DatagramDestination;

/**
 * A send work request (`struct ib_send_wr`), by opcode. `Type` is the type of the queue pair, which determines the allowed
 * opcodes.
 */
export type SendWorkRequest<Type extends QpType = 'RC' | 'UC' | 'UD'> = Type extends 'RC'
  ? RcRequest
  : Type extends 'UC'
    ? UcRequest
    : Type extends 'UD'
      ? UdRequest
      : never;

/** Opcode of a send work request. */
export type SendOpcode = SendWorkRequest['opcode'];

/** A receive work request (`struct ib_recv_wr`). */
export interface ReceiveWorkRequest {
  /** Returned in the completion as {@link Completion.wrId}. 0..2^64-1. Default 0. */
  wrId?: number | bigint;
  /**
   * The memory that a message is written to, in order; elements of length 0 are skipped. The elements are checked when a message
   * arrives, not by the call. Default: none.
   */
  sges?: readonly LocalSge[];
}

// Captured at load time: a program may replace these functions.
const { isArray } = Array;
const PlainBuffer = ArrayBuffer;
const PlainShared = SharedArrayBuffer;
const PlainBytes = Uint8Array;
const PlainLongs = BigUint64Array;

const opcodes: Readonly<Record<SendOpcode, WrOpcode>> = Object.freeze({
  __proto__: null as never,
  SEND: WrOpcode.Send,
  SEND_WITH_IMM: WrOpcode.SendWithImm,
  SEND_WITH_INV: WrOpcode.SendWithInv,
  RDMA_WRITE: WrOpcode.RdmaWrite,
  RDMA_WRITE_WITH_IMM: WrOpcode.RdmaWriteWithImm,
  RDMA_READ: WrOpcode.RdmaRead,
  ATOMIC_CMP_AND_SWP: WrOpcode.AtomicCmpAndSwp,
  ATOMIC_FETCH_AND_ADD: WrOpcode.AtomicFetchAndAdd,
  REG_MR: WrOpcode.RegMr,
  BIND_MW: WrOpcode.BindMw,
  LOCAL_INV: WrOpcode.LocalInv,
});
/** The opcode that was encoded last: most programs post the same one again. */
let lastName: SendOpcode = 'SEND';
let lastOpcode: WrOpcode = WrOpcode.Send;
const opcodeNames = Object.keys(opcodes) as readonly SendOpcode[];

/** Most work requests in a list, and most elements of a work request. */
const MOST_IN_LIST = 2 ** 20;
/** Most words of a list: 64 MiB. Keeps a list of endless elements (a Proxy) from using up the memory. */
const MOST_WORDS = 2 ** 24;
const FIRST_WORDS = 2 ** 10;
/** A block with room for more words is not kept for the next call. */
const MOST_KEPT_WORDS = 2 ** 16;
const WORD_BYTES = 4;
/** In place of the index of an element: the property is one of the work request itself. */
const NO_SGE = -1;

/** Memory for encoded work requests. */
interface Room {
  words: Uint32Array;
  longs: BigUint64Array;
  /** Number of words. */
  readonly size: number;
  /** The header of memory that the native module knows, and the functions that post from there. */
  readonly header: Uint32Array | undefined;
  readonly native: NativePostBlock | undefined;
}

/** Allocates memory of this thread's own. */
function newRoom(size: number): Room {
  const buffer = new PlainBuffer(size * WORD_BYTES);
  return {
    words: new PlainNumbers(buffer),
    longs: new PlainLongs(buffer),
    size,
    header: undefined,
    native: undefined,
  };
}

/** Allocates shared memory that the native module keeps: posting from there needs no arguments. */
function newKnownRoom(size: number): Room {
  const begin = WrHeaderWord.Words * WORD_BYTES;
  const buffer = new PlainShared(begin + size * WORD_BYTES);
  return {
    words: new PlainNumbers(buffer, begin),
    longs: new PlainLongs(buffer, begin),
    size,
    header: new PlainNumbers(buffer, 0, WrHeaderWord.Words),
    native: native.createPostBlock(new PlainBytes(buffer)),
  };
}

/** Encoded work requests, for one native call. */
export class WorkRequestBlock {
  /** The encoded work requests. */
  words: Uint32Array;
  /** The same bytes as 64-bit words. */
  longs: BigUint64Array;
  #room: Room;
  /** Number of words used. */
  used = 0;
  /** Number of work requests. */
  count = 0;
  /** The address handles of datagrams. Has no prototype, so that a program cannot get hold of them. */
  ahs = ownList<NativeAddressHandle>();
  /** The region of the last REG_MR. */
  region: MemoryRegion | undefined;
  /** Stored by the last post that failed: the index of the refused work request, or 0xffffffff. */
  bad = 0;

  constructor(room: Room) {
    this.words = room.words;
    this.longs = room.longs;
    this.#room = room;
  }

  get room(): number {
    return this.#room.size;
  }

  clear(): void {
    this.used = 0;
    this.count = 0;
    this.region = undefined;
    if (this.ahs.length > 0) this.ahs = ownList();
  }

  /**
   * Makes room for `count` more words and returns the index of the first one. They have any value: the native module looks only at
   * those that the opcode uses.
   */
  append(count: number): number {
    const at = this.used;
    const end = at + count;
    if (end > this.#room.size) this.#grow(end);
    this.used = end;
    return at;
  }

  /** Returns a copy in memory of its own, without spare room, for work requests that are posted later. */
  copy(): WorkRequestBlock {
    const { used } = this;
    const copy = new WorkRequestBlock(newRoom(used + (used % 2)));
    for (let i = 0; i < used; i++) copy.words[i] = this.words[i] ?? 0;
    copy.used = used;
    copy.count = this.count;
    copy.ahs = this.ahs;
    this.ahs = ownList();
    return copy;
  }

  /**
   * Posts the work requests, which stay as they are.
   *
   * @param qp - the queue pair
   * @param number - its number for the native module ({@link NativeQueuePair.number})
   */
  postSend(qp: NativeQueuePair, number: number): Status {
    const { header, native: known } = this.#room;
    if (header === undefined || known === undefined || this.ahs.length > 0) {
      const first = this.words[0] ?? 0;
      return this.#posted(qp.postSend(this.words, this.count, this.ahs), first);
    }
    header[WrHeaderWord.Qp] = number;
    header[WrHeaderWord.Count] = this.count;
    header[WrHeaderWord.Status] = UNANSWERED;
    known.postSend();
    return this.#answer(header);
  }

  /** As {@link WorkRequestBlock.postSend}, for receives. */
  postRecv(qp: NativeQueuePair, number: number): Status {
    const { header, native: known } = this.#room;
    if (header === undefined || known === undefined) return this.postRecvTo(qp);
    header[WrHeaderWord.Qp] = number;
    header[WrHeaderWord.Count] = this.count;
    header[WrHeaderWord.Status] = UNANSWERED;
    known.postRecv();
    return this.#answer(header);
  }

  /** Posts the receives to a shared receive queue. */
  postRecvTo(queue: NativeQueuePair | NativeSharedReceiveQueue): Status {
    const first = this.words[0] ?? 0;
    return this.#posted(queue.postRecv(this.words, this.count), first);
  }

  #answer(header: Uint32Array): Status {
    const status = (header[WrHeaderWord.Status] ?? 0) | 0;
    if (status !== 0) this.bad = header[WrHeaderWord.Bad] ?? 0;
    return status;
  }

  /** Notes what the native module has stored in the first word, and restores that word. */
  #posted(status: Status, first: number): Status {
    this.bad = this.words[0] ?? 0;
    this.words[0] = first;
    return status;
  }

  #grow(least: number): void {
    if (least > MOST_WORDS) throw outOfRange('wrs', `less than ${MOST_WORDS} words when encoded`, least);
    let size = this.#room.size;
    while (size < least) size *= 2;
    const room =
      this.#room.native !== undefined && size <= MOST_KEPT_WORDS ? newKnownRoom(size) : newRoom(size);
    for (let i = 0; i < this.used; i++) room.words[i] = this.words[i] ?? 0;
    this.use(room);
  }

  /** Goes on with other memory. */
  use(room: Room): void {
    this.words = room.words;
    this.longs = room.longs;
    this.#room = room;
  }
}

/** Memory that the native module knows, of the first size. */
const firstRoom = newKnownRoom(FIRST_WORDS);
/** The block that calls use unless another call uses it. */
const shared = new WorkRequestBlock(firstRoom);
let isSharedTaken = false;

/**
 * Returns an empty block. While the caller encodes, a getter of the program may post other work requests; so each call has a block
 * of its own. The caller must give the block back with {@link giveBlock}.
 */
export function takeBlock(): WorkRequestBlock {
  if (isSharedTaken) return new WorkRequestBlock(newRoom(FIRST_WORDS));
  isSharedTaken = true;
  shared.clear();
  return shared;
}

/** Gives back a block of {@link takeBlock} after the native call, or after an exception. */
export function giveBlock(block: WorkRequestBlock): void {
  if (block !== shared) return;
  isSharedTaken = false;
  if (block.room > MOST_KEPT_WORDS) block.use(firstRoom);
}

/** What {@link encodeRequests} encodes. */
export enum RequestKind {
  /** {@link ReceiveWorkRequest} */
  Receive,
  /** {@link SendWorkRequest} of an RC or UC queue pair. */
  Send,
  /** {@link SendWorkRequest} of a UD queue pair. */
  Datagram,
}

/**
 * Encodes one work request or a list of them into an empty block. Reads each property once. On an exception `block.count` is the
 * index of the work request at fault.
 *
 * @param method - the method that the program called
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
 * @throws RdmaError `EINVAL`: the rights of a REG_MR are invalid
 */
export function encodeRequests(
  block: WorkRequestBlock,
  wrs: unknown,
  kind: RequestKind,
  method: Method,
): void {
  if (!isArray(wrs)) {
    encodeRequest(block, wrs, kind, method);
    return;
  }
  const list = wrs as readonly unknown[];
  const length = lengthOf(list, 'wrs', MOST_IN_LIST);
  for (let i = 0; i < length; i++) {
    encodeOne(block, list[i], i, kind, method);
    block.count = i + 1;
  }
}

/**
 * Encodes one work request into an empty block.
 *
 * @param method - the method that the program called
 * @throws as {@link encodeRequests}
 */
export function encodeRequest(block: WorkRequestBlock, wr: unknown, kind: RequestKind, method: Method): void {
  encodeOne(block, wr, 'wr', kind, method);
  block.count = 1;
}

/** Name of a work request in messages. Built only for an error, because most work requests have none. */
type WrName = string | number;
const nameOfWr = (name: WrName): string => (typeof name === 'string' ? name : `wrs[${name}]`);

function encodeOne(
  block: WorkRequestBlock,
  wr: unknown,
  name: WrName,
  kind: RequestKind,
  method: Method,
): void {
  if (typeof wr !== 'object' || wr === null) throw invalidType(nameOfWr(name), 'of type object', wr);
  if (kind === RequestKind.Receive) {
    const { wrId, sges } = wr as Unchecked<ReceiveWorkRequest>;
    const at = block.append(RecvWrWord.Words);
    storeLong(block, at + RecvWrWord.Id, wrId === undefined ? 0 : wrId, name, 'wrId');
    storeWord(block, at + RecvWrWord.NumSge, encodeSges(block, sges, name));
    return;
  }
  encodeSend(block, wr, name, kind === RequestKind.Datagram, method);
}

/** All properties that a send work request of any opcode can have. */
interface AnySendRequest extends SendWorkRequestBase, DatagramDestination, RemoteTarget {
  opcode: SendOpcode;
  imm: number;
  invalidateRkey: Rkey;
  compareAdd: bigint | number;
  swap: bigint | number;
  mr: MemoryRegion;
  key: Lkey | Rkey;
  access: Access;
}

function encodeSend(
  block: WorkRequestBlock,
  wr: Unchecked<AnySendRequest>,
  name: WrName,
  datagram: boolean,
  method: Method,
): void {
  const { opcode: givenOpcode, wrId, sges } = wr;
  if (givenOpcode !== lastName) {
    const found = typeof givenOpcode === 'string' ? opcodes[givenOpcode as SendOpcode] : undefined;
    if (found === undefined) {
      oneOf(givenOpcode, pathOf(name, 'opcode'), opcodeNames); // throws
      return;
    }
    lastName = givenOpcode as SendOpcode;
    lastOpcode = found;
  }
  const opcode = lastOpcode;
  const flags =
    flag(wr.signaled, SendFlag.Signaled, name, 'signaled') |
    flag(wr.solicited, SendFlag.Solicited, name, 'solicited') |
    flag(wr.fence, SendFlag.Fence, name, 'fence') |
    flag(wr.inline, SendFlag.Inline, name, 'inline');
  const at = block.append(SendWrWord.Words);
  storeLong(block, at + SendWrWord.Id, wrId === undefined ? 0 : wrId, name, 'wrId');
  storeWord(block, at + SendWrWord.Opcode, opcode);
  storeWord(block, at + SendWrWord.Flags, flags);
  switch (opcode) {
    case WrOpcode.SendWithImm:
      storeWord(block, at + SendWrWord.Imm, word(wr.imm, name, 'imm'));
      break;
    case WrOpcode.SendWithInv:
    case WrOpcode.LocalInv:
      storeWord(block, at + SendWrWord.InvalidateRkey, word(wr.invalidateRkey, name, 'invalidateRkey'));
      break;
    case WrOpcode.RdmaWriteWithImm:
      storeWord(block, at + SendWrWord.Imm, word(wr.imm, name, 'imm'));
      encodeTarget(block, at, wr, name);
      break;
    case WrOpcode.RdmaWrite:
    case WrOpcode.RdmaRead:
      encodeTarget(block, at, wr, name);
      break;
    case WrOpcode.AtomicCmpAndSwp:
      encodeTarget(block, at, wr, name);
      storeLong(block, at + SendWrWord.CompareAdd, wr.compareAdd, name, 'compareAdd');
      storeLong(block, at + SendWrWord.Swap, wr.swap, name, 'swap');
      break;
    case WrOpcode.AtomicFetchAndAdd:
      encodeTarget(block, at, wr, name);
      storeLong(block, at + SendWrWord.CompareAdd, wr.compareAdd, name, 'compareAdd');
      break;
    case WrOpcode.RegMr:
      encodeRegistration(block, at, wr, name, method);
      break;
    case WrOpcode.BindMw:
      encodeBind(block, at, wr, name);
      break;
  }
  // Other opcodes of a UD queue pair are refused by the native module.
  if (datagram && (opcode === WrOpcode.Send || opcode === WrOpcode.SendWithImm))
    encodeDestination(block, at, wr, name);
  storeWord(block, at + SendWrWord.NumSge, encodeSges(block, sges, name));
}

function encodeTarget(block: WorkRequestBlock, at: number, wr: Unchecked<RemoteTarget>, name: WrName): void {
  storeLong(block, at + SendWrWord.RemoteAddr, wr.remoteAddr, name, 'remoteAddr');
  storeWord(block, at + SendWrWord.Rkey, word(wr.rkey, name, 'rkey'));
}

function encodeRegistration(
  block: WorkRequestBlock,
  at: number,
  wr: Unchecked<RegMrRequest>,
  name: WrName,
  method: Method,
): void {
  const { mr, key, access } = wr;
  encodeRegion(block, at, mr, name);
  storeWord(block, at + SendWrWord.Key, word(key, name, 'key'));
  storeWord(block, at + SendWrWord.Access, readRegionAccess(method, access, pathOf(name, 'access')));
}

/** Stores the name of a region, which the block keeps alive. */
function encodeRegion(block: WorkRequestBlock, at: number, mr: unknown, name: WrName): void {
  if (!isMemoryRegion(mr)) throw invalidType(pathOf(name, 'mr'), 'an instance of MemoryRegion', mr);
  const { checker, index, generation } = nameOf(mr);
  block.region = mr;
  const region = at + SendWrWord.Region;
  storeWord(block, region + RegionNameWord.Checker, checker);
  storeWord(block, region + RegionNameWord.Index, index);
  storeWord(block, region + RegionNameWord.Generation, generation);
  storeWord(block, region + RegionNameWord.Generation + 1, generation * HIGH_HALF);
}

function encodeBind(block: WorkRequestBlock, at: number, wr: Unchecked<BindMwRequest>, name: WrName): void {
  const { mw, mr, addr, length, access, key } = wr;
  const window = windowNameOf(mw);
  if (window === undefined) throw invalidType(pathOf(name, 'mw'), 'an instance of MemoryWindow', mw);
  encodeRegion(block, at, mr, name);
  storeWord(block, at + BindWrWord.Checker, window.checker);
  storeWord(block, at + BindWrWord.Window, window.index);
  storeWord(block, at + BindWrWord.Generation, window.generation);
  storeWord(block, at + BindWrWord.Generation + 1, window.generation * HIGH_HALF);
  storeLong(block, at + BindWrWord.Addr, addr, name, 'addr');
  storeLong(block, at + BindWrWord.Length, length, name, 'length');
  storeWord(block, at + SendWrWord.Key, word(key, name, 'key'));
  // Only the core judges the bits, because a window accepts other rights than a region.
  storeWord(block, at + SendWrWord.Access, word(access, name, 'access'));
}

function encodeDestination(
  block: WorkRequestBlock,
  at: number,
  wr: Unchecked<DatagramDestination>,
  name: WrName,
): void {
  const { ah, remoteQpn, remoteQkey } = wr;
  const handle = nativeAhOf(ah);
  if (handle === undefined) throw invalidType(pathOf(name, 'ah'), 'an instance of AddressHandle', ah);
  const { ahs } = block;
  const last = ahs.length - 1;
  // Lists usually name the same handle again.
  const index = last >= 0 && ahs[last] === handle ? last : last + 1;
  ahs[index] = handle;
  storeWord(block, at + SendWrWord.Ah, index);
  storeWord(block, at + SendWrWord.RemoteQpn, word(remoteQpn, name, 'remoteQpn'));
  storeWord(block, at + SendWrWord.RemoteQkey, word(remoteQkey, name, 'remoteQkey'));
}

/** Encodes the elements of a work request and returns their number. */
function encodeSges(block: WorkRequestBlock, sges: unknown, name: WrName): number {
  if (sges === undefined) return 0;
  if (!isArray(sges)) throw invalidType(pathOf(name, 'sges'), 'an instance of Array', sges);
  const list = sges as readonly unknown[];
  const length: unknown = list.length; // a Proxy may report any value
  if (typeof length !== 'number' || !(length >= 0 && length <= MOST_IN_LIST && length % 1 === 0))
    return integer(length, `${pathOf(name, 'sges')}.length`, 0, MOST_IN_LIST); // throws
  for (let i = 0; i < length; i++) {
    const sge = list[i];
    if (typeof sge !== 'object' || sge === null)
      throw invalidType(`${pathOf(name, 'sges')}[${i}]`, 'of type object', sge);
    const { addr, length: bytes, lkey } = sge as Unchecked<LocalSge>;
    const at = block.append(SgeWord.Words);
    storeLong(block, at + SgeWord.Addr, addr, name, 'addr', i);
    storeWord(block, at + SgeWord.Length, word(bytes, name, 'length', i));
    storeWord(block, at + SgeWord.Lkey, word(lkey, name, 'lkey', i));
  }
  return length;
}

/** Name of a property of a work request in messages: `'wrs[2].sges[0].addr'`. */
function pathOf(name: WrName, property: string, sge: number = NO_SGE): string {
  return `${nameOfWr(name)}.${sge === NO_SGE ? '' : `sges[${sge}].`}${property}`;
}

/** Returns the bits if the property is true, and 0 if it is false or undefined. */
function flag(value: unknown, bits: number, name: WrName, property: string): number {
  if (value === undefined || value === false) return 0;
  if (value !== true) boolean(value, pathOf(name, property)); // throws
  return bits;
}

/** Returns the value if it is an integer in 0..2^32-1; throws otherwise. */
function word(value: unknown, name: WrName, property: string, sge: number = NO_SGE): number {
  if (typeof value !== 'number' || value >>> 0 !== value) return u32(value, pathOf(name, property, sge));
  return value;
}

function storeWord(block: WorkRequestBlock, at: number, value: number): void {
  block.words[at] = value;
}

/** Stores a 64-bit number, the low word first, at an even index. */
function storeLong(
  block: WorkRequestBlock,
  at: number,
  value: unknown,
  name: WrName,
  property: string,
  sge: number = NO_SGE,
): void {
  if (!storeWide(block.words, block.longs, at, value)) u64(value, pathOf(name, property, sge)); // throws
}
