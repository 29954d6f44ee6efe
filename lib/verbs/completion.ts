import { illegalConstructor } from '../internal/arguments';
import { construction } from '../internal/construction';
import { HALF_RANGE, HIGH, LOW } from '../internal/halves';
import { WcFlag, WcStatus, WcWord } from '../internal/layout';
import { type RefusalReason, reasonOf } from '../internal/reasons';
import { isWatched, publishRefusal } from '../internal/refused-channel';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { type WcOpcodeName, wcOpcodeName, type WcStatusName, wcStatusName } from '../internal/verbs-names';
import { completionReason, type CompletionReason, explainCompletion } from '../internal/wc-causes';
import { hex } from '../internal/words';
import { type AskedAccess } from './explanation-facts';
import { explainRefusal } from './explanation';
import { type Rkey } from './keys';
import { type QueuePair } from './queue-pair';
import { type RefusedMessage } from './refused-message';
import { type VerbsRegistry } from './verbs-registry';

/** Returned by {@link Completion.toJSON}. */
export interface ShownCompletion extends Shown {
  class: 'Completion';
  /** A hex string if it is not a safe integer. */
  wrId: number | string;
  status: WcStatusName;
  opcode: WcOpcodeName;
  byteLength: number;
  /** `id` of the queue pair. */
  qp: number;
  qpn: number;
  srcQp: number;
  imm?: number;
  /** A hex string. */
  invalidatedRkey?: string;
  reason?: CompletionReason | RefusalReason;
}

// Captured at load time: a program may replace it.
const { queueMicrotask } = globalThis;

/** The first wr_id of the work requests that promise methods post. Programs normally use smaller ones. */
export const FIRST_OWN_WR_ID = 2n ** 63n;

/** The access that made a request fail. */
interface Refused extends AskedAccess {
  /** Id of the queue pair whose peer was refused; 0: a local access. */
  readonly judge: number;
  readonly reason: RefusalReason;
}

/** Returns whether a value is a {@link Completion}. */
export let isCompletion: (value: unknown) => value is Completion;

let describeCompletion: (object: Completion) => ShownCompletion;

/**
 * A completion (`struct ib_wc`): the result of a work request. A value: unlike the other objects of this package it owns nothing
 * on the device, and two completions with equal contents are deep-equal.
 *
 * Returned by {@link CompletionQueue.poll}.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 *
 * const device = new Device();
 * const cq = device.createCq(16);
 * for (const wc of cq.poll()) {
 *   if (!wc.ok) console.log(wc.status, wc.reason, wc.explain());
 * }
 * console.log(cq.length); // 0
 * ```
 */
export class Completion {
  /** The id that the program gave to the work request: a number up to 2^53 - 1, above a bigint. */
  readonly wrId: number | bigint;
  /** Whether the work request succeeded, and the class of the error if not. */
  readonly status: WcStatusName;
  /** Whether the status is `'SUCCESS'`. */
  readonly ok: boolean;
  /** What was carried out. */
  readonly opcode: WcOpcodeName;
  /** Bytes of the message. For a send, read, write or atomic: the sum of the lengths of its SGEs, even if it failed. */
  readonly byteLength: number;
  /** {@link QueuePair.id} of the queue pair. */
  readonly qpId: number;
  /** {@link QueuePair.qpn} of the queue pair. */
  readonly qpn: number;
  /**
   * For a receive: the number of the sender's queue pair. On RC and UC queue pairs it is the number that the receiver is connected
   * to.
   */
  readonly srcQp: number;
  /** The immediate data of the message; undefined if it has none. */
  readonly imm: number | undefined;
  /** The key that the message has invalidated (SEND_WITH_INV); undefined if none. */
  readonly invalidatedRkey: Rkey | undefined;
  /**
   * For a receive of a UD queue pair: whether the 40 bytes in front of the datagram hold the header with which it came from the
   * network; see {@link grhSource}. False for datagrams of the same device, which leave these bytes as they were.
   */
  readonly grh: boolean;
  /** For a receive: the source LID. */
  readonly slid: number;
  /** For a receive: the service level. */
  readonly sl: number;
  /** For a receive: the port. */
  readonly port: number;
  /**
   * Why the work request failed, which the status hides: the reason of the refusal if an access was refused, else the cause.
   * Undefined if it succeeded. For this program: do not send it to the peer.
   */
  readonly reason: CompletionReason | RefusalReason | undefined;
  readonly #registry: VerbsRegistry;
  readonly #cause: number;
  readonly #causeValue: number;
  readonly #refused: Refused | undefined;

  /** @internal */
  constructor(token: typeof construction, registry: VerbsRegistry, words: Uint32Array, at: number) {
    if (token !== construction) throw illegalConstructor();
    // Creates no functions, because a program may take a million completions in a second.
    const wrId = longAt(words, at + WcWord.WrId);
    this.wrId = wrId <= Number.MAX_SAFE_INTEGER ? wrId : bigAt(words, at + WcWord.WrId);
    const status = words[at + WcWord.Status] ?? 0;
    this.status = wcStatusName(status) ?? 'LOC_QP_OP_ERR';
    this.ok = status === (WcStatus.Success as number);
    this.opcode = wcOpcodeName(words[at + WcWord.Opcode] ?? 0) ?? 'SEND';
    this.byteLength = words[at + WcWord.ByteLen] ?? 0;
    this.qpId = longAt(words, at + WcWord.Qp);
    this.qpn = words[at + WcWord.QpNum] ?? 0;
    this.srcQp = words[at + WcWord.SrcQp] ?? 0;
    const flags = words[at + WcWord.Flags] ?? 0;
    const immOrInv = words[at + WcWord.ImmOrInv] ?? 0;
    this.imm = (flags & WcFlag.Imm) === 0 ? undefined : immOrInv;
    this.invalidatedRkey = (flags & WcFlag.Invalidate) === 0 ? undefined : (immOrInv as Rkey);
    this.grh = (flags & WcFlag.Grh) !== 0;
    const path = words[at + WcWord.Path] ?? 0;
    this.slid = path & 0xffff;
    this.sl = (path >>> 16) & 0xff;
    this.port = path >>> 24;
    this.#registry = registry;
    this.#cause = words[at + WcWord.Cause] ?? 0;
    this.#causeValue = words[at + WcWord.CauseValue] ?? 0;
    const refused = words[at + WcWord.RefusedReason] ?? 0;
    this.#refused = refused === 0 ? undefined : refusedAt(words, at, refused);
    this.reason = this.#refused?.reason ?? completionReason(this.#cause);
    if (refused !== 0 && isWatched()) this.#report();
  }

  /**
   * Publishes the refused access on the channel `rdmavt:refused`. Not at once: a subscriber may take completions, and would
   * overwrite the words from which the caller reads more of them.
   */
  #report(): void {
    const refused = this.#refused;
    if (refused === undefined) return;
    const { judge, address, length, key, access, reason } = refused;
    const remote = judge !== 0;
    const message: RefusedMessage = {
      reason,
      method: 'Completion',
      operation: this.opcode,
      device: this.#registry.device,
      count: 1,
      address,
      length,
      key,
      access,
      remote,
      explain: () => this.explain(),
    };
    if (remote) message.qp = judge;
    const pd = remote ? undefined : this.#registry.find('qp', this.qpId)?.local.id;
    if (pd !== undefined) message.pd = pd;
    queueMicrotask(() => publishRefusal(message));
  }

  /** The queue pair; undefined if another thread created it, or if the program has dropped the object and it was collected. */
  get qp(): QueuePair | undefined {
    return this.#registry.find('qp', this.qpId)?.object;
  }

  /**
   * Explains in sentences what happened: the cause, what to do about it, and the refused access if one was refused, as
   * {@link Refused.explain} does.
   *
   * The part about a refused access is computed when this method is called, from the device's current state; see
   * {@link Refused.explain} for its cost. The text is for this program: do not send it to a peer. Its wording may change in any
   * version.
   */
  explain(): string {
    const refused = this.#refused;
    const received = this.opcode === 'RECV' || this.opcode === 'RECV_RDMA_WITH_IMM';
    const cause = explainCompletion({
      cause: this.#cause,
      value: this.#causeValue,
      received,
      refusal: refused?.reason,
    });
    // A wr_id above 2^63 is one that a promise method chose.
    const name = typeof this.wrId === 'bigint' && this.wrId >= FIRST_OWN_WR_ID ? '' : ` ${String(this.wrId)}`;
    const begin = `${this.opcode}${name} of queue pair ${this.qpId} (number ${this.qpn}): ${this.status}.`;
    if (refused === undefined) {
      if (cause === undefined) return this.ok ? `${begin} The work request succeeded.` : begin;
      return `${begin} ${cause}`;
    }
    return `${begin} ${cause ?? ''} ${this.#explainRefused(refused)}`;
  }

  #explainRefused(refused: Refused): string {
    const judge = this.#registry.find('qp', refused.judge === 0 ? this.qpId : refused.judge);
    const asker = refused.judge === 0 ? judge?.local : judge?.peers;
    if (asker !== undefined) return explainRefusal(asker, refused, refused.reason, undefined);
    return (
      `The refused access: ${refused.length} bytes at address ${hex(refused.address)} with key ${hex(refused.key)} ` +
      `(${refused.reason}). The queue pair that refused it is not of this thread or no longer exists, so no details are available.`
    );
  }

  /** Returns a one-line description of the completion. Never throws. */
  toString(): string {
    return textOf('Completion', this, describeCompletion);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownCompletion {
    return jsonOf('Completion', this, describeCompletion);
  }

  static {
    isCompletion = (value): value is Completion =>
      typeof value === 'object' && value !== null && #registry in value;
    describeCompletion = (wc) => {
      const reason = wc.#refused?.reason ?? completionReason(wc.#cause); // throws for objects of other classes
      const { wrId, imm, invalidatedRkey } = wc;
      return {
        class: 'Completion',
        wrId: typeof wrId === 'bigint' ? hex(wrId) : wrId,
        status: wc.status,
        opcode: wc.opcode,
        byteLength: wc.byteLength,
        qp: wc.qpId,
        qpn: wc.qpn,
        srcQp: wc.srcQp,
        ...(imm !== undefined && { imm }),
        ...(invalidatedRkey !== undefined && { invalidatedRkey: hex(invalidatedRkey) }),
        ...(reason !== undefined && { reason }),
      };
    };
    showAs(Completion, 'Completion', (object) => textOf('Completion', object, describeCompletion));
  }
}

function refusedAt(words: Uint32Array, at: number, number: number): Refused | undefined {
  const reason = reasonOf(number);
  return (
    reason && {
      judge: longAt(words, at + WcWord.RefusedJudge),
      address: bigAt(words, at + WcWord.RefusedAddr),
      length: words[at + WcWord.RefusedLength] ?? 0,
      key: words[at + WcWord.RefusedKey] ?? 0,
      access: words[at + WcWord.RefusedAccess] ?? 0,
      reason,
    }
  );
}

function longAt(words: Uint32Array, at: number): number {
  return (words[at + LOW] ?? 0) + (words[at + HIGH] ?? 0) * HALF_RANGE;
}

function bigAt(words: Uint32Array, at: number): bigint {
  return (BigInt(words[at + HIGH] ?? 0) << 32n) | BigInt(words[at + LOW] ?? 0);
}
