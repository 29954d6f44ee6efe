/** What a trace names between an `init` and its `exit`. */
import { RegionField, SgeField } from '../internal/layout';
import {
  type NativeDevice,
  type NativeDmaMapping,
  type NativeMemoryRegion,
  type NativeProtectionDomain,
  type NativeQueuePair,
  type NativeSge,
} from '../internal/native';
import { field, hex, sgeAnswer } from './answers';
import type { Answer, SgeAnswer } from './operations';
import { quote, TraceError } from './trace-error';

/** A region with the name that the trace gave it. */
export interface NamedRegion {
  readonly kind: 'region';
  readonly name: string;
  readonly native: NativeMemoryRegion;
  /** Number of the region on its device. */
  readonly number: number;
  readonly user: boolean;
  readonly fmr: boolean;
}

type Named =
  | { readonly kind: 'pd'; readonly native: NativeProtectionDomain }
  | { readonly kind: 'qp'; readonly native: NativeQueuePair }
  | { readonly kind: 'sge'; readonly native: NativeSge }
  | NamedRegion;

/** An open device and the ids of its objects. */
export class Session {
  readonly device: NativeDevice;
  /** The DMA memory, kept for as long as the session lasts; there may be none. */
  dma: NativeDmaMapping | undefined = undefined;
  /** All share one namespace. `null`: what had the name is gone; the name is not free. */
  readonly #named = new Map<string, Named | null>();
  readonly #regions = new Map<number, NamedRegion>();
  readonly #regionFields = new BigUint64Array(RegionField.Count);
  readonly #sgeFields = new BigUint64Array(SgeField.Count);

  constructor(device: NativeDevice) {
    this.device = device;
  }

  pd(id: string): NativeProtectionDomain | undefined {
    const named = this.#named.get(id);
    return named?.kind === 'pd' ? named.native : undefined;
  }

  qp(id: string): NativeQueuePair | undefined {
    const named = this.#named.get(id);
    return named?.kind === 'qp' ? named.native : undefined;
  }

  sge(id: string): NativeSge | undefined {
    const named = this.#named.get(id);
    return named?.kind === 'sge' ? named.native : undefined;
  }

  region(id: string): NamedRegion | undefined {
    const named = this.#named.get(id);
    return named?.kind === 'region' ? named : undefined;
  }

  /** The region of a number that the native module told. Half-dead ones have theirs. */
  regionOf(number: number | bigint): NamedRegion {
    const region = this.#regions.get(Number(number));
    if (region === undefined)
      throw new Error(`the native module told of a region that is not there: ${number}`);
    return region;
  }

  isFresh(id: string): boolean {
    return !this.#named.has(id);
  }

  /** The format uses no id twice in a session, not even after the object is gone. */
  expectFresh(id: string): void {
    if (!this.isFresh(id)) throw new TraceError(`id ${quote(id)} is used twice`);
  }

  bindPd(id: string, native: NativeProtectionDomain): void {
    this.#named.set(id, { kind: 'pd', native });
  }

  bindQp(id: string, native: NativeQueuePair): void {
    this.#named.set(id, { kind: 'qp', native });
  }

  bindSge(id: string, native: NativeSge): void {
    this.#named.set(id, { kind: 'sge', native });
  }

  bindRegion(name: string, native: NativeMemoryRegion, kind: 'user' | 'fmr' | 'other'): NamedRegion {
    const number = Number(field(this.queryRegion(native), RegionField.Id));
    const region: NamedRegion = {
      kind: 'region',
      name,
      native,
      number,
      user: kind === 'user',
      fmr: kind === 'fmr',
    };
    this.#named.set(name, region);
    this.#regions.set(number, region);
    return region;
  }

  /** The object of the id is gone. */
  unbind(id: string): void {
    const named = this.#named.get(id);
    if (named?.kind === 'region') this.#regions.delete(named.number);
    this.#named.set(id, null);
  }

  /** The region's fields, good until the next query. */
  queryRegion(region: NativeMemoryRegion): BigUint64Array {
    const status = region.query(this.#regionFields);
    if (status < 0) throw new Error(`a region that is bound is dead: ${status}`);
    return this.#regionFields;
  }

  /** KEYS of the format. */
  keys(region: NamedRegion): Answer {
    const key = hex(field(this.queryRegion(region.native), RegionField.Lkey));
    // Always equal.
    return { ret: 0, lkey: key, rkey: key };
  }

  /** The element's fields, good until the next call; `undefined` once it is put. */
  describeSge(sge: NativeSge): BigUint64Array | undefined {
    return sge.describe(this.#sgeFields) < 0 ? undefined : this.#sgeFields;
  }

  /** SGE of the format. */
  sgeAnswer(sge: NativeSge): SgeAnswer {
    const fields = this.describeSge(sge);
    if (fields === undefined) throw new Error('an element that is bound is dead');
    return sgeAnswer(fields, this.regionOf(field(fields, SgeField.Region)).name);
  }
}
