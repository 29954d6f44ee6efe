/** Releases that wait for elements to be put. */
import { ownList, setOf } from '../internal/intrinsics';
import { native } from '../internal/native';

const waiting = new Set<() => void>();
let isListening = false;

/** Calls `attempt` once, after the next put of an element of any region that is waiting to be released. */
export function awaitPut(attempt: () => void): void {
  setOf.add(waiting, attempt);
  if (isListening) return;
  isListening = true;
  native.awaitPut(retryAll);
}

/** Cancels {@link awaitPut}. */
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
  // Before the attempts, which may wait again.
  setOf.clear(waiting);
  for (let i = 0; i < count; i++) attempts[i]?.();
}
