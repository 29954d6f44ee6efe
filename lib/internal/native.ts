/**
 * The interface of the native module. `layout.ts` defines the numbers that its calls take and return. Nothing here is public.
 *
 * Native calls do not throw for failures of RDMA operations. They return 0 or a negative Linux errno; a call that creates an
 * object returns a negative errno instead of the object. They throw a TypeError for arguments of a wrong JavaScript type, which
 * the classes in lib/verbs have already rejected; calls that answer in the command block answer -EINVAL instead of throwing.
 */
import { type MrTypeNumber } from './layout';
import { loadNative } from './load-native';

/** Number of a refusal reason: its index in {@link NativeModule.reasonNames}. 0 means not refused. */
export type ReasonNumber = number;

/** 0, or a negative Linux errno. */
export type Status = number;

export interface NativeModule {
  /** Hash of the layout that the module was built with. The loader compares it with `LAYOUT_HASH`. */
  readonly layoutHash: string;
  /** Names of the refusal reasons by number; `reasonNames[0]` is `'None'`. */
  readonly reasonNames: readonly string[];
  /**
   * Opens a device with an engine: `rvt_register_device`. `limits` has the {@link Limit}s. `manual`: the engine works only in
   * {@link NativeDevice.run}.
   */
  openDevice(
    lkeyTableBits: number,
    randomKeys: boolean,
    remoteKeyZero: boolean,
    manual: boolean,
    limits: Uint32Array,
    /** Undefined: no faults. */
    faultSeed?: BigUint64Array,
    /** {@link FaultWord.Count} numbers for each {@link FaultKind}. */
    faultRules?: Float64Array,
    /** Undefined: the device is not strict. */
    maxInlineData?: number,
  ): NativeDevice | Status;
  /** Attaches to a device of another environment by its token. -ENODEV, -EXDEV, -EBADF, -ENOMEM. */
  attachDevice(token: Uint8Array): NativeDevice | Status;
  /**
   * Sets the callback for garbage-collected devices with {@link NativeDevice.reportLeaks} that still had regions. The callback
   * receives the numbers of the device and of the context, and rows of {@link RegionRow}.
   */
  onLeak(callback: (device: number, context: number, rows: BigUint64Array) => void): void;
  /** Calls the {@link onLeak} callback for every open device that reports leaks, because this environment is about to end. */
  tellLeaks(): void;
  /**
   * Calls `callback` once, after any thread puts a reference on a region that a release with `ReleaseMode.Await` found held, or
   * after such a region is released. The call comes later, from the event loop.
   */
  awaitPut(callback: () => void): void;
  /**
   * Calls `callback` once, after the engine has reported events for this environment ({@link NativeDevice.takeEvents}). The call
   * comes later, from the event loop.
   */
  awaitEvents(callback: () => void): void;
  /**
   * Creates a batch over `block`, a Uint8Array over shared memory of the size that `batch-block.ts` computes. `places` adds
   * columns with the places of accepted elements; `accesses` adds a column with the access of each element. -EBADF: the domain or
   * queue pair is closed.
   */
  createBatch(
    checker: NativeProtectionDomain | NativeQueuePair,
    block: Uint8Array,
    capacity: number,
    places: boolean,
    accesses: boolean,
  ): NativeBatch | Status;
  /**
   * Creates the functions that post the work requests of `block`, a Uint8Array over shared memory: {@link WrHeaderWord}s, then
   * work requests as {@link NativeQueuePair.postSend} and `postRecv` take them.
   */
  createPostBlock(block: Uint8Array): NativePostBlock;
  /**
   * Creates a packed send queue over `block`, a Uint8Array over shared memory: {@link WrHeaderWord}s, then `capacity` slots of
   * {@link SendWrWord}s and as many elements of {@link SgeWord}s as the queue pair's work requests can have. -EINVAL: the queue
   * pair has no queues; -EBADF.
   */
  createSendQueue(qp: NativeQueuePair, block: Uint8Array, capacity: number): NativeSendQueue | Status;
  /** Creates a packed receive queue in the same way, with slots of {@link RecvWrWord}s. -EINVAL, -EBADF. */
  createRecvQueue(
    queue: NativeQueuePair | NativeSharedReceiveQueue,
    block: Uint8Array,
    capacity: number,
  ): NativeRecvQueue | Status;
  /** Creates a walk over 1..`MAX_SGE` elements, given as rows of {@link ElementNameWord}. -EBADF: an element has been put. */
  createSgeState(names: Uint32Array): NativeSgeState | Status;
  /**
   * Creates a reader of RoCEv2 packets in capture files, which fills `rows` rows (1..`WIRE_MAX_ROWS`) of `block` at most in a call.
   * `block` is a Uint8Array over shared memory of `WIRE_ROWS_AT + rows * WIRE_ROW_BYTES` bytes. -ENOMEM.
   */
  createPacketReader(block: Uint8Array, rows: number): NativePacketReader | Status;
  /**
   * Opens an endpoint of the wire on the device, with {@link EndpointFlag}s. `refusals`: how many fatal NAKs a source address may have
   * within a minute; 0: no limit. Port 0: a free one. -EINVAL (address, keys), -EBADF, -EPERM, -EOPNOTSUPP (operating system), -ENOMEM,
   * -EMFILE, -EACCES, -EADDRINUSE, -EADDRNOTAVAIL.
   */
  createEndpoint(
    device: NativeDevice,
    address: string,
    port: number,
    refusals: number,
    flags: number,
  ): NativeEndpoint | Status;
  /** Stores the address of one host in `out`, 16 bytes: IPv6, or IPv4 as ::ffff:a.b.c.d. -EINVAL, -EOPNOTSUPP. */
  readHostAddress(text: string, out: Uint8Array): Status;
  /** Returns the elements that this thread holds on the device, through any of its objects: flat rows of {@link HeldRow}. */
  heldElements(device: NativeDevice): BigUint64Array;
  /**
   * Writes the {@link FailureNumber}s of this thread's last failed native call, or zeros if there is no recorded cause. Clears
   * the cause. Must be called right after the failed call.
   */
  readonly takeFailure: (numbers: BigUint64Array) => void;
  /** Calls `rvt_unmap_fmr` on rows of {@link RegionNameWord}; a region may be in the list twice. */
  readonly unmapFmr: (names: Uint32Array) => Status;

  /**
   * Returns the environment's command block: `COMMAND_BYTES` of shared memory, see {@link CommandWord}. The first call makes its
   * `proposal` the block. Later calls return that block, so that all copies of this package in one thread share it.
   */
  commandBlock(proposal: Uint8Array): Uint8Array;
  /**
   * Gives the object a cell of native memory, which holds one element at a time. When the object is garbage-collected, the native
   * module puts the element in the cell (or leaves that to the end of the last walk over it) and reuses the cell.
   *
   * @returns the cell's number; 0 if there is no memory
   * @throws the engine's error if it cannot attach a finalizer to the object
   */
  readonly bindCell: (holder: object) => number;

  // The functions below read their arguments from words of the command block, which their comments name in capitals. They store
  // their answer in ANSWER: 0 or a negative errno unless stated otherwise. See `internal/command.ts`. All objects share these
  // functions, because the engine optimizes call sites that always call the same function. They need no receiver.

  /**
   * Checks an access (CHECKER, ACCESS, ADDRESS, LENGTH, KEY) without taking a reference. A positive answer is the reason of a
   * refusal; in that case this function and the next two also store RECORD_SEQUENCE.
   */
  readonly checkOne: () => void;
  /** As `checkOne`, and writes the {@link PlaceField}s of an accepted access to FIELDS. */
  readonly placeOne: () => void;
  /**
   * As `checkOne`, but takes a reference: stores the accepted element in the empty cell CELL and its generation in
   * CELL_GENERATION. Answer `BATCH_COALESCED`: the access was appended to the element LAST_CELL, LAST_GENERATION instead.
   */
  readonly acquireOne: () => void;
  /**
   * Describes the current state of the access that `checkOne` would check: fills `Explained.Count` numbers of `out`. Does not
   * change any counter. -EBADF: the domain or queue pair is closed.
   */
  readonly explainAccess: (out: BigUint64Array) => void;
  /**
   * Writes the {@link SgeField}s of the element CELL, CELL_GENERATION to FIELDS. All calls on an element return -EBADF after its
   * put.
   */
  readonly describeSge: () => void;
  /** Puts the element. -EBADF if it was already put, even by a walk. The cell is empty in either case. */
  readonly putOne: () => void;
  /**
   * Copies bytes of the element to `target`, starting at the offset in the low word of ADDRESS, until either ends. Stores the
   * number of bytes in BYTES_MOVED. A positive answer is the reason of a refusal. -EINVAL also if `target` is not a Uint8Array.
   */
  readonly copyOut: (target: unknown) => void;
  /** Copies all of `source` into the element in the same way; reads FLAGS. -EINVAL also if the element is too short. */
  readonly copyIn: (source: unknown) => void;
  /** Atomically adds OPERAND; RESULT is the old value. A positive answer is the reason of a refusal. */
  readonly fetchAdd: () => void;
  /**
   * Atomically replaces the value COMPARE with OPERAND; RESULT is the old value. A positive answer is the reason of a refusal.
   */
  readonly compareSwap: () => void;
  /**
   * Calls `rvt_reg_user_mr` for all bytes of a Uint8Array in the domain CHECKER; reads ACCESS, FLAGS, START, IOVA. Stores REGION,
   * REGION_GENERATION, START, IOVA, and the fields Id, Lkey and Length.
   */
  readonly regUserMr: (memory: Uint8Array) => void;
  /**
   * Calls `rvt_rereg_mr` on the region CHECKER, REGION, REGION_GENERATION, with the memory of a Uint8Array (for
   * `ReregTranslation`); reads FLAGS, START, IOVA, ACCESS, NEW_CHECKER. Stores the same as `regUserMr`, but Length only for a new
   * memory.
   */
  readonly reregMr: (memory: Uint8Array) => void;
  /**
   * Writes the {@link RegionField}s of the region CHECKER, REGION, REGION_GENERATION to FIELDS. All calls on a region answer
   * -EBADF after its release.
   */
  readonly queryMr: () => void;
  /**
   * Calls `rvt_dereg_mr`, or `rvt_dealloc_fmr` for an FMR; reads MODE. For `ReleaseMode.Await` see {@link NativeModule.awaitPut}.
   */
  readonly releaseMr: () => void;
  /** Writes the {@link RegionPlaceField}s of the region to FIELDS. */
  readonly placeOfMr: () => void;
  /**
   * Answers the stamp of KEY in the domain CHECKER: greater than 0 and the same as long as the key names the same unchanged region;
   * otherwise 0. Reads one cache line.
   */
  readonly stampOfKey: () => void;
  /** Writes the {@link ViewField}s of a Uint8Array to FIELDS. */
  readonly placeOfView: (bytes: Uint8Array) => void;
  /** Calls `rvt_alloc_mw` in the domain CHECKER. Stores REGION and REGION_GENERATION of the window, and the field Key. */
  readonly allocMw: () => void;
  /** Writes the {@link WindowField}s of the window CHECKER, REGION, REGION_GENERATION to FIELDS. */
  readonly queryMw: () => void;
  /** Calls `rvt_dealloc_mw` on the window. */
  readonly deallocMw: () => void;
  /**
   * Calls `rvt_lease_mr` on the region CHECKER, REGION, REGION_GENERATION: OPERAND bytes at ADDRESS with the rights ACCESS, for
   * COMPARE milliseconds, for the queue pair with the number NEW_CHECKER (0: any). Stores the same as `allocMw`.
   */
  readonly leaseMr: () => void;
  /** Starts counting the accesses of the region. */
  readonly countMr: () => void;
  /** Calls `rvt_map_phys_fmr` at IOVA. */
  readonly mapPhys: (pages: BigUint64Array) => void;
  /**
   * Calls `rvt_map_mr_sg` with the {@link SgElementField}s of each element, from byte ADDRESS of the first element, in pages of
   * LENGTH bytes. A positive answer is the number of elements used. Writes the {@link SgOutcomeField}s to FIELDS if
   * `rvt_map_mr_sg` ran. It does not run if the region was released, if `list` is unusable (-EINVAL), or if there is no memory to
   * copy it (-ENOMEM).
   */
  readonly mapSg: (list: BigUint64Array) => void;
  /** Does nothing: the baseline of benchmarks. */
  readonly empty: () => void;
}

export interface NativeDevice {
  /** Returns the bits of the key table, after clamping. */
  bits(): number;
  // A device that was attached with the token of one domain is restricted to that domain. Functions below whose comments list
  // -EPERM return it for a restricted device.
  /** Calls `rvt_mr_exit`. Returns 0, 1 (closed while a DMA region was published), or a negative errno (-EPERM). */
  close(cascade: boolean): number;
  /** Allocates a domain; `user`: an untrusted one, as for an unprivileged process. -EPERM. */
  allocPd(user: boolean): NativeProtectionDomain | Status;
  /** Maps all of `memory` as DMA memory, at `address` or at a free address. -EPERM. */
  mapDma(memory: Uint8Array, address: bigint | undefined): NativeDmaMapping | Status;
  /** Returns the key table; `used` has the {@link KeyTableField}s of each occupied slot as flat rows. -EPERM. */
  keyTable(): { max: number; next: number; generation: number; used: Float64Array } | Status;
  /** Returns the numbers of used and of all slots of the key table. */
  keySlots(): { used: number; max: number };
  /** Returns the device's number, unique in the process and the same for every environment that uses the device. */
  number(): number;
  /** Returns 0, or -EBADF if the device is closed or this environment has detached from it. */
  live(): Status;
  /** Returns the number of this environment's context. */
  context(): number;
  /** Returns the number of the domain that the device is restricted to; 0 if it is not restricted. */
  onlyPd(): number;
  /** Calls `rvt_dealloc_ucontext`. 0, -EBUSY, -EBADF. */
  detach(cascade: boolean): Status;
  /**
   * Returns the token of the domain or of the whole device: `CORE_ID_BYTES`, then `TOKEN_BYTES`. -EINVAL (other device), -EPERM.
   */
  share(pd: NativeProtectionDomain | undefined): Uint8Array | Status;
  /** Returns the domain with this number. -EINVAL, -EBADF; -EPERM for any domain but the one that the device is restricted to. */
  importPd(number: number): NativeProtectionDomain | Status;
  /** Allocates device memory. -EINVAL (0 bytes), -ENOMEM, -EBADF, -EPERM. */
  allocDm(bytes: number, hugePages: boolean): NativeDeviceMemory | Status;
  importDm(number: number): NativeDeviceMemory | Status;
  /**
   * Writes counters to `out`, whose length is at least `CounterField.Refused` plus the number of reasons: those of this
   * environment, or, unless the device is restricted, those of all environments.
   */
  counters(own: boolean, out: BigUint64Array): void;
  /**
   * Returns flat rows for each {@link ResourceKind}; for a restricted device only its domain and its own objects.
   *
   * @param reused - arrays of the rows' kinds: rows that fit are written there. With any array, also an empty one, the buffers of new
   *   arrays have room for more rows
   */
  resources(...reused: readonly BigUint64Array[]): readonly BigUint64Array[] | Status;
  /** Turns calls of {@link NativeModule.onLeak} on or off, for regions that still exist when the device is garbage-collected. */
  reportLeaks(report: boolean): Status;
}

// The functions below are those of the verbs. Functions that post, modify, run or destroy carry out ready work before they return,
// unless the device is in the manual mode.
export interface NativeDevice {
  /** Returns whether the engine works only in {@link NativeDevice.run}. */
  isManual(): boolean;
  /** Fills `out` with the {@link Limit}s: `rvt_query_device`. */
  limits(out: Uint32Array): Status;
  /**
   * Creates a completion queue. -EOPNOTSUPP (flags), -EINVAL, -ENOMEM, -EBADF, -EPERM.
   *
   * @param ring - shared memory for the ring ({@link RingWord}), {@link WcWord.Count} words for each completion
   */
  createCq(cqe: number, compVector: number, flags: number, ring?: Uint8Array): NativeCompletionQueue | Status;
  /** Makes the queue pairs of the list ready, in order, then works until no queue pair is ready. -EBADF, -EINVAL (no queues). */
  run(kick: readonly NativeQueuePair[]): Status;
  /** Fires all RNR timers. Returns flat pairs: the queue pair's id, the time in microseconds that its timer was set to. */
  fireTimers(): Float64Array;
  /** Fires the RNR timers that are due. Returns the microseconds until the next one; -1: none runs. */
  progress(): number;
  /** Returns the events since the last call, in order, as flat pairs: {@link VerbsEvent}, id of the object. */
  takeEvents(): Float64Array;
  /** Fills `out` with the number of completions by {@link WcStatus}, then the number of lost ones. */
  completionCounts(out: BigUint64Array): void;
  /** Returns the bits in which the lkey and the rkey of a region differ; 0: the device is not strict. */
  rkeyMask(): number;
  /** Fills {@link FaultCount.Count} numbers. Returns 0; 1: the device makes no faults; -EPERM, -EBADF. */
  faults(out: BigUint64Array): Status;
}

export interface NativeCompletionQueue {
  /** Returns the queue's id, unique on the device; -EBADF if it is destroyed. */
  serial(): number;
  /** -EBUSY, -EBADF. */
  destroy(): Status;
  /** -EINVAL, -ENOMEM, -EBADF. */
  resize(cqe: number): Status;
  /**
   * Returns the function that takes one completion and writes its {@link WcWord}s to FIELDS of the command block. It stores in ANSWER
   * how many it took, or -EBADF, and in OPERAND how many the queue still holds.
   */
  poller(): () => void;
  /** Takes up to `count` completions and writes {@link WcWord}s of each to `out`. Returns how many, or -EBADF. */
  poll(out: Uint32Array, count: number): number;
  /** Calls `rvt_req_notify_cq` with {@link NotifyFlag}s. Returns 0, 1 (completions are there already), or -EBADF. */
  arm(flags: number): number;
  /** Fills `out` with the {@link CqAttrWord}s. -EBADF. */
  query(out: Uint32Array): Status;
}

export interface NativeEndpoint {
  /** Returns the endpoint's number, unique in the process. */
  id(): number;
  /** Returns 0, or -EBADF if it is closed. */
  live(): Status;
  address(): string;
  port(): number;
  /** Calls `rvt_endpoint_connect`. -EINVAL, -EOPNOTSUPP, -EACCES, -EBADF, -ENOMEM. */
  connect(qp: NativeQueuePair, address: string, port: number): Status;
  /** Calls `rvt_endpoint_attach`; `pathMtu` is the number in `enum ib_mtu`. -EINVAL, -EOPNOTSUPP, -EBADF, -ENOMEM. */
  attach(qp: NativeQueuePair, pathMtu: number): Status;
  /** Sets whether the endpoint keeps the process alive; at first it does. */
  reference(keepsAlive: boolean): void;
  /** Fills `out` with the {@link EndpointCounter}s; those of a closed endpoint stay as they were. */
  counters(out: BigUint64Array): void;
  /** Takes the oldest refusal into `words` ({@link WireRefusalWord}). Returns the peer's address; undefined if there is none. */
  takeRefusal(words: Uint32Array): string | undefined;
  /** Listens for a service of the connection manager. Returns the listener's number; -EADDRINUSE, -EMFILE, -EBADF, -ENOMEM. */
  listen(service: bigint, backlog: number): number;
  /** -EBADF. */
  unlisten(listener: number): Status;
  /**
   * Asks for a connection with a service; `offer`: {@link CmOfferWord}s; `interval`: microseconds between `retries` repetitions.
   * Returns the connection's number; -EINVAL, -EBUSY, -EMFILE, -EBADF, -ENOMEM.
   */
  cmConnect(
    address: string,
    port: number,
    service: bigint,
    offer: Uint32Array,
    data: Uint8Array,
    interval: number,
    retries: number,
  ): number;
  /** Answers a request. -EBADF, -EINVAL, -EBUSY. */
  cmAccept(id: number, offer: Uint32Array, data: Uint8Array): Status;
  /** -EBADF, -EINVAL. */
  cmReject(id: number, data: Uint8Array): Status;
  /** Confirms the reply to `cmConnect`. -EBADF, -EINVAL. */
  cmConfirm(id: number): Status;
  /** Ends a connection, whatever its state, or answers the peer's disconnect. -EBADF. */
  cmDisconnect(id: number): Status;
  /**
   * Takes the oldest event of the connection manager into `words` ({@link CmEventWord}) and its private data into `data`. Returns the
   * peer's address; undefined if there is none.
   */
  takeCmEvent(words: Uint32Array, data: Uint8Array): string | undefined;
  /** Fills `out` with the {@link CmCounter}s; those of a closed endpoint stay as they were. */
  cmCounters(out: BigUint64Array): void;
  /** Works on what has arrived; waits for a packet up to `microseconds` first. Returns whether packets were received. */
  poll(microseconds: number): boolean;
  /** Closes it: its queue pairs go into error. */
  close(): Status;
  /** Gives an endpoint without a socket the payload of a UDP datagram; `ipId`: its IP identification, or -1. -EBADF, -EINVAL. */
  feed(bytes: Uint8Array, address: string, port: number, ipId: number): Status;
  /** Returns what an endpoint without a socket has sent since the last call: bytes, address and port of each packet. */
  take(): (Uint8Array | string | number)[];
}

export interface NativeSharedReceiveQueue {
  /** Returns the queue's id, unique on the device; -EBADF if it is destroyed. */
  serial(): number;
  /** -EBUSY, -EBADF. */
  destroy(): Status;
  /** Changes what the {@link SrqMask} names. -EINVAL, -ENOMEM, -EBADF. */
  modify(mask: number, maxWr: number, limit: number): Status;
  /** Fills `out` with the {@link SrqAttrWord}s. -EBADF. */
  query(out: Uint32Array): Status;
  /** As {@link NativeQueuePair.postRecv}. */
  postRecv(words: Uint32Array, count: number): Status;
}

export interface NativeAddressHandle {
  /** Returns the handle's id, unique on the device; -EBADF if it is destroyed. */
  serial(): number;
  /** -EBADF. */
  destroy(): Status;
}

export interface NativeDeviceMemory {
  serial(): number;
  length(): number;
  /**
   * Returns a buffer over all bytes, the same one while it lives. -EBADF (freed), -ENOMEM, -EOPNOTSUPP (the runtime allows none).
   */
  buffer(): ArrayBuffer | Status;
  /**
   * Returns the handle that keeps the device open for the lifetime of the buffer; undefined before the first call of `buffer`.
   */
  handle(): NativeBuffer | undefined;
  /** Returns 0, or -EBADF if the memory is freed or this environment has detached from the device. */
  live(): Status;
  /** Frees the memory. -EBADF (freed already), -EBUSY. */
  free(): Status;
}

export interface NativeDmaMapping {
  address(): bigint;
  length(): bigint;
  unmap(): Status;
  /** Returns the mapping's number, unique on the device; -EBADF if it is unmapped. */
  serial(): number;
}

export interface NativeProtectionDomain {
  /** Returns the domain's id, unique on the device; -EBADF if it is deallocated. */
  serial(): number;
  /**
   * Returns the number for CHECKER, valid while this object lives; 0, which is never valid, if the domain was already
   * deallocated.
   */
  number(): number;
  /** Deallocates the domain. 0, -EBUSY (it has children, and `cascade` is false), -EBADF. */
  dealloc(cascade: boolean): Status;
  /** Creates a queue pair without queues, for checks only. */
  createCheckQp(): NativeQueuePair | Status;
  /**
   * Creates a queue pair with the {@link QpInitWord}s of `words`: `rvt_create_qp`. -EINVAL, -EOPNOTSUPP (type), -EBADF, -ENOMEM.
   */
  createQp(
    sendCq: NativeCompletionQueue,
    recvCq: NativeCompletionQueue,
    srq: NativeSharedReceiveQueue | undefined,
    words: Uint32Array,
  ): NativeQueuePair | Status;
  /** Creates a shared receive queue; `basic`: of the only supported type. -EOPNOTSUPP, -EINVAL, -ENOMEM, -EBADF. */
  createSrq(maxWr: number, maxSge: number, limit: number, basic: boolean): NativeSharedReceiveQueue | Status;
  /**
   * Creates an address handle: with the 16 bytes of `readHostAddress` and a UDP port one that leads to a host, else one for
   * loopback. -EINVAL, -ENOMEM, -EBADF.
   */
  createAh(
    dlid: number,
    sl: number,
    staticRate: number,
    port: number,
    address?: Uint8Array,
    udpPort?: number,
  ): NativeAddressHandle | Status;
  /**
   * Calls `rvt_dereg_mrs` on rows of {@link RegionNameWord}. 0, -EBUSY (some are held), -EINVAL (one is in another domain),
   * -EBADF.
   */
  deregMany(names: Uint32Array, force: boolean): Status;
  /** Returns what `regUserMr` would answer for memory of this length. */
  regUserMrTest(start: bigint, length: bigint, iova: bigint): Status;
  // The following functions store REGION, REGION_GENERATION, START, IOVA, and the fields Id, Lkey and Length in the command
  // block.
  getDmaMr(access: number): Status;
  allocMr(type: MrTypeNumber, maxNumSg: number): Status;
  /** `maxPages` may be any integer; the core validates it. */
  allocFmr(access: number, maxPages: number, maxMaps: number, pageShift: number): Status;
}

export interface NativeQueuePair {
  /** Returns the queue pair's id, unique on the device; -EBADF if it is destroyed. */
  serial(): number;
  /** As {@link NativeProtectionDomain.number}. */
  number(): number;
  destroy(): Status;
  /** Calls `rvt_fast_reg_mr` on the region in the command block. `iova` undefined: keeps the iova that `mapSg` set. */
  /** Returns a queue pair that was connected through an endpoint to the loopback. -EINVAL (not in RESET or INIT), -EBADF. */
  unwire(): Status;
  fastRegMr(key: number, access: number, iova: bigint | undefined): Status;
  invalidateRkey(rkey: number): Status;
  /** Returns the queue pair's number; 0 for one without queues; -EBADF if it is destroyed. */
  qpn(): number;
  /** Calls `rvt_modify_qp` with {@link QpAttribute} bits and the first `QpAttrWord.SetWords` words. -EINVAL, -EBADF. */
  modify(mask: number, words: Uint32Array): Status;
  /** Fills `out` with the {@link QpAttrWord}s. -EINVAL (no queues), -EBADF. */
  query(out: Uint32Array): Status;
  /**
   * Posts `count` work requests of {@link SendWrWord}s, each followed by its elements of {@link SgeWord}s; `ahs` has the address
   * handles that they name by index. Afterwards `words[0]` is the index of the first one that was not accepted, or 0xffffffff if
   * the state of the queue pair forbids all. -EINVAL, -EACCES, -ENOMEM, -EBADF.
   */
  postSend(words: Uint32Array, count: number, ahs: readonly NativeAddressHandle[]): Status;
  /** Posts `count` receives of {@link RecvWrWord}s in the same way. -EINVAL, -ENOMEM, -EBADF. */
  postRecv(words: Uint32Array, count: number): Status;
}

export interface NativeSgeState {
  /** Returns the number of bytes left. */
  totalLength(): number;
  /** Returns the number of elements left, including the current one. */
  remaining(): number;
  /** Calls `rvt_get_sge_length`. */
  nextLength(wanted: number): number;
  /** Calls `rvt_update_sge`. */
  update(length: number, release: boolean): Status;
  /** Calls `rvt_skip_sge`. */
  skip(length: number, release: boolean): Status;
  /** Calls `rvt_put_ss`. */
  put(): Status;
  /** Calls `rvt_ss_has_lkey`. */
  hasLkey(key: number): boolean;
  /** Calls `rvt_copy_sge` with all of `source`. Returns the bytes moved, or a refusal as {@link REFUSED} describes. */
  copyIn(source: Uint8Array, release: boolean, ordered: boolean): number;
  /** Calls `rvt_copy_sge_out` to fill all of `target`. Returns the same as `copyIn`. */
  copyOut(target: Uint8Array, release: boolean): number;
  /**
   * Advances the walk in steps of the given lengths. Returns flat rows of {@link FragmentField}, one for each fragment; or a
   * refusal as {@link REFUSED} describes, and then the walk has not moved.
   */
  walk(steps: Uint32Array, release: boolean): BigUint64Array | number;
}

declare const bufferHandle: unique symbol;
/** The result of {@link NativeDeviceMemory.handle}: an opaque object to keep a reference to. */
export interface NativeBuffer {
  readonly [bufferHandle]: true;
}

/** The functions of a batch. They read count, access and flags from the header of the block and write their answer there. */
export interface NativeBatch {
  /** The batch's number, unique in this thread; {@link HeldRow} refers to it. */
  readonly number: number;
  /** Checks the elements of the block. */
  check(): void;
  /** Checks packed elements in the caller's memory. */
  checkPacked(sges: Uint8Array): void;
  /**
   * Checks and takes references; `continues`: the first element may coalesce with LAST_CELL, LAST_GENERATION of the command
   * block.
   */
  acquire(continues: boolean): void;
  /** Puts the elements that `acquire` accepted among the first `count`. */
  put(): void;
  /**
   * Moves an accepted element to the empty cell CELL and stores CELL_GENERATION. Answers -EBADF if `index` has no accepted
   * element.
   */
  take(index: number): void;
  /** Checks the elements and copies their bytes into `target`. */
  gather(target: Uint8Array): void;
  /** Checks the elements and copies the bytes of `source` into them. */
  scatter(source: Uint8Array): void;
  /** Checks the elements of both batches and copies from this batch to `other`. */
  copyTo(other: NativeBatch): void;
}

/**
 * The functions of a block of work requests. The block's header says which: each posts the first COUNT work requests, none of which
 * names an address handle, to the queue pair with the number QP. It stores STATUS (0 or a negative errno), and in BAD the index of
 * the refused work request; for sends 0xffffffff if the call was refused as a whole.
 */
export interface NativePostBlock {
  readonly postSend: () => void;
  readonly postRecv: () => void;
}

/** The functions of a packed receive queue. */
export interface NativeRecvQueue {
  /**
   * Posts COUNT slots from the slot FIRST on, both in the block's header, as {@link NativeQueuePair.postRecv} posts a list. Stores
   * STATUS (0 or a negative errno), in POSTED how many were posted, and in BAD the index of the refused receive.
   */
  readonly post: () => void;
}

/** The functions of a packed send queue. */
export interface NativeSendQueue {
  /** Posts slots as {@link NativeRecvQueue.post}, to the send queue. */
  readonly post: () => void;
  /**
   * Keeps an address handle under an index below the capacity, by which work requests name it. -ENOMEM; -EINVAL: an argument is
   * invalid.
   */
  readonly setAh: (index: number, ah: NativeAddressHandle) => Status;
}

/** The functions of a packet reader. They write their answer to its block: {@link WireHeaderWord}s and {@link WireHeaderDouble}s. */
export interface NativePacketReader {
  /**
   * Takes bytes of a chunk of the file from the offset `from` on, and fills rows ({@link WireRow}). Stops behind the chunk, when all
   * rows are filled, or with a status that is not OK. The chunk must not be over shared memory, and has fewer than 2^31 bytes.
   */
  read(chunk: Uint8Array, from: number): void;
  /** Ends the file: the status tells whether it ended behind a packet. */
  end(): void;
}

/** The native module: built from source if available, otherwise the matching prebuilt binary. */
export const native = loadNative(__dirname) as NativeModule;
