// Queues, queue pairs and work requests made with the native module, for tests of what the classes refuse or never pass on.
import { type Device } from '../../lib';
import { bytesOfToken } from '../../lib/verbs/device-token';
import { defaultLimits, limitWords } from '../../lib/internal/device-limits';
import {
  AccessBit,
  MrTypeNumber,
  QpAttribute as Q,
  QpAttrWord,
  QpInitWord,
  QpState,
  QpType,
  RecvWrWord,
  RegionField,
  RegionNameWord,
  SendFlag,
  SendWrWord,
  SgeWord,
  SignalType,
  WcWord,
  WrOpcode,
} from '../../lib/internal/layout';
import {
  native,
  type NativeAddressHandle,
  type NativeCompletionQueue,
  type NativeDevice,
  type NativeProtectionDomain,
  type NativeQueuePair,
  type NativeSharedReceiveQueue,
} from '../../lib/internal/native';

import { fieldNumber } from '../../lib/internal/command';
import { readNewRegion, type RegionName, registerMemory } from '../../lib/internal/region-name';

/** Returns the object that a native call made. */
export function made<T extends object>(result: T | number): T {
  if (typeof result === 'number') throw new Error(`native call failed: ${result}`);
  return result;
}

/** Opens a device in the manual mode. A test need not close it: its objects end when it is garbage-collected. */
export function openNative(limits: Partial<typeof defaultLimits> = {}): NativeDevice {
  return made(native.openDevice(8, false, false, true, limitWords({ ...defaultLimits, ...limits })));
}

/** Attaches natively to the device of a {@link Device} object, as another context of this thread. */
export const attachNative = (device: Device): NativeDevice =>
  made(native.attachDevice(bytesOfToken(device.share(), 'token')));

export interface QpSizes {
  type?: QpType;
  sendWr?: number;
  recvWr?: number;
  sendSge?: number;
  recvSge?: number;
}

/** Returns the words of {@link NativeProtectionDomain.createQp}. */
export function qpInit(sizes: QpSizes = {}): Uint32Array {
  const { type = QpType.Rc, sendWr = 4, recvWr = 4, sendSge = 2, recvSge = 2 } = sizes;
  const words = new Uint32Array(QpInitWord.Words);
  words[QpInitWord.Type] = type;
  words[QpInitWord.SigType] = SignalType.ReqWr;
  words[QpInitWord.MaxSendWr] = sendWr;
  words[QpInitWord.MaxRecvWr] = recvWr;
  words[QpInitWord.MaxSendSge] = sendSge;
  words[QpInitWord.MaxRecvSge] = recvSge;
  return words;
}

/** Attributes of a queue pair by their word; `av` and `altAv` are dlid, sl, static rate and port. */
export type Attributes = Partial<Record<number, number>> & { av?: number[]; altAv?: number[] };

/** Returns the words of {@link NativeQueuePair.modify}. */
export function qpAttributes({ av, altAv, ...given }: Attributes = {}): Uint32Array {
  const words = new Uint32Array(QpAttrWord.SetWords);
  words.set(av ?? [1, 0, 0, 1], QpAttrWord.Av);
  words.set(altAv ?? [1, 0, 0, 1], QpAttrWord.AltAv);
  for (const [word, value] of Object.entries(given)) words[Number(word)] = value!;
  return words;
}

/** The attributes that each transition on the way to RTS needs, by type of queue pair. */
export const needed = {
  [QpType.Rc]: {
    [QpState.Init]: Q.PkeyIndex | Q.Port | Q.AccessFlags,
    [QpState.Rtr]: Q.Av | Q.PathMtu | Q.DestQpn | Q.RqPsn | Q.MaxDestRdAtomic | Q.MinRnrTimer,
    [QpState.Rts]: Q.Timeout | Q.RetryCnt | Q.RnrRetry | Q.SqPsn | Q.MaxRdAtomic,
  },
  [QpType.Uc]: {
    [QpState.Init]: Q.PkeyIndex | Q.Port | Q.AccessFlags,
    [QpState.Rtr]: Q.Av | Q.PathMtu | Q.DestQpn | Q.RqPsn,
    [QpState.Rts]: Q.SqPsn,
  },
  [QpType.Ud]: {
    [QpState.Init]: Q.PkeyIndex | Q.Port | Q.Qkey,
    [QpState.Rtr]: 0,
    [QpState.Rts]: Q.SqPsn,
  },
};

/** Sets the state of a queue pair, with the attributes that the transition needs and others. */
export function setState(
  qp: NativeQueuePair,
  type: QpType.Rc | QpType.Uc | QpType.Ud,
  state: QpState,
  attributes: Attributes = {},
  more = 0,
): number {
  const needs = (needed[type] as Partial<Record<QpState, number>>)[state] ?? 0;
  const words = qpAttributes({
    [QpAttrWord.State]: state,
    [QpAttrWord.Port]: 1,
    [QpAttrWord.PathMtu]: 1,
    [QpAttrWord.DestQpn]: 2,
    [QpAttrWord.MaxRdAtomic]: 1,
    [QpAttrWord.MaxDestRdAtomic]: 1,
    [QpAttrWord.Access]: 15,
    ...attributes,
  });
  return qp.modify(Q.State | needs | more, words);
}

/** Brings a queue pair from RESET to the given state. */
export function bringTo(
  qp: NativeQueuePair,
  type: QpType.Rc | QpType.Uc | QpType.Ud,
  state: QpState,
  attributes: Attributes = {},
): void {
  for (const next of [QpState.Init, QpState.Rtr, QpState.Rts]) {
    if (next > state) return;
    const status = setState(qp, type, next, attributes);
    if (status !== 0) throw new Error(`modify to ${QpState[next]} failed: ${status}`);
  }
}

export interface NativeSge {
  addr: bigint;
  length: number;
  lkey: number;
}

const low = (value: bigint): number => Number(value & 0xffff_ffffn);
const high = (value: bigint): number => Number(value >> 32n);
function putSges(words: Uint32Array, at: number, sges: readonly NativeSge[]): void {
  sges.forEach(({ addr, length, lkey }, i) => {
    words.set([low(addr), high(addr), length, lkey], at + i * SgeWord.Words);
  });
}

export interface NativeSend {
  id?: number;
  opcode?: WrOpcode;
  flags?: number;
  sges?: readonly NativeSge[];
  remoteAddr?: bigint;
  rkey?: number;
  invalidateRkey?: number;
  /** Words of {@link RegionNameWord}. */
  region?: readonly number[];
  key?: number;
  ah?: number;
}

/** Returns the words of {@link NativeQueuePair.postSend}. */
export function sendWords(wrs: readonly NativeSend[]): Uint32Array {
  const lists = wrs.map((wr) => {
    const { id = 0, opcode = WrOpcode.Send, flags = SendFlag.Signaled, sges = [], remoteAddr = 0n } = wr;
    const words = new Uint32Array(SendWrWord.Words + sges.length * SgeWord.Words);
    words[SendWrWord.Id] = id;
    words[SendWrWord.Opcode] = opcode;
    words[SendWrWord.Flags] = flags;
    words[SendWrWord.NumSge] = sges.length;
    words.set([low(remoteAddr), high(remoteAddr)], SendWrWord.RemoteAddr);
    words[SendWrWord.Rkey] = wr.rkey ?? 0;
    words[SendWrWord.InvalidateRkey] = wr.invalidateRkey ?? 0;
    words.set(wr.region ?? new Array<number>(RegionNameWord.Words).fill(0), SendWrWord.Region);
    words[SendWrWord.Key] = wr.key ?? 0;
    words[SendWrWord.Ah] = wr.ah ?? 0;
    putSges(words, SendWrWord.Words, sges);
    return [...words];
  });
  return Uint32Array.from(lists.flat());
}

/** Returns the words of {@link NativeQueuePair.postRecv}. */
export function recvWords(lists: readonly (readonly NativeSge[])[]): Uint32Array {
  const all = lists.map((sges, id) => {
    const words = new Uint32Array(RecvWrWord.Words + sges.length * SgeWord.Words);
    words[RecvWrWord.Id] = id;
    words[RecvWrWord.NumSge] = sges.length;
    putSges(words, RecvWrWord.Words, sges);
    return [...words];
  });
  return Uint32Array.from(all.flat());
}

/** Posts sends. Returns the status, and the index of the first one that was not accepted. */
export function postSends(
  qp: NativeQueuePair,
  wrs: readonly NativeSend[],
  ahs: readonly NativeAddressHandle[] = [],
): [status: number, bad: number] {
  const words = sendWords(wrs);
  return [qp.postSend(words, wrs.length, ahs), words[0]!];
}

/** Posts receives, each given as its SGEs. Returns the same as {@link postSends}. */
export function postRecvs(
  queue: NativeQueuePair | NativeSharedReceiveQueue,
  lists: readonly (readonly NativeSge[])[],
): [status: number, bad: number] {
  const words = recvWords(lists);
  return [queue.postRecv(words, lists.length), words[0]!];
}

/** A completion, as its words by name. */
export type NativeWc = Record<keyof typeof WcWord, number>;

/** Polls all completions of a queue. */
export function pollAll(cq: NativeCompletionQueue, most = 64): NativeWc[] {
  const words = new Uint32Array(most * WcWord.Count);
  return Array.from({ length: cq.poll(words, most) }, (_, i) => {
    const entries = Object.entries(WcWord).filter(([, word]) => typeof word === 'number');
    return Object.fromEntries(
      entries.map(([name, word]) => [name, words[i * WcWord.Count + Number(word)]]),
    ) as NativeWc;
  });
}

/** Registers memory in a native domain. */
export function register(
  pd: NativeProtectionDomain,
  memory: Uint8Array,
  access: number = AccessBit.LocalWrite,
): RegionName & Required<Pick<RegionName, 'constants'>> {
  const status = registerMemory(pd.number(), access, 0, memory);
  if (status !== 0) throw new Error(`registration failed: ${status}`);
  return readNewRegion(pd, pd.number(), access);
}

/** Allocates a region for fast registration in a native domain. */
export function allocMr(pd: NativeProtectionDomain): RegionName & { key: number } {
  const status = pd.allocMr(MrTypeNumber.MemReg, 1);
  if (status !== 0) throw new Error(`allocMr failed: ${status}`);
  return { ...readNewRegion(pd, pd.number(), undefined), key: fieldNumber(RegionField.Lkey) };
}

/** Returns the words that name a region in a REG_MR work request. */
export const regionWords = ({ checker, index, generation }: RegionName): number[] => [
  checker,
  index,
  low(BigInt(generation)),
  high(BigInt(generation)),
];

/** Returns an SGE over a whole region of user memory. */
export function sgeOver({ constants }: RegionName): NativeSge {
  return { addr: BigInt(constants!.start), length: constants!.length, lkey: constants!.key };
}

/** A device with one domain, one completion queue and one queue pair. */
export interface NativeScene {
  device: NativeDevice;
  pd: NativeProtectionDomain;
  cq: NativeCompletionQueue;
  qp: NativeQueuePair;
}

/** Opens a device in the manual mode with a queue pair in RESET. */
export function nativeScene(limits: Partial<typeof defaultLimits> = {}, sizes: QpSizes = {}): NativeScene {
  const device = openNative(limits);
  const pd = made(device.allocPd(false));
  const cq = made(device.createCq(8, 0, 0));
  return { device, pd, cq, qp: made(pd.createQp(cq, cq, undefined, qpInit(sizes))) };
}
