import { abortSignal } from '../internal/abort-signal';
import { type Access, readAccessBits, readRegionAccess } from './access';
import { type AddressHandle } from './address-handle';
import {
  illegalConstructor,
  invalidType,
  invalidValue,
  propertiesOf,
  u8,
  u32,
  u64,
} from '../internal/arguments';
import { type Completion } from './completion';
import { type CompletionQueue } from './completion-queue';
import { dropEntry, holdEntry, watchEvents } from './event-dispatch';
import { optionsOf, requiredOptionsOf } from '../internal/options';
import { type Asker } from './asker';
import { Checker } from './checker';
import { acquireAccess, checkAccess, type CheckedPlace, type RemoteCheck } from './check-result';
import { dispose } from '../internal/disposal';
import {
  Errno,
  explainedError,
  postError,
  RdmaError,
  rdmaError,
  throwOnError,
  withIndex,
} from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { PlainNumbers } from '../internal/intrinsics';
import { Limit, QpAttribute, QpAttrWord, QpState, VerbsEvent } from '../internal/layout';
import { isMemoryRegion, type MemoryRegion } from './memory-region';
import { type Method, operationOf } from '../internal/methods';
import { type NativeEndpoint, type NativeQueuePair, type Status } from '../internal/native';
import { OperationQueue, type OwnRequest } from './operation-queue';
import { type LocalSge } from './protection-domain';
import { decodeQuery, encodeAttributes, mtuNumber, type QpAttributes, type QpQuery } from './qp-attributes';
import { setQpLookUp } from './qp-native';
import { type QpType } from './qp-types';
import {
  type ActivateOptions,
  type ConnectOptions,
  type FastRegMrOptions,
  type OperationOptions,
  type RemoteMemory,
  type RemoteRequest,
  type SendOptions,
  type WireConnectOptions,
  type WriteOptions,
} from './queue-pair-options';
import { readOldValue } from './old-value';
import { RecvQueue } from './recv-queue';
import { SendQueue } from './send-queue';
import { qpStateName, type QpStateName } from '../internal/verbs-names';
import { listenersChanged, VerbsEmitter } from './verbs-emitter';
import { type QueuePairEntry, type VerbsHome } from './verbs-registry';
import { type SharedReceiveQueue } from './shared-receive-queue';
import {
  encodeRequests,
  giveBlock,
  type ReceiveWorkRequest,
  RequestKind,
  type SendOpcode,
  type SendWorkRequest,
  takeBlock,
  type WorkRequestBlock,
} from './work-requests';
import { construction } from '../internal/construction';
import { instance, markUncloneable, nextInstance } from '../internal/instance';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { storeAccess } from '../internal/element';
import { storeRegion } from '../internal/region-name';
import { randomPsn } from '../internal/wire-numbers';
import { nameOf } from './region';
import { isRemoteRight, remoteRightError } from './remote-right';
import { type RegionTable } from './region-registry';
import { CheckBatch, type CheckBatchOptions } from './check-batch';
import {
  endpointOption,
  FirstPsn,
  mostReadsOf,
  readPsn,
  readWireConnectOptions,
  type WireAttributes,
} from './wire-connection';

/** The queues and sizes of a new queue pair. */
export interface QueuePairSetup {
  readonly type: QpType;
  readonly home: VerbsHome;
  /** The domain of the queue pair. */
  readonly local: Asker;
  readonly sendCq: CompletionQueue;
  readonly recvCq: CompletionQueue;
  readonly srq: SharedReceiveQueue | undefined;
  readonly maxPending: number;
}

/** Returned by {@link QueuePair.toJSON}. */
export interface ShownQueuePair extends Shown {
  class: 'QueuePair';
  id: number;
  /** Absent for a queue pair without queues. */
  type?: QpType;
  /** Absent for a queue pair without queues. */
  qpn?: number;
  /** `'Open'` for a queue pair without queues, else its state; `'Closed'` once it is destroyed. */
  state: 'Open' | 'Closed' | QpStateName;
}

/** Returns the native object of a queue pair; undefined for any other value. */
export let nativeQpOf: (value: unknown) => NativeQueuePair | undefined;

/** Returns what a peer at the other end of a network must know of a queue pair, or throws ({@link Endpoint.describe}). */
export let localEndOf: (method: Method, value: unknown, home: VerbsHome) => { qpn: number; psn: number };

/** What connections of an endpoint's connection manager do with a queue pair. */
export interface ManagedQueuePair {
  readonly qp: QueuePair<'RC'>;
  readonly qpn: number;
  /** Most reads and atomics that can be outstanding in either direction. */
  readonly mostReads: number;
  readonly hasSrq: boolean;
  /** Brings the queue pair from RESET or INIT to RTS, or throws; then it is in RESET. */
  connect(method: Method, endpoint: NativeEndpoint, attributes: WireAttributes): void;
  /** Takes `connect` back: the queue pair is in RESET. */
  undo(): void;
  /** Puts the queue pair into the error state, unless it was connected again or reset since `connect`. Never throws. */
  stop(): void;
}

/**
 * Prepares a queue pair for a connection of the connection manager.
 *
 * @throws RdmaError `EINVAL`, `EOPNOTSUPP`, `EBADF`; TypeError (`ERR_INVALID_ARG_TYPE`)
 */
export let manageQp: (method: Method, value: unknown, home: VerbsHome) => ManagedQueuePair;

let describeQueuePair: (object: QueuePair) => ShownQueuePair;
/** Filled by every query; read before any other call. */
const queried = new PlainNumbers(QpAttrWord.Words);

/** The events of a {@link QueuePair}. */
export interface QueuePairEvents {
  /**
   * The queue pair, which uses a shared receive queue, went into the error state: it takes no further receives, so its last
   * completion is in the completion queue.
   */
  lastWqe: [];
}

/**
 * A queue pair (`struct rvt_qp`).
 *
 * Created by {@link ProtectionDomain.createQp}: without options a queue pair of type `CHECK`, which only checks a peer's requests
 * against the queue pair's protection domain; with a type and completion queues one that carries out work requests.
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(Buffer.alloc(4096), { access: Access.RemoteRead });
 * const qp = pd.createQp();
 * const request = { vaddr: mr.iova, length: 64, rkey: mr.rkey };
 * console.log(qp.check(request, Access.RemoteRead).ok); // true
 * const check = qp.check(request, Access.RemoteWrite);
 * console.log(check.ok || check.reason); // AccessDenied
 * ```
 *
 * @example
 * ```ts
 * import { Access, Device } from 'rdmavt';
 *
 * const device = new Device();
 * const pd = device.allocPd();
 * const cq = device.createCq(64);
 * const qp = pd.createQp({ type: 'RC', sendCq: cq });
 * const peer = pd.createQp({ type: 'RC', sendCq: cq });
 * qp.connect(peer, { access: Access.RemoteWrite });
 * const source = pd.regUserMr(Buffer.from('hello'));
 * const target = Buffer.alloc(5);
 * const mr = pd.regUserMr(target, { access: Access.LocalWrite | Access.RemoteWrite });
 * await qp.write({ addr: source.start, length: 5, lkey: source.lkey }, mr.advertise());
 * console.log(target.toString()); // hello
 * ```
 */
export class QueuePair<Type extends QpType = QpType> extends VerbsEmitter<QueuePairEvents> {
  readonly #native: NativeQueuePair;
  /** What a posting needs, here and not in #asker or #setup: with many queue pairs, each object read is out of the cache. */
  readonly #number: number;
  readonly #sendKind: RequestKind;
  readonly #asker: Asker;
  readonly #setup: QueuePairSetup | undefined;
  readonly #qpn: number;
  readonly #entry: QueuePairEntry | undefined;
  /** How many reasons there are to keep the object from being garbage-collected. */
  #busy = 0;
  #isListened = false;
  /** Whether the queue pair is, or was last, connected through an endpoint. */
  #isWired = false;
  readonly #firstPsn = new FirstPsn();
  /** Counts connections through endpoints. */
  #connections = 0;
  #sends: OperationQueue | undefined;
  #receives: OperationQueue | undefined;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /** @internal */
  constructor(
    token: typeof construction,
    native: NativeQueuePair,
    table: RegionTable,
    setup?: QueuePairSetup,
  ) {
    if (token !== construction) throw illegalConstructor();
    super();
    this.#native = native;
    const id = throwOnError('ProtectionDomain.createQp', native.serial()); // another thread may have closed the domain
    this.#number = native.number();
    this.#sendKind = setup?.type === 'UD' ? RequestKind.Datagram : RequestKind.Send;
    this.#asker = { native, number: this.#number, id, remote: true, table };
    this.#setup = setup;
    this.#qpn = setup === undefined ? 0 : throwOnError('ProtectionDomain.createQp', native.qpn());
    markUncloneable(this);
    if (setup === undefined) return;
    const entry: QueuePairEntry = {
      object: this,
      local: setup.local,
      peers: this.#asker,
      isLive: () => native.serial() >= 0,
      sweep: () => {
        if (native.serial() < 0) this.#ended();
      },
      deliverEvent: (event) => {
        if (event === VerbsEvent.LastWqe) this.emit('lastWqe');
      },
    };
    this.#entry = entry;
    setup.home.registry.register('qp', id, entry);
    watchEvents(setup.home);
  }

  /** Unique on the device and never reused; see {@link Device.resources}. */
  get id(): number {
    return this.#asker.id;
  }

  /**
   * Checks a peer's access, by remote address, and takes a reference on the region. After the queue pair, its domain or its
   * device is closed, every access is refused with `'Closed'`.
   *
   * Kernel: `rvt_rkey_ok`, which accepts a request if the region grants any bit of the mask. This method requires a mask of
   * exactly one remote right: a mask that includes LocalWrite would give the peer access to memory that only this program may
   * write.
   *
   * An empty request (length 0) is checked like any other: it needs a valid key and an address inside the region or at its end.
   * The kernel's callers skip empty requests before the check; a program that serves peers should skip them too.
   *
   * @param request - the address range and key from the peer's request
   * @param access - the right that the peer's operation needs: exactly one of RemoteRead, RemoteWrite and RemoteAtomic
   * @returns the new element, which the caller must put; or the refusal with its reason
   * @throws RdmaError `ENOMEM`: the region is held 2^32-1 times
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  acquire(request: RemoteRequest, access: Access): RemoteCheck {
    // Read all properties before the first store: a getter may run a check and overwrite the block.
    const { vaddr, length, rkey } = propertiesOf<RemoteRequest>(request, 'request');
    const asker = this.#asker;
    storeRequest(asker, vaddr, length, rkey, access);
    // storeRequest has validated the types, so the casts are safe. A remote check is never coalesced.
    return acquireAccess(
      asker,
      vaddr as bigint,
      length as number,
      rkey as number,
      access,
      undefined,
    ) as RemoteCheck;
  }

  /**
   * Checks a peer's access like {@link QueuePair.acquire}, but takes no reference: there is nothing to put, and the region can be
   * deregistered at any time.
   *
   * @param request - the address range and key from the peer's request
   * @param access - the right that the peer's operation needs: exactly one of RemoteRead, RemoteWrite and RemoteAtomic
   * @returns where the bytes lie, or the refusal with its reason
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  check(request: RemoteRequest, access: Access): CheckedPlace {
    const { vaddr, length, rkey } = propertiesOf<RemoteRequest>(request, 'request');
    const asker = this.#asker;
    storeRequest(asker, vaddr, length, rkey, access);
    return checkAccess(asker, vaddr as bigint, length as number, rkey as number, access);
  }

  /**
   * Creates a batch, which performs many remote checks in one call.
   *
   * @param capacity - number of elements, 1..2^24
   * @returns the new batch
   * @throws RdmaError `EBADF`: the queue pair is closed; TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  rkeyBatch(capacity: number, options: CheckBatchOptions = {}): CheckBatch {
    return new CheckBatch(construction, this.#asker, capacity, options);
  }

  /**
   * Creates a checker, which performs one remote check per call without allocating. See {@link Checker}.
   *
   * @returns the new checker
   * @throws RdmaError `EBADF`: the queue pair is closed
   */
  checker(): Checker {
    return new Checker(construction, this.#asker);
  }

  /**
   * Gives a region of {@link ProtectionDomain.allocMr} a new key, new rights and optionally a new remote address, and makes it
   * valid. The local address set by {@link MemoryRegion.mapSg} does not change.
   *
   * Even if the call fails with `EACCES` or `EINVAL`, a given `iova` is stored, unless the rights are invalid or the region is on
   * another device.
   *
   * Kernel: `rvt_fast_reg_mr`.
   *
   * @throws RdmaError `EACCES`: the region is in another protection domain
   * @throws RdmaError `EINVAL`: the rights are invalid; the region is on another device, is not from `allocMr`, or is half-dead;
   *   the upper 24 bits of the key differ; the mapping would end beyond 2^64
   * @throws RdmaError `EBADF`: the queue pair or the region is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  fastRegMr(region: MemoryRegion, options: FastRegMrOptions): void {
    const self = this.#native;
    if (!isMemoryRegion(region)) throw invalidType('region', 'an instance of MemoryRegion', region);
    const {
      key: givenKey,
      access: givenAccess,
      iova: givenIova,
    } = requiredOptionsOf<FastRegMrOptions>(options, ['key', 'access', 'iova']);
    const key = u32(givenKey, 'options.key');
    const iova = givenIova === undefined ? undefined : u64(givenIova, 'options.iova');
    const access = readRegionAccess('QueuePair.fastRegMr', givenAccess, 'options.access');
    storeRegion(nameOf(region));
    throwOnError('QueuePair.fastRegMr', self.fastRegMr(key, access, iova));
  }

  /**
   * Invalidates a key: checks refuse the key until {@link QueuePair.fastRegMr} makes the region valid again. Works on every kind
   * of region that has a key. Invalidating a key twice is not an error.
   *
   * Kernel: `rvt_invalidate_rkey`.
   *
   * @param rkey - the current key of a region in this queue pair's domain
   * @throws RdmaError `EINVAL`: key 0; no region has exactly this key; the region is in another protection domain
   * @throws RdmaError `EBADF`: the queue pair is closed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  invalidateRkey(rkey: Rkey): void {
    throwOnError('QueuePair.invalidateRkey', this.#native.invalidateRkey(u32(rkey, 'rkey')));
  }

  /** Type of the queue pair. */
  get type(): Type {
    return (this.#setup?.type ?? 'CHECK') as Type;
  }

  /**
   * Number of the queue pair, by which peers name it; 0 for a queue pair without queues. Random if the device's keys are
   * ({@link DeviceOptions.keyPolicy}), and then a later queue pair may get the number of one that was destroyed; else 2, 3, 4, ...
   */
  get qpn(): number {
    return this.#qpn;
  }

  /** The queue for completions of sends; undefined for a queue pair without queues. */
  get sendCq(): CompletionQueue | undefined {
    return this.#setup?.sendCq;
  }

  /** The queue for completions of receives; undefined for a queue pair without queues. */
  get recvCq(): CompletionQueue | undefined {
    return this.#setup?.recvCq;
  }

  /** The shared receive queue; undefined if the queue pair has its own. */
  get srq(): SharedReceiveQueue | undefined {
    return this.#setup?.srq;
  }

  /**
   * State of the queue pair.
   *
   * @throws RdmaError `EINVAL`: the queue pair has no queues; `EBADF`: it is destroyed
   */
  get state(): QpStateName {
    this.#query('QueuePair.query');
    return qpStateName(queried[QpAttrWord.State] ?? 0) ?? 'RESET';
  }

  /**
   * Changes the state or other attributes of the queue pair. All or nothing.
   *
   * RESET drops posted sends, without completions; posted receives stay. ERR completes posted sends and receives with
   * `WR_FLUSH_ERR`.
   *
   * Kernel: `rvt_modify_qp`.
   *
   * @param attributes - the new attributes; `{ state: 'INIT', ... }`
   * @throws RdmaError `EINVAL`: there is no such change of state; an attribute is missing, not allowed, or has an invalid value;
   *   the queue pair has no queues. `EBADF`: it is destroyed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  modify(this: QueuePair<'RC' | 'UC' | 'UD'>, attributes: QpAttributes): void {
    this.#modify('QueuePair.modify', attributes, 'attributes');
  }

  /**
   * Returns all attributes of the queue pair, and the sizes of its queues.
   *
   * Kernel: `rvt_query_qp`.
   *
   * @throws RdmaError `EINVAL`: the queue pair has no queues; `EBADF`: it is destroyed
   */
  query(this: QueuePair<'RC' | 'UC' | 'UD'>): QpQuery {
    this.#query('QueuePair.query');
    return decodeQuery(queried);
  }

  /**
   * Posts send work requests. Those before the first refused one are accepted, also if the call throws. The keys and bounds of the
   * elements are checked by this call, their bytes are read or written when the engine carries out the work request: in this call,
   * unless the device is in the manual mode or the peer is not ready.
   *
   * Kernel: `rvt_post_send`.
   *
   * @param wrs - a work request, or a list of them
   * @throws RdmaError `EINVAL`: an element was refused; a work request is invalid; the state is not RTS, SQD or ERR; the queue pair
   *   has no queues. `ENOMEM`: the queue is full. `EACCES`: the region of a REG_MR is in another domain. `EBADF`: the queue pair is
   *   destroyed. {@link RdmaError.index} says which work request was refused, {@link RdmaError.posted} how many were accepted
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`): nothing was posted
   */
  postSend(
    this: QueuePair<'RC' | 'UC' | 'UD'>,
    wrs: SendWorkRequest<Type> | readonly SendWorkRequest<Type>[],
  ): void {
    this.#postAll('QueuePair.postSend', wrs, this.#sendKind);
  }

  /**
   * Posts receives. Those before the first refused one are accepted, also if the call throws. Their elements are checked when a
   * message arrives.
   *
   * Kernel: `rvt_post_recv`.
   *
   * @param wrs - a receive, or a list of them
   * @throws RdmaError `EINVAL`: too many elements; the state is RESET; the queue pair uses a shared receive queue, or has no queues.
   *   `ENOMEM`: the queue is full. `EBADF`: the queue pair is destroyed. {@link RdmaError.index} says which receive was refused
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`): nothing was posted
   */
  postRecv(
    this: QueuePair<'RC' | 'UC' | 'UD'>,
    wrs: ReceiveWorkRequest | readonly ReceiveWorkRequest[],
  ): void {
    this.#postAll('QueuePair.postRecv', wrs, RequestKind.Receive);
  }

  /**
   * Creates a packed send queue, which posts many work requests in one call without allocating. See {@link SendQueue}.
   *
   * @param capacity - number of slots, 1..2^20
   * @returns the new queue
   * @throws RdmaError `EINVAL`: the queue pair has no queues; `EBADF`: it is destroyed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`; or no memory)
   */
  sendQueue(this: QueuePair<'RC' | 'UC' | 'UD'>, capacity: number): SendQueue<Type> {
    this.#query('QueuePair.sendQueue');
    const maxSge = queried[QpAttrWord.MaxSendSge] ?? 0;
    return new SendQueue<Type>(
      construction,
      this as QueuePair as QueuePair<Type>,
      this.#native,
      this.#sendKind,
      maxSge,
      capacity,
    );
  }

  /**
   * Creates a packed receive queue, which posts many receives in one call without allocating. See {@link RecvQueue}.
   *
   * @param capacity - number of slots, 1..2^20
   * @returns the new queue
   * @throws RdmaError `EINVAL`: the queue pair uses a shared receive queue ({@link SharedReceiveQueue.recvQueue}), or has no
   *   queues; `EBADF`: it is destroyed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`), RangeError (`ERR_OUT_OF_RANGE`; or no memory)
   */
  recvQueue(this: QueuePair<'RC' | 'UC' | 'UD'>, capacity: number): RecvQueue {
    this.#query('QueuePair.recvQueue');
    if (this.#setup?.srq !== undefined) throw explainedError('QueuePair.recvQueue', 'EINVAL', 'QpHasSrq');
    const maxSge = queried[QpAttrWord.MaxRecvSge] ?? 0;
    return new RecvQueue(construction, this, this.#native, recvQueueMethods, maxSge, capacity);
  }

  /**
   * Connects this queue pair with a peer: brings both from RESET to RTS. On failure both are in RESET again. A queue pair may be
   * connected with itself.
   *
   * The numbers of the first packets are random if the device's keys are ({@link DeviceOptions.keyPolicy}), else 0.
   *
   * @param peer - a queue pair of the same type and device, which this thread created
   * @param options - `access` is required
   * @throws RdmaError `EINVAL`: one of them is not in RESET; an attribute has an invalid value. `EBADF`: one is destroyed
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  connect(this: QueuePair<'RC' | 'UC'>, peer: QueuePair<Type>, options: ConnectOptions): void;
  /**
   * Connects this queue pair with one of the same type at the other end of a network: brings it from RESET to RTS. The other end must
   * do the same with what {@link Endpoint.describe} returns here. On failure the queue pair is as it was.
   *
   * Nothing acknowledges what a UC queue pair sends: a work request completes when it is sent. A message of which a packet is lost is
   * lost as a whole, except that the earlier packets of a write may have changed memory. One that the peer refuses is dropped there.
   *
   * @param options - `endpoint`, `address`, `qpn`, `psn` and `access` are required; `{ endpoint, ...description, access }`
   * @throws RdmaError `EINVAL`: it is not in RESET; it was created before the device's first endpoint, so its number could be foretold;
   *   the endpoint is of another device; the address is not that of one host, or of another family than the endpoint's; an attribute has
   *   an invalid value. `EACCES`: too many requests from that address were refused in the last minute
   *   ({@link EndpointOptions.refusalsPerMinute}). `EBADF`: the queue pair is destroyed or the endpoint is closed. `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  connect(this: QueuePair<'RC' | 'UC'>, options: WireConnectOptions): void;
  connect(
    this: QueuePair<'RC' | 'UC'>,
    peer: QueuePair<Type> | WireConnectOptions,
    options?: ConnectOptions,
  ): void {
    if (options === undefined && nativeQpOf(peer) === undefined) this.#connectWire(peer);
    else this.#connectLoop(peer as QueuePair, options);
  }

  #connectLoop(peer: QueuePair, options: unknown): void {
    const method = 'QueuePair.connect';
    const other: QueuePair = peer;
    if (nativeQpOf(other) === undefined) throw invalidType('peer', 'an instance of QueuePair', peer);
    const given = requiredOptionsOf<ConnectOptions>(options, [
      'access',
      'pathMtu',
      'minRnrTimer',
      'rnrRetry',
      'retryCnt',
      'timeout',
      'maxRdAtomic',
    ]);
    const { type } = this;
    if (other.type !== type) throw invalidValue('peer', `must be of type ${type}`, peer);
    if (other.#asker.table.registry !== this.#asker.table.registry)
      throw invalidValue('peer', 'must be of the same device', peer);
    const { home } = this.#setup ?? {};
    const access = readAccessBits(method, given.access, 'options.access');
    const { pathMtu = 4096, maxRdAtomic: givenMaxRdAtomic = maxRdmaAtomicOf(home) } = given;
    const maxRdAtomic = u8(givenMaxRdAtomic, 'options.maxRdAtomic');
    const { minRnrTimer = 12, rnrRetry = 7, retryCnt = 7, timeout = 14 } = given;
    const isReliable = type === 'RC';
    const isLoop = (this as QueuePair) === other;
    const psn = loopPsn(home);
    const otherPsn = isLoop ? psn : loopPsn(home);
    this.#expectReset(method);
    other.#expectReset(method);
    this.#unwire(method);
    other.#unwire(method);
    try {
      const init: QpAttributes = { state: 'INIT', pkeyIndex: 0, port: 1, access };
      this.#modify(method, init);
      if (!isLoop) other.#modify(method, init);
      const receive = {
        state: 'RTR',
        av: { dlid: 1 },
        pathMtu,
        ...(isReliable ? { maxDestRdAtomic: maxRdAtomic, minRnrTimer } : {}),
      };
      this.#modify(method, { ...receive, destQpn: other.qpn, rqPsn: otherPsn });
      if (!isLoop) other.#modify(method, { ...receive, destQpn: this.qpn, rqPsn: psn });
      const send = { state: 'RTS', ...(isReliable ? { timeout, retryCnt, rnrRetry, maxRdAtomic } : {}) };
      this.#modify(method, { ...send, sqPsn: psn });
      if (!isLoop) other.#modify(method, { ...send, sqPsn: otherPsn });
    } catch (error) {
      this.#reset();
      other.#reset();
      throw error;
    }
  }

  #connectWire(options: unknown): void {
    const method = 'QueuePair.connect';
    const mostReads = mostReadsOf(maxRdmaAtomicOf(this.#setup?.home));
    const { endpoint, attributes } = readWireConnectOptions(method, options, mostReads);
    this.#expectReset(method);
    this.#wire(method, endpoint, attributes);
  }

  /** Connects a queue pair in RESET or INIT through an endpoint, and brings it to RTS. On failure it is in RESET. */
  #wire(method: Method, endpoint: NativeEndpoint, attributes: WireAttributes): void {
    const { address, port, destQpn, rqPsn, sqPsn, access, maxRdAtomic, maxDestRdAtomic } = attributes;
    const { pathMtu, minRnrTimer, rnrRetry, retryCnt, timeout } = attributes as Partial<QpAttributes>;
    const wasWired = this.#isWired;
    const isInit = queried[QpAttrWord.State] === (QpState.Init as number);
    throwOnError(method, endpoint.connect(this.#native, address, port));
    this.#isWired = true;
    this.#connections++;
    const psn = sqPsn ?? this.#firstPsn.next();
    const isReliable = this.type === 'RC';
    try {
      // In INIT the program may have posted receives already.
      if (!isInit) this.#modify(method, { state: 'INIT', pkeyIndex: 0, port: 1, access });
      this.#modify(method, {
        state: 'RTR',
        av: { dlid: 1 },
        pathMtu,
        destQpn,
        rqPsn,
        ...(isReliable ? { maxDestRdAtomic, minRnrTimer } : {}),
        ...(isInit && { access }),
      });
      const reliable = isReliable ? { timeout, retryCnt, rnrRetry, maxRdAtomic } : {};
      this.#modify(method, { state: 'RTS', sqPsn: psn, ...reliable });
    } catch (error) {
      this.#reset();
      if (!wasWired) this.#unwire(method);
      throw error;
    }
    this.#firstPsn.use(psn);
  }

  /** Lets a queue pair that was connected through an endpoint be connected with one of its own device. */
  #unwire(method: Method): void {
    if (!this.#isWired) return;
    throwOnError(method, this.#native.unwire());
    this.#isWired = false;
  }

  /**
   * Brings a UD queue pair from RESET to RTS. With an endpoint it sends to the hosts that address handles name
   * ({@link CreateAhOptions.address}), and receives from every host that knows its number and Q_Key: the 40 bytes in front of a
   * datagram say from where it came ({@link grhSource}). A datagram with another Q_Key, or for which there is no receive or a too
   * short one, is dropped and counted ({@link Endpoint.counters}); nobody is told. On failure the queue pair is as it was.
   *
   * @throws RdmaError `EINVAL`: it is not in RESET; it was created before the device's first endpoint, so its number could be foretold;
   *   the endpoint is of another device. `EBADF`: the queue pair is destroyed or the endpoint is closed. `EOPNOTSUPP`: it is not a UD
   *   queue pair. `ENOMEM`
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
   */
  activate(this: QueuePair<'UD'>, options: ActivateOptions): void {
    const method = 'QueuePair.activate';
    const given = requiredOptionsOf<ActivateOptions>(options, ['qkey', 'endpoint', 'pathMtu', 'localPsn']);
    const qkey = u32(given.qkey, 'options.qkey');
    const { endpoint, pathMtu, localPsn } = given;
    if (endpoint !== undefined) {
      this.#activateWire(qkey, endpoint, pathMtu ?? 1024, localPsn);
      return;
    }
    if (pathMtu !== undefined)
      throw invalidValue('options.pathMtu', 'must come with options.endpoint', pathMtu);
    if (localPsn !== undefined)
      throw invalidValue('options.localPsn', 'must come with options.endpoint', localPsn);
    const sqPsn = loopPsn(this.#setup?.home);
    this.#expectReset(method);
    this.#unwire(method);
    this.#toReady(qkey, sqPsn);
  }

  #activateWire(qkey: number, givenEndpoint: unknown, pathMtu: unknown, localPsn: unknown): void {
    const method = 'QueuePair.activate';
    const endpoint = endpointOption(givenEndpoint);
    const mtu = mtuNumber(pathMtu, 'options.pathMtu');
    const sqPsn = readPsn(localPsn, 'options.localPsn');
    this.#expectReset(method);
    const wasWired = this.#isWired;
    throwOnError(method, endpoint.attach(this.#native, mtu));
    this.#isWired = true;
    const psn = sqPsn ?? this.#firstPsn.next();
    try {
      this.#toReady(qkey, psn);
    } catch (error) {
      this.#reset();
      if (!wasWired) this.#unwire(method);
      throw error;
    }
    this.#firstPsn.use(psn);
  }

  /** Brings a UD queue pair from RESET to RTS. */
  #toReady(qkey: number, sqPsn: number): void {
    const method = 'QueuePair.activate';
    this.#modify(method, { state: 'INIT', pkeyIndex: 0, port: 1, qkey });
    this.#modify(method, { state: 'RTR' });
    this.#modify(method, { state: 'RTS', sqPsn });
  }

  /**
   * Writes to the peer's memory (`RDMA_WRITE`; with `imm` `RDMA_WRITE_WITH_IMM`, which takes a receive of the peer).
   *
   * Like all methods that return a promise: the work request is posted by the call, or, if the send queue is full, when it has
   * room; in the order of the calls. An order between these methods and {@link QueuePair.postSend} exists only while the queue has
   * room. A pending promise keeps the process alive.
   *
   * @param sges - the local bytes: an element, or a list of elements
   * @param remote - the remote address and key; an {@link Advertisement}
   * @returns resolves with the completion. Rejects with {@link CompletionError} if its status is not `SUCCESS`; with the reason of
   *   the signal; with {@link RdmaError} as `postSend` throws it, with `ENOMEM` if `maxPending` operations wait already, with
   *   `EBADF` if the queue pair, the completion queue or the device is closed, and with `EINVAL` if the queue pair is reset
   * @throws TypeError, RangeError: an argument is invalid. Thrown by the call itself, not by the promise
   */
  write(
    this: QueuePair<'RC' | 'UC'>,
    sges: LocalSge | readonly LocalSge[],
    remote: RemoteMemory,
    options?: WriteOptions,
  ): Promise<Completion> {
    const { signal, imm } = optionsOf<WriteOptions>(options, ['signal', 'imm']);
    const target = targetOf(remote);
    return this.#send(
      'QueuePair.write',
      imm === undefined
        ? ownRequest('RDMA_WRITE', sges, target)
        : { ...ownRequest('RDMA_WRITE_WITH_IMM', sges, target), imm },
      signal,
    );
  }

  /**
   * Reads the peer's memory (`RDMA_READ`).
   *
   * @param sges - where the bytes go, and how many: an element, or a list of elements
   * @param remote - the remote address and key; an {@link Advertisement}
   * @returns, throws: see {@link QueuePair.write}
   */
  read(
    this: QueuePair<'RC'>,
    sges: LocalSge | readonly LocalSge[],
    remote: RemoteMemory,
    options?: OperationOptions,
  ): Promise<Completion> {
    const { signal } = optionsOf<OperationOptions>(options, ['signal']);
    return this.#send('QueuePair.read', ownRequest('RDMA_READ', sges, targetOf(remote)), signal);
  }

  /**
   * Sends a message, which takes a receive of the peer (`SEND`, `SEND_WITH_IMM`, `SEND_WITH_INV`).
   *
   * @param sges - the message: an element, or a list of elements
   * @param options - for a UD queue pair `ah`, `remoteQpn` and `remoteQkey` are required
   * @returns, throws: see {@link QueuePair.write}
   */
  send(
    this: QueuePair<'RC' | 'UC' | 'UD'>,
    sges: LocalSge | readonly LocalSge[],
    ...given: Type extends 'UD' ? [options: SendOptions<Type>] : [options?: SendOptions<Type>]
  ): Promise<Completion> {
    const { signal, imm, invalidateRkey, ...rest } = optionsOf<OperationOptions & AnySendOptions>(given[0], [
      'signal',
      'imm',
      'invalidateRkey',
      'solicited',
      'ah',
      'remoteQpn',
      'remoteQkey',
    ]);
    if (imm !== undefined && invalidateRkey !== undefined)
      throw invalidValue('options.imm', 'cannot be combined with options.invalidateRkey', imm);
    const opcode =
      imm !== undefined ? 'SEND_WITH_IMM' : invalidateRkey !== undefined ? 'SEND_WITH_INV' : 'SEND';
    return this.#send(
      'QueuePair.send',
      { ...rest, ...ownRequest(opcode, sges, nowhere), imm, invalidateRkey },
      signal,
    );
  }

  /**
   * Posts a receive.
   *
   * @param sges - where the message goes: an element, or a list of elements
   * @returns resolves with the completion when a message has arrived. Otherwise as {@link QueuePair.write}
   */
  recv(
    this: QueuePair<'RC' | 'UC' | 'UD'>,
    sges: LocalSge | readonly LocalSge[],
    options?: OperationOptions,
  ): Promise<Completion> {
    const { signal } = optionsOf<OperationOptions>(options, ['signal']);
    return this.#receive(listOf(sges), signal);
  }

  /**
   * Adds to 8 bytes of the peer atomically, modulo 2^64 (`ATOMIC_FETCH_AND_ADD`).
   *
   * @param sge - 8 local bytes for the old value, at an address that is a multiple of 8. Read back when the completion arrives:
   *   operations in progress at the same time must have different ones
   * @param remote - the remote address, a multiple of 8, and the key
   * @param add - 0..2^64-1
   * @returns resolves with the old value. Rejects also with {@link RdmaError} `EACCES` if the local bytes cannot be read back.
   *   Otherwise as {@link QueuePair.write}
   */
  fetchAdd(
    this: QueuePair<'RC'>,
    sge: LocalSge,
    remote: RemoteMemory,
    add: bigint | number,
    options?: OperationOptions,
  ): Promise<bigint> {
    const { signal } = optionsOf<OperationOptions>(options, ['signal']);
    const local = copyOfSge(sge);
    return this.#atomic(
      'QueuePair.fetchAdd',
      {
        ...ownRequest('ATOMIC_FETCH_AND_ADD', local, targetOf(remote)),
        compareAdd: u64(add, 'add'),
      },
      local,
      signal,
    );
  }

  /**
   * Compares 8 bytes of the peer with `compare` and, if equal, replaces them with `swap`, atomically (`ATOMIC_CMP_AND_SWP`).
   *
   * @param compare - 0..2^64-1
   * @param swap - 0..2^64-1
   * @returns resolves with the old value, which was replaced if it equals `compare`. Otherwise as {@link QueuePair.fetchAdd}
   */
  compareSwap(
    this: QueuePair<'RC'>,
    sge: LocalSge,
    remote: RemoteMemory,
    compare: bigint | number,
    swap: bigint | number,
    options?: OperationOptions,
  ): Promise<bigint> {
    const { signal } = optionsOf<OperationOptions>(options, ['signal']);
    const local = copyOfSge(sge);
    return this.#atomic(
      'QueuePair.compareSwap',
      {
        ...ownRequest('ATOMIC_CMP_AND_SWP', local, targetOf(remote)),
        compareAdd: u64(compare, 'compare'),
        swap: u64(swap, 'swap'),
      },
      local,
      signal,
    );
  }

  /** Returns a one-line description of the queue pair. Never throws. */
  override toString(): string {
    return textOf('QueuePair', this, describeQueuePair);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownQueuePair {
    return jsonOf('QueuePair', this, describeQueuePair);
  }

  /**
   * Destroys the queue pair. Elements that it accepted stay usable. Posted work requests are dropped without completions;
   * completions that are in a completion queue stay there. A second call is a no-op.
   *
   * Kernel: `rvt_destroy_qp`.
   */
  destroy(): void {
    const status = this.#native.destroy();
    try {
      this.#ended();
    } catch {
      // The stack limit was reached, but the queue pair is destroyed. A later sweep ends what waits for it.
    }
    if (status < 0 && status !== -Errno.EBADF) throw rdmaError('QueuePair.destroy', status);
  }

  /** Destroys the queue pair. Same as {@link QueuePair.destroy}. */
  [dispose](): void {
    this.#native.destroy(); // not in the block below: throws for objects of other classes
    try {
      this.#ended();
    } catch {
      // The stack limit was reached.
    }
  }

  #query(method: Method): void {
    throwOnError(method, this.#native.query(queried));
  }

  #modify(method: Method, attributes: unknown, name = 'options'): void {
    const self = this.#native;
    const { mask, words } = encodeAttributes(method, attributes, name);
    throwOnError(method, self.modify(mask, words));
    if (!(mask & QpAttribute.State) || words[QpAttrWord.State] !== (QpState.Reset as number)) return;
    try {
      this.#sends?.dropped();
    } catch {
      // The stack limit was reached, but the state is changed. The promises of dropped work requests stay pending until the queue
      // pair is destroyed.
    }
  }

  /** Goes back to RESET, from which {@link QueuePair.connect} has brought the queue pair. */
  #reset(): void {
    this.#native.modify(QpAttribute.State, new PlainNumbers(QpAttrWord.SetWords));
  }

  #expectReset(method: Method): void {
    this.#query(method);
    const state = queried[QpAttrWord.State] ?? 0;
    if (state !== (QpState.Reset as number))
      throw explainedError(method, 'EINVAL', 'QpMove', { value: BigInt(QpState.Init), limit: BigInt(state) });
  }

  /** Settles the operations of a queue pair that was destroyed, and lets go of the object. */
  #ended(): void {
    this.#sends?.dropped();
    this.#receives?.dropped();
    if (this.#entry !== undefined) dropEntry(this.#entry);
  }

  /** Posts encoded work requests. */
  #postBlock(block: WorkRequestBlock, receives: boolean): Status {
    const self = this.#native;
    return receives ? block.postRecv(self, this.#number) : block.postSend(self, this.#number);
  }

  #postAll(method: Method, wrs: unknown, kind: RequestKind): void {
    const block = takeBlock();
    try {
      try {
        encodeRequests(block, wrs, kind, method);
      } catch (error) {
        throw error instanceof Error ? withIndex(error, block.count, 0) : error;
      }
      const status = this.#postBlock(block, kind === RequestKind.Receive);
      if (status < 0) throw postError(method, status, block.bad);
    } finally {
      try {
        giveBlock(block);
      } catch {
        // The stack limit was reached. A call that has posted must not throw; the block is left to the garbage collector.
      }
    }
  }

  /** The operations of the send queue or of the receive queue. */
  #operations(method: Method, receives: boolean): OperationQueue {
    const known = receives ? this.#receives : this.#sends;
    if (known !== undefined) return known;
    const setup = this.#setup;
    if (setup === undefined) throw explainedError(method, 'EINVAL', 'QpHasNoQueues');
    const made = new OperationQueue(
      {
        cq: receives ? setup.recvCq : setup.sendCq,
        id: this.#asker.id,
        post: (block) => this.#postBlock(block, receives),
        hold: (held) => {
          this.#hold(held);
        },
        lost: (of) => this.#lost(of),
      },
      setup.maxPending,
    );
    if (receives) this.#receives = made;
    else this.#sends = made;
    return made;
  }

  /** Keeps the object from being garbage-collected while it has listeners. */
  protected override [listenersChanged](): void {
    const isListened = this.listenerCount('lastWqe') > 0;
    if (isListened === this.#isListened) return;
    this.#isListened = isListened;
    this.#hold(isListened);
  }

  /** Counts the reasons to keep the object from being garbage-collected: listeners, posted operations. */
  #hold(held: boolean): void {
    this.#busy += held ? 1 : -1;
    if (this.#entry === undefined) return;
    if (held && this.#busy === 1) holdEntry(this.#entry);
    if (!held && this.#busy === 0) dropEntry(this.#entry);
  }

  /** Creates the error for an operation whose completion never comes. */
  #lost(method: Method): Error {
    const id = this.#native.serial();
    if (id < 0) return rdmaError(method, id);
    const status = this.#native.query(queried);
    const state = queried[QpAttrWord.State] ?? 0;
    return status === 0 && state === (QpState.Reset as number)
      ? explainedError(method, 'EINVAL', 'QpState', { value: BigInt(state) })
      : new RdmaError(operationOf(method), 'ENOMEM', undefined, {
          method,
          text: 'the completion is lost, because the completion queue was full (CompletionQueue.isBroken)',
        });
  }

  #send(method: Method, wr: OwnRequest, signal: unknown): Promise<Completion> {
    return this.#run(method, wr, signal, this.#sendKind, itself);
  }

  #receive(sges: unknown, signal: unknown): Promise<Completion> {
    return this.#run('QueuePair.recv', { sges, wrId: 0n }, signal, RequestKind.Receive, itself);
  }

  #atomic(method: Method, wr: OwnRequest, local: LocalSge, signal: unknown): Promise<bigint> {
    const asker = this.#setup?.local;
    return this.#run(method, wr, signal, this.#sendKind, () => readOldValue(method, asker, local));
  }

  #run<T>(
    method: Method,
    wr: OwnRequest,
    signal: unknown,
    kind: RequestKind,
    result: (completion: Completion) => T,
  ): Promise<T> {
    return this.#operations(method, kind === RequestKind.Receive).run(
      method,
      wr,
      kind,
      signal === undefined ? undefined : abortSignal(signal, 'options.signal'),
      result,
    );
  }

  static {
    localEndOf = (method, value, home) => {
      if (nativeQpOf(value) === undefined) throw invalidType('qp', 'an instance of QueuePair', value);
      const qp = value as QueuePair;
      qp.#query(method);
      const state = queried[QpAttrWord.State] ?? 0;
      const sqPsn = queried[QpAttrWord.SqPsn] ?? 0;
      if (qp.#setup?.home.registry !== home.registry)
        throw explainedError(method, 'EINVAL', 'QpOnOtherDevice');
      if (state === (QpState.Reset as number) || state === (QpState.Init as number))
        return { qpn: qp.#qpn, psn: qp.#firstPsn.next() };
      return { qpn: qp.#qpn, psn: (qp.#isWired ? qp.#firstPsn.used : undefined) ?? sqPsn };
    };
    manageQp = (method, value, home) => {
      if (nativeQpOf(value) === undefined) throw invalidType('options.qp', 'an instance of QueuePair', value);
      const qp = value as QueuePair<'RC'>;
      const expectUnused = (): void => {
        qp.#query(method);
        const state = queried[QpAttrWord.State] ?? 0;
        if (state !== (QpState.Reset as number) && state !== (QpState.Init as number))
          throw explainedError(method, 'EINVAL', 'QpMove', {
            value: BigInt(QpState.Rtr),
            limit: BigInt(state),
            argument: 'options.qp',
          });
      };
      qp.#query(method);
      if ((qp as QueuePair).type !== 'RC')
        throw explainedError(method, 'EOPNOTSUPP', 'QpType', {
          value: BigInt(queried[QpAttrWord.Type] ?? 0),
        });
      if (qp.#setup?.home.registry !== home.registry)
        throw explainedError(method, 'EINVAL', 'QpOnOtherDevice');
      expectUnused();
      let connection = 0;
      return {
        qp,
        qpn: qp.#qpn,
        mostReads: mostReadsOf(maxRdmaAtomicOf(qp.#setup.home)),
        hasSrq: qp.#setup.srq !== undefined,
        connect: (by, endpoint, attributes) => {
          expectUnused();
          qp.#wire(by, endpoint, attributes);
          connection = qp.#connections;
        },
        undo: () => {
          qp.#reset();
        },
        stop: () => {
          if (connection === 0 || qp.#connections !== connection || qp.#native.query(queried) !== 0) return;
          const state = queried[QpAttrWord.State];
          if (state === (QpState.Reset as number) || state === (QpState.Init as number)) return;
          const words = new PlainNumbers(QpAttrWord.SetWords);
          words[QpAttrWord.State] = QpState.Err;
          qp.#native.modify(QpAttribute.State, words);
        },
      };
    };
    nativeQpOf = (value) =>
      typeof value === 'object' && value !== null && #native in value ? value.#native : undefined;
    setQpLookUp(nativeQpOf);
    describeQueuePair = (qp) => {
      const { type } = qp;
      const shown = { class: 'QueuePair', id: qp.#asker.id } as const;
      const isClosed = qp.#native.serial() < 0;
      if (type === 'CHECK') return { ...shown, state: isClosed ? 'Closed' : 'Open' };
      const isKnown = !isClosed && qp.#native.query(queried) === 0;
      const state = isKnown ? qpStateName(queried[QpAttrWord.State] ?? 0) : undefined;
      return { ...shown, type, qpn: qp.#qpn, state: state ?? 'Closed' };
    };
    showAs(QueuePair, 'QueuePair', (object) => textOf('QueuePair', object, describeQueuePair));
  }
}

function storeRequest(asker: Asker, vaddr: unknown, length: unknown, rkey: unknown, access: unknown): void {
  if (!isRemoteRight(access)) throw remoteRightError(access);
  storeAccess(asker.number, vaddr, 'request.vaddr', length, 'request.length', rkey, 'request.rkey', access);
}

const recvQueueMethods = {
  create: 'QueuePair.recvQueue',
  fill: 'RecvQueue.fill',
  post: 'RecvQueue.post',
} as const;

/** Returns the number of the first packet that a queue pair sends within its device. */
const loopPsn = (home: VerbsHome | undefined): number => (home?.randomKeys === true ? randomPsn() : 0);

/** Returns the device's limit of reads and atomics that are outstanding at a queue pair. */
function maxRdmaAtomicOf(home: VerbsHome | undefined): number {
  const limits = new PlainNumbers(Limit.Count);
  home?.native.limits(limits);
  return limits[Limit.MaxRdmaAtomic] ?? 0;
}

/** All options of {@link QueuePair.send} but the signal. */
interface AnySendOptions {
  imm: number;
  invalidateRkey: Rkey;
  solicited: boolean;
  ah: AddressHandle;
  remoteQpn: number;
  remoteQkey: number;
}

const itself = (completion: Completion): Completion => completion;

/** A work request of an operation, with the properties that most opcodes have. */
interface OwnSend extends OwnRequest, Target {
  readonly opcode: SendOpcode;
  readonly sges: unknown;
  readonly signaled: true;
}

/** Creates the work request of an operation. `target` is not used by opcodes without one. */
const ownRequest = (opcode: SendOpcode, sges: unknown, target: Target): OwnSend => ({
  opcode,
  sges: listOf(sges),
  wrId: 0n,
  signaled: true,
  remoteAddr: target.remoteAddr,
  rkey: target.rkey,
});

const listOf = (sges: unknown): unknown => (Array.isArray(sges) ? sges : [sges]);

/** Reads an element, whose properties are used twice. */
function copyOfSge(sge: unknown): LocalSge {
  const { addr, length, lkey } = propertiesOf<LocalSge>(sge, 'sge');
  return {
    addr: u64(addr, 'sge.addr'),
    length: u32(length, 'sge.length'),
    lkey: u32(lkey, 'sge.lkey') as Lkey,
  };
}

/** The remote address and key of an operation. */
interface Target {
  readonly remoteAddr: bigint;
  readonly rkey: number;
}
const nowhere: Target = { remoteAddr: 0n, rkey: 0 };

/** Reads the remote address and key of an operation. */
function targetOf(remote: unknown): Target {
  const { vaddr, remoteAddr, rkey } = propertiesOf<{ vaddr: bigint; remoteAddr: bigint; rkey: Rkey }>(
    remote,
    'remote',
  );
  if (vaddr !== undefined && remoteAddr !== undefined)
    throw invalidValue('remote.vaddr', 'cannot be combined with remote.remoteAddr', vaddr);
  return {
    remoteAddr: remoteAddr === undefined ? u64(vaddr, 'remote.vaddr') : u64(remoteAddr, 'remote.remoteAddr'),
    rkey: u32(rkey, 'remote.rkey'),
  };
}
