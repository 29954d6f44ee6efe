import { illegalConstructor, invalidState } from '../internal/arguments';
import { construction } from '../internal/construction';
import { HALF_RANGE, HIGH, LOW } from '../internal/halves';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { WcFlag, WcStatus, WcWord } from '../internal/layout';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { type WcOpcodeName, wcOpcodeName, type WcStatusName, wcStatusName } from '../internal/verbs-names';
import { type Completion } from './completion';
import { type Rkey } from './keys';
import { type RingReader } from './ring-reader';

/** Returned by {@link CompletionRing.toJSON}. */
export interface ShownCompletionRing extends Shown {
  class: 'CompletionRing';
  /** As {@link CompletionRing.length}; absent if the queue is destroyed. */
  held?: number;
  /** Where the cursor stands: the completion's `wrId` as {@link ShownCompletion.wrId}, and its status. Absent if on none. */
  wrId?: number | string;
  status?: WcStatusName;
  state: 'Open' | 'Closed';
}

/** The functions of the completion queue that the ring calls. */
export interface RingOwner {
  /** Returns whether completions may have to go elsewhere, or come from elsewhere, than from the memory of the ring. */
  readonly isShared: () => boolean;
  /** Returns the oldest completion that was taken from the memory for promises or iterations and was not for them. */
  readonly shiftKept: () => Completion | undefined;
  /** Returns how many such completions there are. */
  readonly keptLength: () => number;
  /** Creates the object of the completion whose words begin at this index. */
  readonly completionAt: (at: number) => Completion;
  /** Gives a completion to the promise that expects it. Returns false if none does. */
  readonly settle: (wc: Completion) => boolean;
  /** Called after completions were taken, if {@link RingOwner.isShared} was true. */
  readonly noteTaken: () => void;
  /** Throws `EBADF` if the queue is destroyed. */
  readonly refuseIfEnded: (method: 'CompletionRing.next' | 'CompletionRing.length') => void;
  /** Returns whether the queue still exists. */
  readonly isOpen: () => boolean;
}

/**
 * Copies the completion at which the cursor stands, if it is still in the memory of the ring, so that its place can be given back.
 */
export let moveOutOfRing: (ring: CompletionRing) => void;

let describeCompletionRing: (object: CompletionRing) => ShownCompletionRing;

/** The cursor stands on no completion of the memory. */
const NOWHERE = -1;

/**
 * A cursor over the completions of a queue that was created with a ring: reads them from shared memory, without a native call and
 * without an object for each.
 *
 * {@link CompletionQueue.ring} of a queue that was created with `ring: true`. {@link CompletionRing.next} moves the cursor to the
 * next completion, and the other properties are those of the completion at which it stands. This completion keeps its place in
 * the queue until the next call of `next`, so count it when you choose the size of the queue. The other ways to take completions
 * ({@link CompletionQueue.poll}, iterations, promises) may be mixed with the cursor: each completion goes to one of them, and the
 * properties stay those of the cursor's completion.
 *
 * Use it when a program takes hundreds of thousands of completions in a second. Otherwise `poll` is simpler.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const device = new Device();
 * const pd = device.allocPd();
 * const cq = device.createCq(256, { ring: true });
 * const qp = pd.createQp({ type: 'RC', sendCq: cq });
 * qp.connect(qp, { access: Access.RemoteWrite });
 * const mr = pd.regUserMr(Buffer.from('hello world'), { access: Access.LocalWrite | Access.RemoteWrite });
 * qp.postSend({
 *   opcode: 'RDMA_WRITE',
 *   wrId: 7,
 *   signaled: true,
 *   sges: [{ addr: mr.start, length: 5, lkey: mr.lkey }],
 *   remoteAddr: mr.iova + 6n,
 *   rkey: mr.rkey,
 * });
 * const ring = cq.ring;
 * while (ring?.next()) {
 *   if (!ring.ok) console.log(ring.completion().explain());
 *   console.log(ring.wrIdNumber, ring.status, ring.byteLength); // 7 SUCCESS 5
 * }
 * ```
 */
export class CompletionRing {
  readonly #reader: RingReader;
  readonly #owner: RingOwner;
  /** Index of the first word of the completion at which the cursor stands. */
  #at: number = NOWHERE;
  /** The completion at which the cursor stands, if it is not in the memory of the ring or was asked for as an object. */
  #object: Completion | undefined;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, reader: RingReader, owner: RingOwner) {
    if (token !== construction) throw illegalConstructor();
    this.#reader = reader;
    this.#owner = owner;
    markUncloneable(this);
  }

  /**
   * Moves to the next completion, oldest first, and gives the place of the one before back to the queue. Completions that the queue
   * has kept while promises or iterations waited come first, as with {@link CompletionQueue.poll}.
   *
   * Allocates nothing and makes no native call, unless promises wait for completions of the queue.
   *
   * Kernel: `rvt_poll_cq`.
   *
   * @returns false if no completion waits; the cursor then stands on none
   * @throws RdmaError `EBADF`: the queue is destroyed
   */
  next(): boolean {
    const reader = this.#reader;
    this.#at = NOWHERE;
    this.#object = undefined;
    reader.release();
    if (reader.isEnded) this.#owner.refuseIfEnded('CompletionRing.next');
    if (this.#owner.isShared()) return this.#nextShared();
    this.#at = reader.advance();
    return this.#at !== NOWHERE;
  }

  /** As {@link CompletionRing.next}, while promises wait for some of the completions, or completions were kept. */
  #nextShared(): boolean {
    const owner = this.#owner;
    const reader = this.#reader;
    let wc: Completion | undefined;
    for (;;) {
      wc = owner.shiftKept();
      if (wc !== undefined) break;
      const at = reader.advance();
      if (at === NOWHERE) break;
      wc = owner.completionAt(at);
      reader.release(); // first, because settling a completion may post work requests
      if (!owner.settle(wc)) break;
    }
    this.#object = wc;
    owner.noteTaken();
    return wc !== undefined;
  }

  /**
   * How many completions wait, without the one at which the cursor stands. The same as {@link CompletionQueue.length}.
   *
   * @throws RdmaError `EBADF`: the queue is destroyed
   */
  get length(): number {
    if (this.#reader.isEnded) this.#owner.refuseIfEnded('CompletionRing.length');
    return this.#reader.length + this.#owner.keptLength();
  }

  /**
   * As {@link Completion.wrId}, but always a bigint.
   *
   * @throws TypeError (`ERR_INVALID_STATE`): the cursor stands on no completion. This and all other properties of the completion
   */
  get wrId(): bigint {
    if (this.#object !== undefined) return BigInt(this.#object.wrId);
    const at = this.#place() + WcWord.WrId;
    return (BigInt(this.#reader.words[at + HIGH] ?? 0) << 32n) | BigInt(this.#reader.words[at + LOW] ?? 0);
  }

  /** {@link CompletionRing.wrId} as a number: exact below 2^53, else rounded. Allocates nothing. */
  get wrIdNumber(): number {
    if (this.#object !== undefined) return Number(this.#object.wrId);
    return this.#long(WcWord.WrId);
  }

  /** As {@link Completion.status}. */
  get status(): WcStatusName {
    return this.#object?.status ?? wcStatusName(this.#word(WcWord.Status)) ?? 'LOC_QP_OP_ERR';
  }

  /** Whether the status is `'SUCCESS'`. */
  get ok(): boolean {
    return this.#object?.ok ?? this.#word(WcWord.Status) === (WcStatus.Success as number);
  }

  /** As {@link Completion.opcode}. */
  get opcode(): WcOpcodeName {
    return this.#object?.opcode ?? wcOpcodeName(this.#word(WcWord.Opcode)) ?? 'SEND';
  }

  /** As {@link Completion.byteLength}. */
  get byteLength(): number {
    return this.#object?.byteLength ?? this.#word(WcWord.ByteLen);
  }

  /** {@link QueuePair.id} of the queue pair. */
  get qpId(): number {
    return this.#object?.qpId ?? this.#long(WcWord.Qp);
  }

  /** {@link QueuePair.qpn} of the queue pair. */
  get qpn(): number {
    return this.#object?.qpn ?? this.#word(WcWord.QpNum);
  }

  /** For a receive: the number of the sender's queue pair, as {@link Completion.srcQp}. */
  get srcQp(): number {
    return this.#object?.srcQp ?? this.#word(WcWord.SrcQp);
  }

  /** The immediate data of the message, as {@link Completion.imm}; undefined if it has none. */
  get imm(): number | undefined {
    if (this.#object !== undefined) return this.#object.imm;
    return (this.#word(WcWord.Flags) & WcFlag.Imm) === 0 ? undefined : this.#word(WcWord.ImmOrInv);
  }

  /** For a datagram: whether it came from the network, as {@link Completion.grh}. */
  get grh(): boolean {
    return this.#object?.grh ?? (this.#word(WcWord.Flags) & WcFlag.Grh) !== 0;
  }

  /** The key that the message has invalidated, as {@link Completion.invalidatedRkey}; undefined if none. */
  get invalidatedRkey(): Rkey | undefined {
    if (this.#object !== undefined) return this.#object.invalidatedRkey;
    const isGiven = (this.#word(WcWord.Flags) & WcFlag.Invalidate) !== 0;
    return isGiven ? (this.#word(WcWord.ImmOrInv) as Rkey) : undefined;
  }

  /**
   * Returns the completion at which the cursor stands as an object, which stays valid when the cursor moves on and has everything
   * else: the reason of a failure, and its explanation.
   *
   * @throws TypeError (`ERR_INVALID_STATE`): the cursor stands on no completion
   */
  completion(): Completion {
    return (this.#object ??= this.#owner.completionAt(this.#place()));
  }

  /** Returns a one-line description of the ring. Never throws. */
  toString(): string {
    return textOf('CompletionRing', this, describeCompletionRing);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownCompletionRing {
    return jsonOf('CompletionRing', this, describeCompletionRing);
  }

  #place(): number {
    if (this.#at === NOWHERE) throw invalidState('the cursor stands on no completion; next() moves it');
    return this.#at;
  }

  #word(index: number): number {
    return this.#reader.words[this.#place() + index] ?? 0;
  }

  #long(index: number): number {
    return this.#word(index + LOW) + this.#word(index + HIGH) * HALF_RANGE;
  }

  #moveOut(): void {
    if (this.#at === NOWHERE) return;
    this.#object ??= this.#owner.completionAt(this.#at);
    this.#at = NOWHERE;
    this.#reader.release();
  }

  static {
    moveOutOfRing = (ring) => {
      ring.#moveOut();
    };
    describeCompletionRing = (ring) => {
      const isOpen = ring.#owner.isOpen();
      const isOnOne = ring.#object !== undefined || ring.#at !== NOWHERE;
      const wc = isOnOne ? (ring.#object ?? ring.#owner.completionAt(ring.#at)).toJSON() : undefined;
      return {
        class: 'CompletionRing',
        ...(isOpen && { held: ring.#reader.length + ring.#owner.keptLength() }),
        ...(wc && { wrId: wc.wrId, status: wc.status }),
        state: isOpen ? 'Open' : 'Closed',
      };
    };
    showAs(CompletionRing, 'CompletionRing', (object) =>
      textOf('CompletionRing', object, describeCompletionRing),
    );
  }
}
