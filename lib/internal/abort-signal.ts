/** AbortSignals that a caller hands over. Judged by the engine's own getters: an object that only looks like one is refused. */
import { types } from 'node:util';
import { invalidType } from './arguments';

// As they were when this module was loaded.
const { isProxy } = types;
const { apply } = Reflect;

function getter(property: 'aborted' | 'reason'): (signal: object) => unknown {
  const descriptor = Object.getOwnPropertyDescriptor(AbortSignal.prototype, property) ?? {};
  const get = Reflect.get(descriptor, 'get') as () => unknown;
  return (signal) => apply(get, signal, []);
}
const abortedOf = getter('aborted');
const reasonOfSignal = getter('reason');
// eslint-disable-next-line @typescript-eslint/unbound-method -- applied to signals
const { addEventListener, removeEventListener } = EventTarget.prototype;

/**
 * The signal of an option.
 *
 * @throws TypeError (`ERR_INVALID_ARG_TYPE`): neither undefined nor an AbortSignal
 */
export function abortSignal(value: unknown, name: string): AbortSignal | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'object' && value !== null && !isProxy(value)) {
    try {
      abortedOf(value);
      return value as AbortSignal;
    } catch {
      // The getter of another class.
    }
  }
  throw invalidType(name, 'an instance of AbortSignal', value);
}

export function isAborted(signal: AbortSignal): boolean {
  return abortedOf(signal) === true;
}

/** What a wait that it ends rejects with. */
export function abortReason(signal: AbortSignal): unknown {
  return reasonOfSignal(signal);
}

/** Calls `listener` once the signal aborts, until {@link stopListening}. */
export function listenForAbort(signal: AbortSignal, listener: () => void): void {
  apply(addEventListener, signal, ['abort', listener, { once: true }]);
}

export function stopListening(signal: AbortSignal, listener: () => void): void {
  apply(removeEventListener, signal, ['abort', listener]);
}
