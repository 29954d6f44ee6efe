import { boolean, elements, invalidType, optionsOf, size, u32 } from '../internal/arguments';
import { dispose } from '../internal/disposal';
import { elementNames } from '../internal/element';
import { bytesMovedOf, explainedError, resultOf, throwOnError } from '../internal/errors';
import { type Lkey, type Rkey } from './keys';
import { FragmentField, MAX_SGE } from '../internal/layout';
import {
  elementCountOf,
  type MemoryLike,
  transientBytesOf,
  u32Copy,
  u32Words,
} from '../internal/memory-argument';
import { native, type NativeSgeState } from '../internal/native';
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

/**
 * A walk over a list of accepted elements, begun at their first byte (`struct rvt_sge_state`).
 *
 * It works on copies: elements keep their own position, and are only changed when `put` is asked for.
 */
export class SgeState {
  readonly #native: NativeSgeState;
  readonly #table: RegionTable;

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
    const [first] = list;
    if (!first || list.length > MAX_SGE) {
      throw explainedError('new SgeState', 'EINVAL', 'ElementCount', {
        ...{ value: BigInt(list.length), limit: BigInt(MAX_SGE) },
      });
    }
    const other = list.findIndex((sge) => tableOf(sge).registry !== tableOf(first).registry);
    if (other > 0) throw explainedError('new SgeState', 'EINVAL', 'ElementOnOtherDevice', { index: other });
    const holders = list.map((sge, index) => {
      const holder = holderOf(sge);
      if (holder === undefined) throw explainedError('new SgeState', 'EBADF', 'ElementPut', { index });
      return holder;
    });
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
    throwOnError('SgeState.put', this.#native.put());
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
   * @throws RdmaError `EINVAL`: the elements hold fewer bytes, with `put` one stands in the list twice (there is one
   *   reference to put), or the source is detached; nothing has been copied
   * @throws RdmaError `EACCES` with a reason: an element was not proven for writing, or cannot be used now
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  copyIn(source: MemoryLike, options: CopyInOptions = {}): number {
    const self = this.#native;
    const { put: givenPut = false, ordered: givenOrdered = false } = optionsOf<CopyInOptions>(options);
    const put = boolean(givenPut, 'options.put');
    const ordered = boolean(givenOrdered, 'options.ordered');
    return bytesMovedOf(
      'SgeState.copyIn',
      self.copyIn(transientBytesOf('SgeState.copyIn', source, 'source'), put, ordered),
    );
  }

  /**
   * Fills all of `target` from the elements and goes on.
   *
   * @returns the number of bytes copied
   * @throws RdmaError `EINVAL`: the elements hold fewer bytes, with `put` one stands in the list twice (there is one
   *   reference to put), or the target is detached; nothing has been copied
   * @throws RdmaError `EACCES` with a reason: a remote element was not proven for reading, or one cannot be used now
   * @throws TypeError (`ERR_INVALID_ARG_TYPE`)
   */
  copyOut(target: MemoryLike, options: ConsumeOptions = {}): number {
    const self = this.#native;
    const put = readPut(options);
    return bytesMovedOf(
      'SgeState.copyOut',
      self.copyOut(transientBytesOf('SgeState.copyOut', target, 'target'), put),
    );
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
      bytesMovedOf('SgeState.walk', found);
      return [];
    }
    const fragments: Fragment[][] = [];
    const stepCount = elementCountOf(list);
    for (let step = 0; step < stepCount; step++) fragments[step] = [];
    const wordCount = elementCountOf(found);
    for (let i = 0; i < wordCount; i += FragmentField.Count) {
      fragments[Number(found[i + FragmentField.Step])]?.push({
        region: this.#table.find(
          Number(found[i + FragmentField.Index]),
          Number(found[i + FragmentField.Region]),
        ),
        at: found[i + FragmentField.At] ?? 0n,
        length: Number(found[i + FragmentField.Length]),
      });
    }
    return fragments;
  }
}

function readPut(options: unknown): boolean {
  const { put = false } = optionsOf<ConsumeOptions>(options);
  return boolean(put, 'options.put');
}
