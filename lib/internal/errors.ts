import { EACCES, EBADF, EBUSY, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EPERM, EXDEV, REFUSED } from './layout';
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
 * What an RDMA operation answers when it fails: an errno, as the kernel function of that name would.
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

  /**
   * @param operation - what failed, `'reg_user_mr'`
   * @param code - name of the errno
   * @param reason - why the data path refused
   */
  constructor(operation: string, code: ErrnoName, reason?: DataPathReason) {
    super(`${code}: ${descriptions[code]}, ${operation}${reason === undefined ? '' : ` (${reason})`}`);
    this.code = code;
    this.errno = -Errno[code];
    this.operation = operation;
    if (reason !== undefined) this.reason = reason;
  }

  static {
    // On the prototype, as the built-in errors have it.
    Object.defineProperty(this.prototype, 'name', { value: 'RdmaError', configurable: true, writable: true });
  }
}

/** The error for a negative errno that the native module answered. */
export function rdmaError(operation: string, status: number): Error {
  const code = (errnoNames as Record<number, ErrnoName | undefined>)[-status];
  // Cannot happen; but an unknown number must not become a success.
  return code ? new RdmaError(operation, code) : new Error(`${operation}: unexpected status ${status}`);
}

/**
 * Passes `status` through unless it is an errno.
 *
 * @param operation - what was asked for, as {@link RdmaError.operation} names it
 * @param status - the native module's answer: 0 or positive, or a negative errno
 * @throws RdmaError with that errno
 */
export function throwOnError(operation: string, status: number): number {
  if (status < 0) throw rdmaError(operation, status);
  return status;
}

/**
 * Passes the object of a native call through.
 *
 * @param operation - what was asked for, as {@link RdmaError.operation} names it
 * @param result - the object, or a negative errno
 * @throws RdmaError with that errno
 */
export function resultOf<T extends object>(operation: string, result: T | number): T {
  if (typeof result === 'number') throw rdmaError(operation, result);
  return result;
}

/**
 * Passes the byte count of a native data path call through.
 *
 * @param operation - what was asked for, as {@link RdmaError.operation} names it
 * @param answer - bytes moved, a negative errno, or a refusal as {@link REFUSED} describes it
 * @throws RdmaError with that errno; `EACCES` with the reason for a refusal
 */
export function bytesMovedOf(operation: string, answer: number): number {
  if (answer >= 0) return answer;
  if (answer > REFUSED) throw rdmaError(operation, answer);
  throw new RdmaError(operation, 'EACCES', dataPathReason(REFUSED - answer));
}
