// The description of one way in which a call fails, and of the error that it must throw.
import { type ErrnoName, type ErrorCause, type ErrorDetail } from '../../../lib';

export interface Failure {
  /** The method as the message names it. */
  method: string;
  code: ErrnoName;
  /** The value of {@link RdmaError.operation}. */
  operation: string;
  /** The exact detail of the error. */
  detail: ErrorDetail;
  /** For a posting: the value of {@link RdmaError.posted}. Absent if the error must have neither `posted` nor `index`. */
  posted?: number;
  /** Creates the necessary objects and returns the call that fails. */
  prepare: () => () => unknown;
}

/** @param detail - the exact detail of the error, without its cause */
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

/** Runs a failure and returns its error. */
export async function errorOf({ prepare }: Failure): Promise<Record<string, unknown> & Error> {
  const use = prepare();
  try {
    await use();
  } catch (error) {
    return error as Record<string, unknown> & Error;
  }
  throw new Error('it did not fail');
}
