import { type ErrorCause, type ErrorDetail } from './error-detail';
import { type Explanation, explain, type GivenFacts, takeExplanation } from './failure';
import { EACCES, EBADF, EBUSY, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EPERM, EXDEV, REFUSED } from './layout';
import { type Method, operationOf } from './methods';
import { type DataPathReason, dataPathReason } from './reasons';

/** The errno values that this package answers. They are Linux's on every platform. */
const errnoNames = {
  [EPERM]: 'EPERM',
  [EBADF]: 'EBADF',
  [ENOMEM]: 'ENOMEM',
  [EACCES]: 'EACCES',
  [EBUSY]: 'EBUSY',
  [EXDEV]: 'EXDEV',
  [ENODEV]: 'ENODEV',
  [EINVAL]: 'EINVAL',
  [EOPNOTSUPP]: 'EOPNOTSUPP',
} as const;

/** Name of an errno, as {@link RdmaError.code} has it. */
export type ErrnoName = (typeof errnoNames)[keyof typeof errnoNames];

const descriptions: Record<ErrnoName, string> = {
  EPERM: 'operation not permitted',
  EBADF: 'the object is closed',
  ENOMEM: 'out of memory or of key table slots',
  EACCES: 'permission denied',
  EBUSY: 'still in use',
  EXDEV: 'made by another process, or by another copy of this package',
  ENODEV: 'no such device',
  EINVAL: 'invalid argument',
  EOPNOTSUPP: 'not supported by this runtime',
};

/** Linux errno numbers by name, positive. */
export const Errno: Readonly<Record<ErrnoName, number>> = Object.freeze({
  EPERM,
  EBADF,
  ENOMEM,
  EACCES,
  EBUSY,
  EXDEV,
  ENODEV,
  EINVAL,
  EOPNOTSUPP,
});

/**
 * What an RDMA operation answers when it fails: an errno, as the kernel function of that name would, and why.
 *
 * The message names the method and says why in words: `EBUSY: ProtectionDomain.dealloc: 2 regions and 1 queue pair are in this
 * domain`. {@link RdmaError.detail} tells the same to programs. docs/errors.md lists every cause.
 *
 * Wrong JavaScript types and numbers that do not fit a field are a `TypeError` or `RangeError` with Node's codes instead.
 */
export class RdmaError extends Error {
  /** Name of the errno: `'EINVAL'`. */
  readonly code: ErrnoName;
  /** The errno as system calls answer it, negative: `-22`. */
  readonly errno: number;
  /** The operation, by the name of the kernel function without its prefix: `'reg_user_mr'`. */
  readonly operation: string;
  /** Why the data path refused; there only with `EACCES` from it. */
  declare readonly reason?: DataPathReason;
  /** The cause, with the argument, its value and its limit, or what is in the way. Not there if nothing is known but the errno. */
  declare readonly detail?: ErrorDetail;

  /**
   * @param operation - what failed, `'reg_user_mr'`
   * @param code - name of the errno
   * @param reason - why the data path refused
   * @param explanation - the method that failed, and why
   */
  constructor(operation: string, code: ErrnoName, reason?: DataPathReason, explanation?: Explanation) {
    super(
      explanation === undefined
        ? `${code}: ${descriptions[code]}, ${operation}${reason === undefined ? '' : ` (${reason})`}`
        : `${code}: ${explanation.method}: ${explanation.text}`,
    );
    this.code = code;
    this.errno = -Errno[code];
    this.operation = operation;
    if (reason !== undefined) this.reason = reason;
    if (explanation?.detail !== undefined) this.detail = explanation.detail;
  }

  static {
    // On the prototype, as the built-in errors have it.
    Object.defineProperty(this.prototype, 'name', { value: 'RdmaError', configurable: true, writable: true });
  }
}

/**
 * The error for a negative errno that the native module has just answered. To be made before anything else is called.
 *
 * @param method - what the caller has called
 */
export function rdmaError(method: Method, status: number): Error {
  const code = (errnoNames as Record<number, ErrnoName | undefined>)[-status];
  // Cannot happen; but an unknown number must not become a success.
  if (code === undefined) return new Error(`${method}: unexpected status ${status}`);
  const explanation = takeExplanation(method, -status) ?? { method, text: descriptions[code] };
  return new RdmaError(operationOf(method), code, undefined, explanation);
}

/**
 * The error for a failure that this library has found itself.
 *
 * @param given - what is known of it, see {@link explain}
 */
export function explainedError(
  method: Method,
  code: ErrnoName,
  cause: ErrorCause,
  given?: GivenFacts,
): RdmaError {
  return new RdmaError(operationOf(method), code, undefined, explain(method, cause, given));
}

/** The error for a refusal of the data path, which the native module has just answered. */
export function refusalError(method: Method, reason: DataPathReason): RdmaError {
  const explanation = takeExplanation(method, undefined, reason) ?? { method, text: reason };
  return new RdmaError(operationOf(method), 'EACCES', reason, explanation);
}

/**
 * Passes `status` through unless it is an errno.
 *
 * @param method - what the caller has called
 * @param status - the native module's answer: 0 or positive, or a negative errno
 * @throws RdmaError with that errno
 */
export function throwOnError(method: Method, status: number): number {
  if (status < 0) throw rdmaError(method, status);
  return status;
}

/**
 * Passes the object of a native call through.
 *
 * @param method - what the caller has called
 * @param result - the object, or a negative errno
 * @throws RdmaError with that errno
 */
export function resultOf<T extends object>(method: Method, result: T | number): T {
  if (typeof result === 'number') throw rdmaError(method, result);
  return result;
}

/**
 * Passes the byte count of a native data path call through.
 *
 * @param method - what the caller has called
 * @param answer - bytes moved, a negative errno, or a refusal as {@link REFUSED} describes it
 * @throws RdmaError with that errno; `EACCES` with the reason for a refusal
 */
export function bytesMovedOf(method: Method, answer: number): number {
  if (answer >= 0) return answer;
  if (answer > REFUSED) throw rdmaError(method, answer);
  throw refusalError(method, dataPathReason(REFUSED - answer));
}
