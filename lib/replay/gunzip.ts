/** Decompresses gzip input, recognised by its first bytes. */
import { createGunzip } from 'node:zlib';

const [MAGIC_1, MAGIC_2] = [0x1f, 0x8b] as const;

/** Size of the decompressed chunks in bytes; the same as a file stream's. */
const CHUNK_BYTES = 64 * 1024;

/** The gzip data is corrupt or truncated. */
export class GzipError extends Error {
  override name = 'GzipError';
}

/**
 * Passes a stream of bytes through, decompressed if it begins with gzip's magic bytes `1f 8b`. As `zcat` does, it reads several
 * gzip members one after the other, and ignores zero bytes after the last one.
 *
 * It holds a few chunks at a time, however long the stream is. It waits for the second byte only if the first one is gzip's, so
 * interactive input is not delayed.
 *
 * @param source - the bytes; its errors are passed on
 * @throws GzipError
 */
export async function* decompress(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  const chunks = source[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  while (head.length === 0 || (head.length === 1 && head[0] === MAGIC_1)) {
    const read = await chunks.next();
    if (read.done === true) break;
    head = Buffer.concat([head, read.value]);
  }
  const isGzip = head[0] === MAGIC_1 && head[1] === MAGIC_2;
  yield* isGzip ? gunzip(prepend(head, chunks)) : prepend(head, chunks);
}

async function* prepend(head: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void> {
  if (head.length > 0) yield head;
  for (;;) {
    const read = await chunks.next();
    if (read.done === true) return;
    if (read.value.length > 0) yield read.value;
  }
}

async function* gunzip(chunks: AsyncGenerator<Buffer, void>): AsyncGenerator<Buffer, void> {
  const engine = createGunzip({ chunkSize: CHUNK_BYTES });
  // The loop below reports its errors. Without a listener, one that comes after the last read would end the process.
  engine.on('error', () => undefined);
  let fed = 0;
  let last: Buffer = Buffer.alloc(0);
  const feed = async (): Promise<void> => {
    for (;;) {
      const read = await chunks.next();
      if (read.done === true) break;
      last = read.value;
      fed += last.length;
      // Never settles if the engine finds the end of the data inside this chunk.
      await new Promise<void>((resolve, reject) => {
        engine.write(last, (error) => (error ? reject(error) : resolve()));
      });
    }
    engine.end();
  };

  feed().catch((error: unknown) => engine.destroy(error as Error));
  try {
    yield* engine as AsyncIterable<Buffer>;
  } catch (error) {
    throw explain(error);
  }
  // The engine stops at a zero byte after a member, without an error for what follows.
  for (let rest = last.subarray(last.length - (fed - engine.bytesWritten)); ;) {
    if (rest.some((byte) => byte !== 0)) throw new GzipError('garbage follows the gzip data');
    const read = await chunks.next();
    if (read.done === true) return;
    rest = read.value;
  }
}

/** Turns an error of zlib into a GzipError. Errors of the source stay what they are. */
function explain(error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR') return new GzipError('the gzip data is truncated', { cause: error });
  if (code === 'Z_DATA_ERROR') return new GzipError(`the gzip data is corrupt: ${message}`, { cause: error });
  return error;
}
