import { illegalConstructor } from '../internal/arguments';
import { construction } from '../internal/construction';
import { type RdmaError, resultOf } from '../internal/errors';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { RecvWrWord } from '../internal/layout';
import { type Method } from '../internal/methods';
import { native, type NativeQueuePair, type NativeSharedReceiveQueue } from '../internal/native';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { type Lkey } from './keys';
import { Slots, tooManySges } from './packed-slots';
import { type QueuePair } from './queue-pair';
import { type SharedReceiveQueue } from './shared-receive-queue';
import { encodeRequest, giveBlock, type ReceiveWorkRequest, RequestKind, takeBlock } from './work-requests';

/** Returned by {@link RecvQueue.toJSON}. */
export interface ShownRecvQueue extends Shown {
  class: 'RecvQueue';
  /** `id` of the queue pair or of the shared receive queue. */
  owner: number;
  capacity: number;
}

/** The methods of a packed receive queue, as errors name them. */
export interface RecvQueueMethods {
  readonly create: Method;
  readonly fill: Method;
  readonly post: Method;
}

let describeRecvQueue: (object: RecvQueue) => ShownRecvQueue;

/**
 * Receives packed in a block of shared memory, posted in one native call without arguments. See {@link SendQueue}, which is the
 * same for sends.
 *
 * Created by {@link QueuePair.recvQueue} and {@link SharedReceiveQueue.recvQueue}. A slot that was never filled is a receive
 * without SGEs. Once the queue pair or the shared receive queue is destroyed, {@link RecvQueue.post} posts nothing.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const device = new Device();
 * const pd = device.allocPd();
 * const mr = pd.regUserMr(Buffer.alloc(4096), { access: Access.LocalWrite });
 * const srq = pd.createSrq({ maxWr: 64 });
 * const receives = srq.recvQueue(64);
 * for (let i = 0; i < 64; i++) {
 *   receives.fill(i, { wrId: i, sges: [{ addr: mr.start + 64n * BigInt(i), length: 64, lkey: mr.lkey }] });
 * }
 * console.log(receives.post(64)); // 64
 * console.log(receives.post(1), receives.error?.code); // 0 ENOMEM
 * ```
 */
export class RecvQueue {
  /** The queue that the receives are posted to. */
  readonly owner: QueuePair | SharedReceiveQueue;
  /** Number of slots. */
  readonly capacity: number;
  readonly #slots: Slots;
  readonly #fillMethod: Method;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(
    token: typeof construction,
    owner: QueuePair | SharedReceiveQueue,
    nativeOwner: NativeQueuePair | NativeSharedReceiveQueue,
    methods: RecvQueueMethods,
    maxSge: number,
    capacity: unknown,
  ) {
    if (token !== construction) throw illegalConstructor();
    const slots = new Slots(methods.post, capacity, RecvWrWord.Words, maxSge);
    slots.postNative = resultOf(
      methods.create,
      native.createRecvQueue(nativeOwner, slots.bytes, slots.capacity),
    ).post;
    this.owner = owner;
    this.capacity = slots.capacity;
    this.#slots = slots;
    this.#fillMethod = methods.fill;
    markUncloneable(this);
  }

  /**
   * Writes a receive to a slot. A call that throws leaves the slot as it was.
   *
   * @param index - 0..capacity-1
   * @param wr - as for {@link QueuePair.postRecv}
   * @throws RdmaError `EINVAL`: more SGEs than the queue takes
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  fill(index: number, wr: ReceiveWorkRequest): void {
    const slots = this.#slots;
    const at = slots.at(index);
    const block = takeBlock();
    try {
      encodeRequest(block, wr, RequestKind.Receive, this.#fillMethod);
      const numSge = block.words[RecvWrWord.NumSge] ?? 0;
      if (numSge > slots.maxSge) throw tooManySges(this.#fillMethod, numSge, slots.maxSge);
      slots.copy(at, block.words, block.used);
    } finally {
      giveBlock(block);
    }
  }

  /**
   * Changes the first SGE of a slot. A receive without SGEs has one then.
   *
   * @param index - 0..capacity-1
   * @param addr - address of the first byte, 0..2^64-1; a number is cheaper than a bigint
   * @param length - bytes, 0..2^32-1
   * @param lkey - the lkey of the region
   * @throws RdmaError `EINVAL`: the queue takes no SGEs
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  setLocal(index: number, addr: bigint | number, length: number, lkey: Lkey): void {
    const slots = this.#slots;
    slots.storeLocal(this.#fillMethod, slots.at(index), addr, length, lkey, RecvWrWord.NumSge);
  }

  /**
   * Changes the wr_id of a slot ({@link ReceiveWorkRequest.wrId}).
   *
   * @param index - 0..capacity-1
   * @param wrId - 0..2^64-1; a number is cheaper than a bigint
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  setId(index: number, wrId: bigint | number): void {
    const slots = this.#slots;
    slots.storeLong(slots.at(index) + RecvWrWord.Id, wrId, 'wrId');
  }

  /**
   * Posts the receives of `count` slots, in order, as {@link QueuePair.postRecv} posts a list. Does not throw if one is refused:
   * those before it are posted, and {@link RecvQueue.error} says why it was refused.
   *
   * Kernel: `rvt_post_recv` or `rvt_post_srq_recv`.
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
   * Why the last {@link RecvQueue.post} did not post all: the error that {@link QueuePair.postRecv} would have thrown, with
   * {@link RdmaError.index} and {@link RdmaError.posted} relative to the first slot posted. Undefined if it posted all. Created
   * when it is read.
   */
  get error(): RdmaError | undefined {
    return this.#slots.error;
  }

  /** Returns a one-line description of the queue. Never throws. */
  toString(): string {
    return textOf('RecvQueue', this, describeRecvQueue);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownRecvQueue {
    return jsonOf('RecvQueue', this, describeRecvQueue);
  }

  static {
    describeRecvQueue = (queue) => ({
      class: 'RecvQueue',
      owner: queue.owner.id,
      capacity: queue.#slots.capacity,
    });
    showAs(RecvQueue, 'RecvQueue', (object) => textOf('RecvQueue', object, describeRecvQueue));
  }
}
