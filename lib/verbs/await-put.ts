/** Wakes releases that wait until the elements held on their region are put. */
import { ownList, setOf } from '../internal/intrinsics';
import { native } from '../internal/native';

const waiting = new Set<() => void>();
let isListening = false;

/** Calls `attempt` once, after the next put of an element on any region that waits to be released. */
export function awaitPut(attempt: () => void): void {
  setOf.add(waiting, attempt);
  if (isListening) return;
  isListening = true;
  native.awaitPut(retryAll);
}

/** Cancels a pending {@link awaitPut}. */
export function stopAwaiting(attempt: () => void): void {
  setOf.delete(waiting, attempt);
}

function retryAll(): void {
  isListening = false;
  const attempts = ownList<() => void>();
  let count = 0;
  setOf.forEach(waiting, (attempt) => {
    attempts[count++] = attempt;
  });
  // Clear before calling the attempts: an attempt may register itself again.
  setOf.clear(waiting);
  for (let i = 0; i < count; i++) attempts[i]?.();
}
