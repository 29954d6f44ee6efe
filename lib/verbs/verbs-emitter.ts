import { EventEmitter } from 'node:events';

/** Names of events, and the arguments of their listeners. */
export type EventsOf<Events> = keyof Events & string;
/** A listener of an event. */
export type ListenerOf<Events, Name extends keyof Events> = Events[Name] extends readonly unknown[]
  ? (...args: Events[Name]) => void
  : never;

/**
 * The methods of Node's `EventEmitter`, with the names of the events. Declared here, because the declarations of this package must
 * not need those of Node.
 */
export interface EventSource<Events> {
  /** Adds a listener of an event. */
  on<Name extends EventsOf<Events>>(event: Name, listener: ListenerOf<Events, Name>): this;
  /** Same as `on`. */
  addListener<Name extends EventsOf<Events>>(event: Name, listener: ListenerOf<Events, Name>): this;
  /** Adds a listener that is called once. */
  once<Name extends EventsOf<Events>>(event: Name, listener: ListenerOf<Events, Name>): this;
  /** Adds a listener before all others. */
  prependListener<Name extends EventsOf<Events>>(event: Name, listener: ListenerOf<Events, Name>): this;
  /** Adds a listener before all others that is called once. */
  prependOnceListener<Name extends EventsOf<Events>>(event: Name, listener: ListenerOf<Events, Name>): this;
  /** Removes a listener. */
  off<Name extends EventsOf<Events>>(event: Name, listener: ListenerOf<Events, Name>): this;
  /** Same as `off`. */
  removeListener<Name extends EventsOf<Events>>(event: Name, listener: ListenerOf<Events, Name>): this;
  /** Removes all listeners, or those of one event. */
  removeAllListeners(event?: EventsOf<Events>): this;
  /** Calls the listeners of an event. Returns whether there are any. */
  // The arguments of `emit` are not checked: programs only listen.
  emit(event: EventsOf<Events>, ...args: unknown[]): boolean;
  /** Returns the number of listeners of an event. */
  listenerCount(event: EventsOf<Events>): number;
  /** Returns the listeners of an event. */
  // eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- as Node declares it
  listeners(event: EventsOf<Events>): Function[];
  /** Returns the listeners of an event, with the wrappers of `once`. */
  // eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- as Node declares it
  rawListeners(event: EventsOf<Events>): Function[];
  /** Returns the names of the events that have listeners. */
  eventNames(): (string | symbol)[];
  /** Sets the number of listeners of one event above which Node warns of a leak. */
  setMaxListeners(count: number): this;
  /** Returns the number that `setMaxListeners` sets. */
  getMaxListeners(): number;
}

/**
 * A constructor for objects with the methods of EventEmitter. EventEmitter's own constructor is not called: it uses
 * `Function.prototype.call`, which a program may have replaced. Its methods create what they need on first use.
 */
function createEmitter(): void {
  // Nothing to do: the prototype has the methods.
}
createEmitter.prototype = EventEmitter.prototype;
const Base = createEmitter as unknown as new <Events>() => EventSource<Events>;

const { defineProperty, ownKeys } = Reflect;
/** The properties that EventEmitter keeps on its objects, with their first values. `_events` is created by the first listener. */
const sample = new EventEmitter() as unknown as Record<PropertyKey, unknown>;
sample._events = undefined;
const fields = ownKeys(sample);

/** Key of the method that {@link VerbsEmitter} calls after listeners may have been added or removed. */
export const listenersChanged: unique symbol = Symbol('rdmavt.listenersChanged');

/**
 * Base of the classes with events: Node's `EventEmitter`, whose own properties are not enumerable. So objects with events show,
 * compare and serialize like all objects of this package.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 *
 * const cq = new Device().createCq(16);
 * cq.on('completion', () => console.log(cq.poll()));
 * console.log(cq.listenerCount('completion'), Object.keys(cq)); // 1 []
 * ```
 */
export abstract class VerbsEmitter<Events> extends Base<Events> {
  /** @internal */
  constructor() {
    super();
    // An assignment by EventEmitter keeps the attributes of these properties.
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i] ?? '';
      defineProperty(this, field, {
        __proto__: null,
        value: sample[field],
        writable: true,
        configurable: true,
        enumerable: false,
      } as PropertyDescriptor);
    }
  }

  /** @internal */
  protected [listenersChanged](): void {
    // Overridden by classes that must stay reachable while they have listeners.
  }

  /** Adds a listener of an event. */
  override on<Name extends EventsOf<Events>>(event: Name, listener: ListenerOf<Events, Name>): this {
    super.on(event, listener);
    this[listenersChanged]();
    return this;
  }

  /** Same as `on`. */
  override addListener<Name extends EventsOf<Events>>(event: Name, listener: ListenerOf<Events, Name>): this {
    return this.on(event, listener);
  }

  /** Adds a listener before all others. */
  override prependListener<Name extends EventsOf<Events>>(
    event: Name,
    listener: ListenerOf<Events, Name>,
  ): this {
    super.prependListener(event, listener);
    this[listenersChanged]();
    return this;
  }

  /** Removes a listener. */
  override removeListener<Name extends EventsOf<Events>>(
    event: Name,
    listener: ListenerOf<Events, Name>,
  ): this {
    super.removeListener(event, listener);
    this[listenersChanged]();
    return this;
  }

  /** Same as `removeListener`. */
  override off<Name extends EventsOf<Events>>(event: Name, listener: ListenerOf<Events, Name>): this {
    return this.removeListener(event, listener);
  }

  /** Removes all listeners, or those of one event. */
  override removeAllListeners(event?: EventsOf<Events>): this {
    // EventEmitter distinguishes `undefined` from no argument.
    if (event === undefined) super.removeAllListeners();
    else super.removeAllListeners(event);
    this[listenersChanged]();
    return this;
  }
}
