/** Decompresses gzip input, which is detected by its first bytes. */
import { createGunzip } from 'node:zlib';

const [MAGIC_1, MAGIC_2] = [0x1f, 0x8b] as const;

/** Size of the decompressed chunks in bytes: the chunk size of a file stream. */
const CHUNK_BYTES = 64 * 1024;

/** Thrown if gzip data is corrupt or truncated. */
export class GzipError extends Error {
  override name = 'GzipError';
}

/**
 * Yields the bytes of a stream, decompressed if it begins with gzip's magic bytes `1f 8b`. Like `zcat`, it accepts several
 * concatenated gzip members and ignores zero bytes after the last one.
 *
 * It buffers only a few chunks, however long the stream is. It waits for the second byte only if the first is `1f`, so
 * interactive input is not delayed.
 *
 * @param source - the input; its errors are rethrown unchanged
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
  // The loop below reports the engine's errors. Without a listener, an error after the last read would crash the process.
  engine.on('error', () => undefined);
  let fed = 0;
  let last: Buffer = Buffer.alloc(0);
  const feed = async (): Promise<void> => {
    for (;;) {
      const read = await chunks.next();
      if (read.done === true) break;
      last = read.value;
      fed += last.length;
      // This promise never settles if the compressed data ends inside this chunk.
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
  // The engine stops at a zero byte after a member and does not report what follows, so check the rest here.
  for (let rest = last.subarray(last.length - (fed - engine.bytesWritten)); ;) {
    if (rest.some((byte) => byte !== 0)) throw new GzipError('garbage follows the gzip data');
    const read = await chunks.next();
    if (read.done === true) return;
    rest = read.value;
  }
}

/** Converts an error of zlib to a GzipError. Returns errors of the source unchanged. */
function explain(error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR') return new GzipError('the gzip data is truncated', { cause: error });
  if (code === 'Z_DATA_ERROR') return new GzipError(`the gzip data is corrupt: ${message}`, { cause: error });
  return error;
}
