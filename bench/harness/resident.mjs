// Measures the resident memory of this process.
import { closeSync, openSync, readSync } from 'node:fs';

const text = Buffer.alloc(4096);

/**
 * Returns the resident bytes. On Linux, /proc/self/smaps_rollup gives an exact figure; on other systems, Node's figure is used.
 */
export function residentBytes() {
  let file;
  try {
    file = openSync('/proc/self/smaps_rollup', 'r');
  } catch {
    return process.memoryUsage.rss();
  }
  try {
    const length = readSync(file, text, 0, text.length, 0);
    return Number(/Rss: +(\d+)/.exec(text.toString('latin1', 0, length))?.[1]) * 1024;
  } finally {
    closeSync(file);
  }
}

/** Collects all garbage and lets finalizers run. Repeats both, because a finalizer may release other objects. */
export async function collect() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
