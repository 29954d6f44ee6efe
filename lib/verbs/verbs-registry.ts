/**
 * Finds the queue pairs, completion queues and shared receive queues of this thread by their ids, and holds what the verbs objects
 * of one {@link Device} object share.
 */
import { type Asker } from './asker';
import { derefOf, mapOf, PlainWeakRef } from '../internal/intrinsics';
import { type VerbsEvent } from '../internal/layout';
import { type NativeDevice } from '../internal/native';
import { type QueuePair } from './queue-pair';
import { type RegionTable } from './region-registry';

/**
 * What the registry knows about an object. The object must hold its entry, because the registry refers to it weakly: both are
 * garbage-collected together.
 */
export interface Entry {
  readonly object: object;
  /** Returns whether the object still exists on the device. */
  readonly isLive: () => boolean;
  /** Called in the order of the events, as soon as the facade learns of one. Must not run code of the program. */
  readonly noteEvent?: (event: VerbsEvent) => void;
  /** Called for each event, in order, from the event loop. May run handlers of the program. */
  readonly deliverEvent?: (event: VerbsEvent) => void;
  /**
   * Called after calls that may have closed objects, and from time to time while something waits: ends what waits for an object
   * that exists no more. Only for entries that are held (`holdEntry`). Must not run code of the program.
   */
  readonly sweep?: () => void;
}

export interface QueuePairEntry extends Entry {
  readonly object: QueuePair;
  /** Judges accesses of the queue pair's own work requests: its protection domain. */
  readonly local: Asker;
  /** Judges accesses of the queue pair's peers: the queue pair itself. */
  readonly peers: Asker;
}

interface Kinds {
  cq: Entry;
  srq: Entry;
  qp: QueuePairEntry;
  endpoint: Entry;
}

/** When a map of weak references grows past this size, cleared references are removed. */
const FIRST_LIMIT = 64;

/** Objects of one kind by id. */
class EntryMap<E extends Entry> {
  readonly #entries = new Map<number, WeakRef<E>>();
  #limit = FIRST_LIMIT;

  set(id: number, entry: E): void {
    const entries = this.#entries;
    if (entries.size >= this.#limit) {
      mapOf.forEach(entries, (reference, key) => {
        if (derefOf(reference) === undefined) mapOf.delete(entries, key);
      });
      this.#limit = entries.size * 2 > FIRST_LIMIT ? entries.size * 2 : FIRST_LIMIT;
    }
    mapOf.set(entries, id, new PlainWeakRef(entry));
  }

  get(id: number): E | undefined {
    const reference = mapOf.get(this.#entries, id);
    return reference && derefOf(reference);
  }

  /** Calls `visit` for each object that was not garbage-collected. */
  forEach(visit: (entry: E) => void): void {
    mapOf.forEach(this.#entries, (reference) => {
      const entry = derefOf(reference);
      if (entry !== undefined) visit(entry);
    });
  }
}

/** The objects of one device that this thread has created, by kind and id, through any of its {@link Device} objects. */
export class VerbsRegistry {
  readonly #kinds: { readonly [K in keyof Kinds]: EntryMap<Kinds[K]> } = {
    cq: new EntryMap(),
    srq: new EntryMap(),
    qp: new EntryMap(),
    endpoint: new EntryMap(),
  };

  /** @param device - number of the device in this process */
  constructor(readonly device: number) {}

  /**
   * Adds an object.
   *
   * @param id - the object's id, unique among the objects of its kind on the device
   * @param entry - the object must hold it
   */
  register<K extends keyof Kinds>(kind: K, id: number, entry: Kinds[K]): void {
    (this.#kinds[kind] as EntryMap<Kinds[K]>).set(id, entry);
  }

  /** Finds an object; undefined if another thread created it or it was garbage-collected. */
  find<K extends keyof Kinds>(kind: K, id: number): Kinds[K] | undefined {
    return (this.#kinds[kind] as EntryMap<Kinds[K]>).get(id);
  }

  /** Calls `visit` for each object of every kind. */
  forEach(visit: (entry: Entry) => void): void {
    this.#kinds.qp.forEach(visit);
    this.#kinds.srq.forEach(visit);
    this.#kinds.cq.forEach(visit);
    this.#kinds.endpoint.forEach(visit);
  }
}

/** What the verbs objects that were created through one {@link Device} object share. They hold it, and so the native device. */
export class VerbsHome {
  readonly native: NativeDevice;
  readonly table: RegionTable;
  readonly registry: VerbsRegistry;
  /** Whether the engine works only in {@link Device.run} and {@link Device.fireTimers}. */
  readonly manual: boolean;
  /** Whether numbers that peers see must not be predictable: the device's keys are random, or it is not known whether they are. */
  randomKeys = true;
  /** Whether the dispatcher of events knows this object. */
  watched = false;
  /** Stops the timer that fires when the next RNR timer is due. */
  stopTimer: (() => void) | undefined;

  constructor(native: NativeDevice, table: RegionTable) {
    this.native = native;
    this.table = table;
    this.manual = native.isManual();
    this.registry = registryOf(native.number());
  }
}

/** This thread's registries, by the number of the device. */
const registries = new Map<number, WeakRef<VerbsRegistry>>();
let limit = FIRST_LIMIT;

function registryOf(device: number): VerbsRegistry {
  const reference = mapOf.get(registries, device);
  const known = reference && derefOf(reference);
  if (known) return known;
  if (registries.size >= limit) {
    mapOf.forEach(registries, (registry, number) => {
      if (derefOf(registry) === undefined) mapOf.delete(registries, number);
    });
    limit = registries.size * 2 > FIRST_LIMIT ? registries.size * 2 : FIRST_LIMIT;
  }
  const registry = new VerbsRegistry(device);
  mapOf.set(registries, device, new PlainWeakRef(registry));
  return registry;
}
