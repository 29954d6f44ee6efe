/** Validates the caller's AbortSignals and listens to them. Uses the engine's own getters, so look-alike objects are rejected. */
import { types } from 'node:util';
import { invalidType } from './arguments';
import { getter } from './intrinsics';

// Captured at load time: a program may replace these functions.
const { isProxy } = types;
const { apply } = Reflect;

/** Stands in for the getters in a realm without AbortSignal (`vm.createContext`): every value is then rejected. */
function noSignal(): never {
  throw new Error('this realm has no AbortSignal');
}

const hasSignals = typeof AbortSignal === 'function' && typeof EventTarget === 'function';
const abortedOf = hasSignals ? getter(AbortSignal.prototype, 'aborted') : noSignal;
const reasonOfSignal = hasSignals ? getter(AbortSignal.prototype, 'reason') : noSignal;
const targetMethod = (name: 'addEventListener' | 'removeEventListener'): ((...args: unknown[]) => unknown) =>
  hasSignals ? (Reflect.get(EventTarget.prototype, name) as (...args: unknown[]) => unknown) : noSignal;
const addEventListener = targetMethod('addEventListener');
const removeEventListener = targetMethod('removeEventListener');

/**
 * Validates the value of a `signal` option.
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
      // The getter throws for objects of other classes.
    }
  }
  throw invalidType(name, 'an instance of AbortSignal', value);
}

export function isAborted(signal: AbortSignal): boolean {
  return abortedOf(signal) === true;
}

/** Returns the abort reason, with which an aborted wait rejects. */
export function abortReason(signal: AbortSignal): unknown {
  return reasonOfSignal(signal);
}

/** Calls `listener` once when the signal aborts, unless {@link stopListening} is called first. */
export function listenForAbort(signal: AbortSignal, listener: () => void): void {
  apply(addEventListener, signal, ['abort', listener, { once: true }]);
}

export function stopListening(signal: AbortSignal, listener: () => void): void {
  apply(removeEventListener, signal, ['abort', listener]);
}
