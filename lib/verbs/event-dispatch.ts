/**
 * Delivers the engine's events to the objects of this thread, from the event loop: never inside a call of the program. Also fires
 * the RNR timers, and keeps the process alive while something waits for an event.
 */
import { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } from 'node:timers';
import { derefOf, ownList, PlainWeakRef, setOf } from '../internal/intrinsics';
import { VerbsEvent } from '../internal/layout';
import { native } from '../internal/native';
import { type Entry, type VerbsHome } from './verbs-registry';

/** Devices whose events this thread takes. Weak, so that a device can be garbage-collected. */
const sources = ownList<WeakRef<VerbsHome>>();

/** The kinds of events by their numbers. */
const kinds: readonly (VerbsEvent | undefined)[] = [
  VerbsEvent.Completion,
  VerbsEvent.CqErr,
  VerbsEvent.LastWqe,
  VerbsEvent.SrqLimit,
  VerbsEvent.Timer,
  VerbsEvent.Endpoint,
];

interface Pending {
  readonly entry: Entry | undefined;
  readonly home: VerbsHome;
  readonly event: VerbsEvent;
}

/** Events that were taken from the native module and not delivered yet, in order. */
let pending = ownList<Pending>();
let isListening = false;

function listen(): void {
  if (isListening) return;
  isListening = true;
  native.awaitEvents(onEvents);
}

function onEvents(): void {
  isListening = false;
  listen();
  let kept = 0;
  for (let i = 0; i < sources.length; i++) {
    const source = sources[i];
    const home = source && derefOf(source);
    if (source === undefined || home === undefined) continue;
    sources[kept++] = source;
    collectEvents(home);
  }
  sources.length = kept;
  planDelivery();
}

let isDeliveryPlanned = false;

/**
 * Delivers the events after the native callback: if a handler throws inside one, versions of Node only warn
 * (`--force-node-api-uncaught-exceptions-policy`).
 */
function planDelivery(): void {
  if (isDeliveryPlanned || pending.length === 0) return;
  isDeliveryPlanned = true;
  setImmediate(deliver);
}

/** Starts to deliver the events of a device's objects. */
export function watchEvents(home: VerbsHome): void {
  if (home.watched) return;
  home.watched = true;
  sources[sources.length] = new PlainWeakRef(home);
  listen();
}

/**
 * Takes the events so far, without delivering them, and lets the objects note them. For calls whose effect depends on events that
 * are not delivered yet.
 */
export function collectEvents(home: VerbsHome): void {
  const rows = home.native.takeEvents();
  for (let i = 0; i < rows.length; i += 2) {
    const event = kinds[rows[i] ?? -1];
    if (event === undefined) continue;
    const id = rows[i + 1] ?? 0;
    const entry = entryOf(home, event, id);
    entry?.noteEvent?.(event);
    if (entry !== undefined || event === VerbsEvent.Timer) pending[pending.length] = { entry, home, event };
  }
}

function entryOf({ registry }: VerbsHome, event: VerbsEvent, id: number): Entry | undefined {
  switch (event) {
    case VerbsEvent.Completion:
    case VerbsEvent.CqErr:
      return registry.find('cq', id);
    case VerbsEvent.SrqLimit:
      return registry.find('srq', id);
    case VerbsEvent.LastWqe:
      return registry.find('qp', id);
    case VerbsEvent.Endpoint:
      return registry.find('endpoint', id);
    case VerbsEvent.Timer:
      return undefined;
  }
}

/** Appends the events of a list, from an index on, to those that are pending. */
function move(list: readonly Pending[], from: number): void {
  for (let i = from; i < list.length; i++) {
    const one = list[i];
    if (one !== undefined) pending[pending.length] = one;
  }
}

function deliver(): void {
  isDeliveryPlanned = false;
  const events = pending;
  pending = ownList<Pending>();
  let at = 0;
  try {
    while (at < events.length) {
      const one = events[at++];
      if (one === undefined) continue;
      if (one.event === VerbsEvent.Timer) progress(one.home);
      else one.entry?.deliverEvent?.(one.event);
    }
  } finally {
    // A handler has thrown: deliver the other events, and those that were added meanwhile, in another callback.
    if (at < events.length) {
      const more = pending;
      pending = ownList<Pending>();
      move(events, at);
      move(more, 0);
      planDelivery();
    }
  }
}

/** The shortest time that a timer of Node can wait, in microseconds. */
const USEC_PER_MSEC = 1000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Fires the RNR timers that are due, and sets a timer for the next one. Does nothing in the manual mode. */
function progress(home: VerbsHome): void {
  if (home.manual) return;
  home.stopTimer?.();
  home.stopTimer = undefined;
  const usec = home.native.progress();
  if (usec < 0) return;
  const reference = new PlainWeakRef(home);
  const msec = Math.min(Math.ceil(usec / USEC_PER_MSEC), LONGEST_TIMER_MS);
  const timer = setTimeout(() => {
    const later = derefOf(reference);
    if (later !== undefined) progress(later);
  }, msec).unref();
  home.stopTimer = () => {
    clearTimeout(timer);
  };
}

/** Entries of objects that something waits for. They stay reachable, although the program may have dropped the object. */
const held = new Set<Entry>();

/** Keeps an object from being garbage-collected, until {@link dropEntry}. */
export function holdEntry(entry: Entry): void {
  setOf.add(held, entry);
}

/** Lets an object be garbage-collected again. */
export function dropEntry(entry: Entry): void {
  setOf.delete(held, entry);
}

/** How often to look whether objects that are waited for still exist: another thread may close the device, without an event. */
const SWEEP_MS = 250;

let waits = 0;
let referenced = 0;
let keeper: NodeJS.Timeout | undefined;

/** Begins a wait: looks every {@link SWEEP_MS} whether waited-for objects still exist, until {@link endWait} ends the wait. */
export function beginWait(): void {
  waits++;
  // After the last wait the timer runs once more before it ends itself, so the next wait often finds it running.
  keeper ??= setInterval(onSweep, SWEEP_MS).unref();
}

/** Ends a wait of {@link beginWait}. */
export function endWait(): void {
  waits--;
}

/** Keeps the process alive, within a wait. */
export function refWait(): void {
  if (referenced++ === 0) keeper?.ref();
}

/** Undoes {@link refWait}. */
export function unrefWait(): void {
  if (--referenced === 0) keeper?.unref();
}

function onSweep(): void {
  sweep();
  if (waits > 0) return;
  clearInterval(keeper);
  keeper = undefined;
}

/**
 * Settles the promises and iterations that wait for closed objects. Called by methods that close objects other than their own.
 * Never throws, because such a method has succeeded when it calls this function.
 */
export function sweep(): void {
  try {
    const entries = ownList<Entry>();
    setOf.forEach(held, (entry) => {
      entries[entries.length] = entry;
    });
    for (let i = 0; i < entries.length; i++) entries[i]?.sweep?.();
  } catch {
    // The stack limit was reached. The timer sweeps again while something waits.
  }
}

/** Calls `call` in the next turn of the event loop. */
export function soon(call: () => void): void {
  setImmediate(call);
}
