// One way in which a call fails, and what its error must tell.
import { type ErrnoName, type ErrorCause, type ErrorDetail } from '../../../lib';

export interface Failure {
  /** As the message names it. */
  method: string;
  code: ErrnoName;
  /** As {@link RdmaError.operation} has it. */
  operation: string;
  /** Exactly. */
  detail: ErrorDetail;
  /** Brings it about: makes the objects that it takes, and returns what fails. */
  prepare: () => () => unknown;
}

/** @param detail - of the error, exactly, besides its cause */
export function failure(
  method: string,
  operation: string,
  code: ErrnoName,
  cause: ErrorCause,
  detail: Omit<ErrorDetail, 'cause'>,
  prepare: Failure['prepare'],
): Failure {
  return { method, operation, code, detail: { cause, ...detail }, prepare };
}

/** The error of a failure that was prepared. */
export async function errorOf({ prepare }: Failure): Promise<Record<string, unknown> & Error> {
  const use = prepare();
  try {
    await use();
  } catch (error) {
    return error as Record<string, unknown> & Error;
  }
  throw new Error('it did not fail');
}
