// Helpers for the expected results of checks and calls.
import { type CheckedPlace, type ErrnoName, type LocalCheck, type RemoteCheck, type Sge } from '../../lib';

/** Returns the SGE of a check, which must have accepted. */
export function accepted(check: LocalCheck | RemoteCheck): Sge {
  if (!check.ok) throw new Error(`refused: ${check.reason}`);
  if (check.coalesced) throw new Error('coalesced');
  return check.sge;
}

/** Returns the reason of a check, which must have refused. */
export function refusal(check: LocalCheck | RemoteCheck | CheckedPlace): string {
  if (check.ok) {
    if ('sge' in check) check.sge.put();
    throw new Error('accepted');
  }
  return check.reason;
}

const errnos: Record<ErrnoName, number> = {
  EPERM: -1,
  EBADF: -9,
  ENOMEM: -12,
  EACCES: -13,
  EBUSY: -16,
  EXDEV: -18,
  ENODEV: -19,
  EINVAL: -22,
  EMFILE: -24,
  EOPNOTSUPP: -95,
  EADDRINUSE: -98,
  EADDRNOTAVAIL: -99,
  ETIMEDOUT: -110,
  ECONNREFUSED: -111,
};

/** For `toThrow`: an RdmaError with this code, and this operation and reason if given. */
export function rdma(code: ErrnoName, operation?: string, reason?: string): Error {
  return expect.objectContaining({
    name: 'RdmaError',
    code,
    errno: errnos[code],
    operation: operation ?? expect.any(String),
    ...(reason === undefined ? {} : { reason }),
  });
}

/** For `toThrow`: Node's TypeError or RangeError with this code. */
export function argumentError(code: string, message?: string): Error {
  return expect.objectContaining({
    name: code === 'ERR_OUT_OF_RANGE' ? 'RangeError' : 'TypeError',
    code,
    message: message === undefined ? expect.any(String) : expect.stringContaining(message),
  });
}

export const wrongType = (message?: string): Error => argumentError('ERR_INVALID_ARG_TYPE', message);
export const outOfRange = (message?: string): Error => argumentError('ERR_OUT_OF_RANGE', message);
