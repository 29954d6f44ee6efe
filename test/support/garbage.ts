// Waiting for the garbage collector.
/**
 * Collects garbage until `done` returns true, and returns whether it did. Callers should check a WeakRef in `done`, not a
 * FinalizationRegistry: up to Node 24, a registry that dies while its callback is scheduled stops the callbacks of all other
 * registries in the process (V8 marks the cleanup as scheduled, finds no callback to run, and never clears the mark). Jest
 * discards such a registry at the end of each file.
 */
export async function collect(done: () => boolean): Promise<boolean> {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (let round = 0; round < 30; round++) {
    (globalThis as { gc?: () => void }).gc?.();
    await turn();
    if (done()) return true;
    // An object returned by WeakRef.deref stays alive until the end of the turn.
    await turn();
  }
  return done();
}
