/** AbortSignals that a caller hands over. Judged by the engine's own getters: an object that only looks like one is refused. */
import { types } from 'node:util';
import { invalidType } from './arguments';
import { getter } from './intrinsics';

// As they were when this module was loaded.
const { isProxy } = types;
const { apply } = Reflect;

/** A realm may be without AbortSignals (`vm.createContext`). Then nothing is one. */
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
