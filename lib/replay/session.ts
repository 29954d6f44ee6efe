/** A session of a trace: the device and its named objects, from `init` to `exit`. */
import { longs } from '../internal/command';
import { describeElement, type Holder } from '../internal/element';
import { CommandWord, RegionField, SgeField } from '../internal/layout';
import {
  type NativeDevice,
  type NativeDmaMapping,
  type NativeProtectionDomain,
  type NativeQueuePair,
} from '../internal/native';
import { queryRegion, type RegionName } from '../internal/region-name';
import { type Answer, answerSge, fieldOf, type SgeAnswer, toHex } from './answers';
import { quote, TraceError } from './trace-format';

/** A region and its id in the trace. */
export interface NamedRegion {
  readonly kind: 'region';
  readonly name: string;
  readonly native: RegionName;
  /** Number of the region on its device. */
  readonly number: number;
  readonly user: boolean;
  readonly fmr: boolean;
}

type NamedObject =
  | { readonly kind: 'pd'; readonly native: NativeProtectionDomain }
  | { readonly kind: 'qp'; readonly native: NativeQueuePair }
  | { readonly kind: 'sge'; readonly native: Holder }
  | NamedRegion;

/** An open device and its objects by id. */
export class Session {
  readonly device: NativeDevice;
  /** The mapping of the DMA memory, which the session keeps alive; undefined if `dma_pages` is 0. */
  dma: NativeDmaMapping | undefined = undefined;
  /** The objects of all kinds by id. `null`: the object was released, but its id must not be bound again. */
  readonly #objects = new Map<string, NamedObject | null>();
  readonly #regions = new Map<number, NamedRegion>();
  readonly #regionFields = new BigUint64Array(RegionField.Count);
  readonly #sgeFields = new BigUint64Array(SgeField.Count);

  constructor(device: NativeDevice) {
    this.device = device;
  }

  pd(id: string): NativeProtectionDomain | undefined {
    const object = this.#objects.get(id);
    return object?.kind === 'pd' ? object.native : undefined;
  }

  qp(id: string): NativeQueuePair | undefined {
    const object = this.#objects.get(id);
    return object?.kind === 'qp' ? object.native : undefined;
  }

  sge(id: string): Holder | undefined {
    const object = this.#objects.get(id);
    return object?.kind === 'sge' ? object.native : undefined;
  }

  region(id: string): NamedRegion | undefined {
    const object = this.#objects.get(id);
    return object?.kind === 'region' ? object : undefined;
  }

  /**
   * Finds a region by number, including half-dead regions.
   *
   * @param number - the region's number on the device, as the native module reports it
   * @throws Error if the session has no such region
   */
  regionOf(number: number | bigint): NamedRegion {
    const region = this.#regions.get(Number(number));
    if (region === undefined) throw new Error(`the native module reported an unknown region: ${number}`);
    return region;
  }

  /**
   * Rejects an id that was bound before: the format allows an id only once in a session, even after its object was released.
   *
   * @throws TraceError
   */
  expectFresh(id: string): void {
    if (this.#objects.has(id)) throw new TraceError(`id ${quote(id)} is used twice`);
  }

  bindPd(id: string, native: NativeProtectionDomain): void {
    this.#objects.set(id, { kind: 'pd', native });
  }

  bindQp(id: string, native: NativeQueuePair): void {
    this.#objects.set(id, { kind: 'qp', native });
  }

  bindSge(id: string, native: Holder): void {
    this.#objects.set(id, { kind: 'sge', native });
  }

  bindRegion(name: string, native: RegionName, kind: 'user' | 'fmr' | 'other'): NamedRegion {
    const number = native.id;
    const region: NamedRegion = {
      kind: 'region',
      name,
      native,
      number,
      user: kind === 'user',
      fmr: kind === 'fmr',
    };
    this.#objects.set(name, region);
    this.#regions.set(number, region);
    return region;
  }

  /** Marks the object of an id as released. */
  unbind(id: string): void {
    const object = this.#objects.get(id);
    if (object?.kind === 'region') this.#regions.delete(object.number);
    this.#objects.set(id, null);
  }

  /** Reads the {@link RegionField}s of a region. The array is valid until the next call. */
  queryRegion(region: RegionName): BigUint64Array {
    const status = queryRegion(region);
    if (status < 0) throw new Error(`a bound region is dead: ${status}`);
    return copyFields(this.#regionFields);
  }

  /** Creates the answer with a region's keys (KEYS in docs/trace-format.md). */
  answerKeys(region: NamedRegion): Answer {
    const key = toHex(fieldOf(this.queryRegion(region.native), RegionField.Lkey));
    // The core uses the same key as lkey and rkey.
    return { ret: 0, lkey: key, rkey: key };
  }

  /** Reads the {@link SgeField}s of an element; `undefined` if it has been put. The array is valid until the next call. */
  describeSge(sge: Holder): BigUint64Array | undefined {
    return describeElement(sge) < 0 ? undefined : copyFields(this.#sgeFields);
  }

  /** Describes an element (SGE in docs/trace-format.md). */
  answerSge(sge: Holder): SgeAnswer {
    const fields = this.describeSge(sge);
    if (fields === undefined) throw new Error('a bound element is dead');
    return answerSge(fields, this.regionOf(fieldOf(fields, SgeField.Region)).name);
  }
}

/** Copies the fields that the last call wrote from the command block, because the next call overwrites them. */
function copyFields(fields: BigUint64Array): BigUint64Array {
  fields.set(longs.subarray(CommandWord.Fields / 2, CommandWord.Fields / 2 + fields.length));
  return fields;
}
