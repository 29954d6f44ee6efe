import { boolean, elements, invalidType, outOfRange, size, u32 } from '../internal/arguments';
import { optionsOf } from '../internal/options';
import { reportWalkRefused } from '../internal/bytes-refused';
import { dispose } from '../internal/disposal';
import { elementNames, type Holder } from '../internal/element';
import { ownList } from '../internal/intrinsics';
import { bytesMovedOf, explainedError, rdmaError, resultOf, throwOnError } from '../internal/errors';
import { type Method } from '../internal/methods';
import { type Lkey, type Rkey } from './keys';
import { EINVAL, FragmentField, MAX_SGE, REFUSED } from '../internal/layout';
import {
  byteLengthOf,
  elementCountOf,
  type MemoryLike,
  transientBytesOf,
  u32Copy,
  u32Words,
} from '../internal/memory-argument';
import { instance, nextInstance } from '../internal/instance';
import { native, type NativeSgeState } from '../internal/native';
import { jsonOf, showAs, type Shown, textOf } from '../internal/show';
import { type AnyRegion, type RegionTable } from './region-registry';
import { holderOf, isSge, type Sge, tableOf } from './sge';

/** Options of the methods that consume elements. */
export interface ConsumeOptions {
  /** Put each element when it is used up. Its reference is released, and its {@link Sge} can no longer be used. Default false. */
  put?: boolean;
}

/** Options of {@link SgeState.copyIn}. */
export interface CopyInOptions extends ConsumeOptions {
  /** See {@link CopyFromOptions.ordered}; applies to the last 8 bytes of the whole source. Default false. */
  ordered?: boolean;
}

/** A piece of a walk: bytes that lie in one segment of one region. */
export interface Fragment {
  /** The region; undefined if another thread created it. */
  region: AnyRegion | undefined;
  /** Where the first byte of the fragment lies, as {@link Sge.at}. */
  at: bigint;
  /** Length of the fragment in bytes. */
  length: number;
}

/** Maximum number of steps in one call, which limits the number of arrays that it creates. */
const MOST_STEPS = 2 ** 20;

/** Returned by {@link SgeState.toJSON}. */
export interface ShownSgeState extends Shown {
  class: 'SgeState';
  /** Number of bytes left, as {@link SgeState.totalLength}. */
  totalLength: number;
  /** Number of elements left, as {@link SgeState.remaining}. */
  remaining: number;
}

let describeSgeState: (object: SgeState) => ShownSgeState;

/**
 * A cursor over a list of accepted elements, which starts at the first byte (`struct rvt_sge_state`).
 *
 * Works on copies of the elements: an {@link Sge} changes only if the option `put` is set.
 *
 * @example
 * ```ts
 * import { Device, SgeState } from 'rdmavt';
 *
 * const pd = new Device().allocPd();
 * const mr = pd.regUserMr(Buffer.from('hello world'));
 * const acquire = (offset: bigint) => {
 *   const check = pd.acquire({ addr: mr.start + offset, length: 5, lkey: mr.lkey }, 0);
 *   if (!check.ok) throw new Error(check.explain());
 *   return check.sge;
 * };
 * const state = new SgeState([acquire(6n), acquire(0n)]);
 * const target = Buffer.alloc(10);
 * state.copyOut(target, { put: true });
 * console.log(target.toString(), state.remaining); // worldhello 0
 * ```
 */
export class SgeState {
  readonly #native: NativeSgeState;
  readonly #table: RegionTable;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /**
   * Creates a cursor over a list of elements.
   *
   * @param sges - 1 to 255 elements of one device
   * @throws RdmaError `EBADF`: an element has been put; `EINVAL`: no elements or too many, or elements of different devices
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  constructor(sges: readonly Sge[]) {
    const list = elements(sges, 'sges', (sge, name) => {
      if (!isSge(sge)) throw invalidType(name, 'an instance of Sge', sge);
      return sge;
    });
    const first = list[0];
    if (!first || list.length > MAX_SGE) {
      throw explainedError('new SgeState', 'EINVAL', 'ElementCount', {
        value: BigInt(list.length),
        limit: BigInt(MAX_SGE),
      });
    }
    const { registry } = tableOf(first);
    for (let index = 0; index < list.length; index++) {
      const sge = list[index];
      if (sge !== undefined && tableOf(sge).registry !== registry)
        throw explainedError('new SgeState', 'EINVAL', 'ElementOnOtherDevice', { index });
    }
    const holders = ownList<Holder>();
    for (let index = 0; index < list.length; index++) {
      const holder = holderOf(list[index] ?? first);
      if (holder === undefined) throw explainedError('new SgeState', 'EBADF', 'ElementPut', { index });
      holders[index] = holder;
    }
    this.#table = tableOf(first);
    this.#native = resultOf('new SgeState', native.createSgeState(elementNames(holders)));
  }

  /** Number of bytes left (the kernel's `total_len`). */
  get totalLength(): number {
    return this.#native.totalLength();
  }

  /** Number of elements left, including the current one (the kernel's `num_sge`). */
  get remaining(): number {
    return this.#native.remaining();
  }

  /** Returns a one-line description of the cursor. Never throws. */
  toString(): string {
    return textOf('SgeState', this, describeSgeState);
  }

  /** Returns the same description as an object for JSON. Never throws. */
  toJSON(): ShownSgeState {
    return jsonOf('SgeState', this, describeSgeState);
  }

  /**
   * Returns the length of the next contiguous piece: the minimum of `wanted`, the bytes left in the segment and the bytes left in
   * the element.
   *
   * Kernel: `rvt_get_sge_length`.
   *
   * @param wanted - bytes, 0..2^32-1
   * @returns bytes; 0 at the end
   * @throws TypeError, RangeError
   */
  nextLength(wanted: number): number {
    return this.#native.nextLength(u32(wanted, 'wanted'));
  }

  /**
   * Advances within the current element.
   *
   * Kernel: `rvt_update_sge`.
   *
   * @param length - bytes, 0..2^32-1
   * @throws RdmaError `EINVAL`: fewer bytes are left in the element. Nothing has changed
   * @throws TypeError, RangeError
   */
  update(length: number, options: ConsumeOptions = {}): void {
    const self = this.#native;
    const bytes = u32(length, 'length');
    const put = readPut(options);
    throwOnError('SgeState.update', self.update(bytes, put));
  }

  /**
   * Advances across any number of elements.
   *
   * Kernel: `rvt_skip_sge`.
   *
   * @param length - bytes
   * @throws RdmaError `EINVAL`: fewer bytes are left. Nothing has changed
   * @throws TypeError, RangeError
   */
  skip(length: number, options: ConsumeOptions = {}): void {
    const self = this.#native;
    const bytes = size(length, 'length');
    const put = readPut(options);
    throwOnError('SgeState.skip', self.skip(bytes, put));
  }

  /**
   * Puts every element that is left, and moves the cursor to the end.
   *
   * Kernel: `rvt_put_ss`.
   */
  put(): void {
    const status = this.#native.put();
    if (status < 0) throw rdmaError('SgeState.put', status); // success calls nothing more that could fail at the stack limit
  }

  /** Puts every element that is left. Same as {@link SgeState.put}. */
  [dispose](): void {
    this.#native.put();
  }

  /**
   * Returns whether the region of any remaining element has this key.
   *
   * Kernel: `rvt_ss_has_lkey`.
   *
   * @throws TypeError, RangeError
   */
  hasLkey(key: Lkey | Rkey): boolean {
    return this.#native.hasLkey(u32(key, 'key'));
  }

  /**
   * Copies all of `source` to the elements and advances.
   *
   * Kernel: `rvt_copy_sge`.
   *
   * @returns the number of bytes copied
   * @throws RangeError (`ERR_OUT_OF_RANGE`): the elements have fewer bytes left; the message says by how many. Nothing has
   *   been copied
   * @throws RdmaError `EINVAL`: `put` is set and an element is in the list twice (it has one reference to put), or the source is
   *   detached. Nothing has been copied
   * @throws RdmaError `EACCES` with a reason: an element was not accepted for writing, or its bytes cannot be used now
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  copyIn(source: MemoryLike, options: CopyInOptions = {}): number {
    const self = this.#native;
    const { put: givenPut = false, ordered: givenOrdered = false } = optionsOf<CopyInOptions>(options, [
      'put',
      'ordered',
    ]);
    const put = boolean(givenPut, 'options.put');
    const ordered = boolean(givenOrdered, 'options.ordered');
    const bytes = transientBytesOf('SgeState.copyIn', source, 'source');
    const answer = self.copyIn(bytes, put, ordered);
    if (answer < 0) throwUnfit(self, bytes, 'source', answer);
    return moved('SgeState.copyIn', answer, this.#table.registry.device);
  }

  /**
   * Copies bytes of the elements to `target` until the target is full, and advances.
   *
   * @returns the number of bytes copied
   * @throws RangeError (`ERR_OUT_OF_RANGE`): the elements have fewer bytes left; the message says by how many. Nothing has
   *   been copied
   * @throws RdmaError `EINVAL`: `put` is set and an element is in the list twice (it has one reference to put), or the target is
   *   detached. Nothing has been copied
   * @throws RdmaError `EACCES` with a reason: a remote element was not accepted for reading, or the bytes of an element cannot be
   *   used now
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  copyOut(target: MemoryLike, options: ConsumeOptions = {}): number {
    const self = this.#native;
    const put = readPut(options);
    const bytes = transientBytesOf('SgeState.copyOut', target, 'target');
    const answer = self.copyOut(bytes, put);
    if (answer < 0) throwUnfit(self, bytes, 'target', answer);
    return moved('SgeState.copyOut', answer, this.#table.registry.device);
  }

  /**
   * Advances in steps, and returns where the bytes of each step lie. A fragment ends where its step, its segment or its element
   * ends.
   *
   * @param steps - bytes of each step, 0 allowed; at most 2^20 steps
   * @returns the fragments of each step
   * @throws RdmaError `EINVAL`: fewer bytes are left, or `put` is set and an element is in the list twice (it has one reference
   *   to put). Nothing has changed
   * @throws RdmaError `EACCES` with a reason: the bytes of an element cannot be used now. Nothing has changed
   * @throws TypeError, RangeError
   */
  walk(steps: readonly number[] | Uint32Array, options: ConsumeOptions = {}): Fragment[][] {
    const self = this.#native;
    const put = readPut(options);
    const list =
      u32Copy('SgeState.walk', steps, 'steps', MOST_STEPS) ??
      u32Words(elements(steps, 'steps', u32, MOST_STEPS));
    const found = self.walk(list, put);
    if (typeof found === 'number') {
      moved('SgeState.walk', found, this.#table.registry.device);
      return [];
    }
    const fragments: Fragment[][] = [];
    const stepCount = elementCountOf(list);
    for (let step = 0; step < stepCount; step++) fragments[step] = [];
    const wordCount = elementCountOf(found);
    for (let i = 0; i < wordCount; i += FragmentField.Count) {
      const step = fragments[Number(found[i + FragmentField.Step])] ?? [];
      step[step.length] = {
        region: this.#table.find(
          Number(found[i + FragmentField.Index]),
          Number(found[i + FragmentField.Region]),
        ),
        at: found[i + FragmentField.At] ?? 0n,
        length: Number(found[i + FragmentField.Length]),
      };
    }
    return fragments;
  }

  static {
    describeSgeState = (state) => ({
      class: 'SgeState',
      totalLength: state.#native.totalLength(),
      remaining: state.#native.remaining(),
    });
    showAs(SgeState, 'SgeState', (object) => textOf('SgeState', object, describeSgeState));
  }
}

function readPut(options: unknown): boolean {
  const { put = false } = optionsOf<ConsumeOptions>(options, ['put']);
  return boolean(put, 'options.put');
}

/**
 * Throws a RangeError if a buffer is longer than the bytes left in the elements.
 *
 * @param answer - the native module's answer; only -EINVAL is examined
 */
function throwUnfit(self: NativeSgeState, bytes: Uint8Array, name: string, answer: number): void {
  if (answer !== -EINVAL) return;
  const left = self.totalLength();
  const length = byteLengthOf(bytes);
  if (length > left) {
    throw outOfRange(
      `${name}.byteLength`,
      `<= ${left}, the bytes left in all elements; the value is ${length - left} too large`,
      length,
    );
  }
}

/** Same as `bytesMovedOf`, and also publishes a refusal to the subscribers of the channel `rdmavt:refused`. */
function moved(method: Method, answer: number, device: number): number {
  try {
    // Call this before the report: it asks the native module for the cause of the last failure.
    return bytesMovedOf(method, answer);
  } finally {
    if (answer < REFUSED) reportWalkRefused(method, REFUSED - answer, device);
  }
}
