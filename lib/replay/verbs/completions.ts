/** Executes the operations that make the engine work, and reads what it reports: completions, events and timers. */
import { VerbsEvent, WcFlag, WcWord } from '../../internal/layout';
import type { NativeQueuePair } from '../../internal/native';
import { wcOpcodeName, wcStatusName } from '../../internal/verbs-names';
import { type Answer, answerFailureOf, SKIPPED, toHex } from '../answers';
import type { Session } from '../session';
import type { OperationMembers } from '../trace-format';
import type { EventAnswer, WcAnswer } from './answers';

/** The most completions that one native call polls. */
const MOST_POLLED = 256;

export function pollCq(session: Session, op: OperationMembers['poll_cq']): Answer {
  const cq = session.cq(op.cq);
  if (cq === undefined) return SKIPPED;
  const wcs: WcAnswer[] = [];
  const words = new Uint32Array(Math.min(op.n, MOST_POLLED) * WcWord.Count);
  while (wcs.length < op.n) {
    const wanted = Math.min(op.n - wcs.length, MOST_POLLED);
    const polled = cq.poll(words, wanted);
    if (polled < 0) return answerFailureOf(polled, 'poll_cq');
    for (let i = 0; i < polled; i++) wcs.push(answerWc(session, words.subarray(i * WcWord.Count)));
    if (polled < wanted) break;
  }
  return { wcs };
}

/** Describes a completion (WC in docs/trace-format.md). */
function answerWc(session: Session, words: Uint32Array): WcAnswer {
  const of = (word: number): number => words[word] ?? 0;
  const status = wcStatusName(of(WcWord.Status));
  const opcode = wcOpcodeName(of(WcWord.Opcode));
  if (status === undefined || opcode === undefined)
    throw new Error(`the native module reported status ${of(WcWord.Status)}, opcode ${of(WcWord.Opcode)}`);
  const path = of(WcWord.Path);
  const flags = of(WcWord.Flags);
  const value = of(WcWord.ImmOrInv);
  return {
    wr_id: readLong(words, WcWord.WrId),
    status,
    opcode,
    byte_len: of(WcWord.ByteLen),
    qp: session.idOf('qp', readLong(words, WcWord.Qp)),
    src_qp: of(WcWord.SrcQp),
    wc_flags: flags,
    slid: path & 0xffff,
    sl: (path >>> 16) & 0xff,
    port: path >>> 24,
    ...((flags & WcFlag.Imm) === 0 ? {} : { imm: value }),
    ...((flags & WcFlag.Invalidate) === 0 ? {} : { inv: toHex(value) }),
  };
}

/** Reads a 64-bit number below 2^53, low word first. */
function readLong(words: Uint32Array, at: number): number {
  return (words[at] ?? 0) + (words[at + 1] ?? 0) * 2 ** 32;
}

export function reqNotifyCq(session: Session, op: OperationMembers['req_notify_cq']): Answer {
  const status = session.cq(op.cq)?.arm(op.flags);
  if (status === undefined) return SKIPPED;
  return status < 0 ? answerFailureOf(status, 'req_notify_cq') : { ret: status };
}

export function run(session: Session, op: OperationMembers['run']): Answer {
  const kick: NativeQueuePair[] = [];
  for (const id of op.kick ?? []) {
    const qp = session.qp(id);
    if (qp === undefined) return SKIPPED;
    kick.push(qp);
  }
  const status = session.device.run(kick);
  return status < 0 ? answerFailureOf(status, 'run') : { ret: 0 };
}

export function timers(session: Session): Answer {
  const pairs = session.device.fireTimers();
  const fired = Array.from({ length: pairs.length / 2 }, (_, i) => ({
    qp: session.idOf('qp', pairs[2 * i] ?? 0),
    usec: pairs[2 * i + 1] ?? 0,
  }));
  return { fired };
}

/** Creates the answer's event for each kind of event; timers of the device are no events of the format. */
const eventAnswers: Readonly<Partial<Record<number, (session: Session, serial: number) => EventAnswer>>> = {
  [VerbsEvent.Completion]: (session, serial) => ({ ev: 'comp', cq: session.idOf('cq', serial) }),
  [VerbsEvent.CqErr]: (session, serial) => ({ ev: 'cq_err', cq: session.idOf('cq', serial) }),
  [VerbsEvent.LastWqe]: (session, serial) => ({ ev: 'last_wqe', qp: session.idOf('qp', serial) }),
  [VerbsEvent.SrqLimit]: (session, serial) => ({ ev: 'srq_limit', srq: session.idOf('srq', serial) }),
};

/** Takes the events since the last call. Completion handlers run when an operation is over, so their events come last. */
export function takeEvents(session: Session): EventAnswer[] {
  const pairs = session.device.takeEvents();
  const events: EventAnswer[] = [];
  const completions: EventAnswer[] = [];
  for (let i = 0; i < pairs.length; i += 2) {
    const event = eventAnswers[pairs[i] ?? -1]?.(session, pairs[i + 1] ?? 0);
    if (event !== undefined) (event.ev === 'comp' ? completions : events).push(event);
  }
  return [...events, ...completions];
}
