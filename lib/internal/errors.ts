/** {@link RdmaError}, and the functions that create it from the native module's answers. */
import { type ErrorCause, type ErrorDetail } from './error-detail';
import {
  type Explanation,
  explain,
  explainFailure,
  type GivenFacts,
  type KeptFailure,
  takeExplanation,
} from './failure';
import {
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EBADF,
  EBUSY,
  ECONNREFUSED,
  EINVAL,
  EMFILE,
  ENODEV,
  ENOMEM,
  EOPNOTSUPP,
  EPERM,
  ETIMEDOUT,
  EXDEV,
  REFUSED,
} from './layout';
import { type Method, operationOf } from './methods';
import { type DataPathReason, dataPathReason } from './reasons';

/** The errno values that this package reports: Linux's numbers on every platform. */
const errnoNames = {
  [EPERM]: 'EPERM',
  [EBADF]: 'EBADF',
  [ENOMEM]: 'ENOMEM',
  [EACCES]: 'EACCES',
  [EBUSY]: 'EBUSY',
  [EXDEV]: 'EXDEV',
  [ENODEV]: 'ENODEV',
  [EINVAL]: 'EINVAL',
  [EMFILE]: 'EMFILE',
  [EOPNOTSUPP]: 'EOPNOTSUPP',
  [EADDRINUSE]: 'EADDRINUSE',
  [EADDRNOTAVAIL]: 'EADDRNOTAVAIL',
  [ETIMEDOUT]: 'ETIMEDOUT',
  [ECONNREFUSED]: 'ECONNREFUSED',
} as const;

/** Name of an errno: the values of {@link RdmaError.code}. */
export type ErrnoName = (typeof errnoNames)[keyof typeof errnoNames];

const descriptions: Record<ErrnoName, string> = {
  EPERM: 'operation not permitted',
  EBADF: 'the object is closed',
  ENOMEM: 'no memory or no room left',
  EACCES: 'permission denied',
  EBUSY: 'still in use',
  EXDEV: 'created by another process or another copy of this package',
  ENODEV: 'no such device',
  EINVAL: 'invalid argument',
  EMFILE: 'too many open files',
  EOPNOTSUPP: 'not supported',
  EADDRINUSE: 'the address and port are in use',
  EADDRNOTAVAIL: 'not an address of this machine',
  ETIMEDOUT: 'the peer did not answer',
  ECONNREFUSED: 'the peer refused the connection',
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
  EMFILE,
  EOPNOTSUPP,
  EADDRINUSE,
  EADDRNOTAVAIL,
  ETIMEDOUT,
  ECONNREFUSED,
});

/**
 * Thrown when an RDMA operation fails: has the errno that the kernel function of that name would return, and the cause.
 *
 * The message names the method and explains the failure: `EBUSY: ProtectionDomain.dealloc: 1 queue pair and 2 regions still
 * exist in this protection domain`. {@link RdmaError.detail} has the same information for programs. docs/errors.md lists every
 * cause.
 *
 * Wrong JavaScript types and numbers that do not fit a field throw a `TypeError` or `RangeError` with Node's codes instead.
 *
 * @example
 * ```ts
 * import { Device, RdmaError } from 'rdmavt';
 *
 * const device = new Device();
 * device.allocPd();
 * try {
 *   device.close();
 * } catch (error) {
 *   if (!(error instanceof RdmaError)) throw error;
 *   console.log(error.code, error.operation, error.detail?.cause); // EBUSY mr_exit DeviceInUse
 * }
 * ```
 */
export class RdmaError extends Error {
  /** Name of the errno: `'EINVAL'`. */
  readonly code: ErrnoName;
  /** The errno as system calls return it, negative: `-22`. */
  readonly errno: number;
  /** The operation: the name of the kernel function without its prefix, `'reg_user_mr'`. */
  readonly operation: string;
  /** Why the data path refused to access the bytes; present only for `EACCES` from the data path. */
  declare readonly reason?: DataPathReason;
  /** What the peer's program has said; present only for `ECONNREFUSED`. */
  declare readonly privateData?: Uint8Array;
  /** The cause, with the argument, its value and limit, or the objects that are in use. Absent if only the errno is known. */
  declare readonly detail?: ErrorDetail;
  /**
   * For a method that posts work requests: index of the one that was refused. Absent if the state of the queue pair, or another
   * cause, forbids all of them.
   */
  declare readonly index?: number;
  /** For a method that posts work requests: how many were accepted, all of them before the refused one. They stay posted. */
  declare readonly posted?: number;

  /**
   * @param operation - the operation that failed, `'reg_user_mr'`
   * @param code - name of the errno
   * @param reason - why the data path refused to access the bytes
   * @param explanation - the method that failed, and the cause
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
    // On the prototype, like the `name` of the built-in errors.
    Object.defineProperty(this.prototype, 'name', { value: 'RdmaError', configurable: true, writable: true });
  }
}

/**
 * Creates the error for a negative errno that a native call returned. Must run right after that call: the next native call may
 * overwrite the cause.
 *
 * @param method - the method that the program called
 * @param status - the negative errno
 * @param bad - index of the first work request that was not accepted, if the method posts work requests
 */
export function rdmaError(method: Method, status: number, bad?: number): Error {
  return errorOf(method, status, takeExplanation(method, -status, undefined, bad));
}

function errorOf(method: Method, status: number, explanation: Explanation | undefined): Error {
  const code = (errnoNames as Record<number, ErrnoName | undefined>)[-status];
  // Should not happen, but an unknown status must not pass as success.
  if (code === undefined) return new Error(`${method}: unexpected status ${status}`);
  return new RdmaError(
    operationOf(method),
    code,
    undefined,
    explanation ?? { method, text: descriptions[code] },
  );
}

/**
 * Creates the error for a call that posts work requests. Must run right after the native call, as {@link rdmaError}.
 *
 * @param bad - what the native call stored: index of the refused work request, or `NO_BAD_WR`
 */
export function postError(method: Method, status: number, bad: number): Error {
  return indexed(rdmaError(method, status, bad === NO_BAD_WR ? undefined : bad), bad);
}

/** As {@link postError}, for a call whose cause {@link keepFailure} has kept. */
export function keptPostError(method: Method, status: number, bad: number, failure: KeptFailure): Error {
  const index = bad === NO_BAD_WR ? undefined : bad;
  return indexed(errorOf(method, status, explainFailure(failure, method, -status, index)), bad);
}

function indexed(error: Error, bad: number): Error {
  const cause = error instanceof RdmaError ? error.detail?.cause : undefined;
  // For receives, the native module also reports 0 if no work request is at fault, as the kernel does.
  const isOne = bad !== NO_BAD_WR && cause !== undefined && !wholeCauses.has(cause);
  return withIndex(error, isOne ? bad : undefined, bad === NO_BAD_WR ? 0 : bad);
}

/** Causes that are not about one of the work requests. */
const wholeCauses: ReadonlySet<ErrorCause> = new Set<ErrorCause>([
  'Argument',
  'Detached',
  'DeviceClosed',
  'NoMemory',
  'PdGone',
  'QpGone',
  'QpHasNoQueues',
  'QpNumberForeseen',
  'AddressFamily',
  'TooManyRefusals',
  'QpHasSrq',
  'QpState',
  'SrqGone',
]);

/** Stored by native calls that post in place of an index if no work request is at fault. */
const NO_BAD_WR = 0xffffffff;

/** Adds the properties of calls that post work requests to an {@link RdmaError}; returns any other error unchanged. */
export function withIndex(error: Error, index: number | undefined, posted: number): Error {
  return error instanceof RdmaError
    ? Object.assign(error, index === undefined ? { posted } : { index, posted })
    : error;
}

/**
 * Creates the error for a failure that the TypeScript code detected itself.
 *
 * @param given - facts for the message and the detail, see {@link explain}
 */
export function explainedError(
  method: Method,
  code: ErrnoName,
  cause: ErrorCause,
  given?: GivenFacts,
): RdmaError {
  return new RdmaError(operationOf(method), code, undefined, explain(method, cause, given));
}

/** Creates the error for a data path refusal. Must run right after the native call, as {@link rdmaError}. */
export function refusalError(method: Method, reason: DataPathReason): RdmaError {
  const explanation = takeExplanation(method, undefined, reason) ?? { method, text: reason };
  return new RdmaError(operationOf(method), 'EACCES', reason, explanation);
}

/**
 * Returns `status` unless it is a negative errno.
 *
 * @param method - the method that the program called
 * @param status - what the native call returned: 0 or positive, or a negative errno
 * @throws RdmaError with that errno
 */
export function throwOnError(method: Method, status: number): number {
  if (status < 0) throw rdmaError(method, status);
  return status;
}

/**
 * Returns the object that a native call returned.
 *
 * @param method - the method that the program called
 * @param result - the object, or a negative errno
 * @throws RdmaError with that errno
 */
export function resultOf<T extends object>(method: Method, result: T | number): T {
  if (typeof result === 'number') throw rdmaError(method, result);
  return result;
}

/**
 * Returns the byte count that a native data path call returned.
 *
 * @param method - the method that the program called
 * @param answer - bytes moved, a negative errno, or a refusal as {@link REFUSED} describes it
 * @throws RdmaError with that errno; `EACCES` with the reason for a refusal
 */
export function bytesMovedOf(method: Method, answer: number): number {
  if (answer >= 0) return answer;
  if (answer > REFUSED) throw rdmaError(method, answer);
  throw refusalError(method, dataPathReason(REFUSED - answer));
}
