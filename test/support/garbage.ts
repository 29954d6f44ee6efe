// Waiting for the garbage collector.
/**
 * Collects garbage until `done` says that what was waited for has happened. It asks a WeakRef, not a FinalizationRegistry: up to
 * Node 24, one of those that dies with its call still due ends the calls of all others in the process (V8 notes that a call is
 * due, finds nobody to call and never takes the note back), and with Jest one dies at the end of each file.
 */
export async function collect(done: () => boolean): Promise<boolean> {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (let round = 0; round < 30; round++) {
    (globalThis as { gc?: () => void }).gc?.();
    await turn();
    if (done()) return true;
    // What a WeakRef has given out stays alive until the turn ends.
    await turn();
  }
  return done();
}
