/** Releases that wait for elements to be put. */
import { native } from '../internal/native';

const waiting = new Set<() => void>();
let isListening = false;

/** Calls `attempt` once, after the next put of an element of any region that is waiting to be released. */
export function awaitPut(attempt: () => void): void {
  waiting.add(attempt);
  if (isListening) return;
  isListening = true;
  native.awaitPut(retryAll);
}

/** Cancels {@link awaitPut}. */
export function stopAwaiting(attempt: () => void): void {
  waiting.delete(attempt);
}

function retryAll(): void {
  isListening = false;
  const attempts = [...waiting];
  waiting.clear();
  for (const attempt of attempts) attempt();
}
