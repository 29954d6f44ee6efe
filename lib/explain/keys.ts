/**
 * What the requests of a capture did with each key of each responder: which ranges and operations were accepted, when the key was
 * invalidated, and whether the keys of a responder can be foretold.
 */
import { type Flows, FlowWord } from './flows';
import { Kind } from './opcodes';
import { get } from './reading';
import { Outcome, RequestDouble, RequestFlag, type Requests, RequestWord } from './requests';

/** Most keys that are told apart. Requests with further ones are counted, but their keys are not summed up. */
export const MOST_KEYS = 32_768;
/** A power of two above the double, so that probing ends early. */
const BUCKETS = 4 * MOST_KEYS;
/** Steps of one look-up: an attacker chooses the keys. */
const MOST_STEPS = 64;

export const enum KeyWord {
  /** Number of the responder's address. */
  Host = 0,
  Key = 1,
  Requests = 2,
  Accepted = 3,
  /** Refused by a NAK. */
  Refused = 4,
  /** Bits `1 << Kind` of the operations that were accepted. */
  Kinds = 5,
  /** First and last byte that was accepted, low word first. Valid if Accepted is not 0. */
  First = 6,
  Last = 8,
  /** Flow plus 1 of the last request that was accepted. */
  LastFlow = 10,
  Words = 11,
}

export const enum KeyDouble {
  Bytes = 0,
  FirstPacket = 1,
  LastPacket = 2,
  /** The last request that was accepted. */
  LastAccepted = 3,
  /** The request that invalidated the key; 0: none. */
  Invalidated = 4,
  Words = 5,
}

/** The keys of all responders. Noting a request allocates nothing. */
export class Keys {
  readonly words = new Uint32Array(MOST_KEYS * KeyWord.Words);
  readonly doubles = new Float64Array(MOST_KEYS * KeyDouble.Words);
  count = 0;
  /** Requests whose keys found no room. */
  dropped = 0;
  readonly #buckets = new Uint32Array(BUCKETS);

  get(entry: number, word: KeyWord): number {
    return this.words[entry * KeyWord.Words + word] ?? 0;
  }

  getDouble(entry: number, double: KeyDouble): number {
    return this.doubles[entry * KeyDouble.Words + double] ?? 0;
  }

  /** Returns the entry of a key; -1 if there is none and none can be created. */
  find(host: number, key: number, create: boolean): number {
    let bucket = Math.imul(Math.imul(key, 0x9e3779b1) ^ Math.imul(host, 0x85ebca6b), 0xc2b2ae35) >>> 13;
    for (let steps = 0; steps < MOST_STEPS; steps++, bucket++) {
      const entry = get(this.#buckets, bucket & (BUCKETS - 1)) - 1;
      if (entry < 0) return create ? this.#create(host, key, bucket & (BUCKETS - 1)) : -1;
      if (this.get(entry, KeyWord.Key) === key && this.get(entry, KeyWord.Host) === host) return entry;
    }
    return -1;
  }

  #create(host: number, key: number, bucket: number): number {
    if (this.count === MOST_KEYS) return -1;
    const entry = this.count++;
    this.#buckets[bucket] = entry + 1;
    this.words[entry * KeyWord.Words + KeyWord.Host] = host;
    this.words[entry * KeyWord.Words + KeyWord.Key] = key;
    return entry;
  }

  /**
   * Notes a request and what became of it. Requests must be noted in their order.
   *
   * @returns the entry of its key; -1 if it has none or there is no room
   */
  note(requests: Requests, flows: Flows, slot: number): number {
    const host = flows.get(requests.get(slot, RequestWord.Flow), FlowWord.DestinationHost);
    const outcome = requests.outcome(slot);
    const packet = requests.getDouble(slot, RequestDouble.Packet);
    if (
      requests.has(slot, RequestFlag.HasInvalidate) &&
      outcome === Outcome.Acknowledged &&
      !requests.has(slot, RequestFlag.NotCounted)
    ) {
      const invalidated = this.find(host, requests.get(slot, RequestWord.Invalidate), true);
      if (invalidated >= 0) this.doubles[invalidated * KeyDouble.Words + KeyDouble.Invalidated] = packet;
    }
    if (!requests.has(slot, RequestFlag.HasTarget)) return -1;
    const entry = this.find(host, requests.get(slot, RequestWord.Key), true);
    if (entry < 0) {
      this.dropped++;
      return -1;
    }
    const base = entry * KeyWord.Words;
    const doubles = entry * KeyDouble.Words;
    const { words } = this;
    words[base + KeyWord.Requests] = get(words, base + KeyWord.Requests) + 1;
    if (get(this.doubles, doubles + KeyDouble.FirstPacket) === 0) {
      this.doubles[doubles + KeyDouble.FirstPacket] = packet;
    }
    this.doubles[doubles + KeyDouble.LastPacket] = packet;
    const length = requests.get(slot, RequestWord.Length);
    if (outcome === Outcome.Refused) {
      words[base + KeyWord.Refused] = get(words, base + KeyWord.Refused) + 1;
    } else if (outcome === Outcome.Acknowledged && length > 0) {
      // A request of no bytes succeeds with any key, so it proves nothing.
      this.#accept(base, requests, slot, length);
      words[base + KeyWord.LastFlow] = requests.get(slot, RequestWord.Flow) + 1;
      this.doubles[doubles + KeyDouble.LastAccepted] = packet;
      this.doubles[doubles + KeyDouble.Bytes] = get(this.doubles, doubles + KeyDouble.Bytes) + length;
    }
    return entry;
  }

  /** Notes that a key that was invalidated is valid again. */
  revive(host: number, key: number): void {
    const entry = this.find(host, key, false);
    if (entry >= 0) this.doubles[entry * KeyDouble.Words + KeyDouble.Invalidated] = 0;
  }

  #accept(base: number, requests: Requests, slot: number, length: number): void {
    const { words } = this;
    const low = requests.get(slot, RequestWord.Address);
    const high = requests.get(slot, RequestWord.Address + 1);
    const end = low + length - 1;
    const lastLow = end >>> 0;
    const lastHigh = end > 0xffff_ffff ? (high + 1) >>> 0 : high;
    const isFirst = get(words, base + KeyWord.Accepted) === 0;
    words[base + KeyWord.Accepted] = get(words, base + KeyWord.Accepted) + 1;
    words[base + KeyWord.Kinds] =
      get(words, base + KeyWord.Kinds) | (1 << requests.get(slot, RequestWord.Kind));
    if (
      isFirst ||
      isBelow(high, low, get(words, base + KeyWord.First + 1), get(words, base + KeyWord.First))
    ) {
      words[base + KeyWord.First] = low;
      words[base + KeyWord.First + 1] = high;
    }
    if (
      isFirst ||
      isBelow(get(words, base + KeyWord.Last + 1), get(words, base + KeyWord.Last), lastHigh, lastLow)
    ) {
      words[base + KeyWord.Last] = lastLow;
      words[base + KeyWord.Last + 1] = lastHigh;
    }
  }

  /** Returns the first byte that was accepted with a key. */
  first(entry: number): bigint {
    return wide(this.words, entry * KeyWord.Words + KeyWord.First);
  }

  /** Returns the last byte that was accepted with a key. */
  last(entry: number): bigint {
    return wide(this.words, entry * KeyWord.Words + KeyWord.Last);
  }

  /** Returns whether an operation was accepted with a key. */
  accepted(entry: number, kind: Kind): boolean {
    return (this.get(entry, KeyWord.Kinds) & (1 << kind)) !== 0;
  }
}

/** Returns a 64-bit number whose low word is at `at`. */
export function wide(words: Uint32Array, at: number): bigint {
  return (BigInt(get(words, at + 1)) << 32n) | BigInt(get(words, at));
}

function isBelow(aHigh: number, aLow: number, bHigh: number, bLow: number): boolean {
  return aHigh < bHigh || (aHigh === bHigh && aLow < bLow);
}

/** How the keys of a responder can be foretold. */
export interface Prediction {
  /** Number of the responder's address. */
  readonly host: number;
  /** Some of the keys, in the order of their first use. */
  readonly keys: readonly number[];
  /** Keys that were looked at. */
  readonly count: number;
  /** `counting`: a part of the key counts up from key to key. `small`: the keys come from a counter that began at 0. */
  readonly how: 'counting' | 'small';
  /** Bits of the lowest bit of the counter. */
  readonly shift: number;
  /** Packet of the first request with the first of these keys. */
  readonly packet: number;
}

/** Keys of a responder that are looked at, the first ones that it accepted. */
const MOST_LOOKED_AT = 256;
/** A key this close to the one before it, counted in steps of the counter, is no coincidence. */
const FARTHEST_STEP = 16;
/** An index below this is too small to be random: one in 65,536. */
const SMALL_INDEX = 256;

/**
 * Finds responders whose keys can be foretold: those that count. A key is an index of 24 bits and a variant of 8 bits
 * (`ib_inc_rkey`), which may be random. Implementations with a table have the index of its slot in the high bits.
 */
export function predictKeys(keys: Keys): Prediction[] {
  const byHost = new Map<number, number[]>();
  for (let entry = 0; entry < keys.count; entry++) {
    if (keys.get(entry, KeyWord.Accepted) === 0) continue;
    const host = keys.get(entry, KeyWord.Host);
    const list = byHost.get(host) ?? [];
    if (list.length === 0) byHost.set(host, list);
    if (list.length < MOST_LOOKED_AT) list.push(entry);
  }
  const predictions: Prediction[] = [];
  for (const [host, entries] of byHost) {
    const found = predict(entries.map((entry) => keys.get(entry, KeyWord.Key)));
    if (found === undefined) continue;
    const shown = entries.slice(0, 8).map((entry) => keys.get(entry, KeyWord.Key));
    const [first = 0] = entries;
    const packet = keys.getDouble(first, KeyDouble.FirstPacket);
    predictions.push({ host, keys: shown, count: entries.length, packet, ...found });
  }
  return predictions;
}

function predict(keys: readonly number[]): Pick<Prediction, 'how' | 'shift'> | undefined {
  const indexes = keys.map((key) => key >>> 8).sort((a, b) => a - b);
  const steps = indexes.slice(1).map((index, i) => index - (indexes[i] ?? 0));
  const close = steps.map(shiftOfStep).filter((shift) => shift >= 0);
  // Several indexes that are equal are keys of one region with other variants; they say nothing about other regions.
  const different = steps.filter((step) => step !== 0).length;
  if (different > 0 && close.length * 2 >= different && close.length >= 1) {
    return { how: 'counting', shift: 8 + Math.min(...close) };
  }
  if (indexes.length > 0 && (indexes.at(-1) ?? 0) < SMALL_INDEX) return { how: 'small', shift: 8 };
  return undefined;
}

/** Returns the bits below the counter if a step between two indexes is one of a counter; otherwise -1. */
function shiftOfStep(step: number): number {
  if (step === 0) return -1;
  const zeros = 31 - Math.clz32(step & -step);
  for (let shift = 0; shift <= zeros; shift++) {
    // All bits below the counter are equal. A random step of this form has a chance of one in 30,000.
    if (step >>> shift <= FARTHEST_STEP) return shift === 0 ? 0 : zeros;
  }
  return -1;
}
