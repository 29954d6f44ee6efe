/** Retries a release until the held elements are put, with a timeout and an abort signal. */
import { abortReason, isAborted, listenForAbort, stopListening } from '../internal/abort-signal';
import { Errno } from '../internal/errors';
import { type Status } from '../internal/native';
import { awaitPut, stopAwaiting } from './await-put';

/** Default timeout of a release, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 5000;

/** The longest delay that setTimeout supports; a longer one would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls `attempt` now, and again after each put on the region, until it returns anything but -EBUSY or the timeout expires.
 *
 * @param attempt - releases with `ReleaseMode.Await`; returns 0 or a negative errno
 * @param timeoutMs - how long to retry, in milliseconds
 * @param onEnd - called with the last result before any other native call, so that it can still ask the native module for the
 *   cause
 * @returns the last result of `attempt`, -EBUSY on timeout. Rejects with the signal's reason when the signal aborts; if the
 *   signal was already aborted, `attempt` is not called
 */
export function untilReleased(
  attempt: () => Status,
  timeoutMs: number,
  signal?: AbortSignal,
  onEnd?: (status: Status) => void,
): Promise<Status> {
  return new Promise((resolve, reject) => {
    if (signal !== undefined && isAborted(signal)) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the reason may be any value
      reject(abortReason(signal));
      return;
    }
    const deadline = performance.now() + timeoutMs;
    let timer: NodeJS.Timeout | undefined;
    let listening = false;
    const stop = (): void => {
      clearTimeout(timer);
      stopAwaiting(tryAgain);
      if (listening && signal !== undefined) stopListening(signal, onAbort);
    };
    const onAbort = (): void => {
      stop();
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the reason may be any value
      if (signal !== undefined) reject(abortReason(signal));
    };
    const tryAgain = (): void => {
      clearTimeout(timer);
      let status: Status;
      try {
        status = attempt();
      } catch (error) {
        stop();
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- rethrown unchanged
        reject(error);
        return;
      }
      const left = deadline - performance.now();
      if (status !== -Errno.EBUSY || left <= 0) {
        onEnd?.(status);
        stop();
        resolve(status);
        return;
      }
      if (signal !== undefined && !listening) {
        listenForAbort(signal, onAbort);
        listening = true;
      }
      awaitPut(tryAgain);
      // Waiting for a put does not keep the process alive. The timer does, and it ends the wait on timeout.
      timer = setTimeout(onTimer, Math.min(left, LONGEST_TIMER_MS));
    };
    const onTimer = (): void => {
      stopAwaiting(tryAgain);
      tryAgain();
    };
    tryAgain();
  });
}
