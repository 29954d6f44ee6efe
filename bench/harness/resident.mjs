// How much memory of this process is resident.
import { closeSync, openSync, readSync } from 'node:fs';

const text = Buffer.alloc(4096);

/**
 * Bytes. Linux counts them page by page where it is asked so; elsewhere Node is asked.
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

/** Collects all garbage, and lets finalizers run; more than once, because a finalizer may free what others held. */
export async function collect() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
