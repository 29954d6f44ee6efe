/** Reads a file into one buffer again and again, so that no garbage is left for the collector. */
import { open } from 'node:fs/promises';

/** Bytes that are read at once. */
const CHUNK_BYTES = 1 << 18;

/**
 * Reads a file from its beginning. The next chunk is read while the last one is used. The file is opened at the first step, and closed
 * at the last.
 *
 * @returns chunks; each is valid until the next step
 * @throws Error of `node:fs`, if the file cannot be read
 */
export async function* fileChunks(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await open(path, 'r');
  let next: Promise<{ bytesRead: number }> | undefined;
  try {
    let buffer = new Uint8Array(CHUNK_BYTES);
    let other = new Uint8Array(CHUNK_BYTES);
    next = file.read(buffer, 0, CHUNK_BYTES, null);
    for (;;) {
      const { bytesRead } = await next;
      next = undefined;
      if (bytesRead === 0) return;
      next = file.read(other, 0, CHUNK_BYTES, null);
      // If the iteration ends before this read is awaited, its failure is of no interest.
      next.catch(() => undefined);
      yield buffer.subarray(0, bytesRead);
      [buffer, other] = [other, buffer];
    }
  } finally {
    // The file must not be closed while it is read.
    await next?.catch(() => undefined);
    await file.close();
  }
}
