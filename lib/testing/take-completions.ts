/** Waits for completions. */
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers';
import { type Completion, type CompletionQueue } from '../index';

/** Options of {@link takeCompletions}. */
export interface TakeCompletionsOptions {
  /** How long to wait, in milliseconds. Default 1000. */
  timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 1000;

/** One turn of the event loop, also while the test runner replaces the timers of the program. */
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

/**
 * Polls a completion queue until it has given `count` completions, and returns them in order. Takes no more than these.
 *
 * @returns a promise, which rejects with an Error that lists what came, if fewer came in time; with a RangeError if `count` is not a
 *   whole number, or the time is not a number, 0 or more
 */
export async function takeCompletions(
  cq: CompletionQueue,
  count: number,
  options: TakeCompletionsOptions = {},
): Promise<Completion[]> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  if (!Number.isSafeInteger(count) || count < 0)
    throw new RangeError('count must be a whole number, 0 or more');
  // NaN would be a time that never ends.
  if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0))
    throw new RangeError('options.timeoutMs must be a number, 0 or more');
  const end = performance.now() + timeoutMs;
  const taken: Completion[] = [];
  for (;;) {
    while (taken.length < count) {
      const some = cq.poll(count - taken.length);
      if (some.length === 0) break;
      taken.push(...some);
    }
    if (taken.length >= count) return taken;
    if (performance.now() > end) break;
    await turn();
  }
  const came = taken.map((completion) => `\n  ${String(completion)}`).join('');
  throw new Error(
    `${taken.length} of ${count} completions came in ${timeoutMs} ms${came === '' ? '' : ':'}${came}`,
  );
}
