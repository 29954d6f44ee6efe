import { illegalConstructor, u32 } from '../internal/arguments';
import { construction } from '../internal/construction';
import { dispose } from '../internal/disposal';
import { Errno, postError, rdmaError, throwOnError } from '../internal/errors';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { PlainNumbers } from '../internal/intrinsics';
import { SrqAttrWord, SrqMask } from '../internal/layout';
import { type NativeSharedReceiveQueue } from '../internal/native';
import { requiredOptionsOf } from '../internal/options';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { dropEntry, holdEntry, watchEvents } from './event-dispatch';
import { RecvQueue } from './recv-queue';
import { listenersChanged, VerbsEmitter } from './verbs-emitter';
import { type Entry, type VerbsHome } from './verbs-registry';
import { encodeRequests, giveBlock, type ReceiveWorkRequest, RequestKind, takeBlock } from './work-requests';

/** Options of {@link ProtectionDomain.createSrq}. */
export interface CreateSrqOptions {
  /** How many receives the queue holds, 1 to the device's `maxSrqWr`. */
  maxWr: number;
  /** How many SGEs a receive can have, 1 to the device's `maxSrqSge`. Default 1. */
  maxSge?: number;
  /** As {@link SrqAttributes.limit}. Default 0. */
  limit?: number;
}

/** Attributes that {@link SharedReceiveQueue.modify} changes. */
export interface SrqAttributes {
  /** How many receives the queue holds, not below the number that it holds now. */
  maxWr?: number;
  /**
   * When a receive is taken and fewer than this many are left, the event `'limit'` is emitted and the limit becomes 0, which means
   * off. 0 to `maxWr`.
   */
  limit?: number;
}

/** Returned by {@link SharedReceiveQueue.query}. */
export interface SrqQuery {
  /** How many receives the queue can hold. */
  maxWr: number;
  /** How many SGEs a receive can have. */
  maxSge: number;
  /** As {@link SrqAttributes.limit}. */
  limit: number;
  /** How many receives the queue holds. */
  held: number;
}

/** The events of a {@link SharedReceiveQueue}. */
export interface SharedReceiveQueueEvents {
  /** The queue holds fewer receives than its limit. The limit is now 0: set it again to get the next event. */
  limit: [];
}

/** Returned by {@link SharedReceiveQueue.toJSON}. */
export interface ShownSharedReceiveQueue extends Shown {
  class: 'SharedReceiveQueue';
  id: number;
  /** As {@link SrqQuery}; this and the next two are absent if the queue is destroyed. */
  maxWr?: number;
  limit?: number;
  held?: number;
  state: 'Open' | 'Closed';
}

/** Returns the native object of a shared receive queue; undefined for any other value. */
export let nativeSrqOf: (value: unknown) => NativeSharedReceiveQueue | undefined;

let describeSharedReceiveQueue: (object: SharedReceiveQueue) => ShownSharedReceiveQueue;

/** Receives the attributes of a queue. */
const attributes = new PlainNumbers(SrqAttrWord.Words);

const recvQueueMethods = {
  create: 'SharedReceiveQueue.recvQueue',
  fill: 'RecvQueue.fill (SharedReceiveQueue)',
  post: 'RecvQueue.post (SharedReceiveQueue)',
} as const;

function readAttributes(): SrqQuery {
  return {
    maxWr: attributes[SrqAttrWord.MaxWr] ?? 0,
    maxSge: attributes[SrqAttrWord.MaxSge] ?? 0,
    limit: attributes[SrqAttrWord.Limit] ?? 0,
    held: attributes[SrqAttrWord.Held] ?? 0,
  };
}

/**
 * A shared receive queue (`struct rvt_srq`): receives that several queue pairs take from.
 *
 * Created by {@link ProtectionDomain.createSrq}. The SGEs of its receives are checked in its own protection domain. A listener of
 * `'limit'` does not keep the process alive.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(Buffer.alloc(4096), { access: Access.LocalWrite });
 * const srq = pd.createSrq({ maxWr: 64, limit: 8 });
 * srq.on('limit', () => console.log('post more receives'));
 * for (let i = 0; i < 16; i++) {
 *   srq.postRecv({ wrId: i, sges: [{ addr: mr.start + 256n * BigInt(i), length: 256, lkey: mr.lkey }] });
 * }
 * console.log(srq.query().held); // 16
 * srq.destroy();
 * ```
 */
export class SharedReceiveQueue extends VerbsEmitter<SharedReceiveQueueEvents> {
  readonly #native: NativeSharedReceiveQueue;
  readonly #id: number;
  readonly #entry: Entry;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(token: typeof construction, native: NativeSharedReceiveQueue, home: VerbsHome) {
    if (token !== construction) throw illegalConstructor();
    super();
    this.#native = native;
    this.#id = throwOnError('ProtectionDomain.createSrq', native.serial());
    this.#entry = {
      object: this,
      isLive: () => native.serial() >= 0,
      deliverEvent: () => {
        this.emit('limit');
      },
      sweep: () => {
        if (native.serial() < 0) dropEntry(this.#entry);
      },
    };
    home.registry.register('srq', this.#id, this.#entry);
    watchEvents(home);
    markUncloneable(this);
  }

  /** Unique on the device and never reused; see {@link Device.resources}. */
  get id(): number {
    return this.#id;
  }

  /**
   * Posts receives. The SGEs are checked when a message arrives, not by this call.
   *
   * Kernel: `rvt_post_srq_recv`.
   *
   * @param wrs - one work request or a list of them, in the order in which they are used
   * @throws RdmaError `EINVAL`: more SGEs than the queue's `maxSge`; `ENOMEM`: the queue is full; `EBADF`: the queue is destroyed.
   *   The work requests before the one at fault are posted
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`): nothing is posted
   */
  postRecv(wrs: ReceiveWorkRequest | readonly ReceiveWorkRequest[]): void {
    const self = this.#native;
    const block = takeBlock();
    try {
      encodeRequests(block, wrs, RequestKind.Receive, 'SharedReceiveQueue.postRecv');
      const status = block.postRecvTo(self);
      if (status < 0) throw postError('SharedReceiveQueue.postRecv', status, block.bad);
    } finally {
      giveBlock(block);
    }
  }

  /**
   * Creates a packed receive queue, which posts many receives in one call without allocating. See {@link RecvQueue}.
   *
   * @param capacity - number of slots, 1..2^20
   * @returns the new queue
   * @throws RdmaError `EBADF`: the queue is destroyed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`; or no memory)
   */
  recvQueue(capacity: number): RecvQueue {
    throwOnError('SharedReceiveQueue.recvQueue', this.#native.query(attributes));
    const { maxSge } = readAttributes();
    return new RecvQueue(construction, this, this.#native, recvQueueMethods, maxSge, capacity);
  }

  /**
   * Changes the size of the queue, its limit, or both. Either all changes take effect or none.
   *
   * Kernel: `rvt_modify_srq`.
   *
   * @throws RdmaError `EINVAL`: `maxWr` is above the device's, or below the number of receives held; the limit is above `maxWr`
   * @throws RdmaError `ENOMEM`; `EBADF`: the queue is destroyed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  modify(changes: SrqAttributes): void {
    const self = this.#native;
    const { maxWr: givenWr, limit: givenLimit } = requiredOptionsOf<SrqAttributes>(changes, [
      'maxWr',
      'limit',
    ]);
    const maxWr = givenWr === undefined ? undefined : u32(givenWr, 'options.maxWr');
    const limit = givenLimit === undefined ? undefined : u32(givenLimit, 'options.limit');
    const mask = (maxWr === undefined ? 0 : SrqMask.MaxWr) | (limit === undefined ? 0 : SrqMask.Limit);
    throwOnError('SharedReceiveQueue.modify', self.modify(mask, maxWr ?? 0, limit ?? 0));
  }

  /**
   * Returns the attributes of the queue.
   *
   * Kernel: `rvt_query_srq`.
   *
   * @throws RdmaError `EBADF`: the queue is destroyed
   */
  query(): SrqQuery {
    throwOnError('SharedReceiveQueue.query', this.#native.query(attributes));
    return readAttributes();
  }

  /** Returns a one-line description of the queue. Never throws. */
  override toString(): string {
    return textOf('SharedReceiveQueue', this, describeSharedReceiveQueue);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownSharedReceiveQueue {
    return jsonOf('SharedReceiveQueue', this, describeSharedReceiveQueue);
  }

  /**
   * Destroys the queue with the receives that it holds. A second call after success is a no-op.
   *
   * Kernel: `rvt_destroy_srq`.
   *
   * @throws RdmaError `EBUSY`: queue pairs use the queue
   */
  destroy(): void {
    const status = this.#native.destroy();
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('SharedReceiveQueue.destroy', status);
    dropEntry(this.#entry);
  }

  /** Destroys the queue, unless queue pairs use it. Never throws. */
  [dispose](): void {
    const status = this.#native.destroy();
    if (status === 0 || status === -Errno.EBADF) dropEntry(this.#entry);
  }

  /** @internal */
  protected override [listenersChanged](): void {
    if (this.listenerCount('limit') > 0 && this.#native.serial() >= 0) holdEntry(this.#entry);
    else dropEntry(this.#entry);
  }

  static {
    nativeSrqOf = (value) =>
      typeof value === 'object' && value !== null && #native in value ? value.#native : undefined;
    describeSharedReceiveQueue = (srq) => {
      const isOpen = srq.#native.query(attributes) === 0;
      const { maxWr, limit, held } = readAttributes();
      return {
        class: 'SharedReceiveQueue',
        id: srq.#id,
        ...(isOpen && { maxWr, limit, held }),
        state: isOpen ? 'Open' : 'Closed',
      };
    };
    showAs(SharedReceiveQueue, 'SharedReceiveQueue', (object) =>
      textOf('SharedReceiveQueue', object, describeSharedReceiveQueue),
    );
  }
}
