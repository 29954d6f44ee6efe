/**
 * The shape of the native module. The numbers that its calls take and answer stand in `layout.ts`. Nothing here is public.
 *
 * Native calls do not throw for what RDMA can refuse. They return 0 or a negative Linux errno; where an object is expected, a
 * number instead of it is the failure. They throw a TypeError for arguments of a wrong JavaScript type, which the classes in
 * lib/verbs have already rejected; calls that answer in the command block answer -EINVAL instead of throwing.
 */
import { type MrTypeNumber } from './layout';
import { loadNative } from './load-native';

/** A number of refusal: position in {@link NativeModule.reasonNames}. 0 is no refusal. */
export type ReasonNumber = number;

/** 0, or a negative Linux errno. */
export type Status = number;

export interface NativeModule {
  /** Hash of the layout that it was built with. The loader compares it with `LAYOUT_HASH`. */
  readonly layoutHash: string;
  /** Names of the refusal reasons by number; `reasonNames[0]` is `'None'`. */
  readonly reasonNames: readonly string[];
  /** `rvt_driver_mr_init`. */
  openDevice(lkeyTableBits: number, randomKeys: boolean, remoteKeyZero: boolean): NativeDevice | Status;
  /** Another environment's device by its token: -ENODEV, -EXDEV, -EBADF, -ENOMEM. */
  attachDevice(token: Uint8Array): NativeDevice | Status;
  /**
   * Who is told of regions that a collected device still had, if it was asked to tell: numbers of the device and of the context,
   * and rows of {@link RegionRow}.
   */
  onLeak(callback: (device: number, context: number, rows: BigUint64Array) => void): void;
  /** The same, at once, of every device that is to tell and was not closed: this environment is about to end. */
  tellLeaks(): void;
  /**
   * Calls `callback` once, after the next put of a reference on a region that a release with `ReleaseMode.Await` found held, and
   * after the end of such a region. By any thread; the call comes later, from the event loop.
   */
  awaitPut(callback: () => void): void;
  /**
   * A batch over `block`, a Uint8Array over shared memory of the size that `batch-block.ts` lays out; `places`: with the
   * columns that tell where accepted elements lie; `accesses`: with one for each element's access. -EBADF: the domain or queue
   * pair is gone.
   */
  createBatch(
    checker: NativeProtectionDomain | NativeQueuePair,
    block: Uint8Array,
    capacity: number,
    places: boolean,
    accesses: boolean,
  ): NativeBatch | Status;
  /** A walk over 1..`MAX_SGE` elements, by rows of {@link ElementNameWord}, begun at their first byte. -EBADF: one is dead. */
  createSgeState(names: Uint32Array): NativeSgeState | Status;
  /** What this thread holds elements of, of any object of this device: {@link HeldRow} of each, flat. */
  heldElements(device: NativeDevice): BigUint64Array;
  /**
   * Why the last native call of this thread failed: writes {@link FailureNumber}s, all 0 if there is nothing to tell. A cause is told
   * once; to be asked right after the call.
   */
  readonly takeFailure: (numbers: BigUint64Array) => void;
  /** `rvt_unmap_fmr`, by rows of {@link RegionNameWord}; the list may name one twice. */
  readonly unmapFmr: (names: Uint32Array) => Status;

  /**
   * The environment's command block: `COMMAND_BYTES` of shared memory, see {@link CommandWord}. The first caller's
   * proposal is taken; everybody gets that one, so that several copies of this package in one thread agree.
   */
  commandBlock(proposal: Uint8Array): Uint8Array;
  /**
   * Gives the object a cell of native memory for elements, one after the other. When the object is collected, the element that
   * is in the cell is put (with the last walk over it, if there is one), and somebody else gets the cell.
   *
   * @returns the cell's number; 0: no memory
   * @throws what the engine throws if it cannot watch the object
   */
  readonly bindCell: (holder: object) => number;

  // The functions below read their input from the words of the command block that their comments name in capitals, and store their
  // answer in ANSWER: 0 or a negative errno unless stated otherwise. `internal/command.ts` has the block. All objects share one
  // function of each kind, because the engine optimizes calls that always go to the same function. They need no receiver.

  /**
   * Judges (CHECKER, ACCESS, ADDRESS, LENGTH, KEY) without a reference; positive: the reason of the refusal. Then this and the next two
   * tell RECORD_SEQUENCE.
   */
  readonly checkOne: () => void;
  /** As `checkOne`, and writes {@link PlaceField} of an accepted access into FIELDS. */
  readonly placeOne: () => void;
  /**
   * As `checkOne`, but takes a reference: stores the accepted element in the empty cell CELL and its generation in
   * CELL_GENERATION. `BATCH_COALESCED`: the element LAST_CELL, LAST_GENERATION has grown instead.
   */
  readonly acquireOne: () => void;
  /**
   * What the device knows now about the access that `checkOne` would judge: fills `Explained.Count` numbers of `out`. Counts
   * nothing. -EBADF: the domain or queue pair is gone.
   */
  readonly explainAccess: (out: BigUint64Array) => void;
  /** Writes {@link SgeField} of the element CELL, CELL_GENERATION into FIELDS. All calls on an element answer -EBADF once it is put. */
  readonly describeSge: () => void;
  /** Puts the element. -EBADF also if a walk has put it; its cell is empty in either case. */
  readonly putOne: () => void;
  /**
   * Copies bytes of the element, from the offset in ADDRESS (its low word) on, into `target`: as many as both have. Stores the
   * number in BYTES_MOVED. Positive answer: the reason of a refusal. -EINVAL also if `target` is not a Uint8Array.
   */
  readonly copyOut: (target: unknown) => void;
  /** Copies all of `source` into the element, likewise; reads FLAGS. -EINVAL also if the element is too short. */
  readonly copyIn: (source: unknown) => void;
  /** Adds OPERAND; RESULT is what was there before. Positive: the reason of a refusal. */
  readonly fetchAdd: () => void;
  /** Stores OPERAND in the place of COMPARE; RESULT is what was there before. Positive: the reason of a refusal. */
  readonly compareSwap: () => void;
  /**
   * `rvt_reg_user_mr` of all bytes of a Uint8Array, in the domain CHECKER: ACCESS, FLAGS, START, IOVA. Tells REGION,
   * REGION_GENERATION, START, IOVA, and the fields Id, Lkey and Length.
   */
  readonly regUserMr: (memory: Uint8Array) => void;
  /**
   * Writes {@link RegionField} of the region CHECKER, REGION, REGION_GENERATION into FIELDS. All calls on a region answer -EBADF
   * once it is gone.
   */
  readonly queryMr: () => void;
  /** `rvt_dereg_mr`, or `rvt_dealloc_fmr` for an FMR: MODE. `ReleaseMode.Await`: see {@link NativeModule.awaitPut}. */
  readonly releaseMr: () => void;
  /** Writes {@link RegionPlaceField} of the region into FIELDS. */
  readonly placeOfMr: () => void;
  /** Writes {@link ViewField} of a Uint8Array into FIELDS. */
  readonly placeOfView: (bytes: Uint8Array) => void;
  /** Counts its checks from now on. */
  readonly countMr: () => void;
  /** `rvt_map_phys_fmr` at IOVA. */
  readonly mapPhys: (pages: BigUint64Array) => void;
  /**
   * `rvt_map_mr_sg` of {@link SgElementField} of each element, from byte ADDRESS of the first one on, in pages of LENGTH bytes.
   * Positive: the number of elements used. Writes {@link SgOutcomeField} into FIELDS whenever `rvt_map_mr_sg` ran: not if the region
   * is gone, `list` is unusable (-EINVAL), or there is no memory for a copy of it (-ENOMEM).
   */
  readonly mapSg: (list: BigUint64Array) => void;
  /** Does nothing; benchmarks compare with it. */
  readonly empty: () => void;
}

export interface NativeDevice {
  /** Bits of the key table in use (after clamping). */
  bits(): number;
  // A device that was attached by the token of one domain may use that domain only. Functions below that say -EPERM answer it then.
  /** `rvt_mr_exit`: 0, 1 (closed, and a DMA region was still published), or a negative errno (-EPERM). */
  close(cascade: boolean): number;
  /** `user`: as an unprivileged process has it. -EPERM. */
  allocPd(user: boolean): NativeProtectionDomain | Status;
  /** All of `memory` becomes DMA memory, at `address` or where there is room. -EPERM. */
  mapDma(memory: Uint8Array, address: bigint | undefined): NativeDmaMapping | Status;
  /** `used`: {@link KeyTableField} of each occupied slot, flat. -EPERM. */
  keyTable(): { max: number; next: number; generation: number; used: Float64Array } | Status;
  /** Slots of the key table. */
  keySlots(): { used: number; max: number };
  /** Unique in the process: the same for every environment that uses the device. */
  number(): number;
  /** 0, or -EBADF when the device is closed or this environment has left it. */
  live(): Status;
  /** Number of this environment's context. */
  context(): number;
  /** Number of the one domain that it is restricted to; 0: it has the whole device. */
  onlyPd(): number;
  /** `rvt_dealloc_ucontext`: 0, -EBUSY, -EBADF. */
  detach(cascade: boolean): Status;
  /** The token of the domain, or of the whole device: `CORE_ID_BYTES` and `TOKEN_BYTES`. -EINVAL (of another device), -EPERM. */
  share(pd: NativeProtectionDomain | undefined): Uint8Array | Status;
  /** The domain of that number: -EINVAL, -EBADF; -EPERM for every other one. */
  importPd(number: number): NativeProtectionDomain | Status;
  /** -EINVAL (no bytes), -ENOMEM, -EBADF, -EPERM. */
  allocDm(bytes: number, hugePages: boolean): NativeDeviceMemory | Status;
  importDm(number: number): NativeDeviceMemory | Status;
  /**
   * Fills `out` (at least `CounterField.Refused` + the number of reasons long): of this environment, or of all, which what is
   * restricted is not told.
   */
  counters(own: boolean, out: BigUint64Array): void;
  /** By {@link ResourceKind}, each of flat rows; what is restricted is told of its domain and of what is its own. */
  resources(): readonly BigUint64Array[] | Status;
  /** Tell {@link NativeModule.onLeak} about regions that are alive when nothing of the device is reachable any more. */
  reportLeaks(report: boolean): Status;
}

export interface NativeDeviceMemory {
  serial(): number;
  length(): number;
  /** A buffer over all of it, the same as long as there is one: -EBADF (freed), -ENOMEM, -EOPNOTSUPP (the runtime allows none). */
  buffer(): ArrayBuffer | Status;
  /** What is kept with that buffer, so that the device stays open as long as it; undefined before `buffer` was called. */
  handle(): NativeBuffer | undefined;
  /** 0; -EBADF when it is freed, or this environment has left the device. */
  live(): Status;
  /** -EBADF (freed), -EBUSY. */
  free(): Status;
}

export interface NativeDmaMapping {
  address(): bigint;
  length(): bigint;
  unmap(): Status;
  /** Unique on the device; -EBADF when it is gone. */
  serial(): number;
}

export interface NativeProtectionDomain {
  /** Unique on the device; -EBADF when it is gone. */
  serial(): number;
  /** What names it in the command block, as long as this object lives. 0, which names nothing: it was gone when this was made. */
  number(): number;
  /** 0, -EBUSY (children, without `cascade`), -EBADF. */
  dealloc(cascade: boolean): Status;
  createQp(): NativeQueuePair | Status;
  /** `rvt_dereg_mrs` by rows of {@link RegionNameWord}: 0, -EBUSY (some are held), -EINVAL (one is of another domain), -EBADF. */
  deregMany(names: Uint32Array, force: boolean): Status;
  /** What `regUserMr` would answer for a memory of this length. */
  regUserMrTest(start: bigint, length: bigint, iova: bigint): Status;
  // These tell REGION, REGION_GENERATION, START, IOVA, and the fields Id, Lkey and Length in the command block.
  getDmaMr(access: number): Status;
  allocMr(type: MrTypeNumber, maxNumSg: number): Status;
  /** `maxPages` may be any integer; it is the core that judges it. */
  allocFmr(access: number, maxPages: number, maxMaps: number, pageShift: number): Status;
}

export interface NativeQueuePair {
  /** Unique on the device; -EBADF when it is gone. */
  serial(): number;
  /** As {@link NativeProtectionDomain.number}. */
  number(): number;
  destroy(): Status;
  /** `rvt_fast_reg_mr` of the region in the command block. `iova` undefined: as `mapSg` left it. */
  fastRegMr(key: number, access: number, iova: bigint | undefined): Status;
  invalidateRkey(rkey: number): Status;
}

export interface NativeSgeState {
  /** Bytes left. */
  totalLength(): number;
  /** Elements left, the current one included. */
  remaining(): number;
  /** `rvt_get_sge_length`. */
  nextLength(wanted: number): number;
  /** `rvt_update_sge`. */
  update(length: number, release: boolean): Status;
  /** `rvt_skip_sge`. */
  skip(length: number, release: boolean): Status;
  /** `rvt_put_ss`. */
  put(): Status;
  /** `rvt_ss_has_lkey`. */
  hasLkey(key: number): boolean;
  /** `rvt_copy_sge`: all of `source`. Bytes moved, or see {@link REFUSED}. */
  copyIn(source: Uint8Array, release: boolean, ordered: boolean): number;
  /** `rvt_copy_sge_out`: all of `target`. */
  copyOut(target: Uint8Array, release: boolean): number;
  /**
   * Walk on in steps: {@link FragmentField} of each fragment, flat. Or see {@link REFUSED}; nothing has changed then.
   */
  walk(steps: Uint32Array, release: boolean): BigUint64Array | number;
}

declare const bufferHandle: unique symbol;
/** What {@link NativeDeviceMemory.handle} gives: nothing can be done with it but keeping it. */
export interface NativeBuffer {
  readonly [bufferHandle]: true;
}

/** The functions of a batch. They read count, access and flags from the header of the block and answer into it. */
export interface NativeBatch {
  /** Unique in this thread: as {@link HeldRow} has it. */
  readonly number: number;
  /** Judge the block's elements. */
  check(): void;
  /** Judge elements that lie packed in the caller's memory. */
  checkPacked(sges: Uint8Array): void;
  /** Judge and keep references; `continues`: the first element may coalesce with LAST_CELL, LAST_GENERATION of the command block. */
  acquire(continues: boolean): void;
  /** Put what `acquire` has kept among the first `count`. */
  put(): void;
  /** Moves a kept element into the empty cell CELL of the command block, and tells CELL_GENERATION; -EBADF there: none is kept. */
  take(index: number): void;
  /** Judge and copy into `target`. */
  gather(target: Uint8Array): void;
  /** Judge and copy from `source`. */
  scatter(source: Uint8Array): void;
  /** Judge both lists and copy from one to the other. */
  copyTo(other: NativeBatch): void;
}

/** The native module: what was built from source, else the prebuilt binary that fits. */
export const native = loadNative(__dirname) as NativeModule;
