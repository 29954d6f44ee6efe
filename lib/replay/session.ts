/** A session of a trace: the device and its named objects, from `init` to `exit`. */
import { longs } from '../internal/command';
import { describeElement, type Holder } from '../internal/element';
import { CommandWord, RegionField, SgeField } from '../internal/layout';
import {
  type NativeAddressHandle,
  type NativeCompletionQueue,
  type NativeDevice,
  type NativeDmaMapping,
  type NativeProtectionDomain,
  type NativeQueuePair,
  type NativeSharedReceiveQueue,
} from '../internal/native';
import { queryRegion, type RegionName } from '../internal/region-name';
import { type Answer, answerSge, fieldOf, type SgeAnswer, toHex } from './answers';
import { type Id, quote, type SgElement, TraceError } from './trace-format';

/** A region and its id in the trace. */
export interface NamedRegion {
  readonly kind: 'region';
  readonly name: Id;
  readonly native: RegionName;
  /** Number of the region on its device. */
  readonly number: number;
  readonly user: boolean;
  readonly fmr: boolean;
  /** The registered bytes of a region of `reg_user_mr`. */
  readonly memory: Uint8Array | undefined;
  /** The list that `map_mr_sg` mapped last, without the bytes that `sg_offset` left out. */
  mapped: readonly SgElement[] | undefined;
}

/** The objects that a name can have, other than regions, by kind. */
interface NativeObjects {
  readonly pd: NativeProtectionDomain;
  readonly qp: NativeQueuePair;
  readonly cq: NativeCompletionQueue;
  readonly srq: NativeSharedReceiveQueue;
  readonly ah: NativeAddressHandle;
  readonly sge: Holder;
}

type Kind = keyof NativeObjects;

type NamedObject =
  { [K in Kind]: { readonly kind: K; readonly native: NativeObjects[K] } }[Kind] | NamedRegion;

/** The kinds of objects that completions and events name by serial number. */
export type ReportedKind = 'qp' | 'cq' | 'srq';

/** An open device and its objects by id. */
export class Session {
  readonly device: NativeDevice;
  /** The mapping of the DMA memory, which the session keeps alive; undefined if `dma_pages` is 0. */
  dma: NativeDmaMapping | undefined = undefined;
  /** The bytes of the DMA memory, and the DMA address of the first. */
  dmaMemory: { readonly base: bigint; readonly bytes: Uint8Array } = { base: 0n, bytes: new Uint8Array(0) };
  /** The objects of all kinds by id. `null`: the object was released, but its id must not be bound again. */
  readonly #objects = new Map<Id, NamedObject | null>();
  readonly #regions = new Map<number, NamedRegion>();
  /** The ids by serial number. A destroyed queue pair stays here, because completions can still name it. */
  readonly #reported: Readonly<Record<ReportedKind, Map<number, Id>>> = {
    qp: new Map(),
    cq: new Map(),
    srq: new Map(),
  };
  readonly #regionFields = new BigUint64Array(RegionField.Count);
  readonly #sgeFields = new BigUint64Array(SgeField.Count);

  constructor(device: NativeDevice) {
    this.device = device;
  }

  pd(id: Id): NativeProtectionDomain | undefined {
    return this.#find(id, 'pd');
  }

  qp(id: Id): NativeQueuePair | undefined {
    return this.#find(id, 'qp');
  }

  cq(id: Id): NativeCompletionQueue | undefined {
    return this.#find(id, 'cq');
  }

  srq(id: Id): NativeSharedReceiveQueue | undefined {
    return this.#find(id, 'srq');
  }

  ah(id: Id): NativeAddressHandle | undefined {
    return this.#find(id, 'ah');
  }

  sge(id: Id): Holder | undefined {
    return this.#find(id, 'sge');
  }

  #find<K extends Kind>(id: Id, kind: K): NativeObjects[K] | undefined {
    const object = this.#objects.get(id);
    return object?.kind === kind ? (object.native as NativeObjects[K]) : undefined;
  }

  region(id: Id): NamedRegion | undefined {
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
  expectFresh(id: Id): void {
    if (this.#objects.has(id)) throw new TraceError(`id ${quote(String(id))} is used twice`);
  }

  /** Binds an object other than a region. */
  bind<K extends Kind>(id: Id, kind: K, native: NativeObjects[K]): void {
    this.#objects.set(id, { kind, native } as NamedObject);
    const { [kind as ReportedKind]: reported }: Readonly<Partial<Record<ReportedKind, Map<number, Id>>>> =
      this.#reported;
    reported?.set((native as NativeObjects[ReportedKind]).serial(), id);
  }

  /**
   * Finds the id of an object by its serial number.
   *
   * @throws Error if the session has no such object
   */
  idOf(kind: ReportedKind, serial: number): Id {
    const id = this.#reported[kind].get(serial);
    if (id === undefined) throw new Error(`the native module reported an unknown ${kind}: ${serial}`);
    return id;
  }

  /** Binds a region. `memory`: the registered bytes of a region of `reg_user_mr`. */
  bindRegion(
    name: Id,
    native: RegionName,
    kind: 'user' | 'fmr' | 'other',
    memory: Uint8Array | undefined,
  ): NamedRegion {
    const number = native.id;
    const region: NamedRegion = {
      kind: 'region',
      name,
      native,
      number,
      user: kind === 'user',
      fmr: kind === 'fmr',
      memory,
      mapped: undefined,
    };
    this.#objects.set(name, region);
    this.#regions.set(number, region);
    return region;
  }

  /** Marks the object of an id as released. */
  unbind(id: Id): void {
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
