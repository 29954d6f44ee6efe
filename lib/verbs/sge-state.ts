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

/** Options of everything that consumes elements. */
export interface ConsumeOptions {
  /** Put each element that is used up: its reference is gone, the {@link Sge} is dead. Default false. */
  put?: boolean;
}

/** Options of {@link SgeState.copyIn}. */
export interface CopyInOptions extends ConsumeOptions {
  /** See {@link CopyFromOptions.ordered}; the last 8 bytes of the whole. Default false. */
  ordered?: boolean;
}

/** A piece of a walk: bytes that lie in one segment of one region. */
export interface Fragment {
  /** The region; undefined if another thread has made it. */
  region: AnyRegion | undefined;
  /** Where its first byte lies, as {@link Sge.at}. */
  at: bigint;
  /** Bytes. */
  length: number;
}

/** More steps than this would be more arrays than one call should make. */
const MOST_STEPS = 2 ** 20;

/** What {@link SgeState.toJSON} answers. */
export interface ShownSgeState extends Shown {
  class: 'SgeState';
  /** As {@link SgeState.totalLength}. */
  totalLength: number;
  /** As {@link SgeState.remaining}. */
  remaining: number;
}

let describeSgeState: (object: SgeState) => ShownSgeState;

/**
 * A walk over a list of accepted elements, begun at their first byte (`struct rvt_sge_state`).
 *
 * It works on copies: elements keep their own position, and are only changed when `put` is asked for.
 */
export class SgeState {
  readonly #native: NativeSgeState;
  readonly #table: RegionTable;
  /** @internal */
  readonly [instance]: number = nextInstance();

  /**
   * @param sges - 1 to 255 elements of one device
   * @throws RdmaError `EBADF`: one is put; `EINVAL`: too many or none, or of different devices
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

  /** Bytes left (`total_len`). */
  get totalLength(): number {
    return this.#native.totalLength();
  }

  /** Elements left, the current one included (`num_sge`). */
  get remaining(): number {
    return this.#native.remaining();
  }

  /** What it is, in one line. Never throws. */
  toString(): string {
    return textOf('SgeState', this, describeSgeState);
  }

  /** The same as an object for JSON. Never throws. */
  toJSON(): ShownSgeState {
    return jsonOf('SgeState', this, describeSgeState);
  }

  /**
   * Bytes of the next piece if `wanted` are wanted: the smallest of that, the rest of the segment and the rest of the element.
   * 0 at the end. Kernel: `rvt_get_sge_length`.
   *
   * @throws TypeError, RangeError
   */
  nextLength(wanted: number): number {
    return this.#native.nextLength(u32(wanted, 'wanted'));
  }

  /**
   * Goes on inside the current element. Kernel: `rvt_update_sge`.
   *
   * @param length - bytes
   * @throws RdmaError `EINVAL`: the element ends before; nothing has changed
   * @throws TypeError, RangeError
   */
  update(length: number, options: ConsumeOptions = {}): void {
    const self = this.#native;
    const bytes = u32(length, 'length');
    const put = readPut(options);
    throwOnError('SgeState.update', self.update(bytes, put));
  }

  /**
   * Goes on over any number of elements. Kernel: `rvt_skip_sge`.
   *
   * @param length - bytes
   * @throws RdmaError `EINVAL`: fewer are left; nothing has changed
   * @throws TypeError, RangeError
   */
  skip(length: number, options: ConsumeOptions = {}): void {
    const self = this.#native;
    const bytes = size(length, 'length');
    const put = readPut(options);
    throwOnError('SgeState.skip', self.skip(bytes, put));
  }

  /** Puts every element that is left; the walk is at its end then. Kernel: `rvt_put_ss`. */
  put(): void {
    const status = this.#native.put();
    if (status < 0) throw rdmaError('SgeState.put', status); // on success nothing is called that fails at the end of the stack
  }

  /** As {@link SgeState.put}. */
  [dispose](): void {
    this.#native.put();
  }

  /**
   * Whether the region of any element that is left answers to this key. Kernel: `rvt_ss_has_lkey`.
   *
   * @throws TypeError, RangeError
   */
  hasLkey(key: Lkey | Rkey): boolean {
    return this.#native.hasLkey(u32(key, 'key'));
  }

  /**
   * Copies all of `source` into the elements and goes on. Kernel: `rvt_copy_sge`.
   *
   * @returns the number of bytes copied
   * @throws RangeError (`ERR_OUT_OF_RANGE`): the elements hold fewer bytes; the message says by how many. Nothing has been copied
   * @throws RdmaError `EINVAL`: with `put` one stands in the list twice (there is one reference to put), or the source is detached;
   *   nothing has been copied
   * @throws RdmaError `EACCES` with a reason: an element was not proven for writing, or cannot be used now
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
    return moved('SgeState.copyIn', answer);
  }

  /**
   * Fills all of `target` from the elements and goes on.
   *
   * @returns the number of bytes copied
   * @throws RangeError (`ERR_OUT_OF_RANGE`): the elements hold fewer bytes; the message says by how many. Nothing has been copied
   * @throws RdmaError `EINVAL`: with `put` one stands in the list twice (there is one reference to put), or the target is detached;
   *   nothing has been copied
   * @throws RdmaError `EACCES` with a reason: a remote element was not proven for reading, or one cannot be used now
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  copyOut(target: MemoryLike, options: ConsumeOptions = {}): number {
    const self = this.#native;
    const put = readPut(options);
    const bytes = transientBytesOf('SgeState.copyOut', target, 'target');
    const answer = self.copyOut(bytes, put);
    if (answer < 0) throwUnfit(self, bytes, 'target', answer);
    return moved('SgeState.copyOut', answer);
  }

  /**
   * Goes on in steps, telling where the bytes of each lie. A fragment ends where its step, its segment or its element ends.
   *
   * @param steps - bytes of each step; 0 is allowed. At most 2^20 steps
   * @returns the fragments of each step
   * @throws RdmaError `EINVAL`: more than is left, or with `put` an element stands in the list twice (there is one
   *   reference to put); nothing has changed
   * @throws RdmaError `EACCES` with a reason: an element cannot be used now; nothing has changed
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
      moved('SgeState.walk', found);
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

/** Throws if the walk has fewer bytes than a buffer that is to be copied whole. */
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

/** As `bytesMovedOf`, and tells who watches. */
function moved(method: Method, answer: number): number {
  try {
    return bytesMovedOf(method, answer); // first: it asks the native module why
  } finally {
    if (answer < REFUSED) reportWalkRefused(method, REFUSED - answer);
  }
}
