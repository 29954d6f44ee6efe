// Which exceptions a call may answer with.
import { types } from 'node:util';

/** What hostile values throw: the very things, so that they are known again. */
const thrown = new Set();

/** An exception for a hostile value to throw. */
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
 * @property {boolean} [raw] a call of the native module itself, whose fence are TypeErrors without a code
 * @property {boolean} [wrongThis] called on something else than an object of its class, or not as it is to be called
 * @property {boolean} [tampered] a property that the method reads was overwritten
 * @property {boolean} [awaitsRelease] the promise of a release that waits, and may be told by a signal to stop, was rejected
 * @property {boolean} [scribbled] another thread writes into the block from which the method reads its answer
 */

/** What the engine says of a getter that is called on something else than an object of its class. */
const getterMessage = /private|Receiver must be|Object must be an instance of/;
/** A proxy that is revoked, or whose traps contradict its target: the engine throws for the value, whoever touches it. */
const proxyMessage = /proxy that has been revoked|on proxy: /;

/**
 * @param {any} exception
 * @param {Circumstances} circumstances
 * @param {any} RdmaError
 * @returns {{ name: string, finding?: string }}
 */
export function judge(exception, circumstances, RdmaError) {
  if (thrown.has(exception)) return { name: "the hostile value's own" };
  // An error of another realm comes out of a value of another realm.
  if (types.isNativeError(exception) && !(exception instanceof Error))
    return { name: "the hostile value's own" };
  if (typeof exception !== 'object' || exception === null || !(exception instanceof Error)) {
    return { name: 'no error', finding: `threw ${String(exception)}` };
  }
  const { name, message } = exception;
  const code = /** @type {{ code?: unknown }} */ (exception).code;
  if (exception instanceof RdmaError) return { name: `RdmaError ${code}` };
  if (circumstances.awaitsRelease && exception instanceof DOMException && /^(Abort|Timeout)Error$/.test(name))
    return { name: "the signal's reason" };
  const isTypeError = exception instanceof TypeError;
  const isRangeError = exception instanceof RangeError;
  if ((isTypeError || isRangeError) && typeof code === 'string' && code.startsWith('ERR_')) {
    return { name: `${name} ${code}` };
  }
  if (isTypeError && circumstances.wrongThis) return { name: 'TypeError wrong this' };
  if (isTypeError && isOfGetter(exception)) return { name: 'TypeError of a getter' };
  if (isFromInside(exception)) return { name: "the hostile value's own" };
  // A getter of the engine on a proxy of a typed array.
  if (isTypeError && /^Method get .* called on incompatible receiver/.test(message))
    return { name: 'TypeError of a getter' };
  if (isTypeError && proxyMessage.test(message)) return { name: 'TypeError of a proxy' };
  if (isTypeError && circumstances.raw) return { name: 'TypeError of the native module' };
  if ((isTypeError || isRangeError) && circumstances.tampered) {
    return { name: `${name} of a tampered object` };
  }
  // The engine's answer to everybody who asks for more memory than there is.
  if (isRangeError && /Array buffer allocation failed/.test(message)) return { name: 'RangeError no memory' };
  if (circumstances.scribbled && /unexpected status/.test(message)) return { name: 'a scribbled status' };
  return { name: `${name} unforeseen`, finding: `threw ${exception.stack ?? `${name}: ${message}`}` };
}

/** An impostor given as options has the getters of its class, and they are called on it. */
function isOfGetter(/** @type {Error} */ { message, stack = '' }) {
  return getterMessage.test(message) && /^ +at get /.test(stack.split('\n')[1] ?? '');
}

/** Thrown in a trap or getter of a hostile value, and not by the package that looked at it. */
function isFromInside(/** @type {Error} */ { stack = '' }) {
  const frame = stack.split('\n').find((line) => /\/fuzz\/api\/hostile\.mjs|\/dist\//.test(line));
  return frame?.includes('/fuzz/api/') ?? false;
}
