/** Reads a file into one buffer again and again, so that no garbage is left for the collector. */
import { open } from 'node:fs/promises';

/** Bytes that are read at once. */
const CHUNK_BYTES = 1 << 18;

/**
 * Reads a file from its beginning. It is opened at the first step, and closed at the last.
 *
 * @returns chunks; each is valid until the next step
 * @throws Error of `node:fs`, if the file cannot be read
 */
export async function* fileChunks(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await open(path, 'r');
  try {
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
