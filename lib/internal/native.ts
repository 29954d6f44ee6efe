/**
 * The shape of the native module. The numbers that its calls take and answer stand in `layout.ts`. Nothing here is public.
 *
 * Native calls do not throw for what RDMA can refuse. They answer 0 or a negative Linux errno; where an object comes back,
 * a number instead of it is the failure. They throw a TypeError only for arguments of a wrong JavaScript type. The
 * classes in lib/verbs have tested those before.
 */
import { type MrTypeNumber, type ReleaseMode } from './layout';
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
  /** `rvt_unmap_fmr`; the array may name one twice. */
  unmapFmr(fmrs: readonly NativeMemoryRegion[]): Status;
  /**
   * A batch over `block`, a Uint8Array over shared memory of the size that `batch-block.ts` lays out; `places`: with the
   * columns that tell where accepted elements lie. -EBADF: the domain or queue pair is gone.
   */
  createBatch(
    checker: NativeProtectionDomain | NativeQueuePair,
    block: Uint8Array,
    capacity: number,
    places: boolean,
  ): NativeBatch | Status;
  /**
   * A handle of the buffer that `bytes` is a view of. Registrations that are given it share what a call finds out about the
   * buffer. It keeps the buffer alive only while one of them does.
   */
  holdBuffer(bytes: Uint8Array): NativeBuffer;
  /**
   * The environment's command block: `COMMAND_BYTES` of shared memory, see {@link CommandWord}. The first caller's
   * proposal is taken; everybody gets that one, so that several copies of this package in one thread agree.
   */
  commandBlock(proposal: Uint8Array): Uint8Array;
  /**
   * Judge the first element of the batch whose number stands in the command block; the answer is 0, a reason, or a negative
   * errno. One function for all: calls to one function are what the engine makes short.
   */
  readonly checkOne: () => void;
  /** Does nothing: what calling costs. */
  empty(): void;
  /** A walk over 1..`MAX_SGE` elements, begun at their first byte. -EBADF: one is dead. */
  createSgeState(sges: readonly NativeSge[]): NativeSgeState | Status;
}

export interface NativeDevice {
  /** Bits of the key table in use (after clamping). */
  bits(): number;
  /** `rvt_mr_exit`: 0, 1 (closed, and a DMA region was still published), or a negative errno. */
  close(cascade: boolean): number;
  /** `user`: as an unprivileged process has it. */
  allocPd(user: boolean): NativeProtectionDomain | Status;
  /** A free range of local addresses. */
  pickUserStart(length: bigint): bigint | Status;
  /** All of `memory` becomes DMA memory, at `address` or where there is room. */
  mapDma(memory: Uint8Array, address: bigint | undefined, buffer?: NativeBuffer): NativeDmaMapping | Status;
  /** `used`: {@link KeyTableField} of each occupied slot, flat. */
  keyTable(): { max: number; next: number; generation: number; used: Float64Array };
  /** Unique in the process: the same for every environment that uses the device. */
  number(): number;
  /** 0, or -EBADF when the device is closed or this environment has left it. */
  live(): Status;
  /** Number of this environment's context. */
  context(): number;
  /** `rvt_dealloc_ucontext`: 0, -EBUSY, -EBADF. */
  detach(cascade: boolean): Status;
  /** The device's token: `CORE_ID_BYTES` and `TOKEN_BYTES`. */
  share(): Uint8Array | Status;
  /** The domain of that number: -EINVAL, -EBADF. */
  importPd(number: number): NativeProtectionDomain | Status;
  /** -EINVAL (no bytes), -ENOMEM, -EBADF. */
  allocDm(bytes: number, hugePages: boolean): NativeDeviceMemory | Status;
  importDm(number: number): NativeDeviceMemory | Status;
  /** Fills `out` (at least `CounterField.Refused` + the number of reasons long): of this environment, or of all. */
  counters(own: boolean, out: BigUint64Array): void;
  /** By {@link ResourceKind}, each of flat rows. */
  resources(): readonly BigUint64Array[] | Status;
  /** Tell {@link NativeModule.onLeak} about regions that are alive when nothing of the device is reachable any more. */
  reportLeaks(report: boolean): Status;
}

export interface NativeDeviceMemory {
  serial(): number;
  length(): number;
  /** A buffer over all of it, the same as long as there is one: -EBADF (freed), -ENOMEM, -EOPNOTSUPP (the runtime allows none). */
  buffer(): ArrayBuffer | Status;
  /** What registrations of that buffer are given; undefined before `buffer` was called. */
  handle(): NativeBuffer | undefined;
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
  /** 0, -EBUSY (children, without `cascade`), -EBADF. */
  dealloc(cascade: boolean): Status;
  createQp(): NativeQueuePair | Status;
  /** `rvt_dereg_mrs`: 0, -EBUSY (some are held), -EINVAL (one is of another domain), -EBADF. */
  deregMany(regions: readonly NativeMemoryRegion[], force: boolean): Status;
  /** What `regUserMr` would answer for a memory of this length. */
  regUserMrTest(start: bigint, length: bigint, iova: bigint): Status;
  /** The view's bytes, exactly. */
  regUserMr(
    memory: Uint8Array,
    start: bigint,
    iova: bigint,
    access: number,
    buffer?: NativeBuffer,
  ): NativeMemoryRegion | Status;
  getDmaMr(access: number): NativeMemoryRegion | Status;
  allocMr(type: MrTypeNumber, maxNumSg: number): NativeMemoryRegion | Status;
  /** `maxPages` may be any integer; it is the core that judges it. */
  allocFmr(access: number, maxPages: number, maxMaps: number, pageShift: number): NativeMemoryRegion | Status;
  /** An accepted element; 0: coalesced into `last`; positive: the reason of the refusal; negative: errno. */
  acquire(
    addr: bigint,
    length: number,
    lkey: number,
    acc: number,
    last: NativeSge | null,
  ): NativeSge | number;
  /** The verdict without a reference: 0 and `place`, a positive reason, or a negative errno. */
  check(addr: bigint, length: number, lkey: number, acc: number, place: BigUint64Array): number;
}

export interface NativeQueuePair {
  /** Unique on the device; -EBADF when it is gone. */
  serial(): number;
  destroy(): Status;
  /** An accepted element; positive: the reason of the refusal; negative: errno. */
  acquire(vaddr: bigint, length: number, rkey: number, acc: number): NativeSge | number;
  check(vaddr: bigint, length: number, rkey: number, acc: number, place: BigUint64Array): number;
  /** `iova` undefined: as `mapSg` left it. */
  fastRegMr(mr: NativeMemoryRegion, key: number, access: number, iova: bigint | undefined): Status;
  invalidateRkey(rkey: number): Status;
}

/** Every kind of region; FMRs too. */
export interface NativeMemoryRegion {
  /** Fill `fields` (at least `RegionField.Count` long): 0 or -EBADF. */
  query(fields: BigUint64Array): Status;
  /** Count its checks from now on: 0, -EBADF, -ENOMEM. */
  count(): Status;
  /** `rvt_dereg_mr`, or `rvt_dealloc_fmr` for an FMR. `ReleaseMode.Await`: see {@link NativeModule.awaitPut}. */
  release(mode: ReleaseMode): Status;
  /**
   * `rvt_map_mr_sg`. `list` holds {@link SgElementField} of each element. Answers the number of elements used or a negative
   * errno, and fills `outcome` ({@link SgOutcomeField}) unless it is -EBADF.
   */
  mapSg(list: BigUint64Array, sgOffset: bigint, pageSize: number, outcome: BigUint64Array): number;
  /** `rvt_map_phys_fmr`. */
  mapPhys(pages: BigUint64Array, iova: bigint): Status;
}

export interface NativeSge {
  /** Fill `fields` (at least `SgeField.Count` long): 0, or -EBADF once it is put. */
  describe(fields: BigUint64Array): Status;
  /** 0, or -EBADF if it was put before. */
  put(): Status;
  /**
   * Bytes of the element from `offset` on into `target`, as many as there are or as it holds. Answers the bytes moved, or see
   * {@link REFUSED}; undefined if that is no Uint8Array.
   */
  copyTo(target: unknown, offset?: number): number | undefined;
  /** The other direction; `ordered`: the last 8 bytes singly, ascending, after the others. */
  copyFrom(source: unknown, offset?: number, ordered?: boolean): number | undefined;
  /** What was there before, or see {@link REFUSED}. */
  fetchAdd(add: bigint): bigint | number;
  compareSwap(compare: bigint, swap: bigint): bigint | number;
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
/** What {@link NativeModule.holdBuffer} gives: nothing can be done with it but passing it back. */
export interface NativeBuffer {
  readonly [bufferHandle]: true;
}

/** The functions of a batch. They read count, access and flags from the header of the block and answer into it. */
export interface NativeBatch {
  /** Judge the block's elements. */
  check(): void;
  /** What stands in the command block for {@link NativeModule.checkOne}. */
  readonly number: number;
  /** Judge elements that lie packed in the caller's memory. */
  checkPacked(sges: Uint8Array): void;
  /** Judge and keep references; `seed` is what the first element may coalesce with. */
  acquire(seed?: NativeSge): void;
  /** Put what `acquire` has kept among the first `count`. */
  put(): void;
  /** A kept element as an object, which has its reference from now on. */
  take(index: number): NativeSge | undefined;
  /** Judge and copy into `target`. */
  gather(target: Uint8Array): void;
  /** Judge and copy from `source`. */
  scatter(source: Uint8Array): void;
  /** Judge both lists and copy from one to the other. */
  copyTo(other: NativeBatch): void;
}

/** The native module: what was built from source, else the prebuilt binary that fits. */
export const native = loadNative(__dirname) as NativeModule;
