// Decides which exceptions a call may throw.
import { types } from 'node:util';

/** The values that hostile values have thrown, to recognize them when a call rethrows them. */
const thrown = new Set();

/** Creates an exception for a hostile value to throw. */
export function hostileException(/** @type {import('./random.mjs').Random} */ random) {
  if (thrown.size > 1000) thrown.clear();
  const exception = random.pick([
    () => new Error('hostile'),
    () => Symbol('hostile'),
    () => Object.create(null),
    () => Object.assign(new TypeError('hostile'), { code: 'EINVAL' }),
  ])();
  thrown.add(exception);
  return exception;
}

/**
 * @typedef {object} Circumstances
 * @property {boolean} [raw] a call of the native module itself, whose own checks throw TypeErrors without a code
 * @property {boolean} [wrongThis] called on something other than an object of its class, or wrongly with or without `new`
 * @property {boolean} [tampered] a property that the method reads was overwritten
 * @property {boolean} [hasSignal] a rejected promise of a method that takes a signal, which may have aborted
 * @property {boolean} [scribbled] another thread writes into the block from which the method reads its answer
 */

/** V8's messages for a getter that is called on something other than an object of its class. */
const getterMessage = /private|Receiver must be|Object must be an instance of/;
/** V8's messages for a revoked proxy, or a proxy whose traps contradict its target. Any access to such a proxy throws. */
const proxyMessage = /proxy that has been revoked|on proxy: /;

/**
 * Classifies an exception. The result has a finding if the exception is not permitted.
 *
 * @param {any} exception
 * @param {Circumstances} circumstances
 * @param {{ RdmaError: any, CompletionError: any }} rdmavt
 * @returns {{ name: string, finding?: string }}
 */
export function judge(exception, circumstances, { RdmaError, CompletionError }) {
  if (thrown.has(exception)) return { name: 'thrown by a hostile value' };
  // An error of another realm must come from a value of another realm.
  if (types.isNativeError(exception) && !(exception instanceof Error))
    return { name: 'thrown by a hostile value' };
  if (typeof exception !== 'object' || exception === null || !(exception instanceof Error)) {
    return { name: 'not an Error', finding: `threw ${String(exception)}` };
  }
  const { name, message } = exception;
  const code = /** @type {{ code?: unknown }} */ (exception).code;
  if (exception instanceof CompletionError)
    return { name: `CompletionError ${/** @type {any} */ (exception).status}` };
  if (exception instanceof RdmaError) return { name: `RdmaError ${code}` };
  if (circumstances.hasSignal && exception instanceof DOMException && /^(Abort|Timeout)Error$/.test(name))
    return { name: "the signal's reason" };
  const isTypeError = exception instanceof TypeError;
  const isRangeError = exception instanceof RangeError;
  if ((isTypeError || isRangeError) && typeof code === 'string' && code.startsWith('ERR_')) {
    return { name: `${name} ${code}` };
  }
  if (isTypeError && circumstances.wrongThis) return { name: 'TypeError wrong this' };
  if (isTypeError && isOfGetter(exception)) return { name: 'TypeError of a getter' };
  if (isFromInside(exception)) return { name: 'thrown by a hostile value' };
  // Thrown by a built-in getter on a proxy of a typed array.
  if (isTypeError && /^Method get .* called on incompatible receiver/.test(message))
    return { name: 'TypeError of a getter' };
  if (isTypeError && proxyMessage.test(message)) return { name: 'TypeError of a proxy' };
  if (isTypeError && circumstances.raw) return { name: 'TypeError of the native module' };
  if ((isTypeError || isRangeError) && circumstances.tampered) {
    return { name: `${name} of a tampered object` };
  }
  // V8 throws this error if there is not enough memory for a buffer.
  if (isRangeError && /Array buffer allocation failed/.test(message)) return { name: 'RangeError no memory' };
  if (circumstances.scribbled && /unexpected status/.test(message)) return { name: 'a scribbled status' };
  return { name: `${name} unexpected`, finding: `threw ${exception.stack ?? `${name}: ${message}`}` };
}

/** Returns whether a getter threw because an impostor was given as options: its inherited getters fail on it. */
function isOfGetter(/** @type {Error} */ { message, stack = '' }) {
  // The getter itself, or a function that it calls, reads the private member.
  // A program may have switched frames off (Error.stackTraceLimit), so that nothing tells.
  const frames = stack.split('\n').slice(1, 4);
  return getterMessage.test(message) && (!frames.length || frames.some((line) => /^ +at get /.test(line)));
}

/**
 * Returns whether the error was thrown inside a trap or getter of a hostile value, not by the package code that read the value.
 */
function isFromInside(/** @type {Error} */ { stack = '' }) {
  const frame = stack.split('\n').find((line) => /\/fuzz\/api\/hostile\.mjs|\/dist\//.test(line));
  return frame?.includes('/fuzz/api/') ?? false;
}
