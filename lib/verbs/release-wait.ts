/** Releases that wait for elements to be put, for a time, and as long as nobody aborts them. */
import { abortReason, isAborted, listenForAbort, stopListening } from '../internal/abort-signal';
import { Errno } from '../internal/errors';
import { type Status } from '../internal/native';
import { awaitPut, stopAwaiting } from './await-put';

/** How long a release waits unless told otherwise, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 5000;

/** A longer timer would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls `attempt` now, and again after each put of an element that it was refused for, until it answers anything but -EBUSY.
 *
 * @param attempt - releases with `ReleaseMode.Await`; 0 or a negative errno
 * @param onEnd - is called with the last answer, before anything else is: the native module still knows why
 * @returns the last answer: -EBUSY when the time is over. Rejected with the signal's reason if that aborts; if it was aborted
 *   before, `attempt` is not called at all
 */
export function untilReleased(
  attempt: () => Status,
  timeoutMs: number,
  signal?: AbortSignal,
  onEnd?: (status: Status) => void,
): Promise<Status> {
  return new Promise((resolve, reject) => {
    if (signal !== undefined && isAborted(signal)) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- whatever the caller has given it
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
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as above
      if (signal !== undefined) reject(abortReason(signal));
    };
    const tryAgain = (): void => {
      clearTimeout(timer);
      let status: Status;
      try {
        status = attempt();
      } catch (error) {
        stop();
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- passed on as it is
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
      // Waiting for a put does not keep the process alive. The timer does, and it ends the wait when the time is over.
      timer = setTimeout(onTimer, Math.min(left, LONGEST_TIMER_MS));
    };
    const onTimer = (): void => {
      stopAwaiting(tryAgain);
      tryAgain();
    };
    tryAgain();
  });
}
