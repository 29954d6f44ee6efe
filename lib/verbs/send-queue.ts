import { boolean, illegalConstructor, u32 } from '../internal/arguments';
import { construction } from '../internal/construction';
import { rdmaError, type RdmaError, resultOf } from '../internal/errors';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { ownList } from '../internal/intrinsics';
import { SendFlag, SendWrWord, WR_UNFILLED } from '../internal/layout';
import {
  native,
  type NativeAddressHandle,
  type NativeQueuePair,
  type NativeSendQueue,
} from '../internal/native';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { type Lkey, type Rkey } from './keys';
import { type MemoryRegion } from './memory-region';
import { Slots, tooManySges } from './packed-slots';
import { type QpType } from './qp-types';
import { type QueuePair } from './queue-pair';
import { encodeRequest, giveBlock, type RequestKind, type SendWorkRequest, takeBlock } from './work-requests';

/** Returned by {@link SendQueue.toJSON}. */
export interface ShownSendQueue extends Shown {
  class: 'SendQueue';
  /** {@link QueuePair.id} of the queue pair. */
  qp: number;
  capacity: number;
}

let describeSendQueue: (object: SendQueue) => ShownSendQueue;

/**
 * Send work requests packed in a block of shared memory: filled once, changed by setters that allocate nothing, and posted in one
 * native call without arguments. The fast way to post many small work requests; {@link QueuePair.postSend} does the same with
 * objects.
 *
 * The block has `capacity` slots. A slot keeps its work request until it is filled again, so it can be posted any number of times.
 * Posting copies the work request: the slot may be changed as soon as {@link SendQueue.post} has returned. The queue pair's own
 * limit `maxSendWr` says how many can be outstanding, whatever the capacity is. A queue pair may have any number of these queues.
 *
 * Created by {@link QueuePair.sendQueue}. Once the queue pair is destroyed, {@link SendQueue.post} posts nothing.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const device = new Device();
 * const pd = device.allocPd();
 * const cq = device.createCq(64);
 * const qp = pd.createQp({ type: 'RC', sendCq: cq, maxSendWr: 64 });
 * qp.connect(qp, { access: Access.RemoteWrite });
 * const from = pd.regUserMr(Buffer.alloc(4096, 'x'));
 * const target = Buffer.alloc(4096);
 * const to = pd.regUserMr(target, { access: Access.LocalWrite | Access.RemoteWrite });
 *
 * const sends = qp.sendQueue(64);
 * for (let i = 0; i < 64; i++) {
 *   const offset = 64n * BigInt(i);
 *   sends.fill(i, {
 *     opcode: 'RDMA_WRITE',
 *     sges: [{ addr: from.start + offset, length: 64, lkey: from.lkey }],
 *     remoteAddr: to.iova + offset,
 *     rkey: to.rkey,
 *   });
 * }
 * sends.setSignaled(63, true); // one completion for all
 * console.log(sends.post(64)); // 64
 * console.log(cq.poll().length, target.toString('latin1', 4094)); // 1 xx
 * ```
 */
export class SendQueue<Type extends QpType = QpType> {
  /** The queue pair. */
  readonly qp: QueuePair<Type>;
  /** Number of slots. */
  readonly capacity: number;
  readonly #slots: Slots;
  readonly #native: NativeSendQueue;
  readonly #kind: RequestKind;
  /** The address handle that the native queue keeps for each slot. */
  readonly #ahs = ownList<NativeAddressHandle | undefined>();
  /** The regions of REG_MR, by slot: an object that is collected could give its name to another region. */
  readonly #regions = ownList<MemoryRegion | undefined>();
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(
    token: typeof construction,
    qp: QueuePair<Type>,
    nativeQp: NativeQueuePair,
    kind: RequestKind,
    maxSge: number,
    capacity: unknown,
  ) {
    if (token !== construction) throw illegalConstructor();
    const slots = new Slots('SendQueue.post', capacity, SendWrWord.Words, maxSge);
    this.#native = resultOf(
      'QueuePair.sendQueue',
      native.createSendQueue(nativeQp, slots.bytes, slots.capacity),
    );
    slots.postNative = this.#native.post;
    for (let i = 0; i < slots.capacity; i++) slots.words[i * slots.stride + SendWrWord.Opcode] = WR_UNFILLED;
    this.qp = qp;
    this.capacity = slots.capacity;
    this.#slots = slots;
    this.#kind = kind;
    markUncloneable(this);
  }

  /**
   * Writes a work request to a slot. A call that throws leaves the slot as it was.
   *
   * @param index - 0..capacity-1
   * @param wr - as for {@link QueuePair.postSend}
   * @throws RdmaError `EINVAL`: more SGEs than the queue pair's `maxSendSge`; the rights of a REG_MR are invalid. `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  fill(index: number, wr: SendWorkRequest<Type>): void {
    const slots = this.#slots;
    const at = slots.at(index);
    const block = takeBlock();
    try {
      encodeRequest(block, wr, this.#kind, 'SendQueue.fill');
      const { words, used } = block;
      const numSge = words[SendWrWord.NumSge] ?? 0;
      if (numSge > slots.maxSge) throw tooManySges('SendQueue.fill', numSge, slots.maxSge);
      const ah = block.ahs[0];
      if (ah !== undefined) this.#keepAh(index, ah);
      words[SendWrWord.Ah] = index;
      this.#regions[index] = block.region;
      slots.copy(at, words, used);
    } finally {
      giveBlock(block);
    }
  }

  /**
   * Changes the first SGE of a slot. A work request without SGEs has one then.
   *
   * @param index - 0..capacity-1
   * @param addr - address of the first byte, 0..2^64-1; a number is cheaper than a bigint
   * @param length - bytes, 0..2^32-1
   * @param lkey - the lkey of the region
   * @throws RdmaError `EINVAL`: the queue pair's `maxSendSge` is 0
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  setLocal(index: number, addr: bigint | number, length: number, lkey: Lkey): void {
    const slots = this.#slots;
    slots.storeLocal('SendQueue.fill', slots.at(index), addr, length, lkey, SendWrWord.NumSge);
  }

  /**
   * Changes the remote address and key of a slot.
   *
   * @param index - 0..capacity-1
   * @param addr - remote address of the first byte, 0..2^64-1; a number is cheaper than a bigint
   * @param rkey - the rkey of the region
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  setRemote(index: number, addr: bigint | number, rkey: Rkey): void {
    const slots = this.#slots;
    const at = slots.at(index);
    if (typeof rkey !== 'number' || rkey >>> 0 !== rkey) u32(rkey, 'rkey');
    slots.storeLong(at + SendWrWord.RemoteAddr, addr, 'addr');
    slots.words[at + SendWrWord.Rkey] = rkey;
  }

  /**
   * Changes the wr_id of a slot ({@link SendWorkRequestBase.wrId}).
   *
   * @param index - 0..capacity-1
   * @param wrId - 0..2^64-1; a number is cheaper than a bigint
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  setId(index: number, wrId: bigint | number): void {
    const slots = this.#slots;
    slots.storeLong(slots.at(index) + SendWrWord.Id, wrId, 'wrId');
  }

  /**
   * Changes whether the work request of a slot is signaled ({@link SendWorkRequestBase.signaled}).
   *
   * @param index - 0..capacity-1
   * @param signaled - whether it has a completion if it succeeds
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  setSignaled(index: number, signaled: boolean): void {
    const slots = this.#slots;
    const at = slots.at(index) + SendWrWord.Flags;
    const flags = slots.words[at] ?? 0;
    slots.words[at] = boolean(signaled, 'signaled') ? flags | SendFlag.Signaled : flags & ~SendFlag.Signaled;
  }

  /**
   * Posts the work requests of `count` slots, in order, as {@link QueuePair.postSend} posts a list. Does not throw if one is
   * refused: those before it are posted, and {@link SendQueue.error} says why it was refused. A slot that was never filled is
   * refused.
   *
   * Kernel: `rvt_post_send`.
   *
   * @param count - how many, 0..capacity-first
   * @param first - the first slot, 0..capacity
   * @returns how many were posted: `count`, unless one was refused
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`): nothing was posted
   */
  post(count: number, first = 0): number {
    return this.#slots.post(count, first);
  }

  /**
   * Why the last {@link SendQueue.post} did not post all: the error that {@link QueuePair.postSend} would have thrown, with
   * {@link RdmaError.index} and {@link RdmaError.posted} relative to the first slot posted. Undefined if it posted all. Created
   * when it is read.
   */
  get error(): RdmaError | undefined {
    return this.#slots.error;
  }

  /** Returns a one-line description of the queue. Never throws. */
  toString(): string {
    return textOf('SendQueue', this, describeSendQueue);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownSendQueue {
    return jsonOf('SendQueue', this, describeSendQueue);
  }

  /** Gives the native queue the address handle of a slot, unless it has it. */
  #keepAh(index: number, ah: NativeAddressHandle): void {
    if (this.#ahs[index] === ah) return;
    const status = this.#native.setAh(index, ah);
    if (status < 0) throw rdmaError('SendQueue.fill', status);
    this.#ahs[index] = ah;
  }

  static {
    describeSendQueue = (queue) => ({
      class: 'SendQueue',
      qp: queue.qp.id,
      capacity: queue.#slots.capacity,
    });
    showAs(SendQueue, 'SendQueue', (object) => textOf('SendQueue', object, describeSendQueue));
  }
}
