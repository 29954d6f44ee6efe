/** Executes the operations that post work requests. */
import { EBADF, RecvWrWord, RegionNameWord, SendFlag, SendWrWord, SgeWord } from '../../internal/layout';
import type { NativeAddressHandle } from '../../internal/native';
import { wrOpcodeNumber } from '../../internal/verbs-names';
import { type Answer, answerFailureOf, SKIPPED } from '../answers';
import type { NamedRegion, Session } from '../session';
import type { Hex, OperationMembers } from '../trace-format';
import type { ReceiveWr, SendFlagName, SendWr, WrElement } from './operations';

/** The index that the native module reports if the state of the queue pair forbids all work requests. */
const NO_INDEX = 0xffffffff;

export function postRecv(session: Session, op: OperationMembers['post_recv']): Answer {
  return postReceives(session.qp(op.qp), op.wrs, 'post_recv');
}

export function postSrqRecv(session: Session, op: OperationMembers['post_srq_recv']): Answer {
  return postReceives(session.srq(op.srq), op.wrs, 'post_srq_recv');
}

function postReceives(
  queue: { postRecv: (words: Uint32Array, count: number) => number } | undefined,
  wrs: readonly ReceiveWr[],
  forWhat: string,
): Answer {
  if (queue === undefined) return SKIPPED;
  const words = newWords(RecvWrWord.Words, wrs);
  let at = 0;
  for (const { wr_id, sges } of wrs) {
    words[at + RecvWrWord.Id] = wr_id;
    words[at + RecvWrWord.NumSge] = sges.length;
    at = storeElements(words, at + RecvWrWord.Words, sges);
  }
  return answerPosted(queue.postRecv(words, wrs.length), words, forWhat);
}

export function postSend(session: Session, op: OperationMembers['post_send']): Answer {
  const qp = session.qp(op.qp);
  if (qp === undefined) return SKIPPED;
  const words = newWords(SendWrWord.Words, op.wrs);
  const ahs: NativeAddressHandle[] = [];
  let at = 0;
  for (const wr of op.wrs) {
    storeRequest(words, at, wr);
    if (wr.mr !== undefined) {
      const region = session.region(wr.mr);
      if (region === undefined) return SKIPPED;
      storeRegion(words, at + SendWrWord.Region, region);
    }
    words[at + SendWrWord.Ah] = NO_INDEX;
    if (wr.ah !== undefined) {
      const ah = session.ah(wr.ah);
      if (ah === undefined) return SKIPPED;
      words[at + SendWrWord.Ah] = ahs.push(ah) - 1;
    }
    at = storeElements(words, at + SendWrWord.Words, wr.sges);
  }
  return answerPosted(qp.postSend(words, op.wrs.length, ahs), words, 'post_send');
}

/** Creates an array with room for a list of work requests; at least one word, for the index of a bad one. */
function newWords(wordsOfOne: number, wrs: readonly { readonly sges: readonly unknown[] }[]): Uint32Array {
  const elements = wrs.reduce((sum, { sges }) => sum + sges.length, 0);
  return new Uint32Array(Math.max(1, wrs.length * wordsOfOne + elements * SgeWord.Words));
}

const sendFlags: Readonly<Record<SendFlagName, SendFlag>> = {
  SIGNALED: SendFlag.Signaled,
  SOLICITED: SendFlag.Solicited,
  FENCE: SendFlag.Fence,
  INLINE: SendFlag.Inline,
};

/** Stores all of a send work request but its region, its address handle and its elements. */
function storeRequest(words: Uint32Array, at: number, wr: SendWr): void {
  words[at + SendWrWord.Id] = wr.wr_id;
  words[at + SendWrWord.Opcode] = wrOpcodeNumber(wr.opcode) ?? NO_INDEX;
  words[at + SendWrWord.Flags] = wr.flags.reduce((bits, name) => bits | sendFlags[name], 0);
  words[at + SendWrWord.NumSge] = wr.sges.length;
  words[at + SendWrWord.Imm] = wr.imm ?? 0;
  storeLong(words, at + SendWrWord.RemoteAddr, wr.remote_addr);
  words[at + SendWrWord.Rkey] = Number(wr.rkey ?? 0);
  words[at + SendWrWord.InvalidateRkey] = Number(wr.invalidate_rkey ?? 0);
  storeLong(words, at + SendWrWord.CompareAdd, wr.compare_add);
  storeLong(words, at + SendWrWord.Swap, wr.swap);
  words[at + SendWrWord.Key] = Number(wr.key ?? 0);
  words[at + SendWrWord.Access] = wr.access ?? 0;
  words[at + SendWrWord.RemoteQpn] = wr.remote_qpn ?? 0;
  words[at + SendWrWord.RemoteQkey] = wr.remote_qkey ?? 0;
}

function storeRegion(words: Uint32Array, at: number, { native }: NamedRegion): void {
  words[at + RegionNameWord.Checker] = native.checker;
  words[at + RegionNameWord.Index] = native.index;
  storeLong(words, at + RegionNameWord.Generation, native.generation);
}

/** Stores elements and returns the index behind them. */
function storeElements(words: Uint32Array, start: number, sges: readonly WrElement[]): number {
  let at = start;
  for (const { addr, length, lkey } of sges) {
    storeLong(words, at + SgeWord.Addr, addr);
    words[at + SgeWord.Length] = length;
    words[at + SgeWord.Lkey] = Number(lkey);
    at += SgeWord.Words;
  }
  return at;
}

/** Stores a 64-bit number, low word first. */
function storeLong(words: Uint32Array, at: number, value: Hex | number = 0): void {
  const long = BigInt(value);
  words[at] = Number(long & 0xffffffffn);
  words[at + 1] = Number(long >> 32n);
}

/** Answers a post (POSTED in docs/trace-format.md). */
function answerPosted(status: number, words: Uint32Array, forWhat: string): Answer {
  if (status >= 0) return { ret: 0 };
  const bad = words[0] === NO_INDEX ? null : (words[0] ?? 0);
  // A REG_MR with the members of a datagram names no region.
  if (status === -EBADF) return { err: 'EINVAL', bad };
  return { ...answerFailureOf(status, forWhat), bad };
}
